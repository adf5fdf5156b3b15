"""Helpers of the store's tests: alerts made by hand, dumps of all tables, failing statements."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import event, select

from engine.hours import NS
from engine.store import Store
from engine.store.schema import metadata
from rules.alerts import AlertChange, Level, State, alert_id, stamp

T0 = 1_767_225_600 * NS  # 2026-01-01T00:00:00Z, 08:00 in Hangzhou
MINUTE, HOUR, DAY = 60 * NS, 3_600 * NS, 86_400 * NS
GRID = "330106001002003"


def change(
    subject: str | None = "home-1",
    *,
    seq: int = 0,
    at: int = T0,
    onset: int | None = None,
    state: State = State.FIRING,
    level: Level = Level.ORANGE,
    rule: str = "elderly-silence",
    place: str = GRID,
    evidence: float | None = 2.0,
    p_value: float | None = None,
    budget: float | None = None,
    text: str = "no sign of life",
) -> AlertChange:
    """Return one change; its alert is the one of (rule, subject, onset)."""
    begun = T0 - 6 * HOUR if onset is None else onset
    return AlertChange(
        alert_id=alert_id(rule, subject or place, begun),
        seq=seq,
        at=stamp(at),
        rule=rule,
        rule_version="v1",
        subject_id=subject,
        place=place,
        level=level,
        state=state,
        onset=stamp(begun),
        raised_at=stamp(begun + 6 * HOUR),
        evidence=evidence,
        p_value=p_value,
        budget=budget,
        reason={"zh": "没有生活迹象", "en": text},
        facts={"hours": 6},
        signals=[],
    )


@cache
def _empty() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "empty.db"
        Store.open(file).close()
        return file.read_bytes()


def fresh(file: Path) -> Path:
    """Make an empty store in `file`, without going through the migrations again."""
    file.write_bytes(_empty())
    return file


def hasty(store: Store) -> Store:
    """Let a SQLite store not wait for the disk: nobody pulls the plug in a test."""
    engine = store.database.engine
    if engine.dialect.name == "sqlite":
        engine.dispose()

        def hurry(connection: Any, _record: Any) -> None:
            connection.execute("PRAGMA synchronous=OFF")

        event.listen(engine, "connect", hurry)
    return store


def quick(file: Path) -> Store:
    """Open a hasty store in a file, an empty one if it is not there."""
    return hasty(Store.open(file if file.exists() else fresh(file)))


def dump(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """Return all rows of all tables, sorted; numbers that only count up are left out."""
    found = {}
    with store.database.read() as connection:
        for table in metadata.sorted_tables:
            if table.name == "task_requests":
                continue
            columns = [c for c in table.columns if c.name != "id"]
            rows = connection.execute(select(*columns)).all()
            found[table.name] = sorted((tuple(row) for row in rows), key=repr)
    return found


def digest(store: Store) -> str:
    """Return a hash of :func:`dump`."""
    return hashlib.sha256(repr(dump(store)).encode()).hexdigest()


class Crash(BaseException):
    """The process ends here."""


@contextmanager
def crash_at(store: Store, statement: int) -> Iterator[list[int]]:
    """Let the process end before its n-th statement; yields how many there were."""
    seen = [0]

    def before(*_: Any) -> None:
        seen[0] += 1
        if seen[0] == statement:
            raise Crash

    engine = store.database.engine
    event.listen(engine, "before_cursor_execute", before)
    event.listen(engine, "commit", before)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", before)
        event.remove(engine, "commit", before)
