"""The common suite: what every detector promises (detectors/base.py), as one check each.

``test_suite.py`` runs every check on every registered detector and parameter set. A check raises
AssertionError when a promise is broken; ``broken.py`` has one broken detector per check, so that
each is known to be able to fail.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from detectors.base import LEVELS, NO_SLOT, DetectorError, Signals, SnapshotError
from tests.detectors.cases import (
    COLUMNS,
    ROWS,
    Case,
    assert_same,
    assert_valid,
    burst,
    concatenate,
    freeze,
    part,
    with_values,
)
from tests.detectors.kits import Planted
from tests.detectors.twins import TWINS

# -- checks -------------------------------------------------------------------------------

Check = Callable[[Case], None]
CHECKS: dict[str, Check] = {}


def check(function: Check) -> Check:
    CHECKS[function.__name__] = function
    return function


@check
def shapes_and_dtypes(case: Case) -> None:
    """Signals have the declared shapes, dtypes and ranges, and become ready at all."""
    assert_valid(case.signals(), case.stream(), "stream")
    half = case.slots // 2
    assert case.signals().ready[half:].any(), f"never ready in {case.kit.days} days: kit(days=…)?"
    grid = np.asarray(case.cls.grid)
    assert grid.shape == (LEVELS,), f"grid has shape {grid.shape}"
    assert (np.diff(grid) > 0).all(), "grid is not ascending"
    detector = case.make()
    assert_valid(detector.step(part(case.stream(), 0, 0)), part(case.stream(), 0, 0), "no slots")
    none = with_values(part(case.stream(), 0, 3), case.stream().values[:3, :, :0])
    assert_valid(case.make(0).step(none), none, "no rows")


@check
def state_is_arrays(case: Case) -> None:
    """State is named arrays of fixed dtype with one row axis each; no objects."""
    detector, _, _ = case.middle()
    fields = dict(detector._fields())
    assert set(detector.state) == set(fields), "state and _fields() differ"
    for name, spec in fields.items():
        want = spec.allocate(detector.rows)
        got = detector.state[name]
        assert got.shape == want.shape, f"{name} has shape {got.shape}, wanted {want.shape}"
        assert got.dtype == want.dtype, f"{name} is {got.dtype}, wanted {want.dtype}"
        assert got.dtype != object, f"{name} holds Python objects"


@check
def deterministic(case: Case) -> None:
    """Two detectors with the same input say the same."""
    assert_same(case.make().step(case.stream()), case.signals(), "second run")


@check
def unknown_parameter_refused(case: Case) -> None:
    """A parameter that does not exist is refused by name."""
    with pytest.raises(DetectorError, match="no_such_parameter"):
        case.cls(1, interval_s=case.interval_s, no_such_parameter=1.0)


@check
def score_leaves_state(case: Case) -> None:
    """Scoring says what a step would, and nothing of it stays."""
    detector, _, second = case.middle()
    before = freeze(detector.state)
    scored = detector.score(second)
    assert freeze(detector.state) == before, "score changed the state"
    assert_same(detector.step(second), scored, "step after score")


@check
def any_split_same(case: Case) -> None:
    """Cutting the slots into frames in any way gives the same signals and the same state."""
    frame = case.stream()
    whole = case.make()
    whole.step(frame)
    for seed in (1, 2):
        rng = np.random.default_rng(seed)
        cuts = np.unique(np.r_[0, 1, 2, rng.integers(0, frame.slots, 9), frame.slots])
        detector = case.make()
        parts = [detector.step(part(frame, a, b)) for a, b in pairwise(cuts)]
        assert_same(concatenate(parts), case.signals(), f"cut at {cuts.tolist()}")
        assert freeze(detector.state) == freeze(whole.state), "state depends on the cuts"


@check
def rows_isolated(case: Case) -> None:
    """A row's signals depend on its own data, key and zone alone."""
    if case.cls.pooled:
        pytest.skip("pooled: rows lend to one another")
    frame, order = case.stream(), np.array([3, 0, 4, 1])
    base = case.make()
    moved = case.make(len(order), zone=base.zone[order], key=base.key[order])
    values = frame.values[:, :, order]
    got = moved.step(with_values(frame, values))
    assert_same(got, case.signals().take(order), "rows in another order")
    other = frame.values.copy()
    other[:, :, 1:] = np.roll(other[:, :, 1:], 7, axis=0) * 3
    got = case.make().step(with_values(frame, other))
    assert_same(got.take(np.array([0])), case.signals().take(np.array([0])), "other neighbours")


