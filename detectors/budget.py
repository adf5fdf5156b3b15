"""Budgets: from "N false alerts per subject-year" to the price that decides the moment.

A detector answers, for each subject and slot, at how many of the 35 prices of its grid acting now
pays (:attr:`detectors.base.Signals.urgency`). What remains is to choose the price, so that the
number of alerts comes out as the rule asked, on subjects nobody tuned on. Three parts:

1. Episodes (:mod:`detectors.episodes`) are counted per event-day: how many newly reached each price,
   how long subjects were watched, and how many alerts were spent. A
   :class:`~detectors.episodes.Tally` holds integers only, so tallies of shards add up to the same
   total under any split.
2. :class:`PriceReducer` (one per rule, whole fleet) takes the summed tally of event-day e and
   publishes the :class:`Price` for day e + :data:`LAG_DAYS`. :class:`SubjectPrices` does the same
   for scope ``subject``, with a price per row and no traffic between shards.
3. :func:`due` tells which rows have come to their moment.

>>> import numpy as np
>>> from detectors.budget import PriceReducer, due
>>> reducer = PriceReducer(budget=12.0, prior=np.geomspace(100.0, 1.0, 35))
>>> price = reducer.price                       # holds on the first days, from the prior alone
>>> price.index, round(price.fraction, 2)
(16, 0.33)
>>> due(np.array([17, 18, 0], np.int8), price, key=np.arange(3, dtype=np.uint64), onset=np.zeros(3))
array([ True,  True, False])

In the engine: each slot ``mask = due(...)``; ``tally += counter.count(signals, mask)``; when every
shard has closed day e, ``price = reducer.close(day, sum_of_tallies)`` and the record is written
to the log; shards apply it from the first slot of ``price.day``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from detectors.base import LEVELS, NO_SLOT, BoolArray, DetectorError, IntArray, Signals, State
from detectors.episodes import Counts, EpisodeCounter, Tally, take_over

LAG_DAYS = 2
"""A price published from event-day e holds from day e + 2 on: one day to close, one to travel."""
DAY_S = 86_400
YEAR_S = 365 * DAY_S


@dataclass(frozen=True, slots=True)
class Price:
    """The moment has come when ``urgency > index``, or ``== index`` for `fraction` of episodes.

    Index 0 … LEVELS; at LEVELS only the dithered fraction of episodes that reached every price.
    """

    day: int
    index: int
    fraction: float


@njit(cache=True, nogil=True)
def _coin(key: NDArray[np.uint64], onset: NDArray[np.int64], out: NDArray[np.float64]) -> None:
    """Uniform numbers in [0, 1) from (key, onset): two rounds of SplitMix64's finaliser."""
    for i in range(len(out)):
        z = key[i]
        for turn in range(2):
            z = z + np.uint64(0x9E3779B97F4A7C15)
            if turn == 1:
                z = z ^ np.uint64(onset[i])
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            z = z ^ (z >> np.uint64(31))
        out[i] = (z >> np.uint64(11)) * (1.0 / 9007199254740992.0)


def coin(key: NDArray[np.uint64], onset: ArrayLike) -> NDArray[np.float64]:
    """Return a reproducible uniform number in [0, 1) for each (key, onset), shape (N,).

    The same episode of the same subject gets the same number in every process and every replay.
    """
    out = np.empty(len(key))
    _coin(np.asarray(key, np.uint64), np.asarray(onset, np.int64), out)
    return out


def due(
    urgency: NDArray[np.int8],
    price: Price | tuple[ArrayLike, ArrayLike],
    key: NDArray[np.uint64] | Callable[[IntArray], NDArray[np.uint64]],
    onset: ArrayLike,
) -> BoolArray:
    """Return which rows have come to their moment, shape (N,).

    Parameters
    ----------
    urgency : ndarray of int8, shape (N,)
        One slot of :attr:`~detectors.base.Signals.urgency`.
    price : Price, or pair of array_like (index, fraction), each shape (N,)
        One price for all rows, or one per row (scope ``subject``).
    key : ndarray of uint64, shape (N,), or callable
        Hashes of the subjects' ids, or what gives them for some rows: few are ever asked for.
    onset : array_like of int64, shape (N,)
        Onsets of the present episodes; with `key` they decide the dither.
    """
    level = np.asarray(urgency)
    index: Any
    fraction: Any
    index, fraction = (price.index, price.fraction) if isinstance(price, Price) else price
    mask = (level > index) & (level > 0)
    tie = np.flatnonzero((level == index) & (level > 0) & (np.asarray(fraction) > 0))
    if len(tie):
        share = np.broadcast_to(np.asarray(fraction), level.shape)[tie]
        keys = key(tie) if callable(key) else np.asarray(key)[tie]
        mask[tie] = coin(keys, np.asarray(onset)[tie]) < share
    return np.asarray(mask, np.bool_)


