"""1,000 readers of the live stream and 200 alerts a second on the loopback: none lost, memory flat.

python -m bench.console_stream [--clients 1000] [--rate 200] [--seconds 60]
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import resource
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

NS = 1_000_000_000
HEAD_START_S = 5.0
QUIET_S = 20.0
"""After so long without an alert for anybody what is missing is lost; until then it is late."""
GROWTH = 1.1
"""By so much memory may grow from the first half of the run to the second."""


def serve(folder: str, pipe: Any) -> None:
    """Run the console's server; tell its port and a cookie, then its memory, each second."""
    import threading

    from engine.config import Config
    from engine.console.context import Console, EventClock
    from engine.console.serve import Server
    from engine.store import Store

    store = Store.open(Path(folder) / "s.db")
    store.accounts.add("c", roles=["command"], scope=[""], password="x" * 20, by="bench", at_ns=0)
    cookie, _ = store.access.open_session("c", now_wall=time.time(), hours=1)
    clock = EventClock(event_ns=lambda: 1_767_225_600 * NS)
    server = Server(Console(store, Config(), clock=clock), "127.0.0.1", 0, escalate=False)

    def tell() -> None:
        pipe.send((server.port, cookie))
        while True:
            time.sleep(1)
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            pipe.send((pages * resource.getpagesize() / 1e6, time.process_time()))

    threading.Thread(target=tell, daemon=True).start()
    server.run(lambda: None)


def write(folder: str, rate: int, seconds: int, pipe: Any) -> None:
    """Commit alerts at a steady rate."""
    from engine.store import Store
    from rules.alerts import AlertChange, Level, State, alert_id, stamp

    t0 = 1_767_225_600 * NS
    with Store.open(Path(folder) / "s.db") as store:
        epoch = store.claim("s")
        began, sent = time.monotonic(), 0
        while sent < rate * seconds:
            wanted = min(int((time.monotonic() - began) * rate), rate * seconds)
            made = [
                AlertChange(
                    alert_id=alert_id("r", f"home-{i}", t0), seq=1, at=stamp(t0 + i * NS),
                    rule="elderly-silence", rule_version="v", subject_id=f"home-{i}",
                    place="330106001002003", level=Level.ORANGE, state=State.FIRING,
                    onset=stamp(t0), raised_at=stamp(t0), evidence=2.0, p_value=0.01, budget=1.0,
                    reason={"zh": "没有生活迹象", "en": "no sign of life"}, facts={}, signals=[],
                )
                for i in range(sent, wanted)
            ]  # fmt: skip
            if made:
                store.commit("s", epoch, wanted, made, clock_ns=t0)
                sent = wanted
            time.sleep(0.1)
        pipe.send((time.monotonic() - began, time.monotonic()))


