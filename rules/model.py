"""Typed rules: what a rule file says, checked and frozen.

Nothing here reads files or decides anything; :mod:`rules.loader` makes these objects from YAML,
:mod:`rules.compile` turns them into decisions. Durations are whole seconds (``_s``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import Enum
from types import MappingProxyType
from typing import Any, TypeAlias

import msgspec

from rules.alerts import Level
from rules.problems import Problem

Scalar: TypeAlias = str | int | float | bool

CONTEXTS = ("absent", "area_outage", "dead_concentrator", "maintenance", "approved_work", "holiday")
"""Names usable in ``unless`` and, as ``context.NAME``, in expressions. A context is true for a
subject when it *explains the present episode* (it covers its onset), not merely when it holds
somewhere now; the engine decides that."""

URGENCY: Mapping[Level, int] = MappingProxyType(
    {Level.BLUE: 0, Level.YELLOW: 1, Level.ORANGE: 2, Level.RED: 3}
)
"""Levels as numbers that grow with urgency."""
BY_URGENCY: tuple[Level, ...] = tuple(sorted(URGENCY, key=lambda level: URGENCY[level]))


@dataclass(frozen=True, slots=True)
class Text:
    """One sentence in both languages; templates as in :mod:`rules.texts`."""

    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class Series:
    """Subjects that events make: counts of some events at one place, per value of an attribute.

    Nobody lists such subjects. One comes to be with its first event, is named ``place:value``, and
    its counts are 0 from the hour in which its community first had an event of these kinds.

    Parameters
    ----------
    kinds : tuple of str
        Event kinds.
    at : {"address", "place", "grid", "community"}
        How events are gathered: by their address (a subject, or a place within a grid; events
        without one do not count), by their own place whatever its level, by its grid or community.
    by : str, optional
        Attribute whose values are counted apart; events without it count as ``-``.
    where : mapping of str to tuple of scalars
        Attribute → allowed values.
    every_s : int
        Length of a slot; divides a day.
    amount : str, optional
        Attribute that says how many an event stands for; default: one each.
    distinct : str, optional
        Attribute (a caller, a number plate) whose different values are counted besides.
    within_s : int
        How far back different values are counted, and events are kept for provenance.
    """

    kinds: tuple[str, ...]
    at: str = "grid"
    by: str | None = None
    where: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)
    every_s: int = 3600
    amount: str | None = None
    distinct: str | None = None
    within_s: int = 30 * 86_400


@dataclass(frozen=True, slots=True)
class Selector:
    """Which subjects (or places) a rule watches.

    Parameters
    ----------
    kinds : tuple of str
        Subject kinds; empty means any.
    attrs : mapping of str to tuple of scalars
        Attribute name → allowed values.
    place_prefixes : tuple of str
        Place codes start with one of these; empty means anywhere.
    grain : {"subject", "place", "series"}
        Whether an alert is about a subject, a community, or a subject that events make.
    series : Series, optional
        What makes the subjects, for grain ``series``.
    """

    kinds: tuple[str, ...] = ()
    attrs: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)
    place_prefixes: tuple[str, ...] = ()
    grain: str = "subject"
    series: Series | None = None

    def selects(self, kind: str, attrs: Mapping[str, Any], place: str) -> bool:
        """Return whether a subject of that kind, attributes and place is watched.

        >>> Selector(kinds=("rental",), place_prefixes=("3301",)).selects("rental", {}, "330106")
        True
        """
        return (
            (not self.kinds or kind in self.kinds)
            and (not self.place_prefixes or place.startswith(self.place_prefixes))
            and self.has(attrs)
        )

    def has(self, attrs: Mapping[str, Any]) -> bool:
        """Return whether a subject's attributes are among those asked for."""
        return all(attrs.get(name) in allowed for name, allowed in self.attrs.items())


