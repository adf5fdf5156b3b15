"""Ids of meters and subjects become dense integers, once, at the edge.

A table in arrays: 64-bit hashes, open addressing, and each hit verified against the id's bytes.
Files tend to name meters in the same order again and again, so each id remembers its successor;
in file order most look-ups compare bytes and hash nothing.
"""

from __future__ import annotations

from typing import TypeVar

import numba
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from connectors.machine import prefetch

UNKNOWN = -1
S = TypeVar("S", bound=np.generic)
ENTRY = np.dtype([("start", np.uint32), ("row", np.int32), ("after", np.int32)])
"""Where an id's bytes begin, its row, and the entry that followed it last time: what a look-up needs
of an id stands together, since in random order every array costs a miss."""
_MAX_LOAD = 0.7
_DICTIONARIES = 8


@numba.njit(cache=True, nogil=True)
def _hash(data, start, stop):  # type: ignore[no-untyped-def]
    """Return a 64-bit hash of some bytes, eight at a time (after wyhash's mixing)."""
    h = np.uint64(0x9E3779B97F4A7C15) ^ np.uint64(stop - start)
    i = start
    while i < stop:
        w = np.uint64(0)
        if i + 8 <= stop:
            for k in range(8):
                w |= np.uint64(data[i + k]) << np.uint64(8 * k)
        else:
            for k in range(stop - i):
                w |= np.uint64(data[i + k]) << np.uint64(8 * k)
        h = (h ^ w) * np.uint64(0xD6E8FEB86659FD93)
        h ^= h >> np.uint64(32)
        i += 8
    h *= np.uint64(0xD6E8FEB86659FD93)
    return h ^ (h >> np.uint64(29))


@numba.njit(cache=True, nogil=True)
def _equal(a, i, n, b, j, m):  # type: ignore[no-untyped-def]
    if n != m:
        return False
    for k in range(n):  # noqa: SIM110 (numba)
        if a[i + k] != b[j + k]:
            return False
    return True


@numba.njit(cache=True, nogil=True)
def _find(data, i, n, h, slots, text, entries):  # type: ignore[no-untyped-def]
    """Return (entry, slot): entry −1 where the id is not there, and the slot where it would go."""
    mask = np.uint64(len(slots) - 1)
    tag = h >> np.uint64(32)
    at = h & mask
    while slots[at] != 0:
        if slots[at] >> np.uint64(32) == tag:
            entry = np.int64(slots[at] & np.uint64(0xFFFFFFFF)) - 1
            s = np.int64(entries[entry].start)
            if _equal(data, i, n, text, s, np.int64(entries[entry + 1].start) - s):
                return entry, at
        at = (at + np.uint64(1)) & mask
    return np.int64(-1), at


@numba.njit(cache=True, nogil=True)
def _follow(data, offsets, slots, text, entries, previous, out):  # type: ignore[no-untyped-def]
    """Write rows to `out` as long as ids come in a known order; return (rows done, last entry)."""
    misses = 0
    n_rows = len(offsets) - 1
    for r in range(n_rows):
        i = np.int64(offsets[r])
        n = np.int64(offsets[r + 1]) - i
        guess = np.int64(entries[previous].after)
        s = np.int64(entries[guess].start)
        hit = _equal(data, i, n, text, s, np.int64(entries[guess + 1].start) - s)
        if not hit:
            # One step further gets over a meter that is missing, and keeps the order as it is.
            guess = np.int64(entries[guess].after)
            s = np.int64(entries[guess].start)
            hit = _equal(data, i, n, text, s, np.int64(entries[guess + 1].start) - s)
        if hit:
            previous = guess
            out[r] = entries[guess].row
            continue
        misses += 1
        entry, _ = _find(data, i, n, _hash(data, i, i + n), slots, text, entries)
        out[r] = -1
        if entry >= 0:
            entries[previous].after = entry
            previous = entry
            out[r] = entries[entry].row
        if misses > 512 + r // 4:  # no order to follow
            return r + 1, previous
    return n_rows, previous


