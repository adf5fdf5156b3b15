"""What was got and what was wanted, in words, of readings that are refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from connectors.columns import plain_text
from connectors.records import Fault
from connectors.rows import DETAIL

SHOWN = 60
"""Characters of an unreadable text that a detail repeats; the column has it all."""


class _Words(NamedTuple):
    """``<column> is '<got>'<why>; wanted <wanted>``."""

    column: str
    why: str
    wanted: str


_WORDS: Mapping[Fault, _Words] = {
    Fault.BAD_TIME: _Words("ts", "", "a time as 2026-03-01T00:15:00+08:00, or seconds since 1970"),
    Fault.BAD_VALUE: _Words("value", "", "a finite number"),
    Fault.UNKNOWN_METER: _Words("meter_id", ", which no meter has", "an id of the meters file"),
    Fault.NO_PLACE: _Words(
        "meter_id", ", whose subject is unknown or has no place", "a subject with a place code"
    ),
    Fault.NONEXISTENT_HOUR: _Words(
        "ts", ", in an hour that the change of clocks skipped", "the time with its offset, as +02:00"
    ),
    Fault.TIME_OUT_OF_RANGE: _Words(
        "ts", "", "a time between clock.earliest and clock.latest of the configuration"
    ),
    Fault.CLOCK_AHEAD: _Words(
        "ts", ", too far ahead of the rows beside it",
        "at most clock.max_skew_s of the configuration ahead",
    ),
    Fault.NEGATIVE: _Words("value", "", "0 or more"),
    Fault.IMPOSSIBLE: _Words(
        "value", ", more than its meter can show or deliver in an interval",
        "a possible amount in the unit of the meters file",
    ),
    Fault.CONFLICT: _Words(
        "value", ", but its meter told another for the same time", "one value for one time"
    ),
    Fault.GLITCH: _Words(
        "value", ", which the readings before and after it refute", "a level between theirs"
    ),
    Fault.OFF_GRID: _Words(
        "ts", ", where no interval of its meter begins or ends",
        "a multiple of interval_s of the meters file",
    ),
    Fault.MALFORMED: _Words("line", "", "meter_id, ts and value"),
}  # fmt: skip
"""Every fault that a reading can have; what a reader found out itself says more and stays."""


def details(fault: NDArray[np.uint8], rows: pa.RecordBatch) -> pa.Array:
    """Return what is wrong with refused readings, one text each.

    Parameters
    ----------
    fault : ndarray of uint8, shape (n,)
        :class:`~connectors.records.Fault` of each.
    rows : pyarrow.RecordBatch
        Columns as they were read, n rows: ``meter_id``, ``ts``, ``value``, and ``detail`` where a
        reader already said what is wrong.

    Returns
    -------
    pyarrow.StringArray, shape (n,)
        Null only where nothing is wrong.
    """
    names = rows.schema.names
    found = rows.column(DETAIL) if DETAIL in names else pa.nulls(len(fault), pa.string())
    for value in np.unique(fault).tolist():
        words = _WORDS.get(Fault(value))
        if words is None:
            continue
        if words.column in names:
            got = _quoted(plain_text(rows.column(words.column)).cast(pa.string()))
        else:
            got = pa.array(["unreadable"] * len(fault))
        tail = f"{words.why}; wanted {words.wanted}"
        said = pc.binary_join_element_wise(f"{words.column} is ", got, tail, "")
        mine = pa.array(fault == value)
        found = pc.if_else(mine, pc.coalesce(found, said), found)
    return found


def detail(fault: Fault, text: str | None) -> str:
    """Return what is wrong with one text, for the faults of :func:`details`.

    >>> detail(Fault.NEGATIVE, "-3")
    "value is '-3'; wanted 0 or more"
    """
    words = _WORDS[fault]
    got = _quoted(pa.array([text], pa.string()))[0].as_py()
    return f"{words.column} is {got}{words.why}; wanted {words.wanted}"


def _quoted(text: pa.Array) -> pa.Array:
    shown = pc.utf8_slice_codeunits(text, 0, SHOWN)
    empty = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(shown), ""), True)
    return pc.if_else(empty, "empty", pc.binary_join_element_wise("'", shown, "'", ""))
