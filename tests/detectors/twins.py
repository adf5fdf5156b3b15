"""Naive twins: plain-Python re-tellings of detectors, slow and obvious, to hold kernels against.

A twin gets a fresh detector (for its parameters, zones and keys only; its state is off limits)
and a whole stream, and returns the signals. Put yours here or into ``twin_<name>.py`` beside this
file, which is found by itself::

    @twin("seasonal")
    def seasonal(detector: Detector, frame: Frame) -> Signals: ...
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from detectors.base import Detector, Frame, Signals

Twin: TypeAlias = Callable[[Detector, Frame], Signals]

TWINS: dict[str, Twin] = {}


def twin(name: str) -> Callable[[Twin], Twin]:
    """Decorator: this function is the naive twin of the detector `name`."""

    def keep(function: Twin) -> Twin:
        TWINS[name] = function
        return function

    return keep
