"""A tuning in words: for the terminal, for a page, and for the head of a proposal."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine.tuning.search import OVERSPENT, QUARTERS

if TYPE_CHECKING:
    from engine.tuning.run import Tuned

VERDICTS = {
    "improves": "It improves homes and months that the search never saw.",
    "no improvement": "No improvement was shown where the search did not look. Leave it as it is.",
    "worse": "It is worse where the search did not look: what was found is luck. Leave it as it is.",
}


def why(tuned: Tuned) -> str:
    """Return a few lines for the head of a proposed rule."""
    low, high = tuned.found.interval_h["unseen"]
    changes = [f"{k} {a:g} -> {b:g}" for k, (a, b) in tuned.changed.items()]
    if tuned.verdict != "improves":
        changes = []
    if tuned.budget is not None:
        changes.append(f"budget {tuned.budget:g}, for a median of {tuned.options.target_h:g} h")
    return (
        f"Proposed by gridwarden tune: {'; '.join(changes)}.\n"
        f"On homes and months not searched: {tuned.found.gain_h['unseen']:.2f} h sooner "
        f"(95 % {low:.2f} to {high:.2f}), planted change {tuned.plan['plant']}.\n"
        "Rehearse it: gridwarden rules dry-run --against OLD --new THIS_FOLDER …"
    )


def text(tuned: Tuned) -> str:
    """Return the whole result as plain text."""
    plan, found = tuned.plan, tuned.found
    lines = [
        f"{tuned.rule}: {tuned.detector} ({plan['trials']} trials, {plan['days']:.0f} days from "
        f"{plan['from']} to {plan['until']}, seed {plan['seed']})",
        f"searched on {plan['subjects'][0]} subjects ({plan['cases'][0]} cases) until "
        f"{plan['late_from']}; judged on {plan['subjects'][1]} others ({plan['cases'][1]} cases) "
        "and on what came later",
        f"case: {plan['what']} ({plan['plant']}), never = {plan['horizon_h']:g} h",
        "",
        *_table(tuned),
        "",
        "what changed",
        *(_changes(tuned) or ["  nothing: no trial was better than what the rule has now"]),
        "",
        "hours saved a case, mean over subjects (95 % interval)",
    ]
    for name, words in QUARTERS.items():
        low, high = found.interval_h[name]
        lines.append(f"  {words:56} {found.gain_h[name]:+6.2f} ({low:+.2f} to {high:+.2f})")
    lines += ["", *risk(tuned), "", VERDICTS[tuned.verdict]]
    return "\n".join(lines)


def _changes(tuned: Tuned) -> list[str]:
    lines = [f"  {k:20} {a:10.4g} -> {b:10.4g}" for k, (a, b) in tuned.changed.items()]
    if tuned.budget is not None:
        lines.append(
            f"  budget {tuned.budget:g}: the smallest whose median is within "
            f"{tuned.options.target_h:g} h on the searched half"
        )
    elif tuned.options.target_h is not None:
        lines.append(f"  budget: none of those tried comes to {tuned.options.target_h:g} h")
    return lines


def _table(tuned: Tuned) -> list[str]:
    head = (
        f"{'budget':>6}  {'quarter':9} {'':6} {'cases':>5} {'mean h':>7} {'median':>7} {'p90':>7} "
        f"{'found':>6} {'false/yr':>8} {'×asked':>7}"
    )
    rows = [
        f"{row['budget']:6g}  {row['quarter']:9} {row['side']:6} {row['cases']:5} "
        f"{row['mean_wait_h']:7.2f} {row['median_h']:7.1f} {row['p90_h']:7.1f} "
        f"{row['found']:6.2f} {row['false_per_year']:8.2f} {row['realised_over_asked']:7.2f}"
        for row in tuned.rows()
    ]
    return [head, *rows]


def risk(tuned: Tuned) -> list[str]:
    """Return what speaks for and against trusting the result."""
    found = tuned.found
    if not tuned.changed:
        return ["risk of overfitting: none, nothing was chosen"]
    seen, unseen = found.gain_h["searched"], found.gain_h["unseen"]
    lines = [
        f"risk of overfitting: of {seen:+.2f} h gained while searching, {unseen:+.2f} h remain where "
        f"nothing was seen{'' if math.isnan(found.kept) else f' ({found.kept:.0%})'};"
    ]
    if math.isfinite(found.cross_validated_h):
        lines.append(
            f"  choosing among {len(found.trials)} trials by luck adds about "
            f"{seen - found.cross_validated_h:+.2f} h to it (five folds of the searched subjects)"
        )
    at_edge = [
        k for k, v in found.best.items()
        if k in tuned.plan["ranges"] and v in tuned.plan["ranges"][k]
    ]  # fmt: skip
    if at_edge:
        lines.append(f"  at the edge of what was tried: {', '.join(at_edge)}")
    over = [r for r in tuned.rows() if r["side"] == "tuned" and r["realised_over_asked"] > 1.3]
    if over:
        worst = max(r["realised_over_asked"] for r in over)
        lines.append(f"  false alerts came to as much as {worst:.2f} of what the budget asked")
    return lines


def write_html(path: str | Path, tuned: Tuned) -> None:
    """Write one self-contained page: figures, gains with their intervals, and every trial."""
    from engine import __version__

    trials = sorted(tuned.found.trials, key=lambda t: t.value)
    names = sorted(tuned.plan["ranges"])
    rows = "".join(
        f"<tr><td>{t.number}<td>{t.value:.3f}" + "".join(f"<td>{t.params[n]:.4g}" for n in names)
        for t in trials
    )
    head = "".join(f"<th>{html.escape(n)}" for n in names)
    page = f"""<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{html.escape(tuned.rule)}: tuning</title>
