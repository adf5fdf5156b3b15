"""Opening a store with the desk that turns its alerts into tasks."""

from __future__ import annotations

from pathlib import Path

from connectors.people import read_workers
from engine import library
from engine.config import Config
from engine.desk import Desk
from engine.hours import CalendarHours, WorkHours, work_days
from engine.inputs import layout_of
from engine.roster import GRIDWORKER, Worker
from engine.store import Store, Vault
from rules.model import RuleSet

SHIFTS = {"day": "08:00-20:00", "night": "20:00-08:00", "always": "", "": ""}
"""Words for shifts in a workers file; anything else is read as hours."""


def desk_of(rules: RuleSet, config: Config, zone: str = "Asia/Shanghai") -> Desk:
    """Return how alerts become tasks under these rules; work days are those of the calendar."""
    days = work_days(library.calendars(config.calendars), config.calendar)
    return Desk(
        rules=rules,
        queue=config.queue,
        layout=layout_of(config),
        zone=zone,
        hours={"calendar": CalendarHours(), "work": WorkHours(zone=zone, work_day=days)},
        shadow_places=config.rules.shadow_places,
    )


def open_store(
    url: str,
    rules: RuleSet,
    config: Config,
    workers: str | None,
    zone: str = "Asia/Shanghai",
    vault: Vault | None = None,
) -> Store:
    """Open a store with a desk for these rules, and enter the workers of a file."""
    desk = desk_of(rules, config, zone)
    store = Store.open(url, desk=desk, vault=vault)
    if workers is not None:
        store.rosters.put_workers(workers_of(workers))
    return store


def workers_of(path: str) -> list[Worker]:
    """Return the workers of a file."""
    table = read_workers(path)
    rows = zip(
        table.worker_id.to_pylist(),
        table.person.to_pylist(),
        table.grids.to_pylist(),
        table.role.to_pylist(),
        table.shift.to_pylist(),
        table.stand_in.to_pylist(),
        strict=True,
    )
    return [
        Worker(
            worker_id=worker_id,
            name=name or "",
            grids=tuple(grids or ()),
            role=role or GRIDWORKER,
            shift=SHIFTS.get((shift or "").strip().lower(), shift or ""),
            stand_in=stand_in or None,
        )
        for worker_id, name, grids, role, shift, stand_in in rows
    ]


def snapshot_folder(url: str) -> Path:
    """Return the folder of snapshots beside a store: next to a SQLite file, else ./snapshots."""
    if url.startswith("sqlite:///"):
        return Path(url.removeprefix("sqlite:///") + ".snapshots")
    return Path("snapshots")
