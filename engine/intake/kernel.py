# mypy: disable-error-code="no-untyped-def, no-untyped-call"
"""Kernels of the intake: one row at a time, in log order.

All compiled functions stand in this one file, because numba's cache watches the file of the
function that is called, not those of its callees. The naive twin is ``tests/engine/intake_twin.py``.

Stamps of registers are whole seconds, levels are in the file's unit, amounts in the canonical one.
In the kernels ``c`` is the record of a class, ``g`` that of a register, ``b`` where its readings
begin and ``n`` how many there are.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from connectors.machine import prefetch
from connectors.records import Fault, Status
from detectors.base import NS
from engine.intake.layout import (
    BEFORE,
    DOUBT,
    EVICTED,
    HELD,
    HELD_LATE,
    NEVER,
    NEVER_NS,
    NO_STAMP,
    NO_TOKEN,
    SINCE,
)
from engine.intake.limits import FLAT, LOW_READINGS

jit = njit(cache=True, nogil=True, error_model="numpy")
part = njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""For functions that only kernels call: without the ways in from Python they compile faster."""

PROCESSED, DUPLICATE, LATE = int(Status.PROCESSED), int(Status.DUPLICATE), int(Status.LATE)
QUARANTINED = int(Status.QUARANTINED)
OK, BAD_VALUE, UNKNOWN_METER = int(Fault.OK), int(Fault.BAD_VALUE), int(Fault.UNKNOWN_METER)
CLOCK_AHEAD, NEGATIVE, IMPOSSIBLE, TIME_OUT_OF_RANGE = (
    int(Fault.CLOCK_AHEAD),
    int(Fault.NEGATIVE),
    int(Fault.IMPOSSIBLE),
    int(Fault.TIME_OUT_OF_RANGE),
)
CONFLICT, GLITCH, OFF_GRID = int(Fault.CONFLICT), int(Fault.GLITCH), int(Fault.OFF_GRID)

FAR, NEAR = 16, 8
"""How many rows ahead memory is asked for: first what tells where a meter's readings lie, then these."""

NORMAL, LOW, REPLACED, ROLLED, DOUBTED, REFUTED = range(6)
"""What a reading is to the one before it: use, below the old level, a new register, past the
register's maximum, not to be told before the next reading, contradicted by it."""


# -- slots -------------------------------------------------------------------------------------


@part
def filled(c, bits, tags, slot, row):
    """Return whether a closed slot has its amount."""
    at = slot % c.kept
    if tags[c.bits_tag + at] != slot:
        return False
    return (bits[c.bits_at + at * c.bits_row + (row >> 3)] >> (row & 7)) & 1 != 0


@part
def mark(c, bits, tags, slot, row, has):
    """Note whether a closed slot has its amount."""
    at = slot % c.kept
    begin = c.bits_at + at * c.bits_row
    if tags[c.bits_tag + at] != slot:
        # The clock began after this slot, so that it was never closed.
        bits[begin : begin + c.bits_row] = 0
        tags[c.bits_tag + at] = slot
    bit = np.uint8(1 << (row & 7))
    if has:
        bits[begin + (row >> 3)] |= bit
    else:
        bits[begin + (row >> 3)] &= ~bit


@part
def note(late, counts, class_index, slot, row, value, arrival_ns):
    """Write an amendment."""
    at = counts[0]
    late[at].class_index = class_index
    late[at].slot = slot
    late[at].row = row
    late[at].value = value
    late[at].arrival_ns = arrival_ns
    counts[0] = at + 1


@part
def settle(settled, counts, g, fault):
    """Write how a held row ended."""
    at = counts[1]
    settled[at].token = g.token
    settled[at].status = LATE if g.flags & HELD_LATE else PROCESSED
    if fault != OK:
        settled[at].status = QUARANTINED
    settled[at].fault = fault
    counts[1] = at + 1
    g.token = NO_TOKEN
    g.flags &= ~np.uint8(HELD_LATE)


# -- interval meters ---------------------------------------------------------------------------


