"""Collapses cut into real homes, run through the whole engine, as its users would.

The untouched homes are replayed under the shipped rules, and every alert of ``elderly-silence`` on
them counts as a false visit. The cases (:mod:`bench.quality.cases`) are replayed

* ``together`` with the untouched homes as one fleet: true collapses are spent like false alerts,
  so a fleet in which every tenth home collapses pays for them with patience; or
* ``apart``, under the prices that the untouched homes had: what one collapse among healthy homes
  meets, hence each in turn.

Delay = `raised_at` − start of the first replaced hour, so it holds the completion of the slot.
Several budgets are tried in one replay by copies of the rule that differ in name and budget alone.

``gridwarden bench homes [--set homes_water] [--budget N …] [--absences] [--fleet together|apart]``
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.quality import cases
from bench.quality.cases import REPLACED_H, SETS, District, Home, load_homes
from connectors.records import PriceRecord
from engine import library
from engine.config import Config
from engine.replay import Replay, ReplayOptions
from rules.model import Budget, RuleSet, rule_set

RULE = "elderly-silence"
PLACES = ("area-outage", "dead-concentrator")
"""The rules that a silence of one home has to get past."""


@dataclass(slots=True)
class Told:
    """What a replay said: when which subject was alerted, by budget; and the prices it paid."""

    raised: dict[float, dict[str, list[float]]] = field(default_factory=dict)
    red: dict[float, int] = field(default_factory=dict)
    prices: list[PriceRecord] = field(default_factory=list)


def with_budgets(rules: RuleSet, budgets: Sequence[float]) -> RuleSet:
    """Return the rules that bear on silence, with one copy of elderly-silence for each budget."""
    own = next(r for r in rules if r.name == RULE)
    assert own.budget is not None
    copies = [
        replace(own, name=_copy(b), budget=Budget(float(b), own.budget.scope)).with_version()
        for b in budgets
    ]
    return rule_set([*(r for r in rules if r.name in PLACES), *copies], rules.suspicious)


def _copy(budget: float) -> str:
    return f"{RULE}-{str(float(budget)).replace('.', '-')}"


class _Run(Replay):
    def __init__(
        self,
        options: ReplayOptions,
        budgets: Sequence[float],
        prices: Sequence[PriceRecord] | None,
    ) -> None:
        super().__init__(options, Config(), keep=True)
        self.rules = with_budgets(library.rules(None), budgets)
        self._prices = prices

    def _prepare(self) -> None:
        if self._prices is not None:
            self.host.recorded = {(p.rule, p.day): p for p in self._prices}


def replay(
    district: District, budgets: Sequence[float], prices: Sequence[PriceRecord] | None = None
) -> Told:
    """Replay a district under the shipped rules; alerts count once per alert_id."""
    with tempfile.TemporaryDirectory() as made:
        paths = district.write(Path(made))
        options = ReplayOptions(
            readings=(paths["readings"],),
            events=(paths["events"],) if district.events else (),
            meters=paths["meters"],
            subjects=paths["subjects"],
        )
        run = _Run(options, budgets, prices)
        result = run.run()
    assert result.reconciled
    told = Told(prices=list(run.host.published))
    for budget in budgets:
        mine: dict[str, list[float]] = defaultdict(list)
        reddened = set()
        for line in result.alerts:
            if line.rule != _copy(budget) or line.subject_id is None:
                continue
            if line.seq == 1:
                at = datetime.fromisoformat(line.raised_at).timestamp()
                mine[line.subject_id].append(at)
            if line.level == "red" and line.subject_id.startswith("home-"):
                reddened.add(line.alert_id)
        told.raised[budget] = dict(mine)
        told.red[budget] = len(reddened)
    return told


# -- figures -----------------------------------------------------------------------------------


def delay_h(raised: Sequence[float], start_h: int) -> float:
    """Return the delay in hours; infinite where nothing was raised within the replaced hours."""
    after = [(at - start_h * 3600) / 3600 for at in raised if at >= start_h * 3600]
    return min((d for d in after if d <= REPLACED_H + 2), default=float("inf"))


def delays(raised: Mapping[str, Sequence[float]], starts: Mapping[str, int]) -> dict[str, Any]:
    """Return the figures of the cases."""
    waits = np.array([delay_h(raised.get(s, ()), start) for s, start in starts.items()])
    return {
        "cases": len(waits),
        "median_h": _rank(waits, 0.5),
        "p90_h": _rank(waits, 0.9),
        "mean_72_h": round(float(np.minimum(waits, 72).mean()), 2),
        "within_6_h": round(float((waits <= 6).mean()), 3),
        "within_13_h": round(float((waits <= 13).mean()), 3),
        "within_25_h": round(float((waits <= 25).mean()), 3),
        "never_in_72_h": round(float(np.isinf(waits).mean()), 3),
    }


def _rank(waits: NDArray[np.float64], share: float) -> float:
    return round(float(np.quantile(waits, share, method="higher")), 2)


def false_visits(raised: Mapping[str, Sequence[float]], homes: Sequence[Home]) -> dict[str, Any]:
    """Return what was raised on untouched homes a home-year, and in their first 60 days."""
    counted, early, rates = 0, 0, []
    for i, home in enumerate(homes):
        at = np.array(raised.get(f"home-{i:03d}", ()))
        mine = int((at >= home.begin_s).sum())
        counted += mine
        early += int((at < home.ts_ns[0] / 1e9 + 60 * 86_400).sum())
        rates.append(mine / home.exposure_years if home.exposure_years else 0.0)
    years = sum(h.exposure_years for h in homes)
    return {
        "false_per_home_year": round(counted / years, 2),
        "first_60_days_per_home_year": round(early / (len(homes) * 60 / 365), 2),
        "least_and_most_of_a_home": [round(min(rates), 1), round(max(rates), 1)],
    }


def evaluate(
    name: str,
    budgets: Sequence[float],
    per_home: int = 10,
    seed: int = 1,
    declared: bool = False,
    fleet: str = "apart",
) -> list[dict[str, Any]]:
    """Return one row of figures a budget."""
    homes = load_homes(name)
    healthy = cases.untouched(name, homes, declared)
    if fleet == "together":
        cases.add_cases(healthy, homes, per_home, seed, declared, whole=True)
        told = found = replay(healthy, budgets)
        starts = healthy.starts
    else:
        told = replay(healthy, budgets)
        district = District(name)
        cases.add_cases(district, homes, per_home, seed, declared, whole=False)
        starts = district.starts
        found = replay(district, budgets, told.prices) if starts else told
    rows = []
    for budget in budgets:
        row: dict[str, Any] = {
            "set": name,
            "absences_declared": declared,
            "fleet": fleet,
            "budget": budget,
        }
        row |= false_visits(told.raised[budget], homes)
        row["realised_over_asked"] = round(row["false_per_home_year"] / budget, 3)
        alerts = sum(map(len, told.raised[budget].values())) or 1
        row["share_red"] = round(told.red[budget] / alerts, 3) if fleet == "apart" else None
        if starts:
            row |= delays(found.raised[budget], starts)
        rows.append(row)
    return rows


def show(row: Mapping[str, Any]) -> str:
    """Return one row as a line of the table."""
    where = row["set"] + (", away declared" if row["absences_declared"] else "")
    text = (
        f"{where:26} {row['fleet']:8} budget {row['budget']:5.1f}: "
        f"{row['false_per_home_year']:5.1f} false a home-year (×{row['realised_over_asked']:.2f}; "
        f"first 60 days {row['first_60_days_per_home_year']:.1f})"
    )
    if "cases" in row:
        text += (
            f" | median {row['median_h']:5.2f} h, p90 {row['p90_h']:5.2f} h, within 6/13/25 h "
            f"{row['within_6_h']:.2f} {row['within_13_h']:.2f} {row['within_25_h']:.2f}, "
            f"never {row['never_in_72_h']:.3f}"
        )
    return text


def main(argv: list[str] | None = None) -> int:
    """Print one line a budget; --json writes them."""
    parser = argparse.ArgumentParser(prog="gridwarden bench homes", description=__doc__)
    parser.add_argument("--set", default="homes_water", choices=SETS)
    parser.add_argument("--budget", type=float, action="append",
                        help="default: the visits of the 12-h and 24-h rules, 6, 12, 24, 52")  # fmt: skip
    parser.add_argument("--cases", type=int, default=10, help="collapses a home; 0: none")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--absences", action="store_true",
                        help="absences of 24 h and more are declared when they begin")  # fmt: skip
    parser.add_argument("--fleet", choices=["together", "apart"], default="apart")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    homes = load_homes(args.set)
    rates = {
        hours: [cases.plain_rule_visits(homes, hours, gaps) for gaps in (False, True)]
        for hours in (12, 24)
    }
    for hours, (without, with_gaps) in rates.items():
        print(
            f"{hours}-h-zero rule: {without:.1f} false visits a home-year "
            f"({with_gaps:.1f} if hours without readings count as silent)"
        )
    budgets = args.budget or [6, 12, 24, 52, *(round(r[0], 1) for r in rates.values())]
    rows = evaluate(args.set, budgets, args.cases, args.seed, args.absences, args.fleet)
    for row in rows:
        print(show(row), flush=True)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
