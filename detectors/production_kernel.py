# mypy: disable-error-code="no-untyped-def, no-untyped-call"
# ruff: noqa: F403, F405 - some forty indices of the layout, all upper case
"""Kernel of the `production` detector: one plant, one slot at a time.

All compiled functions stand in this one file, because numba's cache watches the file of the
function that is called, not those of its callees. The naive twin is
``tests/detectors/production_twin.py``.

``r`` and ``w`` are a plant's rows of ``real`` and ``whole``; ``er`` and ``ew`` the parts of them
that hold one episode (the live one, or the back-filled one); ``c`` are the constants.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from detectors.base import NO_SLOT
from detectors.production_state import *

jit = njit(cache=True, nogil=True, error_model="numpy")

NIGHT_FROM, NIGHT_TO = 20 * 60 + 30, 6 * 60
WORK_FROM, WORK_TO = 7 * 60, 19 * 60
FADE = 0.5 ** (1.0 / 60.0)
"""Daily fading of arrival rates: half-life 60 days."""


@jit
def at_night(minute):
    """Return whether a local minute of the day lies at night."""
    return minute >= NIGHT_FROM or minute < NIGHT_TO


# -- levels ------------------------------------------------------------------------------------


@jit
def bin_of(kw):
    """Return the histogram's bin of a load."""
    if kw <= LOWEST_KW:
        return 0
    return min(BINS - 1, int(4.0 * math.log2(kw / LOWEST_KW)))


@jit
def quantile(levels, share, floor):
    """Return the `share` quantile of the loads in bins from `floor` on; 0 if there are none."""
    total = 0
    for j in range(floor, BINS):
        total += levels[j]
    below = 0.0
    for j in range(floor, BINS):
        if levels[j] > 0 and below + levels[j] >= share * total:
            inside = (share * total - below) / levels[j]
            return LOWEST_KW * 2.0 ** ((j + inside) / 4.0)
        below += levels[j]
    return 0.0


@jit
def count_level(levels, kw):
    """Count a load; a full bin halves them all, so that old times fade."""
    j = bin_of(kw)
    levels[j] += 1
    if levels[j] >= 8640:
        for q in range(BINS):
            levels[q] //= 2


# -- what standby is ---------------------------------------------------------------------------


@jit
def learn_history(base, base_days, levels, i, kw, s, k):
    """Before the order: the levels, and a low quantile of each slot of the day."""
    count_level(levels, kw)
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
    w[SETTLED] = 1
    w[TRUSTED] = 0
    w[AGE] = 0
    if levels.sum() >= c.slots:
        q95 = quantile(levels, 0.95, 0)
        r[IDLE] = quantile(levels, 0.15, 0)
        r[PRODUCTION] = max(LEAST_KW, quantile(levels, 0.5, bin_of(0.3 * q95)))
        w[TRUSTED] = 1 if q95 > 3.0 * r[IDLE] else 2
        r[NOISE] = 0.08 * r[IDLE]
        r[STEP] = 0.08 * r[IDLE]
    for s in range(c.slots):
        for k in range(2):
            if w[TRUSTED] == 0:
                base[k, s, i] = 0.0
            elif base_days[k, s, i] > 0:
                base[k, s, i] = min(base[k, s, i], 3.0 * r[IDLE])
            elif base_days[1 - k, s, i] > 0:
                base[k, s, i] = min(base[1 - k, s, i], 3.0 * r[IDLE])
            else:
                base[k, s, i] = r[IDLE]
        for k in range(2):
            base_days[k, s, i] = 0
    levels[:] = 0


@jit
def estimate_scale(levels, r, w, c):
    """Daily after the order: standby, and production where history does not give it."""
    if w[AGE] < c.slots:
        return
    idle = quantile(levels, 0.15, 0)
    if w[TRUSTED] == 1 or (w[TRUSTED] == 2 and r[PRODUCTION] > 4.0 * idle):
        return
    w[TRUSTED] = 0
    r[IDLE] = idle
    r[PRODUCTION] = max(LEAST_KW, 15.0 * idle)


