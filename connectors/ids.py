"""Ids of meters and subjects become dense integers, once, at the edge.

A table in arrays: 64-bit hashes, open addressing, and each hit verified against the id's bytes.
Files tend to name meters in the same order again and again, so each id remembers its successor;
in file order most look-ups compare bytes and hash nothing.
"""

from __future__ import annotations

import numba
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from connectors.machine import load_word, prefetch

UNKNOWN = -1
HEAD = 10
"""Bytes of an entry before its id: row (int32), where the entry begins that followed it last time
(int32, in words of 4 bytes), length of the id (uint16)."""
MOST_BYTES = 65_535
_GROUP = 32
"""Ids whose cache misses overlap: table, then entry, of some at a time."""
_MAX_LOAD = 0.7
_DICTIONARIES = 8
_PATIENCE, _IMPATIENCE = 512, 16
"""Ids out of order before a block is taken to have none: after one that had, and after one that had not."""


@numba.njit(cache=True, nogil=True)
def _hash(data, start, n):  # type: ignore[no-untyped-def]
    """Return a 64-bit hash of n bytes, eight at a time (after wyhash's mixing)."""
    prime = np.uint64(0xD6E8FEB86659FD93)
    h = np.uint64(0x9E3779B97F4A7C15) ^ np.uint64(n)
    i, stop = start, start + n
    while i + 8 <= stop:
        h = (h ^ load_word(data, i)) * prime
        h ^= h >> np.uint64(32)
        i += 8
    if i < stop:
        w = np.uint64(0)
        if n >= 8:
            w = load_word(data, stop - 8) >> np.uint64(8 * (8 - (stop - i)))
        else:
            for k in range(stop - i):
                w |= np.uint64(data[i + k]) << np.uint64(8 * k)
        h = (h ^ w) * prime
        h ^= h >> np.uint64(32)
    h *= prime
    return h ^ (h >> np.uint64(29))


@numba.njit(cache=True, nogil=True)
def _same(data, i, n, arena, entry):  # type: ignore[no-untyped-def]
    """Return whether the id of the entry that begins at a word is these n bytes."""
    at = np.int64(entry) * 4 + HEAD
    if n != np.int64(arena[at - 2]) | np.int64(arena[at - 1]) << 8:
        return False
    if n < 8:
        for k in range(n):  # noqa: SIM110 (numba)
            if data[i + k] != arena[at + k]:
                return False
        return True
    k = 0
    while k + 8 < n:
        if load_word(data, i + k) != load_word(arena, at + k):
            return False
        k += 8
    # The last eight, some of them perhaps for the second time.
    return load_word(data, i + n - 8) == load_word(arena, at + n - 8)


@numba.njit(cache=True, nogil=True)
def _find(data, i, n, h, slots, arena):  # type: ignore[no-untyped-def]
    """Return (entry, slot): entry −1 where the id is not there, and the slot where it would go."""
    mask = np.uint64(len(slots) - 1)
    tag = h >> np.uint64(32)
    at = h & mask
    while slots[at] != 0:
        if slots[at] >> np.uint64(32) == tag:
            entry = np.int64(slots[at] & np.uint64(0xFFFFFFFF)) - 1
            if _same(data, i, n, arena, entry):
                return entry, at
        at = (at + np.uint64(1)) & mask
    return np.int64(-1), at


@numba.njit(cache=True, nogil=True)
def _follow(data, offsets, slots, arena, words, previous, patience, out):  # type: ignore[no-untyped-def]
    """Write rows to `out` as long as ids come in a known order; return (rows done, last entry)."""
    misses = 0
    n_rows = len(offsets) - 1
    for r in range(n_rows):
        i = np.int64(offsets[r])
        n = np.int64(offsets[r + 1]) - i
        guess = np.int64(words[previous + 1])
        hit = _same(data, i, n, arena, guess)
        if not hit:
            # One step further gets over a meter that is missing, and keeps the order as it is.
            guess = np.int64(words[guess + 1])
            hit = _same(data, i, n, arena, guess)
        if hit:
            previous = guess
            out[r] = words[guess]
            continue
        misses += 1
        entry, _ = _find(data, i, n, _hash(data, i, n), slots, arena)
        out[r] = UNKNOWN
        if entry >= 0:
            words[previous + 1] = entry
            previous = entry
            out[r] = words[entry]
        if misses > patience + r // 4:  # no order to follow
            return r + 1, previous
    return n_rows, previous


@numba.njit(cache=True, nogil=True)
def _lookup(data, offsets, slots, arena, words, previous, first, out):  # type: ignore[no-untyped-def]
    """Write the row of each id from `first` on to `out`, ids in any order; return the last entry."""
    mask = np.uint64(len(slots) - 1)
    hashes = np.empty(_GROUP, np.uint64)
    found = np.empty(_GROUP, np.int64)
    for base in range(first, len(offsets) - 1, _GROUP):
        size = min(_GROUP, len(offsets) - 1 - base)
        for k in range(size):
            i = np.int64(offsets[base + k])
            h = _hash(data, i, np.int64(offsets[base + k + 1]) - i)
            hashes[k] = h
            prefetch(slots, h & mask)
        for k in range(size):
            # Past the slots of others: what is asked for ahead is to be the right entry.
            at = hashes[k] & mask
            tag = hashes[k] >> np.uint64(32)
            while slots[at] != 0 and slots[at] >> np.uint64(32) != tag:
                at = (at + np.uint64(1)) & mask
            entry = np.int64(slots[at] & np.uint64(0xFFFFFFFF)) - 1
            found[k] = entry
            if entry >= 0:
                # One of common length may end in the next line.
                prefetch(words, entry)
                prefetch(words, entry + 5)
        for k in range(size):
            entry = found[k]
            i = np.int64(offsets[base + k])
            n = np.int64(offsets[base + k + 1]) - i
            if entry < 0 or not _same(data, i, n, arena, entry):
                entry, _ = _find(data, i, n, hashes[k], slots, arena)
            out[base + k] = UNKNOWN
            if entry >= 0:
                out[base + k] = words[entry]
                words[previous + 1] = entry
                previous = entry
    return previous


