"""Any file as rows, by its extension; and column data to any file."""

from __future__ import annotations

from pathlib import Path

from connectors.arrow_rows import BATCH_ROWS, IpcRows, ParquetRows
from connectors.csv_rows import CsvRows
from connectors.errors import InputError, did_you_mean
from connectors.json_rows import JsonRows
from connectors.rows import Columns, RowReader
from connectors.streams import ByteSource, check_readable

READINGS = Columns("readings", ("meter_id", "ts", "value"))
EVENTS = Columns("events", ("event_id", "ts", "kind"), ("subject_id", "place", "attrs"))

FORMATS = {
    ".csv": "csv",
    ".csv.gz": "csv.gz",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".ndjson.gz": "ndjson.gz",
    ".jsonl.gz": "ndjson.gz",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "ipc",
    ".ipc": "ipc",
    ".feather": "ipc",
    ".xlsx": "xlsx",
}


def format_of(path: str) -> str:
    """Return the format that a file's extension names.

    Raises
    ------
    InputError
        If it names none.

    Examples
    --------
    >>> format_of("readings.CSV.gz")
    'csv.gz'
    """
    name = Path(path).name.lower()
    suffixes = Path(name).suffixes
    for end in ("".join(suffixes[-2:]), "".join(suffixes[-1:])):
        if end in FORMATS:
            return FORMATS[end]
    extension = suffixes[-1] if suffixes else "no extension"
    raise InputError(
        path, "unknown kind of file", got=extension, wanted=", ".join(FORMATS),
        do=did_you_mean(extension, list(FORMATS)) or "rename the file or convert it",
    )  # fmt: skip


def open_rows(
    path: str,
    columns: Columns,
    *,
    skip_rows: int = 0,
    batch_rows: int = BATCH_ROWS,
    numbers: tuple[str, ...] = (),
    nested: tuple[str, ...] = (),
    multiline: bool = False,
) -> RowReader:
    """Open a file as rows.

    Parameters
    ----------
    path : str
        A file, or ``-`` for stdin: NDJSON if it starts with ``{``, else CSV.
    columns : Columns
        What to find in it.
    skip_rows : int
        Rows to leave out, without decoding them where possible. Some may still be given; callers
        drop them by :attr:`RawRows.start`.
    numbers, nested, multiline
        See :class:`connectors.json_rows.JsonRows` and :class:`connectors.csv_rows.CsvRows`.

    Raises
    ------
    InputError
        If the file cannot be used at all. What breaks later on ends the iteration and shows in
        the reader's `problem`; rows before it are good.
    """
    if path == "-":
        return _open_stdin(columns, numbers, nested, multiline)
    if Path(path).exists():
        check_readable(Path(path))  # a folder has no extension to speak of
    kind = format_of(path)
    if kind == "parquet":
        return ParquetRows(path, columns, skip_rows=skip_rows, batch_rows=batch_rows)
    if kind == "ipc":
        return IpcRows(path, columns, skip_rows=skip_rows)
    if kind == "xlsx":
        raise InputError(path, f"{columns.what} cannot be read from xlsx", wanted="CSV or Parquet")
    source = ByteSource(path, gzip=kind.endswith(".gz"))
    try:
        if kind.startswith("csv"):
            return CsvRows(source, columns, multiline=multiline, skip_rows=skip_rows)
        return JsonRows(source, columns, numbers=numbers, nested=nested, skip_rows=skip_rows)
    except InputError:
        source.close()
        raise


def _open_stdin(
    columns: Columns, numbers: tuple[str, ...], nested: tuple[str, ...], multiline: bool
) -> RowReader:
    source = ByteSource("-")
    if source.starts_with(b"{"):
        return JsonRows(source, columns, numbers=numbers, nested=nested)
    return CsvRows(source, columns, multiline=multiline)