@jit
def explained(base, base_days, r, w, c, i, s, k):
    """Return the load that the plant's own standby explains in a slot of the day, kW."""
    best = -1.0
    for d in range(-c.near, c.near + 1):
        q = (s + d) % c.slots
        if base_days[k, q, i] > 0 or w[TRUSTED] > 0:
            best = max(best, base[k, q, i])
        if base_days[k, q, i] == 0 and base_days[1 - k, q, i] > 0:
            best = max(best, base[1 - k, q, i])
    if k == 1 and WORK_FROM <= s * c.slot_min < WORK_TO + 60:
        for d in range(-c.far, c.far + 1):
            q = (s + d) % c.slots
            if base_days[0, q, i] > 0:
                best = max(best, base[0, q, i])
    if best < 0.0:
        best = 1.5 * r[IDLE]
    return max(0.0, r[SHIFT] + best)


@jit
def learn(base, base_days, r, w, c, i, kw, s, k):
    """Move standby, shift and noise towards what was seen."""
    minute = s * c.slot_min
    days = base_days[k, s, i]
    error = kw - r[SHIFT] - base[k, s, i]
    cap = max(3.0 * r[NOISE], 0.01 * r[PRODUCTION])
    base[k, s, i] += max(0.15, 1.0 / (days + 1.0)) * (error if days <= 3 else min(error, cap))
    base_days[k, s, i] = min(255, days + 1)
    if at_night(minute):
        base[1 - k, s, i] = base[k, s, i]
        base_days[1 - k, s, i] = base_days[k, s, i]
    if days >= 2:
        most = c.scale * max(0.004 * r[PRODUCTION], 0.03 * kw)
        pull = (1.0 - 0.85**c.scale) * error
        r[SHIFT] = 0.999**c.scale * (r[SHIFT] + min(most, max(-most, pull)))
    if days >= 3:
        r[NOISE] += 0.01 * c.scale * (1.4 * abs(error) - r[NOISE])
    if not math.isnan(r[LOADS + 1]):
        r[STEP] += 0.02 * c.scale * (abs(kw - r[LOADS + 1]) - r[STEP])


@jit
def absorb(base, base_days, w, er, ew, c, i):
    """Make a harmless new load part of standby, once it is over: a third of it each time.

    Not while it lasts: its first slots would explain the next ones.
    """
    mean = er[EXCESS] / ew[SLOTS]
    k = 1 if ew[REST] else 0
    for slot in range(ew[START], ew[END]):
        minute = (slot * c.slot_min + w[OFFSET]) % 1440
        s = minute // c.slot_min
        for other in range(2):
            if other == k or at_night(minute):
                base[other, s, i] += 0.35 * mean
                base_days[other, s, i] = min(255, base_days[other, s, i] + 1)


# -- the day and what is known from elsewhere --------------------------------------------------


@jit
def sunset_minute(r, w, c, day):
    """Return the local minute of sunset (sunrise equation, refraction included)."""
    latitude = c.latitude if math.isnan(r[LATITUDE]) else r[LATITUDE]
    noon = 60.0 * c.noon_h
    if not math.isnan(r[LONGITUDE]):
        noon = 720.0 - 4.0 * r[LONGITUDE] + w[OFFSET]
    phi = math.radians(min(65.0, max(-65.0, latitude)))
    delta = math.radians(23.44) * math.sin(2.0 * math.pi * (day % 365.2425 - 80.0) / 365.2425)
    cos_h = (-0.01454 - math.sin(phi) * math.sin(delta)) / (math.cos(phi) * math.cos(delta))
    return noon + 4.0 * math.degrees(math.acos(min(1.0, max(-1.0, cos_h))))


@jit
def new_day(levels, r, w, c, day, rest):
    """At local midnight: dusk, arrival rates, scale."""
    w[RESTS] = (w[RESTS] << max(0, min(7, day - w[DAY])) | rest) & 255
    w[DAY] = day
    r[DUSK] = sunset_minute(r, w, c, day)
    r[WATCHED] = (r[WATCHED] + 1.0) * FADE
    for j in range(VISITOR_RATE, VISITOR_RATE + VISITOR_KINDS * PARTS):
        r[j] *= FADE
    if w[SETTLED]:
        estimate_scale(levels, r, w, c)


