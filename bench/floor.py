"""How far each stage of a replay is from what the machine could do at best.

The floor of decoding is the library that decodes, alone; that of every other stage are the bytes it
has to move, at the copy bandwidth measured in the same run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json
import pyarrow.parquet as pq

from bench.cost import cpu_s
from engine.intake.layout import LOOK, READING, REGISTER

BATCH_ROWS = 65_536
# Bytes a reading of a 15-minute register, read and written, as our layout has them. Columns: id 12,
# stamp 8, value 8, position 8, arrival 8, token 8, meter 4, interval 4 + 8, four flags of 1.
EDGE = (12 + 8 + 8) + (4 + 8 + 8 + 8 + 8 + 4 + 8 + 4) + (20 + 4 + 1 + 1)
"""Columns in, columns out, what the id map and the registry say of the meter."""
BUFFER = 6 * READING.itemsize
"""A register keeps six readings."""
INTAKE = (4 + 8 + 8 + 8 + 1 + 8 + 2) + LOOK.itemsize + 2 * (REGISTER.itemsize + BUFFER)
"""The row, what is looked up of its meter, and what is read and written anew of its state."""
SLOTS = REGISTER.itemsize + BUFFER + (4 + 8 + 8) + 3 * 4 + 2 * 1 + 4 + 1
"""The state again, row numbers and scales, the frame three times, when heard of, its place, a bit."""


def bare_decode_s(path: Path) -> float:
    """Return CPU seconds of the library alone: the three columns decoded, nothing done with them."""
    began = cpu_s()
    if path.suffix == ".parquet":
        file = pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20)
        for _ in file.iter_batches(BATCH_ROWS, use_threads=False):
            pass
        file.close()
    elif path.suffix == ".arrow":
        with pa.OSFile(str(path)) as source:  # a map would read nothing
            for batch in pa.ipc.open_stream(_body(source)):
                batch.validate()
    elif path.suffix == ".csv":
        for _ in pa_csv.open_csv(path, pa_csv.ReadOptions(use_threads=False)):
            pass
    else:
        for _ in pa_json.open_json(path, pa_json.ReadOptions(use_threads=False)):
            pass
    return cpu_s() - began


def _body(source: Any) -> Any:
    """Skip the magic of an Arrow file: what follows is the stream."""
    source.seek(8)
    return source


def stages(
    rows: int, used_s: float, wall_s: float, edge_s: float, decode_s: float,
    timings: Mapping[str, float], copy_bytes_s: float,
) -> list[dict[str, Any]]:  # fmt: skip
    """Return each stage's ns a reading beside its floor.

    Parameters
    ----------
    rows : int
    used_s, wall_s : float
        CPU and wall seconds of the replay. The shard's own timings are wall time; they are taken to
        have had the replay's share of the processor.
    edge_s, decode_s : float
        CPU seconds of the edge alone, and of the bare decode.
    timings : mapping of str to float
        Of the shard, by stage.
    copy_bytes_s : float
        Bytes a second that a copy moves.
    """
    share = used_s / wall_s / rows * 1e9
    detectors = sum(v for k, v in timings.items() if k.startswith("detector")) * share
    intake, slots = timings.get("intake", 0.0) * share, timings.get("slots", 0.0) * share
    decode, edge = decode_s / rows * 1e9, (edge_s - decode_s) / rows * 1e9
    all_ns = used_s / rows * 1e9
    rest = max(all_ns - decode - edge - intake - slots - detectors, 0.0)
    at_best = 1e9 / copy_bytes_s
    found = [
        ("decode", decode, decode),
        ("ids, UTC, faults, arrival", edge, EDGE * at_best),
        ("intake: register → amounts", intake, INTAKE * at_best),
        ("slots: frames, census", slots, SLOTS * at_best),
        ("detectors", detectors, None),
        ("rules, counts, the rest", rest, None),
        ("all", all_ns, decode + (EDGE + INTAKE + SLOTS) * at_best),
    ]
    return [
        {"stage": name, "ns": round(ns, 1), "floor_ns": None if low is None else round(low, 1)}
        for name, ns, low in found
    ]


def table(found: list[dict[str, Any]]) -> str:
    """Return the stages as text."""
    lines = [f"{'stage':28}{'ns a reading':>14}{'floor':>8}{'×':>6}"]
    for row in found:
        low = row["floor_ns"]
        beside = "" if low is None else f"{low:8.1f}{row['ns'] / max(low, 1e-9):6.1f}"
        lines.append(f"{row['stage']:28}{row['ns']:14.1f}{beside}")
    return "\n".join(lines)
