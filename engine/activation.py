"""A version of the rules takes effect: at a place in the log, keeping what did not change.

Detectors go on with their state; so do the alerts, prices and counts of rules that have the same
name. An alert whose rule is gone, or no longer watches its subject, is taken back.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from connectors.records import Activation
from engine.build import BuildError
from engine.heard import Heard
from engine.library import with_budgets
from engine.links import Moves, rows_in
from engine.repricing import promised_otherwise, reducers_of
from engine.watch import Raised, Watch
from rules.compile import Decision
from rules.lifecycle import Change, Kind, Life
from rules.loader import load
from rules.model import BY_URGENCY, RuleSet

if TYPE_CHECKING:
    from engine.shard import ShardRunner

WITHDRAWN = "rule_withdrawn"
"""Cause of the last line of an alert whose rule no longer asks."""


class ActivationError(ValueError):
    """A version of rules in the log cannot be taken up."""


def rules_of(record: Activation) -> RuleSet:
    """Return the rules of an activation.

    Raises
    ------
    ActivationError
        If this program reads them as another version than the one that was activated, or cannot
        build them.
    """
    return _loaded(
        record.version,
        tuple(sorted(record.rules_yaml.items())),
        tuple(sorted(record.budgets.items())),
    )


@lru_cache(8)
def _loaded(
    version: str, files: tuple[tuple[str, str], ...], budgets: tuple[tuple[str, float], ...]
) -> RuleSet:
    found = with_budgets(load(dict(files)), dict(budgets))
    if found.version != version:
        raise ActivationError(
            f"rules {version}: this program reads them as version {found.version}; start the "
            "program that activated them, or activate them anew"
        )
    try:
        reducers_of(found)
    except BuildError as error:
        raise ActivationError(f"rules {version}: {error}") from None
    return found


def activate(shard: ShardRunner, rules: RuleSet, at_ns: int) -> None:
    """Put rules in force in a shard from `at_ns` on; the same version again changes nothing."""
    if rules.version == shard.rules.version:
        return
    before = {watch.rule.name: watch for watch in shard.watches}
    older = {id(group) for group in shard.groups}
    watches = shard.builder.build(rules)
    shard.count_more()
    shard.grow(shard.builder.groups, watches)
    for name, watch in sorted(before.items()):
        if name not in rules.names:
            shard.tell(watch, withdrawn(shard, watch, sorted(watch.lives), at_ns))
    carried: dict[tuple[int, int], Heard] = {}
    for i, watch in enumerate(watches):
        old = before.get(watch.rule.name)
        if old is None:
            continue
        if _same(old, watch):
            watches[i] = old
        else:
            left = watch.adopt(old, carried)
            shard.tell(old, withdrawn(shard, old, left, at_ns))
    moves = _moves(shard.watches, watches)
    other = promised_otherwise(shard.rules, rules)
    shard.rules, shard.watches, shard.groups = rules, watches, shard.builder.groups
    shard.wire()
    shard.rearm(moves, other)
    shard.around.rewire(moves, [g for g in shard.groups if id(g) not in older])


def _moves(before: list[Watch], after: list[Watch]) -> Moves:
    """Return, for each rule that goes on, its new place and where its rows went."""
    place = {watch.rule.name: i for i, watch in enumerate(after)}
    found: Moves = {}
    for i, old in enumerate(before):
        if old.rule.name in place:
            new = place[old.rule.name]
            mine, theirs = rows_in(after[new].rows, old.rows)
            found[i] = (new, dict(zip(theirs.tolist(), mine.tolist(), strict=True)))
    return found


def _same(old: Watch, new: Watch) -> bool:
    """Return whether a watch can go on as it is: the same rule over the same groups."""
    return old.rule.version == new.rule.version and [
        (name, id(link.group)) for name, turns in old.turns.items() for link in turns.heard.links
    ] == [(name, id(link.group)) for name, turns in new.turns.items() for link in turns.heard.links]


def withdrawn(shard: ShardRunner, watch: Watch, rows: list[int], at_ns: int) -> list[Raised]:
    """Return the last changes of alerts that nobody asks for any more."""
    nothing = Decision(None, None, None, True, watch.rule.level, 0, ())
    found: list[Raised] = []
    for row in rows:
        life: Life = watch.lives.pop(row)
        tip_ns = watch.tips.pop(row, 0)
        if life.firing:
            change = Change(Kind.CANCELLED, at_ns, BY_URGENCY[life.level], WITHDRAWN)
            variables = watch.variables(row, at_ns, shard.around, {})
            found.append(Raised(row, change, life, nothing, variables, tip_ns))
    return found