@numba.njit(cache=True, nogil=True)
def _insert(data, offsets, rows, slots, arena, words, used):  # type: ignore[no-untyped-def]
    """Insert or update ids; return (new ones, words used)."""
    new = 0
    mask = np.uint64(len(slots) - 1)
    hashes = np.empty(_GROUP, np.uint64)
    for base in range(0, len(offsets) - 1, _GROUP):
        size = min(_GROUP, len(offsets) - 1 - base)
        for k in range(size):
            i = np.int64(offsets[base + k])
            hashes[k] = _hash(data, i, np.int64(offsets[base + k + 1]) - i)
            prefetch(slots, hashes[k] & mask)
        for k in range(size):
            i = np.int64(offsets[base + k])
            n = np.int64(offsets[base + k + 1]) - i
            h = hashes[k]
            entry, at = _find(data, i, n, h, slots, arena)
            if entry < 0:
                entry = used
                begin = entry * 4 + HEAD
                arena[begin - 2] = n & 255
                arena[begin - 1] = n >> 8
                for j in range(n):
                    arena[begin + j] = data[i + j]
                tag = (h >> np.uint64(32)) << np.uint64(32)
                slots[at] = tag | np.uint64(entry + 1)
                used = (begin + n + 3) // 4
                new += 1
            words[entry] = rows[base + k]
    return new, used


@numba.njit(cache=True, nogil=True)
def _rehash(slots, arena, used):  # type: ignore[no-untyped-def]
    mask = np.uint64(len(slots) - 1)
    entry = np.int64(0)
    while entry < used:
        begin = entry * 4 + HEAD
        n = np.int64(arena[begin - 2]) | np.int64(arena[begin - 1]) << 8
        h = _hash(arena, begin, n)
        at = h & mask
        while slots[at] != 0:
            at = (at + np.uint64(1)) & mask
        slots[at] = ((h >> np.uint64(32)) << np.uint64(32)) | np.uint64(entry + 1)
        entry = (begin + n + 3) // 4


class IdMap:
    """Map from ids (strings) to rows (int32), for millions of ids.

    What a look-up needs of an id stands together, bytes included, since in random order every array
    costs a miss. Memory beyond the id bytes: 10 to 13 an entry and 8 a slot, 22 to 36 bytes an id.

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
        self._used = 0
        self._slots = np.zeros(16, np.uint64)
        self._words = np.zeros(64, np.int32)  # entries, each from a whole word on
        self._previous = 0
        self._patience = _PATIENCE
        self._dictionaries: dict[tuple[int, int, int], tuple[pa.Array, NDArray[np.int32]]] = {}

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        """Bytes held, id bytes included."""
        return self._slots.nbytes + self._words.nbytes

    def put(self, ids: pa.Array, rows: NDArray[np.integer]) -> int:
        """Insert ids, or give known ones another row; return how many were new.

        Parameters
        ----------
        ids : pyarrow.StringArray, shape (n,)
            Without nulls.
        rows : ndarray of int, shape (n,)

        Raises
        ------
        OverflowError
            If an id has more than 65,535 bytes, or all take more than 8 GiB.
        """
        data, offsets = _strings(ids)
        self._reserve(offsets)
        values = np.ascontiguousarray(rows, np.int32)
        new, self._used = _insert(
            data, offsets, values, self._slots, self._arena, self._words, self._used
        )
        self._count += int(new)
        self._dictionaries.clear()
        return int(new)

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
        known = (self._slots, self._arena, self._words)
        done, last = _follow(data, offsets, *known, self._previous, self._patience, out)
        self._patience = _PATIENCE
        if done < len(ids):
            self._patience = _IMPATIENCE
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

    @property
    def _arena(self) -> NDArray[np.uint8]:
        """The entries as bytes."""
        return self._words.view(np.uint8)

    def _reserve(self, offsets: NDArray[np.int32]) -> None:
        more = len(offsets) - 1
        if more == 0:
            return
        length = np.diff(offsets)
        if (longest := int(length.max())) > MOST_BYTES:
            raise OverflowError(f"an id has {longest:,} bytes; at most {MOST_BYTES:,} can be kept")
        used = self._used + int(((HEAD + 3 + length) // 4).sum(dtype=np.int64))
        if used > len(self._words):
            if used > np.iinfo(np.int32).max:
                raise OverflowError(
                    "ids take more than 8 GiB; split the meters over several shards"
                )
            words = np.zeros(max(used, self._used + self._used // 4), np.int32)
            words[: self._used] = self._words[: self._used]
            self._words = words
        need = self._count + more
        if need > _MAX_LOAD * len(self._slots):
            slots = len(self._slots)
            while need > _MAX_LOAD * slots:
                slots *= 2
            self._slots = np.zeros(slots, np.uint64)
            _rehash(self._slots, self._arena, self._used)


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
