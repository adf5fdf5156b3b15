"""A shard's state as one immutable file: arrays and a JSON header in an uncompressed zip.

``write`` → temporary file, fsync, rename, fsync of the folder; so a name that is there is whole,
unless the disk tore it. Every array has its SHA-256 in the header, the header has its own in the
file's name and in the store: what does not match is refused by name. No pickle, ever. Arrays begin
at multiples of 64 bytes and are mapped from the file. Any zip tool and ``numpy.load`` open it.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import mmap
import os
import re
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import numpy as np
import structlog
from numpy.typing import NDArray

SCHEMA = 1
"""Version of the container; what is in it has versions of its own."""
HEADER = "header.json"
ALIGN = 64
_PIECE_BYTES = 1 << 22
_PADDING_ID = 0xD935
"""Id of the zip extra field that Android's zipalign uses for the same purpose."""
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_SAFE = re.compile(r"[^A-Za-z0-9_-]")

log = structlog.get_logger()


class SnapshotFileError(RuntimeError):
    """A snapshot file cannot be written or read; the message says which and what to do."""


class DiskFull(SnapshotFileError):  # noqa: N818 -- says what happened
    """No room for a snapshot; the one before stays current."""


class TornSnapshot(SnapshotFileError):  # noqa: N818 -- says what happened
    """A snapshot file is not what its name says."""


class SnapshotRef(NamedTuple):
    """Which snapshot; what the store keeps of it."""

    shard: str
    epoch: int
    offset: int
    file: str
    sha256: str
    nbytes: int
    state_hash: str = ""
    """Hash of the state alone (header and arrays), equal wherever the state is equal."""


class Snapshot(NamedTuple):
    """An opened snapshot; arrays are read when they are asked for."""

    ref: SnapshotRef
    header: dict[str, Any]
    arrays: Mapping[str, NDArray[Any]]