@dataclass(frozen=True, slots=True)
class SignalUse:
    """One detector that a rule listens to.

    ``utilities`` restricts the detector's channels; empty means all that it understands.
    ``weight`` scales the evidence within ``fused``.
    """

    detector: str
    params: Mapping[str, float] = field(default_factory=dict)
    weight: float = 1.0
    utilities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Follow:
    """The second half of a sequence: an event of these kinds within ``within_s`` of the first."""

    kinds: tuple[str, ...]
    within_s: int
    where: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EventUse:
    """Events that a rule looks back on; evaluated by :mod:`rules.windows`.

    Parameters
    ----------
    kinds : tuple of str
        Event kinds.
    within_s : int
        Length of the window that ends now.
    where : mapping of str to tuple of scalars
        Attribute → allowed values.
    scope : {"subject", "grid", "community"}
        Whose events: the subject's own, or all of its grid or community.
    distinct : str, optional
        Attribute whose distinct values are counted.
    same : str, optional
        Attribute by which events are grouped; the largest group is the one that counts.
    then : Follow, optional
        What is expected to follow each event.
    evidence, evidence_max : float
        What one event adds to ``fused`` (log10), and the most that all of them add.
    """

    kinds: tuple[str, ...]
    within_s: int
    where: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)
    scope: str = "subject"
    distinct: str | None = None
    same: str | None = None
    then: Follow | None = None
    evidence: float = 0.0
    evidence_max: float = 3.0


@dataclass(frozen=True, slots=True)
class Unless:
    """What keeps a rule quiet: exactly one of a context, another rule's alert, an expression.

    ``cancels`` says whether it also cancels an alert that is already firing (contexts do by
    default: they explain it), or only keeps new ones from being raised.
    """

    context: str | None = None
    alert: str | None = None
    when: str | None = None
    cancels: bool = False

    @property
    def label(self) -> str:
        """How decisions and explanations name it."""
        if self.context is not None:
            return self.context
        return f"alert:{self.alert}" if self.alert is not None else str(self.when)


@dataclass(frozen=True, slots=True)
class Promotion:
    """A more urgent level, once the alert fired for ``after_s`` and ``when`` (if any) holds."""

    to: Level
    after_s: int = 0
    when: str | None = None


@dataclass(frozen=True, slots=True)
class Downgrade:
    """From a level that nothing has warranted for ``after_s`` back to a less urgent one."""

    from_: Level
    to: Level
    after_s: int


@dataclass(frozen=True, slots=True)
class Budget:
    """How many false alerts a rule may spend: ``scope`` is ``fleet`` or ``subject``."""

    false_alerts_per_subject_year: float
    scope: str = "fleet"


@dataclass(frozen=True, slots=True)
class ContactStep:
    """Somebody to call before a visit (``resident``, ``family`` …), and how long to wait."""

    who: str
    wait_s: int


@dataclass(frozen=True, slots=True)
class EscalationStep:
    """Who takes over when a task is not signed for ``after_s``."""

    to: str
    after_s: int


@dataclass(frozen=True, slots=True)
class Route:
    """Whose queue a task goes to, who is called first, and who takes over.

    While those of ``contact_first`` are called, one after another, nobody is sent, but for the
    levels ``send_at_once``: there somebody goes while the calls are made.
    """

    queue: str
    contact_first: tuple[ContactStep, ...] = ()
    escalate: tuple[EscalationStep, ...] = ()
    send_at_once: tuple[Level, ...] = (Level.RED,)


@dataclass(frozen=True, slots=True)
class Limits:
    """Time limits of a task in seconds; None where there is none.

    ``clock`` is ``calendar`` (life safety) or ``work`` (working hours of work days).
    """

    sign_s: int | None = None
    contact_s: int | None = None
    door_s: int | None = None
    report_s: int | None = None
    close_s: int | None = None
    clock: str = "calendar"


@dataclass(frozen=True, slots=True)
class Group:
    """Alerts that belong to one task: same ``by`` (a level of the place tree) within ``wait_s``."""

    by: str = "subject"
    wait_s: int = 0


@dataclass(frozen=True, slots=True)
class Dedupe:
    """No second task for the same ``by`` within ``within_s`` of the first."""

    by: str = "subject"
    within_s: int = 0