@dataclass(frozen=True, slots=True)
class ControllerParams:
    """Constants of the controller (RESEARCH.md 2, step 6).

    Parameters
    ----------
    half_life_d : float
        Half-life of the counts.
    prior_years : float
        Weight of the shipped prior curve, subject-years of pseudo-exposure.
    payback_d : float
        Days in which a surplus or a debt is paid back.
    floor, ceiling : float
        Bounds of the target as multiples of the budget.
    margin : float
        The controller aims at this share of the budget.
    pool_events : float
        Expected events in the window at which what was spent counts half.
    """

    half_life_d: float
    prior_years: float
    payback_d: float
    floor: float
    ceiling: float
    margin: float
    pool_events: float = 10.0


FLEET = ControllerParams(180.0, 1.0, 120.0, 0.5, 1.5, 1.0)
"""Slow payback on purpose: silences come in seasons, and a price that chases them waits longer in
August to alert sooner in May (RESEARCH.md has 60 days and bounds of .25 and 2)."""
SUBJECT = ControllerParams(180.0, 0.5, 120.0, 0.05, 1.5, 0.97)


class _Controller:
    """What both scopes share: decayed curves, balance, inversion; arrays over pools P."""

    def __init__(
        self, pools: int, budget: float, prior: ArrayLike, params: ControllerParams
    ) -> None:
        if not budget > 0:
            raise DetectorError(f"budget must be > 0 false alerts per subject-year, got {budget}")
        curve = np.asarray(prior, np.float64)
        if curve.shape != (LEVELS,) or (np.diff(curve) > 0).any() or (curve < 0).any():
            raise DetectorError(
                f"prior must be {LEVELS} rates per subject-year, falling with the price; "
                f"got shape {curve.shape}"
            )
        self.budget = float(budget)
        self.prior = curve
        self.params = params
        self.state: State = {
            "reached": np.zeros((pools, LEVELS)),
            "years": np.zeros(pools),
            "balance": np.zeros(pools),
            "index": np.zeros(pools, np.int8),
            "fraction": np.zeros(pools),
        }
        self._invert(np.full(pools, self.budget * params.margin))

    def _close(self, reached: Counts, exposure_s: IntArray, spent: IntArray) -> None:
        """Take over one day's counts, shapes (P, LEVELS), (P,), (P,); set the new prices."""
        p, s = self.params, self.state
        day_years = np.asarray(exposure_s, np.float64) / YEAR_S
        keep = 0.5 ** (1.0 / p.half_life_d)
        s["reached"] = s["reached"] * keep + reached
        s["years"] = s["years"] * keep + day_years
        aim = self.budget * p.margin
        window = day_years * p.payback_d  # subject-years in which to pay back
        balance = s["balance"] + aim * day_years - spent
        # A budget that could not be spent (a quiet fleet) must not be hoarded for ever.
        limit = 2.0 * aim * np.maximum(window, p.payback_d / 365.0)
        s["balance"] = np.clip(balance, -2.0 * limit, limit)
        with np.errstate(divide="ignore", invalid="ignore"):
            back = np.where(window > 0, s["balance"] / window, 0.0)
        # A pool in which the budget allows a handful of events says little by what it spent: one
        # real power cut must not blind a street to the next. Until enough is expected of it, a
        # small pool keeps to the shipped prior's price.
        expected = aim * s["years"]
        back *= expected / (expected + p.pool_events)
        self._invert(np.clip(aim + back, p.floor * aim, p.ceiling * aim))

    def _invert(self, target: NDArray[np.float64]) -> None:
        """Set index and fraction such that `target` episodes a subject-year are expected."""
        p, s = self.params, self.state
        rate = (s["reached"] + p.prior_years * self.prior) / (s["years"] + p.prior_years)[:, None]
        index = (rate > target[:, None]).sum(axis=1)  # first price with a rate ≤ target
        at = np.arange(len(index))
        above = rate[at, np.maximum(index - 1, 0)]
        below = np.where(index < LEVELS, rate[at, np.minimum(index, LEVELS - 1)], 0.0)
        step = np.maximum(above - below, 1e-12)
        s["fraction"] = np.where(index > 0, np.clip((target - below) / step, 0.0, 1.0), 0.0)
        s["index"] = index.astype(np.int8)

    def snapshot(self) -> State:
        """Return copies of the arrays."""
        return {k: v.copy() for k, v in self.state.items()}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over the arrays of a snapshot."""
        take_over(self.state, arrays, type(self).__name__)


class PriceReducer(_Controller):
    """One price for the whole fleet, set once a day.

    Parameters
    ----------
    budget : float
        False alerts per subject-year (365 days).
    prior : array_like of float, shape (LEVELS,)
        Episodes per subject-year that reach each price, falling: what is believed before
        anything was counted. Detectors ship theirs as ``prior_rate``.
    params : ControllerParams, optional
    """

    def __init__(self, budget: float, prior: ArrayLike, params: ControllerParams = FLEET) -> None:
        super().__init__(1, budget, prior, params)
        self.day = NO_SLOT

    @property
    def price(self) -> Price:
        """The newest price; before the first :meth:`close` it comes from the prior alone."""
        day = NO_SLOT if self.day == NO_SLOT else self.day + LAG_DAYS
        return Price(day, int(self.state["index"][0]), float(self.state["fraction"][0]))

    def close(self, day: int, tally: Tally) -> Price:
        """Take over the tally of one event-day, summed over all shards; return the next price.

        Parameters
        ----------
        day : int
            Days since 1970-01-01, UTC; strictly ascending, days without rows may be left out.
        tally : Tally
            What arrives late from a shard goes into the tally of a later day.

        Returns
        -------
        Price
            Holds from the first slot of ``day + LAG_DAYS``.
        """
        if self.day != NO_SLOT and day <= self.day:
            raise DetectorError(f"day {day} was closed already; the last one is {self.day}")
        self.day = int(day)
        self._close(tally.reached[None], np.array([tally.exposure_s]), np.array([tally.spent]))
        return self.price

    def retarget(self, budget: float) -> Price:
        """Aim at another budget from now on, with what was learned; return the price of it.

        Surplus and debt belonged to the old promise and end with it.
        """
        if not budget > 0:
            raise DetectorError(f"budget must be > 0 false alerts per subject-year, got {budget}")
        self.budget = float(budget)
        self.state["balance"][:] = 0.0
        self._invert(np.full(1, self.budget * self.params.margin))
        return self.price

    def snapshot(self) -> State:
        """Return copies of the arrays."""
        return {**super().snapshot(), "day": np.array([self.day], np.int64)}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over the arrays of a snapshot."""
        super().restore({k: v for k, v in arrays.items() if k != "day"})
        self.day = int(arrays["day"][0])


