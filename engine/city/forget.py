"""Erasing a person from a city, and proving what is left of them.

Kafka cannot change a message. So the logs go into the archive to their end, the person's readings
and events leave the archive (every message keeps its offset), and Kafka lets go of what was copied.
The shard of the person is computed anew from there: state and snapshots without them, others' lines
as they come out now. Everything else is as for a single process (:mod:`engine.forget`).

Topics that others read (alerts, tasks, quarantine) hold ids and no names; they run out by
themselves. The search says what is left in them and until when.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType
from sqlalchemy import delete

from connectors.records import Event, Outcome, Tick
from engine.city import topics, wire
from engine.city.archive import PATIENCE_S, Archive, archive_of, away, fill, reader
from engine.city.district import District
from engine.city.keeper import Keeper, shard_name
from engine.config import Config
from engine.forget import (
    ForgetError,
    Forgotten,
    called_off,
    needles_of,
    pattern_of,
    personal_data,
    rewrite_table,
    search,
    tables_of,
)
from engine.snapshot_store import open_snapshots
from engine.store import Store
from engine.store.forgetting import erase
from engine.store.schema_city import tallies
from rules.alerts import AlertChange

log = structlog.get_logger()
QUIET_S = 1.5
"""Gateways write ticks more often than that."""


@dataclass(slots=True)
class ForgottenInCity(Forgotten):
    """What was done in a city."""

    runs_out: dict[str, str] = field(default_factory=dict)
    """Topics in which ids are left: how many messages, and when Kafka lets go of the last."""
    from_offset: int = 0
    """Where the archive begins: from there the shard's state was computed anew."""


def is_city(store: Store) -> bool:
    """Return whether a store is that of a city."""
    return bool(store.activations.list())


def forget(config: Config, subject: str, *, by: str, wall_ns: int) -> ForgottenInCity:
    """Erase a subject from a city; gateways, workers and relays must not run meanwhile.

    Raises
    ------
    ForgetError
        If the subject is unknown or cannot be forgotten as things are.
    ArchiveError
        If the logs cannot be copied whole.
    """
    tables = tables_of(config, subject)
    district = District(config)
    archive = archive_of(district)
    if archive is None:
        raise ForgetError(
            "city.archive: names no folder; the shard's state is computed anew from the archived "
            "logs, so set it, let `gridwarden archive --once` run, and try again"
        )
    whole = district.routing.whole
    row = int(whole.subject_rows([subject])[0])
    if row < 0:
        raise ForgetError(f"{subject!r}: is in no table of subjects")
    shard = int(district.routing.of_subject[row])
    done = ForgottenInCity(subject)
    needles = needles_of(whole, subject)
    with _asking(district, "nothing was erased"):
        _nobody_runs(district)
    fill(district, archive)
    files = archive.files(shard)
    done.from_offset = files[0][0] if files else 0
    with district.open_store() as store:
        secrets = personal_data(store, config, subject, by, wall_ns)
        # First what the state is computed from, then the state. The tables after Kafka, which may
        # not answer: as long as they name the person it can be run again.
        erased = _without(needles)
        done.removed["log"] = sum(archive.rewrite(s, erased) for s in range(config.city.shards))
        with _asking(district, "run it again"):
            _cut(district, archive)
        for path in tables:
            done.removed[path.name] = rewrite_table(path, needles)
        store.claim(shard_name(shard), holder="forget")
        done.removed["snapshots"] = _drop_snapshots(config, store, shard)
        done.removed |= erase(store.database, subject, needles)
        done.differing = _anew(District(config), store, archive, shard, wall_ns)
        detail = {"rows": sum(done.removed.values())}
        store.books.audit(by, store.clock() or wall_ns, "forgotten", "erased", detail)
        again = erase(store.database, subject, needles)
        done.left += [f"store, table {name}" for name in again]
    pattern = pattern_of([*needles, *secrets])
    search(done, [*needles, *secrets], [*tables, *_files(config, archive.folder)])
    _search_archive(done, archive, config.city.shards, _finder(pattern, needles))
    with _asking(district, "all is erased, but what its topics still hold was not counted"):
        _search_topics(done, district, _finder(pattern, needles))
    return done


