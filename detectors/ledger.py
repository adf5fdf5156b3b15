"""The ledger of evidence: entries of many sources in one unit, so that they add up.

The unit is the **log10 likelihood ratio** of "something is wrong here" against "nothing is": 1
makes it ten times as likely as before, −1 ten times less. Kernels add natural logarithms, which
are 2.303 times as large; they are turned into the ledger's unit where they leave a detector, with
:data:`LOG10_E`, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from detectors.base import FloatArray

LOG10_E = 1.0 / np.log(10.0)
"""Factor from natural logarithms to the ledger's unit."""


def to_log10(nats: float) -> float:
    """Return natural-log evidence in the ledger's unit.

    >>> round(to_log10(2.302585), 6)
    1.0
    """
    return float(nats * LOG10_E)


def keep(age: float, half_life: float) -> float:
    """Return what is left of one unit of evidence at that age (same unit of time for both).

    >>> keep(20.0, half_life=10.0)
    0.25
    """
    return float(0.5 ** (age / half_life))


def fuse(evidence: FloatArray, overlap: float = 0.0) -> NDArray[np.float32]:
    """Add the evidence of several sources about the same rows.

    Parameters
    ----------
    evidence : ndarray of float, shape (K, N)
        log10 likelihood ratios of K sources; NaN where a source is not ready.
    overlap : float
        How much the sources see the same thing, 0 … 1. At 0 they are independent and their sum
        counts; at 1 they all tell the same story and only the strongest counts.

    Returns
    -------
    ndarray of float32, shape (N,)
        Fused evidence; NaN only where no source is ready.

    Examples
    --------
    >>> fuse(np.array([[1.0, 1.0, np.nan], [0.5, np.nan, np.nan]]))
    array([1.5, 1. , nan], dtype=float32)
    >>> fuse(np.array([[1.0], [0.5]]), overlap=1.0)
    array([1.], dtype=float32)
    """
    known = ~np.isnan(evidence)
    total = np.where(known, evidence, 0.0).sum(axis=0)
    strongest = np.where(known, evidence, -np.inf).max(axis=0, initial=-np.inf)
    mixed = (1.0 - overlap) * total + overlap * np.where(np.isfinite(strongest), strongest, 0.0)
    return np.where(known.any(axis=0), mixed, np.nan).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Ledger:
    """What one decision used: named entries that add up to its evidence.

    Parameters
    ----------
    entries : mapping of str to float
        log10 likelihood ratio by source, in the order in which they are told.
    """

    entries: Mapping[str, float] = field(default_factory=dict)

    @property
    def total(self) -> float:
        """The evidence: the sum of all entries.

        >>> Ledger({"level": 1.5, "vehicles": 0.75, "prior": -1.25}).total
        1.0
        """
        return float(sum(self.entries.values()))

    def add(self, source: str, log10_lr: float) -> Ledger:
        """Return a ledger with one entry more; a source that is there already is added to.

        >>> Ledger({"level": 1.0}).add("level", 0.5).add("water", 0.25).entries
        {'level': 1.5, 'water': 0.25}
        """
        return Ledger({**self.entries, source: self.entries.get(source, 0.0) + log10_lr})

    def aged(self, age: float, half_life: float) -> Ledger:
        """Return the ledger as remembered after `age`.

        >>> Ledger({"level": 1.0}).aged(10.0, half_life=10.0).entries
        {'level': 0.5}
        """
        left = keep(age, half_life)
        return Ledger({source: lr * left for source, lr in self.entries.items()})

    def leading(self, count: int = 3) -> list[tuple[str, float]]:
        """Return the entries that carried the decision, strongest first, those for it only.

        >>> Ledger({"level": 1.5, "time": 0.5, "prior": -1.0}).leading(2)
        [('level', 1.5), ('time', 0.5)]
        """
        pro = [(source, lr) for source, lr in self.entries.items() if lr > 0]
        return sorted(pro, key=lambda entry: (-entry[1], entry[0]))[:count]
