"""Rules, a desk and a store with one shard, for tests of tasks."""

from __future__ import annotations

import pytest

from engine.desk import Desk
from engine.roster import Worker
from engine.store import Store
from engine.tasks import Task
from rules.alerts import AlertChange
from rules.model import Route, Rule, Selector, Text, Texts, rule_set
from tests.engine.store_kit import GRID

TEXT = Text("", "")
STAFF = [
    Worker(worker_id="w1", grids=(GRID,), shift="08:00-18:00", stand_in="w2"),
    Worker(worker_id="w2", grids=("330106001002004",)),
    Worker(worker_id="w3", grids=("330106001002005",), shift="22:00-06:00"),
    Worker(worker_id="lead", grids=("330106001002",), role="grid_leader"),
    Worker(worker_id="street", grids=("330106001",), role="street"),
]


def rule(name: str, **given: object) -> Rule:
    facts = {"route": Route("gridworker"), **given}
    return Rule(
        name=name, version="v1", title=TEXT, subjects=Selector(), signals={}, events={},
        when="true", hold="true", texts=Texts(TEXT, TEXT, TEXT), **facts,
    )  # fmt: skip


def desk(*rules: Rule, **given: object) -> Desk:
    return Desk(rules=rule_set(list(rules)), **given)


class Town:
    """A store with one shard, and a clock that only this test moves."""

    def __init__(self, store: Store) -> None:
        self.store, self.tasks = store, store.tasks
        self.epoch, self.offset = store.claim("s"), 0

    def tell(self, *changes: AlertChange) -> int:
        self.offset += 1
        return self.store.commit("s", self.epoch, self.offset, changes)

    def one(self, **given: object) -> Task:
        (task,) = self.tasks.list(**given)
        return task


@pytest.fixture
def town(lite: Store) -> Town:
    return Town(lite)


@pytest.fixture
def city(store: Store) -> Town:
    """The same, on both databases."""
    return Town(store)
