"""What a run reads: tables, sources, and what tells one input from another."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from connectors.arrival import READING_RULES
from connectors.errors import InputError
from connectors.ids import IdMap
from connectors.normalise import Directory
from connectors.records import Fault
from connectors.sources import EventSource, ReadingSource, Source
from connectors.tables import read_meters, read_places, read_subjects
from detectors.base import NS
from engine.config import Config
from engine.places import PlaceLayout
from engine.registry import Registry


def directory_of(registry: Registry) -> Directory:
    """Return what the edge has to know of a registry."""
    meters = registry.meters
    placed = (meters.subject >= 0) & (registry.subjects.community[meters.subject] >= 0)
    intervals = np.array([c.interval_s for c in registry.classes] or [0], np.int32)
    meter_ids, subject_ids = IdMap(), IdMap()
    meter_ids.put(meters.meter_id, np.arange(len(meters)))
    subject_ids.put(registry.subjects.subject_id, np.arange(len(registry.subjects)))
    return Directory(
        meters=meter_ids,
        meter_zone=meters.zone,
        meter_interval_s=intervals[meters.class_index].astype(np.int32),
        meter_fault=np.where(placed, 0, Fault.NO_PLACE).astype(np.uint8),
        subjects=subject_ids,
        subject_zone=registry.subjects.zone,
        zones=tuple(registry.zones or ["UTC"]),
    )


def layout_of(config: Config) -> PlaceLayout:
    """Return the configured layout of place codes."""
    return PlaceLayout(config.place.widths, config.place.levels, config.place.shard_level)


def open_source(
    path: str,
    directory: Directory,
    config: Config,
    events: bool,
    state: Mapping[str, Any] | None = None,
    name: str | None = None,
) -> Source:
    """Open an input as the configuration says."""
    clock = config.clock
    earliest_ns = int(clock.earliest.timestamp()) * NS
    latest_ns = int(clock.latest.timestamp()) * NS
    if events:
        return EventSource(
            path, directory, name=name, earliest_ns=earliest_ns, latest_ns=latest_ns, state=state
        )
    rules = replace(READING_RULES, max_skew_s=clock.max_skew_s)
    return ReadingSource(
        path, directory, name=name, rules=rules, earliest_ns=earliest_ns, latest_ns=latest_ns,
        state=state,
    )  # fmt: skip


def load_registry(meters: str, subjects: str, config: Config) -> Registry:
    """Read the tables and return the registry."""
    return Registry(read_meters(meters), read_subjects(subjects), layout_of(config))


def place_names(path: str | None) -> dict[str, str]:
    """Return code → name of a places file."""
    if path is None:
        return {}
    table = read_places(path)
    return dict(zip(table.place.to_pylist(), table.label.to_pylist(), strict=True))


def fingerprint(path: str) -> str:
    """Return a cheap identity of an input: size and a hash of its ends."""
    if path == "-":
        return "stdin"
    file = Path(path)
    try:
        size = file.stat().st_size
        with file.open("rb") as f:
            head = f.read(65_536)
            f.seek(max(0, size - 65_536))
            tail = f.read()
    except OSError as error:
        raise InputError(path, f"cannot be read: {error.strerror}") from None
    return hashlib.sha256(str(size).encode() + head + tail).hexdigest()[:16]
