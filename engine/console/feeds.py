"""Health of what comes in: per meter class from the archive of series, per source from its counts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.console.boards import Feed
from engine.console.context import Console
from engine.console.schemas import Text
from engine.curves import Ring
from engine.relay.standing import Standing
from rules.alerts import stamp

NS = 1_000_000_000
SPARK = 24
LATE, BROKEN = 0.10, 0.60
"""Missing shares from which a class is called late, and broken."""
SILENT_S = 12 * 3_600
"""A source of readings of which nothing came for so long is called broken."""
_NAMES = {
    "electricity": ("电表", "Power"), "water": ("水表", "Water"), "gas": ("燃气", "Gas"),
    "heat": ("热表", "Heat"), "pm25": ("扬尘 PM2.5", "Dust PM2.5"), "pm10": ("扬尘 PM10", "Dust PM10"),
    "noise": ("噪声", "Noise"),
}  # fmt: skip
_SOURCES = {
    "readings": ("读数", "Readings"),
    "readings-real": ("读数（真实住户）", "Readings (real homes)"),
}
_EVENTS = {
    "complaint": ("12345 热线", "Hotline 12345"), "police_call": ("非警务警情", "Police calls"),
    "vehicle_gate": ("车辆卡口", "Vehicle gates"), "weather": ("气象", "Weather"),
    "absence": ("外出登记", "Absences"), "report": ("随手报", "Reports"),
    "power_cut": ("停电公告", "Power cuts"), "maintenance": ("检修公告", "Maintenance"),
}  # fmt: skip


def feeds(console: Console) -> list[Feed]:
    """Return all feeds, a broken one first."""
    now_ns = console.now_ns()
    found = (
        []
        if console.curves is None
        else [_class(ring, now_ns) for ring, _ in console.curves.rings("class")]
    )
    found += _sources(console, now_ns)
    found += [_down(shard, now_ns) for shard in console.down()]
    order = {"broken": 0, "late": 1, "never": 2, "ok": 3}
    return sorted(found, key=lambda f: (order[f.state], f.kind, f.name))


def complete(console: Console) -> tuple[float | None, list[float | None], int, int]:
    """Return (share of readings there, last 24 hours of it, watched, unseen) of all classes."""
    down = sum(shard.subjects for shard in console.down())
    if console.curves is None:
        return None, [], down, down
    seen = expected = 0
    by_hour: dict[int, list[float]] = {}
    subjects: dict[str, bool] = {}
    for ring, columns in console.curves.rings("class"):
        newest = ring.newest
        if newest < 0 or ring.interval_s > 3_600:
            continue
        row = np.isfinite(np.asarray(ring.values[newest % len(ring.values)]))
        seen, expected = seen + int(row.sum()), expected + len(row)
        for subject, where in columns.items():
            subjects[subject] = subjects.get(subject, False) or bool(row[where].any())
        for i, share in enumerate(_shares(ring, 24 * 3_600 // ring.interval_s)):
            if share is not None:
                by_hour.setdefault(i * ring.interval_s // 3_600, []).append(share)
    if not expected:
        return None, [], down, down
    spark = [float(np.mean(by_hour[h])) if h in by_hour else None for h in range(23, -1, -1)]
    unseen = max(down, sum(not s for s in subjects.values()))
    return seen / expected, spark, len(subjects), unseen


def _shares(ring: Ring, slots: int) -> list[float | None]:
    """Return the share of readings there of the last slots, the newest first."""
    newest = ring.newest
    shares: list[float | None] = []
    for slot in range(newest, max(newest - slots, -1), -1):
        where = slot % len(ring.values)
        if int(ring.at[where]) != slot:
            shares.append(None)
            continue
        row: NDArray[np.float32] = np.asarray(ring.values[where])
        shares.append(float(np.isfinite(row).mean()) if len(row) else None)
    return shares


def _class(ring: Ring, now_ns: int) -> Feed:
    utility = str(ring.head.get("utility", ""))
    minutes = ring.interval_s // 60
    zh, en = _NAMES.get(utility, (utility, utility))
    every_zh = (
        f"{minutes} 分" if minutes < 60 else f"{minutes // 60} 时" if minutes < 1_440 else "日"
    )
    every_en = (
        f"{minutes} min" if minutes < 60 else f"{minutes // 60} h" if minutes < 1_440 else "daily"
    )
    newest = ring.newest
    shares = _shares(ring, SPARK)
    missing = None if not shares or shares[0] is None else 1 - shares[0]
    last_ns = ((newest + 1) * ring.interval_s + int(ring.head["phase_s"])) * NS
    lag_s = (now_ns - last_ns) / NS
    state = "ok"
    if newest < 0:
        state = "never"
    elif missing is None or missing >= BROKEN or lag_s > 4 * ring.interval_s + 900:
        state = "broken"
    elif missing >= LATE:
        state = "late"
    return Feed(
        name=str(ring.head["label"]),
        label=Text(zh=f"{zh} {every_zh}", en=f"{en} {every_en}"),
        kind="class",
        state=state,
        lag_s=None if newest < 0 else max(lag_s, 0.0),
        expected=len(ring.head["rows"]),
        missing=missing,
        rows=0,
        quarantined=0,
        last=None if newest < 0 else stamp(last_ns),
        spark=list(reversed(shares)),
    )


def _down(shard: Standing, now_ns: int) -> Feed:
    """Return a shard that nobody watches as a feed: its homes are not watched, whatever they send."""
    where = ", ".join(shard.communities[:3]) + (" …" if len(shard.communities) > 3 else "")
    return Feed(
        name=shard.shard,
        label=Text(
            zh=f"无人看护：{shard.subjects} 个对象（{where}）",
            en=f"Not watched: {shard.subjects} subjects of {where}",
        ),
        kind="source",
        state="broken" if shard.clock_ns else "never",
        lag_s=shard.behind_s(now_ns) if shard.clock_ns else None,
        expected=shard.subjects,
        missing=None,
        rows=0,
        quarantined=0,
        late=0,
        duplicate=0,
        delay_s=None,
        last=stamp(shard.clock_ns) if shard.clock_ns else None,
        spark=[],
    )


def _sources(console: Console, now_ns: int) -> list[Feed]:
    """Return sources and kinds of events, as the pipeline told them."""
    found = []
    for row in console.store.feeds.list():
        events = row.kind == "events"
        zh, en = (_EVENTS if events else _SOURCES).get(row.name, (row.name, row.name))
        lag_s = (now_ns - row.last_ns) / NS
        found.append(
            Feed(
                name=row.name,
                label=Text(zh=zh, en=en),
                kind="events" if events else "source",
                # Events come when they come: only readings can be missed.
                state="broken" if not events and lag_s > SILENT_S else "ok",
                lag_s=max(lag_s, 0.0),
                expected=None,
                missing=None,
                rows=row.rows,
                quarantined=row.quarantined,
                late=row.late,
                duplicate=row.duplicate,
                delay_s=row.delay_s,
                last=stamp(row.last_ns),
                spark=[float(n) for n in row.hours],
            )
        )
    return found
