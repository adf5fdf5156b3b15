"""Detectors as river sees them: one reading at a time, ``score_one`` and ``learn_one``.

The other way round, a river model as a detector, is ``river:<class>`` by name, or
:func:`detectors.river_wrap.around` for a model as it was made.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from river.base import AnomalyDetector

from detectors.base import Detector, DetectorError, Frame, Signals, lookup
from engine.score import as_score

_DAY_S = 86_400
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 (a wall clock without zone, as the stamps are)
_CHUNK_SLOTS = 4_096


class Online(AnomalyDetector):
    """One detector over one series, as a river model.

    Readings are dicts: ``{"value": 0.3}``, or one key per utility for a detector with several
    channels (``{"electricity": 0.3, "water": 12.0}``), with an optional ``"ts"``: a
    :class:`datetime.datetime`, read on its own clock. Without stamps the slots follow one another
    from `start`. Slots that the stamps leave out are learned as missing.

    Parameters
    ----------
    detector : str or type of Detector
        Name, or a class.
    interval_s : int
        Length of a slot in seconds; a detector with a slot length of its own needs that one.
    start : datetime, optional
        Stamp of the first reading without ``ts``; default: Monday 2024-01-01.
    unready : float
        What ``score_one`` says while the detector is not ready. NaN is honest; river's own filters
        and metrics need a number, such as 0.5, which says nothing either way.
    **params
        Overrides of the detector's defaults.

    Notes
    -----
    ``score_one`` leaves the detector as it was. In blocks a detector is hundreds of times faster: use
    :func:`engine.api.score` for history.

    Examples
    --------
    >>> model = Online("seasonal", interval_s=3600, warm_up=3)
    >>> for hour in range(24 * 7):
    ...     model.learn_one({"value": 1.0 + hour % 24 + 0.1 * (hour % 5)})
    >>> float(model.score_one({"value": 1.1})) < 0.5 < float(model.score_one({"value": 90.0}))
    True
    """

    def __init__(
        self,
        detector: str | type[Detector] = "auto",
        interval_s: int = 3600,
        start: datetime | None = None,
        unready: float = float("nan"),
        **params: float,
    ) -> None:
        kind = lookup(detector) if isinstance(detector, str) else detector
        if kind.grain != "subject":
            raise DetectorError(f"{kind.name}: watches {kind.grain}s, one reading says nothing")
        if kind.slot_s not in (None, interval_s):
            raise DetectorError(
                f"{kind.name}: its slots are {kind.slot_s} s, got interval_s {interval_s}"
            )
        self.detector = detector
        self.interval_s = interval_s
        self.start = start or datetime(2024, 1, 1)  # noqa: DTZ001
        self.unready = unready
        self.params = params
        self._made = kind(1, interval_s=interval_s, **dict[str, Any](params))
        self._next = self._slot(self.start)

    def score_one(self, x: dict[str, Any], y: object = None) -> float:  # noqa: ARG002
        """Return the score of a reading in [0, 1], or `unready`."""
        kept = self._made.state
        self._made.state = {name: array.copy() for name, array in kept.items()}
        try:
            evidence = self._step(x).evidence[-1, 0]
            return self.unready if np.isnan(evidence) else float(as_score(evidence))
        finally:
            self._made.state = kept

    def learn_one(self, x: dict[str, Any], y: object = None) -> None:  # noqa: ARG002
        """Learn a reading, and the slots without one that went before it."""
        self._next = self._step(x, learn=True)

    def _step(self, x: dict[str, Any], learn: bool = False) -> Any:
        if not isinstance(x, Mapping):
            raise DetectorError(
                f"{self._made.name}: got {x!r}; readings are dicts, as river's are: "
                '{"value": 0.3}'
            )
        slot = self._slot(x["ts"]) if "ts" in x else self._next
        if slot < self._next:
            raise DetectorError(
                f"{self._made.name}: ts {x['ts']} lies in a slot that was learned already; "
                "readings come in order"
            )
        for first in range(self._next, slot, _CHUNK_SLOTS):
            self._made.step(self._frame(first, min(slot, first + _CHUNK_SLOTS), None))
        said: Signals = self._made.step(self._frame(slot, slot + 1, x))
        return slot + 1 if learn else said

    def _slot(self, ts: datetime) -> int:
        return (ts.replace(tzinfo=None) - _EPOCH) // timedelta(seconds=self.interval_s)

    def _frame(self, first: int, stop: int, x: dict[str, Any] | None) -> Frame:
        seconds = np.arange(first, stop, dtype=np.int64) * self.interval_s
        values = np.full((stop - first, len(self._made.channels), 1), np.nan, np.float32)
        if x is not None:
            values[0, :, 0] = self._values(x)
        day = seconds // _DAY_S
        return Frame(
            first,
            values,
            (seconds % _DAY_S // self.interval_s).astype(np.int32)[:, None],
            day.astype(np.int32)[:, None],
            ((day + 3) % 7 >= 5)[:, None],
        )

    def _values(self, x: dict[str, Any]) -> list[float]:
        channels = [c.utility for c in self._made.channels]
        unknown = sorted(set(x) - {"ts", "value", *channels})
        if unknown:
            raise DetectorError(
                f"{self._made.name}: unknown key {unknown[0]!r}; wanted ts, value or one of "
                f"{', '.join(channels)}"
            )
        found = [x.get(name) for name in channels]
        if "value" in x:
            found[0] = x["value"]
        return [float("nan") if v is None else float(v) for v in found]