@numba.njit(cache=True, nogil=True)
def _lookup(data, offsets, slots, text, entries, previous, first, out):  # type: ignore[no-untyped-def]
    """Write the row of each id from `first` on to `out`, ids in any order; return the last entry.

    Stage by stage for some ids at a time, so that their cache misses overlap.
    """
    group = 32
    mask = np.uint64(len(slots) - 1)
    hashes = np.empty(group, np.uint64)
    found = np.empty(group, np.int64)
    for base in range(first, len(offsets) - 1, group):
        size = min(group, len(offsets) - 1 - base)
        for k in range(size):
            h = _hash(data, np.int64(offsets[base + k]), np.int64(offsets[base + k + 1]))
            hashes[k] = h
            prefetch(slots, h & mask)
        for k in range(size):
            entry = np.int64(slots[hashes[k] & mask] & np.uint64(0xFFFFFFFF)) - 1
            found[k] = entry
            prefetch(entries, max(entry, 0))
        for k in range(size):
            prefetch(text, entries[max(found[k], 0)].start)
        for k in range(size):
            entry = found[k]
            i = np.int64(offsets[base + k])
            n = np.int64(offsets[base + k + 1]) - i
            s = np.int64(entries[max(entry, 0)].start)
            same = _equal(data, i, n, text, s, np.int64(entries[max(entry, 0) + 1].start) - s)
            if entry < 0 or not same:
                entry, _ = _find(data, i, n, hashes[k], slots, text, entries)
            out[base + k] = -1
            if entry >= 0:
                out[base + k] = entries[entry].row
                entries[previous].after = entry
                previous = entry
    return previous


@numba.njit(cache=True, nogil=True)
def _insert(data, offsets, values, slots, text, entries, count):  # type: ignore[no-untyped-def]
    """Insert or update ids; return the new count of entries."""
    for r in range(len(offsets) - 1):
        i = np.int64(offsets[r])
        n = np.int64(offsets[r + 1]) - i
        h = _hash(data, i, i + n)
        entry, at = _find(data, i, n, h, slots, text, entries)
        if entry < 0:
            entry = count
            begin = np.int64(entries[entry].start)
            for k in range(n):
                text[begin + k] = data[i + k]
            entries[entry + 1].start = np.uint32(begin + n)
            tag = (h >> np.uint64(32)) << np.uint64(32)
            slots[at] = tag | np.uint64(entry + 1)
            count += 1
        entries[entry].row = values[r]
    return count


@numba.njit(cache=True, nogil=True)
def _rehash(slots, text, entries, count):  # type: ignore[no-untyped-def]
    mask = np.uint64(len(slots) - 1)
    for entry in range(count):
        h = _hash(text, np.int64(entries[entry].start), np.int64(entries[entry + 1].start))
        at = h & mask
        while slots[at] != 0:
            at = (at + np.uint64(1)) & mask
        slots[at] = ((h >> np.uint64(32)) << np.uint64(32)) | np.uint64(entry + 1)


