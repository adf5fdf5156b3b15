"""DataFrames in and out: pandas, polars and Arrow, whichever the caller has."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.feather

Kind: TypeAlias = Literal["pandas", "polars", "arrow"]


class FrameError(ValueError):
    """A table was given, or asked for, in a form that is not understood."""


def kind_of(data: object) -> Kind | None:
    """Return which library a table belongs to; None for anything else.

    Nothing is imported: a table of a library can only exist where the library is loaded.

    >>> kind_of(pa.table({"value": [1.0]})), kind_of("readings.csv")
    ('arrow', None)
    """
    if isinstance(data, pa.Table | pa.RecordBatch):
        return "arrow"
    pandas, polars = sys.modules.get("pandas"), sys.modules.get("polars")
    if pandas is not None and isinstance(data, pandas.DataFrame | pandas.Series):
        return "pandas"
    if polars is not None and isinstance(data, polars.DataFrame | polars.LazyFrame | polars.Series):
        return "polars"
    return None


def to_arrow(data: Any) -> pa.Table:
    """Return a table as Arrow, with plain strings and its index of time stamps as a column ``ts``.

    Parameters
    ----------
    data : pandas or polars DataFrame, LazyFrame or Series; pyarrow Table or RecordBatch

    Raises
    ------
    FrameError
        If it is none of these.
    """
    kind = kind_of(data)
    if kind == "pandas":
        table = _from_pandas(data)
    elif kind == "polars":
        lazy = getattr(data, "collect", None)
        data = data if lazy is None else lazy()
        table = data.to_arrow() if hasattr(data, "columns") else data.to_frame("value").to_arrow()
    elif kind == "arrow":
        table = pa.Table.from_batches([data]) if isinstance(data, pa.RecordBatch) else data
    else:
        raise FrameError(
            f"got {type(data).__name__}; wanted a DataFrame of pandas or polars, an Arrow table, "
            "or the path of a file"
        )
    return pa.table({name: _plain(table[name]) for name in table.column_names})


def _from_pandas(data: Any) -> pa.Table:
    import pandas as pd

    frame = data.to_frame(data.name or "value") if isinstance(data, pd.Series) else data
    if isinstance(frame.index, pd.DatetimeIndex):
        name = frame.index.name or "ts"
        frame = frame.rename_axis(name).reset_index()
    dicts = [c for c in frame.columns if frame[c].map(lambda x: isinstance(x, dict)).any()]
    texts = {c: frame[c].map(lambda x: _json(x) if isinstance(x, dict) else x) for c in dicts}
    return pa.Table.from_pandas(frame.assign(**texts), preserve_index=False)


def _json(record: dict[str, Any]) -> str:
    known = {k: v for k, v in record.items() if v is not None}
    return json.dumps(known, ensure_ascii=False, default=str)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column without dictionaries, large or viewed strings and structs (as JSON)."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _plain(column.cast(kind.value_type))
    if pa.types.is_large_string(kind) or kind == pa.string_view():
        return column.cast(pa.string())
    if pa.types.is_struct(kind):
        texts = [None if x is None else _json(x) for x in column.to_pylist()]
        return pa.chunked_array([pa.array(texts, pa.string())])
    return column


def on_local_clock(table: pa.Table) -> pa.Table:
    """Return a table whose stamps with a zone have become local time, as people there say it."""
    for i, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type) and field.type.tz is not None:
            table = table.set_column(i, field.name, pc.local_timestamp(table[field.name]))
    return table


def from_arrow(table: pa.Table, kind: Kind) -> Any:
    """Return an Arrow table as a table of `kind`.

    >>> from_arrow(pa.table({"value": [1.0]}), "pandas").shape
    (1, 1)

    Raises
    ------
    FrameError
        If the library is not installed, or there is no such kind.
    """
    if kind == "arrow":
        return table
    if kind not in ("pandas", "polars"):
        raise FrameError(f"kind: got {kind!r}; wanted pandas, polars or arrow")
    try:
        if kind == "pandas":
            return table.to_pandas()
        import polars as pl

        return pl.from_arrow(table)
    except ImportError:
        raise FrameError(
            f'{kind} is not installed: pip install "gridwarden[workbench]", or ask for "arrow"'
        ) from None


@contextmanager
def as_given(folder: str) -> Iterator[None]:
    """Name tables of the caller in errors as ``table readings-0``, not by the file made of them."""
    from connectors.errors import InputError

    try:
        yield
    except InputError as error:
        made = re.compile(re.escape(folder) + r"[/\\]([^/\\]+?)\.arrow")
        error.where = made.sub(r"table \1", error.where)
        error.args = (made.sub(r"table \1", str(error)),)
        raise


def as_file(data: Any, folder: Path, name: str) -> str:
    """Return the path of `data`: as it is, or written into `folder` as Arrow IPC.

    Identifiers become text, as in files.
    """
    if isinstance(data, str | Path):
        return str(data)
    table = to_arrow(data)
    for i, column in enumerate(table.column_names):
        whole = pa.types.is_integer(table.schema.field(i).type)
        if whole and (column.endswith("_id") or column in ("place", "parent", "grid")):
            table = table.set_column(i, column, table[column].cast(pa.string()))
    path = folder / f"{name}.arrow"
    pyarrow.feather.write_feather(table, path, compression="uncompressed")
    return str(path)
