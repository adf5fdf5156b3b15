"""``gridwarden tune`` and ``engine.api.tune``: from files to a verdict and a proposal."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pyarrow as pa

from engine import library, plots
from engine.config import Config, load
from engine.frames import Kind, as_file, as_given, from_arrow, kind_of, to_arrow
from engine.inputs import fingerprint
from engine.replay import ReplayOptions
from engine.ruletest import case_files
from engine.score import table_of
from engine.tuning import proposal
from engine.tuning.fleet import Fleet, Label, blocks_of, halves
from engine.tuning.planting import plant_of
from engine.tuning.search import Found, Search, TuneError, ranges
from engine.tuning.tape import Tape, record
from rules.model import Rule


@dataclass(frozen=True, slots=True)
class TuneOptions:
    """What to tune, on what history, and how.

    Parameters
    ----------
    rule : str
        A rule about subjects, with a budget; the detector of its first signal is tuned.
    budgets : tuple of float
        False alerts a subject-year at which waiting is measured, the mean over them; default: the
        rule's own.
    params : mapping of str to (low, high)
        Where to search; default: every parameter, from a quarter to four times what it is.
    plant : str or None
        ``KIND`` or ``KIND:AMOUNT`` (``engine.tuning.planting``); default: what suits the detector.
    labels : path or table, optional
        ``subject_id, from, until`` of what truly happened, instead of planted changes; rows whose
        ``outcome`` (or ``kind``) is one of `label` count, default ``confirmed``.
    cases : int
        Planted changes a subject.
    blocks : int
        Blocks of time; fewer where history is short.
    most_subjects : int
        Subjects of a group that are kept, by hash.
    target_h : float or None
        Also propose the smallest of `budgets` at which half of the cases are found in so many
        hours, on the searched half.
    storage : path or None
        SQLite file of trials; an interrupted search goes on from there.
    """

    rule: str
    budgets: tuple[float, ...] = ()
    params: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    plant: str | None = None
    labels: Any = None
    label: tuple[str, ...] = ("confirmed",)
    trials: int = 40
    cases: int = 10
    blocks: int = 6
    seed: int = 1
    most_subjects: int = 400
    target_h: float | None = None
    storage: str | Path | None = None


@dataclass(frozen=True, repr=False)
class Tuned:
    """What a search came to, and what to do with it.

    Parameters
    ----------
    rule : str
    signal, detector : str
        What was tuned.
    found : Found
        Trials, the four quarters, gains and their intervals.
    budget : float or None
        A budget to propose, where one was asked for by `target_h` and found.
    plan : mapping of str to object
        How it was done: subjects and cases on both sides, days, plant, seed.
    kind : {"pandas", "polars", "arrow"}
        What :meth:`to_frame` gives.
    """

    rule: str
    signal: str
    detector: str
    found: Found
    budget: float | None
    plan: Mapping[str, Any]
    options: TuneOptions
    rules_path: Path | None
    kind: Kind = "pandas"

    def __repr__(self) -> str:
        low, high = self.found.interval_h["unseen"]
        return (
            f"Tuned({self.rule}: {self.verdict}; {self.found.gain_h['unseen']:+.2f} h "
            f"[{low:+.2f}, {high:+.2f}] on homes and months not searched)"
        )

    @property
    def verdict(self) -> str:
        """``improves``, ``no improvement`` or ``worse``, where the search did not look."""
        return self.found.verdict

    @property
    def changed(self) -> dict[str, tuple[float, float]]:
        """Parameters that differ: (now, proposed)."""
        now, best = self.found.now, self.found.best
        return {k: (now[k], best[k]) for k in sorted(best) if best[k] != now[k]}

    @property
    def worth_proposing(self) -> bool:
        """Whether there is something to propose that is better where nobody looked."""
        return self.verdict == "improves" or self.budget is not None

    def to_frame(self, kind: Kind | None = None, what: str = "quarters") -> Any:
        """Return a table of `kind`: the four ``quarters``, or the ``trials``."""
        table = pa.Table.from_pylist(self.rows() if what == "quarters" else self._trials())
        return from_arrow(table, kind or self.kind)

    def _trials(self) -> list[dict[str, Any]]:
        return [{"trial": t.number, "mean_wait_h": t.value, **t.params} for t in self.found.trials]

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per budget, quarter and side (``now``, ``tuned``)."""
        found = []
        for (budget, quarter), pair in self.found.quarters.items():
            for side, outcome in zip(("now", "tuned"), pair, strict=True):
                found.append(
                    {
                        "budget": budget,
                        "quarter": quarter,
                        "side": side,
                        "cases": len(outcome.delays_h),
                        "mean_wait_h": outcome.mean_h,
                        "median_h": outcome.rank_h(0.5),
                        "p90_h": outcome.rank_h(0.9),
                        "found": outcome.found,
                        "false_per_year": outcome.false_per_year,
                        "realised_over_asked": outcome.realised,
                    }
                )
        return found

    def plot(self, ax: Any | None = None) -> Any:
        """Draw what was gained in each quarter, with its interval; returns the axes."""
        return plots.gains(self.found.gain_h, self.found.interval_h, self.rule, ax)

    def propose(self, folder: str | Path) -> Path:
        """Write all rules with this one changed into a new folder; return the changed file.

        Rules in force are never touched: ``gridwarden rules dry-run`` and ``rules propose`` take
        it from there.

        Raises
        ------
        TuneError
            If nothing is worth proposing.
        engine.tuning.proposal.ProposalError
            If the folder is not new.
        """
        if not self.worth_proposing:
            raise TuneError(f"rule {self.rule!r}: {self.verdict}; there is nothing to propose")
        from engine.tuning.report import why

        path = self.rules_path
        files = library.rule_files(path)
        name = next(n for n, t in files.items() if f"name: {self.rule}\n" in t)
        params = {k: v for k, (_, v) in self.changed.items()} if self.verdict == "improves" else {}
        given = self.plan["params_in_rule"]
        text = proposal.rewritten(
            files[name], self.signal, {**given, **params}, self.budget, why(self)
        )
        has_tests = path is None or (path / "tests").is_dir()
        tests = case_files(() if path is None else (path,)) if has_tests else {}
        live = Path(name).parent if path is not None else _shipped()
        return proposal.write(Path(folder), live, files, self.rule, text, tests)


