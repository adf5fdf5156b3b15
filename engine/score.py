"""Score one series with one detector: what ``gridwarden score`` does.

One detector row sees one slot per input row, in file order. Slots that the stamps leave out are
passed as missing, so that a detector's sense of time holds; rows whose stamps repeat or step back by
up to an hour (clocks set back) take the next slot, so that nothing is dropped. Stamps that step back
further are out of order: such a series is scored in the order of time, its rows come out in the order
they came in, and a warning says so. The local time of day of each row is its stamp's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.feather
import pyarrow.json
import pyarrow.parquet
from numpy.typing import NDArray

from detectors.base import NS, Detector, DetectorError, Frame, lookup

TIME_NAMES = ("timestamp", "ts", "time", "datetime", "date")
MISSING = ("", "nan", "na", "n/a", "null", "none", "-")
FORMATS = ("%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%Y/%m/%d %H:%M:%S",
           "%Y/%m/%d %H:%M", "%d.%m.%Y %H:%M", "%Y%m%d%H%M%S")  # fmt: skip
MAX_GAP_DAYS = 370
"""A longer hole in the stamps is passed as this many days without data."""
ROW = "_row"
"""Column of our own: where each row stood."""
CLOCK_BACK_S = 3600
"""So far clocks are set back once a year; what steps back further is out of order."""
_DAY_S = 86_400


class OrderWarning(UserWarning):
    """The rows of a series are not in the order of their stamps."""


class ScoreError(ValueError):
    """The series cannot be scored; the message says what, where, got and wanted."""


@dataclass(frozen=True)
class Scored:
    """What was written: rows in all, rows with a score, slot length in seconds, rows out of order."""

    rows: int
    scored: int
    interval_s: int
    out_of_order: int = 0


@dataclass(frozen=True)
class Judged:
    """What a detector said of a series, row by row, arrays of shape (n,).

    Parameters
    ----------
    score, evidence, p_value : ndarray of float64
        NaN while the detector is not ready, or where the value is missing.
    slot_s : int
        Slot length used, seconds.
    out_of_order : int
        Rows earlier than one before them; if any, all were scored in the order of time.
    """

    score: NDArray[np.float64]
    evidence: NDArray[np.float64]
    p_value: NDArray[np.float64]
    slot_s: int
    out_of_order: int = 0


@dataclass(frozen=True)
class Series:
    """One input: texts as they came (they go out unchanged), seconds, and values."""

    stamps: pa.Array
    texts: pa.Array
    seconds: NDArray[np.int64]
    values: NDArray[np.float64]


def score_file(
    detector: str, params: Mapping[str, float], column: str, source: Path, target: Path
) -> Scored:
    """Score the series in `source` and write ``timestamp, value, score`` to `target`.

    Parameters
    ----------
    detector : str
        Name of a detector, ``river:<class>`` included.
    params : mapping of str to float
        Overrides of the detector's defaults.
    column : str
        Column of the values.
    source : Path
        CSV, CSV.gz, Parquet, NDJSON or Arrow IPC, by extension, with a column of time stamps
        (one of ``timestamp``, ``ts``, ``time``, ``datetime``, ``date``).
    target : Path
        CSV: one row per input row, in its order; the score lies in [0, 1], grows with the
        evidence, and is ``nan`` while the detector is not ready or the value is missing.

    Raises
    ------
    ScoreError
        If a column is missing, or a stamp or a value cannot be read.
    detectors.base.DetectorError
        If the detector or a parameter does not exist, or it cannot take such a series.
    """
    kind = lookup(detector)
    series = read_series(source, column)
    interval_s = step_of(series.seconds)
    judged = judge(kind, params, series.seconds, series.values, interval_s)
    scores = judged.score
    table = pa.table({"timestamp": series.stamps, "value": series.texts, "score": pa.array(scores)})
    options = pyarrow.csv.WriteOptions(quoting_style="none", quoting_header="none")
    with target.open("wb") as file:
        pyarrow.csv.write_csv(table, file, options)
    scored = int((~np.isnan(scores)).sum())
    return Scored(len(scores), scored, judged.slot_s, judged.out_of_order)


def score_values(
    kind: type[Detector],
    params: Mapping[str, float],
    seconds: NDArray[np.int64],
    values: NDArray[np.float64],
    interval_s: int,
) -> tuple[NDArray[np.float64], int]:
    """Return the scores of one series, shape (n,), and the slot length used (see :func:`judge`)."""
    judged = judge(kind, params, seconds, values, interval_s)
    return judged.score, judged.slot_s


def judge(
    kind: type[Detector],
    params: Mapping[str, float],
    seconds: NDArray[np.int64],
    values: NDArray[np.float64],
    interval_s: int,
) -> Judged:
    """Return what one detector says of each row of a series.

    A detector with a slot length of its own gets finer rows added up; its rows keep the score of
    the last complete slot. Further channels of a detector stay missing.

    Raises
    ------
    DetectorError
        If the detector watches places, or does not understand rows so far apart.
    """
    early = int((seconds < np.maximum.accumulate(seconds) - CLOCK_BACK_S).sum())
    if early:
        order = np.argsort(seconds, kind="stable")
        judged = judge(kind, params, seconds[order], values[order], interval_s)
        back = np.argsort(order)
        evidence, p_value = judged.evidence[back], judged.p_value[back]
        return Judged(judged.score[back], evidence, p_value, judged.slot_s, early)
    if kind.grain != "subject":
        raise DetectorError(
            f"{kind.name}: watches places by what many subjects do, one series says nothing to it"
        )
    slot_s = kind.slot_s or interval_s
    if slot_s < interval_s:
        raise DetectorError(
            f"{kind.name}: rows are {interval_s} s apart, its slots are {slot_s} s; "
            "a coarser series is not ready for this detector"
        )
    unknown = sorted(set(params) - set(kind.defaults))
    if unknown:
        known = ", ".join(sorted(kind.defaults)) or "none"
        raise DetectorError(f"{kind.name}: unknown parameter {unknown[0]!r}; known: {known}")
    detector = kind(1, interval_s=slot_s, **dict[str, Any](params))
    if len(values) == 0:
        none = np.empty(0)
        return Judged(none, none, none, slot_s)
    slot = place_rows(seconds, slot_s) if slot_s == interval_s else seconds // slot_s
    slot = np.maximum.accumulate(slot)
    frame, index = _frame(kind, slot, seconds, values, slot_s)
    said = detector.step(frame)
    evidence, p_value = (
        np.where(np.isnan(values), np.nan, column[index])
        if slot_s == interval_s
        else np.r_[np.nan, column][_complete(index)]
        for column in (a[:, 0].astype(np.float64) for a in (said.evidence, said.p_value))
    )
    return Judged(as_score(evidence), evidence, p_value, slot_s)


def as_score(evidence: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ½ + ½·e / (1 + |e|): strictly growing, never saturated, ½ where nothing is known.

    >>> as_score(np.array([-1.0, 0.0, 1.0, 3.0])).tolist()
    [0.25, 0.5, 0.75, 0.875]
    """
    out: NDArray[np.float64] = 0.5 + 0.5 * evidence / (1 + np.abs(evidence))
    return out


