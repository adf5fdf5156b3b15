"""The ledger of evidence: entries of many sources in one unit, so that they add up.

The unit is the **log10 likelihood ratio** of "something is wrong here" against "nothing is": 1
makes it ten times as likely as before, −1 ten times less. Kernels add natural logarithms, which
are 2.303 times as large; they are turned into the ledger's unit where they leave a detector, with
:data:`LOG10_E`, and nowhere else.

A detector with a ledger gives one fact per entry, named ``ledger_…``; whoever holds an alert's
facts can read its ledger back:

>>> told = Ledger.of({"hours": 3.0, "ledger_level": 1.5, "ledger_vehicles": 0.75, "ledger_prior": -1.0})
>>> told.total
1.25
>>> told.leading(1)
[('level', 1.5)]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.base import FloatArray

LOG10_E = float(1.0 / np.log(10.0))
"""Factor from natural logarithms to the ledger's unit."""
PREFIX = "ledger_"


def facts(names: Sequence[str], nats: FloatArray) -> dict[str, NDArray[Any]]:
    """Return one fact per entry of the ledgers of some rows.

    Parameters
    ----------
    names : sequence of str, length K
    nats : ndarray of float, shape (M, K)
        Natural-log evidence of each entry.

    Examples
    --------
    >>> facts(["level", "prior"], np.array([[2.302585, -1.151293]]))
    {'ledger_level': array([0.99999996]), 'ledger_prior': array([-0.5000002])}
    """
    return {PREFIX + name: nats[:, k] * LOG10_E for k, name in enumerate(names)}


@dataclass(frozen=True, slots=True)
class Ledger:
    """What one decision used: named entries that add up to its evidence.

    Parameters
    ----------
    entries : mapping of str to float
        log10 likelihood ratio by source, in the order in which they are told.
    """

    entries: Mapping[str, float]

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Ledger:
        """Return the ledger that the facts of an alert, or of one row, tell."""
        return cls(
            {k.removeprefix(PREFIX): float(v) for k, v in told.items() if k.startswith(PREFIX)}
        )

    @property
    def total(self) -> float:
        """The evidence: the sum of all entries."""
        return float(sum(self.entries.values()))

    def leading(self, count: int = 3) -> list[tuple[str, float]]:
        """Return the entries that carried the decision: those for it, strongest first."""
        pro = [(source, lr) for source, lr in self.entries.items() if lr > 0]
        return sorted(pro, key=lambda entry: (-entry[1], entry[0]))[:count]
