"""One frozen typed configuration: a YAML file, overridden by the environment.

``GRIDWARDEN_CLOCK__TICK_S=60`` overrides ``clock: {tick_s: …}``. Unknown keys are errors that name
their path; secrets are hidden when printed. A value ``${env:NAME}`` or ``${file:PATH}`` is read from
there, so that a secret need not stand in the file.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

PREFIX = "GRIDWARDEN_"
Topic = Literal["alert", "task", "reminder", "shadow"]
"""What the outbox tells of."""

_REFERENCE = re.compile(r"\$\{(env|file):([^}]+)\}")


class ConfigError(ValueError):
    """The configuration cannot be used; the message lists every problem with its path."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ClockConfig(_Frozen):
    """Event time: see ARCHITECTURE.md, "Time"."""

    tick_s: int | None = Field(
        None,
        ge=1,
        le=900,
        description="Step of the event clock, seconds; default: the largest up to 900 that divides "
        "all intervals and latenesses; 0.2 for `run`, where people wait.",
    )
    max_skew_s: int = Field(3600, ge=1, description="How far a stamp may lie ahead unconfirmed.")
    earliest: datetime = datetime(2000, 1, 1, tzinfo=UTC)
    latest: datetime = datetime(2100, 1, 1, tzinfo=UTC)
    lateness_s: Mapping[str, int] = Field(
        default_factory=dict,
        description="Allowed lateness per meter class, such as {'water@3600': 1800}; else one interval.",
    )


class PlaceConfig(_Frozen):
    """Layout of place codes."""

    widths: tuple[int, ...] = (6, 3, 3, 3)
    levels: tuple[str, ...] = ("county", "street", "community", "grid")
    shard_level: str = "community"


class QueueConfig(_Frozen):
    """What a grid's queue can bear; acts on tasks, never on alerts."""

    visits_per_day: int | None = Field(
        None, ge=1, description="Visits a day per grid; none: no limit."
    )
    fdr: float = Field(0.5, gt=0, le=1, description="False-discovery rate the queue aims for.")
    check_share: float = Field(
        0.01, ge=0, le=1, description="Share of held-back alerts sent as checks."
    )
    seed: int = 1


class RulesConfig(_Frozen):
    """Which rules run, and what they may spend."""

    path: Path | None = Field(None, description="Folder of rule files; none: the shipped library.")
    budgets: Mapping[str, float] = Field(
        default_factory=dict, description="False alerts per subject-year, by rule."
    )
    reload: bool = Field(
        True,
        description="Take up changed rule files while running; false: only versions that were "
        "approved (`gridwarden rules approve`).",
    )
    shadow_places: tuple[str, ...] = Field(
        (), description="Place codes where alerts are recorded and nobody is sent."
    )


class InputConfig(_Frozen):
    """What `gridwarden run` reads."""

    meters: Path | None = None
    subjects: Path | None = None
    places: Path | None = None
    workers: Path | None = None
    contacts: Path | None = None
    watch: Path | None = Field(None, description="Folder whose new files are read.")
    poll_s: float = Field(0.1, gt=0)


class OidcConfig(_Frozen):
    """An identity provider (OpenID Connect) that people may sign in by; needs the extra `oidc`."""

    issuer: str = Field(description="Its address, as its discovery document names it.")
    client_id: str
    client_secret: SecretStr | None = None
    title: str = Field("统一身份认证 · Single sign-on", description="On the button.")
    scopes: tuple[str, ...] = ("openid",)
    claim: str = Field("sub", description="Claim that accounts are tied to (`oidc_subject`).")


