"""From a rule to decisions: masks over arrays first, CEL for the candidates that are left."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import cel
import numpy as np
from numpy.typing import NDArray

from rules.alerts import Level
from rules.expression import Logic, Name, Node, conjuncts, parse, walk
from rules.masks import Evaluation, Graph, fuse
from rules.model import URGENCY, Promotion, Rule, Unless


class Clause(NamedTuple):
    """One clause of a condition, what it came to, and the values it looked at."""

    text: str
    value: bool | None
    operands: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Decision:
    """What a rule says of one subject at one moment.

    Parameters
    ----------
    met : bool or None
        `when` is true, false, or cannot be told (a value it needs is not known).
    holds : bool or None
        `hold` likewise.
    blocked_by : str or None
        Label of the `unless` entry that applies: the first that cancels, else the first.
    cancels : bool
        Whether that entry also cancels an alert that fires.
    level : Level
        Level now; promotions that wait for a time are left out.
    promotions : int
        Bit i: the condition of ``rule.promotions[i]`` is true.
    clauses : tuple of Clause
        The clauses of `when`, with their values.
    """

    met: bool | None
    holds: bool | None
    blocked_by: str | None
    cancels: bool
    level: Level
    promotions: int
    clauses: tuple[Clause, ...]


class Condition:
    """A CEL expression, compiled once, clause by clause."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.node = parse(text)
        self.names = _names(self.node)
        self._clauses = [
            (text[n.start : n.end], cel.compile(text[n.start : n.end]), _names(n))
            for n in conjuncts(self.node)
        ]

    def verdict(self, known: cel.Context) -> bool | None:
        """Return whether it is true, false, or cannot be told."""
        return _all(_run(program, known) for _, program, _ in self._clauses)

    def clauses(self, known: cel.Context, variables: Mapping[str, Any]) -> tuple[Clause, ...]:
        """Return what each clause came to."""
        return tuple(
            Clause(text, _run(program, known), {n: _at(variables, n.split(".")) for n in names})
            for text, program, names in self._clauses
        )


