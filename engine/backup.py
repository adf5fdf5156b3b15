"""Backups: the whole store as it was at one moment, the snapshots it names, and the journal.

One tar file: ``manifest.json`` first, each table as Parquet, each file with its hash. It may be taken
while everything runs (one transaction sees one state), and be restored into either database and by
a newer program. Keys of the personal data, tables, rules and Kafka's logs are not in it: the keys
must lie elsewhere, the others are their owners'; how far each log was fed, the store says.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    func,
    insert,
    select,
    text,
)

import engine
from engine.journal import Journal
from engine.snapshot import SnapshotFileError, SnapshotFolder, SnapshotRef
from engine.store import schema as t
from engine.store.database import Database, connect, migrate, migrate_to, wait_for_files
from engine.store.schema import HEAD, metadata

FORMAT = 1
ROWS_AT_ONCE = 20_000
JOURNAL = "journal.log"
_CHUNK = 1 << 20


class BackupError(RuntimeError):
    """A backup cannot be written, read or restored; the message says what to do."""


class Told(NamedTuple):
    """What a backup holds."""

    taken: str
    program: str
    schema: str
    tables: dict[str, int]
    """Rows by table."""
    snapshots: int
    journal_bytes: int


# -- writing ----------------------------------------------------------------------------------------


def backup(url: str, folder: SnapshotFolder, journal: Path | None, out: Path) -> Told:
    """Write a backup; an earlier file of that name stays until the new one is whole.

    Parameters
    ----------
    url : str
        Of the store.
    folder : SnapshotFolder
    journal : Path or None
        Of a single process; a city's logs are Kafka's.
    out : Path

    Raises
    ------
    BackupError
        If there is no room, or a snapshot that the store names is gone.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".backup-") as name:
        scratch = Path(name)
        try:
            files, rows = _read(url, folder, scratch)
            if journal is not None and journal.exists():
                files.append((JOURNAL, _copy(journal, scratch / JOURNAL)))
            told = _write(part, files, rows)
            with part.open("rb") as file:
                os.fsync(file.fileno())
            part.replace(out)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise BackupError(
                f"{out}: cannot be written: {error.strerror or error}; make room and try again"
            ) from error
    return told


def _read(
    url: str, folder: SnapshotFolder, scratch: Path
) -> tuple[list[tuple[str, Path]], dict[str, int]]:
    """Write all tables as they are at one moment, and the snapshots that are current then."""
    engine_ = connect(url, create=False)
    files, rows = [], {}
    try:
        database = Database(engine_)
        with database.read() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
            wait_for_files(connection)
            present = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
            if present != HEAD:
                raise BackupError(
                    f"store has schema {present}, this program writes backups of {HEAD}; start "
                    "`gridwarden run` or a worker of this program once"
                )
            for table in metadata.sorted_tables:
                path = scratch / f"{table.name}.parquet"
                rows[table.name] = _table(connection, table, path)
                files.append((f"tables/{table.name}.parquet", path))
            files += _snapshots(connection, folder, scratch)
    finally:
        engine_.dispose()
    return files, rows