class ConsoleConfig(_Frozen):
    """What `gridwarden serve` does."""

    host: str = Field("127.0.0.1", description="0.0.0.0 behind a proxy that speaks TLS.")
    port: int = Field(8460, ge=0, le=65_535, description="0: any free one.")
    url: str | None = Field(None, description="Address as people see it, for links in messages.")
    secure_cookies: bool = Field(
        True, description="Off only where people reach it by http on another machine, for trials."
    )
    proxies: tuple[str, ...] = Field((), description="Addresses whose X-Forwarded-For is believed.")
    session_hours: float = Field(12.0, gt=0, le=24 * 30)
    title_zh: str = "网格预警"
    title_en: str = "Gridwarden"
    wall_kinds: Mapping[str, str] = Field(
        default_factory=dict, description="Other titles of rules on walls, by rule."
    )
    oidc: OidcConfig | None = Field(None, description="Sign-in by an identity provider.")
    photo_mb: float = Field(8.0, gt=0, le=50, description="Largest photo taken, megabytes.")
    photos_days: int = Field(180, ge=1, description="Photos are erased after so many days.")
    looks_days: int = Field(1_095, ge=180, description="Lines of the audit log are kept as long.")
    curves_days: int = Field(64, ge=8, le=400, description="Days of curves kept per meter.")
    curves: Path | None = Field(None, description="Their folder; default: in `snapshots`.")


class HttpConfig(_Frozen):
    """Readings and events pushed over HTTP."""

    host: str = "127.0.0.1"
    port: int = Field(8600, ge=0, le=65_535)
    keys: Mapping[str, SecretStr] = Field(
        default_factory=dict, description="Name of a sender → its API key."
    )
    max_body_bytes: int = Field(8 << 20, ge=1024)
    body_s: float = Field(20.0, gt=0, description="A body must be here within this time.")


class MqttConfig(_Frozen):
    """Readings and events from an MQTT broker, QoS 1, one persistent session a gateway."""

    host: str = "127.0.0.1"
    port: int = 1883
    client_id: str = "gridwarden-gateway"
    readings: tuple[str, ...] = ("gridwarden/readings/#",)
    events: tuple[str, ...] = ("gridwarden/events/#",)
    username: str | None = None
    password: SecretStr | None = None
    inflight: int = Field(2_000, ge=1, le=65_535, description="Messages on their way at most.")


class GatewayConfig(_Frozen):
    """Which sources a gateway packs; the folder is inputs.watch."""

    http: HttpConfig | None = None
    mqtt: MqttConfig | None = None
    topics: tuple[str, ...] = Field((), description="Kafka topics with one JSON reading a message.")
    event_topics: tuple[str, ...] = ()
    clock: Literal["wall", "data"] = Field(
        "wall", description="data: time is what the readings show, for trials on history."
    )
    linger_s: float = Field(0.2, gt=0, le=5)
    block_rows: int = Field(4_096, ge=1, le=20_000)
    memory_bytes: int = Field(256 << 20, ge=1 << 20)
    state: Path = Path("gateway.json")
    health_port: int | None = Field(None, ge=0, le=65_535)


class WorkerConfig(_Frozen):
    """How a worker holds its shards."""

    name: str | None = Field(None, description="Static membership; default: the machine's name.")
    transport: Literal["aiokafka", "faust"] = "aiokafka"
    session_s: float = Field(10.0, ge=1)
    save_every_s: float = Field(120.0, gt=0)
    buffered_blocks: int = Field(32, ge=1)
    warm: bool = Field(True, description="Compile all kernels before joining.")
    health_port: int | None = Field(None, ge=0, le=65_535)


class CityConfig(_Frozen):
    """Many processes on Kafka instead of one; see ARCHITECTURE.md, “City”."""

    kafka: str = Field("127.0.0.1:9092", description="Bootstrap servers.")
    prefix: str = Field("gridwarden", description="Begins the name of every topic and group.")
    shards: int = Field(64, ge=1, le=1024, description="Partitions of the log; never changed.")
    replicas: int = Field(1, ge=1)
    snapshot_url: str | None = Field(
        None, description="fsspec URL that all workers reach; none: the folder `snapshots`."
    )
    archive: Path | None = Field(
        None, description="Folder that all workers reach: logs as Parquet (`gridwarden archive`)."
    )
    keep_days: float = Field(7, gt=0, description="Kafka keeps the logs so long; set at creation.")
    gateway: GatewayConfig = GatewayConfig()
    worker: WorkerConfig = WorkerConfig()


