"""What surrounds a subject: context, local time, events, other alerts. One per shard."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from connectors.records import Event
from detectors.base import NS, Detector
from engine import notices, outcomes
from engine.alertbook import Named
from engine.context import (
    ABSENT,
    APPROVED,
    MAINTENANCE,
    POWER_CUT,
    RETURNED,
    Context,
    Interval,
)
from engine.event_windows import EventWindows
from engine.informing import Informer
from engine.notices import Notice
from engine.rows import index_in
from engine.series import SeriesRows
from engine.silence_events import silence_told
from rules.alerts import stamp
from rules.silences import SILENCE, SILENCE_ENDED, Silence, silenced_by
from rules.windows import Look

if TYPE_CHECKING:
    from engine.groups import Group
    from engine.links import Moves
    from engine.shard import ShardRunner
    from engine.watch import Watch

DAY_NS = 86_400 * NS
CUT, DEAD = 1, 2
GRACE_NS = 2 * 3600 * NS
"""How long after a street came back its outage still explains a home's silence."""
NOBODY = -(2**31)
"""Row of what no register of contexts knows."""
SEASONS = ("winter", "spring", "summer", "autumn")


class ShardSurroundings:
    """Implements :class:`engine.watch.Surroundings` for a shard.

    Parameters
    ----------
    shard : ShardRunner
        The shard, whose registry, watches and groups it reads.
    """

    def __init__(self, shard: ShardRunner) -> None:
        self.shard = shard
        self.informer = Informer(shard)
        self.context_register = Context()
        self.cut_until_ns = np.zeros(len(shard.places), np.int64)
        self.dead_until_ns = np.zeros(len(shard.places), np.int64)
        self.last_day: int | None = None
        self.windows = EventWindows(shard)
        self._hands: list[dict[str, int]] = []
        self._hands_at: int | None = None
        self.silences: dict[str, Silence] = {}
        self._read_rules()
        self._places_of = self._subject_places()

    def _read_rules(self) -> None:
        """Find out whether rules look at each other."""
        self._names_matter = any(
            any(u.alert for u in w.rule.unless) or w.rule.inhibits for w in self.shard.watches
        )

    def rewire(self, moves: Moves, groups: Sequence[Group]) -> None:
        """Go on with other rules; tell new groups what the others know."""
        self._read_rules()
        self.windows.rewire(moves)
        if groups:
            known = self.context_register.intervals()
            self.informer.everything(groups, self.last_day, known)

    def marks(self, watch: Watch, named: Named, at_ns: int) -> dict[str, Any]:
        """Return what says that nobody is to be sent: shadow mode, a silence."""
        found: dict[str, Any] = {}
        shadow = self.shard.config.rules.shadow_places
        if watch.rule.shadow:
            found["shadow"] = "rule"
        elif shadow and named.place.startswith(shadow):
            found["shadow"] = "place"
        silence = silenced_by(
            self.silences.values(), watch.rule.name, named.subject_id, named.place, at_ns
        )
        if silence is not None:
            found["silenced"] = {
                "silence_id": silence.silence_id,
                "author": silence.author,
                "reason": silence.reason,
                "until": stamp(silence.until_ns),
            }
        return found

    def _subject_places(self) -> dict[int, list[int]]:
        """Return the place rows of each watched subject's meters, filled on demand."""
        return {}

    def places_of(self, subject_row: int) -> list[int]:
        """Return the place rows of a subject's meters."""
        known = self._places_of.get(subject_row)
        if known is None:
            meters = self.shard.registry.meters_of(subject_row)
            rows = self.shard.places.meter_row[meters]
            known = sorted({int(r) for r in rows.tolist() if r >= 0})
            self._places_of[subject_row] = known
        return known

    # -- what rules ask -------------------------------------------------------------------

    def context(self, watch: Watch, row: int, at_ns: int) -> dict[str, bool | None]:
        """Return which contexts explain the subject's present episode; None: not known."""
        if watch.series is not None:
            place, subject = [], NOBODY
        elif watch.rule.subjects.grain == "place":
            place = [int(watch.rows[row])]
            subject = -1 - place[0]
        else:
            subject = int(watch.rows[row])
            place = self.places_of(subject)
        held = {
            k: self.context_register.holds(k, subject, at_ns)
            for k in (ABSENT, MAINTENANCE, APPROVED, POWER_CUT)
        }
        return {
            "absent": held[ABSENT]
            and not (
                self.context_register.holds(RETURNED, subject, at_ns) and self._believes_use(watch)
            ),
            "maintenance": held[MAINTENANCE],
            "approved_work": held[APPROVED],
            "area_outage": held[POWER_CUT] or any(self.cut_until_ns[p] > at_ns for p in place),
            "dead_concentrator": any(self.dead_until_ns[p] > at_ns for p in place),
            "holiday": self.shard.local.holiday(self._local_day(watch, row, at_ns)),
        }

    def subject(self, watch: Watch, row: int) -> dict[str, Any]:
        """Return the subject as rules see it."""
        registry = self.shard.registry
        at = int(watch.rows[row])
        if watch.series is not None:
            return watch.series.subject(row)
        if watch.rule.subjects.grain == "place":
            code = registry.communities[int(self.shard.places.community[at])]
            return {"id": self.shard.place_names[at], "kind": "place", "attrs": {}, "place": code}
        return {
            "id": registry.subject_id(at),
            "kind": registry.kind(at),
            "attrs": dict(registry.attrs(at)),
            "place": registry.place(at),
        }

    def now(self, watch: Watch, row: int, at_ns: int) -> dict[str, Any]:
        """Return local time as rules see it."""
        local = _local(self._zone(watch, row), at_ns)
        first_day = (local.date() - dt.date(1970, 1, 1)).days
        return {
            **_hands(local),
            "rest_day": self.shard.local.rests(first_day),
            "season": SEASONS[local.month % 12 // 3],
        }

    def clock(self, watch: Watch, at_ns: int) -> Mapping[str, Any]:
        """Return local time as masks see it: a value for all rows, or an array of one each."""
        if watch.rule.subjects.grain != "subject":
            return {}
        registry = self.shard.registry
        if self._hands_at != at_ns:  # a thousand rules ask at the same time
            self._hands = [_hands(_local(zone, at_ns)) for zone in registry.zones]
            self._hands_at = at_ns
        hands = self._hands
        if len(hands) == 1:
            return hands[0]
        zone = registry.subjects.zone[watch.rows]
        return {name: np.array([h[name] for h in hands])[zone] for name in hands[0]}

    def _local_day(self, watch: Watch, row: int, at_ns: int) -> int:
        zone = self._zone(watch, row)
        return (at_ns // NS + _offset_s(zone, at_ns // NS // 900)) // 86_400

    def _zone(self, watch: Watch, row: int) -> str:
        at = int(watch.rows[row])
        registry = self.shard.registry
        if watch.series is not None:
            return self.shard.zones[watch.series.zone[row]]
        if watch.rule.subjects.grain == "place":
            mine = np.flatnonzero(self.shard.places.meter_row == at)
            return registry.zones[int(registry.meters.zone[mine[0]])] if len(mine) else "UTC"
        return registry.zone(at)

    def alerts(self, watch: Watch, row: int) -> list[str]:
        """Return the rules that fire on this subject or on a place that contains it."""
        if not self._names_matter:
            return []
        return sorted({w.rule.name for w in self._firing_around(watch, row)})

    def unsettled(self, at_ns: int) -> bool:
        """Return whether some place is out, or was a moment ago."""
        return bool(
            (self.cut_until_ns > at_ns - GRACE_NS).any()
            or (self.dead_until_ns > at_ns - GRACE_NS).any()
        )

    def inhibited_by(self, watch: Watch, row: int) -> str | None:
        """Return the rule whose alert keeps this one from being raised, or None."""
        if not self._names_matter:
            return None
        found = [
            w.rule.name
            for w in self._firing_around(watch, row)
            if watch.rule.name in w.rule.inhibits and w is not watch
        ]
        return min(found, default=None)

    def _firing_around(self, watch: Watch, row: int) -> list[Watch]:
        at = int(watch.rows[row])
        is_place = watch.rule.subjects.grain == "place"
        if watch.series is not None:
            return self._firing_series(watch.series, row)
        places = [at] if is_place else self.places_of(at)
        found = []
        for other in self.shard.watches:
            if not other.lives or other.series is not None:
                continue
            of_places = other.rule.subjects.grain == "place"
            rows = places if of_places else [] if is_place else [at]
            for one in rows:
                index = index_in(other.rows, one)
                if index >= 0 and other.firing(index):
                    found.append(other)
        return found

    def _firing_series(self, series: SeriesRows, row: int) -> list[Watch]:
        """Return the rules that fire on the same counts, or on those of a place around them."""
        place, value = series.places[row], series.values[row]
        found = []
        for other in self.shard.watches:
            theirs = other.series
            if theirs is not None and any(
                other.firing(one)
                and place.startswith(theirs.places[one])
                and (theirs.use.by is None or theirs.values[one] == value)
                for one in other.lives
            ):
                found.append(other)
        return found

    def looks(self, watch: Watch, row: int, at_ns: int, *, past: bool = False) -> dict[str, Look]:
        """Return what each event window of the rule sees, and note when that will change."""
        return self.windows.looks(watch, row, at_ns, past=past)

    def named(self, watch: Watch, row: int, at_ns: int) -> Named:
        """Return how an alert on this row is named to the outside."""
        subject = self.subject(watch, row)
        offset = _offset_s(self._zone(watch, row), at_ns // NS // 900)
        if watch.rule.subjects.grain == "place":
            return Named(None, subject["place"], subject["id"], offset)
        return Named(subject["id"], subject["place"], subject["id"], offset)

    # -- what the log tells ---------------------------------------------------------------

    def daily(self, at_ns: int) -> None:
        """Once a day: permits of the days to come; forget what is long past."""
        day = at_ns // DAY_NS
        if self.last_day is not None and day <= self.last_day:
            return
        first = day if self.last_day is None else max(day, self.last_day + 1)
        known = 2 if self.last_day is None else 1
        dates = [
            dt.date(1970, 1, 1) + dt.timedelta(days=int(first) + 2 - known + i)
            for i in range(known)
        ]
        self.last_day = int(day)
        self.informer.permits(dates)
        self._coming_absences(at_ns)
        self.context_register.expire(at_ns - 30 * DAY_NS)
        self.silences = {k: s for k, s in self.silences.items() if s.until_ns > at_ns - DAY_NS}
        self.windows.expire(at_ns)

    def _coming_absences(self, at_ns: int) -> None:
        """Tell detectors of absences that begin soon: they remember few, and may be told early."""
        for k in self.context_register.intervals():
            if k.kind == ABSENT and k.row >= 0 and at_ns <= k.start_ns < at_ns + 2 * DAY_NS:
                notice = Notice("absence", k.start_ns, k.end_ns)
                self.informer.tell(notice, np.array([k.row], np.int32))

    def event(self, event: Event) -> None:
        """Take in an event: context, notices, and windows of rules."""
        rows = self._rows_of(event)
        registry = self.shard.registry
        zone = registry.zone(int(rows[0])) if len(rows) else (registry.zones or ["UTC"])[0]
        if event.kind == "outcome":
            for effect in self._found(event, zone):
                self.event(effect)
            return
        if event.kind in (SILENCE, SILENCE_ENDED):
            silence_told(self.silences, event, zone)
            return
        if event.kind == "absence_revoked":
            self._revoke(event, rows, zone)
            return
        context, notice = notices.of_event(event, zone)
        if context is not None:
            kind, start_ns, end_ns = context
            held = [*rows.tolist(), *(-1 - p for p in self._place_rows(event))]
            if kind == ABSENT:
                for row in held:
                    self.context_register.end(RETURNED, row, event.ts_ns)
            for row in held:
                self.context_register.add(
                    Interval(kind, row, start_ns, end_ns, event.arrival_ns, event.event_id)
                )
            self._look_again(rows, event.arrival_ns)
        if notice is not None:
            self.informer.tell(notice, rows)
        self.windows.take(event, rows)

    def _revoke(self, event: Event, rows: NDArray[np.int32], zone: str) -> None:
        """End an absence that holds, or withdraw one to come; rules and detectors hear of it."""
        told = event.attrs.get("from")
        start_ns = event.ts_ns if told is None else notices.instant_ns(told, zone, event)
        for row in rows.tolist():
            self.context_register.end(ABSENT, row, event.ts_ns, start_ns)
        self.informer.tell(Notice("absence_revoked", start_ns, event.ts_ns), rows)
        self._look_again(rows, event.arrival_ns)

    def returns(self, at_ns: int) -> None:
        """Note of which absences a home's use says that somebody is back."""
        for group in self.shard.groups:
            for row in group.detector.returned().tolist():
                subject = int(group.subject_rows[row])
                until_ns = self.context_register.until(ABSENT, subject, at_ns)
                if until_ns is not None:
                    back = Interval(RETURNED, subject, at_ns, until_ns, at_ns, "use")
                    self.context_register.add(back)

    def _believes_use(self, watch: Watch) -> bool:
        """Return whether a rule's detectors tell by themselves that somebody is back."""
        return any(type(k.group.detector).returned is not Detector.returned for k in watch.links)

    def _rows_of(self, event: Event) -> NDArray[np.int32]:
        registry = self.shard.registry
        if event.subject_id:
            rows = registry.subject_rows([event.subject_id])
            return rows[rows >= 0]
        return registry.rows_at(event.place) if event.place else np.zeros(0, np.int32)

    def _found(self, event: Event, zone: str) -> tuple[Event, ...]:
        """Return the effects of an outcome that came as an event of a file."""
        attrs = event.attrs
        until, began = attrs.get("until"), attrs.get("from")
        rows = self._rows_of(event)
        row = int(rows[0]) if len(rows) else -1
        report = outcomes.Report(
            kind=str(attrs.get("outcome")),
            until_ns=None if until is None else notices.instant_ns(until, zone, event, end=True),
            kw=attrs.get("kw"),
            # Who is found to be away was away since the silence began that raised the alert.
            from_ns=self._firing_since(row)
            if began is None
            else notices.instant_ns(began, zone, event),
        )
        known = [
            outcomes.Quiet(k.start_ns, k.end_ns)
            for k in self.context_register.intervals()
            if k.row == row and k.kind != RETURNED
        ]
        try:
            found = outcomes.find(
                report,
                outcome_id=event.event_id,
                alert_id=str(attrs.get("alert_id", "")),
                subject_id=event.subject_id,
                place=event.place or "",
                at_ns=event.arrival_ns,
                by=str(attrs.get("by", event.source)),
                known=known,
            )
        except outcomes.OutcomeError as error:
            raise notices.EventError(str(error)) from None
        return found.events

    def _firing_since(self, row: int) -> int | None:
        """Return the onset of what alerts on a subject are about; None without any."""
        onsets = []
        for watch in self.shard.watches:
            at = index_in(watch.rows, row)
            if watch.rule.subjects.grain == "subject" and at >= 0 and watch.firing(at):
                onsets.append(watch.lives[at].onset_ns)
        return min(onsets, default=None)

    def _place_rows(self, event: Event) -> list[int]:
        """Return the place rows that lie wholly in an event's place."""
        if not event.place or event.subject_id:
            return []
        codes = self.shard.registry.communities
        rows = enumerate(self.shard.places.community.tolist())
        return [p for p, c in rows if codes[c].startswith(event.place)]

    def _look_again(self, rows: NDArray[np.int32], arrival_ns: int) -> None:
        """Have rules with an alert on these subjects look at them again."""
        for index, watch in enumerate(self.shard.watches):
            if watch.rule.subjects.grain != "subject" or not watch.lives:
                continue
            for row in rows.tolist():
                at = index_in(watch.rows, row)
                if at in watch.lives:
                    self.shard.touch(index, at, arrival_ns)

    # -- silence of many ------------------------------------------------------------------

    def verdicts(self, at_ns: int) -> None:
        """Take over what `adjudicate` says of each place, and tell the homes' detectors."""
        asked: set[str] = set()
        for group in self.shard.groups:
            verdict = getattr(group.detector, "verdict", None)
            if group.detector.grain != "place" or verdict is None or group.last_slot is None:
                continue
            if group.detector.name in asked:
                continue  # two rules may want to hear of different kinds; the verdict is the same
            asked.add(group.detector.name)
            kind = np.asarray(verdict(np.arange(group.detector.rows)))
            self.cut_until_ns[kind == CUT] = at_ns + GRACE_NS
            self.dead_until_ns[kind == DEAD] = at_ns + GRACE_NS
            silent = np.flatnonzero(kind > 0)
            if len(silent):
                start_ns = group.last_slot * group.slot_s * NS
                meters = np.flatnonzero(np.isin(self.shard.places.meter_row, silent))
                subjects = np.unique(self.shard.registry.meters.subject[meters]).astype(np.int32)
                notice = Notice("outage", start_ns, start_ns + group.slot_s * NS)
                self.informer.tell(notice, subjects[subjects >= 0])

    # -- snapshots ------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "context": self.context_register.snapshot(),
            "cut_until_ns": self.cut_until_ns.tolist(),
            "dead_until_ns": self.dead_until_ns.tolist(),
            "last_day": self.last_day,
            "windows": self.windows.snapshot(),
            "silences": [asdict(s) for _, s in sorted(self.silences.items())],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over :meth:`snapshot`'s values."""
        self.context_register.restore(state["context"])
        self.cut_until_ns = np.array(state["cut_until_ns"], np.int64)
        self.dead_until_ns = np.array(state["dead_until_ns"], np.int64)
        self.last_day = state["last_day"]
        self.windows.restore(state["windows"])
        self.silences = {
            s["silence_id"]: Silence(**{**s, "rules": tuple(s["rules"])})
            for s in state.get("silences", ())
        }


@lru_cache(maxsize=4096)
def _offset_s(zone: str, quarter: int) -> int:
    """Return a zone's offset from UTC in a quarter of an hour."""
    offset = dt.datetime.fromtimestamp(quarter * 900, ZoneInfo(zone)).utcoffset()
    return int(offset.total_seconds()) if offset else 0


def _local(zone: str, at_ns: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(at_ns // NS, ZoneInfo(zone))


def _hands(local: dt.datetime) -> dict[str, int]:
    """Return what a clock and a calendar show everywhere alike."""
    return {
        "hour": local.hour,
        "minute": local.minute,
        "weekday": local.isoweekday(),
        "month": local.month,
    }
