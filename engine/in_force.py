"""The rules that a store says are in force, for those who do not feed the log: console and relay."""

from __future__ import annotations

import threading
import time

import structlog

from engine import library
from engine.config import Config
from engine.library import LibraryError
from engine.opening import desk_of
from engine.store import Store
from engine.store.versions import RuleVersion
from rules.loader import load
from rules.model import RuleSet
from rules.problems import RuleErrors

log = structlog.get_logger()
LOOK_S = 2.0
"""The store is asked so often, at most."""


class RulesInForce:
    """Follows the version that was activated last; the store's desk goes by it, too.

    Parameters
    ----------
    store : Store
    config : Config
    zone : str
        Of the desk.
    rules : RuleSet, optional
        Those of the start, which hold until the store names others.
    """

    def __init__(
        self, store: Store, config: Config, zone: str, rules: RuleSet | None = None
    ) -> None:
        self._store = store
        self._config = config
        self._zone = zone
        self._rules = rules
        self._unread: str | None = None
        self._looked_at = 0.0
        self._lock = threading.Lock()

    def look(self) -> RuleSet | None:
        """Return the rules in force."""
        now = time.monotonic()
        with self._lock:
            if now - self._looked_at > LOOK_S:
                self._looked_at = now
                active = self._store.versions.active
                known = None if self._rules is None else self._rules.version
                if active is not None and active.version not in (known, self._unread):
                    self._take_up(active)
            return self._rules

    def _take_up(self, active: RuleVersion) -> None:
        try:
            found = library.with_budgets(load(dict(active.rules)), dict(active.budgets))
        except (RuleErrors, LibraryError) as error:
            self._unread = active.version
            log.error("rules_not_read", version=active.version, problem=str(error))
            return
        self._rules = found
        self._store.desk = desk_of(found, self._config, self._zone)
