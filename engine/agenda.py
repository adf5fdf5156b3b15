"""What a shard has to do at times of its own: timers of rules, prices to come, rows to look at."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Mapping
from typing import Any

from connectors.records import PriceRecord
from detectors.budget import Price
from engine.links import Moves

NEVER_NS = 2**62


class Agenda:
    """Timers by time, prices by the day from which they hold, and rows that events touched."""

    def __init__(self) -> None:
        self._timers: list[tuple[int, int]] = []
        self._prices: list[tuple[int, str, Price]] = []
        self._touched: dict[int, dict[int, int]] = {}

    # -- timers ---------------------------------------------------------------------------

    @property
    def next_ns(self) -> int:
        """When the next timer is due; far away without one."""
        return self._timers[0][0] if self._timers else NEVER_NS

    def arm(self, watch: int, deadline_ns: int) -> None:
        """Remember when time alone will next move something of a rule."""
        if deadline_ns < NEVER_NS:
            heapq.heappush(self._timers, (deadline_ns, watch))

    def ring(self, to_ns: int) -> list[int]:
        """Return the rules with a timer due up to and including `to_ns`, and forget those."""
        due: set[int] = set()
        while self.next_ns <= to_ns and self._timers:
            due.add(heapq.heappop(self._timers)[1])
        return sorted(due)

    # -- prices ---------------------------------------------------------------------------

    def put_price(self, record: PriceRecord) -> None:
        """Remember a price and the day from which it holds."""
        price = Price(record.day, record.index, record.fraction)
        heapq.heappush(self._prices, (record.day, record.rule, price))

    def prices_until(self, day: int) -> list[tuple[str, Price]]:
        """Return the prices that hold from `day` or earlier, oldest first, and forget those."""
        due: list[tuple[str, Price]] = []
        while self._prices and self._prices[0][0] <= day:
            due.append(heapq.heappop(self._prices)[1:])
        return due

    # -- rows that events concern ---------------------------------------------------------

    @property
    def has_touched(self) -> bool:
        """Whether some row is to be looked at again."""
        return bool(self._touched)

    def touch(self, watch: int, row: int, arrival_ns: int) -> None:
        """Have a rule look at a row again at the next boundary."""
        rows = self._touched.setdefault(watch, {})
        rows[row] = max(arrival_ns, rows.get(row, 0))

    def take_touched(self) -> dict[int, dict[int, int]]:
        """Return the rows to look at, with their times, by rule, and forget them."""
        taken, self._touched = self._touched, {}
        return taken

    # -- other rules, snapshots -----------------------------------------------------------

    def move(self, moves: Moves, repriced: Collection[str]) -> None:
        """Follow rules to their new places; timers are to be set anew.

        Prices of `repriced` rules that were still to come are forgotten: they were for budgets
        that are no more.
        """
        self._touched = {
            moves[i][0]: {moves[i][1][r]: t for r, t in rows.items() if r in moves[i][1]}
            for i, rows in self._touched.items()
            if i in moves
        }
        self._prices = [price for price in self._prices if price[1] not in repriced]
        heapq.heapify(self._prices)
        self._timers = []

    def snapshot(self) -> dict[str, Any]:
        """Return plain values for a snapshot's header."""
        return {
            "deadlines": sorted(self._timers),
            "prices": [
                [d, n, p.day, p.index, p.fraction]
                for d, n, p in sorted(self._prices, key=lambda x: x[:2])
            ],
            "happened": [[i, sorted(rows.items())] for i, rows in sorted(self._touched.items())],
        }

    def restore(self, header: Mapping[str, Any]) -> None:
        """Take over :meth:`snapshot`'s values."""
        self._timers = [(int(at), int(watch)) for at, watch in header["deadlines"]]
        heapq.heapify(self._timers)
        self._prices = [(d, n, Price(pd, pi, pf)) for d, n, pd, pi, pf in header["prices"]]
        heapq.heapify(self._prices)
        self._touched = {
            int(i): {int(r): int(t) for r, t in rows} for i, rows in header["happened"]
        }
