"""One self-contained HTML page about a replay: no script, nothing fetched, both languages."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import jinja2

from connectors.records import Counts, Status
from engine.language import Language, language
from engine.report_charts import (
    Curve,
    budget_row,
    glyph,
    load_curve,
    spoken_until,
    svg,
    weekly_bars,
)
from rules.alerts import AlertChange, Level, State

__all__ = ["BudgetLine", "Curve", "ReplaySummary", "write_report"]

NS = 1_000_000_000
KEPT = 1.1
"""A budget is called kept up to so many times what was asked; more, and chance may be all of it or not."""
SHOWN = 400
"""Alerts on the page; the file of alerts has them all."""
CURVES = 60
"""Curves on the page, first ones first: each is about 10 kB."""
_LEVELS = [level.value for level in Level]
_STATES = {
    State.FIRING: ("进行中", "firing"),
    State.RESOLVED: ("已解除", "resolved"),
    State.CANCELLED: ("已撤销", "cancelled"),
}


@dataclass(frozen=True, slots=True)
class BudgetLine:
    """What a rule was allowed, and what it used.

    Parameters
    ----------
    rule : str
    asked : float
        False alerts per subject-year.
    spent : int
        Alerts (candidates) of the replay.
    subject_years : float
        Watched time.
    scope : {"fleet", "subject"}
    """

    rule: str
    asked: float
    spent: int
    subject_years: float
    scope: str = "fleet"


@dataclass(frozen=True, slots=True)
class ReplaySummary:
    """All that the report shows.

    Parameters
    ----------
    title : str
        What was replayed (a folder, a town).
    counts : mapping of source → Counts
        How the rows of every source ended.
    alerts : sequence of AlertChange
        All changes, in order; one alert has one or more.
    from_ns, to_ns : int, optional
        First and last event time.
    timezone : str
        For the times on the page.
    subjects, meters : int
    rules_version, version : str
        Of the rules and of the program.
    seconds : float
        How long the replay took.
    budgets : sequence of BudgetLine
    curves : mapping of alert_id → Curve
        A plain tuple (t_ns, values, usual_low, usual_high) will do.
    timings : mapping of stage → seconds
    command : str
        What was typed, to do it again.
    simulated : bool
        Show that (some) data are invented.
    place_names : mapping of place code → name
    language : {"zh", "en"}, optional
        In which the page opens; default: :func:`engine.language.language`. The reader may change it.
    """

    title: str
    counts: Mapping[str, Counts]
    alerts: Sequence[AlertChange]
    from_ns: int | None = None
    to_ns: int | None = None
    timezone: str = "UTC"
    subjects: int = 0
    meters: int = 0
    rules_version: str = ""
    version: str = ""
    seconds: float = 0.0
    budgets: Sequence[BudgetLine] = ()
    curves: Mapping[str, Curve | tuple[Any, ...]] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)
    command: str = ""
    simulated: bool = False
    place_names: Mapping[str, str] = field(default_factory=dict)
    language: Language | None = None


def write_report(path: Path, summary: ReplaySummary) -> None:
    """Write the page.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    path.write_text(render(summary), encoding="utf-8")


def render(summary: ReplaySummary) -> str:
    """Return the page."""
    zone = ZoneInfo(summary.timezone)
    cases = _cases(summary.alerts)
    first = [changes[0] for changes in cases.values()]
    return _template().render(
        s=summary,
        css=svg(_read("report.css")),
        language=summary.language or language(),
        period=_period(summary, zone),
        sources=_sources(summary.counts),
        total=sum(c.rows for c in summary.counts.values()),
        processed=sum(c.by_status[Status.PROCESSED.name.lower()] for c in summary.counts.values()),
        reconciled=all(c.reconciled for c in summary.counts.values()),
        statuses=[status.name.lower() for status in Status],
        by_level=[(level, sum(a.level == level for a in first), glyph(level)) for level in _LEVELS],
        weeks=_weeks(first, zone),
        budgets=_budgets(summary.budgets),
        alerts=_alerts(cases, summary, zone),
        alert_count=len(cases),
        hidden=max(0, len(cases) - SHOWN),
        timings=_timings(summary.timings),
    )


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["n"] = lambda value: f"{value:,}"
    environment.filters["f"] = _figure
    environment.filters["p"] = _chance
    environment.filters["share"] = lambda part, whole: (
        f"{100 * part / whole:.2f}%" if whole else "—"
    )
    return environment.from_string(_read("report.html.j2"))


