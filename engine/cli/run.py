"""`gridwarden run`: live, embedded."""

from __future__ import annotations

import io
import queue
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from engine.live import Live
    from rules.alerts import AlertChange


@click.command()
@click.option("--config", "config_file", type=click.Path(path_type=Path), required=True)
@click.option("--once", is_flag=True, help="Read what is there, save, and end.")
@click.option(
    "--save-every", type=click.FloatRange(1), default=60.0, show_default=True, metavar="S"
)
def run(config_file: Path, once: bool, save_every: float) -> int:
    """Watch a folder (inputs.watch), or read readings from stdin where none is configured.

    A file is read once it has stopped growing; files whose name begins with "event" hold events,
    all others readings. Alerts go to stdout as NDJSON, and to the store as tasks. Ctrl-C saves and
    ends; after a crash the next start goes on where the journal ends.
    """
    import time
    from contextlib import ExitStack

    import structlog

    from engine.config import load
    from engine.live import Live, wall_ns

    log = structlog.get_logger()
    config = load(config_file)
    live = Live(config, wall_ns, on_lines=_print)
    stop = threading.Event()
    telling = ExitStack()
    if config.relay.inside:
        from engine.relay.opening import relaying

        telling.enter_context(relaying(config, live.store))  # the clock of tasks turns in `live`

    def ask_to_stop(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGINT, ask_to_stop)
    signal.signal(signal.SIGTERM, ask_to_stop)
    log.info("started", store=config.store, watch=str(config.inputs.watch), records=live.fed)
    stdin = _Stdin() if config.inputs.watch is None else None
    saved = time.monotonic()
    quiet = 0
    while not stop.is_set():
        rows = live.poll()
        if stdin is not None:
            rows += stdin.feed(live)
        if rows:
            log.info("read", rows=rows)
        quiet = 0 if rows else quiet + 1
        # A file is taken at the second look, when it has stopped growing.
        if (once and stdin is None and quiet >= 2) or (stdin is not None and stdin.ended):
            break
        if time.monotonic() - saved > save_every:
            live.save()
            saved = time.monotonic()
        stop.wait(0.05 if once else config.inputs.poll_s)
    telling.close()
    live.close()
    for source, counts in live.host.counts.items():
        log.info("rows", source=source, total=counts.rows, **counts.by_status)
    log.info("stopped", records=live.fed, rows_waiting_for_their_successors=live.host.waiting)
    return 3 if once and live.problems else 0


def _print(lines: Sequence[AlertChange]) -> None:
    for line in lines:
        click.echo(line.line())


class _Stdin:
    """Lines of stdin as they come: read by a thread, fed by the main loop."""

    def __init__(self) -> None:
        self._pieces: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._header = b""
        self._rest = b""
        self._over = False
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def ended(self) -> bool:
        """Whether everything was fed."""
        return self._over and not self._rest

    def _read(self) -> None:
        stream = sys.stdin.buffer
        assert isinstance(stream, io.BufferedReader)
        while piece := stream.read1(1 << 20):
            self._pieces.put(piece)
        self._pieces.put(b"")

    def feed(self, live: Live) -> int:
        """Feed all complete lines; return their rows."""
        parts = [self._rest]
        while not self._pieces.empty():
            piece = self._pieces.get()
            parts.append(piece)
            self._over = self._over or not piece
        data = b"".join(parts)
        cut = len(data) if self._over else data.rfind(b"\n") + 1
        data, self._rest = data[:cut], data[cut:]
        if data and not self._header and not data.lstrip().startswith(b"{"):
            end = data.find(b"\n") + 1 or len(data)
            self._header, data = data[:end], data[end:]
        return live.read_lines(self._header + data) if data.strip() else 0
