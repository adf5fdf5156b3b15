"""Families' links: "away until …", "all is well", without signing in and without anything personal.

The link's secret is the right; it is kept as a hash. Whoever has it can quiet one home within the
bounds of :mod:`engine.outcomes`, and can learn nothing but the absence that the link itself set.
"""

from __future__ import annotations

import datetime as dt
import re
import secrets
import threading
import time
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import select, update

from connectors.records import Event
from engine.console.boards import FamilyLink, FamilyState, VisitAsked
from engine.console.context import Console
from engine.console.errors import ApiError, not_found
from engine.console.schemas import Text
from engine.console.views import when
from engine.hours import local
from engine.outcomes import DAY_S, KINDS
from engine.store import register
from engine.store import schema as t
from engine.store import schema_console as tc
from engine.store.access import hash_secret
from engine.store.books import audit_row
from engine.store.database import write
from engine.store.register import Absence
from rules.alerts import stamp

NS = 1_000_000_000
SOURCE = "family"
LONGEST_DAYS = KINDS["away"].longest_s // DAY_S
MOST_LINKS = 5
"""Links of one home that hold at a time."""
_DATE = re.compile(r"(?:(\d{4})\s*[-年/.])?\s*(\d{1,2})\s*[-月/.]\s*(\d{1,2})")
_DAYS = re.compile(r"(\d{1,2})\s*(?:天|日|days?|d\b)")
_WEEKDAYS_ZH = "一二三四五六日"
_WEEKDAYS_EN = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WELL = ("1", "平安", "在家", "很好", "没事", "回来", "well", "ok", "fine", "home", "back")


class Limiter:
    """Counts requests in the last minute, by name; bounded memory.

    Parameters
    ----------
    most : int
        Requests a minute.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[float, float]] = {}

    def check(self, name: str) -> None:
        """Count a request (a bucket that refills steadily).

        Raises
        ------
        ApiError
            429 once there were too many.
        """
        now = time.monotonic()
        with self._lock:
            if len(self._seen) > 20_000:
                self._seen = {k: v for k, v in self._seen.items() if now - v[1] < 60}
            left, before = self._seen.get(name, (float(self._most), now))
            left = min(left + (now - before) * self._most / 60, float(self._most))
            if left < 1:
                self._seen[name] = (left, now)
                raise ApiError("slow_down", retry_after_s=int((1 - left) * 60 / self._most) + 1)
            self._seen[name] = (left - 1, now)


class LinkRow(NamedTuple):
    """A family's link."""

    link_id: str
    subject_id: str
    created_ns: int
    by: str
    used_ns: int | None
    uses: int
    revoked_ns: int | None


_COLUMNS = [tc.family_links.c[name] for name in LinkRow._fields]


def links_of(console: Console, subject_id: str) -> list[LinkRow]:
    """Return the links of a home, the newest first."""
    c = tc.family_links.c
    query = select(*_COLUMNS).where(c.subject_id == subject_id).order_by(c.created_ns.desc())
    with console.store.database.read() as connection:
        return [LinkRow(*row) for row in connection.execute(query)]


def link_view(row: LinkRow) -> FamilyLink:
    """Return a link as the API shows it."""
    return FamilyLink(
        link_id=row.link_id,
        subject_id=row.subject_id,
        created=stamp(row.created_ns),
        by=row.by,
        last_used=when(row.used_ns),
        uses=row.uses,
        revoked=row.revoked_ns is not None,
    )


def add_link(console: Console, subject_id: str, *, by: str) -> tuple[str, LinkRow]:
    """Return (secret, link) of a new link.

    Raises
    ------
    ApiError
        If the home has enough of them.
    """
    if sum(row.revoked_ns is None for row in links_of(console, subject_id)) >= MOST_LINKS:
        raise ApiError("refused", f"a home has at most {MOST_LINKS} links; revoke one first")
    secret = secrets.token_urlsafe(24)
    row = LinkRow("f-" + secrets.token_hex(6), subject_id, console.now_ns(), by, None, 0, None)
    with console.store.database.write() as connection:
        write(connection, tc.family_links, [row._asdict() | {"secret": hash_secret(secret)}])
        line = audit_row(by, row.created_ns, "family_link_added", subject_id, {"id": row.link_id})
        write(connection, t.audit_log, [line])
    return secret, row


