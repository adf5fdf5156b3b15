"""The effectiveness report: as data, as a page to print, as a table."""

from __future__ import annotations

import secrets
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response

from engine.console.boards import Effectiveness, EffectRow
from engine.console.context import Console
from engine.console.effectiveness import as_csv, effectiveness
from engine.console.lookups import narrow
from engine.console.routes.params import From, PlaceCode, When
from engine.console.routes.quality import window
from engine.console.security import Allow, Here, Who
from engine.hours import local, ns_of
from engine.outcomes import KINDS

router = APIRouter(tags=["reports"])
Reader = Annotated[Who, Depends(Allow("command", "dispatcher", "data", "auditor"))]
_WORDS: dict[str, dict[str, Any]] = {
    "zh": {
        "title": "成效报告", "period": "统计期", "made": "生成于", "none": "没有任务",
        "parts": ("合计", "按规则", "按网格"),
        "columns": ("", "任务", "按时签收", "签收中位", "签收 p90", "按时办结", "办结率", "重开",
                    "查实", "误报", "未定", "查实率", "满意度", "误报原因"),
    },
    "en": {
        "title": "Effectiveness report", "period": "Period", "made": "made", "none": "No tasks",
        "parts": ("Total", "By rule", "By grid"),
        "columns": ("", "Tasks", "Signed in time", "Sign p50", "Sign p90", "Closed in time",
                    "Closed", "Reopened", "Confirmed", "False", "Unknown", "Confirmed rate",
                    "Satisfaction", "Causes of false alarms"),
    },
}  # fmt: skip


def _report(console: Console, who: Who, place: str, from_: Any, to: Any) -> Effectiveness:
    return effectiveness(console, narrow(who, place), *window(console, from_, to, 30))


@router.get("/reports/effectiveness", operation_id="effectiveness")
def effectiveness_json(
    console: Here, who: Reader, place: PlaceCode = "", from_: From = None, to: When = None
) -> Effectiveness:
    """Return the effectiveness of a period; by default the last 30 days."""
    return _report(console, who, place, from_, to)


@router.get(
    "/reports/effectiveness.csv",
    operation_id="effectiveness_csv",
    response_class=Response,
    responses={200: {"content": {"text/csv": {}}, "description": "One row a rule and a grid"}},
)
def effectiveness_csv(
    console: Here, who: Reader, place: PlaceCode = "", from_: From = None, to: When = None
) -> Response:
    """Return the same as a table."""
    return Response(
        as_csv(_report(console, who, place, from_, to)),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="effectiveness.csv"'},
    )


@router.get(
    "/reports/effectiveness.html",
    operation_id="effectiveness_html",
    response_class=Response,
    responses={200: {"content": {"text/html": {}}, "description": "A page to print"}},
)
def effectiveness_html(
    console: Here,
    who: Reader,
    place: PlaceCode = "",
    from_: From = None,
    to: When = None,
    lang: Annotated[Literal["zh", "en"] | None, Query()] = None,
) -> Response:
    """Return the same as a page to print."""
    report = _report(console, who, place, from_, to)
    language = lang or who.account.language
    words = _WORDS["zh" if language == "zh" else "en"]
    nonce = secrets.token_urlsafe(16)
    zone = console.zone
    page = _template().render(
        lang="zh-CN" if language == "zh" else "en",
        nonce=nonce,
        w=words,
        from_day=f"{local(ns_of(report.from_), zone):%Y-%m-%d}",
        to_day=f"{local(ns_of(report.to), zone):%Y-%m-%d}",
        made_at=f"{local(ns_of(report.made_at), zone):%Y-%m-%d %H:%M}",
        simulated=None if report.simulated is None else getattr(report.simulated, language),
        parts=[
            (heading, [_cells(row, language) for row in rows])
            for heading, rows in zip(
                words["parts"], ([report.total], report.by_rule, report.by_grid), strict=True
            )
        ],
    )
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    return Response(
        page, media_type="text/html; charset=utf-8", headers={"Content-Security-Policy": policy}
    )


def _cells(row: EffectRow, language: str) -> list[str]:
    causes = ", ".join(f"{getattr(KINDS[k], language)} {n}" for k, n in row.causes.items())
    return [
        getattr(row.label, language), f"{row.tasks:,}", _share(row.signed_in_time),
        _minutes(row.sign_p50_s, language), _minutes(row.sign_p90_s, language),
        _share(row.on_time), _share(row.resolved), str(row.reopened), str(row.confirmed),
        str(row.false), str(row.unknown), _share(row.confirmed_rate),
        "—" if row.satisfaction is None else f"{row.satisfaction:.1f}", causes or "—",
    ]  # fmt: skip


def _share(value: float | None) -> str:
    return "—" if value is None else f"{100 * value:.1f} %"


def _minutes(seconds: float | None, language: str) -> str:
    if seconds is None:
        return "—"
    unit_min, unit_h = ("分", "时") if language == "zh" else ("min", "h")
    return (
        f"{seconds / 60:.1f} {unit_min}" if seconds < 7_200 else f"{seconds / 3_600:.1f} {unit_h}"
    )


@cache
def _template() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = Path(__file__).parent.parent / "templates"
    found = Environment(loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined)
    return found.get_template("effectiveness.html")
