"""Tuning a rule's detector on history, and judging it where the search did not look."""

from engine.tuning.run import Tuned, TuneOptions, tune

__all__ = ["TuneOptions", "Tuned", "tune"]
