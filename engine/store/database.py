"""One engine for SQLite and PostgreSQL: connections, transactions, migrations, upserts."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from typing import Any, cast

import msgspec
from sqlalchemy import Connection, Dialect, Engine, Table, create_engine, event, inspect, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError
from sqlalchemy.sql.compiler import SQLCompiler

from engine.store.errors import StoreError, StoreTooNew
from engine.store.schema import HEAD

BUSY_TIMEOUT_MS = 30_000
FROZEN_MS = 30_000
"""How long PostgreSQL waits for a client within a transaction; then it ends it, and its locks. A worker
whose machine stands still would hold up all others: they share the row of the prices."""
CHUNK = 500
"""Values in one IN (…); SQLite takes at most 32,766 parameters, older ones 999."""
_WRITES = "gridwarden_writes"
_MIGRATION_LOCK = 7_163_001
"""Advisory lock of PostgreSQL, so that two programs starting at once migrate one by one."""

Row = Mapping[str, Any]


def connect(url: str | Path, *, create: bool = True) -> Engine:
    """Return an engine for a URL (or the path of a SQLite file).

    Raises
    ------
    StoreError
        If the URL is no URL, names another database, its driver is not installed, or (without
        `create`) a SQLite file is not there.
    """
    try:
        parsed = make_url(f"sqlite:///{url}" if isinstance(url, Path) else url)
    except ArgumentError:
        raise StoreError(
            f"store {str(url)!r} is no URL; wanted sqlite:///FILE or postgresql://USER@HOST/NAME"
        ) from None
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        return _sqlite(parsed, create)
    if backend == "postgresql":
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        driver = parsed.drivername.partition("+")[2]
        if importlib.util.find_spec(driver) is None:
            raise StoreError(
                f"store {parsed.render_as_string()}: driver {driver} is not installed; "
                "install the extra 'city'"
            )
        return _postgresql(parsed)
    raise StoreError(f"store {parsed.render_as_string()}: wanted sqlite or postgresql")


def _postgresql(url: URL) -> Engine:
    engine = create_engine(url, pool_pre_ping=True, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute(f"SET idle_in_transaction_session_timeout = {FROZEN_MS:d}")
        cursor.close()
        connection.commit()

    return engine


def wait_for_files(connection: Connection) -> None:
    """Let this transaction stand still for as long as files of any size take (:data:`FROZEN_MS`)."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))


def _sqlite(url: URL, create: bool) -> Engine:
    if url.database and url.database != ":memory:":
        folder = Path(url.database).parent
        if not folder.is_dir():
            raise StoreError(f"store {url.database}: folder {folder} does not exist; make it first")
        if not create and not Path(url.database).is_file():
            raise StoreError(
                f"store {url.database}: there is no such file; name the store of a run (--store)"
            )
    # Errors are logged, and what rows hold is nobody's business there.
    engine = create_engine(
        url, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000}, hide_parameters=True
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        # Transactions are begun below, explicitly; the driver's own begin is too late for reads.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA cache_size=-65536")
        # A batch of thousands of changes is some 15 MB: do not copy it back after each commit.
        cursor.execute("PRAGMA wal_autocheckpoint=16000")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # Writers lock at once: a reader that turns writer would fail instead of waiting.
        writes = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


