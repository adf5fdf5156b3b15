"""Plain JSON objects, one a line, as columns: a kernel for what exporters write by the million.

Plain means: strings without escapes, numbers, null, nothing nested, no key twice. A chunk in which
any line is otherwise is left to Arrow's parser and, where that gives up, to the one that reads line
by line and says what is wrong; so what is refused, and why, does not depend on this file.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call"
from __future__ import annotations

from collections.abc import Collection, Sequence

import numba
import numpy as np
import pyarrow as pa

from connectors.machine import load_word, store_word, trailing_zeros

part = numba.njit(inline="always")
"""For functions that only the kernel calls."""

NOTHING, TEXT, NUMBER = 0, 1, 2
_MOST_COLUMNS = 63
_QUOTE, _COMMA, _MINUS, _POINT, _COLON, _OPEN, _CLOSE = b'",-.:{}'
_BACKSLASH, _NEWLINE, _ZERO, _NINE = b"\\\n09"
_E, _CAPITAL_E, _PLUS = b"eE+"
_ENDS = np.array([byte < 32 or byte in b'"\\' for byte in range(256)])
"""Bytes that end a plain string, or keep a string from being plain."""
_ONES = np.uint64(0x0101010101010101)
_HIGH, _BLANKS = _ONES * np.uint64(0x80), _ONES * np.uint64(0x20)
_QUOTES, _BACKSLASHES = _ONES * np.uint64(_QUOTE), _ONES * np.uint64(_BACKSLASH)
"""Eight times the same byte, to look at eight bytes at once (Warren, "Hacker's Delight", 6–1)."""
_LITERALS = np.frombuffer(b"null true false", np.uint8)


@part
def _blank(b, i):
    """Return where the blanks from i on end; the chunk's last byte is a newline."""
    while b[i] == 32 or b[i] == 9 or b[i] == 13:
        i += 1
    return i


@part
def _end_in(word):
    """Return a word in which the lowest bit set lies in the first byte that ends a plain string."""
    quote, back = word ^ _QUOTES, word ^ _BACKSLASHES
    found = ((quote - _ONES) & ~quote) | ((back - _ONES) & ~back) | ((word - _BLANKS) & ~word)
    return found & _HIGH


@part
def _string(b, i):
    """Return where the quote that ends a string stands, −1 if the string is not plain."""
    while i + 8 <= len(b):
        found = _end_in(load_word(b, i))
        if found:
            i += trailing_zeros(found) >> 3
            return i if b[i] == _QUOTE else -1
        i += 8
    while not _ENDS[b[i]]:
        i += 1
    return i if b[i] == _QUOTE else -1


@part
def _copied_string(b, i, out, at):
    """Copy a string to `at`, and what follows it; return as :func:`_string` does."""
    at -= i
    while i + 8 <= len(b):
        word = load_word(b, i)
        store_word(out, at + i, word)
        found = _end_in(word)
        if found:
            i += trailing_zeros(found) >> 3
            return i if b[i] == _QUOTE else -1
        i += 8
    while not _ENDS[b[i]]:
        out[at + i] = b[i]
        i += 1
    return i if b[i] == _QUOTE else -1


@part
def _digits(b, i):
    while _ZERO <= b[i] <= _NINE:
        i += 1
    return i


@part
def _number(b, i):
    """Return where a number that begins at i ends, −1 if it is none (RFC 8259, section 6).

    Numbers so long that they might be beyond float64 are not plain.
    """
    first = i
    i += b[i] == _MINUS
    end = _digits(b, i)
    if end == i or (b[i] == _ZERO and end > i + 1):
        return -1
    if b[end] == _POINT:
        i = end + 1
        end = _digits(b, i)
        if end == i:
            return -1
    if b[end] == _E or b[end] == _CAPITAL_E:
        i = end + 1
        i += b[i] == _PLUS or b[i] == _MINUS
        end = _digits(b, i)
        if end == i or end - i > 2:
            return -1
    return end if end - first < 100 else -1


@part
def _literal(b, i, literals, first, last):
    """Return where a literal ends, −1 if it is not there."""
    for k in range(first, last):
        if b[i] != literals[k]:
            return -1
        i += 1
    return i


@part
def _is_key(b, i, keys, begin, size):
    """Return whether a key and its closing quote stand at i."""
    for k in range(size):
        if b[i + k] != keys[begin + k]:
            return False
    return b[i + size] == _QUOTE


@part
def _column(b, i, keys, key_at, guess):
    """Return the column of the key that begins at i, −1 if it is not wanted; the guess first."""
    width = len(key_at) - 1
    for d in range(width):
        c = guess + d if guess + d < width else guess + d - width
        if _is_key(b, i, keys, key_at[c], key_at[c + 1] - key_at[c]):
            return c
    return -1


