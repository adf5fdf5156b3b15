"""Several sources as one log: by arrival, then order given, then row; lazily."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from connectors.errors import InputError
from connectors.records import LogRecord, ReadingBlock
from connectors.sources import Source

_END = int(np.iinfo(np.int64).max)


class _Head:
    """The record that a source shows next, and how much of it was used."""

    __slots__ = ("at", "record", "source", "start")

    def __init__(self, source: Source) -> None:
        self.source = source
        self.start = 0
        self.record: LogRecord | None = None
        self.at = _END

    def pull(self) -> None:
        """Look at the source's next record."""
        self.record = self.source.next_record()
        self.start = 0
        self._look()

    def take(self, until: int, inclusive: bool, most: int) -> LogRecord:
        """Take rows that arrive before `until` (or at it), at most `most`, at least one."""
        record = self.record
        assert record is not None
        if not isinstance(record, ReadingBlock):
            self.start = 1
            return record
        stop = len(record)
        if until != _END:
            # First row that arrives after `until`, or at it.
            stop = int(np.searchsorted(record.arrival_ns, until + inclusive))
        stop = min(max(stop, self.start + 1), self.start + most, len(record))
        piece = record
        if self.start or stop < len(record):
            piece = record.slice(self.start, stop)
        self.start = stop
        self._look()
        return piece

    @property
    def used_up(self) -> bool:
        """Whether nothing of the record is left."""
        return self.start >= (len(self.record) if isinstance(self.record, ReadingBlock) else 1)

    def _look(self) -> None:
        record = self.record
        if record is None:
            self.at = _END
        elif not isinstance(record, ReadingBlock):
            self.at = record.arrival_ns
        elif self.start < len(record):
            self.at = int(record.arrival_ns[self.start])


class Log:
    """One stream of log records from several sources.

    Records are ordered by (arrival, order of the sources, row). Blocks are cut where another
    source has its say, and to at most `block_rows` rows; their content does not depend on it.

    Parameters
    ----------
    sources : sequence of Source
        In the order given by the user; their names must differ.
    block_rows : int, optional
        Most rows of a block.
    """

    def __init__(self, sources: Sequence[Source], *, block_rows: int | None = None) -> None:
        names = [s.name for s in sources]
        if twice := sorted({n for n in names if names.count(n) > 1}):
            raise InputError(twice[0], "is given twice", do="name each input once")
        if block_rows is not None and block_rows < 1:
            raise ValueError(f"block_rows must be at least 1, got {block_rows}")
        self.sources = tuple(sources)
        self._most = _END if block_rows is None else block_rows
        self._heads: list[_Head] | None = None

    def limit(self, block_rows: int) -> None:
        """Give at most so many rows a block from now on."""
        self._most = block_rows

    def __iter__(self) -> Iterator[LogRecord]:
        while (record := self.next_record()) is not None:
            yield record

    def next_record(self) -> LogRecord | None:
        """Return the next record; None when all sources have ended."""
        if self._heads is None:
            self._heads = [_Head(s) for s in self.sources]
            for head in self._heads:
                head.pull()
        for head in self._heads:
            if head.record is not None and head.used_up:
                head.pull()
        first = min(range(len(self._heads)), key=self._key, default=None)
        if first is None or self._heads[first].record is None:
            return None
        others = [i for i in range(len(self._heads)) if i != first]
        rival = min(others, key=self._key, default=None)
        until = _END if rival is None else self._heads[rival].at
        inclusive = rival is not None and first < rival
        return self._heads[first].take(until, inclusive, self._most)

    def _key(self, i: int) -> tuple[int, int]:
        assert self._heads is not None
        return self._heads[i].at, i

    @property
    def problems(self) -> tuple[InputError, ...]:
        """What kept sources from being read to their end; look after the last record."""
        return tuple(p for s in self.sources if (p := s.problem) is not None)

    def progress(self) -> tuple[float, bool]:
        """Return (share of the input read, from 0 to 1; whether every size is known)."""
        shares = []
        for source in self.sources:
            done, total = source.progress()
            shares.append((min(done, total), total) if total is not None else None)
        if not shares or None in shares:
            return 0.0, False
        # Sources count in bytes or rows; without a common unit each has the same weight.
        parts = [d / t if t else 1.0 for d, t in (s for s in shares if s is not None)]
        return sum(parts) / len(parts), True

    def state(self) -> dict[str, dict[str, Any]]:
        """Return the state after the record given last, by source name.

        Give ``state[name]`` to a new source of that name, and the log goes on with the next row.
        Values are numpy arrays or JSON-able.
        """
        if self._heads is None:
            return {s.name: s.state(0) for s in self.sources}
        return {h.source.name: h.source.state(h.start) for h in self._heads}

    def close(self) -> None:
        """Close all sources."""
        for source in self.sources:
            source.close()


def source_state(
    state: Mapping[str, Mapping[str, Any]] | None, name: str
) -> Mapping[str, Any] | None:
    """Return the state of one source, or None to start from its first row.

    Raises
    ------
    InputError
        If the state is of a run with other inputs.
    """
    if state is None:
        return None
    if name not in state:
        raise InputError(
            name, "was not an input of the run to go on with", wanted=", ".join(state),
            do="give the same inputs, or start anew",
        )  # fmt: skip
    return state[name]
