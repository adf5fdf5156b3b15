# mypy: disable-error-code="no-untyped-def, no-untyped-call"
# ruff: noqa: F403, F405 - some forty indices of the layout, all upper case
"""Kernel of the `production` detector: one plant, one slot at a time.

All compiled functions stand in this one file, because numba's cache watches the file of the
function that is called, not those of its callees: split, an edit of one would leave a stale
kernel of the other. The naive twin is ``tests/detectors/twin_production.py``.

``r`` and ``w`` are the arrays ``real`` and ``whole``, ``i`` the plant; ``er`` and ``ew`` say where in
its rows an episode lies (the live one, or the back-filled one), ``lr`` and ``xr`` where the last loads
and excesses do; ``c`` are the constants.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from detectors.base import LEVELS, NO_SLOT
from detectors.production_state import *

jit = njit(cache=True, nogil=True, error_model="numpy")
hot = njit(cache=True, nogil=True, error_model="numpy", inline="always")
"""For what every slot passes through: a call with six arrays costs as much as its work."""

NIGHT_FROM, NIGHT_TO = 20 * 60 + 30, 6 * 60
WORK_FROM, WORK_TO = 7 * 60, 19 * 60
FADE = 0.5 ** (1.0 / 60.0)
"""Daily fading of arrival rates: half-life 60 days."""
NO_LORRY = math.log(0.75)
"""What a run without a hazmat lorry says where such lorries are known to come, nats: one run in two
would need them, and of those one in two has one within reach."""


@hot
def at_night(minute):
    """Return whether a local minute of the day lies at night."""
    return minute >= NIGHT_FROM or minute < NIGHT_TO


# -- levels ------------------------------------------------------------------------------------


@hot
def bin_of(kw):
    """Return the histogram's bin of a load."""
    if kw <= LOWEST_KW:
        return 0
    return min(BINS - 1, int(4.0 * math.log2(kw / LOWEST_KW)))


@jit
def quantile(levels, i, share, floor):
    """Return the `share` quantile of the loads in bins from `floor` on; 0 if there are none."""
    total = 0
    for j in range(floor, BINS):
        total += levels[i, j]
    below = 0.0
    for j in range(floor, BINS):
        if levels[i, j] > 0 and below + levels[i, j] >= share * total:
            inside = (share * total - below) / levels[i, j]
            return LOWEST_KW * 2.0 ** ((j + inside) / 4.0)
        below += levels[i, j]
    return 0.0


@hot
def count_level(levels, i, kw):
    """Count a load; a full bin halves them all, so that old times fade."""
    j = bin_of(kw)
    levels[i, j] += 1
    if levels[i, j] >= 8640:
        for q in range(BINS):
            levels[i, q] //= 2


# -- what standby is ---------------------------------------------------------------------------


@hot
def learn_history(base, base_days, levels, i, kw, s, k):
    """Before the order: the levels, and a low quantile of each slot of the day."""
    count_level(levels, i, kw)
    b = base[k, s, i]
    if base_days[k, s, i] == 0:
        base[k, s, i] = kw
    elif kw < b:
        base[k, s, i] = b + 0.5 * (kw - b)
    else:
        base[k, s, i] = b + min(0.1 * b + 1e-3, 0.3 * (kw - b))
    base_days[k, s, i] = min(255, base_days[k, s, i] + 1)


@jit
def settle(base, base_days, levels, r, w, c, i):
    """At the order: what production was and what idle was; then the levels start anew."""
    w[i, SETTLED] = 1
    w[i, TRUSTED] = 0
    w[i, AGE] = 0
    r[i, PRODUCTION] = 0.0
    if levels[i].sum() >= c.slots:
        q95 = quantile(levels, i, 0.95, 0)
        r[i, IDLE] = quantile(levels, i, 0.15, 0)
        r[i, PRODUCTION] = max(LEAST_KW, quantile(levels, i, 0.5, bin_of(0.3 * q95)))
        w[i, TRUSTED] = 1 if q95 > 3.0 * r[i, IDLE] else 2
        r[i, NOISE] = 0.08 * r[i, IDLE]
        r[i, STEP] = 0.08 * r[i, IDLE]
    for s in range(c.slots):
        for k in range(2):
            if w[i, TRUSTED] == 0:
                base[k, s, i] = 0.0
            elif base_days[k, s, i] > 0:
                base[k, s, i] = min(base[k, s, i], 3.0 * r[i, IDLE])
            elif base_days[1 - k, s, i] > 0:
                base[k, s, i] = min(base[1 - k, s, i], 3.0 * r[i, IDLE])
            else:
                base[k, s, i] = r[i, IDLE]
        for k in range(2):
            base_days[k, s, i] = 0
    levels[i, :] = 0


