"""Erasing a person everywhere, and proving it.

What can be rewritten is rewritten: the store's rows, the tables of the configuration, the journal
(the person's readings and events leave it; empty records keep the count). What cannot is built
again: the detectors' state is computed anew from the journal that is left, with the other homes'
alerts as before. Older snapshots, the archive of series and the outputs go and are written again.
In the end every file is searched for the person's ids and personal data, byte by byte.

The budgets' prices follow from what fired, so without this person's alerts others may differ a
little in the past; where they do, the store takes the new line, and the number is told.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from connectors.records import Event, Outcome, ReadingBlock, Tick
from engine.config import Config
from engine.inputs import load_registry
from engine.journal import Journal
from engine.live import SHARD, Live
from engine.registry import Registry
from engine.store import Store
from engine.store.forgetting import erase, word
from engine.watched import curves_folder
from rules.alerts import AlertChange, State, stamp

_READ = 1 << 20


class ForgetError(ValueError):
    """Somebody cannot be forgotten as asked; the message says what to do."""


@dataclass(slots=True)
class Forgotten:
    """What was done, and what the search found."""

    subject: str
    removed: dict[str, int] = field(default_factory=dict)
    """Rows, records, lines and files, by place."""
    searched: int = 0
    """Bytes searched."""
    left: list[str] = field(default_factory=list)
    """Files in which the person is still named: nobody's to change but their owner's."""
    differing: int = 0
    """Lines about others that came out differently."""


def needles_of(registry: Registry, subject: str) -> list[str]:
    """Return the ids that point at a subject: its own and its meters'."""
    row = int(registry.subject_rows([subject])[0])
    if row < 0:
        return [subject]
    return [subject, *(registry.meter_id(int(m)) for m in registry.meters_of(row))]


def tables_of(config: Config, subject: str) -> list[Path]:
    """Return the tables that name subjects.

    Raises
    ------
    ForgetError
        If there are none, or one cannot be rewritten.
    """
    inputs = config.inputs
    if inputs.meters is None or inputs.subjects is None:
        raise ForgetError("configuration: inputs.meters and inputs.subjects must name the tables")
    tables = [p for p in (inputs.subjects, inputs.meters, inputs.contacts) if p is not None]
    for path in tables:
        if path.suffix.lower() != ".csv":
            raise ForgetError(f"{path}: only CSV is rewritten; remove {subject!r} and run again")
    return tables


def forget(config: Config, subject: str, *, by: str, wall_ns: int) -> Forgotten:
    """Erase a subject from a site that `gridwarden run` serves; it must not run meanwhile.

    Raises
    ------
    ForgetError
        If a table is not named, or no CSV. A subject that is in none is no error: what is left of it
        in the store goes all the same.
    """
    inputs, tables = config.inputs, tables_of(config, subject)
    registry = load_registry(str(inputs.meters), str(inputs.subjects), config)
    done = Forgotten(subject)
    needles = needles_of(registry, subject)
    with Store.open(config.store, create=False) as store:
        # Whoever runs is out from now on: it can neither commit nor save.
        store.claim(SHARD, holder="forget")
        secrets = personal_data(store, config, subject, by, wall_ns)
    # First what the state is computed from, then the state.
    folder = Path(config.snapshots)
    done.removed["journal"] = _journal(folder / "journal.log", registry, subject)
    for path in tables:
        done.removed[path.name] = rewrite_table(path, needles)
    for path in sorted(folder.glob("*")):
        if path.is_file() and path.name not in ("journal.log", "personal-data.key"):
            path.unlink()
            done.removed["snapshots"] = done.removed.get("snapshots", 0) + 1
    with Store.open(config.store, create=False) as store:
        store.drop_all_snapshots(SHARD)
        done.removed |= erase(store.database, subject, needles)
    done.differing = _rebuild(config, wall_ns)
    with Store.open(config.store, create=False) as store:
        # Of the person nothing is left to name, so the log has only that it was done.
        detail = {"rows": sum(done.removed.values())}
        store.books.audit(by, store.clock() or wall_ns, "forgotten", "erased", detail)
    search(done, [*needles, *secrets], _files(config, tables))
    return done


