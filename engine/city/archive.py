"""The shards' logs as Parquet files, so that Kafka may forget them: a folder that all workers reach.

One file holds a stretch of one shard's log, every message as it lay there, by offset; its name says
which: ``TOPIC/s0007/00000000001000-00000000002000.parquet`` (the second number is that of the message
behind it). Files are never changed, but where somebody is to be forgotten. A shard whose next message
Kafka no longer has reads on here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition

from engine.city import topics
from engine.city.district import District
from engine.city.keeper import shard_name

log = structlog.get_logger()
SCHEMA = pa.schema(
    [
        ("offset", pa.int64()),
        ("written", pa.timestamp("ms", "UTC")),
        ("message", pa.large_binary()),
    ]
)
FILE_BYTES = 32 << 20
FILE_ROWS = 20_000
PATIENCE_S = 30.0
_NAME = re.compile(r"(\d{14})-(\d{14})\.parquet")
Row = tuple[int, int, bytes]
"""Offset, when Kafka took it (ms since 1970 UTC), message."""


class ArchiveError(RuntimeError):
    """The archive cannot be written or read as asked."""


class Archive:
    """The archived logs of a district.

    Parameters
    ----------
    folder : Path
        Of one topic; made when something is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open: dict[int, tuple[int, pa.Table]] = {}
        """By shard, the file that is being read: its first offset and its rows."""

    def files(self, shard: int) -> list[tuple[int, int, Path]]:
        """Return (first offset, offset behind the last, file) of a shard, in their order."""
        found = []
        for path in (self.folder / shard_name(shard)).glob("*.parquet"):
            name = _NAME.fullmatch(path.name)
            if name:
                found.append((int(name[1]), int(name[2]), path))
        return sorted(found)

    def next(self, shard: int) -> int:
        """Return the offset that is to be archived next."""
        return max((stop for _, stop, _ in self.files(shard)), default=0)

    def write(self, shard: int, rows: Sequence[Row]) -> Path:
        """Keep messages that follow one another; the file is whole as soon as it has its name.

        Raises
        ------
        ArchiveError
            If they do not follow what is there.
        """
        first, behind = rows[0][0], rows[-1][0] + 1
        wanted = self.next(shard)
        if (wanted and first != wanted) or behind - first != len(rows):
            raise ArchiveError(
                f"{self.folder / shard_name(shard)}: ends before offset {wanted:,}, got {len(rows):,} "
                f"messages from {first:,} to {behind - 1:,}; move the folder away to begin a new one"
            )
        path = self.folder / shard_name(shard) / f"{first:014d}-{behind:014d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        offsets, written, messages = zip(*rows, strict=True)
        table = pa.table(
            [pa.array(offsets), pa.array(written, SCHEMA.field(1).type),
             pa.array(messages, pa.large_binary())],
            schema=SCHEMA,
        )  # fmt: skip
        _put(path, table)
        return path

    def rewrite(self, shard: int, change: Callable[[bytes], bytes]) -> int:
        """Write messages of a shard anew, each at its offset; return how many are another.

        Only for erasure: a file that does not change stays as it is.
        """
        self._open.pop(shard, None)
        changed = 0
        for _, _, path in self.files(shard):
            table = pq.read_table(path)
            before = table["message"].to_pylist()
            after = [change(message) for message in before]
            other = sum(a != b for a, b in zip(before, after, strict=True))
            if other:
                column = pa.array(after, pa.large_binary())
                _put(path, table.set_column(2, SCHEMA.field(2), column))
            changed += other
        return changed

    def read(self, shard: int, start: int, most: int) -> list[tuple[int, bytes]]:
        """Return up to `most` messages from an offset on; none if it is not archived."""
        first, table = self._open.get(shard, (0, None))
        if table is None or not first <= start < first + len(table):
            self._open.pop(shard, None)
            for begin, stop, path in self.files(shard):
                if begin <= start < stop:
                    first, table = begin, pq.read_table(path)
                    self._open[shard] = first, table
                    break
            else:
                return []
        part = table.slice(start - first, most)
        return list(zip(part["offset"].to_pylist(), part["message"].to_pylist(), strict=True))


def _put(path: Path, table: pa.Table) -> None:
    """Write a file; it is whole as soon as it has its name."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        pq.write_table(table, file, compression="zstd")
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)


def archive_of(district: District) -> Archive | None:
    """Return the archive that a configuration names."""
    folder = district.config.city.archive
    return None if folder is None else Archive(folder / district.topic(topics.LOG))


def fill(district: District, archive: Archive) -> int:
    """Archive what the logs hold and the archive does not yet; return the number of messages.

    Raises
    ------
    ArchiveError
        If messages in between are gone from Kafka, or Kafka does not answer.
    """
    consumer = reader(district)
    try:
        return sum(
            _fill_shard(consumer, district.topic(topics.LOG), archive, shard)
            for shard in range(district.config.city.shards)
        )
    except KafkaException as error:
        raise ArchiveError(away(district, error)) from None
    finally:
        consumer.close()


def away(district: District, error: KafkaException) -> str:
    """Return what Kafka's client says, for people."""
    return f"Kafka at {district.config.city.kafka}: {error.args[0].str()}"


def reader(district: District) -> Consumer:
    """Return a consumer that reads partitions for its own purposes."""
    return Consumer(
        {
            "bootstrap.servers": district.config.city.kafka,
            "group.id": f"{district.config.city.prefix}.archive",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "log_level": 0,
        }
    )


def _fill_shard(consumer: Consumer, topic: str, archive: Archive, shard: int) -> int:
    low, high = consumer.get_watermark_offsets(TopicPartition(topic, shard), timeout=PATIENCE_S)
    wanted = archive.next(shard)
    start = max(wanted, low)
    if wanted and low > wanted:
        raise ArchiveError(
            f"topic {topic}, partition {shard}: begins at {low:,}, the archive ends before "
            f"{wanted:,}; what lay between is gone. Archive more often, or raise city.keep_days"
        )
    if start >= high:
        return 0
    consumer.assign([TopicPartition(topic, shard, start)])
    rows: list[Row] = []
    size = done = 0
    while start + done + len(rows) < high:
        messages = consumer.consume(min(1_000, high - start - done - len(rows)), PATIENCE_S)
        if not messages:
            raise ArchiveError(
                f"topic {topic}, partition {shard}: no answer for {PATIENCE_S:g} s at offset "
                f"{start + done + len(rows):,}; what was read before is kept, run it again"
            )
        for message in messages:
            if message.error() is not None:
                raise ArchiveError(f"topic {topic}, partition {shard}: {message.error()}")
            value = message.value() or b""
            rows.append((message.offset() or 0, message.timestamp()[1], value))
            size += len(value)
        if size >= FILE_BYTES or len(rows) >= FILE_ROWS:
            done += _keep(archive, shard, rows)
            size = 0
    if rows:
        done += _keep(archive, shard, rows)
    return done


def _keep(archive: Archive, shard: int, rows: list[Row]) -> int:
    n = len(rows)
    path = archive.write(shard, rows)
    log.info("archived", shard=shard, messages=n, file=path.name)
    rows.clear()
    return n