@jit
def estimate_scale(levels, r, w, c, i):
    """Daily after the order: standby, and production where history does not give it."""
    if w[i, AGE] < c.slots:
        return
    idle = quantile(levels, i, 0.15, 0)
    if w[i, TRUSTED] == 1 or (w[i, TRUSTED] == 2 and r[i, PRODUCTION] > 4.0 * idle):
        return
    w[i, TRUSTED] = 0
    r[i, IDLE] = idle
    r[i, PRODUCTION] = max(LEAST_KW, 15.0 * idle)


@hot
def explained(base, base_days, r, w, c, i, s, k):
    """Return the load that the plant's own standby explains in a slot of the day, kW."""
    best = -1.0
    for d in range(s - c.near, s + c.near + 1):
        q = d + c.slots if d < 0 else (d - c.slots if d >= c.slots else d)
        if base_days[k, q, i] > 0 or w[i, TRUSTED] > 0:
            best = max(best, base[k, q, i])
        if base_days[k, q, i] == 0 and base_days[1 - k, q, i] > 0:
            best = max(best, base[1 - k, q, i])
    if k == 1 and WORK_FROM <= s * c.slot_min < WORK_TO + 60:
        for q in range(s - c.far, s + c.far + 1):  # never near midnight
            if base_days[0, q, i] > 0:
                best = max(best, base[0, q, i])
    if best < 0.0:
        best = 1.5 * r[i, IDLE]
    return max(0.0, r[i, SHIFT] + best)


@hot
def learn(base, base_days, r, c, i, kw, s, k):
    """Move standby, shift and noise towards what was seen."""
    minute = s * c.slot_min
    days = base_days[k, s, i]
    error = kw - r[i, SHIFT] - base[k, s, i]
    cap = max(3.0 * r[i, NOISE], 0.01 * r[i, PRODUCTION])
    base[k, s, i] += max(0.15, 1.0 / (days + 1.0)) * (error if days <= 3 else min(error, cap))
    base_days[k, s, i] = min(255, days + 1)
    if at_night(minute):
        base[1 - k, s, i] = base[k, s, i]
        base_days[1 - k, s, i] = base_days[k, s, i]
    if days >= 2:
        most = c.scale * max(0.004 * r[i, PRODUCTION], 0.03 * kw)
        pull = c.pull * error
        r[i, SHIFT] = c.relax * (r[i, SHIFT] + min(most, max(-most, pull)))
    r[i, RESIDUAL] += c.smooth * (error - r[i, RESIDUAL])
    if days >= 3:
        r[i, NOISE] += 0.01 * c.scale * (1.4 * abs(r[i, RESIDUAL]) - r[i, NOISE])
    if not math.isnan(r[i, LOADS + 1]):
        r[i, STEP] += 0.02 * c.scale * (abs(kw - r[i, LOADS + 1]) - r[i, STEP])


@jit
def absorb(base, base_days, r, w, er, ew, c, i, mild):
    """Add to standby what an episode brought that was harmless or unconvincing, once it is over.

    Not while it lasts: its first slots would explain the next ones.
    """
    mean = r[i, er + EXCESS] / w[i, ew + SLOTS]
    least = min(mean, max(3.0 * r[i, NOISE], 0.01 * r[i, PRODUCTION]))
    k = 1 if w[i, ew + REST] else 0
    for slot in range(w[i, ew + START], w[i, ew + END]):
        minute = (slot * c.slot_min + w[i, OFFSET]) % 1440
        s = minute // c.slot_min
        days = base_days[k, s, i]
        if mild:
            more = 0.35 * mean
        else:
            more = max(0.15, 1.0 / (days + 1.0)) * (mean if days <= 3 else least)
        for other in range(2):
            if other == k or at_night(minute):
                base[other, s, i] += more
                base_days[other, s, i] = min(255, days + 1)


