"""What detectors' facts are called, and in which unit they are: for explanations and the reference.

Texts of rules choose a format for every fact they insert; where nobody chose one, this does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from rules.texts import FORMATS, UNKNOWN, render

Choices = Mapping[int, tuple[str, str]]


class Fact(NamedTuple):
    """A fact in Chinese and English.

    ``form`` is a key of :data:`UNITS`, and where texts have a format of that name, it is shown so;
    numbers that stand for something have their meanings in ``choices`` instead.
    """

    zh: str
    en: str
    form: str = "number"
    choices: Choices | None = None


COUNTED: Mapping[str, tuple[str, str, str]] = {
    "days": ("天", "day", "days"),
    "weeks": ("周", "week", "weeks"),
    "nights": ("夜", "night", "nights"),
    "meters": ("块表", "meter", "meters"),
    "events": ("件", "event", "events"),
    "people": ("人", "person", "people"),
    "times": ("倍", "time", "times"),
}
"""Things that are counted: Chinese, one and several in English."""
UNITS: Mapping[str, tuple[str, str]] = {
    "hours": ("小时", "hours"),
    "kwh": ("度", "kWh"),
    "kw": ("千瓦", "kW"),
    "l": ("升", "l"),
    "m3": ("立方米", "m³"),
    "amount": ("度、升或立方米，依 channel", "kWh, l or m³, by `channel`"),
    "percent": ("占比，0 至 1", "share, 0 … 1"),
    "clock": ("当地时刻，小时", "hour of the local day"),
    "channel": ("0 电，1 水，2 气", "0 electricity, 1 water, 2 gas"),
    "number": ("数", "a number"),
    "measured": ("表的计量单位", "the meter's unit"),
    "canonical": ("度；水、气为升", "kWh; litres of water and gas"),
    "log10": ("log10", "log10 of a likelihood ratio"),
    "internal": ("检测器内部计时", "the detector's own count of time"),
    **{name: (zh, many) for name, (zh, _, many) in COUNTED.items()},
}
"""Units in which formats take a fact."""

_YES: Choices = {0: ("否", "no"), 1: ("是", "yes")}
_STATE: Choices = {
    0: ("未知", "unknown"), 1: ("空置", "vacant"), 2: ("有人住", "lived in"),
    3: ("人数偏多", "over-occupied"),
}  # fmt: skip
_FACTS: Mapping[str, Fact] = {
    "callers": Fact("不同来电人", "different callers", "people"),
    "channel": Fact("哪种表", "which meter", "channel"),
    "count": Fact("次数", "events", "events"),
    "days": Fact("天数", "days", "days"),
    "direction": Fact("变化方向", "direction", "", {1: ("上升", "up"), -1: ("下降", "down")}),
    "drop": Fact("降幅", "drop", "percent"),
    "empty_days": Fact("空置天数", "days it has stood empty", "days"),
    "episode_start": Fact("开始", "beginning of the episode", "internal"),
    "expected": Fact("应有次数", "events that were to be expected", "events"),
    "floor": Fact("最低一小时通常仍有", "what even the lowest hour usually takes", "amount"),
    "hours": Fact("持续", "duration", "hours"),
    "known_days": Fact("已知的工作日", "work days that are known", "days"),
    "largest_novelty": Fact("最大新异度", "largest novelty"),
    "last_amount": Fact("最后一次用量", "last use", "canonical"),
    "last_channel": Fact("最后一次用的是", "last use was of", "channel"),
    "limit": Fact("限值", "limit", "measured"),
    "max_kw": Fact("最大功率", "highest power", "kw"),
    "mean": Fact("平均值", "mean", "measured"),
    "mean_kw": Fact("平均功率", "mean power", "kw"),
    "mean_kwh": Fact("平均每天用电", "mean use a day", "kwh"),
    "missing": Fact("没有读数的表", "meters without readings", "meters"),
    "neighbours": Fact("邻近的表", "meters nearby", "meters"),
    "night_share": Fact("夜间占比", "share by night", "percent"),
    "nights": Fact("夜数", "nights", "nights"),
    "novelty": Fact("新异度", "novelty"),
    "now": Fact("如今夜间活动占比", "share of the night that is active now", "percent"),
    "now_kwh": Fact("如今每天用电", "electricity a day now", "kwh"),
    "now_l": Fact("如今每天用水", "water a day now", "l"),
    "onset": Fact("开始", "beginning", "internal"),
    "onset_slot": Fact("开始", "beginning", "internal"),
    "own": Fact("按本户自己的习惯判断", "judged by the home's own habits", "", _YES),
    "pause": Fact("低于此值算停用", "below this, use has paused", "amount"),
    "permitted_kw": Fact("许可功率", "permitted power", "kw"),
    "production_kw": Fact("生产时功率", "power when producing", "kw"),
    "quiet": Fact("不预警的平均值", "mean that is no alert", "measured"),
    "quiet_kw": Fact("不预警的功率", "power that is no alert", "kw"),
    "quiet_share": Fact("不预警的比例（占平时）", "share of the usual that is no alert", "percent"),
    "rare_from": Fact("少见的起点", "distance from which days are rare"),
    "readings_seen": Fact("已见读数", "readings seen"),
    "residual_spreads": Fact("偏离（典型偏差的倍数）", "distance, in typical deviations"),
    "sector_drop": Fact("同行业降幅", "drop of the sector", "percent"),
    "share": Fact("比例", "share", "percent"),
    "silent_hours": Fact("静默时长", "silent for", "hours"),
    "since_slot": Fact("开始", "beginning", "internal"),
    "standby_kw": Fact("待机功率", "standby power", "kw"),
    "state": Fact("居住状态", "how it is lived in", "", _STATE),
    "threshold": Fact("每小时至少", "at least, every hour", "amount"),
    "threshold_kwh": Fact("用电超过此值算有动静", "a sign of life is electricity above", "kwh"),
    "threshold_l": Fact("用水超过此值算有动静", "a sign of life is water above", "l"),
    "threshold_m3": Fact("用气超过此值算有动静", "a sign of life is gas above", "m3"),
    "times": Fact("倍数", "as often as expected", "times"),
    "typical_deviation": Fact("典型偏差", "typical deviation", "measured"),
    "typical_scatter": Fact("典型起伏", "typical scatter"),
    "unusual_from_spreads": Fact(
        "异常的起点（典型偏差的倍数）", "unusual from, in typical deviations"
    ),
    "usual": Fact("平时", "usual"),
    "usual_distance": Fact("平时的距离", "usual distance"),
    "usual_first_sign_hour": Fact("平时何时有动静", "first sign of life usually at", "clock"),
    "usual_hours": Fact("这样的静默通常持续", "such silences usually last", "hours"),
    "usual_kw": Fact("平时功率", "usual power", "kw"),
    "usual_kwh": Fact("平时每天用电", "usual electricity a day", "kwh"),
    "usual_l": Fact("平时每天用水", "usual water a day", "l"),
    "usual_share": Fact("平时的比例", "usual share", "percent"),
    "weeks": Fact("周数", "weeks", "weeks"),
    "zero": Fact("读数为零的表", "meters that read zero", "meters"),
    "ledger_memory": Fact("证据：此前的证据", "evidence: carried over", "log10"),
    "ledger_level": Fact("证据：功率高低", "evidence: level of power", "log10"),
    "ledger_duration": Fact("证据：持续时间", "evidence: duration", "log10"),
    "ledger_time": Fact("证据：时段", "evidence: time of day", "log10"),
    "ledger_standby": Fact("证据：待机", "evidence: standby", "log10"),
    "ledger_lighting": Fact("证据：照明", "evidence: lighting", "log10"),
    "ledger_tenant": Fact("证据：租户", "evidence: tenant", "log10"),
    "ledger_vehicles": Fact("证据：车辆", "evidence: vehicles", "log10"),
    "ledger_complaints": Fact("证据：投诉", "evidence: complaints", "log10"),
    "ledger_prior": Fact("证据：事先的可能", "evidence: prior odds", "log10"),
    "model_score": Fact("模型得分", "score of the model"),
    "drifts_so_far": Fact("至今漂移次数", "drifts so far"),
}
_OF_DETECTOR: Mapping[tuple[str, str], Fact] = {
    ("adjudicate", "kind"): Fact(
        "属于", "kind", "",
        {0: ("无", "none"), 1: ("停电", "power cut"), 2: ("集中器故障", "dead concentrator")},
    ),
    ("adjudicate", "expected"): Fact("应报的表", "meters that were to report", "meters"),
    ("adjudicate", "share"): Fact("没有报数的比例", "share without readings", "percent"),
    ("decline", "share"): Fact("如今是平时的", "share of the usual", "percent"),
    ("excess", "usual"): Fact("这类住户平时每小时", "usual in an hour", "amount"),
    ("inactivity", "usual_share"): Fact(
        "这样的静默通常至此已结束的", "share of such silences that are over by now", "percent"
    ),
    ("nights", "usual"): Fact("平时夜间活动占比", "usual share of the night that is active", "percent"),
    ("nights", "quiet"): Fact("不预警的夜间活动占比", "share of the night that is no alert", "percent"),
    ("limit", "usual"): Fact("平时", "usual", "measured"),
    ("limit", "times"): Fact("是限值的", "as much as the limit", "times"),
    ("repeat", "usual"): Fact("一个地址平时的次数", "usual at an address", "events"),
    ("repeat", "days"): Fact("所看的天数", "days looked at", "days"),
    **{
        (name, "kind"): Fact("时段", "time", "", {0: ("夜间", "by night"), 1: ("白天", "by day")})
        for name in ("production", "daytime_load")
    },
    **{
        (name, "share"): Fact(
            "高出平时的部分占生产功率", "excess over the usual, of production", "percent"
        )
        for name in ("production", "daytime_load")
    },
}  # fmt: skip
"""Facts that mean something else, or something more definite, of one detector."""


def fact(detector: str, name: str) -> Fact | None:
    """Return what a detector's fact is called; None for detectors that somebody else wrote."""
    return _OF_DETECTOR.get((detector, name)) or _FACTS.get(name)