class WebhookConfig(_Frozen):
    """Alerts and tasks posted as CloudEvents, signed as Standard Webhooks has it."""

    url: SecretStr
    secret: SecretStr | None = Field(None, description="Signs each message; 24 bytes or more.")
    topics: tuple[Topic, ...] = ("alert", "task")
    timeout_s: float = Field(10.0, gt=0, le=60)
    attempts: int = Field(20, ge=1, description="After so many it is put aside: some two days.")


class NotifyConfig(_Frozen):
    """Messages to people by Apprise: DingTalk, WeCom, Feishu, SMS, mail (extra `notify`)."""

    urls: tuple[SecretStr, ...] = Field(min_length=1)
    language: Literal["zh", "en"] = "zh"
    levels: tuple[str, ...] = ("red", "orange")
    per_minute: int = Field(6, ge=1, description="More than that are gathered into one message.")


class PushConfig(_Frozen):
    """Waking gridworkers' phones by their makers' push services (Web Push; extra `push`)."""

    key: SecretStr = Field(
        description="VAPID private key: PEM, or base64url; `vapid --gen` makes one."
    )
    contact: str = Field(
        pattern=r"^(mailto:|https://)",
        description="Where a push service can reach the operator, such as mailto:duty@example.org.",
    )
    levels: tuple[str, ...] = ("red", "orange", "yellow", "blue")


class RelayConfig(_Frozen):
    """Who is told of alerts and tasks, and how; see README.md, “Telling others”."""

    source: str = Field("gridwarden", description="`source` of the CloudEvents.")
    inside: bool = Field(
        True, description="`gridwarden run` and `worker` tell, too, if configured."
    )
    redis: SecretStr | None = Field(None, description="URL: rings a stream per queue.")
    redis_prefix: str = "gridwarden"
    kafka: bool = Field(False, description="CloudEvents to PREFIX.alerts and PREFIX.tasks.")
    webhooks: Mapping[str, WebhookConfig] = Field(default_factory=dict)
    notify: Mapping[str, NotifyConfig] = Field(default_factory=dict)
    push: PushConfig | None = None
    networks: tuple[str, ...] = Field(
        (), description="Private networks that webhooks and push may reach, such as 10.1.0.0/16."
    )
    heartbeat: SecretStr | None = Field(
        None, description="URL called once a minute while all shards move: a dead-man's switch."
    )
    lease_s: float = Field(
        30.0, ge=1, description="One relay acts; after so long without a sign another does."
    )
    keep_rows: int = Field(100_000, ge=1_000, description="Of the outbox, for the console.")
    health_port: int | None = Field(None, ge=0, le=65_535)

    @property
    def anybody(self) -> bool:
        """Whether anybody is to be told."""
        return bool(self.redis or self.kafka or self.webhooks or self.notify or self.push)


class TrialConfig(_Frozen):
    """Event time of a demonstration: from a moment of the past on, faster than the wall clock."""

    event_from: datetime
    wall_from: datetime
    speed: float = Field(1.0, gt=0, description="Event seconds a second.")


