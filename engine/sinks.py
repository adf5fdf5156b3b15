"""Where lines and quarantined rows go: files that can be cut back to where a snapshot was taken."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from connectors.records import Event, Fault, ReadingBlock
from rules.alerts import AlertChange


class SinkError(OSError):
    """An output cannot be written."""


@contextmanager
def writing(path: str) -> Iterator[None]:
    """Turn what the system says about an output into an error with a way out.

    Raises
    ------
    SinkError
        For any OSError but a reader that has gone (``| head``), which is no error of ours.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        hints = {
            errno.ENOSPC: "free some space and run the same command again",
            errno.EFBIG: "raise the limit on file sizes (ulimit -f) and run it again",
            errno.EISDIR: "give the name of a file",
        }
        do = hints.get(error.errno or 0, "choose another place, or give yourself the right to it")
        raise SinkError(f"{path}: cannot be written: {error.strerror}; {do}") from None


class AlertsFile:
    """Alerts as NDJSON, appended; ``-`` is stdout.

    Parameters
    ----------
    path : str
        File, or ``-``.
    offset : int, optional
        Bytes to keep of an existing file: what a snapshot had covered. The file must be at least
        so long (:func:`holds`).
    """

    def __init__(self, path: str, offset: int = 0) -> None:
        self.path = path
        self._file: IO[bytes]
        self.count = 0
        if path == "-":
            self._file = sys.stdout.buffer
            self.offset = 0
            return
        with writing(path):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            self._file = open(path, "r+b" if offset else "wb")  # noqa: PTH123, SIM115
            self._file.truncate(offset)
            self._file.seek(offset)
        self.offset = offset

    def write(self, lines: Sequence[AlertChange]) -> None:
        """Append lines."""
        data = b"".join(line.line() + b"\n" for line in lines)
        with writing(self.path):
            self._file.write(data)
        self.offset += len(data)
        self.count += len(lines)

    def sync(self) -> None:
        """Have everything written reach the disk."""
        with writing(self.path):
            self._file.flush()
            if self.path != "-":
                os.fsync(self._file.fileno())

    def close(self) -> None:
        """Flush and close."""
        with writing(self.path):
            self._file.flush()
            if self.path != "-":
                self._file.close()


def holds(path: str | None, size: int) -> bool:
    """Return whether an output still has its first `size` bytes, so that one can go on there."""
    if path is None or path == "-" or size == 0:
        return True
    file = Path(path)
    return file.is_file() and file.stat().st_size >= size


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