def personal_data(store: Store, config: Config, subject: str, by: str, wall_ns: int) -> list[str]:
    """Return the personal data, to search for them; the look is logged (and erased with the rest)."""
    from engine.console.serve import vault_of
    from engine.store import Look
    from engine.store.people import PERSONAL, People

    people = People(store.database, vault_of(config, Path(config.snapshots)))
    look = Look(by, store.clock() or wall_ns, "to erase them")
    found: list[str] = []

    def gather(value: Any) -> None:
        if isinstance(value, str) and len(value) >= 4:
            found.append(value)
        elif isinstance(value, dict):
            for inner in value.values():
                gather(inner)
        elif isinstance(value, list):
            for inner in value:
                gather(inner)

    for name, value in people.look(subject, PERSONAL, look).items():
        if name != "contacts":
            gather(value)
        else:
            gather([c.get("phone") for c in value] + [c.get("name") for c in value])
    return found


# -- the journal ------------------------------------------------------------------------------


def _journal(path: Path, registry: Registry, subject: str) -> int:
    """Write the journal anew without a subject; return the records that changed."""
    if not path.is_file():
        return 0
    row = int(registry.subject_rows([subject])[0])
    mine = set() if row < 0 else set(registry.meters_of(row).tolist())
    # Meters lie in the order of the registry, so those behind the removed ones move up.
    count = len(registry.meters)
    kept = np.array([m not in mine for m in range(count)], bool)
    renumber = np.append(np.where(kept, np.cumsum(kept) - 1, -1), -1).astype(np.int32)
    old = Journal(path)
    new_path = path.with_name("journal.new")
    new_path.unlink(missing_ok=True)
    new = Journal(new_path)
    changed = 0
    for record in old.read():
        fresh: Any = record
        if isinstance(record, ReadingBlock):
            fresh = _block(record, kept, renumber)
        elif isinstance(record, Event | Outcome) and _about(record, subject):
            fresh = Tick(record.arrival_ns)
        changed += fresh is not record
        new.append(fresh)
    old.close()
    new.close()
    size = path.stat().st_size
    with path.open("r+b") as file:  # overwrite what the disk still holds, then let it go
        for _ in range(0, size, _READ):
            file.write(bytes(_READ))
    new_path.replace(path)
    return changed


def _about(record: Event | Outcome, subject: str) -> bool:
    if record.subject_id == subject:
        return True
    text = msgspec.json.encode(dict(record.attrs) if isinstance(record, Event) else {})
    return bool(re.search(word(subject).encode(), text))


def _block(
    block: ReadingBlock, kept: np.ndarray[Any, Any], renumber: np.ndarray[Any, Any]
) -> ReadingBlock | Tick:
    """Return a block without the rows of removed meters."""
    stay = (block.meter < 0) | kept[np.maximum(block.meter, 0)]
    moved = renumber[block.meter]
    if stay.all() and (moved == block.meter).all():
        return block
    if not stay.any():
        return Tick(int(block.arrival_ns[-1]))
    raw = block.raw
    return replace(
        block,
        position=block.position[stay],
        meter=moved[stay],
        ts_ns=block.ts_ns[stay],
        value=block.value[stay],
        arrival_ns=block.arrival_ns[stay],
        fault=block.fault[stay],
        raw=None if raw is None else _whole(raw.filter(pa.array(stay))),
    )


