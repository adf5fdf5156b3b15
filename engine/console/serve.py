"""Starting the console: its parts from a configuration, the server, the clock of tasks."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import structlog
import uvicorn

from engine import library
from engine.config import Config
from engine.console.app import create_app
from engine.console.context import Console, EventClock
from engine.console.schemas import Text
from engine.curves import CurveReader
from engine.escalation import Escalator
from engine.opening import open_store
from engine.places import PlaceTree
from engine.store import Store, StoreError, Vault
from engine.store.accounts import make_password
from engine.trial import wall_ns_of
from engine.watched import curves_folder, enter_contacts, enter_watched

log = structlog.get_logger()

TURN_S = 1.0
FIRST_ADMIN = "admin"


class ServeError(ValueError):
    """The console cannot be started; the message says what to do."""


def vault_of(config: Config, folder: Path) -> Vault:
    """Return the keys of the personal data: configured, or in a file beside the snapshots."""
    if config.personal_data_key is not None:
        return Vault.of(config.personal_data_key.get_secret_value())
    folder.mkdir(parents=True, exist_ok=True)
    return Vault.at(folder / "personal-data.key", create=True)


def open_console(config: Config) -> Console:
    """Return the console that a configuration describes.

    Raises
    ------
    engine.store.StoreError
        If the store cannot be opened.
    """
    inputs = config.inputs
    rules = library.rules(config.rules.path, dict(config.rules.budgets))
    workers = None if inputs.workers is None else str(inputs.workers)
    snapshots = Path(config.snapshots)
    store = open_store(config.store, rules, config, workers, vault=vault_of(config, snapshots))
    zone = store.desk.zone
    if inputs.meters is not None and inputs.subjects is not None:
        from engine.inputs import layout_of, load_registry, place_names

        registry = load_registry(str(inputs.meters), str(inputs.subjects), config)
        zone = (registry.zones or [zone])[0]
        places = None if inputs.places is None else str(inputs.places)
        enter_watched(store, registry, PlaceTree(layout_of(config), place_names(places)))
    console = Console(
        store,
        config,
        clock=_clock(config),
        rules=rules,
        curves=CurveReader(curves_folder(config, snapshots)),
        zone=zone,
    )
    if inputs.contacts is not None:
        enter_contacts(store, str(inputs.contacts), console.now_ns())
    return console


def _clock(config: Config) -> EventClock:
    trial = config.trial
    if trial is None:
        return EventClock()
    return EventClock(event_ns=wall_ns_of(config), speed=lambda: trial.speed)


def first_admin(store: Store, at_ns: int) -> str | None:
    """Make the first account, where there is none, and return its password."""
    if store.accounts.list():
        return None
    password = make_password()
    store.accounts.add(
        FIRST_ADMIN, roles=["admin"], scope=[""], password=password, by="serve", at_ns=at_ns
    )
    return password


class Server:
    """The console's server, in this thread or in one of its own.

    Parameters
    ----------
    console : Console
    host, port
        Where to listen; port 0 takes a free one.
    escalate : bool
        Whether to turn the clock of tasks, too.
    also : callable, optional
        What else is due at each turn of that clock; takes event time.
    """

    def __init__(
        self, console: Console, host: str, port: int, *, escalate: bool = True,
        also: Callable[[int], object] | None = None,
    ) -> None:  # fmt: skip
        self.console = console
        self._socket = _listen(host, port)
        self.port = int(self._socket.getsockname()[1])
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104
        self.url = console.settings.url or f"http://{shown}:{self.port}/"
        settings = uvicorn.Config(
            create_app(console),
            access_log=False,  # paths hold families' links
            log_config=None,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=3,
            h11_max_incomplete_event_size=64 * 1024,
            limit_concurrency=8_000,
        )
        self._uvicorn = uvicorn.Server(settings)
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._escalate = escalate
        self._also = also

    def start(self) -> None:
        """Serve in a thread of its own, until :meth:`close`."""
        self._begin()
        thread = threading.Thread(target=self._serve, daemon=True, name="console")
        self._threads.append(thread)
        thread.start()

    def run(self, ready: Callable[[], None]) -> None:
        """Serve in this thread until a signal ends it."""
        self._begin()
        ready()
        try:
            self._uvicorn.run(sockets=[self._socket])
        finally:
            self.close()

    def close(self) -> None:
        """End."""
        self._stop.set()
        self._uvicorn.should_exit = True
        for thread in self._threads:
            thread.join(timeout=5)

    def _serve(self) -> None:
        # Signals belong to the main thread, which is not this one.
        self._uvicorn.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        self._uvicorn.run(sockets=[self._socket])

    def _begin(self) -> None:
        warm = threading.Thread(target=_warm, daemon=True, name="warm")
        warm.start()
        if self._escalate:
            turn = threading.Thread(target=self._turn, daemon=True, name="escalation")
            self._threads.append(turn)
            turn.start()

    def _turn(self) -> None:
        holder = f"serve {socket.gethostname()} {os.getpid()}"
        escalator = Escalator(self.console.store, holder, settings=self.console.settings)
        while not self._stop.wait(TURN_S):
            try:
                now_ns = self.console.now_ns()
                escalator.turn(now_ns)
                if self._also is not None:
                    self._also(now_ns)
            except StoreError as error:
                log.warning("escalation_waits", problem=str(error))
            except Exception as error:
                log.exception("escalation_failed", exc_info=error)
        escalator.close()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
        found.listen(2_048)
    except OSError as error:
        found.close()
        raise ServeError(
            f"console: cannot listen on {host}:{port}: {error.strerror}; set console.port"
        ) from None
    return found


def _warm() -> None:
    """Import what the first board would wait for."""
    import scipy.stats  # noqa: F401

    import detectors.catalogue  # noqa: F401


__all__ = ["EventClock", "Server", "Text", "first_admin", "open_console"]
