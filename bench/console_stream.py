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
        pipe.send(time.monotonic() - began)


async def _within(what: Any, deadline: float) -> Any:
    return await asyncio.wait_for(what, max(deadline - time.monotonic(), 0.01))


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


async def read(
    port: int, cookie: str, expected: int, deadline: float, decoder: Decoder
) -> tuple[int, int]:
    """Follow the stream until all alerts came; return (distinct alerts, reconnects)."""
    seen: set[bytes] = set()
    last, tries = b"0", -1
    while len(seen) < expected and time.monotonic() < deadline:
        tries += 1
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
            writer.write(
                b"GET /api/v1/stream HTTP/1.1\r\nHost: x\r\nCookie: gridwarden="
                + cookie.encode()
                + b"\r\nAccept-Encoding: gzip\r\nLast-Event-ID: "
                + last
                + b"\r\n\r\n"
            )
            head = await _within(reader.readuntil(b"\r\n\r\n"), deadline)
            assert b" 200 " in head, head
            rest, begun = b"", False
            while len(seen) < expected:
                size = int(await _within(reader.readline(), deadline), 16)
                piece = (await _within(reader.readexactly(size + 2), deadline))[:-2]
                if not size:
                    break
                if not begun:  # the header of the gzip stream comes alone
                    begun = True
                    continue
                found = decoder.read(rest + piece)
                if found is None:
                    rest += piece
                    continue
                rest, last = b"", found[0] or last
                seen.update(found[1])
            writer.close()
        except (OSError, EOFError, ValueError, TimeoutError, asyncio.IncompleteReadError):
            await asyncio.sleep(0.2)
    return len(seen), tries


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
    with tempfile.TemporaryDirectory() as folder:
        mine, theirs = spawn.Pipe()
        server = spawn.Process(target=serve, args=(folder, theirs), daemon=True)
        server.start()
        port, cookie = mine.recv()
        done, told = spawn.Pipe()
        writer = spawn.Process(target=write, args=(folder, given.rate, given.seconds, told))
        total = given.rate * given.seconds

        async def all_of_them() -> list[tuple[int, int]]:
            deadline = time.monotonic() + given.seconds * 2 + 15
            decoder = Decoder()
            tasks = [
                asyncio.create_task(read(port, cookie, total, deadline, decoder))
                for _ in range(given.clients)
            ]
            await asyncio.sleep(5)
            writer.start()
            return await asyncio.gather(*tasks)

        began = time.monotonic()
        found = asyncio.run(all_of_them())
        took = time.monotonic() - began - 5
        wrote = done.recv()
        memory, busy = [], 0.0
        while mine.poll():
            megabytes, busy = mine.recv()
            memory.append(megabytes)
        server.terminate()
    lost = sum(total - n for n, _ in found)
    again = sum(tries for _, tries in found)
    settled = memory[min(10, len(memory) // 3) :]
    print(
        f"{given.clients} clients, {total} alerts written in {wrote:.1f} s, all read after "
        f"{took:.1f} s; lost {lost}, reconnects {again}; server memory "
        f"{min(settled):.0f}–{max(settled):.0f} MB; processor seconds: server {busy:.0f}, "
        f"readers {time.process_time():.0f}"
    )
    if lost:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