class CompiledRule:
    """A rule ready to decide.

    Parameters
    ----------
    rule : Rule
        A rule that the loader accepted.

    Attributes
    ----------
    signals : tuple of str
        Local names of its signals.
    due_signals : tuple of str
        Those whose ``.due`` the conditions ask for.
    columns : frozenset of str
        Dotted names that :meth:`mask` can use.
    mask_exact : bool
        Whether the mask, given all of `columns`, is true exactly where `when` is met.
    promotions_exact : bool
        Whether :meth:`promoted` says exactly what :meth:`decide` would.
    reads : frozenset of str
        What :meth:`decide` reads beside signals and events: ``subject``, ``context`` and so on.
    leads : frozenset of str, or None
        Signals of which at least one is due wherever `when` is met; None: it can be met without.
    weights : tuple of (str, float)
        What adds to `fused`: signals by weight, events by what one is worth.
    """

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.when = Condition(rule.when)
        self.hold = self.when if rule.hold == rule.when else Condition(rule.hold)
        self._unless = [(u, Condition(u.when) if u.when else None) for u in rule.unless]
        self._promotions = [(p, Condition(p.when) if p.when else None) for p in rule.promotions]
        conditions = [self.when, self.hold]
        conditions += [c for _, c in (*self._unless, *self._promotions) if c is not None]
        self._paths = tuple(sorted({tuple(n.split(".")) for c in conditions for n in c.names}))
        self.signals = tuple(rule.signals)
        self.due_signals = tuple(s for s in rule.signals if (s, "due") in self._paths)
        self._graph = Graph()
        self._root = self.add_to(self._graph)
        self.mask_exact = self._graph.exact(self._root)
        self.leads = _leads(self.when.node, self.signals)
        # An event is worth what the rule says; a signal, its evidence times a weight.
        self.weights = (
            *((name, use.weight) for name, use in rule.signals.items()),
            *((name, 1.0) for name, use in rule.events.items() if use.evidence),
        )
        self.columns = self._columns()
        self._promoting = {
            i: self._graph.add(c.node, _column_or_fact)
            for i, (_, c) in enumerate(self._promotions)
            if c is not None
        }
        self.promotions_exact = all(self._graph.exact(term) for term in self._promoting.values())
        self.reads = frozenset(
            {path[0] for path in self._paths}
            | {"context" for u in rule.unless if u.context is not None}
            | {"alerts" for u in rule.unless if u.alert is not None}
        )

    def add_to(self, graph: Graph, prefix: Mapping[str, str] | None = None) -> int:
        """Add `when` to a graph that several rules share; return its term.

        `prefix` renames what comes before the first dot (a local signal name → the key of its
        detector group), so that rules that listen to the same thing share its masks; it can also
        rename a whole dotted name.
        """
        names = {} if prefix is None else prefix

        def column(dotted: str) -> str | None:
            root, _, rest = dotted.partition(".")
            if root in ("subject", "alerts") or dotted == "now.season" or rest == "value":
                return None
            if dotted in names:
                return names[dotted]
            return f"{names.get(root, root)}.{rest}" if rest else names.get(root, root)

        return graph.add(self.when.node, column)

    def unheard(self) -> bool:
        """Return whether `when` could be met where no signal has ever said anything."""
        said = {"due": False, "urgency": -1, "evidence": np.nan, "p_value": np.nan, "ready": False}
        columns = {f"{s}.{name}": np.array([v]) for s in self.signals for name, v in said.items()}
        return not self.signals or bool(np.any(self.mask(columns)))

    def mask(self, columns: Mapping[str, Any]) -> NDArray[np.bool_]:
        """Return where `when` could be met.

        Parameters
        ----------
        columns : mapping of str to array or scalar
            Arrays of shape (N,) by dotted name. Unknown is NaN; where a signal is not ready,
            ``due`` is False and ``urgency`` −1. What is missing counts as "could be anything".

        Returns
        -------
        ndarray of bool, shape (N,) (or () if only scalars matter)
            A superset of where :meth:`decide` says met; see :attr:`mask_exact`.
        """
        given = dict(columns)
        if "fused" in self.columns and "fused" not in given:
            parts = [(columns.get(f"{n}.evidence"), w) for n, w in self.weights]
            if all(evidence is not None for evidence, _ in parts):
                given["fused"] = fuse([(np.asarray(evidence), w) for evidence, w in parts])
        with np.errstate(all="ignore"):
            return np.asarray(Evaluation(self._graph.terms, given).could(self._root))

    def promotion_facts(self) -> tuple[tuple[str, str], ...]:
        """Return the (signal, fact) pairs that the conditions of promotions read, sorted."""
        names = {n for _, c in self._promotions if c is not None for n in c.names}
        split = [name.split(".") for name in names]
        return tuple(sorted((p[0], p[2]) for p in split if len(p) == 3 and p[1] == "facts"))

    def promoted(self, columns: Mapping[str, NDArray[Any]], n: int) -> NDArray[np.int64]:
        """Return which promotions' conditions hold, as bits, of n rows that are ready.

        Parameters
        ----------
        columns : mapping of str to ndarray, shape (n,)
            As for :meth:`mask`, and the facts of :meth:`promotion_facts` by dotted name.
        n : int
            Number of rows.

        Returns
        -------
        ndarray of int64, shape (n,)
            :attr:`Decision.promotions`, if :attr:`promotions_exact`; else perhaps too many bits.
        """
        bits = np.zeros(n, np.int64)
        with np.errstate(all="ignore"):
            seen = Evaluation(self._graph.terms, columns)
            for i in range(len(self._promotions)):
                term = self._promoting.get(i)
                bits |= np.asarray(True if term is None else seen.could(term), np.int64) << i
        return bits

    def decide(self, variables: Mapping[str, Any]) -> Decision:
        """Return the decision for one subject.

        Parameters
        ----------
        variables : mapping
            As :mod:`rules` lists them.
        """
        seen = self._seen(variables)
        known = cel.Context(_known(seen, self._paths))
        clauses = self.when.clauses(known, seen)
        met = _all(c.value for c in clauses)
        holds = met if self.hold is self.when else self.hold.verdict(known)
        blocking = self._blocking(known, variables)
        promotions = 0
        for i, (_, condition) in enumerate(self._promotions):
            promotions |= (condition is None or condition.verdict(known) is True) << i
        return Decision(
            met=met,
            holds=holds,
            blocked_by=None if blocking is None else blocking.label,
            cancels=blocking is not None and blocking.cancels,
            level=_level(self.rule.level, self.rule.promotions, promotions),
            promotions=promotions,
            clauses=clauses,
        )

    def _columns(self) -> frozenset[str]:
        used = self._graph.columns(self._root)
        if "fused" in used:
            used |= {f"{name}.evidence" for name, _ in self.weights}
        return used

    def _seen(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the variables without what is not known, `fused` added."""
        seen = dict(variables)
        for name in self.signals:
            signal = variables.get(name)
            if signal is None or not signal.get("ready"):
                seen[name] = {"ready": False}
        if "fused" not in variables:
            total, there = 0.0, False
            for name, weight in self.weights:
                evidence = _clean(_at(seen, (name, "evidence")))
                if evidence is not None:
                    total, there = total + float(evidence) * weight, True
            seen["fused"] = total if there else None
        return seen

    def _blocking(self, known: cel.Context, variables: Mapping[str, Any]) -> Unless | None:
        context, alerts = variables.get("context", {}), variables.get("alerts", ())
        first: Unless | None = None
        for unless, condition in self._unless:
            if condition is not None:
                applies = condition.verdict(known) is True
            elif unless.context is not None:
                applies = bool(context.get(unless.context))
            else:
                applies = unless.alert in alerts
            if applies and unless.cancels:
                return unless
            if applies and first is None:
                first = unless
        return first


def _column_or_fact(dotted: str) -> str | None:
    """Return the column of a name that a promotion may read: of a signal, or one of its facts."""
    root, _, rest = dotted.partition(".")
    known = rest in ("due", "urgency", "evidence", "p_value", "ready") or (
        rest.startswith("facts.") and rest.count(".") == 1
    )
    return dotted if known and root not in ("subject", "context", "now", "alerts") else None


def _level(base: Level, promotions: Sequence[Promotion], met: int) -> Level:
    reached = [p.to for i, p in enumerate(promotions) if met >> i & 1 and p.after_s == 0]
    return max([base, *reached], key=lambda level: URGENCY[level])


def _leads(node: Node, signals: Sequence[str]) -> frozenset[str] | None:
    """Return signals of which one is due wherever an expression is true; None if none need be."""
    if isinstance(node, Name) and node.path[1:] == ("due",) and node.path[0] in signals:
        return frozenset({node.path[0]})
    if not isinstance(node, Logic):
        return None
    parts = [_leads(item, signals) for item in node.items]
    known = [part for part in parts if part is not None]
    if node.op == "&&":
        return min(known, key=lambda part: (len(part), sorted(part)), default=None)
    return frozenset().union(*known) if len(known) == len(parts) else None


def _names(node: Node) -> tuple[str, ...]:
    return tuple(sorted({n.dotted for n in walk(node) if isinstance(n, Name)}))


def _run(program: cel.Program, known: cel.Context) -> bool | None:
    try:
        value = program.execute(known)
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError):
        # An unknown value is an error to CEL, which lets it pass where it does not matter
        # (`false && unknown`); where it matters, the clause cannot be told.
        return None
    return value if isinstance(value, bool) else None


def _all(values: Iterable[bool | None]) -> bool | None:
    """Return the conjunction in three-valued logic."""
    result: bool | None = True
    for value in values:
        if value is False:
            return False
        if value is None:
            result = None
    return result


def _known(variables: Mapping[str, Any], paths: Iterable[Sequence[str]]) -> dict[str, Any]:
    """Return only what the paths name and what is known of it: converting for CEL costs most."""
    wanted: dict[str, Any] = {}
    for path in paths:
        source, target = variables, wanted
        for word in path[:-1]:
            source = source.get(word) if isinstance(source, Mapping) else None  # type: ignore[assignment]
            if not isinstance(source, Mapping):
                break
            target = target.setdefault(word, {})
        else:
            value = _clean(source.get(path[-1]))
            if value is not None and not isinstance(target.get(path[-1]), Mapping):
                target[path[-1]] = value
    return wanted


def _at(variables: Mapping[str, Any], path: Sequence[str]) -> Any:
    value: Any = variables
    for word in path:
        value = value.get(word) if isinstance(value, Mapping) else None
    return value


def _clean(value: Any) -> Any:
    """Return a value as CEL takes it; None if it is not known."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, bool | int | str) or value is None:
        return value
    if isinstance(value, Mapping):
        return {str(k): c for k, v in value.items() if (c := _clean(v)) is not None}
    if isinstance(value, Iterable):
        return [c for v in value if (c := _clean(v)) is not None]
    return str(value)
