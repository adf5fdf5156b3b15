"""A simulated town as columns, and as the public files (DESIGN.md, "Files")."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from connectors.files import EVENTS
from connectors.people import CONTACTS, WORKERS
from connectors.tables import PLACES
from engine.simulate.config import SimulationError
from engine.simulate.feeds import EventRow
from engine.simulate.layout import Meter, Subject

NS = 1_000_000_000
FORMATS = ("csv", "csv.gz", "parquet")
_HEADS = {
    table.what: (*table.required, *table.optional) for table in (EVENTS, CONTACTS, WORKERS, PLACES)
}


@dataclass(frozen=True, slots=True)
class TownData:
    """All that a simulated town says, and the truth about it.

    Parameters
    ----------
    timezone : str
    start_ns : int
        First local midnight, UTC.
    days : int
    live_from_ns : int or None
        Where a demo's history ends.
    seed : int
    meter : ndarray of int32, shape (n,)
        Index into `meters`; rows are in order of arrival.
    ts_ns, arrival_ns : ndarray of int64, shape (n,)
        Stamp as sent (clock errors included) and when the row arrives.
    value : ndarray of float64, shape (n,)
        As the meter shows it.
    places, subjects, meters, workers, contacts, events
        Rows of the other public files.
    truth : list of dict
        What really happened: kind, subject_id, place, from, until, details.
    """

    timezone: str
    start_ns: int
    days: int
    live_from_ns: int | None
    seed: int
    meter: NDArray[np.int32]
    ts_ns: NDArray[np.int64]
    value: NDArray[np.float64]
    arrival_ns: NDArray[np.int64]
    places: list[dict[str, str]]
    subjects: list[Subject]
    meters: list[Meter]
    workers: list[dict[str, str]]
    contacts: list[dict[str, Any]]
    events: list[EventRow]
    truth: list[dict[str, Any]]

    def readings_table(self) -> pa.Table:
        """Return the readings as meter_id (dictionary), ts (UTC), value; in order of arrival."""
        ids = pa.array([m.meter_id for m in self.meters], pa.string())
        return pa.table(
            {
                "meter_id": pa.DictionaryArray.from_arrays(pa.array(self.meter), ids),
                "ts": pa.array(self.ts_ns, pa.timestamp("ns", tz="UTC")),
                "value": pa.array(self.value),
            }
        )

    def write(self, folder: Path, readings_format: str = "csv.gz") -> dict[str, Path]:
        """Write the public files and ``truth.ndjson`` into a folder.

        Parameters
        ----------
        folder : Path
            Made if it does not exist.
        readings_format : {"csv", "csv.gz", "parquet"}

        Returns
        -------
        dict
            Name of each file (``readings``, ``meters``, …) → path.

        Raises
        ------
        SimulationError
            If the format is unknown or the folder cannot be written.
        """
        if readings_format not in FORMATS:
            raise SimulationError(
                f"format must be one of {', '.join(FORMATS)}, got {readings_format!r}"
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            paths = {"readings": folder / f"readings.{readings_format}"}
            self._write_readings(paths["readings"])
            for name, rows in self._tables().items():
                paths[name] = folder / f"{name}.csv"
                pa_csv.write_csv(_table(rows, _HEADS.get(name, ())), paths[name])
            paths["truth"] = folder / "truth.ndjson"
            lines = [json.dumps(line, ensure_ascii=False) + "\n" for line in self.truth]
            paths["truth"].write_text("".join(lines), encoding="utf-8")
        except OSError as error:
            raise SimulationError(f"{folder}: cannot write the town: {error}") from error
        return paths

    def _write_readings(self, path: Path) -> None:
        table = self.readings_table()
        if path.suffix == ".parquet":
            pq.write_table(table, path, compression="zstd")
            return
        # local time without offset, as real exports have it; the town keeps one offset
        offset_ns = _offset_ns(self.timezone, self.start_ns)
        local = pa.array(self.ts_ns + offset_ns, pa.timestamp("ns")).cast(pa.timestamp("s"))
        text = local.cast(pa.string())
        text = pc.replace_substring(text, " ", "T")
        table = table.set_column(1, "ts", text).set_column(
            0, "meter_id", table["meter_id"].cast(pa.string())
        )
        options = pa_csv.WriteOptions(quoting_style="none")
        if path.name.endswith(".gz"):
            # level 3, and no time stamp inside: the same town gives the same bytes
            with path.open("wb") as raw, gzip.GzipFile("", "wb", 3, raw, mtime=0) as sink:
                pa_csv.write_csv(table, sink, options)
        else:
            pa_csv.write_csv(table, path, options)

    def _tables(self) -> dict[str, list[dict[str, Any]]]:
        subjects = [
            {"subject_id": s.subject_id, "kind": s.kind, "place": s.place,
             "timezone": self.timezone, "attrs": json.dumps(s.attrs, ensure_ascii=False)}
            for s in self.subjects
        ]  # fmt: skip
        offset_s = _offset_ns(self.timezone, self.start_ns) // NS
        midnight = np.datetime64(self.start_ns // NS + offset_s, "s")
        events = [
            {"event_id": e.event_id, "ts": f"{midnight + np.timedelta64(round(e.ts_s), 's')}"
             + _zone(offset_s), "kind": e.kind, "subject_id": e.subject_id, "place": e.place,
             "attrs": json.dumps(e.attrs, ensure_ascii=False)}
            for e in self.events
        ]  # fmt: skip
        return {
            "meters": [asdict(m) for m in self.meters],
            "subjects": subjects,
            "places": list(self.places),
            "workers": list(self.workers),
            "contacts": list(self.contacts),
            "events": events,
        }


def _table(rows: list[dict[str, Any]], heads: Sequence[str]) -> pa.Table:
    """Return rows as a table; one without rows still says what its columns would be."""
    if rows:
        return pa.Table.from_pylist(rows)
    return pa.table({head: pa.array([], pa.string()) for head in heads})


def _offset_ns(timezone: str, at_ns: int) -> int:
    moment = datetime.fromtimestamp(at_ns // NS, UTC).astimezone(ZoneInfo(timezone))
    offset = moment.utcoffset()
    assert offset is not None
    return int(offset.total_seconds()) * NS


def _zone(offset_s: int) -> str:
    return f"{'+' if offset_s >= 0 else '-'}{abs(offset_s) // 3600:02d}:{abs(offset_s) % 3600 // 60:02d}"
