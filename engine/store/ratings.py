"""How content homes were with a visit: whom to ask, and what they said."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec
from sqlalchemy import exists, select

from engine.store import schema as t
from engine.store.database import Database, How, chunks, write
from engine.store.schema_console import ratings
from engine.tasks import TaskState

ASK_NS = 14 * 86_400 * 1_000_000_000
"""A visit is asked about for two weeks after its task was closed."""
PREFIX = "rate/"
"""How keys of reminders begin that ask for a rating; the rest is the task."""

_WORDS = (
    ("很不满意", 1), ("非常不满意", 1), ("不满意", 2), ("一般", 3), ("很满意", 5), ("非常满意", 5),
    ("满意", 4), ("very dissatisfied", 1), ("very unhappy", 1), ("dissatisfied", 2), ("unhappy", 2),
    ("very satisfied", 5), ("very happy", 5), ("satisfied", 4), ("neutral", 3),
)  # fmt: skip
_NUMBER = re.compile(
    r"(?:评分|打分|满意度|rate|rating|score)\s*[:：]?\s*([1-5])(?!\d)"
    r"|(?<!\d)([1-5])\s*(?:分|星|stars?\b|/\s*5)"
)


def read_rating(text: str) -> int | None:
    """Return what a reply in words rates a visit, 1 to 5, or None if it is about something else.

    >>> [read_rating(x) for x in ("评分 4", "5分", "很满意", "不满意", "rate 3", "1", "外出到8月5日")]
    [4, 5, 5, 2, 3, None, None]
    """
    plain = text.strip().lower()
    if found := _NUMBER.search(plain):
        return int(found[1] or found[2])
    return next((rating for word, rating in _WORDS if word in plain), None)


class Ratings:
    """The ratings of a store.

    Parameters
    ----------
    database : Database
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def asked(self, subject_id: str, now_ns: int) -> tuple[str, int] | None:
        """Return (task, when it was signed for) of the last visit to ask a home about, if any.

        Visits that were asked about when the task was closed are not asked about again.
        """
        k, e = t.tasks.c, t.task_events.c
        query = (
            select(k.task_id, k.signed_ns)
            .where(
                k.subject_id == subject_id,
                k.state == str(TaskState.CLOSED),
                k.signed_ns.is_not(None),
                k.closed_ns >= now_ns - ASK_NS,
            )
            .order_by(k.closed_ns.desc())
            .limit(1)
        )
        with self._database.read() as connection:
            row = connection.execute(query).first()
            if row is None:
                return None
            told = exists().where(ratings.c.task_id == row.task_id).select()
            closing = select(e.detail).where(e.task_id == row.task_id, e.action == "close")
            if connection.execute(told).scalar() or any(
                msgspec.json.decode(detail).get("satisfaction") is not None
                for detail in connection.execute(closing).scalars()
            ):
                return None
        return str(row.task_id), int(row.signed_ns)

    def add(self, task_id: str, subject_id: str, rating: int, *, by: str, at_ns: int) -> bool:
        """Keep what a home said of a visit; the first word stands. Return whether it was that."""
        row = {
            "task_id": task_id, "subject_id": subject_id, "rating": rating, "by": by, "at_ns": at_ns,
        }  # fmt: skip
        with self._database.write() as connection:
            return bool(write(connection, ratings, [row], How.NEW))

    def of(self, tasks: Iterable[str]) -> dict[str, int]:
        """Return ratings by task."""
        c, found = ratings.c, {}
        with self._database.read() as connection:
            for part in chunks(list(tasks)):
                query = select(c.task_id, c.rating).where(c.task_id.in_(part))
                found.update({row.task_id: row.rating for row in connection.execute(query)})
        return found


__all__ = ["ASK_NS", "PREFIX", "Ratings", "read_rating"]
