"""The bench of slow changes plants each change in a home of its own, and judges by others."""

from bench.quality import slow


def test_each_change_has_a_home_of_its_own_that_is_let():
    config, starts = slow.town(each=3, seed=5)
    subjects = [subject for _, subject in starts]
    assert len(subjects) == len(set(subjects)) == 3 * len(slow.CHANGES)
    assert {i.target for i in config.incidents} == set(subjects)
    assert all(slow.is_let(5, s) for s in subjects if s.startswith("rental"))
    assert all(day + 63 < slow.TOWN_DAYS for day in starts.values())


def test_judges_are_homes_in_which_nothing_was_planted():
    config, starts = slow.town(each=3, seed=5)
    changed = {subject for _, subject in starts}
    for change in slow.CHANGES:
        judges = slow._judges(config, change.rule, changed, 5)
        assert len(judges) >= 3
        assert not changed & set(judges)


def test_every_rule_with_a_budget_is_asked_for_it():
    from engine import library

    shipped = {r.name: r.budget for r in library.rules(None)}
    for change in slow.CHANGES:
        budget = shipped[change.rule]
        asked = slow.ASKED.get(change.rule)
        assert (budget.false_alerts_per_subject_year if budget else None) == asked


def test_the_table_says_what_was_asked():
    figures = {"alerts": 3, "per_home_year": 0.25, "asked": 0.5, "homes": 2}
    text = slow.table(
        {"real": [{"set": "x", "home_years": 12.0, "rules": {"elderly-nights": figures}}]}
    )
    assert "0.25   0.50" in text
