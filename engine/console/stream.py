"""The live stream: one task reads what was told, and hands it to every reader who may see it.

The outbox numbers every change of an alert or task; that number is the cursor. One reader of the
database serves all clients: each batch is put into words once per kind of reader (scope and wall),
and the same bytes go to all of that kind. A client that does not keep up loses its line, not its
messages: it comes back with its Last-Event-ID and is served from memory or the database. So the
memory of a client is bounded, and nothing is lost.
"""

from __future__ import annotations

import asyncio
import json
import time
import zlib
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import structlog
from anyio import CapacityLimiter, to_thread

from engine.console.boards import AlertMessage, Resync, TaskMessage
from engine.console.context import Console
from engine.console.lookups import summaries, task_summaries
from engine.console.security import Who
from engine.console.views import Views
from engine.store import StoreError

log = structlog.get_logger()
T = TypeVar("T")

POLL_S = 0.5
"""At most two batches a second: what a board can show …"""
MANY, MANY_S = 200, 1.0
"""… and one to each of very many: a batch costs by its readers, hardly by its length."""
CLOCK_S = 15.0
READ = 2_000
"""Rows of one batch."""
REMEMBER = 4_000
"""Newest messages kept in memory for those who come back."""
WAITING = 64
"""Batches that may wait for one client before its line is cut."""
PIECE = 65_536
BLOCK = 500
"""What a client missed is told in blocks that end at multiples of this: all get the same bytes."""
KEPT_BYTES = 64 << 20
"""Most bytes of such blocks kept for the next ones to come."""
GAP_S = 2.0
"""How long a missing number is waited for: its transaction may not have ended yet."""
FARTHEST = 50_000
"""Further behind than this, a client reads the lists anew."""


class Item(NamedTuple):
    """One message, before it is put into words."""

    cursor: int
    topic: str
    place: str
    holder: str | None
    alert: Any
    task: Any


@dataclass(eq=False, slots=True)
class Client:
    """One reader."""

    who: Who
    packed: bool = False
    queue: asyncio.Queue[bytes | None] = field(default_factory=lambda: asyncio.Queue(WAITING))
    gone: bool = False


GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"


def pack(data: bytes) -> bytes:
    """Return data as a piece of a gzip stream that refers to nothing before it.

    Pieces made apart and put one after the other are one deflate stream, so a batch is compressed
    once for all who read it, wherever they joined (RFC 1951, blocks; RFC 1952, header).
    """
    squeezed = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    return squeezed.compress(data) + squeezed.flush(zlib.Z_SYNC_FLUSH)


def event(name: str, data: str, cursor: int | None = None) -> bytes:
    """Return a message of an event stream."""
    head = f"event: {name}\n" if cursor is None else f"event: {name}\nid: {cursor}\n"
    return f"{head}data: {data}\n\n".encode()


