"""Dry runs: the same as two full replays, what is compared, and whom it would send out."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from engine import library
from engine.cli.rules import rules as command
from engine.compare import pair_up, raised_of
from engine.config import Config
from engine.dryrun import Draft, DryRun, DryRunner
from engine.dryrun_page import as_json, as_text, render
from engine.history import History
from engine.opening import desk_of
from engine.replay import Replay, ReplayOptions
from rules.alerts import AlertChange, Level, State, alert_id, stamp

NS, HOUR_NS = 10**9, 3600 * 10**9
HOMES = 6
BUDGET = {"elderly-silence": 24.0}


@pytest.fixture(scope="module")
def cut(data: Path, tmp_path_factory: pytest.TempPathFactory) -> ReplayOptions:
    """Six homes, three months."""
    folder = tmp_path_factory.mktemp("homes")
    homes = data / "homes_water"
    names = {f"w-{i:03}" for i in range(HOMES)}
    with gzip.open(homes / "readings.csv.gz", "rt") as whole:
        head = next(whole)
        lines = [line for line in whole if line[:5] in names and line[6:] < "2016-06"]
    (folder / "readings.csv").write_text(head + "".join(lines))
    return ReplayOptions(
        readings=(str(folder / "readings.csv"),),
        meters=str(homes / "meters.csv"),
        subjects=str(homes / "subjects.csv"),
    )


@pytest.fixture(scope="module")
def run(cut: ReplayOptions) -> DryRun:
    old = Draft("shipped", library.rules(None), library.rule_files(None))
    new = Draft("twice", library.rules(None, BUDGET), library.rule_files(None))
    return DryRunner(cut, old, new, Config()).run()


def replayed(cut: ReplayOptions, budgets: dict[str, float]) -> list[AlertChange]:
    from dataclasses import replace

    return Replay(replace(cut, budgets=budgets), Config(), keep=True).run().alerts


def test_a_budget_doubled_is_the_same_as_two_full_replays(cut: ReplayOptions, run: DryRun) -> None:
    for side, budgets in ((run.old, {}), (run.new, BUDGET)):
        lines = replayed(cut, budgets)
        assert [line.line() for line in side.lines] == [line.line() for line in lines]
        desk = desk_of(library.rules(None, budgets), Config(), run.zone)
        history = History(desk)
        history.follow(lines)
        assert history.visits == side.visits
    old, new = Counter(dict(run.old.by_worker)), Counter(dict(run.new.by_worker))
    assert [(w, old[w], new[w]) for w, _, _ in run.workers] == run.workers
    assert sum(new.values()) > sum(old.values()) > 0
    total = sum(n - o for _, o, n in run.workers)
    assert run.extra_per_day == pytest.approx(total / len(run.workers) / run.days)


def test_every_alert_is_in_exactly_one_list(run: DryRun) -> None:
    found = run.comparison
    lists = [found.gained, found.lost, found.earlier, found.later, found.relevelled, found.same]
    pairs = [pair for one in lists for pair in one]
    assert sorted(p.old.alert_id for p in pairs if p.old) == sorted(
        r.alert_id for r in run.old.raised
    )
    assert sorted(p.new.alert_id for p in pairs if p.new) == sorted(
        r.alert_id for r in run.new.raised
    )
    assert found.gained
    assert found.earlier
    assert not found.later  # more to spend never makes it later
    assert all(p.moved_s < 0 for p in found.earlier)


def test_it_says_what_the_budget_would_do(run: DryRun) -> None:
    (row,) = [r for r in as_json(run)["budgets"] if r["rule"] == "elderly-silence"]
    assert (row["old"]["asked"], row["new"]["asked"]) == (12.0, 24.0)
    assert row["new"]["spent"] > row["old"]["spent"]
    assert row["new"]["realised"] == pytest.approx(
        run.new.budgets["elderly-silence"].realised, abs=1e-4
    )


def test_the_page_needs_nothing_else_and_says_what_the_json_says(run: DryRun) -> None:
    page = render(run, {})
    assert "<script" not in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    told = as_json(run)
    assert f"{told['alerts']['old']} → {told['alerts']['new']}" in page
    assert "elderly-silence: 24" in page
    for row in told["changes"][:50]:
        assert (row["new"] or row["old"])["alert_id"] in page
    json.dumps(told)
    assert "elderly-silence" in as_text(run)


# -- small cases -----------------------------------------------------------------------------


def change(
    subject: str, onset_h: int, at_h: int, state: State = State.FIRING, *, raised_h: int | None = None,
    level: Level = Level.ORANGE, seq: int = 1,
) -> AlertChange:  # fmt: skip
    return AlertChange(
        alert_id=alert_id("elderly-silence", subject, onset_h * HOUR_NS), seq=seq,
        at=stamp(at_h * HOUR_NS), rule="elderly-silence", rule_version="v", subject_id=subject,
        place="330106001001001", level=level, state=state, onset=stamp(onset_h * HOUR_NS),
        raised_at=stamp((at_h if raised_h is None else raised_h) * HOUR_NS), evidence=None,
        p_value=None, budget=12.0, reason={"zh": "静", "en": "silent"}, facts={}, signals=[],
    )  # fmt: skip


def test_pairs_by_alert_and_else_by_episode() -> None:
    old = raised_of([change("a", 0, 5), change("b", 0, 5), change("c", 0, 5), change("e", 0, 5)])
    new = raised_of(
        [
            change("a", 0, 4),
            change("b", 1, 7),
            change("d", 0, 5),
            change("e", 0, 5, level=Level.RED),
        ]
    )
    found = pair_up(old, new)
    names = {k: [p.either.subject for p in getattr(found, k)] for k in ("gained", "lost", "same")}
    assert names == {"gained": ["d"], "lost": ["c"], "same": []}
    assert [(p.either.subject, p.moved_s) for p in found.earlier] == [("a", -3600)]
    assert [(p.either.subject, p.moved_s) for p in found.later] == [("b", 7200)]
    assert [p.either.subject for p in found.relevelled] == ["e"]


def test_an_episode_that_is_over_is_no_twin_of_a_later_one() -> None:
    over = [change("a", 0, 5), change("a", 0, 6, State.RESOLVED, raised_h=5, seq=2)]
    found = pair_up(raised_of(over), raised_of([change("a", 8, 12)]))
    assert (len(found.gained), len(found.lost)) == (1, 1)


def test_history_sends_nobody_twice_to_a_door_while_somebody_is_on_the_way() -> None:
    rules = library.rules(None)
    history = History(desk_of(rules, Config()))
    door_h = (rules["elderly-silence"].limits.door_s or 0) // 3600
    assert door_h == 2
    lines = [change("a", 0, 5), change("a", 6, 6), change("a", 20, 24)]
    history.follow(lines)
    assert sum(history.visits.values()) == 2
    assert set(history.visits) == {
        ("330106001001001", "1970-01-01"),
        ("330106001001001", "1970-01-02"),
    }


def test_what_would_be_missed_is_told_first(run: DryRun) -> None:
    from dataclasses import replace

    turned = replace(
        run,
        comparison=pair_up(run.new.raised, run.old.raised),
        outcomes={run.comparison.gained[-1].either.alert_id: "confirmed"},
    )
    (missed,) = turned.lost_true
    page = render(turned, {})
    assert page.index(missed.either.alert_id) < page.index(
        turned.comparison.changed[0][1].either.alert_id
    )
    assert "would miss 1" in page


def test_the_command(cut: ReplayOptions, tmp_path: Path) -> None:
    out, page = tmp_path / "dry.json", tmp_path / "dry.html"
    done = CliRunner().invoke(
        command,
        ["dry-run", "--readings", cut.readings[0], "--meters", cut.meters, "--subjects", cut.subjects,
         "--to", "2016-04-10", "--budget", "elderly-silence=24", "--json", str(out), "--html", str(page)],
        standalone_mode=False, catch_exceptions=False,
    )  # fmt: skip
    assert done.return_value == 0
    told = json.loads(out.read_text())
    assert told["old"]["version"] != told["new"]["version"]
    assert told["to"] == "2016-04-10T00:00:00Z"
    assert 'class="curve"' in page.read_text()
