"""Words of the command line in Chinese and English, chosen by configuration or LANG."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any, Literal

from connectors.progress import language as of_locale

Language = Literal["zh", "en"]
ASKED: ContextVar[Language | None] = ContextVar("asked", default=None)
"""The language that one command was asked to speak (``--lang``); before all else."""

_WORDS: dict[str, tuple[str, str]] = {
    "replay": ("回放", "replay"),
    "building": ("正在生成模拟小镇……", "Building the simulated town …"),
    "demo_past": (
        "—— 先全速回放此前 45 天（供学习用），每条预警只显示首次通知 ——",
        "— first 45 days of history at full speed, to learn from: how each alert began —",
    ),
    "demo_live": (
        "—— 以下进入演示日，预警的升级与解除也一并显示 ——",
        "— from here on the live days: how alerts go on and end is told as well —",
    ),
    "tasks": ("任务：派给谁、为什么", "Tasks: who got which, and why"),
    "worker": ("网格员", "gridworker"),
    "level": ("等级", "level"),
    "subject": ("对象", "subject"),
    "state": ("状态", "state"),
    "why": ("原因", "why"),
    "more_tasks": ("另有 {n} 项更早的任务。", "{n} earlier tasks are not shown."),
    "rows": ("数据行", "Rows"),
    "source": ("来源", "source"),
    "total": ("总数", "rows"),
    "processed": ("已处理", "processed"),
    "duplicate": ("重复", "duplicate"),
    "late": ("迟到", "late"),
    "quarantined": ("隔离", "quarantined"),
    "sum": ("核对", "adds up"),
    "alerts": ("预警", "alerts"),
    "rule": ("规则", "rule"),
    "asked": ("预算 / 户·年", "budget / subject-year"),
    "realised": ("实际 / 户·年", "realised / subject-year"),
    "realised_counts": (
        "“实际”按到了该报时刻的次数计，包括因登记情况或别的预警而没有发出的。",
        "realised: moments that came, also those that a registered reason or another alert held back.",
    ),
    "unreached": (
        "有 {homes:,} 户在某些醒着的时段里，静默再久也不会预警，见 {path}：请安排电话问候。",
        "{homes:,} homes have waking hours whose silences would never come to an alert: {path}, for a "
        "telephone call.",
    ),
    "done": (
        "共 {rows:,} 行，{seconds:.1f} 秒，每秒 {rate:,.0f} 行。",
        "{rows:row|rows} in {seconds:.1f} s, {rate:,.0f} rows/s.",
    ),
    "resumed": ("从第 {rows:,} 行接着运行。", "Went on from row {rows:,}."),
    "rules_ok": (
        "{files} 个文件，{rules} 条规则，全部正确。版本 {version}",
        "{rules:rule|rules} in {files:file|files}: all good. Version {version}",
    ),
    "warning": ("警告：{text}", "warning: {text}"),
    "calendar_unknown": (
        "没有 {country} {years} 年的节假日历：法定节假日与调休未知，检测按周末休息处理，规则中的 rest_day、"
        "holiday 视为未知；请把 {files} 放入一个文件夹，并在配置 calendars 中写明。",
        "there is no calendar of {country} for {years}: public holidays and swapped work days are not "
        "known, detectors take week-ends for days of rest, and rest_day and holiday are unknown to "
        "rules; put {files} into a folder and name it under `calendars` in the configuration.",
    ),
    "rules_warned": (
        "{files} 个文件，{rules} 条规则，没有错误，{warnings} 条警告。版本 {version}",
        "{rules:rule|rules} in {files:file|files}: no errors, {warnings:warning|warnings}. "
        "Version {version}",
    ),
    "dry_run": ("试运行", "dry run"),
    "rule_tests": ("规则测试", "rule tests"),
    "quarantine_where": (
        "{rows:,} 行已隔离，原样连同原因存于 {path}（事件另存于同名 .events 文件）；改正后可作为 "
        "--readings / --events 再次输入。",
        "{rows:row was|rows were} refused: see {path} for each with its reason (events: beside it, as "
        ".events); mend and give the file as --readings or --events.",
    ),
    "quarantine_how": (
        "{rows:,} 行已隔离；加 --quarantine 文件名 可导出它们及原因。",
        "{rows:row was|rows were} refused; --quarantine FILE writes such rows out with their reasons.",
    ),
    "stopped": (
        "已中断。带 --store 用同一命令可接着运行。",
        "Stopped. With --store, the same command goes on from here.",
    ),
}


def language(environ: dict[str, str] | None = None) -> Language:
    """Return the language to speak: as asked, else GRIDWARDEN_LANGUAGE, else that of the locale."""
    asked = ASKED.get()
    if asked is not None and environ is None:
        return asked
    env = dict(os.environ) if environ is None else environ
    told = env.get("GRIDWARDEN_LANGUAGE", "")
    if told:
        return "zh" if told.lower().startswith("zh") else "en"
    return "zh" if of_locale(env) == "zh" else "en"


def pick(zh: str, en: str) -> str:
    """Return the text of the language to speak."""
    return zh if language() == "zh" else en


def calendar_unknown(country: str, years: Iterable[int]) -> str:
    """Return what to tell the operator of years without a calendar."""
    found = sorted(years)
    return say(
        "calendar_unknown",
        country=country,
        years=", ".join(map(str, found)),
        files=", ".join(f"{country}-{year}.yaml" for year in found),
    )


class _Count(int):
    """A number of things: ``{rules:rule|rules}`` is "1 rule", "1,200 rules"."""

    def __format__(self, spec: str) -> str:
        one, several, more = spec.partition("|")
        return counted(int(self), one, more) if several else format(int(self), spec)


def counted(n: int, one: str, more: str | None = None) -> str:
    """Return a number of things in English.

    >>> counted(1, "alert"), counted(1200, "alert"), counted(2, "row was", "rows were")
    ('1 alert', '1,200 alerts', '2 rows were')
    """
    return f"{n:,} {one if n == 1 else more or one + 's'}"


def say(word: str, **values: Any) -> str:
    """Return a known text in the language to speak.

    >>> say("rows") in ("Rows", "数据行")
    True
    """
    zh, en = _WORDS[word]
    told = {k: _Count(v) if type(v) is int else v for k, v in values.items()}
    return pick(zh, en).format(**told)