@numba.njit(cache=True, nogil=True)
def _scan(b, keys, key_at, numeric, literals, out, offsets, missing, kind):
    """Copy the values of each line behind those of the lines before; return whether all are plain.

    Parameters
    ----------
    b : ndarray of uint8
        The chunk; it ends with a newline, so that no loop runs beyond it.
    keys, key_at : ndarray of uint8 and of int32, shape (columns + 1,)
        The wanted keys behind each other, and where each begins.
    numeric : ndarray of bool, shape (columns,)
        Columns that may be numbers.
    literals : ndarray of uint8
    out : ndarray of uint8, shape (columns × room,)
    offsets : ndarray of int32, shape (columns, rows + 1)
    missing : ndarray of bool, shape (columns, rows)
        Set where a line has no value.
    kind : ndarray of uint8, shape (columns,)
        Set to what the values of a column are.
    """
    i = 0
    width, rows = missing.shape
    room = len(out) // width
    for row in range(rows):
        i = _blank(b, i)
        if b[i] != _OPEN:
            return False
        for c in range(width):
            missing[c, row] = True
            offsets[c, row + 1] = offsets[c, row]
        seen = 0
        column = -1
        i = _blank(b, i + 1)
        more = b[i] != _CLOSE
        while more:
            if b[i] != _QUOTE:
                return False
            column = _column(b, i + 1, keys, key_at, column + 1)
            if column < 0:
                i = _string(b, i + 1)
                if i < 0:
                    return False
            else:
                i += 1 + key_at[column + 1] - key_at[column]
            i = _blank(b, i + 1)
            if b[i] != _COLON:
                return False
            i = _blank(b, i + 1)
            start, found = i, NOTHING
            if b[i] == _QUOTE:
                start, found = i + 1, TEXT
                if column < 0:
                    end = _string(b, start)
                else:
                    end = _copied_string(b, start, out, column * room + offsets[column, row])
                i = end + 1
            elif b[i] == _MINUS or _ZERO <= b[i] <= _NINE:
                found = NUMBER
                end = i = _number(b, i)
                if column >= 0:
                    at = column * room + offsets[column, row] - start
                    for k in range(start, end):
                        out[at + k] = b[k]
            else:
                end = _literal(b, i, literals, 0, 4)
                if end < 0 and column < 0:
                    end = max(_literal(b, i, literals, 5, 9), _literal(b, i, literals, 10, 15))
                i = end
            if end < 0:
                return False
            if column >= 0:
                if seen >> column & 1:
                    return False
                seen |= 1 << column
                if found != NOTHING:
                    if kind[column] == NOTHING:
                        kind[column] = found
                    # Numbers in a column of text, or now one, now the other.
                    if found != kind[column] or (found == NUMBER and not numeric[column]):
                        return False
                    missing[column, row] = False
                    offsets[column, row + 1] = offsets[column, row] + end - start
            i = _blank(b, i)
            more = b[i] == _COMMA
            if more:
                i = _blank(b, i + 1)
        if b[i] != _CLOSE:
            return False
        i = _blank(b, i + 1)
        if b[i] != _NEWLINE:
            return False
        i += 1
    return i == len(b)


def plain_lines(
    data: bytes, wanted: Sequence[str], numbers: Collection[str] = ()
) -> pa.RecordBatch | None:
    """Read a chunk of plain objects.

    Parameters
    ----------
    data : bytes
        UTF-8, one object a line.
    wanted : sequence of str
        Columns, in their order.
    numbers : collection of str
        Those that are float64 where they are JSON numbers; the others are text.

    Returns
    -------
    pyarrow.RecordBatch or None
        The columns, one row a line, null where a line has no value; None if any line is not plain.
    """
    if not data.strip() or len(wanted) > _MOST_COLUMNS or len(data) >= 2**31 - 1:
        return None
    data = data if data.endswith(b"\n") else data + b"\n"
    b = np.frombuffer(data, np.uint8)
    rows, width = int(np.count_nonzero(b == _NEWLINE)), len(wanted)
    names = [name.encode() for name in wanted]
    keys = np.frombuffer(b"".join(names) or b" ", np.uint8)
    key_at = np.cumsum([0, *map(len, names)], dtype=np.int32)
    numeric = np.array([name in numbers for name in wanted])
    # Only what is written to is memory in truth.
    room = len(b) + 8
    out = np.empty(width * room, np.uint8)
    offsets = np.zeros((width, rows + 1), np.int32)
    missing = np.empty((width, rows), np.bool_)
    kind = np.zeros(width, np.uint8)
    if not _scan(b, keys, key_at, numeric, _LITERALS, out, offsets, missing, kind):
        return None
    columns = []
    for c in range(width):
        valid = None
        if missing[c].any():
            valid = pa.py_buffer(np.packbits(~missing[c], bitorder="little"))
        buffers = [valid, pa.py_buffer(offsets[c]), pa.py_buffer(out[c * room : (c + 1) * room])]
        column = pa.Array.from_buffers(pa.string(), rows, buffers)
        if numeric[c] and kind[c] != TEXT:
            column = column.cast(pa.float64())
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, names=list(wanted))