def _whole(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a copy: a filtered dictionary would keep the values that nobody uses."""
    columns = [pa.array(column.to_pylist(), pa.string()) for column in batch.columns]
    return pa.record_batch(columns, names=batch.schema.names)


# -- tables and outputs -----------------------------------------------------------------------


def rewrite_table(path: Path, needles: Sequence[str]) -> int:
    """Write a CSV table anew without the rows that name one of the ids; return how many went."""
    text = path.read_text(encoding="utf-8-sig")
    rows = list(csv.reader(io.StringIO(text)))
    gone = set(needles)
    stay = [row for row in rows if not gone & {cell.strip() for cell in row}]
    if len(stay) < len(rows):
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows(stay)
        fresh = path.with_name(path.name + ".new")
        fresh.write_text(out.getvalue(), encoding="utf-8")
        fresh.replace(path)
    return len(rows) - len(stay)


class _Rebuild(Live):
    """Computes state and outputs anew from the journal; what others' lines say now is taken over."""

    differing = 0
    standing: dict[str, AlertChange]

    def _lines(self, lines: Sequence[AlertChange]) -> None:
        if not hasattr(self, "standing"):
            self.standing = {}
        for line in lines:
            self.standing[line.alert_id] = line
        self.differing += self.store.overwrite(SHARD, self.epoch, lines)
        if self.alerts is not None:
            self.alerts.write(lines)


def _rebuild(config: Config, wall_ns: int) -> int:
    """Run the journal from its start into new state; return how many of others' lines differ."""
    for path in (config.alerts, config.quarantine):
        if path is not None:
            path.unlink(missing_ok=True)
            path.with_suffix(f".events{path.suffix}").unlink(missing_ok=True)
    live = _Rebuild(config, lambda: wall_ns)
    now = live.host.clock_ns or wall_ns
    lost = called_off(live.store, SHARD, getattr(live, "standing", {}), now)
    live.store.commit(SHARD, live.epoch, live.fed, lost, clock_ns=now)
    live.close()
    return live.differing + len(lost)


def called_off(
    store: Store, shard: str, standing: Collection[str], now_ns: int
) -> list[AlertChange]:
    """Return the last lines of alerts that fired, and do not when all is computed anew."""
    found = []
    for row in store.alerts(state=str(State.FIRING)):
        if row.shard == shard and row.alert_id not in standing:
            last = store.changes(row.alert_id)[-1]
            reason = {
                "zh": "应要求删除资料后重新计算，此预警撤销。",
                "en": "Computed anew after an erasure; this alert is called off.",
            }
            found.append(
                msgspec.structs.replace(
                    last, seq=last.seq + 1, at=stamp(now_ns), state=State.CANCELLED, reason=reason
                )
            )
    return found


# -- the proof --------------------------------------------------------------------------------


def _files(config: Config, tables: Iterable[Path]) -> list[Path]:
    found = [*tables]
    url = config.store
    if url.startswith("sqlite:///"):
        base = Path(url.removeprefix("sqlite:///"))
        found += sorted(base.parent.glob(base.name + "*"))
    snapshots = Path(config.snapshots)
    found += sorted(snapshots.rglob("*"))
    found += sorted(curves_folder(config, snapshots).rglob("*"))
    for path in (config.alerts, config.quarantine, config.inputs.places, config.inputs.workers):
        if path is not None:
            found += sorted(path.parent.glob(path.stem + "*"))
    if config.inputs.watch is not None:
        found += sorted(config.inputs.watch.rglob("*"))
    return [p for p in dict.fromkeys(found) if p.is_file()]


def pattern_of(needles: Sequence[str]) -> re.Pattern[bytes]:
    """Return what finds ids and personal data as whole words."""
    return re.compile("|".join(word(n) for n in needles).encode())


def search(done: Forgotten, needles: Sequence[str], files: Iterable[Path]) -> None:
    """Search files for ids (as whole words) and personal data, in pieces that overlap."""
    pattern = pattern_of(needles)
    longest = max(len(n.encode()) for n in needles) + 2
    for path in files:
        with path.open("rb") as file:
            tail = b""
            while piece := file.read(_READ):
                done.searched += len(piece)
                if pattern.search(tail + piece):
                    done.left.append(str(path))
                    break
                tail = (tail + piece)[-longest:]