def revoke_link(console: Console, link_id: str, *, by: str) -> None:
    """Let a link be used no more."""
    c = tc.family_links.c
    now_ns = console.now_ns()
    with console.store.database.write() as connection:
        connection.execute(
            update(tc.family_links)
            .where(c.link_id == link_id, c.revoked_ns.is_(None))
            .values(revoked_ns=now_ns)
        )
        line = audit_row(by, now_ns, "family_link_revoked", link_id, {})
        write(connection, t.audit_log, [line])


def link_by_id(console: Console, link_id: str) -> LinkRow:
    """Return a link.

    Raises
    ------
    ApiError
        404 if there is none.
    """
    query = select(*_COLUMNS).where(tc.family_links.c.link_id == link_id)
    with console.store.database.read() as connection:
        row = connection.execute(query).first()
    if row is None:
        raise not_found(f"link {link_id!r}")
    return LinkRow(*row)


def open_link(console: Console, secret: str) -> LinkRow:
    """Return the link of a secret.

    Raises
    ------
    ApiError
        404 if there is none, or it was revoked.
    """
    c = tc.family_links.c
    query = select(*_COLUMNS).where(c.secret == hash_secret(secret), c.revoked_ns.is_(None))
    with console.store.database.read() as connection:
        row = connection.execute(query).first()
    if row is None:
        raise not_found()
    return LinkRow(*row)


def used(console: Console, link: LinkRow, action: str) -> None:
    """Note that a link was used."""
    c = tc.family_links.c
    now_ns = console.now_ns()
    with console.store.database.write() as connection:
        connection.execute(
            update(tc.family_links)
            .where(c.link_id == link.link_id)
            .values(used_ns=now_ns, uses=c.uses + 1)
        )
        line = audit_row(link.link_id, now_ns, action, link.subject_id, {})
        write(connection, t.audit_log, [line])


def _mine(console: Console, link: LinkRow) -> Absence | None:
    """Return the absence that families' links set for this home and that has not ended."""
    now_ns = console.now_ns()
    held = [
        a
        for a in console.store.register.absences(link.subject_id)
        if a.source == SOURCE and a.revoked_ns is None and a.until_ns > now_ns
    ]
    return max(held, key=lambda a: a.until_ns, default=None)


def state_of(console: Console, link: LinkRow) -> FamilyState:
    """Return what the family's page shows."""
    absence = _mine(console, link)
    if absence is None:
        message = Text(zh="目前没有登记外出。", en="No absence is registered.")
    else:
        last = local(absence.until_ns - NS, console.zone)
        message = Text(
            zh=f"已登记外出至 {last.month} 月 {last.day} 日，到期自动恢复。",
            en=f"Away until {last.day} {last:%B}; watching begins again by itself.",
        )
    return FamilyState(
        today=local(console.now_ns(), console.zone).date().isoformat(),
        away_until=None if absence is None else stamp(absence.until_ns),
        absence_id=None if absence is None else absence.absence_id,
        longest_days=LONGEST_DAYS,
        zone=console.zone,
        message=message,
        ask=_asked(console, link),
    )


def _asked(console: Console, link: LinkRow) -> VisitAsked | None:
    found = console.store.ratings.asked(link.subject_id, console.now_ns())
    if found is None:
        return None
    task_id, signed_ns = found
    return VisitAsked(task_id=task_id, day=local(signed_ns, console.zone).date().isoformat())


