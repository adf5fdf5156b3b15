"""Inline SVG of the replay report: level glyphs, weekly bars, budget rows, a subject's curve.

Everything is drawn from numbers into strings; colours are classes of ``report.css``, so that one
drawing serves the light and the dark theme.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

NS = 1_000_000_000
LEVEL_NAMES = {
    "red": ("红", "红色 I 级", "I", "Red, level I"),
    "orange": ("橙", "橙色 II 级", "II", "Orange, level II"),
    "yellow": ("黄", "黄色 III 级", "III", "Yellow, level III"),
    "blue": ("蓝", "蓝色 IV 级", "IV", "Blue, level IV"),
}
_SHAPES = {
    "red": '<polygon class="sh" points="22.2,16.2 16.2,22.2 7.8,22.2 1.8,16.2 1.8,7.8 7.8,1.8 '
    '16.2,1.8 22.2,7.8"/>',
    "orange": '<polygon class="sh" points="12,0 24.7,22.3 -0.7,22.3"/>',
    "yellow": '<polygon class="sh" points="12,0 24,12 12,24 0,12"/>',
    "blue": '<circle class="sh" cx="12" cy="12" r="10.6"/>',
}
_BASELINE = {"red": 16.2, "orange": 19.2, "yellow": 16.0, "blue": 16.2}


class Curve(NamedTuple):
    """What a subject's meter said around an alert.

    Parameters
    ----------
    t_ns : ndarray of int64, shape (n,)
        Begin of each slot, UTC; evenly spaced.
    values : ndarray of float, shape (n,)
        Amounts; NaN = missing.
    usual_low, usual_high : ndarray of float, shape (n,), or None
        Expected band.
    unit : str
        For the axis: ``kWh / 15 min``.
    threshold : float, optional
        Sign-of-life line, or the level that a run kept up.
    """

    t_ns: NDArray[np.int64]
    values: NDArray[np.floating[Any]]
    usual_low: NDArray[np.floating[Any]] | None = None
    usual_high: NDArray[np.floating[Any]] | None = None
    unit: str = ""
    threshold: float | None = None


def svg(drawing: str) -> Markup:
    """Mark a drawing as safe: it is made of numbers, and texts in it were escaped one by one."""
    return Markup(drawing)  # noqa: S704


def glyph(level: str) -> Markup:
    """Return a level's sign: its colour, its own shape, and its name for both languages."""
    zh, zh_name, en, en_name = LEVEL_NAMES[level]
    y = _BASELINE[level]
    return svg(
        f'<svg class="lv {level}" viewBox="-.6 -.6 25.2 25.2" role="img" '
        f'aria-label="{zh_name} · {en_name}">{_SHAPES[level]}'
        f'<text class="zh" x="12" y="{y}">{zh}</text><text class="en" x="12" y="{y}">{en}</text></svg>'
    )


def weekly_bars(counts: Sequence[int], labels: Sequence[str], top: int) -> Markup:
    """Return one bar a week on a common scale; each bar says its week and count on hover."""
    step = max(3.0, min(18.0, 640 / max(len(counts), 1)))
    width = step * len(counts)
    bars = []
    for i, (count, label) in enumerate(zip(counts, labels, strict=True)):
        height = 26 * count / max(top, 1)
        # weeks without an alert keep a hairline, so that "none" is not "not watched"
        height = max(height, 2.0) if count else 1.0
        kind = "bar" if count else "bar none"
        bars.append(
            f'<rect class="{kind}" x="{i * step:.1f}" y="{28 - height:.1f}" width="{step - 1:.1f}" '
            f'height="{height:.1f}"><title>{escape(label)}: {count}</title></rect>'
        )
    return svg(
        f'<svg class="weeks" width="{width:.0f}" height="29" viewBox="0 0 {width:.0f} 29" '
        f'role="img" aria-label="{sum(counts)}">{"".join(bars)}</svg>'
    )


def budget_row(asked: float, realised: float, low: float, high: float, top: float) -> Markup:
    """Return a dot (realised) with its 95 % interval against a bar (asked), from 0 to `top`."""

    def x(value: float) -> float:
        return 4 + 212 * min(value / top, 1.0)

    over = low > asked
    return svg(
        f'<svg class="budget{" over" if over else ""}" width="220" height="18" viewBox="0 0 220 18" '
        f'aria-hidden="true"><path class="ax" d="M4 9H216"/>'
        f'<path class="range" d="M{x(low):.1f} 9H{x(high):.1f}"/>'
        f'<path class="asked" d="M{x(asked):.1f} 2V16"/>'
        f'<circle class="dot" cx="{x(realised):.1f}" cy="9" r="4"/></svg>'
    )