# -- the day and what is known from elsewhere --------------------------------------------------


@jit
def sunset_minute(r, w, c, i, day):
    """Return the local minute of sunset (sunrise equation, refraction included)."""
    latitude = c.latitude if math.isnan(r[i, LATITUDE]) else r[i, LATITUDE]
    noon = 60.0 * c.noon_h
    if not math.isnan(r[i, LONGITUDE]):
        noon = 720.0 - 4.0 * r[i, LONGITUDE] + w[i, OFFSET]
    phi = math.radians(min(65.0, max(-65.0, latitude)))
    delta = math.radians(23.44) * math.sin(2.0 * math.pi * (day % 365.2425 - 80.0) / 365.2425)
    cos_h = (-0.01454 - math.sin(phi) * math.sin(delta)) / (math.cos(phi) * math.cos(delta))
    return noon + 4.0 * math.degrees(math.acos(min(1.0, max(-1.0, cos_h))))


@jit
def new_day(levels, r, w, c, i, day, rest):
    """At local midnight: dusk, arrival rates, scale."""
    w[i, RESTS] = (w[i, RESTS] << max(0, min(7, day - w[i, DAY])) | rest) & 255
    w[i, DAY] = day
    r[i, DUSK] = sunset_minute(r, w, c, i, day)
    r[i, WATCHED] = (r[i, WATCHED] + 1.0) * FADE
    for j in range(VISITOR_RATE, VISITOR_RATE + VISITOR_KINDS * PARTS):
        r[i, j] *= FADE
    if w[i, SETTLED]:
        estimate_scale(levels, r, w, c, i)


@jit
def strange_weather(r, w, i, minute):
    """Return whether it is hotter, or colder, than this standby was ever seen in."""
    t = r[i, TEMPERATURE]
    if minute - w[i, TEMPERATURE_AT] > 180 or math.isnan(t) or math.isnan(r[i, WARMEST]):
        return False
    return (t > r[i, WARMEST] + 1.0 and t > 24.0) or (t < r[i, COLDEST] - 1.0 and t < 10.0)


@jit
def learn_weather(r, w, c, i, minute):
    """Widen the range of temperatures that standby is known in; it narrows by 0.1 °C a day."""
    t = r[i, TEMPERATURE]
    if minute - w[i, TEMPERATURE_AT] > 180 or math.isnan(t):
        return
    if math.isnan(r[i, WARMEST]):
        r[i, WARMEST] = t
        r[i, COLDEST] = t
    narrower = 0.1 / c.slots
    r[i, WARMEST] = max(t, r[i, WARMEST] - narrower)
    r[i, COLDEST] = min(t, r[i, COLDEST] + narrower)


@hot
def granted(r, w, c, i, minute):
    """Return (permitted total, tested excess, in an outage) in a slot; −1 where there is none.

    Half an hour before and an hour after count as well: people come early and leave late.
    """
    total, excess, out = -1.0, -1.0, False
    if minute >= w[i, WINDOWS_UNTIL]:
        return total, excess, out
    for j in range(WINDOWS):
        start, end = w[i, WINDOW_START + j], w[i, WINDOW_END + j]
        if start == end or minute + c.slot_min <= start - 30 or minute - 60 >= end:
            continue
        kind = w[i, WINDOW_KIND + j]
        if kind == PERMIT:
            total = max(total, r[i, WINDOW_KW + j])
        elif kind == TEST:
            excess = max(excess, r[i, WINDOW_KW + j])
        else:
            out = True
    return total, excess, out


@jit
def hazmat_known(r, i):
    """Return whether a hazmat vehicle was ever seen here: so there is a gate that tells of them."""
    return r[i, VISITOR_RATE : VISITOR_RATE + HAZMAT_OUT * PARTS].max() > 0.0


