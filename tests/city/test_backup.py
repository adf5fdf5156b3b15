"""Backups: taken while all goes on, restored elsewhere, and nobody can tell from what follows."""

from __future__ import annotations

import errno
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from sqlalchemy import text

from engine import backup as backups
from engine.backup import BackupError, backup, check, restore
from engine.city.district import District
from engine.city.servers import Postgres
from engine.cli.backup import backup as backup_command
from engine.cli.backup import restore as restore_command
from engine.snapshot import SnapshotFolder
from engine.store import Store
from engine.store.database import connect, migrate_to
from engine.store.schema import HEAD, metadata
from tests.city import kit
from tests.city.test_keeper import a_street, states
from tests.engine import live_town
from tests.engine.store_kit import T0, change, dump, quick
from tests.engine.test_live import LIVE_HOURS, Site, work


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return live_town.build(tmp_path_factory.mktemp("backup-town"))


def empty_pg(pg: Postgres) -> str:
    with Store.open(pg.url) as store, store.database.write() as connection:
        names = ", ".join(f'"{table.name}"' for table in metadata.sorted_tables)
        connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY"))
    return pg.url


def small(tmp_path: Path) -> tuple[Path, SnapshotFolder]:
    """A backup of a small store, and where its snapshots are."""
    folder = SnapshotFolder(tmp_path / "snapshots")
    with quick(tmp_path / "s.db") as store:
        epoch = store.claim("s")
        store.commit("s", epoch, 3, [change(), change("home-2")], clock_ns=T0)
        ref = folder.write("s", epoch, 3, {"n": 1}, {})
        store.save_snapshot("s", epoch, None, ref)
    file = tmp_path / "b.tar"
    backup(f"sqlite:///{tmp_path / 's.db'}", folder, None, file)
    return file, folder


# -- a single process -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def undisturbed(town: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = Site(town, tmp_path_factory.mktemp("undisturbed"))
    live = site.start()
    work(site, live)
    live.close()
    return site


