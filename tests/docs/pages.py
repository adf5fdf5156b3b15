"""Documentation as a script: the files and commands of a page, in their order.

A fenced block with ``title="…"`` is a file; the lines of a ``console`` block that begin with ``$``
are commands. ``# exit 1`` after a command says which code is meant; what follows is its output, for
people, and is not compared.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

FENCE = re.compile(r"^```(?P<kind>[\w-]*)(?P<rest>[^\n]*)\n(?P<body>.*?)^```$", re.M | re.S)
TITLE = re.compile(r'title="(?P<name>[^"]+)"')
EXIT = re.compile(r"\s+# exit (\d+)$")


@dataclass(frozen=True)
class Step:
    """A file to write (`path`), or a command to run and the exit code it must have."""

    text: str
    path: str | None = None
    code: int = 0
    line: int = 0


def steps(page: str) -> list[Step]:
    """Return what a page writes and runs."""
    found = []
    for block in FENCE.finditer(page):
        line = page[: block.start()].count("\n") + 1
        title = TITLE.search(block["rest"])
        if title is not None:
            found.append(Step(block["body"], title["name"], line=line))
        elif block["kind"] == "console":
            for i, text in enumerate(_joined(block["body"])):
                if text.startswith("$ "):
                    code = EXIT.search(text)
                    command = EXIT.sub("", text)[2:]
                    found.append(Step(command, None, int(code[1]) if code else 0, line + i + 1))
    return found


def _joined(body: str) -> list[str]:
    """Return the lines of a console block; a backslash joins a line with the next."""
    return re.sub(r"\\\n\s*>?\s*", " ", body).splitlines()


def pages() -> list[Path]:
    """Return every page of the documentation, generated ones left out."""
    generated = {ROOT / "docs" / "rules", ROOT / "docs" / "detectors"}
    found = [ROOT / "README.md", ROOT / "README.zh-CN.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [p for p in found if not generated & set(p.parents)]


def environment(folder: Path, root: Path = ROOT) -> dict[str, str]:
    """Return an environment in which ``gridwarden`` and ``python`` are those of `root`."""
    shims = folder / ".bin"
    shims.mkdir(exist_ok=True)
    python = shlex.quote(sys.executable)
    for name, text in {
        "gridwarden": f'exec {python} -m engine.cli.main "$@"',
        "python": f'exec {python} "$@"',
    }.items():
        shim = shims / name
        shim.write_text(f"#!/bin/sh\n{text}\n")
        shim.chmod(shim.stat().st_mode | stat.S_IEXEC)
    return {
        **os.environ,
        "PATH": f"{shims}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(root),
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "MPLBACKEND": "Agg",
    }


def follow(page: Path, folder: Path, root: Path = ROOT) -> int:
    """Do what a page says in `folder`; return how many commands were run.

    Raises
    ------
    AssertionError
        If a command ends with another code than the page says.
    """
    env = environment(folder, root)
    ran = 0
    for step in steps(page.read_text("utf-8")):
        if step.path is not None:
            target = folder / step.path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(step.text, encoding="utf-8")
            continue
        done = subprocess.run(
            step.text, shell=True, cwd=folder, env=env, capture_output=True, text=True,
            timeout=600, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == step.code, (
            f"{page.name}:{step.line}: {step.text}\nended with {done.returncode}, the page says "
            f"{step.code}\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}"
        )
        ran += 1
    return ran
