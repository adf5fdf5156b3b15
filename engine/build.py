"""From rules and registry to groups and watches: who is watched, by what, fed by which meters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.adjudicate import Adjudicate
from detectors.base import Channel, Detector, lookup
from detectors.budget import FLEET, Price, PriceReducer
from engine.groups import Group, Parts, digest
from engine.heard import Heard
from engine.links import Link, rows_in
from engine.registry import ClassKey, Registry
from engine.series import LATENESS_S, SeriesKey, SeriesRows
from engine.watch import Watch
from rules.compile import CompiledRule
from rules.model import Rule, RuleSet, Selector, SignalUse


class BuildError(ValueError):
    """Rules and registry do not fit together."""


@dataclass(frozen=True, slots=True)
class Spec:
    """What tells two uses of a detector apart."""

    detector: str
    params: tuple[tuple[str, float], ...]
    utilities: tuple[str, ...]
    series: SeriesKey | None = None

    @classmethod
    def of(cls, use: SignalUse, subjects: Selector) -> Spec:
        """Return the spec of a rule's signal."""
        series = None if subjects.series is None else SeriesKey.of(subjects)
        params = tuple(sorted(use.params.items()))
        return cls(use.detector, params, tuple(sorted(use.utilities)), series)


@dataclass(slots=True)
class PlaceRows:
    """Rows of place-grain detectors: one per community × concentrator.

    Parameters
    ----------
    community : ndarray of int32, shape (P,)
        Community index.
    concentrator : ndarray of int32, shape (P,)
        Concentrator index; −1 for meters without one.
    meter_row : ndarray of int32, shape (meters,)
        Place row of each meter; −1 for meters without a place.
    """

    community: NDArray[np.int32]
    concentrator: NDArray[np.int32]
    meter_row: NDArray[np.int32]

    @classmethod
    def of(cls, registry: Registry) -> PlaceRows:
        """Return the place rows of a registry, ordered by community and concentrator."""
        meters = registry.meters
        known = meters.subject >= 0
        community = np.where(known, registry.subjects.community[meters.subject], -1)
        placed = community >= 0
        width = len(registry.concentrators) + 1
        pair = community[placed].astype(np.int64) * width + meters.concentrator[placed] + 1
        unique, inverse = np.unique(pair, return_inverse=True)
        meter_row = np.full(len(meters), -1, np.int32)
        meter_row[placed] = inverse
        return cls(
            (unique // width).astype(np.int32), (unique % width - 1).astype(np.int32), meter_row
        )

    def __len__(self) -> int:
        return len(self.community)


def watched_rows(registry: Registry, selector: Selector) -> NDArray[np.int32]:
    """Return the registry rows of subjects that a selector watches, ascending."""
    rows = registry.rows_of_kinds(selector.kinds or registry.kinds)
    if selector.place_prefixes:
        under = [registry.rows_at(p) for p in selector.place_prefixes]
        rows = np.intersect1d(rows, np.unique(np.concatenate(under)))
    if selector.attrs:
        rows = rows[registry.subjects.attrs.where(selector.has)[rows]]
    return rows.astype(np.int32)


class Builder:
    """Builds groups and watches for a registry and a set of rules.

    Parameters
    ----------
    registry : Registry
        Subjects and meters.
    lateness_s : mapping of str to int
        Allowed lateness by class label; default one interval.
    places : PlaceRows
        Rows of place-grain detectors.
    place_key : ndarray of uint64, shape (P,)
        Hash of each place row.
    series : callable
        Makes the rows of a definition of subjects that events make.
    """

    def __init__(
        self,
        registry: Registry,
        lateness_s: Mapping[str, int],
        places: PlaceRows,
        place_key: NDArray[np.uint64],
        series: Callable[[SeriesKey], SeriesRows],
    ) -> None:
        self.registry = registry
        self._make_series = series
        self.series: dict[SeriesKey, SeriesRows] = {}
        self.places = places
        self.place_key = place_key
        self._lateness = lateness_s
        self.lateness_s = [lateness_s.get(c.label, c.interval_s) for c in registry.classes]
        self.groups: list[Group] = []
        self._mask = self._class_mask()
        self._by_spec: dict[Spec, list[Group]] = {}
        self._shared: dict[tuple[Any, ...], Parts] = {}
        self._kept: dict[tuple[str, bytes], NDArray[Any]] = {}
        self._mixed: set[Spec] = set()
        self._heard: dict[tuple[Any, ...], Heard] = {}
        self._rows_of: dict[str, NDArray[np.int32]] = {}
        self.settled = True
        """Whether a fresh build of the same rules would give the same groups."""

    def _class_mask(self) -> NDArray[np.uint64]:
        """Return, per subject, a bit for each class it has a meter of."""
        if len(self.registry.classes) > 64:
            raise BuildError(
                f"{len(self.registry.classes)} meter classes (utility × interval × zone of daily "
                "meters); at most 64 are possible in one shard"
            )
        mask = np.zeros(len(self.registry.subjects), np.uint64)
        meters = self.registry.meters
        known = meters.subject >= 0
        bits = np.uint64(1) << meters.class_index[known].astype(np.uint64)
        np.bitwise_or.at(mask, meters.subject[known], bits)
        return mask

    def _union(self, parts: list[NDArray[np.int32]]) -> NDArray[np.int32]:
        """Return all rows that are in some part, ascending."""
        parts = list({id(part): part for part in parts}.values())
        if len(parts) == 1:
            return parts[0]
        among = np.zeros(max(len(self.registry.subjects), len(self.places)), bool)
        for part in parts:
            among[part] = True
        return np.flatnonzero(among).astype(np.int32)

    def _keep(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return an array of the same values that others may hold too; nobody writes to these."""
        return self._kept.setdefault((array.dtype.str, digest(array)), array)

    # -- groups ---------------------------------------------------------------------------

    def build(self, rules: RuleSet) -> list[Watch]:
        """Return one watch per rule; the groups they share are in :attr:`groups`.

        Built again, for other rules, groups whose detector did not change are kept as they are;
        subjects that they do not watch yet get a group of their own.
        """
        self._heard, self._rows_of = {}, {}
        rows_of = {rule.name: self._rows(rule) for rule in rules}
        wanted: dict[Spec, list[NDArray[np.int32]]] = {}
        for rule in rules:
            for use in rule.signals.values():
                wanted.setdefault(Spec.of(use, rule.subjects), []).append(rows_of[rule.name])
        before, self._by_spec, self.groups = self._by_spec, {}, []
        self.settled = True
        for spec in sorted(wanted, key=repr):
            rows = self._union(wanted[spec])
            made = self._carried(before.get(spec, []), spec, rows)
            self._by_spec[spec] = made
            self.groups += made
        asked = dict.fromkeys(
            SeriesKey.of(rule.subjects) for rule in rules if rule.subjects.series is not None
        )
        self.settled = self.settled and list(self.series) == list(asked)
        return [self._watch(rule, rows_of[rule.name]) for rule in rules]

    def _carried(self, before: list[Group], spec: Spec, rows: NDArray[np.int32]) -> list[Group]:
        """Return the groups of a spec: those there are, with their state, and what they lack."""
        cls = lookup(spec.detector)
        if spec.series is not None:
            return before or [self._series_group(spec, cls, self.series[spec.series])]
        if cls.grain == "place":
            return before or self._place_groups(spec, cls)
        kept = [g for g in before if len(rows_in(rows, g.subject_rows)[0])]
        had = self._union([g.subject_rows for g in kept])
        missing = np.setdiff1d(rows, had).astype(np.int32) if kept else rows
        made = self._groups(spec, cls, missing) if len(missing) else []
        # Two generations of rows, or rows that nobody asks for any more: a fresh build differs.
        alike = not kept or (not made and not len(np.setdiff1d(had, rows)))
        self.settled = self.settled and alike and spec not in self._mixed
        if kept and made:
            self._mixed.add(spec)
        elif not kept:
            self._mixed.discard(spec)
        return kept + made

    def _rows(self, rule: Rule) -> NDArray[np.int32]:
        if rule.subjects.series is not None:
            key = SeriesKey.of(rule.subjects)
            if key not in self.series:
                self.series[key] = self._make_series(key)
            # They come with their events; rules about the same ones share what they hear.
            return self._rows_of.setdefault(repr(key), np.zeros(0, np.int32))
        asked = repr(rule.subjects)
        if asked not in self._rows_of:
            self._rows_of[asked] = self._keep(self._selected(rule.subjects))
        return self._rows_of[asked]

    def _selected(self, selector: Selector) -> NDArray[np.int32]:
        """Return the registry rows (or place rows) that a selector watches."""
        if selector.grain == "subject":
            return watched_rows(self.registry, selector)
        prefixes = selector.place_prefixes
        names = self.registry.communities
        fits = [
            not prefixes or names[c].startswith(prefixes) for c in self.places.community.tolist()
        ]
        return np.flatnonzero(fits).astype(np.int32)

    def _groups(self, spec: Spec, cls: type[Detector], rows: NDArray[np.int32]) -> list[Group]:
        """Return the groups of a subject-grain detector: one per set of meter classes."""
        usable = [self._usable(cls, spec, c) for c in self.registry.classes]
        bits = sum(1 << i for i, channel in enumerate(usable) if channel is not None)
        mask = self._mask[rows] & np.uint64(bits)
        made: list[Group] = []
        for value in np.unique(mask).tolist():
            if value == 0:
                continue
            members = rows[mask == np.uint64(value)]
            classes = [i for i in range(len(usable)) if value >> i & 1]
            made += self._split(spec, cls, members, classes, usable)
        return made

    def _split(
        self,
        spec: Spec,
        cls: type[Detector],
        rows: NDArray[np.int32],
        classes: list[int],
        usable: list[int | None],
    ) -> list[Group]:
        """Make one group, or, for detectors that take the meter's slot, the finest class alone."""
        keys = self.registry.classes
        slot_s = cls.slot_s
        if slot_s is None:
            first = min(
                classes, key=lambda i: (keys[i].utility != "electricity", keys[i].interval_s, i)
            )
            slot_s = keys[first].interval_s
            classes = [
                i
                for i in classes
                if (keys[i].interval_s, keys[i].phase_s) == (slot_s, keys[first].phase_s)
                and (len(cls.channels) > 1 or keys[i].utility == keys[first].utility)
            ]
        subject_to_row = np.full(len(self.registry.subjects), -1, np.int32)
        subject_to_row[rows] = np.arange(len(rows), dtype=np.int32)
        meters = self.registry.meters
        feeds = []
        for index in classes:
            mine = (meters.class_index == index) & (meters.subject >= 0)
            group_row = np.where(mine, subject_to_row[np.where(mine, meters.subject, 0)], -1)
            pick = np.flatnonzero(group_row >= 0)
            channel = usable[index]
            assert channel is not None
            class_rows = self._keep(meters.class_row[pick])
            of_group = self._keep(group_row[pick].astype(np.int32))
            feeds.append((channel, index, keys[index].interval_s, class_rows, of_group))
        detector = cls(
            len(rows),
            interval_s=slot_s,
            zone=self._keep(self.registry.subjects.zone[rows]),
            key=self._keep(self.registry.key[rows]),
            fed=[channel for channel, *_ in feeds],
            **dict(spec.params),
        )
        join = getattr(detector, "join", None)
        if join is not None:
            join(self._sectors(rows))
        lateness_s = max(self.lateness_s[i] for i in classes)
        phase_s = keys[classes[0]].phase_s if slot_s == keys[classes[0]].interval_s else 0
        order = {c.utility: i for i, c in enumerate(cls.channels)}
        utilities = sorted({keys[i].utility for i in classes}, key=lambda u: (order.get(u, 99), u))
        return [
            Group(
                detector,
                self._keep(rows),
                feeds,
                lateness_s,
                phase_s,
                tuple(utilities),
                self._shared,
            )
        ]

    def _sectors(self, rows: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return a number per community and ``attrs.sector``: firms that are compared; −1 for none.

        A sector reaches no further than its community, since that is what a shard has whole.
        """
        subjects = self.registry.subjects
        named = [one.get("sector") for one in subjects.attrs.distinct]
        names = sorted({str(name) for name in named if name is not None})
        of_code = np.array([-1 if n is None else names.index(str(n)) for n in named], np.int64)
        sector = of_code[subjects.attrs.code[rows]]
        pair = subjects.community[rows].astype(np.int64) * len(names) + sector
        pools = np.unique(pair, return_inverse=True)[1].astype(np.int32)
        return np.where(sector < 0, np.int32(-1), pools)

    def _usable(self, cls: type[Detector], spec: Spec, key: ClassKey) -> int | None:
        """Return the channel that a meter class can fill, or None."""
        if spec.utilities and key.utility not in spec.utilities:
            return None
        slot_s = cls.slot_s or key.interval_s
        low, high = cls.interval_s_allowed
        if not low <= slot_s <= high or slot_s % key.interval_s:
            return None
        for i, channel in enumerate(cls.channels):
            if channel.utility in ("*", key.utility):
                return i
        return None

    def _series_group(self, spec: Spec, cls: type[Detector], rows: SeriesRows) -> Group:
        """Return the group of a detector of counts; its rows come with their events."""
        every_s = rows.use.every_s
        if cls.slot_s not in (None, every_s):
            raise BuildError(
                f"detector {spec.detector!r} works in slots of {cls.slot_s} s, the series that a "
                f"rule has it watch in slots of {every_s} s; set `every` to match"
            )
        params: dict[str, Any] = dict(spec.params)
        detector = cls(0, interval_s=every_s, **params)
        group = Group(detector, np.zeros(0, np.int32), [], series_lateness_s(self._lateness, rows))
        group.series = rows
        return group

    def _place_groups(self, spec: Spec, cls: type[Detector]) -> list[Group]:
        """Return the one group of a place-grain detector; the shard fills its census columns."""
        detector = cls(
            len(self.places),
            interval_s=cls.slot_s or 3600,
            zone=self._place_zone(),
            key=self.place_key,
            fed=None,
            **dict(spec.params),
        )
        if isinstance(detector, Adjudicate):  # groups of one community are judged together
            detector.join(self.places.community)
        rows = np.arange(len(self.places), dtype=np.int32)
        lateness_s = max(self.lateness_s, default=0)
        return [Group(detector, rows, [], lateness_s)]

    def _place_zone(self) -> NDArray[np.uint8]:
        zone = np.zeros(len(self.places), np.uint8)
        placed = self.places.meter_row >= 0
        zone[self.places.meter_row[placed]] = self.registry.meters.zone[placed]
        return zone

    # -- watches --------------------------------------------------------------------------

    def _watch(self, rule: Rule, rows: NDArray[np.int32]) -> Watch:
        compiled = CompiledRule(rule)
        speakers = {
            name: self._by_spec[Spec.of(use, rule.subjects)] for name, use in rule.signals.items()
        }
        if not rule.events and not compiled.unheard():
            rows = self._spoken_of(rows, [g for groups in speakers.values() for g in groups])
        primary = next(iter(rule.signals), None)
        heard = {
            name: self._listen(
                rows, groups, rule.subjects, counted=rule.budget is not None and name == primary
            )
            for name, groups in speakers.items()
        }
        counted = rule.subjects.series is not None
        series = self.series[SeriesKey.of(rule.subjects)] if counted else None
        return Watch(compiled, rows, heard, initial_price(rule), series)

    def _listen(
        self, rows: NDArray[np.int32], groups: list[Group], subjects: Selector, *, counted: bool
    ) -> Heard:
        """Return what groups say of some rows: the same for all rules that ask for the same."""
        asked = (id(rows), tuple(map(id, groups)), counted)
        if asked not in self._heard:
            key = self.place_key if subjects.grain == "place" else self.registry.key
            links = [link for group in groups if (link := self._link(rows, group)) is not None]
            self._heard[asked] = Heard(rows, key, links, counted=counted)
        return self._heard[asked]

    def _link(self, rows: NDArray[np.int32], group: Group) -> Link | None:
        if group.series is not None:
            none = np.zeros(0, np.int32)
            return Link(group, none, none, whole=True)
        here, there = rows_in(rows, group.subject_rows)
        if not len(here):
            return None
        whole = len(here) == len(rows) == group.detector.rows
        rule_rows = self._keep(here.astype(np.int32))
        group_rows = self._keep(there.astype(np.int32))
        return Link(group, rule_rows, group_rows, whole)

    def _spoken_of(self, rows: NDArray[np.int32], groups: list[Group]) -> NDArray[np.int32]:
        """Return the rows that some group speaks of: of the others nothing will ever be said."""
        asked = repr((id(rows), sorted({id(group) for group in groups})))
        if asked not in self._rows_of:
            among = self._union([g.subject_rows for g in groups if g.series is None])
            self._rows_of[asked] = self._keep(rows[rows_in(rows, among)[0]])
        return self._rows_of[asked]


def series_lateness_s(lateness_s: Mapping[str, int], rows: SeriesRows) -> int:
    """Return how long after its end a slot of counts is due, seconds."""
    return lateness_s.get(f"events@{rows.use.every_s}", LATENESS_S)


def reducer(rule: Rule) -> PriceReducer | None:
    """Return the budget controller of a rule, or None for a rule without a budget."""
    primary = next(iter(rule.signals.values()), None)
    if rule.budget is None or primary is None:
        return None
    detector = lookup(primary.detector)
    prior: Any = getattr(detector, "prior_rate", None)
    if prior is None:
        raise BuildError(
            f"rule {rule.name!r} has a budget, but detector {primary.detector!r} ships no "
            "prior_rate; use a threshold on evidence instead"
        )
    weight = detector.prior_years / FLEET.prior_years
    params = replace(
        FLEET, prior_years=detector.prior_years, pool_events=FLEET.pool_events * weight
    )
    return PriceReducer(rule.budget.false_alerts_per_subject_year, prior, params)


def initial_price(rule: Rule) -> Price:
    """Return the price that holds until the first is published."""
    made = reducer(rule)
    return made.price if made is not None else Price(-1, 0, 0.0)


__all__ = [
    "BuildError",
    "Builder",
    "Channel",
    "PlaceRows",
    "Spec",
    "initial_price",
    "reducer",
    "watched_rows",
]