def step_of(seconds: NDArray[np.int64]) -> int:
    """Return the usual distance of two rows in seconds: the median of the forward steps, or 1 h.

    >>> step_of(np.array([0, 300, 600, 600, 900, 5000]))
    300
    """
    if (seconds < np.maximum.accumulate(seconds) - CLOCK_BACK_S).any():
        seconds = np.sort(seconds)
    steps = np.diff(seconds)
    steps = steps[steps > 0]
    return int(np.median(steps)) if len(steps) else 3600


def order_warning(where: Path | str, count: int) -> str:
    """Return what to say of a series that is out of order.

    >>> order_warning("a.csv", 1)
    'a.csv: 1 row is more than an hour earlier than one before it; scored in the order of time'
    """
    rows = "1 row is" if count == 1 else f"{count:,} rows are"
    than = "it" if count == 1 else "them"
    return f"{where}: {rows} more than an hour earlier than one before {than}; scored in the order of time"


def place_rows(seconds: NDArray[np.int64], interval_s: int) -> NDArray[np.int64]:
    """Return each row's slot: its stamp's, or the next free one; strictly ascending.

    An hour that comes twice shifts the following slots by one until a gap takes it up. Holes are
    at most :data:`MAX_GAP_DAYS` long.

    >>> (place_rows(np.array([0, 60, 60, 120, 360]), 60) - 0).tolist()
    [0, 1, 2, 3, 6]
    """
    wanted = np.floor_divide(seconds + interval_s // 2, interval_s)
    most = MAX_GAP_DAYS * _DAY_S // interval_s + 1
    ahead = wanted - np.arange(len(wanted))
    # slot = row + the largest lead of stamps over rows so far, each step of it capped
    lead = np.maximum.accumulate(ahead)
    step = np.minimum(np.diff(lead), most)
    return lead[0] + np.r_[0, np.cumsum(step)] + np.arange(len(wanted))


def _frame(
    kind: type[Detector],
    slot: NDArray[np.int64],
    seconds: NDArray[np.int64],
    values: NDArray[np.float64],
    slot_s: int,
) -> tuple[Frame, NDArray[np.int64]]:
    """Return the frame of all slots from the first to the last, and each row's index in it."""
    index = slot - slot[0]
    total = int(index[-1]) + 1
    summed = np.full(total, np.nan)
    if len(np.unique(index)) == len(index):
        summed[index] = values
    else:
        known = ~np.isnan(values)
        sums = np.bincount(index, np.where(known, values, 0), total)
        complete = np.bincount(index, known, total) == np.bincount(index, None, total)
        filled = (np.bincount(index, None, total) > 0) & complete
        summed[filled] = sums[filled]
    # local time: the rows' own stamps; within holes, counted on from the slot number
    clock = (slot[0] + np.arange(total)) * slot_s
    clock[index] = seconds if slot_s <= _DAY_S else clock[index]
    if np.isinf(summed).any() or (np.abs(summed[~np.isnan(summed)]) > 3e38).any():
        raise ScoreError("a value is beyond the range of single precision (3.4e38)")
    day = np.floor_divide(clock, _DAY_S)
    wide = np.full((total, len(kind.channels), 1), np.nan, np.float32)
    wide[:, 0, 0] = summed
    frame = Frame(
        first_slot=int(slot[0]),
        values=wide,
        local_slot=(clock % _DAY_S // slot_s).astype(np.int32)[:, None],
        local_day=day.astype(np.int32)[:, None],
        rest_day=((day + 3) % 7 >= 5)[:, None],
    )
    return frame, index


def _complete(index: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each row how many slots are complete once it is in (its own if it is its last)."""
    last = np.r_[index[1:] != index[:-1], True]
    return np.where(last, index + 1, index)


# -- reading ------------------------------------------------------------------------------


def read_series(source: Path, column: str) -> Series:
    """Read one series from a file.

    Raises
    ------
    ScoreError
        If a column is missing, or a stamp or a value cannot be read.
    """
    return series_of(table_of(source), column, source)


def series_of(
    table: pa.Table,
    column: str,
    source: Path | str,
    time: str | None = None,
    option: str = "--column",
) -> Series:
    """Return one series of a table; `source` is what errors call it, `option` what names a column.

    Raises
    ------
    ScoreError
        As :func:`read_series`.
    """
    names = [name for name in table.column_names if name != ROW]
    stamp_name = next((n for want in TIME_NAMES for n in names if n.lower() == want), None)
    if time is not None:
        stamp_name = time if time in names else None
    if stamp_name is None and time is not None:
        raise ScoreError(f"{source}: no column {time!r}; there are {', '.join(names)}")
    if stamp_name is None:
        raise ScoreError(
            f"{source}: no column of time stamps; wanted one of {', '.join(TIME_NAMES)}, "
            f"got {', '.join(names)}"
        )
    if column not in names:
        others = [n for n in names if n != stamp_name]
        raise ScoreError(
            f"{source}: no column {column!r}; there are {', '.join(others)}: give one as {option}"
        )
    stamps = table[stamp_name].combine_chunks()
    texts = table[column].combine_chunks()
    return Series(
        pc.fill_null(_as_text(stamps), ""),
        pc.fill_null(_as_text(texts), ""),
        _seconds(source, stamp_name, stamps),
        _values(source, column, texts),
    )


def table_of(source: Path) -> pa.Table:
    """Read a file by its extension; CSV columns stay texts, so that they go out as they came."""
    name = source.name.lower().removesuffix(".gz")
    try:
        if name.endswith(".parquet"):
            return pyarrow.parquet.read_table(source)
        if name.endswith((".arrow", ".ipc", ".feather")):
            return pyarrow.feather.read_table(source)
        if name.endswith((".ndjson", ".jsonl", ".json")):
            with pa.input_stream(str(source), compression="detect") as file:
                return pyarrow.json.read_json(file)
        with pa.input_stream(str(source), compression="detect") as file:
            header = re.split(r"\r?\n", file.read(1 << 20).decode("utf-8-sig", "replace"))[0]
        columns = {c.strip().strip('"'): pa.string() for c in header.split(",")}
        return pyarrow.csv.read_csv(
            source, convert_options=pyarrow.csv.ConvertOptions(column_types=columns)
        )
    except pa.ArrowInvalid as error:
        raise ScoreError(f"{source}: {error}") from None


def _as_text(array: pa.Array) -> pa.Array:
    return array if pa.types.is_string(array.type) else array.cast(pa.string())


def _seconds(source: Path | str, name: str, stamps: pa.Array) -> NDArray[np.int64]:
    """Return seconds since 1970 on the stamps' own clock (UTC where they have an offset)."""
    if pa.types.is_timestamp(stamps.type):
        return _to_seconds(source, name, stamps)
    if not pa.types.is_string(stamps.type):
        stamps = stamps.cast(pa.string())
    stamps = pc.utf8_trim_whitespace(stamps)
    readings: list[Callable[[], Any]] = [
        lambda: stamps.cast(pa.timestamp("us")),
        lambda: stamps.cast(pa.timestamp("us", "UTC")),
        lambda: _epoch(stamps),
        *(partial(pc.strptime, stamps, format=form, unit="us") for form in FORMATS),
    ]
    for reading in readings:
        try:
            return _to_seconds(source, name, reading())
        except pa.ArrowInvalid:
            continue
    row = _first_bad(stamps)
    raise ScoreError(
        f"{source}: row {row + 1}: cannot read {name} {stamps[row].as_py()!r}; wanted ISO 8601, "
        "for example 2016-03-01T00:15:00"
    )


def _epoch(stamps: pa.Array) -> pa.Array:
    micros = pc.multiply(stamps.cast(pa.float64()), 1e6)
    return micros.cast(pa.int64(), safe=False).cast(pa.timestamp("us"))


def _to_seconds(source: Path | str, name: str, stamps: pa.Array) -> NDArray[np.int64]:
    if stamps.null_count:
        row = int(np.flatnonzero(stamps.is_null().to_numpy(zero_copy_only=False))[0])
        raise ScoreError(f"{source}: row {row + 1}: {name} is empty")
    micros = stamps.cast(pa.timestamp("us", stamps.type.tz)).cast(pa.int64())
    return np.floor_divide(np.asarray(micros), NS // 1000)


def _first_bad(stamps: pa.Array) -> int:
    """Return the first row that is not ISO 8601 (bisection; only after a failure)."""
    low, high = 0, len(stamps)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            stamps[low:middle].cast(pa.timestamp("us"))
            low = middle
        except pa.ArrowInvalid:
            high = middle
    return low


def _values(source: Path | str, column: str, texts: pa.Array) -> NDArray[np.float64]:
    """Return the values; missing ones (empty, NaN, null, NA) as NaN."""
    if pa.types.is_string(texts.type):
        trimmed = pc.utf8_trim_whitespace(texts)
        missing = pc.is_in(pc.utf8_lower(trimmed), value_set=pa.array(MISSING))
        trimmed = pc.if_else(pc.fill_null(missing, True), pa.scalar(None, pa.string()), trimmed)
        try:
            numbers = trimmed.cast(pa.float64())
        except pa.ArrowInvalid as error:
            raise ScoreError(f"{source}: column {column!r}: {error}; wanted numbers") from None
    else:
        numbers = texts.cast(pa.float64())
    values: NDArray[np.float64] = numbers.to_numpy(zero_copy_only=False).astype(np.float64)
    bad = np.flatnonzero(np.isinf(values))
    if len(bad):
        raise ScoreError(
            f"{source}: row {bad[0] + 1}: {column} is infinite; wanted a number, or nothing"
        )
    return values