def load_curve(
    curve: Curve,
    zone: ZoneInfo,
    level: str,
    onset_ns: int,
    until_ns: int,
    chart_id: str,
) -> Markup:
    """Return the curve of a subject around an alert.

    Step line (a slot is an interval, not a point), the usual band behind it, the stretch that the
    alert speaks of (:func:`spoken_until`) bracketed, missing slots hatched. A stretch that began
    before the curve has a bracket that is open there.
    """
    right, top, bottom, width = 916.0, 44.0, 172.0, 930
    t = np.asarray(curve.t_ns, np.int64)
    values = np.asarray(curve.values, np.float64)
    if len(t) < 2:
        return svg("")
    slot = int(np.median(np.diff(t)))
    begin, end = int(t[0]), int(t[-1]) + slot
    peak = float(np.nanmax(np.concatenate([values, [0.0], _finite(curve.usual_high)])))
    ticks, ceiling = _scale(max(peak, curve.threshold or 0.0))

    # room for the widest number of the axis: cut, 0.0005 would read .0005
    left = max(46.0, 14.0 + 7.0 * max(len(f"{tick:g}") for tick in ticks))

    def x(ns: float) -> float:
        return left + (right - left) * (ns - begin) / (end - begin)

    def y(value: float) -> float:
        return bottom - (bottom - top) * max(value, 0.0) / ceiling

    parts = [
        f'<defs><pattern id="hatch-{chart_id}" width="7" height="7" patternUnits="userSpaceOnUse" '
        'patternTransform="rotate(45)"><path class="hatch" d="M0 0V7"/></pattern></defs>'
    ]
    a, b = max(x(onset_ns), left), min(x(until_ns), right)
    parts.append(
        f'<rect class="span {level}" x="{a:.1f}" y="{top}" width="{b - a:.1f}" height="128"/>'
    )
    for tick in ticks:
        parts.append(f'<path class="ax" d="M{left} {y(tick):.1f}H{right}"/>')
        parts.append(
            f'<text x="{left - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>'
        )
    parts.append(f'<text x="4" y="16">{escape(curve.unit)}</text>')
    if curve.usual_low is not None and curve.usual_high is not None:
        parts.append(_band(t, slot, curve.usual_low, curve.usual_high, x, y))
    parts.extend(_missing(t, slot, values, x, top, bottom, chart_id))
    if curve.threshold is not None:
        line = y(curve.threshold)
        parts.append(f'<path class="line" d="M{left} {line:.1f}H{right}"/>')
    parts.append(f'<path class="curve" d="{_steps(t, slot, values, x, y)}"/>')
    start = f"M{a:.1f} {top}V{bottom + 5}M{a:.1f} 38V30" if onset_ns >= begin else f"M{a:.1f} 30"
    parts.append(
        f'<path class="bracket {level}" d="{start}H{b:.1f}V38M{b:.1f} {top}V{bottom + 5}"/>'
    )
    hours = (until_ns - onset_ns) / NS / 3600
    middle = min(max((a + b) / 2, left + 60), right - 60)
    zh, en = (f"{'' if onset_ns >= begin else '← '}{text}" for text in _duration(hours))
    parts.append(f'<text class="say zh" x="{middle:.1f}" y="22" text-anchor="middle">{zh}</text>')
    parts.append(f'<text class="say en" x="{middle:.1f}" y="22" text-anchor="middle">{en}</text>')
    parts.extend(_time_axis(begin, end, zone, x, left, bottom))
    return svg(
        f'<svg class="load" viewBox="0 0 {width} 204" width="100%" role="img" '
        f'aria-label="{_clock(onset_ns, zone)} – {_clock(until_ns, zone)}: {zh} / {en}">'
        f"{''.join(parts)}</svg>"
    )


def spoken_until(facts: Mapping[str, Any], raised_ns: int) -> int:
    """Return where the stretch ends that an alert's sentence speaks of.

    It is told when it is raised, which is when the readings of its last slot have had time to come.
    """
    try:
        return round(dt.datetime.fromisoformat(str(facts["slot_end"])).timestamp()) * NS
    except (KeyError, ValueError):
        return raised_ns


def _finite(values: NDArray[np.floating[Any]] | None) -> NDArray[np.float64]:
    if values is None:
        return np.zeros(0)
    array = np.asarray(values, np.float64)
    return array[np.isfinite(array)]


def _scale(peak: float) -> tuple[list[float], float]:
    """Return round tick values from 0 and the top of the axis."""
    if peak <= 0:
        return [0.0], 1.0
    raw = peak / 3
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= raw * 0.999)
    count = math.ceil(peak / step - 1e-9)
    return [round(i * step, 10) for i in range(count + 1)], step * count


