"""A small site for the API's tests: two grids, a few alerts and tasks, one account per role."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from fastapi.testclient import TestClient

from engine import library
from engine.config import Config
from engine.console.app import create_app
from engine.console.context import Console, EventClock
from engine.console.schemas import Text
from engine.curves import CurveReader, Ring
from engine.desk import Desk
from engine.roster import Worker
from engine.store import Store, Vault
from engine.store.questions import SubjectRow
from engine.store.rosters import PlaceRow
from rules.alerts import Level, State
from tests.engine.store_kit import DAY, GRID, HOUR, MINUTE, T0, change, fresh, hasty

OTHER = "330106002001001"
"""A grid that most accounts do not see."""
HERE = "330106001"
PASSWORD = "a long enough password"
KEY = base64.b64encode(bytes(32)).decode()
ROLES = ("command", "dispatcher", "gridworker", "data", "admin", "auditor")
NASTY = "<script>alert(1)</script>'; DROP TABLE tasks; -- {{7*7}} \u202e%s"
NAMES = {
    "330106": ("西湖区", "county"), "330106001": ("一街", "street"),
    "330106001002": ("二社区", "community"), GRID: (NASTY, "grid"),
    "330106002": ("二街", "street"), "330106002001": ("一社区", "community"),
    OTHER: ("他网格", "grid"),
}  # fmt: skip


class Times:
    """Clocks that tests move by hand."""

    def __init__(self) -> None:
        self.event_ns = T0 + 30 * MINUTE
        self.wall = 1_800_000_000.0


def add_accounts(store: Store) -> None:
    """Make an account per role, one of a wall and one of another grid."""
    for role in ROLES:
        store.accounts.add(
            role, roles=[role], scope=[HERE], password=PASSWORD, by="test", at_ns=T0,
            worker_id="worker-1" if role == "gridworker" else None,
        )  # fmt: skip
    store.accounts.add(
        "wall", roles=["command"], scope=[""], password=PASSWORD, by="test", at_ns=T0, wall=True
    )
    store.accounts.add(
        "other", roles=["gridworker"], scope=[OTHER], password=PASSWORD, by="test", at_ns=T0,
        worker_id="worker-9",
    )  # fmt: skip


@cache
def _accounts() -> bytes:
    """Return a store that has the accounts: hashing passwords takes its time once."""
    with tempfile.TemporaryDirectory() as folder:
        file = fresh(Path(folder) / "accounts.db")
        with Store.open(file) as store:
            add_accounts(store)
        return file.read_bytes()


WORKERS = (
    Worker(worker_id="worker-1", name="甲", grids=(GRID,), stand_in="worker-2"),
    Worker(worker_id="worker-2", name="乙", grids=("330106001002004",)),
    Worker(worker_id="worker-9", name="丙", grids=(OTHER,)),
    Worker(worker_id="leader-1", name="丁", grids=("330106001002",), role="grid_leader"),
    Worker(worker_id="street-1", name="戊", grids=("330106001",), role="street"),
    Worker(worker_id="dept-1", name="己", grids=("330106",), role="department"),
)


def fill(store: Store) -> None:
    """Put places, workers, subjects, alerts, tasks and personal data into a store."""
    store.rosters.put_places(
        PlaceRow(code, store.desk.layout.parent(code), name, level)
        for code, (name, level) in NAMES.items()
    )
    store.rosters.put_workers(WORKERS)
    meters = [{"utility": "electricity", "interval_s": 900, "kind": "interval"}]
    store.rosters.put_subjects(
        SubjectRow(name, "elderly_alone", place, "Asia/Shanghai", {"note": NASTY}, meters)
        for name, place in (("home-1", GRID), ("home-2", GRID), ("away-1", OTHER))
    )
    epoch = store.claim("s")
    store.commit(
        "s",
        epoch,
        1,
        [
            change("home-1", seq=1, level=Level.RED, text=NASTY),
            change("home-2", seq=1, onset=T0 - 5 * HOUR),
            change("away-1", seq=1, place=OTHER, level=Level.RED),
            change(None, seq=1, rule="area-outage", place=GRID[:12]),
            change("home-2", seq=1, rule="elderly-excess", onset=T0 - 9 * HOUR, at=T0 - DAY),
            change(
                "home-2", seq=2, rule="elderly-excess", onset=T0 - 9 * HOUR, state=State.RESOLVED
            ),
        ],
        clock_ns=T0 + 20 * MINUTE,
    )
    contacts = [{"order": 1, "relation": "daughter", "phone": "000-6666-1234"}]
    for home in ("home-1", "away-1"):
        values = {"name": f"沈{home}", "address": f"12-2-{home}", "contacts": contacts}
        store.people.put(home, values, by="test", at_ns=T0, purpose="welfare checks")


def add_curves(folder: Path) -> None:
    """Write a week of a meter, silent at the end."""
    head = {
        "kind": "class", "label": "electricity@900", "utility": "electricity", "interval_s": 900,
        "phase_s": 0, "slots": 96 * 8, "rows": ["m-1"], "subjects": ["home-1"],
    }  # fmt: skip
    ring = Ring.create(folder / "class-electricity-900-0", head)
    first = (T0 - 7 * DAY) // (900 * 10**9)
    for i in range(96 * 7):
        value = 0.01 if i > 96 * 7 - 24 else 0.1 + 0.05 * ((i % 96) > 48)
        ring.put(first + i, np.array([np.nan if i % 50 == 0 else value], np.float32))


class Site:
    """A console with everything a test needs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        file = folder / "site.db"
        file.write_bytes(_accounts())
        self.times = Times()
        rules = library.rules(None)
        self.store = hasty(Store.open(file, desk=Desk(rules=rules), vault=Vault.of(KEY)))
        fill(self.store)
        add_curves(folder / "curves")
        clock = EventClock(wall=lambda: self.times.wall, event_ns=lambda: self.times.event_ns)
        self.console = Console(
            self.store, Config(), clock=clock, rules=rules,
            curves=CurveReader(folder / "curves"), simulated=Text(zh="模拟", en="simulated"),
        )  # fmt: skip
        self.app = create_app(self.console, web=folder / "dist")
        self.task = next(x.task_id for x in self.store.tasks.list() if x.subject_id == "home-1")
        self.far = next(x.task_id for x in self.store.tasks.list() if x.subject_id == "away-1")

    def client(self, name: str | None = None) -> Client:
        """Return a client, signed in (without asking for the password, which takes its time)."""
        found = Client(self.app, base_url="https://site.test", raise_server_exceptions=False)
        if name is not None:
            secret, session = self.store.access.open_session(
                name, now_wall=self.times.wall, hours=12
            )
            found.cookies.set("gridwarden", secret)
            found.headers["X-CSRF-Token"] = session.csrf
        return found


class Client(TestClient):
    """A client that knows the prefix."""

    def api(self, method: str, path: str, **how: Any) -> Any:
        """Call the API."""
        return self.request(method, f"/api/v1{path}", **how)


@contextmanager
def a_site(folder: Path) -> Iterator[Site]:
    """Yield a site in a folder."""
    site = Site(folder)
    try:
        yield site
    finally:
        site.store.close()
