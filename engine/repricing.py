"""What a change of rules means for the prices that budgets have learned.

The embedded host and a city's price book ask here, so that both come to the same prices.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from detectors.budget import Price, PriceReducer
from engine.build import reducer
from rules.model import RuleSet

Reducers = Mapping[str, PriceReducer]


def reducers_of(rules: RuleSet) -> dict[str, PriceReducer]:
    """Return the budget controllers of rules, in their first state.

    Raises
    ------
    engine.build.BuildError
        If a rule has a budget that its detector cannot keep.
    """
    made = {rule.name: reducer(rule) for rule in rules}
    return {name: one for name, one in made.items() if one is not None}


def retargeted(
    before: Reducers, rules: RuleSet
) -> tuple[dict[str, PriceReducer], dict[str, Price]]:
    """Return the controllers of new rules, and the prices that hold at once.

    A controller goes on with what it learned wherever its detector is the same; those whose budget
    or detector is another have a new price.

    Parameters
    ----------
    before : mapping
        Controllers by rule; those that go on are the same objects, aimed anew.
    """
    after: dict[str, PriceReducer] = {}
    prices: dict[str, Price] = {}
    for name, made in reducers_of(rules).items():
        old = before.get(name)
        same = old is not None and np.array_equal(old.prior, made.prior)
        after[name] = one = old if same and old is not None else made
        if not same or one.budget != made.budget:
            prices[name] = one.retarget(made.budget)
    return after, prices


def promised_otherwise(before: RuleSet, after: RuleSet) -> set[str]:
    """Return the rules whose prices that were still to come no longer hold.

    Those that are gone, and those with another budget.
    """
    return {
        rule.name
        for rule in before
        if rule.name not in after.names or rule.budget != after[rule.name].budget
    }
