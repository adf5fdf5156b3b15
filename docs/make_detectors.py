"""Write the reference of detectors: a page and a plot each, from docstrings and the common suite.

``python docs/make_detectors.py [--out docs/detectors] [--only NAME] [--check]``
"""

from __future__ import annotations

import argparse
import inspect
import logging
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import griffe  # noqa: E402

from detectors.base import NO_SLOT, lookup, names  # noqa: E402
from engine import library  # noqa: E402
from rules.facts import fact, unit  # noqa: E402
from rules.loader import registered  # noqa: E402
from tests.detectors import kits  # noqa: E402
from tests.detectors.cases import Case, burst  # noqa: E402

WIDTH, HEIGHT, LEFT = 820, 96, 60
POINTS = 360
"""Most points of a line; more are drawn as the lowest and highest of a stretch."""
WINDOW = 400
"""Most slots shown before what was planted, and a quarter of it after."""

logging.getLogger("griffe").setLevel(logging.ERROR)


def main(argv: list[str] | None = None) -> int:
    """Write, or compare, all pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "detectors")
    parser.add_argument("--only", action="append", help="a detector; repeatable")
    parser.add_argument("--check", action="store_true", help="compare, exit 1 if stale")
    args = parser.parse_args(argv)
    kits.load()
    known = args.only or [*names(), *sorted(kits.EXTRA_NAMES)]
    pages: dict[str, str] = {}
    for name in known:
        pages[f"{slug(name)}.md"] = page(name)
        pages[f"{slug(name)}.svg"] = picture(name)
    if args.only is None:
        pages["README.md"] = index(known)
    if args.check:
        stale = [f for f, text in pages.items() if f.endswith(".md") and _old(args.out / f) != text]
        left = {p.name for p in args.out.glob("*.md")} - set(pages) if args.only is None else set()
        for file in [*stale, *sorted(left)]:
            print(f"{args.out / file}: is stale; run `python docs/make_detectors.py`")
        return int(bool(stale or left))
    args.out.mkdir(parents=True, exist_ok=True)
    for file, text in pages.items():
        (args.out / file).write_text(text, encoding="utf-8")
        if args.only:
            print(args.out / file)
    return 0


def _old(path: Path) -> str:
    return path.read_text("utf-8") if path.is_file() else ""


def slug(name: str) -> str:
    """Return a file name for a detector's name."""
    return name.replace(":", "-").lower()


# -- words ----------------------------------------------------------------------------------------


def index(known: list[str]) -> str:
    """Return the list of all detectors."""
    rows = [
        f"| [{name}]({slug(name)}.md) | {first_line(name)} | {watches(name)} | {rules_of(name)} |"
        for name in known
    ]
    return "\n".join(
        [
            "# Detectors",
            "",
            "Generated from the docstrings by `python docs/make_detectors.py`. Evidence is the log10",
            "likelihood ratio of “something is wrong here” against “nothing is”; the plots show the",
            "stretch in which the common suite plants what each detector has to find.",
            "",
            "| detector | what it does | watches | rules |",
            "|---|---|---|---|",
            *rows,
            "",
            "Any model of `river.anomaly` or `river.drift` is a detector, too: `river:<class>`.",
            "",
        ]
    )


def first_line(name: str) -> str:
    """Return the first sentence of a detector's docstring."""
    return markdown((lookup(name).__doc__ or "").strip().split("\n\n")[0].replace("\n", " "))


def watches(name: str) -> str:
    """Return what a detector takes, in a few words."""
    kind = lookup(name)
    channels = ", ".join("any series" if c.utility == "*" else c.utility for c in kind.channels)
    if kind.grain == "place":
        channels = "a community's silences"
    slot = f", {kind.slot_s // 60} min" if kind.slot_s else ""
    return channels + slot


def rules_of(name: str) -> str:
    """Return links to the shipped rules that listen to a detector."""
    found = [
        r.name for r in library.rules(None) if name in {u.detector for u in r.signals.values()}
    ]
    return ", ".join(f"[{r}](../rules/en/{r}.md)" for r in found) or "—"


