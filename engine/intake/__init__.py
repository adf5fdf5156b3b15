"""Intake: rows of readings become amounts per slot, and every row ends exactly once."""

from engine.intake.intake import Intake, IntakeError
from engine.intake.layout import HELD, NEVER_NS, Late, Settled

__all__ = ["HELD", "NEVER_NS", "Intake", "IntakeError", "Late", "Settled"]
