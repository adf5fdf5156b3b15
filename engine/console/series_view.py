"""From the archive of series to what a chart needs: curves, band, raster, evidence, marks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.about import threshold_of, utilities_of
from engine.console.context import Console
from engine.console.schemas import Text
from engine.console.series import (
    Curve,
    Curves,
    EvidenceSeries,
    RasterDay,
    Stretch,
    SubjectEvent,
)
from engine.curves import Series
from engine.hours import local, ns_of
from engine.outcomes import KINDS
from engine.store.questions import AlertQuery
from rules.alerts import AlertChange, stamp

NS = 1_000_000_000
HOUR_NS, DAY_NS = 3_600 * NS, 86_400 * NS
RASTER_DAYS = 10
LEAD_NS = 4 * HOUR_NS
"""How much of the time before a silence its curve shows."""
UNITS = {"electricity": "kWh", "water": "l", "gas": "m³"}


def midnight(ns: int, zone: str) -> int:
    """Return the local midnight before a time."""
    day = local(ns, zone).replace(hour=0, minute=0, second=0, microsecond=0)
    return int(day.timestamp()) * NS


def alert_window(console: Console, changes: Sequence[AlertChange], days: int) -> tuple[int, int]:
    """Return what an alert's page shows: the whole local days up to when it was raised.

    One day of what began the evening before begins then: the last sign of life is to be seen.
    """
    raised_ns, onset_ns = ns_of(changes[0].raised_at), ns_of(changes[0].onset)
    end = midnight(raised_ns, console.zone) + DAY_NS
    start = end - days * DAY_NS
    if days == 1 and start - DAY_NS < onset_ns < start + LEAD_NS:
        start = onset_ns // HOUR_NS * HOUR_NS - LEAD_NS
        end = max(start + DAY_NS, raised_ns // HOUR_NS * HOUR_NS + 2 * HOUR_NS)
    return start, end


def curves_of(
    console: Console,
    subject: str,
    from_ns: int,
    to_ns: int,
    changes: Sequence[AlertChange] = (),
) -> Curves:
    """Return all series of a subject in a window, with what happened to it."""
    reader = console.curves
    found = [] if reader is None else reader.series(subject, from_ns, to_ns)
    said = [] if reader is None else reader.evidence(subject, from_ns, to_ns)
    alert = changes[-1] if changes else None
    facts = dict(alert.facts) if alert else {}
    now_ns = console.now_ns()
    spoken = () if alert is None else utilities_of(alert, console.about(alert.rule))
    found = sorted(found, key=lambda s: _rank(s, spoken))
    curves = [_curve(s, facts) for s in found]
    return Curves(
        subject_id=subject,
        **{"from": stamp(from_ns)},
        to=stamp(to_ns),
        curves=curves,
        raster=_raster(console, subject, to_ns, curves, now_ns, bool(_silent(changes))),
        evidence=[_evidence(s, alert) for s in said],
        silent=_silent(changes),
        marks=marks_of(console, subject, from_ns, to_ns),
        summary=_summary(found, alert),
    )


def _numbers(values: NDArray[np.float64]) -> list[float | None]:
    return [None if math.isnan(v) else float(f"{v:.4g}") for v in values.tolist()]


def _rank(series: Series, spoken: Sequence[str]) -> tuple[int, bool, bool]:
    """Return what a curve sorts by: what the alert speaks of, what has readings, what has a band."""
    place = spoken.index(series.utility) if series.utility in spoken else len(spoken)
    return place, not np.isfinite(series.values).any(), not np.isfinite(series.high).any()


def _curve(series: Series, facts: dict[str, Any]) -> Curve:
    threshold = threshold_of(facts, series.utility)
    # What an hour must exceed, a chart shows in the meter's own slots.
    hourly = threshold is not None and threshold.hourly and series.interval_s < 3_600
    per_slot = series.interval_s / 3_600 if hourly else 1.0
    sign = None if threshold is None else threshold.amount * per_slot
    elapsed = series.from_ns + np.arange(len(series.values)) * series.interval_s * NS
    past = series.values[elapsed < series.newest_ns]
    known = np.isfinite(past)
    standby = float(np.quantile(past[known], 0.05)) if known.sum() >= 8 else None
    return Curve(
        utility=series.utility,
        unit=UNITS.get(series.utility, series.utility),
        interval_s=series.interval_s,
        **{"from": stamp(series.from_ns)},
        to=stamp(series.from_ns + len(series.values) * series.interval_s * NS),
        values=_numbers(series.values),
        low=_numbers(series.low),
        high=_numbers(series.high),
        threshold=None if sign is None else float(f"{sign:.4g}"),
        standby=None if standby is None else float(f"{standby:.4g}"),
        complete=float(known.mean()) if len(past) else None,
        days=series.days,
    )


def _raster(
    console: Console,
    subject: str,
    to_ns: int,
    curves: Sequence[Curve],
    now_ns: int,
    silence: bool,
) -> list[RasterDay]:
    """Return ten days of the first curve's meter, one letter a slot."""
    if console.curves is None or not curves:
        return []
    start = midnight(to_ns - 1, console.zone) - (RASTER_DAYS - 1) * DAY_NS
    shown = (curves[0].utility, curves[0].interval_s)
    series = next(
        s
        for s in console.curves.series(subject, start, start + RASTER_DAYS * DAY_NS)
        if (s.utility, s.interval_s) == shown
    )
    known = series.values[np.isfinite(series.values)]
    line = curves[0].threshold if silence else None
    if line is None:
        # Without a sign-of-life threshold: well above what stands by.
        line = 2.0 * float(np.quantile(known, 0.2)) if len(known) else 0.0
    per_day = 86_400 // series.interval_s
    days = []
    for d in range(RASTER_DAYS):
        cells = []
        for i in range(d * per_day, min((d + 1) * per_day, len(series.values))):
            value = series.values[i]
            begun = series.from_ns + i * series.interval_s * NS
            if math.isnan(value):
                cells.append(" " if begun >= min(series.newest_ns, now_ns) else ".")
            else:
                cells.append("1" if value > line else "0")
        date = local(start + d * DAY_NS, console.zone).date().isoformat()
        days.append(RasterDay(date=date, cells="".join(cells)))
    return days


