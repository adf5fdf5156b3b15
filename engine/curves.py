"""The archive of series: what each meter used and what each detector said, for people to look at.

One file per meter class and per detector group: a ring of slots × rows of float32, the row order
of the registry, so that a closed slot is one contiguous write, and the size is bounded: days × slots
a day × rows × 4 bytes (64 days of 15 minutes: 24 kB a meter). Nothing is decided from it. It is
derived from the log, so a crash loses nothing that a replay would not write again. NaN is no reading.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from detectors.base import Signals
from engine.groups import Group
from engine.intake.layout import Late
from engine.registry import Registry

DAY_S = 86_400
NS = 1_000_000_000
BAND_DAYS = 56
FEWEST_DAYS = 5
"""Like slots that a usual band needs."""
LOW, HIGH = 0.1, 0.9


class CurveError(OSError):
    """The archive cannot be written."""


class Watched(Protocol):
    """What the archive asks of a shard."""

    @property
    def registry(self) -> Registry:
        """Its subjects and meters."""

    @property
    def groups(self) -> Sequence[Group]:
        """Its detectors."""


@dataclass(slots=True)
class Ring:
    """One file: slots × rows.

    Parameters
    ----------
    path : Path
        Without its suffix; ``.f32`` holds the values, ``.json`` says what they are, ``.at`` holds
        which slot each place of the ring has.
    head : mapping
        ``interval_s``, ``phase_s``, ``slots``, ``rows`` (ids), and what people call it.
    """

    path: Path
    head: Mapping[str, Any]
    values: NDArray[np.float32]
    at: NDArray[np.int64]
    """Slot that each place of the ring holds; −1 for none. Written after the values."""

    @classmethod
    def create(cls, path: Path, head: Mapping[str, Any]) -> Ring:
        """Open a ring for writing; one whose rows have changed keeps the columns that are left."""
        shape = (int(head["slots"]), len(head["rows"]))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            old = cls.open(path)
            if old is None or old.head != json.loads(json.dumps(dict(head))):
                _fresh(path, shape, old, head)
            return cls(path, head, *_maps(path, shape, "r+"))
        except OSError as error:
            raise CurveError(f"{path}: cannot be written: {error.strerror or error}") from None

    @classmethod
    def open(cls, path: Path) -> Ring | None:
        """Open a ring for reading, or None where there is none (yet)."""
        try:
            head = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            shape = (int(head["slots"]), len(head["rows"]))
            return cls(path, head, *_maps(path, shape, "r"))
        except (OSError, ValueError, KeyError):
            return None

    @property
    def interval_s(self) -> int:
        """Length of a slot, seconds."""
        return int(self.head["interval_s"])

    @property
    def newest(self) -> int:
        """The newest slot; −1 without any."""
        return int(self.at.max()) if len(self.at) else -1

    def put(self, slot: int, row: NDArray[np.float32]) -> None:
        """Write a slot."""
        self.values[slot % len(self.values)] = row
        self.at[slot % len(self.values)] = slot

    def amend(self, slot: NDArray[np.int64], row: NDArray[Any], value: NDArray[Any]) -> None:
        """Correct values of slots that the ring still holds."""
        where = slot % len(self.values)
        held = self.at[where] == slot
        self.values[where[held], row[held]] = value[held]

    def read(self, first: int, last: int, rows: Sequence[int]) -> NDArray[np.float64]:
        """Return slots first … last−1, summed over rows; NaN where nothing is known."""
        out = np.full(max(last - first, 0), np.nan)
        wanted = np.arange(first, last)
        where = wanted % len(self.values)
        held = np.asarray(self.at[where] == wanted)
        if not held.any():
            return out
        part = np.asarray(self.values[where[held]][:, list(rows)], np.float64)
        summed = np.nansum(part, axis=1)
        summed[np.isnan(part).all(axis=1)] = np.nan
        out[held] = summed
        return out


def _maps(path: Path, shape: tuple[int, int], mode: Any) -> tuple[Any, Any]:
    if 0 in shape:
        return np.zeros(shape, np.float32), np.full(shape[0], -1, np.int64)
    values = np.memmap(path.with_suffix(".f32"), np.float32, mode, shape=shape)
    return values, np.memmap(path.with_suffix(".at"), np.int64, mode, shape=shape[:1])


def _fresh(path: Path, shape: tuple[int, int], old: Ring | None, head: Mapping[str, Any]) -> None:
    """Write an empty ring, with the columns of an older one of its kind."""
    new = path.with_name(path.name + "-new")
    if 0 not in shape:
        _reserve(new.with_suffix(".f32"), shape[0] * shape[1] * 4)
        values = np.memmap(new.with_suffix(".f32"), np.float32, "r+", shape=shape)
        at = np.full(shape[0], -1, np.int64)
        like = old is not None and old.head["interval_s"] == head["interval_s"]
        if old is not None and like and len(old.values) == shape[0]:
            place = {name: i for i, name in enumerate(old.head["rows"])}
            pairs = [(i, place[name]) for i, name in enumerate(head["rows"]) if name in place]
            mine, theirs = np.array(pairs or np.zeros((0, 2)), np.int64).T
            for i in np.flatnonzero(old.at >= 0).tolist():
                values[i] = np.nan
                values[i, mine] = old.values[i, theirs]
                at[i] = old.at[i]
        values.flush()
        at.tofile(new.with_suffix(".at"))
    text = json.dumps(dict(head), ensure_ascii=False)
    new.with_suffix(".json").write_text(text, encoding="utf-8")
    for suffix in (".f32", ".at", ".json"):
        if new.with_suffix(suffix).exists():
            new.with_suffix(suffix).replace(path.with_suffix(suffix))


def _reserve(path: Path, size: int) -> None:
    """Make a file whose every byte has its place on the disk.

    A hole that cannot be filled, because the disk is full by then, would end the process (SIGBUS).
    """
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)


class CurveArchive:
    """Writes what a shard closes: its :attr:`~engine.shard.ShardRunner.tap`.

    Parameters
    ----------
    folder : Path
    shard : ShardRunner
    days : int
        How much is kept.
    """

    def __init__(self, folder: Path, shard: Watched, days: int) -> None:
        registry = shard.registry
        meters = registry.meters
        owners = registry.subjects.subject_id.to_pylist()
        ids = meters.meter_id.to_pylist()
        self._classes: list[Ring] = []
        for i, key in enumerate(registry.classes):
            mine = np.flatnonzero(meters.class_index == i)
            mine = mine[np.argsort(meters.class_row[mine])]
            head = {
                "kind": "class",
                "label": key.label,
                "utility": key.utility,
                "interval_s": key.interval_s,
                "phase_s": key.phase_s,
                "slots": max(days * DAY_S // key.interval_s, 8),
                "rows": [ids[m] for m in mine],
                "subjects": [owners[s] if s >= 0 else "" for s in meters.subject[mine].tolist()],
            }
            name = f"class-{key.utility}-{key.interval_s}-{key.phase_s}"
            self._classes.append(Ring.create(folder / name, head))
        self._groups: dict[int, Ring] = {}
        for g, group in enumerate(shard.groups):
            if group.detector.grain != "subject" or group.series is not None:
                continue  # rows that events make have no curve of their own
            rows = [owners[s] for s in group.subject_rows.tolist()]
            head = {
                "kind": "signal",
                "label": group.detector.name,
                "utilities": list(group.utilities),
                "interval_s": group.slot_s,
                "phase_s": group.phase_s,
                "slots": max(min(days, 14) * DAY_S // group.slot_s, 8),
                "rows": rows,
                "subjects": rows,
            }
            name = f"signal-{g:02d}-{_plain(group.detector.name)}-{group.slot_s}"
            self._groups[g] = Ring.create(folder / name, head)
        _sweep(folder, [*self._classes, *self._groups.values()])

    def slot(self, class_index: int, slot: int, frame: NDArray[np.float32]) -> None:
        """Take a closed slot of a meter class."""
        self._classes[class_index].put(slot, frame)

    def late(self, late: Late) -> None:
        """Take corrections of closed slots."""
        for i in np.unique(late.class_index).tolist():
            mine = late.class_index == i
            self._classes[i].amend(late.slot[mine], late.row[mine], late.value[mine])

    def signals(self, group: int, slot: int, signals: Signals) -> None:
        """Take what a detector said of its rows at a slot."""
        ring = self._groups.get(group)
        if ring is not None:
            ready = signals.urgency[-1] >= 0
            ring.put(slot, np.where(ready, signals.evidence[-1], np.nan).astype(np.float32))


def _plain(name: str) -> str:
    """Return a name as file names may have it."""
    return "".join(c if c.isalnum() else "-" for c in name)


def _sweep(folder: Path, kept: Sequence[Ring]) -> None:
    """Remove files of classes and groups that are no more."""
    names = {ring.path.name for ring in kept}
    for file in folder.iterdir():
        if file.suffix in (".f32", ".at", ".json") and file.stem not in names:
            file.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Series:
    """A subject's series of one class (or one detector) in a window."""

    label: str
    utility: str
    interval_s: int
    from_ns: int
    values: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    days: int
    newest_ns: int


