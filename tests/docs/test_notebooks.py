"""Every notebook runs from its first cell to its last, in a kernel of its own."""

import importlib.util
import os
from pathlib import Path
from typing import Any

import jupytext
import pytest
from nbclient import NotebookClient

from tests.conftest import ROOT

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.md"))


def test_all_four_are_there() -> None:
    assert {p.stem for p in NOTEBOOKS} == {
        "closed-plant", "elderly-street", "new-detector", "new-feed",
    }  # fmt: skip


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_DATA_DIR", os.environ.get("JUPYTER_DATA_DIR", str(tmp_path)))
    notebook = jupytext.read(path)
    cells = [c for c in notebook.cells if c.cell_type == "code"]
    assert cells
    client = NotebookClient(
        notebook, timeout=600, kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    )  # fmt: skip
    client.execute()
    assert all(c.execution_count for c in cells)
    assert any(c.outputs for c in cells)
    run = tmp_path / "run.ipynb"
    jupytext.write(notebook, run)
    page = path.read_text("utf-8")
    shown = hooks()._with_outputs(page, run)
    assert shown.count('<div class="nb-out">') >= len([c for c in cells if c.outputs])
    assert hooks()._with_outputs(page.replace("import", "import  ", 1), run).count("nb-out") == 0


def hooks() -> Any:
    """Return what the site's builder loads."""
    spec = importlib.util.spec_from_file_location("site_hooks", ROOT / "docs" / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
