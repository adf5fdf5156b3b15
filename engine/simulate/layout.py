"""Who is where: places, subjects, meters, workers and contacts of a simulated town."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from engine.simulate.config import TownConfig
from engine.simulate.keyed import stream

PREFIX = {
    "elderly_alone": "elder",
    "home": "home",
    "rental": "rental",
    "vacant": "vacant",
    "plant": "plant",
    "closed_plant": "closed",
    "air_sensor": "air",
}
SURNAMES = "赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨朱秦许何吕施张孔曹严华金魏陶姜"
GIVEN = "明芳伟娜强丽军敏静杰涛艳勇霞平梅辉燕波玲"
STREETS = ("松溪", "荷塘", "柳湾", "石桥", "云林", "青浦", "竹里", "梅岭")
COMMUNITIES = ("东", "西", "南", "北", "中", "新", "古", "上")


@dataclass(frozen=True, slots=True)
class Subject:
    """A home or plant of the town."""

    subject_id: str
    kind: str
    place: str
    concentrator: str
    attrs: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Meter:
    """A meter of the town; columns as in the meters file."""

    meter_id: str
    subject_id: str
    utility: str
    kind: str
    unit: str
    interval_s: int
    multiplier: float
    stamp: str
    register_max: float | None
    concentrator: str


@dataclass(frozen=True, slots=True)
class Layout:
    """All that stands still in a town."""

    places: list[dict[str, str]]
    grids: list[str]
    communities: list[str]
    concentrators: dict[str, str]
    """Concentrator → community."""
    subjects: list[Subject]
    meters: list[Meter]
    workers: list[dict[str, str]]
    contacts: list[dict[str, Any]]


def lay_out(config: TownConfig, seed: int) -> Layout:
    """Lay out the town; a subject's place and meters depend on its own number alone."""
    places, grids, communities = _places(config)
    per_community = config.concentrators_per_community
    concentrators = {
        f"conc-{community}-{n + 1}": community
        for community in communities
        for n in range(per_community)
    }
    counts = {
        "elderly_alone": config.elderly,
        "home": config.homes,
        "rental": config.rentals,
        "vacant": config.vacant,
        "plant": config.plants,
        "closed_plant": config.closed_plants,
        "air_sensor": config.sensors,
    }
    subjects: list[Subject] = []
    meters: list[Meter] = []
    for kind, count in counts.items():
        for number in range(count):
            subject = _subject(config, kind, number, grids)
            subjects.append(subject)
            meters.extend(_meters(config, seed, subject))
    return Layout(
        places,
        grids,
        communities,
        concentrators,
        subjects,
        meters,
        _workers(seed, grids),
        _contacts(seed, subjects),
    )


def _places(config: TownConfig) -> tuple[list[dict[str, str]], list[str], list[str]]:
    def row(place: str, parent: str, name: str, level: str) -> dict[str, str]:
        return {"place": place, "parent": parent, "name": name, "level": level}

    rows = [row(config.county, "", "模拟区", "county")]
    grids, communities = [], []
    for s in range(config.streets):
        street = f"{config.county}{s + 1:03d}"
        name = f"{STREETS[s % len(STREETS)]}{s // len(STREETS) or ''}街道"
        rows.append(row(street, config.county, name, "street"))
        for c in range(config.communities_per_street):
            community = f"{street}{c + 1:03d}"
            name_c = f"{STREETS[s % len(STREETS)]}{COMMUNITIES[c % 8]}{c // 8 or ''}社区"
            rows.append(row(community, street, name_c, "community"))
            communities.append(community)
            for g in range(config.grids_per_community):
                grid = f"{community}{g + 1:03d}"
                rows.append(row(grid, community, f"{name_c[:-2]}{g + 1}网格", "grid"))
                grids.append(grid)
    return rows, grids, communities


def _subject(config: TownConfig, kind: str, number: int, grids: list[str]) -> Subject:
    # consecutive numbers go to different communities, so that small towns are mixed everywhere
    per_community = config.grids_per_community
    communities = len(grids) // per_community
    community, grid = number % communities, (number // communities) % per_community
    place = grids[community * per_community + grid]
    concentrator = (
        f"conc-{place[:-3]}-{1 + number // communities % config.concentrators_per_community}"
    )
    attrs: dict[str, Any] = {"simulated": True}
    if kind == "closed_plant":
        closed = config.start + timedelta(days=config.closed_on_day)
        attrs["closed_on"] = closed.isoformat()
    subject_id = f"{PREFIX[kind]}-{number + 1:04d}"
    return Subject(subject_id, kind, place, concentrator, attrs)


def _meters(config: TownConfig, seed: int, subject: Subject) -> list[Meter]:
    if subject.kind == "air_sensor":
        name = subject.subject_id
        return [
            Meter(f"{name}-pm25", name, "pm25", "interval", "ug_m3", 3600, 1.0, "start", None,
                  f"{subject.concentrator}-air")
        ]  # fmt: skip
    rng = stream(seed, subject.subject_id, "meters")
    draws = rng.random(4)
    plant = subject.kind in ("plant", "closed_plant")
    register = bool(draws[0] < config.register_share)
    electricity = Meter(
        f"{subject.subject_id}-e",
        subject.subject_id,
        "electricity",
        "register" if register else "interval",
        "kWh",
        config.electricity_interval_s,
        (40.0, 60.0, 80.0, 120.0)[int(draws[3] * 4)] if plant else 1.0,
        "end" if register else "start",
        999_999.999 if register else None,
        subject.concentrator,
    )
    meters = [electricity]
    if plant:
        return meters
    # water and gas meters run on batteries and report through a radio of their own
    radio = f"{subject.concentrator}-radio"
    if draws[1] < config.water_share:
        meters.append(
            Meter(f"{subject.subject_id}-w", subject.subject_id, "water", "register", "l",
                  config.water_interval_s, 1.0, "end", 99_999_999.0, radio)
        )  # fmt: skip
    if draws[2] < config.gas_share:
        meters.append(
            Meter(f"{subject.subject_id}-g", subject.subject_id, "gas", "register", "m3",
                  config.gas_interval_s, 1.0, "end", 99_999.999, radio)
        )  # fmt: skip
    return meters


def _workers(seed: int, grids: list[str]) -> list[dict[str, str]]:
    rows = []
    for n, grid in enumerate(grids):
        rng = stream(seed, grid, "worker")
        name = SURNAMES[rng.integers(len(SURNAMES))] + "".join(
            GIVEN[i] for i in rng.integers(len(GIVEN), size=2)
        )
        rows.append(
            {
                "worker_id": f"worker-{n + 1:03d}",
                "name": name,
                "grids": grid,
                "phone": f"000-0000-{n + 1:04d}",
                "role": "gridworker",
                "shift": "day",
                "stand_in": f"worker-{(n + 1) % len(grids) + 1:03d}",
            }
        )
    return rows


def _contacts(seed: int, subjects: list[Subject]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for subject in subjects:
        if subject.kind != "elderly_alone":
            continue
        rng = stream(seed, subject.subject_id, "contacts")
        relations = ["self", str(rng.choice(["daughter", "son", "neighbour"]))]
        for order, relation in enumerate(relations, 1):
            rows.append(
                {
                    "subject_id": subject.subject_id,
                    "order": order,
                    "relation": relation,
                    "phone": f"000-{rng.integers(1000, 9999)}-{rng.integers(1000, 9999)}",
                    "consent": bool(rng.random() < 0.9),
                }
            )
    return rows
