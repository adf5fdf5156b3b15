"""When a row reached the log, in event time: the newest sane stamp that its file has shown so far.

One broken clock must neither stop nor rush anybody. So a stamp too far ahead is held, and with it
all rows behind it, until the rows that follow decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

_NS = 1_000_000_000
NEVER = int(np.iinfo(np.int64).min)
"""Clock of a source that has shown no sane stamp yet."""


@dataclass(frozen=True, slots=True)
class ArrivalRules:
    """What makes a stamp sane.

    Parameters
    ----------
    max_skew_s : int
        A stamp further ahead of the newest sane one than this, plus the shortest interval of the
        meters that the source has shown, is held.
    rows, meters : int
        So many held rows that agree, of so many different meters, move the clock. A source that
        has shown fewer meters needs as many as it has.
    most_rows : int
        So many held rows move the clock whoever they come from.
    patience : int
        So many rows, stamped or not, without a decision refute what is held.
    trust_the_end : bool
        Whether rows still held at the end of the source count (events, which are sparse).
    """

    max_skew_s: int = 3600
    rows: int = 3
    meters: int = 3
    most_rows: int = 24
    patience: int = 4096
    trust_the_end: bool = False


READING_RULES = ArrivalRules()
EVENT_RULES = ArrivalRules(max_skew_s=31 * 86_400, rows=2, meters=1, trust_the_end=True)
"""Events are sparse: months may pass between two of them, and no interval is known."""


@numba.njit(cache=True, nogil=True)
def _supported(ts, meter, stamps, count, reach, need_rows, need_meters):  # type: ignore[no-untyped-def]
    """Return the least stamp of the group around the newest held row if the group has support."""
    newest = ts[stamps[count - 1]]
    low = high = newest
    grown = True
    while grown:  # the group: stamps linked by gaps of at most `reach`
        grown = False
        for k in range(count):
            t = ts[stamps[k]]
            if low - reach <= t < low:
                low = t
                grown = True
            elif high < t <= high + reach:
                high = t
                grown = True
    rows = 0
    distinct = 0
    for k in range(count):
        if low <= ts[stamps[k]] <= high:
            rows += 1
            new = True
            for j in range(k):
                if low <= ts[stamps[j]] <= high and meter[stamps[j]] == meter[stamps[k]]:
                    new = False
                    break
            distinct += 1 if new else 0
    return rows >= need_rows and distinct >= need_meters, low


@numba.njit(cache=True, nogil=True)
def _arrive(  # type: ignore[no-untyped-def]
    ts, stamped, meter, interval_ns, clock, floor, pace, seen, skew,
    need_rows, need_meters, most_rows, patience, ended, trust, arrival, ahead,
):  # fmt: skip
    """Walk rows in order; return (rows decided, clock, pace) as of the first undecided row.

    The state returned is that before the first held row, so a caller that gives the held rows
    again, with more behind them, continues as if there had been no cut.
    """
    n = len(ts)
    stamps = np.empty(most_rows + 1, np.int64)
    held = -1  # first held row
    count = 0  # held rows with a stamp
    horizon = clock  # what the clock has been confirmed to reach
    i = 0
    while True:
        if i == n:
            if held < 0 or not ended:
                break
            # The source is over. Held rows stand if they are enough, or if nothing came before.
            low = np.int64(0)
            found = False
            if count:
                meters = min(need_meters, max(seen[0], 1))
                for k in range(1, count + 1):
                    last = stamps[count - k]
                    stamps[count - k] = stamps[count - 1]
                    stamps[count - 1] = last
                    ok, level = _supported(
                        ts, meter, stamps, count, pace + skew, min(need_rows, 2), meters
                    )
                    if ok and (not found or level < low):
                        found = True
                        low = level
                if not found and (trust or clock == NEVER):
                    found = True
                    low = ts[stamps[0]]
                    for k in range(count):
                        low = min(low, ts[stamps[k]])
            if found:
                horizon = low
                i, held, count = held, -1, 0
                continue
            for k in range(held, n):
                arrival[k] = max(clock, floor)
                ahead[k] = stamped[k]
            held = -1
            break
        t = ts[i]
        limit = max(clock, horizon)
        if not stamped[i]:
            if held < 0 and clock != NEVER:
                arrival[i] = clock
            elif held < 0:
                held = i
        elif limit != NEVER and t <= limit + skew + pace:
            if held >= 0:  # refuted
                at = t if clock == NEVER else clock
                for k in range(held, i):
                    arrival[k] = at
                    ahead[k] = stamped[k]
                held, count = -1, 0
            clock = max(clock, t)
            arrival[i] = clock
            m = meter[i]
            if seen[0] < 3:
                new = True
                for k in range(1, seen[0] + 1):
                    new = new and seen[k] != m
                if new:
                    seen[0] += 1
                    seen[seen[0]] = m
            if interval_ns[i] > 0 and (interval_ns[i] < pace or pace == 0):
                pace = interval_ns[i]
        else:
            if held < 0:
                held = i
            stamps[count] = i
            count += 1
            meters = need_meters if seen[0] == 0 else min(need_meters, seen[0])
            found, low = _supported(ts, meter, stamps, count, pace + skew, need_rows, meters)
            if not found and count >= most_rows:
                found = True
                low = ts[stamps[0]]
                for k in range(count):
                    low = min(low, ts[stamps[k]])
            if found:
                horizon = low
                i, held, count = held, -1, 0
                continue
        if held >= 0 and i - held + 1 >= patience:
            for k in range(held, i + 1):
                arrival[k] = max(clock, floor)
                ahead[k] = stamped[k]
            held, count = -1, 0
        i += 1
    return (n if held < 0 else held), clock, pace


class ArrivalClock:
    """The clock of one source.

    A stamp at most `max_skew` (plus the source's shortest interval) ahead of the clock is sane
    and moves it. A stamp further ahead is held, with all rows behind it:

    - the next sane row refutes what is held (``CLOCK_AHEAD``);
    - `rows` held rows of `meters` different meters whose stamps lie close together, or
      `most_rows` of any kind, confirm that time has moved on: the clock may reach the least of
      them, and the held rows are judged anew.

    Arrivals are the running clock, so they never fall. The result depends on the sequence of rows
    alone, not on how it was cut into calls.
    """

    def __init__(self, rules: ArrivalRules = READING_RULES, *, earliest_ns: int = 0) -> None:
        self.rules = rules
        self.earliest_ns = earliest_ns
        self._clock = NEVER
        self._pace_ns = 0
        self._seen = np.zeros(4, np.int64)

    def advance(
        self,
        ts_ns: NDArray[np.int64],
        stamped: NDArray[np.bool_],
        meter: NDArray[np.integer[Any]],
        interval_ns: NDArray[np.int64],
        *,
        ended: bool = False,
    ) -> tuple[int, NDArray[np.int64], NDArray[np.bool_]]:
        """Decide as many rows as possible.

        Parameters
        ----------
        ts_ns : ndarray of int64, shape (n,)
            Stamps; rows that an earlier call left undecided come first.
        stamped : ndarray of bool, shape (n,)
            Rows whose stamp counts: readable, in range, of a known meter.
        meter : ndarray of int, shape (n,)
        interval_ns : ndarray of int64, shape (n,)
            Interval of the row's meter; 0 where unknown.
        ended : bool
            Whether the source has no more rows; then all rows are decided.

        Returns
        -------
        decided : int
            Number of leading rows decided. The caller gives the others again.
        arrival_ns : ndarray of int64, shape (n,)
        ahead : ndarray of bool, shape (n,)
            Rows refuted as ``CLOCK_AHEAD``; both valid for the rows decided.
        """
        arrival = np.empty(len(ts_ns), np.int64)
        ahead = np.zeros(len(ts_ns), np.bool_)
        r = self.rules
        decided, clock, pace = _arrive(
            ts_ns, stamped, meter, interval_ns, self._clock, self.earliest_ns, self._pace_ns,
            self._seen, r.max_skew_s * _NS, r.rows, r.meters, r.most_rows, r.patience, ended,
            r.trust_the_end, arrival, ahead,
        )  # fmt: skip
        self._clock, self._pace_ns = int(clock), int(pace)
        return int(decided), arrival, ahead

    def state(self) -> dict[str, Any]:
        """Return the clock as JSON-able values."""
        return {"clock": self._clock, "pace_ns": self._pace_ns, "seen": self._seen.tolist()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over a clock from :meth:`state`."""
        self._clock = int(state["clock"])
        self._pace_ns = int(state["pace_ns"])
        self._seen = np.asarray(state["seen"], np.int64)