class Decoder:
    """What pieces of the stream say: all readers get the same bytes, so each is read once.

    The server's pieces refer to nothing before them; one that is cut is put together first.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[bytes, tuple[bytes, ...]] | None] = {}

    def read(self, piece: bytes) -> tuple[bytes, tuple[bytes, ...]] | None:
        """Return (last event id, ids of alerts) of a whole piece; None of half a one."""
        if piece not in self._known:
            self._known[piece] = self._decode(piece)
            if len(self._known) > 2_000:
                del self._known[next(iter(self._known))]
        return self._known[piece]

    @staticmethod
    def _decode(piece: bytes) -> tuple[bytes, tuple[bytes, ...]] | None:
        unpack = zlib.decompressobj(-zlib.MAX_WBITS)
        text = unpack.decompress(piece)
        if not text.endswith(b"\n\n") and text:
            return None
        last, kind, ids = b"", b"", []
        for line in text.split(b"\n"):
            if line.startswith(b"event: "):
                kind = line[7:]
            elif line.startswith(b"id: "):
                last = line[4:]
            elif kind == b"alert" and line.startswith(b"data: "):
                ids.append(line[line.index(b'"alert_id":"') + 12 :][:20])
        return last, tuple(ids)


class Reader:
    """One client: follows the stream until all alerts came, and comes back where it is cut.

    Parameters
    ----------
    port, cookie
        Where, and as whom.
    expected : int
        Alerts that there are.
    decoder : Decoder
    """

    def __init__(self, port: int, cookie: str, expected: int, decoder: Decoder) -> None:
        self._ask = (
            "GET /api/v1/stream HTTP/1.1\r\nHost: x\r\n"
            f"Cookie: gridwarden={cookie}\r\nAccept-Encoding: gzip\r\nLast-Event-ID: "
        ).encode()
        self._port = port
        self._expected = expected
        self._decoder = decoder
        self.seen: set[bytes] = set()
        self._last = b"0"
        self.reconnects = -1
        self.moved = self.done = time.monotonic()
        """When something came last; when all was there."""

    async def follow(self) -> None:
        """Read until everything is there."""
        while len(self.seen) < self._expected:
            self.reconnects += 1
            try:
                await self._line()
            except (OSError, EOFError, ValueError):
                await asyncio.sleep(0.2)
        self.done = time.monotonic()

    async def _line(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 22)
        try:
            writer.write(self._ask + self._last + b"\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            assert b" 200 " in head, head
            rest, begun = b"", False
            while len(self.seen) < self._expected:
                size = int(await reader.readline(), 16)
                piece = (await reader.readexactly(size + 2))[:-2]
                if not size:
                    return
                if not begun:  # the header of the gzip stream comes alone
                    begun = True
                    continue
                found = self._decoder.read(rest + piece)
                if found is None:
                    rest += piece
                    continue
                rest, self._last = b"", found[0] or self._last
                if found[1]:  # the clock comes as well, whatever else does
                    self.moved = time.monotonic()
                    self.seen.update(found[1])
        finally:
            writer.close()


async def all_of_them(readers: list[Reader], begin: Any) -> None:
    """Have all follow, begin to write, and wait as long as anything still comes to any of them."""
    tasks = {asyncio.create_task(reader.follow()) for reader in readers}
    await asyncio.sleep(HEAD_START_S)
    begin()
    while tasks:
        _, tasks = await asyncio.wait(tasks, timeout=1.0)
        if time.monotonic() - max(reader.moved for reader in readers) > QUIET_S:
            break
    for task in tasks:
        task.cancel()


def main() -> None:
    """Run it and print the figures; fail if an alert was lost or memory grew."""
    options = argparse.ArgumentParser()
    options.add_argument("--clients", type=int, default=1_000)
    options.add_argument("--rate", type=int, default=200)
    options.add_argument("--seconds", type=int, default=60)
    given = options.parse_args()
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(65_536, hard), hard))
    spawn = multiprocessing.get_context("spawn")
    total = given.rate * given.seconds
    with tempfile.TemporaryDirectory() as folder:
        mine, theirs = spawn.Pipe()
        server = spawn.Process(target=serve, args=(folder, theirs), daemon=True)
        server.start()
        port, cookie = mine.recv()
        done, told = spawn.Pipe()
        writer = spawn.Process(target=write, args=(folder, given.rate, given.seconds, told))
        decoder = Decoder()
        readers = [Reader(port, cookie, total, decoder) for _ in range(given.clients)]
        asyncio.run(all_of_them(readers, writer.start))
        wrote, ended = done.recv()
        memory, busy = [], 0.0
        while mine.poll():
            megabytes, busy = mine.recv()
            memory.append(megabytes)
        server.terminate()
    lost = sum(total - len(reader.seen) for reader in readers)
    late = sorted(r.done - ended for r in readers if len(r.seen) == total) or [float("nan")]
    # What a thousand lines take is there once all have joined; from then on it may not grow.
    half = len(memory) // 2
    early, later = max(memory[10:half], default=0.0), max(memory[half:], default=0.0)
    print(
        f"{given.clients} clients, {total} alerts written in {wrote:.1f} s; lost {lost}; all there "
        f"{late[len(late) // 2]:.1f} s (median client) and {late[-1]:.1f} s (last) after the last "
        f"was written; reconnects {sum(reader.reconnects for reader in readers)}; server memory at "
        f"most {early:.0f} MB in the first half, {later:.0f} MB in the second; processor seconds: "
        f"server {busy:.0f}, readers {time.process_time():.0f}"
    )
    if lost or later > early * GROWTH:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
