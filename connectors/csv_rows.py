"""CSV and CSV.gz as rows, through Arrow's parser, one chunk of whole lines at a time.

Chunks isolate damage: a line with the wrong number of fields, an open quote or bytes that are no
UTF-8 costs that line alone, and its text goes to quarantine.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator

import numba
import numpy as np
import pyarrow as pa
import pyarrow.csv as pc

from connectors.errors import InputError
from connectors.machine import load_word
from connectors.rows import Columns, RawRows, with_malformed
from connectors.streams import ByteSource, Chunk, count_lines, line_chunks

_ENCODING_SHARE = 0.1
"""Share of undecodable lines in the first chunk from which the whole file is in another encoding."""


class CsvRows:
    """Rows of a CSV file (see :class:`connectors.rows.RowReader`).

    Raises
    ------
    InputError
        If the file is empty, a column is missing or the file is not UTF-8.
    """

    def __init__(
        self,
        source: ByteSource,
        columns: Columns,
        *,
        multiline: bool = False,
        skip_rows: int = 0,
    ) -> None:
        self.name = source.name
        self._skip = skip_rows
        self._source = source
        self._multiline = multiline
        self._chunks = line_chunks(source, multiline=multiline)
        # Blank lines before the header may fill a chunk of their own.
        first = next((c for c in self._chunks if c.data.strip(b"\r\n")), None)
        if first is None:
            raise _empty(source, columns)
        header, body, self._first_offset = self._split_header(first)
        self._header = header
        self._wanted = columns.choose(self.name, header)
        self._body = body
        self._convert = pc.ConvertOptions(
            # Bytes, because chunks are checked to be UTF-8 as a whole, which costs half as much.
            column_types={c: pa.binary() for c in self._wanted},
            include_columns=self._wanted,
            strings_can_be_null=False,
        )

    @property
    def problem(self) -> InputError | None:
        """What keeps the end of the file from being read."""
        return self._source.problem

    def __iter__(self) -> Iterator[RawRows]:
        start = 1
        first = True
        for chunk in self._bodies():
            if start <= self._skip and not (self._multiline and b'"' in chunk.data):
                lines = count_lines(chunk.data)
                if lines is not None and start + lines - 1 <= self._skip:
                    start += lines
                    continue
            rows = self._parse(chunk, start, first)
            first = False
            if len(rows):
                yield rows
                start += len(rows)

    def progress(self) -> tuple[int, int | None]:
        """Return stored bytes read and in all."""
        return self._source.consumed, self._source.size

    def close(self) -> None:
        """Close the file."""
        self._source.close()

    def _bodies(self) -> Iterator[Chunk]:
        if self._body:
            yield Chunk(self._body, self._first_offset)
        yield from self._chunks

    def _split_header(self, first: Chunk) -> tuple[list[str], bytes, int]:
        data = first.data
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in data[:64]:
            raise InputError(
                self.name, "is not UTF-8", got="UTF-16, or no text", wanted="UTF-8",
                do="save it as UTF-8 (iconv -f UTF-16 -t UTF-8)",
            )  # fmt: skip
        start = len(codecs.BOM_UTF8) if data.startswith(codecs.BOM_UTF8) else 0
        while data[start : start + 1] in (b"\n", b"\r"):
            start += 1
        end = data.find(b"\n", start) + 1 or len(data)
        line = data[start:end]
        try:
            text = line.decode()
        except UnicodeDecodeError:
            raise _encoding(self.name, line, first.offset + start, "the header") from None
        names = next(csv.reader([text.rstrip("\r\n")]), [])
        return [n.strip() for n in names], data[end:], first.offset + end

    def _parse(self, chunk: Chunk, start: int, first: bool) -> RawRows:
        data = chunk.data
        if chunk.torn:
            text = data.decode(errors="backslashreplace")
            return with_malformed(start, self._arrow(b"")[0], [0], [text], ["file breaks off here"])
        if _clean(data, self._multiline):
            good, bad = self._arrow(data, self._multiline)
            if any("\n" in text for _, text, _ in bad):
                # A quote that nobody closed must not swallow the lines that follow it.
                return self._parse_damaged(chunk, start, first)
            return with_malformed(
                start, good, [b[0] for b in bad], [b[1] for b in bad], [b[2] for b in bad]
            )
        return self._parse_damaged(chunk, start, first)

    def _parse_damaged(self, chunk: Chunk, start: int, first: bool) -> RawRows:
        """Take out lines that would spoil their neighbours, parse the rest in bulk."""
        lines = [line for line in chunk.data.splitlines(keepends=True) if line.strip(b"\r\n")]
        problems = [_line_problem(line) for line in lines]
        undecodable = [i for i, problem in enumerate(problems) if problem.endswith("UTF-8")]
        if first and len(undecodable) > _ENCODING_SHARE * len(lines):
            raise _encoding(self.name, chunk.data, chunk.offset, f"row {start + undecodable[0]}")
        kept = [i for i, problem in enumerate(problems) if not problem]
        good, ragged = self._arrow(b"".join(lines[i] for i in kept))
        bad = [(kept[i], text, detail) for i, text, detail in ragged]
        bad += [
            (i, lines[i].decode(errors="backslashreplace").rstrip("\r\n"), problem)
            for i, problem in enumerate(problems)
            if problem
        ]
        bad.sort()
        return with_malformed(
            start, good, [b[0] for b in bad], [b[1] for b in bad], [b[2] for b in bad]
        )

    def _arrow(
        self, data: bytes, multiline: bool = False
    ) -> tuple[pa.RecordBatch, list[tuple[int, str, str]]]:
        """Parse lines; also return (index, text, detail) of those with a wrong number of fields."""
        bad: list[tuple[int, str, str]] = []

        def invalid(row: pc.InvalidRow) -> str:
            detail = f"{row.actual_columns} fields, wanted {row.expected_columns}"
            bad.append((row.number - 1, row.text.rstrip("\r\n"), detail))
            return "skip"

        if not data or data.isspace():
            return pa.RecordBatch.from_pylist(
                [], pa.schema([(c, pa.string()) for c in self._wanted])
            ), bad
        table = pc.read_csv(
            pa.BufferReader(data),
            read_options=pc.ReadOptions(
                use_threads=False, column_names=self._header, block_size=len(data) + 1
            ),
            parse_options=pc.ParseOptions(
                newlines_in_values=multiline, invalid_row_handler=invalid
            ),
            convert_options=self._convert,
        )
        batches = table.combine_chunks().to_batches()
        if not batches:
            return self._arrow(b"")[0], bad
        texts = [
            pa.Array.from_buffers(pa.string(), len(column), column.buffers(), offset=column.offset)
            for column in batches[0].columns
        ]
        return pa.RecordBatch.from_arrays(texts, names=self._wanted), bad


def _clean(data: bytes, multiline: bool) -> bool:
    """Whether no line can spoil its neighbours: all is UTF-8 and every quote is closed in its line."""
    if not data.isascii():
        try:
            data.decode()
        except UnicodeDecodeError:
            return False
    if multiline or b'"' not in data:
        return True
    return bool(_quotes_close(np.frombuffer(data, np.uint8)))


@numba.njit(cache=True, nogil=True)
def _quotes_close(data):  # type: ignore[no-untyped-def]
    """Whether the number of quotes in each line is even; eight bytes at a time."""
    full = len(data) // 8 * 8
    open_ = np.uint64(0)  # a bit for each of eight bytes: all set within quotes
    for i in range(0, full, 8):
        word = load_word(data, i)
        within = _bytes_that_are(word, np.uint64(0x2222222222222222))  # "
        for shift in (1, 2, 4):  # … and after each of them up to the next
            within ^= within << np.uint64(shift)
        within = (within ^ open_) & np.uint64(0xFF)
        if within & _bytes_that_are(word, np.uint64(0x0A0A0A0A0A0A0A0A)):
            return False
        open_ = np.uint64(0xFF) if within >> np.uint64(7) else np.uint64(0)
    opened = open_ != np.uint64(0)
    for i in range(full, len(data)):
        if data[i] == 34:
            opened = not opened
        elif data[i] == 10 and opened:
            return False
    return not opened


@numba.njit(cache=True, nogil=True)
def _bytes_that_are(word, wanted):  # type: ignore[no-untyped-def]
    """Return a bit for each byte of a word, the lowest first, that is the one wanted says eight times."""
    low = np.uint64(0x7F7F7F7F7F7F7F7F)
    other = word ^ wanted
    same = ~(((other & low) + low) | other | low)  # the highest bit of each byte that is 0
    # Multiplied, these bits meet in the highest byte, each in a place of its own.
    return ((same >> np.uint64(7)) * np.uint64(0x0102040810204080)) >> np.uint64(56)


def _empty(source: ByteSource, columns: Columns) -> InputError:
    if source.problem is not None:
        return source.problem
    return InputError(
        source.name, "is empty", got=f"{source.consumed} bytes",
        wanted=f"{columns.what} with a header: " + ",".join(columns.required),
        do="check the export that wrote it",
    )  # fmt: skip


def _line_problem(line: bytes) -> str:
    """Return what would make a line spoil its neighbours, or an empty string."""
    try:
        line.decode()
    except UnicodeDecodeError as error:
        return f"byte 0x{line[error.start]:02x} is not UTF-8"
    return "a double quote is not closed" if line.count(b'"') % 2 else ""


def _encoding(name: str, data: bytes, offset: int, where: str) -> InputError:
    """Return the error of a file in another encoding, and the likely name of that one."""
    at = 0
    try:
        data.decode()
    except UnicodeDecodeError as error:
        at = error.start
    try:
        data.decode("gb18030")
        guess = "GB18030"
    except UnicodeDecodeError:
        guess = "Latin-1"
    return InputError(
        name,
        f"is not UTF-8: {where}, byte {offset + at:,} is 0x{data[at]:02x}",
        wanted="UTF-8",
        do=f"convert it (iconv -f {guess} -t UTF-8)",
    )
