"""Files as sources of the log that can be stopped after any row and gone on with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Generic, Protocol, TypeVar

from connectors.arrival import EVENT_RULES, READING_RULES, ArrivalRules
from connectors.errors import InputError
from connectors.events import EventNormaliser
from connectors.files import EVENTS, READINGS, open_rows
from connectors.normalise import EARLIEST_NS, LATEST_NS, Directory, Normaliser
from connectors.records import Event, LogRecord, ReadingBlock
from connectors.rows import Columns, RawRows

R_co = TypeVar("R_co", ReadingBlock, Event, covariant=True)
R = TypeVar("R", ReadingBlock, Event)


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


class _Normaliser(Protocol[R_co]):
    """What a source needs to make records of raw rows; some rows may have to wait."""

    @property
    def held(self) -> int: ...
    def feed(self, rows: RawRows) -> Iterator[R_co]: ...
    def finish(self) -> Iterator[R_co]: ...
    def state(self) -> dict[str, Any]: ...
    def restore(self, state: Mapping[str, Any]) -> None: ...


class FileSource(Generic[R]):
    """Records of one file; the base of :class:`ReadingSource` and :class:`EventSource`.

    Its state is a checkpoint at which no row waited for its arrival, and how many rows were given
    since. So nothing of the rows themselves need be kept, and a source can go on after any row.
    """

    def __init__(
        self,
        path: str,
        columns: Columns,
        normaliser: _Normaliser[R],
        name: str,
        state: Mapping[str, Any] | None,
        numbers: tuple[str, ...] = (),
        nested: tuple[str, ...] = (),
        multiline: bool = False,
    ) -> None:
        self.path = path
        self.name = name
        self._normaliser: _Normaliser[R] = normaliser
        self._skip = 0
        self._drop = 0
        if state is not None:
            self._skip, self._drop = int(state["position"]), int(state["drop"])
            normaliser.restore(state["normaliser"])
        self._reader = open_rows(
            path,
            columns,
            skip_rows=self._skip,
            numbers=numbers,
            nested=nested,
            multiline=multiline,
        )
        self._base: dict[str, Any] = self._checkpoint(self._skip)
        self._before = 0  # rows given since the checkpoint, before the last record
        self._given = 0
        self._records: Iterator[R] = self._read()

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

    def __iter__(self) -> Iterator[R]:
        while (record := self.next_record()) is not None:
            yield record

    def next_record(self) -> R | None:
        """Return the next record; None at the end of the file."""
        for record in self._records:
            rows = len(record) if isinstance(record, ReadingBlock) else 1
            self._before = self._given
            self._given += rows
            if self._drop >= rows:
                self._drop -= rows
                continue
            if self._drop:
                assert isinstance(record, ReadingBlock)
                self._before += self._drop
                record, self._drop = record.slice(self._drop, rows), 0
            return record
        self._before = self._given
        return None

    def state(self, used: int) -> dict[str, Any]:
        """Return a state that goes on after the first `used` rows of the record given last."""
        return {**self._base, "drop": self._before + used}

    def _checkpoint(self, position: int) -> dict[str, Any]:
        return {"position": position, "drop": 0, "normaliser": self._normaliser.state()}

    def _read(self) -> Iterator[R]:
        for rows in self._reader:
            if rows.start <= self._skip:
                if rows.start + len(rows) - 1 <= self._skip:
                    continue
                rows = rows.drop(self._skip + 1 - rows.start)
            if self._normaliser.held == 0:
                self._base, self._given = self._checkpoint(rows.start - 1), 0
            yield from self._normaliser.feed(rows)
        yield from self._normaliser.finish()


class ReadingSource(FileSource[ReadingBlock]):
    """Reading blocks of one file.

    Parameters
    ----------
    path : str
        File (CSV, CSV.gz, Parquet, NDJSON, NDJSON.gz, Arrow IPC), or ``-`` for stdin.
    directory : Directory
        Ids, zones and intervals of meters; may grow while reading.
    name : str, optional
        Name in counts and quarantine; default `path`.
    rules : ArrivalRules
    earliest_ns, latest_ns : int
        Stamps outside are ``TIME_OUT_OF_RANGE``.
    state : mapping, optional
        A state of an earlier source of the same file to go on from.

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
        name = path if name is None else name
        normaliser = Normaliser(
            name, directory, rules=rules, earliest_ns=earliest_ns, latest_ns=latest_ns
        )
        super().__init__(path, READINGS, normaliser, name, state, numbers=("value",))


class EventSource(FileSource[Event]):
    """Events of one file; parameters as of :class:`ReadingSource`."""

    def __init__(
        self,
        path: str,
        directory: Directory,
        *,
        name: str | None = None,
        rules: ArrivalRules = EVENT_RULES,
        earliest_ns: int = EARLIEST_NS,
        latest_ns: int = LATEST_NS,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        name = path if name is None else name
        normaliser = EventNormaliser(
            name, directory, rules=rules, earliest_ns=earliest_ns, latest_ns=latest_ns
        )
        super().__init__(path, EVENTS, normaliser, name, state, nested=("attrs",), multiline=True)
