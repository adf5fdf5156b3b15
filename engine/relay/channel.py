"""What every channel has: a name, topics, and an answer for each message."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from engine.relay.messages import Message
from engine.store.deliveries import Deliveries

BASE_S, LONGEST_S = 5.0, 6 * 3_600.0


class ChannelDown(RuntimeError):  # noqa: N818 -- says what happened
    """The other side cannot be reached at all: nothing counts as an attempt, all is told later."""


class Answer(NamedTuple):
    """What became of one message."""

    problem: str | None = None
    """None: it was told."""
    after_s: float | None = None
    """When to try again, where the other side said so."""
    aside: bool = False
    """Whether another attempt is pointless."""


TOLD = Answer()


class Channel(Protocol):
    """A way to tell others."""

    name: str
    topics: Sequence[str]
    attempts: int
    """After so many failed ones a message is put aside."""
    at_once: int
    """So many messages are given to :meth:`tell` at most."""

    def look(self, deliveries: Deliveries) -> None:
        """Look whether the other side still has what it was told; called before each turn."""

    def tell(self, messages: Sequence[Message]) -> Sequence[Answer]:
        """Tell messages, in this order; return what became of each.

        Raises
        ------
        ChannelDown
            If the other side cannot be reached.
        """

    def mark(self) -> tuple[str, int] | None:
        """Return what is to be noted together with what was told last."""

    def close(self) -> None:
        """Give everything back."""


def delay_s(key: str, attempts: int, base_s: float = BASE_S, longest_s: float = LONGEST_S) -> float:
    """Return how long to wait after so many failed attempts: doubling, half of it by the key.

    >>> [round(delay_s("task:t-1:0", n)) for n in range(4)]
    [3, 8, 19, 20]
    """
    digest = hashlib.sha256(f"{key}\x1f{attempts}".encode()).digest()
    share = int.from_bytes(digest[:4], "big") / 2**32
    return float(min(longest_s, base_s * 2.0 ** min(attempts, 40)) * (0.5 + share / 2))
