"""Simulated towns: the truth is in the data, subjects are independent, files are the public ones."""

import dataclasses
import json
import re
from datetime import date

import numpy as np
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from engine.cli.simulate import simulate
from engine.simulate import Incident, Rates, SimulationError, Town, TownConfig, compare, load_config
from engine.simulate.homes import deposit
from engine.simulate.load import generate_load

NS = 1_000_000_000
QUIET = Rates(
    **{
        f.name: 0.0
        for f in dataclasses.fields(Rates)
        if f.name not in ("visit_days", "declared_share")
    }
)
SMALL = TownConfig(
    streets=1,
    communities_per_street=1,
    grids_per_community=2,
    elderly=4,
    homes=2,
    rentals=2,
    vacant=1,
    rates=QUIET,
)


def small(days=6, *, seed=3, incidents=(), **changes):
    return Town(dataclasses.replace(SMALL, incidents=tuple(incidents), **changes)).generate(
        days, seed
    )


def rows_of(data, meter_id):
    index = [m.meter_id for m in data.meters].index(meter_id)
    mine = data.meter == index
    return data.ts_ns[mine], data.value[mine], data.arrival_ns[mine]


def amounts(data, meter_id):
    """Return (end of slot in hours since the first midnight, amount) of a clean register."""
    ts, value, _ = rows_of(data, meter_id)
    return (ts[1:] - data.start_ns) / NS / 3600, np.diff(value)


@pytest.fixture(scope="module")
def demo():
    return Town().generate(50, 7)


def test_same_seed_same_town_other_seed_other_town():
    one, again, other = small(), small(), small(seed=4)
    assert np.array_equal(one.value, again.value)
    assert np.array_equal(one.meter, again.meter)
    assert one.truth == again.truth
    assert not np.array_equal(one.value[:1000], other.value[:1000])


def test_adding_a_home_changes_no_other_home():
    few, more = small(), small(elderly=5)
    for meter in few.meters:
        for ours, theirs in zip(
            rows_of(few, meter.meter_id), rows_of(more, meter.meter_id), strict=True
        ):
            assert np.array_equal(ours, theirs), meter.meter_id


def test_more_days_begin_with_the_same_days():
    short, long = small(4), small(7)
    ts, value, _ = rows_of(short, "elder-0002-e")
    ts_long, value_long, _ = rows_of(long, "elder-0002-e")
    assert np.array_equal(ts, ts_long[: len(ts)])
    assert np.array_equal(value, value_long[: len(value)])


def test_deposit_equals_a_plain_loop():
    rng = np.random.default_rng(1)
    start, length, amount = (
        rng.uniform(-500, 9000, 60),
        rng.uniform(1, 4000, 60),
        rng.uniform(0, 5, 60),
    )
    expected = np.zeros(12)
    for s, d, a in zip(start, length, amount, strict=True):
        for slot in range(12):
            overlap = max(0.0, min(s + d, (slot + 1) * 700) - max(s, slot * 700))
            expected[slot] += a * overlap / d
    assert np.allclose(deposit(start, length, amount, 12, 700), expected)


def test_ordinary_use_is_what_the_field_reports(demo):
    """DOMAIN.md 1: an elderly person living alone uses 1.5–4 kWh a day; vacant: < 20 kWh a year."""
    days = demo.days

    def daily(prefix):
        found = []
        for meter in demo.meters:
            if meter.subject_id.startswith(prefix) and meter.utility == "electricity":
                ts, value, _ = rows_of(demo, meter.meter_id)
                used = np.diff(value[np.argsort(ts, kind="stable")])
                found.append(used[(used >= 0) & (used < 50)].sum() / days)
        return np.array(found)

    elderly = daily("elder")
    assert 1.4 < np.quantile(elderly, 0.05) < np.quantile(elderly, 0.95) < 4.2
    assert daily("vacant").max() * 365 < 20
    assert np.median(daily("home")) > 1.4 * np.median(elderly)


def test_arrival_is_the_order_of_rows_and_mostly_soon(demo):
    assert (np.diff(demo.arrival_ns) >= 0).all()
    late = demo.arrival_ns - demo.ts_ns > 3600 * NS
    assert 0 < late.mean() < 0.05


