"""Where a detector's own code went wrong: its file and line, for the one who writes it."""

from __future__ import annotations

import traceback
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
_OURS = {str(PACKAGE / "base.py"), str(PACKAGE / "catalogue.py"), str(Path(__file__).resolve())}


class BrokenDetectorWarning(UserWarning):
    """A detector's file cannot be loaded; the others work."""


def told(error: BaseException, file: str | None = None) -> str:
    """Return file, line and what is wrong.

    Parameters
    ----------
    error : BaseException
        Raised while a detector's file was loaded, or while the detector ran.
    file : str, optional
        The detector's file, if known: its innermost line is the one to look at, even where a
        library that it calls raised the error.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f"{short(error.filename)}:{error.lineno}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    within = [f for f in frames if file is not None and f.filename == file] or [
        f for f in frames if Path(f.filename).is_relative_to(PACKAGE) and f.filename not in _OURS
    ]
    what = f"{type(error).__name__}: {error}"
    at = within[-1] if within else None
    return what if at is None else f"{short(at.filename)}:{at.lineno}: {what}"


def short(file: str) -> str:
    """Return a file of this package as ``detectors/jump.py``, any other as it is."""
    path = Path(file)
    return str(path.relative_to(PACKAGE.parent)) if path.is_relative_to(PACKAGE) else file