@dataclass(frozen=True, slots=True)
class Texts:
    """Templates of the sentences of an alert, by change of state."""

    raised: Text
    resolved: Text
    cancelled: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule. The file format is documented in ``rules schema`` and docs/rules.

    Parameters
    ----------
    name : str
        Unique, kebab-case.
    version : str
        First 12 hex digits of the hash of the rule's content (not of its layout or comments).
    signals : mapping of str to SignalUse
        By the local name that expressions and texts use.
    events : mapping of str to EventUse
    when : str
        CEL: when to raise.
    hold : str
        CEL: an alert once raised goes on while this is not false (hysteresis); `when` if not set.
    for_s, keep_firing_for_s : int
        How long `when` must be met before firing, and `hold` false before resolving.
    unless : tuple of Unless
    level : Level
        When raised; `promotions` and `downgrades` move it.
    budget : Budget or None
        None: `when` does not depend on a price (no ``.due``).
    limits, limits_by_level
        Use :meth:`limits_at`.
    inhibits : tuple of str
        Rules whose alerts on the same subject, or on subjects within this place, are not raised
        while this one fires.
    counterfactual : str
        What, changed, would have kept it quiet: one of :data:`COUNTERFACTUALS`.
    hard_danger : bool
        Never starved by a queue's daily capacity.
    shadow : bool
        Runs and is recorded; nobody is sent.
    """

    name: str
    version: str
    title: Text
    subjects: Selector
    signals: Mapping[str, SignalUse]
    events: Mapping[str, EventUse]
    when: str
    hold: str
    for_s: int = 0
    keep_firing_for_s: int = 0
    unless: tuple[Unless, ...] = ()
    level: Level = Level.YELLOW
    promotions: tuple[Promotion, ...] = ()
    downgrades: tuple[Downgrade, ...] = ()
    budget: Budget | None = None
    route: Route | None = None
    limits: Limits = Limits()
    limits_by_level: Mapping[Level, Limits] = field(default_factory=dict)
    group: Group = Group()
    dedupe: Dedupe = Dedupe()
    inhibits: tuple[str, ...] = ()
    texts: Texts
    counterfactual: str = "none"
    hard_danger: bool = False
    shadow: bool = False
    description: Text | None = None
    file: str = field(default="", compare=False)
    line: int = field(default=0, compare=False)

    def limits_at(self, level: Level) -> Limits:
        """Return the time limits of a task at that level."""
        return self.limits_by_level.get(level, self.limits)

    def with_version(self) -> Rule:
        """Return the same rule with the version that its content has."""
        return replace(self, version=fingerprint(self)[:12])


COUNTERFACTUALS: Mapping[str, str] = MappingProxyType(
    {
        "sign_of_life": "one reading above the subject's threshold before the alert",
        "usual_use": "the episode's readings paused or at the usual amount; of a register: announced maintenance",
        "standby": "an approved test that covers the episode, with room above its load",
        "permit": "a permit or approved test that covers the episode",
        "reports": "announced maintenance that covers the silence",
        "fewer_events": "the counted events withdrawn",
        "absence": "a registered absence that covers the episode",
        "registration": "a registered change of tenants when the episode began",
        "none": "nothing can be listed",
    }
)
"""Kinds of counterfactual; the engine lists the concrete readings or events."""


@dataclass(frozen=True, slots=True)
class RuleSet:
    """All rules in force, sorted by name. Iterating gives the rules.

    ``version`` is the first 12 hex digits of the hash of all names and versions; ``suspicious``
    is what is legal but odd, ``warnings`` the same as lines.
    """

    rules: tuple[Rule, ...]
    version: str
    suspicious: tuple[Problem, ...] = field(default=(), compare=False)

    def __iter__(self) -> Iterator[Rule]:
        return iter(self.rules)

    def __len__(self) -> int:
        return len(self.rules)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is suspicious, as lines like those of :class:`rules.problems.RuleErrors`."""
        return tuple(map(str, self.suspicious))

    @property
    def names(self) -> frozenset[str]:
        """Names of the rules."""
        return frozenset(rule.name for rule in self.rules)

    def __getitem__(self, name: str) -> Rule:
        for rule in self.rules:
            if rule.name == name:
                return rule
        raise KeyError(name)


def rule_set(rules: list[Rule], suspicious: tuple[Problem, ...] = ()) -> RuleSet:
    """Return the rules as a set, sorted by name, with its version."""
    ordered = tuple(sorted(rules, key=lambda rule: rule.name))
    text = "\n".join(f"{rule.name} {rule.version}" for rule in ordered)
    return RuleSet(ordered, hashlib.sha256(text.encode()).hexdigest()[:12], suspicious)


def fingerprint(rule: Rule) -> str:
    """Return the SHA-256 (hex) of a rule's content, whatever its file, layout or comments."""
    content = {
        f.name: _plain(getattr(rule, f.name))
        for f in fields(rule)
        if f.compare and f.name != "version"
    }
    return hashlib.sha256(msgspec.json.encode(content, order="deterministic")).hexdigest()


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(_plain(k)): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value.value if isinstance(value, Enum) else value
