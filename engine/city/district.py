"""What gateway, workers and console of one district share: tables, rules, routing, names."""

from __future__ import annotations

from connectors.tables import read_meters, read_subjects
from engine import library
from engine.activation import rules_of
from engine.city.routing import Routing
from engine.config import Config, ConfigError
from engine.desk import Desk
from engine.inputs import layout_of
from engine.opening import desk_of, open_store
from engine.rulebook import RuleBook
from engine.shard import ShardRunner
from engine.store import Store
from engine.store.database import Database
from engine.store.pricebook import PriceBook
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
        self.files = RuleBook(config).of_files()
        """The rule files as they were at the start of this process: with them a new city begins."""
        self.rules: RuleSet = rules_of(self.files)
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

    @property
    def zone(self) -> str:
        """Time zone of places without subjects."""
        return (self.routing.whole.zones or ["UTC"])[0]

    def runner(self, shard: int, rules: RuleSet | None = None) -> ShardRunner:
        """Return a fresh runner of a shard; by default under the rules of the files."""
        registry = self.routing.registries([shard])[shard]
        return ShardRunner(
            registry,
            self.rules if rules is None else rules,
            self.config,
            library.calendars(self.config.calendars),
            tick=self.tick_s,
            share=(shard, self.routing.shards),
            zone=self.zone,
        )

    def desk(self, rules: RuleSet) -> Desk:
        """Return how alerts become tasks under some rules."""
        return desk_of(rules, self.config, self.zone)

    def open_store(self) -> Store:
        """Open the district's store, with its workers entered and its first rules fixed."""
        workers = self.config.inputs.workers
        store = open_store(
            self.config.store, self.rules, self.config,
            None if workers is None else str(workers), self.zone,
        )  # fmt: skip
        try:
            store.activations.begin(self.files)
        except BaseException:
            store.close()
            raise
        return store

    def prices(self, database: Database) -> PriceBook:
        """Return the daily prices of the district."""
        return PriceBook(database, len(self.routing.peopled))
