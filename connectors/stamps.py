"""ISO 8601 stamps in bulk: one kernel over the bytes of an Arrow string column."""

from __future__ import annotations

import numba
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from connectors.ids import _strings
from connectors.machine import load_word

NO_TIME = int(np.iinfo(np.int64).min)
"""Stamp of a row whose time cannot be read."""
BAD, LOCAL, UTC = 0, 1, 2
"""Kinds of stamp: unreadable, local time of the subject's zone, absolute."""
_DAY_NS = 86_400_000_000_000
_FIRST_YEAR, _LAST_YEAR = 1678, 2261
_UNITS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}


@numba.njit(cache=True, nogil=True)
def _digits(b, i, n, end):  # type: ignore[no-untyped-def]
    """Return the number in n digits from i, or −1."""
    if i + n > end:
        return -1
    x = np.int64(0)
    for k in range(i, i + n):
        digit = np.int64(b[k]) - 48
        if digit < 0 or digit > 9:
            return -1
        x = x * 10 + digit
    return x


@numba.njit(cache=True, nogil=True)
def _days(y, m, d):  # type: ignore[no-untyped-def]
    """Return days since 1970-01-01 of a civil date (Hinnant, "chrono-compatible algorithms")."""
    y -= 1 if m <= 2 else 0
    era = y // 400
    yoe = y - era * 400
    doy = (153 * (m + (-3 if m > 2 else 9)) + 2) // 5 + d - 1
    return era * 146_097 + yoe * 365 + yoe // 4 - yoe // 100 + doy - 719_468


@numba.njit(cache=True, nogil=True)
def _month_days(y, m):  # type: ignore[no-untyped-def]
    if m == 2:
        return 29 if (y % 4 == 0 and y % 100 != 0) or y % 400 == 0 else 28
    return 30 if m == 4 or m == 6 or m == 9 or m == 11 else 31


