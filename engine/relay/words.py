"""Messages to people's phones: one line what, one line why, how long there is.

Reminders of one task differ in their words: a message that looks like the last one is not read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from engine.relay.messages import Message
from engine.tasks import NS, Task, due

Texts = Mapping[str, tuple[str, ...]]
LEVELS = {
    "zh": {"red": "红色", "orange": "橙色", "yellow": "黄色", "blue": "蓝色"},
    "en": {"red": "RED", "orange": "ORANGE", "yellow": "YELLOW", "blue": "BLUE"},
}
_NEW: Texts = {"zh": ("新任务",), "en": ("New task",)}
_YELLOW: Texts = {
    "zh": ("时限将至", "还没有人处理，时间不多了", "请尽快处理，即将超时"),
    "en": ("Time is running out", "Nobody has acted yet", "Please act now, soon overdue"),
}
_RED: Texts = {
    "zh": ("已超时", "超过时限仍未处理", "仍在等待，已经超时"),
    "en": ("Overdue", "Past its limit and still open", "Still waiting, past its limit"),
}
_ESCALATED: Texts = {
    "zh": ("上一级未签收，已转到您处",),
    "en": ("Not signed in time; it is yours now",),
}
_REASSIGNED: Texts = {"zh": ("已转派给您",), "en": ("Passed on to you",)}
_ABSENCE: Texts = {
    "zh": ("外出登记即将到期，请联系确认是否已回家：{who}",),
    "en": ("A declared absence ends soon; ask whether they are back: {who}",),
}


class Note(NamedTuple):
    """A message to people."""

    title: str
    body: str


class Words:
    """Puts messages into words.

    Parameters
    ----------
    language : str
        ``zh`` or ``en``.
    titles : mapping of str to str
        Of rules, by name.
    zone : str
        Whose time limits are shown in.
    link : str or None
        Address of the console, for links.
    """

    def __init__(
        self, language: str, titles: Mapping[str, str], zone: str, link: str | None
    ) -> None:
        self.language = language
        self._titles = titles
        self._zone = ZoneInfo(zone)
        self._link = link

    def note(self, message: Message) -> Note | None:
        """Return what to say, or None where people need not hear of a change."""
        if message.visit is not None:
            return None  # asking families is their message gateway's (webhook)
        if message.subject_id is not None:
            return Note(self._pick(_ABSENCE, message).format(who=message.subject_id), "")
        task, event = message.task, message.event
        if task is None or not task.open:
            return None
        occasion = _occasion(event.action if event else "", event.why if event else "")
        if occasion is None:
            return None
        title = f"{self._head(task)}{self._titles.get(task.rule, task.rule)} · {task.place}"
        reason = task.reason_zh if self.language == "zh" else task.reason_en
        lines = [self._pick(occasion, message), reason, self._limit(task)]
        if self._link is not None:
            lines.append(f"{self._link.rstrip('/')}/m/task/{task.task_id}")
        return Note(title, "\n".join(line for line in lines if line))

    def short(self, message: Message) -> Note | None:
        """Return what a phone may show while it is locked: no place, no person, no reason."""
        task, event = message.task, message.event
        if task is None or not task.open:
            return None
        occasion = _occasion(event.action if event else "", event.why if event else "")
        if occasion is None or (occasion not in (_YELLOW, _RED) and not task.untaken):
            return None  # somebody has signed meanwhile: nobody need be called
        title = self._head(task) + self._titles.get(task.rule, task.rule)
        lines = (self._pick(occasion, message), self._limit(task))
        return Note(title, "\n".join(line for line in lines if line))

    def digest(self, notes: Sequence[Note]) -> Note:
        """Return one message for many."""
        n = len(notes)
        title = f"另有 {n} 条消息" if self.language == "zh" else f"{n} more messages"
        shown = [note.title for note in notes[:20]]
        if n > len(shown):
            shown.append("……" if self.language == "zh" else "…")
        return Note(title, "\n".join(shown))

    def _pick(self, texts: Texts, message: Message) -> str:
        choices = texts[self.language]
        digest = hashlib.sha256(message.delivery.key.encode()).digest()
        return choices[(digest[0] + message.delivery.seq) % len(choices)]

    def _head(self, task: Task) -> str:
        level = LEVELS[self.language][task.level]
        return f"【{level}】" if self.language == "zh" else f"[{level}] "

    def _limit(self, task: Task) -> str:
        at_ns = due(task)
        if at_ns is None:
            return ""
        text = (
            datetime.fromtimestamp(at_ns / NS, UTC).astimezone(self._zone).strftime("%m-%d %H:%M")
        )
        return f"时限 {text}" if self.language == "zh" else f"Due {text}"


def _occasion(action: str, why: str) -> Texts | None:
    if action == "note":
        return {"yellow_mark": _YELLOW, "red_mark": _RED}.get(why)
    if action == "escalate":
        return _ESCALATED
    if action == "reassign":
        return _REASSIGNED
    return _NEW if action in ("", "dispatch", "reopen") else None