def _table(connection: Connection, table: Table, path: Path) -> int:
    schema = pa.schema([(column.name, _type(column)) for column in table.columns])
    order = list(table.primary_key.columns)
    found = connection.execution_options(yield_per=ROWS_AT_ONCE).execute(
        select(*table.columns).order_by(*order)
    )
    n = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for part in found.partitions(ROWS_AT_ONCE):
            columns = [list(column) for column in zip(*part, strict=True)]
            arrays = [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
            n += len(part)
    return n


def _type(column: Column[Any]) -> pa.DataType:
    for kind, arrow in (
        (BigInteger, pa.int64()), (Integer, pa.int64()), (Float, pa.float64()),
        (LargeBinary, pa.large_binary()),
    ):  # fmt: skip
        if isinstance(column.type, kind):
            return arrow
    return pa.large_string()


def _snapshots(
    connection: Connection, folder: SnapshotFolder, scratch: Path
) -> list[tuple[str, Path]]:
    c = t.snapshots.c
    query = select(
        c.shard, c.epoch, c.offset, c.file, c.sha256, c.nbytes, c.state_hash
    ).join_from(t.snapshots, t.shards, t.shards.c.snapshot == c.file)  # fmt: skip
    files = []
    for row in connection.execute(query):
        ref = SnapshotRef(*row)
        try:
            folder.read(ref)  # whole, and fetched where it is kept elsewhere
            kept = scratch / ref.file
            shutil.copyfile(folder.folder / ref.file, kept)  # retention may remove it
        except (SnapshotFileError, FileNotFoundError) as error:
            raise BackupError(
                f"{error}; a backup wants every current snapshot, try again"
            ) from error
        files.append((f"snapshots/{ref.file}", kept))
    return files


def _copy(source: Path, target: Path) -> Path:
    """Copy a journal that may be growing: up to its last whole frame."""
    size = source.stat().st_size
    with source.open("rb") as from_, target.open("wb") as to:
        left = size
        while left and (piece := from_.read(min(_CHUNK, left))):
            to.write(piece)
            left -= len(piece)
    Journal(target).close()  # cuts a frame that was being written
    return target


def _write(part: Path, files: list[tuple[str, Path]], rows: dict[str, int]) -> Told:
    hashes = {name: [path.stat().st_size, _hash(path)] for name, path in files}
    manifest = {
        "format": FORMAT,
        "taken": datetime.now(UTC).isoformat(timespec="seconds"),
        "program": engine.__version__,
        "schema": HEAD,
        "tables": rows,
        "files": hashes,
    }
    body = json.dumps(manifest, indent=1, sort_keys=True).encode()
    with tarfile.open(part, "w") as tar:
        head = tarfile.TarInfo("manifest.json")
        head.size = len(body)
        tar.addfile(head, io.BytesIO(body))
        for name, path in files:
            tar.add(path, name, recursive=False)
    return _told(manifest)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _told(manifest: dict[str, Any]) -> Told:
    files = manifest["files"]
    return Told(
        manifest["taken"],
        manifest["program"],
        manifest["schema"],
        manifest["tables"],
        sum(name.startswith("snapshots/") for name in files),
        files.get(JOURNAL, [0])[0],
    )


# -- reading ----------------------------------------------------------------------------------------


def check(file: Path) -> Told:
    """Read a backup to its end and compare every hash.

    Raises
    ------
    BackupError
        If it is none, torn, or of a newer program.
    """
    with _opened(file) as tar:
        manifest = _manifest(file, tar)
        left = dict(manifest["files"])
        for name, body in _members(file, tar):
            size, digest = left.pop(name, (None, None))
            try:
                found = hashlib.file_digest(body, "sha256").hexdigest()  # type: ignore[arg-type]
            except tarfile.ReadError:  # the file ends within this member
                found = None
            if digest != found:
                raise BackupError(f"{file}: {name} ({size} bytes wanted) was altered or cut short")
        if left:
            raise BackupError(f"{file}: is cut short; {', '.join(sorted(left)[:3])} is missing")
    return _told(manifest)


def restore(file: Path, url: str, folder: SnapshotFolder, journal: Path | None) -> Told:
    """Put a backup into an empty store and folder.

    Raises
    ------
    BackupError
        If it is not whole, or the store or the journal is not empty.
    """
    told = check(file)
    known = _revisions()
    if told.schema not in known:
        raise BackupError(
            f"{file}: has schema {told.schema}, this program knows up to {HEAD}; use the program "
            f"that wrote it ({told.program}) or a newer one"
        )
    if journal is not None and journal.exists() and journal.stat().st_size:
        raise BackupError(f"{journal}: is there; move it away, a restore does not mix two pasts")
    engine_ = connect(url)
    try:
        _refuse_full(Database(engine_), url)
        with _opened(file) as tar:
            migrate_to(engine_, told.schema)
            _manifest(file, tar)
            with Database(engine_).write() as connection:
                wait_for_files(connection)
                was = MetaData()
                was.reflect(connection)
                for name, body in _members(file, tar):
                    if name.startswith("tables/"):
                        table = was.tables[Path(name).stem]
                        _fill(connection, table, body)
                    elif name.startswith("snapshots/"):
                        _keep(folder, Path(name).name, body)
                    elif name == JOURNAL and journal is not None:
                        journal.parent.mkdir(parents=True, exist_ok=True)
                        _save(journal, body)
        migrate(engine_)
    finally:
        engine_.dispose()
    return told


def _revisions() -> list[str]:
    return [f"{n:04d}" for n in range(1, int(HEAD) + 1)]


def _refuse_full(database: Database, url: str) -> None:
    found = MetaData()
    with database.read() as connection:
        found.reflect(connection)
        for table in found.sorted_tables:
            if (
                table.name in metadata.tables
                and connection.execute(select(func.count()).select_from(table)).scalar()
            ):
                raise BackupError(
                    f"store {url}: has rows (table {table.name}); restore into an empty one"
                )


def _fill(connection: Connection, table: Table, body: IO[bytes]) -> None:
    with tempfile.TemporaryFile() as spool:
        while piece := body.read(_CHUNK):
            spool.write(piece)
        spool.seek(0)
        for batch in pq.ParquetFile(spool, pre_buffer=False).iter_batches(ROWS_AT_ONCE):
            rows = batch.to_pylist()
            if rows:
                connection.execute(insert(table), rows)
    serial = table.columns.get("id")
    if serial is not None and connection.dialect.name == "postgresql":
        # Numbers go on after the highest; an id that is no serial has no sequence.
        sequence = connection.execute(
            select(func.pg_get_serial_sequence(table.name, "id"))
        ).scalar()
        if sequence is not None:
            newest = connection.execute(select(func.max(serial))).scalar()
            connection.execute(select(func.setval(sequence, newest or 1, newest is not None)))


def _keep(folder: SnapshotFolder, name: str, body: IO[bytes]) -> None:
    folder.folder.mkdir(parents=True, exist_ok=True)
    _save(folder.folder / name, body)
    folder.adopt(name)


def _save(path: Path, body: IO[bytes]) -> None:
    with path.open("wb") as file:
        while piece := body.read(_CHUNK):
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())


def _opened(file: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(file, "r:")
    except (OSError, tarfile.TarError) as error:
        raise BackupError(f"{file}: is no backup: {error}") from None


def _manifest(file: Path, tar: tarfile.TarFile) -> dict[str, Any]:
    member = tar.next()
    body = None if member is None else tar.extractfile(member)
    if member is None or member.name != "manifest.json" or body is None:
        raise BackupError(f"{file}: is no backup: it does not begin with a manifest")
    manifest: dict[str, Any] = json.loads(body.read())
    if int(manifest["format"]) > FORMAT:
        raise BackupError(
            f"{file}: format {manifest['format']}, this program knows up to {FORMAT}; use the newer "
            "program"
        )
    return manifest


def _members(file: Path, tar: tarfile.TarFile) -> Iterator[tuple[str, IO[bytes]]]:
    try:
        while (member := tar.next()) is not None:
            body = tar.extractfile(member)
            if body is None or ".." in Path(member.name).parts or member.name.startswith("/"):
                raise BackupError(f"{file}: {member.name!r} does not belong into a backup")
            yield member.name, body
    except (tarfile.TarError, EOFError) as error:
        raise BackupError(f"{file}: is cut short: {error}") from None