@numba.njit(cache=True, nogil=True)
def _parse_one(b, i, end):  # type: ignore[no-untyped-def]
    """Return (ns, kind) of one stamp in b[i:end]."""
    bad = (np.int64(0), 0)
    while i < end and b[i] == 32:
        i += 1
    while end > i and (b[end - 1] == 32 or b[end - 1] == 13):
        end -= 1
    year = _digits(b, i, 4, end)
    i += 4
    if year < 0 or i >= end:
        return bad
    dash = b[i] == 45
    i += 1 if dash else 0
    month = _digits(b, i, 2, end)
    i += 2
    if month < 1 or month > 12 or (dash and (i >= end or b[i] != 45)):
        return bad
    i += 1 if dash else 0
    day = _digits(b, i, 2, end)
    i += 2
    if day < 1 or day > _month_days(year, month):
        return bad
    hour = minute = second = 0
    ns = np.int64(0)
    kind = 1
    if i < end:
        if b[i] != 84 and b[i] != 116 and b[i] != 32:  # T, t, blank
            return bad
        i += 1
        hour = _digits(b, i, 2, end)
        i += 2
        colon = i < end and b[i] == 58
        i += 1 if colon else 0
        minute = _digits(b, i, 2, end)
        i += 2
        if hour < 0 or hour > 24 or minute < 0 or minute > 59:
            return bad
        if i < end and ((colon and b[i] == 58) or (not colon and 48 <= b[i] <= 57)):
            i += 1 if colon else 0
            second = _digits(b, i, 2, end)
            i += 2
            if second < 0 or second > 59:
                return bad
            if i < end and (b[i] == 46 or b[i] == 44):  # . or ,
                i += 1
                first = i
                scale = np.int64(100_000_000)
                while i < end and 48 <= b[i] <= 57:
                    ns += scale * (np.int64(b[i]) - 48)
                    scale //= 10
                    i += 1
                if i == first:
                    return bad
        if hour == 24 and (minute != 0 or second != 0 or ns != 0):
            return bad
        if i < end and b[i] == 32:
            i += 1
        if i < end:
            kind = 2
            sign = b[i]
            i += 1
            if sign == 43 or sign == 45:
                oh = _digits(b, i, 2, end)
                i += 2
                om = 0
                if i < end:
                    i += 1 if b[i] == 58 else 0
                    om = _digits(b, i, 2, end)
                    i += 2
                if oh < 0 or oh > 23 or om < 0 or om > 59:
                    return bad
                ahead = oh * 60 + om
                minute -= ahead if sign == 43 else -ahead
            elif sign != 90 and sign != 122:  # Z, z
                return bad
            if i != end:
                return bad
    # Far-off years are readable but do not fit int64; saturated, they are out of any range.
    year = min(max(year, _FIRST_YEAR), _LAST_YEAR)
    seconds = ((_days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second
    return seconds * np.int64(1_000_000_000) + ns, kind


@numba.njit(cache=True, nogil=True)
def _again(b, i, n):  # type: ignore[no-untyped-def]
    """Return whether the n bytes from i on are those before them; False for less than eight."""
    if n < 8:
        return False
    for k in range(0, n - 8, 8):
        if load_word(b, i + k) != load_word(b, i + k - n):
            return False
    return load_word(b, i + n - 8) == load_word(b, i - 8)


@numba.njit(cache=True, nogil=True)
def _parse(data, offsets, ns, kind):  # type: ignore[no-untyped-def]
    for r in range(len(offsets) - 1):
        i = np.int64(offsets[r])
        n = np.int64(offsets[r + 1]) - i
        # What many meters say of one time stands together more often than not.
        if r > 0 and n == i - offsets[r - 1] and _again(data, i, n):
            ns[r], kind[r] = ns[r - 1], kind[r - 1]
        else:
            ns[r], kind[r] = _parse_one(data, i, i + n)


@numba.njit(cache=True, nogil=True)
def _scaled(values, scale):  # type: ignore[no-untyped-def]
    """Return values × scale; those that do not fit are as far off as can be."""
    limit = np.iinfo(np.int64).max // scale - (scale > 1)
    out = np.empty(len(values), np.int64)
    for r in range(len(values)):
        out[r] = min(max(values[r], -limit), limit) * scale
    return out


def parse_stamps(column: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Parse a column of stamps.

    Strings are ISO 8601, extended or basic: date with ``T`` or blank and time; seconds and
    fraction optional (digits beyond nanoseconds are cut off), ``24:00`` is the day's end, a date
    alone its start; ``Z`` or an offset makes the stamp absolute. Arrow timestamps and dates are
    taken as they are: naive ones are local.

    Parameters
    ----------
    column : pyarrow.Array, shape (n,)

    Returns
    -------
    ns : ndarray of int64, shape (n,)
        Nanoseconds since 1970-01-01 of the absolute time, or of the local wall clock;
        :data:`NO_TIME` where unreadable.
    kind : ndarray of uint8, shape (n,)
        :data:`BAD`, :data:`LOCAL` or :data:`UTC`.

    Examples
    --------
    >>> ns, kind = parse_stamps(pa.array(["1970-01-01T01:00:00", "1970-01-02T00:00+01:00", "soon"]))
    >>> (ns[:2] // 10**9).tolist(), kind.tolist()
    ([3600, 82800], [1, 2, 0])
    """
    if isinstance(column, pa.DictionaryArray):
        ns, kind = parse_stamps(column.dictionary)
        codes = column.indices
        valid = codes.is_valid().to_numpy(zero_copy_only=False)
        at = codes.fill_null(0).to_numpy(zero_copy_only=False)
        if len(ns) == 0:
            return np.full(len(at), NO_TIME), np.zeros(len(at), np.uint8)
        return np.where(valid, ns[at], NO_TIME), np.where(valid, kind[at], np.uint8(BAD))
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("ms"))
    if pa.types.is_timestamp(column.type):
        return _timestamps(column)
    n = len(column)
    ns, kind = np.zeros(n, np.int64), np.zeros(n, np.uint8)
    data, offsets = _strings(column)
    _parse(data, offsets, ns, kind)
    bad = kind == BAD
    if column.null_count:
        bad |= column.is_null().to_numpy(zero_copy_only=False)
    if bad.any():
        kind[bad] = BAD
        ns[bad] = NO_TIME
    return ns, kind


def _timestamps(column: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    scale = _UNITS[column.type.unit]
    kind = np.full(len(column), UTC if column.type.tz else LOCAL, np.uint8)
    values = column.view(pa.int64())
    bad = None
    if values.null_count:
        bad = column.is_null().to_numpy(zero_copy_only=False)
        values = values.fill_null(0)
    ns = _scaled(values.to_numpy(zero_copy_only=False), scale)
    if bad is not None:
        ns[bad] = NO_TIME
        kind[bad] = BAD
    return ns, kind