@jit
def granted(r, w, c, minute):
    """Return (permitted total, tested excess, in an outage) in a slot; −1 where there is none.

    Half an hour before and an hour after count as well: people come early and leave late.
    """
    total, excess, out = -1.0, -1.0, False
    for j in range(WINDOWS):
        start, end = w[WINDOW_START + j], w[WINDOW_END + j]
        if start == end or minute + c.slot_min <= start - 30 or minute - 60 >= end:
            continue
        kind = w[WINDOW_KIND + j]
        if kind == PERMIT:
            total = max(total, r[WINDOW_KW + j])
        elif kind == TEST:
            excess = max(excess, r[WINDOW_KW + j])
        else:
            out = True
    return total, excess, out


@jit
def visits(r, w, first, last):
    """Return the strongest evidence of vehicles and of complaints near an episode, nats."""
    vehicles, complaints = 0.0, 0.0
    for j in range(VISITORS):
        minute = w[VISITOR_MINUTE + j]
        if w[VISITOR_KIND + j] == COMPLAINT:
            if first - 1440 <= minute <= last:
                complaints = max(complaints, r[VISITOR_SCORE + j])
        elif first - 150 <= minute <= last:
            late = max(1.0, (minute - first) / 120.0)  # a long run would meet somebody anyway
            vehicles = max(vehicles, r[VISITOR_SCORE + j] - math.log(late))
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
def weigh(r, w, er, ew, c, slot):
    """Return what an episode says, entry by entry: `ENTRIES` between memory and prior."""
    n = ew[SLOTS]
    mean = er[EXCESS] / n
    if n > 1:  # without the highest slot: a start attempt is not a run
        mean = max(0.01 * mean, (er[EXCESS] - er[PEAK]) / (n - 1))
    quarters = n * c.scale
    share = mean / r[PRODUCTION]
    least = max(0.045, 3.2 / r[PRODUCTION])
    level = min(6.0, max(-2.5, 2.2 * math.log(share / least))) * min(1.0, quarters / 3.0)
    duration = min(2.0, 0.12 * (quarters - 3.0))
    time = er[HOUR_SCORE] / n
    if share > 0.2:
        time = max(time, -1.0)
    lighting = 0.0
    small = share < (0.2 if w[TRUSTED] == 1 else 0.5)
    if not c.daytime and small and mean < 25.0 and n > 2:
        jump = er[JUMPS] / (n - 2)
        rough = math.sqrt(max(0.0, jump**2 - 1.3 * r[STEP] ** 2)) / mean
        if -60.0 <= ew[ONSET_MINUTE] - r[DUSK] <= 75.0 and rough < 0.08:
            lighting = -3.0
    standby = -1.5 * er[UNKNOWN] / n
    tenant = -1.5 if ew[CARRIED] == 1 and quarters < 16.0 else 0.0
    vehicles, complaints = visits(r, w, ew[START] * c.slot_min, (slot + 1) * c.slot_min)
    return level, duration, time, standby, lighting, tenant, vehicles, complaints


@jit
def total_of(parts):
    """Return the sum of the entries."""
    total = 0.0
    for part in parts:
        total += part
    return total


@jit
def harmless(r, er, ew, parts):
    """Return whether an episode looks like lights or like somebody's working day."""
    share = er[EXCESS] / ew[SLOTS] / r[PRODUCTION]
    by_day = not ew[REST] and 360 <= ew[ONSET_MINUTE] < 1080 and ew[NIGHT] == 0
    return parts[4] < 0.0 or parts[5] < 0.0 or (by_day and share < 0.2)


@jit
def open_episode(er, ew, slot, minute, rest, carried):
    """Begin an episode."""
    er[:] = 0.0
    er[QUIET] = np.inf
    ew[OPEN] = 1
    ew[START] = slot
    ew[SLOTS] = 0
    ew[LOW] = 0
    ew[NIGHT] = 0
    ew[ONSET_MINUTE] = minute
    ew[CARRIED] = carried
    ew[REST] = rest


@jit
def extend(er, ew, c, slot, x, allowed, theta, minute, rest, known):
    """Add a slot to the open episode."""
    ew[SLOTS] += 1
    ew[END] = slot + 1
    er[EXCESS] += x
    er[PEAK] = max(er[PEAK], x)
    er[UNKNOWN] += 0.0 if known else 1.0
    er[USUAL] += allowed
    er[HOUR_SCORE] += hour_score(minute, rest, c.daytime)
    if at_night(minute):
        ew[NIGHT] += 1
    if ew[SLOTS] > 2:
        er[JUMPS] += abs(x - er[LAST])
    er[LAST] = x
    er[QUIET] = min(er[QUIET], allowed + 0.95 * theta)


