"""Where lines and quarantined rows go: files that can be cut back to where a snapshot was taken."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from engine.host import Refused
from rules.alerts import AlertChange


class SinkError(OSError):
    """An output cannot be written."""


class AlertsFile:
    """Alerts as NDJSON, appended; ``-`` is stdout.

    Parameters
    ----------
    path : str
        File, or ``-``.
    offset : int, optional
        Bytes to keep of an existing file: what a snapshot had covered.
    """

    def __init__(self, path: str, offset: int = 0) -> None:
        self.path = path
        self._file: IO[bytes]
        self.count = 0
        if path == "-":
            self._file = sys.stdout.buffer
            self.offset = 0
            return
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            self._file = open(path, "r+b" if offset and Path(path).exists() else "wb")  # noqa: PTH123, SIM115
        except OSError as error:
            raise SinkError(f"{path}: cannot be written: {error.strerror}") from None
        self._file.truncate(offset)
        self._file.seek(offset)
        self.offset = offset

    def write(self, lines: Sequence[AlertChange]) -> None:
        """Append lines."""
        data = b"".join(line.line() + b"\n" for line in lines)
        try:
            self._file.write(data)
        except OSError as error:
            raise SinkError(f"{self.path}: cannot be written: {error.strerror}") from None
        self.offset += len(data)
        self.count += len(lines)

    def sync(self) -> None:
        """Have everything written reach the disk."""
        self._file.flush()
        if self.path != "-":
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Flush and close."""
        self._file.flush()
        if self.path != "-":
            self._file.close()


class Kept:
    """Keeps what a sink is given, for callers that want it in memory."""

    def __init__(self) -> None:
        self.lines: list[AlertChange] = []
        self.refused: list[Refused] = []

    def take_lines(self, lines: Sequence[AlertChange]) -> None:
        """Keep lines."""
        self.lines += lines

    def take_refused(self, rows: Sequence[Refused]) -> None:
        """Keep quarantined rows."""
        self.refused += rows


def as_row(refused: Refused) -> Mapping[str, Any]:
    """Return a quarantined row as the quarantine file's columns."""
    return {
        "source": refused.source,
        "position": refused.position,
        "reason": refused.fault.name.lower(),
        "detail": refused.detail,
        **refused.raw,
    }
