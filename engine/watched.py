"""What a runner tells the console at its start: what is watched, and where its series are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.config import Config
from engine.places import PlaceTree
from engine.registry import Registry
from engine.store import Store
from engine.store.questions import SubjectRow
from engine.store.rosters import PlaceRow


def curves_folder(config: Config, snapshots: Path) -> Path:
    """Return where series are kept for the console."""
    return config.console.curves or snapshots / "curves"


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
