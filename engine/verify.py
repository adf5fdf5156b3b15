"""Provenance proven: an alert of a store recomputed from its inputs, and its state from its rows.

An alert is a function of inputs, rules and configuration. The snapshot of the replay that raised
it names all three by hash; verifying reads them again, replays them without the store, and compares
line by line and state by state.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.audit import AuditError, options_of
from engine.inputs import fingerprint
from engine.library import LibraryError
from engine.opening import snapshot_folder
from engine.replay import Replay
from engine.snapshot import SnapshotFileError, SnapshotFolder, state_digest
from engine.store import Store
from rules.problems import RuleErrors


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was compared: in words, as kept, as it is now."""

    zh: str
    en: str
    kept: str
    now: str

    @property
    def same(self) -> bool:
        """Whether it is what it was."""
        return self.kept == self.now


@dataclass(slots=True)
class Verification:
    """What verifying an alert came to."""

    alert_id: str
    checks: list[Check] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether everything is the same."""
        return all(check.same for check in self.checks)


def verify(url: str, alert_id: str) -> Verification | None:
    """Recompute an alert kept in a store; None where no alert, or more than one, begins so.

    Parameters
    ----------
    url : str
        The store, with its snapshots beside it.
    alert_id : str
        The beginning of an id will do.

    Raises
    ------
    AuditError
        If what it was made from is not known (a live site's alerts: its journal is another
        thing), or cannot be read any more.
    """
    with Store.open(url, create=False) as store:
        found = [a for a in store.alerts() if a.alert_id.startswith(alert_id)]
        if len(found) != 1:
            return None
        alert = found[0]
        kept = [change.line() for change in store.changes(alert.alert_id)]
        ref = store.current_snapshot(alert.shard)
    if ref is None:
        raise AuditError(f"{alert.alert_id}: no state is kept that says what it was made from")
    try:
        snapshot = SnapshotFolder(snapshot_folder(url)).read(ref)
    except SnapshotFileError as error:
        raise AuditError(str(error)) from None
    header = snapshot.header
    manifest = header.get("manifest")
    if not manifest or not header.get("finished"):
        raise AuditError(
            f"{alert.alert_id}: is of a live site, or of a replay that was not finished; what a "
            "finished replay raised can be recomputed"
        )
    result = Verification(alert.alert_id)
    result.checks += _inputs(manifest)
    try:
        options, config = options_of(manifest)
        again = Replay(options, config, keep=True)
        replayed = again.run()
    except (LibraryError, RuleErrors, OSError) as error:
        raise AuditError(f"{alert.alert_id}: cannot be recomputed: {error}") from None
    result.checks.append(Check("规则", "rules", manifest["rules"], again.rules.version))
    now = [c.line() for c in replayed.alerts if c.alert_id == alert.alert_id]
    result.checks.append(Check("预警（逐字节）", "the alert, byte for byte", _sum(kept), _sum(now)))
    head, arrays = again.host.snapshot()
    before = {name: snapshot.arrays[name] for name in arrays if name in snapshot.arrays}
    result.checks.append(
        Check(
            "状态",
            "state",
            state_digest(_plain(header["host"]), before)[:16],
            state_digest(_plain(head), arrays)[:16],
        )
    )
    return result


def _inputs(manifest: Mapping[str, Any]) -> list[Check]:
    """Compare the inputs that were read with the files there are."""
    checks = []
    for file, was in manifest["inputs"]:
        try:
            now = fingerprint(file)
        except (OSError, ValueError):
            now = "—"
        checks.append(Check(f"输入 {file}", f"input {file}", str(was), now))
    return checks


def _plain(value: Any) -> Any:
    """Return a value as a snapshot's header keeps it."""
    return json.loads(json.dumps(value))


def _sum(lines: list[bytes]) -> str:
    return f"{len(lines)} × {hashlib.sha256(b''.join(lines)).hexdigest()[:16]}"
