"""`gridwarden demo`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from engine.demo import DemoTown
    from rules.alerts import AlertChange

MARKS = {"red": "●", "orange": "▲", "yellow": "■", "blue": "◆"}
STYLES = {"red": "bold red", "orange": "dark_orange", "yellow": "yellow", "blue": "blue"}
LIVE_SECONDS = 12.0
"""How long the live days take on a terminal."""


@click.command()
@click.option("--once", is_flag=True, help="Print the summary and end, also on a terminal.")
@click.option("--folder", type=click.Path(path_type=Path), default=Path(".demo"), show_default=True)
def demo(once: bool, folder: Path) -> int:
    """Show the main job on a laptop: real meter readings become explained alerts in a queue.

    Two real British homes (half-hourly, from the opendsm package) live among the neighbours of a
    simulated town. Event time runs fast; alerts appear as they arise.
    """
    from rich.console import Console

    from connectors.progress import Progress
    from engine import demo as town_demo
    from engine.config import Config
    from engine.language import pick, say

    console = Console(width=None if sys.stdout.isatty() else 110)
    watched = sys.stdout.isatty() and not once
    store_file = folder / "gridwarden.db"
    _clean(folder)
    with console.status(say("building")):
        town = town_demo.build(folder)
    console.print(_banner(town), highlight=False)
    printer = _Printer(console, town)
    with Progress(pick("回放", "replay")) as progress:
        _, result = town_demo.run(
            town,
            Config(),
            store=f"sqlite:///{store_file}",
            on_lines=printer,
            on_progress=lambda rows, at: progress.update(rows, at),
            speed=5 * 86_400 / LIVE_SECONDS if watched else 0.0,
        )
    from engine.cli.replay import print_summary

    _tasks(console, f"sqlite:///{store_file}")
    print_summary(result, stdout_taken=False)
    console.print(_next(folder), highlight=False)
    return 0 if result.reconciled else 3


def _clean(folder: Path) -> None:
    """Remove what an earlier demo left in its own folder."""
    import shutil

    marker = folder / ".gridwarden-demo"
    if folder.exists() and any(folder.iterdir()) and not marker.exists():
        raise click.UsageError(
            f"{folder} exists and is not a demo's folder; choose another --folder"
        )
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    marker.touch()


def _banner(town: DemoTown) -> str:
    from engine.language import pick

    return pick(
        f"[bold]模拟小镇[/bold]：{town.simulated} 个模拟对象（独居老人、出租房、停产企业……），"
        f"以及 {len(town.real)} 户真实住户（英国半小时电表，编号 real-…，时间已平移）。"
        "除这两户外，全部数据均为模拟。",
        f"[bold]A simulated town[/bold]: {town.simulated} simulated subjects (elderly homes, rentals, "
        f"a closed plant …) and {len(town.real)} real homes (British half-hourly meters, ids real-…, "
        "moved in time). Everything but these two is simulated.",
    )


class _Printer:
    """Prints alerts of the live days as they arise."""

    def __init__(self, console: Any, town: DemoTown) -> None:
        self.console = console
        self.town = town
        self.shown = 0

    def __call__(self, lines: Sequence[AlertChange]) -> None:
        from datetime import datetime
        from zoneinfo import ZoneInfo

        from engine.language import language

        lang = language()
        for line in lines:
            at = datetime.fromisoformat(line.at)
            if at.timestamp() * 1e9 < self.town.live_from_ns:
                continue
            local = at.astimezone(ZoneInfo("Asia/Shanghai"))
            style = STYLES[line.level] if line.state == "firing" else "dim"
            mark = MARKS[line.level] if line.state == "firing" else "✓"
            who = line.subject_id or line.place
            self.console.print(
                f"[{style}]{mark} {local:%m-%d %H:%M}  {line.rule}  {who}[/{style}]\n"
                f"    {line.reason[lang]}",
                highlight=False,
            )
            self.shown += 1


def _tasks(console: Any, store: str) -> None:
    """Show who got which task and why."""
    from rich.table import Table

    from engine.language import language, say
    from engine.store import Store

    lang = language()
    table = Table(title=say("tasks"), title_justify="left", show_lines=False)
    for name in ("worker", "level", "subject", "state", "why"):
        table.add_column(say(name), overflow="fold")
    with Store.open(store) as opened:
        names = {w.worker_id: w.name for w in opened.rosters.workers()}
        tasks = opened.tasks.list()
        for task in tasks[-15:]:
            worker = task.assignee or "—"
            why = task.reason_zh if lang == "zh" else task.reason_en
            table.add_row(
                f"{names.get(worker, '')} {worker}".strip(),
                f"{MARKS[task.level]} {task.level}",
                task.subject_id or task.place,
                str(task.state),
                why,
            )
    console.print(table)
    if len(tasks) > 15:
        console.print(say("more_tasks", n=len(tasks) - 15), highlight=False)


def _next(folder: Path) -> str:
    from engine.language import pick

    return pick(
        f"""接下来可以试试：
  gridwarden tasks list --store sqlite:///{folder}/gridwarden.db
  gridwarden audit {folder}/alerts.ndjson --sample 5
  open {folder}/report.html           # 带曲线的报告
  gridwarden rules check              # 规则库""",
        f"""What to try next:
  gridwarden tasks list --store sqlite:///{folder}/gridwarden.db
  gridwarden audit {folder}/alerts.ndjson --sample 5
  open {folder}/report.html           # the report, with curves
  gridwarden rules check              # the rule library""",
    )
