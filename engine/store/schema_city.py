"""Tables of the city: what shards counted, the daily reducer, what is on its way to the outside."""

from __future__ import annotations

from sqlalchemy import Column, Float, Index, Integer, LargeBinary, Table, Text

from engine.store.schema import Name, Serial, Time, metadata

tallies = Table(
    "tallies",
    metadata,
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("shard", Name, primary_key=True),
    Column("body", Text, nullable=False),
    comment="What each shard counted on an event-day, by rule; kept until the day is reduced.",
)

reducers = Table(
    "reducers",
    metadata,
    Column("name", Name, primary_key=True),
    Column("day", Integer, nullable=False),
    Column("state", LargeBinary, nullable=False),
    comment="The daily reducer: last day closed and its state. Its row lock makes it one.",
)

activations = Table(
    "activations",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("version", Name, nullable=False),
    Column("at_ns", Time, nullable=False),
    Column("told", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Column("prices", Text),
    comment="Which rules a city's shards take up, from which event time on; prices at that time.",
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("channel", Name, nullable=False),
    Column("topic", Name, nullable=False),
    Column("key", Name, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("at_ns", Time, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("due_wall", Float, nullable=False, server_default="0"),
    Column("dead", Integer, nullable=False, server_default="0"),
    Column("problem", Text),
    Index(None, "channel", "dead", "due_wall"),
    comment="One row of the outbox for one channel; gone once told, kept with its problem if dead.",
    sqlite_autoincrement=True,
)