@contextmanager
def _asking(district: District, told: str) -> Iterator[None]:
    """Tell that Kafka did not answer, and what that means."""
    try:
        yield
    except KafkaException as error:
        raise ForgetError(f"{away(district, error)}; {told}") from None


def _nobody_runs(district: District) -> None:
    """Look whether workers are members of their group, or gateways write.

    Raises
    ------
    ForgetError
        If so.
    """
    admin = AdminClient({"bootstrap.servers": district.config.city.kafka, "log_level": 0})
    group = f"{district.config.city.prefix}.workers"
    about = admin.describe_consumer_groups([group], request_timeout=PATIENCE_S)[group].result()
    if about.members:
        names = ", ".join(sorted(m.group_instance_id or m.client_id for m in about.members))
        raise ForgetError(f"workers are running ({names}); stop them, and all gateways and relays")
    before = _ends(district)
    time.sleep(QUIET_S)
    if _ends(district) != before:
        raise ForgetError("the logs still grow: stop all gateways, workers and relays first")


def _ends(district: District) -> list[int]:
    consumer, name = reader(district), district.topic(topics.LOG)
    try:
        return [
            consumer.get_watermark_offsets(TopicPartition(name, s), timeout=PATIENCE_S)[1]
            for s in range(district.config.city.shards)
        ]
    finally:
        consumer.close()


# -- logs -------------------------------------------------------------------------------------


def _without(needles: Sequence[str]) -> Callable[[bytes], bytes]:
    """Return what takes a subject out of a message of the log."""
    pattern, mine = pattern_of(needles), pa.array(needles, pa.string())

    def change(message: bytes) -> bytes:
        record = wire.unpack(message)
        if isinstance(record, wire.Packed):
            theirs = pc.is_in(record.rows.column(1), value_set=mine)
            if not theirs.true_count:
                return message
            rows = record.rows.filter(pc.invert(theirs))
            if rows.num_rows:
                return wire.pack_readings(record.source, rows)
            last = record.rows.column(4).cast(pa.int64())[-1].as_py()
            return wire.pack(Tick(last))
        if isinstance(record, Event | Outcome) and pattern.search(message):
            return wire.pack(Tick(record.arrival_ns))
        return message

    return change


def _cut(district: District, archive: Archive) -> None:
    """Have Kafka let go of all that lies in the archive."""
    admin = AdminClient({"bootstrap.servers": district.config.city.kafka, "log_level": 0})
    name = district.topic(topics.LOG)
    ends = [
        TopicPartition(name, s, archive.next(s))
        for s in range(district.config.city.shards)
        if archive.next(s)
    ]
    for future in admin.delete_records(ends, request_timeout=PATIENCE_S).values():
        future.result()


# -- state ------------------------------------------------------------------------------------


def _drop_snapshots(config: Config, store: Store, shard: int) -> int:
    folder = open_snapshots(config.snapshots, config.city.snapshot_url, "forget")
    refs = store.snapshots(shard_name(shard))
    folder.keep = 0
    gone = folder.retain(refs, None)
    store.drop_all_snapshots(shard_name(shard))
    return len(gone)


