"""The one error of the edges: an input that cannot be used, said so that somebody can act."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches


class InputError(ValueError):
    """An input file cannot be used, or could be used only in part.

    Parameters
    ----------
    where : str
        File, and row or byte where known (``readings.csv:17``).
    what : str
        What is wrong.
    got, wanted : str, optional
        What was found, and what was expected in its place.
    do : str, optional
        What the operator does next.

    Examples
    --------
    >>> print(InputError("a.csv", "column is missing", got="id, ts", wanted="meter_id", do="rename it"))
    a.csv: column is missing: got id, ts; wanted meter_id; rename it
    """

    def __init__(
        self,
        where: str,
        what: str,
        *,
        got: str | None = None,
        wanted: str | None = None,
        do: str | None = None,
    ) -> None:
        self.where = where
        self.what = what
        self.got = got
        self.wanted = wanted
        self.do = do
        tail = [f"got {got}" if got else "", f"wanted {wanted}" if wanted else "", do or ""]
        details = "; ".join(part for part in tail if part)
        super().__init__(f"{where}: {what}" + (f": {details}" if details else ""))


class TableError(InputError):
    """All problems of one table at once."""

    def __init__(self, where: str, problems: Sequence[InputError], total: int) -> None:
        self.problems = tuple(problems)
        self.total = total
        lines = [str(p) for p in problems]
        if total > len(lines):
            lines.append(f"… and {total - len(lines)} more")
        many = "1 problem" if total == 1 else f"{total} problems"
        super().__init__(where, many + "\n  " + "\n  ".join(lines))


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """Return a hint that names the closest known word, or an empty string.

    >>> did_you_mean("meter_id", ["meterid", "ts"])
    'did you mean "meterid"?'
    """
    close = get_close_matches(name.lower(), [k.lower() for k in known], n=1, cutoff=0.6)
    if not close:
        return ""
    found = next(k for k in known if k.lower() == close[0])
    return f'did you mean "{found}"?'


def clip(text: str, limit: int = 80) -> str:
    """Return `text` short enough for a message."""
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text):,} characters)"
