"""The desk: what rules, roster and configuration say about how alerts become tasks.

:mod:`engine.dispatch` acts on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from engine.book import Held
from engine.config import QueueConfig
from engine.hours import NS, CalendarHours, Hours, WorkHours, ns_of
from engine.places import PlaceLayout
from engine.roster import DEPARTMENT, LEADER, STAND_IN, STREET, Roster
from engine.tasks import DEFAULT_LIMITS
from rules.alerts import AlertChange, Level
from rules.model import ContactStep, EscalationStep, Limits, Route, Rule, RuleSet

DEFAULT_ROUTE = Route("gridworker")
DEFAULT_LADDER = (STAND_IN, LEADER, STREET, DEPARTMENT)
"""Where a route names no ladder: one step up for every time the limit for signing passes."""


@dataclass(frozen=True)
class Desk:
    """How alerts become tasks.

    Parameters
    ----------
    rules : RuleSet or None
        For routes, limits, grouping and hard danger. A rule it does not know gets the default
        route and limits; a rule without a route sends nobody.
    queue : QueueConfig
        Visits a day per grid, false-discovery rate, share of checks.
    layout : PlaceLayout
    roster : Roster or None
        None: the store's workers.
    zone : str
        Whose midnight begins a queue's day.
    hours : mapping of str to Hours
        Clocks of the limits, by the name that rules use.
    shadow_places : tuple of str
        Place codes within which alerts are recorded and nobody is sent.
    """

    rules: RuleSet | None = None
    queue: QueueConfig = field(default_factory=QueueConfig)
    layout: PlaceLayout = field(default_factory=PlaceLayout)
    roster: Roster | None = None
    zone: str = "Asia/Shanghai"
    hours: Mapping[str, Hours] = field(
        default_factory=lambda: MappingProxyType({"calendar": CalendarHours(), "work": WorkHours()})
    )
    shadow_places: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        by_name = {rule.name: rule for rule in self.rules or ()}
        object.__setattr__(self, "_by_name", by_name)
        object.__setattr__(self, "_ladders", {})
        object.__setattr__(self, "_staff", self.roster or Roster(zone=self.zone))

    @property
    def staff(self) -> Roster:
        """Who there is to send; nobody where no roster is known."""
        staff: Roster = self.__dict__["_staff"]
        return staff

    def with_roster(self, roster: Roster) -> Desk:
        """Return the same desk with these workers."""
        return replace(self, roster=roster)

    # -- what is asked of the rules -----------------------------------------------------------

    def rule(self, name: str) -> Rule | None:
        """Return a rule by name, if known."""
        by_name: Mapping[str, Rule] = self.__dict__["_by_name"]
        return by_name.get(name)

    def sends(self, change: AlertChange) -> bool:
        """Return whether anybody is sent for an alert (no route or shadow: nobody is)."""
        if "shadow" in change.facts:
            return False
        if self.shadow_places and change.place.startswith(self.shadow_places):
            return False
        rule = self.rule(change.rule)
        return rule is None or (rule.route is not None and not rule.shadow)

    def door(self, change: AlertChange) -> str:
        """Return the door of an alert: never two open tasks at one door.

        The subject; for an alert about a place, or a rule that groups by place, that place and
        the rule (an outage and a surge of complaints in one community are two cases).
        """
        rule = self.rule(change.rule)
        return self._door(change.rule, change.place, change.subject_id, rule)

    def door_of(self, held: Held) -> str:
        """Return the door of an alert that is held back."""
        return self._door(held.rule, held.place, held.subject_id, self.rule(held.rule))

    def _door(self, name: str, place: str, subject_id: str | None, rule: Rule | None) -> str:
        area = self.area(place, rule.group.by) if rule else None
        if area is None:
            return subject_id or f"{place}|{name}"
        return f"{area}|{name}"

    def area(self, place: str, by: str) -> str | None:
        """Return the place that a grouping means; None for the subject itself.

        Buildings and units are what a code says beyond the layout; a code that says nothing
        there stands for many homes, which are then told apart by subject.
        """
        if by in self.layout.levels:
            return self.layout.at(place, by)
        whole = sum(self.layout.widths)
        if by == "subject" or len(place) <= whole:
            return None
        return place[: whole + 3] if by == "building" else place

    def dedupe_area(self, change: AlertChange) -> str | None:
        """Return the place within which a rule sends nobody twice; None for the door alone."""
        rule = self.rule(change.rule)
        if rule is None or not rule.dedupe.within_s or self.hard(change.rule, change.level):
            return None
        return self.area(change.place, rule.dedupe.by)

    def collect_ns(self, change: AlertChange) -> int:
        """Return how long to collect alerts before anybody is sent; hard danger never waits."""
        rule = self.rule(change.rule)
        if rule is None or self.hard(change.rule, change.level):
            return 0
        return rule.group.wait_s * NS

    def grid(self, place: str) -> str:
        """Return the grid whose queue an alert at a place belongs to."""
        return self.layout.at(place, self.layout.levels[-1])

    def hard(self, rule: str, level: str) -> bool:
        """Return whether no daily capacity may starve it: red, or the rule says so."""
        known = self.rule(rule)
        return level == Level.RED or (known is not None and known.hard_danger)

    def limits(self, rule: str, level: str) -> Limits:
        """Return a task's time limits: the rule's, or the defaults of the level."""
        known = self.rule(rule)
        own = known.limits_at(Level(level)) if known else None
        return own if own is not None and own != Limits() else DEFAULT_LIMITS[level]

    def deadlines(self, rule: str, level: str, start_ns: int) -> dict[str, int | None]:
        """Return the deadlines of a task, by the names of its fields."""
        limits = self.limits(rule, level)
        after = self.hours[limits.clock].after
        seconds = (
            ("sign_by_ns", limits.sign_s),
            ("contact_by_ns", limits.contact_s),
            ("door_by_ns", limits.door_s),
            ("report_by_ns", limits.report_s),
            ("close_by_ns", limits.close_s),
        )
        return {name: None if s is None else after(start_ns, s) for name, s in seconds}

    def ladder(self, rule: str, level: str) -> Sequence[EscalationStep]:
        """Return who takes over when nobody signs, and after how long since the one before got it."""
        ladders: dict[tuple[str, str], Sequence[EscalationStep]] = self.__dict__["_ladders"]
        found = ladders.get((rule, level))
        if found is None:
            found = ladders[rule, level] = self._ladder(rule, level)
        return found

    def _ladder(self, rule: str, level: str) -> Sequence[EscalationStep]:
        known = self.rule(rule)
        if known and known.route and known.route.escalate:
            return known.route.escalate
        limit = self.limits(rule, level).sign_s
        if limit is None:
            return ()
        return [EscalationStep(to, limit) for to in DEFAULT_LADDER]

    def calls(self, rule: str, level: str, subject_id: str | None) -> Sequence[ContactStep]:
        """Return who is called before anybody is sent; nobody about a place, or where time is short."""
        known = self.rule(rule)
        if known is None or known.route is None or subject_id is None:
            return ()
        return () if level in known.route.send_at_once else known.route.contact_first

    def wait_ns(self, rule: str, level: str, from_ns: int, wait_s: int) -> int:
        """Return when so long has passed on the clock of a rule's limits."""
        return self.hours[self.limits(rule, level).clock].after(from_ns, wait_s)

    def next_climb(self, rule: str, level: str, step: int, since_ns: int) -> int | None:
        """Return when a step of the ladder is due, the one before being taken then; None at its top."""
        ladder = self.ladder(rule, level)
        if step >= len(ladder):
            return None
        return self.wait_ns(rule, level, since_ns, ladder[step].after_s)

    def relevant_since_ns(self, changes: Sequence[AlertChange]) -> int:
        """Return since when ended tasks matter to changes: their onsets, and what they dedupe."""
        since = []
        for change in changes:
            rule = self.rule(change.rule)
            within_ns = rule.dedupe.within_s * NS if rule else 0
            since.append(min(ns_of(change.onset), ns_of(change.at) - within_ns))
        return min(since)
