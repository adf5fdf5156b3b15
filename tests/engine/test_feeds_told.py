"""Several gateways tell of the same feeds: their words add up, none overwrites another's."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.store import Store
from engine.store.feeds import DAY_NS, HOUR_NS, FeedRow

T0 = 500_000 * HOUR_NS


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "feeds.db")


def row(rows: int, last_ns: int, *hours: int) -> FeedRow:
    return FeedRow(
        name="mqtt", kind="source", rows=rows, quarantined=1, last_ns=last_ns,
        delay_s=float(rows), hours=hours,
    )  # fmt: skip


def test_gateways_add_up(store: Store) -> None:
    store.feeds.tell([row(30, T0 + 5, 10, 20)], T0, "one")
    store.feeds.tell([row(7, T0 + HOUR_NS, 3, 4)], T0 + HOUR_NS, "two")
    store.feeds.tell([row(40, T0 + 6, 10, 30)], T0, "one")
    (feed,) = store.feeds.list()
    assert (feed.rows, feed.quarantined) == (47, 2)
    assert (feed.last_ns, feed.delay_s) == (T0 + HOUR_NS, 7.0)
    assert feed.hours == (33, 4), (
        "the first gateway spoke an hour ago: its last hour is the one before"
    )


def test_a_gateway_that_is_gone_for_a_day_is_forgotten(store: Store) -> None:
    store.feeds.tell([row(30, T0, 30)], T0, "one")
    store.feeds.tell([row(7, T0 + DAY_NS, 7)], T0 + DAY_NS, "two")
    (feed,) = store.feeds.list()
    assert feed.rows == 7


def test_one_process_alone_needs_no_name(store: Store) -> None:
    told = row(30, T0, 10, 20)
    store.feeds.tell([told], T0)
    store.feeds.tell([FeedRow(name="call", kind="events", rows=2)], T0)
    assert store.feeds.list() == [FeedRow(name="call", kind="events", rows=2), told]