@jit
def visits(r, w, i, first, last):
    """Return the strongest evidence of vehicles and of complaints near an episode, nats.

    One that left before the load began tells nothing that its arrival did not. That none came
    counts as well, or every lorry that happens to pass would make false cases more and none fewer.
    """
    vehicles, complaints = 0.0, 0.0
    for j in range(VISITORS):
        minute = w[i, VISITOR_MINUTE + j]
        kind = w[i, VISITOR_KIND + j]
        reach = 0 if kind in (HAZMAT_OUT, GOODS_OUT) else 150
        if kind == COMPLAINT:
            if first - 1440 <= minute <= last:
                complaints = max(complaints, r[i, VISITOR_SCORE + j])
        elif first - reach <= minute <= last:
            late = max(1.0, (minute - first) / 120.0)  # a long run would meet somebody anyway
            vehicles = max(vehicles, r[i, VISITOR_SCORE + j] - math.log(late))
    if vehicles == 0.0 and hazmat_known(r, i):
        vehicles = NO_LORRY
    return vehicles, complaints


# -- the episode -------------------------------------------------------------------------------


@jit
def hour_score(minute, rest, daytime):
    """Return how much a slot of the day speaks for covert production."""
    at_work = WORK_FROM <= minute < WORK_TO
    if daytime:
        return 0.5 if at_work and not rest else -1.0
    if at_night(minute):
        return 1.0
    if rest:
        return 0.5
    return -3.0 if at_work else 0.0


@jit
def weigh(r, w, er, ew, c, i, slot):
    """Return what an episode says, entry by entry: `ENTRIES` between memory and prior."""
    n = w[i, ew + SLOTS]
    mean = r[i, er + EXCESS] / n
    if n > 1:  # without the highest slot: a start attempt is not a run
        mean = max(0.01 * mean, (r[i, er + EXCESS] - r[i, er + PEAK]) / (n - 1))
    quarters = n * c.scale
    share = mean / r[i, PRODUCTION]
    least = max(0.045, 2.2 / r[i, PRODUCTION])
    level = min(6.0, max(-2.5, 2.2 * math.log(share / least))) * min(1.0, quarters / 3.0)
    duration = min(1.5, max(-1.0, 0.25 * (quarters - 7.0)))
    time = r[i, er + HOUR_SCORE] / n
    if share > 0.2:
        time = max(time, -1.0)
    lighting = 0.0
    small = share < (0.2 if w[i, TRUSTED] == 1 else 0.5)
    if not c.daytime and small and mean < 25.0 and n > 2:
        jump = r[i, er + JUMPS] / (n - 2)
        rough = math.sqrt(max(0.0, jump**2 - 1.3 * r[i, STEP] ** 2)) / mean
        if -60.0 <= w[i, ew + ONSET_MINUTE] - r[i, DUSK] <= 75.0 and rough < 0.08:
            lighting = -3.0
    standby = -1.5 * r[i, er + UNKNOWN] / n
    tenant = -1.5 if w[i, ew + CARRIED] == 1 and quarters < 16.0 else 0.0
    vehicles, complaints = visits(r, w, i, w[i, ew + START] * c.slot_min, (slot + 1) * c.slot_min)
    return level, duration, time, standby, lighting, tenant, vehicles, complaints


@jit
def total_of(parts):
    """Return the sum of the entries."""
    total = 0.0
    for part in parts:
        total += part
    return total


@jit
def harmless(r, w, er, ew, i, parts):
    """Return whether an episode looks like lights or like somebody's working day."""
    share = r[i, er + EXCESS] / w[i, ew + SLOTS] / r[i, PRODUCTION]
    by_day = not w[i, ew + REST] and 360 <= w[i, ew + ONSET_MINUTE] < 1080 and w[i, ew + NIGHT] == 0
    return parts[4] < 0.0 or parts[5] < 0.0 or (by_day and share < 0.2)


@jit
def open_episode(r, w, er, ew, i, slot, minute, rest, carried):
    """Begin an episode."""
    for j in range(er, er + EPISODE_REAL):
        r[i, j] = 0.0
    r[i, er + QUIET] = np.inf
    w[i, ew + OPEN] = 1
    w[i, ew + START] = slot
    w[i, ew + SLOTS] = 0
    w[i, ew + LOW] = 0
    w[i, ew + NIGHT] = 0
    w[i, ew + ONSET_MINUTE] = minute
    w[i, ew + CARRIED] = carried
    w[i, ew + REST] = rest


