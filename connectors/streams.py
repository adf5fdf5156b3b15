"""Bytes of a file, a gzip file or stdin, cut into chunks of whole lines."""

from __future__ import annotations

import os
import stat
import sys
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from connectors.errors import InputError

CHUNK_BYTES = 1 << 20
"""Size of a chunk: large enough to amortise a parser's call, small enough for the cache."""
MAX_LINE_BYTES = 64 << 20
"""A file without a line end in so many bytes is no text file."""
_GZIP = b"\x1f\x8b"
_PIECE = 1 << 18
_MAX_QUOTED_BYTES = 4 << 20
"""A quoted value longer than this is a quote that nobody closed."""


def check_readable(path: Path) -> None:
    """Refuse what cannot be read as a file.

    Raises
    ------
    InputError
        If there is nothing at `path`, it is a folder, or it may not be read.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        parent = path.parent
        do = "check the path" if parent.is_dir() else f"there is no folder {parent} either"
        raise InputError(str(path), "no such file", do=do) from None
    except OSError as error:
        raise InputError(str(path), f"cannot be read ({error.strerror})") from None
    if stat.S_ISDIR(mode):
        raise InputError(str(path), "is a folder", wanted="a file", do="name the files in it")
    if not os.access(path, os.R_OK):
        raise InputError(
            str(path), "cannot be read (permission denied)", do="grant read permission"
        )


class ByteSource:
    """Decompressed bytes of a file or of stdin (``-``), with progress in stored bytes.

    A gzip stream that breaks off gives what it held; :attr:`problem` then says so.
    """

    def __init__(self, path: str, *, gzip: bool | None = None, stream: IO[bytes] | None = None):
        self.path = path
        self.name = "stdin" if path == "-" else path
        self.size: int | None = None
        self.consumed = 0
        self.problem: InputError | None = None
        self._pending = b""
        self._peeked = b""
        if stream is not None:
            self._file = stream
        elif path == "-":
            self._file = sys.stdin.buffer
        else:
            check_readable(Path(path))
            self._file = Path(path).open("rb")  # noqa: SIM115 (closed by close)
            self.size = os.fstat(self._file.fileno()).st_size
        self._head = self._file.read(2)
        self.consumed = len(self._head)
        packed = self._head == _GZIP
        if gzip and not packed:
            self.close()
            got = "an empty file" if not self._head else f"bytes {self._head.hex(' ')}"
            raise InputError(
                self.name, "is not gzip", got=got, do="check the download, or rename it"
            )
        self._inflate = zlib.decompressobj(31) if packed and gzip is not False else None
        self._done = False

    def starts_with(self, prefix: bytes) -> bool:
        """Whether the decompressed stream starts with one byte `prefix`, blanks aside."""
        peeked = self.read(_PIECE)
        self._peeked = peeked
        return peeked.lstrip().startswith(prefix)

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes (at least one unless at the end)."""
        if self._peeked:
            peeked, self._peeked = self._peeked, b""
            return peeked
        if self._inflate is None:
            if self._head:
                head, self._head = self._head, b""
                return head
            data = self._read_file(size)
            self.consumed += len(data)
            return data
        return self._read_gzip(size)

    def _read_file(self, size: int) -> bytes:
        try:
            if self.path == "-" and hasattr(self._file, "read1"):
                return self._file.read1(size)  # what has come, without waiting for more
            return self._file.read(size)
        except OSError as error:
            self.problem = InputError(
                self.name,
                f"cannot be read beyond byte {self.consumed:,} ({error.strerror})",
                do="rows before it were used; repair the file and feed it again",
            )
            return b""

    def _read_gzip(self, size: int) -> bytes:
        while not self._done:
            assert self._inflate is not None
            if self._inflate.eof:
                rest = self._inflate.unused_data.lstrip(b"\0") or self._read_packed().lstrip(b"\0")
                if not rest:
                    self._done = True
                    return b""
                self._inflate = zlib.decompressobj(31)
                self._pending = rest
            packed = self._pending or self._read_packed()
            self._pending = b""
            if not packed:
                return self._broken("the gzip stream breaks off")
            before = self._inflate.copy()
            try:
                data = self._inflate.decompress(packed, size)
            except zlib.error as error:
                self._broken(f"the gzip stream is damaged ({error})")
                return _salvage(before, packed)
            self._pending = self._inflate.unconsumed_tail
            if data:
                return data
        return b""

    def _read_packed(self) -> bytes:
        if self._head:
            head, self._head = self._head, b""
            return head
        packed = self._read_file(_PIECE)
        self.consumed += len(packed)
        return packed

    def _broken(self, what: str) -> bytes:
        self._done = True
        self.problem = self.problem or InputError(
            self.name,
            f"{what} after {self.consumed:,} bytes",
            wanted="a complete file",
            do="rows before the break were used; copy the file anew and feed it again "
            "(rows already used count as duplicates)",
        )
        return b""

    def close(self) -> None:
        """Close the file (stdin stays open)."""
        if self.path != "-":
            self._file.close()


