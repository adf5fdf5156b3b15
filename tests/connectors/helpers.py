"""Small tools of the connectors' tests."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from connectors.normalise import Directory
from connectors.records import Event, Fault, LogRecord, ReadingBlock


def directory(
    meters: Sequence[str],
    zone: str = "UTC",
    interval_s: int = 900,
    zones: Sequence[str] | None = None,
    zone_of: Sequence[int] | None = None,
) -> Directory:
    n = len(meters)
    book = Directory(
        zones=[zone] if zones is None else list(zones),
        meter_zone=np.zeros(n, np.uint8) if zone_of is None else np.array(zone_of, np.uint8),
        meter_interval_s=np.full(n, interval_s, np.int32),
        meter_fault=np.zeros(n, np.uint8),
        subject_zone=np.zeros(n, np.uint8),
    )
    book.meters.put(pa.array(meters, pa.string()), np.arange(n))
    book.subjects.put(pa.array([f"home-{m}" for m in meters], pa.string()), np.arange(n))
    return book


def directory_of(folder: Path) -> Directory:
    """Directory of a real data set."""
    with (folder / "meters.csv").open() as file:
        rows = list(csv.DictReader(file))
    with (folder / "subjects.csv").open() as file:
        zone = next(csv.DictReader(file))["timezone"]
    return directory([r["meter_id"] for r in rows], zone, int(rows[0]["interval_s"]))


def flat(records: Iterable[LogRecord]) -> list[tuple[Any, ...]]:
    """Everything that must not depend on how blocks were cut."""
    out: list[tuple[Any, ...]] = []
    for record in records:
        if isinstance(record, ReadingBlock):
            out.extend(
                zip(
                    [record.source] * len(record), record.position.tolist(),
                    record.meter.tolist(), record.ts_ns.tolist(),
                    [None if v != v else v for v in record.value.tolist()],
                    record.arrival_ns.tolist(), record.fault.tolist(), strict=True,
                )
            )  # fmt: skip
        elif isinstance(record, Event):
            out.append((record.source, record.position, record.event_id, record.ts_ns,
                        record.arrival_ns, int(record.fault)))  # fmt: skip
    return out


def columns(blocks: Iterable[ReadingBlock]) -> dict[str, np.ndarray[Any, Any]]:
    blocks = list(blocks)
    names = ("position", "meter", "ts_ns", "value", "arrival_ns", "fault")
    return {n: np.concatenate([getattr(b, n) for b in blocks]) for n in names}


def faults(blocks: Iterable[ReadingBlock]) -> list[str]:
    return [Fault(f).name for b in blocks for f in b.fault.tolist()]


def ns(text: str) -> int:
    return int(np.datetime64(text, "ns").astype(np.int64))