def test_collapse_ends_all_signs_of_life():
    data = small(6, incidents=[Incident("collapse", "elder-0001", 3.5)])
    hour, water = amounts(data, "elder-0001-w")
    after = hour > 3.5 * 24 + 1
    assert water[after].max() == 0
    assert water[~after].sum() > 100
    line = next(t for t in data.truth if t["kind"] == "collapse")
    assert line["subject_id"] == "elder-0001"
    assert line["details"]["last_sign"] <= line["from"]
    _, power = amounts(data, "elder-0001-e")
    assert power[-96:].sum() > 0.3  # the fridge goes on


def test_a_visit_empties_the_home_and_is_declared_beforehand():
    visit = Incident("visit", "elder-0002", 2.4, 60, {"declared": True})
    data = small(6, incidents=[visit])
    hour, water = amounts(data, "elder-0002-w")
    inside = (hour > 2.4 * 24 + 1) & (hour <= 2.4 * 24 + 60)
    assert water[inside].max() == 0
    event = next(e for e in data.events if e.kind == "absence")
    assert event.subject_id == "elder-0002"
    assert event.ts_s < 2.4 * 86_400
    assert event.attrs["from"] == next(t for t in data.truth if t["kind"] == "visit")["from"]


def test_power_cut_silences_electricity_and_not_water():
    data = small(4, incidents=[Incident("power_cut", "330199001001", 2.5, 3)])
    for subject in ("elder-0001", "home-0002"):
        hour, used = amounts(data, f"{subject}-e")
        cut = (hour > 60.01) & (hour <= 63)
        assert not cut.any()
        assert used[np.argmax(hour > 63)] < 0.2  # nothing was used meanwhile
        hour_w, _ = amounts(data, f"{subject}-w")
        assert ((hour_w > 60) & (hour_w <= 63)).sum() == 3


def test_dead_concentrator_fills_in_later():
    name = "conc-330199001001-1"
    data = small(4, incidents=[Incident("dead_concentrator", name, 2.25, 9)])
    reached = [m.meter_id for m in data.meters if m.concentrator == name]
    assert reached
    for meter_id in reached:
        ts, _, arrival = rows_of(data, meter_id)
        hour = (ts - data.start_ns) / NS / 3600
        inside = (hour > 54) & (hour <= 63)
        assert inside.sum() == 36
        assert (arrival[inside] - data.start_ns).min() / NS / 3600 >= 63
    assert (
        next(t for t in data.truth if t["kind"] == "dead_concentrator")["details"]["concentrator"]
        == name
    )


def test_meter_faults_show_in_the_rows():
    data = small(
        5,
        incidents=[
            Incident("meter_dead", "elder-0001-e", 3),
            Incident("register_reset", "elder-0002-w", 2.5),
            Incident("glitch", "elder-0003-w", 2.5),
            Incident("meter_stuck", "home-0001-e", 1, 48),
            Incident("clock_ahead", "home-0002-e", 2, 4, {"ahead_days": 9}),
        ],
    )
    ts, _, _ = rows_of(data, "elder-0001-e")
    assert (ts.max() - data.start_ns) / NS / 86_400 < 3
    _, value, _ = rows_of(data, "elder-0002-w")
    assert (np.diff(value) < 0).sum() == 1
    _, value, _ = rows_of(data, "elder-0003-w")
    assert np.sort(np.abs(np.diff(value)))[-2] >= 3000
    hour, used = amounts(data, "home-0001-e")
    assert used[(hour > 25) & (hour < 71)].max() == 0
    ts, _, _ = rows_of(data, "home-0002-e")
    assert ((ts - data.start_ns) / NS > 6 * 86_400).sum() == 16


def test_closed_plant_runs_at_night_and_lorries_come():
    run = Incident("covert_run", "closed-0001", 5.92, 7, {"share": 0.25})
    data = small(8, closed_on_day=3, incidents=[run])
    hour, used = amounts(data, "closed-0001-e")
    night = (hour > 5.92 * 24 + 1) & (hour < 5.92 * 24 + 6)
    night_before = (hour > 4.92 * 24 + 1) & (hour < 4.92 * 24 + 6)
    assert used[night].mean() > 3 * used[night_before].mean()
    lorries = [e for e in data.events if e.kind == "vehicle_gate" and e.subject_id == "closed-0001"]
    assert any(
        5.92 - 2 / 24 < e.ts_s / 86_400 < 5.92 and e.attrs["class"] == "hazmat" for e in lorries
    )


