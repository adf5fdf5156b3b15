"""Outcomes: typed, expiring, bounded. No feedback can mute a home for good."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.outcomes import (
    DAY_S,
    KINDS,
    NS,
    STRETCH_S,
    WATCH_S,
    OutcomeError,
    Quiet,
    Report,
    Verdict,
    clip,
    find,
)
from rules.alerts import stamp
from tests.engine.store_kit import DAY, HOUR, T0


def found(report: Report, known: list[Quiet] | None = None, at: int = T0) -> object:
    return find(
        report, outcome_id="o-1", alert_id="a", subject_id="home-1", place="3301", at_ns=at,
        by="w1", known=known or [],
    )  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_does_what_it_says(name: str) -> None:
    kind = KINDS[name]
    given_ = {"until_ns": T0 + DAY} if "until" in kind.needs else {}
    if "kw" in kind.needs:
        given_["kw"] = 12.5
    finding = found(Report(name, **given_))
    assert finding.verdict == kind.verdict
    assert (finding.quiet is not None) == kind.quiets
    assert [e.kind for e in finding.events] == ([kind.event] if kind.event else [])
    assert finding.outcome.kind == name
    if kind.quiets:
        end = T0 + DAY if given_ else T0 + kind.default_s * NS
        assert finding.quiet == Quiet(T0, end)
        assert finding.outcome.until_ns == end
        (event,) = finding.events
        assert event.attrs["from"] == stamp(T0)
        assert event.attrs["until" if kind.event == "absence" else "to"] == stamp(end)
        assert event.attrs["source"] == f"outcome:{name}"
    assert kind.zh
    assert kind.en
    assert kind.longest_s <= STRETCH_S


def test_only_what_was_really_so_confirms_an_alert() -> None:
    confirming = {name for name, kind in KINDS.items() if kind.verdict is Verdict.CONFIRMED}
    assert confirming == {"rescued", "confirmed_violation", "handled"}


@pytest.mark.parametrize(
    ("report", "says"),
    [
        (Report("asleep"), "outcome 'asleep' is unknown; known: rescued, safe_at_home"),
        (Report("away"), "until is missing; give --until"),
        (Report("approved_use", until_ns=T0 + DAY), "kw is missing; give --kw"),
        (Report("approved_use", until_ns=T0 + DAY, kw=-1.0), "kw must be >= 0"),
        (Report("rescued", until_ns=T0 + DAY), "takes no until"),
        (Report("away", until_ns=T0 - 1), "is past"),
        (Report("away", until_ns=T0), "is past"),
    ],
)
def test_a_report_that_cannot_be_taken_says_why(report: Report, says: str) -> None:
    with pytest.raises(OutcomeError, match=says):
        found(report)


def test_an_absence_begins_where_the_silence_began() -> None:
    finding = found(Report("away", until_ns=T0 + DAY, from_ns=T0 - 7 * HOUR))
    assert finding.quiet == Quiet(T0 - 7 * HOUR, T0 + DAY)
    far = found(Report("away", until_ns=T0 + DAY, from_ns=0))
    assert far.quiet.from_ns == T0 - 60 * DAY


def test_each_kind_has_a_longest_time() -> None:
    for name, kind in KINDS.items():
        if kind.quiets:
            kw = 1.0 if "kw" in kind.needs else None
            finding = found(Report(name, until_ns=T0 + 10_000 * DAY, kw=kw))
            assert finding.quiet.until_ns == T0 + kind.longest_s * NS


def test_the_effect_has_an_id_of_its_own_that_does_not_change() -> None:
    one, other = (found(Report("safe_at_home", note=n)).events[0] for n in "ab")
    assert one == other
    assert one.event_id != found(Report("new_appliance")).events[0].event_id


@given(
    st.lists(
        st.tuples(
            st.integers(0, 400),  # day on which it is said
            st.integers(-90, 380),  # begins so many days later
            st.integers(1, 500),  # asked for so many days
            st.sampled_from([name for name, kind in KINDS.items() if kind.quiets]),
        ),
        max_size=25,
    )
)
def test_no_feedback_can_mute_a_home_for_good(
    told: list[tuple[int, int, int, str]],
) -> None:
    """Whatever is told when and how often: no stretch is longer, no watch between is shorter."""
    known: list[Quiet] = []
    for day, ahead, length, kind in sorted(told):
        at = T0 + day * DAY
        asked = Quiet(at + ahead * DAY, at + (ahead + length) * DAY)
        try:
            known.append(clip(asked, KINDS[kind].longest_s, at, known))
        except OutcomeError:
            continue
        assert asked.from_ns == known[-1].from_ns
        assert known[-1].until_ns <= asked.until_ns
    stretches: list[list[int]] = []
    for quiet in sorted(known, key=lambda q: (q.from_ns, q.until_ns)):
        if stretches and quiet.from_ns < stretches[-1][1] + WATCH_S * NS:
            stretches[-1][1] = max(stretches[-1][1], quiet.until_ns)
        else:
            stretches.append([quiet.from_ns, quiet.until_ns])
    assert all(end - start <= STRETCH_S * NS for start, end in stretches)


def test_the_bounds_leave_as_much_as_they_can() -> None:
    before = Quiet(T0, T0 + 100 * DAY)
    # Follows on at once: 20 days are left of the stretch of 120.
    assert clip(Quiet(T0 + 100 * DAY, T0 + 150 * DAY), 60 * DAY_S, T0, [before]) == Quiet(
        T0 + 100 * DAY, T0 + 120 * DAY
    )
    # After a week of watching it is a stretch of its own.
    later = Quiet(T0 + 107 * DAY, T0 + 150 * DAY)
    assert clip(later, 60 * DAY_S, T0, [before]) == later
    # Before one that is declared already: it ends a week before that begins.
    ahead = Quiet(T0 + 50 * DAY, T0 + 150 * DAY)
    assert clip(Quiet(T0, T0 + 49 * DAY), 60 * DAY_S, T0, [ahead]) == Quiet(T0, T0 + 43 * DAY)
    # Wholly inside a known one: nothing is added, nothing refused.
    inside = Quiet(T0 + 5 * DAY, T0 + 6 * DAY)
    assert clip(inside, 60 * DAY_S, T0, [before]) == inside
    with pytest.raises(OutcomeError, match="more than 120 days on end"):
        clip(Quiet(T0 + 121 * DAY, T0 + 122 * DAY), 60 * DAY_S, T0, [Quiet(T0, T0 + 120 * DAY)])


@pytest.mark.parametrize(("begin", "says"), [(-61, "days back"), (367, "days ahead")])
def test_nothing_is_declared_for_another_age(begin: int, says: str) -> None:
    quiet = Quiet(T0 + begin * DAY, T0 + (begin + 1) * DAY)
    with pytest.raises(OutcomeError, match=says):
        clip(quiet, DAY_S, T0, [])
    with pytest.raises(OutcomeError, match="before it begins"):
        clip(Quiet(T0, T0), DAY_S, T0, [])
