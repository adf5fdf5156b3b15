"""What the common suite runs on: cases (detector × parameters), streams, frames, comparisons."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.base import LEVELS, NO_SLOT, Detector, Frame, Signals, lookup, names
from tests.detectors import kits
from tests.detectors.kits import Kit, Planted

ROWS = 5
OFFSETS_S = (0, 8 * 3600)
FIRST_DAY = 17_000  # 2016-07-18, a Monday


@dataclass(frozen=True, eq=False)
class Case:
    """One detector with one set of parameters, as the suite sees it."""

    label: str
    cls: type[Detector]
    params: tuple[tuple[str, float], ...]
    kit: Kit

    @property
    def interval_s(self) -> int:
        low, high = self.cls.interval_s_allowed
        return self.kit.interval_s or self.cls.slot_s or int(np.clip(3600, low, high))

    @property
    def first_slot(self) -> int:
        return FIRST_DAY * 86_400 // self.interval_s

    @property
    def slots(self) -> int:
        return self.kit.days * 86_400 // self.interval_s

    def make(
        self,
        rows: int = ROWS,
        zone: NDArray[np.uint8] | None = None,
        key: NDArray[np.uint64] | None = None,
        first_slot: int | None = None,
    ) -> Detector:
        """Return a fresh detector whose rows alternate between two time zones."""
        detector = self.cls(
            rows,
            interval_s=self.interval_s,
            zone=np.arange(rows, dtype=np.uint8) % 2 if zone is None else zone,
            key=np.arange(rows, dtype=np.uint64) * 977 + 5 if key is None else key,
            **dict(self.params),
        )
        start = self.first_slot if first_slot is None else first_slot
        self.prepare(detector, np.arange(rows), start)
        return detector

    def prepare(self, detector: Detector, rows: NDArray[Any], first_slot: int) -> None:
        if self.kit.prepare is not None and len(rows):
            self.kit.prepare(detector, rows, first_slot)

    @lru_cache(maxsize=4)  # noqa: B019 - cases live as long as the test run
    def stream(self, seed: int = 0) -> Frame:
        """Return ordinary data for ROWS rows."""
        rng = np.random.default_rng(seed)
        make = self.kit.stream or home_like
        values = make(self.make(), rng, self.first_slot, self.slots)
        values.flags.writeable = False
        return frame_of(values, self.first_slot, self.interval_s)

    @lru_cache(maxsize=4)  # noqa: B019
    def signals(self, seed: int = 0) -> Signals:
        """Return the signals of the whole ordinary stream, slot by slot in one frame."""
        return self.make().step(self.stream(seed))

    def middle(self) -> tuple[Detector, Frame, Frame]:
        """Return a detector that saw the first half, that half, and the other."""
        frame = self.stream()
        cut = frame.slots // 2
        detector = self.make()
        first, second = part(frame, 0, cut), part(frame, cut, frame.slots)
        detector.step(first)
        return detector, first, second


def cases() -> Iterator[Case]:
    """Yield every registered detector with every parameter set of its kit."""
    kits.load()
    for name in [*names(), *sorted(kits.EXTRA_NAMES)]:
        kit = kits.KITS.get(name, Kit())
        for label, params in {"default": {}, **kit.params}.items():
            yield Case(f"{name}-{label}", lookup(name), tuple(sorted(params.items())), kit)


# -- streams ------------------------------------------------------------------------------


def frame_of(values: NDArray[np.float32], first_slot: int, interval_s: int) -> Frame:
    """Return a frame with local columns for the suite's two time zones."""
    seconds = (first_slot + np.arange(len(values), dtype=np.int64))[:, None] * interval_s
    local = seconds + np.array(OFFSETS_S)
    day = local // 86_400
    return Frame(
        first_slot=first_slot,
        values=values,
        local_slot=(local % 86_400 // interval_s).astype(np.int32),
        local_day=day.astype(np.int32),
        rest_day=(day + 3) % 7 >= 5,
    )


def part(frame: Frame, start: int, stop: int) -> Frame:
    """Return slots start … stop−1 of `frame`."""
    return Frame(
        frame.first_slot + start,
        frame.values[start:stop],
        frame.local_slot[start:stop],
        frame.local_day[start:stop],
        frame.rest_day[start:stop],
    )


def home_like(
    detector: Detector, rng: np.random.Generator, first_slot: int, slots: int
) -> NDArray[np.float32]:
    """Return loads with a daily shape, standby, bursts and 1 % missing slots in short runs."""
    channels, n = len(detector.channels), detector.rows
    hour = (first_slot + np.arange(slots)) * detector.interval_s % 86_400 / 3600
    shape = 0.3 + np.exp(-(((hour - 19) / 3) ** 2)) + 0.6 * np.exp(-(((hour - 8) / 2) ** 2))
    level = rng.uniform(0.5, 4, size=(channels, n))
    values = shape[:, None, None] * level * rng.gamma(4, 0.25, size=(slots, channels, n))
    values += 0.05 * level
    gaps = rng.random((slots, n)) < 0.005
    gaps[1:] |= gaps[:-1]
    values[np.broadcast_to(gaps[:, None, :], values.shape)] = np.nan
    return values.astype(np.float32)


def burst(detector: Detector, rng: np.random.Generator, first_slot: int) -> Planted:
    """Return home-like loads whose rows 0 and 3 run at eight times the load for twelve slots."""
    slots = 42 * 86_400 // detector.interval_s
    values = home_like(detector, rng, first_slot, slots)
    start = slots - 30
    for row in (0, 3):
        values[start : start + 12, :, row] *= 8
    frame = frame_of(np.nan_to_num(values, nan=0.2), first_slot, detector.interval_s)
    return Planted(frame, rows=[0, 3], start=start, stop=start + 16)


# -- comparisons --------------------------------------------------------------------------

COLUMNS = ("evidence", "p_value", "urgency", "onset")


def assert_same(got: Signals, want: Signals, what: str) -> None:
    """Assert bitwise equal signals."""
    for column in COLUMNS:
        a, b = getattr(got, column), getattr(want, column)
        assert a.shape == b.shape, f"{what}: {column} has shape {a.shape}, wanted {b.shape}"
        equal = (a == b) | ((a != a) & (b != b))
        where = tuple(int(i) for i in np.argwhere(~equal)[0]) if not equal.all() else ()
        assert equal.all(), f"{what}: {column}{list(where)} is {a[where]}, wanted {b[where]}"


def assert_valid(signals: Signals, frame: Frame, what: str) -> None:
    """Assert that signals are well formed: ranges, and NaN exactly while not ready."""
    shape = (frame.slots, frame.values.shape[2])
    for column, dtype in zip(COLUMNS, ("f4", "f4", "i1", "i8"), strict=True):
        array = getattr(signals, column)
        assert array.shape == shape, f"{what}: {column} has shape {array.shape}, wanted {shape}"
        assert array.dtype == np.dtype(dtype), f"{what}: {column} is {array.dtype}, wanted {dtype}"
    ready = signals.ready
    assert (signals.urgency >= -1).all(), f"{what}: urgency below -1"
    assert (signals.urgency <= LEVELS).all(), f"{what}: urgency above {LEVELS}"
    assert np.isfinite(signals.evidence[ready]).all(), f"{what}: evidence of ready rows not finite"
    assert np.isnan(signals.evidence[~ready]).all(), f"{what}: evidence where not ready"
    p = signals.p_value
    assert ((p[ready] >= 0) & (p[ready] <= 1)).all(), f"{what}: p-value of ready rows not in 0..1"
    assert np.isnan(p[~ready]).all(), f"{what}: p-value where not ready"
    slot = frame.first_slot + np.arange(frame.slots)[:, None]
    began = signals.onset != NO_SLOT
    assert (signals.onset >= NO_SLOT).all(), f"{what}: onset below NO_SLOT"
    assert (~began | (signals.onset <= slot)).all(), f"{what}: onset in the future"


def freeze(state: dict[str, NDArray[Any]]) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in state.items()}


def concatenate(parts: list[Signals]) -> Signals:
    return Signals(*(np.concatenate([getattr(p, c) for p in parts]) for c in COLUMNS))


def with_values(frame: Frame, values: NDArray[Any]) -> Frame:
    return replace(frame, values=np.ascontiguousarray(values, dtype=np.float32))