def test_group_let_rental_uses_several_times_more():
    data = small(12, incidents=[Incident("over_occupied", "rental-0002", 6, 24 * 6, {"people": 8})])
    hour, used = amounts(data, "rental-0002-e")
    assert used[hour > 150].mean() > 2 * used[hour <= 144].mean()
    assert used[hour > 150].mean() * 96 > 10  # kWh a day


def test_the_demo_town_is_quick_and_complete(demo):
    assert (
        110 <= len([s for s in demo.subjects if s.subject_id.startswith(("elder", "home"))]) <= 125
    )
    assert all(s.attrs["simulated"] is True for s in demo.subjects)
    kinds = {t["kind"] for t in demo.truth}
    assert {i.kind for i in TownConfig.demo().incidents} <= kinds
    assert demo.live_from_ns == demo.start_ns + 45 * 86_400 * NS


def test_files_are_the_public_ones(tmp_path):
    data = small(3, incidents=[Incident("collapse", "elder-0001", 1.4)])
    paths = data.write(tmp_path / "csv", "csv.gz")
    readings = pa_csv.read_csv(paths["readings"])
    assert readings.column_names == ["meter_id", "ts", "value"]
    assert len(readings) == len(data.value)
    assert readings["meter_id"][0].as_py() == data.meters[data.meter[0]].meter_id
    subjects = pa_csv.read_csv(paths["subjects"]).to_pylist()
    assert json.loads(subjects[0]["attrs"])["simulated"] is True
    truth = [json.loads(line) for line in paths["truth"].read_text(encoding="utf-8").splitlines()]
    assert truth == data.truth
    first = paths["readings"].read_bytes()
    assert data.write(tmp_path / "again", "csv.gz")["readings"].read_bytes() == first
    table = pq.read_table(data.write(tmp_path / "pq", "parquet")["readings"])
    assert table["ts"].cast("int64").to_numpy()[5] == data.ts_ns[5]
    # local time without offset: the town is eight hours ahead of UTC
    local = readings["ts"].cast("int64").to_numpy()
    assert (local * NS - data.ts_ns == 8 * 3600 * NS).all()


def test_distributions_are_near_the_real_ones(data):
    town = Town(dataclasses.replace(SMALL, homes=30, elderly=0, rates=Rates(glitch=0))).generate(
        60, 3
    )
    pairs = compare.compare(town, data)
    assert [real.name.split()[0] for real, _ in pairs] == [
        "homes_water",
        "homes_power",
        "plant_power",
    ]
    water, power, _ = (simulated for _, simulated in pairs)
    real_water, real_power, _ = (real for real, _ in pairs)
    assert 0.5 < water.daily[1] / real_water.daily[1] < 2
    assert 0.3 < power.daily[1] / real_power.daily[1] < 2
    assert abs(water.active - real_water.active) < 0.15
    assert water.apart(real_water) < 0.2
    assert "homes_water (real)" in compare.table(pairs)


def test_register_levels_become_hours():
    """By hand: 10 l between 00:30 and 01:30 are 5 in each hour; a gap of 3 h says nothing."""
    ts = np.array([0, 1800, 5400, 7200, 18_000])
    level = np.array([100.0, 100.0, 110.0, 112.0, 150.0])
    hours = compare.hourly_of_registers(np.zeros(5, np.int32), ts, level, 0, 5)
    assert hours[:2, 0].tolist() == [5.0, 7.0]
    assert np.isnan(hours[2:, 0]).all()


