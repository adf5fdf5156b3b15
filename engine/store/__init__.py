"""The store: what must outlive a process, in SQL (SQLite by default, PostgreSQL by URL alone).

Frozen API (details in the modules)::

    store = Store.open("sqlite:///gridwarden.db", desk=Desk(rules=rule_set, queue=config.queue))

    # shards ------------------------------------------------------------------ engine/store/store.py
    epoch = store.claim(shard)                 # raises the epoch: older holders are out
    n = store.commit(shard, epoch, offset, changes, clock_ns=now)   # ONE transaction; rows inserted
    store.save_snapshot(shard, epoch, expected, ref)   # compare-and-swap of engine.snapshot refs
    store.current_snapshot(shard)              # SnapshotRef | None
    store.snapshots(shard)                     # newest first, to fall back on
    store.shard(shard) / store.clock()         # ShardRow | newest event time of any shard
    store.alerts(...) / store.changes(alert_id) / store.lines()     # lines(): canonical, sorted

    # tasks ------------------------------------------------------------------- engine/store/tasks.py
    store.tasks.list(worker=, states=, place=, door=) / .get(id) / .history(id)
    store.tasks.sign(id, by=, at_ns=, key=) / .handle / .report(..., outcome, until_ns=, kw=)
    store.tasks.close / .reassign / .reject / .reopen / .cancel / .escalate
    store.tasks.tick(now_ns)                   # new day: release what was held back; overdue: ladder
    store.tasks.held_back(grid=) / .recall(...)

    # outcomes, absences, and their way back into the log --------------------- engine/store/register.py
    store.register.declare(subject, from_ns, until_ns, source=, by=, at_ns=) / .revoke / .absences
    store.register.outcomes(...)
    store.register.take(shard, epoch, offset, arrival_ns)  # stamp what waits with its log position
    store.register.logged(shard, after_offset)             # the same records again, after a restart

    # people, rosters, books -------------------------------------------------- people.py, rosters.py, books.py
    store.people.put / .look (always logged) / .forget
    store.rosters.put_workers / .workers / .put_places / .places
    store.books.record_run / .runs / .put_prices / .prices / .audit / .audit_log
    store.outbox.pending(topic) / .done(ids)

    # who still has to hear of what ------------------------------------------- deliveries.py
    store.deliveries.hand_out(channels, keep=) / .due(channel, now) / .told(ids) / .later / .dead

Errors: :class:`StoreError` ⊃ :class:`StaleEpoch`, :class:`DeterminismViolation`,
:class:`SnapshotConflict`, :class:`StoreTooNew`, :class:`TaskError`.

Times are int64 nanoseconds of event time; who writes gives them, the store has no clock.
"""

from engine.store.errors import (
    DeterminismViolation,
    SnapshotConflict,
    StaleEpoch,
    StoreError,
    StoreTooNew,
)
from engine.store.people import Look, Vault
from engine.store.store import Store
from engine.tasks import TaskError

__all__ = [
    "DeterminismViolation",
    "Look",
    "SnapshotConflict",
    "StaleEpoch",
    "Store",
    "StoreError",
    "StoreTooNew",
    "TaskError",
    "Vault",
]