@part
def put(c, column, stamp_end, scale, ts_ns, value, first_open, ring, ring_tags):
    """Put an interval reading into its open slot; return (slot, status, fault).

    The status is that of a late row if the slot is closed; :func:`put_late` goes on.
    """
    interval_ns = c.interval_s * NS
    since = ts_ns - c.phase_s * NS + interval_ns // 2
    slot = since // interval_ns
    off = since - slot * interval_ns - interval_ns // 2
    if stamp_end:
        slot -= 1
    if value < 0.0:
        return slot, QUARANTINED, NEGATIVE
    if abs(off) > c.snap_s * NS:
        return slot, QUARANTINED, OFF_GRID
    amount = value * scale
    if amount > c.most * (max(1.0, scale) if c.grows else 1.0):
        return slot, QUARANTINED, IMPOSSIBLE
    if slot >= first_open + c.ring_slots:
        return slot, QUARANTINED, CLOCK_AHEAD
    if slot < first_open:
        return slot, LATE, OK
    at = slot % c.ring_slots
    begin = c.ring_at + at * c.ring_rows
    if ring_tags[c.ring_tag + at] != slot:
        for j in range(begin, begin + c.ring_rows):
            ring[j] = np.nan
        ring_tags[c.ring_tag + at] = slot
    known = ring[begin + column]
    new = np.float32(amount)
    if np.isnan(known):
        ring[begin + column] = new
        return slot, PROCESSED, OK
    if known == new:
        return slot, DUPLICATE, OK
    # Content decides, never the arrival: beside a number, a smaller one (mostly zero) is what was
    # sent before the interval was complete.
    ring[begin + column] = max(known, new)
    return slot, QUARANTINED, CONFLICT


@part
def put_late(
    c, class_index, row, scale, slot, value, arrival_ns, first_open, bits, bit_tags, late, counts
):
    """Amend a closed slot with an interval reading; return its status."""
    if slot < first_open - c.kept:
        return LATE
    if filled(c, bits, bit_tags, slot, row):
        # What the amount was is not kept; a second reading of a slot long decided is a
        # repetition in all but odd cases.
        return DUPLICATE
    mark(c, bits, bit_tags, slot, row, np.bool_(True))
    note(late, counts, class_index, slot, row, np.float32(value * scale), arrival_ns)
    return LATE


# -- registers ---------------------------------------------------------------------------------


@part
def judge(top, level, hours, following, back, jump, maximum):
    """Return (what a reading is, use since the one before).

    ``following`` is the level of the next reading, NaN while there is none.
    """
    has_next = not np.isnan(following)
    rise = level - top
    if rise >= 0.0:
        if rise <= jump * max(hours, 1.0):
            return NORMAL, rise
        if not has_next:
            return DOUBTED, 0.0
        if following - level > jump:
            # Twice in a row: no glitch and no new register, but a large customer.
            return NORMAL, rise
        return (REPLACED if following >= level - back else REFUTED), 0.0
    if -rise <= back:
        return LOW, 0.0
    if not has_next:
        return DOUBTED, 0.0
    if following >= top - back or following < level - back:
        return REFUTED, 0.0
    wrapped = level + maximum - top
    if maximum > 0.0 and 0.0 <= wrapped <= jump * max(hours, 1.0):
        return ROLLED, wrapped
    return REPLACED, 0.0


@part
def trace(g, b, n, gap_s, back, jump, maximum, kept, path):
    """Follow the readings kept: which count, and what was used between them.

    Fills ``path`` (see ``layout.STEP``); returns (readings that count, highest level and count of
    low readings at the end).
    """
    top, low = g.first_top, np.int64(g.first_low)
    path[0].stamp = kept[b].stamp
    path[0].use = 0.0
    path[0].known = False
    path[0].verdict = NORMAL
    last_level = kept[b].level
    m = 1
    for i in range(1, n):
        stamp, level = np.int64(kept[b + i].stamp), kept[b + i].level
        following = kept[b + i + 1].level if i + 1 < n else np.nan
        gap = stamp - path[m - 1].stamp
        kind, use = judge(top, level, gap / 3600.0, following, back, jump, maximum)
        path[i].verdict = kind
        if kind < DOUBTED:
            known = gap <= gap_s or abs(level - last_level) <= FLAT * abs(level)
            if kind == LOW:
                low += 1
                if low >= LOW_READINGS:
                    top, low = level, np.int64(0)
            else:
                top, low = level, np.int64(0)
            path[m].stamp = stamp
            path[m].use = use
            path[m].known = known and kind != REPLACED
            last_level = level
            m += 1
    return m, top, low


