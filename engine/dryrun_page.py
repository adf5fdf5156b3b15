"""A dry run for people: a table on the terminal, JSON for programs, one HTML page for approval."""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

import jinja2
from markupsafe import Markup, escape

from connectors.records import Status
from engine.compare import Pair, Raised
from engine.dryrun import Draft, DryRun
from engine.language import Language, language, pick
from engine.report_charts import Curve, glyph, load_curve, spoken_until, svg
from rules.alerts import stamp

NS = 1_000_000_000
SHOWN, CURVES = 300, 40
KINDS: Mapping[str, tuple[str, str]] = {
    "gained": ("新增", "gained"),
    "lost": ("消失", "lost"),
    "earlier": ("更早", "earlier"),
    "later": ("更晚", "later"),
    "relevelled": ("改级别", "level"),
}
VERDICTS: Mapping[str, tuple[str, str]] = {
    "confirmed": ("属实", "confirmed"),
    "false": ("误报", "false"),
    "unknown": ("不明", "unknown"),
}


# -- for programs -----------------------------------------------------------------------------


def as_json(run: DryRun) -> dict[str, Any]:
    """Return everything that the page says, as plain data."""
    found = run.comparison
    return {
        "old": _draft(run.old.draft),
        "new": _draft(run.new.draft),
        "from": stamp(run.first_ns),
        "to": stamp(run.last_ns),
        "days": round(run.days, 3),
        "alerts": {
            "old": len(run.old.raised),
            "new": len(run.new.raised),
            **{kind: len(getattr(found, kind)) for kind in (*KINDS, "same")},
            "lost_confirmed": len(run.lost_true),
        },
        "visits": {
            "old": sum(run.old.visits.values()),
            "new": sum(run.new.visits.values()),
            "held_back": {"old": run.old.held_back, "new": run.new.held_back},
            "extra_per_worker_day": round(run.extra_per_day, 6),
            "workers": [
                {
                    "worker": worker,
                    "old": old,
                    "new": new,
                    "extra_per_day": round((new - old) / run.days, 6),
                }
                for worker, old, new in run.workers
            ],
            "days": _days(run),
        },
        "budgets": budgets(run),
        "changes": [_change(run, kind, pair) for kind, pair in found.changed],
        "rows": {n: {"rows": c.rows, **c.by_status} for n, c in run.counts.items()},
        "seconds": round(run.seconds, 1),
    }


def _draft(draft: Draft) -> dict[str, Any]:
    return {
        "name": draft.name,
        "version": draft.rules.version,
        "rules": {rule.name: rule.version for rule in draft.rules},
    }


def _days(run: DryRun) -> list[dict[str, Any]]:
    """Return tasks by worker and day, where either side has any."""
    keys = sorted({*run.old.visits, *run.new.visits})
    return [
        {"worker": w, "day": day, "old": run.old.visits[w, day], "new": run.new.visits[w, day]}
        for w, day in keys
    ]


def budgets(run: DryRun) -> list[dict[str, Any]]:
    """Return, by rule, what each side asked for, spent and realised (None: no budget there)."""
    rows = []
    for name in sorted({*run.old.budgets, *run.new.budgets}):
        row: dict[str, Any] = {"rule": name}
        for side in ("old", "new"):
            use = getattr(run, side).budgets.get(name)
            real = None if use is None else use.realised
            row[side] = use and {
                "asked": use.asked,
                "spent": use.spent,
                "realised": None if real is None else round(real, 4),
            }
        if any(row[s] and row[s]["realised"] is not None for s in ("old", "new")):
            rows.append(row)
    return rows


def _change(run: DryRun, kind: str, pair: Pair) -> dict[str, Any]:
    one = pair.either
    return {
        "change": kind,
        "rule": one.rule,
        "subject": one.subject,
        "place": one.place,
        "moved_s": pair.moved_s,
        "outcome": run.outcome(pair),
        "old": _raised(pair.old),
        "new": _raised(pair.new),
        "reason": dict(one.first.reason),
    }


def _raised(one: Raised | None) -> dict[str, Any] | None:
    if one is None:
        return None
    return {
        "alert_id": one.alert_id,
        "level": one.level,
        "onset": stamp(one.onset_ns),
        "raised_at": stamp(one.raised_ns),
        "state": one.end,
    }


# -- for the terminal -------------------------------------------------------------------------


