"""Whose silences no alert would ever tell of: the homes for a telephone call.

A budget buys the silences that say most. In a home whose days often pass without a sign of life, or
whose history is short, a silence that begins at some hours is never worth an alert at the present
price. What is known of every home is played on: use until some hour of the next day, then nothing.
Hours of the waking day for which no alert would come are reported, so that somebody can call.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.base import NO_SLOT, Detector, Frame, Signals
from detectors.budget import due as come
from detectors.inactivity import Inactivity
from engine.context import ABSENT
from engine.groups import Local
from engine.heard import Heard
from engine.links import Link
from engine.shard import ShardRunner
from engine.watch import Watch

WAKING = range(7, 21)
"""Local hours in which a silence may begin that somebody should hear of."""
WITHIN_H = 72
"""A silence of three days without an alert is told by nobody."""
USE = 50.0
"""Of any utility in an hour: more than what any home uses without people."""

Due = Callable[[Signals], NDArray[np.bool_]]
"""Says which rows have come to their moment."""


class Unreached(NamedTuple):
    """A home with waking hours in which the beginning of a silence would never come to an alert."""

    subject_id: str
    place: str
    rule: str
    hours: tuple[int, ...]
    """Local hours of the waking day."""
    share: float
    """Of the waking day."""
    usual_h: float | None
    """Median hours from the beginning to the alert for the other waking hours."""
    ready: bool
    """Whether its history, or its like, says anything at all yet."""


def unreached(shard: ShardRunner) -> list[Unreached]:
    """Return the homes that need a telephone call, those with the largest share first.

    Homes that are registered as absent are left out. Nothing about the shard changes.
    """
    found = [
        home
        for watch in shard.watches
        for turns in islice(watch.turns.values(), 1)
        for link in turns.heard.links
        if isinstance(link.group.detector, Inactivity) and link.group.last_slot is not None
        for home in _of_link(shard, watch, turns.heard, link)
    ]
    return sorted(found, key=lambda home: (-home.share, home.rule, home.subject_id))


def write_unreached(path: str, found: Sequence[Unreached]) -> None:
    """Write homes to call as CSV, in the columns of :class:`Unreached`."""
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(Unreached._fields)
        for home in found:
            hours = " ".join(map(str, home.hours))
            usual = "" if home.usual_h is None else f"{home.usual_h:g}"
            ready = "yes" if home.ready else "no"
            rows.writerow(home._replace(hours=hours, usual_h=usual, ready=ready))  # type: ignore[arg-type]


def _of_link(shard: ShardRunner, watch: Watch, heard: Heard, link: Link) -> Iterator[Unreached]:
    """Yield the homes of one group of a rule that need a call."""
    group = link.group
    detector, first = group.detector, (group.last_slot or 0) + 1
    rule_row = link.to_rule(np.arange(detector.rows, dtype=np.int32))
    mine = np.flatnonzero(rule_row >= 0)

    def due(said: Signals) -> NDArray[np.bool_]:
        mask = np.zeros(detector.rows, np.bool_)
        key = heard.key[watch.rows[rule_row[mine]]]
        onset = said.onset[0, mine]
        mask[mine] = come(said.urgency[0, mine], watch.price, key, onset) & (onset != NO_SLOT)
        return mask

    def local(slot: int) -> Local:
        return shard.local.columns(slot, group.slot_s, group.phase_s)

    hour, delay_h, ready = delays(detector, first, local, due)
    waking = np.isin(hour, WAKING)
    registry, at_ns = shard.registry, shard.now_ns or 0
    for row in mine.tolist():
        never = waking[:, row] & np.isnan(delay_h[:, row])
        subject = int(watch.rows[rule_row[row]])
        if not never.any() or shard.around.context_register.holds(ABSENT, subject, at_ns):
            continue
        told = delay_h[waking[:, row] & ~never, row]
        yield Unreached(
            registry.subject_id(subject),
            registry.place(subject),
            watch.rule.name,
            tuple(sorted(hour[never, row].tolist())),
            round(float(never.sum() / max(waking[:, row].sum(), 1)), 3),
            float(np.median(told)) if len(told) else None,
            bool(ready[row]),
        )


def delays(
    detector: Detector, first_slot: int, local: Callable[[int], Local], due: Due
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]:
    """Play silences that begin at each hour of a day; the detector's state stays as it is.

    Parameters
    ----------
    detector : Detector
        One with hourly slots that hears of silence.
    first_slot : int
        The slot after the last that it was told of.
    local : callable
        Gives the local columns of a slot.
    due : callable
        Says which rows have come to their moment.

    Returns
    -------
    hour : ndarray of int64, shape (24, N)
        Local hour in which each silence begins.
    delay_h : ndarray of float64, shape (24, N)
        Hours from its beginning to the end of the slot that would raise the alert; NaN for never.
    ready : ndarray of bool, shape (N,)
        Whether the detector says anything of a row.
    """
    use = np.full((1, len(detector.channels), detector.rows), np.nan, np.float32)
    use[0, detector.fed] = USE
    nothing = np.where(np.isnan(use), use, np.float32(0.0))
    hour = np.zeros((24, detector.rows), np.int64)
    delay_h = np.full((24, detector.rows), np.nan)
    ready = np.zeros(detector.rows, np.bool_)
    kept = detector.state
    lived = {name: values.copy() for name, values in kept.items()}
    try:
        for i in range(24):
            detector.state = lived
            detector.step(Frame(first_slot + i, use, *local(first_slot + i)))
            detector.state = {name: values.copy() for name, values in lived.items()}
            start = first_slot + i + 1
            hour[i] = local(start)[0][0, detector.zone]
            for k in range(WITHIN_H):
                said = detector.step(Frame(start + k, nothing, *local(start + k)))
                now = due(said) & np.isnan(delay_h[i])
                delay_h[i, now] = k + 1
                ready |= said.urgency[0] >= 0
    finally:
        detector.state = kept
    return hour, delay_h, ready
