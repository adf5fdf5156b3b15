"""Why an alert was raised: which clause said what, with numbers, and where it came from."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any

from engine.language import Language, language, pick
from engine.opening import snapshot_folder
from engine.snapshot import SnapshotFileError, SnapshotFolder
from engine.store import Store
from engine.words import STATES
from rules import facts, texts
from rules.alerts import AlertChange
from rules.facts import Fact
from rules.texts import UNKNOWN


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
    state = pick(*STATES[task.state])
    return ["", pick("任务", "task"), f"  {task.task_id}  {state}  {task.assignee or nobody}"]


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
    """Return an explanation as lines of text, in the language to speak."""
    first = changes[0]
    lang = language()
    detectors = {s["name"]: s["detector"] for s in first.signals}
    lines = [
        f"{first.alert_id}  {first.rule}  {first.subject_id or first.place}",
        f"  {first.reason[lang]}",
        "",
        pick("条件", "clauses"),
    ]
    for clause in first.facts.get("clauses", ()):
        met = pick("成立", "true") if clause["met"] else pick("不成立", "false")
        if clause["met"] is None:
            met = UNKNOWN[lang]
        seen = _joined(_operand(n, v, detectors, lang) for n, v in clause["with"].items())
        lines.append(f"  {clause['clause']}  →  {met}  ({seen})")
    lines += ["", pick("信号", "signals"), *(f"  {_signal(s)}" for s in first.signals)]
    lines += ["", pick("事实", "facts"), *(f"  {text}" for text in _facts(first, lang))]
    lines += ["", pick("怎样就不会预警", "what would have kept it quiet")]
    lines += [f"  {_otherwise(row)}" for row in first.facts.get("counterfactual", ())]
    lines += ["", pick("来源", "provenance")]
    version = pick("规则版本", "rule version")
    lines.append(f"  {version} {first.rule_version}{pick('；', '; ')}{_budget(first)}")
    lines += ["", pick("经过", "history")]
    lines += [f"  {_time(c.at)}  {_state(c)}  {c.reason[lang]}" for c in changes]
    return "\n".join(lines)


_PLAIN = "{it.value:plain}"
_STATES = {"firing": "预警中", "resolved": "已解除", "cancelled": "已撤回"}
_UNTOLD = frozenset({"onset_slot", "since_slot", "episode_start"})
"""Slot numbers, which mean nothing outside; the signal says since when."""


def _plain(value: Any) -> str:
    """Return a value as a person would write it."""
    return texts.render(_PLAIN, language(), {"it": {"value": value}})


def _time(stamp: str | None) -> str:
    """Return a stamp without what nobody reads.

    >>> _time("2026-03-07T20:00:00Z"), _time("2026-03-07T19:59:59Z")
    ('2026-03-07 20:00 UTC', '2026-03-07 19:59:59 UTC')
    """
    if stamp is None:
        return UNKNOWN[language()]
    return stamp.replace("T", " ").removesuffix("Z").removesuffix(":00") + " UTC"


def _joined(parts: Iterable[str]) -> str:
    return pick("，", ", ").join(parts)


def _operand(name: str, value: Any, detectors: Mapping[str, str], lang: Language) -> str:
    """Return what stood where a condition names something: ``quarrel.facts.count: 3 events``."""
    root, _, path = name.partition(".")
    if path.startswith("facts.") and root in detectors:
        path = path.removeprefix("facts.")
        said = facts.shown(detectors[root], path, {path: value}, lang)
    else:
        said = _plain(value)
    return f"{name}{pick('：', ': ')}{said}"


def _signal(signal: Mapping[str, Any]) -> str:
    told = [
        pick(f"证据 {_plain(signal['evidence'])}", f"evidence {_plain(signal['evidence'])}"),
        pick(f"p 值 {_plain(signal['p_value'])}", f"p-value {_plain(signal['p_value'])}"),
        pick(f"紧迫度 {_plain(signal['urgency'])}", f"urgency {_plain(signal['urgency'])}"),
        pick(f"始于 {_time(signal['onset'])}", f"since {_time(signal['onset'])}"),
    ]
    by = f"{signal['name']} ({signal['detector']})"
    return pick(f"{signal['name']}（{signal['detector']}）", by) + pick("：", ": ") + _joined(told)


def _facts(change: AlertChange, lang: Language) -> list[str]:
    """Return the facts by their names; in brackets, what rules call them."""
    told = []
    for name, value in change.facts.items():
        if not isinstance(value, int | float | str) or name in _UNTOLD:
            continue
        if name == "slot_end" and not change.signals:
            continue  # of what is decided on events alone, no slot has ended
        if name == "slot_end":
            known, said = Fact("截至", "up to"), _time(str(value))
        else:
            by = next(
                (s["detector"] for s in change.signals if facts.fact(s["detector"], name)), ""
            )
            known = facts.fact(by, name) or Fact(name, name)
            said = facts.shown(by, name, change.facts, lang)
        named = pick(known.zh, known.en)
        bracket = "" if named == name else pick(f"（{name}）", f" ({name})")
        told.append(f"{named}{bracket}{pick('：', ': ')}{said}")
    return told


def _otherwise(row: Mapping[str, Any]) -> str:
    """Return a reading or an event that would have changed it, in words."""
    if "meter_id" in row:
        value = f"{row['value']:,.12g}"  # every digit: it is to be put in
        return pick(
            f"表 {row['meter_id']} 在 {_time(row['ts'])} 的读数为 {value}",
            f"meter {row['meter_id']} reads {value} at {_time(row['ts'])}",
        )
    if row.get("withdrawn"):
        return pick(f"没有事件 {row['event_id']}", f"without the event {row['event_id']}")
    attrs = {k: v for k, v in row["attrs"].items() if k not in ("from", "to")}
    whom = row.get("subject_id") or row.get("place")
    since, until = _time(row["attrs"].get("from")), _time(row["attrs"].get("to"))
    more = "".join(f"{pick('，', ', ')}{name} {_plain(value)}" for name, value in attrs.items())
    return pick(
        f"事件 {row['kind']}：{whom}，{since} 至 {until}{more}",
        f"an event {row['kind']} of {whom}, {since} to {until}{more}",
    )


def _budget(change: AlertChange) -> str:
    """Return the rule's budget and the price that held."""
    if change.budget is None:
        return pick("不设预算", "no budget")
    asked = _plain(change.budget)
    budget = pick(f"预算每户每年误报 {asked} 次", f"budget {asked} false alerts a subject-year")
    price = change.facts.get("price") or {}
    if price.get("day", -1) < 0:
        return budget
    day = dt.date(1970, 1, 1) + dt.timedelta(days=price["day"])
    at = price["index"]
    share = texts.render("{it.share:percent}", language(), {"it": {"share": price["fraction"]}})
    return budget + pick(
        f"；{day} 的价格：紧迫度超过 {at} 即预警，等于 {at} 的有 {share} 预警",
        f"; price of {day}: due above urgency {at}, and at {at} in {share} of cases",
    )


def _state(change: AlertChange) -> str:
    """Return what happened and the level."""
    level = texts.render("{it.level:level}", language(), {"it": {"level": change.level}})
    return f"{pick(_STATES.get(change.state, change.state), change.state)}  {level}"
