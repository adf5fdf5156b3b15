"""A table of the city (meters, subjects, places, workers, contacts) as text columns, checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from connectors.columns import as_numbers, plain_text
from connectors.errors import InputError, TableError, clip, did_you_mean
from connectors.files import format_of, open_rows
from connectors.ids import MOST_BYTES
from connectors.rows import DETAIL, RAW, Columns
from connectors.streams import check_readable

_SHOWN = 50
"""Problems shown of one table; the others are counted."""
_CODES = 255


@dataclass
class TableFile:
    """Text columns of a table, and the problems found in it so far.

    Checks are methods that look at whole columns; each notes one problem a row. After the last
    one, :meth:`done` raises all of them at once.

    Parameters
    ----------
    name : str
        File, for messages.
    columns : dict of str to pyarrow.StringArray
        Trimmed, without nulls: a missing value is an empty string.
    rows : int
    broken : ndarray of bool, shape (rows,)
        Lines that are no record; no other problem of them is noted.
    """

    name: str
    columns: dict[str, pa.StringArray]
    rows: int
    broken: NDArray[np.bool_]
    problems: list[tuple[int, InputError]] = field(default_factory=list)
    total: int = 0

    @classmethod
    def load(cls, path: str, columns: Columns) -> TableFile:
        """Read a file.

        Raises
        ------
        InputError
            If the file cannot be used, or its end cannot be read: half a table is none.
        """
        if path != "-" and format_of(path) == "xlsx":
            return cls._load_xlsx(path, columns)
        reader = open_rows(path, columns, nested=("attrs",), multiline=True)
        parts: dict[str, list[pa.Array]] = {}
        malformed: list[tuple[int, str, str]] = []
        rows = 0
        try:
            for part in reader:
                for name in set(part.batch.schema.names) - {RAW, DETAIL}:
                    parts.setdefault(name, []).append(_trimmed(part.batch.column(name)))
                if part.malformed is not None:
                    for i in np.flatnonzero(part.malformed).tolist():
                        text, detail = (part.batch.column(c)[i].as_py() for c in (RAW, DETAIL))
                        malformed.append((part.start + i, detail, text))
                rows += len(part)
        finally:
            reader.close()
        if reader.problem is not None:
            raise reader.problem
        broken = np.zeros(rows, np.bool_)
        data = {k: pa.concat_arrays(v) for k, v in parts.items()}
        table = cls(reader.name, data, rows, broken)
        table._add_missing(columns)
        for row, detail, text in malformed:
            broken[row - 1] = True
            table.note(row, f"is no record: {detail}", got=text)
        return table

    @classmethod
    def of(cls, name: str, rows: Sequence[Mapping[str, str]], columns: Columns) -> TableFile:
        """Return a table of rows that are no file (a test of rules, a form); text by column."""
        data = {
            column: pa.array([row.get(column, "") for row in rows], pa.string())
            for column in (*columns.required, *columns.optional)
        }
        return cls(name, data, len(rows), np.zeros(len(rows), np.bool_))

    @classmethod
    def _load_xlsx(cls, path: str, columns: Columns) -> TableFile:
        from pathlib import Path

        check_readable(Path(path))
        try:
            import openpyxl
        except ImportError:
            raise InputError(
                path, "needs openpyxl", do="install gridwarden[xlsx], or save it as CSV"
            ) from None
        try:
            book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        except Exception as error:  # openpyxl raises zipfile, key and value errors alike
            raise InputError(path, "is not xlsx", got=str(error) or type(error).__name__) from None
        lines = [
            [_cell(v) for v in line]
            for line in book.worksheets[0].iter_rows(values_only=True)
            if any(v is not None for v in line)
        ]
        book.close()
        if not lines:
            raise InputError(path, "is empty", wanted=", ".join(columns.required))
        header = lines[0]
        wanted = columns.choose(path, header)
        data = {
            c: pa.array([line[header.index(c)] for line in lines[1:]], pa.string()) for c in wanted
        }
        table = cls(path, data, len(lines) - 1, np.zeros(len(lines) - 1, np.bool_))
        table._add_missing(columns)
        return table

    def _add_missing(self, columns: Columns) -> None:
        for name in (*columns.required, *columns.optional):
            if name not in self.columns:
                self.columns[name] = pa.array([""] * self.rows, pa.string())

    def note(
        self,
        row: int,
        what: str,
        *,
        got: str | None = None,
        wanted: str | None = None,
        do: str | None = None,
    ) -> None:
        """Note a problem of one row (from 1)."""
        self.total += 1
        if len(self.problems) < _SHOWN:
            shown = None if got is None else clip(repr(got))
            error = InputError(f"{self.name} row {row}", what, got=shown, wanted=wanted, do=do)
            self.problems.append((row, error))

    def note_all(self, bad: NDArray[np.bool_], column: str, what: str, wanted: str) -> None:
        """Note a problem of every row in `bad`."""
        rows = np.flatnonzero(bad & ~self.broken)
        for row in rows[:_SHOWN].tolist():
            got = self.columns[column][row].as_py()
            if got == "":
                self.note(row + 1, f"{column} is empty", wanted=wanted)
            else:
                self.note(row + 1, f"{column} {what}", got=got, wanted=wanted)
        self.total += max(0, len(rows) - _SHOWN)

    def done(self) -> None:
        """Raise all problems at once.

        Raises
        ------
        TableError
            If there are any.
        """
        if self.total:
            ordered = [error for _, error in sorted(self.problems, key=lambda p: p[0])]
            raise TableError(self.name, ordered, self.total)

    # ── checks, a column each ────────────────────────────────────────────────────────────────

    def text(self, column: str, *, required: bool = False) -> pa.StringArray:
        """Return a column of text."""
        values = self.columns[column]
        if required:
            self.note_all(_mask(pc.equal(values, "")), column, "", "some text")
        return values

    def unique(self, *names: str) -> pa.StringArray:
        """Return the first of the named columns; together they must not repeat."""
        values = self.text(names[0], required=True)
        long = pc.greater(pc.binary_length(values), MOST_BYTES)
        self.note_all(_mask(long), names[0], "is too long", f"at most {MOST_BYTES:,} bytes")
        key = values
        if len(names) > 1:
            key = pc.binary_join_element_wise(*(self.columns[n] for n in names), "\x1f")
        codes = key.dictionary_encode().indices.to_numpy(zero_copy_only=False)
        _, first = np.unique(codes, return_index=True)
        again = np.ones(self.rows, np.bool_)
        again[first] = False
        again &= ~_mask(pc.equal(values, "")) & ~self.broken
        # Name the row that stood first, so that both can be found.
        first_of = dict(zip(codes[first].tolist(), (first + 1).tolist(), strict=True))
        for row in np.flatnonzero(again)[:_SHOWN].tolist():
            what = " and ".join(names)
            other = first_of[int(codes[row])]
            self.note(row + 1, f"{what} is there already, in row {other}", got=values[row].as_py())
        self.total += max(0, int(again.sum()) - _SHOWN)
        return values

    def number(
        self, column: str, wanted: str, valid: Callable[[Any], Any], *, empty: float | None = None
    ) -> NDArray[np.float64]:
        """Return a column of numbers; an empty cell is `empty`, or a problem."""
        values = self.columns[column]
        numbers = as_numbers(values)
        blank = _mask(pc.equal(values, ""))
        with np.errstate(invalid="ignore"):
            bad = ~(np.isfinite(numbers) & np.asarray(valid(numbers), np.bool_))
        if empty is not None:
            bad &= ~blank
            numbers = np.where(blank, empty, numbers)
        self.note_all(bad, column, "is not valid", wanted)
        return np.where(bad, 1.0, numbers)

    def code(
        self, column: str, known: Sequence[str] | None = None, *, empty: str | None = None
    ) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
        """Return a column of few distinct words as (index, words)."""
        encoded = self.columns[column].dictionary_encode()
        words = [w if w or empty is None else empty for w in encoded.dictionary.to_pylist()]
        index = encoded.indices.to_numpy(zero_copy_only=False)
        allowed = sorted(set(words) - {""}) if known is None else list(known)
        lower = {a.lower(): i for i, a in reversed(list(enumerate(allowed)))}
        table = np.array([lower.get(w.lower(), -1) for w in words] or [0], np.int64)
        found = table[index] if self.rows else np.zeros(0, np.int64)
        hints = {w: did_you_mean(w, allowed) for w in words} if known is not None else {}
        wanted = "some text" if known is None else " or ".join(allowed)
        rows = np.flatnonzero((found < 0) & ~self.broken)
        for row in rows[:_SHOWN].tolist():
            got = self.columns[column][row].as_py()
            what = f"{column} is not known" if got else f"{column} is empty"
            self.note(row + 1, what, got=got or None, wanted=wanted, do=hints.get(got))
        self.total += max(0, len(rows) - _SHOWN)
        if len(allowed) > _CODES:
            wanted = f"at most {_CODES} different ones"
            self.note(1, f"{column} has {len(allowed)} different values", wanted=wanted)
        return np.clip(found, 0, _CODES).astype(np.uint8), tuple(allowed)

    def place(self, column: str, *, required: bool = False) -> pa.StringArray:
        """Return a column of place codes: digits."""
        values = self.text(column, required=required)
        bad = ~_mask(pc.match_substring_regex(values, r"^[0-9]*$"))
        self.note_all(bad, column, "is not a place code", "digits")
        return values


def _mask(array: pa.Array) -> NDArray[np.bool_]:
    return array.to_numpy(zero_copy_only=False).astype(np.bool_)


def _trimmed(column: pa.Array) -> pa.StringArray:
    return pc.fill_null(pc.utf8_trim_whitespace(plain_text(column)), "")


def _cell(value: object) -> str:
    """Return a spreadsheet cell as the text that a person sees."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime):
        midnight = (value.hour, value.minute, value.second) == (0, 0, 0)
        return value.date().isoformat() if midnight else value.isoformat()
    if isinstance(value, date):
        return value.isoformat()
    return str(value).strip()
