"""Kernels of `inactivity`; the naive twin is ``bench/quality/reference.py``.

A home's memory is its own record: 80 days of hours in two bits each, known and active. All that
is learned of a home is read from it when a silence is planned, so an amendment is exact: change
the bits, and plan again.

All compiled functions stand in this one file: numba's cache watches the file of the function that
is called, not those of its callees. For the same reason the shipped numbers come as arguments
(:class:`Model`) and are not compiled in.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

WORDS = 30
RING_H = 64 * WORDS
"""Hours of the record."""
DAYS = 73
"""Days that a plan looks back; a week less than the record, so that amendments can plan again."""
SHORT_GAP_H = 2
"""Missing hours in a row that count as silent (with the next silent one); more pause a silence."""
FIRST_H = 2
"""A silence is planned when it reaches this many hours; no moment lies earlier."""
LONGEST_H = 72
NEVER = 255
"""Moment of a price at which no alert of this silence pays."""
NIGHT_FROM, NIGHT_TO = 1, 5
"""Local hours of the night in which standby is learned."""
LOST_H = 168
"""After so many missing hours in a row a home is no longer scored."""
HOLD_H, BACK_H = 12, 3
"""A declared absence holds after so many silent hours; so many active ones after that end it."""
CODES = 30.0
"""Survival is kept as −ln S in steps of 1/30."""
SCALES = (1000.0, 10.0, 1.0)
"""Nights are kept in Wh, decilitres of water and litres of gas; frames have kWh and litres."""
LOG10_E = 0.4342944819032518
SILENT, ACTIVE, MISSING = 0, 1, 2
ANY, ELECTRICITY_ALONE = 0, 1
KINDS = 2
"""Homes whose water or gas is heard, and those that only electricity speaks for."""

VARYING, CONSTANT = 8, 7
"""Features that change with the duration, and those that are constant over a silence."""

jit = njit(cache=True, nogil=True, error_model="numpy")


class Rows(NamedTuple):
    """State arrays, first axis the row; slots are hours since 1970.

    What is kept by channel is kept of the channels that are fed alone, in their order.
    """

    fed: NDArray[np.int64]
    """Channels that any row has a meter for, ascending, shape (F,)."""
    seen: NDArray[np.int32]
    day: NDArray[np.int32]
    hour: NDArray[np.uint8]
    hours: NDArray[np.uint16]
    known: NDArray[np.uint64]
    active: NDArray[np.uint64]
    rest: NDArray[np.uint64]
    onset: NDArray[np.int32]
    silent: NDArray[np.uint16]
    gap: NDArray[np.uint8]
    moments: NDArray[np.uint8]
    survival: NDArray[np.uint8]
    nights: NDArray[np.uint16]
    quiet: NDArray[np.uint16]
    tonight: NDArray[np.float32]
    threshold: NDArray[np.float32]
    heard: NDArray[np.uint8]
    last_channel: NDArray[np.int8]
    last_amount: NDArray[np.float32]
    away: NDArray[np.int32]
    away_run: NDArray[np.uint8]
    away_back: NDArray[np.uint8]
    returned: NDArray[np.uint8]
    outage: NDArray[np.int32]


class Model(NamedTuple):
    """Shipped numbers (detectors/inactivity_model.py), float64 unless said."""

    grid: NDArray[np.int64]
    """Durations in hours, shape (K,)."""
    step_of: NDArray[np.int64]
    """Index of the last duration ≤ d, shape (LONGEST_H + 1,)."""
    log_d: NDArray[np.float64]
    """ln d of each duration but the last; of 0 it is ln ½."""
    near: NDArray[np.float64]
    """Weight of silences begun two hours before … two after the same clock, by the set of these
    five hours as bits, shape (32,)."""
    recency: NDArray[np.float64]
    """Weight of a day by its age in days, shape (DAYS + 1,)."""
    clock: NDArray[np.float64]
    """Pooled clock model: logit by local hour, and its slope on ln d; shape (2, 24)."""
    clock_step: NDArray[np.float64]
    """Its offset by duration, shape (K − 1,)."""
    weights: NDArray[np.float64]
    """Weights of the features, and of their products with ln d; shape (2, VARYING + CONSTANT)."""
    hour: NDArray[np.float64]
    """Offset by local hour, on work days and on rest days; shape (2, 24)."""
    step: NDArray[np.float64]
    """Offset by duration, shape (K − 1,)."""
    floor: NDArray[np.float64]
    """Least threshold of each channel."""
    price: NDArray[np.float64]
    """λ, shape (LEVELS,)."""
    delay: NDArray[np.int64]
    """Delays in hours after which waiting costs more, shape (KINDS, LEVELS, 4)."""
    delay_cost: NDArray[np.float64]
    """How much more, same shape."""
    cost: NDArray[np.float64]
    """Cost of an hour of delay, and of never; shape (2,)."""
    waking: NDArray[np.float64]
    """Weight of a collapse at each local hour, shape (24,)."""


# -- the record --------------------------------------------------------------------------------


@jit
def bit(words: Any, n: int, h: int) -> bool:
    """Return one hour's bit of a row."""
    at = h % RING_H
    return (words[n, at >> 6] >> np.uint64(at & 63)) & np.uint64(1) != np.uint64(0)


