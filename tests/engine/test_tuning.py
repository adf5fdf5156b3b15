"""Tuning: what is planted is found, no block sees its own price, and luck is called luck."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from detectors.base import LEVELS, NO_SLOT, Frame, lookup
from engine import library
from engine.cli.tune import tune as command
from engine.config import Config
from engine.replay import ReplayOptions
from engine.simulate import Town, TownConfig
from engine.tuning import Tuned, tune
from engine.tuning.fleet import Fleet, Label, SplitError, blocks_of, halves
from engine.tuning.judge import Episodes, Part, bootstrap, delays_h, pay, price
from engine.tuning.planting import PLANTS, PlantError, draw, plant_of, planted, standby
from engine.tuning.proposal import ProposalError, rewritten
from engine.tuning.run import TuneOptions, read_labels, run
from engine.tuning.search import Trial, TuneError, cross_validated, ranges
from engine.tuning.tape import Script, Tape, TapeError, Track, record
from rules.loader import load

DAYS = 100


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    config = TownConfig(
        elderly=12, homes=0, rentals=0, vacant=0, plants=0, closed_plants=1, feeds=False,
        weather=False, electricity_interval_s=3600,
    )  # fmt: skip
    made = Town(config).generate(days=DAYS, seed=7).write(tmp_path_factory.mktemp("town"))
    return {name: str(path) for name, path in made.items()}


def options(town: dict[str, str], **more: Any) -> ReplayOptions:
    events = (town["events"],) if Path(town["events"]).stat().st_size else ()
    return ReplayOptions(
        readings=(town["readings"],), events=events, meters=town["meters"],
        subjects=town["subjects"], **more,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def recorded_once(tapes: list[Tape], monkeypatch: pytest.MonkeyPatch) -> None:
    """One recording for all searches: it is the same, and takes longest."""
    import engine.tuning.run as module

    rule = next(r for r in library.rules(None) if r.name == "elderly-silence")
    monkeypatch.setattr(module, "record", lambda *_: (rule, tapes))


@pytest.fixture(scope="module")
def tapes(town: dict[str, str]) -> list[Tape]:
    return record(options(town), Config(), "elderly-silence")[1]


# -- the tape -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plants(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    config = TownConfig(
        elderly=0, homes=0, rentals=0, vacant=0, plants=0, closed_plants=2, feeds=False,
        weather=False, electricity_interval_s=900,
    )  # fmt: skip
    made = Town(config).generate(days=45, seed=7).write(tmp_path_factory.mktemp("plants"))
    return {name: str(path) for name, path in made.items()}


@pytest.mark.parametrize("rule", ["elderly-silence", "closed-plant-production"])
def test_a_tape_played_again_says_what_the_engine_said(
    town: dict[str, str], plants: dict[str, str], rule: str
) -> None:
    from engine.tuning.tape import Recorder

    said: list[Any] = []

    class Listening(Recorder):
        def _prepare(self) -> None:
            for group in self.host.shards[0].groups:
                step = group.detector.step

                def heard(frame: Frame, step: Any = step, group: Any = group) -> Any:
                    signals = step(frame)
                    said.append((group, signals.urgency[0].copy(), signals.onset[0].copy()))
                    return signals

                group.detector.step = heard  # type: ignore[method-assign]
            super()._prepare()

    made = Listening(
        options(town if rule.startswith("e") else plants), Config(), rule, 400
    ).record()
    assert made
    for tape in made:
        track = Script.of(tape, np.arange(len(tape.subjects))).play(tape.params)
        own = [(u, o) for g, u, o in said if np.array_equal(g.detector.key, tape.key)]
        assert len(own) == tape.slots
        np.testing.assert_array_equal(track.urgency, np.array([u for u, _ in own]))
        np.testing.assert_array_equal(track.onset, np.array([o for _, o in own]))
        assert (track.urgency >= 0).any(), "never ready: its notices were not heard"


def test_few_subjects_are_those_whose_keys_come_first(town: dict[str, str]) -> None:
    all_of_them = record(options(town), Config(), "elderly-silence")[1]
    few = record(options(town), Config(), "elderly-silence", most=3)[1]
    for whole, part in zip(all_of_them, few, strict=True):
        want = sorted(zip(whole.key.tolist(), whole.subjects, strict=True))[:3]
        assert sorted(part.subjects) == sorted(name for _, name in want)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("no-such-rule", "no rule 'no-such-rule'; there are .*elderly-silence"),
        ("area-outage", "only rules about subjects"),
        ("rental-vacant", "has no budget"),
        ("firm-fading", "watches no subject of these files"),
    ],
)
def test_rules_that_cannot_be_tuned_say_why(town: dict[str, str], rule: str, message: str) -> None:
    with pytest.raises(TapeError, match=message):
        record(options(town), Config(), rule)


# -- planting -------------------------------------------------------------------------------------


def test_a_planted_silence_is_the_homes_own_standby(tapes: list[Tape]) -> None:
    tape = tapes[0]
    source, start = np.array([0, 0, 1]), np.array([1200, 1500, 1300])
    script = planted(tape, source, start, PLANTS["silence"], 0)
    for case, (row, a) in enumerate(zip(source, start, strict=True)):
        window = script.values[a : a + 72, :, case]
        before = tape.frame.values[a - 28 * 24 : a, :, row]
        hour = tape.local_hour[a - 28 * 24 : a, row]
        for channel in range(window.shape[1]):
            known = np.isfinite(tape.frame.values[a : a + 72, channel, row])
            assert (np.isfinite(window[:, channel]) == known).all(), "a gap was filled, or made"
            want = np.float32(standby(before[:, channel], hour))
            assert (window[known, channel] == want).all()
        rest = np.r_[0:a, a + 72 : tape.slots]
        np.testing.assert_array_equal(script.values[rest, :, case], tape.frame.values[rest, :, row])


@pytest.mark.parametrize("name", sorted(PLANTS))
def test_no_change_makes_up_readings_or_reaches_beyond_its_window(
    tapes: list[Tape], name: str
) -> None:
    tape, plant = tapes[0], PLANTS[name]
    start = np.array([900])
    script = planted(tape, np.array([0]), start, plant, plant.amount or 1.0)
    was, now = tape.frame.values[:, :, 0], script.values[:, :, 0]
    stop = int(script.stop[0])
    np.testing.assert_array_equal(now[:900], was[:900])
    np.testing.assert_array_equal(now[stop:], was[stop:])
    assert (np.isnan(now) >= np.isnan(was)).all()
    assert not np.array_equal(now[900:stop], was[900:stop], equal_nan=True)


def test_cases_depend_on_the_subject_alone(tapes: list[Tape]) -> None:
    tape = tapes[0]
    for row in range(3):
        drawn = draw(tape, row, (900, 2000), PLANTS["silence"], 5, seed=1)
        assert ((drawn >= 900) & (drawn + 72 < 2000)).all()
        hour = tape.local_hour[drawn, row]
        assert ((hour >= 7) & (hour < 21)).all()
    alone = replace(
        tape, key=tape.key[[2]], zone=tape.zone[[2]], subjects=[tape.subjects[2]],
        frame=replace(tape.frame, values=tape.frame.values[:, :, [2]]),
    )  # fmt: skip
    again = draw(alone, 0, (900, 2000), PLANTS["silence"], 5, seed=1)
    np.testing.assert_array_equal(again, drawn)


def test_what_to_plant_is_said_or_known() -> None:
    assert plant_of(None, "inactivity")[0] == "silence"
    assert plant_of("times:5", "auto")[2] == 5
    with pytest.raises(PlantError, match="say --plant"):
        plant_of(None, "adjudicate")
    with pytest.raises(PlantError, match="wanted one of silence"):
        plant_of("flood", "auto")


# -- judging --------------------------------------------------------------------------------------


@given(
    st.lists(st.integers(1, LEVELS), min_size=1, max_size=40),
    st.floats(0.1, 3.0),
    st.floats(0.1, 30.0),
)
def test_a_price_spends_the_budget_and_no_more(
    peaks: list[int], years: float, budget: float
) -> None:
    index, share = price(np.array(peaks), years, budget)
    spent = sum(p > index for p in peaks) + share * sum(p == index for p in peaks)
    assert spent <= budget * years + 1e-9
    if len(peaks) > budget * years:
        assert spent == pytest.approx(budget * years)
    else:
        assert spent == len(peaks)


def tiny(urgency: list[list[int]], onset: list[list[int]]) -> tuple[Tape, Track]:
    u, o = np.array(urgency, np.int8).T, np.array(onset, np.int64).T
    slots, rows = u.shape
    day = np.arange(slots)[:, None]
    frame = Frame(
        0, np.ones((slots, 1, rows), np.float32), (day % 24).astype(np.int32),
        (day // 24).astype(np.int32), day < 0,
    )  # fmt: skip
    tape = Tape(
        lookup("seasonal"), 3600, {}, [f"s{i}" for i in range(rows)], np.zeros(rows, np.uint8),
        np.arange(rows, dtype=np.uint64) + np.uint64(99), [0], 3600, frame,
    )  # fmt: skip
    return tape, Track(u, o)


def test_episodes_of_rows_are_told_apart() -> None:
    none = NO_SLOT
    _, track = tiny(
        [[0, 3, 5, 0, 2, 2], [4, 4, 0, 0, 0, 7]],
        [[none, 1, 1, none, 4, 4], [0, 0, none, none, none, 5]],
    )
    found = Episodes.of(track)
    assert list(zip(found.row, found.first, found.last, found.peak, strict=True)) == [
        (0, 1, 2, 5), (0, 4, 5, 2), (1, 0, 1, 4), (1, 5, 5, 7)
    ]  # fmt: skip


def test_no_block_is_judged_by_a_price_that_has_seen_it(tapes: list[Tape]) -> None:
    tape = tapes[0]
    rows = np.arange(len(tape.subjects))
    edges = np.array([0, 900, 1500, tape.slots])
    track = Script.of(tape, rows).play(tape.params)
    calm = pay([Part(tape, track, rows, edges)], 24.0)[0]
    stormy = Track(track.urgency.copy(), track.onset)
    late = stormy.urgency[1500:]
    late[track.onset[1500:] != NO_SLOT] = LEVELS
    moved = pay([Part(tape, stormy, rows, edges)], 24.0)[0]
    np.testing.assert_array_equal(moved.index, calm.index)
    np.testing.assert_array_equal(moved.fraction, calm.fraction)
    np.testing.assert_array_equal(moved.false[:2], calm.false[:2])
    assert moved.false[2].sum() >= calm.false[2].sum()


def test_delays_count_to_the_due_time_and_open_alerts_as_never() -> None:
    none = NO_SLOT
    tape, track = tiny(
        [[0, 0, 0, 9, 9, 9], [0, 9, 9, 9, 9, 9], [0] * 6],
        [[none, none, 2, 2, 2, 2], [none, 1, 1, 1, 1, 1], [none] * 6],
    )
    part = Part(tape, track, np.arange(3), np.array([0, 1, 6]))
    paid = replace(pay([part], 1.0)[0], index=np.full(6, 5), fraction=np.zeros(6))
    found = delays_h(tape, track, np.arange(3), np.array([2, 2, 2]), np.array([6, 6, 6]), paid)
    # slot 3 ends two hours after slot 2 began, and is due an hour later
    assert found.tolist() == [3.0, np.inf, np.inf]


def test_the_interval_covers_the_mean_and_shrinks_with_subjects() -> None:
    rng = np.random.default_rng(1)
    few, many = rng.normal(1, 2, 10), rng.normal(1, 2, 400)
    low, high = bootstrap(few, 1)
    assert low < few.mean() < high
    assert np.diff(bootstrap(many, 1))[0] < (high - low) / 3


def test_luck_in_choosing_is_seen() -> None:
    rng = np.random.default_rng(2)
    now = rng.normal(10, 3, 40)
    noise = [Trial(i, {}, 0.0, tuple(now + rng.normal(0, 3, 40))) for i in range(60)]
    apparent = max(float(np.mean(now - np.array(t.waits_h))) for t in noise)
    assert apparent > 0.7
    assert cross_validated(now, noise, seed=1) < apparent / 4
    better = Trial(99, {}, 0.0, tuple(now - 4))
    assert cross_validated(now, [*noise, better], seed=1) == pytest.approx(4)


# -- splits ---------------------------------------------------------------------------------------


def test_halves_share_no_subject_and_blocks_no_slot(tapes: list[Tape]) -> None:
    masks = halves(tapes, seed=1)
    mine = {s for t, m in zip(tapes, masks, strict=True) for s in np.array(t.subjects)[m]}
    rest = {s for t, m in zip(tapes, masks, strict=True) for s in np.array(t.subjects)[~m]}
    assert not mine & rest
    assert abs(len(mine) - len(rest)) <= 1
    assert halves(tapes, seed=1)[0].tolist() == masks[0].tolist()
    blocks = blocks_of(tapes, 6, 72)
    assert set(blocks.early_blocks).isdisjoint(blocks.late_blocks)
    assert 0 not in blocks.early_blocks
    fleet = Fleet.planted(tapes, masks, blocks, PLANTS["silence"], 0, 8, seed=1)
    for side in fleet.sides:
        for start, stop, block in zip(side.cases.start, side.cases.stop, side.block, strict=True):
            assert side.edges[block] <= start < stop <= side.edges[block + 1], "a case leaks"


def test_too_little_history_is_refused(tapes: list[Tape]) -> None:
    with pytest.raises(SplitError, match=r"history is \d+ days; wanted at least"):
        blocks_of(tapes, 6, 60 * 24)
    with pytest.raises(SplitError, match="wanted at least 4"):
        halves([replace(tapes[0], key=tapes[0].key[:2])], seed=1)


def test_ranges_are_around_what_is_and_refuse_what_is_not() -> None:
    kind = lookup("inactivity")
    made = ranges(kind, {}, dict(kind.defaults))
    assert made["own_d"].whole
    assert made["own_d"].low <= 7 <= made["own_d"].high
    with pytest.raises(TuneError, match="unknown parameter 'own'"):
        ranges(kind, {"own": (1, 2)}, {})
    with pytest.raises(TuneError, match="LOW < HIGH"):
        ranges(kind, {"own_d": (9, 9)}, {})


# -- the whole ------------------------------------------------------------------------------------


def whole(town: dict[str, str], **more: Any) -> Tuned:
    given: dict[str, Any] = {"params": {"own_d": (7, 84), "half_life_d": (10, 120)}, "trials": 5,
             "cases": 4, "budgets": (24.0,)}  # fmt: skip
    return run(TuneOptions("elderly-silence", **given | more), options(town), Config())


def test_an_interrupted_search_goes_on_as_if_it_had_not_been(
    town: dict[str, str], tmp_path: Path
) -> None:
    storage = tmp_path / "study.db"
    at_once = whole(town)
    whole(town, trials=2, storage=storage)
    done: list[int] = []
    inputs = options(town)
    resumed = run(
        TuneOptions(
            "elderly-silence", (24.0,), {"own_d": (7, 84), "half_life_d": (10, 120)}, cases=4,
            trials=5, storage=storage,
        ),
        inputs, Config(), on_trial=lambda n, _total, _least: done.append(n),
    )  # fmt: skip
    assert done == [3, 4, 5], "trials that were done were done again"
    assert [t.params for t in resumed.found.trials] == [t.params for t in at_once.found.trials]
    assert resumed.found.gain_h == at_once.found.gain_h


def test_results_are_tables_and_pictures(town: dict[str, str]) -> None:
    tuned = tune(
        "elderly-silence", town["readings"], town["meters"], town["subjects"],
        params={"own_d": (7, 84)}, trials=3, cases=4, budgets=(12, 24), target_h=60,
    )  # fmt: skip
    frame = tuned.to_frame()
    assert set(frame.quarter) == {"searched", "later", "others", "unseen"}
    assert len(frame) == 2 * 4 * 2
    assert len(tuned.to_frame(what="trials")) == 3
    assert tuned.verdict in ("improves", "no improvement", "worse")
    assert len(tuned.plot().get_yticklabels()) == 4
    assert tuned.budget == 12


def test_confirmed_outcomes_instead_of_planting(town: dict[str, str], tmp_path: Path) -> None:
    truth = [json.loads(line) for line in Path(town["truth"]).read_text().splitlines()]
    visits = [t for t in truth if t["kind"] == "visit"]
    assert visits
    tuned = whole(town, labels=town["truth"], label=("visit",), trials=2)
    assert sum(tuned.plan["cases"]) > 0
    assert sum(tuned.plan["cases"]) <= len(visits)
    planted_false = whole(town, trials=2)
    by = {q: tuned.found.quarters[24.0, q][0].false_per_year for q in ("searched", "unseen")}
    other = {q: planted_false.found.quarters[24.0, q][0].false_per_year for q in by}
    assert by != other, "alerts about what was confirmed still count as false"
    with pytest.raises(TuneError, match="wanted kind confirmed, got"):
        read_labels(town["truth"], ("confirmed",))
    bad = tmp_path / "bad.csv"
    bad.write_text("subject_id,from\na,2026-01-01\n")
    with pytest.raises(TuneError, match="no column 'until'"):
        read_labels(bad, ())


def test_a_label_on_the_only_alert_is_no_false_alert() -> None:
    none = NO_SLOT
    tape, track = tiny([[0, 0, 9, 9, 0, 0]] * 2, [[none, none, 2, 2, none, none]] * 2)
    blocks = type("B", (), {"of": lambda _self, _tape: np.array([0, 1, 6])})()
    fleet = Fleet.of_labels(
        [tape], [np.array([True, True])], blocks, [Label("s0", 7200, 14400)], 2.0
    )
    side = fleet.sides[0]
    part = Part(tape, track, side.rows, side.edges, side.wrong)
    paid = pay([part], 1e6)[0]
    assert paid.false.sum(axis=0).tolist() == [0, 1]


def test_the_command_reports_proposes_and_touches_no_rule(
    town: dict[str, str], tmp_path: Path
) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    name = "elderly-silence.yaml"
    text = library.rule_files(None)["rules/library/" + name]
    (rules / name).write_text(text)
    arguments = [
        "elderly-silence", "--readings", town["readings"], "--meters", town["meters"],
        "--subjects", town["subjects"], "--rules", str(rules), "--param", "own_d=7:84",
        "--trials", "2", "--cases", "4", "--budget", "24", "--budget", "52", "--target-h", "70",
        "--report", str(tmp_path / "r.html"), "--json", str(tmp_path / "r.json"),
        "--proposal", str(tmp_path / "new"),
    ]  # fmt: skip
    done = CliRunner().invoke(command, arguments, standalone_mode=False)
    assert done.exception is None, done.output
    assert done.return_value == 0
    assert (rules / name).read_text() == text
    proposed = (tmp_path / "new" / name).read_text()
    assert proposed.startswith("# Proposed by gridwarden tune: ")
    assert load({name: proposed}).rules[0].budget.false_alerts_per_subject_year == 24
    body = proposed[proposed.index("# No sign of life") :]
    assert len(set(body.splitlines()) ^ set(text.splitlines())) <= 4, "more than asked was changed"
    figures = json.loads((tmp_path / "r.json").read_text())
    assert figures["verdict"] in done.output.lower() or "worse" in figures["verdict"]
    page = (tmp_path / "r.html").read_text("utf-8")
    assert "<svg" in page
    assert "http" not in page.replace("http-equiv", "")
    again = CliRunner().invoke(command, arguments, standalone_mode=False)
    assert isinstance(again.exception, ProposalError)
    assert "is not empty" in str(again.exception)


def test_no_proposal_without_improvement(town: dict[str, str], tmp_path: Path) -> None:
    tuned = whole(town, trials=1)
    assert tuned.verdict == "no improvement"
    assert tuned.changed == {}
    with pytest.raises(TuneError, match="nothing to propose"):
        tuned.propose(tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("use", [
    "seasonal", "{detector: seasonal}", "{detector: seasonal, params: {bins: 12}, utilities: [x]}",
    "\n    detector: seasonal\n    params:\n      bins: 12\n      # why\n      blend: 0.1\n",
    "\n    detector: seasonal\n",
])  # fmt: skip
def test_a_rule_keeps_everything_but_what_was_changed(use: str) -> None:
    text = (
        f"name: x # n\nsignals:\n  s: {use}\nbudget: {{false_alerts_per_subject_year: 3}}\n# end\n"
    )
    made = rewritten(text, "s", {"bins": 24.0, "blend": 0.25}, 6.0, "Because.")
    assert made.startswith("# Because.\nname: x # n\n")
    assert made.endswith("# end\n")
    parsed = yaml.safe_load(made)
    assert parsed["budget"]["false_alerts_per_subject_year"] == 6
    assert parsed["signals"]["s"]["detector"] == "seasonal"
    assert parsed["signals"]["s"]["params"] == {"bins": 24, "blend": 0.25}


def test_what_is_badly_set_is_improved_and_proposed(
    town: dict[str, str], tapes: list[Tape], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A threshold far above what anybody uses makes a home look silent: the search finds out."""
    import engine.tuning.run as module

    bad = {"electricity_kwh": 2.0, "water_l": 200.0}
    spoiled = [replace(t, params={**t.params, **bad}) for t in tapes]
    rule = next(r for r in library.rules(None) if r.name == "elderly-silence")
    monkeypatch.setattr(module, "record", lambda *_: (rule, spoiled))
    tuned = whole(
        town, params={"electricity_kwh": (0.005, 2.0), "water_l": (0.5, 200.0)}, trials=6,
        cases=6, budgets=(24.0,),
    )  # fmt: skip
    assert tuned.verdict == "improves", repr(tuned)
    assert tuned.found.gain_h["unseen"] > 5
    assert tuned.found.kept > 0.3
    assert set(tuned.changed) & {"electricity_kwh", "water_l"}
    file = tuned.propose(tmp_path / "new")
    made = load({file.name: file.read_text("utf-8")}).rules[0]
    params = made.signals["silence"].params
    assert {k: params[k] for k in tuned.changed} == pytest.approx(
        {k: v for k, (_, v) in tuned.changed.items()}, rel=1e-4
    )
    assert "sooner" in file.read_text("utf-8").splitlines()[1]
    assert len(list((tmp_path / "new").glob("*.yaml"))) == len(library.rule_files(None))
