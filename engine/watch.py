"""One rule over the subjects it watches: columns of signals in, changes of alerts out.

The engine asks the compiled rule for a mask over arrays and looks at single subjects only where
the mask or an open alert gives reason to.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from detectors.base import NO_SLOT, NS, IntArray
from detectors.budget import Price
from detectors.episodes import Tally
from engine.columns import NO_ONSET
from engine.heard import Heard
from engine.links import Link
from engine.listener import Listener, dated
from engine.series import SeriesRows
from rules.compile import CompiledRule, Decision
from rules.lifecycle import IDLE, NEVER, Change, Life, Observation, Phase, Timing, advance, observe
from rules.model import Rule
from rules.windows import Look


@dataclass(slots=True)
class Raised:
    """A subject whose life just changed, with what is needed to tell people."""

    row: int
    change: Change
    life: Life
    """The life before a resolution or cancellation, after anything else."""
    decision: Decision
    variables: Mapping[str, Any]
    tip_ns: int


class Surroundings(Protocol):
    """What a watch asks of its shard about one subject."""

    def context(self, watch: Watch, row: int, at_ns: int) -> dict[str, bool | None]:
        """Return which contexts hold; None: not known."""

    def subject(self, watch: Watch, row: int) -> dict[str, Any]:
        """Return the subject as rules see it."""

    def now(self, watch: Watch, row: int, at_ns: int) -> dict[str, Any]:
        """Return local time as rules see it."""

    def clock(self, watch: Watch, at_ns: int) -> Mapping[str, Any]:
        """Return local time as masks see it: a value for all rows, or an array of one each."""

    def alerts(self, watch: Watch, row: int) -> list[str]:
        """Return the rules that fire on this subject or on a place that contains it."""

    def unsettled(self, at_ns: int) -> bool:
        """Return whether some place is out, or was a moment ago."""

    def inhibited_by(self, watch: Watch, row: int) -> str | None:
        """Return the rule whose alert keeps this one from being raised, or None."""

    def looks(self, watch: Watch, row: int, at_ns: int, *, past: bool = False) -> dict[str, Look]:
        """Return what each event window of the rule sees, and note when that will change."""


class Watch(Listener):
    """A rule, the rows it watches and the lives of its alerts; see :class:`Listener`."""

    def __init__(
        self,
        compiled: CompiledRule,
        rows: NDArray[np.int32],
        heard: Mapping[str, Heard],
        price: Price,
        series: SeriesRows | None = None,
    ) -> None:
        super().__init__(compiled, rows, heard, price, series)
        self.timing = Timing.of(self.rule)
        self.judges_promotions = any(p.when for p in self.rule.promotions)
        self.steady = self.mask_exact and compiled.promotions_exact and _is_steady(self.rule)
        """Whether masks tell of a firing alert that it needs no second look while no place is out."""
        self.lives: dict[int, Life] = {}
        self.tips: dict[int, int] = {}

    def disproved(self, signal: str, link: Link, group_rows: IntArray, slot: int) -> list[int]:
        """Return the rows whose episode, as it was when their alert was raised, is no more.

        To be asked after a slot was amended, of the rows amended: if the slot lies before the
        alert, the alert was wrong; if it lies after, the episode has merely ended.
        """
        if signal != self.primary or not self.lives:
            return []
        end_ns = ((slot + 1) * link.group.slot_s + link.group.phase_s) * NS
        rule_rows = link.to_rule(group_rows)
        mine = [
            (row, at)
            for row, at in zip(rule_rows.tolist(), group_rows.tolist(), strict=True)
            if row >= 0 and self.firing(row) and self.tips.get(row, 0) >= end_ns
        ]
        if not mine:
            return []
        onset = link.group.detector.current(np.array([at for _, at in mine], np.int32)).onset[0]
        began_ns = onset * (link.group.slot_s * NS) + link.group.phase_s * NS
        return [
            row
            for (row, _), slot_of, ns in zip(mine, onset.tolist(), began_ns.tolist(), strict=True)
            if slot_of == NO_SLOT or ns > self.lives[row].onset_ns
        ]

    # -- evaluation -----------------------------------------------------------------------

    def evaluate(
        self,
        at_ns: int,
        around: Surroundings,
        rows: NDArray[np.int32] | None = None,
        arrivals: Mapping[int, int] | None = None,
        refuted: Collection[int] = (),
        hit: IntArray | None = None,
    ) -> list[Raised]:
        """Look at all rows (or some) at event time `at_ns`; return what changed.

        `arrivals` gives a time of its own to rows that late readings corrected; of `refuted` ones
        they took away what raised the alert. `hit`, where all rows are meant, are those whose
        condition may be met (:class:`engine.sieve.Sieve`).
        """
        if rows is not None:
            self.set_clock({})  # corrections stand for times of their own
            if self.rule.events:
                for row in rows.tolist():
                    self._look(row, (arrivals or {}).get(row, at_ns), around)
            hit = rows[self.mask(rows)]
        assert hit is not None, "of all rows, the sieve says which to look at"
        kept: set[int] = set()
        if rows is None and self.mask_exact and self.lives:
            kept = self._held_back(hit, around)
            if self.steady and not around.unsettled(at_ns):
                kept |= self._unmoved(hit)
        also = (
            [r for r in self.lives if rows is None or r in arrivals]
            if arrivals is not None
            else (
                list(self.lives) if rows is None else [r for r in rows.tolist() if r in self.lives]
            )
        )
        wanted = sorted({*hit.tolist(), *also} - kept)
        if not wanted:
            return []
        facts = self.facts(np.array(wanted, np.int32))
        changed: list[Raised] = []
        for i, row in enumerate(wanted):
            moment = at_ns if arrivals is None else arrivals.get(row, at_ns)
            mine = {n: f[i] for n, f in facts.items()}
            changed += self._evaluate_row(row, moment, around, mine, row in refuted)
        return changed

    def _held_back(self, hit: IntArray, around: Surroundings) -> set[int]:
        """Return the rows whose condition is met still, and whose alert another's still inhibits.

        Until that alert ends, looking at them again would change nothing.
        """
        return {
            row
            for row in hit.tolist()
            if (life := self.lives.get(row)) is not None
            and life.blocked
            and not life.blind
            and life.phase == Phase.PENDING
            and around.inhibited_by(self, row) is not None
        }

    def _unmoved(self, hit: IntArray) -> set[int]:
        """Return the rows that go on firing at their level: nothing they depend on has changed."""
        rows = [
            row
            for row in hit.tolist()
            if (life := self.lives.get(row)) is not None and life.phase == Phase.FIRING
        ]
        if not rows or not self.judges_promotions:
            return set(rows)
        at = np.array(rows, np.int32)
        bits = self.compiled.promoted(self.promotion_columns(at), len(rows))
        held = np.array([self.lives[row].promotions for row in rows])
        return set(at[bits == held].tolist())

    def _look(self, row: int, at_ns: int, around: Surroundings) -> None:
        """Look through the rule's event windows for the masks."""
        for name, look in around.looks(self, row, at_ns).items():
            self.event_columns[name].put(row, look)

    def _evaluate_row(
        self,
        row: int,
        at_ns: int,
        around: Surroundings,
        facts: Mapping[str, dict[str, float]],
        disproved: bool = False,
    ) -> list[Raised]:
        # Most looks change nothing: what only an alert's text reads is looked up when one changes.
        decision = self.compiled.decide(
            self.variables(row, at_ns, around, facts, only=self.compiled.reads)
        )
        life = self.lives.get(row, IDLE)
        onset_ns = self.onset(row, at_ns)
        tip_ns = self.tips.get(row, 0)
        # An episode that turns out to have begun later, but before the slot that raised the
        # alert, means that what the alert said was not so: a late reading refutes it.
        refuted = life.firing and (disproved or life.onset_ns < onset_ns <= tip_ns)
        cause = "late_reading"
        if life.firing and decision.holds is False and not refuted:
            refuted, cause = self._was_not_so(row, life, around), "late_event"
        inhibitor = around.inhibited_by(self, row)
        blocked = decision.blocked_by is not None or inhibitor is not None
        seen = Observation(
            met=decision.met is True,
            holds=False if refuted else decision.holds,
            onset_ns=onset_ns,
            blocked=blocked,
            refuted=refuted or (life.firing and decision.cancels),
            promotions=decision.promotions,
            cause=cause if refuted else (decision.blocked_by or "data"),
        )
        after, changes = observe(self.timing, life, at_ns, seen)
        more: Sequence[Change] = ()
        again = after
        if refuted and decision.met:
            again, more = observe(self.timing, after, at_ns, seen._replace(refuted=False))
        variables = self.variables(row, at_ns, around, facts, past=True) if changes or more else {}
        raised = self._note(row, life, after, changes, decision, variables)
        if again != after or more:
            raised += self._note(row, after, again, more, decision, variables)
        return raised

    def _was_not_so(self, row: int, life: Life, around: Surroundings) -> bool:
        """Return whether, by what is known now, an alert about events had no ground when raised.

        Only for rules that look at events alone: what they saw can be looked at again.
        """
        if self.rule.signals or not self.rule.events:
            return False
        then = self.variables(row, life.raised_ns, around, {}, past=True)
        return self.compiled.decide(then).met is False

    def _note(
        self,
        row: int,
        before: Life,
        after: Life,
        changes: Sequence[Change],
        decision: Decision,
        variables: Mapping[str, Any],
    ) -> list[Raised]:
        if after == IDLE:
            self.lives.pop(row, None)
        else:
            self.lives[row] = after
        if after.firing and not before.firing:
            self.tips[row] = max((self.end_ns(name, row) for name in self.turns), default=0)
        tip_ns = self.tips.get(row, 0)
        if not after.firing:
            self.tips.pop(row, None)
        kept = after if after.firing else before
        return [Raised(row, c, kept, decision, variables, tip_ns) for c in changes]

    def variables(
        self,
        row: int,
        at_ns: int,
        around: Surroundings,
        facts: Mapping[str, dict[str, float]],
        *,
        past: bool = False,
        only: Collection[str] = ("subject", "context", "now", "alerts"),
    ) -> dict[str, Any]:
        """Return what the rule's expressions and texts can see of one row.

        `past`: as of a time that is over, so that nothing is to be done when it changes. `only`:
        what is wanted beside signals and events.
        """
        values: dict[str, Any] = {
            name: look.variables for name, look in around.looks(self, row, at_ns, past=past).items()
        }
        if "subject" in only:
            values["subject"] = around.subject(self, row)
        if "context" in only:
            values["context"] = around.context(self, row, at_ns)
        if "now" in only:
            values["now"] = around.now(self, row, at_ns)
        if "alerts" in only:
            values["alerts"] = around.alerts(self, row)
        for name, use in self.rule.signals.items():
            turns = self.turns[name]
            column = turns.heard.columns
            link = self.spoke(name, row)
            onset = dated(link, int(column.onset[row]))
            values[name] = {
                "ready": bool(column.urgency[row] >= 0),
                "due": turns.due.has(row),
                "urgency": int(column.urgency[row]),
                "evidence": float(column.evidence[row]),
                "p_value": float(column.p_value[row]),
                "onset_s": 0.0 if link is None or onset == NO_ONSET else (link.end_ns - onset) / NS,
                "utilities": list(use.utilities) if link is None else link.group.utilities,
                "facts": facts.get(name, {}),
            }
        return values

    def advance(self, to_ns: int, around: Surroundings) -> list[Raised]:
        """Work off timers up to and including `to_ns`."""
        changed: list[Raised] = []
        for row in sorted(self.lives):
            life = self.lives[row]
            if life.deadline_ns(self.timing) > to_ns:
                continue
            after, changes = advance(self.timing, life, to_ns)
            facts = {n: f[0] for n, f in self.facts(np.array([row], np.int32)).items()}
            variables = self.variables(row, to_ns, around, facts)
            decision = self.compiled.decide(variables)
            changed += self._note(row, life, after, changes, decision, variables)
        return changed

    def deadline_ns(self) -> int:
        """Return the next moment at which time alone changes something."""
        return min((v.deadline_ns(self.timing) for v in self.lives.values()), default=NEVER)

    def firing(self, row: int) -> bool:
        """Return whether an alert on this row is out."""
        life = self.lives.get(row)
        return life is not None and life.phase >= Phase.FIRING

    def adopt(self, old: Watch, carried: dict[tuple[int, int], Heard]) -> list[int]:
        """Go on where an older version of this rule stood.

        `carried` has what was taken over for other rules, by (heard before, heard now): rules that
        listened alike and still do go on sharing.

        Returns
        -------
        list of int
            Rows of `old` that have a life and are not watched any more.
        """
        mine, theirs = self.inherit(old, carried)
        to = dict(zip(theirs.tolist(), mine.tolist(), strict=True))
        self.lives = {to[row]: life for row, life in old.lives.items() if row in to}
        self.tips = {to[row]: tip for row, tip in old.tips.items() if row in to}
        return sorted(row for row in old.lives if row not in to)

    # -- snapshots ------------------------------------------------------------------------

    def snapshot(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return plain values for the header, and arrays."""
        header = {
            "rule": self.rule.name,
            "version": self.rule.version,
            "rows": len(self.rows),
            "price": [self.price.day, self.price.index, self.price.fraction],
            "tally": [self.tally.exposure_s, self.tally.spent],
            "lives": [[row, *life] for row, life in sorted(self.lives.items())],
            "tips": sorted(self.tips.items()),
        }
        arrays: dict[str, NDArray[Any]] = {}
        for name, turns in self.turns.items():
            arrays |= {f"signal/{name}/{k}": v for k, v in turns.arrays().items()}
        for name, windows in self.event_columns.items():
            arrays |= {f"event/{name}/{k}": v for k, v in windows.arrays().items()}
        arrays["reached"] = self.tally.reached
        # Copies: a snapshot is written while the shard goes on.
        return header, {name: array.copy() for name, array in arrays.items()}

    def restore(self, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over :meth:`snapshot`'s values."""
        day, index, fraction = header["price"]
        self.price = Price(int(day), int(index), float(fraction))
        exposure_s, spent = header["tally"]
        self.tally = Tally(np.array(arrays["reached"]), int(exposure_s), int(spent))
        self.lives = {int(r[0]): Life(*r[1:]) for r in header["lives"]}
        self.tips = {int(row): int(tip) for row, tip in header["tips"]}
        for name, turns in self.turns.items():
            start = f"signal/{name}/"
            turns.restore({k[len(start) :]: v for k, v in arrays.items() if k.startswith(start)})
        for name, windows in self.event_columns.items():
            for k in windows.__slots__:
                setattr(windows, k, np.array(arrays[f"event/{name}/{k}"]))


def _is_steady(rule: Rule) -> bool:
    """Return whether only signals and places can change what a rule says of a firing alert."""
    return (
        rule.hold == rule.when
        and all(u.context is not None or not u.cancels for u in rule.unless)
        and not rule.events
    )
