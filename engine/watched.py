"""What a runner tells the console at its start: what is watched, and where its series are kept."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import structlog

from connectors.people import read_contacts
from engine.config import Config
from engine.curves import CurveArchive, CurveError
from engine.places import PlaceTree
from engine.registry import Registry
from engine.shard import ShardRunner
from engine.store import Store
from engine.store.questions import SubjectRow
from engine.store.rosters import PlaceRow

log = structlog.get_logger()


def curves_folder(config: Config, snapshots: Path) -> Path:
    """Return where series are kept for the console."""
    return config.console.curves or snapshots.with_name(snapshots.name + "-curves")


def curve_tap(config: Config, snapshots: Path, shard: ShardRunner) -> CurveArchive | None:
    """Return what keeps a shard's series; None where there is no room for them.

    Alerts do not depend on it, so nothing stops for it.
    """
    try:
        return CurveArchive(curves_folder(config, snapshots), shard, config.console.curves_days)
    except CurveError as error:
        log.warning("series_not_kept", problem=str(error))
        return None


def enter_watched(store: Store, registry: Registry, tree: PlaceTree) -> None:
    """Tell the console what is watched, and what its places are called."""
    meters = registry.meters
    of: dict[int, list[dict[str, Any]]] = {}
    for i, owner in enumerate(meters.subject.tolist()):
        key = registry.classes[int(meters.class_index[i])]
        kind = "register" if meters.register[i] else "interval"
        of.setdefault(owner, []).append(
            {"utility": key.utility, "interval_s": key.interval_s, "kind": kind}
        )
    ids = registry.subjects.subject_id.to_pylist()
    store.rosters.put_subjects(
        SubjectRow(
            name, registry.kind(i), registry.place(i), registry.zone(i), registry.attrs(i),
            of.get(i, []),
        )
        for i, name in enumerate(ids)
    )  # fmt: skip
    if tree.names:
        layout = tree.layout
        store.rosters.put_places(
            PlaceRow(code, layout.parent(code), name, layout.level(code))
            for code, name in tree.names.items()
        )


def enter_contacts(store: Store, path: str, at_ns: int) -> int:
    """Seal the contacts of a file with consent; return of how many subjects.

    Those without consent are left out, and what was kept of them is erased. A file that was taken
    before is not read again.
    """
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    if store.books.job("contacts") == digest:
        return 0
    table = read_contacts(path)
    people: dict[str, list[dict[str, Any]]] = {}
    refused: set[str] = set()
    rows = zip(
        table.subject_id.to_pylist(), table.order.tolist(), table.relation.to_pylist(),
        table.phone.to_pylist(), table.consent.tolist(), strict=True,
    )  # fmt: skip
    for subject, order, relation, phone, consent in rows:
        if consent:
            one = {"order": int(order), "relation": relation, "phone": phone}
            people.setdefault(subject, []).append(one)
        else:
            refused.add(subject)
    for subject, contacts in people.items():
        contacts.sort(key=lambda c: c["order"])
        own = next((c["phone"] for c in contacts if c["relation"] == "self"), None)
        values: dict[str, Any] = {"contacts": contacts} | ({"phone": own} if own else {})
        store.people.put(subject, values, by="contacts file", at_ns=at_ns, purpose="welfare checks")
    for subject in sorted(refused - people.keys()):
        store.people.forget(subject, by="contacts file", at_ns=at_ns)
    store.books.note_job("contacts", digest, at_ns)
    return len(people)