class CurveReader:
    """Reads the archive; also while another process writes it.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._rings: dict[str, tuple[int, Ring, dict[str, list[int]]]] = {}

    def rings(self, kind: str) -> list[tuple[Ring, dict[str, list[int]]]]:
        """Return the rings of a kind, with the columns of each subject."""
        found = []
        if not self.folder.is_dir():
            return []
        for file in sorted(self.folder.glob(f"{kind}-*.json")):
            if file.stem.endswith("-new"):
                continue
            try:
                stamp = file.stat().st_mtime_ns
            except OSError:
                continue
            known = self._rings.get(file.stem)
            if known is None or known[0] != stamp:
                ring = Ring.open(file.with_suffix(""))
                if ring is None:
                    continue
                columns: dict[str, list[int]] = {}
                for i, subject in enumerate(ring.head["subjects"]):
                    columns.setdefault(subject, []).append(i)
                known = self._rings[file.stem] = (stamp, ring, columns)
            found.append((known[1], known[2]))
        return found

    def series(self, subject: str, from_ns: int, to_ns: int) -> list[Series]:
        """Return what a subject's meters used, the finest first."""
        found = [
            _series(ring, columns[subject], from_ns, to_ns, band=True)
            for ring, columns in self.rings("class")
            if subject in columns
        ]
        return sorted(found, key=lambda s: (s.utility != "electricity", s.interval_s))

    def evidence(self, subject: str, from_ns: int, to_ns: int) -> list[Series]:
        """Return what detectors said of a subject."""
        return [
            _series(ring, columns[subject][:1], from_ns, to_ns, band=False)
            for ring, columns in self.rings("signal")
            if subject in columns
        ]

    def now(self) -> dict[str, float]:
        """Return the strongest evidence of each subject at the newest slot."""
        found: dict[str, float] = {}
        for ring, columns in self.rings("signal"):
            newest = ring.newest
            if newest < 0 or not columns:
                continue
            row = np.asarray(ring.values[newest % len(ring.values)])
            for subject, where in columns.items():
                value = float(row[where[0]])
                if value == value and value > found.get(subject, -np.inf):
                    found[subject] = value
        return found