@jit
def judge(r, w, er, ew, c, slot, day, minute, permit, parts):
    """Let the open episode speak: it may open the case, or raise it."""
    found = total_of(parts)
    value = r[MEMORY] + found - c.prior
    if ew[SLOTS] < c.shortest:
        return
    r[EVIDENCE] = value
    if value < c.lowest:
        return
    if w[ONSET] == NO_SLOT:
        w[ONSET] = ew[START]
        w[NIGHTS] = 0
        w[LAST_NIGHT] = -1
        r[TOP] = -np.inf
    w[STIRRED] = slot
    night = day if minute >= 720 else day - 1
    if night != w[LAST_NIGHT]:
        w[LAST_NIGHT] = night
        w[NIGHTS] += 1
    if value > r[TOP]:
        r[TOP] = value
        n = ew[SLOTS]
        r[ACCOUNT] = r[MEMORY]
        for j in range(len(parts)):
            r[ACCOUNT + 1 + j] = parts[j]
        r[ACCOUNT + 9] = -c.prior
        w[ACCOUNT_START] = ew[START]
        r[ACCOUNT + 10] = n * c.slot_min / 60.0
        r[ACCOUNT + 11] = (er[EXCESS] + er[USUAL]) / n
        r[ACCOUNT + 12] = er[USUAL] / n
        r[ACCOUNT + 13] = ew[NIGHT] / n
        r[ACCOUNT + 14] = er[QUIET]
        r[ACCOUNT + 15] = max(0.0, permit)


@jit
def close_episode(base, base_days, r, w, er, ew, c, i):
    """End an episode: what it said goes into the memory; if harmless, into standby instead."""
    ew[OPEN] = 0
    if ew[SLOTS] < c.shortest:
        return
    parts = weigh(r, w, er, ew, c, ew[END] - 1)
    mild = harmless(r, er, ew, parts)
    if mild:
        absorb(base, base_days, w, er, ew, c, i)
    if not mild or c.daytime:
        found = total_of(parts)
        r[MEMORY] = max(0.0, r[MEMORY] + max(0.0, found) - c.prior)


@jit
def stirring(w, ew):
    """Return whether an episode has raised suspicion since it began."""
    return w[ONSET] != NO_SLOT and w[STIRRED] >= ew[START]


@jit
def end_case(r, w, c, slot):
    """End the case when the ledger holds nothing more, or all has been quiet for long."""
    if w[ONSET] == NO_SLOT or w[LIVE_WHOLE + OPEN] or w[LATE_WHOLE + OPEN]:
        return
    if r[MEMORY] < 0.1 or slot - w[STIRRED] > c.quiet_slots:
        w[ONSET] = NO_SLOT
        r[TOP] = -np.inf
        r[MEMORY] = min(r[MEMORY], 1.0)


# -- one slot ----------------------------------------------------------------------------------


