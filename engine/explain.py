"""Why an alert was raised: which clause said what, with numbers, and where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.language import language, pick
from engine.store import Store
from rules.alerts import AlertChange


def explain(store: str, alert_id: str) -> str | None:
    """Return the explanation of an alert kept in a store.

    The beginning of an id will do; None where no alert, or more than one, begins so.
    """
    with Store.open(store) as opened:
        found = [a.alert_id for a in opened.alerts() if a.alert_id.startswith(alert_id)]
        changes = opened.changes(found[0]) if len(found) == 1 else []
    return render(changes) if changes else None


def render(changes: list[AlertChange]) -> str:
    """Return an explanation as lines of text, in the language of the locale."""
    first = changes[0]
    lines = [
        f"{first.alert_id}  {first.rule}  {first.subject_id or first.place}",
        f"  {first.reason[language()]}",
        "",
        pick("条件", "clauses"),
    ]
    for clause in first.facts.get("clauses", ()):
        met = {True: pick("成立", "true"), False: pick("不成立", "false")}.get(clause["met"], "?")
        lines.append(f"  {clause['clause']}  →  {met}  ({_pairs(clause['with'])})")
    lines += ["", pick("信号", "signals")]
    lines += [f"  {_pairs(signal)}" for signal in first.signals]
    known = {k: v for k, v in first.facts.items() if isinstance(v, int | float | str)}
    lines += ["", pick("事实", "facts"), f"  {_pairs(known)}"]
    lines += ["", pick("怎样就不会预警", "what would have kept it quiet")]
    lines += [f"  {_pairs(row)}" for row in first.facts.get("counterfactual", ())]
    lines += ["", pick("来源", "provenance")]
    lines.append(
        f"  {pick('规则版本', 'rule version')} {first.rule_version}; "
        f"{pick('预算', 'budget')} {first.budget}; "
        f"{pick('价格', 'price')} {_pairs(first.facts.get('price', {}))}"
    )
    lines += ["", pick("经过", "history")]
    lines += [f"  {c.at}  {c.state}  {c.level}  {c.reason[language()]}" for c in changes]
    return "\n".join(lines)


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())
