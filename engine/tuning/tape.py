"""What a rule's detector was told during a replay, kept so that it can be told again.

One replay through the whole engine (intake, event clock, late readings, notices) is recorded at the
detector's door; other parameters are then tried on the recording, a hundred times faster and with
nothing about the edge assumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from detectors.base import Detector, Frame, IntArray, Signals
from engine import library
from engine.config import Config
from engine.groups import Group
from engine.links import Link
from engine.replay import Replay, ReplayOptions
from rules.model import Rule, rule_set

Amendment: TypeAlias = tuple[int, IntArray, NDArray[np.float32]]
Notice: TypeAlias = tuple[str, IntArray, NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]
Told: TypeAlias = tuple[int, Amendment | Notice]
"""(slots seen before it, what was told)."""


class TapeError(ValueError):
    """A rule's detector cannot be recorded, or nothing was."""


@dataclass(slots=True)
class Tape:
    """One group of a rule: what its detector was told, T slots of N subjects.

    Parameters
    ----------
    kind : type of Detector
    params : dict of str to float
        Those of the rule.
    subjects : list of str
        Ids, shape (N,).
    frame : Frame
        All slots as they were known when they were due.
    told : list of (int, amendment or notice)
        In order, each with how many slots went before.
    lateness_s : int
        How long after its end a slot is due.
    """

    kind: type[Detector]
    interval_s: int
    params: dict[str, float]
    subjects: list[str]
    zone: NDArray[np.uint8]
    key: NDArray[np.uint64]
    fed: list[int]
    lateness_s: int
    frame: Frame
    told: list[Told] = field(default_factory=list)

    @property
    def slots(self) -> int:
        """Number of slots T."""
        return self.frame.slots

    @property
    def local_hour(self) -> NDArray[np.float64]:
        """Local time of day of each slot and row in hours, shape (T, N)."""
        slot = self.frame.local_slot[:, self.zone]
        hours: NDArray[np.float64] = slot.astype(np.float64) * (self.interval_s / 3600)
        return hours

    def known(self) -> NDArray[np.bool_]:
        """Return which slots lie between a row's first and last value, shape (T, N)."""
        seen = np.asarray(np.isfinite(self.frame.values).any(axis=1))
        begun = np.maximum.accumulate(seen, axis=0)
        goes_on = np.maximum.accumulate(seen[::-1], axis=0)[::-1]
        both: NDArray[np.bool_] = begun & goes_on
        return both


@dataclass(slots=True)
class Track:
    """What a detector said, slot by slot: shapes (T, R)."""

    urgency: NDArray[np.int8]
    onset: NDArray[np.int64]


