"""The front end's types are those of the API, and its sources agree with their types."""

import subprocess
from pathlib import Path

from engine.console.build import WEB, node_folder
from engine.console.typescript import TARGET, module_text
from tests.missing import missing


def test_types_are_those_of_the_api() -> None:
    assert TARGET.read_text(encoding="utf-8") == module_text(), (
        "run `python -m engine.console.typescript`"
    )


def test_the_sources_agree_with_their_types(built: Path) -> None:
    """The bundler drops types unread: a name that is nowhere declared fails here, not on a phone.

    A text that one language lacks is a type error, too.
    """
    compiler = WEB / "node_modules" / "typescript" / "bin" / "tsc"
    folder = node_folder()
    if folder is None or not compiler.exists():
        missing("node and typescript are not installed")
    assert folder is not None
    done = subprocess.run(
        [str(folder / "node"), str(compiler), "--noEmit"],
        cwd=WEB,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
