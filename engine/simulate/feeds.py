"""Event feeds of the town: weather, complaints, police calls, vehicles, declared absences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine.simulate.config import TownConfig
from engine.simulate.happenings import Happening
from engine.simulate.homes import DAY_S, Calendar
from engine.simulate.keyed import stream
from engine.simulate.layout import Layout, Subject

TOPICS = {"noise": 0.10, "rubbish": 0.14, "parking": 0.12, "dispute": 0.04, "water_supply": 0.02}
"""Complaints per grid and day; DOMAIN.md 4 has repeats at about a fifth."""
POLICE_TOPICS = {"quarrel": 0.05, "lost_property": 0.04, "nuisance": 0.06}
_HOURLY = np.array([1, 1, 1, 1, 1, 1, 2, 4, 7, 9, 9, 8, 6, 6, 7, 8, 8, 7, 6, 6, 6, 5, 3, 2], float)


@dataclass(slots=True)
class EventRow:
    """One event; seconds since the first midnight."""

    event_id: str
    ts_s: float
    kind: str
    subject_id: str = ""
    place: str = ""
    attrs: dict[str, Any] = field(default_factory=dict)


def event_rows(
    config: TownConfig,
    layout: Layout,
    calendar: Calendar,
    happened: Sequence[Happening],
    seed: int,
    at: Any,
) -> list[EventRow]:
    """Return all events, sorted by time.

    Parameters
    ----------
    at : callable
        Seconds since the first midnight → ISO 8601 text, for times inside attributes.
    """
    rows: list[EventRow] = []
    if config.weather:
        for hour, temp in enumerate(calendar.temp_c):
            rows.append(
                EventRow(f"weather-{hour:06d}", hour * 3600.0, "weather", place=config.county,
                         attrs={"temp_c": round(float(temp), 1)})
            )  # fmt: skip
    rows.extend(_declared(happened, seed, at))
    if config.feeds:
        for grid in layout.grids:
            rows.extend(_calls(grid, calendar, happened, seed))
        for subject in layout.subjects:
            if subject.kind in ("plant", "closed_plant"):
                closed = config.closed_on_day if subject.kind == "closed_plant" else None
                rows.extend(_vehicles(subject, calendar, happened, seed, closed))
    rows.sort(key=lambda r: (r.ts_s, r.event_id))
    return rows


def _declared(happened: Sequence[Happening], seed: int, at: Any) -> list[EventRow]:
    rows = []
    for n, happening in enumerate(happened):
        what = happening.details.get("declared")
        times = {"from": at(happening.start_s), "to": at(happening.end_s)}
        if happening.kind in ("visit", "holiday") and what:
            early = float(stream(seed, happening.target, f"declared {happening.start_s}")
                          .uniform(1, 48)) * 3600  # fmt: skip
            attrs = {"from": times["from"], "until": times["to"], "source": "family"}
            rows.append(
                EventRow(f"absence-{happening.target}-{n}", max(happening.start_s - early, 0.0),
                         "absence", happening.target, attrs=attrs)
            )  # fmt: skip
        elif happening.kind == "power_cut" and what:
            rows.append(
                EventRow(f"power_cut-{happening.target}-{n}",
                         max(happening.start_s - 86_400, 0.0), "power_cut",
                         place=happening.target, attrs=times)
            )  # fmt: skip
        elif happening.kind == "approved_test":
            attrs = {**times, "kw": float(happening.details.get("kw", 50.0))}
            rows.append(
                EventRow(f"approved_test-{happening.target}-{n}",
                         max(happening.start_s - 2 * DAY_S, 0.0), "approved_test",
                         happening.target, attrs=attrs)
            )  # fmt: skip
    return rows


def _calls(
    grid: str, calendar: Calendar, happened: Sequence[Happening], seed: int
) -> list[EventRow]:
    rows = []
    hours = calendar.days * 24
    profile = np.tile(_HOURLY / _HOURLY.sum(), calendar.days)
    for kind, topics in (("complaint", TOPICS), ("police_call", POLICE_TOPICS)):
        for topic, per_day in topics.items():
            rng = stream(seed, grid, f"{kind} {topic}")
            liveliness = float(rng.lognormal(0, 0.5))
            rate = per_day * liveliness * profile
            count = stream(seed, grid, f"{kind} {topic} count").poisson(rate)
            for happening in happened:
                if (
                    kind == "complaint"
                    and happening.kind == "complaint_surge"
                    and grid.startswith(happening.target)
                    and happening.details.get("topic", "noise") == topic
                ):
                    first, last = int(happening.start_s // 3600), int(happening.end_s // 3600)
                    more = np.maximum(rate, per_day / 24)[first:last]
                    more = more * float(happening.details.get("factor", 5))
                    if "calls" in happening.details:
                        more = np.full(
                            last - first, float(happening.details["calls"]) / (last - first)
                        )
                    count[first:last] += stream(seed, grid, f"surge {happening.start_s}").poisson(
                        more
                    )
            when = np.repeat(np.arange(hours), count) * 3600.0
            when += rng.uniform(0, 3600, len(when))
            who = stream(seed, grid, f"{kind} {topic} who").random(len(when))
            houses = stream(seed, grid, f"{kind} {topic} where").random(len(when))
            for n, ts in enumerate(when):
                attrs: dict[str, Any] = {"topic": topic}
                if kind == "complaint":
                    attrs["caller"] = f"caller-{int(who[n] * 10_000):04d}"
                else:
                    attrs["police_matter"] = bool(who[n] < 0.6)
                place = f"{grid}{_building(houses[n]):03d}"
                rows.append(
                    EventRow(
                        f"{kind}-{grid}-{topic}-{n:05d}", float(ts), kind, place=place, attrs=attrs
                    )
                )
    for n, happening in enumerate(happened):
        if happening.kind == "repeat_complaint" and happening.target == grid:
            rng = stream(seed, grid, f"repeat {happening.start_s}")
            times = rng.uniform(happening.start_s, max(happening.end_s, happening.start_s + 1),
                                int(happening.details.get("times", 5)))  # fmt: skip
            first = int(rng.integers(10_000))
            callers = int(happening.details.get("callers", 1))
            topic = str(happening.details.get("topic", "dispute"))
            place = grid + str(happening.details.get("building", ""))
            for i, ts in enumerate(np.sort(times)):
                rows.append(
                    EventRow(f"complaint-{grid}-repeat{n}-{i:03d}", float(ts), "complaint",
                             place=place,
                             attrs={"topic": topic, "caller": f"caller-{first + i % callers:04d}"})
                )  # fmt: skip
        if happening.kind == "dispute" and happening.target == grid:
            rows.extend(_dispute(grid, n, happening, seed))
    return rows


def _building(draw: float) -> int:
    """Return the number of a building: a few of a grid's forty complain most."""
    return 1 + int(40 * draw**1.6)


