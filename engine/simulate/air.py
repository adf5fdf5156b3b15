"""What a fine-dust sensor measures: the day's traffic, the weather, and smoke nearby."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.simulate.homes import DAY_S, Calendar, Spell
from engine.simulate.keyed import stream


def simulate_air(
    seed: int, subject: str, calendar: Calendar, spells: Sequence[Spell], interval_s: int = 3600
) -> NDArray[np.float64]:
    """Return PM2.5 in µg/m³ per slot.

    Parameters
    ----------
    spells : sequence of Spell
        ``smoke`` (amount = µg/m³ on top).
    """
    slots = int(calendar.days * DAY_S) // interval_s
    middle = (np.arange(slots) + 0.5) * interval_s
    hour = middle % DAY_S / 3600
    rng = stream(seed, subject, "air")
    steps = rng.normal(0, 0.12, slots)
    haze = np.convolve(steps, 0.97 ** np.arange(200))[:slots]
    traffic = 1 + 0.25 * np.exp(-(((hour - 8) / 2) ** 2)) + 0.3 * np.exp(-(((hour - 19) / 3) ** 2))
    dust = 26 * traffic * np.exp(0.5 * haze) * rng.gamma(60, 1 / 60, slots)
    for spell in spells:
        if spell.kind == "smoke":
            dust += ((middle >= spell.start_s) & (middle < spell.end_s)) * spell.amount
    return np.asarray(np.clip(dust, 3, 900))
