"""The report: one page that stands alone, says what happened in both languages, and no more."""

import re
from html.parser import HTMLParser
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from connectors.records import Counts
from engine import report_charts
from engine.report import BudgetLine, Curve, ReplaySummary, render, write_report
from rules.alerts import AlertChange, Level, State, alert_id, stamp

NS = 1_000_000_000
HOUR = 3600 * NS
T0 = 1_772_380_800 * NS  # 2026-03-02 00:00 in Asia/Shanghai
ZONE = ZoneInfo("Asia/Shanghai")


def alert(
    subject="home-1", level=Level.RED, state=State.FIRING, hour=8, rule="elderly-silence", **more
):
    onset = T0 + hour * HOUR
    given = {
        "alert_id": alert_id(rule, subject, onset), "seq": 0, "at": stamp(onset + 6 * HOUR), "rule": rule,
        "rule_version": "abc123", "subject_id": subject, "place": "330199001001001", "level": level,
        "state": state, "onset": stamp(onset), "raised_at": stamp(onset + 6 * HOUR), "evidence": 3.2,
        "p_value": 0.0004, "budget": 3.65,
        "reason": {"zh": "6 小时没有动静", "en": "no sign of life for 6 h"},
        "facts": {"silent_hours": 6, "counterfactual": {"readings": [1, 2]}}, "signals": [],
    }  # fmt: skip
    return AlertChange(**{**given, **more})


def counts(rows=100, **by):
    status = {"processed": rows, "duplicate": 0, "late": 0, "quarantined": 0, **by}
    return Counts(rows=rows, by_status=status)


def summary(alerts=(), **more):
    given = {
        "title": "two streets", "counts": {"readings.csv.gz": counts()}, "alerts": list(alerts),
        "from_ns": T0, "to_ns": T0 + 30 * 24 * HOUR, "timezone": "Asia/Shanghai", "subjects": 12,
        "meters": 14, "seconds": 2.0,
    }  # fmt: skip
    return ReplaySummary(**{**given, **more})


def curve(hours=48, missing=()):
    values = np.abs(np.sin(np.arange(hours * 4) / 7)) * 0.2
    values[list(missing)] = np.nan
    t = T0 + np.arange(hours * 4) * 900 * NS
    return Curve(t, values, values * 0.5, values * 2, "kWh / 15 min", 0.03)


class Page(HTMLParser):
    """Checks nesting, gathers tags, attributes and text."""

    VOID = frozenset({"meta", "input", "br", "link", "img"})

    def __init__(self, html):
        super().__init__()
        self.tags, self.open, self.words, self.values = [], [], [], []
        self.feed(html)
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.values.extend(v for _, v in attrs if v)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> without a beginning"
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def page(*args, **more):
    return Page(render(summary(*args, **more)))


def test_the_page_stands_alone():
    a = alert()
    html = render(
        summary([a], curves={a.alert_id: curve()}, simulated=True, timings={"intake": 1.0})
    )
    found = Page(html)
    assert "script" not in found.tags
    assert "link" not in found.tags
    assert "img" not in found.tags
    assert not re.search(r"https?://|@import|url\((?!#)", html)


def test_both_languages_and_the_banner():
    a = alert()
    text = page([a], simulated=True).text
    for words in (
        "6 小时没有动静",
        "no sign of life for 6 h",
        "模拟数据",
        "Simulated data",
        "行数核对",
    ):
        assert words in text
    assert "模拟数据" not in page([a]).text


def test_texts_from_outside_are_escaped():
    bad = alert(
        subject="<script>x</script>", reason={"zh": "<b>", "en": '"&<i>'}, facts={"a<b": "<u>"}
    )
    found = page([bad], title="<h1>", counts={"<f>.csv": counts()}, place_names={bad.place: "<em>"})
    assert not {"script", "b", "u", "em", "f"} & set(found.tags)
    assert "<script>x</script>" in found.text


def test_counts_say_whether_they_add_up():
    good = {"a.csv": counts(1234, processed=1200, late=30, quarantined=4)}
    good["a.csv"].by_reason["GLITCH"] = 4
    text = page(counts=good).text
    assert "1,234" in text
    assert "GLITCH" in text
    assert "✗" not in text
    assert "✗" in page(counts={"a.csv": counts(1234, processed=1200)}).text


