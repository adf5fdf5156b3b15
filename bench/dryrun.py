"""A budget doubled on real homes: the dry run's table against two full replays.

Run ``python -m bench.dryrun`` (options ``--html``, ``--from``, ``--to``). Every line of either side,
and every visit of every worker and day, must be the same; then the figures are printed.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

from engine import library
from engine.config import Config
from engine.dryrun import Draft, DryRunner
from engine.dryrun_page import as_text, render
from engine.history import History
from engine.opening import desk_of
from engine.replay import Replay, ReplayOptions
from tests.conftest import data_path


def main() -> int:
    """Print the table, after both sides were proven."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", default="homes_water")
    parser.add_argument("--rule", default="elderly-silence")
    parser.add_argument("--budget", type=float, default=24.0)
    parser.add_argument("--html", type=Path)
    asked = parser.parse_args()
    folder = data_path() / asked.set
    (readings,) = folder.glob("readings.*")
    options = ReplayOptions(
        readings=(str(readings),),
        meters=str(folder / "meters.csv"),
        subjects=str(folder / "subjects.csv"),
    )
    budgets = {asked.rule: asked.budget}
    old = Draft("shipped", library.rules(None))
    new = Draft(f"{asked.rule}={asked.budget:g}", library.rules(None, budgets))
    began = time.process_time()
    run = DryRunner(options, old, new, Config()).run()
    dry_s = time.process_time() - began
    for side, given in ((run.old, {}), (run.new, budgets)):
        began = time.process_time()
        lines = Replay(replace(options, budgets=given), Config(), keep=True).run().alerts
        replay_s = time.process_time() - began
        assert [a.line() for a in side.lines] == [a.line() for a in lines], side.draft.name
        history = History(desk_of(side.draft.rules, Config(), run.zone))
        history.follow(lines)
        assert history.visits == side.visits, side.draft.name
        print(
            f"{side.draft.name}: {len(lines)} lines, the same bytes; replay {replay_s:.0f} s of CPU"
        )
    print(as_text(run, shown=8))
    print(f"dry run {dry_s:.0f} s of CPU for both sides")
    if asked.html:
        asked.html.write_text(render(run, {}), encoding="utf-8")
    return 0


if __name__ == "__main__":
    main()
