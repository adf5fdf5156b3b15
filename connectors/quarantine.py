"""Rows that could not be processed, with the reason, in a file that can be mended and fed again.

Readings keep their columns ``meter_id, ts, value`` as they were; readers ignore the others. Events
go to a file of their own beside it (``quarantine.events.csv``).
"""

from __future__ import annotations

import json
import os
import sys
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from connectors.columns import plain_text
from connectors.errors import InputError
from connectors.files import format_of, open_rows
from connectors.records import Event, Fault, ReadingBlock
from connectors.refusals import details
from connectors.rows import DETAIL, RAW, Columns
from connectors.writers import RowWriter, csv_bytes, csv_header, ndjson_bytes, writing

_READING = ("meter_id", "ts", "value")
_EVENT = ("event_id", "ts", "kind", "subject_id", "place", "attrs")
_WHY = ("source", "position", "reason", DETAIL, RAW)
_REASONS = pa.array([f.name.lower() for f in Fault])


def _schema(names: tuple[str, ...]) -> pa.Schema:
    return pa.schema([(n, pa.int64() if n == "position" else pa.string()) for n in (*names, *_WHY)])


class _Lines:
    """Appends lines to a file and can go on from a recorded length.

    Parquet and Arrow cannot be cut, so their rows are gathered as NDJSON beside the file and
    turned into it at the end.
    """

    def __init__(self, path: str, names: tuple[str, ...], resume: Mapping[str, int] | None) -> None:
        self.path = path
        self.rows = 0 if resume is None else int(resume["rows"])
        self._schema = _schema(names)
        kind = "csv" if path == "-" else format_of(path)
        if kind == "xlsx":
            raise InputError(path, "quarantine cannot be xlsx", wanted="CSV, NDJSON or Parquet")
        self._columnar = kind in ("parquet", "ipc")
        self._csv = kind.startswith("csv")
        self._packed = kind.endswith(".gz")
        self._lines = Path(path + ".ndjson") if self._columnar else Path(path)
        with writing(path):
            self._file = self._open(resume)

    def _open(self, resume: Mapping[str, int] | None) -> IO[bytes]:
        if self.path == "-":
            sys.stdout.buffer.write(csv_header(self._schema.names))
            return sys.stdout.buffer
        if resume is not None and self._columnar and not self._lines.exists():
            self._reopen()
        if resume is not None and self._lines.exists():
            size = self._lines.stat().st_size
            want = int(resume["bytes"])
            if size < want:
                raise InputError(
                    str(self._lines), "is shorter than when it was left",
                    got=f"{size:,} bytes", wanted=f"{want:,}", do="start anew without it",
                )  # fmt: skip
            file: IO[bytes] = self._lines.open("r+b")
            file.truncate(want)
            file.seek(want)
            return file
        if resume is not None and self.rows:
            raise InputError(str(self._lines), "is gone", do="put it back, or start anew")
        file = self._lines.open("wb")
        if self._csv:
            file.write(self._pack(csv_header(self._schema.names)))
        return file

    def _reopen(self) -> None:
        """Turn a completed columnar file back into lines."""
        if not Path(self.path).exists():
            return
        reader = open_rows(self.path, Columns("rows", tuple(self._schema.names)))
        with self._lines.open("wb") as out:
            for rows in reader:
                out.write(ndjson_bytes(rows.batch.select(self._schema.names)))
        reader.close()

    def _pack(self, data: bytes) -> bytes:
        if not self._packed:
            return data
        # One gzip member a write: members can be cut off at the end.
        member = zlib.compressobj(6, zlib.DEFLATED, 31)
        return member.compress(data) + member.flush()

    def write(self, columns: list[pa.Array]) -> None:
        batch = pa.RecordBatch.from_arrays(columns, schema=self._schema)
        with writing(self.path):
            self._file.write(self._pack(csv_bytes(batch) if self._csv else ndjson_bytes(batch)))
        self.rows += batch.num_rows

    def offset(self) -> dict[str, int]:
        with writing(self.path):
            self._file.flush()
            if self.path == "-":
                return {"bytes": 0, "rows": self.rows}
            os.fsync(self._file.fileno())
            return {"bytes": self._file.tell(), "rows": self.rows}

    def close(self) -> None:
        with writing(self.path):
            self._file.flush()
            if self.path == "-":
                return
            self._file.close()
        if not self._columnar:
            return
        with RowWriter(self.path, self._schema) as out:
            if self.rows:
                numbers = ("position",)
                reader = open_rows(
                    str(self._lines), Columns("rows", tuple(self._schema.names)), numbers=numbers
                )
                for rows in reader:
                    out.write(rows.batch.select(self._schema.names).cast(self._schema))
                reader.close()
        self._lines.unlink()