class IdMap:
    """Map from ids (strings) to rows (int32), for millions of ids.

    Memory beyond the id bytes: 12 bytes an entry and 8 a slot, 23 to 35 bytes an id.

    Examples
    --------
    >>> ids = IdMap()
    >>> ids.put(pa.array(["m1", "m2"]), np.array([10, 20]))
    2
    >>> ids.lookup(pa.array(["m2", "m3", None, "m1"]))
    array([20, -1, -1, 10], dtype=int32)
    """

    def __init__(self) -> None:
        self._count = 0
        self._slots = np.zeros(16, np.uint64)
        self._text = np.zeros(64, np.uint8)
        self._entries = np.zeros(2, ENTRY)  # one more than ids: an id ends where the next begins
        self._previous = 0
        self._dictionaries: dict[tuple[int, int, int], tuple[pa.Array, NDArray[np.int32]]] = {}

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        """Bytes held, id bytes included."""
        return self._slots.nbytes + self._text.nbytes + self._entries.nbytes

    def put(self, ids: pa.Array, rows: NDArray[np.integer]) -> int:
        """Insert ids, or give known ones another row; return how many were new.

        Parameters
        ----------
        ids : pyarrow.StringArray, shape (n,)
            Without nulls.
        rows : ndarray of int, shape (n,)
        """
        data, offsets = _strings(ids)
        before = self._count
        self._reserve(len(ids), int(offsets[-1] - offsets[0]) if len(ids) else 0)
        values = np.ascontiguousarray(rows, np.int32)
        self._count = int(
            _insert(data, offsets, values, self._slots, self._text, self._entries, self._count)
        )
        self._dictionaries.clear()
        return self._count - before

    def lookup(self, ids: pa.Array) -> NDArray[np.int32]:
        """Return the rows of ids, −1 where unknown or null; int32, shape (n,)."""
        if isinstance(ids, pa.DictionaryArray):
            table = self._dictionary(ids.dictionary)
            codes = ids.indices
            if codes.null_count:
                codes = pc.fill_null(codes.cast(pa.int64()), len(table) - 1)
            return table[codes.to_numpy(zero_copy_only=False)]
        if self._count == 0:
            return np.full(len(ids), UNKNOWN, np.int32)
        out = np.empty(len(ids), np.int32)
        data, offsets = _strings(ids)
        known = (self._slots, self._text, self._entries)
        done, last = _follow(data, offsets, *known, self._previous, out)
        if done < len(ids):
            last = _lookup(data, offsets, *known, last, done, out)
        self._previous = int(last)
        if ids.null_count:
            out[ids.is_null().to_numpy(zero_copy_only=False)] = UNKNOWN
        return out

    def _dictionary(self, dictionary: pa.Array) -> NDArray[np.int32]:
        """Return rows by code, and UNKNOWN as last entry, for null; remembered by buffer."""
        buffers = dictionary.buffers()
        address = buffers[1].address if len(buffers) > 1 and buffers[1] is not None else 0
        key = (address, dictionary.offset, len(dictionary))
        known = self._dictionaries.get(key)
        if known is None:
            strings = dictionary if dictionary.type == pa.string() else dictionary.cast(pa.string())
            rows = np.append(self.lookup(strings), np.int32(UNKNOWN))
            if len(self._dictionaries) >= _DICTIONARIES:
                self._dictionaries.pop(next(iter(self._dictionaries)))
            # Holding the dictionary keeps its address from being given to another one.
            self._dictionaries[key] = known = (dictionary, rows)
        return known[1]

    def _reserve(self, more: int, more_bytes: int) -> None:
        need = self._count + more
        if need >= len(self._entries):
            size = max(need, self._count + self._count // 4)
            self._entries = _resized(self._entries, size + 1)
        used = int(self._entries["start"][self._count])
        if used + more_bytes > len(self._text):
            self._text = _resized(self._text, max(used + more_bytes, used + used // 4))
        if len(self._text) > np.iinfo(np.uint32).max:
            raise OverflowError("ids take more than 4 GiB; split the meters over several shards")
        if need > _MAX_LOAD * len(self._slots):
            slots = len(self._slots)
            while need > _MAX_LOAD * slots:
                slots *= 2
            self._slots = np.zeros(slots, np.uint64)
            _rehash(self._slots, self._text, self._entries, self._count)


def _resized(array: NDArray[S], size: int) -> NDArray[S]:
    out = np.zeros(size, array.dtype)
    out[: len(array)] = array
    return out


def _strings(ids: pa.Array) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Return (bytes, offsets) of a string array, as views where possible."""
    if ids.type != pa.string():
        ids = ids.cast(pa.string())
    _, offsets, data = ids.buffers()
    if offsets is None or len(ids) == 0:
        return np.zeros(1, np.uint8), np.zeros(len(ids) + 1, np.int32)
    first = np.frombuffer(offsets, np.int32)[ids.offset : ids.offset + len(ids) + 1]
    text = (
        np.zeros(1, np.uint8) if data is None or data.size == 0 else np.frombuffer(data, np.uint8)
    )
    return text, first
