"""What is legal but suspicious: rules that can never fire, that others cover, that go nowhere."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from detectors.base import DetectorError, lookup
from rules.expression import Literal, conjuncts, parse
from rules.model import URGENCY, Rule, Selector
from rules.problems import listing, suggest
from rules.reach import World, dead_ends, implied, never, spans_of, world_of

Path: TypeAlias = tuple[str | int, ...]
"""Where something stands within a rule: keys, and places in lists."""

QUEUES = ("gridworker", "grid_leader", "street", "department")
"""Queues that every roster knows."""
KINDS = frozenset(
    [
        "home",
        "elderly_alone",
        "rental",
        "vacant",
        "shop",
        "office",
        "public_building",
        "plant",
        "closed_plant",
        "air_sensor",
    ]
)
"""Kinds of subject that tables usually hold; any other may be used, too."""
UTILITIES = ("electricity", "water", "gas", "heat")
"""What meters usually measure; any other may be used, too."""
EXPLAINED_BY = {"usual_use": "maintenance", "reports": "maintenance", "absence": "absent"}
"""Counterfactuals that are applied as an event, and the context by which a rule heeds it."""
STEPS = ("stand_in", *QUEUES)
"""Steps of a ladder that every roster knows."""


class Suspicion(NamedTuple):
    """Something legal but suspicious about a rule."""

    path: Path
    message: str
    offset: int | None = None
    """Characters from the beginning of the text that stands there."""
    hint: str = ""
    wanted: str = ""


@dataclass(frozen=True)
class Population:
    """Whom there is to watch, as far as selectors ask.

    Parameters
    ----------
    subjects : sequence of (kind, attributes, place), optional
        Repeats may be left out; None: not known.
    roles : frozenset of str, optional
        Roles of the workers there are; None: not known.
    """

    subjects: Sequence[tuple[str, Mapping[str, Any], str]] | None = None
    roles: frozenset[str] | None = None


def lint(rules: Sequence[Rule], population: Population | None = None) -> list[list[Suspicion]]:
    """Return what is suspicious about each of some rules that were loaded without errors."""
    known = population or Population()
    return [list(_about(rule, rules, known)) for rule in rules]


def _about(rule: Rule, rules: Sequence[Rule], known: Population) -> Iterator[Suspicion]:
    world = world_of(rule, (other.name for other in rules))
    yield from _conditions(rule, world)
    yield from _levels(rule)
    by = next((other for other in rules if other.name != rule.name and covers(other, rule)), None)
    if by is not None:
        yield Suspicion(("name",), f'it is shadowed: "{by.name}" fires whenever it would')
    yield from _people(rule, known.roles)
    yield from _utilities(rule)
    yield from _unexplained(rule)
    if known.subjects is None:
        others = {kind for other in rules if other is not rule for kind in other.subjects.kinds}
        yield from _kinds(rule, KINDS | others)
    if known.subjects is not None and rule.subjects.grain == "subject":
        yield from _selects(rule.subjects, known.subjects)


# -- conditions -----------------------------------------------------------------------------------


def _conditions(rule: Rule, world: World) -> Iterator[Suspicion]:
    tree = parse(rule.when)
    dead = never(tree, rule.when, world)
    if dead is not None:
        yield Suspicion(("when",), f"it can never fire: {dead.reason}", dead.at, dead.hint)
    else:
        for end in dead_ends(tree, rule.when, world):
            yield Suspicion(("when",), f"this part is never met: {end.reason}", end.at, end.hint)
    # What keeps a rule quiet is judged by itself: that it is "also in unless" says nothing here.
    bare = World(
        world.domains, frozenset(), world.rules, world.places, world.windows, world.overdue
    )
    for i, unless in enumerate(rule.unless):
        if unless.when is None:
            continue
        tree = parse(unless.when)
        if isinstance(tree, Literal) and tree.value is True:
            yield Suspicion(("unless", i), "it can never fire: this always keeps it quiet")
        elif (dead := never(tree, unless.when, bare)) is not None:
            yield Suspicion(
                ("unless", i, "when"), f"it keeps nothing quiet: {dead.reason}", dead.at, dead.hint
            )
    for i, step in enumerate(rule.promotions):
        dead = never(parse(step.when), step.when, bare) if step.when else None
        if dead is not None:
            yield Suspicion(
                ("promote", i, "when"), f"it is never promoted: {dead.reason}", dead.at, dead.hint
            )


def _levels(rule: Rule) -> Iterator[Suspicion]:
    """Find promotions that come when an earlier or equal one has done as much."""
    for i, step in enumerate(rule.promotions):
        for j, other in enumerate(rule.promotions):
            same = other.when is None or other.when == step.when
            as_much = URGENCY[other.to] >= URGENCY[step.to] and other.after_s <= step.after_s
            if i != j and same and as_much and (other != step or j < i):
                yield Suspicion(
                    ("promote", i), f"it changes nothing: by then the level is {other.to} already"
                )
                break


# -- whom it watches, who goes ----------------------------------------------------------------------


def _selects(
    selector: Selector, subjects: Sequence[tuple[str, Mapping[str, Any], str]]
) -> Iterator[Suspicion]:
    """Find the part of a selector that no subject meets."""
    kinds = {kind for kind, _, _ in subjects}
    unknown = [k for k in selector.kinds if k not in kinds]
    nobody = len(unknown) == len(selector.kinds)
    for i, kind in enumerate(unknown):
        hint = suggest(kind, kinds)
        # A city without shops is no mistake of a rule about shops and homes; a shpo is.
        if hint or (nobody and i == 0):
            others = len(unknown) - 1 if nobody and not hint else 0
            more = f" (nor of the {others} others)" if others else ""
            yield Suspicion(
                ("subjects", "kinds"), f'no subject is of kind "{kind}"{more}',
                hint=hint, wanted=f"one of {listing(kinds)}",
            )  # fmt: skip
    left = [s for s in subjects if not selector.kinds or s[0] in selector.kinds]
    for name, allowed in selector.attrs.items():
        if not left:
            return
        values = {str(attrs[name]) for _, attrs, _ in left if name in attrs}
        left = [s for s in left if s[1].get(name) in allowed]
        if not left:
            names = {n for _, attrs, _ in subjects for n in attrs}
            wrong = f'no subject has attribute "{name}"' if not values else (
                f'no subject has "{name}" = {" or ".join(map(str, allowed))}'
            )  # fmt: skip
            hint = suggest(name, names - {name}) if not values else suggest(str(allowed[0]), values)
            yield Suspicion(
                ("subjects", "attrs", name), wrong, hint=hint,
                wanted=f"one of {listing(values or names)}",
            )  # fmt: skip
    if left and selector.place_prefixes:
        for prefix in selector.place_prefixes:
            if not any(place.startswith(prefix) for _, _, place in left):
                yield Suspicion(("subjects", "places"), f'no such subject is in place "{prefix}"')


def _people(rule: Rule, roles: frozenset[str] | None) -> Iterator[Suspicion]:
    route = rule.route
    if route is None:
        if not rule.shadow:
            yield Suspicion((), "it has no route: its alerts become nobody's task")
        return
    known = frozenset(QUEUES) | (roles or frozenset())
    # Without a workers file a role of one's own cannot be told from a slip of the pen.
    doubtful = roles is not None
    if route.queue not in known and (doubtful or suggest(route.queue, known)):
        yield Suspicion(
            ("route", "queue"), f'nobody has the role "{route.queue}"',
            hint=suggest(route.queue, known), wanted=f"one of {listing(known)}",
        )  # fmt: skip
    for i, step in enumerate(route.escalate):
        steps = known | {"stand_in"}
        if step.to not in steps and (doubtful or suggest(step.to, steps)):
            yield Suspicion(
                ("route", "escalate", i, "to"), f'nobody has the role "{step.to}"',
                hint=suggest(step.to, steps), wanted=f"one of {listing(steps)}",
            )  # fmt: skip
    if route.contact_first:
        levels = {rule.level, *(p.to for p in rule.promotions)}
        if rule.subjects.grain != "subject":
            yield Suspicion(("route", "contact_first"), "nobody is called about a place")
        elif levels <= set(route.send_at_once):
            yield Suspicion(
                ("route", "contact_first"),
                "the calls keep nobody at home: at all its levels somebody is sent at once",
            )
    if rule.hard_danger and rule.group.wait_s:
        yield Suspicion(("group", "wait"), "hard danger never waits: this changes nothing")


# -- whom and what it hears -------------------------------------------------------------------------


def _kinds(rule: Rule, known: frozenset[str]) -> Iterator[Suspicion]:
    for kind in rule.subjects.kinds:
        near = difflib.get_close_matches(kind, sorted(known), n=1, cutoff=0.75)
        if kind not in known and near:
            yield Suspicion(
                ("subjects", "kinds"), f'no table is known to have subjects of kind "{kind}"',
                hint=f'did you mean "{near[0]}"?',
            )  # fmt: skip


def _utilities(rule: Rule) -> Iterator[Suspicion]:
    for name, use in rule.signals.items():
        try:
            heard = {channel.utility for channel in lookup(use.detector).channels}
        except DetectorError:
            heard = {"*"}
        for utility in use.utilities:
            path: Path = ("signals", name, "utilities")
            if "*" not in heard and utility not in heard:
                yield Suspicion(
                    path, f'detector "{use.detector}" never hears "{utility}"',
                    hint=suggest(utility, heard), wanted=f"one of {listing(heard)}",
                )  # fmt: skip
            elif utility not in UTILITIES and (hint := suggest(utility, UTILITIES)):
                yield Suspicion(path, f'no meter is known to measure "{utility}"', hint=hint)


def _unexplained(rule: Rule) -> Iterator[Suspicion]:
    """Find counterfactuals that change nothing: an event that the rule does not heed."""
    context = EXPLAINED_BY.get(rule.counterfactual)
    if context is None:
        return
    uses = rule.signals.values()
    if (
        rule.counterfactual == "usual_use"
        and uses
        and not any(not use.utilities or set(use.utilities) & set(UTILITIES) for use in uses)
    ):  # only registers need the event: meters of air, noise and the like are none
        return
    texts = [rule.when, *(unless.when or "" for unless in rule.unless)]
    heeded = any(unless.context == context for unless in rule.unless)
    if not heeded and not any(f"context.{context}" in text for text in texts):
        yield Suspicion(
            ("counterfactual",),
            f'"{rule.counterfactual}" may be applied as an event that this rule does not heed, '
            "and `audit` then finds it raised all the same",
            hint=f"add {context} to unless",
        )


# -- rules that stand before others -----------------------------------------------------------------


def covers(other: Rule, rule: Rule) -> bool:
    """Return whether `other` fires whenever `rule` would, and then keeps it quiet (or equals it)."""
    quiet = rule.name in other.inhibits or any(u.alert == other.name for u in rule.unless)
    same = other.when == rule.when and other.for_s == rule.for_s and other.name < rule.name
    alike = (
        other.signals == rule.signals
        and other.events == rule.events
        and other.budget == rule.budget
        and set(other.unless) <= {u for u in rule.unless if u.alert != other.name}
    )
    if not (quiet or same) or not alike or other.shadow:
        return False
    return (
        _wider(other.subjects, rule.subjects)
        and _asks_less(other.when, rule.when)
        and other.for_s <= rule.for_s
    )


def _asks_less(one: str, two: str) -> bool:
    """Return whether a condition holds wherever another does, as far as clauses tell."""
    tree = parse(two)
    clauses, spans = {two[c.start : c.end] for c in conjuncts(tree)}, spans_of(tree)
    return all(one[c.start : c.end] in clauses or implied(c, spans) for c in conjuncts(parse(one)))


def _wider(one: Selector, two: Selector) -> bool:
    """Return whether `one` watches everything that `two` does."""
    return (
        one.grain == two.grain
        and one.series == two.series
        and (not one.kinds or (bool(two.kinds) and set(two.kinds) <= set(one.kinds)))
        and (
            not one.place_prefixes
            or (
                bool(two.place_prefixes)
                and all(p.startswith(one.place_prefixes) for p in two.place_prefixes)
            )
        )
        and all(
            name in two.attrs and set(two.attrs[name]) <= set(allowed)
            for name, allowed in one.attrs.items()
        )
    )