class QuarantineWriter:
    """Writes rows with a fault; without a path it only counts them.

    Parameters
    ----------
    path : str, optional
        CSV, NDJSON (both also .gz), Parquet or Arrow IPC by extension; ``-`` is stdout.
    resume : mapping, optional
        An :meth:`offset` of an earlier writer of the same file: what was written after it is cut
        off, so rows written again are there once.

    Raises
    ------
    InputError
        If the file cannot be written, or is shorter than at `resume`.
    """

    def __init__(self, path: str | None, *, resume: Mapping[str, Any] | None = None) -> None:
        self.path = path
        self.rows = 0
        self._readings: _Lines | None = None
        self._events: _Lines | None = None
        if path is None:
            return
        resume = resume or {}
        self._readings = _Lines(path, _READING, resume.get("readings"))
        self.rows = self._readings.rows
        if resume.get("events"):
            self._events = _Lines(self._events_path(), _EVENT, resume["events"])
            self.rows += self._events.rows

    def _events_path(self) -> str:
        assert self.path is not None
        if self.path == "-":
            return "-"
        name = Path(self.path).name
        stem, _, extensions = name.partition(".")
        return str(Path(self.path).with_name(f"{stem}.events.{extensions}"))

    def block(self, block: ReadingBlock, fault: NDArray[np.uint8] | None = None) -> int:
        """Write the rows of a block that have a fault; return how many.

        Parameters
        ----------
        fault : ndarray of uint8, shape (n,), optional
            Faults as they finally are; default those of the block.
        """
        faults = block.fault if fault is None else fault
        bad = np.flatnonzero(faults)
        if len(bad) == 0:
            return 0
        self.rows += len(bad)
        if self._readings is not None:
            if block.raw is None:
                raise ValueError(f"{block.source}: a block without raw columns")
            raw = block.raw.take(pa.array(bad))
            texts = [plain_text(raw.column(name)) for name in _READING]
            self._readings.write(
                [
                    *texts,
                    pa.array([block.source] * len(bad), pa.string()),
                    pa.array(block.position[bad], pa.int64()),
                    _REASONS.take(pa.array(faults[bad])),
                    details(faults[bad], raw),
                    _column(raw, RAW),
                ]
            )
        return len(bad)

    def event(self, event: Event) -> None:
        """Write an event that has a fault."""
        self.rows += 1
        if self.path is None:
            return
        if self._events is None:
            self._events = _Lines(self._events_path(), _EVENT, None)
        raw = event.raw if event.raw is not None else _columns_of(event)
        values: list[Any] = [raw.get(name) for name in _EVENT]
        reason = event.fault.name.lower()
        values += [event.source, event.position, reason, event.detail, raw.get(RAW)]
        self._events.write(
            [
                pa.array([value], field.type)
                for value, field in zip(values, _schema(_EVENT), strict=True)
            ]
        )

    def offset(self) -> dict[str, Any]:
        """Make all rows so far durable and return where they end; JSON-able."""
        return {
            "readings": self._readings.offset() if self._readings else None,
            "events": self._events.offset() if self._events else None,
        }

    def close(self) -> None:
        """Complete the files."""
        for lines in (self._readings, self._events):
            if lines is not None:
                lines.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _column(batch: pa.RecordBatch, name: str) -> pa.StringArray:
    if name in batch.schema.names:
        return batch.column(name)
    return pa.nulls(batch.num_rows, pa.string())


def _columns_of(event: Event) -> dict[str, str | None]:
    """Return the columns of an event that was faultless when it was read."""
    return {
        "event_id": event.event_id,
        "ts": str(np.datetime64(event.ts_ns, "ns")) + "Z",
        "kind": event.kind,
        "subject_id": event.subject_id,
        "place": event.place,
        "attrs": json.dumps(dict(event.attrs), ensure_ascii=False),
    }