@jit
def put(words: Any, n: int, h: int, on: bool) -> None:
    """Set one hour's bit of a row."""
    at = h % RING_H
    mask = np.uint64(1) << np.uint64(at & 63)
    if on:
        words[n, at >> 6] |= mask
    else:
        words[n, at >> 6] &= ~mask


@jit
def write(known: Any, active: Any, n: int, h: int, kind: int) -> None:
    """Enter an hour into the record of a row."""
    put(known, n, h, kind != MISSING)
    put(active, n, h, kind == ACTIVE)


@jit
def window(words: Any, n: int, h: int) -> Any:
    """Return 64 hours of a row from `h` on as bits, the first the lowest."""
    at = h % RING_H
    word = at >> 6
    shift = np.uint64(at & 63)
    # Two shifts, since one by 64 bits is undefined.
    following = words[n, word + 1 if word + 1 < WORDS else 0]
    after = (following << np.uint64(1)) << (np.uint64(63) - shift)
    return (words[n, word] >> shift) | after


@jit
def ones(bits: Any) -> Any:
    """Return the number of set bits."""
    b = bits
    b = b - ((b >> np.uint64(1)) & np.uint64(0x5555555555555555))
    b = (b & np.uint64(0x3333333333333333)) + ((b >> np.uint64(2)) & np.uint64(0x3333333333333333))
    b = (b + (b >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((b * np.uint64(0x0101010101010101)) >> np.uint64(56))


@jit
def lowest(bits: Any) -> Any:
    """Return the position of the lowest set bit of a word that is not 0."""
    return ones((bits & (~bits + np.uint64(1))) - np.uint64(1))


@jit
def count(words: Any, n: int, start: int, hours: int) -> int:
    """Return how many of `hours` bits from `start` on are set."""
    total = 0
    h = start
    while h < start + hours:
        bits = window(words, n, h)
        left = start + hours - h
        if left < 64:
            bits &= (np.uint64(1) << np.uint64(left)) - np.uint64(1)
        total += ones(bits)
        h += 64
    return total


@jit
def silence_from(known: Any, active: Any, n: int, h: int, until: int) -> Any:
    """Return the silent hours from `h` to the next activity, which comes before `until`.

    Up to ``LONGEST_H``. Missing hours count as the present silence counts them.
    """
    end = h
    while end < until and end - h <= LONGEST_H:
        bits = window(active, n, end)
        if bits != np.uint64(0):
            end += lowest(bits)
            break
        end += 64
    length = min(end, until) - h
    if length > 0 and count(known, n, h, length) < length:
        length = silent_between(known, n, h, h + length, True)
    return min(length, LONGEST_H)


@jit
def silent_between(known: Any, n: int, start: int, end: int, closed: bool) -> int:
    """Count silent hours, with short gaps; a gap at the end counts if activity ends it."""
    silent = 0
    gap = 0
    for h in range(start, end):
        if bit(known, n, h):
            silent += 1 + (gap if gap <= SHORT_GAP_H else 0)
            gap = 0
        else:
            gap += 1
    if closed and gap <= SHORT_GAP_H:
        silent += gap
    return silent


@jit
def beyond(o: int, seen: int) -> bool:
    """Return whether a silence is so old that not all a plan looks at is still in the record."""
    return o - 24 * DAYS - 3 <= seen - RING_H


@jit
def begin(known: Any, n: int, o: int, end: int) -> int:
    """Return where a silence counts from: anew, where readings failed for a week before its plan."""
    silent, gap = 0, 0
    for h in range(o, end):
        if not bit(known, n, h):
            gap += 1
            continue
        if beyond(o, h + 1):
            o, silent, gap = h, 0, 0
        silent += 1 + (gap if gap <= SHORT_GAP_H else 0)
        gap = 0
        if silent >= FIRST_H:
            break
    return o


# -- the plan of a silence ---------------------------------------------------------------------


@jit
def _is_rest(s: Rows, n: int, day: int, today: int) -> bool:
    """Whether a local day is one of rest; the future is known by its week-day alone."""
    if day > today:
        return (day + 3) % 7 >= 5
    return (s.rest[n, (day >> 6) & 1] >> np.uint64(day & 63)) & np.uint64(1) != np.uint64(0)


@jit
def _logit(ended: float, at_risk: float, prior: float, weight: float) -> float:
    """Logit of a hazard that leans on a prior by `weight` pseudo-counts, kept off 0 and 1."""
    p = 0.001 + 0.998 * (ended + weight * prior) / (at_risk + weight)
    return np.log(p / (1.0 - p))


@jit
def features(s: Rows, n: int, m: Model, o: int, hour: int, day: int, x: Any, y: Any) -> None:
    """Say what the record tells of a silence begun at hour `o`, from the hours before it.

    `hour` and `day` are the local hour and day of `o`; `x`, shape (K − 1, VARYING), and `y`,
    shape (CONSTANT,), are filled.
    """
    steps = len(m.grid)
    # Weighted past silences by their duration (index on the grid), then suffix sums: at risk.
    like = np.zeros(steps + 1)  # begun within two hours of the same clock
    same = np.zeros(steps + 1)  # from the same clock to the first activity, whatever was before
    week = np.zeros(steps + 1)  # the same of the last seven days
    weekday = np.zeros(steps + 1)  # the same of the same day of the week, eight weeks
    known, active = s.known, s.active
    # A silence of the evening ends in the morning: its day is the one eight hours later.
    morning = day + (1 if hour >= 16 else 0)
    rest = _is_rest(s, n, morning, day)
    none, one, five = np.uint64(0), np.uint64(1), np.uint64(31)
    for j in range(1, DAYS + 1):
        base = o - 24 * j
        signs = window(active, n, base - 3)
        silent = window(known, n, base - 3)
        if silent == none:
            continue
        silent &= ~signs
        weight = m.recency[j]
        if _is_rest(s, n, morning - j, day) != rest:
            weight *= 0.5
        beyond = o - 1 - (base - 3)
        still_active = signs & (signs >> one)
        like[0] += weight * m.near[still_active & five]
        begins = (signs ^ still_active) & five
        while begins != none:
            p = lowest(begins)
            begins &= begins - one
            if p < beyond:
                d = _silence(signs, silent, p + 1, beyond)
                if d < 0:
                    d = silence_from(known, active, n, base - 2 + p, o - 1)
                like[m.step_of[d]] += weight * m.near[1 << p]
        if ((signs | silent) >> np.uint64(3)) & one != none:
            d = _silence(signs, silent, 3, beyond)
            if d < 0:
                d = silence_from(known, active, n, base, o - 1)
            k = m.step_of[d]
            same[k] += weight
            if j <= 7:
                week[k] += 1.0
            if j % 7 == 0 and j <= 56:
                weekday[k] += 1.0
    for k in range(steps - 1, -1, -1):
        like[k] += like[k + 1]
        same[k] += same[k + 1]
        week[k] += week[k + 1]
        weekday[k] += weekday[k + 1]
    for k in range(steps - 1):
        clock = (hour + m.grid[k + 1] - 1) % 24
        prior = m.clock[0, clock] + m.clock[1, clock] * m.log_d[k] + m.clock_step[k]
        q = 1.0 / (1.0 + np.exp(-prior))
        x[k, 0] = prior
        x[k, 1] = _logit(like[k] - like[k + 1], like[k], q, 3.0)
        x[k, 2] = _logit(same[k] - same[k + 1], same[k], q, 3.0)
        x[k, 3] = _logit(week[k] - week[k + 1], week[k], q, 1.0)
        x[k, 4] = _logit(weekday[k] - weekday[k + 1], weekday[k], q, 1.0)
        x[k, 6] = like[k] / (like[k] + 10.0)
        x[k, 5] = (x[k, 1] - prior) * x[k, 6]
        x[k, 7] = same[k] / (same[k] + 10.0)
    at_24 = m.step_of[24]
    y[0] = np.log((count(active, n, o - 672, 672) + 1.0) / (count(known, n, o - 672, 672) + 3.0))
    y[1] = np.log((like[at_24] + 0.5) / (like[0] + 1.0))
    y[2] = np.log((same[at_24] + 0.5) / (same[0] + 1.0))
    for i, span in enumerate((6, 24, 72, 168)):
        ago = o - span
        y[3 + i] = (
            np.log((count(active, n, ago, span) + 0.3) / (count(known, n, ago, span) + 1.0)) - y[0]
        )


@jit
def _silence(signs: Any, silent: Any, p: int, beyond: int) -> Any:
    """Return the silent hours from position p of two words on; −1 if they do not tell."""
    ahead = signs >> np.uint64(p)
    if ahead == np.uint64(0):
        return -1
    d = min(lowest(ahead), beyond - p)
    mask = (np.uint64(1) << np.uint64(d)) - np.uint64(1)
    return d if (silent >> np.uint64(p)) & mask == mask else -1


@jit
def survive(m: Model, hour: int, day: int, x: Any, y: Any, alive: Any) -> None:
    """Fill `alive`, shape (K,): the chance that the silence lasts so long while all is well."""
    flat, slope = 0.0, 0.0
    for i in range(CONSTANT):
        flat += y[i] * m.weights[0, VARYING + i]
        slope += y[i] * m.weights[1, VARYING + i]
    alive[0] = 1.0
    for k in range(len(m.grid) - 1):
        ahead = hour + m.grid[k + 1] - 1
        rest = 1 if (day + ahead // 24 + 3) % 7 >= 5 else 0
        z = flat + slope * m.log_d[k] + m.step[k] + m.hour[rest, ahead % 24]
        for i in range(VARYING):
            z += x[k, i] * (m.weights[0, i] + m.log_d[k] * m.weights[1, i])
        alive[k + 1] = alive[k] / (1.0 + np.exp(z))


@jit
def choose(m: Model, kind: int, hour: int, alive: Any, share: float, moments: Any) -> None:
    """Fill `moments`, shape (LEVELS,): the best hour to act at each price.

    A silence that lasts e hours while all is well is that of a person who would have been active
    at its end. Had they fallen then, an alert at d would come d − e hours later. So the moment
    minimises ``Σ_{e<d} f(e)·w(e)·c(d − e) + λ·A·S(d)`` over d and "never": f is the density of
    natural ends, w the weight of the hour, c the cost of delay, A the active hours a year / 1000.
    """
    ends = np.zeros(LONGEST_H + 1)  # Σ f·w before e
    hours = np.zeros(LONGEST_H + 1)  # Σ e·f·w before e
    e = 0
    for k in range(len(m.grid) - 1):
        width = m.grid[k + 1] - m.grid[k]
        # Between the durations of the grid the silence ends at a constant rate.
        ratio = alive[k + 1] / alive[k]
        if width > 1:
            ratio = ratio ** (1.0 / width)
        left = alive[k]
        for _ in range(width):
            f = left * (1.0 - ratio) * m.waking[(hour + e) % 24]
            left *= ratio
            ends[e + 1] = ends[e] + f
            hours[e + 1] = hours[e] + e * f
            e += 1
    per_hour, never = m.cost
    first = m.step_of[FIRST_H]
    for i in range(len(m.price)):
        price = m.price[i] * share
        d0, d1, d2, d3 = m.delay[kind, i]
        c0, c1, c2, c3 = m.delay_cost[kind, i]
        best = (per_hour * LONGEST_H + c0 + c1 + c2 + c3 + never) * ends[LONGEST_H]
        found = -1
        for k in range(first, len(m.grid)):
            d = m.grid[k]
            cost = per_hour * (d * ends[d] - hours[d]) + price * alive[k]
            cost += c0 * ends[max(d - d0, 0)] + c1 * ends[max(d - d1, 0)]
            cost += c2 * ends[max(d - d2, 0)] + c3 * ends[max(d - d3, 0)]
            if cost < best:
                best = cost
                found = k
        if found < 0:
            moments[i:] = NEVER
            return
        moments[i] = m.grid[found]
        first = found  # A dearer alert never comes earlier.


@jit
def plan(s: Rows, n: int, m: Model) -> None:
    """Plan the present silence of a row: its survival, and its moment at each price."""
    o = s.onset[n]
    if beyond(o, s.seen[n]):
        return  # So old that its past has left the record; what was planned stands.
    local = s.day[n] * 24 + s.hour[n] - (s.seen[n] - o)
    hour, day = local % 24, local // 24
    x = np.empty((len(m.grid) - 1, VARYING))
    y = np.empty(CONSTANT)
    alive = np.empty(len(m.grid))
    features(s, n, m, o, hour, day, x, y)
    survive(m, hour, day, x, y, alive)
    share = (count(s.active, n, o - 672, 672) + 5.0) / (count(s.known, n, o - 672, 672) + 20.0)
    kind = ELECTRICITY_ALONE if s.heard[n] == 1 else ANY
    choose(m, kind, hour, alive, 8.76 * share, s.moments[n])
    for k in range(len(m.grid)):
        s.survival[n, k] = np.uint8(min(255.0, np.rint(-CODES * np.log(max(alive[k], 1e-9)))))


@jit
def log_survival(survival: Any, n: int, silent: int, m: Model) -> float:
    """Return ln S at the present duration."""
    if silent < FIRST_H:
        return 0.0
    d = min(silent, LONGEST_H)
    k = m.step_of[d]
    code = float(survival[n, k])
    if m.grid[k] < d:
        part = (d - m.grid[k]) / (m.grid[k + 1] - m.grid[k])
        code += part * (float(survival[n, k + 1]) - code)
    return -code / CODES


# -- standby and absence -----------------------------------------------------------------------


@jit
def watch_night(s: Rows, n: int, values: Any) -> None:
    """Keep the highest slot of the night (electricity), or the lowest hour (water and gas)."""
    for k in range(len(s.fed)):
        c = s.fed[k]
        value, t = values[c, n], s.tonight[n, k]
        if not np.isnan(value) and (np.isnan(t) or (value > t if c == 0 else value < t)):
            s.tonight[n, k] = value


@jit
def learn_standby(s: Rows, n: int, floor: Any) -> None:
    """Learn what a home uses without anybody, from its nights, and set its thresholds.

    Electricity: 1.15 × the highest slot of the night, of the quietest quarter of 42 nights, plus
    the floor (fridge cycles; RESEARCH.md 2, step 7). Water and gas: the lowest hour of the night,
    median of 7 (a leak, a pilot light), for a single use is no standby. Until electricity has seen
    a night it has no threshold and says nothing.
    """
    quiet = 0
    for k in range(len(s.fed)):
        c = s.fed[k]
        nights = s.nights[n] if c == 0 else s.quiet[n, quiet]
        quiet += c > 0
        scale = SCALES[c]
        if not np.isnan(s.tonight[n, k]):
            # 0 is "no night".
            kept = min(65_000.0, np.rint(max(s.tonight[n, k], 0.0) * scale)) + 1.0
            nights[s.day[n] % len(nights)] = np.uint16(kept)
            s.tonight[n, k] = np.nan
        ordered = np.sort(nights)
        empty = np.searchsorted(ordered, np.uint16(1))
        rank = empty + (len(nights) - empty) // (4 if c == 0 else 2)
        standby = (float(ordered[rank]) - 1.0) / scale if empty < len(nights) else np.nan
        if c > 0 and np.isnan(standby):
            standby = 0.0
        s.threshold[n, k] = (1.15 if c == 0 else 1.3) * standby + floor[c]


@jit
def sign_of_life(s: Rows, floor: Any, n: int, values: Any, column: int) -> int:
    """Return the first active channel; −1 if all that are known are silent, −2 if none is."""
    found = -2
    for k in range(len(s.fed)):
        c = s.fed[k]
        value = values[c, column]
        limit = s.threshold[n, k]
        if c > 0 and np.isnan(limit):
            limit = floor[c]
        if value > limit:
            return c
        if value <= limit:
            found = -1
    return found


@jit
def covering(spans: Any, n: int, h: int) -> int:
    """Return which of a row's declared spans covers an hour, or −1."""
    for i in range(spans.shape[1]):
        if spans[n, i, 0] <= h < spans[n, i, 1]:
            return i
    return -1


@jit
def _watch_absence(s: Rows, n: int, i: int, kind: int) -> None:
    """End a declared absence early when somebody is clearly back."""
    if kind == SILENT:
        s.away_run[n] = min(s.away_run[n] + 1, 255)
        if s.away_run[n] >= 24:
            s.away_back[n] = 0
    elif kind == ACTIVE:
        if s.away_run[n] >= HOLD_H or s.away_back[n] > 0:
            s.away_back[n] += 1
        s.away_run[n] = 0
        if s.away_back[n] >= BACK_H:
            s.away[n, i, 1] = s.seen[n]
            s.away_back[n] = 0
            s.returned[n] = 1


# -- hour by hour ------------------------------------------------------------------------------


@jit
def step(
    s: Rows,
    m: Model,
    slot: int,
    values: NDArray[np.float32],
    zone: NDArray[np.uint8],
    local_hour: NDArray[np.int32],
    local_day: NDArray[np.int32],
    rest_day: NDArray[np.bool_],
    ready_h: int,
    evidence: NDArray[np.float32],
    p_value: NDArray[np.float32],
    urgency: NDArray[np.int8],
    onset: NDArray[np.int64],
) -> None:
    """Score one hour of all rows, and take it into their records; values are (C, N)."""
    seen, day, hour, hours = s.seen, s.day, s.hour, s.hours
    known, active, rest, fed = s.known, s.active, s.rest, s.fed
    begun, silent, gap, moments, survival = s.onset, s.silent, s.gap, s.moments, s.survival
    away, outage, floor = s.away, s.outage, m.floor
    heard, last_channel, last_amount = s.heard, s.last_channel, s.last_amount
    for n in range(len(zone)):
        z = zone[n]
        today, now = local_day[z], local_hour[z]
        if seen[n] >= 0 and slot > seen[n] + 1:
            for h in range(max(seen[n] + 1, slot - RING_H), slot):
                write(known, active, n, h, MISSING)
                gap[n] = min(gap[n] + 1, 255)
        seen[n], hour[n] = slot, now
        if day[n] != today:
            day[n] = today
            mask = np.uint64(1) << np.uint64(today & 63)
            rest[n, (today >> 6) & 1] &= ~mask
            if rest_day[z]:
                rest[n, (today >> 6) & 1] |= mask
        if NIGHT_FROM <= now < NIGHT_TO:
            watch_night(s, n, values)
        elif now == NIGHT_TO:
            learn_standby(s, n, floor)
        for c in fed:
            if not np.isnan(values[c, n]):
                heard[n] |= 1 << c
        channel = sign_of_life(s, floor, n, values, n)
        kind = ACTIVE if channel >= 0 else SILENT if channel == -1 else MISSING
        if kind == ACTIVE:
            last_channel[n], last_amount[n] = channel, values[channel, n]
        absence = covering(away, n, slot)
        if absence >= 0:
            _watch_absence(s, n, absence, kind)
        if kind == SILENT and (absence >= 0 or covering(outage, n, slot) >= 0):
            kind = MISSING  # It says nothing about the person, and nothing is learned from it.
        write(known, active, n, slot, kind)
        if kind != MISSING:
            hours[n] = min(hours[n] + 1, 60_000)
        if kind == ACTIVE or (absence >= 0 and begun[n] >= 0):
            begun[n], silent[n], gap[n] = slot + 1, 0, 0
        elif kind == MISSING:
            gap[n] = min(gap[n] + 1, 255)
        else:
            if begun[n] >= 0:
                if silent[n] < FIRST_H and beyond(begun[n], slot + 1):
                    # Nobody knows what the week before was like, and nothing was planned for it.
                    begun[n], silent[n], gap[n] = slot, 0, 0
                before = silent[n]
                silent[n] = min(before + 1 + (gap[n] if gap[n] <= SHORT_GAP_H else 0), 60_000)
                if before < FIRST_H <= silent[n]:
                    plan(s, n, m)
            gap[n] = 0
        if hours[n] >= ready_h and gap[n] < LOST_H:
            urgency[n], evidence[n], p_value[n] = 0, 0.0, 1.0
            if silent[n] > 0:
                onset[n] = begun[n]
            if silent[n] >= FIRST_H:
                urgency[n] = urgency_of(moments, n, silent[n])
                log_s = log_survival(survival, n, silent[n], m)
                evidence[n] = -log_s * LOG10_E
                p_value[n] = np.exp(log_s)


@jit
def urgency_of(moments: Any, n: int, silent: int) -> int:
    """Return at how many prices the moment has come."""
    level = 0
    while level < moments.shape[1] and moments[n, level] <= min(silent, LONGEST_H):
        level += 1
    return level


@jit
def current(
    s: Rows,
    m: Model,
    rows: NDArray[np.int64],
    ready_h: int,
    evidence: NDArray[np.float32],
    p_value: NDArray[np.float32],
    urgency: NDArray[np.int8],
    onset: NDArray[np.int64],
) -> None:
    """Report some rows as of their newest hour."""
    for i in range(len(rows)):
        n = rows[i]
        if s.hours[n] < ready_h or s.gap[n] >= LOST_H:
            continue
        log_s = log_survival(s.survival, n, s.silent[n], m)
        urgency[i] = urgency_of(s.moments, n, s.silent[n]) if s.silent[n] >= FIRST_H else 0
        onset[i] = s.onset[n] if s.silent[n] > 0 else -1
        evidence[i] = -log_s * LOG10_E
        p_value[i] = np.exp(log_s)


# -- what becomes known later ------------------------------------------------------------------


@jit
def relocate(s: Rows, n: int, m: Model) -> None:
    """Find the present silence in the record again, after the record changed."""
    if s.onset[n] < 0 and count(s.active, n, s.seen[n] + 1, RING_H) == 0:
        return
    oldest = s.seen[n] - RING_H + 1
    o = s.seen[n] + 1
    while o > oldest and not bit(s.active, n, o - 1):
        o -= 1
    if o == oldest:
        o = s.onset[n]  # It began before the record does.
    for i in range(s.away.shape[1]):
        if s.away[n, i, 0] <= s.seen[n] and s.away[n, i, 1] > o:
            o = min(s.away[n, i, 1], s.seen[n] + 1)
    if o > oldest:
        o = begin(s.known, n, o, s.seen[n] + 1)
    if o != s.onset[n]:
        s.onset[n] = o
    if o > oldest:
        s.silent[n] = silent_between(s.known, n, o, s.seen[n] + 1, False)
        s.gap[n] = 0
        for h in range(s.seen[n], o - 1, -1):
            if bit(s.known, n, h) or s.gap[n] == 255:
                break
            s.gap[n] += 1
    if s.silent[n] >= FIRST_H:
        plan(s, n, m)


@jit
def amend(
    s: Rows,
    m: Model,
    slot: int,
    rows: NDArray[np.int64],
    values: NDArray[np.float32],
    reach_h: int,
) -> None:
    """Correct one hour of some rows; values are (C, M), NaN where there is nothing new."""
    for i in range(len(rows)):
        n = rows[i]
        if slot > s.seen[n] or slot < s.seen[n] - reach_h:
            continue
        channel = sign_of_life(s, m.floor, n, values, i)
        kind = ACTIVE if channel >= 0 else SILENT if channel == -1 else MISSING
        if len(s.fed) > 1 and kind != ACTIVE and (kind == MISSING or bit(s.active, n, slot)):
            # What the other meters said of this hour is one bit by now: it stands.
            untold = False
            for c in s.fed:
                untold |= np.isnan(values[c, i])
            if untold:
                continue
        if kind == ACTIVE and slot >= s.onset[n]:
            s.last_channel[n], s.last_amount[n] = channel, values[channel, i]
        if kind == SILENT and (covering(s.away, n, slot) >= 0 or covering(s.outage, n, slot) >= 0):
            kind = MISSING
        s.hours[n] += (kind != MISSING) - np.int64(bit(s.known, n, slot))
        write(s.known, s.active, n, slot, kind)
        relocate(s, n, m)


@jit
def pause(
    s: Rows,
    m: Model,
    rows: NDArray[np.int64],
    start: NDArray[np.int32],
    end: NDArray[np.int32],
    absence: bool,
) -> None:
    """Declare an absence or an outage: its silent hours say nothing about the person."""
    for i in range(len(rows)):
        n = rows[i]
        if absence:
            # The one that ends first makes room: two can be known, the present and the next.
            at = 0 if s.away[n, 0, 1] <= s.away[n, 1, 1] else 1
            for j in range(2):
                if s.away[n, j, 0] == start[i]:
                    at = j  # The same absence, told again with another end.
            if s.away[n, at, 0] == start[i] and s.away[n, at, 1] == end[i]:
                continue
            s.away[n, at, 0] = start[i]
            s.away[n, at, 1] = end[i]
            s.away_back[n] = 0
            s.away_run[n] = min(np.int64(s.silent[n]), np.int64(255))
        else:
            s.outage[n, 0, 0] = start[i]
            s.outage[n, 0, 1] = end[i]
        if s.seen[n] < 0 or start[i] > s.seen[n]:
            continue
        for h in range(max(start[i], s.seen[n] - RING_H + 1), min(end[i], s.seen[n] + 1)):
            if bit(s.known, n, h) and not bit(s.active, n, h):
                put(s.known, n, h, False)
        relocate(s, n, m)


@jit
def revoke(
    s: Rows,
    m: Model,
    rows: NDArray[np.int64],
    start: NDArray[np.int32],
    at: NDArray[np.int32],
) -> None:
    """End the absence that covers hour `at`, or withdraw the one to come that begins at `start`.

    What was silent until then was declared and stays unknown; the silence begins anew.
    """
    for i in range(len(rows)):
        n = rows[i]
        for j in range(s.away.shape[1]):
            begin, end = s.away[n, j, 0], s.away[n, j, 1]
            if begin <= at[i] < end or begin == start[i] > at[i]:
                s.away[n, j, 1] = max(at[i], begin)
                s.away_back[n] = 0
        if s.seen[n] >= 0:
            relocate(s, n, m)
