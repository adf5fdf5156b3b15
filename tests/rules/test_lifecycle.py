"""The life of an alert: scenarios by hand, and a naive twin that counts ticks."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from rules.lifecycle import (
    IDLE,
    NEVER,
    Change,
    Kind,
    Life,
    Observation,
    Phase,
    Timing,
    advance,
    observe,
)
from rules.model import BY_URGENCY
from tests.rules.kit import rule

MET = Observation(True, True, 5)
OVER = Observation(False, False, 5)
BLIND = Observation(None, None, 5)


def timing(
    for_ns: int = 0,
    keep_ns: int = 0,
    base: int = 1,
    promotions: tuple[tuple[int, int], ...] = (),
    downgrades: dict[int, tuple[int, int]] | None = None,
) -> Timing:
    return Timing(for_ns, keep_ns, base, promotions, downgrades or {})


def play(
    rule_timing: Timing, seen: dict[int, Observation], until: int
) -> tuple[Life, list[tuple[str, int, str]]]:
    life, told = IDLE, []
    for at, observation in sorted(seen.items()):
        life, changes = observe(rule_timing, life, at, observation)
        told += changes
    life, changes = advance(rule_timing, life, until)
    return life, [(str(c.kind), c.at_ns, str(c.level)) for c in told + changes]


def test_fires_at_once_without_for_and_resolves_at_once_without_keep() -> None:
    life, told = play(timing(), {10: MET, 20: OVER}, 100)
    assert told == [("raised", 10, "yellow"), ("resolved", 20, "yellow")]
    assert life == IDLE


def test_fires_at_the_exact_end_of_for_without_new_data() -> None:
    life, told = play(timing(for_ns=7), {10: MET}, 1_000)
    assert told == [("raised", 17, "yellow")]
    assert (life.phase, life.raised_ns, life.onset_ns) == (Phase.FIRING, 17, 5)


def test_not_met_before_the_end_of_for_never_was() -> None:
    assert play(timing(for_ns=7), {10: MET, 16: OVER}, 1_000) == (IDLE, [])


def test_an_observation_at_the_deadline_counts_before_it() -> None:
    assert play(timing(for_ns=7), {10: MET, 17: OVER}, 1_000) == (IDLE, [])
    assert play(timing(for_ns=7), {10: MET, 17: MET}, 17)[1] == [("raised", 17, "yellow")]


def test_time_that_nobody_saw_does_not_count_towards_for() -> None:
    seen = {10: MET, 12: BLIND, 50: MET}
    assert play(timing(for_ns=7), seen, 1_000)[1] == [("raised", 55, "yellow")]


def test_no_data_never_resolves() -> None:
    seen = {10: MET, 20: OVER, 22: BLIND}
    life, told = play(timing(keep_ns=5), seen, 10**15)
    assert told == [("raised", 10, "yellow")]
    assert life.firing
    assert life.deadline_ns(timing(keep_ns=5)) == NEVER


def test_after_no_data_it_resolves_when_somebody_sees_that_it_is_over() -> None:
    seen = {10: MET, 20: OVER, 22: BLIND, 40: OVER}
    assert play(timing(keep_ns=5), seen, 100)[1][-1] == ("resolved", 40, "yellow")


def test_keep_firing_for_bridges_a_lull_and_keeps_the_alert() -> None:
    seen = {10: MET, 20: OVER, 24: MET._replace(onset_ns=23), 30: OVER}
    _life, told = play(timing(keep_ns=5), seen, 100)
    assert told == [("raised", 10, "yellow"), ("resolved", 35, "yellow")]


def test_the_onset_is_kept_while_it_fires() -> None:
    life, _ = play(timing(), {10: MET, 20: MET._replace(onset_ns=15)}, 20)
    assert life.onset_ns == 5


def test_hysteresis_holds_what_would_no_longer_raise() -> None:
    held = Observation(False, True, 5)
    assert play(timing(), {10: MET, 20: held, 30: OVER}, 99)[1][-1][:2] == ("resolved", 30)
    assert play(timing(), {20: held}, 99) == (IDLE, [])


def test_blocked_does_not_fire_until_it_is_let_go() -> None:
    seen = {10: MET._replace(blocked=True), 30: MET._replace(blocked=True), 50: MET}
    assert play(timing(for_ns=3), seen, 99)[1] == [("raised", 50, "yellow")]


def test_blocked_does_not_end_what_fires_but_refuted_cancels_it() -> None:
    blocked = {10: MET, 20: MET._replace(blocked=True)}
    assert play(timing(), blocked, 99)[1] == [("raised", 10, "yellow")]
    refuted = {10: MET, 20: MET._replace(refuted=True, cause="absent")}
    life, told = play(timing(), refuted, 99)
    assert told[-1] == ("cancelled", 20, "yellow")
    assert life == IDLE


def test_a_refuted_pending_alert_is_never_told() -> None:
    assert play(timing(for_ns=9), {10: MET, 12: MET._replace(refuted=True)}, 99) == (IDLE, [])


def test_the_cause_of_a_cancellation_is_told() -> None:
    life, _ = observe(timing(), IDLE, 10, MET)
    _, changes = observe(timing(), life, 20, MET._replace(refuted=True, cause="absent"))
    assert changes[0].cause == "absent"


def test_promotion_by_time_needs_no_data() -> None:
    rule_timing = timing(promotions=((3, 60),))
    seen = {10: MET._replace(promotions=1)}
    assert play(rule_timing, seen, 999)[1] == [("raised", 10, "yellow"), ("level", 70, "red")]


def test_promotion_by_condition_is_sticky_and_falls_by_the_timed_downgrade() -> None:
    rule_timing = timing(promotions=((3, 0),), downgrades={3: (1, 30)})
    seen = {10: MET, 20: MET._replace(promotions=1), 25: MET, 40: MET}
    assert play(rule_timing, seen, 999)[1] == [
        ("raised", 10, "yellow"),
        ("level", 20, "red"),
        ("level", 55, "yellow"),
    ]


def test_no_data_starts_no_downgrade() -> None:
    rule_timing = timing(promotions=((3, 0),), downgrades={3: (1, 30)})
    seen = {10: MET._replace(promotions=1), 25: BLIND}
    assert play(rule_timing, seen, 10**12)[1] == [("raised", 10, "red")]


def test_raised_at_the_level_that_already_holds() -> None:
    rule_timing = timing(promotions=((2, 0), (3, 5)))
    assert play(rule_timing, {10: MET._replace(promotions=3)}, 99)[1] == [
        ("raised", 10, "orange"),
        ("level", 15, "red"),
    ]


def test_a_late_observation_cannot_act_in_the_past() -> None:
    life, _ = observe(timing(for_ns=3), IDLE, 10, MET)
    life, changes = observe(timing(for_ns=3), life, 8, MET)
    assert changes == []
    assert advance(timing(for_ns=3), life, 99)[1][0].at_ns == 13


def test_a_life_survives_as_a_plain_tuple() -> None:
    rule_timing = timing(for_ns=7, keep_ns=3, promotions=((3, 60),))
    life, _ = observe(rule_timing, IDLE, 10, MET._replace(promotions=1))
    restored = Life(*[int(x) for x in life])
    assert advance(rule_timing, restored, 999) == advance(rule_timing, life, 999)


def test_timing_of_a_rule() -> None:
    made = rule(
        **{
            "for": "1m",
            "keep_firing_for": "2m",
            "promote": [{"to": "red", "after": "1h"}],
            "downgrade": [{"from": "red", "to": "orange", "after": "3h"}],
        }
    )
    assert Timing.of(made) == Timing(
        60 * 10**9, 120 * 10**9, 2, ((3, 3600 * 10**9),), {3: (2, 3 * 3600 * 10**9)}
    )


# -- a twin that counts ticks -------------------------------------------------------------------


def twin(rule_timing: Timing, seen: dict[int, Observation], until: int) -> list[Change]:
    """Play tick by tick with counters, no deadlines."""
    told: list[Change] = []
    state, level = "idle", 0
    waited = over = unwarranted = 0
    raised = 0
    last: Observation | None = None
    promoted = 0
    for t in range(until + 1):
        new = seen.get(t)
        if t and state == "pending" and last and last.met:
            waited += 1
        if t and state in ("firing", "clearing") and last:
            over += state == "clearing"
            unwarranted += 1
        if new is not None:
            last = new
            if state in ("idle", "pending"):
                if new.refuted or new.met is False or (new.met is None and state == "idle"):
                    state = "idle"
                elif new.met and state == "idle":
                    state, waited = "pending", 0
                promoted = new.promotions if new.met else promoted
            elif new.refuted:
                told.append(Change(Kind.CANCELLED, t, BY_URGENCY[level], new.cause))
                state = "idle"
            elif new.holds is not None:
                promoted = new.promotions
                if new.holds:
                    state = "firing"
                elif state == "firing":
                    state, over = "clearing", 0
        if (
            state == "pending"
            and last
            and last.met
            and not last.blocked
            and waited >= rule_timing.for_ns
        ):
            state, raised, level, unwarranted = "firing", t, rule_timing.base, 0
            level = max([level, *_warrants(rule_timing, promoted, 0)])
            cause = "for" if rule_timing.for_ns else "data"
            told.append(Change(Kind.RAISED, t, BY_URGENCY[level], cause))
            last = last._replace(holds=True)
        if state in ("firing", "clearing") and last:
            warranted = max([rule_timing.base, *_warrants(rule_timing, promoted, t - raised)])
            if warranted > level:
                level = warranted
                told.append(Change(Kind.LEVEL, t, BY_URGENCY[level], "promotion"))
            if state == "clearing" and last.holds is False and over >= rule_timing.keep_ns:
                told.append(Change(Kind.RESOLVED, t, BY_URGENCY[level], "data"))
                state = "idle"
    return told


def _warrants(rule_timing: Timing, bits: int, age: int) -> list[int]:
    return [
        to for i, (to, after) in enumerate(rule_timing.promotions) if bits >> i & 1 and age >= after
    ]


observations = st.builds(
    Observation,
    met=st.sampled_from([True, True, False, None]),
    holds=st.sampled_from([True, False, None]),
    onset_ns=st.just(0),
    blocked=st.booleans(),
    refuted=st.sampled_from([False, False, False, True]),
    promotions=st.integers(0, 3),
).map(lambda o: o._replace(holds=True) if o.met else o)
timings = st.builds(
    timing,
    for_ns=st.integers(0, 6),
    keep_ns=st.integers(0, 6),
    promotions=st.tuples(
        st.tuples(st.just(2), st.integers(0, 8)), st.tuples(st.just(3), st.integers(0, 12))
    ),
)
sequences = st.dictionaries(st.integers(0, 40), observations, max_size=14)


@settings(max_examples=150)
@given(timings, sequences)
def test_equal_to_the_twin(rule_timing: Timing, seen: dict[int, Observation]) -> None:
    life, told = IDLE, []
    for at, observation in sorted(seen.items()):
        life, changes = observe(rule_timing, life, at, observation)
        told += changes
    told += advance(rule_timing, life, 60)[1]
    assert told == twin(rule_timing, seen, 60)


@settings(max_examples=100)
@given(timings, sequences, st.sets(st.integers(0, 60)))
def test_how_often_the_clock_is_looked_at_changes_nothing(
    rule_timing: Timing, seen: dict[int, Observation], looks: set[int]
) -> None:
    def changes(extra: set[int]) -> list[Change]:
        life, told = IDLE, []
        for at in sorted(set(seen) | extra):
            # Before an observation the clock stands just before it.
            life, more = advance(rule_timing, life, at - 1 if at in seen else at)
            told += more
            if at in seen:
                life, more = observe(rule_timing, life, at, seen[at])
                told += more
        return told + advance(rule_timing, life, 99)[1]

    assert changes(set()) == changes(looks)


@settings(max_examples=100)
@given(timings, sequences)
def test_the_deadline_is_when_something_happens(
    rule_timing: Timing, seen: dict[int, Observation]
) -> None:
    life = IDLE
    for at, observation in sorted(seen.items()):
        life, _ = observe(rule_timing, life, at, observation)
    deadline = life.deadline_ns(rule_timing)
    if deadline == NEVER:
        assert advance(rule_timing, life, 10**6)[1] == []
    else:
        assert advance(rule_timing, life, deadline - 1)[1] == []
        assert [c.at_ns for c in advance(rule_timing, life, deadline)[1]][:1] == [deadline]