def _steps(t: NDArray[np.int64], slot: int, values: NDArray[np.float64], x: Any, y: Any) -> str:
    """Return a step path that breaks where values are missing."""
    path: list[str] = []
    drawing = False
    for start, value in zip(t.tolist(), values.tolist(), strict=True):
        if math.isnan(value):
            drawing = False
            continue
        path.append(
            f"{'V' if drawing else f'M{x(start):.1f} '}{y(value):.1f}H{x(start + slot):.1f}"
        )
        drawing = True
    return "".join(path)


def _band(
    t: NDArray[np.int64], slot: int, low: NDArray[Any], high: NDArray[Any], x: Any, y: Any
) -> str:
    known = np.isfinite(low) & np.isfinite(high)
    runs = np.flatnonzero(np.diff(np.r_[False, known, False]))
    shapes = []
    for a, b in zip(runs[::2].tolist(), runs[1::2].tolist(), strict=True):
        up = "".join(f"V{y(float(high[i])):.1f}H{x(int(t[i]) + slot):.1f}" for i in range(a, b))
        down = "".join(
            f"V{y(float(low[i])):.1f}H{x(int(t[i])):.1f}" for i in range(b - 1, a - 1, -1)
        )
        shapes.append(f"M{x(int(t[a])):.1f} {y(float(low[a])):.1f}{up}{down}Z")
    return f'<path class="band" d="{"".join(shapes)}"/>'


def _missing(
    t: NDArray[np.int64],
    slot: int,
    values: NDArray[np.float64],
    x: Any,
    top: float,
    bottom: float,
    chart_id: str,
) -> list[str]:
    runs = np.flatnonzero(np.diff(np.r_[False, np.isnan(values), False]))
    parts = []
    for a, b in zip(runs[::2].tolist(), runs[1::2].tolist(), strict=True):
        begin, end = x(int(t[a])), x(int(t[b - 1]) + slot)
        parts.append(
            f'<rect x="{begin:.1f}" y="{top}" width="{end - begin:.1f}" height="{bottom - top}" '
            f'fill="url(#hatch-{chart_id})"><title>无读数（不是零） · no reading (not zero)</title></rect>'
        )
    return parts


def _time_axis(
    begin: int, end: int, zone: ZoneInfo, x: Any, left: float, bottom: float
) -> list[str]:
    """Return labels at round local hours, or at midnights where the curve is long."""
    span_h = (end - begin) / NS / 3600
    step_h = next((s for s in (1, 2, 3, 6, 12, 24, 48, 96, 168) if span_h / s <= 10), 336)
    moment = dt.datetime.fromtimestamp(begin / NS, zone).replace(minute=0, second=0, microsecond=0)
    parts: list[str] = []
    seen_day = None
    # by the wall clock, so that labels stay round across a change of clocks
    wall = moment.replace(tzinfo=None, hour=0)
    while True:
        ns = int(wall.replace(tzinfo=zone).timestamp()) * NS
        if ns > end:
            return parts
        if ns >= begin:
            first = seen_day != wall.date()
            seen_day = wall.date()
            text = wall.strftime("%m-%d") if step_h >= 24 else wall.strftime("%H:%M")
            at = min(max(x(ns), left + 14), 916.0 - 16)
            parts.append(f'<path class="tick" d="M{x(ns):.1f} {bottom}v4"/>')
            parts.append(f'<text x="{at:.1f}" y="{bottom + 17}" text-anchor="middle">{text}</text>')
            if first and step_h < 24:
                day = wall.strftime("%m-%d")
                parts.append(
                    f'<text class="day" x="{at:.1f}" y="{bottom + 30}" text-anchor="middle">{day}</text>'
                )
        wall += dt.timedelta(hours=step_h)


def _duration(hours: float) -> tuple[str, str]:
    if hours < 1:
        minutes = round(hours * 60)
        return f"{minutes} 分", f"{minutes} min"
    if hours < 48:
        whole, minutes = int(hours), round(hours % 1 * 60) % 60
        rest_zh, rest_en = (f" {minutes} 分", f" {minutes} min") if minutes else ("", "")
        return f"{whole} 小时{rest_zh}", f"{whole} h{rest_en}"
    return f"{hours / 24:.1f} 天", f"{hours / 24:.1f} days"


def _clock(ns: int, zone: ZoneInfo) -> str:
    return dt.datetime.fromtimestamp(ns / NS, zone).strftime("%m-%d %H:%M")
