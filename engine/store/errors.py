"""What can go wrong in the store; every message says what the operator does next."""

from __future__ import annotations


class StoreError(RuntimeError):
    """The store cannot do what was asked."""


class StoreTooNew(StoreError):  # noqa: N818 -- the word of the design
    """The database was written by a newer program."""


class StaleEpoch(StoreError):  # noqa: N818 -- the word of the design
    """Another worker has taken the shard: this one must stop at once."""


class SnapshotConflict(StoreError):  # noqa: N818 -- the word of the design
    """The current snapshot is not the one this worker went on from."""


class DeterminismViolation(StoreError):  # noqa: N818 -- the word of the design
    """The same change of the same alert came out differently: stop the shard, call the operator."""
