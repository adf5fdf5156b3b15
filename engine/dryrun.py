"""Dry run: two sets of rules over the same history, in one pass over the data.

What a change of rules would have meant: alerts gained, lost, earlier and later, and whom it would
have sent out more often. Both sides run whole (their prices differ as soon as a budget does), so
each gives exactly the lines of a replay of its own; tasks come from the same desk as live ones.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from connectors.errors import InputError
from connectors.merge import Log
from connectors.records import Counts, Event, ReadingBlock
from detectors.base import NS
from engine import library
from engine.compare import Comparison, Pair, Raised, pair_up, raised_of
from engine.config import Config
from engine.desk import Desk
from engine.history import History
from engine.host import BudgetUse, Host
from engine.hours import ns_of
from engine.inputs import directory_of, load_registry, open_source
from engine.opening import desk_of, workers_of
from engine.registry import Registry
from engine.replay import ReplayOptions
from engine.roster import Roster
from engine.shard import ShardRunner
from engine.store import Store
from rules.alerts import AlertChange
from rules.model import RuleSet

DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Draft:
    """One side of a dry run.

    Parameters
    ----------
    name : str
        What people call it: a folder, a version.
    rules : RuleSet
        Budgets that differ from the files are in it already.
    files : mapping of str to str
        Rule files by name, to show what was changed.
    """

    name: str
    rules: RuleSet
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Side:
    """What one set of rules made of the history."""

    draft: Draft
    lines: list[AlertChange]
    raised: list[Raised]
    budgets: dict[str, BudgetUse]
    visits: Counter[tuple[str, str]]
    """Tasks by (worker, or grid where no worker is known; local day)."""
    held_back: int

    @property
    def by_worker(self) -> Counter[str]:
        """Tasks by worker."""
        found: Counter[str] = Counter()
        for (worker, _), n in self.visits.items():
            found[worker] += n
        return found


@dataclass(slots=True)
class DryRun:
    """What a change of rules would have meant.

    Parameters
    ----------
    days : float
        Length of the history compared, days.
    outcomes : mapping of str to str
        What is known to have been found, by alert: ``confirmed``, ``false`` or ``unknown``.
    """

    old: Side
    new: Side
    comparison: Comparison
    first_ns: int
    last_ns: int
    days: float
    zone: str
    registry: Registry
    counts: Mapping[str, Counts]
    problems: tuple[InputError, ...]
    outcomes: Mapping[str, str]
    seconds: float
    unknown_years: tuple[int, ...] = ()
    """Years of the history without a calendar."""

    @property
    def workers(self) -> list[tuple[str, int, int]]:
        """Return (worker, tasks now, tasks with the draft), the largest increase first."""
        old, new = self.old.by_worker, self.new.by_worker
        rows = [(w, old[w], new[w]) for w in {*old, *new}]
        return sorted(rows, key=lambda r: (r[1] - r[2], r[0]))

    @property
    def extra_per_day(self) -> float:
        """Extra visits per worker and day; negative where the draft saves some."""
        extra = sum(new - old for _, old, new in self.workers)
        return extra / max(1, len(self.workers)) / max(self.days, 1e-9)

    @property
    def lost_true(self) -> list[Pair]:
        """Alerts that turned out true and that the draft would not have raised."""
        return [p for p in self.comparison.lost if self.outcome(p) == "confirmed"]

    def outcome(self, pair: Pair) -> str | None:
        """Return what was found for an alert of either side, if known."""
        ids = (r.alert_id for r in (pair.old, pair.new) if r is not None)
        return next((self.outcomes[i] for i in ids if i in self.outcomes), None)


class DryRunner:
    """Runs two drafts over the inputs of a replay.

    Parameters
    ----------
    options : ReplayOptions
        Inputs, span, workers; `rules`, `budgets` and outputs are not used.
    old, new : Draft
    config : Config
    outcomes : mapping of str to str, optional
        Verdicts by alert.
    """

    def __init__(
        self,
        options: ReplayOptions,
        old: Draft,
        new: Draft,
        config: Config,
        outcomes: Mapping[str, str] | None = None,
    ) -> None:
        self.options = options
        self.drafts = (old, new)
        self.config = config
        self.outcomes = dict(outcomes or {})
        self.registry = load_registry(options.meters, options.subjects, config)
        self.on_progress: Callable[[int, int | None], None] | None = None
        self._log: Log | None = None

    def share(self) -> tuple[float, bool]:
        """Return how much of the input was read, and whether that is known."""
        return (0.0, False) if self._log is None else self._log.progress()

    def run(self) -> DryRun:
        """Run both sides to the end of the inputs."""
        began = time.perf_counter()
        zone = (self.registry.zones or ["UTC"])[0]
        calendars = library.calendars(self.config.calendars)
        runs = [
            _Run(
                draft,
                self.options,
                ShardRunner(self.registry, draft.rules, self.config, calendars),
            )
            for draft in self.drafts
        ]
        log = self._log = self._open()
        try:
            for record in log:
                for run in runs:
                    run.host.feed(record)
                if self.on_progress is not None:
                    rows = len(record) if isinstance(record, ReadingBlock) else 1
                    self.on_progress(rows, runs[0].host.clock_ns)
        finally:
            log.close()
        roster = Roster(workers_of(self.options.workers) if self.options.workers else (), zone)
        sides = []
        for run in runs:
            run.host.finish()
            desk = desk_of(run.draft.rules, self.config, zone).with_roster(roster)
            sides.append(run.side(desk))
        host = runs[0].host
        first_ns = max(host.first_ns or 0, self.options.from_ns or 0)
        last_ns = min(host.clock_ns or first_ns, self.options.to_ns or 2**62)
        return DryRun(
            old=sides[0],
            new=sides[1],
            comparison=pair_up(sides[0].raised, sides[1].raised),
            first_ns=first_ns,
            last_ns=last_ns,
            days=max((last_ns - first_ns) / (DAY_S * NS), 1e-9),
            zone=zone,
            registry=self.registry,
            counts={s.name: Counts() for s in log.sources} | host.counts,
            problems=log.problems,
            outcomes=self.outcomes,
            seconds=time.perf_counter() - began,
            unknown_years=tuple(sorted(host.shards[0].local.unknown)),
        )

    def _open(self) -> Log:
        directory = directory_of(self.registry)
        sources = [
            open_source(file, directory, self.config, events)
            for events, files in ((False, self.options.readings), (True, self.options.events))
            for file in files
        ]
        return Log(sources, block_rows=self.options.block_rows)


class _Run:
    """One side while it runs."""

    def __init__(self, draft: Draft, options: ReplayOptions, shard: ShardRunner) -> None:
        self.draft = draft
        self.options = options
        self.lines: list[AlertChange] = []
        self.host = Host([shard], on_lines=self._take, refuse=_Nobody())

    def _take(self, lines: Sequence[AlertChange]) -> None:
        low, high = self.options.from_ns, self.options.to_ns
        self.lines += [
            line
            for line in lines
            if (low is None or ns_of(line.raised_at) >= low)
            and (high is None or ns_of(line.raised_at) < high)
        ]

    def side(self, desk: Desk) -> Side:
        """Return what it came to, everybody being sent as this desk says."""
        history = History(desk)
        history.follow(self.lines)
        return Side(
            self.draft, self.lines, raised_of(self.lines), self.host.budgets,
            history.visits, history.held_back,
        )  # fmt: skip


class _Nobody:
    """Rows that are refused are counted by both hosts alike; nobody needs them here."""

    def block(self, _block: ReadingBlock, _fault: NDArray[np.uint8]) -> None:
        """Leave them."""

    def event(self, _event: Event) -> None:
        """Leave it."""


def verdicts(store: Store) -> dict[str, str]:
    """Return what was found for each alert of a store: ``confirmed``, ``false`` or ``unknown``."""
    found: dict[str, str] = {}
    for outcome in store.register.outcomes():
        for alert in {outcome.alert_id, *store.tasks.alerts_of(outcome.task_id)}:
            found[alert] = outcome.verdict
    return found


def changed_rules(old: Iterable[Any], new: Iterable[Any]) -> list[str]:
    """Return the names of rules that are not the same on both sides, sorted."""
    before = {rule.name: rule.version for rule in old}
    after = {rule.name: rule.version for rule in new}
    return sorted(n for n in {*before, *after} if before.get(n) != after.get(n))


__all__ = ["Draft", "DryRun", "DryRunner", "Side", "changed_rules", "verdicts"]