def as_text(run: DryRun, shown: int = 40) -> str:
    """Return the dry run as lines for a terminal, in the language of the locale."""
    from io import StringIO

    from rich.console import Console
    from rich.table import Table

    out = Console(file=StringIO(), width=118, highlight=False)
    found = run.comparison
    zone = ZoneInfo(run.zone)
    head = Table(title=pick("规则试运行", "Dry run"), title_justify="left")
    for name in ("", pick("现行", "old"), pick("草稿", "new")):
        head.add_column(name, justify="left" if not name else "right")
    head.add_row(pick("规则", "rules"), run.old.draft.name, run.new.draft.name)
    head.add_row(pick("版本", "version"), run.old.draft.rules.version, run.new.draft.rules.version)
    head.add_row(pick("预警", "alerts"), f"{len(run.old.raised):,}", f"{len(run.new.raised):,}")
    old, new = sum(run.old.visits.values()), sum(run.new.visits.values())
    head.add_row(pick("任务", "tasks"), f"{old:,}", f"{new:,}")
    for row in budgets(run):
        cells = [
            "—" if s is None else f"{s['realised'] or 0:.2f} / {s['asked']:g}"
            for s in (row["old"], row["new"])
        ]
        head.add_row(f"{row['rule']} {pick('实际/预算', 'realised/budget')}", *cells)
    out.print(head)
    counts = ", ".join(
        f"{pick(*KINDS[k])} {len(getattr(found, k)):,}" for k in KINDS if getattr(found, k)
    )
    out.print(
        pick(
            f"预警差异：{counts or '无'}，不变 {len(found.same):,}；"
            f"每人每日多跑 {run.extra_per_day:+.3f} 次（{run.days:.0f} 天，{len(run.workers)} 人）",
            f"alerts: {counts or 'no difference'}, same {len(found.same):,}; extra visits per "
            f"worker and day {run.extra_per_day:+.3f} ({run.days:.0f} days, {len(run.workers)} workers)",
        )
    )
    if run.lost_true:
        n = len(run.lost_true)
        out.print(
            pick(f"草稿会漏掉 {n} 件属实的事", f"the draft would miss {n} that turned out true"),
            style="bold red",
        )
    table = Table(title=pick("预警差异", "What changes"), title_justify="left")
    for name in (pick("变化", "change"), pick("级别", "level"), pick("时刻", "time"), pick("规则", "rule"),
                 pick("对象", "subject"), pick("移动", "moved"), pick("结果", "found")):  # fmt: skip
        table.add_column(name)
    for kind, pair in found.changed[:shown]:
        one = pair.either
        verdict = run.outcome(pair)
        table.add_row(
            pick(*KINDS[kind]),
            one.level,
            f"{_local(one.raised_ns, zone):%Y-%m-%d %H:%M}",
            one.rule,
            one.subject,
            _moved(pair.moved_s)[0 if language() == "zh" else 1],
            "" if verdict is None else pick(*VERDICTS[verdict]),
        )
    if found.changed:
        out.print(table)
    rest = len(found.changed) - shown
    if rest > 0:
        out.print(
            pick(f"另有 {rest:,} 件，见 --json、--html", f"{rest:,} more: --json, --html have all")
        )
    people = Table(title=pick("每人每日任务", "Tasks per worker and day"), title_justify="left")
    people.add_column(pick("网格员", "worker"))
    for name in (pick("现行", "old"), pick("草稿", "new"), pick("多跑", "extra")):
        people.add_column(name, justify="right")
    for worker, before, after in run.workers[:shown]:
        extra = (after - before) / run.days
        people.add_row(
            worker, f"{before / run.days:.3f}", f"{after / run.days:.3f}", f"{extra:+.3f}"
        )
    out.print(people)
    assert isinstance(out.file, StringIO)
    return out.file.getvalue()


# -- the page ---------------------------------------------------------------------------------


def render(
    run: DryRun,
    curves: Mapping[str, Curve],
    names: Mapping[str, str] | None = None,
    opens_in: Language | None = None,
) -> str:
    """Return the page: self-contained, no script, both languages.

    Parameters
    ----------
    curves : mapping of str to Curve
        Load curves by alert id.
    names : mapping of str to str, optional
        Names of places and workers by id.
    opens_in : {"zh", "en"}, optional
        Language at first; default: :func:`engine.language.language`. The reader may change it.
    """
    zone = ZoneInfo(run.zone)
    changed = run.comparison.changed
    moved = [abs(p.moved_s) for p in run.comparison.earlier]
    return _template().render(
        css=svg(_read("report.css") + _read("dryrun.css")),
        language=opens_in or language(),
        run=run,
        period=f"{_local(run.first_ns, zone):%Y-%m-%d} … {_local(run.last_ns, zone):%Y-%m-%d}",
        kinds=[(k, *KINDS[k], len(getattr(run.comparison, k))) for k in KINDS],
        total=len(changed),
        rows=_rows(run, changed, curves, zone, names or {}),
        hidden=max(0, len(changed) - SHOWN),
        sooner=_span(int(median(moved))) if moved else ("", ""),
        extras=[
            ((new - old) / run.days, names_of(worker, names)) for worker, old, new in run.workers
        ],
        bars=_bars(run, names),
        diff=_diff(run.old.draft, run.new.draft),
        budgets=budgets(run),
        reconciled=all(c.reconciled for c in run.counts.values()),
        read=sum(c.rows for c in run.counts.values()),
        processed=sum(c.by_status[Status.PROCESSED.name.lower()] for c in run.counts.values()),
        missed=len(run.lost_true),
    )


def names_of(key: str, names: Mapping[str, str] | None) -> str:
    """Return the name of a worker or place, or its id."""
    return (names or {}).get(key, key)