@jit
def extend(r, w, er, ew, c, i, slot, x, allowed, theta, minute, rest, known):
    """Add a slot to the open episode."""
    w[i, ew + SLOTS] += 1
    w[i, ew + END] = slot + 1
    r[i, er + EXCESS] += x
    r[i, er + PEAK] = max(r[i, er + PEAK], x)
    r[i, er + UNKNOWN] += 0.0 if known else 1.0
    r[i, er + USUAL] += allowed
    r[i, er + HOUR_SCORE] += hour_score(minute, rest, c.daytime)
    if at_night(minute):
        w[i, ew + NIGHT] += 1
    if w[i, ew + SLOTS] > 2:
        r[i, er + JUMPS] += abs(x - r[i, er + LAST])
    r[i, er + LAST] = x
    r[i, er + QUIET] = min(r[i, er + QUIET], allowed + 0.95 * theta)


@jit
def judge(r, w, er, ew, c, i, slot, day, minute, permit, parts):
    """Let the open episode speak: it may open the case, or raise it."""
    found = total_of(parts)
    value = r[i, MEMORY] + found - c.prior
    if w[i, ew + SLOTS] < c.shortest:
        return
    r[i, EVIDENCE] = value
    if value < c.lowest:
        return
    if w[i, ONSET] == NO_SLOT:
        w[i, ONSET] = w[i, ew + START]
        w[i, NIGHTS] = 0
        w[i, LAST_NIGHT] = -1
        r[i, TOP] = -np.inf
    w[i, STIRRED] = slot
    night = day if minute >= 720 else day - 1
    if night != w[i, LAST_NIGHT]:
        w[i, LAST_NIGHT] = night
        w[i, NIGHTS] += 1
    if value > r[i, TOP]:
        r[i, TOP] = value
        n = w[i, ew + SLOTS]
        r[i, ACCOUNT] = r[i, MEMORY]
        for j in range(len(parts)):
            r[i, ACCOUNT + 1 + j] = parts[j]
        r[i, ACCOUNT + 9] = -c.prior
        w[i, ACCOUNT_START] = w[i, ew + START]
        r[i, ACCOUNT + 10] = n * c.slot_min / 60.0
        r[i, ACCOUNT + 11] = (r[i, er + EXCESS] + r[i, er + USUAL]) / n
        r[i, ACCOUNT + 12] = r[i, er + USUAL] / n
        r[i, ACCOUNT + 13] = w[i, ew + NIGHT] / n
        r[i, ACCOUNT + 14] = r[i, er + QUIET]
        r[i, ACCOUNT + 15] = max(0.0, permit)
        r[i, ACCOUNT + 16] = r[i, er + USUAL] / n + r[i, er + PEAK]


@jit
def close_episode(base, base_days, r, w, er, ew, c, i):
    """End an episode: what it said goes into the memory; if harmless, into standby instead."""
    w[i, ew + OPEN] = 0
    parts = weigh(r, w, er, ew, c, i, w[i, ew + END] - 1)
    found = total_of(parts)
    mild = harmless(r, w, er, ew, i, parts)
    short = w[i, ew + SLOTS] < c.shortest
    if mild or short or found - c.prior < c.lowest:
        absorb(base, base_days, r, w, er, ew, c, i, mild and not short)
    if not short and (c.daytime or not mild):
        r[i, MEMORY] = min(MOST_MEMORY, max(0.0, r[i, MEMORY] + max(0.0, found) - c.prior))


@jit
def stirring(w, ew, i):
    """Return whether an episode has raised suspicion since it began."""
    return w[i, ONSET] != NO_SLOT and w[i, STIRRED] >= w[i, ew + START]


