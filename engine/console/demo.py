"""The console of the demo: its accounts, its people, its clock."""

from __future__ import annotations

from pathlib import Path

from engine import library
from engine.config import Config
from engine.console.context import Console, EventClock
from engine.console.rehearsals import History
from engine.console.schemas import Text
from engine.console.serve import ServeError, Server, vault_of
from engine.curves import CurveReader
from engine.demo import NIGHT_NS, DemoTown, Pace
from engine.demo_desk import (
    Colleagues,
    add_accounts,
    add_people,
    read_truth,
    viewers_worker,
    work_off,
)
from engine.opening import open_store, snapshot_folder
from engine.watched import curves_folder, enter_contacts


def open_demo(
    town: DemoTown, store: str, pace: Pace, port: int
) -> tuple[Server, list[tuple[str, str, str]]]:
    """Return (server, accounts with their passwords) of the demo's console."""
    config = Config()
    rules = library.rules(None)
    snapshots = snapshot_folder(store)
    opened = open_store(store, rules, config, None, vault=vault_of(config, snapshots))
    console = Console(
        opened,
        config,
        clock=EventClock(event_ns=pace.now_ns, speed=pace.running),
        rules=rules,
        curves=CurveReader(curves_folder(config, snapshots)),
        history=lambda: History(
            readings=town.readings,
            meters=town.meters,
            subjects=town.subjects,
            events=(town.events,),
            places=town.places,
            workers=town.workers,
            to_ns=pace.now_ns(),
        ),
        simulated=Text(
            zh=f"演示：{town.simulated} 个对象为模拟，仅 {len(town.real)} 户（real-…）为真实读数（时间已平移）；"
            "人名、门牌、处置结果均为虚构。",
            en=f"Demo: {town.simulated} subjects are simulated; only {len(town.real)} homes (real-…) have "
            "real readings, moved in time; names, doors and past outcomes are invented.",
        ),
    )
    now_ns = town.live_from_ns
    worker = viewers_worker(opened, now_ns)
    colleagues = Colleagues(opened, read_truth(Path(town.truth)), worker, now_ns - NIGHT_NS)
    work_off(colleagues, now_ns)
    enter_contacts(opened, town.contacts, now_ns)
    add_people(opened, now_ns)
    accounts = add_accounts(opened, now_ns, worker)
    try:
        server = Server(console, "127.0.0.1", port, also=colleagues.turn)
    except ServeError:
        server = Server(console, "127.0.0.1", 0, also=colleagues.turn)
    return server, accounts