def _read(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _figure(value: float | None) -> str:
    if value is None:
        return "—"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _chance(p: float | None) -> str:
    """Return a p-value as people write it.

    >>> _chance(0.04), _chance(0.0000794), _chance(None)
    ('0.04', '8×10⁻⁵', '—')
    """
    if p is None or p >= 0.001 or p <= 0:
        return _figure(p)
    digit, power = f"{p:.0e}".split("e-")
    return f"{digit}×10⁻{power.lstrip('0').translate(str.maketrans('0123456789', '⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


def _moment(text: str, zone: ZoneInfo) -> dt.datetime:
    return dt.datetime.fromisoformat(text).astimezone(zone)


def _period(summary: ReplaySummary, zone: ZoneInfo) -> str:
    if summary.from_ns is None or summary.to_ns is None:
        return ""
    ends = [dt.datetime.fromtimestamp(ns // NS, zone) for ns in (summary.from_ns, summary.to_ns)]
    return " – ".join(f"{end:%Y-%m-%d %H:%M}" for end in ends)


def _sources(counts: Mapping[str, Counts]) -> list[dict[str, Any]]:
    return [
        {
            "name": source,
            "rows": c.rows,
            "by": c.by_status,
            "ok": c.reconciled,
            "reasons": sorted(c.by_reason.items(), key=lambda item: (-item[1], item[0])),
        }
        for source, c in counts.items()
    ]


def _cases(alerts: Sequence[AlertChange]) -> dict[str, list[AlertChange]]:
    """Group changes by alert; most urgent alerts first, then in order of time."""
    cases: dict[str, list[AlertChange]] = {}
    for change in alerts:
        cases.setdefault(change.alert_id, []).append(change)
    return dict(
        sorted(
            cases.items(),
            key=lambda case: (_LEVELS.index(case[1][0].level), case[1][0].at, case[0]),
        )
    )


def _weeks(first: Sequence[AlertChange], zone: ZoneInfo) -> dict[str, Any]:
    """Return alerts per rule and week, weeks without any included."""
    if not first:
        return {"rows": [], "from": "", "to": ""}
    mondays: dict[str, list[dt.date]] = {}
    for alert in first:
        day = _moment(alert.at, zone).date()
        mondays.setdefault(alert.rule, []).append(day - dt.timedelta(days=day.weekday()))
    everyone = [day for days in mondays.values() for day in days]
    begin, end = min(everyone), max(everyone)
    weeks = [begin + dt.timedelta(days=7 * i) for i in range((end - begin).days // 7 + 1)]
    counted = {rule: Counter(days) for rule, days in mondays.items()}
    top = max(max(c.values()) for c in counted.values())
    worst = {
        rule: min((a.level for a in first if a.rule == rule), key=lambda v: _LEVELS.index(v))
        for rule in counted
    }
    rows = [
        {
            "rule": rule,
            "glyph": glyph(worst[rule]),
            "total": sum(counted[rule].values()),
            "most": max(counted[rule].values()),
            "bars": weekly_bars(
                [counted[rule][week] for week in weeks], [f"{week}" for week in weeks], top
            ),
        }
        for rule in sorted(counted, key=lambda r: (_LEVELS.index(worst[r]), r))
    ]
    return {"rows": rows, "from": f"{begin}", "to": f"{end}"}


def _budgets(lines: Sequence[BudgetLine]) -> list[dict[str, Any]]:
    """Return realised rates with their 95 % Poisson intervals (Garwood 1936, eq. 4)."""
    from scipy.stats import chi2

    rows: list[dict[str, Any]] = []
    for line in lines:
        years = line.subject_years
        if years <= 0:
            rows.append(
                {"line": line, "realised": None, "ratio": None, "state": "none", "chart": ""}
            )
            continue
        realised = line.spent / years
        low = float(chi2.ppf(0.025, 2 * line.spent)) / 2 / years if line.spent else 0.0
        high = float(chi2.ppf(0.975, 2 * line.spent + 2)) / 2 / years
        top = 1.15 * max(line.asked, min(high, 4 * line.asked), realised)
        told = line.spent >= 5 and realised <= KEPT * line.asked
        state = "over" if low > line.asked else "kept" if told else "few"
        rows.append(
            {
                "line": line,
                "realised": realised,
                "ratio": realised / line.asked if line.asked else None,
                "state": state,
                "chart": budget_row(line.asked, realised, low, high, top) if top > 0 else "",
            }
        )
    return rows


def _alerts(
    cases: Mapping[str, Sequence[AlertChange]], summary: ReplaySummary, zone: ZoneInfo
) -> list[dict[str, Any]]:
    rows = []
    drawn = count()
    for alert_id, changes in list(cases.items())[:SHOWN]:
        alert, last = changes[0], changes[-1]
        onset, raised = _moment(alert.onset, zone), _moment(alert.raised_at, zone)
        chart = svg("")
        given = summary.curves.get(alert_id)
        if given is not None and (number := next(drawn)) < CURVES:
            begin, end = (round(moment.timestamp()) * NS for moment in (onset, raised))
            end = spoken_until(alert.facts, end)
            chart = load_curve(Curve(*given), zone, alert.level, begin, end, str(number))
        rows.append(
            {
                "a": alert,
                "glyph": glyph(alert.level),
                "place": summary.place_names.get(alert.place, alert.place),
                "onset": f"{onset:%m-%d %H:%M}",
                "raised": f"{raised:%Y-%m-%d %H:%M}",
                "state": _STATES[State(last.state)],
                "until": f"{_moment(last.at, zone):%m-%d %H:%M}" if len(changes) > 1 else "",
                "chart": chart,
                "band": 'class="band"' in chart,
                "gaps": "url(#hatch" in chart,
                "facts": [
                    (name, _fact(value)) for name, value in sorted(alert.facts.items())
                    if name != "counterfactual" and not isinstance(value, Mapping | list | tuple)
                ],
                "quiet": _quiet(alert.facts.get("counterfactual")),
            }
        )  # fmt: skip
    return rows


def _fact(value: Any) -> str:
    return _figure(value) if isinstance(value, float) else str(value)


def _quiet(counterfactual: Any) -> int:
    """Return how many readings or events the counterfactual names."""
    if isinstance(counterfactual, Mapping):
        return sum(len(v) if isinstance(v, list | tuple) else 1 for v in counterfactual.values())
    return len(counterfactual) if isinstance(counterfactual, list | tuple) else 0


def _timings(timings: Mapping[str, float]) -> list[tuple[str, float, float]]:
    """Return stages, slowest first: name, seconds, share of the slowest in per cent."""
    order = sorted(timings.items(), key=lambda item: (-item[1], item[0]))[:10]
    top = order[0][1] if order else 0.0
    return [(name, seconds, 100 * seconds / top if top else 0.0) for name, seconds in order]