@hot
def end_case(r, w, c, i, slot):
    """End the case when the ledger holds nothing more, or all has been quiet for long."""
    if w[i, ONSET] == NO_SLOT or w[i, LIVE_WHOLE + OPEN] or w[i, LATE_WHOLE + OPEN]:
        return
    if r[i, MEMORY] < 0.1 or slot - w[i, STIRRED] > c.quiet_slots:
        w[i, ONSET] = NO_SLOT
        r[i, TOP] = -np.inf
        r[i, MEMORY] = min(r[i, MEMORY], 1.0)


@hot
def lines(top, c):
    """Return how many lines of the grid the case has reached."""
    if not top >= c.lowest:
        return 0
    return min(LEVELS, int((top - c.lowest) / c.spacing + 1e-4) + 1)


# -- one slot ----------------------------------------------------------------------------------


@hot
def observe(base, base_days, r, w, er, ew, lr, xr, c, i, slot, kw, s, k, day):
    """Weigh one slot against standby and follow the episode; return whether it may be learned."""
    minute = s * c.slot_min
    clock = slot * c.slot_min
    total, tested, quiet = granted(r, w, c, i, clock)
    usual = explained(base, base_days, r, w, c, i, s, k)
    known = base_days[k, s, i] > 0 and not strange_weather(r, w, i, clock)
    width = min(RING, c.hour)
    mean, count = kw, 1
    for j in range(width - 1):
        if not math.isnan(r[i, lr + j]):
            mean += r[i, lr + j]
            count += 1
    mean /= count
    allowed = usual
    if total >= 0.0:
        quiet = quiet or mean <= 1.2 * total
        allowed = max(allowed, total)
    if tested >= 0.0:
        quiet = quiet or mean - usual <= 1.2 * tested
        allowed = max(allowed, usual + tested)
    x = kw - allowed
    theta = max(0.02 * r[i, PRODUCTION], 6.0 * r[i, NOISE], 0.3 * allowed)
    stronger = False
    if w[i, ew + OPEN] and quiet:
        close_episode(base, base_days, r, w, er, ew, c, i)
    elif w[i, ew + OPEN]:
        so_far = r[i, er + EXCESS] / w[i, ew + SLOTS]
        if x > 2.0 * max(so_far, theta) and w[i, ew + SLOTS] > width and not stirring(w, ew, i):
            stronger = True  # begins within a weak, unconvincing episode
            close_episode(base, base_days, r, w, er, ew, c, i)
        elif x > max(0.25 * so_far, 0.5 * theta):
            w[i, ew + LOW] = 0
            extend(r, w, er, ew, c, i, slot, x, allowed, theta, minute, k == 1, known)
        else:
            w[i, ew + LOW] += 1
        if w[i, ew + OPEN] and (w[i, ew + LOW] >= 2 or slot - w[i, ew + START] >= c.longest):
            close_episode(base, base_days, r, w, er, ew, c, i)
    if not w[i, ew + OPEN] and not quiet and x > theta and r[i, PRODUCTION] > 0.0:
        sharp, rose = False, False
        for j in range(width):
            sharp = sharp or r[i, xr + j] < (0.5 if stronger else 0.35) * x
            rose = rose or r[i, lr + j] < kw - 0.4 * x
        if sharp:
            open_episode(r, w, er, ew, i, slot, minute, k, 0 if rose else 1)
            extend(r, w, er, ew, c, i, slot, x, allowed, theta, minute, k == 1, known)
    for j in range(RING - 1, 0, -1):
        r[i, lr + j] = r[i, lr + j - 1]
        r[i, xr + j] = r[i, xr + j - 1]
    r[i, lr] = kw
    r[i, xr] = 0.0 if quiet else x
    r[i, EVIDENCE] = r[i, MEMORY] - c.prior
    if w[i, ew + OPEN]:
        parts = weigh(r, w, er, ew, c, i, slot)
        judge(r, w, er, ew, c, i, slot, day, minute, total, parts)
        return False
    return not quiet