def _shipped() -> Path:
    import rules

    return Path(rules.__file__).parent / "library"


def run(
    options: TuneOptions,
    inputs: ReplayOptions,
    config: Config,
    *,
    on_rows: Callable[[int, int | None], None] | None = None,
    on_trial: Callable[[int, int, float], None] | None = None,
    kind: Kind = "pandas",
) -> Tuned:
    """Record the rule's detector over the inputs, search, and judge.

    Raises
    ------
    engine.tuning.tape.TapeError
        If the rule cannot be tuned, or watches nothing here.
    engine.tuning.fleet.SplitError
        If history or subjects are too few to split.
    TuneError
        If the options do not fit together.
    """
    rule, tapes = record(inputs, config, options.rule, options.most_subjects, on_rows)
    assert rule.budget is not None
    signal, use = next(iter(rule.signals.items()))
    name, plant, amount = plant_of(options.plant, use.detector)
    budgets = options.budgets or (rule.budget.false_alerts_per_subject_year,)
    if min(budgets) <= 0:
        raise TuneError(f"budgets: wanted numbers above 0, got {min(budgets):g}")
    horizon = plant.hours
    blocks = blocks_of(tapes, options.blocks, horizon)
    masks = halves(tapes, options.seed)
    labels = None if options.labels is None else read_labels(options.labels, options.label)

    def fleet(mine: Sequence[Any]) -> Fleet:
        if labels is not None:
            return Fleet.of_labels(tapes, mine, blocks, labels, horizon)
        return Fleet.planted(tapes, mine, blocks, plant, amount, options.cases, options.seed)

    searched, others = fleet(masks), fleet([~m for m in masks])
    search = Search(
        searched, others, blocks, tapes, ranges(tapes[0].kind, options.params, tapes[0].params),
        tuple(budgets), options.trials, options.seed, options.storage,
        _identity(options, inputs, rule, labels), on_trial,
    )  # fmt: skip
    found = search.run()
    plan = {
        "subjects": (searched.subjects, others.subjects),
        "cases": (searched.cases, others.cases),
        "days": _days(tapes),
        "blocks": len(blocks.edges_s) - 1,
        "from": _day(int(blocks.edges_s[0])),
        "late_from": _day(int(blocks.edges_s[blocks.late])),
        "until": _day(int(blocks.edges_s[-1])),
        "plant": "labels" if labels is not None else f"{name}:{amount:g}" if amount else name,
        "what": "what people confirmed" if labels is not None else plant.what,
        "horizon_h": horizon,
        "seed": options.seed,
        "trials": len(found.trials),
        "params_in_rule": dict(use.params),
        "ranges": {k: (r.low, r.high) for k, r in search.ranges.items()},
    }
    return Tuned(
        rule.name, signal, use.detector, found, _budget_for(options, found), plan, options,
        inputs.rules or config.rules.path, kind,
    )  # fmt: skip


def _budget_for(options: TuneOptions, found: Found) -> float | None:
    """Return the smallest budget that reaches the target on the searched half, if one does."""
    if options.target_h is None:
        return None
    side = 1 if found.verdict == "improves" else 0
    good = [
        b
        for b in sorted(found.budgets)
        if found.quarters[b, "searched"][side].rank_h(0.5) <= options.target_h
    ]
    return good[0] if good else None


