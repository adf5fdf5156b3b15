"""A store on SQLite and on PostgreSQL: the same suite runs over both."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from engine.store import Store
from engine.store.schema import metadata
from tests.engine.store_kit import fresh, hasty, quick
from tests.missing import missing


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """URL of a PostgreSQL of our own: GRIDWARDEN_TEST_POSTGRES, or one started from its binaries."""
    if url := os.environ.get("GRIDWARDEN_TEST_POSTGRES"):
        yield url
        return
    initdb, postgres = shutil.which("initdb"), shutil.which("postgres")
    if initdb is None or postgres is None:
        missing("PostgreSQL not found: install it, or set GRIDWARDEN_TEST_POSTGRES to a URL")
    folder = Path(tempfile.mkdtemp(prefix="gridwarden-pg-"))
    user = _unprivileged()
    if user is not None:
        shutil.chown(folder, user)
    data = folder / "data"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "user": user}
    subprocess.run(
        [initdb, "-D", data, "-U", "tests", "-A", "trust", "-E", "UTF8", "--no-sync"],
        check=True, cwd=folder, **quiet,
    )  # fmt: skip
    server = subprocess.Popen(
        [postgres, "-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"],
        cwd=folder, **quiet,
    )  # fmt: skip
    try:
        _wait(folder, server)
        yield f"postgresql://tests@/postgres?host={folder}"
    finally:
        server.terminate()
        server.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def _unprivileged() -> str | None:
    """Return a user that may run PostgreSQL, where we are root and may not."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _wait(folder: Path, server: subprocess.Popen[bytes]) -> None:
    ready = shutil.which("pg_isready") or "pg_isready"
    command = [ready, "-h", str(folder), "-U", "tests", "-t", "1"]
    for _ in range(200):
        if server.poll() is not None:
            pytest.fail(f"PostgreSQL ended with {server.returncode} before it was ready")
        if subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode == 0:
            return
        try:
            server.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
    pytest.fail("PostgreSQL was not ready in time")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty store."""
    if request.param == "sqlite":
        return f"sqlite:///{fresh(tmp_path / 'store.db')}"
    found: str = request.getfixturevalue("postgres")
    with Store.open(found) as store, store.database.write() as connection:
        names = ", ".join(f'"{table.name}"' for table in metadata.sorted_tables)
        connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY"))
    return found


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """Return an empty store on either database."""
    with hasty(Store.open(url)) as opened:
        yield opened


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[Store]:
    """Return an empty store on SQLite, for what does not depend on the database."""
    with quick(tmp_path / "store.db") as opened:
        yield opened
