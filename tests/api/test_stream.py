"""The live stream: nothing lost, resumed by its last id, in scope only, bounded."""

from __future__ import annotations

import asyncio
import json
import threading
import zlib
from collections.abc import Callable
from typing import Any

import pytest

import engine.console.stream as stream_module
from engine.console.security import Who
from engine.console.stream import Hub
from tests.api.kit import OTHER, Site
from tests.engine.store_kit import GRID, MINUTE, T0, change


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "POLL_S", 0.01)


def who(site: Site, name: str) -> Who:
    account = site.store.accounts.get(name)
    assert account is not None
    return Who(account)


def messages(data: bytes) -> list[tuple[str, int | None, Any]]:
    found = []
    for block in data.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "event" in fields:
            number = int(fields["id"]) if "id" in fields else None
            found.append((fields["event"], number, json.loads(fields["data"])))
    return found


def commit(site: Site, n: int, first: int = 0, place: str = GRID) -> None:
    at = T0 + 25 * MINUTE
    made = [
        change(f"new-{i}", seq=1, onset=T0 + i, at=at, place=place) for i in range(first, first + n)
    ]
    site.store.commit("s", 1, 10 + first, made)


async def gather(
    hub: Hub, reader: Who, cursor: int | None, enough: Callable[[list[Any]], bool]
) -> list[Any]:
    found: list[Any] = []

    async def read() -> None:
        rest = b""
        async for piece in hub.read(reader, cursor):  # cut anywhere
            whole, _, rest = (rest + piece).rpartition(b"\n\n")
            found.extend(messages(whole))
            if enough(found):
                return

    await asyncio.wait_for(read(), 20)
    return found


def run(coroutine: Any) -> Any:
    return asyncio.run(coroutine)


def alerts_of(found: list[Any]) -> set[str]:
    return {m["alert"]["alert_id"] for kind, _, m in found if kind == "alert"}


def test_what_comes_is_told_once_in_order(site: Site) -> None:
    async def story() -> list[Any]:
        hub = Hub(site.console)
        hub.start()
        cursor = site.store.questions.outbox_ends()[1]
        reading = asyncio.create_task(
            gather(hub, who(site, "command"), cursor, lambda f: len(alerts_of(f)) == 50)
        )
        await asyncio.sleep(0.05)
        for i in range(5):
            await asyncio.to_thread(commit, site, 10, i * 10)
        found = await reading
        await hub.stop()
        return found

    found = run(story())
    numbers = [n for _, n, _ in found if n is not None]
    assert numbers == sorted(set(numbers))


