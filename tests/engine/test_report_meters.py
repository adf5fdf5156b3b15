"""The curve beside an alert: of the meter that the alert speaks of, in its unit, as long as told."""

from types import SimpleNamespace

import numpy as np
import pytest

from engine.about import Threshold, threshold_of, utilities_of
from engine.cli.main import main
from engine.config import Config
from engine.dryrun_page import _bars
from engine.inputs import load_registry
from engine.report import render
from engine.report_charts import Curve, load_curve
from engine.reporting import LONGEST_NS, curves_of
from rules.alerts import stamp
from rules.model import SignalUse
from tests.engine.test_report import HOUR, T0, ZONE, alert, summary

HOURS = 24 * 40
METERS = """meter_id,subject_id,utility,kind,unit,interval_s
e,home-1,electricity,interval,kWh,900
w,home-1,water,interval,l,3600
g,home-1,gas,interval,m3,3600
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Return (readings, registry) of a home that uses 4 kWh, 30 l and 0.5 m³ an hour, always."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "meters.csv").write_text(METERS)
    (folder / "subjects.csv").write_text(
        'subject_id,kind,place,timezone,attrs\nhome-1,home,330199001001001,Asia/Shanghai,"{}"\n'
    )
    rows = ["meter_id,ts,value"]
    for hour in range(HOURS):
        at = T0 + hour * HOUR
        rows += [f"e,{stamp(at + i * HOUR // 4)},1" for i in range(4)]
        rows += [f"w,{stamp(at)},30", f"g,{stamp(at)},0.5"]
    (folder / "readings.csv").write_text("\n".join(rows) + "\n")
    registry = load_registry(str(folder / "meters.csv"), str(folder / "subjects.csv"), Config())
    return [str(folder / "readings.csv")], registry


class Says:
    """A rule that listens to some utilities."""

    name = "elderly-silence"

    def __init__(self, *utilities):
        self.signals = {"s": SignalUse("seasonal", utilities=utilities)}


def raised(facts, hour=24 * 10, lasts=7):
    onset = T0 + hour * HOUR
    return alert(
        seq=1, hour=hour, facts=facts, raised_at=stamp(onset + lasts * HOUR), at=stamp(onset)
    )


@pytest.mark.parametrize(
    ("facts", "rules", "unit", "use", "line"),
    [
        ({"channel": 1, "threshold": 15}, (), "l / h", 30, 15),
        ({"channel": 0, "threshold": 2}, (), "kWh / h", 4, 2),
        ({"channel": 2, "threshold": 0.2}, (), "m³ / h", 0.5, 0.2),
        ({"last_channel": 1, "threshold_kwh": 0.1, "threshold_l": 1}, (), "l / h", 30, 1),
        # a silence looks at the highest slot of an hour: 0.1 kWh in a quarter is 0.4 kWh / h
        ({"last_channel": 0, "threshold_kwh": 0.1, "threshold_l": 1}, (), "kWh / h", 4, 0.4),
        ({"last_channel": -1, "threshold_l": 1}, (), "l / h", 30, 1),
        ({"usual": 3}, (Says("water"),), "l / h", 30, None),
        ({"usual": 3}, (), "kWh / h", 4, None),
    ],
)  # fmt: skip
def test_the_meter_that_the_alert_speaks_of(home, facts, rules, unit, use, line):
    one = raised(facts)
    curve = curves_of([one], *home, rules)[one.alert_id]
    assert curve.unit == unit
    assert np.nanmax(curve.values) == pytest.approx(use)
    assert curve.threshold == pytest.approx(line)


def test_no_curve_of_another_meter_where_its_own_is_not_known(home):
    readings, registry = home
    assert curves_of([raised({"usual": 3})], readings, registry, [Says("heat")]) == {}


def test_facts_name_thresholds_of_their_own_utility_only():
    assert threshold_of({"channel": 1, "threshold": 15.0}, "electricity") is None
    assert threshold_of({"threshold_kwh": 0.1}, "electricity") == Threshold(0.1, False)
    assert utilities_of(raised({"channel": float("nan"), "last_channel": -1})) == ()


def test_the_bracket_is_as_long_as_the_sentence_says():
    """It is told an hour after the sixth hour: when its readings have had time to come."""
    one = raised({"channel": 1, "slot_end": stamp(T0 + (24 * 10 + 6) * HOUR)})
    t = T0 + (24 * 9 + np.arange(48)) * HOUR
    html = render(summary([one], curves={one.alert_id: Curve(t, np.ones(48), unit="l / h")}))
    assert ">6 h</text>" in html
    assert ">7 h</text>" not in html


def test_what_is_said_to_last_fifteen_days_is_drawn_for_fifteen(home):
    one = raised({"channel": 0, "threshold": 2}, hour=24 * 5, lasts=24 * 15)
    curve = curves_of([one], *home)[one.alert_id]
    assert curve.t_ns[0] < T0 + 24 * 5 * HOUR


def test_a_stretch_longer_than_the_curve_is_open_where_it_began():
    end = T0 + LONGEST_NS * 2
    t = end - np.arange(48, 0, -1) * HOUR
    chart = load_curve(Curve(t, np.ones(48)), ZONE, "red", T0, end, "0")
    assert ">← 90.0 days</text>" in chart
    assert "38V30" not in chart


def test_the_axis_has_room_for_its_numbers():
    t = T0 + np.arange(48) * HOUR
    chart = load_curve(Curve(t, np.full(48, 0.0015)), ZONE, "red", T0, T0 + HOUR, "0")
    end = float(chart.split('text-anchor="end">0.0005<')[0].rsplit('x="', 1)[1].split('"')[0])
    assert end >= 6.5 * len("0.0005")


@pytest.mark.parametrize(("told", "opens"), [("en", "en"), ("zh", "zh"), (None, "zh")])
def test_the_page_opens_in_the_language_of_who_wrote_it(told, opens, monkeypatch):
    monkeypatch.setenv("GRIDWARDEN_LANGUAGE", "zh_CN")
    html = render(summary([alert()], language=told))
    assert f'<html lang="{"en" if opens == "en" else "zh-CN"}">' in html
    (line,) = (x for x in html.splitlines() if " checked>" in x)
    assert f'id="lang-{opens}"' in line
    assert html.count('class="lang-radio"') == 2


def test_the_report_of_a_replay_names_meter_language_and_the_first_row(home, tmp_path):
    (readings,), _ = home
    folder = readings.rsplit("/", 1)[0]
    config = tmp_path / "c.yaml"
    config.write_text("language: en\n")
    page = tmp_path / "r.html"
    with pytest.raises(SystemExit) as ended:
        main(["replay", "--readings", readings, "--meters", f"{folder}/meters.csv", "--subjects",
              f"{folder}/subjects.csv", "--report", str(page), "--config", str(config)])  # fmt: skip
    assert ended.value.code == 0
    html = page.read_text()
    assert '<html lang="en">' in html
    assert "2026-03-02 00:00 – " in html  # not 08:00 of the day before: midnight in Greenwich


def test_the_bars_of_workers_have_room_for_their_signs():
    """Cut at the left, "+0.033" reads as "-0.033"."""
    run = SimpleNamespace(days=30.0, workers=[("w", 1, 2), ("v", 0, 0)], extra_per_day=0.033)
    drawn = _bars(run, None)
    for label in ("+0.033", "-0.033"):
        end = float(drawn.split(f">{label}<")[0].rsplit('x="', 1)[1].split('"')[0])
        assert end >= 7 * len(label)