class _Forward(io.RawIOBase):
    """A file that is only written front to back, so that the zip never goes back to mend a header."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.position = 0

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view):  # an unbuffered file may take less than it is given
            done += self.file.write(view[done:])
        self.position += done
        return done

    def tell(self) -> int:
        return self.position


class SnapshotFolder:
    """Snapshots of shards in a folder that all workers reach.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    keep : int
        How many of a shard's snapshots retention leaves.
    opener : callable, optional
        Opens the temporary file for writing; tests give one that fails.
    """

    def __init__(
        self, folder: Path, keep: int = 3, opener: Callable[[Path], IO[bytes]] | None = None
    ) -> None:
        if keep < 1:
            raise ValueError(f"snapshots: keep must be >= 1, got {keep}")
        self.folder = folder
        self.keep = keep
        self._open = opener or (lambda path: path.open("xb", buffering=0))

    # -- writing ------------------------------------------------------------------------------

    def write(
        self,
        shard: str,
        epoch: int,
        offset: int,
        header: Mapping[str, Any],
        arrays: Mapping[str, NDArray[Any]],
    ) -> SnapshotRef:
        """Write a snapshot and return which one it is; it is not current yet.

        Parameters
        ----------
        shard, epoch, offset
            Whose, written by which epoch, and up to where in the log.
        header : mapping
            Plain values (JSON).
        arrays : mapping of str to ndarray
            Names may have parts: ``"inactivity@3600/profile"``.

        Raises
        ------
        DiskFull
            If there is no room; nothing is left behind.
        SnapshotFileError
            If the folder cannot be written, a name or a dtype cannot be stored.
        """
        _check(header, arrays)
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f".{_safe(shard)}.e{epoch}.{os.getpid()}.tmp"
        temporary.unlink(missing_ok=True)
        about = {"schema": SCHEMA, "shard": shard, "epoch": epoch, "offset": offset}
        try:
            with self._open(temporary) as file:
                sink = _Forward(file)
                digest, state_hash = _write_zip(sink, about, header, arrays)
                file.flush()
                os.fsync(file.fileno())
            name = f"{_safe(shard)}.e{epoch:06d}.o{offset:014d}.{digest[:16]}.snap"
            temporary.rename(self.folder / name)
            _sync_folder(self.folder)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise _explain(error, self.folder, shard, arrays) from error
        return SnapshotRef(shard, epoch, offset, name, digest, sink.position, state_hash)

    def retain(self, refs: Sequence[SnapshotRef], current: SnapshotRef | None) -> list[str]:
        """Remove all but the newest files of `refs` (newest first); return what was removed.

        The current one stays, whatever its age. What earlier epochs of the shard left behind (half
        written, or written and never made current) goes too.
        """
        kept = {ref.file for ref in refs[: self.keep]} | ({current.file} if current else set())
        removed = [ref.file for ref in refs if ref.file not in kept]
        for name in removed:
            (self.folder / name).unlink(missing_ok=True)
        if current is not None:
            mine = re.compile(rf"\.?{re.escape(_safe(current.shard))}\.e(\d+)\..*\.(tmp|snap)")
            for path in self.folder.iterdir():
                found = mine.fullmatch(path.name)
                if found and int(found[1]) < current.epoch and path.name not in kept:
                    path.unlink(missing_ok=True)
        return removed

    def adopt(self, name: str) -> None:  # noqa: ARG002 -- where it lies elsewhere, it is sent there
        """Take over a file that was put into the folder, such as one from a backup."""
        _sync_folder(self.folder)

    # -- reading ------------------------------------------------------------------------------

    def read(self, ref: SnapshotRef) -> Snapshot:
        """Open a snapshot after checking that it is whole.

        Raises
        ------
        TornSnapshot
            If the file is missing, cut short or altered.
        SnapshotFileError
            If a newer program wrote it.
        """
        path = self.folder / ref.file
        try:
            header, arrays = _open_zip(path)
            _verify(ref, path, header, arrays)
        except Exception as error:  # what a torn file does to zipfile, the file decides
            raise TornSnapshot(
                f"snapshot {path}: is torn ({error or type(error).__name__}); "
                "restore it from a backup, or go on from the one before"
            ) from error
        full = json.loads(header)
        if int(full["schema"]) > SCHEMA:
            raise SnapshotFileError(
                f"snapshot {path}: container schema {full['schema']}, this program knows up to "
                f"{SCHEMA}; start the newer program"
            )
        return Snapshot(ref, full["state"], arrays)

    def newest(self, refs: Sequence[SnapshotRef]) -> Snapshot | None:
        """Open the newest whole snapshot of `refs` (newest first); None where there are none.

        Each torn one on the way is told loudly. An earlier state is as good: the log from there
        on gives the same alerts again, and the store knows them.

        Raises
        ------
        TornSnapshot
            If there are some, and not one is whole.
        """
        problem: TornSnapshot | None = None
        for ref in refs:
            try:
                return self.read(ref)
            except TornSnapshot as error:
                log.error(
                    "snapshot_torn", shard=ref.shard, file=ref.file, offset=ref.offset,
                    problem=str(error),
                )  # fmt: skip
                problem = problem or error
        if problem is not None:
            raise problem
        return None


def state_digest(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> str:
    """Return a hash of a state that does not depend on epoch, offset or file.

    >>> import numpy as np
    >>> state_digest({}, {"a": np.zeros(2)}) == state_digest({}, {"a": np.zeros(2)})
    True
    """
    digests = {}
    for name, array in arrays.items():
        digest = hashlib.sha256()
        for piece in _pieces(np.asarray(array, order="C")):
            digest.update(piece)
        digests[name] = digest.hexdigest()
    return _state_digest(header, digests)


def _state_digest(header: Mapping[str, Any], digests: Mapping[str, str]) -> str:
    return hashlib.sha256(_json({"state": header, "arrays": digests})).hexdigest()


# -- the container ------------------------------------------------------------------------------


def _check(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    for name, array in arrays.items():
        if not name or name == HEADER or name.startswith("/") or ".." in name.split("/"):
            raise SnapshotFileError(f"snapshot: array name {name!r} cannot be stored")
        if array.dtype.hasobject:
            raise SnapshotFileError(
                f"snapshot: array {name!r} has dtype {array.dtype}; only plain numbers are stored"
            )
    _json(header)


def _json(value: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise SnapshotFileError(f"snapshot: header is not plain JSON: {error}") from None


def _write_zip(
    sink: _Forward,
    about: Mapping[str, Any],
    header: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
) -> tuple[str, str]:
    """Write everything; return the hash of the header (and so of all) and that of the state."""
    digests: dict[str, str] = {}
    with zipfile.ZipFile(cast("IO[bytes]", sink), "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(arrays):
            digest = hashlib.sha256()
            with archive.open(_member(f"{name}.npy", sink.position), "w", force_zip64=True) as file:
                for piece in _pieces(np.asarray(arrays[name], order="C")):
                    digest.update(piece)
                    file.write(piece)
            digests[name] = digest.hexdigest()
        full = _json({**about, "state": header, "arrays": digests})
        archive.writestr(_member(HEADER, sink.position), full)
    return hashlib.sha256(full).hexdigest(), _state_digest(header, digests)


def _member(name: str, position: int) -> zipfile.ZipInfo:
    """Return a zip entry whose data begin at a multiple of :data:`ALIGN`; the same every time."""
    info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    info.external_attr = 0o644 << 16
    zip64 = 20  # the extra field that force_zip64 puts in
    begin = position + _LOCAL_HEADER.size + len(name.encode()) + zip64 + 4
    info.extra = struct.pack("<HH", _PADDING_ID, -begin % ALIGN) + bytes(-begin % ALIGN)
    return info


def _pieces(array: NDArray[Any]) -> Iterator[bytes | memoryview]:
    """Yield an array as an npy file, in pieces."""
    prefix = io.BytesIO()
    np.lib.format.write_array_header_2_0(prefix, np.lib.format.header_data_from_array_1_0(array))
    yield prefix.getvalue()
    data = array.reshape(-1).view(np.uint8).data
    for start in range(0, len(data), _PIECE_BYTES):
        yield data[start : start + _PIECE_BYTES]


class _Mapped(Mapping[str, NDArray[Any]]):
    """Arrays of a snapshot file, mapped from it one by one (read-only)."""

    def __init__(self, path: Path, spans: Mapping[str, tuple[int, int]]) -> None:
        self._spans = spans
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def __getitem__(self, name: str) -> NDArray[Any]:
        start, size = self._spans[name]
        head = io.BytesIO(self._map[start : start + min(size, 65_536)])
        version = np.lib.format.read_magic(head)
        if version != (2, 0):
            raise SnapshotFileError(f"snapshot: array {name!r} has npy version {version}")
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(head)
        if dtype.hasobject or fortran:
            raise SnapshotFileError(f"snapshot: array {name!r} has dtype {dtype}; refused")
        count = int(np.prod(shape, dtype=np.int64))
        array = np.frombuffer(self._map, dtype, count, start + head.tell())
        return array.reshape(shape)

    def digest(self, name: str) -> str:
        """Return the hash of an array as it lies in the file."""
        start, size = self._spans[name]
        with memoryview(self._map) as whole, whole[start : start + size] as data:
            return hashlib.sha256(data).hexdigest()

    def __iter__(self) -> Iterator[str]:
        return iter(self._spans)

    def __len__(self) -> int:
        return len(self._spans)


def _open_zip(path: Path) -> tuple[bytes, _Mapped]:
    spans: dict[str, tuple[int, int]] = {}
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        header = archive.read(HEADER)
        for info in archive.infolist():
            if info.filename.endswith(".npy"):
                file.seek(info.header_offset)
                head = file.read(_LOCAL_HEADER.size)
                if len(head) < _LOCAL_HEADER.size:
                    raise ValueError(f"{info.filename} lies beyond its end")
                name_bytes, extra_bytes = _LOCAL_HEADER.unpack(head)[-2:]
                data = info.header_offset + _LOCAL_HEADER.size + name_bytes + extra_bytes
                spans[info.filename.removesuffix(".npy")] = data, info.file_size
    return header, _Mapped(path, spans)


def _verify(ref: SnapshotRef, path: Path, header: bytes, arrays: _Mapped) -> None:
    """Raise ValueError where a file is not what it was when it was written."""
    if path.stat().st_size != ref.nbytes:
        raise ValueError(f"{path.stat().st_size:,} bytes, wanted {ref.nbytes:,}")
    if hashlib.sha256(header).hexdigest() != ref.sha256:
        raise ValueError("its header was altered")
    wanted = json.loads(header)["arrays"]
    if set(wanted) != set(arrays):
        raise ValueError("arrays are missing")
    for name in arrays:
        if arrays.digest(name) != wanted[name]:
            raise ValueError(f"array {name!r} was altered")


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _safe(shard: str) -> str:
    """Return a shard's name as part of a file's name, different for different shards."""
    plain = _SAFE.sub("_", shard)
    if plain == shard:
        return plain
    return f"{plain}-{hashlib.sha256(shard.encode()).hexdigest()[:8]}"


def _explain(
    error: OSError, folder: Path, shard: str, arrays: Mapping[str, NDArray[Any]]
) -> SnapshotFileError:
    need = sum(a.nbytes for a in arrays.values())
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return DiskFull(
            f"snapshot of shard {shard!r}: no room in {folder} for about {need:,} bytes "
            f"({error.strerror}); the snapshot before stays current and nothing is lost, "
            "make room and the next one will be written"
        )
    return SnapshotFileError(
        f"snapshot of shard {shard!r}: {folder} cannot be written: {error.strerror}; "
        "the snapshot before stays current"
    )
