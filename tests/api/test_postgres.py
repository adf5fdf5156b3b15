"""The console over PostgreSQL says what it says over SQLite: every question, word for word."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from engine import library
from engine.config import Config
from engine.console.app import create_app
from engine.console.context import Console, EventClock
from engine.console.schemas import Text
from engine.curves import CurveReader
from engine.desk import Desk
from engine.store import Store, Vault
from engine.store.schema import metadata
from tests.api.kit import KEY, ROLES, Client, Site, a_site, add_accounts, add_curves, fill
from tests.api.test_access import OWN
from tests.engine.conftest import postgres  # noqa: F401  the fixture

SECRETS = ("csrf", "reference", "made_at", "signed_in_at", "created", "wall_at", "last_used")
"""Fields that no two sites share."""


@pytest.fixture
def both(tmp_path: Path, postgres: str) -> Iterator[tuple[Site, Any, Store]]:  # noqa: F811
    """A site on SQLite, and the application of the same site on PostgreSQL."""
    with a_site(tmp_path) as site:
        rules = library.rules(None)
        _empty(postgres)
        with Store.open(postgres, desk=Desk(rules=rules), vault=Vault.of(KEY)) as store:
            add_accounts(store)
            fill(store)
            add_curves(tmp_path / "curves-pg")
            clock = EventClock(wall=lambda: site.times.wall, event_ns=lambda: site.times.event_ns)
            console = Console(
                store, Config(), clock=clock, rules=rules,
                curves=CurveReader(tmp_path / "curves-pg"),
                simulated=Text(zh="模拟", en="simulated"),
            )  # fmt: skip
            yield site, create_app(console, web=tmp_path / "dist"), store


def _empty(url: str) -> None:
    with Store.open(url) as store, store.database.write() as connection:
        names = ", ".join(f'"{table.name}"' for table in metadata.sorted_tables)
        connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY"))


def client_of(app: Any, store: Store, wall: float, name: str) -> Client:
    found = Client(app, base_url="https://site.test", raise_server_exceptions=False)
    secret, _ = store.access.open_session(name, now_wall=wall, hours=12)
    found.cookies.set("gridwarden", secret)
    return found


def plain(value: Any) -> Any:
    """Return an answer without what no two sites share, rows of the audit log by content."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if k not in (*SECRETS, "id", "cursor")}
    if isinstance(value, list):
        return [plain(v) for v in value]
    return value


def questions(site: Site) -> list[tuple[str, str]]:
    asked = []
    for path, methods in site.app.openapi()["paths"].items():
        operation = methods.get("get")
        if operation is None or operation["operationId"] in ("stream", "effectiveness_html"):
            continue
        asked.append((operation["operationId"], path.removeprefix("/api/v1")))
    return asked


def test_every_question_has_the_same_answer_on_both_databases(
    both: tuple[Site, Any, Store],
) -> None:
    site, app, store = both
    compared = 0
    for role in ROLES:
        here, there = site.client(role), client_of(app, store, site.times.wall, role)
        for operation, path in questions(site):
            names = OWN | {"task_id": site.task, "version": "none", "photo_id": "p", "link": "x"}
            try:
                url = path.format(**names)
            except KeyError:
                continue
            for query in ("", "?limit=2", "?q=home&sort=newest"):
                one, two = here.api("GET", url + query), there.api("GET", url + query)
                assert one.status_code == two.status_code, (role, operation, two.text)
                kind = one.headers.get("content-type", "")
                if "json" in kind:
                    assert json.dumps(plain(one.json()), sort_keys=True) == json.dumps(
                        plain(two.json()), sort_keys=True
                    ), (role, operation, query)
                else:
                    assert one.content == two.content, (role, operation)
                compared += 1
    assert compared > 400