@jit
def observe(base, base_days, r, w, er, ew, loads, excesses, c, i, slot, kw, s, k, day):
    """Weigh one slot against standby and follow the episode; return whether it may be learned."""
    minute = s * c.slot_min
    total, tested, quiet = granted(r, w, c, slot * c.slot_min)
    usual = explained(base, base_days, r, w, c, i, s, k)
    known = base_days[k, s, i] > 0
    width = min(RING, c.hour)
    mean, count = kw, 1
    for j in range(width - 1):
        if not math.isnan(loads[j]):
            mean += loads[j]
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
    theta = max(0.02 * r[PRODUCTION], 5.0 * r[NOISE], 0.3 * allowed)
    stronger = False
    if ew[OPEN] and quiet:
        close_episode(base, base_days, r, w, er, ew, c, i)
    elif ew[OPEN]:
        so_far = er[EXCESS] / ew[SLOTS]
        if x > 2.0 * max(so_far, theta) and ew[SLOTS] > width and not stirring(w, ew):
            stronger = True  # begins within a weak, unconvincing episode
            close_episode(base, base_days, r, w, er, ew, c, i)
        elif x > max(0.25 * so_far, 0.5 * theta):
            ew[LOW] = 0
            extend(er, ew, c, slot, x, allowed, theta, minute, k == 1, known)
        else:
            ew[LOW] += 1
        if ew[OPEN] and (ew[LOW] >= 2 or slot - ew[START] >= c.longest):
            close_episode(base, base_days, r, w, er, ew, c, i)
    warm = w[TRUSTED] > 0 or w[AGE] >= c.slots
    if not ew[OPEN] and not quiet and x > theta and warm:
        sharp, rose = False, False
        for j in range(width):
            sharp = sharp or excesses[j] < (0.5 if stronger else 0.35) * x
            rose = rose or loads[j] < kw - 0.4 * x
        if sharp:
            open_episode(er, ew, slot, minute, k, 0 if rose else 1)
            extend(er, ew, c, slot, x, allowed, theta, minute, k == 1, known)
    for j in range(RING - 1, 0, -1):
        loads[j] = loads[j - 1]
        excesses[j] = excesses[j - 1]
    loads[0] = kw
    excesses[0] = 0.0 if quiet else x
    r[EVIDENCE] = r[MEMORY] - c.prior
    if ew[OPEN]:
        parts = weigh(r, w, er, ew, c, slot)
        judge(r, w, er, ew, c, slot, day, minute, total, parts)
        return False
    return not quiet


@jit
def advance(base, base_days, levels, seen, r, w, c, i, slot, kw, s, day, rest):
    """Move one plant one slot on; return whether it has a score."""
    w[NOW] = slot
    w[OFFSET] = (s * c.slot_min - slot * c.slot_min % 1440 + 720) % 1440 - 720
    if day != w[DAY]:
        new_day(levels, r, w, c, day, rest)
    if slot < w[CLOSED]:
        if not math.isnan(kw):
            learn_history(base, base_days, levels, i, kw, s, rest)
        return False
    if w[SETTLED] == 0:
        settle(base, base_days, levels, r, w, c, i)
    r[MEMORY] *= c.keep
    er, ew = r[LIVE_REAL:LATE_REAL], w[LIVE_WHOLE:LATE_WHOLE]
    late_r, late_w = r[LATE_REAL:REAL], w[LATE_WHOLE:WHOLE]
    if late_w[OPEN] and slot > w[AMENDED] + c.hour:
        close_episode(base, base_days, r, w, late_r, late_w, c, i)
    bit = slot % c.back
    if math.isnan(kw):
        seen[bit >> 3] &= 255 - (1 << (bit & 7))
        if w[GAP] == 0:
            w[HOLE] = slot
            r[HOLE_LOADS:LATE_LOADS] = r[LOADS:HOLE_LOADS]
        w[GAP] += 1
    else:
        seen[bit >> 3] |= 1 << (bit & 7)
        if ew[OPEN] and w[GAP] > c.patience:
            close_episode(base, base_days, r, w, er, ew, c, i)
        w[GAP] = 0
        loads, excesses = r[LOADS:EXCESSES], r[EXCESSES:HOLE_LOADS]
        learnt = observe(
            base, base_days, r, w, er, ew, loads, excesses, c, i, slot, kw, s, rest, day
        )
        if learnt:
            count_level(levels, kw)
            learn(base, base_days, r, w, c, i, kw, s, rest)
        w[AGE] += 1
    end_case(r, w, c, slot)
    return w[TRUSTED] > 0 or w[AGE] > c.slots


# -- what the class calls ----------------------------------------------------------------------


@jit
def run(
    base, base_days, levels, seen, real, whole, c, zone, first, loads,
    local_slot, local_day, rest_day, evidence, reached, onset,
):  # fmt: skip
    """Advance all plants over all slots of a frame (loads in kW, shape (T, N)).

    `reached` receives the highest evidence of the case, in nats: −inf without one. Rows that are
    not ready are left as they came.
    """
    for t in range(loads.shape[0]):
        for i in range(loads.shape[1]):
            z = zone[i]
            rest = 1 if rest_day[t, z] else 0
            r, w = real[i], whole[i]
            if advance(
                base, base_days, levels[i], seen[i], r, w, c, i, first + t, float(loads[t, i]),
                local_slot[t, z], local_day[t, z], rest,
            ):  # fmt: skip
                evidence[t, i] = r[EVIDENCE]
                reached[t, i] = r[TOP]
                onset[t, i] = w[ONSET]


