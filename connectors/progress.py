"""How far a run is, on stderr: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

import numpy as np

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

_EVERY_S = 10.0
_REFRESH_S = 0.1
_WORDS = {
    "en": {"rows": "rows", "rate": "rows/s", "left": "left", "at": "at", "done": "done"},
    "zh": {"rows": "行", "rate": "行/秒", "left": "剩余", "at": "时至", "done": "完成"},
}


def language(environ: dict[str, str] | None = None) -> str:
    """Return ``zh`` or ``en`` as LC_ALL, LC_MESSAGES or LANG say.

    >>> language({"LANG": "zh_CN.UTF-8"})
    'zh'
    """
    values = os.environ if environ is None else environ
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if values.get(name):
            return "zh" if values[name].lower().startswith("zh") else "en"
    return "en"


class Progress:
    """Rows, rate, share of the input, time left and the event time reached.

    Parameters
    ----------
    label : str
        What is running.
    share : callable, optional
        Returns (share from 0 to 1, whether it is known), as :meth:`connectors.merge.Log.progress`.
    stream : text file, optional
        Default stderr. A terminal gets a bar, anything else a line every ten seconds, and both a
        line at the end.
    clock : callable, optional
        Seconds that only grow.
    """

    def __init__(
        self,
        label: str,
        share: Callable[[], tuple[float, bool]] | None = None,
        *,
        stream: TextIO | None = None,
        lang: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rows = 0
        self._label = label
        self._share = share
        self._stream = sys.stderr if stream is None else stream
        self._words = _WORDS[language() if lang is None else lang]
        self._clock = clock
        self._began = self._shown = clock()
        self._bar: Bar | None = None
        self._event_ns: int | None = None
        if self._stream.isatty():
            self._bar = self._make_bar()
            self._bar.start()
            self._task = self._bar.add_task(label, total=None, note="")

    def _make_bar(self) -> Bar:
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn
        from rich.progress import Progress as Bar

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[note]}"),
        )
        # What is printed goes above the bar; where stdout is a file or a pipe it must go there.
        return Bar(
            *columns,
            console=Console(file=self._stream),
            transient=True,
            redirect_stdout=sys.stdout.isatty(),
        )

    def update(self, rows: int, event_ns: int | None = None) -> None:
        """Count rows; `event_ns` is the event time now reached."""
        self.rows += rows
        if event_ns is not None:
            self._event_ns = event_ns
        now = self._clock()
        if self._bar is not None:
            if now - self._shown >= _REFRESH_S:
                self._shown = now
                share, known = self._known_share()
                total = 1.0 if known else None
                note = self._note(now)
                self._bar.update(self._task, completed=share, total=total, note=note)
        elif now - self._shown >= _EVERY_S:
            self._shown = now
            share, known = self._known_share()
            percent = f"{share:4.0%}  " if known else ""
            print(f"{self._label}  {percent}{self._note(now)}", file=self._stream, flush=True)

    def close(self) -> None:
        """Remove the bar and say what was done."""
        if self._bar is not None:
            self._bar.stop()
        words = self._words
        took = max(self._clock() - self._began, 1e-9)
        rate = f"{self.rows / took:,.0f} {words['rate']}"
        line = (
            f"{self._label}  {words['done']}: {self.rows:,} {words['rows']}  {took:.1f} s  {rate}"
        )
        print(line, file=self._stream, flush=True)

    def _known_share(self) -> tuple[float, bool]:
        return (0.0, False) if self._share is None else self._share()

    def _note(self, now: float) -> str:
        words = self._words
        took = max(now - self._began, 1e-9)
        parts = [f"{self.rows:,} {words['rows']}", f"{self.rows / took:,.0f} {words['rate']}"]
        share, known = self._known_share()
        if known and share > 0:
            left = round(took * (1 - share) / share)
            parts.append(f"{words['left']} {left // 3600:d}:{left // 60 % 60:02d}:{left % 60:02d}")
        if self._event_ns is not None:
            minute = np.datetime64(self._event_ns, "ns").astype("datetime64[m]")
            parts.append(f"{words['at']} {str(minute).replace('T', ' ')}Z")
        return "  ".join(parts)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        elif self._bar is not None:  # what failed is not "done"; the error says what happened
            self._bar.stop()