@hot
def advance(base, base_days, levels, seen, r, w, c, i, slot, kw, s, day, rest):
    """Move one plant one slot on; return whether it has a score."""
    w[i, NOW] = slot
    minute = slot * c.slot_min
    w[i, OFFSET] = (s * c.slot_min - minute % 1440 + 720) % 1440 - 720
    if day != w[i, DAY]:
        new_day(levels, r, w, c, i, day, rest)
    if slot < w[i, CLOSED]:
        if not math.isnan(kw):
            learn_history(base, base_days, levels, i, kw, s, rest)
        return False
    if w[i, SETTLED] == 0:
        settle(base, base_days, levels, r, w, c, i)
    r[i, MEMORY] *= c.keep
    if w[i, LATE_WHOLE + OPEN] and slot > w[i, AMENDED] + c.hour:
        close_episode(base, base_days, r, w, LATE_REAL, LATE_WHOLE, c, i)
    bit = slot % c.back
    if math.isnan(kw):
        seen[i, bit >> 3] &= 255 - (1 << (bit & 7))
        if w[i, GAP] == 0:
            w[i, HOLE] = slot
            for j in range(2 * RING):
                r[i, HOLE_LOADS + j] = r[i, LOADS + j]
        w[i, GAP] += 1
    else:
        seen[i, bit >> 3] |= 1 << (bit & 7)
        if w[i, LIVE_WHOLE + OPEN] and w[i, GAP] > c.patience:
            close_episode(base, base_days, r, w, LIVE_REAL, LIVE_WHOLE, c, i)
        w[i, GAP] = 0
        if observe(
            base, base_days, r, w, LIVE_REAL, LIVE_WHOLE, LOADS, EXCESSES, c, i, slot, kw, s,
            rest, day,
        ):  # fmt: skip
            count_level(levels, i, kw)
            learn(base, base_days, r, c, i, kw, s, rest)
            learn_weather(r, w, c, i, minute)
        w[i, AGE] += 1
    end_case(r, w, c, i, slot)
    return r[i, PRODUCTION] > 0.0


# -- what the class calls ----------------------------------------------------------------------


@jit
def run(
    base, base_days, levels, seen, r, w, c, zone, first, loads,
    local_slot, local_day, rest_day, evidence, urgency, onset,
):  # fmt: skip
    """Advance all plants over all slots of a frame (loads in kW, shape (T, N)).

    Rows that are not ready are left as they came. Evidence comes out in nats.
    """
    for t in range(loads.shape[0]):
        for i in range(loads.shape[1]):
            z = zone[i]
            rest = 1 if rest_day[t, z] else 0
            if advance(
                base, base_days, levels, seen, r, w, c, i, first + t, float(loads[t, i]),
                int(local_slot[t, z]), int(local_day[t, z]), rest,
            ):  # fmt: skip
                evidence[t, i] = r[i, EVIDENCE]
                urgency[t, i] = lines(r[i, TOP], c)
                onset[t, i] = w[i, ONSET]


@jit
def back_fill(base, base_days, seen, r, w, c, slot, rows, loads):
    """Score back-filled slots of an earlier hole; corrections of known slots are left alone.

    Nothing is learned from them: standby has moved on since.
    """
    bit = slot % c.back
    for m in range(len(rows)):
        i = rows[m]
        kw = float(loads[m])
        known = (seen[i, bit >> 3] >> (bit & 7)) & 1
        reach = w[i, CLOSED] <= slot <= w[i, NOW] and w[i, NOW] - slot < c.back
        if math.isnan(kw) or known or not reach or w[i, SETTLED] == 0:
            continue
        seen[i, bit >> 3] |= 1 << (bit & 7)
        if slot != w[i, LATE_NEXT]:
            if w[i, LATE_WHOLE + OPEN]:
                close_episode(base, base_days, r, w, LATE_REAL, LATE_WHOLE, c, i)
            for j in range(2 * RING):
                r[i, LATE_LOADS + j] = r[i, HOLE_LOADS + j] if slot == w[i, HOLE] else np.nan
        w[i, AMENDED] = w[i, NOW]
        w[i, LATE_NEXT] = slot + 1
        local = slot * c.slot_min + w[i, OFFSET]
        day = local // 1440
        rest = (w[i, RESTS] >> max(0, min(7, w[i, DAY] - day))) & 1
        observe(
            base, base_days, r, w, LATE_REAL, LATE_WHOLE, LATE_LOADS, LATE_EXCESSES, c, i, slot,
            kw, local % 1440 // c.slot_min, rest, day,
        )  # fmt: skip
