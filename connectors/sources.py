"""Sources of the log that can be stopped after any row and gone on with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from connectors.arrival import READING_RULES, ArrivalRules
from connectors.errors import InputError
from connectors.files import READINGS, open_rows
from connectors.normalise import EARLIEST_NS, LATEST_NS, Directory, Normaliser
from connectors.records import LogRecord, ReadingBlock


class Source(Protocol):
    """What the merge needs of a source."""

    name: str

    def next_record(self) -> LogRecord | None:
        """Return the next record, with arrivals that never fall; None at the end."""
        ...

    def state(self, used: int) -> dict[str, Any]:
        """Return a state that goes on after the first `used` rows of the record given last."""
        ...

    @property
    def problem(self) -> InputError | None:
        """What kept the end of the source from being read."""
        ...

    def progress(self) -> tuple[int, int | None]:
        """Return (done, total) in bytes or rows; total is None where unknown."""
        ...

    def close(self) -> None:
        """Release the file."""
        ...


class ReadingSource:
    """Reading blocks of one file.

    Parameters
    ----------
    path : str
        File (CSV, CSV.gz, Parquet, NDJSON, NDJSON.gz, Arrow IPC), or ``-`` for stdin.
    directory : Directory
        Ids, zones and intervals of meters; may grow while reading.
    name : str, optional
        Name in counts and quarantine; default `path`.
    state : mapping, optional
        A state of an earlier reader of the same file to go on from.

    Raises
    ------
    InputError
        If the file cannot be used at all.
    """

    def __init__(
        self,
        path: str,
        directory: Directory,
        *,
        name: str | None = None,
        rules: ArrivalRules = READING_RULES,
        earliest_ns: int = EARLIEST_NS,
        latest_ns: int = LATEST_NS,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = path
        self.name = path if name is None else name
        self._normaliser = Normaliser(
            self.name, directory, rules=rules, earliest_ns=earliest_ns, latest_ns=latest_ns
        )
        self._skip = 0
        self._drop = 0
        if state is not None:
            self._skip, self._drop = int(state["position"]), int(state["drop"])
            self._normaliser.restore(state["normaliser"])
        self._reader = open_rows(path, READINGS, skip_rows=self._skip, numbers=("value",))
        self._base: dict[str, Any] = self._checkpoint(self._skip)
        self._before = 0  # rows given since the checkpoint, before the last block
        self._given = 0
        self._blocks = self._read()

    @property
    def problem(self) -> InputError | None:
        """What kept the end of the file from being read (a truncated gzip); None so far."""
        return self._reader.problem

    def progress(self) -> tuple[int, int | None]:
        """Return (done, total) in stored bytes or rows; total is None where unknown."""
        return self._reader.progress()

    def close(self) -> None:
        """Close the file."""
        self._reader.close()

    def __iter__(self) -> Iterator[ReadingBlock]:
        while (block := self.next_record()) is not None:
            yield block

    def next_record(self) -> ReadingBlock | None:
        """Return the next block; None at the end of the file."""
        for block in self._blocks:
            self._before = self._given
            self._given += len(block)
            if self._drop >= len(block):
                self._drop -= len(block)
                continue
            if self._drop:
                self._before += self._drop
                block, self._drop = block.slice(self._drop, len(block)), 0
            return block
        self._before = self._given
        return None

    def state(self, used: int) -> dict[str, Any]:
        """Return a state that goes on after the first `used` rows of the block given last.

        It is the last checkpoint at which no row waited for its arrival, and how many rows were
        given since; so nothing of the rows themselves need be kept.
        """
        return {**self._base, "drop": self._before + used}

    def _checkpoint(self, position: int) -> dict[str, Any]:
        return {"position": position, "drop": 0, "normaliser": self._normaliser.state()}

    def _read(self) -> Iterator[ReadingBlock]:
        for rows in self._reader:
            if rows.start <= self._skip:
                if rows.start + len(rows) - 1 <= self._skip:
                    continue
                rows = rows.drop(self._skip + 1 - rows.start)
            if self._normaliser.held == 0:
                self._base, self._given = self._checkpoint(rows.start - 1), 0
            yield from self._normaliser.feed(rows)
        yield from self._normaliser.finish()
