"""What lies in a shard's log on Kafka: blocks of readings, events, ticks, rules to come.

Ids are text there, never rows of somebody's registry, so that a log outlives every registry. The
first byte is the version of the format: a newer one is refused by name, not guessed at.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from connectors.ids import IdMap
from connectors.records import Activation, Fault, LogRecord, ReadingBlock
from engine.journal import decode, encode
from engine.store.activations import Announced

VERSION = 1
SCHEMA = pa.schema(
    [
        ("position", pa.int64()),
        ("meter_id", pa.string()),
        ("ts", pa.timestamp("ns", "UTC")),
        ("value", pa.float64()),
        ("arrival", pa.timestamp("ns", "UTC")),
    ]
)
"""Columns of a block; ``position`` is the row's place in its source."""
_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")


class WireError(ValueError):
    """A message of the log cannot be read."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A block of readings as it lies in the log.

    Parameters
    ----------
    source : str
        Where the rows came from.
    rows : pyarrow.RecordBatch
        Columns of :data:`SCHEMA`.
    """

    source: str
    rows: pa.RecordBatch

    def block(self, meters: IdMap, first: int) -> ReadingBlock:
        """Return the block for a shard that knows these meters.

        Parameters
        ----------
        first : int
            Position of the first row among the source's rows in this shard.
        """
        meter = meters.lookup(self.rows.column(1))
        n = len(meter)
        fault = np.where(meter < 0, np.uint8(Fault.UNKNOWN_METER), np.uint8(Fault.OK))
        return ReadingBlock(
            self.source,
            np.arange(first, first + n, dtype=np.int64),
            meter,
            _int64(self.rows.column(2)),
            self.rows.column(3).to_numpy(zero_copy_only=False),
            _int64(self.rows.column(4)),
            fault.astype(np.uint8),
            self.rows,
        )


def pack_readings(source: str, rows: pa.RecordBatch) -> bytes:
    """Return a message with readings (columns of :data:`SCHEMA`)."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, SCHEMA, options=_OPTIONS) as writer:
        writer.write_batch(rows)
    body = msgspec.msgpack.encode(["packed", source, memoryview(sink.getvalue())])
    return bytes([VERSION]) + body


def pack(record: LogRecord | Announced) -> bytes:
    """Return a message with anything else that a log holds."""
    if isinstance(record, Announced):
        body = msgspec.msgpack.encode(["announced", record.seq, encode(record.record)])
        return bytes([VERSION]) + body
    return bytes([VERSION]) + encode(record)


def unpack(message: bytes) -> Packed | LogRecord | Announced:
    """Return what a message holds.

    Raises
    ------
    WireError
        If a newer program wrote it, or nobody who knows the format.
    """
    if not message or message[0] > VERSION:
        version = message[0] if message else "nothing"
        raise WireError(
            f"message of the log: format {version}, this program knows up to {VERSION}; "
            "start the newer program"
        )
    try:
        body = memoryview(message)[1:]
        # The kind is the first item: look at it without decoding the rest.
        if bytes(body[1:8]) == b"\xa6packed":
            _, source, data = msgspec.msgpack.decode(body, type=tuple[str, str, memoryview])
            with pa.ipc.open_stream(pa.py_buffer(data)) as reader:
                return Packed(source, reader.read_next_batch())
        if bytes(body[1:11]) == b"\xa9announced":
            _, seq, activation = msgspec.msgpack.decode(body, type=tuple[str, int, bytes])
            record = decode(activation)
            assert isinstance(record, Activation)
            return Announced(seq, record)
        return decode(bytes(body))
    except (msgspec.DecodeError, pa.ArrowInvalid, ValueError, KeyError, TypeError) as error:
        raise WireError(
            f"message of the log: cannot be read ({error}); who else writes to this topic?"
        ) from error


def _int64(column: pa.Array) -> NDArray[np.int64]:
    values: NDArray[np.int64] = column.cast(pa.int64()).to_numpy(zero_copy_only=False)
    return values
