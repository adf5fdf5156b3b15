"""Column data to a file, by its extension: CSV, CSV.gz, NDJSON, NDJSON.gz, Parquet, Arrow IPC."""

from __future__ import annotations

import gzip
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol, Self

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from connectors.errors import InputError
from connectors.files import format_of

_LINES = msgspec.json.Encoder()


@contextmanager
def writing(path: str) -> Iterator[None]:
    """Turn errors of the file system into one that says what to do.

    Raises
    ------
    InputError
        If the file cannot be written (no permission, no folder, no space).
    """
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise InputError(
            path, f"cannot be written ({reason})", do="free space, or choose another place"
        ) from error


def csv_header(names: list[str]) -> bytes:
    """Return the header line of a CSV file."""
    return (",".join(names) + "\n").encode()


def csv_bytes(batch: pa.RecordBatch) -> bytes:
    """Return rows as CSV lines without header; a line end inside a text becomes a backslash and n."""
    columns = []
    for column in batch.columns:
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if (
            column.type == pa.string()
            and pc.any(pc.match_substring_regex(column, "[\r\n]")).as_py()
        ):
            column = pc.replace_substring(pc.replace_substring(column, "\r", ""), "\n", "\\n")
        columns.append(column)
    plain = pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
    try:
        return _csv(plain, "none")
    except pa.ArrowInvalid:  # a value holds a comma or a quote
        return _csv(plain, "needed")


def _csv(batch: pa.RecordBatch, quoting: str) -> bytes:
    out = io.BytesIO()
    options = pcsv.WriteOptions(include_header=False, quoting_style=quoting)
    pcsv.write_csv(batch, out, options)
    return out.getvalue()


def ndjson_bytes(batch: pa.RecordBatch) -> bytes:
    """Return rows as JSON lines; NaN becomes null."""
    rows = batch.to_pylist()
    return b"".join(_LINES.encode(row) + b"\n" for row in rows)


class _Sink(Protocol):
    def write(self, batch: pa.RecordBatch) -> None: ...
    def close(self) -> None: ...


class _TextSink:
    def __init__(self, file: IO[bytes], kind: str, schema: pa.Schema, owned: bool) -> None:
        self._below = file
        # A fixed time keeps the bytes a function of the content.
        packed = kind.endswith(".gz")
        self._file: Any = gzip.GzipFile("", "wb", 6, file, mtime=0) if packed else file
        self._csv = kind.startswith("csv")
        self._owned = owned
        if self._csv:
            self._file.write(csv_header(schema.names))

    def write(self, batch: pa.RecordBatch) -> None:
        self._file.write(csv_bytes(batch) if self._csv else ndjson_bytes(batch))

    def close(self) -> None:
        if self._file is not self._below:
            self._file.close()
        self._below.flush()
        if self._owned:
            self._below.close()


class _ParquetSink:
    def __init__(self, file: IO[bytes], schema: pa.Schema) -> None:
        self._file = file
        self._writer = pq.ParquetWriter(file, schema, compression="zstd")

    def write(self, batch: pa.RecordBatch) -> None:
        self._writer.write_batch(batch)

    def close(self) -> None:
        self._writer.close()
        self._file.close()


class _IpcSink:
    def __init__(self, file: IO[bytes], schema: pa.Schema) -> None:
        self._file = file
        # Dictionaries may grow from batch to batch, which only deltas can say in a file.
        options = pa.ipc.IpcWriteOptions(unify_dictionaries=False, emit_dictionary_deltas=True)
        self._writer = pa.ipc.new_file(file, schema, options=options)

    def write(self, batch: pa.RecordBatch) -> None:
        self._writer.write_batch(batch)

    def close(self) -> None:
        self._writer.close()
        self._file.close()


class RowWriter:
    """Writes record batches to a file, which appears under its name only when complete.

    Parameters
    ----------
    path : str
        A file; ``-`` is stdout, as CSV.
    schema : pyarrow.Schema
        Of all batches.

    Raises
    ------
    InputError
        If the extension names no format or the file cannot be written.
    """

    def __init__(self, path: str, schema: pa.Schema) -> None:
        self.path = path
        self.schema = schema
        self._part: Path | None = None
        kind = "csv" if path == "-" else format_of(path)
        if kind == "xlsx":
            raise InputError(path, "xlsx is read, not written", wanted="CSV or Parquet")
        with writing(path):
            if path == "-":
                self._sink: _Sink = _TextSink(sys.stdout.buffer, kind, schema, owned=False)
                return
            self._part = Path(path + ".part")
            file = self._part.open("wb")
            if kind == "parquet":
                self._sink = _ParquetSink(file, schema)
            elif kind == "ipc":
                self._sink = _IpcSink(file, schema)
            else:
                self._sink = _TextSink(file, kind, schema, owned=True)

    def write(self, batch: pa.RecordBatch) -> None:
        """Write some rows."""
        with writing(self.path):
            self._sink.write(batch)

    def close(self) -> None:
        """Complete the file and give it its name."""
        with writing(self.path):
            self._sink.close()
            if self._part is not None:
                self._part.replace(self.path)

    def abandon(self) -> None:
        """Leave no file behind."""
        if self._part is not None:
            self._part.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abandon()


def write_table(path: str, table: pa.Table) -> None:
    """Write a whole table.

    Raises
    ------
    InputError
        If the extension names no format or the file cannot be written.
    """
    with RowWriter(path, table.schema) as out:
        for batch in table.to_batches():
            out.write(batch)
