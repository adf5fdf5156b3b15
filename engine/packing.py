"""Nested states with arrays in them, as a JSON-able header and named arrays, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MARK = "$array"


def pack(value: Any, prefix: str, arrays: dict[str, NDArray[Any]]) -> Any:
    """Return `value` with every array replaced by its name, and put the arrays into `arrays`.

    >>> arrays = {}
    >>> pack({"a": [1, np.arange(2)]}, "x", arrays)
    {'a': [1, {'$array': 'x/a/1'}]}
    >>> unpack({'a': [1, {'$array': 'x/a/1'}]}, arrays)
    {'a': [1, array([0, 1])]}
    """
    if isinstance(value, np.ndarray):
        arrays[prefix] = value
        return {_MARK: prefix}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {str(k): pack(v, f"{prefix}/{k}", arrays) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [pack(v, f"{prefix}/{i}", arrays) for i, v in enumerate(value)]
    return value


def unpack(value: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """Return what :func:`pack` was given (tuples come back as lists)."""
    if isinstance(value, Mapping):
        if set(value) == {_MARK}:
            return arrays[str(value[_MARK])]
        return {k: unpack(v, arrays) for k, v in value.items()}
    if isinstance(value, list):
        return [unpack(v, arrays) for v in value]
    return value