def _identity(
    options: TuneOptions, inputs: ReplayOptions, rule: Rule, labels: Sequence[Label] | None
) -> str:
    """Return what trials depend on, besides ranges, budgets and the seed."""
    files = [*inputs.readings, *inputs.events, inputs.meters, inputs.subjects]
    what = [
        [fingerprint(f) for f in files], rule.version, options.plant, options.blocks,
        options.cases, options.most_subjects, labels,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()


def _days(tapes: Sequence[Tape]) -> float:
    return max(t.slots * t.interval_s for t in tapes) / 86_400


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


def read_labels(source: Any, wanted: Sequence[str]) -> list[Label]:
    """Return what truly happened: from a path or table of ``subject_id, from, until``.

    Raises
    ------
    TuneError
        If columns are missing, or no row counts.
    """
    table = table_of(Path(source)) if isinstance(source, str | Path) else to_arrow(source)
    names = table.column_names
    missing = [n for n in ("subject_id", "from", "until") if n not in names]
    if missing:
        raise TuneError(f"labels: no column {missing[0]!r}; there are {', '.join(names)}")
    told = next((n for n in ("outcome", "kind") if n in names), None)
    found = [
        Label(str(row["subject_id"]), _second(row["from"]), _second(row["until"]))
        for row in table.to_pylist()
        if row["subject_id"] and (told is None or row[told] in wanted)
    ]
    if not found:
        seen = sorted({str(r[told]) for r in table.to_pylist()}) if told else []
        raise TuneError(
            f"labels: no row counts; wanted {told} {' or '.join(wanted)}, got {', '.join(seen)}"
        )
    return found


def _second(value: Any) -> int:
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        raise TuneError(f"labels: cannot read the time {value!r}; wanted ISO 8601") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def tune(
    rule: str,
    readings: Any,
    meters: Any,
    subjects: Any,
    *,
    events: Any = (),
    rules: str | Path | None = None,
    config: str | Path | None = None,
    on_trial: Callable[[int, int, float], None] | None = None,
    **options: Any,
) -> Tuned:
    """Search detector parameters of a rule on history, and judge them where nobody searched.

    Parameters
    ----------
    rule : str
        Its name; it must have a budget.
    readings, meters, subjects, events : tables or paths
        As :func:`engine.api.replay` takes them.
    rules : path, optional
        Folder of rules; default: the shipped ones. It is only read.
    on_trial : callable, optional
        Told (trials done, trials in all, best objective so far in hours) after each.
    **options
        Fields of :class:`TuneOptions`: ``budgets``, ``params``, ``plant``, ``labels``, ``trials``,
        ``cases``, ``blocks``, ``seed``, ``target_h``, ``storage``.

    Returns
    -------
    Tuned

    Raises
    ------
    TuneError, TapeError, SplitError
        If it cannot be done; the message says what is missing.

    Examples
    --------
    >>> from engine.simulate import Town, TownConfig
    >>> town = TownConfig(elderly=10, homes=0, rentals=0, vacant=0, plants=0, closed_plants=0,
    ...     feeds=False, weather=False, electricity_interval_s=3600)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     files = Town(town).generate(days=70, seed=7).write(Path(folder))
    ...     tuned = tune("elderly-silence", files["readings"], files["meters"], files["subjects"],
    ...                  params={"own_d": (7, 56)}, trials=3, cases=4, budgets=(24,))
    >>> sorted(tuned.found.gain_h)
    ['later', 'others', 'searched', 'unseen']
    >>> tuned.verdict in ("improves", "no improvement", "worse")
    True
    """
    known = [f.name for f in fields(TuneOptions) if f.name != "rule"]
    for name in options:
        if name not in known:
            raise TuneError(_unknown(name, known))
    if isinstance(options.get("budgets"), int | float):
        options["budgets"] = (options["budgets"],)
    many = readings if isinstance(readings, list | tuple) else (readings,)
    happened = events if isinstance(events, list | tuple) else (events,)
    with tempfile.TemporaryDirectory(prefix="gridwarden-") as made, as_given(made):
        folder = Path(made)
        inputs = ReplayOptions(
            readings=tuple(as_file(x, folder, f"readings-{i}") for i, x in enumerate(many)),
            events=tuple(as_file(x, folder, f"events-{i}") for i, x in enumerate(happened)),
            meters=as_file(meters, folder, "meters"),
            subjects=as_file(subjects, folder, "subjects"),
            rules=None if rules is None else Path(rules),
        )
        return run(
            TuneOptions(rule, **options),
            inputs,
            load(None if config is None else Path(config)),
            on_trial=on_trial,
            kind=kind_of(many[0]) or "pandas",
        )


def _unknown(name: str, known: Sequence[str]) -> str:
    """Return what to say of an option that does not exist.

    >>> _unknown("budget", ["budgets", "trials"])
    "unknown option 'budget'; did you mean 'budgets'? known: budgets, trials"
    """
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown option {name!r}; {hint}known: {', '.join(known)}"
