"""`gridwarden tasks`: the queue from a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from engine.words import STATES

if TYPE_CHECKING:
    from engine.store import Store
    from engine.tasks import Task

NS = 1_000_000_000
F = TypeVar("F", bound=Callable[..., Any])

LEVELS = {
    "red": ("■ 红", "■ red", "bold red"),
    "orange": ("▲ 橙", "▲ orange", "dark_orange"),
    "yellow": ("● 黄", "● yellow", "yellow"),
    "blue": ("◆ 蓝", "◆ blue", "blue"),
}
HELD = {
    "not_a_discovery": ("证据未达到误报率要求", "no discovery at the false-discovery rate"),
    "capacity": ("当日走访名额已满", "the day's visits are used up"),
}


@click.group()
def tasks() -> None:
    """Work on the gridworkers' queue from a terminal."""


def common(command: F) -> F:
    """Add the options of every command."""
    command = click.option("--json", "as_json", is_flag=True, help="JSON lines on stdout.")(command)
    return click.option(
        "--store",
        envvar="GRIDWARDEN_STORE",
        default="sqlite:///gridwarden.db",
        show_default=True,
        metavar="URL",
        help="Where the tasks are; also GRIDWARDEN_STORE.",
    )(command)


def acting(command: F) -> F:
    """Add the options of commands that change a task."""
    for option in (
        click.option("--key", metavar="K", help="The same key again changes nothing."),
        click.option("--at", metavar="T", help="When; default: the store's event time."),
        click.option("--by", envvar="GRIDWARDEN_USER", metavar="WHO", help="Default: your login."),
        click.argument("task_id", metavar="TASK"),
    ):
        command = option(command)
    return common(command)


# -- commands -----------------------------------------------------------------------------------


@tasks.command("list")
@click.option("--worker", metavar="W", help="Whose queue.")
@click.option("--place", metavar="P", help="A place code; all within it.")
@click.option("--subject", metavar="S", help="Tasks at one door.")
@click.option(
    "--state", "states", multiple=True, type=click.Choice(list(STATES)), help="Repeatable."
)
@click.option("--all", "everything", is_flag=True, help="Closed and cancelled ones too.")
@click.option("--held", is_flag=True, help="What was held back, and why, instead of tasks.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="At most so many.")
@common
def list_(
    worker: str | None,
    place: str | None,
    subject: str | None,
    states: tuple[str, ...],
    everything: bool,
    held: bool,
    limit: int | None,
    store: str,
    as_json: bool,
) -> None:
    """List tasks, the most pressing first."""
    wanted = list(STATES) if everything else list(states)
    with _open(store) as opened:
        if held:
            _show_held(opened, place, as_json)
            return
        found = opened.tasks.list(
            worker=worker, place=place, door=subject, states=wanted, limit=limit
        )
        _show(opened, found, as_json)


@tasks.command()
@click.argument("task_id", metavar="TASK")
@common
def show(task_id: str, store: str, as_json: bool) -> None:
    """Show a task with its history."""
    with _open(store) as opened:
        _show(opened, [opened.tasks.get(task_id)], as_json)
        _show_history(opened, task_id, as_json)


@tasks.command()
@acting
def sign(
    task_id: str, by: str | None, at: str | None, key: str | None, store: str, as_json: bool
) -> None:
    """Sign for a task: it is yours."""
    with _open(store) as opened:
        task = opened.tasks.sign(task_id, by=_who(by), at_ns=_when(opened, at, task_id), key=key)
        _show(opened, [task], as_json)


@tasks.command()
@click.option("--who", required=True, metavar="WHO", help="Who was called: resident, family …")
@click.option(
    "--result", required=True, metavar="R",
    help="reached, safe (all is well), help (is needed), no_answer, wrong_number, busy, "
    "message_sent.",
)  # fmt: skip
@acting
def contact(
    task_id: str, who: str, result: str, by: str | None, at: str | None, key: str | None,
    store: str, as_json: bool,
) -> None:  # fmt: skip
    """Note a call and what came of it.

    Before anybody signed, `safe` calls the task off; while calls are made, `help` sends somebody
    at once, `no_answer` and `wrong_number` give the next one their turn.
    """
    with _open(store) as opened:
        when = _when(opened, at, task_id)
        task = opened.tasks.contact(
            task_id, who=who, result=result, by=_who(by), at_ns=when, key=key
        )
        _show(opened, [task], as_json)


@tasks.command()
@click.option("--outcome", required=True, metavar="KIND", help="What was found; see --help.")
@click.option("--until", metavar="T", help="How long it holds; a date means its whole day.")
@click.option("--kw", type=float, metavar="N", help="approved_use: permitted load.")
@click.option("--note", default="", metavar="TEXT", help="In your own words.")
@acting
def report(
    task_id: str,
    outcome: str,
    until: str | None,
    kw: float | None,
    note: str,
    by: str | None,
    at: str | None,
    key: str | None,
    store: str,
    as_json: bool,
) -> None:
    """Report what was found.

    KIND: rescued, safe_at_home, away (--until), in_hospital [--until], power_cut [--until],
    meter_fault [--until], refused, wrong_address, confirmed_violation, handled, approved_use (--until,
    --kw), new_appliance, duplicate.
    """
    from engine.outcomes import OutcomeError, Report

    with _open(store) as opened:
        until_ns = None if until is None else _moment(until, opened.desk.zone, "--until")
        told = Report(outcome, until_ns=until_ns, kw=kw, note=note)
        when = _when(opened, at, task_id)
        try:
            task = opened.tasks.report(task_id, told, by=_who(by), at_ns=when, key=key)
        except OutcomeError as error:
            raise click.UsageError(str(error)) from None
        _show(opened, [task], as_json)


@tasks.command()
@click.option("--why", default="", metavar="TEXT")
@acting
def close(
    task_id: str, why: str, by: str | None, at: str | None, key: str | None, store: str,
    as_json: bool,
) -> None:  # fmt: skip
    """Close a task whose report was checked."""
    with _open(store) as opened:
        when = _when(opened, at, task_id)
        task = opened.tasks.close(task_id, by=_who(by), at_ns=when, why=why, key=key)
        _show(opened, [task], as_json)


@tasks.command()
@click.option("--to", required=True, metavar="W", help="Worker who gets it.")
@click.option("--why", default="", metavar="TEXT")
@acting
def reassign(
    task_id: str, to: str, why: str, by: str | None, at: str | None, key: str | None, store: str,
    as_json: bool,
) -> None:  # fmt: skip
    """Give a task to somebody else; the time for signing starts anew."""
    with _open(store) as opened:
        when = _when(opened, at, task_id)
        task = opened.tasks.reassign(task_id, to=to, by=_who(by), at_ns=when, why=why, key=key)
        _show(opened, [task], as_json)


# -- options ------------------------------------------------------------------------------------


def _open(url: str) -> Store:
    from engine.store import Store

    return Store.open(url, create=False)


def _who(by: str | None) -> str:
    if by:
        return by
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise click.UsageError("who does this? give --by") from None


def _when(store: Store, at: str | None, task_id: str) -> int:
    """Return the event time of an act: as given, or where the store's clock stands."""
    if at is not None:
        return _moment(at, store.desk.zone, "--at")
    import time

    clock_ns = store.clock()
    return max(
        clock_ns if clock_ns is not None else time.time_ns(), store.tasks.get(task_id).updated_ns
    )


def _moment(text: str, zone: str, option: str) -> int:
    """Return nanoseconds of ISO 8601; local where it has no offset, a date alone ends its day."""
    import datetime as dt
    from zoneinfo import ZoneInfo

    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is no time; wanted 2026-12-01 or 2026-12-01T18:00", param_hint=option
        ) from None
    if len(text) <= len("2026-12-01"):
        moment += dt.timedelta(days=1)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(zone))
    return int(moment.timestamp()) * NS


