"""The relay: while it holds the lease, it hands the outbox to channels, and each channel tells.

One relay acts at a time. Each channel has a thread of its own, so that one that hangs keeps nobody
else waiting. What was told is dropped; a crash in between tells it again, under the same id.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import Connection

from engine.escalation import LEASE_S, Escalator
from engine.in_force import RulesInForce
from engine.relay.channel import Answer, Channel, ChannelDown, delay_s
from engine.relay.messages import read
from engine.store import Store
from engine.store.access import FencedError, Lease, fence
from engine.store.deliveries import Delivery
from engine.store.errors import StoreError

log = structlog.get_logger()
LEASE = "relay"
TURN_S = 0.2
DOWN_S, LONGEST_DOWN_S = 0.5, 30.0


@dataclass(slots=True)
class Told:
    """What a channel did since the process began, for metrics."""

    told: int = 0
    failed: int = 0
    aside: int = 0
    problem: str | None = None
    """What keeps it from telling."""


class Relay:
    """Hands out and tells, while it holds the lease.

    Parameters
    ----------
    store : Store
    channels : sequence of Channel
    holder : str
        Who this is.
    keep_rows : int
        Rows of the outbox that stay for the console.
    escalator : Escalator, optional
        The clock of tasks, turned here as well.
    rules : RulesInForce, optional
        By which the clock of tasks goes.
    now_ns : callable
        Event time, for the escalator.
    wall : callable
        Seconds: leases and attempts go by it.
    lease_s : float
        How long nobody else acts after this one was seen last.
    """

    def __init__(
        self,
        store: Store,
        channels: Sequence[Channel],
        *,
        holder: str,
        keep_rows: int = 100_000,
        escalator: Escalator | None = None,
        rules: RulesInForce | None = None,
        now_ns: Callable[[], int] = time.time_ns,
        wall: Callable[[], float] = time.time,
        lease_s: float = LEASE_S,
    ) -> None:
        self.store = store
        self.channels = list(channels)
        self.numbers = {channel.name: Told() for channel in channels}
        self.holder = holder
        self.problem: str | None = None
        """What keeps the relay from reading the outbox."""
        self.acts = False
        self.turned_at = time.monotonic()
        self._keep = keep_rows
        self._escalator = escalator
        self._rules = rules
        self._now_ns = now_ns
        self._wall = wall
        self._lease_s = lease_s
        self._lease: Lease | None = None
        self._topics = {channel.name: channel.topics for channel in channels}
        self._stop = threading.Event()
        self._bells = {channel.name: threading.Event() for channel in channels}
        self._threads: list[threading.Thread] = []

    # -- one turn -------------------------------------------------------------------------

    def turn(self) -> int:
        """Turn the clock of tasks, hand out what is new; return rows handed out."""
        if self._rules is not None:
            self._rules.look()
        if self._escalator is not None:
            self._escalator.turn(self._now_ns())
        lease = self._held()
        self.acts = lease is not None
        if lease is None:
            return 0
        held: Lease = lease

        def guard(connection: Connection) -> None:
            fence(connection, held)

        try:
            return self.store.deliveries.hand_out(self._topics, keep=self._keep, guard=guard)
        except FencedError:
            self._lease, self.acts = None, False
            return 0

    def _held(self) -> Lease | None:
        now = self._wall()
        if self._lease is None or self._lease.until_wall - now < self._lease_s / 2:
            self._lease = self.store.access.lease(
                LEASE, self.holder, now_wall=now, for_s=self._lease_s
            )
        return self._lease

    def tell(self, channel: Channel) -> int:
        """Let a channel tell what is due; return how many messages left its list.

        Raises
        ------
        ChannelDown
            If the other side cannot be reached.
        """
        deliveries, numbers = self.store.deliveries, self.numbers[channel.name]
        channel.look(deliveries)
        found = deliveries.due(channel.name, self._wall(), channel.at_once)
        if not found:
            return 0
        messages = read(self.store, found)
        told = [d.id for d, m in zip(found, messages, strict=True) if m is None]  # was forgotten
        there = [m for m in messages if m is not None]
        answers = channel.tell(there) if there else []
        for message, answer in zip(there, answers, strict=True):
            if answer.problem is None:
                told.append(message.delivery.id)
            else:
                self._failed(channel, message.delivery, answer)
        deliveries.told(told, mark=channel.mark())
        numbers.told += len(told)
        return len(told)

    def _failed(self, channel: Channel, delivery: Delivery, answer: Answer) -> None:
        numbers, problem = self.numbers[channel.name], answer.problem or ""
        numbers.failed += 1
        if answer.aside or delivery.attempts + 1 >= channel.attempts:
            numbers.aside += 1
            log.error("put_aside", channel=channel.name, message=delivery.name, problem=problem)
            self.store.deliveries.put_aside(delivery.id, problem)
            return
        wait_s = delay_s(f"{channel.name} {delivery.name}", delivery.attempts)
        if answer.after_s is not None:
            wait_s = max(answer.after_s, 0.1)
        self.store.deliveries.later(delivery.id, problem, self._wall() + wait_s)

    # -- running --------------------------------------------------------------------------

    def start(self) -> None:
        """Run in threads, until :meth:`close`."""
        named: list[tuple[str, Callable[[], None]]] = [("relay", self._run)]
        named += [(c.name, lambda c=c: self._run_channel(c)) for c in self.channels]  # type: ignore[misc]
        for name, work in named:
            thread = threading.Thread(target=work, daemon=True, name=name)
            self._threads.append(thread)
            thread.start()

    def close(self) -> None:
        """End; what was not told stays for the next one."""
        self._stop.set()
        for bell in self._bells.values():
            bell.set()
        for thread in self._threads:
            thread.join(timeout=15)
        for channel in self.channels:
            channel.close()
        try:
            if self._escalator is not None:
                self._escalator.close()
            if self._lease is not None:
                self.store.access.give_back(self._lease)
        except StoreError as error:
            log.info("lease_kept", problem=str(error))  # it ends by itself

    def _run(self) -> None:
        failed = 0
        while not self._stop.is_set():
            self.turned_at = time.monotonic()
            try:
                rows = self.turn()
                self.problem, failed = None, 0
            except Exception as error:
                rows, failed = 0, failed + 1
                self.problem, self.acts = str(error), False
                _say("relay_waits", error)
            if rows:
                for bell in self._bells.values():
                    bell.set()
            else:
                self._stop.wait(TURN_S if not failed else _down_s("relay", failed))

    def _run_channel(self, channel: Channel) -> None:
        bell, numbers = self._bells[channel.name], self.numbers[channel.name]
        failed = 0
        while not self._stop.is_set():
            bell.clear()
            moved = 0
            try:
                if self.acts:
                    moved = self.tell(channel)
                    numbers.problem, failed = None, 0
            except Exception as error:
                failed += 1
                numbers.problem = str(error)
                if failed in (1, 10) or failed % 100 == 0:
                    _say("channel_waits", error, channel=channel.name)
            if failed:
                self._stop.wait(_down_s(channel.name, failed))
            elif not moved:
                bell.wait(1.0)


def _down_s(name: str, failed: int) -> float:
    return delay_s(name, failed - 1, DOWN_S, LONGEST_DOWN_S)


def _say(event: str, error: Exception, **about: str) -> None:
    if isinstance(error, StoreError | ChannelDown):
        log.warning(event, problem=str(error), **about)
    else:
        log.exception(event, exc_info=error, **about)
