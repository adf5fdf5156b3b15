"""Carrying the intake's state over to another registry, and erasing meters from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from engine.intake.layout import READING, empty, unheard_intervals, unheard_registers

if TYPE_CHECKING:
    from engine.intake.intake import Intake

IntArray = NDArray[Any]


def carry(old: Intake, new: Intake) -> None:
    """Copy the state of all meters that both know, by meter id, into `new`, which is empty.

    A meter whose class, kind or lateness changed starts anew; what it held is accepted.
    """
    found = pc.index_in(old.registry.meters.meter_id, value_set=new.registry.meters.meter_id)
    to = found.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    left = np.ones(len(old.registers), bool)
    keys = [_key(new, j) for j in range(len(new.classes))]
    for i in range(len(old.classes)):
        if (key := _key(old, i)) not in keys:
            continue
        j = keys.index(key)
        mine = np.flatnonzero((old.registry.meters.class_index == i) & (to >= 0))
        mine = mine[new.registry.meters.class_index[to[mine]] == j]
        mine = mine[old.registry.meters.register[mine] == new.registry.meters.register[to[mine]]]
        _carry_bits(old, new, i, j, mine, to[mine])
        _carry_ring(old, new, i, j, mine[old.place[mine] < 0], to)
        registers = mine[old.place[mine] >= 0]
        left[old.place[registers]] = False
        _carry_registers(old, new, i, j, registers, to)
        _carry_late(old, new, i, j, mine, to[mine])
    old.accept(np.flatnonzero(left))


def _key(intake: Intake, i: int) -> tuple[Any, ...]:
    return (
        intake.registry.classes[i].utility,
        *intake.classes[i][["interval_s", "phase_s", "lateness_s"]].tolist(),
    )


def _bits(intake: Intake, i: int) -> NDArray[np.uint8]:
    """Return the filled bits of a class as a view, shape (kept slots, bytes)."""
    c = intake.classes[i]
    begin, size = int(c["bits_at"]), int(c["kept"] * c["bits_row"])
    return intake.bits[begin : begin + size].reshape(int(c["kept"]), int(c["bits_row"]))


def _tags(intake: Intake, i: int) -> NDArray[np.int64]:
    c = intake.classes[i]
    return intake.bit_tags[int(c["bits_tag"]) : int(c["bits_tag"] + c["kept"])]


def _ring(intake: Intake, i: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    c = intake.classes[i]
    slots, rows = int(c["ring_slots"]), int(c["ring_rows"])
    begin, tag = int(c["ring_at"]), int(c["ring_tag"])
    return (
        intake.ring[begin : begin + slots * rows].reshape(slots, rows),
        intake.ring_tags[tag : tag + slots],
    )


def _carry_bits(old: Intake, new: Intake, i: int, j: int, rows: IntArray, to: IntArray) -> None:
    source, target = _bits(old, i), _bits(new, j)
    before = np.unpackbits(source, axis=1, bitorder="little")
    after = np.zeros((len(target), target.shape[1] * 8), np.uint8)
    after[:, new.registry.meters.class_row[to]] = before[:, old.registry.meters.class_row[rows]]
    target[...] = np.packbits(after, axis=1, bitorder="little")
    _tags(new, j)[...] = _tags(old, i)


def _carry_ring(old: Intake, new: Intake, i: int, j: int, rows: IntArray, to: IntArray) -> None:
    if not len(rows):
        return
    (source, tags), (target, new_tags) = _ring(old, i), _ring(new, j)
    before, after = -1 - old.place[rows], -1 - new.place[to[rows]]
    target[:, after] = source[:, before]
    new_tags[...] = tags
    new.last[int(new.classes[j]["first_interval"]) + after] = old.last[
        int(old.classes[i]["first_interval"]) + before
    ]


def _carry_registers(
    old: Intake, new: Intake, i: int, j: int, rows: IntArray, to: IntArray
) -> None:
    before, after = old.place[rows], new.place[to[rows]]
    new.registers[after] = old.registers[before]
    _readings(new, j)[after - int(new.classes[j]["first_register"])] = _readings(old, i)[
        before - int(old.classes[i]["first_register"])
    ]


def _readings(intake: Intake, i: int) -> NDArray[Any]:
    """Return the last readings of a class's registers as a view, shape (registers, readings)."""
    c = intake.classes[i]
    begin, rows, width = int(c["buffer_at"]), int(c["registers"]), int(c["buffer_len"])
    return intake.kept[begin : begin + rows * width].reshape(rows, width)


def _carry_late(old: Intake, new: Intake, i: int, j: int, rows: IntArray, to: IntArray) -> None:
    inverse = np.full(old.registry.class_sizes[i], -1, np.int32)
    inverse[old.registry.meters.class_row[rows]] = new.registry.meters.class_row[to]
    late = old.pending[old.pending["class_index"] == i].copy()
    late["row"] = inverse[late["row"]]
    late["class_index"] = j
    new.pending = np.concatenate([new.pending, late[late["row"] >= 0]])


def erase(intake: Intake, rows: IntArray) -> None:
    """Set meters back to "never reported"."""
    meters = intake.registry.meters
    for i in np.unique(meters.class_index[rows]).tolist():
        mine = rows[meters.class_index[rows] == i]
        class_rows = meters.class_row[mine]
        # Several meters share a byte: clear their bits one after the other.
        np.bitwise_and.at(
            _bits(intake, i).T,
            class_rows >> 3,
            ~(np.uint8(1) << (class_rows & 7).astype(np.uint8))[:, None],
        )
        ring, _ = _ring(intake, i)
        intervals = -1 - intake.place[mine[intake.place[mine] < 0]]
        ring[:, intervals] = np.nan
        first = int(intake.classes[i]["first_interval"])
        intake.last[first + intervals] = unheard_intervals(len(intervals))
        registers = intake.place[mine[intake.place[mine] >= 0]]
        intake.accept(registers)
        intake.registers[registers] = unheard_registers(len(registers))
        _readings(intake, i)[registers - int(intake.classes[i]["first_register"])] = empty(
            READING, 1
        )[0]
        late = intake.pending
        gone = (late["class_index"] == i) & np.isin(late["row"], class_rows)
        intake.pending = late[~gone]
