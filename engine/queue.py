"""What a grid's queue can bear: visits a day, and online false-discovery control.

Acts on tasks, never on alerts. Where no number of visits a day is set, nothing is held back.
Otherwise every alert that wants a visit passes :meth:`Gate.admit`, in this order:

1. Hard danger (red, or the rule says so) is sent, always; it uses up a visit but needs none.
2. An alert that is no discovery at the grid's false-discovery rate is held back
   (``not_a_discovery``); it is asked again when its level or its evidence rises.
3. A discovery finds the day's visits used up: held back (``capacity``) and released on a later
   day, the most pressing first.
4. Of what is held back, a keyed random share is sent all the same, as a ``check``, so that
   :func:`recall` can estimate what is missed.

**The p-value that is tested.** Only alerts reach the queue, so their p-values are selected: all
lie under the line at which the rule fires. Given that selection, p divided by the line is again
(super-)uniform where nothing is wrong, which is the conditioning of ADDIS (Tian and Ramdas 2019,
§2). The line is what the rule's budget promises: N false alerts a subject-year are N/365 a
subject-day. See :func:`surprise`.

References
----------
Tian, J. and A. Ramdas (2019). "ADDIS: an adaptive discarding algorithm for online FDR control with
conservative nulls." NeurIPS 32. arXiv:1905.11465. Levels by equation (7), as `online-fdr` has it.
Ville, J. (1939): a likelihood ratio exceeds 10^x anywhere with chance at most 10^-x.
Clopper, C. J. and E. S. Pearson (1934). doi:10.1093/biomet/26.4.404 (interval of the share).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from engine.config import QueueConfig
from engine.hours import local
from rules.alerts import Level
from rules.model import URGENCY

DAYS_A_YEAR = 365.0
LOOKS_A_DAY = 24
"""A detector's p-value is of one moment; at most that many moments of a day are about different
things (Bonferroni over the hours of the day; finer slots repeat themselves)."""
RENEW_TESTS, RENEW_DAYS = 500, 90
"""A grid's test sequence starts anew after so many tests or days: the rate holds within each
stretch, the state stays small, and a long dull stretch cannot use up all later ones' chances."""
LAMBDA, TAU = 0.25, 0.5
"""ADDIS: candidates and discarding; the values its authors recommend."""


