"""Where lines and quarantined rows go: files that can be cut back to where a snapshot was taken."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from connectors.records import Event, Fault, ReadingBlock
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
    append : bool
        Keep all of an existing file.
    """

    def __init__(self, path: str, offset: int = 0, *, append: bool = False) -> None:
        self.path = path
        self._file: IO[bytes]
        self.count = 0
        if path == "-":
            self._file = sys.stdout.buffer
            self.offset = 0
            return
        if append and Path(path).exists():
            offset = Path(path).stat().st_size
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
    """Keeps what a host hands out, for callers that want it in memory."""

    def __init__(self) -> None:
        self.lines: list[AlertChange] = []
        self.refused: list[tuple[str, int, Fault]] = []
        """Source, position and reason of quarantined rows."""

    def take_lines(self, lines: Sequence[AlertChange]) -> None:
        """Keep lines."""
        self.lines += lines

    def block(self, block: ReadingBlock, fault: NDArray[np.uint8]) -> None:
        """Keep which rows of a block were refused."""
        for i in np.flatnonzero(fault).tolist():
            self.refused.append((block.source, int(block.position[i]), Fault(int(fault[i]))))

    def event(self, event: Event) -> None:
        """Keep that an event was refused."""
        self.refused.append((event.source, event.position, event.fault))