@check
def equals_twin(case: Case) -> None:
    """The kernel agrees with its plain-Python twin, up to float32 rounding."""
    twin = TWINS.get(case.cls.name) or getattr(case.cls, "twin", None)
    if twin is None:
        pytest.skip("no twin: tests/detectors/twins.py")
    for seed in (0, 1):
        frame, got = case.stream(seed), case.signals(seed)
        want = twin(case.make(), frame)
        assert (got.ready == want.ready).all(), "ready at other slots than the twin"
        ready = got.ready
        for column, tolerance in (("evidence", 1e-3), ("p_value", 1e-2)):
            a, b = getattr(got, column)[ready], getattr(want, column)[ready]
            worst = float(np.max(np.abs(a - b) - tolerance * np.abs(b), initial=0))
            assert worst <= tolerance, f"{column} differs from the twin by {worst:.3g}"
        apart = np.abs(got.urgency.astype(int) - want.urgency)
        assert apart.max(initial=0) <= 1, "urgency differs from the twin by more than one"
        assert (apart > 0).mean() <= 0.002, "urgency differs from the twin too often"
        assert (got.onset != want.onset).mean() <= 0.002, "onset differs from the twin"


@check
def snapshot_goes_on(case: Case) -> None:
    """Snapshot → file → restore → go on is bitwise equal to going on; no pickle."""
    detector, _, second = case.middle()
    header, arrays = detector.snapshot()
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    file.seek(0)
    loaded = dict(np.load(file, allow_pickle=False))
    other = case.make()
    other.restore(json.loads(json.dumps(header)), loaded)
    assert_same(other.step(second), detector.step(second), "after restore")
    assert freeze(other.state) == freeze(detector.state), "state after restore and going on"


@check
def foreign_snapshot_refused(case: Case) -> None:
    """Snapshots of something else, or newer, are refused by name and change nothing."""
    detector, _, _ = case.middle()
    header, arrays = detector.snapshot()
    name = next(iter(arrays))
    wrong: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "other detector": ({**header, "detector": "somebody-else"}, arrays),
        "newer schema": ({**header, "schema": header["schema"] + 1}, arrays),
        "other interval": ({**header, "interval_s": header["interval_s"] + 60}, arrays),
        "other rows": ({**header, "rows": header["rows"] + 1}, arrays),
        "other parameters": ({**header, "params": {**header["params"], "x": 1.0}}, arrays),
        "array missing": (header, {k: v for k, v in arrays.items() if k != name}),
        "array of other dtype": (header, {**arrays, name: arrays[name].astype("c16")}),
        "array of other shape": (header, {**arrays, name: arrays[name][..., None]}),
    }
    before = freeze(detector.state)
    for what, (head, body) in wrong.items():
        try:
            detector.restore(head, body)
        except SnapshotError as error:
            message = str(error)
        else:
            raise AssertionError(f"{what}: taken without complaint")
        assert case.cls.name in message, f"{what}: the message does not name the detector"
        assert freeze(detector.state) == before, f"{what}: refused, but the state changed"


