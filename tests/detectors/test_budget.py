"""The budget controller: counts that add up, prices that hold a budget, on any split."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.base import LEVELS, NO_SLOT, DetectorError, Signals
from detectors.budget import (
    LAG_DAYS,
    YEAR_S,
    Price,
    PriceReducer,
    SubjectPrices,
    coin,
    due,
)
from detectors.episodes import EpisodeCounter, Tally

PRIOR = np.geomspace(100.0, 1.0, LEVELS)
HOUR_S = 3600


def signals(urgency, onset) -> Signals:
    urgency = np.asarray(urgency, np.int8)
    none = np.zeros(urgency.shape, np.float32)
    return Signals(none, none, urgency, np.asarray(onset, np.int64))


def stream(rng: np.random.Generator, slots: int, rows: int) -> Signals:
    """Episodes that begin, rise and end; some rows not ready at times."""
    urgency = np.zeros((slots, rows), np.int8)
    onset = np.full((slots, rows), NO_SLOT, np.int64)
    level, begun = np.zeros(rows, int), np.full(rows, NO_SLOT)
    for t in range(slots):
        ends = rng.random(rows) < 0.15
        begun[ends], level[ends] = NO_SLOT, 0
        begins = (begun == NO_SLOT) & (rng.random(rows) < 0.3)
        begun[begins] = t
        rise = rng.integers(0, 6, rows) * (rng.random(rows) < 0.5)
        level = np.where(begun == NO_SLOT, 0, np.minimum(level + rise, LEVELS))
        urgency[t], onset[t] = level, begun
        lost = rng.random(rows) < 0.05
        urgency[t, lost], onset[t, lost] = -1, NO_SLOT
    return signals(urgency, onset)


def naive_reached(said: Signals) -> np.ndarray:
    """Episodes that reached each price: the highest urgency of each (row, onset)."""
    best: dict[tuple[int, int], int] = {}
    for t in range(said.urgency.shape[0]):
        for row in range(said.urgency.shape[1]):
            if said.urgency[t, row] > 0:
                key = row, int(said.onset[t, row])
                best[key] = max(best.get(key, 0), int(said.urgency[t, row]))
    return np.array([sum(u > i for u in best.values()) for i in range(LEVELS)])


@pytest.mark.parametrize("seed", range(4))
def test_counts_equal_naive_ones(seed: int) -> None:
    said = stream(np.random.default_rng(seed), 200, 7)
    tally = EpisodeCounter(7, HOUR_S).count(said)
    assert (tally.reached == naive_reached(said)).all()
    assert tally.exposure_s == int((said.urgency >= 0).sum()) * HOUR_S
    assert tally.spent == 0


@given(seed=st.integers(0, 99), shards=st.integers(1, 5), cut=st.integers(1, 99))
def test_any_split_adds_up(seed: int, shards: int, cut: int) -> None:
    """Rows over shards, slots over calls: the summed tallies, and so the price, are the same."""
    rng = np.random.default_rng(seed)
    rows, slots = 12, 100
    said = stream(rng, slots, rows)
    key = rng.integers(0, 2**63, rows).astype(np.uint64)
    price = Price(0, 8, 0.4)
    masks = np.array([due(u, price, key, o) for u, o in zip(said.urgency, said.onset, strict=True)])
    whole = EpisodeCounter(rows, HOUR_S).count(said, masks)
    shard_of = rng.integers(0, shards, rows)
    total = Tally()
    for shard in range(shards):
        mine = np.flatnonzero(shard_of == shard)
        counter = EpisodeCounter(len(mine), HOUR_S)
        for span in (slice(0, cut), slice(cut, slots)):
            part = signals(said.urgency[span][:, mine], said.onset[span][:, mine])
            total = total + counter.count(part, masks[span][:, mine])
    assert (total.reached == whole.reached).all()
    assert (total.exposure_s, total.spent) == (whole.exposure_s, whole.spent)
    one, other = (PriceReducer(20, PRIOR) for _ in range(2))
    assert one.close(3, whole) == other.close(3, total)


def test_an_episode_is_spent_once() -> None:
    counter = EpisodeCounter(1, HOUR_S)
    rising = signals([[2], [9], [-1], [9], [9], [0], [9]], [[5], [5], [-1], [5], [6], [-1], [8]])
    spent = [
        counter.count(signals([u], [o]), due(u, Price(0, 4, 0.0), np.zeros(1, np.uint64), o)).spent
        for u, o in zip(rising.urgency, rising.onset, strict=True)
    ]
    assert spent == [0, 1, 0, 0, 1, 0, 1], "a gap is the same episode, another onset is another"


def test_due_follows_the_contract() -> None:
    key = np.arange(4000, dtype=np.uint64)
    onset = np.full(4000, 17)
    level = np.full(4000, 5, np.int8)
    assert due(level, Price(0, 4, 0.0), key, onset).all()
    assert not due(level, Price(0, 5, 0.0), key, onset).any()
    some = due(level, Price(0, 5, 0.3), key, onset)
    assert 0.27 < some.mean() < 0.33
    assert (some <= due(level, Price(0, 5, 0.6), key, onset)).all(), "a lower price loses nobody"
    assert not due(np.zeros(4000, np.int8), Price(0, 0, 1.0), key, onset).any()
    assert not due(np.full(4000, -1, np.int8), Price(0, 0, 1.0), key, onset).any()
    per_row = due(level, (np.array([4, 5] * 2000), np.zeros(4000)), key, onset)
    assert (per_row == np.array([True, False] * 2000)).all()


def test_coin_depends_on_key_and_onset_alone() -> None:
    key = np.array([1, 2, 3], np.uint64)
    assert (coin(key, [7, 7, 7])[::-1] == coin(key[::-1], [7, 7, 7])).all()
    assert (coin(key, [7, 7, 7]) != coin(key, [8, 8, 8])).all()
    many = coin(np.arange(50_000, dtype=np.uint64), np.arange(50_000))
    assert np.abs(np.histogram(many, 20, (0, 1))[0] / 2500 - 1).max() < 0.08
    assert np.round(coin(key, [0, 0, 0]), 6).tolist() == [0.36819, 0.392216, 0.737518]


# -- holding a budget --------------------------------------------------------------------------


def poisson_years(rng, homes: int, days: int, rate: np.ndarray):
    """Yield, per day, the urgency that each of its episodes reaches, and whose they are.

    Homes differ fourfold; the fleet's rate at each price is `rate` a home-year.
    """
    size = rng.gamma(0.6, 1 / 0.6, homes)
    top = rate[0] / 365
    for _ in range(days):
        whose = np.flatnonzero(rng.random(homes) < top * size)
        u = rng.random(len(whose)) * rate[0]
        yield whose, (rate[None] > u[:, None]).sum(axis=1).astype(np.int8)


@pytest.mark.parametrize("budget", [6, 12, 24, 52])
@pytest.mark.parametrize("truth", [0.5, 1.0, 2.2])
def test_fleet_budget_holds(budget: int, truth: float) -> None:
    """Realised over asked, on fleets whose curve is not the prior's."""
    rng = np.random.default_rng(budget)
    homes, days = 46, 500
    curve = truth * PRIOR * np.linspace(1.6, 0.7, LEVELS)
    reducer, prices = PriceReducer(budget, PRIOR), {}
    price, visits = reducer.price, 0
    key = np.arange(homes, dtype=np.uint64)
    for day, (whose, level) in enumerate(poisson_years(rng, homes, days, curve)):
        price = prices.get(day, price)
        fires = due(level, price, key[whose], np.full(len(whose), day))
        visits += int(fires.sum()) * (day >= 28)
        reached = (level[:, None] > np.arange(LEVELS)).sum(axis=0)
        published = reducer.close(day, Tally(reached, homes * 86_400, int(fires.sum())))
        assert published.day == day + LAG_DAYS
        prices[published.day] = published
    ratio = visits / (homes * (days - 28) / 365) / budget
    assert 0.8 <= ratio <= 1.05 or (budget == 52 and curve[0] < budget), ratio


