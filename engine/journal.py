"""The embedded log on disk: every record before it is fed, so that a restart can go on.

One file of length-prefixed frames, each with its own checksum. A frame that was cut off by a crash
is dropped on opening: its record had not been fed.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from connectors.records import (
    Activation,
    Event,
    Fault,
    LogRecord,
    Outcome,
    PriceRecord,
    ReadingBlock,
    Tick,
)

_HEAD = struct.Struct("<II")
_COLUMNS = ("position", "meter", "ts_ns", "value", "arrival_ns", "fault")


class JournalError(OSError):
    """The log cannot be written or read."""


class Journal:
    """An append-only log of records.

    Parameters
    ----------
    path : Path
        File; made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b")
        except OSError as error:
            raise JournalError(f"{path}: cannot be written: {error.strerror}") from None
        self.count = 0
        good = 0
        for end, _ in self._frames(0):
            good = end
            self.count += 1
        self._file.truncate(good)
        self._file.seek(0, os.SEEK_END)

    def append(self, record: LogRecord) -> int:
        """Write a record durably; return its offset (records before it)."""
        body = encode(record)
        try:
            self._file.write(_HEAD.pack(len(body), zlib.crc32(body)) + body)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise JournalError(
                f"{self.path}: cannot be written: {error.strerror}; nothing was processed that is "
                "not in it; free some space and start again"
            ) from None
        self.count += 1
        return self.count - 1

    def read(self, after: int = 0) -> Iterator[LogRecord]:
        """Yield the records from an offset on."""
        for i, (_, body) in enumerate(self._frames(0)):
            if i >= after:
                yield decode(body)

    def _frames(self, start: int) -> Iterator[tuple[int, bytes]]:
        with self.path.open("rb") as file:
            file.seek(start)
            begin = file.tell()
            while len(head := file.read(_HEAD.size)) == _HEAD.size:
                size, checksum = _HEAD.unpack(head)
                body = file.read(size)
                if len(body) < size:
                    return  # cut off while it was written
                if zlib.crc32(body) != checksum:
                    if not file.read(1):
                        return  # the last one: not all of it reached the disk
                    raise JournalError(
                        f"{self.path}: is damaged at byte {begin:,}, with records behind it; put "
                        "it back from a backup: going on without them would lose readings"
                    )
                begin = file.tell()
                yield begin, body

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def encode(record: LogRecord) -> bytes:
    """Return a record as bytes that :func:`decode` takes."""
    if isinstance(record, ReadingBlock):
        columns = [pa.array(getattr(record, name)) for name in _COLUMNS]
        batch = pa.record_batch(columns, names=list(_COLUMNS))
        raw = b"" if record.raw is None else _ipc(record.raw)
        body: Any = ["readings", record.source, _ipc(batch), raw]
    elif isinstance(record, Event):
        fields = [getattr(record, f) for f in Event.__slots__]
        fields[Event.__slots__.index("fault")] = int(record.fault)
        body = ["event", *fields]
    else:
        names = type(record).__slots__
        body = [type(record).__name__.lower(), *(getattr(record, n) for n in names)]
    return msgspec.msgpack.encode(body)


def decode(body: bytes) -> LogRecord:
    """Return the record of :func:`encode`."""
    kind, *rest = msgspec.msgpack.decode(body)
    if kind == "readings":
        source, columns, raw = rest
        batch = _batch(columns)
        arrays = {name: np.asarray(batch.column(name)) for name in _COLUMNS}
        return ReadingBlock(source, **arrays, raw=_batch(raw) if raw else None)
    if kind == "event":
        values = dict(zip(Event.__slots__, rest, strict=True))
        return Event(**{**values, "fault": Fault(values["fault"])})
    plain: dict[str, Any] = {
        "outcome": Outcome,
        "tick": Tick,
        "activation": Activation,
        "pricerecord": PriceRecord,
    }
    record: LogRecord = plain[kind](*rest)
    return record


def _ipc(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def _batch(data: bytes) -> pa.RecordBatch:
    with pa.ipc.open_stream(data) as reader:
        return reader.read_next_batch()
