"""A million meters quickly: plain load for throughput, straight to Parquet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from engine.simulate.config import SimulationError
from engine.simulate.keyed import stream

NS = 1_000_000_000
_DIGITS = 8
START_NS = 1_767_196_800 * NS  # 2026-01-01 00:00 in Asia/Shanghai
COMMUNITY = 400
GRID = 40
COMMUNITIES_PER_STREET = 40


@dataclass(frozen=True, slots=True)
class Trouble:
    """What goes wrong in a load, from one slot to before another.

    Parameters
    ----------
    first_slot, end_slot : int
    cut_share : float
        Share of the communities, spread evenly, whose power is cut: nothing is used or reported.
    silent_share : float
        Share of the watched homes, spread evenly, that use nothing while their meters report.
    """

    first_slot: int
    end_slot: int
    cut_share: float = 0.0
    silent_share: float = 0.0


def generate_load(
    folder: Path,
    meters: int,
    slots: int = 96,
    watched_share: float = 0.1,
    *,
    kind: str = "register",
    order: str = "file",
    interval_s: int = 900,
    seed: int = 7,
    trouble: Trouble | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Path]:
    """Write readings, meters and subjects for load as Parquet, one slot after the other.

    Parameters
    ----------
    folder : Path
    meters : int
        One electricity meter a home; 400 homes a community, 40 a grid.
    slots : int
        Rows per meter.
    watched_share : float
        Share of the homes that are ``elderly_alone``, spread evenly; the others are ``home``.
    kind : {"register", "interval"}
    order : {"file", "random"}
        Within a slot: as in the meters file, or shuffled anew each time.
    interval_s : int
    seed : int
    trouble : Trouble, optional
    progress : callable, optional
        Told (slots done, slots).

    Returns
    -------
    dict
        Names ``readings``, ``meters``, ``subjects`` → paths.

    Raises
    ------
    SimulationError
        If a parameter is out of range, or the folder cannot be written.
    """
    if kind not in ("register", "interval"):
        raise SimulationError(f"kind must be register or interval, got {kind!r}")
    if order not in ("file", "random"):
        raise SimulationError(f"order must be file or random, got {order!r}")
    if not 1 <= meters <= COMMUNITY * COMMUNITIES_PER_STREET * 999:
        raise SimulationError(
            f"meters must be 1..{COMMUNITY * COMMUNITIES_PER_STREET * 999}, got {meters}"
        )
    if slots < 1 or 86_400 % interval_s or not 0 <= watched_share <= 1:
        raise SimulationError(
            f"wanted slots >= 1, interval_s that divides a day, watched_share 0..1; got {slots}, "
            f"{interval_s}, {watched_share}"
        )
    paths = {name: folder / f"{name}.parquet" for name in ("readings", "meters", "subjects")}
    ids = _numbered("m", meters)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_registry(paths, ids, meters, watched_share, kind, interval_s)
        _write_readings(
            paths["readings"], ids, meters, slots, kind, order, interval_s, seed, progress,
            *_troubled(meters, watched_share, trouble),
        )  # fmt: skip
    except OSError as error:
        raise SimulationError(f"{folder}: cannot write the load: {error}") from error
    return paths


def _evenly(n: NDArray[np.int64], share: float) -> NDArray[np.bool_]:
    """Return which of the numbers are chosen, so that any run of them has the same share."""
    chosen: NDArray[np.bool_] = np.floor((n + 1) * share) > np.floor(n * share)
    return chosen


def _troubled(
    count: int, watched_share: float, trouble: Trouble | None
) -> tuple[range, NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the slots of trouble, and which meters are cut off and which homes silent."""
    n = np.arange(count)
    if trouble is None:
        return range(0), np.zeros(count, bool), np.zeros(count, bool)
    cut = _evenly(n // COMMUNITY, trouble.cut_share)
    watched = _evenly(n, watched_share)
    silent = np.zeros(count, bool)
    silent[watched] = _evenly(np.arange(int(watched.sum())), trouble.silent_share)
    return range(trouble.first_slot, trouble.end_slot), cut, silent & ~cut


def _numbered(prefix: str, count: int) -> pa.Array:
    """Return ``m00000001`` … as one string array, without a Python object per id."""
    digits = np.empty((count, _DIGITS), np.uint8)
    rest = np.arange(1, count + 1)
    for column in range(_DIGITS - 1, -1, -1):
        digits[:, column] = rest % 10 + ord("0")
        rest //= 10
    width = _DIGITS + 1
    text = np.empty((count, width), np.uint8)
    text[:, 0] = ord(prefix)
    text[:, 1:] = digits
    offsets = np.arange(0, width * count + 1, width, dtype=np.int32)
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(text))


