"""Rows as a reader gives them: columns as they stand in the file, nothing interpreted yet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from connectors.errors import InputError, clip, did_you_mean

RAW, DETAIL = "raw", "detail"
"""Columns that hold the text of lines that are no record, and what is wrong with them."""


@dataclass(frozen=True, slots=True)
class RawRows:
    """Some rows of a source.

    Parameters
    ----------
    start : int
        Position of the first row, from 1; the others follow without gaps.
    batch : pyarrow.RecordBatch
        The wanted columns, in the wanted order; null where a line is malformed. Batches with
        malformed lines have two more columns, :data:`RAW` and :data:`DETAIL`.
    malformed : ndarray of bool, shape (n,), or None
        Lines that are no record at all.
    """

    start: int
    batch: pa.RecordBatch
    malformed: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return int(self.batch.num_rows)

    def drop(self, rows: int) -> RawRows:
        """Return all but the first `rows`."""
        return RawRows(
            self.start + rows,
            self.batch.slice(rows),
            None if self.malformed is None else self.malformed[rows:],
        )


class RowReader(Protocol):
    """A reader of one file: iterate once; afterwards :attr:`problem` says if the end is missing."""

    name: str

    @property
    def problem(self) -> InputError | None:
        """What keeps the end of the file from being read; None so far."""
        ...

    def __iter__(self) -> Iterator[RawRows]: ...

    def progress(self) -> tuple[int, int | None]:
        """Return (done, total) in bytes or rows; total is None where unknown."""
        ...

    def close(self) -> None:
        """Release the file."""
        ...


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns that a reader is to find.

    Parameters
    ----------
    required, optional : tuple of str
        Names; required ones must be there.
    what : str
        What the file holds, for messages (``readings``).
    """

    what: str
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()

    def choose(self, name: str, found: Sequence[str]) -> list[str]:
        """Return the wanted columns that are there.

        Raises
        ------
        InputError
            If a required column is missing or a wanted one is there twice.
        """
        missing = [c for c in self.required if c not in found]
        if missing:
            raise self.missing(name, missing, found)
        wanted = [c for c in (*self.required, *self.optional) if c in found]
        twice = [c for c in wanted if list(found).count(c) > 1]
        if twice:
            raise InputError(
                name, f"column {_quoted(twice)} is there twice", do="rename one of them"
            )
        return wanted

    def missing(self, name: str, missing: Sequence[str], found: Sequence[str]) -> InputError:
        """Return the error for missing columns."""
        hints = [h for m in missing if (h := did_you_mean(m, found))]
        if len(found) == 1 and (mark := next((m for m in ";\t|" if m in found[0]), "")):
            hints = [f"columns seem to be separated by {mark!r}; separate them by commas"]
        noun = "column is" if len(missing) == 1 else "columns are"
        return InputError(
            name,
            f"{noun} missing: {_quoted(missing)}",
            got=clip(", ".join(found)) or "no columns",
            wanted=f"{self.what} with " + ", ".join(self.required),
            do=" ".join(hints) or "add or rename the columns",
        )


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f'"{n}"' for n in names)


def with_malformed(
    start: int,
    good: pa.RecordBatch,
    bad: Sequence[int],
    texts: Sequence[str],
    details: Sequence[str],
) -> RawRows:
    """Return `good` rows with malformed lines put back where they stood.

    Parameters
    ----------
    bad : sequence of int
        Indices, ascending, of the malformed lines among all lines.
    texts, details : sequences of str
        Their text, and what is wrong with each.
    """
    if not bad:
        return RawRows(start, good)
    mask = np.zeros(good.num_rows + len(bad), np.bool_)
    mask[np.asarray(bad)] = True
    index = np.cumsum(~mask) - 1
    taken = good.take(pa.array(np.where(mask, 0, index), mask=mask, type=pa.int64()))
    at = pa.array(np.where(mask, np.cumsum(mask) - 1, 0), mask=~mask, type=pa.int64())
    extra = [pa.array(texts, pa.string()).take(at), pa.array(details, pa.string()).take(at)]
    batch = pa.RecordBatch.from_arrays(
        [*taken.columns, *extra], names=[*taken.schema.names, RAW, DETAIL]
    )
    return RawRows(start, batch, mask)