@jit
def back_fill(base, base_days, seen, real, whole, c, slot, rows, loads):
    """Score back-filled slots of an earlier hole; corrections of known slots are left alone.

    Nothing is learned from them: standby has moved on since.
    """
    bit = slot % c.back
    for m in range(len(rows)):
        i = rows[m]
        kw = float(loads[m])
        r, w = real[i], whole[i]
        er, ew = r[LATE_REAL:REAL], w[LATE_WHOLE:WHOLE]
        known = (seen[i, bit >> 3] >> (bit & 7)) & 1
        reach = w[CLOSED] <= slot <= w[NOW] and w[NOW] - slot < c.back
        if math.isnan(kw) or known or not reach or w[SETTLED] == 0:
            continue
        seen[i, bit >> 3] |= 1 << (bit & 7)
        if slot != w[LATE_NEXT]:
            if ew[OPEN]:
                close_episode(base, base_days, r, w, er, ew, c, i)
            if slot == w[HOLE]:
                r[LATE_LOADS:WINDOW_KW] = r[HOLE_LOADS:LATE_LOADS]
            else:
                r[LATE_LOADS:WINDOW_KW] = np.nan
        local = slot * c.slot_min + w[OFFSET]
        day = local // 1440
        k = (w[RESTS] >> max(0, min(7, w[DAY] - day))) & 1
        w[AMENDED] = w[NOW]
        w[LATE_NEXT] = slot + 1
        loads_before, before = r[LATE_LOADS:LATE_EXCESSES], r[LATE_EXCESSES:WINDOW_KW]
        observe(
            base, base_days, r, w, er, ew, loads_before, before, c, i, slot, kw,
            local % 1440 // c.slot_min, k, day,
        )  # fmt: skip


@jit
def tell_window(real, whole, rows, kind, start, end, kw):
    """Keep permits, tests and outages; the one that ended first makes room."""
    for m in range(len(rows)):
        r, w = real[rows[m]], whole[rows[m]]
        worst, known = 0, False
        for j in range(WINDOWS):
            same = w[WINDOW_START + j] == start[m] and w[WINDOW_END + j] == end[m]
            if same and w[WINDOW_KIND + j] == kind and r[WINDOW_KW + j] == kw[m]:
                known = True
            if w[WINDOW_END + j] < w[WINDOW_END + worst]:
                worst = j
        if not known:
            w[WINDOW_KIND + worst] = kind
            w[WINDOW_START + worst] = start[m]
            w[WINDOW_END + worst] = end[m]
            r[WINDOW_KW + worst] = kw[m]


@jit
def tell_visitor(real, whole, rows, minute, kind, chance, most):
    """Keep vehicles and complaints that say something, weighed by how usual they are here.

    A visit is worth ln(`chance` / λ), clipped to 0 … `most`, with λ the visits of its kind that
    this plant has within reach (vehicles 2.5 h, complaints 24 h) in that part of the day.
    """
    for m in range(len(rows)):
        r, w = real[rows[m]], whole[rows[m]]
        v = kind[m]
        if not 1 <= v <= VISITOR_KINDS:
            continue
        part = (minute[m] + w[OFFSET]) % 1440 // (1440 // PARTS)
        rate = VISITOR_RATE + (v - 1) * PARTS + part
        reach = 24.0 / 6.0 if v == COMPLAINT else 2.5 / 6.0
        usual = (r[rate] + 0.25) / (r[WATCHED] + 20.0) * reach
        score = min(most[v - 1], max(0.0, math.log(chance[v - 1] / usual)))
        r[rate] += 1.0
        if score < 0.05:
            continue
        worst = 0
        for j in range(VISITORS):
            if w[VISITOR_MINUTE + j] < w[VISITOR_MINUTE + worst]:
                worst = j
        w[VISITOR_MINUTE + worst] = minute[m]
        w[VISITOR_KIND + worst] = v
        r[VISITOR_SCORE + worst] = score
