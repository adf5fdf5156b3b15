"""Why an alert was raised: which clause said what, with numbers, and where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.language import language, pick
from engine.opening import snapshot_folder
from engine.snapshot import SnapshotFileError, SnapshotFolder
from engine.store import Store
from rules.alerts import AlertChange


def explain(store: str, alert_id: str) -> str | None:
    """Return the explanation of an alert kept in a store.

    The beginning of an id will do; None where no alert, or more than one, begins so.
    """
    with Store.open(store, create=False) as opened:
        found = [a for a in opened.alerts() if a.alert_id.startswith(alert_id)]
        if len(found) != 1:
            return None
        lines = [render(opened.changes(found[0].alert_id)), *_task(opened, found[0].alert_id)]
        return "\n".join([*lines, *_origin(opened, store, found[0].shard, found[0].alert_id)])


def _task(store: Store, alert_id: str) -> list[str]:
    """Say what became of it in the queue."""
    task = store.tasks.of_alert(alert_id)
    if task is None:
        return []
    nobody = pick("（无人）", "(nobody)")
    return ["", pick("任务", "task"), f"  {task.task_id}  {task.state}  {task.assignee or nobody}"]


def _origin(store: Store, url: str, shard: str, alert_id: str) -> list[str]:
    """Say which state and which inputs it came from."""
    row, ref = store.shard(shard), store.current_snapshot(shard)
    if row is None:
        return []
    lines = ["", pick("状态与输入", "state and inputs")]
    lines.append(
        pick(
            f"  分片 {shard}，已提交至第 {row.offset} 条",
            f"  shard {shard}, committed up to {row.offset}",
        )
    )
    if ref is None:
        return lines
    lines.append(f"  {pick('快照', 'snapshot')} {ref.file}  sha256 {ref.sha256[:16]}…")
    try:
        header = SnapshotFolder(snapshot_folder(url)).read(ref).header
    except SnapshotFileError:
        return lines  # a live site says in its configuration where its snapshots are
    manifest = header.get("manifest", {})
    lines += [f"  {file}  {digest}" for file, digest in manifest.get("inputs", ())]
    alerts = header.get("outputs", [None])[0]
    if alerts not in (None, "-"):
        lines.append(f"  {pick('验证', 'to prove it')}: gridwarden audit {alerts}")
    if header.get("finished"):
        proof = f"gridwarden rules explain {alert_id} --store {url} --verify"
        lines.append(f"  {pick('重算此条', 'to recompute it')}: {proof}")
    return lines


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
