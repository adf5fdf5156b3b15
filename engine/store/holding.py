"""Who holds a shard: asked within every transaction that writes for it.

Taking a shard raises its epoch, so a worker that lost it and does not know it writes nothing.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, select

from engine.store import schema as t
from engine.store.errors import StaleEpoch, StoreError


class ShardRow(NamedTuple):
    """A shard as the store knows it."""

    shard: str
    epoch: int
    holder: str
    offset: int
    clock_ns: int
    snapshot: str | None


def hold(connection: Connection, shard: str, epoch: int) -> ShardRow:
    """Return a shard's row, locked until the transaction ends.

    Raises
    ------
    StoreError
        If nobody has claimed the shard.
    StaleEpoch
        If another worker has taken it.
    """
    query = select(t.shards).where(t.shards.c.shard == shard).with_for_update()
    row = connection.execute(query).first()
    if row is None:
        raise StoreError(f"shard {shard!r}: nobody claimed it; claim it before writing")
    held = ShardRow(*row)
    if held.epoch != epoch:
        raise StaleEpoch(
            f"shard {shard!r}: epoch {epoch} is past, epoch {held.epoch} "
            f"({held.holder or 'another worker'}) holds it; stop this worker's shard"
        )
    return held
