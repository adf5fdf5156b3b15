"""Columns of whatever type a file has, as text or as numbers."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


def as_text(column: pa.Array, *, stamps: bool = False) -> pa.Array:
    """Return a column as strings or dictionary of strings; stamps may also be temporal."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return column
    if pa.types.is_nested(kind):
        texts = [v if v is None else json.dumps(v, default=str) for v in column.to_pylist()]
        return pa.array(texts, pa.string())
    if kind == pa.string() or (stamps and pa.types.is_temporal(kind)):
        return column
    return column.cast(pa.string())


def as_numbers(column: pa.Array) -> NDArray[np.float64]:
    """Return numbers as float64, NaN where there is none."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return as_numbers(column.cast(kind.value_type))
    if pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        numbers = column if kind == pa.float64() else column.cast(pa.float64(), safe=False)
        if numbers.null_count:
            numbers = numbers.fill_null(np.nan)
        return numbers.to_numpy(zero_copy_only=False)
    if kind != pa.string():
        column = column.cast(pa.string())
    try:
        numbers = column.cast(pa.float64())
    except pa.ArrowInvalid:
        # Only now pay for finding out which ones cannot be read.
        trimmed = pc.utf8_trim_whitespace(column)
        numeric = pc.match_substring_regex(trimmed, r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")
        plain = pc.replace_substring_regex(trimmed, r"^\+", "")
        numbers = pc.if_else(numeric, plain, pa.scalar("nan")).cast(pa.float64())
    if numbers.null_count:
        numbers = numbers.fill_null(np.nan)
    return numbers.to_numpy(zero_copy_only=False)


def plain_text(column: pa.Array) -> pa.StringArray:
    """Return a column of whatever type as strings."""
    text = as_text(column)
    return text if text.type == pa.string() else text.cast(pa.string())
