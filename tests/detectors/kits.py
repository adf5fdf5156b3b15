"""What the common suite must know of a detector beyond its contract: one kit per detector.

A detector without a kit is tested as it is, over home-like loads. Put a kit into ``kit_<name>.py``
beside this file, which is found by itself::

    kit("seasonal", params={"quick": {"half_life_days": 7}}, days=60, plant=burst)
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

import tests.detectors
from detectors.base import Detector, Frame

Stream: TypeAlias = Callable[[Detector, np.random.Generator, int, int], NDArray[np.float32]]
Prepare: TypeAlias = Callable[[Detector, NDArray[Any], int], None]


@dataclass(frozen=True)
class Planted:
    """A stream with something wrong in some rows.

    Parameters
    ----------
    frame : Frame
        The whole stream.
    rows : list of int
        Where something is wrong; the same stretch of the other rows is clean.
    start, stop : int
        Slots (index into the frame) within which it must be found.
    urgency : int
        What the planted rows must reach there, and the clean rows must not.
    """

    frame: Frame
    rows: list[int]
    start: int
    stop: int
    urgency: int = 8


Plant: TypeAlias = Callable[[Detector, np.random.Generator, int], Planted]


@dataclass(frozen=True)
class Kit:
    """How the suite drives one detector.

    Parameters
    ----------
    params : mapping of label to parameters
        Further parameter sets; the defaults are always tested.
    interval_s : int, optional
        Slot length; default: the detector's own, or an hour.
    days : int
        Length of the stream; long enough for the detector to be ready before its middle.
    stream : callable (detector, rng, first_slot, slots) → float32 (T, C, N), optional
        Ordinary data; default: home-like loads with a few gaps.
    prepare : callable (detector, rows, first_slot), optional
        Notices that rows need before their first slot (a closure date, say); called again for
        rows that were forgotten or are new.
    plant : callable (detector, rng, first_slot) → Planted, optional
        Default: twelve slots at eight times the load.
    about_silence : bool
        Missing data is itself evidence for this detector.
    time_fields : set of str
        State arrays that may change while only NaN comes in, because they count time (integer
        arrays with one number a row may anyway).
    """

    params: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    interval_s: int | None = None
    days: int = 42
    stream: Stream | None = None
    prepare: Prepare | None = None
    plant: Plant | None = None
    about_silence: bool = False
    time_fields: frozenset[str] = frozenset()


KITS: dict[str, Kit] = {}
EXTRA_NAMES: list[str] = []
"""Members of families (``river:HalfSpaceTrees``) that the suite runs too."""


def kit(name: str, **known: Any) -> None:
    """Register the kit of the detector `name`; a name with a colon also joins the suite."""
    KITS[name] = Kit(**known)
    if ":" in name:
        EXTRA_NAMES.append(name)


def load() -> None:
    """Import every ``kit_*`` and ``twin_*`` module of this folder."""
    for module in pkgutil.iter_modules(tests.detectors.__path__):
        if module.name.startswith(("kit_", "twin_")) or module.name == "twins":
            importlib.import_module(f"tests.detectors.{module.name}")