<style>
body{{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}}
pre{{overflow-x:auto;background:#f6f7f8;padding:1rem;font-size:13px}}
table{{border-collapse:collapse;font-size:13px}}td,th{{padding:.2rem .7rem;text-align:right;border-bottom:1px solid #ddd}}
.verdict{{font-size:1.2rem;padding:.8rem 1rem;border-left:4px solid {_colour(tuned)};background:#f6f7f8}}
@media(prefers-color-scheme:dark){{body{{background:#16191c;color:#ddd}}pre,.verdict{{background:#1f2428}}td,th{{border-color:#333}}}}
</style>
<h1>{html.escape(tuned.rule)}</h1>
<p class="verdict">{html.escape(VERDICTS[tuned.verdict])}</p>
{_gains_svg(tuned)}
<pre>{html.escape(text(tuned))}</pre>
<h2>Trials, best first</h2><table><tr><th>trial<th>objective, h{head}{rows}</table>
<p>Objective: the mean wait on the homes and the time that were searched, made worse where false alerts came to
more than {OVERSPENT:g} × the budget. The first trial is the rule as it is, if the ranges hold it.</p>
<p>gridwarden {__version__}</p></html>
"""
    Path(path).write_text(page, encoding="utf-8")


def _colour(tuned: Tuned) -> str:
    return {"improves": "#2e7d32", "worse": "#c62828"}.get(tuned.verdict, "#90a4ae")


def _gains_svg(tuned: Tuned) -> str:
    """Return the four gains as points with their intervals; left of zero is worse."""
    gains, spans = tuned.found.gain_h, tuned.found.interval_h
    finite = [v for n in QUARTERS for v in (*spans[n], gains[n]) if math.isfinite(v)]
    reach = max([abs(v) for v in finite] or [1.0]) * 1.1 or 1.0

    def x(hours: float) -> float:
        return 520 + 200 * hours / reach

    marks: Sequence[str] = [
        f'<text x="0" y="{28 + 30 * i}">{html.escape(words)}</text>'
        f'<line x1="{x(spans[n][0]):.1f}" x2="{x(spans[n][1]):.1f}" y1="{24 + 30 * i}" '
        f'y2="{24 + 30 * i}" stroke="currentColor" stroke-width="2"/>'
        f'<circle cx="{x(gains[n]):.1f}" cy="{24 + 30 * i}" r="5" fill="#1565c0"/>'
        f'<text x="730" y="{28 + 30 * i}">{gains[n]:+.2f} h</text>'
        for i, (n, words) in enumerate(QUARTERS.items())
        if math.isfinite(gains[n]) and math.isfinite(spans[n][0])
    ]
    return (
        '<svg viewBox="0 0 800 140" role="img" aria-label="Hours saved in each quarter" '
        'style="width:100%;font:14px system-ui;fill:currentColor">'
        f'<line x1="520" x2="520" y1="8" y2="128" stroke="#90a4ae"/>{"".join(marks)}</svg>'
    )
