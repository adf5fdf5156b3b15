"""The Python API: the same answers as the command line, for whatever tables people have."""

import json
import subprocess
import sys
import warnings
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pytest

from connectors.errors import InputError
from detectors.base import DetectorError, lookup, names
from engine import plots
from engine.api import Replayed, Scores, replay, score, tune
from engine.config import Config
from engine.frames import FrameError, kind_of, to_arrow
from engine.online import Online
from engine.plots import PlotError
from engine.replay import Replay, ReplayOptions
from engine.score import OrderWarning, ScoreError, score_file
from engine.simulate import Incident, Town, TownConfig
from engine.tuning.search import TuneError


def load(days: int = 40) -> pd.Series:
    hours = pd.date_range("2024-01-01", periods=24 * days, freq="h")
    rng = np.random.default_rng(3)
    values = 2 + np.sin(np.arange(len(hours)) / 24 * 2 * np.pi) + rng.normal(0, 0.1, len(hours))
    values[700] = 30.0
    return pd.Series(values, hours, name="kwh")


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    config = TownConfig(
        elderly=6, homes=0, rentals=0, vacant=0, plants=0, closed_plants=0, feeds=False,
        weather=False, incidents=(Incident("collapse", "elder-0003", 20.4, 90),),
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("town")
    return dict(Town(config).generate(days=24, seed=7).write(folder))


# -- score ----------------------------------------------------------------------------------------


def test_score_says_what_the_command_line_says(tmp_path: Path) -> None:
    series = load()
    path = tmp_path / "series.csv"
    series.rename("value").rename_axis("timestamp").to_csv(path)
    score_file("seasonal", {}, "value", path, tmp_path / "scores.csv")
    want = pd.read_csv(tmp_path / "scores.csv").score.to_numpy()
    for data in (series, series.to_frame("value"), path, str(path)):
        np.testing.assert_allclose(score(data, "seasonal")["score"], want, rtol=1e-12)


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow"])
def test_what_goes_in_comes_out(kind: str) -> None:
    frame = load().rename("value").rename_axis("ts").reset_index()
    data = {"pandas": frame, "polars": pl.from_pandas(frame), "arrow": pa.Table.from_pandas(frame)}
    result = score(data[kind], "seasonal")
    out = result.to_frame()
    assert kind_of(out) == kind
    assert len(out) == len(frame)
    assert str(result.top(1)["ts"][0]).startswith("2024-01-30 04:00:00")
    for other in ("pandas", "polars", "arrow"):
        assert kind_of(result.to_frame(other)) == other


def test_many_series_are_scored_apart_and_stay_in_order() -> None:
    one = load().rename("value").rename_axis("ts").reset_index()
    other = one.assign(value=one.value * 3)
    both = pd.concat([one.assign(meter_id="a"), other.assign(meter_id="b")])
    both = both.sort_values(["ts", "meter_id"], kind="stable").reset_index(drop=True)
    result = score(both, "seasonal", by="meter_id")
    out = result.to_frame()
    assert out.meter_id.tolist() == both.meter_id.tolist()
    np.testing.assert_array_equal(out.value, both.value)
    alone = score(one, "seasonal")["score"]
    np.testing.assert_array_equal(out[out.meter_id == "a"].score, alone)


def test_stamps_with_a_zone_are_read_on_its_clock() -> None:
    series = load()
    there = series.tz_localize("Asia/Shanghai")
    np.testing.assert_array_equal(
        score(series, "profile")["score"], score(there, "profile")["score"]
    )


def test_a_river_model_is_a_detector() -> None:
    from river import anomaly, preprocessing

    named = score(load(60), "river:HalfSpaceTrees", n_trees=5)
    made = score(load(60), anomaly.HalfSpaceTrees(n_trees=5, seed=0))
    piped = score(
        load(60), preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(n_trees=5, seed=0)
    )
    for result in (named, made, piped):
        assert np.isfinite(result["score"]).sum() > 1_000
    with pytest.raises(DetectorError, match="wanted a river model"):
        score(load(), object())


def test_errors_say_what_was_wanted() -> None:
    series = load()
    with pytest.raises(ScoreError, match="no column 'meter'"):
        score(series, "seasonal", by="meter")
    with pytest.raises(DetectorError, match="unknown parameter 'warmup'"):
        score(series, "seasonal", warmup=3)
    with pytest.raises(FrameError, match="got list; wanted a DataFrame"):
        score([1, 2, 3], "seasonal")
    with pytest.raises(FrameError, match="wanted pandas, polars or arrow"):
        score(series, "seasonal").to_frame("excel")  # type: ignore[arg-type]


def test_errors_name_what_python_calls_it() -> None:
    frame = pd.DataFrame({"ts": load().index, "kwh": load().to_numpy(), "v": 1.0})
    with pytest.raises(
        ScoreError, match=r"no column 'value'; there are kwh, v: give one as value=$"
    ):
        score(frame, "seasonal")
    with pytest.raises(ScoreError, match=r"no column 'home'; there are ts, kwh, v$"):
        score(frame, "seasonal", by="home")
    with pytest.raises(DetectorError, match="'sesonal'; did you mean 'seasonal'"):
        score(load(), "sesonal")
    for bare in (pd.Series([1.0, 2.0]), pl.Series([1.0, 2.0])):
        with pytest.raises(ScoreError, match="without stamps; give it a DatetimeIndex"):
            score(bare, "seasonal")
    with pytest.raises(TuneError, match="unknown option 'budget'; did you mean 'budgets'"):
        tune("elderly-silence", "r.csv", "m.csv", "s.csv", budget=12)


def test_a_table_is_called_what_it_was_given_as() -> None:
    bad = pd.DataFrame({"meter": ["m"], "when": ["2026-01-01"]})
    with pytest.raises(InputError) as caught:
        replay(bad, pd.DataFrame({"id": ["m"]}), pd.DataFrame({"id": ["s"]}))
    assert "table " in str(caught.value)
    assert ".arrow" not in str(caught.value)
    assert "/gridwarden-" not in str(caught.value)


def test_rows_out_of_order_are_scored_in_the_order_of_time() -> None:
    series = load()
    wild = series.sample(frac=1, random_state=5)
    with pytest.warns(OrderWarning, match="rows are more than an hour earlier than one before"):
        result = score(wild, "seasonal")
    found = dict(zip(wild.index, result["score"], strict=True))
    np.testing.assert_array_equal(
        [found[t] for t in series.index], score(series, "seasonal")["score"]
    )
    assert result["value"].tolist() == wild.tolist()
    above, below = result.plot()
    for drawn in (above, below):
        assert (np.diff(drawn.lines[0].get_xdata().astype("int64")) >= 0).all()


def test_clocks_set_back_are_no_disorder() -> None:
    series = load()
    index = series.index.to_numpy().copy()
    index[300:] -= np.timedelta64(1, "h")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        score(pd.Series(series.to_numpy(), pd.DatetimeIndex(index)), "seasonal")


def test_one_alert_is_drawn_in_days() -> None:
    raised = np.array(["2026-03-02T08:00"], "datetime64[ns]")
    axes = plots.timeline([raised], ["elderly-silence"], [["red"]])
    assert axes.get_title() == "1 alert"
    low, high = axes.get_xlim()
    assert high - low == pytest.approx(2)  # days


def test_plots_draw_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    result = score(load(), "seasonal")
    above, below = result.plot()
    assert len(above.lines[0].get_xdata()) == len(result)
    assert below.get_ylim() == (0, 1)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(PlotError, match=r"gridwarden\[workbench\]"):
        result.plot()


# -- the river view -------------------------------------------------------------------------------


def online_names() -> Iterator[str]:
    return (name for name in names() if lookup(name).grain == "subject")


@pytest.mark.parametrize("name", list(online_names()))
def test_every_detector_one_reading_at_a_time_says_what_it_says_in_blocks(name: str) -> None:
    kind = lookup(name)
    step = kind.slot_s or 3600
    n = 12 * 86_400 // step if step >= 3600 else 400
    rng = np.random.default_rng(1)
    values = rng.gamma(2.0, 0.3, n).round(4)
    start = datetime.fromisoformat("2024-01-01")
    model = Online(name, interval_s=step)
    said = []
    for i, value in enumerate(values.tolist()):
        x = {"ts": start + timedelta(seconds=i * step), "value": value}
        if i % 50 == 49:
            scored = model.score_one(x)
            assert scored == model.score_one(x) or np.isnan(scored), "scoring changed the detector"
            said.append((i, scored))
        model.learn_one(x)
    stamps = pd.date_range(start, periods=n, freq=f"{step}s")
    whole = score(pd.Series(values, stamps), name)["score"]
    for i, scored in said:
        np.testing.assert_allclose(scored, whole[i], rtol=1e-6, equal_nan=True)


def test_the_view_is_a_river_model() -> None:
    from river import anomaly, base

    model = Online("seasonal", interval_s=3600, unready=0.5, warm_up=3)
    assert isinstance(model, base.AnomalyDetector)
    fresh = model.clone()
    assert isinstance(fresh, Online)
    assert fresh.params == {"warm_up": 3}
    gate = anomaly.ThresholdFilter(model, threshold=0.8)
    found = []
    for i, value in enumerate(load().tolist()):
        x = {"value": value}
        if gate.classify(gate.score_one(x)):
            found.append(i)
        gate.learn_one(x)
    assert 700 in found
    assert len(found) < 30


def test_slots_left_out_are_missing_and_steps_back_are_refused() -> None:
    model = Online("seasonal", interval_s=3600, warm_up=3)
    for i in range(24 * 10):
        if not 100 <= i < 130:
            model.learn_one(
                {
                    "ts": datetime.fromisoformat("2024-01-01") + timedelta(hours=i),
                    "value": 1.0 + i % 24,
                }
            )
    with pytest.raises(DetectorError, match="learned already"):
        model.learn_one({"ts": datetime.fromisoformat("2024-01-02"), "value": 1.0})
    with pytest.raises(DetectorError, match="unknown key 'vlaue'"):
        model.score_one({"vlaue": 1.0})


# -- replay ---------------------------------------------------------------------------------------


def frames(town: dict[str, Path]) -> dict[str, pd.DataFrame]:
    kept = {}
    for name in ("readings", "events", "meters", "subjects"):
        kept[name] = pd.read_csv(town[name], dtype={"place": str})
    return kept


def test_online_says_what_a_reading_is() -> None:
    reading: Any = 0.3
    with pytest.raises(DetectorError, match="readings are dicts"):
        Online("seasonal").learn_one(reading)


def test_replay_of_frames_gives_the_bytes_of_the_files(town: dict[str, Path]) -> None:
    options = ReplayOptions(
        readings=(str(town["readings"]),), events=(str(town["events"]),),
        meters=str(town["meters"]), subjects=str(town["subjects"]),
    )  # fmt: skip
    want = [line.line() for line in Replay(options, Config(), keep=True).run().alerts]
    assert want
    table = frames(town)
    polars = {name: pl.from_pandas(frame) for name, frame in table.items()}
    for given in (town, table, polars):
        done = replay(given["readings"], given["meters"], given["subjects"], events=given["events"])
        assert [line.line() for line in done.lines] == want
        assert done.reconciled


def test_results_of_a_replay(town: dict[str, Path], tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    done = replay(
        frames(town)["readings"], town["meters"], town["subjects"],
        budgets={"elderly-silence": 24}, report=report,
    )  # fmt: skip
    assert isinstance(done, Replayed)
    alerts = done.to_frame()
    assert alerts.alert_id.is_unique
    mine = alerts[(alerts.subject_id == "elder-0003") & (alerts.rule == "elderly-silence")]
    assert len(mine) >= 1
    assert (mine.raised_at > mine.onset).all()
    budgets = done.to_frame(what="budgets").set_index("rule")
    assert budgets.asked["elderly-silence"] == 24
    rows = done.to_frame("polars", what="rows")
    assert rows["rows"].sum() == len(frames(town)["readings"])
    changes = done.to_frame("arrow", what="changes")
    assert json.loads(changes["facts"][0].as_py())
    assert "elder-0003" in report.read_text("utf-8")
    axes = done.plot()
    assert [t.get_text() for t in axes.get_yticklabels()] == sorted(set(alerts.rule))
    with pytest.raises(FrameError, match="wanted one of alerts"):
        done.to_frame(what="people")


def test_attributes_may_be_dicts() -> None:
    frame = pd.DataFrame({"subject_id": [1, 2], "attrs": [{"a": 1, "b": None}, {}]})
    assert to_arrow(frame)["attrs"].to_pylist() == ['{"a": 1}', "{}"]
    assert to_arrow(pl.DataFrame({"attrs": [{"a": 1, "b": "x"}]}))["attrs"].to_pylist() == [
        '{"a": 1, "b": "x"}'
    ]


def test_importing_the_packages_is_light() -> None:
    code = (
        "import sys, engine, detectors, rules, connectors; "
        "heavy = {'numba', 'river', 'pandas', 'polars', 'matplotlib', 'optuna', 'pyarrow'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_score_knows_itself() -> None:
    result = score(load(), "seasonal")
    assert isinstance(result, Scores)
    assert repr(result).startswith("Scores(seasonal: 960 rows, ")