def test_who_joins_while_the_idle_hub_looks_where_it_stands_misses_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand that come at once keep that look waiting; what is written meanwhile is theirs."""
    real, looking, go = site.store.questions.outbox_ends, threading.Event(), threading.Event()

    def slow() -> tuple[int, int]:
        if threading.get_ident() in held:
            looking.set()
            assert go.wait(10)
        return real()

    held: set[int] = set()

    async def story() -> list[Any]:
        hub = Hub(site.console)
        hub._cursor = start = real()[1]
        look = hub._look

        async def slowly(function: Any, *args: Any) -> Any:
            def within() -> Any:
                held.add(threading.get_ident())
                try:
                    return function(*args)
                finally:
                    held.discard(threading.get_ident())

            return await look(within)

        monkeypatch.setattr(hub, "_look", slowly)
        monkeypatch.setattr(site.store.questions, "outbox_ends", slow)
        hub.start()  # nobody listens: it looks where it stands, and is kept waiting
        while not looking.is_set():
            await asyncio.sleep(0.01)
        reading = asyncio.create_task(
            gather(hub, who(site, "command"), start, lambda f: len(alerts_of(f)) == 12)
        )
        while not hub.clients:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(commit, site, 10)
        go.set()
        await asyncio.sleep(0.1)
        await asyncio.to_thread(commit, site, 2, 10)
        found = await reading
        await hub.stop()
        return found

    assert len(alerts_of(run(story()))) == 12


def test_who_comes_back_misses_nothing_also_after_a_restart(site: Site) -> None:
    async def story() -> tuple[list[Any], list[Any]]:
        hub = Hub(site.console)
        hub.start()
        commit(site, 30)
        first = await gather(hub, who(site, "command"), 0, lambda f: len(alerts_of(f)) >= 10)
        await hub.stop()
        commit(site, 30, 30)
        again = Hub(site.console)  # another process
        again.start()
        last = max(n for _, n, _ in first if n is not None)
        newest = site.store.questions.outbox_ends()[1]
        second = await gather(
            again, who(site, "command"), last, lambda f: any((n or 0) >= newest for _, n, _ in f)
        )
        await again.stop()
        return first, second

    first, second = run(story())
    ids = {a.alert_id for a in site.store.alerts() if a.place.startswith("330106001")}
    assert alerts_of(first) | alerts_of(second) == ids


def test_only_what_is_in_scope_is_told_and_a_wall_gets_no_ids(site: Site) -> None:
    async def story() -> list[list[Any]]:
        hub = Hub(site.console)
        hub.start()
        commit(site, 3, place=OTHER)
        commit(site, 3, 10)
        newest = site.store.questions.outbox_ends()[1]
        found = [
            await gather(hub, who(site, name), 0, lambda f: len(alerts_of(f)) >= 3)
            for name in ("command", "wall")
        ]
        await hub.stop()
        assert newest
        return found

    command, wall = run(story())
    assert all(m["alert"]["place"]["place"].startswith("330106001")
               for k, _, m in command if k == "alert")  # fmt: skip
    assert all(m["alert"]["subject_id"] is None for k, _, m in wall if k == "alert")
    assert not any(kind == "task" for kind, _, _ in wall)


def test_a_number_from_another_store_asks_to_read_anew(site: Site) -> None:
    async def story() -> list[Any]:
        hub = Hub(site.console)
        hub.start()
        return await gather(
            hub, who(site, "command"), 10**9, lambda f: any(k == "resync" for k, _, _ in f)
        )

    assert any(kind == "resync" for kind, _, _ in run(story()))


def test_a_slow_reader_loses_its_line_and_nothing_else(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "WAITING", 3)

    async def story() -> set[str]:
        hub = Hub(site.console)  # turned by hand, so that every commit is a batch
        hub._cursor = start = site.store.questions.outbox_ends()[1]
        slow = hub.read(who(site, "command"), start)
        await slow.__anext__()  # retry and clock
        waiting = asyncio.ensure_future(slow.__anext__())
        while not hub.clients:
            await asyncio.sleep(0.01)
        for i in range(10):
            commit(site, 1, i)
            await hub._pump()
            if i == 0:
                got = messages(await waiting)  # reads one batch, and no more
        assert hub.clients == 0  # cut off, so its memory is bounded
        async for data in slow:
            got += messages(data)
        resume = max(n for _, n, _ in got if n is not None)
        newest = site.store.questions.outbox_ends()[1]
        rest = await gather(
            hub, who(site, "command"), resume, lambda f: any((n or 0) >= newest for _, n, _ in f)
        )
        return {m["alert"]["subject_id"] for k, _, m in got + rest if k == "alert"}

    assert {f"new-{i}" for i in range(10)} <= run(story())


@pytest.mark.parametrize("end", ["session", "token", "scope"])
def test_a_stream_ends_with_the_right_to_read_it(site: Site, end: str) -> None:
    account, wall = site.store.accounts.get("data"), site.times.wall
    assert account is not None
    _, session = site.store.access.open_session("data", now_wall=wall, hours=1)
    _, token = site.store.access.add_token(
        "data", "board", ["read"], days=1, now_wall=wall, at_ns=T0
    )
    reader = Who(account, session) if end == "session" else Who(account, token=token)

    async def story() -> list[Any]:
        hub = Hub(site.console)
        hub._cursor = site.store.questions.outbox_ends()[1]
        found: list[Any] = []

        async def read() -> None:
            async for data in hub.read(reader, None):
                found.extend(messages(data))

        reading = asyncio.create_task(read())
        while not hub.clients:
            await asyncio.sleep(0.01)
        await hub._tell_time()
        assert hub.clients == 1
        if end == "session":
            site.times.wall += 3_601
        elif end == "token":
            site.store.access.revoke_token(token.token_id, by="test", at_ns=T0)
        else:
            site.store.accounts.change("data", by="test", at_ns=T0, scope=[OTHER])
        await hub._tell_time()
        await asyncio.wait_for(reading, 10)
        return found

    assert [kind for kind, _, _ in run(story())] == ["clock", "clock", "bye"]


def test_what_was_missed_is_made_once_for_all_who_missed_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "BLOCK", 7)
    made: list[int] = []
    words = stream_module.put_into_words

    def counted(console: Any, reader: Who, mine: list[Any]) -> bytes:
        made.append(len(mine))
        return words(console, reader, mine)

    monkeypatch.setattr(stream_module, "put_into_words", counted)

    async def story() -> list[list[Any]]:
        commit(site, 30)
        hub = Hub(site.console)
        hub._cursor = newest = site.store.questions.outbox_ends()[1]
        return await asyncio.gather(
            *(
                gather(
                    hub,
                    who(site, "command"),
                    start,
                    lambda f: any((n or 0) >= newest for _, n, _ in f),
                )
                for start in [0] * 20 + [3] * 20
            )
        )

    found = run(story())
    everything = {a.alert_id for a in site.store.alerts() if a.place.startswith("330106001")}
    assert all(alerts_of(f) == everything for f in found[:20])
    numbers = [[n for _, n, _ in f if n is not None] for f in found]
    assert all(n == sorted(set(n)) for n in numbers)
    assert len(made) <= -(-numbers[0][-1] // 7) + 2, "forty readers, each block once"


def test_pieces_packed_apart_are_one_gzip_stream() -> None:
    pieces = [f"piece {i} {'x' * 100}".encode() for i in range(50)]
    stream = stream_module.GZIP_HEAD + b"".join(stream_module.pack(p) for p in pieces)
    assert zlib.decompressobj(31).decompress(stream) == b"".join(pieces)


def test_the_stream_over_http_ends_with_its_session(site: Site) -> None:
    client = site.client()
    assert client.api("GET", "/stream").status_code == 401
    client = site.client("command")
    bad = client.api("GET", "/stream", headers={"Last-Event-ID": "x; DROP"})
    assert bad.json()["code"] == "bad_request"