class Hub:
    """Reads the outbox once and hands it to all clients.

    Parameters
    ----------
    console : Console
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._clients: set[Client] = set()
        self._recent: deque[Item] = deque(maxlen=REMEMBER)
        self._cursor = -1
        self._task: asyncio.Task[None] | None = None
        self._lane: CapacityLimiter | None = None
        self._gap: tuple[int, float] | None = None
        self._told: OrderedDict[Any, asyncio.Future[bytes]] = OrderedDict()
        self._told_bytes = 0

    def start(self) -> None:
        """Begin to read."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End all streams."""
        if self._task is not None:
            self._task.cancel()
        for client in list(self._clients):
            self._cut(client)

    @property
    def clients(self) -> int:
        """How many read."""
        return len(self._clients)

    # -- reading ------------------------------------------------------------------------------

    async def _look(self, function: Callable[..., T], *args: Any) -> T:
        """Call something that waits, in a thread of the hub's own.

        A thousand who come at once fill the threads that all requests share, and would keep those
        who are there already waiting.
        """
        if self._lane is None:
            self._lane = CapacityLimiter(2)
        return await to_thread.run_sync(function, *args, limiter=self._lane)

    async def _run(self) -> None:
        told = 0.0
        while True:
            try:
                if self._cursor < 0:
                    _, self._cursor = await self._look(self._console.store.questions.outbox_ends)
                elif self._clients:
                    while await self._pump() == READ:
                        pass
                else:
                    # Nobody listens: those who come are served from the database.
                    self._recent.clear()
                    _, newest = await self._look(self._console.store.questions.outbox_ends)
                    # Who joined meanwhile stands where the reader stood, and is owed all since.
                    if not self._clients:
                        self._cursor = max(self._cursor, newest)
                if time.monotonic() - told > CLOCK_S:
                    told = time.monotonic()
                    await self._tell_time()
            except StoreError as error:
                log.warning("stream_waits", problem=str(error))
            except Exception as error:
                log.exception("stream_failed", exc_info=error)
            await asyncio.sleep(POLL_S if len(self._clients) < MANY else MANY_S)

    async def _pump(self) -> int:
        """Read the next rows and hand them out; return how many there were."""
        rows = await self._look(self._console.store.questions.outbox_after, self._cursor, READ)
        rows = self._whole(rows)
        if not rows:
            return 0
        if self._clients:
            items = await self._look(items_of, self._console, rows)
            words = await self._words(items)
            self._recent.extend(items)
            self._cursor = rows[-1][0]
            self._hand_out(items, words)
        else:
            # Nobody listens: those who come are served from the database.
            self._recent.clear()
            self._cursor = rows[-1][0]
        return len(rows)

    def _whole(self, rows: list[tuple[int, str, str, int]]) -> list[tuple[int, str, str, int]]:
        """Stop before a missing number for a while: numbers are given before they are visible."""
        expected = self._cursor + 1
        for i, row in enumerate(rows):
            if row[0] != expected:
                now = time.monotonic()
                if self._gap is None or self._gap[0] != expected:
                    self._gap = (expected, now)
                if now - self._gap[1] < GAP_S:
                    return rows[:i]
            expected = row[0] + 1
        self._gap = None
        return rows

    async def _words(self, items: list[Item]) -> dict[Any, bytes]:
        """Put a batch into words, once per kind of reader."""
        words: dict[Any, bytes] = {}
        for who, packed in [(client.who, client.packed) for client in self._clients]:
            key = _kind(who)
            if (key, False) not in words:
                mine = seen_by(who, items)
                words[key, False] = (
                    b"" if not mine else await self._look(put_into_words, self._console, who, mine)
                )
            if packed and (key, True) not in words:
                plain = words[key, False]
                words[key, True] = plain and await self._look(pack, plain)
        return words

    def _hand_out(self, items: list[Item], words: dict[Any, bytes]) -> None:
        for client in list(self._clients):
            data = words.get((_kind(client.who), client.packed))
            if data is None:  # joined while the words were made: its turn comes from the database
                if seen_by(client.who, items):
                    self._cut(client)
            elif data and not client.gone:
                try:
                    client.queue.put_nowait(data)
                except asyncio.QueueFull:
                    self._cut(client)

    async def _tell_time(self) -> None:
        clock = await to_thread.run_sync(self._console.time)
        data = event("clock", clock.model_dump_json(by_alias=True))
        clients = list(self._clients)
        over = await to_thread.run_sync(self._over, [client.who for client in clients])
        packed = pack(data)
        for client, ends in zip(clients, over, strict=True):
            if ends:
                self._cut(client, goodbye("signed out"))
                continue
            try:
                client.queue.put_nowait(packed if client.packed else data)
            except asyncio.QueueFull:
                self._cut(client)

    def _over(self, readers: list[Who]) -> list[bool]:
        """Return whose right to read has ended: the session, the token, or what its account may see.

        A change of an account ends its sessions; its tokens hold, but say something else from then on.
        """
        store, wall = self._console.store, self._console.wall()
        sessions, tokens = store.access.live_sessions(wall), store.access.live_tokens(wall)
        names = {who.account.name for who in readers if who.token is not None}
        accounts = {name: store.accounts.get(name) for name in names}

        def ends(who: Who) -> bool:
            if who.token is None:
                return who.session is not None and who.session.session not in sessions
            now = accounts[who.account.name]
            return (
                who.token.token_id not in tokens
                or now is None
                or now.disabled
                or (now.roles, now.scope) != (who.account.roles, who.account.scope)
            )

        return [ends(who) for who in readers]

    def _cut(self, client: Client, last: bytes = b"") -> None:
        """End a client's line, with a last word; without one it comes back with its Last-Event-ID."""
        client.gone = True
        self._clients.discard(client)
        while not client.queue.empty():
            client.queue.get_nowait()
        if last:
            client.queue.put_nowait(pack(last) if client.packed else last)
        client.queue.put_nowait(None)

    # -- clients ------------------------------------------------------------------------------

    async def read(
        self, who: Who, cursor: int | None, *, packed: bool = False
    ) -> AsyncIterator[bytes]:
        """Yield a client's stream, in pieces: what a slow line holds of it stays small.

        Parameters
        ----------
        packed : bool
            As gzip.
        """
        if packed:
            yield GZIP_HEAD
        client = Client(who, packed)
        try:
            async for data in self._before(client, cursor):
                for start in range(0, len(data), PIECE):
                    yield data[start : start + PIECE]
            while (batch := await client.queue.get()) is not None:
                for start in range(0, len(batch), PIECE):
                    yield batch[start : start + PIECE]
        finally:
            self._clients.discard(client)

    async def _before(self, client: Client, cursor: int | None) -> AsyncIterator[bytes]:
        """Yield what a client missed, ready to send, and have it join."""
        clock = await to_thread.run_sync(self._console.time)
        hello = b"retry: 2000\n\n" + event("clock", clock.model_dump_json(by_alias=True))
        yield pack(hello) if client.packed else hello
        oldest, newest = await to_thread.run_sync(self._console.store.questions.outbox_ends)
        at = newest if cursor is None else cursor
        why = _too_far(at, oldest, newest)
        if why:
            at = newest
            again = event("resync", Resync(cursor=at, why=why).model_dump_json(), at)
            yield pack(again) if client.packed else again
        while True:
            reached = self._cursor
            if reached < 0:  # just started: it does not know yet where it stands
                await asyncio.sleep(POLL_S / 10)
                continue
            # Join once nothing lies between; from this check to the joining nothing else runs.
            if at >= reached or (reached - at <= BLOCK and self._has(at)):
                missed = [i for i in self._recent if i.cursor > at]
                self._clients.add(client)
                break
            end = min((at // BLOCK + 1) * BLOCK, reached)
            data = await self._once(client, at, end, None)
            at = end
            if data:
                yield data
        if missed:
            data = await self._once(client, at, missed[-1].cursor, missed)
            if data:
                yield data

    async def _once(self, client: Client, at: int, end: int, items: list[Item] | None) -> bytes:
        """Return what was told after `at` up to `end`, ready to send; made once for all of a kind."""
        key = (_kind(client.who), client.packed, at, end)
        found = self._told.get(key)
        if found is None:
            made = self._block(client.who, client.packed, at, end, items)
            found = self._told[key] = asyncio.ensure_future(made)
            found.add_done_callback(lambda done: self._keep(key, done))
        else:
            self._told.move_to_end(key)
        # One who goes away takes nobody's block along.
        return await asyncio.shield(found)

    def _keep(self, key: Any, done: asyncio.Future[bytes]) -> None:
        """Count a block that is ready; let go of the oldest ones."""
        if done.cancelled() or done.exception() is not None:
            self._told.pop(key, None)
            return
        self._told_bytes += len(done.result())
        for old in list(self._told):
            if self._told_bytes <= KEPT_BYTES:
                break
            if self._told[old].done():
                self._told_bytes -= len(self._told.pop(old).result())

    async def _block(
        self, who: Who, packed: bool, at: int, end: int, items: list[Item] | None
    ) -> bytes:
        """Put into words what was told after `at` up to `end`: `items`, or what the store has."""
        if items is None:
            store = self._console.store.questions
            rows = await to_thread.run_sync(store.outbox_after, at, end - at)
            rows = [row for row in rows if row[0] <= end]
            items = await to_thread.run_sync(items_of, self._console, rows)
        mine = seen_by(who, items)
        if not mine:
            return b""
        data = await to_thread.run_sync(put_into_words, self._console, who, mine)
        return await to_thread.run_sync(pack, data) if packed else data

    def _has(self, cursor: int) -> bool:
        """Return whether memory holds everything after a place."""
        return bool(self._recent) and self._recent[0].cursor <= cursor + 1


def _too_far(at: int, oldest: int, newest: int) -> str:
    if at > newest:
        return "the store is another one, or an older copy"
    if newest - at > FARTHEST:
        return "too many changes since"
    if oldest and at < oldest - 1:
        return "changes since have been cleared away"
    return ""


def _kind(who: Who) -> tuple[Any, ...]:
    """Return what makes two readers see the same."""
    # A gridworker sees tasks in hand outside the scope, and which are `mine`.
    own = who.actor if who.has("gridworker") else ""
    return (who.scope, who.wall, own)


def items_of(console: Console, rows: list[tuple[int, str, str, int]]) -> list[Item]:
    """Read what a batch of the outbox is about; rows that are gone (forgotten) say nothing."""
    questions = console.store.questions
    alerts = [(key, seq) for _, topic, key, seq in rows if topic == "alert"]
    bodies = questions.bodies(alerts)
    of_alert = questions.tasks_of([key for key, _ in alerts])
    tasks = questions.tasks_by_id([key for _, topic, key, _ in rows if topic == "task"])
    items = []
    for cursor, topic, key, seq in rows:
        if topic == "alert" and (key, seq) in bodies:
            change, task = bodies[key, seq], of_alert.get(key)
            holder = task.assignee if task else None
            items.append(Item(cursor, topic, change.place, holder, change, task))
        elif topic == "task" and key in tasks:
            task = tasks[key]
            items.append(Item(cursor, topic, task.place, task.assignee, None, task))
    return items


def seen_by(who: Who, items: list[Item]) -> list[Item]:
    """Return the messages that a reader may see."""
    return [
        i
        for i in items
        if (who.sees(i.place) or (i.holder is not None and i.holder == who.actor))
        and (i.topic == "alert" or not who.wall)
    ]


def put_into_words(console: Console, who: Who, mine: list[Item]) -> bytes:
    """Return messages for a reader who may see them, as bytes of the stream."""
    views = Views(console, who)
    alerts = iter(summaries(views, [(i.alert, i.task) for i in mine if i.topic == "alert"]))
    tasks = iter(task_summaries(views, [i.task for i in mine if i.topic == "task"]))
    out = []
    for i in mine:
        message: AlertMessage | TaskMessage
        if i.topic == "alert":
            message = AlertMessage(cursor=i.cursor, alert=next(alerts))
        else:
            message = TaskMessage(cursor=i.cursor, task=next(tasks))
        out.append(event(i.topic, message.model_dump_json(by_alias=True), i.cursor))
    return b"".join(out)


def goodbye(why: str) -> bytes:
    """Return the message that ends a stream for good."""
    return event("bye", json.dumps({"why": why}))