def _evidence(series: Series, alert: AlertChange | None) -> EvidenceSeries:
    from engine.console.detail import ledger

    mine = alert is not None and any(s.get("detector") == series.label for s in alert.signals)
    return EvidenceSeries(
        signal=series.label,
        interval_s=series.interval_s,
        **{"from": stamp(series.from_ns)},
        values=_numbers(series.values),
        line=ledger(alert).line if mine and alert is not None else None,
    )


def _silent(changes: Sequence[AlertChange]) -> Stretch | None:
    """Return the silent stretch of a silence's alert."""
    if not changes or "silent_hours" not in changes[-1].facts:
        return None
    return Stretch(**{"from": changes[0].onset}, to=changes[-1].at)


def marks_of(console: Console, subject: str, from_ns: int, to_ns: int) -> list[SubjectEvent]:
    """Return what happened to a subject in a window: alerts, outcomes, absences."""
    store = console.store
    found = store.questions.alerts(
        AlertQuery(scope=("",), now_ns=0, states=(), subject=subject, newest=True, limit=200)
    )
    marks = [
        SubjectEvent(
            at=f.change.raised_at, kind="alert", text=console.title(f.change.rule),
            alert_id=f.change.alert_id,
        )
        for f in found
    ]  # fmt: skip
    for o in store.register.outcomes(subject_id=subject, from_ns=from_ns, to_ns=to_ns):
        kind = KINDS[o.kind]
        marks.append(
            SubjectEvent(at=stamp(o.ts_ns), kind="outcome", text=Text(zh=kind.zh, en=kind.en))
        )
    for a in store.register.absences(subject):
        kind, end_ns = KINDS[a.kind], a.quiet.until_ns
        if a.from_ns < to_ns and end_ns > from_ns:
            marks.append(
                SubjectEvent(
                    at=stamp(a.from_ns), until=stamp(end_ns), kind="absence",
                    text=Text(zh=kind.zh, en=kind.en),
                )
            )  # fmt: skip
    inside = [m for m in marks if m.kind == "absence" or from_ns <= ns_of(m.at) < to_ns]
    return sorted(inside, key=lambda m: ns_of(m.at))


def _summary(found: Sequence[Series], alert: AlertChange | None) -> Text:
    if alert is not None:
        return Text(zh=alert.reason.get("zh", ""), en=alert.reason.get("en", ""))
    if not found:
        return Text(zh="没有可显示的读数。", en="No readings to show.")
    # Of what could be there by now: the future is not missing.
    past = [s.values[s.from_ns + np.arange(len(s.values)) * s.interval_s * NS < s.newest_ns]
            for s in found]  # fmt: skip
    missing = float(np.mean([np.isnan(v).mean() for v in past if len(v)] or [0.0]))
    zh = "、".join(dict.fromkeys(_UTILITIES.get(s.utility, (s.utility,))[0] for s in found))
    en = ", ".join(dict.fromkeys(s.utility for s in found))
    return Text(
        zh=f"{zh}读数；其中 {missing:.0%} 的时段没有读数。",
        en=f"Readings of {en}; {missing:.0%} of the slots have none.",
    )


_UTILITIES = {"electricity": ("用电",), "water": ("用水",), "gas": ("用气",)}