def rate(console: Console, link: LinkRow, rating: int, task_id: str | None = None) -> FamilyState:
    """Take in how content the family is with the visit it is asked about.

    Raises
    ------
    ApiError
        422 if there is no such visit to rate, or another one by now.
    """
    found = console.store.ratings.asked(link.subject_id, console.now_ns())
    if found is None or (task_id is not None and task_id != found[0]):
        raise ApiError("refused", "no visit of the last 14 days waits for a rating")
    console.store.ratings.add(
        found[0], link.subject_id, rating, by=link.link_id, at_ns=console.now_ns()
    )
    used(console, link, "family_rated")
    return state_of(console, link)


def away(console: Console, link: LinkRow, until_ns: int) -> FamilyState:
    """Declare an absence from now on; an earlier one of the family's is replaced."""
    now_ns = console.now_ns()
    before = _mine(console, link)
    if before is not None and before.until_ns == until_ns:
        return state_of(console, link)
    console.store.register.declare(
        link.subject_id, now_ns, until_ns, source=SOURCE, by=link.link_id, at_ns=now_ns
    )
    if before is not None:
        console.store.register.revoke(before.absence_id, by=link.link_id, at_ns=now_ns)
    used(console, link, "family_away")
    return state_of(console, link)


def well(console: Console, link: LinkRow) -> FamilyState:
    """Take in that all is well: a sign of life now; the family's absence ends.

    Tasks of this home that nobody signed for yet are called off: it is the answer to the call.
    """
    now_ns = console.now_ns()
    held = _mine(console, link)
    if held is not None:
        console.store.register.revoke(held.absence_id, by=link.link_id, at_ns=now_ns)
    minute = now_ns // (60 * NS)
    attrs: dict[str, Any] = {"source": SOURCE}
    sign = Event(
        event_id=f"{link.link_id}/well/{minute}", ts_ns=now_ns, kind="sign_of_life",
        subject_id=link.subject_id, place=None, attrs=attrs, source="console", arrival_ns=now_ns,
    )  # fmt: skip
    with console.store.database.write() as connection:
        register.queue(connection, [sign])
    console.store.tasks.all_is_well(link.subject_id, who="family", by=link.link_id, at_ns=now_ns)
    used(console, link, "family_well")
    return state_of(console, link)


def read_reply(text: str, now_ns: int, zone: str) -> int | None:
    """Return until when (end of that local day) a reply says they are away; None: all is well.

    Understands "1", "平安", "ok"; "2 8-15", "外出到8月15日", "away until Sunday", "3 天", "明天".

    Raises
    ------
    ApiError
        422 if it says neither.
    """
    plain = text.strip().lower()
    today = local(now_ns, zone).date()
    day: dt.date | None = None
    if found := _DATE.search(plain):
        year = int(found[1]) if found[1] else today.year
        try:
            day = dt.date(year, int(found[2]), int(found[3]))
        except ValueError:
            day = None
        if day is not None and not found[1] and day < today:
            day = day.replace(year=year + 1)
    elif found := _DAYS.search(plain):
        day = today + dt.timedelta(days=int(found[1]))
    elif "明天" in plain or "tomorrow" in plain:
        day = today + dt.timedelta(days=1)
    elif "今" in plain or "today" in plain or "tonight" in plain:
        day = today
    else:
        day = _weekday(plain, today)
    if day is not None:
        midnight = dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), ZoneInfo(zone))
        return int(midnight.timestamp()) * NS
    if any(plain == word or (len(word) > 1 and word in plain) for word in _WELL):
        return None
    raise ApiError("refused", 'reply: say "1" (all is well), or until when: "外出到8月15日"')


def _weekday(text: str, today: dt.date) -> dt.date | None:
    found = re.search(r"(?:周|星期|礼拜)([一二三四五六日天])", text)
    if found:
        wanted = _WEEKDAYS_ZH.index("日" if found[1] == "天" else found[1])
    else:
        names = re.search(r"\b(mon|tue|wed|thu|fri|sat|sun)[a-z]*\b", text)
        if not names:
            return None
        wanted = _WEEKDAYS_EN.index(names[1])
    return today + dt.timedelta(days=(wanted - today.weekday()) % 7)