def _rows(
    run: DryRun,
    changed: Sequence[tuple[str, Pair]],
    curves: Mapping[str, Curve],
    zone: ZoneInfo,
    names: Mapping[str, str],
) -> list[dict[str, Any]]:
    # What would be missed comes first: it has to be looked at one by one.
    missed = {p.either.alert_id for p in run.lost_true}
    ordered = sorted(changed, key=lambda x: x[1].either.alert_id not in missed)[:SHOWN]
    rows = []
    for i, (kind, pair) in enumerate(ordered):
        one = pair.either
        verdict = run.outcome(pair)
        curve = curves.get(one.alert_id)
        chart = svg("")
        if curve is not None:
            until_ns = spoken_until(one.first.facts, one.raised_ns)
            chart = load_curve(curve, zone, one.level, one.onset_ns, until_ns, str(i))
        rows.append(
            {
                "kind": kind,
                "word": KINDS[kind],
                "one": one,
                "glyph": glyph(one.level),
                "was": glyph(pair.old.level) if pair.old and pair.old.level != one.level else "",
                "when": f"{_local(one.raised_ns, zone):%Y-%m-%d %H:%M}",
                "moved": _moved(pair.moved_s),
                "place": names_of(one.place, names),
                "verdict": VERDICTS.get(verdict or "", ("—", "—")),
                "true": verdict == "confirmed",
                "missed": one.alert_id in missed,
                "chart": chart,
            }
        )
    return rows


def _bars(run: DryRun, names: Mapping[str, str] | None) -> Markup:
    """Return one bar a worker: by how many visits a day the draft changes their load."""
    extras = sorted(((new - old) / run.days, worker) for worker, old, new in run.workers)
    if not extras:
        return svg("")
    top = max(max(abs(e) for e, _ in extras), 1e-9)
    # The widest label is "+9.7e-05" or "-0.00012": cut, a plus would read as a minus.
    left = 72
    step = min(22.0, 396 / len(extras))
    zero, half = 110.0, 90.0
    bars = [
        f'<path class="ax" d="M{left} {zero - half:.0f}H470M{left} {zero:.0f}H470'
        f'M{left} {zero + half:.0f}H470"/>'
    ]
    for y, value in ((zero - half, top), (zero, 0.0), (zero + half, -top)):
        bars.append(f'<text x="{left - 6}" y="{y + 4:.0f}" text-anchor="end">{value:+.2g}</text>')
    for i, (extra, worker) in enumerate(extras):
        height = half * abs(extra) / top
        y = zero - height if extra > 0 else zero
        kind = "more" if extra > 0 else "less"
        bars.append(
            f'<rect class="{kind}" x="{left + 2 + i * step:.1f}" y="{y:.1f}" width="{step - 1.2:.1f}" '
            f'height="{max(height, 0.8):.1f}"><title>{escape(names_of(worker, names))} {extra:+.3f}'
            "</title></rect>"
        )
    return svg(
        f'<svg class="extras" viewBox="0 0 476 210" role="img" aria-label="{run.extra_per_day:+.3f}">'
        f"{''.join(bars)}</svg>"
    )


def _diff(old: Draft, new: Draft) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the changed files, each with its lines: (kind, text), kind one of ``+-@`` and blank."""
    found = []
    before = {Path(name).name: text for name, text in old.files.items()}
    after = {Path(name).name: text for name, text in new.files.items()}
    for name in sorted({*before, *after}):
        lines = difflib.unified_diff(
            before.get(name, "").splitlines(), after.get(name, "").splitlines(), n=3, lineterm=""
        )
        body = [(line[:1], line[1:]) for line in list(lines)[2:]]
        if body:
            found.append((name, body))
    asked = _budget_lines(old, new)
    return ([("budgets", asked)] if asked else []) + found


def _budget_lines(old: Draft, new: Draft) -> list[tuple[str, str]]:
    """Return budgets that differ, however they came to: from files or from the command line."""
    lines: list[tuple[str, str]] = []
    mine = {r.name: r.budget for r in old.rules}
    for rule in new.rules:
        before = mine.get(rule.name)
        if before is None or rule.budget is None or before == rule.budget:
            continue
        lines.append(("-", f"{rule.name}: {before.false_alerts_per_subject_year:g}"))
        lines.append(("+", f"{rule.name}: {rule.budget.false_alerts_per_subject_year:g}"))
    return lines


def _moved(seconds: int) -> tuple[str, str]:
    if not seconds:
        return "", ""
    zh, en = _span(abs(seconds))
    return (f"早 {zh}", f"{en} earlier") if seconds < 0 else (f"晚 {zh}", f"{en} later")


def _span(seconds: int) -> tuple[str, str]:
    hours = seconds / 3600
    if hours < 1:
        return f"{seconds // 60} 分", f"{seconds // 60} min"
    if hours < 48:
        return f"{hours:.3g} 小时", f"{hours:.3g} h"
    return f"{hours / 24:.3g} 天", f"{hours / 24:.3g} d"


def _local(ns: int, zone: ZoneInfo) -> dt.datetime:
    return dt.datetime.fromtimestamp(ns // NS, zone)


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["n"] = lambda value: f"{value:,}"
    environment.filters["s"] = lambda value: f"{value:+.3g}"
    return environment.from_string(_read("dryrun.html.j2"))


def _read(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