def unit(found: Fact, language: str) -> str:
    """Return in which unit a fact is, or what its numbers mean."""
    at = 0 if language == "zh" else 1
    if found.choices is not None:
        comma = "，" if language == "zh" else ", "
        return comma.join(f"{number} {words[at]}" for number, words in found.choices.items())
    return UNITS[found.form][at]


def shown(detector: str, name: str, facts: Mapping[str, Any], language: str) -> str:
    """Return a fact's value as a person would write it.

    Examples
    --------
    >>> shown("inactivity", "silent_hours", {"silent_hours": 24.0}, "en")
    '24 hours'
    >>> shown("excess", "threshold", {"threshold": 15.0, "channel": 1.0}, "zh")
    '15升'
    """
    found = fact(detector, name) or Fact(name, name, "plain")
    value = facts.get(name)
    at = 0 if language == "zh" else 1
    if found.choices is not None and isinstance(value, int | float):
        known = found.choices.get(int(value))
        return UNKNOWN[language] if known is None else known[at]
    if found.form in COUNTED:
        number = render("{s.facts.it:number}", language, {"s": {"facts": {"it": value}}})
        zh, one, many = COUNTED[found.form]
        if value is None:
            return number
        return f"{number}{zh}" if language == "zh" else f"{number} {one if value == 1 else many}"
    form = found.form if found.form in FORMATS else "plain"
    if form == "amount" and facts.get("channel") is None:
        form = "plain"
    return render(f"{{s.facts.it:{form}}}", language, {"s": {"facts": {**facts, "it": value}}})
