"""Kernels of `inactivity`: one pass over the rows of a slot."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.inactivity_model import CLOCK, CLOCK_LOG_D, GRID_H, PRICES

WORDS = 4
RING_H = 64 * WORDS
"""Hours kept in two bits each: known, and active."""
LAG_H = 168
"""Statistics lag by as much as amendments reach back, so that an amendment stays exact."""
SHORT_GAP_H = 2
"""Missing hours in a row that count as silent; more of them pause the silence."""
FIRST_H = 2
"""A silence is planned when it reaches this many hours; no moment lies earlier."""
NEVER = 255
STEPS = len(GRID_H)

_SILENT, _ACTIVE, _MISSING = 0, 1, 2


class Rows(NamedTuple):
    """State arrays, first axis the row."""

    seen: NDArray[np.int32]
    known: NDArray[np.uint64]
    active: NDArray[np.uint64]
    onset: NDArray[np.int32]
    silent: NDArray[np.uint16]
    gap: NDArray[np.uint8]
    peak: NDArray[np.int8]
    moments: NDArray[np.uint8]
    survival: NDArray[np.float32]
    learned: NDArray[np.int32]
    run_onset: NDArray[np.int32]
    run_silent: NDArray[np.uint16]
    run_gap: NDArray[np.uint8]
    table: NDArray[np.float32]
    hours: NDArray[np.uint16]
    nights: NDArray[np.float32]
    night: NDArray[np.float32]
    threshold: NDArray[np.float32]
    last_value: NDArray[np.float32]
    away_from: NDArray[np.int32]
    away_until: NDArray[np.int32]
    rest: NDArray[np.uint16]


@njit(cache=True, nogil=True)
def _bit(words: Any, slot: int) -> bool:
    at = slot & (RING_H - 1)
    return (words[at >> 6] >> np.uint64(at & 63)) & np.uint64(1) == np.uint64(1)


@njit(cache=True, nogil=True)
def _put(words: Any, slot: int, on: bool) -> None:
    at = slot & (RING_H - 1)
    mask = np.uint64(1) << np.uint64(at & 63)
    if on:
        words[at >> 6] |= mask
    else:
        words[at >> 6] &= ~mask


@njit(cache=True, nogil=True)
def _plan(s: Rows, n: int, hour: int, rest: int, k_half: float, k_full: float) -> None:
    """Survival of the silence that began at local `hour`, and its moment at each price."""
    # `hour` is the local hour of the onset
    surv = np.ones(STEPS)
    prior = np.ones(STEPS)
    alive = 1.0
    k = 1
    for d in range(GRID_H[STEPS - 1]):
        log_d = np.log(max(d, 1))
        z = CLOCK[(hour + d) % 24] + CLOCK_LOG_D[0] * log_d + CLOCK_LOG_D[1] * log_d * log_d
        if d >= FIRST_H:
            alive *= 1.0 / (1.0 + np.exp(z))
        if d + 1 == GRID_H[k]:
            prior[k] = alive
            k += 1
    for k in range(1, STEPS):
        if GRID_H[k] <= FIRST_H:
            continue
        num = 20.0 * prior[k]
        den = 20.0 * prior[k - 1]
        for w in range(2):
            weight = 1.0 if w == rest else 0.5
            num += weight * s.table[n, hour // 3, w, k]
            den += weight * s.table[n, hour // 3, w, k - 1]
        surv[k] = surv[k - 1] * min(1.0, num / max(den, 1e-9))
    for k in range(STEPS):
        s.survival[n, k] = surv[k]
    low = FIRST_H
    for i in range(len(PRICES)):
        best = 1e30
        moment = NEVER
        for k in range(FIRST_H, STEPS):
            d = GRID_H[k]
            cost = 0.02 * d + (d > k_half) + 2.0 * (d > k_full) + PRICES[i] * surv[k]
            if cost < best:
                best = cost
                moment = d
        if 0.02 * 72 + 5.0 < best:
            moment = NEVER
        low = max(low, moment)
        s.moments[n, i] = low


@njit(cache=True, nogil=True)
def _learn(s: Rows, n: int, until: int, slot: int, hour: int, decay: float) -> None:
    """Take the hours before `until` into the statistics."""
    for h in range(s.learned[n], until):
        if not _bit(s.known[n], h):
            s.run_gap[n] = min(s.run_gap[n] + 1, 255)
            continue
        if _bit(s.active[n], h):
            length = s.run_silent[n]
            if s.run_gap[n] <= SHORT_GAP_H:
                length += s.run_gap[n]
            if s.run_onset[n] >= 0:
                at = (hour - (slot - s.run_onset[n])) % 24
                day = (slot - s.run_onset[n] + 23 - hour) // 24
                w = (s.rest[n] >> min(day, 15)) & 1
                for k in range(STEPS):
                    s.table[n, at // 3, w, k] = s.table[n, at // 3, w, k] * decay + (
                        GRID_H[k] <= length
                    )
            s.run_onset[n] = h + 1
            s.run_silent[n] = 0
        elif s.run_onset[n] >= 0:
            add = 1 + (s.run_gap[n] if s.run_gap[n] <= SHORT_GAP_H else 0)
            s.run_silent[n] = min(s.run_silent[n] + add, 60000)
        s.run_gap[n] = 0
    s.learned[n] = until


@njit(cache=True, nogil=True)
def _count(s: Rows, n: int, slot: int) -> None:
    """Recount the present silence from the ring, up to and including `slot`."""
    start = max(s.onset[n], slot - RING_H + 1, s.away_until[n])
    gap = 0
    silent = 0
    for h in range(start, slot + 1):
        if not _bit(s.known[n], h):
            gap += 1
            continue
        silent += 1 + (gap if gap <= SHORT_GAP_H else 0)
        gap = 0
    s.silent[n] = silent
    s.gap[n] = min(gap, 255)


@njit(cache=True, nogil=True)
def _urgency(s: Rows, n: int) -> int:
    level = 0
    if s.silent[n] >= FIRST_H and s.gap[n] == 0:
        while level < len(PRICES) and s.moments[n, level] <= s.silent[n]:
            level += 1
    if level > s.peak[n]:
        s.peak[n] = level
    return s.peak[n]


@njit(cache=True, nogil=True)
def _state_of(s: Rows, n: int, values: Any) -> int:
    """Whether a sign of life was seen: silent, active or missing."""
    kind = _MISSING
    for c in range(len(values)):
        if np.isnan(values[c]):
            continue
        if values[c] > s.threshold[n, c]:
            return _ACTIVE
        kind = _SILENT
    return kind


@njit(cache=True, nogil=True)
def _evidence(s: Rows, n: int) -> float:
    d = s.silent[n]
    k = 0
    while k < STEPS - 1 and GRID_H[k + 1] <= d:
        k += 1
    return max(float(s.survival[n, k]), 1e-12)


@njit(cache=True, nogil=True)
def _night(s: Rows, n: int, hour: int, day: int, value: float) -> None:
    """Learn the standby of the electricity channel from the quietest nights."""
    if 1 <= hour < 5:
        if not np.isnan(value) and not value <= s.night[n]:
            s.night[n] = value
    elif hour == 5 and not np.isnan(s.night[n]):
        s.nights[n, day % s.nights.shape[1]] = s.night[n]
        s.night[n] = np.nan
        kept = s.nights[n][~np.isnan(s.nights[n])]
        kept.sort()
        s.threshold[n, 0] = 1.15 * kept[len(kept) // 4] + 0.01


@njit(cache=True, nogil=True)
def step(
    s: Rows,
    slot: int,
    values: NDArray[np.float32],
    zone: NDArray[np.uint8],
    local_hour: NDArray[np.int32],
    local_day: NDArray[np.int32],
    rest_day: NDArray[np.bool_],
    k_half: float,
    k_full: float,
    decay: float,
    ready_h: int,
    evidence: NDArray[np.float32],
    p_value: NDArray[np.float32],
    urgency: NDArray[np.int8],
    onset: NDArray[np.int64],
) -> None:
    """Score and learn one slot for all rows."""
    for n in range(len(zone)):
        z = zone[n]
        hour = local_hour[z]
        if hour == 0 or s.seen[n] < 0:
            s.rest[n] = (s.rest[n] << 1) | rest_day[z]
        if s.seen[n] < 0:
            s.learned[n] = slot
        s.seen[n] = slot
        _night(s, n, hour, local_day[z], values[0, n])
        kind = _state_of(s, n, values[:, n])
        for c in range(values.shape[0]):
            if values[c, n] > s.threshold[n, c]:
                s.last_value[n, c] = values[c, n]
        if slot - RING_H >= s.learned[n]:
            _learn(s, n, slot - RING_H + 1, slot, hour, decay)
        _put(s.known[n], slot, kind != _MISSING)
        _put(s.active[n], slot, kind == _ACTIVE)
        if kind != _MISSING:
            s.hours[n] = min(s.hours[n] + 1, 60000)
        if s.away_from[n] <= slot < s.away_until[n]:
            s.onset[n] = s.away_until[n]
            s.silent[n] = 0
            s.gap[n] = 0
            s.peak[n] = 0
            s.learned[n] = max(s.learned[n], slot + 1)
            s.run_onset[n] = -1
            onset[n] = -1
            urgency[n] = 0
            evidence[n] = 0.0
            p_value[n] = 1.0
            continue
        if kind == _ACTIVE:
            if slot - LAG_H - s.learned[n] >= 24:
                _learn(s, n, slot - LAG_H, slot, hour, decay)
            s.onset[n] = slot + 1
            s.silent[n] = 0
            s.gap[n] = 0
            s.peak[n] = 0
        elif kind == _MISSING:
            s.gap[n] = min(s.gap[n] + 1, 255)
        elif s.onset[n] >= 0:
            before = s.silent[n]
            s.silent[n] = min(before + 1 + (s.gap[n] if s.gap[n] <= SHORT_GAP_H else 0), 60000)
            s.gap[n] = 0
            if before < FIRST_H <= s.silent[n]:
                begun = (hour - (slot - s.onset[n])) % 24
                day = (slot - s.onset[n] + 23 - hour) // 24
                _plan(s, n, begun, (s.rest[n] >> min(day, 15)) & 1, k_half, k_full)
        _report(s, n, ready_h, n, evidence, p_value, urgency, onset)


@njit(cache=True, nogil=True)
def _report(
    s: Rows,
    n: int,
    ready_h: int,
    at: int,
    evidence: NDArray[np.float32],
    p_value: NDArray[np.float32],
    urgency: NDArray[np.int8],
    onset: NDArray[np.int64],
) -> None:
    if s.onset[n] < 0 or s.hours[n] < ready_h:
        return
    urgency[at] = _urgency(s, n)
    onset[at] = s.onset[n] if s.silent[n] > 0 else -1
    p = _evidence(s, n) if s.silent[n] >= FIRST_H else 1.0
    p_value[at] = p
    evidence[at] = -np.log10(p)


@njit(cache=True, nogil=True)
def current(
    s: Rows,
    rows: NDArray[np.int64],
    ready_h: int,
    evidence: NDArray[np.float32],
    p_value: NDArray[np.float32],
    urgency: NDArray[np.int8],
    onset: NDArray[np.int64],
) -> None:
    """Report some rows as of their last slot."""
    for i in range(len(rows)):
        n = rows[i]
        if s.away_from[n] <= s.seen[n] < s.away_until[n]:
            urgency[i], evidence[i], p_value[i] = 0, 0.0, 1.0
        else:
            _report(s, n, ready_h, i, evidence, p_value, urgency, onset)


@njit(cache=True, nogil=True)
def amend(
    s: Rows,
    slot: int,
    rows: NDArray[np.int64],
    values: NDArray[np.float32],
    zone: NDArray[np.uint8],
    hour_of: NDArray[np.int64],
    k_half: float,
    k_full: float,
    decay: float,
) -> None:
    """Correct one hour of some rows, and what follows from it."""
    for i in range(len(rows)):
        n = rows[i]
        last = s.seen[n]
        kind = _state_of(s, n, values[:, i])
        if slot > last or slot < s.learned[n] or slot <= last - RING_H or kind == _MISSING:
            continue
        if not _bit(s.known[n], slot):
            s.hours[n] = min(s.hours[n] + 1, 60000)
        _put(s.known[n], slot, True)
        _put(s.active[n], slot, kind == _ACTIVE)
        if s.away_from[n] <= slot < s.away_until[n]:
            continue
        before = s.onset[n]
        if kind == _ACTIVE and slot >= s.onset[n]:
            s.onset[n] = slot + 1
        elif kind == _SILENT and slot == s.onset[n] - 1:
            h = slot
            while h > last - RING_H and not _bit(s.active[n], h):
                h -= 1
            s.onset[n] = h + 1
        elif slot < s.onset[n]:
            continue
        if s.onset[n] != before:
            s.peak[n] = 0
        _count(s, n, last)
        if s.silent[n] >= FIRST_H:
            begun = (hour_of[zone[n]] - (last - s.onset[n])) % 24
            day = (last - s.onset[n] + 23 - hour_of[zone[n]]) // 24
            _plan(s, n, begun, (s.rest[n] >> min(day, 15)) & 1, k_half, k_full)
