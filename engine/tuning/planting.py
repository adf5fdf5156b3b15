"""Changes planted into real records, to see how soon a detector finds them.

``bench/quality`` plants its own, into files that the whole engine reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from engine.tuning.tape import Script, Tape

STANDBY_H = 28 * 24
"""From how far back the quiet of a home is taken."""
NIGHT = (1.0, 5.0)
WAKING = (7.0, 21.0)

Values: TypeAlias = NDArray[np.float32]
Change: TypeAlias = Callable[[Values, Values, NDArray[np.float64], int, float], Values]
"""(window, what went before it, local hours of both, slot_s, amount) → changed window, (L, C)."""


class PlantError(ValueError):
    """There is no such change, or nothing says which change a detector is for."""


@dataclass(frozen=True, slots=True)
class Plant:
    """One kind of change.

    Parameters
    ----------
    what : str
        One line for people.
    change : callable
    amount : float
        Default size.
    hours : float
        How long it lasts, and how long one waits for an alert.
    waking : bool
        Begins only when people are up and about.
    """

    what: str
    change: Change
    amount: float
    hours: float
    waking: bool = False


def standby(values: NDArray[np.floating], local_hour: NDArray[np.float64]) -> float:
    """Return what a home uses without anybody: the quiet quarter of its nights.

    Parameters
    ----------
    values, local_hour : ndarray, shape (T,)
        The last weeks, NaN where missing, and the time of day of each.

    Examples
    --------
    >>> night = np.array([0.0, 2.0, 4.0, 12.0])
    >>> standby(np.array([1.0, 0.1, 0.3, 2.0]), night)
    0.15...
    """
    night = values[(local_hour >= NIGHT[0]) & (local_hour < NIGHT[1])]
    night = night[np.isfinite(night)]
    return float(np.quantile(night, 0.25)) if len(night) else 0.0


def _silence(
    window: Values, before: Values, hours: NDArray[np.float64], _slot_s: int, _amount: float
) -> Values:
    made = window.copy()
    for channel in range(window.shape[1]):
        quiet = standby(before[:, channel], hours[: len(before)])
        made[:, channel] = np.where(np.isnan(window[:, channel]), np.nan, quiet)
    return made


def _stuck(
    window: Values, before: Values, _hours: NDArray[np.float64], _slot_s: int, amount: float
) -> Values:
    """Something runs in every slot, `amount` times the usual mean."""
    usual = np.nan_to_num(_nanmean(before))
    made: Values = window + (amount * usual).astype(np.float32)
    return made


def _times(
    window: Values, _before: Values, _hours: NDArray[np.float64], _slot_s: int, amount: float
) -> Values:
    made: Values = window * np.float32(amount)
    return made


def _drop(
    window: Values, _before: Values, _hours: NDArray[np.float64], slot_s: int, amount: float
) -> Values:
    """Fall by `amount` over three weeks, and stay there."""
    ramp = np.minimum(np.arange(len(window)) * slot_s / (21 * 86_400), 1.0)
    made: Values = window * (1 - amount * ramp).astype(np.float32)[:, None]
    return made


def _night(
    window: Values, before: Values, hours: NDArray[np.float64], _slot_s: int, amount: float
) -> Values:
    """From 22 to 6 o'clock `amount` of the largest usual load comes on top."""
    largest = np.array([_quantile(c, 0.95) for c in before.T])
    at = hours[len(before) :]
    on = (at >= 22) | (at < 6)
    made: Values = window + np.where(on[:, None], amount * largest, 0).astype(np.float32)
    return made


def _turned(
    window: Values, before: Values, _hours: NDArray[np.float64], slot_s: int, amount: float
) -> Values:
    """Life goes on `amount` hours later."""
    shift = round(amount * 3600 / slot_s)
    both = np.concatenate([before, window])
    made: Values = np.roll(both, shift, axis=0)[len(before) :]
    return np.where(np.isnan(window), np.nan, made).astype(np.float32)


def _nanmean(values: Values) -> NDArray[np.float64]:
    known = np.isfinite(values)
    total = np.where(known, values, 0).sum(axis=0, dtype=np.float64)
    mean: NDArray[np.float64] = total / np.maximum(known.sum(axis=0), 1)
    return mean


