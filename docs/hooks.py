"""What the site needs and plain Markdown does not."""

import html
import re
from pathlib import Path
from typing import Any

import jupytext

ROOT = Path(__file__).resolve().parents[1]
CELL = re.compile(r"^```python\n(?P<source>.*?)^```$", re.M | re.S)
FRONT = re.compile(r"\A---\n.*?^---\n", re.M | re.S)


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Escape the ``[[…]]`` of rules' sentences; put the outputs of notebooks under their cells."""
    where = page.file.src_uri
    if where.startswith("rules/"):
        return _escaped(markdown)
    if where.startswith("notebooks/"):
        return _with_outputs(markdown, ROOT / "build" / "notebooks" / f"{Path(where).stem}.ipynb")
    return markdown


def _escaped(markdown: str) -> str:
    """Two brackets in a row would be read as a link."""
    parts = re.split(r"(`[^`\n]*`)", markdown)
    parts[::2] = [p.replace("[[", r"\[\[").replace("]]", r"\]\]") for p in parts[::2]]
    return "".join(parts)


def _with_outputs(markdown: str, run: Path) -> str:
    """Return a notebook's page with what its cells said when it was run (docs/make_notebooks.py).

    A notebook that was not run, or has changed since, is shown without outputs.
    """
    if not run.is_file():
        return markdown
    cells = [c for c in jupytext.read(run).cells if c.cell_type == "code"]
    blocks = list(CELL.finditer(markdown))
    if [c.source.strip() for c in cells] != [b["source"].strip() for b in blocks]:
        return markdown
    text, at = [], 0
    for cell, block in zip(cells, blocks, strict=True):
        text += [markdown[at : block.end()], *map(_shown, cell.outputs)]
        at = block.end()
    return "".join([*text, markdown[at:]])


def _shown(output: Any) -> str:
    """Return one output as what Markdown takes: a table, a picture, or text."""
    data = output.get("data", {})
    if "text/html" in data:
        return f'\n\n<div class="nb-out">{re.sub(r"<style.*?</style>", "", data["text/html"], flags=re.S)}</div>\n'
    if "image/png" in data:
        picture = "".join(data["image/png"].split())
        return f'\n\n<div class="nb-out"><img alt="The figure this cell draws" src="data:image/png;base64,{picture}"></div>\n'
    plain = output.get("text") or data.get("text/plain", "")
    return (
        f'\n\n<div class="nb-out"><pre>{html.escape(plain.rstrip())}</pre></div>\n' if plain else ""
    )
