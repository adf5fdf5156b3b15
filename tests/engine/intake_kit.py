"""What intake tests share: a registry without files, and a clock that closes slots."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.csv as pv

from connectors.records import Status
from engine.intake import HELD, Intake

NS = 10**9
TICK_S = 300
T0 = 1_700_000_000 // 86_400 * 86_400
"""A midnight, UTC."""


class Columns(SimpleNamespace):
    def __len__(self) -> int:
        return len(self.class_index)


def registry(*meters: dict[str, Any]) -> Any:
    """Return what the intake needs of a registry; each meter is a dict of its columns."""
    keys = [
        (m.get("utility", "water"), m.get("interval_s", 3600), m.get("phase_s", 0)) for m in meters
    ]
    classes = sorted(set(keys))
    index = np.array([classes.index(k) for k in keys], np.uint8)
    row = np.zeros(len(meters), np.int32)
    for i in range(len(classes)):
        row[index == i] = np.arange(np.sum(index == i))
    names = [str(m.get("name", i)) for i, m in enumerate(meters)]
    columns = Columns(
        meter_id=pa.array(names, pa.string()),
        class_index=index,
        class_row=row,
        register=np.array([m.get("register", True) for m in meters], bool),
        stamp_end=np.array([m.get("stamp_end", True) for m in meters], bool),
        scale=np.array([m.get("scale", 1.0) for m in meters], np.float64),
        register_max=np.array([m.get("register_max", 0.0) for m in meters], np.float64),
    )
    return SimpleNamespace(
        meters=columns,
        classes=[SimpleNamespace(utility=u, interval_s=i, phase_s=p) for u, i, p in classes],
        class_sizes=np.bincount(index, minlength=len(classes)).tolist(),
        meter_id=names.__getitem__,
    )


@dataclass
class Driver:
    """Feeds rows, moves the clock in ticks, closes what is due, keeps everything that came out."""

    registry: Any
    lateness_s: list[int]
    intake: Any = None
    now_s: int | None = None
    next_slot: list[int] = field(default_factory=list)
    frames: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)
    """What was given out at the due time."""
    amounts: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)
    """The same with all amendments."""
    status: dict[int, int] = field(default_factory=dict)
    fault: dict[int, int] = field(default_factory=dict)
    amended: int = 0
    taken: int = 0

    def __post_init__(self) -> None:
        if self.intake is None:
            self.intake = Intake.of(self.registry, self.lateness_s)

    def enter(self, at_s: int) -> None:
        """Move the clock to the tick of a time."""
        tick_s = at_s // TICK_S * TICK_S
        if self.now_s is None:
            self.now_s = tick_s
            self.next_slot = [
                (tick_s - c.phase_s - late) // c.interval_s
                for c, late in zip(self.registry.classes, self.lateness_s, strict=True)
            ]
        if tick_s <= self.now_s:
            return
        self.amend()
        self.now_s = tick_s
        for i, c in enumerate(self.registry.classes):
            while (self.next_slot[i] + 1) * c.interval_s + c.phase_s + self.lateness_s[i] <= tick_s:
                frame = self.intake.close(i, self.next_slot[i])
                self.frames[i, self.next_slot[i]] = frame
                self.amounts[i, self.next_slot[i]] = frame.copy()
                self.next_slot[i] += 1

    def amend(self) -> None:
        late = self.intake.amendments()
        for i, slot, row, value in zip(*(x.tolist() for x in late[:4]), strict=True):
            self.amended += 1
            if (i, slot) not in self.amounts:
                size = self.registry.class_sizes[i]
                self.amounts[i, slot] = np.full(size, np.nan, np.float32)
            self.amounts[i, slot][row] = value

    def feed(self, meter, at_s, value, arrival_s=None, fault=None) -> None:
        """Feed rows whose stamps are seconds; arrival defaults to the newest stamp so far."""
        meter, value = np.asarray(meter, np.int32), np.asarray(value, np.float64)
        ts = np.round(np.asarray(at_s, np.float64) * 1000).astype(np.int64) * (NS // 1000)
        if arrival_s is None:
            start = max(self.now_s or 0, 0) * NS
            arrival = np.maximum(np.maximum.accumulate(ts), start)
        else:
            arrival = np.asarray(arrival_s, np.int64) * NS
        fault = np.zeros(len(meter), np.uint8) if fault is None else np.asarray(fault, np.uint8)
        tick = arrival // (TICK_S * NS)
        cuts = [0, *(np.flatnonzero(np.diff(tick)) + 1).tolist(), len(meter)]
        for a, b in pairwise(cuts):
            if a == b:
                continue
            self.enter(int(arrival[a] // NS))
            token = np.arange(self.taken, self.taken + b - a, dtype=np.int64)
            status, why = self.intake.apply(
                meter[a:b], ts[a:b], value[a:b], arrival[a:b], fault[a:b], self.now_s * NS, token
            )
            self.status.update(zip(token.tolist(), status.tolist(), strict=True))
            self.fault.update(zip(token.tolist(), why.tolist(), strict=True))
            self.taken += b - a
            self._settle(self.intake.settled())

    def _settle(self, settled) -> None:
        for token, status, fault in zip(*(x.tolist() for x in settled), strict=True):
            assert self.status[token] == HELD
            self.status[token], self.fault[token] = status, fault

    def finish(self, hours: int = 6) -> None:
        """Let time pass, then decide what is still held."""
        assert self.now_s is not None
        self.enter(self.now_s + hours * 3600)
        self.amend()
        self._settle(self.intake.flush())
        assert HELD not in self.status.values()

    def row(self, meter: int, from_s: int, to_s: int) -> list[float]:
        """Return the amounts of a meter over the slots between two times."""
        i = int(self.registry.meters.class_index[meter])
        c = self.registry.classes[i]
        r = int(self.registry.meters.class_row[meter])
        slots = range(from_s // c.interval_s, to_s // c.interval_s)
        return [float(self.amounts[i, k][r]) if (i, k) in self.amounts else np.nan for k in slots]

    @property
    def counts(self) -> dict[str, int]:
        values = list(self.status.values())
        return {s.name.lower(): values.count(s) for s in Status}


def real(folder: Path, most: int = 10**9) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray]:
    """Return (registry, meter, stamp in seconds UTC, value) of a real data set, in file order."""
    meters = pv.read_csv(folder / "meters.csv").to_pylist()
    zones = {
        r["subject_id"]: r["timezone"] for r in pv.read_csv(folder / "subjects.csv").to_pylist()
    }
    zone = ZoneInfo(zones[meters[0]["subject_id"]])
    reg = registry(
        *(
            {
                "name": m["meter_id"],
                "utility": m["utility"],
                "register": m["kind"] == "register",
                "interval_s": m["interval_s"],
                "stamp_end": m["stamp"] == "end",
            }
            for m in meters
        )
    )
    table = pv.read_csv(folder / "readings.csv.gz").slice(0, most)
    ids = {m["meter_id"]: i for i, m in enumerate(meters)}
    meter = np.array([ids[m] for m in table["meter_id"].to_pylist()], np.int32)
    stamps = table["ts"].to_pylist()
    local = np.array([np.datetime64(s, "s") for s in stamps]).astype(np.int64)
    hours = local // 3600
    unique, where = np.unique(hours, return_inverse=True)
    epoch = datetime(1970, 1, 1)  # noqa: DTZ001 - local times
    first, second = (
        np.array(
            [
                (epoch + timedelta(hours=int(h))).replace(tzinfo=zone, fold=f).timestamp()
                for h in unique
            ],
            np.int64,
        )[where]
        + local % 3600
        for f in (0, 1)
    )
    # An hour that occurs twice is the first pass until the meter's stamps step back.
    at = first
    for m in range(len(meters)):
        mine = np.flatnonzero(meter == m)
        back = np.diff(local[mine], prepend=local[mine][:1]) < 0
        step = np.zeros(len(mine), bool)
        for j in np.flatnonzero(back & (first[mine] != second[mine])):
            step |= (np.arange(len(mine)) >= j) & (hours[mine] // 24 == hours[mine][j] // 24)
        at[mine[step]] = second[mine[step]]
    return reg, meter, at, table["value"].to_numpy()
