"""Which rules a live site runs: what the log said last, and whether the files say otherwise.

The log decides. Files count when they are not what they were when they were last taken up, so a
version that was approved in the meantime is never undone by a restart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.records import Activation
from engine import library
from engine.activation import ActivationError, rules_of
from engine.config import Config
from engine.library import LibraryError
from rules.loader import load
from rules.problems import RuleErrors

FILES = "files"
"""Author of what was taken from the folder of rules."""


@dataclass(frozen=True, slots=True)
class Changed:
    """Files that differ from what was last taken up: good ones as a record, else the problem."""

    record: Activation | None = None
    problem: str | None = None


class RuleBook:
    """Versions of a live site.

    Parameters
    ----------
    config : Config
        Where the files are, budgets that differ from them, and whether changes are taken up.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.lineage: list[Activation] = []
        """Activations that shaped the shard's groups, oldest first; the last one is in force."""
        self._taken: str | None = None
        """Version of the files when they were last taken up."""
        self.problem: str | None = None
        """What is wrong with the files as they are."""
        self._seen: Mapping[str, str] | None = None
        """Texts of the files at the last look."""

    def of_files(self) -> Activation:
        """Return the files as they are, as an activation.

        Raises
        ------
        rules.problems.RuleErrors
            With all problems of all files.
        LibraryError
            If they cannot be read, or a budget cannot be set.
        """
        files = self._seen = library.rule_files(self.config.rules.path)
        budgets = dict(self.config.rules.budgets)
        found = library.with_budgets(load(files), budgets)
        return Activation(found.version, dict(files), FILES, 0, budgets)

    def changed(self) -> Changed | None:
        """Return what is new in the files since the last look; None if nothing is."""
        if not self.config.rules.reload:
            return None
        try:
            if library.rule_files(self.config.rules.path) == self._seen:
                return None
            record = self.of_files()
            rules_of(record)
        except (RuleErrors, LibraryError, ActivationError) as error:
            self.problem = str(error)
            return Changed(problem=self.problem)
        self.problem = None
        return None if record.version == self._taken else Changed(record)

    def note(self, record: Activation, *, settled: bool) -> None:
        """Remember what the log put in force.

        `settled`: a shard built afresh from these rules would be the same; what was before need
        not be known any more.
        """
        if record.author == FILES:
            self._taken = record.version
        if settled:
            self.lineage = [record]
        elif not self.lineage or self.lineage[-1].version != record.version:
            self.lineage.append(record)

    def snapshot(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "taken": self._taken,
            "lineage": [
                [r.version, dict(r.rules_yaml), r.author, r.arrival_ns, dict(r.budgets)]
                for r in self.lineage
            ],
        }

    def restore(self, state: Mapping[str, Any]) -> Sequence[Activation]:
        """Take over :meth:`snapshot`'s values; return the lineage."""
        self._taken = state["taken"]
        self.lineage = [Activation(v, f, a, int(t), b) for v, f, a, t, b in state["lineage"]]
        return self.lineage
