"""What gateway, workers and console of one district share: tables, rules, routing, names."""

from __future__ import annotations

from connectors.tables import read_meters, read_subjects
from engine import library
from engine.build import reducer
from engine.city.routing import Routing
from engine.config import Config, ConfigError
from engine.inputs import layout_of
from engine.opening import open_store
from engine.shard import ShardRunner
from engine.store import Store
from engine.store.database import Database
from engine.store.pricebook import PriceBook, Reducers
from rules.model import RuleSet

TICK_S = 0.25


class District:
    """The district that a configuration describes.

    Parameters
    ----------
    config : Config
        With ``inputs.meters`` and ``inputs.subjects``.

    Raises
    ------
    ConfigError
        If the tables are not named.
    """

    def __init__(self, config: Config) -> None:
        if config.inputs.meters is None or config.inputs.subjects is None:
            raise ConfigError(
                "configuration: inputs.meters and inputs.subjects must name the tables"
            )
        self.config = config
        self.rules: RuleSet = library.rules(config.rules.path, dict(config.rules.budgets))
        self.routing = Routing(
            read_meters(str(config.inputs.meters)),
            read_subjects(str(config.inputs.subjects)),
            layout_of(config),
            config.city.shards,
        )

    @property
    def tick_s(self) -> float:
        """Step of the event clock, the same for all shards: an alert about an event waits for it."""
        return self.config.clock.tick_s or TICK_S

    def topic(self, name: str) -> str:
        """Return the name of a topic, such as ``gridwarden.log``."""
        return f"{self.config.city.prefix}.{name}"

    def runner(self, shard: int) -> ShardRunner:
        """Return a fresh runner of a shard."""
        registry = self.routing.registries([shard])[shard]
        return ShardRunner(
            registry,
            self.rules,
            self.config,
            library.calendars(self.config.calendars),
            tick=self.tick_s,
            share=(shard, self.routing.shards),
            zone=(self.routing.whole.zones or ["UTC"])[0],
        )

    def open_store(self) -> Store:
        """Open the district's store, with its workers entered."""
        workers = self.config.inputs.workers
        zone = (self.routing.whole.zones or ["UTC"])[0]
        return open_store(
            self.config.store, self.rules, self.config,
            None if workers is None else str(workers), zone,
        )  # fmt: skip

    def prices(self, database: Database) -> PriceBook:
        """Return the daily prices of the district."""
        return PriceBook(database, len(self.routing.peopled), self.reducers)

    def reducers(self) -> Reducers:
        """Return the budget controllers in their first state."""
        made = {rule.name: reducer(rule) for rule in self.rules if rule.budget is not None}
        return {name: one for name, one in made.items() if one is not None}
