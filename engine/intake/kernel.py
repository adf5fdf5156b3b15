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

from connectors.records import Fault, Status
from detectors.base import NS
from engine.intake.layout import EVICTED, HELD, HELD_LATE, NO_STAMP, NO_TOKEN
from engine.intake.limits import FLAT, LOW_READINGS, SNAP_S

jit = njit(cache=True, nogil=True, error_model="numpy")

PROCESSED, DUPLICATE, LATE = int(Status.PROCESSED), int(Status.DUPLICATE), int(Status.LATE)
QUARANTINED = int(Status.QUARANTINED)
OK, BAD_VALUE, UNKNOWN_METER = int(Fault.OK), int(Fault.BAD_VALUE), int(Fault.UNKNOWN_METER)
CLOCK_AHEAD, NEGATIVE, IMPOSSIBLE = (
    int(Fault.CLOCK_AHEAD),
    int(Fault.NEGATIVE),
    int(Fault.IMPOSSIBLE),
)
CONFLICT, GLITCH, OFF_GRID = int(Fault.CONFLICT), int(Fault.GLITCH), int(Fault.OFF_GRID)

NORMAL, LOW, REPLACED, ROLLED, DOUBTED, REFUTED = range(6)
"""What a reading is to the one before it: use, below the old level, a new register, past the
register's maximum, not to be told before the next reading, contradicted by it."""


# -- slots -------------------------------------------------------------------------------------