def test_load_writes_every_meter_in_every_slot(tmp_path):
    for order in ("file", "random"):
        paths = generate_load(tmp_path / order, 1000, 5, 0.1, order=order)
        table = pq.read_table(paths["readings"])
        assert len(table) == 5000
        ids = table["meter_id"].to_pylist()
        assert (ids[:1000] == sorted(ids[:1000])) == (order == "file")
        assert len(set(ids[1000:2000])) == 1000
        frame = table.to_pandas()
        assert (frame.groupby("meter_id").value.diff().dropna() >= 0).all()
        kinds = pq.read_table(paths["subjects"])["kind"].to_pylist()
        assert kinds.count("elderly_alone") == 100
    same = [
        pq.read_table(tmp_path / o / "readings.parquet").sort_by("value")
        for o in ("file", "random")
    ]
    assert same[0]["value"].equals(same[1]["value"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("elderli: 3", "unknown key 'elderli'; did you mean \"elderly\"? known: "),
        ("elderly: many", "elderly: wanted a whole number, got 'many'"),
        ("rates: {visit: [1]}", "rates: visit: wanted a number, got [1]"),
        (
            "incidents: [{kind: flood, target: x, day: 1}]",
            "incidents[0]: unknown incident kind 'flood'; known: ",
        ),
        (
            "incidents: [{kind: colapse, target: x, day: 1}]",
            "unknown incident kind 'colapse'; did you mean \"collapse\"?",
        ),
        ("incidents: [{kind: collapse}]", "incidents[0]: wanted target, day, too"),
        ("rates: {visits: 1}", "rates: unknown key 'visits'; did you mean \"visit\"?"),
        ("start: soon", "start: wanted a day as 2026-06-01, got 'soon'"),
        ("streets: 0", "streets must be 1..999, got 0"),
        ("- 1", "wanted a mapping, got [1]"),
        ("a: [", "cannot read"),
    ],
)
def test_config_errors_name_the_key(tmp_path, text, message):
    path = tmp_path / "town.yaml"
    path.write_text(text)
    with pytest.raises(SimulationError, match=re.escape(message)):
        load_config(path)


def test_config_from_yaml(tmp_path):
    path = tmp_path / "town.yaml"
    path.write_text(
        "elderly: 5\nstart: 2026-06-01\nlive_from_day: 2\nrates: {visit: 3}\n"
        "incidents:\n  - {kind: visit, target: elder-0001, day: 1, hours: 30, details: {declared: true}}\n"
    )
    config = load_config(path)
    assert (config.elderly, config.start, config.rates.visit) == (5, date(2026, 6, 1), 3.0)
    assert config.incidents[0].details == {"declared": True}


def test_incident_of_nobody_and_moving_clocks_are_refused():
    with pytest.raises(
        SimulationError,
        match="no subject, meter, concentrator or place 'elder-9999' in this town; did you mean",
    ):
        small(2, incidents=[Incident("collapse", "elder-9999", 1)])
    with pytest.raises(SimulationError, match='did you mean "Europe/Madrid"'):
        small(2, timezone="Europe/Madird")
    with pytest.raises(SimulationError, match="changes its clocks"):
        small(60, timezone="Europe/Madrid", start=date(2026, 3, 1))


def test_command_prints_paths_only(tmp_path):
    config = tmp_path / "town.yaml"
    config.write_text("{elderly: 2, homes: 0, rentals: 0, vacant: 0, plants: 0, closed_plants: 0}")
    result = CliRunner().invoke(
        simulate, ["--out", str(tmp_path / "o"), "--config", str(config), "--days", "2"]
    )
    assert result.exit_code == 0, result.output
    names = [line.split("\t")[0] for line in result.stdout.splitlines()]
    assert names[0] == "readings"
    assert "truth" in names
    config.write_text("{elderly: -2}")
    result = CliRunner().invoke(simulate, ["--out", str(tmp_path / "o"), "--config", str(config)])
    assert result.exit_code == 3
    assert "elderly must be >= 0" in result.stderr.replace("\n", " ")


def test_tables_without_rows_still_say_their_columns(demo, tmp_path):
    paths = dataclasses.replace(demo, events=[], contacts=[]).write(
        tmp_path, readings_format="parquet"
    )
    heads = {name: paths[name].read_text().split("\n", 1)[0] for name in ("events", "contacts")}
    assert heads["events"].replace('"', "").startswith("event_id,ts,kind")
    assert heads["contacts"].replace('"', "").startswith("subject_id,order,relation,phone")
