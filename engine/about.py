"""What an alert is about, of all that its subject's meters measure: which utility, which amount.

A home has meters of electricity, water and gas; a chart beside an alert must show the one that the
alert speaks of, and draw a threshold only on the axis that it was measured on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeGuard

from rules.alerts import AlertChange
from rules.model import Rule
from rules.texts import CHANNELS, UNIT_OF


class Threshold(NamedTuple):
    """An amount in the unit that people know (kWh, l, m³), and of how long.

    Parameters
    ----------
    amount : float
    hourly : bool
        Of an hour; else of one slot of the meter: of electricity, silences look at the highest slot.
    """

    amount: float
    hourly: bool


def utilities_of(alert: AlertChange, rule: Rule | None = None) -> tuple[str, ...]:
    """Return the utilities that an alert speaks of, the first one foremost; empty: nobody said.

    Parameters
    ----------
    alert : AlertChange
    rule : Rule, optional
        Its rule, for detectors whose facts name no channel: ``utilities`` of its signals.
    """
    facts = alert.facts
    named = _channel(facts.get("channel"))
    if named is not None:
        return (named,)
    listened = [u for u in UNIT_OF if _known(facts.get(f"threshold_{UNIT_OF[u]}"))]
    if not listened and rule is not None:
        listened = [u for use in rule.signals.values() for u in use.utilities]
    last = _channel(facts.get("last_channel"))
    first = [last] if last is not None and last in (listened or [last]) else []
    return tuple(dict.fromkeys([*first, *listened]))


def threshold_of(facts: Mapping[str, Any], utility: str) -> Threshold | None:
    """Return what use of a utility had to exceed, or kept up; None where the facts name nothing."""
    sign = facts.get(f"threshold_{UNIT_OF.get(utility)}")
    if _known(sign):
        return Threshold(float(sign), utility != "electricity")
    kept = facts.get("threshold")
    if _known(kept) and _channel(facts.get("channel")) == utility:
        return Threshold(float(kept), True)
    return None


def _channel(code: Any) -> str | None:
    """Return the utility of a channel's number; None where there is none."""
    if not _known(code) or not 0 <= int(code) < len(CHANNELS):
        return None
    return CHANNELS[int(code)]


def _known(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and math.isfinite(value)
