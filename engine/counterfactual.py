"""What would have kept an alert quiet: concrete readings or events, to be proven by replay.

A reading listed here replaces the reading of the same meter and stamp, or is added; an event is
added. `gridwarden audit` applies them and replays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from detectors.base import NS
from engine.alertbook import number
from engine.outcomes import STRETCH_S
from rules.alerts import stamp
from rules.lifecycle import Kind

if TYPE_CHECKING:
    from engine.shard import ShardRunner
    from engine.watch import Raised, Watch

SLOW_D = 200
"""Days after the alert that a counterfactual of a slow change covers: such episodes go on for months."""
ABSENT_NS = STRETCH_S // 2 * NS
"""How far before the alert, and behind it, an absence reaches: none is believed for longer than both."""


class Counterfactuals:
    """Makes counterfactuals for the alerts of a shard.

    Parameters
    ----------
    shard : ShardRunner
        The shard; its registry and intake are read.
    """

    def __init__(self, shard: ShardRunner) -> None:
        self.shard = shard

    def of(self, watch: Watch, raised: Raised) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Return the counterfactual of a newly raised alert, and facts it adds to the alert."""
        if raised.change.kind != Kind.RAISED:
            return [], {}
        make = {
            "sign_of_life": self._sign_of_life,
            "usual_use": self._usual_use,
            "standby": self._permit,
            "permit": self._permit,
            "reports": self._reports,
            "fewer_events": self._fewer_events,
            "absence": self._absence,
            "registration": self._registration,
        }.get(watch.rule.counterfactual)
        return ([], {}) if make is None else (make(watch, raised), {})

    # -- kinds ----------------------------------------------------------------------------

    def _sign_of_life(self, watch: Watch, raised: Raised) -> list[dict[str, Any]]:
        """Return use above the threshold in the slot that tipped."""
        facts = raised.variables[watch.primary]["facts"] if watch.primary else {}
        end_s = raised.tip_ns // NS
        meter = self._plainest(watch, raised.row)
        if meter is None:
            return []
        amount = 3.0 * self._threshold(meter, facts)
        if self.shard.registry.meters.register[meter] and raised.change.at_ns % (3600 * NS):
            # A late reading tipped it, by what it said of the hours since the one before.
            return self._sooner(meter, raised.life.onset_ns // NS, amount)
        return self._use(meter, end_s - 3600, end_s, amount)

    def _sooner(self, meter: int, onset_s: int, amount: float) -> list[dict[str, Any]]:
        """Return use soon after the reading before the newest one, within the silence."""
        kept = self._kept(meter)
        if len(kept) < 2:
            return self._use(meter, onset_s + 3600, onset_s + 7200, amount)
        before = int(kept["stamp"][-2])
        # At once, before an hour without use is over; but not in the one in which life was last seen.
        used_s = max(before, onset_s + 3600) + 20
        level = float(kept["level"][-2])
        more = level + amount / float(self.shard.registry.meters.scale[meter])
        return [
            self._reading(meter, used_s - 10, level),
            self._reading(meter, used_s, more),
            # The hour is known to the end: behind it the register gives back what it was told.
            self._reading(meter, used_s // 3600 * 3600 + 3601, more),
        ]

    def _kept(self, meter: int) -> NDArray[Any]:
        """Return the readings that a register's open slots still need, oldest first."""
        intake = self.shard.intake
        at = int(intake.place[meter])
        c = intake.classes[self.shard.registry.meters.class_index[meter]]
        first = int(c["buffer_at"]) + (at - int(c["first_register"])) * int(c["buffer_len"])
        return intake.kept[first : first + int(intake.registers[at]["count"])]

    def _level(self, meter: int, at_s: int) -> float:
        """Return what a register stood at; what it told afterwards was not known then."""
        kept = self._kept(meter)
        before = kept["level"][kept["stamp"] <= at_s]
        if len(before):
            return float(before[-1])
        intake = self.shard.intake
        return float(intake.registers[int(intake.place[meter])]["last_level"])

    def _plainest(self, watch: Watch, row: int) -> int | None:
        """Return the meter whose use can be told otherwise by the fewest readings.

        An interval meter by one; a register by a level that the readings after it fall short of,
        and a dozen of those would make it a glitch: the coarser, the better.
        """
        registry = self.shard.registry
        meters, classes = registry.meters, registry.classes
        link = watch.spoke(watch.primary or "", row)
        heard = {c.utility for c in link.group.detector.channels} if link else {"*"}
        mine = [
            int(m)
            for m in registry.meters_of(int(watch.rows[row])).tolist()
            if "*" in heard or classes[int(meters.class_index[m])].utility in heard
        ]

        def rank(meter: int) -> tuple[bool, int, int]:
            coarse = classes[int(meters.class_index[meter])].interval_s
            return bool(meters.register[meter]), -coarse, meter

        return min(mine, key=rank, default=None)

    def _threshold(self, meter: int, facts: dict[str, Any]) -> float:
        """Return the use (canonical unit) above which a meter shows a sign of life."""
        registry = self.shard.registry
        utility = registry.classes[int(registry.meters.class_index[meter])].utility
        names = {"electricity": "threshold_kwh", "water": "threshold_l", "gas": "threshold_m3"}
        value = float(facts.get(names.get(utility, "threshold"), np.nan))
        if utility == "gas":
            value *= 1000.0  # the canonical unit of a volume is the litre
        return value if np.isfinite(value) and value > 0 else 1.0

    def _meter(self, watch: Watch, row: int, facts: dict[str, Any]) -> int | None:
        """Return the meter of the channel the facts speak of, or the subject's first."""
        registry = self.shard.registry
        meters = registry.meters_of(int(watch.rows[row])).tolist()
        wanted = facts.get("channel")
        link = watch.spoke(watch.primary or "", row)
        channels = () if link is None else link.group.detector.channels
        for meter in meters:
            utility = registry.classes[int(registry.meters.class_index[meter])].utility
            if wanted is not None and np.isfinite(wanted) and int(wanted) < len(channels):
                if channels[int(wanted)].utility == utility:
                    return int(meter)
            elif any(c.utility in ("*", utility) for c in channels):
                return int(meter)
        return int(meters[0]) if meters else None

    def _use(self, meter: int, start_s: int, end_s: int, amount: float) -> list[dict[str, Any]]:
        """Return readings by which a meter used `amount` between two times."""
        meters = self.shard.registry.meters
        key = self.shard.registry.classes[int(meters.class_index[meter])]
        scale = float(meters.scale[meter])
        if meters.register[meter]:
            level = self._level(meter, start_s)
            # The last one tells that the hour is over, where the meter's own reading of its end
            # was on its way for longer than the slot waits.
            return [
                self._reading(meter, start_s + 1, level),
                self._reading(meter, end_s - 1, level + amount / scale),
                self._reading(meter, end_s + 1, level + amount / scale),
            ]
        last = end_s - key.interval_s
        at = end_s if meters.stamp_end[meter] else last
        return [self._reading(meter, at, amount / scale)]

    def _usual_use(self, watch: Watch, raised: Raised) -> list[dict[str, Any]]:
        """Return a pause in the slot that tipped; all of a mean's slots as usual, if it tipped one."""
        registry = self.shard.registry
        end_s = raised.tip_ns // NS
        facts = raised.variables[watch.primary]["facts"] if watch.primary else {}
        meter = self._meter(watch, raised.row, facts)
        if meter is None:
            return []
        key = registry.classes[int(registry.meters.class_index[meter])]
        if not registry.meters.register[meter]:
            shift = key.interval_s if registry.meters.stamp_end[meter] else 0
            span_s, amount = 3600, 0.0
            if "mean" in facts and "hours" in facts:
                span_s = round(float(facts["hours"]) * 3600)
                usual = float(facts.get("usual", np.nan))
                amount = usual / float(registry.meters.scale[meter]) if np.isfinite(usual) else 0.0
            stamps = range(end_s - span_s, end_s, key.interval_s)
            return [self._reading(meter, at + shift, amount) for at in stamps]
        return [self._span(watch, raised, "maintenance", {})]

    def _permit(self, watch: Watch, raised: Raised) -> list[dict[str, Any]]:
        """Return an approved test that covers the episode with room above its load."""
        facts = raised.variables[watch.primary]["facts"] if watch.primary else {}
        load = max(float(facts.get("max_kw", 0) or 0), float(facts.get("mean_kw", 0) or 0))
        return [self._span(watch, raised, "approved_test", {"kw": number(max(2 * load, 1.0))})]

    def _reports(self, watch: Watch, raised: Raised) -> list[dict[str, Any]]:
        """Return the cut as announced works."""
        return [self._span(watch, raised, "maintenance", {})]

    def _absence(self, watch: Watch, raised: Raised) -> list[dict[str, Any]]:
        """Return a registered absence that covers the episode, or the last two months of it."""
        since_ns = max(raised.life.onset_ns - 3600 * NS, raised.tip_ns - ABSENT_NS)
        until_ns = raised.tip_ns + ABSENT_NS
        return [self._told(watch, raised, "absence", {"source": "family"}, since_ns, until_ns)]

    def _registration(self, watch: Watch, raised: Raised) -> list[dict[str, Any]]:
        """Return a change of tenants, registered when the episode began."""
        return [self._span(watch, raised, "tenancy", {}, days=SLOW_D)]

    def _fewer_events(self, watch: Watch, raised: Raised) -> list[dict[str, Any]]:
        """Return the events that made the alert, marked as withdrawn.

        All of them, though fewer would often do: the next one must not bring the same alert back.
        """
        looks = self.shard.around.looks(watch, raised.row, raised.change.at_ns, past=True)
        ids = [event for look in looks.values() for event in look.events]
        if not ids and watch.series is not None:
            since_ns, until_ns = raised.life.onset_ns, raised.tip_ns
            held = watch.series.recent(raised.row)
            ids = [e.event_id for e in held if since_ns <= e.ts_ns < until_ns]
        return [{"event_id": event, "withdrawn": True} for event in sorted(set(ids))]

    # -- rows in the words of the files ---------------------------------------------------

    def _reading(self, meter: int, at_s: int, value: float) -> dict[str, Any]:
        return {
            "meter_id": self.shard.registry.meter_id(meter),
            "ts": stamp(at_s * NS),
            "value": number(value) if abs(value) < 1e5 else round(value, 3),
        }

    def _span(
        self, watch: Watch, raised: Raised, kind: str, attrs: dict[str, Any], days: int = 7
    ) -> dict[str, Any]:
        start_ns = raised.life.onset_ns - 3600 * NS
        end_ns = raised.tip_ns + days * 86_400 * NS
        return self._told(watch, raised, kind, attrs, start_ns, end_ns)

    def _told(
        self,
        watch: Watch,
        raised: Raised,
        kind: str,
        attrs: dict[str, Any],
        start_ns: int,
        end_ns: int,
    ) -> dict[str, Any]:
        """Return an event that tells of a span of time."""
        subject = self.shard.around.subject(watch, raised.row)
        is_place = watch.rule.subjects.grain == "place"
        return {
            "event_id": f"counterfactual-{subject['id']}-{start_ns // NS}",
            "ts": stamp(start_ns),
            "kind": kind,
            "subject_id": None if is_place else subject["id"],
            "place": subject["place"],
            "attrs": {"from": stamp(start_ns), "to": stamp(end_ns), **attrs},
        }