def _dispute(grid: str, number: int, happening: Happening, seed: int) -> list[EventRow]:
    """Return what two neighbours say of one another, to the hotline and to the police."""
    rng = stream(seed, grid, f"dispute {happening.start_s}")
    place = grid + str(happening.details.get("building", "001"))
    times = np.sort(rng.uniform(happening.start_s, max(happening.end_s, happening.start_s + 1), 5))
    one, two = (f"caller-{c:04d}" for c in rng.integers(10_000, size=2))
    told = [("complaint", "noise", one), ("complaint", "dispute", two),
            ("police_call", "quarrel", one), ("complaint", "noise", two),
            ("police_call", "quarrel", two)]  # fmt: skip
    rows = []
    for i, (ts, (kind, topic, caller)) in enumerate(zip(times, told, strict=True)):
        attrs: dict[str, Any] = {"topic": topic, "caller": caller}
        if kind == "police_call":
            attrs["police_matter"] = True
        rows.append(
            EventRow(
                f"{kind}-{grid}-dispute{number}-{i}", float(ts), kind, place=place, attrs=attrs
            )
        )
    return rows


def _vehicles(
    subject: Subject,
    calendar: Calendar,
    happened: Sequence[Happening],
    seed: int,
    closed_day: int | None,
) -> list[EventRow]:
    key = subject.subject_id
    days = np.arange(calendar.days)
    open_share = np.where(calendar.rest_day, 0.2, 1.0)
    if closed_day is not None:
        open_share = np.where(days >= closed_day, 0.03, open_share)
    trips: list[tuple[float, str]] = []
    for kind, per_day in (("goods", 4.0), ("hazmat", 0.8)):
        count = stream(seed, key, f"{kind} trips").poisson(per_day * open_share)
        hour = stream(seed, key, f"{kind} hours").uniform(7.5, 19, count.sum())
        when = np.repeat(days, count) * DAY_S + hour * 3600
        trips.extend((float(t), kind) for t in when)
    for happening in happened:
        if happening.kind == "covert_run" and happening.target == key:
            arrive = happening.start_s - stream(seed, key, f"lorry {happening.start_s}").uniform(
                600, 5400
            )
            trips.append((float(max(arrive, 0.0)), "hazmat"))
        if happening.kind == "gate_surge" and happening.target == key:
            rng = stream(seed, key, f"gate {happening.start_s}")
            many = int(happening.details.get("vehicles", 30))
            when = rng.uniform(happening.start_s, happening.end_s, many)
            trips.extend((float(t), str(happening.details.get("class", "goods"))) for t in when)
    rows = []
    for n, (arrive, kind) in enumerate(sorted(trips)):
        leave = arrive + float(stream(seed, key, f"stay {n}").uniform(900, 7200))
        for direction, ts in (("in", arrive), ("out", leave)):
            if ts < calendar.days * DAY_S:
                rows.append(
                    EventRow(f"vehicle-{key}-{n:05d}-{direction}", ts, "vehicle_gate", key,
                             subject.place, {"class": kind, "direction": direction})
                )  # fmt: skip
    return rows
