"""Local time to UTC in bulk, from tables of clock changes.

A clock that goes forward leaves a gap in local time, a clock that goes back an hour that occurs
twice. Which pass of such an hour a stamp means depends on the stamps of the same meter before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numba
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from connectors.stamps import BAD, LOCAL, parse_stamps

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = datetime(1969, 1, 1, tzinfo=UTC), datetime(2110, 1, 1, tzinfo=UTC)
_NS = 1_000_000_000
_DAY_NS = 86_400 * _NS
_DATE_LENGTH = 10
PLAIN, GAP, TWICE = 0, 1, 2
_MIN = int(np.iinfo(np.int64).min)


@dataclass(frozen=True, slots=True)
class ZoneTable:
    """Pieces of a zone's local time.

    Parameters
    ----------
    begin_ns : ndarray of int64, shape (p,)
        Local wall-clock time at which a piece starts; the first is the least int64.
    kind : ndarray of uint8, shape (p,)
        ``PLAIN``, ``GAP`` (does not exist) or ``TWICE`` (occurs twice).
    offset_ns, again_ns : ndarray of int64, shape (p,)
        Local minus UTC, at the first and at the second pass.
    """

    begin_ns: NDArray[np.int64]
    kind: NDArray[np.uint8]
    offset_ns: NDArray[np.int64]
    again_ns: NDArray[np.int64]


def _offset_s(seconds: int, zone: ZoneInfo) -> int:
    offset = (_EPOCH + timedelta(seconds=seconds)).astimezone(zone).utcoffset()
    assert offset is not None
    return round(offset.total_seconds())


@lru_cache(maxsize=64)
def zone_changes(name: str) -> tuple[int, tuple[tuple[int, int], ...]]:
    """Return a zone's first offset (s) and its changes, each (UTC second, new offset in s).

    zoneinfo does not publish its tables, so the days from 1969 to 2110 are probed and each change
    is found by bisection.

    Raises
    ------
    KeyError
        If there is no such zone.
    """
    try:
        zone = ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise KeyError(name) from None
    day = 86_400
    low, high = int(_FIRST.timestamp()), int(_LAST.timestamp())
    first = before = _offset_s(low, zone)
    changes: list[tuple[int, int]] = []
    for at in range(low + day, high + day, day):
        after = _offset_s(at, zone)
        if after != before:
            lo, hi = at - day, at
            while hi - lo > 1:
                middle = (lo + hi) // 2
                if _offset_s(middle, zone) == before:
                    lo = middle
                else:
                    hi = middle
            changes.append((hi, after))
            before = after
    return first, tuple(changes)


@lru_cache(maxsize=64)
def zone_table(name: str) -> ZoneTable:
    """Return the pieces of a zone's local time.

    Raises
    ------
    KeyError
        If there is no such zone.
    """
    first, changes = zone_changes(name)
    rows: list[tuple[int, int, int, int]] = [(_MIN, PLAIN, first * _NS, first * _NS)]
    before = first
    for at, after in changes:
        low, high = (at + min(before, after)) * _NS, (at + max(before, after)) * _NS
        rows.append((low, GAP if after > before else TWICE, before * _NS, after * _NS))
        rows.append((high, PLAIN, after * _NS, after * _NS))
        before = after
    begin, kind, offset, again = zip(*rows, strict=True)
    return ZoneTable(
        np.array(begin, np.int64),
        np.array(kind, np.uint8),
        np.array(offset, np.int64),
        np.array(again, np.int64),
    )


def instant_ns(text: str, zone: str, *, end: bool = False) -> int:
    """Return the instant that a text in attributes means.

    Parameters
    ----------
    text : str
        ISO 8601; without offset it is local time. Of an hour that occurs twice the first pass
        counts, and a time that the clock change skipped is as much later.
    zone : str
        IANA name.
    end : bool
        Whether the text is the end of a span: a date alone then means that day too.

    Raises
    ------
    ValueError
        If it is no time.
    KeyError
        If there is no such zone.

    Examples
    --------
    >>> instant_ns("1970-01-02", "Asia/Shanghai", end=True) // 10**9 / 3600
    40.0
    """
    ns, kind = parse_stamps(pa.array([text], pa.string()))
    if kind[0] == BAD:
        raise ValueError(f"{text!r} is no time; wanted ISO 8601")
    if kind[0] == LOCAL:
        if end and len(text.strip()) <= _DATE_LENGTH:
            ns[0] += _DAY_NS
        nobody = np.zeros(1, np.int32)
        LocalTime([zone]).to_utc(ns, kind, np.zeros(1, np.uint8), nobody, nobody, FoldMemory())
    return int(ns[0])


@numba.njit(cache=True, nogil=True)
def _to_utc(ns, kind, zone, begin, piece_kind, offset, first, last, out_piece):  # type: ignore[no-untyped-def]
    """Turn local stamps into UTC in place (first pass); note pieces that are gaps or occur twice.

    Return how many there are; only then is `out_piece` written, −1 for all other rows.
    """
    special = 0
    at_zone = -1
    at = 0
    for r in range(len(ns)):
        if kind[r] != 1:
            continue
        z = zone[r]
        t = ns[r]
        if z != at_zone or t < begin[at] or (at + 1 < last[z] and t >= begin[at + 1]):
            at_zone = z
            lo, hi = first[z], last[z]
            while hi - lo > 1:
                middle = (lo + hi) // 2
                if begin[middle] <= t:
                    lo = middle
                else:
                    hi = middle
            at = lo
        if piece_kind[at] != 0:
            if special == 0:
                out_piece[:] = -1
            out_piece[r] = at
            special += 1
        ns[r] = t - offset[at]
    return special


class FoldMemory:
    """For each meter seen in an hour that occurs twice: its last stamp and which pass it is in."""

    def __init__(self) -> None:
        self.meter = np.zeros(0, np.int32)
        self.piece = np.zeros(0, np.int64)
        self.last_ns = np.zeros(0, np.int64)
        self.second = np.zeros(0, np.bool_)

    def second_pass(
        self,
        meter: NDArray[np.int32],
        piece: NDArray[np.int64],
        local_ns: NDArray[np.int64],
        coarse: NDArray[np.bool_],
    ) -> NDArray[np.bool_]:
        """Return for each row whether it lies in the second pass, and remember.

        A meter is in its second pass once its stamps step back. A meter whose interval is as long
        as the hour has one stamp a pass, so there a stamp that stays is a step back too.

        Parameters
        ----------
        meter, piece, local_ns, coarse : ndarray, shape (n,)
            Rows in the order of the log: meter, start of the hour (identity of the change), local
            stamp, and whether the meter's interval spans the hour.
        """
        n = len(meter)
        order = np.argsort(meter, kind="stable")
        m, p, t, c = meter[order], piece[order], local_ns[order], coarse[order]
        known = np.searchsorted(self.meter, m)
        inside = known < len(self.meter)
        if len(self.meter):
            inside &= self.meter[np.minimum(known, len(self.meter) - 1)] == m
        new_meter = np.r_[True, m[1:] != m[:-1]]
        new_run = new_meter | np.r_[True, p[1:] != p[:-1]]
        before = np.r_[_MIN, t[:-1]]
        before[new_run] = _MIN
        was_second = np.zeros(n, np.bool_)
        resumed = np.flatnonzero(new_meter & inside)
        if len(resumed):
            slot = known[resumed]
            same = self.piece[slot] == p[resumed]
            before[resumed[same]] = self.last_ns[slot[same]]
            was_second[resumed[same]] = self.second[slot[same]]
        steps = ((t < before) | (c & (t == before)) | was_second).astype(np.int64)
        run = np.cumsum(new_run) - 1
        starts = np.flatnonzero(new_run)
        so_far = np.cumsum(steps)
        second = so_far - (so_far[starts] - steps[starts])[run] > 0
        self._remember(m, p, t, second)
        out = np.empty(n, np.bool_)
        out[order] = second
        return out

    def _remember(
        self,
        meter: NDArray[np.int32],
        piece: NDArray[np.int64],
        last_ns: NDArray[np.int64],
        second: NDArray[np.bool_],
    ) -> None:
        last = np.r_[meter[1:] != meter[:-1], True]
        kept = ~np.isin(self.meter, meter[last])
        merged = np.concatenate([self.meter[kept], meter[last]])
        order = np.argsort(merged, kind="stable")
        self.meter = merged[order]
        self.piece = np.concatenate([self.piece[kept], piece[last]])[order]
        self.last_ns = np.concatenate([self.last_ns[kept], last_ns[last]])[order]
        self.second = np.concatenate([self.second[kept], second[last]])[order]

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the memory as arrays (never changed in place)."""
        return {
            "meter": self.meter,
            "piece": self.piece,
            "last_ns": self.last_ns,
            "second": self.second,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over a memory from :meth:`state`."""
        self.meter = np.asarray(state["meter"], np.int32)
        self.piece = np.asarray(state["piece"], np.int64)
        self.last_ns = np.asarray(state["last_ns"], np.int64)
        self.second = np.asarray(state["second"], np.bool_)


class LocalTime:
    """Turns local stamps of meters in several zones into UTC.

    Parameters
    ----------
    zones : sequence of str
        IANA names; rows refer to them by index.
    """

    def __init__(self, zones: Sequence[str]) -> None:
        self.zones = tuple(zones)
        tables = [zone_table(z) for z in zones]
        sizes = [len(t.begin_ns) for t in tables]
        self._last = np.cumsum(sizes, dtype=np.int64)
        self._first = self._last - np.asarray(sizes, np.int64)
        self._begin = np.concatenate([t.begin_ns for t in tables])
        self._kind = np.concatenate([t.kind for t in tables])
        self._offset = np.concatenate([t.offset_ns for t in tables])
        self._again = np.concatenate([t.again_ns for t in tables])

    def to_utc(
        self,
        ns: NDArray[np.int64],
        kind: NDArray[np.uint8],
        zone: NDArray[np.uint8],
        meter: NDArray[np.int32],
        interval_s: NDArray[np.int32],
        memory: FoldMemory,
    ) -> NDArray[np.bool_] | None:
        """Turn local stamps (``kind == LOCAL``) into UTC, in place.

        Returns
        -------
        ndarray of bool, shape (n,), or None
            Rows whose hour the clock change skipped; None if there are none.
        """
        piece = np.empty(len(ns), np.int64)
        special = _to_utc(
            ns, kind, zone, self._begin, self._kind, self._offset, self._first, self._last, piece
        )
        if not special:
            return None
        rows = np.flatnonzero(piece >= 0)
        at = piece[rows]
        twice = self._kind[at] == TWICE
        if twice.any():
            fold, hour = rows[twice], at[twice]
            local = ns[fold] + self._offset[hour]
            length = self._begin[hour + 1] - self._begin[hour]
            coarse = interval_s[fold].astype(np.int64) * _NS >= length
            second = memory.second_pass(meter[fold], self._begin[hour], local, coarse)
            ns[fold[second]] = (local - self._again[hour])[second]
        if twice.all():
            return None
        gap = np.zeros(len(ns), np.bool_)
        gap[rows[~twice]] = True
        return gap
