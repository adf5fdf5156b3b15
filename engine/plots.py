"""Pictures for notebooks and documents, drawn with matplotlib where it is installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.language import counted

LEVEL_COLOURS: Mapping[str, str] = {
    "red": "#c62828", "orange": "#ef6c00", "yellow": "#f9a825", "blue": "#1565c0"
}  # fmt: skip
_DAY = np.timedelta64(1, "D")
LINE, SCORE, GREY = "#37474f", "#c62828", "#90a4ae"


class PlotError(ImportError):
    """There is nothing to draw with."""


def axes(ax: Any | None, rows: int = 1) -> Any:
    """Return `ax`, or new axes; `rows` of them on a common time axis.

    Raises
    ------
    PlotError
        If matplotlib is not installed.
    """
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot as plt
    except ImportError:
        raise PlotError(
            'plots need matplotlib: pip install "gridwarden[workbench]"; `to_frame()` works without'
        ) from None
    _, made = plt.subplots(
        rows, 1, sharex=True, figsize=(9, 2.2 + 1.6 * rows), layout="constrained"
    )
    return made


def series(
    times: NDArray[Any],
    values: NDArray[np.float64],
    scores: NDArray[np.float64],
    title: str,
    ax: Any | None = None,
) -> Any:
    """Draw values above their scores; returns the two axes, shape (2,)."""
    both = axes(ax, 2)
    above, below = both
    above.plot(times, values, color=LINE, linewidth=0.8)
    above.set(title=title, ylabel="value")
    below.plot(times, scores, color=SCORE, linewidth=0.8)
    below.axhline(0.5, color=GREY, linewidth=0.6)
    below.set(ylabel="score", ylim=(0, 1))
    _tidy(above, below)
    return both


def timeline(
    times: Sequence[NDArray[Any]], rules: Sequence[str], levels: Sequence[Sequence[str]],
    ax: Any | None = None,
) -> Any:  # fmt: skip
    """Draw one row of marks a rule, at the times its alerts were raised; returns the axes."""
    one = axes(ax)
    for y, (when, level) in enumerate(zip(times, levels, strict=True)):
        colours = [LEVEL_COLOURS.get(name, GREY) for name in level]
        one.scatter(when, np.full(len(when), y), c=colours, s=14, alpha=0.8, linewidths=0)
    one.set_yticks(range(len(rules)), rules)
    one.set_ylim(-0.6, max(len(rules), 1) - 0.4)
    one.invert_yaxis()
    raised = np.concatenate([np.asarray(when) for when in times]) if times else np.zeros(0)
    one.set_title(counted(len(raised), "alert"))
    if len(raised) and np.ptp(raised.astype("datetime64[ns]")) < _DAY:
        # one alert alone would stand in an axis of years
        one.set_xlim(raised.min() - _DAY, raised.max() + _DAY)
    _tidy(one)
    return one


def gains(
    gain: Mapping[str, float], interval: Mapping[str, tuple[float, float]], title: str,
    ax: Any | None = None,
) -> Any:  # fmt: skip
    """Draw hours gained with their intervals, one row a name; returns the axes."""
    one = axes(ax)
    for y, name in enumerate(gain):
        one.plot(interval[name], (y, y), color=LINE, linewidth=2)
        one.plot(gain[name], y, "o", color=LEVEL_COLOURS["blue"])
    one.axvline(0, color=GREY, linewidth=0.8)
    one.set_yticks(range(len(gain)), list(gain))
    one.set(title=title, xlabel="hours saved a case", ylim=(len(gain) - 0.5, -0.5))
    _tidy(one)
    return one


def _tidy(*many: Any) -> None:
    for one in many:
        one.spines[["top", "right"]].set_visible(False)
        one.grid(axis="x", color="#eceff1", linewidth=0.6)
