"""A rule that speaks of the time of day follows the clock, alert or none."""

import datetime as dt
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from detectors.base import NS
from detectors.budget import Price
from engine.heard import Heard, Marked
from engine.sieve import Sieve
from engine.watch import Watch
from rules.compile import CompiledRule
from rules.lifecycle import Kind
from rules.loader import load
from tests.rules.kit import KNOWN, document, dump

ZONES = ("Asia/Shanghai", "Europe/Berlin")


class Around:
    """Surroundings without contexts, in which only time passes; it counts who is looked at."""

    def __init__(self, zone: np.ndarray) -> None:
        self.zone = zone
        self.looked = 0

    def now(self, watch: Watch, row: int, at_ns: int) -> dict[str, Any]:
        self.looked += 1
        local = dt.datetime.fromtimestamp(at_ns // NS, ZoneInfo(ZONES[self.zone[row]]))
        return {"hour": local.hour, "weekday": local.isoweekday()}

    def clock(self, watch: Watch, at_ns: int) -> dict[str, Any]:
        found = [
            dt.datetime.fromtimestamp(at_ns // NS, ZoneInfo(ZONES[z])) for z in self.zone.tolist()
        ]
        return {
            "hour": np.array([f.hour for f in found]),
            "weekday": np.array([f.isoweekday() for f in found]),
        }

    def context(self, *_: object) -> dict[str, bool | None]:
        return {}

    def subject(self, *_: object) -> dict[str, Any]:
        return {}

    def alerts(self, *_: object) -> list[str]:
        return []

    def looks(self, *_: object, **__: object) -> dict[str, Any]:
        return {}

    def unsettled(self, *_: object) -> bool:
        return False

    def inhibited_by(self, *_: object) -> None:
        return None


def watch_of(when: str, rows: int) -> Watch:
    """Return a rule over rows that are all due, each in an episode since slot 3."""
    (rule,) = load({"rule.yaml": dump(document(when=when))}, KNOWN)
    every = np.arange(rows, dtype=np.int32)
    group = SimpleNamespace(
        last_slot=4, slot_s=3600, phase_s=0, utilities=["water"],
        detector=SimpleNamespace(explain=lambda at: {}),
    )  # fmt: skip
    link: Any = SimpleNamespace(
        group=group, end_ns=5 * 3600 * NS, hears=lambda row: True, to_group=lambda at: at
    )
    heard = Heard(every, np.arange(rows, dtype=np.uint64), [link], counted=False)
    heard.columns.urgency[:] = 20
    heard.columns.evidence[:] = 3.0
    heard.columns.onset[:] = 3
    watch = Watch(CompiledRule(rule), every, {"silence": heard}, Price(0, 9, 0.0))
    watch.turns["silence"].due = Marked.at(every, heard.columns.onset)
    return watch


def test_an_alert_ends_with_the_hours_of_its_rule() -> None:
    for when in ("silence.due && now.hour < 12", "silence.evidence > 1.0 && now.hour < 12"):
        around = Around(np.array([0, 1]))  # Berlin is seven hours behind in winter
        watch = watch_of(when, 2)
        sieve = Sieve([watch])
        noted: list[tuple[int, int, str]] = []
        for hour in range(24):
            at_ns = int(dt.datetime(2026, 1, 5, hour, tzinfo=dt.UTC).timestamp()) * NS
            sieve.turn(at_ns, around)
            for raised in watch.evaluate(at_ns, around, hit=sieve.hit(0)):
                noted.append((hour, raised.row, raised.change.kind))
        # 12:00 in Shanghai is 4:00 UTC and midnight 16:00; in Berlin 11:00 and 23:00.
        assert noted == [
            (0, 0, Kind.RAISED), (0, 1, Kind.RAISED), (4, 0, Kind.RESOLVED),
            (11, 1, Kind.RESOLVED), (16, 0, Kind.RAISED), (23, 1, Kind.RAISED),
        ]  # fmt: skip
        # Whoever goes on firing, or has no reason to, is not looked at again.
        assert around.looked < 20
