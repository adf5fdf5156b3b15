"""Dry runs of proposals, asked for on the page: in a process of their own, kept with the version.

A dry run goes over history twice and takes minutes of a processor, so it is done beside the
console, at the lowest priority, one at a time.

``python -m engine.console.rehearsals SPEC`` is that process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import structlog

from engine import library
from engine.config import Config
from engine.store import Store
from engine.store.versions import RuleVersion

log = structlog.get_logger()

MOST_CHANGES = 1_000
LONGEST_S = 3_600
_LOCAL = {"personal_data_key", "store", "gateway", "console", "alerts", "quarantine", "snapshots"}
"""Parts of a configuration that a dry run does not need (and that may be secret)."""


@dataclass(frozen=True, slots=True)
class History:
    """What a dry run goes over: files as `gridwarden replay` takes them."""

    readings: tuple[str, ...]
    meters: str
    subjects: str
    events: tuple[str, ...] = ()
    places: str | None = None
    workers: str | None = None
    to_ns: int | None = None


def dropped(config: Config) -> History | None:
    """Return the files of the watched folder as history; None where there are none."""
    from engine.drops import is_events

    inputs = config.inputs
    if inputs.watch is None or inputs.meters is None or inputs.subjects is None:
        return None
    files = sorted(p for p in inputs.watch.iterdir() if p.is_file() and p.name[0] != ".")
    readings = tuple(str(p) for p in files if not is_events(p))
    if not readings:
        return None
    return History(
        readings=readings,
        meters=str(inputs.meters),
        subjects=str(inputs.subjects),
        events=tuple(str(p) for p in files if is_events(p)),
        places=None if inputs.places is None else str(inputs.places),
        workers=None if inputs.workers is None else str(inputs.workers),
    )


class Rehearsals:
    """Runs dry runs, one after the other.

    Parameters
    ----------
    store : Store
    config : Config
    history : callable
        What to go over now; None: there is nothing.
    """

    def __init__(self, store: Store, config: Config, history: Callable[[], History | None]) -> None:
        self._store = store
        self._config = config
        self._history = history
        self._one = threading.Lock()
        self._states: dict[str, str] = {}

    def possible(self) -> bool:
        """Return whether there is history to go over."""
        return self._history() is not None

    def state(self, version: str) -> str:
        """Return ``running``, what went wrong, or nothing."""
        return self._states.get(version, "")

    def start(self, row: RuleVersion, *, by: str, now: Callable[[], int]) -> bool:
        """Begin a dry run of a version, unless it runs; return whether there is history for it."""
        history = self._history()
        if history is None:
            return False
        if self._states.get(row.version) != "running":
            self._states[row.version] = "running"
            work = threading.Thread(
                target=self._work, args=(row, history, by, now), daemon=True, name="rehearsal"
            )
            work.start()
        return True

    def _work(self, row: RuleVersion, history: History, by: str, now: Callable[[], int]) -> None:
        with self._one:
            try:
                report = self._run(row, history)
                report["changes"] = report.get("changes", [])[:MOST_CHANGES]
                self._store.versions.rehearsed(row.version, report, by=by, at_ns=now())
                self._states[row.version] = ""
            except Exception as error:
                log.exception("dry_run_failed", version=row.version, exc_info=error)
                self._states[row.version] = str(error)[:500] or type(error).__name__

    def _run(self, row: RuleVersion, history: History) -> dict[str, Any]:
        from engine.dryrun import verdicts

        active = self._store.versions.active
        path, budgets = self._config.rules.path, dict(self._config.rules.budgets)
        old = {"name": "files", "files": library.rule_files(path), "budgets": budgets}
        if active is not None:
            old = {"name": active.version, "files": active.rules, "budgets": active.budgets}
        spec = {
            "history": asdict(history),
            "config": self._config.model_dump(mode="json", exclude=_LOCAL),
            "old": old,
            "new": {"name": row.version, "files": row.rules, "budgets": row.budgets},
            "verdicts": verdicts(self._store),
        }
        with tempfile.TemporaryDirectory() as folder:
            asked, answer = Path(folder) / "spec.json", Path(folder) / "report.json"
            asked.write_text(json.dumps(spec, default=dict), encoding="utf-8")
            done = subprocess.run(  # noqa: S603  this program, and files of its own making
                [sys.executable, "-m", "engine.console.rehearsals", str(asked), str(answer)],
                capture_output=True, text=True, timeout=LONGEST_S, check=False,
            )  # fmt: skip
            if done.returncode:
                last = (done.stderr.strip().splitlines() or ["no message"])[-1]
                raise RuntimeError(f"the dry run ended with {done.returncode}: {last}")
            report: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
        return report


def main(asked: Path, answer: Path) -> None:
    """Do the dry run that a file describes; write its report to another."""
    from engine.dryrun import DryRunner
    from engine.dryrun_page import as_json
    from engine.replay import ReplayOptions

    os.nice(10)
    spec = json.loads(asked.read_text(encoding="utf-8"))
    history = spec["history"]
    history |= {k: tuple(history[k]) for k in ("readings", "events")}
    config = Config.model_validate(spec["config"])
    runner = DryRunner(
        ReplayOptions(**history),
        _draft(spec["old"]), _draft(spec["new"]), config, spec["verdicts"],
    )  # fmt: skip
    answer.write_text(json.dumps(as_json(runner.run()), ensure_ascii=False), encoding="utf-8")


def _draft(side: Mapping[str, Any]) -> Any:
    from engine.dryrun import Draft
    from rules.loader import load

    rules = library.with_budgets(load(side["files"]), side["budgets"])
    return Draft(side["name"], rules, side["files"])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