def page(name: str) -> str:
    """Return a detector's page."""
    kind = lookup(name)
    low, high = kind.interval_s_allowed
    lines = [f"# {name}", ""]
    doc = griffe.Docstring(inspect.cleandoc(kind.__doc__ or ""), parser="numpy").parse()
    for section in doc:
        lines += render(section, kind.defaults)
    if not any(s.kind is griffe.DocstringSectionKind.parameters for s in doc) and kind.defaults:
        lines += ["## Parameters", "", *(f"- `{k}` = {v:g}" for k, v in kind.defaults.items()), ""]
    lines += facts_of(name)
    slots = f"{kind.slot_s} s" if kind.slot_s else f"the meter's, {low} to {high} s"
    lines += [
        "## Takes",
        "",
        f"- {watches(name)}; slots of {slots}",
        f"- notices: {', '.join(f'`{n}`' for n in sorted(kind.informs)) or 'none'}",
        f"- late readings: {'corrected' if kind.amends else 'counted, change nothing'}",
        f"- bytes a row: {_bytes(name)}",
        f"- rules: {rules_of(name)}",
        "",
        f"![What the common suite plants, and what {name} says of it]({slug(name)}.svg)",
        "",
    ]
    return "\n".join(lines)


def facts_of(name: str) -> list[str]:
    """Return what alerts of a detector carry, in their units: what rules may name."""
    found = registered(name)
    if isinstance(found, str) or not found.facts:
        return []
    rows = []
    for word in found.facts:
        known = fact(name, word)
        about = (known.en, unit(known, "en")) if known else ("", "")
        rows.append(f"| `{word}` | {about[0]} | {about[1]} |")
    return [
        "## Facts",
        "",
        "What its alerts carry, and conditions and texts of rules may name.",
        "",
        "| fact | what it is | unit |",
        "|---|---|---|",
        *rows,
        "",
    ]


def _bytes(name: str) -> int:
    case = case_of(name)
    return round((case.make(100).nbytes - case.make(0).nbytes) / 100)


def render(section: griffe.DocstringSection, defaults: Mapping[str, float]) -> list[str]:
    """Return one section of a docstring as Markdown."""
    kind = griffe.DocstringSectionKind
    if section.kind is kind.text:
        return [markdown(section.value), ""]
    if section.kind is kind.parameters:
        rows = []
        for p in section.value:
            default = f" = {defaults[p.name]:g}" if p.name in defaults else ""
            about = markdown(p.description.replace("\n", " "))
            rows.append(f"- `{p.name}`{default}: {about}")
        return ["## Parameters", "", *rows, ""]
    if section.kind is kind.examples:
        return []
    title = section.title or section.kind.value.title()
    text = section.value.contents if hasattr(section.value, "contents") else str(section.value)
    return [f"## {title[:1].upper()}{title[1:]}", "", markdown(text), ""]


def markdown(text: str) -> str:
    """Return reStructuredText of our docstrings as Markdown."""
    text = re.sub(r":(?:class|func|meth|attr|data|mod):`~?([^`]+)`", r"`\1`", text)
    text = re.sub(r"``([^`]+)``", r"`\1`", text)
    text = re.sub(r"^\.\. \[(\d+)\] ", r"\1. ", text, flags=re.M)
    text = re.sub(r"doi:(10\.[^\s,;]+[^\s,;.:])", r"[doi:\1](https://doi.org/\1)", text)
    return re.sub(r"\[(\d+)\]_", r"[\1]", text)


# -- a picture ------------------------------------------------------------------------------------


def case_of(name: str) -> Case:
    """Return a detector with its default parameters, as the common suite sees it."""
    kit = kits.KITS.get(name, kits.Kit())
    return Case(name, lookup(name), tuple(sorted(kit.params.get("default", {}).items())), kit)