class SubjectPrices(_Controller):
    """A price per row (scope ``subject``), set once a day; no other row has a say in it.

    Parameters
    ----------
    rows : int
        Number of rows N.
    interval_s : int
        The detector's slot length.
    budget, prior, params
        As for :class:`PriceReducer`.

    Notes
    -----
    :attr:`price` is the pair for :func:`due`. Call :meth:`count` at every slot and :meth:`close`
    after the last slot of an event-day; the new prices hold from the next slot on.
    """

    def __init__(
        self,
        rows: int,
        interval_s: int,
        budget: float,
        prior: ArrayLike,
        params: ControllerParams = SUBJECT,
    ) -> None:
        super().__init__(rows, budget, prior, params)
        self.counter = EpisodeCounter(rows, interval_s)
        self._today = self._nothing(rows)

    @staticmethod
    def _nothing(rows: int) -> State:
        return {
            "today_reached": np.zeros((rows, LEVELS), np.int32),
            "today_exposure_s": np.zeros(rows, np.int64),
            "today_spent": np.zeros(rows, np.int32),
        }

    @property
    def price(self) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
        """Index and fraction per row."""
        return self.state["index"], self.state["fraction"]

    def count(self, signals: Signals, mask: BoolArray) -> None:
        """Count the slots of `signals`; `mask` as in :meth:`EpisodeCounter.count`."""
        slots, rows = signals.urgency.shape
        today, counter = self._today, self.counter
        levels = np.arange(LEVELS)
        for t, spent in enumerate(np.broadcast_to(mask, (slots, rows))):
            urgency = signals.urgency[t]
            today["today_exposure_s"] += (urgency >= 0) * counter.interval_s
            before = np.where(signals.onset[t] == counter.state["onset"], counter.state["peak"], 0)
            _, rose = counter._reached(urgency, signals.onset[t])
            low, high = before[rose, None], urgency[rose, None]
            today["today_reached"][rose] += (levels >= low) & (levels < high)
            new = spent & ~counter.state["spent"]
            counter.state["spent"] |= new
            today["today_spent"] += new

    def close(self) -> None:
        """End the event-day: take over its counts and set the new prices."""
        t = self._today
        self._close(t["today_reached"].astype(np.int64), t["today_exposure_s"], t["today_spent"])
        self._today = self._nothing(len(t["today_spent"]))

    def grow(self, rows: int) -> None:
        """Append rows that have seen nothing until there are `rows` of them."""
        old = len(self.state["years"])
        fresh = SubjectPrices(
            rows - old, self.counter.interval_s, self.budget, self.prior, self.params
        )
        for mine, new in ((self.state, fresh.state), (self._today, fresh._today)):
            for name in mine:
                mine[name] = np.concatenate([mine[name], new[name]])
        self.counter.grow(rows)

    def snapshot(self) -> State:
        """Return copies of the arrays."""
        counter = {f"episode_{k}": v for k, v in self.counter.snapshot().items()}
        today = {k: v.copy() for k, v in self._today.items()}
        return {**super().snapshot(), **today, **counter}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over the arrays of a snapshot."""
        mine = {k: v for k, v in arrays.items() if k in self.state}
        super().restore(mine)
        take_over(
            self._today, {k: v for k, v in arrays.items() if k in self._today}, "SubjectPrices"
        )
        self.counter.restore({k[8:]: v for k, v in arrays.items() if k.startswith("episode_")})