def test_subject_budgets_hold_for_each_kind_of_home() -> None:
    rng = np.random.default_rng(5)
    homes, days, budget = 120, 730, 12.0
    curve = PRIOR * np.repeat([0.5, 3.0], homes // 2)[:, None]
    controller = SubjectPrices(homes, 86_400, budget, PRIOR)
    key = np.arange(homes, dtype=np.uint64)
    visits = np.zeros(homes)
    for day in range(days):
        has = rng.random(homes) < curve[:, 0] / 365
        u = rng.random(homes) * curve[:, 0]
        level = np.where(has, (curve > u[:, None]).sum(axis=1), 0).astype(np.int8)
        onset = np.where(has, day, NO_SLOT)
        fires = due(level, controller.price, key, onset)
        visits += fires * (day >= 28)
        controller.count(signals([level], [onset]), fires)
        controller.close()
    ratio = visits.reshape(2, -1).mean(axis=1) / ((days - 28) / 365) / budget
    assert (ratio > 0.75).all(), ratio
    assert (ratio < 1.1).all(), ratio


def test_price_comes_from_the_prior_alone_at_first() -> None:
    price = PriceReducer(10.0, PRIOR).price
    above, below = PRIOR[price.index - 1], PRIOR[price.index]
    assert below <= 10.0 < above
    assert np.isclose(below + price.fraction * (above - below), 10.0)
    assert PriceReducer(1000.0, PRIOR).price.index == 0, "more than there is: every episode"
    scarce = PriceReducer(0.25, PRIOR).price
    assert (scarce.index, round(scarce.fraction, 6)) == (LEVELS, 0.25)


def test_a_shard_that_reports_late_is_counted_later() -> None:
    reducer = PriceReducer(24.0, PRIOR)
    reducer.close(10, Tally())
    with pytest.raises(DetectorError, match="day 10 was closed already"):
        reducer.close(10, Tally())
    assert reducer.close(13, Tally(np.full(LEVELS, 3), 86_400, 1)).day == 15


def test_snapshot_goes_on() -> None:
    rng = np.random.default_rng(1)
    tallies = [Tally(np.sort(rng.integers(0, 9, LEVELS))[::-1], 86_400 * 40, 2) for _ in range(20)]
    one = PriceReducer(24.0, PRIOR)
    for day in range(10):
        one.close(day, tallies[day])
    other = PriceReducer(24.0, PRIOR)
    other.restore(one.snapshot())
    assert [one.close(d, tallies[d]) for d in range(10, 20)] == [
        other.close(d, tallies[d]) for d in range(10, 20)
    ]
    said = stream(rng, 60, 5)
    mask = said.urgency > 9
    a = SubjectPrices(5, HOUR_S, 24.0, PRIOR)
    a.count(signals(said.urgency[:30], said.onset[:30]), mask[:30])
    b = SubjectPrices(5, HOUR_S, 24.0, PRIOR)
    b.restore(a.snapshot())
    for c in (a, b):
        c.count(signals(said.urgency[30:], said.onset[30:]), mask[30:])
        c.close()
    assert all((x == y).all() for x, y in zip(a.price, b.price, strict=True))
    with pytest.raises(DetectorError, match="snapshot array 'peak'"):
        EpisodeCounter(3, HOUR_S).restore(
            EpisodeCounter(4, HOUR_S).snapshot() | {"onset": np.full(3, -1, np.int32)}
        )


def test_grow_and_forget() -> None:
    said = stream(np.random.default_rng(3), 50, 6)
    counter = EpisodeCounter(4, HOUR_S)
    counter.count(signals(said.urgency[:, :4], said.onset[:, :4]))
    before = counter.snapshot()
    counter.grow(6)
    assert all((counter.state[k][:4] == v).all() for k, v in before.items())
    counter.forget(np.array([1, 2]))
    fresh = EpisodeCounter(6, HOUR_S).snapshot()
    assert all((counter.state[k][[1, 2, 4, 5]] == fresh[k][0]).all() for k in fresh)
    prices = SubjectPrices(2, HOUR_S, 12.0, PRIOR)
    prices.grow(5)
    assert [len(a) for a in prices.price] == [5, 5]
    assert len(set(prices.price[1].tolist())) == 1


@pytest.mark.parametrize(
    ("budget", "prior", "message"),
    [
        (0, PRIOR, "budget must be > 0"),
        (5, PRIOR[::-1], "falling with the price"),
        (5, PRIOR[1:], "shape"),
    ],
)
def test_bad_arguments(budget: float, prior: np.ndarray, message: str) -> None:
    with pytest.raises(DetectorError, match=message):
        PriceReducer(budget, prior)


def test_years_of_exposure() -> None:
    reducer = PriceReducer(12.0, PRIOR)
    reducer.close(0, Tally(np.zeros(LEVELS, np.int64), YEAR_S, 0))
    assert reducer.state["years"][0] == pytest.approx(1.0)