class Database:
    """Transactions on an engine.

    Parameters
    ----------
    engine : sqlalchemy.Engine
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._writer = engine.execution_options(**{_WRITES: True})

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Yield a connection in a transaction that is committed at the end, all or nothing."""
        with _told(self.engine.url), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Yield a connection that sees one state of the database."""
        with _told(self.engine.url), self.engine.connect() as connection:
            yield connection


@contextmanager
def _told(url: URL) -> Iterator[None]:
    """Turn what an operator can mend into a clear message."""
    try:
        yield
    except DatabaseError as error:
        mendable = type(error) in (DatabaseError, OperationalError)
        if not mendable and not error.connection_invalidated:
            raise  # a broken constraint or statement is a defect, not the operator's business
        raise StoreError(
            f"store {url.render_as_string()}: {error.orig}; nothing was written, "
            "see that the database is reachable, writable and has room, then try again"
        ) from error


# -- statements that both databases understand ------------------------------------------------


class How(Enum):
    """What becomes of a row whose key is there already."""

    ADD = "add"
    """It must not be there."""
    NEW = "new"
    """The old one stays."""
    REPLACE = "replace"
    """The new one takes its place (but for columns that are marked as fixed)."""
    NEWER = "newer"
    """The same, if its ``seq`` is higher."""


def write(
    connection: Connection,
    table: Table,
    rows: Sequence[Row] | Sequence[msgspec.Struct],
    how: How = How.ADD,
) -> int:
    """Insert rows, all with the columns of the first; return how many were written.

    SQLAlchemy writes the statement, once; the rows go to the driver as they are. It would look at
    every value of every row, which plain numbers, text and bytes do not need: this way thousands
    of rows take half the time.

    Parameters
    ----------
    rows : sequence of mappings, or of structs
        Columns by name. Columns left out get their default.
    """
    if not rows:
        return 0
    first = rows[0]
    if isinstance(first, msgspec.Struct):
        names = first.__struct_fields__
        values = [msgspec.structs.astuple(cast("msgspec.Struct", row)) for row in rows]
    else:
        names = tuple(first)
        values = [tuple(cast("Row", row).values()) for row in rows]
    sql, order = _statement(connection.dialect, table, names, how)
    if order is None:
        done = connection.exec_driver_sql(sql, [dict(zip(names, v, strict=True)) for v in values])
    elif order == names:
        done = connection.exec_driver_sql(sql, values)
    else:
        pick = itemgetter(*(names.index(name) for name in order))
        done = connection.exec_driver_sql(sql, [pick(v) for v in values])
    return done.rowcount


@lru_cache(256)
def _statement(
    dialect: Dialect, table: Table, names: tuple[str, ...], how: How
) -> tuple[str, tuple[str, ...] | None]:
    """Return an insert as the driver wants it, and the order of its values (None: by name)."""
    statement = sqlite.insert(table) if dialect.name == "sqlite" else postgresql.insert(table)
    keys = [column.name for column in table.primary_key]
    if how is How.NEW:
        statement = statement.on_conflict_do_nothing()
    elif how is not How.ADD:
        fixed = (*keys, *table.info.get("fixed", ()))
        replaced = {n: statement.excluded[n] for n in names if n not in fixed}
        newer = statement.excluded.seq > table.c.seq if how is How.NEWER else None
        statement = statement.on_conflict_do_update(index_elements=keys, set_=replaced, where=newer)
    compiled = statement.compile(dialect=dialect, column_keys=list(names))
    assert isinstance(compiled, SQLCompiler)
    order = compiled.positiontup
    return compiled.string, None if order is None else tuple(order)


def chunks(values: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield distinct values in pieces that fit into one IN (…), sorted."""
    distinct = sorted(set(values))
    for start in range(0, len(distinct), CHUNK):
        yield distinct[start : start + CHUNK]


# -- migrations -------------------------------------------------------------------------------


def migrate(engine: Engine) -> None:
    """Create the tables, or bring those of an older version up to date.

    Raises
    ------
    StoreTooNew
        If a newer program wrote the database.
    StoreError
        If it cannot be reached or written.
    """
    database = Database(engine)
    with database.read() as connection:
        if _version(connection) == HEAD:
            return
    with database.write() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:k)"), {"k": _MIGRATION_LOCK})
        present = _version(connection)
        if present != HEAD:
            _upgrade(connection, present)


def migrate_to(engine: Engine, revision: str) -> None:
    """Create the tables of an empty database as an earlier program had them."""
    with Database(engine).write() as connection:
        _upgrade(connection, None, revision)


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _upgrade(connection: Connection, present: str | None, target: str = HEAD) -> None:
    from alembic import command  # only a first start or an upgrade needs it
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if present is not None and present not in known:
        raise StoreTooNew(
            f"store {connection.engine.url.render_as_string()}: has schema {present}, this program "
            f"knows up to {HEAD}; start the newer program, or restore an older backup"
        )
    command.upgrade(config, target)
