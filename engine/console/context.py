"""What every route needs: the store, the clocks, names of places and rules."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import engine
from engine.config import Config
from engine.console.oidc import Provider
from engine.console.rehearsals import History, Rehearsals, dropped
from engine.console.schemas import Clock, PlaceRef, Text
from engine.in_force import RulesInForce
from engine.places import PlaceError, PlaceLayout
from engine.relay.standing import Standing, of_city, standings, unwatched
from engine.roster import Worker
from engine.store import Store
from engine.store.rosters import PlaceRow
from rules.alerts import stamp
from rules.model import Rule, RuleSet

if TYPE_CHECKING:
    from engine.curves import CurveReader

NS = 1_000_000_000
NAMES_S = 30.0
"""How long names of places and workers are taken from memory (wall clock)."""

DOWN_S = 10.0
"""Shards that are down are looked up so often."""


@dataclass(frozen=True, slots=True)
class EventClock:
    """Event time between two words of the pipeline.

    Live it is the wall clock. A demo says how fast its time runs.
    """

    wall: Callable[[], float] = time.time
    event_ns: Callable[[], int] | None = None
    speed: Callable[[], float] = field(default=lambda: 1.0)

    def now_ns(self, committed_ns: int | None) -> int:
        """Return event time now; never before what the pipeline has committed."""
        now = int(self.wall() * NS) if self.event_ns is None else self.event_ns()
        return max(now, committed_ns or 0)


class Console:
    """The console's view of a site.

    Parameters
    ----------
    store : Store
    config : Config
    clock : EventClock
    rules : RuleSet or None
        For titles, budgets and limits.
    curves : CurveReader or None
        The archive of series.
    simulated : Text or None
        Which data are simulated, for the banner.
    history : callable, optional
        What dry runs go over; default: the files of the watched folder.
    """

    def __init__(
        self,
        store: Store,
        config: Config,
        *,
        clock: EventClock | None = None,
        rules: RuleSet | None = None,
        curves: CurveReader | None = None,
        simulated: Text | None = None,
        zone: str = "Asia/Shanghai",
        history: Callable[[], History | None] | None = None,
    ) -> None:
        self.store = store
        self.config = config
        self.settings = config.console
        self.clock = clock or EventClock()
        self.curves = curves
        self.simulated = simulated
        self._down: tuple[float, list[Standing]] | None = None
        self.zone = zone
        self._in_force = RulesInForce(store, config, zone, rules)
        self.version = engine.__version__
        self.layout = PlaceLayout(
            config.place.widths, config.place.levels, config.place.shard_level
        )
        self.oidc = None if config.console.oidc is None else Provider(config.console.oidc)
        self.push_key = _push_key(config)
        self.rehearsals = Rehearsals(store, config, history or (lambda: dropped(config)))
        self._lock = threading.Lock()
        self._names: tuple[float, Mapping[str, PlaceRow], Mapping[str, Worker]] | None = None

    # -- rules --------------------------------------------------------------------------------------

    @property
    def rules(self) -> RuleSet | None:
        """The rules in force: what the store says was activated last, else those of the start."""
        return self._in_force.look()

    # -- time -------------------------------------------------------------------------------------

    def wall(self) -> float:
        """Return the wall clock, seconds."""
        return self.clock.wall()

    def now_ns(self) -> int:
        """Return event time now."""
        return self.clock.now_ns(self.store.clock())

    def time(self) -> Clock:
        """Return what a device needs to count event time on by itself."""
        last = self.store.clock()
        return Clock(
            now=stamp(self.clock.now_ns(last)),
            speed=self.clock.speed(),
            last_data=None if last is None else stamp(last),
            zone=self.zone,
            simulated=self.simulated,
        )

    # -- names ------------------------------------------------------------------------------------

    def _known(self) -> tuple[Mapping[str, PlaceRow], Mapping[str, Worker]]:
        now = time.monotonic()
        with self._lock:
            if self._names is None or now - self._names[0] > NAMES_S:
                workers = {w.worker_id: w for w in self.store.rosters.workers()}
                self._names = (now, self.store.rosters.places(), workers)
            return self._names[1:]

    def down(self) -> list[Standing]:
        """Return the shards of a city that nobody watches now; looked up every few seconds."""
        now = self.wall()
        if self._down is None or now - self._down[0] > DOWN_S:
            found = [s for s in standings(self.store, self.config) if of_city(s.shard)]
            self._down = now, unwatched(found, self.now_ns(), self.config)
        return self._down[1]

    def forget_names(self) -> None:
        """Read names anew: somebody changed them."""
        with self._lock:
            self._names = None

    @property
    def places(self) -> Mapping[str, PlaceRow]:
        """Names of places by code."""
        return self._known()[0]

    @property
    def workers(self) -> Mapping[str, Worker]:
        """Workers by id."""
        return self._known()[1]

    def place(self, code: str) -> PlaceRef:
        """Return a place with its name; a code nobody named is its own name."""
        row = self.places.get(code)
        if row is not None:
            return PlaceRef(place=code, name=row.name, level=row.level)
        try:
            level = self.layout.level(code) if code else "site"
        except PlaceError:
            level = "unit"
        return PlaceRef(place=code, name=code, level=level)

    def spoken(self, code: str) -> Text | None:
        """Return how a sentence names a place, or None where only its code is known.

        What lies within a grid and has no name is told by its number there.
        """
        row = self.places.get(code)
        if row is not None:
            return Text(zh=row.name, en=row.name)
        grid = self.grid(code)
        known = self.places.get(grid) if grid != code else None
        if known is None:
            return None
        number = code[len(grid) :]
        return Text(zh=f"{known.name}{number}号", en=f"{known.name} no. {number}")

    def path(self, code: str) -> list[PlaceRef]:
        """Return the places from the top down to one."""
        codes = [code]
        while code and (up := self.layout.parent(codes[-1])) is not None:
            codes.append(up)
        return [self.place(c) for c in reversed(codes)]

    def grid(self, code: str) -> str:
        """Return the grid that a place lies in."""
        return self.layout.at(code, self.layout.levels[-1])

    def named(self, text: str) -> tuple[str, ...]:
        """Return the codes of places whose names hold a text."""
        return tuple(code for code, row in self.places.items() if text in row.name)[:200]

    def worker_label(self, worker_id: str | None) -> Text | None:
        """Return a worker as a number: never a name."""
        if worker_id is None:
            return None
        number = "".join(c for c in worker_id if c.isdigit())[-3:].lstrip("0") or worker_id
        number = number.zfill(2) if number.isdigit() else number
        worker = self.workers.get(worker_id)
        zh, en = _ROLES.get(worker.role if worker else "gridworker", _ROLES["gridworker"])
        return Text(zh=f"{zh} {number}", en=f"{en} {number}")

    def title(self, rule: str) -> Text:
        """Return the kind of an alert, for people."""
        known = self.about(rule)
        if known is None:
            return Text(zh=rule, en=rule)
        return Text(zh=known.title.zh, en=known.title.en)

    def about(self, name: str) -> Rule | None:
        """Return a rule in force by name, or None."""
        return next((r for r in self.rules or () if r.name == name), None)


_ROLES = {
    "gridworker": ("网格员", "Worker"),
    "grid_leader": ("网格长", "Leader"),
    "street": ("街道", "Street"),
    "department": ("部门", "Department"),
}


def _push_key(config: Config) -> str | None:
    """Return what phones subscribe with, where the site wakes any."""
    if config.relay.push is None:
        return None
    from engine.relay.push import public_key

    return public_key(config.relay.push)