def _series(ring: Ring, rows: Sequence[int], from_ns: int, to_ns: int, *, band: bool) -> Series:
    step, phase = ring.interval_s, int(ring.head["phase_s"])
    first = (from_ns // NS - phase) // step
    last = max(-((phase - to_ns // NS) // step), first + 1)
    values = ring.read(first, last, rows)
    low, high, days = np.full_like(values, np.nan), np.full_like(values, np.nan), 0
    per_day = DAY_S // step
    if band and per_day:
        back = min(BAND_DAYS, len(ring.values) // per_day)
        history = ring.read(first - back * per_day, first, rows).reshape(back, per_day)
        enough = np.isfinite(history).sum(axis=0) >= FEWEST_DAYS
        days = int(np.isfinite(history).any(axis=1).sum())
        if enough.any():
            quantiles = np.full((2, per_day), np.nan)
            quantiles[:, enough] = np.nanquantile(history[:, enough], [LOW, HIGH], axis=0)
            # Day by day back from the first slot, so like slots of the day lie in one column.
            where = np.arange(len(values)) % per_day
            low, high = quantiles[0, where], quantiles[1, where]
    newest_ns = ((ring.newest + 1) * step + phase) * NS
    return Series(
        label=str(ring.head["label"]),
        utility=str(ring.head.get("utility", "")),
        interval_s=step,
        from_ns=(first * step + phase) * NS,
        values=values,
        low=low,
        high=high,
        days=days,
        newest_ns=newest_ns,
    )