def pick(zh: str, en: str) -> str:
    """Return the text of the language to speak."""
    from engine import language  # brings more along than help needs

    return language.pick(zh, en)


# -- output -------------------------------------------------------------------------------------


def _show(store: Store, found: list[Task], as_json: bool) -> None:
    if as_json:
        _print_lines(found)
        return
    from engine.tasks import due, mark

    now_ns = store.clock()
    table = _table(
        pick("任务", "task"), pick("级别", "level"), pick("状态", "state"),
        pick("期限", "deadline"), pick("地点", "place"), pick("对象", "subject"),
        pick("负责人", "worker"), pick("说明", "why"),
    )  # fmt: skip
    for task in found:
        zh, en, style = LEVELS[task.level]
        deadline = due(task)
        late = mark(task, now_ns) if now_ns is not None else ""
        colour = {"red": "bold red", "yellow": "yellow"}.get(late, "")
        table.add_row(
            task.task_id,
            _styled(pick(zh, en), style),
            pick(*STATES[task.state]) + (f" ({_kind(task)})" if task.kind != "visit" else ""),
            _styled(_clock(deadline, store.desk.zone), colour),
            task.place,
            task.subject_id or "",
            task.assignee or pick("（无人）", "(nobody)"),
            pick(task.reason_zh, task.reason_en),
        )
    _print(table)


def _show_held(store: Store, place: str | None, as_json: bool) -> None:
    found = [h for h in store.tasks.held_back() if h.place.startswith(place or "")]
    if as_json:
        _print_lines(found)
        return
    table = _table(
        pick("预警", "alert"), pick("级别", "level"), pick("自", "since"), pick("地点", "place"),
        pick("对象", "subject"), pick("规则", "rule"), pick("原因", "held back because"),
    )  # fmt: skip
    for held in found:
        zh, en, style = LEVELS[held.level]
        table.add_row(
            held.alert_id,
            _styled(pick(zh, en), style),
            _clock(held.since_ns, store.desk.zone),
            held.place,
            held.subject_id or "",
            held.rule,
            pick(*HELD.get(held.reason, (held.reason, held.reason))),
        )
    _print(table)


def _show_history(store: Store, task_id: str, as_json: bool) -> None:
    history = store.tasks.history(task_id)
    if as_json:
        _print_lines(history)
        return
    table = _table(
        pick("时间", "at"), pick("动作", "action"), pick("状态", "state"), pick("谁", "by"),
        pick("为何", "why"),
    )  # fmt: skip
    for event in history:
        at = _clock(event.at_ns, store.desk.zone)
        table.add_row(at, event.action, pick(*STATES[event.state_to]), event.by, event.why)
    _print(table)


def _kind(task: Task) -> str:
    return pick("抽查", "check") if task.kind == "check" else task.kind


def _clock(ns: int | None, zone: str) -> str:
    if ns is None:
        return ""
    from engine.hours import local

    return local(ns, zone).strftime("%Y-%m-%d %H:%M")


def _print_lines(found: list[Any]) -> None:
    import msgspec

    for item in found:
        click.echo(msgspec.json.encode(item).decode())


def _table(*columns: str) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _styled(text: str, style: str) -> Any:
    from rich.text import Text

    return Text(text, style=style)


def _print(table: Any) -> None:
    from rich.console import Console

    # In a pipe there is no width to fit into: keep each task on one line.
    width = None if sys.stdout.isatty() else 240
    # Ids and sentences are other people's words: no markup in them, no emoji.
    Console(file=sys.stdout, width=width, markup=False, emoji=False, highlight=False).print(table)
