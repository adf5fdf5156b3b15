"""Finding rows among ascending rows, without copying them.

Asked for a Python integer, or for rows of a wider type than those searched, ``np.searchsorted``
first copies all it searches to the wider type: half a millisecond for a million rows, where the
search itself takes a microsecond. So what is searched for takes the type of what is searched.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from detectors.base import IntArray


def indices_in(ascending: IntArray, rows: IntArray | Sequence[int]) -> NDArray[np.int64]:
    """Return where rows stand among ascending ones, or would stand."""
    return ascending.searchsorted(np.asarray(rows, ascending.dtype))


def index_in(ascending: IntArray, row: int) -> int:
    """Return where a row stands among ascending ones; −1 where it is none of them."""
    at = int(ascending.searchsorted(ascending.dtype.type(row)))
    return at if at < len(ascending) and int(ascending[at]) == row else -1