def _salvage(inflate: Any, packed: bytes) -> bytes:
    """Return what can be decompressed of a piece in which the stream is damaged."""
    parts = []
    with suppress(zlib.error):
        for byte in packed:
            parts.append(inflate.decompress(bytes((byte,))))  # noqa: PERF401 (stops at the damage)
    return b"".join(parts)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Whole lines.

    Parameters
    ----------
    data : bytes
        The lines, each with its line end but perhaps the last.
    offset : int
        Byte of the decompressed stream at which `data` starts.
    torn : bool
        Whether the last line was torn off by a stream that broke.
    """

    data: bytes
    offset: int
    torn: bool = False


def line_chunks(
    source: ByteSource, *, chunk_bytes: int = CHUNK_BYTES, multiline: bool = False
) -> Iterator[Chunk]:
    """Yield the stream as chunks of whole lines.

    Parameters
    ----------
    multiline : bool
        Whether line ends inside double quotes belong to the value (CSV tables with texts).
    """
    rest = b""
    offset = 0
    least = 1 if source.path == "-" else chunk_bytes // 2
    while data := source.read(chunk_bytes):
        whole = rest + data if rest else data
        cut = _last_line_end(whole, multiline) if len(whole) >= least else 0
        if cut:
            yield Chunk(whole[:cut], offset)
            offset += cut
        elif len(whole) > MAX_LINE_BYTES:
            source.problem = InputError(
                source.name,
                f"no line end within {MAX_LINE_BYTES >> 20} MiB from byte {offset:,}",
                wanted="lines of text",
                do="check that this is the file you mean",
            )
            yield Chunk(whole, offset, torn=True)
            return
        rest = whole[cut:]
    torn = source.problem is not None
    cut = rest.rfind(b"\n") + 1 if torn else len(rest)
    if cut:
        yield Chunk(rest[:cut], offset)
    if cut < len(rest):
        yield Chunk(rest[cut:], offset + cut, torn=True)


def _last_line_end(data: bytes, multiline: bool) -> int:
    """Return the length up to the last line end that is not inside quotes; 0 if there is none."""
    if not multiline or b'"' not in data:
        return data.rfind(b"\n") + 1
    raw = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(raw == ord("\n"))
    quotes = np.flatnonzero(raw == ord('"'))
    outside = ends[np.searchsorted(quotes, ends) % 2 == 0]
    if len(outside):
        return int(outside[-1]) + 1
    return data.rfind(b"\n") + 1 if len(data) > _MAX_QUOTED_BYTES else 0


def count_lines(data: bytes) -> int | None:
    """Return the number of lines, or None where blank lines or odd line ends need a closer look."""
    returns = data.count(b"\r")
    blank = data[:1] in b"\r\n" or b"\n\n" in data or b"\n\r\n" in data
    if blank or (returns and returns != data.count(b"\r\n")):
        return None
    return data.count(b"\n") + (not data.endswith(b"\n"))
