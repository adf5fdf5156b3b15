"""`gridwarden demo`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from engine.demo import DemoTown
    from engine.replay import ReplayResult
    from rules.alerts import AlertChange

MARKS = {"red": "●", "orange": "▲", "yellow": "■", "blue": "◆"}
STYLES = {"red": "bold red", "orange": "dark_orange", "yellow": "yellow", "blue": "blue"}
SPEED = 30.0
"""Event seconds per second of the live days, on a terminal."""


@click.command()
@click.option("--once", is_flag=True, help="Print the summary and end, also on a terminal.")
@click.option("--folder", type=click.Path(path_type=Path), default=Path(".demo"), show_default=True)
@click.option(
    "--speed",
    type=click.FloatRange(1, 100_000),
    default=SPEED,
    show_default=True,
    help="Event seconds per second of the live days.",
)
@click.option("--port", type=click.IntRange(0, 65_535), default=8460, show_default=True)
def demo(once: bool, folder: Path, speed: float, port: int) -> int:
    """Show the main job on a laptop: real meter readings become explained alerts in a queue.

    Two real British homes (half-hourly, from the opendsm package) live among the neighbours of a
    simulated town. Event time runs fast; alerts appear as they arise. On a terminal the console is
    open meanwhile, at the address that is printed, until Ctrl-C.
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
    store = f"sqlite:///{store_file}"
    if watched:
        result = _perform(console, town, store, printer, speed, port)
    else:
        with Progress(pick("回放", "replay")) as progress:
            _, result = town_demo.run(
                town, Config(), store=store, on_lines=printer, on_progress=progress.update
            )
    from engine.cli.replay import print_summary

    _tasks(console, f"sqlite:///{store_file}")
    print_summary(result, stdout_taken=False, hint=False)
    console.print(_next(folder, watched), highlight=False)
    return 0 if result.reconciled else 3


def _perform(
    console: Any, town: DemoTown, store: str, printer: _Printer, speed: float, port: int
) -> ReplayResult:
    """Replay the past, then let the live days run with the console open; return what it came to."""
    from connectors.progress import Progress
    from engine import demo as town_demo
    from engine.config import Config
    from engine.console.demo import open_demo
    from engine.language import pick

    pace = town_demo.Pace(town.live_from_ns, speed)
    progress = Progress(pick("回放", "replay"))
    opened: list[Any] = []

    def live() -> None:
        progress.__exit__(None, None, None)
        server, accounts = open_demo(town, store, pace, port)
        opened.append(server)
        server.start()
        console.print(_invitation(server.url, accounts, speed), highlight=False)

    def moved(rows: int, at_ns: int | None) -> None:
        if not opened:
            progress.update(rows, at_ns)

    progress.__enter__()
    try:
        _, result = town_demo.perform(
            town, Config(), store=store, on_lines=printer, on_progress=moved, on_live=live,
            pace=pace,
        )  # fmt: skip
    finally:
        for server in opened:
            server.close()
            server.console.store.close()
    return result


def _invitation(url: str, accounts: list[tuple[str, str, str]], speed: float) -> str:
    from engine.language import pick

    lines = [f"  {name:<11}{password:<26}{role}" for name, role, password in accounts]
    head = pick(
        f"[bold]指挥台已打开：{url}[/bold]\n时间以 {speed:g} 倍速前行，预警随时出现；按 Ctrl-C 结束。\n"
        "其他网格员由模拟同事担任；worker 的任务留给你：用手机尺寸打开 "
        f"{url}m 。\n账号与密码（仅本次演示有效）：",
        f"[bold]The console is open: {url}[/bold]\nTime runs at {speed:g} times its pace, alerts "
        "appear as they arise; Ctrl-C ends it.\nSimulated colleagues do the other gridworkers' "
        f"tasks; those of `worker` are left to you, at {url}m in a phone-sized window.\n"
        "Accounts and passwords (for this demo only):",
    )
    return "\n".join(["", head, *lines, ""])


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
    """Prints alerts as they arise: of the past each one's first line, of the live days every line.

    Parameters
    ----------
    console : rich.console.Console
    town : DemoTown
    """

    def __init__(self, console: Any, town: DemoTown) -> None:
        self.console = console
        self.town = town
        self.shown = 0
        self._live = False

    def __call__(self, lines: Sequence[AlertChange]) -> None:
        """Print what of these lines is worth a look."""
        for line in lines:
            at = datetime.fromisoformat(line.at)
            live = at.timestamp() * 1e9 >= self.town.live_from_ns
            # How hundreds of alerts of the past went on would bury those that a user waits for.
            if live or line.seq == 1:
                self._announce(live)
                self._print(line, at)
                self.shown += 1

    def _announce(self, live: bool) -> None:
        """Say once which part of the demo the alerts that follow are from."""
        from engine.language import say

        if not self.shown or live != self._live:
            self.console.print(f"[dim]{say('demo_live' if live else 'demo_past')}[/dim]")
        self._live = live

    def _print(self, line: AlertChange, at: datetime) -> None:
        from zoneinfo import ZoneInfo

        from engine.language import language

        local = at.astimezone(ZoneInfo("Asia/Shanghai"))
        style = STYLES[line.level] if line.state == "firing" else "dim"
        mark = MARKS[line.level] if line.state == "firing" else "✓"
        who = line.subject_id or line.place
        self.console.print(
            f"[{style}]{mark} {local:%m-%d %H:%M}  {line.rule}  {who}[/{style}]\n"
            f"    {line.reason[language()]}",
            highlight=False,
        )


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


def _next(folder: Path, watched: bool) -> str:
    from engine.language import pick

    again = watched and pick(
        "演示已结束；再看一次：make demo（每次从头开始，内容相同）\n",
        "The demo has ended; `make demo` shows it again from the start.\n",
    )
    # What people did on the console is not in the files: an audit over them alone would differ.
    audit = "" if watched else f"\n  gridwarden audit {folder}/alerts.ndjson --sample 5"
    return (again or "") + pick(
        f"""接下来可以试试：
  gridwarden tasks list --store sqlite:///{folder}/gridwarden.db{audit}
  open {folder}/report.html           # 带曲线的报告
  gridwarden rules check              # 规则库
  gridwarden serve --help             # 用自己的数据打开指挥台""",
        f"""What to try next:
  gridwarden tasks list --store sqlite:///{folder}/gridwarden.db{audit}
  open {folder}/report.html           # the report, with curves
  gridwarden rules check              # the rule library
  gridwarden serve --help             # the console, on data of your own""",
    )
