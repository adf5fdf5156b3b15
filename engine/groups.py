"""Detector groups: from class frames to detector frames, and from signals back to subjects.

A group is one detector over the subjects that some rule has it watch and that own the same meter
classes for its channels, so that all of its rows fall due together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from detectors.base import BoolArray, Detector, Frame, IntArray, Signals, SnapshotError
from engine.rows import indices_in
from engine.series import SeriesRows

Local: TypeAlias = tuple[NDArray[np.int32], NDArray[np.int32], BoolArray]
PAST_S = 56 * 86_400
"""How much of a quiet past a new series of events is given, seconds."""
_DEPTH = 3
"""Detector slots kept open at once where classes of one group differ in lateness."""


def digest(array: NDArray[Any]) -> bytes:
    """Return a hash of an array's bytes, to find equal ones without keeping them twice."""
    return hashlib.blake2b(np.ascontiguousarray(array).data, digest_size=16).digest()


class Parts:
    """Values of the open detector slots of some meters; groups that read the same ones share it.

    Parameters
    ----------
    depth : int
        Detector slots kept open at once.
    ratio : int
        Class slots in one detector slot.
    meters : int
        Number of meters M.
    """

    def __init__(self, depth: int, ratio: int, meters: int) -> None:
        self.values = np.full((depth, ratio, meters), np.nan, np.float32)
        self.held = np.full(depth, -1, np.int64)
        """Detector slot that each buffer holds, shape (depth,)."""
        self._last: int | None = None

    def take(self, class_slot: int, frame: NDArray[np.float32], class_rows: IntArray) -> None:
        """Keep the meters' part of a class frame, once for all groups."""
        if class_slot == self._last:
            return
        self._last = class_slot
        depth, ratio, _ = self.values.shape
        slot, part = divmod(class_slot, ratio)
        if self.held[slot % depth] != slot:
            self.values[slot % depth] = np.nan
            self.held[slot % depth] = slot
        self.values[slot % depth, part] = frame[class_rows]

    def of(self, slot: int) -> NDArray[np.float32] | None:
        """Return the parts of a detector slot, shape (ratio, M), or None if it is not held."""
        at = slot % len(self.held)
        return self.values[at] if self.held[at] == slot else None


@dataclass(slots=True)
class Feed:
    """Meters of one class that fill one channel of a group.

    Parameters
    ----------
    channel : int
        Channel of the detector.
    class_index : int
        Meter class they belong to.
    class_rows : ndarray of int32, shape (M,)
        Their rows in the class's frame.
    group_rows : ndarray of int32, shape (M,)
        The detector row each belongs to.
    ratio : int
        Class slots in one detector slot.
    """

    channel: int
    class_index: int
    class_rows: NDArray[np.int32]
    group_rows: NDArray[np.int32]
    ratio: int
    parts: Parts
    """Values of open detector slots."""
    unique: bool
    """Whether every detector row has at most one of these meters."""


