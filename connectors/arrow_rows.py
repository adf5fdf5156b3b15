"""Parquet and Arrow IPC as rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from connectors.errors import InputError
from connectors.rows import Columns, RawRows
from connectors.streams import check_readable

BATCH_ROWS = 65_536
_DICTIONARY_BYTES = 400_000
"""Dictionary pages up to this size are read as dictionaries; Arrow rebuilds larger ones per batch,
which costs more than reading plain strings (measured: 4 against 21 million rows/s)."""
_BUFFER_BYTES = 1 << 20
_REDO = "copy the file anew and feed it again"


class ParquetRows:
    """Rows of a Parquet file (see :class:`connectors.rows.RowReader`)."""

    def __init__(
        self, path: str, columns: Columns, *, skip_rows: int = 0, batch_rows: int = BATCH_ROWS
    ) -> None:
        check_readable(Path(path))
        self.name = path
        self.problem: InputError | None = None
        self._skip = skip_rows
        self._batch_rows = batch_rows
        try:
            plain = _opened(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise _no_parquet(path, columns, error) from None
        self._wanted = columns.choose(path, plain.schema_arrow.names)
        self._total = int(plain.metadata.num_rows)
        self._done = 0
        encode = [c for c in self._wanted if _small_dictionary(plain, c)]
        self._file = plain
        if encode:
            plain.close()
            self._file = _opened(path, encode)

    def __iter__(self) -> Iterator[RawRows]:
        meta = self._file.metadata
        groups = list(range(meta.num_row_groups))
        row = 0
        while groups and row + meta.row_group(groups[0]).num_rows <= self._skip:
            row += meta.row_group(groups.pop(0)).num_rows
        try:
            for batch in self._file.iter_batches(
                self._batch_rows, row_groups=groups, columns=self._wanted, use_threads=False
            ):
                rows = RawRows(row + 1, batch.select(self._wanted))
                row += len(rows)
                self._done = row
                if row > self._skip:
                    early = max(0, self._skip + 1 - rows.start)
                    yield rows.drop(early) if early else rows
        except (pa.ArrowInvalid, OSError) as error:
            self.problem = InputError(
                self.name, f"is damaged after row {row:,} of {self._total:,} ({error})", do=_REDO
            )

    def progress(self) -> tuple[int, int | None]:
        """Return rows read and in all."""
        return self._done, self._total

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _opened(path: str, encode: Sequence[str] | None = None) -> pq.ParquetFile:
    # Buffering ahead would keep the whole file in memory until the reader is closed, and takes
    # twice the time (measured: 0.7 GB after 72 million rows); without a buffer of its own a reader
    # takes in whole columns of a row group, however large the writer made it.
    return pq.ParquetFile(path, read_dictionary=encode, pre_buffer=False, buffer_size=_BUFFER_BYTES)


class IpcRows:
    """Rows of an Arrow IPC file or stream (see :class:`connectors.rows.RowReader`).

    A file whose end is missing is read as the stream that it contains, up to the break.
    """

    def __init__(self, path: str, columns: Columns, *, skip_rows: int = 0) -> None:
        check_readable(Path(path))
        self.name = path
        self.problem: InputError | None = None
        self._skip = skip_rows
        self._file = pa.memory_map(path)
        self._total = int(self._file.size())
        self._done = 0
        try:
            self._reader = self._open(columns)
            self._wanted = columns.choose(path, self._reader.schema.names)
        except (pa.ArrowInvalid, OSError) as error:
            self.close()
            got = "an empty file" if self._total == 0 else str(error)
            raise InputError(path, "is not Arrow IPC", got=got, do=_REDO) from None
        except InputError:
            self.close()
            raise

    def _open(self, columns: Columns) -> pa.ipc.RecordBatchStreamReader:
        del columns
        magic = self._file.read(8) if self._total >= 8 else b""
        if not magic.startswith(b"ARROW1"):
            self._file.seek(0)
        elif self._total < 16 or self._file.read_at(6, self._total - 6) != b"ARROW1":
            self.problem = InputError(
                self.name, "breaks off: the Arrow footer is missing", wanted="a complete file",
                do=f"rows before the break were used; {_REDO}",
            )  # fmt: skip
        return pa.ipc.open_stream(self._file)

    def __iter__(self) -> Iterator[RawRows]:
        row = 0
        while True:
            try:
                batch = self._reader.read_next_batch()
            except StopIteration:
                return
            except (pa.ArrowInvalid, OSError) as error:
                self.problem = self.problem or InputError(
                    self.name, f"is damaged after row {row:,} ({error})", do=_REDO
                )
                return
            self._done = int(self._file.tell())
            # Writers choose the size of batches; a slice costs nothing, a huge block memory.
            for at in range(0, batch.num_rows, BATCH_ROWS):
                rows = RawRows(row + 1, batch.slice(at, BATCH_ROWS).select(self._wanted))
                row += len(rows)
                if row > self._skip:
                    early = max(0, self._skip + 1 - rows.start)
                    yield rows.drop(early) if early else rows

    def progress(self) -> tuple[int, int | None]:
        """Return bytes read and in all."""
        return self._done, self._total

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _small_dictionary(file: pq.ParquetFile, column: str) -> bool:
    """Whether a string column of the first row group has a dictionary worth keeping."""
    if file.metadata.num_row_groups == 0 or file.schema_arrow.field(column).type != pa.string():
        return False
    index = file.schema.names.index(column)
    chunk = file.metadata.row_group(0).column(index)
    if not chunk.has_dictionary_page or chunk.dictionary_page_offset is None:
        return False
    return bool(chunk.data_page_offset - chunk.dictionary_page_offset < _DICTIONARY_BYTES)


def _no_parquet(path: str, columns: Columns, error: Exception) -> InputError:
    with Path(path).open("rb") as file:
        head = file.read(4)
        size = file.seek(0, 2)
    if size == 0:
        wanted = f"Parquet with the columns {', '.join(columns.required)}"
        return InputError(path, "is empty", got="0 bytes", wanted=wanted, do=_REDO)
    if head == b"PAR1":
        return InputError(
            path, f"breaks off after {size:,} bytes: the Parquet footer is missing",
            wanted="a complete file",
            do=f"no row of it can be read; {_REDO}",
        )  # fmt: skip
    return InputError(path, "is not Parquet", got=str(error).splitlines()[0], wanted="Parquet")