def _quantile(column: Values, share: float) -> float:
    known = column[np.isfinite(column)]
    return float(np.quantile(known, share)) if len(known) else 0.0


PLANTS: Mapping[str, Plant] = {
    "silence": Plant("nobody uses anything any more", _silence, 0, 72, waking=True),
    "stuck": Plant("something runs all the time", _stuck, 0.5, 72),
    "times": Plant("a multiple of the usual", _times, 3, 24),
    "drop": Plant("a fall over three weeks", _drop, 0.5, 60 * 24),
    "night": Plant("extra load at night", _night, 0.25, 7 * 24),
    "turned": Plant("day and night trade places", _turned, 11, 28 * 24),
}
FOR: Mapping[str, str] = {
    "inactivity": "silence", "vacated": "silence", "excess": "stuck", "fade": "drop",
    "decline": "drop", "nights": "turned", "production": "night", "limit": "times",
    "seasonal": "times", "auto": "times", "changepoint": "times", "profile": "times",
    "surge": "times",
}  # fmt: skip
"""What each detector is for."""


def plant_of(text: str | None, detector: str) -> tuple[str, Plant, float]:
    """Return name, plant and amount of ``KIND`` or ``KIND:AMOUNT``; default: what suits a detector.

    >>> plant_of("times:5", "seasonal")[2]
    5.0

    Raises
    ------
    PlantError
        If there is no such kind, or none suits the detector.
    """
    name, _, amount = (text or FOR.get(detector.split(":")[0], "")).partition(":")
    if detector.startswith("river:") and not name:
        name = "times"
    kinds = ", ".join(f"{k} ({p.what})" for k, p in PLANTS.items())
    if not name:
        raise PlantError(f"what {detector!r} should find is not known; say --plant: {kinds}")
    if name not in PLANTS:
        raise PlantError(f"plant: got {name!r}; wanted one of {kinds}")
    plant = PLANTS[name]
    try:
        return name, plant, float(amount) if amount else plant.amount
    except ValueError:
        raise PlantError(f"plant: got {text!r}; wanted KIND or KIND:NUMBER") from None


def draw(
    tape: Tape, row: int, span: tuple[int, int], plant: Plant, cases: int, seed: int
) -> NDArray[np.int64]:
    """Return slots at which cases of one subject begin, sorted, within `span`.

    They begin where a value is known, in slots of use if the plant needs people up and about, and
    end before the span does. The draw depends on the subject's key, not on who else is there.
    """
    length = round(plant.hours * 3600 / tape.interval_s)
    values = np.nan_to_num(tape.frame.values[:, :, row]).max(axis=1)
    fits = np.isfinite(tape.frame.values[:, :, row]).any(axis=1)
    if plant.waking:
        hour = tape.local_hour[:, row]
        fits &= (hour >= WAKING[0]) & (hour < WAKING[1])
        fits &= values > standby(values, hour) * 1.5 + 1e-9
    at = np.flatnonzero(fits)
    at = at[(at >= span[0]) & (at + length < span[1])]
    rng = np.random.default_rng([seed, int(tape.key[row] >> np.uint64(1)), span[0]])
    return np.sort(rng.choice(at, min(cases, len(at)), replace=False)).astype(np.int64)


def planted(
    tape: Tape, source: NDArray[np.int64], start: NDArray[np.int64], plant: Plant, amount: float
) -> Script:
    """Return one row a case: the subject's record, changed from its start on."""
    length = round(plant.hours * 3600 / tape.interval_s)
    past = STANDBY_H * 3600 // tape.interval_s
    values = np.ascontiguousarray(tape.frame.values[:, :, source])
    stop = np.minimum(start + length, tape.slots)
    hours = tape.local_hour
    for case, (row, a, b) in enumerate(zip(source, start, stop, strict=True)):
        low = max(0, int(a) - past)
        before, window = values[low:a, :, case], values[a:b, :, case]
        values[a:b, :, case] = plant.change(
            window, before, hours[low:b, int(row)], tape.interval_s, amount
        )
    return Script(tape, source, start, stop, values)