def _write_registry(
    paths: dict[str, Path],
    ids: pa.Array,
    count: int,
    watched_share: float,
    kind: str,
    interval_s: int,
) -> None:
    n = np.arange(count)
    watched = _evenly(n, watched_share)
    community = n // COMMUNITY
    code = (
        330199 * 10**9
        + (community // COMMUNITIES_PER_STREET + 1) * 10**6
        + (community % COMMUNITIES_PER_STREET + 1) * 10**3
        + n % COMMUNITY // GRID
        + 1
    )

    def constant(value: Any) -> pa.Array:
        return pa.repeat(value, count)

    subjects = _numbered("s", count)
    meters = pa.table(
        {
            "meter_id": ids,
            "subject_id": subjects,
            "utility": constant("electricity"),
            "kind": constant(kind),
            "unit": constant("kWh"),
            "interval_s": constant(interval_s),
            "multiplier": constant(1.0),
            "stamp": constant("end" if kind == "register" else "start"),
            "register_max": constant(999_999.999 if kind == "register" else None),
        }
    )
    pq.write_table(meters, paths["meters"], compression="lz4")
    kinds = pa.DictionaryArray.from_arrays(
        pa.array(watched.astype(np.int8)), pa.array(["home", "elderly_alone"])
    )
    table = pa.table(
        {
            "subject_id": subjects,
            "kind": kinds.cast(pa.string()),
            "place": pa.array(code).cast(pa.string()),
            "timezone": constant("Asia/Shanghai"),
            "attrs": constant('{"simulated": true}'),
        }
    )
    pq.write_table(table, paths["subjects"], compression="lz4")


def _write_readings(
    path: Path,
    ids: pa.Array,
    count: int,
    slots: int,
    kind: str,
    order: str,
    interval_s: int,
    seed: int,
    progress: Callable[[int, int], None] | None,
    troubled: range,
    cut: NDArray[np.bool_],
    silent: NDArray[np.bool_],
) -> None:
    rng = stream(seed, "load", "meters")
    scale = rng.lognormal(np.log(40.0), 0.5, count).astype(np.float32)  # Wh per 15 minutes
    scale *= np.float32(interval_s / 900)
    level: NDArray[np.int64] = rng.integers(10_000, 20_000_000, count)
    schema = pa.schema(
        [("meter_id", pa.string()), ("ts", pa.timestamp("ns", tz="UTC")), ("value", pa.float64())]
    )
    # ids repeat once a slot only: a dictionary would be as long as the row group
    options: dict[str, Any] = {
        "compression": "lz4",
        "use_dictionary": ["ts"],
        "write_statistics": False,
    }
    per_day = 86_400 // interval_s
    with pq.ParquetWriter(path, schema, **options) as writer:
        for slot in range(slots):
            hour = slot % per_day * 24 / per_day
            usual = (
                0.5 + np.exp(-(((hour - 7.5) / 2) ** 2)) + 1.5 * np.exp(-(((hour - 19) / 2.5) ** 2))
            )
            draw = stream(seed, "load", f"slot {slot}")
            used = (draw.random(count, dtype=np.float32) * scale * np.float32(2 * usual)).astype(
                np.int64
            )
            if slot in troubled:
                used[cut | silent] = 0
            level += used
            shown = level if kind == "register" else used
            stamp_ns = START_NS + (slot + (kind == "register")) * interval_s * NS
            names = ids
            if slot in troubled and cut.any():
                names, shown = ids.filter(pa.array(~cut)), shown[~cut]
            if order == "random":
                shuffle = draw.permutation(len(names))
                names, shown = names.take(pa.array(shuffle)), shown[shuffle]
            stamps = pa.repeat(pa.scalar(stamp_ns, pa.timestamp("ns", tz="UTC")), len(names))
            batch = pa.table([names, stamps, pa.array(shown / 1000.0)], schema=schema)
            writer.write_table(batch, row_group_size=1 << 20)
            if progress is not None:
                progress(slot + 1, slots)