def test_most_urgent_first_and_the_last_state():
    blue = alert("home-b", Level.BLUE, hour=1)
    red = alert("home-r", Level.RED, hour=9)
    over = alert("home-r", Level.RED, State.RESOLVED, hour=9, seq=1, at=stamp(T0 + 40 * HOUR))
    text = page([blue, red, over]).text
    assert text.index("home-r") < text.index("home-b")
    assert "resolved" in text
    assert "2026-03-02 15:00" in text  # raised, in the town's own time
    assert text.count("elderly-silence") == 3  # two alerts, one row of weeks


def test_more_alerts_than_the_page_bears():
    many = [alert(f"home-{i}", Level.BLUE, hour=i) for i in range(450)]
    text = page(many).text
    assert "50 more in the file of alerts" in text
    assert "450" in text


def test_nothing_happened_is_said():
    text = page().text
    assert "No alert." in text
    assert "Alerts per rule and week" not in text


@pytest.mark.parametrize(
    ("spent", "years", "verdict"),
    [(2, 9.0, "too few"), (30, 9.0, "kept"), (90, 9.0, "over"), (0, 0.0, "too few")],
)
def test_budget_verdicts(spent, years, verdict):
    text = page(budgets=[BudgetLine("elderly-silence", 3.65, spent, years)]).text
    assert verdict in text.split("verdict")[1]


def test_week_bars_count_every_week():
    drawn = str(report_charts.weekly_bars([3, 0, 1], ["2026-03-02", "2026-03-09", "2026-03-16"], 3))
    heights = [float(h) for h in re.findall(r'height="([\d.]+)"><title', drawn)]
    assert heights[0] == 26
    assert heights[1] == 1
    assert "2026-03-09: 0" in drawn


def test_the_curve_steps_breaks_and_hatches():
    shown = report_charts.load_curve(
        curve(missing=range(20, 28)), ZONE, "red", T0 + 8 * HOUR, T0 + 14 * HOUR, "0"
    )
    path = re.search(r'class="curve" d="([^"]+)"', shown)[1]
    assert path.count("M") == 2  # broken where readings are missing
    assert path.count("H") == 48 * 4 - 8
    assert shown.count("url(#hatch-0)") == 1
    assert "6 h" in shown
    assert "6 小时" in shown
    assert 'class="span red"' in shown


def test_a_value_is_where_the_axis_says():
    flat = Curve(T0 + np.arange(96) * 900 * NS, np.full(96, 0.2), unit="kWh")
    shown = report_charts.load_curve(flat, ZONE, "blue", T0, T0 + HOUR, "1")
    tick = re.search(r'y="([\d.]+)" text-anchor="end">0.2<', shown)
    level = re.search(r'class="curve" d="M[\d.]+ ([\d.]+)H', shown)
    assert float(tick[1]) - 4 == pytest.approx(float(level[1]), abs=0.1)


@pytest.mark.parametrize(
    "values", [np.zeros(96), np.full(96, np.nan), np.full(96, 1e9), np.full(96, 1e-7)]
)
def test_any_curve_can_be_drawn(values):
    shown = report_charts.load_curve(
        Curve(T0 + np.arange(96) * 900 * NS, values),
        ZONE,
        "yellow",
        T0 - HOUR,
        T0 + 200 * HOUR,
        "2",
    )
    assert "nan" not in shown
    Page(str(shown))


def test_hours_stay_round_when_the_clocks_change():
    """On 2026-03-29 Madrid skips an hour; labels must not."""
    start = 1_774_738_800 * NS - 12 * HOUR  # 2026-03-28 12:00 local
    t = start + np.arange(96) * 900 * NS
    shown = report_charts.load_curve(
        Curve(t, np.ones(96)), ZoneInfo("Europe/Madrid"), "red", int(t[10]), int(t[40]), "3"
    )
    labels = re.findall(r">(\d\d:\d\d)<", shown)
    assert labels
    assert all(label.endswith(":00") and int(label[:2]) % 3 == 0 for label in labels)


def test_same_input_same_bytes(tmp_path):
    a = alert()
    given = summary([a], curves={a.alert_id: tuple(curve())})
    write_report(tmp_path / "a.html", given)
    assert (tmp_path / "a.html").read_text(encoding="utf-8") == render(given)