class Config(_Frozen):
    """Everything that can be set."""

    language: Literal["zh", "en"] | None = Field(None, description="Default: from LANG.")
    store: str = "sqlite:///gridwarden.db"
    snapshots: Path = Path("snapshots")
    alerts: Path | None = Field(None, description="Also append alerts to this NDJSON file.")
    quarantine: Path | None = None
    health_host: str = Field(
        "127.0.0.1", description="Where health and metrics of all parts are served."
    )
    personal_data_key: SecretStr | None = Field(
        None, description="Key for names, addresses and phones; better by environment."
    )
    calendar: str = "CN"
    calendars: Path | None = Field(
        None, description="Folder of calendars (CN-2027.yaml …) beside, or instead of, the shipped."
    )
    seed: int = 1
    clock: ClockConfig = ClockConfig()
    place: PlaceConfig = PlaceConfig()
    queue: QueueConfig = QueueConfig()
    rules: RulesConfig = RulesConfig()
    inputs: InputConfig = InputConfig()
    console: ConsoleConfig = ConsoleConfig()
    city: CityConfig = CityConfig()
    relay: RelayConfig = RelayConfig()
    trial: TrialConfig | None = None

    @model_validator(mode="after")
    def _layout_fits(self) -> Config:
        from engine.places import PlaceLayout

        PlaceLayout(self.place.widths, self.place.levels, self.place.shard_level)
        return self


def tick_s(config: Config, classes: Iterable[tuple[int, int, int]]) -> int:
    """Return the step of the event clock for meter classes (interval_s, phase_s, lateness_s).

    Every due time must be a multiple of it: then a row that arrives after a slot is due never gets
    into it.

    >>> tick_s(Config(), [(3600, 0, 3600), (900, 0, 900)]), tick_s(Config(), [(300, 0, 300)])
    (900, 300)

    Raises
    ------
    ConfigError
        If the configured step does not divide some class's times.
    """
    times = [t for c in classes for t in c if t]
    if config.clock.tick_s is None:
        return math.gcd(900, *times)
    wrong = [t for t in times if t % config.clock.tick_s]
    if wrong:
        raise ConfigError(
            f"clock.tick_s: {config.clock.tick_s} does not divide {wrong[0]} s, an interval or "
            "lateness of a meter class; leave it out to have it chosen"
        )
    return config.clock.tick_s


def load(path: Path | None, environ: Mapping[str, str] | None = None) -> Config:
    """Return the configuration of `path` (or the defaults), overridden by the environment.

    Raises
    ------
    ConfigError
        With every problem: file, path of the key, what was found, what was wanted.
    """
    data: dict[str, Any] = {}
    where = "environment"
    if path is not None:
        where = str(path)
        data = _read(path)
    for name, value in sorted((environ if environ is not None else os.environ).items()):
        keys = name[len(PREFIX) :].lower().split("__")
        if name.startswith(PREFIX) and keys[0] in Config.model_fields:
            _set(data, keys, yaml.safe_load(value))
    data = _referred(data, where, environ if environ is not None else os.environ)
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        lines = [
            f"{where}: {'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}"
            + ("" if e["type"] == "extra_forbidden" else f"; got {e['input']!r}")
            for e in error.errors()
        ]
        raise ConfigError("\n".join(lines)) from None


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    try:
        data = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        spot = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise ConfigError(f"{path}{spot}: not YAML: {error.problem}") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: wanted a mapping of settings, got {type(data).__name__}")
    return data


def _referred(value: Any, where: str, environ: Mapping[str, str], path: str = "") -> Any:
    """Return a value with all references in it resolved."""
    if isinstance(value, dict):
        return {k: _referred(v, where, environ, f"{path}.{k}".strip(".")) for k, v in value.items()}
    if isinstance(value, list):
        return [_referred(v, where, environ, f"{path}.{i}") for i, v in enumerate(value)]
    found = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return value
    kind, name = found.groups()
    if kind == "env":
        if name not in environ:
            raise ConfigError(f"{where}: {path}: the environment has no {name}; set it")
        return environ[name]
    try:
        return Path(name).read_text(encoding="utf-8").rstrip("\n")
    except OSError as error:
        raise ConfigError(f"{where}: {path}: {name} cannot be read: {error.strerror}") from None


def _set(data: dict[str, Any], keys: list[str], value: object) -> None:
    for key in keys[:-1]:
        inner = data.get(key)
        data[key] = dict(inner) if isinstance(inner, dict) else {}
        data = data[key]
    data[keys[-1]] = value
