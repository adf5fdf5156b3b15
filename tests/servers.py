"""Fixtures of real servers: one of each for a whole test run, and fresh ones for chaos.

A laptop that cannot have one skips loudly; CI fails.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from engine.city import servers
from engine.city.servers import Kafka, Mosquitto, Postgres, Redis, Server, ServerMissing
from tests.missing import missing

S = TypeVar("S", bound=Server)


def have(make: Callable[[], S]) -> Iterator[S]:
    """Yield a running server; skip (fail under CI) where it cannot be had."""
    server = make()
    try:
        try:
            server.start()
        except ServerMissing as error:
            missing(f"no {server.name} here: {error}")
        yield server
    finally:
        server.stop()


def _folder(factory: pytest.TempPathFactory, name: str) -> Path:
    return factory.mktemp(name)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    yield from have(lambda: servers.Kafka(_folder(tmp_path_factory, "kafka")))


@pytest.fixture(scope="session")
def pg() -> Iterator[Postgres]:
    # PostgreSQL runs as another user, which pytest's folders are closed to.
    with tempfile.TemporaryDirectory(prefix="gridwarden-pg-") as folder:
        Path(folder).chmod(0o755)
        yield from have(lambda: servers.Postgres(Path(folder) / "pg"))


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    yield from have(lambda: servers.Redis(_folder(tmp_path_factory, "redis")))


@pytest.fixture(scope="session")
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    yield from have(lambda: servers.Mosquitto(_folder(tmp_path_factory, "mosquitto")))