def picture(name: str) -> str:
    """Return an SVG: a row in which something was planted above a clean one, and the evidence."""
    case = case_of(name)
    planted = (case.kit.plant or burst)(case.make(), np.random.default_rng(11), case.first_slot)
    said = case.make().step(planted.frame)
    low = max(0, planted.start - WINDOW)
    span = slice(low, min(planted.frame.slots, planted.stop + WINDOW // 4))
    rows = (planted.rows[0], next(r for r in range(len(said.urgency[0])) if r not in planted.rows))
    marks = (planted.start - span.start, planted.stop - span.start)
    panels = []
    for at, (row, words) in enumerate(zip(rows, ("planted", "clean"), strict=True)):
        values = planted.frame.values[span, :, row]
        channel = int(np.isfinite(values).sum(axis=0).argmax())
        panels.append((f"{words}: input", values[:, channel].astype(np.float64), at == 0))
        panels.append((f"{words}: evidence", said.evidence[span, row].astype(np.float64), at == 0))
    shown = [v for title, v, _ in panels if "evidence" in title]
    finite = np.concatenate([v[np.isfinite(v)] for v in shown] or [np.zeros(1)])
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    body = []
    for i, (title, values, tinted) in enumerate(panels):
        limits = (low, high) if "evidence" in title else None
        body.append(_panel(i, title, values, marks if tinted else None, limits))
    onset = said.onset[span, rows[0]]
    found = np.flatnonzero((onset != NO_SLOT) & (np.arange(len(onset)) >= marks[0]))
    words = f"first episode {(found[0] - marks[0]) if len(found) else '–'} slots after the start"
    height = HEIGHT * len(panels) + 24
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'font-family="system-ui,sans-serif" font-size="12" fill="#607d8b">'
        f"<title>{name}: what was planted, and its evidence; {words}</title>"
        f"{''.join(body)}"
        f'<text x="{LEFT}" y="{height - 6}">slots of {case.interval_s} s; shaded: planted; {words}</text>'
        "</svg>\n"
    )


def _panel(
    i: int,
    title: str,
    values: NDArray[np.float64],
    marks: tuple[int, int] | None,
    limits: tuple[float, float] | None,
) -> str:
    known = values[np.isfinite(values)]
    low, high = limits or ((known.min(), known.max()) if len(known) else (0.0, 1.0))
    reach = (high - low) or 1.0
    top, inner = i * HEIGHT + 18, HEIGHT - 30
    step = (WIDTH - LEFT - 10) / max(len(values) - 1, 1)

    def y(v: float) -> float:
        return top + inner * (1 - (v - low) / reach)

    every = max(1, -(-len(values) // POINTS))
    parts: list[str] = []
    pen = False
    for a in range(0, len(values), every):
        chunk = values[a : a + every]
        chunk = chunk[np.isfinite(chunk)]
        if not len(chunk):
            pen = False
            continue
        for v in {float(chunk.min()), float(chunk.max())}:
            parts.append(f"{'L' if pen else 'M'}{LEFT + a * step:.1f} {y(v):.1f}")
            pen = True
    shade = ""
    if marks is not None:
        a, b = LEFT + marks[0] * step, LEFT + min(marks[1], len(values)) * step
        shade = f'<rect x="{a:.1f}" y="{top}" width="{max(b - a, 2):.1f}" height="{inner}" fill="#ef6c00" opacity=".18"/>'
    colour = "#c62828" if "evidence" in title else "#1565c0"
    return (
        f'{shade}<path d="{"".join(parts)}" fill="none" stroke="{colour}" stroke-width="1"/>'
        f'<text x="{LEFT}" y="{top - 5}">{title}</text>'
        f'<text x="{LEFT - 6}" y="{top + 9}" text-anchor="end">{high:.3g}</text>'
        f'<text x="{LEFT - 6}" y="{top + inner}" text-anchor="end">{low:.3g}</text>'
    )


if __name__ == "__main__":
    sys.exit(main())
