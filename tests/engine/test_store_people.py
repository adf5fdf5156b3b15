"""Personal data: sealed in one table, opened only with the key, every look written down."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from sqlalchemy import select, text, update

from engine.store import Look, Store, StoreError, Vault
from engine.store.people import People, VaultError
from engine.store.schema import people as table
from tests.engine.store_kit import DAY, T0, quick

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
CONTACTS = [{"relation": "daughter", "phone": "13800001111"}]
LOOK = Look("w1", T0, "task t-1")


@pytest.fixture
def town(store: Store) -> Store:
    store.people = People(store.database, Vault(KEY))
    said = {"by": "import", "at_ns": T0, "purpose": "care"}
    store.people.put("home-1", {"name": "王秀英", "contacts": CONTACTS}, **said)
    store.people.put("home-2", {"name": "李国强"}, consent_until_ns=T0 + DAY, **said)
    return store


def test_what_was_sealed_opens_for_a_look_that_is_written_down(town: Store) -> None:
    found = town.people.look("home-1", ("name", "contacts", "address"), LOOK)
    assert found == {"name": "王秀英", "contacts": CONTACTS}
    line = town.books.audit_log("home-1")[0]
    assert (line.who, line.action, line.detail["why"]) == ("w1", "personal_data_seen", "task t-1")
    assert line.detail["fields"] == ["address", "contacts", "name"]
    assert town.people.look("home-9", ("name",), LOOK) == {}
    assert town.books.audit_log("home-9")[0].action == "personal_data_seen"


def test_nothing_of_a_person_is_in_the_file(tmp_path: Path) -> None:
    with quick(tmp_path / "x.db") as store:
        store.people = People(store.database, Vault(KEY))
        store.people.put("home-1", {"name": "王秀英", "contacts": CONTACTS}, by="i", at_ns=T0)
        store.people.look("home-1", ("name",), LOOK)
    data = b"".join(p.read_bytes() for p in tmp_path.iterdir())
    assert b"personal_data_seen" in data
    for secret in ("王秀英".encode(), b"13800001111", b"daughter", KEY):
        assert secret not in data


def test_a_look_whose_line_cannot_be_written_shows_nothing(town: Store) -> None:
    with town.database.write() as connection:
        connection.execute(text("ALTER TABLE audit_log RENAME TO away"))
    try:
        with pytest.raises(Exception, match="audit_log"):
            town.people.look("home-1", ("name",), LOOK)
    finally:
        with town.database.write() as connection:
            connection.execute(text("ALTER TABLE away RENAME TO audit_log"))


def test_consent_ends_by_itself(town: Store) -> None:
    assert town.people.look("home-2", ("name",), LOOK) == {"name": "李国强"}
    assert town.people.look("home-2", ("name",), LOOK._replace(at_ns=T0 + DAY)) == {}


def test_a_value_that_was_altered_or_moved_does_not_open(town: Store) -> None:
    c = table.c
    with town.database.write() as connection:
        stolen = connection.execute(
            select(c.sealed).where(c.owner == "home-1", c.field == "name")
        ).scalar()
        connection.execute(update(table).where(c.owner == "home-2").values(sealed=stolen))
    with pytest.raises(VaultError, match="'home-2', name: does not open; it was altered or moved"):
        town.people.look("home-2", ("name",), LOOK)
    with town.database.write() as connection:
        flipped = bytes([*stolen[:-1], stolen[-1] ^ 1])
        connection.execute(update(table).where(c.owner == "home-1").values(sealed=flipped))
    with pytest.raises(VaultError, match="does not open"):
        town.people.look("home-1", ("name",), LOOK)


def test_keys_can_be_changed_while_old_values_still_open(town: Store) -> None:
    newer = People(town.database, Vault(OTHER, KEY))
    newer.put("home-3", {"name": "赵"}, by="import", at_ns=T0)
    assert newer.look("home-1", ("name",), LOOK) == {"name": "王秀英"}
    assert newer.look("home-3", ("name",), LOOK) == {"name": "赵"}
    with pytest.raises(VaultError, match=r"sealed with key .* which is not configured"):
        town.people.look("home-3", ("name",), LOOK)


def test_the_same_value_is_sealed_differently_each_time() -> None:
    vault = Vault(KEY)
    assert vault.seal("o", "f", "x") != vault.seal("o", "f", "x")


def test_forgetting_leaves_nothing_but_the_line_that_says_so(town: Store) -> None:
    assert town.people.forget("home-1", by="admin", at_ns=T0) == 2
    assert town.people.forget("home-1", by="admin", at_ns=T0) == 0
    assert town.people.look("home-1", ("name",), LOOK) == {}
    assert [a.action for a in town.books.audit_log("home-1")] == [
        "personal_data_seen", "personal_data_erased", "personal_data_erased",
        "personal_data_written",
    ]  # fmt: skip


def test_without_a_key_nothing_is_written_or_read(lite: Store) -> None:
    with pytest.raises(StoreError, match="no key is configured"):
        lite.people.put("home-1", {"name": "x"}, by="i", at_ns=T0)
    with pytest.raises(StoreError, match="no key is configured"):
        lite.people.look("home-1", ("name",), LOOK)


def test_a_key_file_is_made_once_and_refused_where_others_can_read_it(tmp_path: Path) -> None:
    file = tmp_path / "key"
    with pytest.raises(VaultError, match=r"key file .*: No such file"):
        Vault.at(file)
    made = Vault.at(file, create=True)
    assert file.stat().st_mode & 0o777 == 0o600
    key, sealed = made.seal("o", "f", 1)
    assert Vault.at(file, create=True).unseal("o", "f", key, sealed) == 1
    file.chmod(0o644)
    with pytest.raises(VaultError, match="others can read it; chmod 600"):
        Vault.at(file)


@pytest.mark.parametrize("bad", ["", "not base64!", base64.b64encode(b"short").decode()])
def test_a_bad_key_is_refused_without_being_repeated(bad: str) -> None:
    with pytest.raises(VaultError, match="personal data key") as error:
        Vault.of(bad)
    assert not bad or bad not in str(error.value)
    good = base64.b64encode(os.urandom(32)).decode()
    assert good not in repr(Vault.of(good))
    Vault.of(f"{good},{base64.b64encode(KEY).decode()}")