@part
def amount(path, m, start_s, end_s):
    """Return the use between two times; NaN where any part of it is unknown."""
    total = 0.0
    covered = 0
    for i in range(1, m):
        left, right = path[i - 1].stamp, path[i].stamp
        if right <= start_s:
            continue
        if left >= end_s:
            break
        if not path[i].known:
            return np.nan
        overlap = min(right, end_s) - max(left, start_s)
        covered += overlap
        if overlap == right - left:
            total += path[i].use
        else:
            total += path[i].use * (overlap / (right - left))
    return total if covered == end_s - start_s else np.nan


@part
def plain_use(g, b, n, start_s, end_s, jump, kept):
    """Return the use of a slot whose edges two readings in a row fix; −1 for anything else.

    By far the most slots: all readings kept rise, none by more than a customer can use in an
    hour, so that none is doubted and no path need be traced.
    """
    top = g.first_top
    use = -1.0
    if kept[b].level != top:
        return use
    for i in range(1, n):
        level = kept[b + i].level
        rise = level - top
        if rise < 0.0 or rise > jump:
            return -1.0
        if kept[b + i - 1].stamp == start_s and kept[b + i].stamp == end_s:
            use = rise
        top = level
    return use


@part
def remove(b, i, n, kept):
    """Take reading i out; the count is the caller's."""
    for j in range(b + i, b + n - 1):
        kept[j].stamp = kept[j + 1].stamp
        kept[j].level = kept[j + 1].level


@part
def spare(c, g, b, n, back, jump, maximum, kept, path):
    """Return a reading that the slots do not need; −1 if there is none.

    A refuted one does not count; one between two others of the same slot tells nothing about the
    slots' edges.
    """
    trace(g, b, n, c.gap_s, back, jump, maximum, kept, path)
    for i in range(1, n - 1):
        if path[i].verdict == REFUTED:
            return i
    for i in range(1, n - 1):
        left, right = np.int64(kept[b + i - 1].stamp), np.int64(kept[b + i + 1].stamp)
        if (
            (left - c.phase_s) // c.interval_s == (right - 1 - c.phase_s) // c.interval_s
            and kept[b + i - 1].level <= kept[b + i].level <= kept[b + i + 1].level
            and right - left <= c.gap_s
        ):
            return i
    return -1


@part
def make_room(c, g, b, back, jump, maximum, first_open, kept, path):
    """Let one of the readings kept go."""
    n = np.int64(g.count)
    second = np.int64(kept[b + 1].stamp)
    if second > first_open * c.interval_s + c.phase_s:
        # Open slots need the oldest one; perhaps they do not need another.
        other = spare(c, g, b, n, back, jump, maximum, kept, path)
        if other >= 0:
            remove(b, other, n, kept)
            g.count = n - 1
            return
    gap = second - np.int64(kept[b].stamp)
    level = kept[b + 1].level
    kind, _ = judge(g.first_top, level, gap / 3600.0, kept[b + 2].level, back, jump, maximum)
    g.count = n - 1
    if kind == REFUTED:
        # It does not count; the oldest may stay.
        remove(b, np.int64(1), n, kept)
        return
    if gap > c.gap_s:
        # Back-fill will go on from here.
        g.late_stamp = kept[b].stamp
        g.late_level = kept[b].level
        on_edge = (np.int64(kept[b].stamp) - c.phase_s) % c.interval_s == 0
        g.late_edge = kept[b].level if on_edge else np.nan
    g.first_low = g.first_low + 1 if kind == LOW else 0
    if kind != LOW or g.first_low >= LOW_READINGS:
        g.first_top, g.first_low = level, 0
    g.flags |= np.uint8(EVICTED)
    remove(b, np.int64(0), n, kept)


