"""Pictures of what the benches measured: ``--plot FILE.svg`` (or .png) of those that have one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine.plots import GREY, LINE, SCORE, PlotError

Figures = Mapping[str, Any]


def figure(columns: int = 1, height: float = 3.6) -> tuple[Any, Any]:
    """Return a figure and its axes, without a window.

    Raises
    ------
    PlotError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise PlotError('plots need matplotlib: pip install "gridwarden[workbench]"') from None
    made = Figure(figsize=(5.2 * columns + 2, height), layout="constrained")
    return made, made.subplots(1, columns, squeeze=False)[0]


def stages(found: Sequence[Figures], path: Path, order: str) -> None:
    """Draw each stage's cost, and its floor within it; rows come in file or in random order."""
    made, (ax,) = figure()
    rows = [row for row in found if row["stage"] != "all"]
    names = [row["stage"] for row in rows]
    ax.barh(names, [row["ns"] for row in rows], color=GREY, label="measured")
    floors = [row["floor_ns"] or 0.0 for row in rows]
    ax.barh(names, floors, height=0.35, color=LINE, label="floor")
    ax.invert_yaxis()
    ax.set(xlabel="ns a reading", title=f"Whole replay, one core, {order} order")
    ax.legend()
    made.savefig(path)


def scale(found: Sequence[Figures], path: Path) -> None:
    """Draw the formats and the growth, whichever were measured."""
    formats = [f for f in found if f["part"] == "formats"]
    growth = [f for f in found if f["part"] == "growth"]
    made, axes = figure(max(1, bool(formats) + bool(growth)))
    left = list(axes)
    if formats:
        ax = left.pop(0)
        names = [f"{f['format']}, {f['order']}" for f in formats]
        rates = (
            ("decode_only_rows_per_cpu_s", 0.85, "#eceff1", "bare decode"),
            ("edge_only_rows_per_cpu_s", 0.6, GREY, "with ids, UTC, arrival"),
            ("rows_per_cpu_s", 0.35, LINE, "whole replay"),
        )
        for name, width, colour, label in rates:
            ax.barh(names, [f[name] / 1e6 for f in formats], width, color=colour, label=label)
        ax.invert_yaxis()
        # From a million on: on such an axis a bar's length tells nothing, its end does.
        ax.set(xlabel="million readings a second, one core", xscale="log", xlim=(1, None))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.legend()
    if growth:
        ax = left.pop(0)
        sizes = [f["meters"] for f in growth]
        ax.plot(sizes, [f["ns_a_reading"] for f in growth], color=LINE, marker="o")
        ax.set(xscale="log", xlabel="meters", ylabel="ns a reading", ylim=(0, None))
    made.savefig(path)


def peers(methods: Sequence[Figures], path: Path) -> None:
    """Draw what a reading costs against what is found with it."""
    made, (ax,) = figure(height=5.0)
    for row in methods:
        ours = row["method"].startswith("gridwarden")
        ax.scatter(row["ns"], row["found"], color=SCORE if ours else LINE)
        ax.annotate(
            row["method"], (row["ns"], row["found"]), xytext=(5, 3), textcoords="offset points",
            fontsize=8,
        )  # fmt: skip
    ax.set(xscale="log", xlabel="ns a reading", ylabel="share found, at as many false alarms")
    made.savefig(path)


def waits(seconds: Sequence[float], path: Path) -> None:
    """Draw how many of the calls had their task after how long."""
    made, (ax,) = figure()
    ordered = np.sort(np.asarray(seconds))
    ax.step(ordered, np.arange(1, len(ordered) + 1) / len(ordered), where="post", color=LINE)
    for at in (0.5, 0.99):
        ax.axhline(at, color=GREY, linewidth=0.6)
    ax.set(xlabel="seconds from arrival to task", ylabel="share of calls", xlim=(0, None))
    made.savefig(path)