@jit
def first_open_slot(c, clock_ns):
    """Return the first slot whose end + lateness lies after the clock."""
    return (clock_ns // NS - c.phase_s - c.lateness_s) // c.interval_s


@jit
def filled(c, bits, tags, slot, row):
    """Return whether a closed slot has its amount."""
    at = slot % c.kept
    if tags[c.bits_tag + at] != slot:
        return False
    return (bits[c.bits_at + at * c.bits_row + (row >> 3)] >> (row & 7)) & 1 != 0


@jit
def mark(c, bits, tags, slot, row):
    """Note that a closed slot has its amount."""
    at = slot % c.kept
    begin = c.bits_at + at * c.bits_row
    if tags[c.bits_tag + at] != slot:
        # The clock began after this slot, so that it was never closed.
        bits[begin : begin + c.bits_row] = 0
        tags[c.bits_tag + at] = slot
    bits[begin + (row >> 3)] |= np.uint8(1 << (row & 7))


@jit
def note(late, counts, class_index, slot, row, value, arrival_ns):
    """Write an amendment."""
    at = counts[0]
    late[at].class_index = class_index
    late[at].slot = slot
    late[at].row = row
    late[at].value = value
    late[at].arrival_ns = arrival_ns
    counts[0] = at + 1


@jit
def settle(settled, counts, g, status, fault):
    """Write how a held row ended."""
    at = counts[1]
    settled[at].token = g.token
    settled[at].status = status
    settled[at].fault = fault
    counts[1] = at + 1
    g.token = NO_TOKEN
    g.flags &= ~np.uint8(HELD_LATE)


# -- interval meters ---------------------------------------------------------------------------


@jit
def take_interval(
    c, class_index, row, column, stamp_end, scale, ts_ns, value, arrival_ns, first_open,
    ring, ring_tags, bits, bit_tags, late, counts,
):  # fmt: skip
    """Return (status, fault) of one interval reading."""
    if value < 0.0:
        return QUARANTINED, NEGATIVE
    interval_ns = c.interval_s * NS
    since = ts_ns - c.phase_s * NS + interval_ns // 2
    slot = since // interval_ns
    off = since - slot * interval_ns - interval_ns // 2
    if abs(off) > min(interval_ns // 4, SNAP_S * NS):
        return QUARANTINED, OFF_GRID
    if stamp_end:
        slot -= 1
    amount = value * scale
    if amount > c.most * (max(1.0, scale) if c.grows else 1.0):
        return QUARANTINED, IMPOSSIBLE
    if slot >= first_open + c.ring_slots:
        return QUARANTINED, CLOCK_AHEAD
    if slot < first_open:
        if slot < first_open - c.kept:
            return LATE, OK
        if filled(c, bits, bit_tags, slot, row):
            # What the amount was is not kept; a second reading of a slot long decided is a
            # repetition in all but odd cases.
            return DUPLICATE, OK
        mark(c, bits, bit_tags, slot, row)
        note(late, counts, class_index, slot, row, np.float32(amount), arrival_ns)
        return LATE, OK
    at = slot % c.ring_slots
    begin = c.ring_at + at * c.ring_rows
    if ring_tags[c.ring_tag + at] != slot:
        ring[begin : begin + c.ring_rows] = np.nan
        ring_tags[c.ring_tag + at] = slot
    known = ring[begin + column]
    new = np.float32(amount)
    if np.isnan(known):
        ring[begin + column] = new
        return PROCESSED, OK
    if known == new:
        return DUPLICATE, OK
    # Content decides, never the arrival: beside a number, a smaller one (mostly zero) is what was
    # sent before the interval was complete.
    ring[begin + column] = max(known, new)
    return QUARANTINED, CONFLICT


# -- registers ---------------------------------------------------------------------------------


@jit
def judge(top, level, hours, has_next, following, back, jump, maximum):
    """Return (what a reading is, use since the one before)."""
    rise = level - top
    if rise >= 0.0:
        if rise <= jump * max(hours, 1.0):
            return NORMAL, rise
        if not has_next:
            return DOUBTED, 0.0
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


@jit
def trace(g, b, n, gap_s, back, jump, maximum, stamps, levels, path_t, path_use, path_ok, verdict):
    """Follow the readings kept: which count, and what was used between them.

    Fills ``path_t`` (stamps), ``path_use`` (use since the one before), ``path_ok`` (whether the
    time between is known) and ``verdict`` per reading; returns (readings that count, top and low
    count after the second reading kept, for the day when the oldest is let go).
    """
    top, low = g.top, int(g.low)
    next_top, next_low = top, low
    path_t[0] = stamps[b]
    path_use[0] = 0.0
    path_ok[0] = False
    verdict[0] = NORMAL
    last_level = levels[b]
    m = 1
    for i in range(1, n):
        stamp, level = np.int64(stamps[b + i]), levels[b + i]
        has_next = i + 1 < n
        following = levels[b + i + 1] if has_next else 0.0
        gap = stamp - path_t[m - 1]
        kind, use = judge(top, level, gap / 3600.0, has_next, following, back, jump, maximum)
        verdict[i] = kind
        if kind < DOUBTED:
            known = gap <= gap_s or abs(level - last_level) <= FLAT * abs(level)
            if kind == LOW:
                low += 1
                if low >= LOW_READINGS:
                    top, low = level, 0
            else:
                top, low = level, 0
            path_t[m] = stamp
            path_use[m] = use
            path_ok[m] = known and kind != REPLACED
            last_level = level
            m += 1
        if i == 1:
            next_top, next_low = top, low
    return m, next_top, next_low


@jit
def amount(path_t, path_use, path_ok, m, start_s, end_s):
    """Return the use between two times; NaN where any part of it is unknown."""
    total = 0.0
    covered = 0
    for i in range(1, m):
        left, right = path_t[i - 1], path_t[i]
        if right <= start_s:
            continue
        if left >= end_s:
            break
        if not path_ok[i]:
            return np.nan
        overlap = min(right, end_s) - max(left, start_s)
        covered += overlap
        if overlap == right - left:
            total += path_use[i]
        else:
            total += path_use[i] * (overlap / (right - left))
    return total if covered == end_s - start_s else np.nan


@jit
def remove(b, i, n, stamps, levels):
    """Take reading i out; the count is the caller's."""
    for j in range(b + i, b + n - 1):
        stamps[j] = stamps[j + 1]
        levels[j] = levels[j + 1]


@jit
def thin(c, b, n, stamps, levels):
    """Return a reading that the slots do not need; −1 if there is none.

    A reading between two others of the same slot tells nothing about the slots' edges.
    """
    for i in range(1, n - 1):
        left, right = np.int64(stamps[b + i - 1]), np.int64(stamps[b + i + 1])
        if (
            (left - c.phase_s) // c.interval_s == (right - 1 - c.phase_s) // c.interval_s
            and levels[b + i - 1] <= levels[b + i] <= levels[b + i + 1]
            and right - left <= c.gap_s
        ):
            return i
    return -1


@jit
def make_room(c, g, b, back, jump, maximum, stamps, levels, path_t, path_use, path_ok, verdict):
    """Let one of the readings kept go."""
    n = int(g.count)
    spare = thin(c, b, n, stamps, levels)
    if spare >= 0:
        remove(b, spare, n, stamps, levels)
        g.count = n - 1
        return
    _, top, low = trace(
        g, b, n, c.gap_s, back, jump, maximum, stamps, levels, path_t, path_use, path_ok, verdict
    )
    for i in range(1, n - 1):
        if verdict[i] == REFUTED:
            # Taken when nothing spoke against it; a reading that came later does.
            remove(b, i, n, stamps, levels)
            g.count = n - 1
            return
    if verdict[1] < DOUBTED and not path_ok[1]:
        # A gap follows: back-fill will go on from here.
        g.late_stamp = stamps[b]
        g.late_level = levels[b]
        on_edge = (np.int64(stamps[b]) - c.phase_s) % c.interval_s == 0
        g.late_edge = levels[b] if on_edge else np.nan
    g.top = top
    g.low = low
    g.flags |= np.uint8(EVICTED)
    remove(b, 0, n, stamps, levels)
    g.count = n - 1


@jit
def amend(
    c, class_index, row, scale, from_s, to_s, first_open, arrival_ns,
    path_t, path_use, path_ok, m, old_t, old_use, old_ok, old_m, bits, bit_tags, late, counts,
):  # fmt: skip
    """Note the closed slots between two times whose amounts the new readings change."""
    slot = max((from_s - c.phase_s) // c.interval_s, first_open - c.kept)
    last = min((to_s - 1 - c.phase_s) // c.interval_s, first_open - 1)
    while slot <= last:
        start_s = slot * c.interval_s + c.phase_s
        end_s = start_s + c.interval_s
        value = np.float32(amount(path_t, path_use, path_ok, m, start_s, end_s) * scale)
        had = filled(c, bits, bit_tags, slot, row)
        if not np.isnan(value):
            changed = True
            if had:
                before = np.float32(amount(old_t, old_use, old_ok, old_m, start_s, end_s) * scale)
                changed = not np.isnan(before) and before != value
            if changed:
                mark(c, bits, bit_tags, slot, row)
                note(late, counts, class_index, slot, row, value, arrival_ns)
        elif had:
            before = np.float32(amount(old_t, old_use, old_ok, old_m, start_s, end_s) * scale)
            if not np.isnan(before):
                note(late, counts, class_index, slot, row, np.float32(np.nan), arrival_ns)
        slot += 1


@jit
def back_fill(
    c, class_index, row, g, stamp, level, scale, first_open, arrival_ns, back, jump,
    bits, bit_tags, late, counts,
):  # fmt: skip
    """Take a reading older than those kept: it tells of the slots since the one before it."""
    start = (stamp - c.phase_s) // c.interval_s * c.interval_s + c.phase_s
    edge = level if start == stamp else np.nan
    before = np.int64(g.late_stamp)
    if before != NO_STAMP and stamp > before:
        gap = stamp - before
        rise = level - g.late_level
        flat = abs(rise) <= FLAT * abs(level)
        if (gap <= c.gap_s or flat) and -back <= rise <= jump * max(gap / 3600.0, 1.0):
            rise = max(rise, 0.0)
            slot = (before - c.phase_s) // c.interval_s
            left = g.late_edge
            end = (slot + 1) * c.interval_s + c.phase_s
            while end <= stamp:
                right = g.late_level + rise * ((end - before) / gap)
                if (
                    not np.isnan(left)
                    and first_open - c.kept <= slot < first_open
                    and not filled(c, bits, bit_tags, slot, row)
                ):
                    mark(c, bits, bit_tags, slot, row)
                    use = np.float32(max(right - left, 0.0) * scale)
                    note(late, counts, class_index, slot, row, use, arrival_ns)
                left = right
                slot += 1
                end += c.interval_s
            edge = left
    elif stamp == before:
        return
    g.late_stamp = stamp
    g.late_level = level
    g.late_edge = edge


@jit
def take_register(
    c, class_index, row, g, b, scale, maximum, stamp, level, arrival_ns, token, first_open,
    stamps, levels, bits, bit_tags, late, settled, counts,
    path_t, path_use, path_ok, verdict, old_t, old_use, old_ok,
):  # fmt: skip
    """Return (status, fault) of one register reading."""
    if level < 0.0:
        return QUARANTINED, NEGATIVE
    if 0.0 < maximum < level:
        return QUARANTINED, IMPOSSIBLE
    growth = max(1.0, scale) if c.grows else 1.0
    back = c.step_back * growth / scale
    jump = c.jump_per_hour * growth / scale
    is_late = (stamp - c.phase_s) // c.interval_s < first_open
    good = LATE if is_late else PROCESSED
    n = int(g.count)
    p = n
    while p > 0 and stamps[b + p - 1] > stamp:
        p -= 1
    if n == 0:
        stamps[b] = stamp
        levels[b] = level
        g.count = 1
        g.top = level
        g.low = 0
        return good, OK
    if p > 0 and stamps[b + p - 1] == stamp:
        return same_stamp(
            c, g, b, p - 1, n, level, good, back, jump, maximum,
            stamps, levels, settled, counts, path_t, path_use, path_ok, verdict,
        )  # fmt: skip
    if p == 0 and (g.flags & EVICTED or n == c.buffer_len):
        back_fill(
            c, class_index, row, g, stamp, level, scale, first_open, arrival_ns, back, jump,
            bits, bit_tags, late, counts,
        )  # fmt: skip
        return LATE, OK
    if n == c.buffer_len:
        make_room(c, g, b, back, jump, maximum, stamps, levels, path_t, path_use, path_ok, verdict)
        n = int(g.count)
        p = n
        while p > 0 and stamps[b + p - 1] > stamp:
            p -= 1
        if p == 0:
            # Older than what is left: the oldest reading was the one before it.
            back_fill(
                c, class_index, row, g, stamp, level, scale, first_open, arrival_ns, back, jump,
                bits, bit_tags, late, counts,
            )  # fmt: skip
            return LATE, OK
    waiting = g.token != NO_TOKEN
    closed_end_s = first_open * c.interval_s + c.phase_s
    # A reading in the middle can also change what the one before it is.
    from_s = np.int64(stamps[b + (p - 1 if p == n else max(p - 2, 0))])
    from_s = min(from_s, stamp)
    if waiting and n > 1:
        from_s = min(from_s, np.int64(stamps[b + n - 2]))
    amends = from_s < closed_end_s
    old_m = 0
    if amends and p < n:
        old_m, _, _ = trace(
            g, b, n, c.gap_s, back, jump, maximum, stamps, levels, old_t, old_use, old_ok, verdict
        )
    for j in range(b + n, b + p, -1):
        stamps[j] = stamps[j - 1]
        levels[j] = levels[j - 1]
    stamps[b + p] = stamp
    levels[b + p] = level
    n += 1
    old_top, old_low = g.top, g.low
    if p == 0:
        g.top = level
        g.low = 0
    m, _, _ = trace(
        g, b, n, c.gap_s, back, jump, maximum, stamps, levels, path_t, path_use, path_ok, verdict
    )
    status, fault = good, OK
    if verdict[p] == REFUTED:
        remove(b, p, n, stamps, levels)
        n -= 1
        status, fault = QUARANTINED, GLITCH
    elif verdict[p] == DOUBTED:
        status = HELD
    if status == QUARANTINED:
        # As if it had not come.
        g.top, g.low = old_top, old_low
        g.count = n
        return status, fault
    if waiting:
        # The held row was the newest; it is now at n−1, or before the row that decides it.
        at = n - 2 if p == n - 1 else n - 1
        if verdict[at] != DOUBTED:
            if verdict[at] == REFUTED:
                settle(settled, counts, g, QUARANTINED, GLITCH)
                remove(b, at, n, stamps, levels)
                n -= 1
            else:
                settle(settled, counts, g, LATE if g.flags & HELD_LATE else PROCESSED, OK)
    g.count = n
    if status == HELD:
        g.token = token
        if is_late:
            g.flags |= np.uint8(HELD_LATE)
    if amends:
        to_s = path_t[m - 1]
        amend(
            c, class_index, row, scale, from_s, to_s, first_open, arrival_ns,
            path_t, path_use, path_ok, m, old_t, old_use, old_ok, old_m,
            bits, bit_tags, late, counts,
        )  # fmt: skip
    return status, fault


@jit
def same_stamp(
    c, g, b, i, n, level, good, back, jump, maximum,
    stamps, levels, settled, counts, path_t, path_use, path_ok, verdict,
):  # fmt: skip
    """Return (status, fault) of a second reading with the stamp of reading i.

    Content decides, never the arrival: what fits the readings before, else the lower level, for a
    register makes good later what a too low reading leaves out, but never gives back.
    """
    if levels[b + i] == level:
        return DUPLICATE, OK
    known = levels[b + i]
    known_fits = new_fits = True
    if i > 0:
        trace(
            g, b, i + 1, c.gap_s, back, jump, maximum,
            stamps, levels, path_t, path_use, path_ok, verdict,
        )  # fmt: skip
        known_fits = verdict[i] < REPLACED
        levels[b + i] = level
        trace(
            g, b, i + 1, c.gap_s, back, jump, maximum,
            stamps, levels, path_t, path_use, path_ok, verdict,
        )  # fmt: skip
        new_fits = verdict[i] < REPLACED
        levels[b + i] = known
    stands = new_fits if new_fits != known_fits else level < known
    if not stands:
        return QUARANTINED, CONFLICT
    levels[b + i] = level
    if i == 0:
        g.top = max(g.top, level) if g.flags & EVICTED else level
    if i == n - 1 and g.token != NO_TOKEN:
        if new_fits:
            settle(settled, counts, g, QUARANTINED, CONFLICT)
            return good, OK
        return QUARANTINED, CONFLICT
    return QUARANTINED, CONFLICT


# -- entry points ------------------------------------------------------------------------------


@jit
def apply(
    classes, class_index, class_row, place, stamp_end, scale, maximum,
    ring, ring_tags, bits, bit_tags, registers, stamps, levels, last_ns, last_value,
    late, settled, counts, first_open, scratch_t, scratch_use, scratch_ok,
    meter, ts_ns, value, arrival_ns, fault_in, token, status, fault, start,
):  # fmt: skip
    """Take rows from `start` on; return the first row not taken (room for amendments ran out)."""
    path_t, old_t = scratch_t[0], scratch_t[1]
    path_use, old_use = scratch_use[0], scratch_use[1]
    path_ok, old_ok, verdict = scratch_ok[0], scratch_ok[1], scratch_ok[2]
    most = counts[2]
    for i in range(start, len(meter)):
        if counts[0] + most > len(late) or counts[1] + 2 > len(settled):
            return i
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
        ci = class_index[k]
        c = classes[ci]
        at = place[k]
        if at < 0:
            s, f = take_interval(
                c, ci, class_row[k], -1 - at, stamp_end[k], scale[k], ts_ns[i], level,
                arrival_ns[i], first_open[ci], ring, ring_tags, bits, bit_tags, late, counts,
            )  # fmt: skip
        else:
            g = registers[at]
            b = c.buffer_at + (at - c.first_register) * c.buffer_len
            s, f = take_register(
                c, ci, class_row[k], g, b, scale[k], maximum[k], ts_ns[i] // NS, level,
                arrival_ns[i], token[i], first_open[ci], stamps, levels, bits, bit_tags,
                late, settled, counts, path_t, path_use, path_ok, verdict, old_t, old_use, old_ok,
            )  # fmt: skip
            if g.token == NO_TOKEN and g.count > 0:
                last_value[k] = levels[b + g.count - 1]
        status[i], fault[i] = s, f
        if s != QUARANTINED and ts_ns[i] > last_ns[k]:
            last_ns[k] = ts_ns[i]
            if at < 0:
                last_value[k] = level
    return len(meter)


@jit
def close_registers(
    classes, class_index, slot, rows, first, scale, maximum, registers, stamps, levels,
    scratch_t, scratch_use, scratch_ok, out,
):  # fmt: skip
    """Fill `out` with the amounts of the registers of a class."""
    c = classes[class_index]
    path_t, path_use = scratch_t[0], scratch_use[0]
    path_ok, verdict = scratch_ok[0], scratch_ok[2]
    start_s = slot * c.interval_s + c.phase_s
    end_s = start_s + c.interval_s
    for j in range(len(rows)):
        g = registers[first + j]
        n = int(g.count)
        b = c.buffer_at + j * c.buffer_len
        if n < 2 or stamps[b] > start_s or stamps[b + n - 1] < end_s:
            continue
        k = rows[j]
        growth = max(1.0, scale[k]) if c.grows else 1.0
        m, _, _ = trace(
            g, b, n, c.gap_s, c.step_back * growth / scale[k], c.jump_per_hour * growth / scale[k],
            maximum[k], stamps, levels, path_t, path_use, path_ok, verdict,
        )  # fmt: skip
        out[j] = np.float32(amount(path_t, path_use, path_ok, m, start_s, end_s) * scale[k])
