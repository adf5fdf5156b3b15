"""Windows over events: by hand, and against counting one by one."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from rules.model import EventUse, Follow
from rules.windows import NS, Happening, horizon_s, kinds, look


def happening(at_s: int, kind: str = "call", **attrs: object) -> Happening:
    return Happening(at_s * NS, kind, attrs, f"{kind}-{at_s}-{sorted(attrs.items())}")


def use(**changes: object) -> EventUse:
    return EventUse(**{"kinds": ("call",), "within_s": 100, **changes})  # type: ignore[arg-type]


def test_nothing_happened() -> None:
    seen = look(use(distinct="who", same="what"), [], 50 * NS)
    assert seen.variables == {
        "count": 0,
        "distinct": 0,
        "seen": False,
        "age_s": None,
        "first_age_s": None,
        "followed": 0,
        "unfollowed": 0,
        "value": None,
        "evidence": 0.0,
    }
    assert (seen.onset_ns, seen.next_ns, seen.events) == (None, None, ())


def test_the_window_is_open_at_its_far_end_and_the_future_is_not_seen() -> None:
    events = [happening(t) for t in (0, 1, 100, 101)]
    seen = look(use(), events, 100 * NS)
    assert seen.variables["count"] == 2
    assert seen.onset_ns == 1 * NS
    assert seen.next_ns == 101 * NS


def test_absence_of_an_event_has_its_exact_moment() -> None:
    event = happening(10)
    before = look(use(), [event], 109 * NS)
    assert before.variables["seen"] is True
    assert before.next_ns == 110 * NS
    assert look(use(), [event], 110 * NS).variables["seen"] is False


def test_one_event_told_twice_is_one() -> None:
    assert look(use(), [happening(5), happening(5)], 10 * NS).variables["count"] == 1


def test_attributes_select() -> None:
    events = [
        happening(1, what="noise"),
        happening(2, what="smell"),
        happening(3, "other", what="noise"),
    ]
    assert look(use(where={"what": ("noise",)}), events, 9 * NS).variables["count"] == 1
    assert look(use(where={"what": ("noise", "smell")}), events, 9 * NS).variables["count"] == 2


def test_same_topic_distinct_callers() -> None:
    events = [
        happening(1, what="noise", who="a"),
        happening(2, what="noise", who="a"),
        happening(3, what="noise", who="b"),
        happening(4, what="smell", who="c"),
        happening(5, who="d"),
    ]
    seen = look(use(same="what", distinct="who"), events, 9 * NS)
    assert seen.variables["count"] == 3
    assert seen.variables["distinct"] == 2
    assert seen.variables["value"] == "noise"
    assert len(seen.events) == 3


def test_of_equal_groups_the_newest_counts() -> None:
    events = [happening(1, what="noise"), happening(2, what="smell")]
    assert look(use(same="what"), events, 9 * NS).variables["value"] == "smell"


def test_sequence_and_its_absence() -> None:
    sequence = use(then=Follow(("answer",), 10))
    events = [happening(0), happening(20), happening(25, "answer"), happening(50)]
    seen = look(sequence, events, 30 * NS)
    assert (seen.variables["followed"], seen.variables["unfollowed"]) == (1, 1)
    waiting = look(sequence, events, 55 * NS)
    assert (waiting.variables["followed"], waiting.variables["unfollowed"]) == (1, 1)
    assert waiting.next_ns == 60 * NS
    assert look(sequence, events, 60 * NS).variables["unfollowed"] == 2


def test_an_event_does_not_follow_itself() -> None:
    again = use(then=Follow(("call",), 10))
    assert look(again, [happening(5)], 20 * NS).variables["followed"] == 0
    assert look(again, [happening(5), happening(9)], 20 * NS).variables["followed"] == 1


def test_evidence_is_bounded() -> None:
    seen = look(use(evidence=0.7, evidence_max=1.0), [happening(1), happening(2)], 9 * NS)
    assert seen.variables["evidence"] == 1.0


def test_what_must_be_kept() -> None:
    sequence = use(then=Follow(("answer",), 10))
    assert horizon_s(sequence) == 110
    assert kinds(sequence) == {"call", "answer"}


events_of = st.lists(
    st.builds(
        happening,
        st.integers(0, 60),
        st.sampled_from(["call", "answer"]),
        what=st.sampled_from(["x", "y"]),
        who=st.sampled_from(["a", "b"]),
    ),
    max_size=12,
)


@settings(max_examples=100)
@given(events_of, st.integers(0, 80), st.integers(1, 40), st.integers(1, 20), st.randoms())
def test_equal_to_counting_one_by_one(events, now, within, then, random) -> None:  # type: ignore[no-untyped-def]
    asked = EventUse(("call",), within, distinct="who", then=Follow(("answer",), then))
    shuffled = events[:]
    random.shuffle(shuffled)
    seen = look(asked, shuffled, now * NS)
    known = {e.event_id: e for e in events if e.ts_ns <= now * NS}.values()
    mine = [e for e in known if e.kind == "call" and now * NS - e.ts_ns < within * NS]
    assert seen.variables["count"] == len(mine)
    assert seen.variables["distinct"] == len({e.attrs["who"] for e in mine})
    answers = [e.ts_ns for e in known if e.kind == "answer"]
    followed = [e for e in mine if any(0 <= a - e.ts_ns <= then * NS for a in answers)]
    assert seen.variables["followed"] == len(followed)
    late = [e for e in mine if e not in followed and now * NS - e.ts_ns >= then * NS]
    assert seen.variables["unfollowed"] == len(late)


@settings(max_examples=50)
@given(events_of, st.integers(0, 70), st.integers(1, 40), st.integers(1, 20))
def test_nothing_changes_before_it_said(events, now, within, then) -> None:  # type: ignore[no-untyped-def]
    asked = EventUse(("call",), within, same="what", then=Follow(("answer",), then))
    past = [e for e in events if e.ts_ns <= now * NS]

    def picture(at: int) -> dict[str, object]:
        told = look(asked, past, at * NS).variables
        return {k: v for k, v in told.items() if not k.endswith("age_s")}

    following = look(asked, past, now * NS).next_ns
    for at in range(now, 140):
        if following is not None and at * NS >= following:
            break
        assert picture(at) == picture(now)
    if following is None:
        assert picture(1000) == picture(now)