@check
def nan_changes_only_time(case: Case) -> None:
    """A day without data never raises, teaches nothing, and is no evidence by itself."""
    detector, first, second = case.middle()
    gap = part(second, 0, min(second.slots, 86_400 // case.interval_s + 3))
    before = {k: v.copy() for k, v in detector.state.items()}
    last = detector.score(part(second, 0, 1)).urgency[0]
    held = detector.score(part(first, first.slots - 1, first.slots)).urgency[0]
    signals = detector.step(with_values(gap, np.full_like(gap.values, np.nan)))
    assert_valid(signals, gap, "a day without data")
    if case.kit.about_silence:
        return
    for name, array in detector.state.items():
        counter = array.dtype.kind in "iu" and not detector._layout[name].shape
        if counter or name in case.kit.time_fields:
            continue
        same = np.array_equal(array, before[name], equal_nan=array.dtype.kind == "f")
        assert same, f"{name} changed on NaN: a time counter? kit(time_fields=…)"
    top = np.maximum(
        np.maximum(last, held), case.signals().urgency[: first.slots][-24:].max(axis=0)
    )
    assert (signals.urgency.max(axis=0) <= top).all(), "urgency rose on missing data"


@check
def unseen_is_not_ready(case: Case) -> None:
    """Rows that have seen nothing have no score, not a score of 0."""
    if case.kit.about_silence:
        pytest.skip("about silence: no data is data")
    frame = part(case.stream(), 0, min(case.slots, 10 * 86_400 // case.interval_s))
    signals = case.make().step(with_values(frame, np.full_like(frame.values, np.nan)))
    assert not signals.ready.any(), "ready without any data"


@check
def infinity_raises(case: Case) -> None:
    """±inf is refused, and the state stays as it was."""
    detector, _, second = case.middle()
    before = freeze(detector.state)
    for bad in (np.inf, -np.inf):
        values = second.values[:4].copy()
        values[2, 0, 1] = bad
        try:
            detector.step(with_values(part(second, 0, 4), values))
        except DetectorError:
            pass
        else:
            raise AssertionError(f"{bad} was taken without complaint")
        assert freeze(detector.state) == before, "refused, but the state changed"


@check
def no_aliasing(case: Case) -> None:
    """Inputs stay as they were; outputs, snapshots and state share no memory."""
    detector, _, second = case.middle()
    values = second.values.copy()
    kept = values.tobytes()
    frame = replace(second, values=values)
    signals = detector.step(frame)
    assert values.tobytes() == kept, "the input was changed"
    header, arrays = detector.snapshot()
    other = case.make()
    other.restore(header, arrays)
    for name, array in detector.state.items():
        for column in COLUMNS:
            out = getattr(signals, column)
            assert not np.shares_memory(array, out), f"{column} shares memory with {name}"
        assert not np.shares_memory(array, values), f"{name} shares memory with the input"
        assert not np.shares_memory(array, arrays[name]), f"snapshot shares {name} with the state"
        assert not np.shares_memory(other.state[name], arrays[name]), f"restore kept {name}"


@check
def memory_constant(case: Case) -> None:
    """Bytes of state are those of a fresh detector, whatever was seen, and all are counted."""
    detector, _, second = case.middle()
    fresh = case.make().nbytes
    detector.step(second)
    assert detector.nbytes == fresh, f"nbytes went from {fresh} to {detector.nbytes}"
    hidden = [
        name
        for name, value in vars(detector).items()
        if name not in {"zone", "key", "state"}
        and isinstance(value, list | dict | set | np.ndarray)
        and len(value) > 0
        and _size(value) > 3 * _size(vars(case.make()).get(name))
    ]
    assert not hidden, f"grows outside the state: {hidden}"


def _size(value: Any) -> int:
    return int(value.nbytes) if isinstance(value, np.ndarray) else len(value or ())


@check
def grow_leaves_old_rows(case: Case) -> None:
    """Growing changes nothing for old rows; new rows are as fresh ones."""
    detector, _, second = case.middle()
    cut = case.slots // 2
    zone, key = np.array([1, 0], np.uint8), np.array([71, 72], np.uint64)
    detector.grow(ROWS + 2, zone=zone, key=key)
    case.prepare(detector, np.arange(ROWS, ROWS + 2), second.first_slot)
    values = np.concatenate([second.values, second.values[:, :, :2] * 1.5], axis=2)
    got = detector.step(with_values(second, values))
    old = Signals(*(getattr(case.signals(), c)[cut:] for c in COLUMNS))
    if not case.cls.pooled:
        assert_same(got.take(np.arange(ROWS)), old, "old rows after growing")
        fresh = case.make(2, zone=zone, key=key, first_slot=second.first_slot)
        want = fresh.step(with_values(second, values[:, :, ROWS:]))
        assert_same(got.take(np.arange(ROWS, ROWS + 2)), want, "new rows after growing")
    try:
        detector.grow(1)
    except DetectorError:
        pass
    else:
        raise AssertionError("shrinking was taken without complaint")


@check
def forget_is_fresh(case: Case) -> None:
    """A forgotten row is as a fresh one; the others go on."""
    detector, _, second = case.middle()
    cut, rows = case.slots // 2, np.array([1, 3])
    detector.forget(rows)
    case.prepare(detector, rows, second.first_slot)
    got = detector.step(second)
    if case.cls.pooled:
        return
    base = case.make()
    fresh = case.make(2, zone=base.zone[rows], key=base.key[rows], first_slot=second.first_slot)
    want = fresh.step(with_values(second, second.values[:, :, rows]))
    assert_same(got.take(rows), want, "forgotten rows")
    rest = np.array([0, 2, 4])
    old = Signals(*(getattr(case.signals(), c)[cut:] for c in COLUMNS))
    assert_same(got.take(rest), old.take(rest), "rows that were not forgotten")


@check
def constant_series(case: Case) -> None:
    """A series that never changes gives valid signals and no certainty that anything is wrong."""
    frame = case.stream()
    for level in (0.0, 5.0):
        signals = case.make().step(with_values(frame, np.full_like(frame.values, level)))
        assert_valid(signals, frame, f"constant {level}")
        if not case.kit.about_silence:
            worst = float(np.max(signals.evidence[signals.ready], initial=-9))
            assert worst <= 3, f"constant {level}: evidence {worst:.1f}"


@check
def large_offset(case: Case) -> None:
    """Small variance on an offset of 1e9 (a float32 step there is 64) stays valid."""
    frame = case.stream()
    rng = np.random.default_rng(3)
    steps = rng.integers(0, 4, frame.values.shape) * 64
    signals = case.make().step(with_values(frame, 1e9 + steps))
    assert_valid(signals, frame, "offset 1e9")
    late = signals.ready[frame.slots // 2 :]
    assert late.any() or not case.signals().ready.any(), "offset 1e9: never ready"


@check
def zero_mean(case: Case) -> None:
    """A mean of exactly zero is a mean: as ready as the same series three higher."""
    frame = case.stream()
    sign = np.where(np.arange(frame.slots) % 2 == 0, 1.0, -1.0)[:, None, None]
    wave = np.broadcast_to(sign, frame.values.shape)
    signals = case.make().step(with_values(frame, wave))
    assert_valid(signals, frame, "mean of zero")
    shifted = case.make().step(with_values(frame, wave + 3))
    assert signals.ready.sum() >= shifted.ready.sum(), "less ready when the mean is exactly zero"


@check
def urgency_never_falls(case: Case) -> None:
    """Within one episode urgency never falls; an episode never comes back after another."""
    planted = _planted(case)
    runs = [case.signals(), case.make().step(planted.frame)]
    for signals in runs:
        same = (signals.onset[1:] == signals.onset[:-1]) & (signals.onset[1:] != NO_SLOT)
        fell = same & (signals.urgency[1:] < signals.urgency[:-1])
        where = tuple(int(i) for i in np.argwhere(fell)[0]) if fell.any() else ()
        assert not fell.any(), f"urgency fell within an episode at (slot, row) {where}"
        began = np.maximum.accumulate(signals.onset, axis=0)
        back = (signals.onset != NO_SLOT) & (signals.onset < began)
        assert not back.any(), "an older episode came back"


@check
def planted_found(case: Case) -> None:
    """What was planted is urgent where it was planted, and nowhere else at that time."""
    planted = _planted(case)
    signals = case.make().step(planted.frame)
    top = signals.urgency[planted.start : planted.stop].max(axis=0)
    clean = [row for row in range(ROWS) if row not in planted.rows]
    assert (top[planted.rows] >= planted.urgency).all(), (
        f"planted rows reach urgency {top[planted.rows].tolist()}, wanted {planted.urgency}: "
        "kit(plant=…)?"
    )
    assert (top[clean] < planted.urgency).all(), f"clean rows reach urgency {top[clean].tolist()}"
    window = signals.onset[planted.start : planted.stop, planted.rows]
    assert (window != NO_SLOT).any(axis=0).all(), "no episode where something was planted"


def _planted(case: Case) -> Planted:
    plant = case.kit.plant or burst
    return plant(case.make(), np.random.default_rng(11), case.first_slot)


@check
def explains(case: Case) -> None:
    """Facts of any rows are arrays with one entry a row, and asking changes nothing."""
    detector, _, _ = case.middle()
    before = freeze(detector.state)
    for rows in (np.array([4, 0]), np.array([], dtype=np.int64)):
        for name, values in detector.explain(rows).items():
            assert np.shape(values) == (len(rows),), f"fact {name} has shape {np.shape(values)}"
    assert freeze(detector.state) == before, "explaining changed the state"


@check
def amendments_and_notices(case: Case) -> None:
    """Notices of unknown kind are ignored; an amendment stays within its rows."""
    detector, first, second = case.middle()
    before = freeze(detector.state)
    none = np.zeros(1, np.int64)
    detector.inform("no-such-kind", np.array([0]), none, none)
    assert freeze(detector.state) == before, "a notice of unknown kind changed the state"
    slot = first.first_slot + first.slots - 2
    values = np.full((len(case.cls.channels), 1), 2.5, np.float32)
    detector.amend(slot, np.array([2]), values)
    rest = np.array([0, 1, 3, 4])
    old = Signals(*(getattr(case.signals(), c)[case.slots // 2 :] for c in COLUMNS))
    if not case.cls.amends:
        assert freeze(detector.state) == before, "amends is False, yet an amendment did something"
        return
    now = detector.current(np.array([2, 0]))
    assert now.urgency.shape == (1, 2), f"current has shape {now.urgency.shape}"
    if not case.cls.pooled:
        assert_same(detector.step(second).take(rest), old.take(rest), "rows that were not amended")
