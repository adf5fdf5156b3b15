"""The intake: rows of readings in, amounts per slot out, every row with one end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from connectors.records import Status
from detectors.base import NS
from engine.intake import growth, kernel
from engine.intake.layout import (
    BEFORE,
    CLASS,
    HELD_LATE,
    KIND,
    LATE,
    LOOK,
    NEVER,
    NEVER_NS,
    NO_TOKEN,
    READING,
    SETTLED,
    SINCE,
    STEP,
    Late,
    Settled,
    empty,
    unheard_intervals,
    unheard_registers,
)
from engine.intake.limits import (
    KEPT_S,
    LONGEST_GAP_INTERVALS,
    LONGEST_GAP_S,
    SNAP_DAILY_S,
    SNAP_S,
    limits_of,
)
from engine.intake.upgrade import from_schema_1

if TYPE_CHECKING:
    from engine.registry import Meters, Registry

SCHEMA = 2
_FIRST_ROOM = 4096
_MOST_READINGS = 64


class IntakeError(ValueError):
    """The intake cannot do what it was asked."""


class Intake:
    """State of all meters of a shard: open slots, last readings, what has been given out.

    Nothing here reads a clock: the caller says how far event time has come. Results depend on the
    order of rows only where they are late; cutting them into blocks changes nothing.

    Parameters
    ----------
    registry : Registry
        Meters and their classes.
    lateness_s : sequence of int
        Allowed lateness per meter class: slot k is closed once its end + lateness has come.
    max_skew_s, tick_s : int, optional
        How far stamps may run ahead of the clock, and the clock behind arrivals.

    Raises
    ------
    IntakeError
        If the lateness of a class is missing, or a meter's scale is not above 0.
    """

    def __init__(
        self,
        registry: Registry,
        lateness_s: Sequence[int],
        max_skew_s: int = 3600,
        tick_s: int = 300,
    ) -> None:
        meters = registry.meters
        if len(lateness_s) != len(registry.classes):
            raise IntakeError(
                f"{len(registry.classes)} meter classes, lateness given for {len(lateness_s)}"
            )
        bad = np.flatnonzero(~(meters.scale > 0))
        if len(bad):
            raise IntakeError(
                f"meter {registry.meter_id(int(bad[0]))}: multiplier × unit must be above 0, "
                f"got {meters.scale[bad[0]]}"
            )
        self.registry = registry
        self._lateness_s = [int(s) for s in lateness_s]
        self._ahead = (max_skew_s, tick_s)
        self._rows: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        self.classes = self._lay_out(registry)
        self.registers = unheard_registers(int(self.classes["registers"].sum()))
        self.last = unheard_intervals(int(self.classes["ring_rows"].sum()))
        cells = int((self.classes["registers"] * self.classes["buffer_len"]).sum())
        self.kept = empty(READING, cells)
        self.ring = np.full(
            int((self.classes["ring_slots"] * self.classes["ring_rows"]).sum()), np.nan, np.float32
        )
        self.ring_tags = np.full(int(self.classes["ring_slots"].sum()), -(2**62), np.int64)
        self.bits = np.zeros(int((self.classes["kept"] * self.classes["bits_row"]).sum()), np.uint8)
        self.bit_tags = np.full(int(self.classes["kept"].sum()), -(2**62), np.int64)
        self._late = empty(LATE)
        self._settled = empty(SETTLED)
        most = int(self.classes["kept"].max()) + 4 if len(self.classes) else 1
        self._counts = np.array([0, 0, most], np.int64)
        longest = int(self.classes["buffer_len"].max()) + 1 if len(self.classes) else 1
        self._path, self._old = empty(STEP, longest), empty(STEP, longest)

    @classmethod
    def of(
        cls,
        registry: Registry,
        lateness_s: Sequence[int],
        max_skew_s: int = 3600,
        tick_s: int = 300,
    ) -> Intake:
        """Return an empty intake for the meters of a registry."""
        return cls(registry, lateness_s, max_skew_s, tick_s)

    def _lay_out(self, registry: Registry) -> NDArray[Any]:
        """Return the class table and set each meter's place in the state arrays."""
        meters = registry.meters
        classes = empty(CLASS, len(registry.classes))
        self.kinds, self.look = _kinds(meters)
        self.place = self.look["place"]
        at = dict.fromkeys(
            ("bits", "bit_tag", "ring", "ring_tag", "register", "interval", "buffer"), 0
        )
        skew_s, tick_s = self._ahead
        for i, key in enumerate(registry.classes):
            mine = np.flatnonzero(meters.class_index == i)
            order = mine[np.argsort(meters.class_row[mine], kind="stable")]
            is_register = meters.register[order]
            registers, intervals = order[is_register], order[~is_register]
            self._rows.append((registers, intervals))
            self.place[registers] = at["register"] + np.arange(len(registers), dtype=np.int32)
            self.place[intervals] = -1 - np.arange(len(intervals), dtype=np.int32)
            late_s = self._lateness_s[i]
            limits = limits_of(key.utility)
            c = classes[i]
            c["interval_s"], c["phase_s"], c["lateness_s"] = key.interval_s, key.phase_s, late_s
            c["gap_s"] = max(LONGEST_GAP_S, int(LONGEST_GAP_INTERVALS * key.interval_s))
            c["snap_s"] = min(key.interval_s // 4, SNAP_S)
            if key.interval_s >= 86_400:
                c["snap_s"] = SNAP_DAILY_S
            c["kept"] = max(2, KEPT_S // key.interval_s)
            c["bits_at"], c["bits_tag"] = at["bits"], at["bit_tag"]
            c["bits_row"] = (len(order) + 7) // 8
            c["ring_at"], c["ring_tag"] = at["ring"], at["ring_tag"]
            c["ring_rows"], c["first_interval"] = len(intervals), at["interval"]
            ahead = late_s + skew_s + tick_s
            c["ring_slots"] = 3 + -(-ahead // key.interval_s) if len(intervals) else 1
            c["first_register"], c["registers"] = at["register"], len(registers)
            c["buffer_at"] = at["buffer"]
            # Two readings fix a slot's edge each; those of the open slots must stay.
            c["buffer_len"] = min(_MOST_READINGS, 4 + 2 * max(1, -(-late_s // key.interval_s)))
            c["step_back"], c["jump_per_hour"] = limits.step_back, limits.jump_per_hour
            c["most"] = limits.most_per_hour * max(key.interval_s / 3600, 0.25)
            c["grows"] = limits.grows
            at["bits"] += int(c["kept"] * c["bits_row"])
            at["bit_tag"] += int(c["kept"])
            at["ring"] += int(c["ring_slots"] * c["ring_rows"])
            at["ring_tag"] += int(c["ring_slots"])
            at["register"] += len(registers)
            at["interval"] += len(intervals)
            at["buffer"] += int(len(registers) * c["buffer_len"])
        return classes

    # -- rows -----------------------------------------------------------------------------

    @property
    def expected(self) -> NDArray[np.bool_]:
        """Meters that have reported at least once, shape (meters,)."""
        return self.last_ns != NEVER_NS

    @property
    def last_ns(self) -> NDArray[np.int64]:
        """Newest stamp of each meter that was not quarantined; :data:`NEVER_NS` without one."""
        return self._of_meters(self.registers["last_ns"], self.last["ns"])

    @property
    def last_value(self) -> NDArray[np.float64]:
        """Value at the newest accepted stamp, in the file's unit; NaN without one."""
        return self._of_meters(self.registers["last_level"], self.last["value"])

    def _of_meters(self, of_registers: NDArray[Any], of_intervals: NDArray[Any]) -> NDArray[Any]:
        """Return what is kept of each meter, shape (meters,)."""
        at, is_register = self.places_of_meters(), self.place >= 0
        out = np.empty(len(at), of_registers.dtype)
        out[is_register] = of_registers[at[is_register]]
        out[~is_register] = of_intervals[at[~is_register]]
        return out

    def places_of_meters(self) -> NDArray[np.int64]:
        """Return where each meter stands in :attr:`registers` or :attr:`last`, shape (meters,)."""
        at = self.place.astype(np.int64)
        for c, (_, intervals) in zip(self.classes, self._rows, strict=True):
            at[intervals] = int(c["first_interval"]) - 1 - at[intervals]
        return at

    def apply(
        self,
        meter: NDArray[np.int32],
        ts_ns: NDArray[np.int64],
        value: NDArray[np.float64],
        arrival_ns: NDArray[np.int64],
        fault: NDArray[np.uint8],
        clock_ns: int,
        token: NDArray[np.int64] | None = None,
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Take rows in log order.

        Parameters
        ----------
        meter : ndarray of int32, shape (n,)
            Meter rows; −1 for unknown ones.
        ts_ns : ndarray of int64, shape (n,)
            Stamps, UTC.
        value : ndarray of float64, shape (n,)
            As the meter shows it.
        arrival_ns : ndarray of int64, shape (n,)
        fault : ndarray of uint8, shape (n,)
            What is wrong with a row already; such rows are quarantined with it.
        clock_ns : int
            Event time: slots due by then are closed.
        token : ndarray of int64, shape (n,), optional
            Names of the rows, for those that are held; default: row numbers of this call.

        Returns
        -------
        status, fault : ndarray of uint8, shape (n,)
            :class:`~connectors.records.Status` or :data:`HELD`; why, where quarantined.
        """
        meter, ts_ns, value, arrival_ns, fault = (
            _plain(column) for column in (meter, ts_ns, value, arrival_ns, fault)
        )
        n = len(meter)
        status = np.zeros(n, np.uint8)
        why = np.zeros(n, np.uint8)
        if token is None:
            token = np.arange(n, dtype=np.int64)
        token = _plain(token)
        meters = self.registry.meters
        c = self.classes
        first_open = (clock_ns // 10**9 - c["phase_s"] - c["lateness_s"]) // c["interval_s"]
        done = 0
        self._make_room()
        while True:
            done = kernel.apply(
                c, self.kinds, self.look, meters.class_row, self.ring, self.ring_tags, self.bits,
                self.bit_tags, self.registers, self.kept, self.last, self._late, self._settled,
                self._counts, first_open, self._path, self._old,
                meter, ts_ns, value, arrival_ns, fault, token, status, why, done,
            )  # fmt: skip
            if done >= n:
                return status, why
            self._make_room(grow=True)

    def _make_room(self, grow: bool = False) -> None:
        """See that the lists of amendments and settled rows have room for a row."""
        late, settled, most = self._counts.tolist()
        if grow or len(self._late) < late + most:
            self._late = _enlarged(self._late, late, late + most + max(_FIRST_ROOM, late))
        if grow or len(self._settled) < settled + 2:
            self._settled = _enlarged(self._settled, settled, settled + max(_FIRST_ROOM, settled))

    def settled(self) -> Settled:
        """Return how rows ended that were held, since this was last asked."""
        found = self._settled[: self._counts[1]].copy()
        self._counts[1] = 0
        return Settled(found["token"].copy(), found["status"].copy(), found["fault"].copy())

    def flush(self) -> Settled:
        """Accept all rows still held: nothing more will come that could refute them."""
        self.accept(np.arange(len(self.registers)))
        return self.settled()

    def accept(self, places: NDArray[Any]) -> None:
        """Settle the held rows of some registers (by place in :attr:`registers`) as good."""
        held = places[self.registers["token"][places] != NO_TOKEN]
        records = empty(SETTLED, len(held))
        records["token"] = self.registers["token"][held]
        was_late = self.registers["flags"][held] & HELD_LATE != 0
        records["status"] = np.where(was_late, Status.LATE, Status.PROCESSED)
        self.registers["token"][held] = NO_TOKEN
        self.registers["flags"][held] &= ~np.uint8(HELD_LATE)
        self._settled = np.concatenate([self._settled[: self._counts[1]], records])
        self._counts[1] = len(self._settled)

    # -- slots ----------------------------------------------------------------------------

    def close(
        self, class_index: int, slot: int, heard: NDArray[np.uint8] | None = None
    ) -> NDArray[np.float32]:
        """Return the amounts of a slot that is due, shape (class size,); NaN = missing.

        Parameters
        ----------
        class_index, slot : int
        heard : ndarray of uint8, shape (class size,), optional
            Is told when each meter was last heard of (``layout.NEVER``, ``BEFORE``, ``SINCE``): a
            register's slot may still wait for its far end.
        """
        c = self.classes[class_index]
        registers, intervals = self._rows[class_index]
        meters = self.registry.meters
        frame = np.full(len(registers) + len(intervals), np.nan, np.float32)
        if len(intervals):
            at = slot % int(c["ring_slots"])
            if self.ring_tags[int(c["ring_tag"]) + at] == slot:
                begin = int(c["ring_at"]) + at * len(intervals)
                frame[meters.class_row[intervals]] = self.ring[begin : begin + len(intervals)]
            if heard is not None:
                first = int(c["first_interval"])
                last = self.last["ns"][first : first + len(intervals)]
                start_ns = (slot * int(c["interval_s"]) + int(c["phase_s"])) * NS
                late = np.where(last == NEVER_NS, NEVER, BEFORE)
                heard[meters.class_row[intervals]] = np.where(last >= start_ns, SINCE, late)
        if len(registers):
            # Without interval meters the registers are the class's rows, in their order.
            out, when = frame, np.empty(len(frame), np.uint8) if heard is None else heard
            if len(intervals):
                out = np.full(len(registers), np.nan, np.float32)
                when = np.empty(len(registers), np.uint8)
            kernel.close_registers(
                self.classes, class_index, slot, registers, int(c["first_register"]),
                meters.scale, meters.register_max, self.registers, self.kept,
                self._path, out, when,
            )  # fmt: skip
            if len(intervals):
                frame[meters.class_row[registers]] = out
                if heard is not None:
                    heard[meters.class_row[registers]] = when
        at = slot % int(c["kept"])
        begin, width = int(c["bits_at"]) + at * int(c["bits_row"]), int(c["bits_row"])
        self.bits[begin : begin + width] = np.packbits(~np.isnan(frame), bitorder="little")
        self.bit_tags[int(c["bits_tag"]) + at] = slot
        return frame

    @property
    def has_amendments(self) -> bool:
        """Whether amounts of closed slots changed since :meth:`amendments` was last asked."""
        return bool(self._counts[0])

    def amendments(self) -> Late:
        """Return the amounts of closed slots that changed since this was last asked.

        One per (class, slot, row), the last state; sorted by these.
        """
        found = self.pending
        self._counts[0] = 0
        keys = ("row", "slot", "class_index")
        found = found[np.lexsort([found[key] for key in keys])]
        new = np.ones(len(found), bool)
        if len(found):
            same = [found[key][1:] == found[key][:-1] for key in keys]
            new[1:] = ~np.logical_and.reduce(same)
        starts = np.flatnonzero(new)
        last = np.append(starts, len(found))[1:] - 1
        arrival = found["arrival_ns"]
        return Late(
            found["class_index"][last].astype(np.int64),
            found["slot"][last],
            found["row"][last],
            found["value"][last],
            np.maximum.reduceat(arrival, starts) if len(starts) else arrival.copy(),
        )

    @property
    def pending(self) -> NDArray[Any]:
        """Amendments not yet asked for, in the order they were found (dtype ``LATE``)."""
        return self._late[: self._counts[0]].copy()

    @pending.setter
    def pending(self, late: NDArray[Any]) -> None:
        self._late, self._counts[0] = late.astype(LATE), len(late)

    # -- meters that come and go ------------------------------------------------------------

    def grow(self, registry: Registry, lateness_s: Sequence[int]) -> None:
        """Go on with another registry; meters are told by their ids.

        Parameters
        ----------
        registry : Registry
            New meters, in any order; meters that it lacks are dropped.
        lateness_s : sequence of int
            Allowed lateness of its classes.
        """
        new = Intake(registry, lateness_s, *self._ahead)
        growth.carry(self, new)
        new.adopt_settled(self)
        self.__dict__.update(new.__dict__)

    def adopt_settled(self, other: Intake) -> None:
        """Take over rows of `other` that were settled and not yet asked for."""
        self._settled = other._settled[: other._counts[1]].copy()
        self._counts[1] = other._counts[1]

    def forget(self, rows: NDArray[np.int32]) -> None:
        """Erase all that is kept of meters, as if they had never reported."""
        growth.erase(self, np.asarray(rows))

    # -- keeping --------------------------------------------------------------------------

    _ARRAYS = (
        "registers",
        "kept",
        "ring",
        "ring_tags",
        "bits",
        "bit_tags",
        "last",
    )

    def snapshot(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return a JSON-able header and copies of all arrays."""
        arrays = {name: getattr(self, name).copy() for name in self._ARRAYS}
        arrays["late"] = self.pending
        arrays["settled"] = self._settled[: self._counts[1]].copy()
        return self._header(), arrays

    def _header(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "meters": len(self.look),
            "classes": [
                [k.utility, k.interval_s, k.phase_s, late]
                for k, late in zip(self.registry.classes, self._lateness_s, strict=True)
            ],
            "ahead": list(self._ahead),
        }

    def restore(self, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over a snapshot of an intake with the same meters, also of an earlier program.

        Raises
        ------
        IntakeError
            If the snapshot is of other meters, other lateness or a later program.
        """
        older = header.get("schema") == 1
        for key, wanted in self._header().items():
            if header.get(key) != wanted and not (older and key == "schema"):
                raise IntakeError(
                    f"snapshot of the intake does not fit: {key} is {header.get(key)!r}, "
                    f"this shard has {wanted!r}; replay from the start"
                )
        if older:
            arrays = from_schema_1(self, arrays)
        for name in self._ARRAYS:
            mine = getattr(self, name)
            given = arrays[name]
            if given.shape != mine.shape or given.dtype != mine.dtype:
                raise IntakeError(
                    f"snapshot of the intake does not fit: array {name} is {given.dtype}"
                    f"{given.shape}, expected {mine.dtype}{mine.shape}"
                )
            mine[...] = given
        self.pending = arrays["late"]
        self._settled = arrays["settled"].astype(SETTLED)
        self._counts[1] = len(self._settled)

    @property
    def nbytes(self) -> int:
        """Bytes of arrays held."""
        return sum(getattr(self, name).nbytes for name in (*self._ARRAYS, "look"))


def _kinds(meters: Meters) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the kinds of meters that there are, and each meter's number among them."""
    kind = np.zeros(len(meters), np.int64)
    for column in (meters.class_index, meters.stamp_end, meters.scale, meters.register_max):
        if (column == column[:1]).all():
            continue
        _, code = np.unique(column, return_inverse=True)
        _, kind = np.unique(kind * (int(code.max(initial=0)) + 1) + code, return_inverse=True)
    _, first = np.unique(kind, return_index=True)
    kinds, look = empty(KIND, len(first)), empty(LOOK, len(meters))
    kinds["class_index"], kinds["stamp_end"] = meters.class_index[first], meters.stamp_end[first]
    kinds["scale"], kinds["maximum"] = meters.scale[first], meters.register_max[first]
    look["kind"] = kind
    return kinds, look


def _enlarged(records: NDArray[Any], used: int, size: int) -> NDArray[Any]:
    larger = np.zeros(size, records.dtype)
    larger[:used] = records[:used]
    return larger


def _plain(column: NDArray[Any]) -> NDArray[Any]:
    """Return a column as the kernel was compiled for: contiguous and writable."""
    return column if column.flags.c_contiguous and column.flags.writeable else column.copy()
