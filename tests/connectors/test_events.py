"""Events: instants in the right zone, spans, faults with a detail, arrival."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from connectors.merge import Log
from connectors.normalise import Directory
from connectors.records import Event, Fault
from connectors.sources import EventSource, ReadingSource
from connectors.writers import write_table
from tests.connectors.helpers import directory, flat, ns

HEADER = "event_id,ts,kind,subject_id,place,attrs\n"


def book() -> Directory:
    made = directory(["a", "b"], zones=["Europe/Madrid", "Asia/Shanghai"], zone_of=[0, 1])
    made.subject_zone[:] = [0, 1]
    made.default_zone = 1
    return made


def read(path: Path | str) -> list[Event]:
    return list(EventSource(str(path), book()))


def events_of(tmp_path: Path, *rows: dict[str, Any]) -> list[Event]:
    path = tmp_path / "e.ndjson"
    base = {"event_id": "e", "ts": "2024-07-01T12:00", "kind": "note", "subject_id": "home-a"}
    path.write_text("\n".join(json.dumps(base | r) for r in rows))
    return read(path)


def test_local_times_are_of_the_subject_or_the_default_zone(tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    path.write_text(
        HEADER
        + "e1,2024-07-01T12:00:00,vehicle_gate,home-a,,"
        + '"{""class"": ""hazmat"", ""direction"": ""in""}"\n'
        + "e2,2024-07-01T18:01,complaint,home-b,330106,\n"
        + "e3,2024-07-01 18:02,anything new,,330106,{}\n"
        + "e4,2024-07-01T10:03Z,note,home-a,,\n"
    )
    got = read(path)
    assert [e.ts_ns for e in got] == [ns(f"2024-07-01T10:0{k}") for k in range(4)]
    assert [e.arrival_ns for e in got] == [e.ts_ns for e in got]
    assert [e.fault for e in got] == [Fault.OK] * 4
    assert got[0].attrs == {"class": "hazmat", "direction": "in"}
    assert (got[0].subject_id, got[0].place) == ("home-a", None)
    assert (got[2].subject_id, got[2].place, got[2].kind) == (None, "330106", "anything new")
    assert [e.position for e in got] == [1, 2, 3, 4]
    assert all(e.raw is None for e in got)


def test_spans_stay_as_they_are_written(tmp_path: Path) -> None:
    attrs = {"from": "2024-07-02", "until": "2024-07-09", "source": "x"}
    absence, test = events_of(
        tmp_path,
        {"kind": "absence", "attrs": attrs},
        {"kind": "approved_test", "attrs": {"from": "2024-07-02T08:00", "to": None, "kw": 5}},
    )
    assert absence.attrs == attrs
    assert (absence.fault, test.fault) == (Fault.OK, Fault.OK)


@pytest.mark.parametrize(
    ("row", "fault", "detail"),
    [
        ({"ts": "soon"}, Fault.BAD_TIME, "ts is 'soon'"),
        ({"ts": None}, Fault.BAD_TIME, "ts is empty"),
        ({"ts": "2024-03-31T02:30"}, Fault.NONEXISTENT_HOUR, "2024-03-31T02:30"),
        ({"ts": "1970-01-01T00:00"}, Fault.TIME_OUT_OF_RANGE, "1970"),
        ({"event_id": ""}, Fault.BAD_EVENT, "event_id is empty; wanted one"),
        ({"kind": None}, Fault.BAD_EVENT, "kind is empty; wanted one"),
        ({"subject_id": None}, Fault.BAD_EVENT, "subject_id and place are empty"),
        ({"subject_id": "home-z"}, Fault.BAD_EVENT, "subject_id is 'home-z', which no subject has"),
        ({"attrs": [1]}, Fault.BAD_EVENT, "attrs is not a JSON object"),
        ({"attrs": "{"}, Fault.BAD_EVENT, "attrs is not JSON"),
        (
            {"kind": "absence", "attrs": {"until": "some day"}},
            Fault.BAD_EVENT,
            "attrs.until is 'some day'; wanted",
        ),
        (
            {"kind": "weather", "attrs": {"temp_c": "hot"}},
            Fault.BAD_EVENT,
            "attrs.temp_c is 'hot'; wanted",
        ),
    ],
)
def test_bad_events_keep_their_columns(
    tmp_path: Path, row: dict[str, Any], fault: Fault, detail: str
) -> None:
    good, bad = events_of(tmp_path, {}, row)
    assert good.fault == Fault.OK
    assert bad.fault == fault
    assert detail in bad.detail
    assert bad.raw is not None
    for name, value in row.items():
        want = value if isinstance(value, str | None) else json.dumps(value)
        assert bad.raw[name] == want
    assert bad.arrival_ns >= good.arrival_ns


def test_unknown_subjects_with_a_place_are_events_of_the_place(tmp_path: Path) -> None:
    (event,) = events_of(tmp_path, {"subject_id": "home-z", "place": "33"})
    assert event.fault == Fault.OK


def test_malformed_lines(tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    path.write_text(HEADER + "e1,2024-07-01T12:00\ne2,2024-07-01T12:00,note,home-a,,\n")
    bad, good = read(path)
    assert (bad.fault, bad.detail) == (Fault.MALFORMED, "2 fields, wanted 6")
    assert bad.raw is not None
    assert bad.raw["raw"] == "e1,2024-07-01T12:00"
    assert good.fault == Fault.OK


def test_a_broken_clock_among_events(tmp_path: Path) -> None:
    stamps = ["2024-01-01T00:00", "2024-06-01T00:00", "2099-01-01T00:00", "2024-06-02T00:00"]
    got = events_of(tmp_path, *[{"ts": s} for s in stamps])
    assert [e.fault for e in got] == [Fault.OK, Fault.OK, Fault.CLOCK_AHEAD, Fault.OK]
    assert got[2].arrival_ns == got[1].arrival_ns


@pytest.mark.parametrize("extension", ["parquet", "arrow", "csv.gz", "ndjson.gz"])
def test_events_of_every_format(tmp_path: Path, extension: str) -> None:
    path = str(tmp_path / f"e.{extension}")
    attrs: list[Any] = [{"temp_c": 3.5}] * 2
    if "csv" in extension:
        attrs = [json.dumps(a) for a in attrs]
    columns = {"event_id": ["e1", "e2"], "ts": ["2024-07-01T00:00Z"] * 2, "kind": ["weather"] * 2,
               "place": ["1", "1"], "attrs": attrs}  # fmt: skip
    write_table(path, pa.table(columns))
    got = read(path)
    assert [e.attrs for e in got] == [{"temp_c": 3.5}] * 2
    assert [e.subject_id for e in got] == [None, None]


def test_events_and_readings_merge_and_go_on_from_anywhere(tmp_path: Path) -> None:
    readings, events = str(tmp_path / "r.csv"), str(tmp_path / "e.csv")
    hours = [f"2024-07-01T{h:02d}:{m:02d}Z" for h in range(12) for m in (0, 30)]
    Path(readings).write_text("meter_id,ts,value\n" + "".join(f"a,{h},1\n" for h in hours))
    late = ["2024-07-01T03:00Z", "2024-07-01T05:30Z", "2024-07-01T01:00Z", "2024-07-01T05:45Z"]
    lines = [f"e{i},{t},note,home-a,,\n" for i, t in enumerate(late)]
    Path(events).write_text(HEADER + "".join(lines))

    def log(state: Any = None) -> Log:
        state = state or {}
        return Log(
            [
                EventSource(events, book(), state=state.get(events)),
                ReadingSource(readings, book(), state=state.get(readings)),
            ],
            block_rows=5,
        )

    whole = flat(log())
    assert len(whole) == 28
    arrivals = [row[-2] for row in whole]
    assert arrivals == sorted(arrivals)
    names = [row[2] for row in whole if row[0] == events]
    assert names == ["e0", "e1", "e2", "e3"]
    # On a tie the source named first comes first.
    assert whole[[row[2] for row in whole].index("e0") + 1][-2] == ns("2024-07-01T03:00")
    records = list(log())
    for stop in range(len(records) + 1):
        first = log()
        head = flat(r for _, r in zip(range(stop), first, strict=False))
        saved = json.loads(json.dumps(first.state(), default=lambda a: a.tolist()))
        assert head + flat(log(saved)) == whole


def test_a_quote_that_nobody_closed_costs_its_line(tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    good = 'e,2024-07-01T12:00,note,home-a,,"{""a"":\n 1}"\n'
    path.write_text(HEADER + good + 'e,"2024-07-01T12:00,note,home-a,,\n' + good.replace("\n ", ""))
    got = read(path)
    assert [e.fault for e in got if e.fault == Fault.OK and e.attrs] == [Fault.OK]
    assert "not closed" in " ".join(e.detail for e in got)
