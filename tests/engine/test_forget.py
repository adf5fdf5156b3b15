"""Forgetting a person: nothing of them is left in any byte; the others stay what they were."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from engine.config import Config
from engine.console.serve import vault_of
from engine.forget import ForgetError, forget
from engine.hours import NS
from engine.journal import Journal
from engine.live import Live
from engine.outcomes import Report
from engine.store import Look, Store
from engine.store.forgetting import word
from tests.engine import live_town
from tests.engine.live_town import END_NS

SUBJECT = "elder-0005"
"""Whom the town has collapse, so that there is an alert, a task and an outcome."""
NAME, PHONE, DOOR = "沈某某（测试）", "000-1234-5678", "十二栋二单元三零二"


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return live_town.build(tmp_path_factory.mktemp("forget-town"))


def config_of(town: Path, folder: Path) -> Config:
    for name in ("meters.csv", "subjects.csv", "contacts.csv", "workers.csv"):
        shutil.copy(town / name, folder / name)
    return Config.model_validate(
        {
            "store": f"sqlite:///{folder / 'gw.db'}",
            "snapshots": folder / "state",
            "alerts": folder / "alerts.ndjson",
            "quarantine": folder / "refused.csv",
            "inputs": {
                "meters": folder / "meters.csv",
                "subjects": folder / "subjects.csv",
                "contacts": folder / "contacts.csv",
                "workers": folder / "workers.csv",
                "watch": folder / "in",
            },
        }
    )


@pytest.fixture(scope="module")
def forgotten(town: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Path, object]:
    """A site that has run for weeks, with one person's everything; then that person is forgotten."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "in").mkdir()
    config = config_of(town, folder)
    live = Live(config, lambda: END_NS)
    shutil.copy(town / "readings.csv.gz", folder / "in" / "readings.csv.gz")
    live.poll()
    live.poll()
    live.poll()
    _live_with(live, config, folder)
    live.poll()
    live.close()
    (folder / "in" / "readings.csv.gz").unlink()  # inputs are the operator's to remove
    before = {line["alert_id"]: line for line in _lines(folder)}
    assert any(line["subject_id"] == SUBJECT for line in before.values())
    done = forget(config, SUBJECT, by="operator", wall_ns=END_NS)
    return config, folder, (done, before)


def _live_with(live: Live, config: Config, folder: Path) -> None:
    """Give the person a name, a look, an outcome, an absence, a photo."""
    from engine.store import schema_console as tc
    from engine.store.database import write

    with Store.open(config.store, vault=vault_of(config, folder / "state")) as store:
        values = {"name": NAME, "address": DOOR, "contacts": [{"order": 1, "phone": PHONE}]}
        store.people.put(SUBJECT, values, by="t", at_ns=END_NS, purpose="x")
        store.people.look(SUBJECT, ("name",), Look("worker", END_NS, f"task of {SUBJECT}"))
        task = next(t for t in store.tasks.list() if t.subject_id == SUBJECT)
        at = END_NS
        store.tasks.sign(task.task_id, by="w", at_ns=at)
        note = f"{NAME} in {SUBJECT} was well"
        store.tasks.report(task.task_id, Report("safe_at_home", note=note), by="w", at_ns=at)
        store.register.declare(SUBJECT, at, at + 3 * 86_400 * NS, source="family", by="f", at_ns=at)
        key, sealed = store.people.vault().seal_bytes("p-1", "photo", b"picture")
        row = {
            "photo_id": "p-1", "task_id": task.task_id, "incident_id": None, "subject_id": SUBJECT,
            "place": task.place, "by": "w", "at_ns": at, "width": 1, "height": 1, "key_id": key,
            "sealed": sealed, "nbytes": 7,
        }  # fmt: skip
        with store.database.write() as connection:
            write(connection, tc.photos, [row])
        store.ratings.add(task.task_id, SUBJECT, 5, by="f", at_ns=at)


def _lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(x) for x in (folder / "alerts.ndjson").read_bytes().splitlines()]


def test_no_byte_of_the_person_is_left(forgotten: tuple[Config, Path, object], town: Path) -> None:
    _, folder, (done, _) = forgotten  # type: ignore[misc]
    assert done.left == []
    assert done.searched > 100_000
    meters = [
        row["meter_id"]
        for row in csv.DictReader((town / "meters.csv").open(encoding="utf-8"))
        if row["subject_id"] == SUBJECT
    ]
    assert meters
    phones = [
        row["phone"]
        for row in csv.DictReader((town / "contacts.csv").open(encoding="utf-8"))
        if row["subject_id"] == SUBJECT
    ]
    searched = [p for p in folder.rglob("*") if p.is_file()]
    assert len(searched) > 10
    for path in searched:
        data = path.read_bytes()
        for secret in (SUBJECT, *meters, *phones, NAME, PHONE, DOOR):
            assert secret.encode() not in data, f"{path}: {secret}"


def test_what_was_removed_is_told(forgotten: tuple[Config, Path, object]) -> None:
    _, _, (done, _) = forgotten  # type: ignore[misc]
    for place in ("alerts", "tasks", "outcomes", "absences", "people", "photos", "ratings", "journal",
                  "meters.csv", "subjects.csv", "snapshots"):  # fmt: skip
        assert done.removed.get(place, 0) > 0, (place, done.removed)


def test_the_others_alerts_are_what_they_were(forgotten: tuple[Config, Path, object]) -> None:
    config, folder, (_, before) = forgotten  # type: ignore[misc]
    others = {k for k, line in before.items() if line["subject_id"] != SUBJECT}
    after = {line["alert_id"] for line in _lines(folder)}
    assert len(others & after) >= 0.8 * len(others)
    with Store.open(config.store) as store:
        kept = {a.alert_id for a in store.alerts()}
        lines = [json.loads(line) for line in store.lines()]
    assert others <= kept  # nothing of anybody else's is gone from the store
    assert all(line["subject_id"] != SUBJECT for line in lines)


def test_the_site_goes_on_from_there(forgotten: tuple[Config, Path, object]) -> None:
    config, folder, _ = forgotten
    count = Journal(folder / "state" / "journal.log").count
    live = Live(config, lambda: END_NS + 3_600 * NS)
    assert live.fed == count
    live.poll()
    live.poll()
    assert SUBJECT not in live.registry.subjects.subject_id.to_pylist()
    live.close()


def test_tables_that_cannot_be_rewritten_are_told(town: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    config = config_of(town, tmp_path)
    odd = tmp_path / "subjects.parquet"
    inputs = config.inputs.model_copy(update={"contacts": odd})
    with pytest.raises(ForgetError, match="only CSV"):
        forget(config.model_copy(update={"inputs": inputs}), SUBJECT, by="x", wall_ns=END_NS)


def test_an_id_within_a_longer_one_is_another() -> None:
    import re

    assert not re.search(word("home-1"), "home-12 and my-home-1")
    assert re.search(word("home-1"), '{"subject_id":"home-1"}')
