"""Snapshots where all workers reach them: a folder, or any fsspec URL (s3://, hdfs://, sftp://…).

A snapshot is written to a folder of this machine first and put beside the others whole, under its
final name; whoever takes the shard fetches it and checks every byte, as it would a local one.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog
from numpy.typing import NDArray

from engine.snapshot import Snapshot, SnapshotFileError, SnapshotFolder, SnapshotRef, TornSnapshot

log = structlog.get_logger()
_PART = ".part"


class SnapshotsAway(SnapshotFileError):  # noqa: N818 -- says what happened
    """Where snapshots are kept cannot be reached now; try again."""


class SnapshotBucket(SnapshotFolder):
    """Snapshots at a URL, with a folder here to write and read them.

    Parameters
    ----------
    url : str
        For fsspec, such as ``s3://bucket/gridwarden``.
    cache : Path
        Folder of this machine, of this process alone.
    keep : int
        As of :class:`SnapshotFolder`.

    Raises
    ------
    SnapshotFileError
        If fsspec or what it needs for this URL is not installed.
    """

    def __init__(self, url: str, cache: Path, keep: int = 3) -> None:
        super().__init__(cache, keep)
        if importlib.util.find_spec("fsspec") is None:
            raise SnapshotFileError(f"snapshots at {url}: needs fsspec; install the extra 'city'")
        import fsspec

        try:
            self._fs, self._root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise SnapshotFileError(f"snapshots at {url}: {error}") from None
        self.url = url

    def _path(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    def write(
        self,
        shard: str,
        epoch: int,
        offset: int,
        header: Mapping[str, Any],
        arrays: Mapping[str, NDArray[Any]],
    ) -> SnapshotRef:
        """Write a snapshot here, put it there whole, and return which one it is.

        Raises
        ------
        SnapshotFileError
            As of :meth:`SnapshotFolder.write`, or if the other side does not take it.
        """
        ref = super().write(shard, epoch, offset, header, arrays)
        target = self._path(ref.file)
        try:
            self._fs.makedirs(self._root, exist_ok=True)
            self._fs.put_file(str(self.folder / ref.file), target + _PART)
            self._fs.mv(target + _PART, target)
        except Exception as error:  # every file system has errors of its own
            (self.folder / ref.file).unlink(missing_ok=True)
            raise SnapshotFileError(
                f"snapshot of shard {shard!r}: {self.url} did not take it: {error}; the snapshot "
                "before stays current"
            ) from error
        return ref

    def adopt(self, name: str) -> None:
        """Put a file of this machine's folder beside the others."""
        self._fs.makedirs(self._root, exist_ok=True)
        self._fs.put_file(str(self.folder / name), self._path(name))

    def retain(self, refs: Sequence[SnapshotRef], current: SnapshotRef | None) -> list[str]:
        """Remove all but the newest, here and there; here only the current one stays."""
        kept = {ref.file for ref in refs[: self.keep]} | ({current.file} if current else set())
        removed = [ref.file for ref in refs if ref.file not in kept]
        for name in removed:
            self._forget(name)
        if current is not None:
            mine = re.compile(
                rf"{re.escape(current.file.split('.e')[0])}\.e(\d+)\..*\.snap(\.part)?"
            )
            for name in self._names():
                found = mine.fullmatch(name)
                if found and int(found[1]) < current.epoch and name not in kept:
                    self._forget(name)
            for path in self.folder.glob(f"{current.file.split('.e')[0]}.e*.snap"):
                if path.name != current.file:
                    path.unlink(missing_ok=True)
        return removed

    def read(self, ref: SnapshotRef) -> Snapshot:
        """Fetch a snapshot, unless it is here and whole, and open it.

        Raises
        ------
        TornSnapshot, SnapshotFileError
            As of :meth:`SnapshotFolder.read`.
        SnapshotsAway
            If it cannot be fetched now.
        """
        local = self.folder / ref.file
        if local.exists():
            try:
                return super().read(ref)
            except TornSnapshot:
                local.unlink(missing_ok=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._fs.get_file(self._path(ref.file), str(local))
        except FileNotFoundError as error:
            raise TornSnapshot(
                f"snapshot {ref.file}: is not at {self.url}; restore it from a backup, or go on from "
                "the one before"
            ) from error
        except Exception as error:
            raise SnapshotsAway(
                f"snapshot {ref.file}: {self.url} cannot be read: {error}; try again"
            ) from error
        return super().read(ref)

    def _names(self) -> list[str]:
        try:
            return [str(p).rpartition("/")[2] for p in self._fs.ls(self._root, detail=False)]
        except FileNotFoundError:
            return []

    def _forget(self, name: str) -> None:
        (self.folder / name).unlink(missing_ok=True)
        try:
            self._fs.rm_file(self._path(name))
        except FileNotFoundError:
            pass
        except Exception as error:
            log.warning("snapshot_not_removed", file=name, problem=str(error))


def open_snapshots(folder: Path, url: str | None, name: str) -> SnapshotFolder:
    """Return where snapshots are kept: a folder that all reach, or a URL with a folder for `name`."""
    if url is None:
        return SnapshotFolder(folder)
    return SnapshotBucket(url, folder / "fetched" / name)
