"""States of the intake as earlier programs wrote them, brought to the form of this one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from engine.intake.layout import unheard_intervals, unheard_registers

if TYPE_CHECKING:
    from engine.intake.intake import Intake

Arrays = Mapping[str, NDArray[Any]]


def from_schema_1(intake: Intake, arrays: Arrays) -> dict[str, NDArray[Any]]:
    """Return the arrays with what was last heard of each meter in its own record.

    Until 2026-11-22 newest stamps and values stood in two arrays of all meters.

    Parameters
    ----------
    intake : Intake
        Of the same meters.
    arrays : mapping of str to ndarray
        As written; `last_ns` and `last_value` have shape (meters,).
    """
    old = arrays["registers"]
    registers = unheard_registers(len(old))
    for name in old.dtype.names or ():
        registers[name] = old[name]
    last = unheard_intervals(len(intake.last))
    at = intake.places_of_meters()
    is_register = intake.place >= 0
    for target, ns, value, mine in (
        (registers, "last_ns", "last_level", is_register),
        (last, "ns", "value", ~is_register),
    ):
        target[ns][at[mine]] = arrays["last_ns"][mine]
        target[value][at[mine]] = arrays["last_value"][mine]
    left = {k: v for k, v in arrays.items() if k not in ("last_ns", "last_value")}
    return left | {"registers": registers, "last": last}
