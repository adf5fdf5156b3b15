"""Tables of the city: the right columns, or every problem at once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import openpyxl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.attributes import check_subject
from connectors.errors import InputError, TableError
from connectors.people import read_contacts, read_workers
from connectors.tables import read_meters, read_places, read_subjects
from connectors.writers import write_table
from rules import permits

METERS = "meter_id,subject_id,utility,kind,unit,interval_s,multiplier,stamp\n"
SUBJECTS = "subject_id,kind,place,timezone,attrs\n"


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def problems(read: object, path: str) -> list[str]:
    with pytest.raises(TableError) as caught:
        read(path)  # type: ignore[operator]
    texts = [str(p) for p in caught.value.problems]
    assert all(t in str(caught.value) for t in texts)
    return [t.removeprefix(path + " ") for t in texts]


@pytest.mark.parametrize("name", ["homes_water", "homes_power", "plant_power"])
def test_real_tables(data: Path, name: str) -> None:
    meters = read_meters(str(data / name / "meters.csv"))
    subjects = read_subjects(str(data / name / "subjects.csv"))
    assert len(meters) == len(subjects) == {"homes_water": 46, "homes_power": 5}.get(name, 1)
    assert meters.subject_id.to_pylist() == subjects.subject_id.to_pylist()
    assert meters.units == (("l",) if name == "homes_water" else ("kWh",))
    assert meters.register.all() == (name == "homes_water")
    assert meters.stamp_start.all() == (name != "homes_water")
    assert all(len(p) == 15 for p in subjects.place.to_pylist())


def test_meters(tmp_path: Path) -> None:
    path = write(
        tmp_path / "m.csv",
        METERS.replace("stamp", "stamp,register_max,concentrator,colour")
        + "m1,s1,electricity,interval,kwh,900,,,,,red\n"
        + "m2,s1,water,register,m3,3600,2,start,99999.999,c7,\n"
        + "m3,s2,traffic,interval,cars,60,0.5,end,,,\n",
    )
    m = read_meters(path)
    assert m.meter_id.to_pylist() == ["m1", "m2", "m3"]
    assert [m.utilities[u] for u in m.utility] == ["electricity", "water", "traffic"]
    assert [m.units[u] for u in m.unit] == ["kWh", "l", "cars"]
    assert m.unit_scale.tolist() == [1, 1000, 1]
    assert m.register.tolist() == [False, True, False]
    assert m.interval_s.tolist() == [900, 3600, 60]
    assert m.multiplier.tolist() == [1, 2, 0.5]
    assert m.stamp_start.tolist() == [False, True, False]
    assert np.isnan(m.register_max).tolist() == [True, False, True]
    assert m.concentrator.to_pylist() == ["", "c7", ""]


def test_all_problems_of_meters_at_once(tmp_path: Path) -> None:
    path = write(
        tmp_path / "m.csv",
        METERS
        + "m1,s1,water,registr,kWh,0,-1,end\n"
        + "m1,,electricity,interval,kWh,x,,\n"
        + ",s,foo,register,zz,900.5,inf,begin\n"
        + "m2,2\n"
        + "m3,s,gas,interval,l,900,1,end\n",
    )
    assert problems(read_meters, path) == [
        "row 1: kind is not known: got 'registr'; wanted interval or register; did you mean \"register\"?",
        "row 1: unit does not fit water: got 'kWh'; wanted l or m3 or m³",
        "row 1: interval_s is not valid: got '0'; wanted a whole number of seconds, 1 or more",
        "row 1: multiplier is not valid: got '-1'; wanted a number > 0",
        "row 2: meter_id is there already, in row 1: got 'm1'",
        "row 2: subject_id is empty: wanted some text",
        "row 2: interval_s is not valid: got 'x'; wanted a whole number of seconds, 1 or more",
        "row 3: meter_id is empty: wanted some text",
        "row 3: interval_s is not valid: got '900.5'; wanted a whole number of seconds, 1 or more",
        "row 3: multiplier is not valid: got 'inf'; wanted a number > 0",
        "row 3: stamp is not known: got 'begin'; wanted end or start",
        "row 4: is no record: 2 fields, wanted 8: got 'm2,2'",
    ]


def test_an_id_longer_than_any_map_keeps_is_told(tmp_path: Path) -> None:
    path = tmp_path / "meters.csv"
    head = "meter_id,subject_id,utility,kind,unit,interval_s"
    path.write_text(f"{head}\n{'9' * 65_536},s1,water,register,m3,900\n")
    with pytest.raises(TableError, match=r"meter_id is too long: got '99.*at most 65,535 bytes"):
        read_meters(str(path))


def test_many_problems_are_counted_but_not_all_shown(tmp_path: Path) -> None:
    path = write(tmp_path / "m.csv", METERS + "m,s,water,interval,l,0,1,end\n" * 500)
    with pytest.raises(TableError, match="999 problems") as caught:
        read_meters(path)
    assert "… and 949 more" in str(caught.value)


def test_subjects(tmp_path: Path) -> None:
    windows = [{"from": "2024-01-01", "to": "2024-02-01", "days": [1, 7],
                "hours": ["22:00", "06:00"], "kw": 5}]  # fmt: skip
    attrs = {"closed_on": "2023-12-01", "permitted_kw": 2, "permitted_windows": windows, "x": None}
    path = str(tmp_path / "s.ndjson")
    rows = [
        {"subject_id": "s1", "kind": "closed_plant", "place": "330106001001001",
         "timezone": "Asia/Shanghai", "attrs": attrs, "lat": 30.5, "calendar": "CN"},
        {"subject_id": "s2", "kind": "elderly_alone", "place": None, "timezone": "Europe/Madrid"},
    ]  # fmt: skip
    (tmp_path / "s.ndjson").write_text("\n".join(json.dumps(r) for r in rows))
    s = read_subjects(path)
    assert s.attrs[0] == attrs
    assert s.place.to_pylist() == ["330106001001001", ""]
    assert [s.zones[z] for z in s.zone] == ["Asia/Shanghai", "Europe/Madrid"]
    assert [s.kinds[k] for k in s.kind] == ["closed_plant", "elderly_alone"]
    assert s.lat[0] == 30.5
    assert np.isnan(s.lon).all()
    assert s.calendar.to_pylist() == ["CN", ""]


def test_attrs_of_parquet_may_be_structs(tmp_path: Path) -> None:
    path = str(tmp_path / "s.parquet")
    write_table(path, pa.table({"subject_id": ["s"], "kind": ["closed_plant"], "place": ["1"],
                                "timezone": ["UTC"], "attrs": [{"closed_on": "2024-01-01"}]}))  # fmt: skip
    assert read_subjects(path).attrs[0] == {"closed_on": "2024-01-01"}


@pytest.mark.parametrize(
    ("attrs", "message"),
    [
        ("[1]", "attrs: is not a JSON object: got '[1]'; wanted a JSON object"),
        ("{", "attrs: is not JSON (Expecting property name"),
        ('{"a": NaN}', "attrs: is not JSON (NaN is no JSON number)"),
        ("{}", "attrs: closed_on is missing"),
        ('{"closed_on": "2024-02-30"}', "attrs: closed_on is not a date"),
        ('{"closed_on": "2024-02-03", "permitted_kw": -1}', "attrs: permitted_kw is not valid"),
        ('{"closed_on": "2024-02-03", "permitted_kw": true}', "attrs: permitted_kw is not valid"),
        ('{"closed_on": "2024-02-03", "permitted_windows": 1}', "permitted_windows is not a list"),
        ('{"closed_on": "2024-02-03", "permitted_windows": [1]}', "[0] is not an object"),
    ],
)
def test_attrs_of_closed_plants(tmp_path: Path, attrs: str, message: str) -> None:
    quoted = attrs.replace('"', '""')
    path = write(tmp_path / "s.csv", SUBJECTS + f's,closed_plant,1,UTC,"{quoted}"\n')
    (problem,) = problems(read_subjects, path)
    assert problem.startswith("row 1: attrs")
    assert message in problem


_ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-9, 9), st.floats(), st.text(max_size=6),
    st.sampled_from(["2026-03-01", "07:00", "24:00", "T0700", "25:00", 2e6, 5, [1], [0], [1.0],
                     ["07:00", "T1800"], ["22:00", "06:00"], "20260301", "2026-W10-1"]),
)  # fmt: skip


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("from", "to", "days", "hours", "kw", "note"), _ODD)
    ),
    _ODD,
)
def test_no_permit_is_passed_over_in_silence(window: dict[str, object], kw: object) -> None:
    """What the rules cannot use, the table refuses: nobody wonders why a permit does not hold."""
    attrs = {"closed_on": "2024-01-01", "permitted_kw": kw, "permitted_windows": [window]}
    if permits.problems(attrs):
        assert check_subject("closed_plant", attrs)


def test_a_permit_that_rules_cannot_use_is_told_as_they_would(tmp_path: Path) -> None:
    window = {"from": "2024-01-01", "to": "2024-02-01", "hours": ["T0700", "18:00"], "kw": 5}
    attrs = json.dumps({"closed_on": "2023-12-01", "permitted_windows": [window]})
    row = {"subject_id": "s", "kind": "closed_plant", "place": "1", "timezone": "UTC"}
    path = write(tmp_path / "s.ndjson", json.dumps(row | {"attrs": attrs}))
    (problem,) = problems(read_subjects, path)
    assert "permitted_windows[0].hours" in problem
    assert 'wanted ["07:00", "18:00"]' in problem


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"from": "soon"}, "from is not a date"),
        ({"to": "2023-01-01"}, "to is before from"),
        ({"days": [0]}, "days is not valid"),
        ({"days": []}, "days is not valid"),
        ({"days": [True]}, "days is not valid"),
        ({"hours": ["7:00", "18:00"]}, "hours is not valid"),
        ({"hours": ["07:00"]}, "hours is not valid"),
        ({"hours": ["07:00", "07:00"]}, "hours is not valid"),
        ({"kw": "5"}, "kw is not valid"),
        ({"kW": 5}, "kW is not known"),
    ],
)
def test_permitted_windows(tmp_path: Path, change: dict[str, object], message: str) -> None:
    window = {"from": "2024-01-01", "to": "2024-02-01", "days": [1], "hours": ["07:00", "24:00"],
              "kw": 5} | change  # fmt: skip
    attrs = json.dumps({"closed_on": "2023-12-01", "permitted_windows": [window]})
    row = {"subject_id": "s", "kind": "closed_plant", "place": "1", "timezone": "UTC"}
    path = write(tmp_path / "s.ndjson", json.dumps(row | {"attrs": attrs}))
    (problem,) = problems(read_subjects, path)
    assert f"permitted_windows[0].{message}" in problem


def test_all_problems_of_subjects_at_once(tmp_path: Path) -> None:
    path = write(
        tmp_path / "s.csv",
        SUBJECTS.replace("attrs", "attrs,lat,lon")
        + "s1,home,33x,Asia/Shangai,{},91,0\n"
        + 's2,,33,UTC,"{\n""a"": 1}",0,180.5\n'
        + "s1,home,33,,{},,\n",
    )
    assert problems(read_subjects, path) == [
        "row 1: place is not a place code: got '33x'; wanted digits",
        "row 1: timezone is not known: got 'Asia/Shangai'; wanted an IANA name, e.g. Asia/Shanghai",
        "row 1: lat is not valid: got '91'; wanted −90 … 90",
        "row 2: kind is empty: wanted some text",
        "row 2: lon is not valid: got '180.5'; wanted −180 … 180",
        "row 3: subject_id is there already, in row 1: got 's1'",
        "row 3: timezone is empty: wanted some text",
    ]


def test_places(tmp_path: Path) -> None:
    path = write(
        tmp_path / "p.csv", "place,parent,name,level\n330106,,西湖,county\n330106001,330106,,\n"
    )
    places = read_places(path)
    assert places.parent.to_pylist() == ["", "330106"]
    assert places.label.to_pylist() == ["西湖", ""]
    path = write(tmp_path / "p.csv", "place,parent\n1,1\n1,x\n")
    assert problems(read_places, path) == [
        "row 1: parent is the place itself: got '1'; wanted a node above",
        "row 2: place is there already, in row 1: got '1'",
        "row 2: parent is not a place code: got 'x'; wanted digits",
    ]


def _workbook(path: Path, rows: list[list[object]]) -> str:
    book = openpyxl.Workbook()
    assert book.active is not None
    for row in rows:
        book.active.append(row)
    book.save(path)
    return str(path)


@pytest.mark.parametrize("extension", ["csv", "xlsx"])
def test_workers(tmp_path: Path, extension: str) -> None:
    rows: list[list[object]] = [
        ["worker_id", "name", "grids", "phone", "role", "stand_in"],
        ["w1", "王芳", "330106001001001;330106001001002", 13800000001, "gridworker", "w2"],
        ["w2", "Li Na", 330106001001003, None, "leader", None],
    ]
    if extension == "xlsx":
        path = _workbook(tmp_path / "w.xlsx", rows)
    else:
        lines = [",".join("" if c is None else str(c) for c in row) for row in rows]
        path = write(tmp_path / "w.csv", "\n".join(lines))
    w = read_workers(path)
    assert w.grids.to_pylist() == [["330106001001001", "330106001001002"], ["330106001001003"]]
    assert w.phone.to_pylist() == ["13800000001", ""]
    assert w.person.to_pylist() == ["王芳", "Li Na"]
    assert w.stand_in.to_pylist() == ["w2", ""]
    assert w.shift.to_pylist() == ["", ""]


def test_problems_of_workers(tmp_path: Path) -> None:
    path = write(tmp_path / "w.csv", "worker_id,name,grids,stand_in\nw1,,a1,w1\nw2,B,12,w9\n")
    assert problems(read_workers, path) == [
        "row 1: name is empty: wanted some text",
        "row 1: grids has what is no place code: got 'a1'; wanted digits",
        "row 1: stand_in is the worker: got 'w1'; wanted somebody else",
        "row 2: stand_in is not a worker of this file: got 'w9'; wanted a worker_id",
    ]


def test_contacts(tmp_path: Path) -> None:
    text = "subject_id,order,relation,phone,consent\ns1,1,女儿,138,是\ns1,2,son,139,no\ns2,1,son,137,\n"
    c = read_contacts(write(tmp_path / "c.csv", text))
    assert c.order.tolist() == [1, 2, 1]
    assert c.consent.tolist() == [True, False, False]
    text = "subject_id,order,relation,phone,consent\ns1,0,son,,maybe\ns1,0,son,1,yes\n"
    assert problems(read_contacts, write(tmp_path / "c.csv", text)) == [
        "row 1: order is not valid: got '0'; wanted a whole number, 1 or more",
        "row 1: phone is empty: wanted some text",
        "row 1: consent is not valid: got 'maybe'; wanted true or false",
        "row 2: subject_id and order is there already, in row 1: got 's1'",
        "row 2: order is not valid: got '0'; wanted a whole number, 1 or more",
    ]


@pytest.mark.parametrize("extension", ["parquet", "arrow", "ndjson", "csv.gz", "xlsx"])
def test_tables_of_every_format(tmp_path: Path, extension: str) -> None:
    columns: dict[str, list[object]] = {
        "meter_id": ["m1"], "subject_id": ["s1"], "utility": ["water"], "kind": ["register"],
        "unit": ["l"], "interval_s": [3600], "multiplier": [1.0], "stamp": ["end"],
    }  # fmt: skip
    path = str(tmp_path / f"m.{extension}")
    if extension == "xlsx":
        _workbook(Path(path), [list(columns), [v[0] for v in columns.values()]])
    else:
        write_table(path, pa.table(columns))
    assert read_meters(path).interval_s.tolist() == [3600]


def test_half_a_table_is_none(tmp_path: Path) -> None:
    import gzip

    path = tmp_path / "m.csv.gz"
    path.write_bytes(gzip.compress((METERS + "m1,s1,water,register,l,1,1,end\n").encode())[:-9])
    with pytest.raises(InputError, match="breaks off"):
        read_meters(str(path))


def test_bad_workbooks(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_workers(str(tmp_path / "w.xlsx"))
    with pytest.raises(InputError, match="is not xlsx"):
        read_workers(write(tmp_path / "w.xlsx", "worker_id,name,grids\n"))
    with pytest.raises(InputError, match="is empty"):
        read_workers(_workbook(tmp_path / "e.xlsx", []))
