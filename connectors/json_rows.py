"""NDJSON and NDJSON.gz as rows, one chunk of whole lines at a time.

Plain lines go through a kernel of our own, others through Arrow's parser, and what neither takes is
read line by line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import msgspec
import pyarrow as pa
import pyarrow.json as pj

from connectors.errors import InputError
from connectors.json_kernel import plain_lines
from connectors.rows import Columns, RawRows, with_malformed
from connectors.streams import ByteSource, Chunk, line_chunks

_RAW = msgspec.json.Decoder(dict[str, msgspec.Raw])
_STRING = msgspec.json.Decoder(str)


class JsonRows:
    """Rows of a file with one JSON object a line (see :class:`connectors.rows.RowReader`).

    Parameters
    ----------
    numbers : tuple of str
        Columns that are JSON numbers as a rule. A chunk that shows otherwise is read line by
        line, and its numbers become the text that stood there.
    nested : tuple of str
        Columns that may be JSON objects; they become their JSON text.

    Raises
    ------
    InputError
        If the file is empty or no row of its first chunk has a required column.
    """

    def __init__(
        self,
        source: ByteSource,
        columns: Columns,
        *,
        numbers: tuple[str, ...] = (),
        nested: tuple[str, ...] = (),
        skip_rows: int = 0,
    ) -> None:
        self.name = source.name
        self._source = source
        self._skip = skip_rows
        self._chunks = line_chunks(source)
        first = next((c for c in self._chunks if c.data.strip()), None)
        if first is None:
            raise source.problem or InputError(
                self.name, "is empty", got=f"{source.consumed} bytes",
                wanted=f"{columns.what}, one JSON object a line",
            )  # fmt: skip
        self._first = first
        wanted = columns.choose(self.name, _names(self.name, columns, first.data))
        self._parser = JsonParser(wanted, numbers=numbers, nested=nested)

    @property
    def problem(self) -> InputError | None:
        """What keeps the end of the file from being read."""
        return self._source.problem

    def __iter__(self) -> Iterator[RawRows]:
        start = 1
        for chunk in self._bodies():
            lines = _objects(chunk.data) if start <= self._skip else None
            if lines is not None and start + lines - 1 <= self._skip:
                start += lines
                continue
            rows = self._parser.parse(chunk.data, start, torn=chunk.torn)
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
        yield self._first
        yield from self._chunks


class JsonParser:
    """Lines of JSON as rows.

    Parameters
    ----------
    wanted : sequence of str
        Columns, in their order.
    numbers, nested : tuple of str
        As of :class:`JsonRows`.
    """

    def __init__(
        self, wanted: Sequence[str], *, numbers: tuple[str, ...] = (), nested: tuple[str, ...] = ()
    ) -> None:
        self._wanted = list(wanted)
        self._numbers = numbers
        self._lines_only = bool(nested)
        types = {c: pa.float64() if c in numbers else pa.string() for c in wanted}
        self._schemas = [pa.schema(list(types.items()))]
        if numbers:
            self._schemas.append(pa.schema([(c, pa.string()) for c in wanted]))

    def parse(self, data: bytes, start: int, *, torn: bool = False) -> RawRows:
        """Parse lines; blank ones are no rows.

        Parameters
        ----------
        data : bytes
            One JSON object a line.
        start : int
            Position of the first row.
        torn : bool
            Whether the last line breaks off.
        """
        if torn or self._lines_only:
            return self._parse_lines(data, start, torn)
        if not _decodable(data):
            return self._parse_lines(data, start, torn)
        plain = plain_lines(data, self._wanted, self._numbers)
        if plain is not None:
            return RawRows(start, plain)
        lines = data.count(b"\n") + (not data.endswith(b"\n"))
        for i, schema in enumerate(self._schemas):
            table = _arrow(data, schema)
            # Rows are lines: an object over two lines would shift all positions after it.
            if table is not None and table.num_rows == lines:
                if i:
                    self._schemas.reverse()
                return RawRows(start, table.combine_chunks().to_batches()[0].select(self._wanted))
        return self._parse_lines(data, start, torn)

    def _parse_lines(self, data: bytes, start: int, torn: bool) -> RawRows:
        """Parse a chunk line by line: only one with broken lines, or with nested values."""
        rows: list[dict[str, str | None]] = []
        bad: list[int] = []
        texts: list[str] = []
        details: list[str] = []
        lines = [line for line in data.split(b"\n") if line.strip()]
        for i, line in enumerate(lines):
            record: dict[str, str | None] = {}
            problem = "file breaks off here" if torn and i == len(lines) - 1 else ""
            if not problem:
                record, problem = _record(line)
            if problem:
                bad.append(i)
                texts.append(line.decode(errors="backslashreplace").rstrip("\r"))
                details.append(problem)
            else:
                rows.append({c: record.get(c) for c in self._wanted})
        schema = pa.schema([(c, pa.string()) for c in self._wanted])
        good = pa.RecordBatch.from_pylist(rows, schema)
        return with_malformed(start, good, bad, texts, details)


def _decodable(data: bytes) -> bool:
    """Return whether a chunk is UTF-8 from end to end."""
    if not data.isascii():
        try:
            data.decode()
        except UnicodeDecodeError:
            return False
    return True


def _arrow(data: bytes, schema: pa.Schema) -> pa.Table | None:
    """Parse a chunk in bulk; None where any line does not fit the schema."""
    try:
        return pj.read_json(
            pa.BufferReader(data),
            read_options=pj.ReadOptions(use_threads=False, block_size=len(data) + 1),
            parse_options=pj.ParseOptions(
                explicit_schema=schema, unexpected_field_behavior="ignore"
            ),
        )
    except (pa.ArrowInvalid, UnicodeDecodeError):
        return None


def _objects(data: bytes) -> int | None:
    """Return the number of lines if each starts with a brace, so that none is blank."""
    lines = data.count(b"\n") + (not data.endswith(b"\n"))
    braces = data.count(b"\n{") + data.startswith(b"{")
    return lines if lines == braces else None


def _record(line: bytes) -> tuple[dict[str, str | None], str]:
    """Return an object's values as text, as it stood there; or what keeps the line from being one."""
    try:
        return {k: _text(bytes(v)) for k, v in _RAW.decode(line).items()}, ""
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    # What Arrow accepts and JSON does not (NaN), and words for what is wrong.
    try:
        value = json.loads(line, parse_float=str, parse_int=str, parse_constant=str)
    except UnicodeDecodeError as error:
        return {}, f"byte 0x{line[error.start]:02x} is not UTF-8"
    except (ValueError, RecursionError) as error:
        return {}, f"is not JSON: {error}; wanted an object"
    if not isinstance(value, dict):
        return {}, f"is a JSON {type(value).__name__}, wanted an object"
    return {
        k: v if v is None or isinstance(v, str) else json.dumps(v, ensure_ascii=False)
        for k, v in value.items()
    }, ""


def _text(value: bytes) -> str | None:
    if value == b"null":
        return None
    if value.startswith(b'"'):
        return _STRING.decode(value)
    return value.decode()


def _names(name: str, columns: Columns, data: bytes) -> list[str]:
    """Return the keys of the first objects; all required ones count where no line is an object."""
    found: dict[str, None] = {}
    objects = 0
    for line in data.split(b"\n", 100)[:100]:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            objects += 1
            found.update(dict.fromkeys(record))
    if objects == 0:
        head = data[:60].decode(errors="backslashreplace").splitlines()[0]
        raise InputError(
            name, "is not NDJSON: none of its first lines is a JSON object", got=repr(head),
            wanted=f"{columns.what}, one JSON object a line",
        )  # fmt: skip
    # Optional columns may first appear later; Arrow gives null where they do not.
    return [*found, *(c for c in columns.optional if c not in found)]
