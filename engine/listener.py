"""What a rule hears: the words of its signals, whose moment has come, the looks of its windows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.base import NO_SLOT, NS, BoolArray, IntArray
from detectors.budget import Price
from detectors.episodes import Tally
from engine.columns import NO_ONSET, EventColumns
from engine.heard import Heard, Said, Turns, union
from engine.links import Link, rows_in
from engine.series import SeriesRows
from rules.compile import CompiledRule
from rules.masks import fuse

SIGNAL_FIELDS = ("due", "urgency", "evidence", "p_value", "ready")
CLOCK_FIELDS = ("hour", "minute", "weekday", "month")


class Listener:
    """A rule and what it hears of the rows it watches.

    Parameters
    ----------
    compiled : CompiledRule
        The rule.
    rows : ndarray of int32, shape (N,)
        Registry rows of its subjects (or place rows), ascending; those that no signal can speak
        of are left out where the rule says nothing about silence of its detectors.
    heard : mapping of str to Heard
        What each signal of the rule says; rules that listen alike share it.
    price : Price
        Price until the first one is published.
    series : SeriesRows, optional
        Where its rows come from, if events make them.
    """

    def __init__(
        self,
        compiled: CompiledRule,
        rows: NDArray[np.int32],
        heard: Mapping[str, Heard],
        price: Price,
        series: SeriesRows | None = None,
    ) -> None:
        self.compiled = compiled
        self.rule = rule = compiled.rule
        self.series = series
        self.rows = rows
        self.price = price
        self.primary = next(iter(rule.signals), None)
        self.turns = {
            name: Turns(heard[name], primary=name == self.primary) for name in rule.signals
        }
        self.event_columns = {name: EventColumns.empty(len(rows)) for name in rule.events}
        self.mask_exact = compiled.mask_exact and all(map(self._has_column, compiled.columns))
        """Whether, at a known time, masks are true exactly where the condition is met."""
        self.reads_clock = any(name.startswith("now.") for name in compiled.columns)
        self._clock: Mapping[str, Any] = {}
        self.tally = Tally()
        """What was counted since the last event-day was closed."""

    @property
    def links(self) -> list[Link]:
        """The groups that speak."""
        return [link for turns in self.turns.values() for link in turns.heard.links]

    def grow(self) -> None:
        """Append the rows that events have made since."""
        if self.series is None or len(self.series) == len(self.rows):
            return
        n = len(self.series)
        self.rows = np.arange(n, dtype=np.int32)
        for turns in self.turns.values():
            turns.heard.grow(self.series.keys, n)
        for windows in self.event_columns.values():
            windows.grow(n)

    # -- signals --------------------------------------------------------------------------

    def take(self, signal: str, said: Said) -> None:
        """Decide whose moment has come after a group spoke of its last slot."""
        counted = self.turns[signal].take(said, self.price)
        if self.rule.budget is not None and signal == self.primary:
            self.tally = self.tally + counted

    def correct(self, signal: str, said: Said) -> None:
        """Decide anew for rows that a late reading corrected; nothing counts twice."""
        self.turns[signal].take(said, self.price, count=False)

    def close_day(self) -> Tally:
        """Return what was counted since this was last asked, and begin anew."""
        tally, self.tally = self.tally, Tally()
        return tally

    def spoke(self, signal: str, row: int) -> Link | None:
        """Return the link by which a signal last spoke of a row, or None if it never did."""
        for link in self.turns[signal].heard.links:
            if link.hears(row) and link.end_ns:
                return link
        return None

    def onset_ns(self, signal: str, row: int) -> int:
        """Return when a row's present episode of a signal began; NO_ONSET without one."""
        onset = int(self.turns[signal].heard.columns.onset[row])
        return dated(self.spoke(signal, row), onset)

    def end_ns(self, signal: str, row: int) -> int:
        """Return the end of the slot that a signal last spoke of on a row; 0 before it did."""
        link = self.spoke(signal, row)
        return 0 if link is None else link.end_ns

    def set_clock(self, clock: Mapping[str, Any]) -> None:
        """Tell masks the local time, a value for all rows or one each; nothing: it is not known."""
        self._clock = clock

    def _has_column(self, dotted: str) -> bool:
        name, _, field_name = dotted.partition(".")
        if name == "now":
            return self.rule.subjects.grain == "subject" and field_name in CLOCK_FIELDS
        if name in self.turns:
            return field_name in SIGNAL_FIELDS
        windows = self.event_columns.get(name)
        return dotted == "fused" or (windows is not None and hasattr(windows, field_name))

    def column(self, dotted: str, rows: NDArray[np.int32] | slice) -> Any:
        """Return the values that masks know by a dotted name, of ascending rows; None if none."""
        name, _, field_name = dotted.partition(".")
        if name == "fused":
            parts = [(self.column(f"{n}.evidence", rows), w) for n, w in self.compiled.weights]
            return fuse(parts)
        if name == "now":
            time = self._clock.get(field_name)
            return time if time is None or np.ndim(time) == 0 else time[rows]
        if name in self.turns and field_name == "due":
            return self.turns[name].due.mask(rows, len(self.rows))
        if name in self.turns and field_name == "ready":
            return self.turns[name].heard.columns.urgency[rows] >= 0
        columns = self.turns[name].heard.columns if name in self.turns else None
        # What only single rows are asked for (facts, ages) has no column: it could be anything.
        values = getattr(columns or self.event_columns.get(name), field_name, None)
        return None if values is None else values[rows]

    def mask(self, rows: NDArray[np.int32] | slice) -> BoolArray:
        """Return where, among ascending rows, the rule's condition may be met."""
        values = {name: self.column(name, rows) for name in self.compiled.columns}
        wanted = {name: value for name, value in values.items() if value is not None}
        n = len(self.rows[rows])
        return np.broadcast_to(np.asarray(self.compiled.mask(wanted), bool), (n,))

    def led(self) -> NDArray[np.int32] | None:
        """Return the rows where the condition may be met, found from those that are due.

        None if a row need not be due to meet it: then all rows are to be looked through.
        """
        if self.compiled.leads is None:
            return None
        rows: NDArray[np.int32] = np.zeros(0, np.int32)
        for name in sorted(self.compiled.leads):
            rows = union(rows, self.turns[name].due.rows)
        return rows[self.mask(rows)] if len(rows) else rows

    def promotion_columns(self, rows: NDArray[np.int32]) -> dict[str, NDArray[Any]]:
        """Return what the conditions of promotions read, of rows whose signals are ready or not."""
        values = {
            dotted: self.column(dotted, rows)
            for name in self.turns
            for dotted in (f"{name}.{field_name}" for field_name in SIGNAL_FIELDS)
        }
        facts = self.facts(rows)
        for signal, fact in self.compiled.promotion_facts():
            values[f"{signal}.facts.{fact}"] = np.array(
                [
                    f.get(fact, np.nan) if ready else np.nan
                    for f, ready in zip(facts[signal], values[f"{signal}.ready"], strict=True)
                ]
            )
        return values

    def facts(self, rows: NDArray[np.int32]) -> dict[str, list[dict[str, float]]]:
        """Return, by signal, the facts of each row."""
        found: dict[str, list[dict[str, float]]] = {}
        for name, turns in self.turns.items():
            facts: list[dict[str, float]] = [{} for _ in rows]
            for link in turns.heard.links:
                if not link.end_ns:
                    continue
                group_rows = link.to_group(rows)
                here = np.flatnonzero(group_rows >= 0)
                if not len(here):
                    continue
                said = link.group.detector.explain(group_rows[here])
                for fact, values in said.items():
                    for at, value in zip(here.tolist(), values.tolist(), strict=True):
                        facts[at][fact] = value
            found[name] = facts
        return found

    def onset(self, row: int, at_ns: int) -> int:
        """Return when a row's present episode began, by the first signal that has one; else now."""
        onsets = [self.onset_ns(name, row) for name in self.turns]
        onsets += [int(c.onset_ns[row]) for c in self.event_columns.values() if not self.turns]
        known = [o for o in onsets if o != NO_ONSET]
        return known[0] if known else at_ns

    # -- other rules ----------------------------------------------------------------------

    def inherit(
        self, old: Listener, carried: dict[tuple[int, int], Heard]
    ) -> tuple[IntArray, IntArray]:
        """Take over what an older version of the rule has heard, and what it counted.

        `carried` has what was taken over for other rules, by (heard before, heard now): rules that
        listened alike and still do go on sharing.

        Returns
        -------
        mine, theirs : ndarray of int
            Rows that both watch, here and there; both ascend.
        """
        mine, theirs = rows_in(self.rows, old.rows)
        for name, use in self.rule.signals.items():
            before = old.rule.signals.get(name)
            if before is None or replace(before, weight=use.weight) != use:
                continue
            fresh, past = self.turns[name].heard, old.turns[name].heard
            pair = id(past), id(fresh)
            if pair not in carried:
                carried[pair] = past if fresh.alike(past) else fresh.like()
                if carried[pair] is not past:
                    carried[pair].adopt(past, mine, theirs)
            self.turns[name].heard = carried[pair]
            self.turns[name].adopt(old.turns[name], mine, theirs)
        for name, window in self.rule.events.items():
            if old.rule.events.get(name) == window:
                for field_name in EventColumns.__slots__:
                    column = getattr(self.event_columns[name], field_name)
                    column[mine] = getattr(old.event_columns[name], field_name)[theirs]
        if self.rule.budget == old.rule.budget:
            self.price = old.price
        self.tally = old.tally
        return mine, theirs


def dated(link: Link | None, slot: int) -> int:
    """Return when an episode began that a group dates to a slot; NO_ONSET if there is none."""
    if slot == NO_SLOT or link is None:
        return NO_ONSET
    return (slot * link.group.slot_s + link.group.phase_s) * NS
