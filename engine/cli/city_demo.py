"""`gridwarden city-demo`: real Kafka, PostgreSQL, Redis and Mosquitto, and all parts running."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from engine.city.demo import CityDemo

SERVERS = ("kafka", "postgres", "redis", "mosquitto")


@click.command("city-demo")
@click.option("--once", is_flag=True, help="Kill a worker and Redis by itself, sum up, and end.")
@click.option(
    "--seconds", type=click.FloatRange(10), help="Of live days; default: till Ctrl-C, or 40."
)
@click.option("--speed", type=click.FloatRange(1, 3600), default=600.0, show_default=True)
@click.option(
    "--folder", type=click.Path(path_type=Path), default=Path(".demo/city"), show_default=True
)
def city_demo(once: bool, seconds: float | None, speed: float, folder: Path) -> int:
    """Run a whole city on this machine: real servers, gateway, two workers, relay, console.

    The simulated town's past is read at full speed, then event time runs on and its meters send by
    MQTT and HTTP. Anything may be killed: it comes back, and nothing is lost. Without a terminal,
    or with --once, a worker and Redis are killed, and a summary says whether all of it is there.
    """
    import signal

    from rich.console import Console

    from engine.city.demo import CityDemo, empty
    from engine.language import pick

    console = Console(stderr=True)
    once = once or not console.is_terminal
    try:
        empty(folder.resolve())
    except FileExistsError as error:
        raise click.UsageError(str(error)) from None
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = time.monotonic()

    def say(zh: str, en: str) -> None:
        console.print(
            f"[dim]{time.monotonic() - began:5.1f} s[/dim]  {pick(zh, en)}", highlight=False
        )

    demo = CityDemo(folder.resolve(), speed, say)
    try:
        demo.open()
        console.print(_invitation(demo), highlight=False, soft_wrap=True)
        if once:
            return _once(console, demo, say, seconds or 40.0)
        _watch(console, demo, seconds)
    except KeyboardInterrupt:
        pass
    finally:
        say("正在停止", "stopping")
        demo.close()
    return 0


def _invitation(demo: CityDemo) -> str:
    from engine.language import pick

    lines = [f"  {name:<11}{password:<26}{role}" for name, role, password in demo.accounts]
    head = pick(
        f"[bold]城市在运行。指挥台：{demo.console_url}[/bold]（页面未构建时先运行 make console）\n"
        f"历史 {demo.history_rows:,} 条读数用了 {demo.history_s:.0f} 秒；现在时间以 {demo.speed:g} 倍速前行。\n"
        "账号与密码（仅本次演示有效）：",
        f"[bold]The city runs. Console: {demo.console_url}[/bold] (`make console` builds its pages)\n"
        f"The past, {demo.history_rows:,} readings, took {demo.history_s:.0f} s; time now runs at "
        f"{demo.speed:g} times its pace.\nAccounts and passwords (for this demo only):",
    )
    return "\n".join(["", head, *lines, ""])


def _try(demo: CityDemo) -> str:
    from engine.language import pick

    one = demo.parts["one"].process
    pid = one.pid if one is not None else "PID"
    kafka = demo.servers["kafka"]
    file = _short(demo.file)
    return pick(
        f"""试试（另开一个终端）：
  kill -9 {pid}                                       # 杀掉一个 worker：分片转到另一个，几秒后它自己回来
  gridwarden worker --config {file} --name three      # 第三个 worker 加入，Ctrl-C 离开
  kill -9 {_pid(demo, "redis")}                                       # Redis 没了：真相在 SQL，什么也不丢
  gridwarden tasks list --store {demo.config.store}
  gridwarden relay --config {file} --list
  Kafka：{kafka.address}，主题 gridwarden.alerts、gridwarden.tasks（CloudEvents）；日志：{_short(demo.folder)}/*.log""",
        f"""What to try (in another terminal):
  kill -9 {pid}                                       # a worker: its shards go to the other one; it comes back
  gridwarden worker --config {file} --name three      # a third worker joins; Ctrl-C and it leaves
  kill -9 {_pid(demo, "redis")}                                       # Redis: the truth is in SQL, nothing is lost
  gridwarden tasks list --store {demo.config.store}
  gridwarden relay --config {file} --list
  Kafka {kafka.address}, topics gridwarden.alerts, gridwarden.tasks (CloudEvents); logs {_short(demo.folder)}/*.log""",
    )


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _pid(demo: CityDemo, server: str) -> str:
    found = demo.servers.get(server)
    return str(found.process.pid) if found is not None and found.process is not None else "PID"


# -- the live view ---------------------------------------------------------------------------------


def _watch(console: Any, demo: CityDemo, seconds: float | None) -> None:
    from rich.live import Live

    view = View(demo)
    began = time.monotonic()
    with Live(console=console, refresh_per_second=4, transient=False) as live:
        while seconds is None or time.monotonic() - began < seconds:
            demo.tend()
            demo.work()
            view.revive_servers()
            live.update(view.render())
            time.sleep(0.5)


class View:
    """What the terminal shows."""

    def __init__(self, demo: CityDemo) -> None:
        self.demo = demo
        self._rates: list[tuple[float, int]] = []
        self._down: dict[str, float] = {}

    def revive_servers(self) -> None:
        """Start servers again that somebody killed."""
        for name, server in self.demo.servers.items():
            if server.process is not None and server.process.poll() is not None:
                since = self._down.setdefault(name, time.monotonic())
                if time.monotonic() - since > 8.0:
                    server.start()
                    del self._down[name]

    def render(self) -> Any:
        """Return the whole view."""
        from rich.console import Group
        from rich.text import Text

        return Group(
            self._head(), self._parts(), self._shards(), self._alerts(), Text(_try(self.demo))
        )

    def _head(self) -> Any:
        from datetime import datetime
        from zoneinfo import ZoneInfo

        from rich.text import Text

        from engine.language import pick

        demo = self.demo
        at = datetime.fromtimestamp(demo.now_ns() / 1e9, ZoneInfo("Asia/Shanghai"))
        now, sent = time.monotonic(), demo.feed.sent
        self._rates = [*self._rates[-20:], (now, sent)]
        (t0, n0), (t1, n1) = self._rates[0], self._rates[-1]
        rate = (n1 - n0) / (t1 - t0) if t1 > t0 else 0.0
        over = pick("，模拟数据已放完", ", the simulated days are over") if demo.feed.over else ""
        return Text(
            pick(
                f"{at:%m-%d %H:%M}（{demo.speed:g} 倍速{over}）  已确认 {sent:,} 条（{rate:,.0f}/秒），"
                f"途中 {demo.feed.waiting:,}",
                f"{at:%m-%d %H:%M} ({demo.speed:g} ×{over})  {sent:,} readings acknowledged "
                f"({rate:,.0f}/s), {demo.feed.waiting:,} on their way",
            ),
            style="bold",
        )

    def _parts(self) -> Any:
        from rich.table import Table

        from engine.language import pick

        demo = self.demo
        table = Table(box=None, pad_edge=False)
        for name in (pick("进程", "process"), "PID", pick("状态", "state"), ""):
            table.add_column(name)
        for name in SERVERS:
            server = demo.servers.get(name)
            if server is None:
                table.add_row(name, "", f"[yellow]{pick('没有', 'not here')}[/yellow]", "")
            else:
                up = server.process is not None and server.process.poll() is None
                table.add_row(name, _pid(demo, name), _state(up), server.address)
        held: dict[str, int] = {}
        for row in self._rows():
            held[row.holder] = held.get(row.holder, 0) + 1
        for name, part in demo.parts.items():
            about = ""
            if name in ("one", "two"):
                about = pick(f"{held.get(name, 0)} 个分片", f"{held.get(name, 0)} shards")
            if part.restarts:
                about += pick(f"，重启 {part.restarts} 次", f", started again {part.restarts} ×")
            pid = str(part.process.pid) if part.process is not None else ""
            label = f"worker {name}" if name in ("one", "two") else name
            table.add_row(label, pid, _state(part.running), about)
        return table

    def _rows(self) -> list[Any]:
        try:
            return self.demo.store.shards()
        except Exception:
            return []  # PostgreSQL was killed; the table above says so

    def _shards(self) -> Any:
        from rich.text import Text

        from engine.language import pick

        now_ns, cells = self.demo.now_ns(), []
        for row in self._rows():
            behind = max(0.0, (now_ns - row.clock_ns) / 60e9)
            style = "green" if behind < 20 else "yellow" if behind < 90 else "red"
            cells.append(Text(f" {row.shard}·{row.holder}·{behind:.0f}min ", style=style))
        title = Text(pick("分片·worker·落后：", "shard·worker·behind: "), style="dim")
        return Text.assemble(title, *cells)

    def _alerts(self) -> Any:
        from rich.table import Table

        from engine.language import language

        table = Table(box=None, pad_edge=False, show_header=False)
        try:
            store = self.demo.store
            rows = store.tasks.list()
            newest = sorted(rows, key=lambda task: -task.opened_ns)[:6]
            backlog = store.deliveries.backlog()
        except Exception:
            return table
        waiting = ", ".join(f"{name} {b.waiting}" for name, b in backlog.items()) or "0"
        open_ = sum(task.open for task in rows)
        if language() == "zh":
            table.add_row("", f"任务 {len(rows)}（未结 {open_}），待通知 {waiting}")
        else:
            table.add_row("", f"{len(rows)} tasks ({open_} open), to be told: {waiting}")
        colours = {"red": "bold red", "orange": "dark_orange", "yellow": "yellow", "blue": "blue"}
        for task in newest:
            why = task.reason_zh if language() == "zh" else task.reason_en
            table.add_row(f"[{colours[task.level]}]●[/]", f"{task.subject_id or task.place}  {why}")
        return table


def _state(up: bool) -> str:
    from engine.language import pick

    return f"[green]{pick('运行', 'up')}[/]" if up else f"[red]{pick('停了', 'down')}[/]"


# -- by itself -------------------------------------------------------------------------------------


def _once(console: Any, demo: CityDemo, say: Any, seconds: float) -> int:
    """Run for a while, kill a worker and Redis, sum up."""
    from engine.language import pick
    from engine.tasks import TaskState

    began = time.monotonic()
    acts = [(0.25, "one"), (0.5, "redis")]
    while (now := time.monotonic() - began) < seconds:
        demo.tend()
        demo.work()
        while acts and now > acts[0][0] * seconds:
            _kill(demo, acts.pop(0)[1], say)
        time.sleep(0.2)
    say("不再发送，等全部处理完", "nothing more is sent; waiting until all of it is through")
    settled = demo.settle()
    store = demo.store
    tasks = store.tasks.list(states=[str(state) for state in TaskState])
    # An alert that fires on after its task was closed is visited again: that is none too many.
    going = [task.alert_id for task in store.tasks.list()]
    doubled = len(going) - len(set(going))
    left = demo.feed.waiting
    console.print(
        pick(
            f"\n发送并确认 {demo.feed.sent:,} 条读数、{demo.feed.events} 个事件；未确认 {left}。\n"
            f"预警 {len(store.alerts()):,} 个，任务 {len(tasks)} 个，重复 {doubled} 个；"
            f"全部通知完毕：{'是' if settled else '否'}。",
            f"\n{demo.feed.sent:,} readings and {demo.feed.events} events sent and acknowledged; "
            f"{left} not.\n{len(store.alerts()):,} alerts, {len(tasks)} tasks, {doubled} of them "
            f"doubled; everybody told: {'yes' if settled else 'NO'}.",
        ),
        highlight=False,
    )
    console.print(_try(demo), highlight=False, soft_wrap=True)
    sys.stderr.flush()
    return 0 if settled and not doubled and not left else 3


def _kill(demo: CityDemo, name: str, say: Any) -> None:
    if name == "redis":
        server = demo.servers.get("redis")
        if server is None:
            return
        say(
            "杀掉 Redis（连同数据），再启动一个空的",
            "killing Redis with all it has, starting an empty one",
        )
        server.kill()
        for file in server.folder.rglob("*.aof"):
            file.unlink()
        for file in server.folder.rglob("*.manifest"):
            file.unlink()
        server.start()
        return
    part = demo.parts[name]
    if part.process is not None:
        say(f"kill -9 worker {name}", f"kill -9 worker {name}")
        part.process.kill()
        part.process.wait()