@part
def amend(
    c, class_index, row, scale, from_s, first_open, arrival_ns,
    path, m, old, old_m, bits, bit_tags, late, counts,
):  # fmt: skip
    """Note the closed slots from a time on whose amounts the new readings change.

    ``old`` is the path before they came, empty (``old_m`` 0) if they only go on from its end.
    """
    slot = max((from_s - c.phase_s) // c.interval_s, first_open - c.kept)
    end_s = max(path[m - 1].stamp, old[max(old_m - 1, 0)].stamp if old_m else 0)
    last = min((end_s - 1 - c.phase_s) // c.interval_s, first_open - 1)
    while slot <= last:
        start_s = slot * c.interval_s + c.phase_s
        end_s = start_s + c.interval_s
        value = np.float32(amount(path, m, start_s, end_s) * scale)
        before = np.float32(amount(old, old_m, start_s, end_s) * scale)
        had = filled(c, bits, bit_tags, slot, row)
        known = not np.isnan(value)
        # A slot that has its amount, though not from the readings kept, is left as it is.
        if value != before and (known or had) and not (had and np.isnan(before)):
            mark(c, bits, bit_tags, slot, row, known)
            note(late, counts, class_index, slot, row, value, arrival_ns)
        slot += 1


@part
def back_fill(
    c, class_index, row, g, stamp, level, scale, first_open, arrival_ns, back, jump,
    bits, bit_tags, late, counts,
):  # fmt: skip
    """Take a reading older than those kept: it tells of the slots between it and the last such.

    Only slots that never had an amount are amended: of the others more was known once.
    """
    other, other_level = np.int64(g.late_stamp), g.late_level
    # Upwards, the slot in which the last one lay goes on from its edge.
    left = g.late_edge if stamp > other else level
    g.late_stamp = stamp
    g.late_level = level
    start = (stamp - c.phase_s) // c.interval_s * c.interval_s + c.phase_s
    g.late_edge = level if start == stamp else np.nan
    if other in (NO_STAMP, stamp):
        return
    from_s, from_level, to_s, to_level = other, other_level, stamp, level
    if stamp < other:
        from_s, from_level, to_s, to_level = stamp, level, other, other_level
    gap = to_s - from_s
    rise = to_level - from_level
    flat = abs(rise) <= FLAT * abs(to_level)
    if not (gap <= c.gap_s or flat) or not -back <= rise <= jump * max(gap / 3600.0, 1.0):
        return
    rise = max(rise, 0.0)
    slot = (from_s - c.phase_s) // c.interval_s
    if slot * c.interval_s + c.phase_s < from_s and stamp < other:
        left = np.nan
    if slot < first_open - c.kept:
        slot = first_open - c.kept
        left = np.nan
    end_s = (slot + 1) * c.interval_s + c.phase_s
    while end_s <= to_s and slot < first_open:
        right = from_level + rise * ((end_s - from_s) / gap)
        if not np.isnan(left) and not filled(c, bits, bit_tags, slot, row):
            mark(c, bits, bit_tags, slot, row, np.bool_(True))
            use = np.float32(max(right - left, 0.0) * scale)
            note(late, counts, class_index, slot, row, use, arrival_ns)
        left = right
        slot += 1
        end_s += c.interval_s
    if stamp > other and start != stamp and end_s > to_s:
        g.late_edge = left


@part
def append(c, g, b, scale, maximum, stamp, level, first_open, kept, path):
    """Take the common case, a meter's next reading, on time, with nothing to doubt.

    Returns whether it was that. It needs few of the arrays: passing them all costs more than the
    work itself.
    """
    n = np.int64(g.count)
    closed_end_s = first_open * c.interval_s + c.phase_s
    if stamp < closed_end_s or stamp >= 2**32 or level < 0.0 or 0.0 < maximum < level:
        return False
    if n == 0:
        kept[b].stamp = stamp
        kept[b].level = level
        g.count = 1
        g.first_top = g.top = level
        return True
    newest = np.int64(kept[b + n - 1].stamp)
    if stamp <= newest or newest < closed_end_s or g.flags & DOUBT:
        return False
    growth = max(1.0, scale) if c.grows else 1.0
    # No more than a customer uses in an hour, with room for rounding: no need to divide.
    most = 0.999 * c.jump_per_hour * growth
    kind = NORMAL
    if not 0.0 <= (level - g.top) * scale <= most:
        back = c.step_back * growth / scale
        jump = c.jump_per_hour * growth / scale
        kind, _ = judge(g.top, level, (stamp - newest) / 3600.0, np.nan, back, jump, maximum)
        if kind > LOW:
            return False
    if n == c.buffer_len:
        second, oldest = np.int64(kept[b + 1].stamp), np.int64(kept[b].stamp)
        if (
            second <= closed_end_s
            and second - oldest <= c.gap_s
            and 0.0 <= (kept[b + 1].level - g.first_top) * scale <= most
        ):
            g.first_top, g.first_low = kept[b + 1].level, 0
            g.flags |= np.uint8(EVICTED)
            g.count = n - 1
            remove(b, np.int64(0), n, kept)
        else:
            back = c.step_back * growth / scale
            jump = c.jump_per_hour * growth / scale
            make_room(c, g, b, back, jump, maximum, first_open, kept, path)
        n -= 1
    kept[b + n].stamp = stamp
    kept[b + n].level = level
    g.count = n + 1
    g.low = g.low + 1 if kind == LOW else 0
    if kind != LOW or g.low >= LOW_READINGS:
        g.top, g.low = level, 0
    return True


@part
def take_register(
    c, class_index, row, g, b, scale, maximum, stamp, level, arrival_ns, token, first_open,
    kept, bits, bit_tags, late, settled, counts,
    path, old,
):  # fmt: skip
    """Return (status, fault) of one register reading."""
    if not 0 < stamp < 2**32:
        return QUARANTINED, TIME_OUT_OF_RANGE
    if level < 0.0:
        return QUARANTINED, NEGATIVE
    if 0.0 < maximum < level:
        return QUARANTINED, IMPOSSIBLE
    growth = max(1.0, scale) if c.grows else 1.0
    back = c.step_back * growth / scale
    jump = c.jump_per_hour * growth / scale
    closed_end_s = first_open * c.interval_s + c.phase_s
    good = LATE if stamp < closed_end_s else PROCESSED
    n = np.int64(g.count)
    if n == 0:
        kept[b].stamp = stamp
        kept[b].level = level
        g.count = 1
        g.first_top = g.top = level
        return good, OK
    p = n
    while p > 0 and kept[b + p - 1].stamp > stamp:
        p -= 1
    if p > 0 and kept[b + p - 1].stamp == stamp:
        return same_stamp(
            c, class_index, row, g, b, p - 1, n, scale, maximum, level, arrival_ns, good,
            first_open, back, jump, kept, bits, bit_tags, late, settled, counts, path, old,
        )  # fmt: skip
    if n == c.buffer_len and p > 0:
        make_room(c, g, b, back, jump, maximum, first_open, kept, path)
        n -= 1
        p = n
        while p > 0 and kept[b + p - 1].stamp > stamp:
            p -= 1
    if p == 0 and (g.flags & EVICTED or n == c.buffer_len):
        back_fill(
            c, class_index, row, g, stamp, level, scale, first_open, arrival_ns, back, jump,
            bits, bit_tags, late, counts,
        )  # fmt: skip
        return LATE, OK
    return insert(
        c, class_index, row, g, b, n, p, scale, maximum, stamp, level, arrival_ns, token, good,
        first_open, back, jump, kept, bits, bit_tags, late, settled, counts,
        path, old,
    )  # fmt: skip


@part
def insert(
    c, class_index, row, g, b, n, p, scale, maximum, stamp, level, arrival_ns, token, good,
    first_open, back, jump, kept, bits, bit_tags, late, settled, counts,
    path, old,
):  # fmt: skip
    """Put a reading at place `p` of those kept; return its (status, fault).

    Refuted readings stay, so that what counts follows from the readings and their stamps alone,
    in whatever order they came.
    """
    waiting = g.token != NO_TOKEN
    # A reading in the middle can also change what the one before it is.
    from_s = min(stamp, np.int64(kept[b + (p - 1 if p == n else max(p - 2, 0))].stamp))
    if waiting and n > 1:
        from_s = min(from_s, np.int64(kept[b + n - 2].stamp))
    amends = from_s < first_open * c.interval_s + c.phase_s
    old_m = 0
    if amends and p < n:
        old_m, _, _ = trace(g, b, n, c.gap_s, back, jump, maximum, kept, old)
    for j in range(b + n, b + p, -1):
        kept[j].stamp = kept[j - 1].stamp
        kept[j].level = kept[j - 1].level
    kept[b + p].stamp = stamp
    kept[b + p].level = level
    n += 1
    if p == 0:
        g.first_top, g.first_low = level, 0
    m, top, low = trace(g, b, n, c.gap_s, back, jump, maximum, kept, path)
    g.top, g.low = top, low
    doubted = path[n - 1].verdict == DOUBTED
    # The held row was the newest; it still is, or stands before the row that decides it.
    held = n - 2 if p == n - 1 else n - 1
    if waiting and path[held].verdict == REFUTED:
        settle(settled, counts, g, np.int64(GLITCH))
    elif waiting and path[held].verdict != DOUBTED:
        settle(settled, counts, g, np.int64(OK))
    g.count = n
    g.flags = (g.flags & ~np.uint8(DOUBT)) | np.uint8(DOUBT if doubted else 0)
    if amends:
        amend(
            c, class_index, row, scale, from_s, first_open, arrival_ns,
            path, m, old, old_m,
            bits, bit_tags, late, counts,
        )  # fmt: skip
    if doubted and path[p].verdict == DOUBTED:
        g.token = token
        g.flags |= np.uint8(HELD_LATE if good == LATE else 0)
        return HELD, OK
    if path[p].verdict == REFUTED:
        return QUARANTINED, GLITCH
    return good, OK


@part
def same_stamp(
    c, class_index, row, g, b, i, n, scale, maximum, level, arrival_ns, good, first_open,
    back, jump, kept, bits, bit_tags, late, settled, counts, path, old,
):  # fmt: skip
    """Return (status, fault) of a second reading with the stamp of reading i.

    Content decides, never the arrival: the level that fits the readings before it stands, else
    the lower one, since a register makes good later what is left out, but never gives back.
    """
    known = kept[b + i].level
    if known == level:
        return DUPLICATE, OK
    fits = known_fits = True
    if i > 0:
        trace(g, b, i + 1, c.gap_s, back, jump, maximum, kept, path)
        known_fits = path[i].verdict < REPLACED
        kept[b + i].level = level
        trace(g, b, i + 1, c.gap_s, back, jump, maximum, kept, path)
        fits = path[i].verdict < REPLACED
        kept[b + i].level = known
    if not (fits if fits != known_fits else level < known):
        return QUARANTINED, CONFLICT
    old_m, _, _ = trace(g, b, n, c.gap_s, back, jump, maximum, kept, old)
    kept[b + i].level = level
    if i == 0:
        g.first_top = max(g.first_top, level) if g.flags & EVICTED else level
    m, g.top, g.low = trace(g, b, n, c.gap_s, back, jump, maximum, kept, path)
    doubted = path[n - 1].verdict == DOUBTED
    g.flags = (g.flags & ~np.uint8(DOUBT)) | np.uint8(DOUBT if doubted else 0)
    from_s = np.int64(kept[b + max(i - 2, 0)].stamp)
    amend(
        c, class_index, row, scale, from_s, first_open, arrival_ns,
        path, m, old, old_m, bits, bit_tags, late, counts,
    )  # fmt: skip
    if i == n - 1 and g.token != NO_TOKEN and fits:
        # What was held is not the reading of that time; this one is.
        settle(settled, counts, g, np.int64(CONFLICT))
        return good, OK
    return QUARANTINED, CONFLICT


# -- entry points ------------------------------------------------------------------------------


@jit
def apply(
    classes, kinds, look, class_row, ring, ring_tags, bits, bit_tags, registers, kept, last,
    late, settled, counts, first_open, path, old,
    meter, ts_ns, value, arrival_ns, fault_in, token, status, fault, start,
):  # fmt: skip
    """Take rows from `start` on; return the first row not taken (room for amendments ran out)."""
    most = counts[2]
    foreseen = len(meter) - FAR if len(look) else 0
    for i in range(start, len(meter)):
        if counts[0] + most > len(late) or counts[1] + 2 > len(settled):
            return i
        if i < foreseen:
            # Without an order each row is a row of misses: ask for memory some rows ahead.
            prefetch(look, max(meter[i + FAR], 0))
            k = max(meter[i + NEAR], 0)
            at = look[k].place
            c = classes[kinds[look[k].kind].class_index]
            if at < 0:
                prefetch(last, c.first_interval - 1 - at)
            else:
                b = c.buffer_at + (at - c.first_register) * c.buffer_len
                prefetch(registers, at)
                prefetch(kept, b)
                prefetch(kept, b + c.buffer_len - 1)
        fault[i] = fault_in[i]
        if fault_in[i] != OK:
            status[i] = QUARANTINED
            continue
        k = meter[i]
        if k < 0:
            status[i], fault[i] = QUARANTINED, UNKNOWN_METER
            continue
        level = value[i]
        if not np.isfinite(level):
            status[i], fault[i] = QUARANTINED, BAD_VALUE
            continue
        kind = kinds[look[k].kind]
        ci = kind.class_index
        c = classes[ci]
        at = look[k].place
        if at < 0:
            slot, s, f = put(
                c,
                -1 - at,
                kind.stamp_end,
                kind.scale,
                ts_ns[i],
                level,
                first_open[ci],
                ring,
                ring_tags,
            )
            if s == LATE:
                s = put_late(
                    c, ci, class_row[k], kind.scale, slot, level, arrival_ns[i], first_open[ci],
                    bits, bit_tags, late, counts,
                )  # fmt: skip
            one = last[c.first_interval - 1 - at]
            if s != QUARANTINED and ts_ns[i] > one.ns:
                one.ns, one.value = ts_ns[i], level
        else:
            g = registers[at]
            b = c.buffer_at + (at - c.first_register) * c.buffer_len
            stamp = ts_ns[i] // NS
            s, f = PROCESSED, OK
            scale, maximum = kind.scale, kind.maximum
            if not append(c, g, b, scale, maximum, stamp, level, first_open[ci], kept, path):
                s, f = take_register(
                    c, ci, class_row[k], g, b, scale, maximum, stamp, level,
                    arrival_ns[i], token[i], first_open[ci], kept, bits, bit_tags,
                    late, settled, counts, path, old,
                )  # fmt: skip
            if not g.flags & DOUBT and g.count > 0:
                g.last_level = kept[b + g.count - 1].level
            if s != QUARANTINED and ts_ns[i] > g.last_ns:
                g.last_ns = ts_ns[i]
        status[i], fault[i] = s, f
    return len(meter)


@jit
def close_registers(
    classes, class_index, slot, rows, first, scale, maximum, registers, kept, path, out, heard,
):  # fmt: skip
    """Fill `out` with the amounts of the registers of a class, `heard` with when they last spoke."""
    c = classes[class_index]
    start_s = slot * c.interval_s + c.phase_s
    end_s = start_s + c.interval_s
    for j in range(len(rows)):
        g = registers[first + j]
        n = np.int64(g.count)
        b = c.buffer_at + j * c.buffer_len
        heard[j] = SINCE if g.last_ns >= start_s * NS else BEFORE
        if g.last_ns == NEVER_NS:
            heard[j] = NEVER
        if n < 2 or kept[b].stamp > start_s or kept[b + n - 1].stamp < end_s:
            continue
        k = rows[j]
        growth = max(1.0, scale[k]) if c.grows else 1.0
        use = plain_use(g, b, n, start_s, end_s, c.jump_per_hour * growth / scale[k], kept)
        if use >= 0.0:
            out[j] = np.float32(use * scale[k])
            continue
        m, _, _ = trace(
            g, b, n, c.gap_s, c.step_back * growth / scale[k], c.jump_per_hour * growth / scale[k],
            maximum[k], kept, path,
        )  # fmt: skip
        out[j] = np.float32(amount(path, m, start_s, end_s) * scale[k])