@dataclass(slots=True)
class Script:
    """A tape as some rows are to hear it: row r is subject ``source[r]``, with values of its own.

    Parameters
    ----------
    source : ndarray of int64, shape (R,)
        Row of the tape.
    start, stop : ndarray of int64, shape (R,)
        Slots in which values were planted; both 0 where none were.
    values : ndarray of float32, shape (T, C, R)
    """

    tape: Tape
    source: NDArray[np.int64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    values: NDArray[np.float32]

    @classmethod
    def of(cls, tape: Tape, rows: IntArray) -> Script:
        """Return the untouched record of some subjects."""
        source = np.asarray(rows, np.int64)
        none = np.zeros(len(source), np.int64)
        return cls(tape, source, none, none, np.ascontiguousarray(tape.frame.values[:, :, source]))

    def play(self, params: dict[str, float]) -> Track:
        """Return what a detector with these parameters says of it all.

        Raises
        ------
        detectors.base.DetectorError
            If it cannot have these parameters.
        """
        tape = self.tape
        detector = tape.kind(
            len(self.source),
            interval_s=tape.interval_s,
            zone=tape.zone[self.source],
            key=tape.key[self.source],
            fed=tape.fed,
            **params,
        )
        track = Track(
            np.full((tape.slots, len(self.source)), -1, np.int8),
            np.full((tape.slots, len(self.source)), -1, np.int64),
        )
        done = 0
        for before, told in self._told():
            done = self._step(detector, done, before, track)
            if isinstance(told[0], str):
                detector.inform(*told)
            else:
                detector.amend(*told)
        self._step(detector, done, tape.slots, track)
        return track

    def _step(self, detector: Detector, start: int, stop: int, track: Track) -> int:
        if stop > start:
            frame, span = self.tape.frame, slice(start, stop)
            part = Frame(
                frame.first_slot + start,
                self.values[span],
                frame.local_slot[span],
                frame.local_day[span],
                frame.rest_day[span],
            )
            said: Signals = detector.step(part)
            track.urgency[span], track.onset[span] = said.urgency, said.onset
        return max(start, stop)

    def _told(self) -> Sequence[Told]:
        """Return the tape's amendments and notices for these rows."""
        heirs: list[NDArray[np.int64]] = [
            np.flatnonzero(self.source == row) for row in range(len(self.tape.subjects))
        ]
        found: list[Told] = []
        for before, told in self.tape.told:
            rows = told[1]
            mine = [heirs[int(row)] for row in rows]
            at = np.repeat(np.arange(len(rows)), [len(m) for m in mine])
            if not len(at):
                continue
            target = np.concatenate(mine)
            order = np.argsort(target)
            at, target = at[order], target[order]
            if isinstance(told[0], str):
                _, _, start_ns, end_ns, value = told
                found.append((before, (told[0], target, start_ns[at], end_ns[at], value[at])))
                continue
            slot, _, values = told
            amended = values[:, at].copy()
            index = slot - self.tape.frame.first_slot
            inside = (self.start[target] <= index) & (index < self.stop[target])
            # What was planted stays planted; that a reading came late is kept.
            planted = self.values[min(max(index, 0), self.tape.slots - 1)][:, target]
            swap = inside & np.isfinite(amended)
            amended[swap] = planted[swap]
            found.append((before, (slot, target, amended)))
        return found


class Recorder(Replay):
    """A replay of one rule that records what its deciding detector is told."""

    def __init__(self, options: ReplayOptions, config: Config, rule: str, most: int) -> None:
        super().__init__(options, config)
        self.rule = chosen(self.rules.rules, rule)
        self.rules = rule_set([self.rule], ())
        self._most = most
        self._reels: list[_Reel] = []

    def _prepare(self) -> None:
        shard = self.host.shards[0]
        watch = shard.watches[0]
        for link in watch.turns[watch.primary].heard.links if watch.primary else []:
            self._reels.append(_Reel(self, link, self._most))
        # What attributes say (a plant's closure) was told when the shard was made: hear it again.
        for reel in self._reels:
            reel.overhearing = True
        shard.around.informer.registry()
        for reel in self._reels:
            reel.overhearing = False

    def record(self) -> list[Tape]:
        """Run to the end; return one tape a group of rows that fall due together.

        Raises
        ------
        TapeError
            If the rule watches nothing here.
        """
        self.run()
        tapes = [tape for reel in self._reels if (tape := reel.tape()) is not None]
        if not tapes:
            raise TapeError(
                f"rule {self.rule.name!r} watches no subject of these files; it names "
                f"{', '.join(self.rule.subjects.kinds) or 'series of events'}"
            )
        return tapes


def chosen(rules: Sequence[Rule], name: str) -> Rule:
    """Return the rule of that name if it can be tuned.

    Raises
    ------
    TapeError
        If there is none, it has no budget, or it watches places or counts of events.
    """
    rule = next((r for r in rules if r.name == name), None)
    if rule is None:
        known = ", ".join(sorted(r.name for r in rules))
        raise TapeError(f"no rule {name!r}; there are {known}")
    if rule.subjects.grain != "subject" or rule.subjects.series is not None:
        raise TapeError(f"rule {name!r} watches places or counts of events; only rules about "
                        "subjects with meters can be tuned")  # fmt: skip
    if rule.budget is None:
        raise TapeError(
            f"rule {name!r} has no budget: its `when` names a line of evidence, and what is found "
            "at a budget cannot be asked of it"
        )
    return rule


class _Reel:
    """Records one group; keeps at most `most` subjects, those whose keys come first."""

    def __init__(self, recorder: Recorder, link: Link, most: int) -> None:
        group: Group = link.group
        self._group, self._detector = group, group.detector
        key = self._detector.key
        self._rows = np.sort(np.argsort(key, kind="stable")[:most]).astype(np.int64)
        self._subjects = [
            recorder.registry.subjects.subject_id[int(group.subject_rows[r])].as_py()
            for r in self._rows
        ]
        self.overhearing = False
        """Whether what is told now reaches the recording alone."""
        self._frames: list[Frame] = []
        self._told: list[Told] = []
        detector: Any = self._detector
        self._step, self._amend, self._inform = detector.step, detector.amend, detector.inform
        detector.step, detector.amend, detector.inform = self.step, self.amend, self.inform

    def step(self, frame: Frame) -> Signals:
        kept = np.ascontiguousarray(frame.values[:, :, self._rows])
        self._frames.append(
            Frame(frame.first_slot, kept, frame.local_slot, frame.local_day, frame.rest_day)
        )
        said: Signals = self._step(frame)
        return said

    def amend(self, slot: int, rows: IntArray, values: NDArray[np.float32]) -> None:
        mine, at = self._mine(rows)
        if len(mine):
            self._told.append((len(self._frames), (slot, mine, values[:, at].copy())))
        self._amend(slot, rows, values)

    def inform(
        self,
        kind: str,
        rows: IntArray,
        start_ns: NDArray[np.int64],
        end_ns: NDArray[np.int64],
        value: NDArray[np.float32] | None = None,
    ) -> None:
        mine, at = self._mine(rows)
        if len(mine):
            amount = np.full(len(rows), np.nan, np.float32) if value is None else value
            told = (kind, mine, start_ns[at].copy(), end_ns[at].copy(), amount[at].copy())
            self._told.append((len(self._frames), told))
        if not self.overhearing:
            self._inform(kind, rows, start_ns, end_ns, value)

    def _mine(self, rows: IntArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the tape's rows among `rows`, and where they stand there."""
        at = np.searchsorted(self._rows, rows)
        inside = at < len(self._rows)
        inside[inside] = self._rows[at[inside]] == np.asarray(rows)[inside]
        return at[inside].astype(np.int64), np.flatnonzero(inside)

    def tape(self) -> Tape | None:
        if not self._frames or not len(self._rows):
            return None
        first = self._frames[0].first_slot
        last = self._frames[-1].first_slot
        if last - first + 1 != len(self._frames):
            raise TapeError(f"{self._detector.name}: slots {first} to {last} have gaps")
        frame = Frame(
            first,
            np.concatenate([f.values for f in self._frames]),
            np.concatenate([f.local_slot for f in self._frames]),
            np.concatenate([f.local_day for f in self._frames]),
            np.concatenate([f.rest_day for f in self._frames]),
        )
        detector = self._detector
        return Tape(
            type(detector), detector.interval_s, dict(detector.params), self._subjects,
            detector.zone[self._rows], detector.key[self._rows], detector.fed,
            self._group.lateness_s, frame, self._told,
        )  # fmt: skip


def record(
    options: ReplayOptions, config: Config, rule: str, most: int = 400, progress: Any = None
) -> tuple[Rule, list[Tape]]:
    """Replay `options` and return the rule and the tapes of its deciding detector."""
    run = Recorder(options, config, rule, most)
    run.on_progress = progress
    return run.rule, run.record()


__all__ = ["Recorder", "Script", "Tape", "TapeError", "Track", "chosen", "library", "record"]