def test_a_process_goes_on_from_a_backup_as_if_nothing_had_been(
    town: Path, undisturbed: Site, tmp_path: Path
) -> None:
    """Taken while it runs; everything after it is lost, and comes in again."""
    site = Site(town, tmp_path / "site")
    config = tmp_path / "site.yaml"
    config.write_text(json.dumps(site.config.model_dump(mode="json", exclude_none=True)))
    live = site.start()
    work(site, live, LIVE_HOURS // 3)
    live.save()
    work(site, live, LIVE_HOURS // 2)
    file = tmp_path / "b.tar"
    said = CliRunner().invoke(backup_command, ["--config", str(config), "--out", str(file)])
    assert said.exit_code == 0, said.output
    assert "1 snapshots" in said.output
    work(site, live, LIVE_HOURS // 2 + 3)
    live.abandon()
    for gone in site.folder.glob("gw.db*"):
        gone.unlink()
    shutil.rmtree(site.folder / "state")

    put = CliRunner().invoke(restore_command, [str(file), "--config", str(config)])
    assert put.exit_code == 0, put.output
    live = site.start()
    work(site, live)
    live.close()
    assert site.alerts == undisturbed.alerts
    with Store.open(site.config.store) as mine, Store.open(undisturbed.config.store) as other:
        assert [t.task_id for t in mine.tasks.list()] == [t.task_id for t in other.tasks.list()]


# -- a city -----------------------------------------------------------------------------------------


def test_a_city_moves_from_sqlite_to_postgresql_by_a_backup(
    town: Path, pg: Postgres, tmp_path: Path
) -> None:
    (tmp_path / "from").mkdir()
    district = District(kit.config(town, tmp_path / "from", "sqlite://"))
    logs = kit.pack(district, kit.records(town, district))
    golden = kit.embedded(town, district)
    (tmp_path / "calm").mkdir()
    calm = a_street(town, district, logs, tmp_path / "calm")
    calm.run()
    street = a_street(town, district, logs, tmp_path / "from")
    for _ in range(max(len(log) for log in logs) // 2):
        street.step()
    for keeper in street.keepers.values():
        keeper.save()
    for _ in range(20):
        street.step()
    for keeper in street.keepers.values():
        keeper.commit()
    file = tmp_path / "city.tar"
    before = dump(street.store)
    told = backup(f"sqlite:///{tmp_path / 'from' / 'city.db'}", street.folder, None, file)
    assert told.snapshots == len(street.keepers)

    url = empty_pg(pg)
    into = SnapshotFolder(tmp_path / "to" / "snapshots")
    restore(file, url, into, None)
    config = kit.config(town, tmp_path / "to", url)
    mine = District(config)
    with mine.open_store() as store:
        assert dump(store) == before
        moved = kit.Street(mine, store, logs)
        moved.run()
        assert list(store.lines()) == golden
        assert states(moved) == states(calm)
        store.outbox.pending()
        with store.database.write() as connection:  # numbers go on after the highest
            highest = connection.execute(text("SELECT max(id) FROM outbox")).scalar()
            connection.execute(
                text("INSERT INTO outbox (topic, key, seq, at_ns) VALUES ('alert', 'x', 0, 0)")
            )
            new = connection.execute(text("SELECT id FROM outbox WHERE key = 'x'")).scalar()
        assert (new or 0) > (highest or 0)


# -- what is refused --------------------------------------------------------------------------------


def test_a_torn_or_altered_backup_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    file, _ = small(tmp_path)
    whole = file.read_bytes()
    torn = tmp_path / "torn.tar"
    url = f"sqlite:///{tmp_path / 'new.db'}"
    with tarfile.open(file) as tar:
        members = {m.name: m for m in tar.getmembers()}
    at = members["tables/alerts.parquet"].offset_data + 40
    for damaged in (
        whole[: len(whole) // 2],
        whole[:at],  # within a table
        whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :],
        b"",
        b"not a tar",
    ):
        torn.write_bytes(damaged)
        with pytest.raises(BackupError):
            restore(torn, url, SnapshotFolder(tmp_path / "new"), None)
        assert not (tmp_path / "new.db").exists()
    assert check(file).tables["alerts"] == 2


def test_two_pasts_are_not_mixed(tmp_path: Path) -> None:
    file, folder = small(tmp_path)
    with pytest.raises(BackupError, match="restore into an empty one"):
        restore(file, f"sqlite:///{tmp_path / 's.db'}", folder, None)
    journal = tmp_path / "journal.log"
    journal.write_bytes(b"x")
    with pytest.raises(BackupError, match="move it away"):
        restore(file, f"sqlite:///{tmp_path / 'new.db'}", folder, journal)


def test_a_backup_of_an_older_program_is_brought_up_to_date(tmp_path: Path) -> None:
    """Its tables are made as they were, filled, and then migrated."""
    engine = connect(tmp_path / "old.db")
    migrate_to(engine, "0001")
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO shards VALUES ('s', 3, 'one', 7, 5, NULL)"))
        columns = [r[1] for r in connection.execute(text("PRAGMA table_info(shards)"))]
        row = connection.execute(text("SELECT * FROM shards")).one()
    import pyarrow as pa

    pq.write_table(
        pa.table({c: [v] for c, v in zip(columns, row, strict=True)}), tmp_path / "shards.parquet"
    )
    file = tmp_path / "old.tar"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backups, "HEAD", "0001")
        backups._write(
            file, [("tables/shards.parquet", tmp_path / "shards.parquet")], {"shards": 1}
        )
    restore(file, f"sqlite:///{tmp_path / 'new.db'}", SnapshotFolder(tmp_path / "s"), None)
    with Store.open(tmp_path / "new.db", create=False) as store:
        assert store.shard("s").epoch == 3
        with store.database.read() as connection:
            now = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        assert now == HEAD


def test_a_backup_of_a_newer_program_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "new.tar"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backups, "HEAD", "9999")
        backups._write(file, [], {})
    with pytest.raises(BackupError, match=r"has schema 9999.*newer one"):
        restore(file, f"sqlite:///{tmp_path / 'n.db'}", SnapshotFolder(tmp_path / "s"), None)


def test_without_room_the_backup_before_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, folder = small(tmp_path)
    before = file.read_bytes()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tarfile.TarFile, "add", full)
    with pytest.raises(BackupError, match="make room"):
        backup(f"sqlite:///{tmp_path / 's.db'}", folder, None, file)
    assert file.read_bytes() == before
    assert sorted(p.name for p in tmp_path.glob(".*")) == []


def test_a_snapshot_that_is_torn_is_told(tmp_path: Path) -> None:
    _, folder = small(tmp_path)
    (torn,) = folder.folder.glob("*.snap")
    torn.write_bytes(b"torn")
    with pytest.raises(BackupError, match="torn"):
        backup(f"sqlite:///{tmp_path / 's.db'}", folder, None, tmp_path / "b2.tar")
