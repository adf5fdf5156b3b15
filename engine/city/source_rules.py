"""Versions of the rules go from the store and the folder into the logs of all shards, once.

One gateway does it, under a lease; ``engine/store/activations.py`` says in which steps. They hold
from a time a little ahead, so that they lie in every log before any shard comes there, and all
shards change their rules at the same event time. A gateway that ends in between leaves the shards
waiting at that time; whoever has the lease next writes them anew, with a later one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

import structlog
from sqlalchemy import Connection

from connectors.records import Activation
from detectors.base import NS
from engine.activation import ActivationError, rules_of
from engine.city.gateway import Gateway
from engine.city.packer import LogError
from engine.library import LibraryError
from engine.rulebook import RuleBook
from engine.store import Store
from engine.store.access import FencedError, Lease, fence
from engine.store.activations import Announced
from engine.store.errors import StoreError
from rules.problems import RuleErrors

log = structlog.get_logger()
LEASE = "rules"
LEASE_S = 30.0
LEAD_S = 3.0
"""So far ahead of the clock, in seconds of the wall, rules are announced."""
LOOK_S = 1.0


class RulesSource:
    """Looks for rules that are to change, and announces them.

    Parameters
    ----------
    gateway : Gateway
    open_store : callable
        Opens the store; called again until it can be reached.
    holder : str, optional
        Name in the lease; default: the gateway's.
    """

    def __init__(
        self, gateway: Gateway, open_store: Callable[[], Store], holder: str | None = None
    ) -> None:
        self.gateway = gateway
        self.refused: dict[str, str] = {}
        """What was last wrong with rules that were to be taken up, by version or "files"."""
        self.announced = 0
        self._open_store = open_store
        self._holder = holder or gateway.name
        self._store: Store | None = None
        self._lease: Lease | None = None
        trial = gateway.district.config.trial
        self._book = RuleBook(gateway.district.config)
        self._newest: Announced | None = None
        by_wall = LEAD_S * (1.0 if trial is None else trial.speed)
        lead_s = gateway.district.tick_s if gateway.clock.by_data else by_wall
        self._lead_ns = round(lead_s * NS)

    async def run(self) -> None:
        """Look and announce, for ever; a store or log that is away is waited for."""
        self.gateway.rules_refused = self.refused
        while True:
            try:
                await self.look()
            except FencedError as error:
                self._lease = None
                log.warning("rules_lease_lost", problem=str(error))
            except (StoreError, LogError) as error:
                log.warning("rules_wait", problem=str(error))
            await asyncio.sleep(LOOK_S)

    async def look(self) -> bool:
        """Announce what is to change next; return whether every log has it."""
        now = self.gateway.clock.now_ns()
        if not now:
            return False  # trials on history: no reading has shown the time yet
        found = await asyncio.to_thread(self._decide, now)
        if found is None:
            return False
        one, others_ns = found
        clock, began = self.gateway.clock, time.monotonic()
        at_ns = max(one.at_ns, max(clock.now_ns(), others_ns) + self._lead_ns)
        holds = Announced(one.seq, replace(one.record, arrival_ns=at_ns))
        # Nothing goes out between looking at the clock and here: behind it in the logs is later.
        shards = range(self.gateway.district.routing.shards)
        await self.gateway.packer.record(holds, shards)
        if not clock.by_data and time.monotonic() - began > LEAD_S / 2:
            return False  # other gateways' clocks may have passed it: with the next look, anew
        return await asyncio.to_thread(self._tell, holds)

    # -- in a thread: SQL -----------------------------------------------------------------

    def _guard(self, connection: Connection) -> None:
        assert self._lease is not None
        fence(connection, self._lease)

    def _decide(self, now_ns: int) -> tuple[Announced, int] | None:
        """Return what is to be written now, and the newest time of any shard."""
        if self._store is None:
            self._store = self._open_store()
        store, wall = self._store, time.time()
        if self._lease is None or self._lease.until_wall - wall < LEASE_S / 2:
            self._lease = store.access.lease(LEASE, self._holder, now_wall=wall, for_s=LEASE_S)
        if self._lease is None:
            return None
        newest = self._look_back(store)
        others_ns = store.clock() or 0
        waiting = store.activations.open
        if waiting is not None:
            log.warning("rules_announced_anew", version=waiting.record.version, seq=waiting.seq)
            return waiting, others_ns
        soon = max(now_ns, others_ns) + 2 * self._lead_ns
        for record in self._due(store, soon):
            problem = self._problem(record)
            if problem is not None:
                self._refuse(store, record.version, problem, now_ns, newest)
                continue
            made = store.activations.decide(record, self._guard)
            if made is not None:
                return made, others_ns
        return None

    def _look_back(self, store: Store) -> Announced:
        """Take notice of what was told, by whomever; have the console go by the newest."""
        seen = -1 if self._newest is None else self._newest.seq
        for one in store.activations.list(seen):
            self._newest = one
            self._book.note(one.record, settled=False)
        newest, active = self._newest, store.versions.active
        assert newest is not None
        record = newest.record
        if active is None or active.version != record.version:
            store.versions.activated(
                record.version, record.rules_yaml, by=record.author,
                at_ns=record.arrival_ns or store.clock() or 0, budgets=record.budgets,
            )  # fmt: skip
        return newest

    def _due(self, store: Store, soon_ns: int) -> list[Activation]:
        """Return what was approved, in its order, then the files if they changed."""
        found = [
            Activation(v.version, v.rules, v.people, v.from_ns or 0, v.budgets)
            for v in store.versions.due(soon_ns)
        ]
        changed = self._book.changed()
        if changed is not None and changed.problem is not None:
            self._refuse(store, "files", changed.problem, soon_ns, self._newest)
        elif changed is not None and changed.record is not None:
            found.append(changed.record)
        if self._book.problem is None:
            self.refused.pop("files", None)
        return found

    @staticmethod
    def _problem(record: Activation) -> str | None:
        """Return why shards could not take up some rules; None if they can."""
        try:
            rules_of(record)
        except (RuleErrors, LibraryError, ActivationError) as error:
            return str(error)
        return None

    def _refuse(
        self, store: Store, what: str, problem: str, now_ns: int, newest: Announced | None
    ) -> None:
        """Tell once that rules were refused; those in force stay."""
        if self.refused.get(what) == problem:
            return
        self.refused[what] = problem
        in_force = None if newest is None else newest.record.version
        log.error("rules_refused", what=what, problem=problem, in_force=in_force)
        detail = {"problem": problem[:2_000], "in_force": in_force}
        store.books.audit("system", now_ns, "rules_refused", what, detail)

    def _tell(self, one: Announced) -> bool:
        assert self._store is not None
        if not self._store.activations.tell(one.seq, one.at_ns, self._guard):
            return False
        self.announced += 1
        self._look_back(self._store)
        log.info("rules_announced", version=one.record.version, seq=one.seq)
        return True
