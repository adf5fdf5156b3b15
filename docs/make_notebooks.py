"""Run the notebooks and keep what they say: ``python docs/make_notebooks.py [NAME …]``.

A notebook of the documentation is Markdown without outputs, so that it can be read and compared as
text. This writes each as ``build/notebooks/NAME.ipynb``, run from its first cell to its last; the
site shows the outputs it finds there (docs/hooks.py). A notebook that is unchanged since is left.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import jupytext
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "docs" / "notebooks"
TARGET = ROOT / "build" / "notebooks"


def sources_of(notebook: jupytext.NotebookNode) -> list[str]:
    """Return the text of the cells with code."""
    return [str(c.source) for c in notebook.cells if c.cell_type == "code"]


def run(path: Path, target: Path) -> bool:
    """Run one notebook unless its outputs are there already; return whether it was run."""
    notebook = jupytext.read(path)
    if target.is_file() and sources_of(jupytext.read(target)) == sources_of(notebook):
        return False
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(
            notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": folder}}
        ).execute()
    target.parent.mkdir(parents=True, exist_ok=True)
    jupytext.write(notebook, target)
    return True


def main() -> int:
    """Run those that were named, or all that have changed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="default: all")
    args = parser.parse_args()
    os.environ["PYTHONPATH"] = str(ROOT)
    paths = sorted(SOURCES.glob("*.md"))
    unknown = set(args.names) - {p.stem for p in paths}
    if unknown:
        parser.error(f"no such notebook: {', '.join(sorted(unknown))}")
    for path in paths:
        if not args.names or path.stem in args.names:
            ran = run(path, TARGET / f"{path.stem}.ipynb")
            print(f"{path.stem}: {'run' if ran else 'unchanged'}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
