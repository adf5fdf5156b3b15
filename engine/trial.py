"""Event time of trials: it begins at a moment of the past and runs faster than the wall clock."""

from __future__ import annotations

import time
from collections.abc import Callable

from engine.config import Config


def wall_ns_of(config: Config) -> Callable[[], int]:
    """Return the clock that gateways, relays and consoles go by: the wall clock, but in a trial."""
    trial = config.trial
    if trial is None:
        return time.time_ns
    event_from = int(trial.event_from.timestamp() * 1e9)
    wall_from = int(trial.wall_from.timestamp() * 1e9)
    speed = trial.speed

    def now_ns() -> int:
        return event_from + int(max(0, time.time_ns() - wall_from) * speed)

    return now_ns