class Group:
    """One detector, its rows' subjects, and the feeds that fill its frames.

    Parameters
    ----------
    detector : Detector
        The detector.
    subject_rows : ndarray of int32, shape (N,)
        Registry row of each detector row (communities, for detectors of grain ``place``).
    feeds : list of (channel, class_index, class_interval_s, class_rows, group_rows)
        Where its values come from.
    lateness_s : int
        Time after a slot's end at which all feeds are due.
    phase_s : int
        Shift of the slot grid against UTC.
    utilities : tuple of str
        What its meters measure, for people.
    shared : dict, optional
        Open parts by what they are of: groups made with the same dict share them.
    """

    def __init__(
        self,
        detector: Detector,
        subject_rows: NDArray[np.int32],
        feeds: list[tuple[int, int, int, NDArray[np.int32], NDArray[np.int32]]],
        lateness_s: int,
        phase_s: int = 0,
        utilities: tuple[str, ...] = (),
        shared: dict[tuple[Any, ...], Parts] | None = None,
    ) -> None:
        self.detector = detector
        self.utilities = list(utilities)
        self.series: SeriesRows | None = None
        """What fills the frames instead of meters."""
        self.subject_rows = subject_rows
        self.lateness_s = lateness_s
        self.phase_s = phase_s
        self.depth = 1 if len({f[1] for f in feeds}) == 1 else _DEPTH
        self.last_slot: int | None = None
        self.feeds: list[Feed] = []
        known = {} if shared is None else shared
        for channel, class_index, interval_s, class_rows, group_rows in feeds:
            ratio = detector.interval_s // interval_s
            of = (class_index, ratio, self.depth, phase_s, lateness_s, digest(class_rows))
            parts = known.setdefault(of, Parts(self.depth, ratio, len(class_rows)))
            unique = len(np.unique(group_rows)) == len(group_rows)
            self.feeds.append(
                Feed(channel, class_index, class_rows, group_rows, ratio, parts, unique)
            )

    @property
    def slot_s(self) -> int:
        """Length of the detector's slot, seconds."""
        return self.detector.interval_s

    def due_s(self, slot: int) -> int:
        """Return when `slot` is due, seconds UTC."""
        return (slot + 1) * self.slot_s + self.phase_s + self.lateness_s

    def take(self, class_index: int, class_slot: int, frame: NDArray[np.float32]) -> None:
        """Keep the part of a class frame that this group needs."""
        for feed in self.feeds:
            if feed.class_index == class_index:
                feed.parts.take(class_slot, frame, feed.class_rows)

    def frame(
        self, slot: int, local: tuple[NDArray[np.int32], NDArray[np.int32], BoolArray]
    ) -> Frame:
        """Return the detector frame of `slot` from the parts kept."""
        values = np.full(
            (1, len(self.detector.channels), self.detector.rows), np.nan, dtype=np.float32
        )
        for feed in self.feeds:
            reduce = self.detector.channels[feed.channel].reduce
            parts = feed.parts.of(slot)
            if parts is None:
                continue
            one = _reduce(parts, reduce)
            _combine(values[0, feed.channel], feed.group_rows, one, reduce, feed.unique)
        self.last_slot = slot
        return Frame(slot, values, *local)

    def amendments(
        self,
        class_index: IntArray,
        class_slot: IntArray,
        class_row: IntArray,
        value: NDArray[np.float32],
        arrival_ns: NDArray[np.int64],
    ) -> list[tuple[int, NDArray[np.int32], NDArray[np.float32], NDArray[np.int64]]]:
        """Sort amended class slots into this group's slots.

        Amendments of slots that still wait for their turn go into the parts kept; the others are
        returned as (slot, rows, values (C, M), arrival_ns (M,)), in slot order.
        """
        found: list[tuple[NDArray[Any], ...]] = []
        for feed in self.feeds:
            mine = class_index == feed.class_index
            # Class rows of a feed ascend, so finding a meter in it needs no table of its own.
            index = np.minimum(indices_in(feed.class_rows, class_row), len(feed.class_rows) - 1)
            pick = mine & (feed.class_rows[index] == class_row)
            if not pick.any():
                continue
            index, slots = index[pick], class_slot[pick] // feed.ratio
            part, amount, arrival = class_slot[pick] % feed.ratio, value[pick], arrival_ns[pick]
            keep = feed.parts.held[slots % self.depth] == slots
            feed.parts.values[slots[keep] % self.depth, part[keep], index[keep]] = amount[keep]
            done = np.full(len(slots), False) if self.last_slot is None else slots <= self.last_slot
            if done.any():
                found.append(self._reduced(feed, index, slots, part, amount, arrival, done))
        if not found:
            return []
        slots, rows, channels, values, arrivals = (
            np.concatenate([f[i] for f in found]) for i in range(5)
        )
        result = []
        for slot in np.unique(slots):
            here = slots == slot
            unique, index = np.unique(rows[here], return_inverse=True)
            amounts = np.full((len(self.detector.channels), len(unique)), np.nan, np.float32)
            arrival = np.zeros(len(unique), np.int64)
            np.maximum.at(arrival, index, arrivals[here])
            for channel in np.unique(channels[here]):
                at = channels[here] == channel
                reduce = self.detector.channels[int(channel)].reduce
                _combine(amounts[int(channel)], index[at], values[here][at], reduce, unique=False)
            result.append((int(slot), unique.astype(np.int32), amounts, arrival))
        return result

    def _reduced(
        self,
        feed: Feed,
        index: IntArray,
        slots: IntArray,
        part: IntArray,
        amount: NDArray[np.float32],
        arrival: NDArray[np.int64],
        done: BoolArray,
    ) -> tuple[NDArray[Any], ...]:
        """Return (slot, row, channel, value, arrival) of amended detector slots of one feed."""
        reduce = self.detector.channels[feed.channel].reduce
        pairs, where = np.unique(np.stack([slots[done], index[done]]), axis=1, return_inverse=True)
        where = where.reshape(-1)
        parts = np.full((feed.ratio, pairs.shape[1]), np.nan, np.float32)
        parts[part[done], where] = amount[done]
        kept = feed.parts.held[pairs[0] % self.depth] == pairs[0]
        parts[:, kept] = feed.parts.values[pairs[0, kept] % self.depth, :, pairs[1, kept]].T
        newest = np.zeros(pairs.shape[1], np.int64)
        np.maximum.at(newest, where, arrival[done])
        value = _reduce(parts, reduce)
        rows = feed.group_rows[pairs[1]]
        channel = np.full(len(rows), feed.channel)
        return pairs[0], rows, channel, value, newest

    def step(
        self, slot: int, local: tuple[NDArray[np.int32], NDArray[np.int32], BoolArray]
    ) -> Signals:
        """Run the detector on `slot`."""
        if self.series is None:
            return self.detector.step(self.frame(slot, local))
        self.last_slot = slot
        values = self.series.frame(slot, self.detector.channels)
        return self.detector.step(Frame(slot, values, *local))

    def grow(self, local: Callable[[int], Local]) -> None:
        """Append the rows that events have made since, with the zeros that went before them.

        `local` gives the local columns of a slot.
        """
        series, old = self.series, self.detector.rows
        if series is None or len(series) == old:
            return
        more = len(series) - old
        zone, key = np.array(series.zone[old:], np.uint8), series.keys(old)
        self.detector.grow(len(series), zone=zone, key=key)
        join = getattr(self.detector, "join", None)
        if join is not None:
            join(np.array(series.pool, np.int32))
        self.subject_rows = np.arange(len(series), dtype=np.int32)
        if self.last_slot is None or self.detector.pooled:
            return
        # Nothing came here before, and that is known: a quiet past is what a first burst is
        # measured against.
        since = np.array(series.since[old:], np.int64)
        first = max(int(since.min()), self.last_slot + 1 - PAST_S // self.slot_s)
        past = [local(slot) for slot in range(first, self.last_slot + 1)]
        if not past:
            return
        columns = [np.concatenate(column) for column in zip(*past, strict=True)]
        channels = len(self.detector.channels)
        zeros = np.zeros((len(past), channels, more), np.float32)
        unknown = (first + np.arange(len(past)))[:, None] < since
        zeros[np.broadcast_to(unknown[:, None, :], zeros.shape)] = np.nan
        params: dict[str, Any] = dict(self.detector.params)
        fresh = type(self.detector)(more, interval_s=self.slot_s, zone=zone, key=key, **params)
        fresh.step(Frame(first, zeros, columns[0], columns[1], columns[2]))
        for name, spec in fresh.layout.items():
            rows = (slice(None),) * spec.axis + (slice(old, None),)
            self.detector.state[name][rows] = fresh.state[name]

    def snapshot(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return the detector's snapshot with the group's open parts added."""
        header, arrays = self.detector.snapshot()
        header["last_slot"] = self.last_slot
        for i, feed in enumerate(self.feeds):
            arrays[f"_parts{i}"] = feed.parts.values.copy()
            arrays[f"_held{i}"] = feed.parts.held.copy()
        return header, arrays

    def restore(self, header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """Take over a snapshot of :meth:`snapshot`."""
        arrays = dict(arrays)
        for i, feed in enumerate(self.feeds):
            parts = arrays.pop(f"_parts{i}", None)
            if parts is None or parts.shape != feed.parts.values.shape:
                raise SnapshotError(f"{self.detector.name}: open parts of feed {i} do not fit")
            feed.parts.values[:] = parts
            feed.parts.held[:] = arrays.pop(f"_held{i}")
        self.detector.restore(header, arrays)
        self.last_slot = header["last_slot"]


def _reduce(parts: NDArray[np.float32], reduce: str) -> NDArray[np.float32]:
    """Reduce (ratio, M) parts to (M,): a sum needs all parts, a maximum any."""
    if len(parts) == 1:
        return parts[0]
    if reduce == "sum":
        total: NDArray[np.float32] = parts.sum(axis=0, dtype=np.float32)
        return total
    largest: NDArray[np.float32] = np.fmax.reduce(parts, axis=0)
    return largest


def _combine(
    target: NDArray[np.float32],
    rows: IntArray,
    values: NDArray[np.float32],
    reduce: str,
    unique: bool,
) -> None:
    """Put meters' values into their subjects' rows; several meters add up, or give the largest."""
    if unique:
        target[rows] = values
    elif reduce == "sum":
        total = np.zeros(len(target), np.float32)
        np.add.at(total, rows, values)
        touched = np.zeros(len(target), bool)
        touched[rows] = True
        target[touched] = total[touched]
    else:
        np.fmax.at(target, rows, values)