class Waiting(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the queue needs to know of an alert that wants a visit."""

    alert_id: str
    level: str
    hard: bool
    evidence: float | None
    p_value: float | None
    budget: float | None
    since_ns: int

    @property
    def priority(self) -> tuple[Any, ...]:
        """Sorts the most pressing first: hard danger, level, evidence, age."""
        evidence = self.evidence if self.evidence is not None else -math.inf
        return (
            not self.hard,
            -URGENCY[Level(self.level)],
            -evidence,
            self.since_ns,
            self.alert_id,
        )


class Verdict(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What becomes of it, and why."""

    send: bool
    reason: str
    """``no_limit``, ``hard_danger``, ``discovery``, ``released``, ``check``; or, held back,
    ``not_a_discovery``, ``capacity``."""
    p: float | None = None
    """p-value given that the alert was raised …"""
    line: float | None = None
    """… and what it had to stay under."""

    @property
    def kind(self) -> str:
        """Kind of the task."""
        return "check" if self.reason == "check" else "visit"


def surprise(p_value: float | None, evidence: float | None, budget: float | None) -> float | None:
    """Return the p-value of an alert given that it was raised, or None where nothing gives one.

    Parameters
    ----------
    p_value : float or None
        Of the moment at which it was raised; times :data:`LOOKS_A_DAY` it is one of the day.
    evidence : float or None
        log10 likelihood ratio; 10^-evidence bounds the chance over the whole episode. Used where
        there is no p-value.
    budget : float or None
        False alerts per subject-year of the rule.

    Examples
    --------
    >>> round(surprise(0.0001, None, 36.5), 6)
    0.024
    >>> surprise(None, 3.0, None)
    0.001
    """
    if p_value is not None and not math.isnan(p_value):
        day = p_value * LOOKS_A_DAY
    elif evidence is not None and not math.isnan(evidence):
        day = 10.0 ** -max(evidence, 0.0)
    else:
        return None
    line = min(1.0, budget / DAYS_A_YEAR) if budget else 1.0
    return min(1.0, min(1.0, day) / line)


def local_day(at_ns: int, zone: str) -> int:
    """Return the local date as an ordinal."""
    return local(at_ns, zone).toordinal()


def lot(seed: int, alert_id: str) -> float:
    """Return a number in [0, 1) that depends on the seed and the alert alone.

    >>> 0 <= lot(1, "a") < 1
    True
    """
    digest = hashlib.sha256(f"check\x1f{seed}\x1f{alert_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2.0**64


@dataclass(slots=True)
class Gate:
    """The queue of one grid: its day, its visits, its test sequence.

    Parameters
    ----------
    grid : str
        Place code.
    day, sent : int
        Local day and visits sent on it.
    renewed_day : int
        Day on which the test sequence began.
    tests : mapping or None
        Snapshot of the test sequence, as `online-fdr` gives it.
    """

    grid: str
    day: int = 0
    sent: int = 0
    renewed_day: int = 0
    tests: Mapping[str, Any] | None = None
    _addis: Any = field(default=None, repr=False, compare=False)

    def admit(
        self, item: Waiting, at_ns: int, config: QueueConfig, zone: str = "Asia/Shanghai"
    ) -> Verdict:
        """Decide whether an alert becomes a visit now; see the module's docstring."""
        if config.visits_per_day is None:
            return Verdict(send=True, reason="no_limit")
        self._open_day(local_day(at_ns, zone))
        if item.hard:
            self.sent += 1
            return Verdict(send=True, reason="hard_danger")
        p = surprise(item.p_value, item.evidence, item.budget)
        found, line = self._test(p, config.fdr)
        if not found:
            return self._hold(item, "not_a_discovery", config, p, line)
        if self.sent >= config.visits_per_day:
            return self._hold(item, "capacity", config, p, line)
        self.sent += 1
        return Verdict(send=True, reason="discovery", p=p, line=line)

    def release(
        self,
        held: Iterable[Waiting],
        at_ns: int,
        config: QueueConfig,
        zone: str = "Asia/Shanghai",
    ) -> list[Waiting]:
        """Return what was held back for want of visits and may go now, the most pressing first."""
        self._open_day(local_day(at_ns, zone))
        ordered = sorted(held, key=lambda w: w.priority)
        if config.visits_per_day is None:
            return ordered
        sent = ordered[: max(0, config.visits_per_day - self.sent)]
        self.sent += len(sent)
        return sent

    def snapshot(self) -> Mapping[str, Any] | None:
        """Return the test sequence as plain values."""
        return self.tests if self._addis is None else self._addis.snapshot()

    def _open_day(self, day: int) -> None:
        if day > self.day:
            self.day, self.sent = day, 0

    def _hold(
        self, item: Waiting, why: str, config: QueueConfig, p: float | None, line: float | None
    ) -> Verdict:
        if lot(config.seed, item.alert_id) < config.check_share:
            self.sent += 1
            return Verdict(send=True, reason="check", p=p, line=line)
        return Verdict(send=False, reason=why, p=p, line=line)

    def _test(self, p: float | None, fdr: float) -> tuple[bool, float | None]:
        """Test one p-value; return whether it is a discovery, and the line it had to stay under."""
        if p is None or fdr >= 1:
            return True, None
        from online_fdr.p_values import Addis  # a second of imports that most runs do not need

        addis = self._addis
        if addis is None and self.tests is not None:
            addis = Addis.from_snapshot(dict(self.tests))
        if (
            addis is None
            or addis.target_level != fdr
            or addis.num_tests >= RENEW_TESTS
            or self.day - self.renewed_day >= RENEW_DAYS
        ):
            addis = Addis(alpha=fdr, wealth=fdr / 2, lambda_=LAMBDA, tau=TAU)
            self.renewed_day = self.day
        self._addis = addis
        found = bool(addis.test_one(p))
        return found, float(addis.last_rejection_threshold)


class Recall(msgspec.Struct, frozen=True, kw_only=True):
    """What share of the real cases was found, estimated from the checks."""

    estimate: float | None
    low: float
    high: float
    confidence: float
    found: int
    held: int
    checked: int
    confirmed: int


def recall(
    found: int, held: int, checked: int, confirmed: int, *, late: int = 0, confidence: float = 0.9
) -> Recall:
    """Estimate the share of real cases that somebody was sent to.

    Parameters
    ----------
    found : int
        Real cases among alerts that were sent at once.
    held : int
        Alerts that were held back at first (checks included).
    checked, confirmed : int
        Checks with a known outcome, and how many of them were real.
    late : int
        Real cases among alerts that were held back and released later.
    confidence : float
        Of the interval (Clopper–Pearson on the share of real cases among those held back).

    Examples
    --------
    >>> r = recall(found=90, held=1000, checked=20, confirmed=0)
    >>> r.estimate, round(r.low, 2), r.high
    (1.0, 0.39, 1.0)
    """
    if not 0 <= confirmed <= checked <= held:
        raise ValueError(
            f"recall: wanted 0 <= confirmed <= checked <= held, got {confirmed}, {checked}, {held}"
        )
    low_share, high_share = 0.0, 1.0
    if checked:
        from scipy.stats import binomtest

        interval = binomtest(confirmed, checked).proportion_ci(confidence, method="exact")
        low_share, high_share = float(interval.low), float(interval.high)
    seen = found + late + confirmed

    def share_found(real_share: float) -> float:
        everything = found + max(real_share * held, late + confirmed)
        return seen / everything if everything else 1.0

    return Recall(
        estimate=share_found(confirmed / checked) if checked else None,
        low=share_found(high_share),
        high=share_found(low_share),
        confidence=confidence,
        found=found + late,
        held=held,
        checked=checked,
        confirmed=confirmed,
    )