class _Anew(Keeper):
    """Computes a shard again; what others' lines say now is taken over, and nobody is sent."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.differing = 0
        """Lines about others that came out differently."""
        self.standing: set[str] = set()
        """Alerts that were raised again."""

    def commit(self) -> int:
        self._tell_days()
        lines: list[AlertChange] = list(self._lines)
        self.standing.update(line.alert_id for line in lines)
        self.differing += self.store.overwrite(self.name, self.epoch, lines)
        self.store.commit(self.name, self.epoch, self.next, [], clock_ns=self.host.clock_ns)
        self._lines.clear()
        self.committed = self.next
        return 0


def _anew(district: District, store: Store, archive: Archive, shard: int, wall_ns: int) -> int:
    """Feed a shard its archived log from the start, and save it; return the lines that differ."""
    if shard not in district.routing.peopled:
        return 0
    config = district.config
    # What it counted on days that no price has come of yet, it counts again.
    with store.database.write() as connection:
        connection.execute(delete(tallies).where(tallies.c.shard == shard_name(shard)))
    folder = open_snapshots(config.snapshots, config.city.snapshot_url, "forget")
    prices = district.prices(store.database)
    keeper = _Anew(shard, district, store, folder, prices, holder="forget")
    keeper.open(anew=True)
    files = archive.files(shard)
    if files and files[0][0]:
        keeper.skip_to(files[0][0])
    waited = 0
    while waited < 2 and (messages := archive.read(shard, keeper.next, 500)):
        before = keeper.next
        for offset, message in messages:
            if not keeper.feed(offset, message):
                break
        keeper.commit()
        # A day that it has told may let it go on; what other shards have not told, a worker waits for.
        waited = waited + 1 if keeper.next == before else 0
    lost = called_off(store, keeper.name, keeper.standing, keeper.host.clock_ns or wall_ns)
    store.commit(keeper.name, keeper.epoch, keeper.next, lost, clock_ns=keeper.host.clock_ns)
    keeper.save()
    return keeper.differing + len(lost)


# -- the proof --------------------------------------------------------------------------------


def _files(config: Config, archive: Path) -> list[Path]:
    """Return files whose bytes are searched as they are; the archive is compressed."""
    found = sorted(Path(config.snapshots).rglob("*"))
    for path in (config.inputs.places, config.inputs.workers, config.city.gateway.state):
        if path is not None:
            found.append(path)
    if config.inputs.watch is not None:
        found += sorted(config.inputs.watch.rglob("*"))
    return [p for p in dict.fromkeys(found) if p.is_file() and archive not in p.parents]


def _finder(pattern: Any, needles: Sequence[str]) -> Callable[[bytes], bool]:
    """Return what says whether a message names the person; blocks are looked into."""
    mine = pa.array(needles, pa.string())

    def named(message: bytes) -> bool:
        if pattern.search(message):
            return True
        try:
            record = wire.unpack(message)
        except wire.WireError:
            return False  # of another topic: plain text
        return isinstance(record, wire.Packed) and bool(
            pc.is_in(record.rows.column(1), value_set=mine).true_count
        )

    return named


def _search_archive(
    done: Forgotten, archive: Archive, shards: int, named: Callable[[bytes], bool]
) -> None:
    for shard in range(shards):
        for first, behind, path in archive.files(shard):
            messages = archive.read(shard, first, behind - first)
            done.searched += sum(len(m) for _, m in messages)
            if any(named(m) for _, m in messages):
                done.left.append(str(path))


def _search_topics(
    done: ForgottenInCity, district: District, named: Callable[[bytes], bool]
) -> None:
    admin = AdminClient({"bootstrap.servers": district.config.city.kafka, "log_level": 0})
    prefix = f"{district.config.city.prefix}."
    there = admin.list_topics(timeout=PATIENCE_S).topics
    consumer = reader(district)
    try:
        for name in sorted(n for n in there if n.startswith(prefix)):
            count, last_ms = 0, 0
            for partition in there[name].partitions:
                for written_ms, message in _messages(consumer, name, partition):
                    done.searched += len(message)
                    if named(message):
                        count, last_ms = count + 1, max(last_ms, written_ms)
            if count:
                until = datetime.fromtimestamp((last_ms + _retention_ms(admin, name)) / 1e3, UTC)
                done.runs_out[name] = f"{count} messages, until {until:%Y-%m-%d %H:%M} UTC"
    finally:
        consumer.close()


def _messages(consumer: Consumer, topic: str, partition: int) -> Iterator[tuple[int, bytes]]:
    """Yield (when Kafka took it, message) of all that a partition holds now."""
    where = TopicPartition(topic, partition)
    low, high = consumer.get_watermark_offsets(where, timeout=PATIENCE_S)
    consumer.assign([TopicPartition(topic, partition, low)])
    at = low
    while at < high:
        found = consumer.consume(1_000, PATIENCE_S)
        if not found:
            raise KafkaException(
                KafkaError(KafkaError._TIMED_OUT, f"{topic}/{partition} at {at:,}")
            )
        for message in found:
            if (error := message.error()) is not None:
                raise KafkaException(error)
            at = (message.offset() or 0) + 1
            yield message.timestamp()[1], message.value() or b""


def _retention_ms(admin: AdminClient, topic: str) -> int:
    resource = ConfigResource(ResourceType.TOPIC, topic)
    (future,) = admin.describe_configs([resource], request_timeout=PATIENCE_S).values()
    value = future.result()["retention.ms"].value
    return int(value) if int(value) >= 0 else 10**14
