"""The data team's way in: DataFrames in, typed results out.

Tables may be pandas or polars DataFrames, Arrow tables, or paths of files in any format that the
command line reads. Results have ``to_frame()`` (pandas, polars or Arrow) and ``plot()``
(matplotlib). Nothing here decides anything that ``gridwarden`` would decide otherwise: it is the
same engine, byte for byte.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from detectors.base import Detector, lookup
from engine import plots
from engine.frames import (
    FrameError,
    Kind,
    as_file,
    as_given,
    from_arrow,
    kind_of,
    on_local_clock,
    to_arrow,
)
from engine.language import counted
from engine.score import (
    ROW,
    TIME_NAMES,
    OrderWarning,
    ScoreError,
    judge,
    order_warning,
    series_of,
    step_of,
)

if TYPE_CHECKING:
    from connectors.records import Counts
    from engine.host import BudgetUse
    from engine.tuning import Tuned
    from rules.alerts import AlertChange

Table: TypeAlias = Any
"""A pandas or polars DataFrame, an Arrow table, or the path of a file."""

__all__ = ["Replayed", "Scores", "Table", "replay", "score", "tune"]


# -- score ----------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class Scores:
    """What a detector said, a row per row that went in, in its order.

    Parameters
    ----------
    detector : str
        Its name.
    table : pyarrow.Table
        ``ts``, ``value``, ``score`` (in [0, 1], ½ where nothing is known either way), ``evidence``
        (log10 likelihood ratio), ``p_value``, and the column of `by` first where there was one.
        NaN while the detector is not ready, and where the value is missing.
    slot_s : int
        Slot length used, seconds.
    kind : {"pandas", "polars", "arrow"}
        What went in, hence what :meth:`to_frame` gives.
    by : str or None
        Column that tells the series apart.
    """

    detector: str
    table: pa.Table
    slot_s: int
    kind: Kind
    by: str | None = None

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __repr__(self) -> str:
        ready = int(np.isfinite(self["score"]).sum())
        rows = counted(len(self), "row")
        return f"Scores({self.detector}: {rows}, {ready} scored, slots of {self.slot_s} s)"

    def __getitem__(self, column: str) -> NDArray[Any]:
        values: NDArray[Any] = self.table[column].to_numpy()
        return values

    def to_frame(self, kind: Kind | None = None) -> Any:
        """Return all rows as a table of `kind`; default: of the kind that went in."""
        return from_arrow(self.table, kind or self.kind)

    def top(self, n: int = 10) -> Any:
        """Return the `n` rows with the highest scores, highest first."""
        score = np.nan_to_num(self["score"], nan=-1.0)
        order = np.argsort(-score, kind="stable")[: min(n, int((score >= 0).sum()))]
        return from_arrow(self.table.take(pa.array(order)), self.kind)

    def plot(self, ax: Any | None = None) -> Any:
        """Draw the values above their scores (of the first series); returns the two axes."""
        table = self.table
        if self.by is not None and table.num_rows:
            first = table[self.by][0].as_py()
            table = table.filter(np.array(table[self.by].to_pylist(), object) == first)
        # a line goes on in time, in whatever order the rows came
        table = table.take(pa.array(np.argsort(table["ts"].to_numpy(), kind="stable")))
        times, values, scores = (table[c].to_numpy() for c in ("ts", "value", "score"))
        return plots.series(times, values, scores, self.detector, ax)


def score(
    data: Table,
    detector: str | type[Detector] | Any = "auto",
    *,
    value: str = "value",
    time: str | None = None,
    by: str | None = None,
    **params: float,
) -> Scores:
    """Score one series, or many, with one detector.

    Parameters
    ----------
    data : DataFrame, Series, Arrow table or path
        Rows of stamps and values. Stamps with a time zone are read on its local clock, for the
        detector's sense of the time of day. Rows are taken as they come; where stamps step back by
        more than an hour (clocks are set back so far), in the order of time, with an
        :class:`~engine.score.OrderWarning`.
    detector : str, type of Detector, or river model
        ``auto``, ``seasonal``, ``river:HalfSpaceTrees`` …; a river model is cloned per series.
    value : str
        Column of the values; a Series has only one.
    time : str, optional
        Column of the stamps; default: a DatetimeIndex, or the first of ``timestamp``, ``ts``,
        ``time``, ``datetime``, ``date``.
    by : str, optional
        Column that tells series apart (``meter_id``); each has a detector of its own.
    **params
        Overrides of the detector's defaults.

    Returns
    -------
    Scores

    Raises
    ------
    ScoreError
        If a column is missing, or a stamp or value cannot be read.
    detectors.base.DetectorError
        If the detector or a parameter does not exist, or it cannot take such a series.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> hours = pd.date_range("2024-01-01", periods=24 * 28, freq="h")
    >>> load = pd.Series(2 + np.sin(np.arange(len(hours)) / 24 * 2 * np.pi), hours)
    >>> load.iloc[600] = 40.0
    >>> scores = score(load, "seasonal")
    >>> scores
    Scores(seasonal: 672 rows, 600 scored, slots of 3600 s)
    >>> scores.top(1)["ts"].item()
    Timestamp('2024-01-26 00:00:00')
    """
    kind = _detector(detector)
    table, where, form = _input(data)
    if form == "pandas" and value not in table.column_names and table.num_columns == 2:
        value = next(n for n in table.column_names if n.lower() not in TIME_NAMES)
    if form in ("pandas", "polars") and not hasattr(data, "columns") and table.num_columns == 1:
        raise ScoreError(
            f"{where}: a Series of values without stamps; give it a DatetimeIndex (pandas), or give a "
            "DataFrame with a column ts beside the values"
        )
    parts, slot_s, early = [], 0, 0
    for key, part in _groups(table, by, where):
        one = series_of(part, value, where, time, "value=")
        judged = judge(kind, params, one.seconds, one.values, step_of(one.seconds))
        slot_s, early = judged.slot_s, early + judged.out_of_order
        columns: dict[str, Any] = {} if by is None else {by: pa.array([key] * len(one.values))}
        columns |= {
            "ts": pa.array(one.seconds * 1_000_000_000, pa.timestamp("ns")),
            "value": one.values,
            "score": judged.score,
            "evidence": judged.evidence,
            "p_value": judged.p_value,
        }
        parts.append((part[ROW].to_numpy(), pa.table(columns)))
    if not parts:
        raise ScoreError(f"{where}: no rows")
    if early:
        warnings.warn(order_warning(where, early), OrderWarning, stacklevel=2)
    order = np.argsort(np.concatenate([rows for rows, _ in parts]), kind="stable")
    whole = pa.concat_tables([made for _, made in parts]).take(pa.array(order))
    return Scores(kind.name, whole, slot_s, form, by)


def _detector(detector: Any) -> type[Detector]:
    if isinstance(detector, str):
        return lookup(detector)
    if isinstance(detector, type) and issubclass(detector, Detector):
        return detector
    from detectors.river_wrap import around

    return around(detector)


def _input(data: Table) -> tuple[pa.Table, Path, Kind]:
    """Return a table, what errors call it, and the kind to answer in."""
    from engine.score import table_of

    if isinstance(data, str | Path):
        return table_of(Path(data)), Path(data), "pandas"
    form = kind_of(data)
    return on_local_clock(to_arrow(data)), Path("data"), form or "arrow"


def _groups(table: pa.Table, by: str | None, where: Path) -> list[tuple[Any, pa.Table]]:
    """Return (key, rows) of each series, keeping where each row stood."""
    names = table.column_names
    table = table.append_column(ROW, pa.array(np.arange(table.num_rows)))
    if by is None:
        return [(None, table)] if table.num_rows else []
    if by not in names:
        raise ScoreError(f"{where}: no column {by!r}; there are {', '.join(names)}")
    encoded = table[by].combine_chunks().dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy()
    keys = encoded.dictionary.to_pylist()
    if (codes < 0).any():
        raise ScoreError(f"{where}: row {int(np.argmax(codes < 0)) + 1}: {by} is empty")
    return [(key, table.take(pa.array(np.flatnonzero(codes == i)))) for i, key in enumerate(keys)]


# -- replay ---------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class Replayed:
    """What a replay came to.

    Parameters
    ----------
    lines : tuple of AlertChange
        Every change of every alert, as in the alerts file.
    rows : mapping of str to Counts
        How the rows of each source ended.
    budgets : mapping of str to BudgetUse
        False alerts a subject-year that each rule was allowed and used.
    kind : {"pandas", "polars", "arrow"}
        What :meth:`to_frame` gives.
    """

    lines: tuple[AlertChange, ...]
    rows: Mapping[str, Counts]
    budgets: Mapping[str, BudgetUse]
    seconds: float
    kind: Kind
    warnings: tuple[str, ...] = ()
    alerts: pa.Table = field(init=False)
    """One row an alert: ``alert_id, rule, subject_id, place, level, onset, raised_at, ended_at,
    state, evidence, p_value, reason_en, reason_zh``."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "alerts", _alerts(self.lines))

    def __len__(self) -> int:
        return int(self.alerts.num_rows)

    def __repr__(self) -> str:
        total = sum(c.rows for c in self.rows.values())
        alerts, rules = counted(len(self), "alert"), counted(len(self.by_rule), "rule")
        return f"Replayed({counted(total, 'row')}, {alerts} by {rules})"

    @property
    def by_rule(self) -> dict[str, int]:
        """Alerts by rule, sorted by name."""
        names = self.alerts["rule"].to_pylist()
        return {name: names.count(name) for name in sorted(set(names))}

    @property
    def reconciled(self) -> bool:
        """Whether every row of every source is accounted for exactly once."""
        return all(c.reconciled for c in self.rows.values())

    def to_frame(self, kind: Kind | None = None, what: str = "alerts") -> Any:
        """Return a table of `kind`.

        Parameters
        ----------
        kind : {"pandas", "polars", "arrow"}, optional
            Default: the kind that went in.
        what : {"alerts", "changes", "rows", "budgets"}
            One row an alert, a change, a source, a rule with a budget.
        """
        tables: dict[str, Callable[[], pa.Table]] = {
            "alerts": lambda: self.alerts,
            "changes": lambda: _changes(self.lines),
            "rows": lambda: _rows(self.rows),
            "budgets": lambda: _budgets(self.budgets),
        }
        if what not in tables:
            raise FrameError(f"what: got {what!r}; wanted one of {', '.join(tables)}")
        return from_arrow(tables[what](), kind or self.kind)

    def plot(self, ax: Any | None = None) -> Any:
        """Draw when each rule raised its alerts, in the colours of their levels."""
        rule = np.array(self.alerts["rule"].to_pylist(), object)
        level = np.array(self.alerts["level"].to_pylist(), object)
        raised = self.alerts["raised_at"].to_numpy()
        names = list(self.by_rule)
        picks = [rule == name for name in names]
        return plots.timeline(
            [raised[p] for p in picks], names, [level[p].tolist() for p in picks], ax
        )


def replay(
    readings: Table | tuple[Table, ...] | list[Table],
    meters: Table,
    subjects: Table,
    *,
    events: Table | tuple[Table, ...] | list[Table] = (),
    places: Table | None = None,
    rules: str | Path | None = None,
    budgets: Mapping[str, float] | None = None,
    start: str | datetime | None = None,
    end: str | datetime | None = None,
    report: str | Path | None = None,
    config: str | Path | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Replayed:
    """Run history through detectors and rules, as ``gridwarden replay`` does.

    Parameters
    ----------
    readings, events : table, or several
        ``meter_id, ts, value`` and ``event_id, ts, kind, subject_id, place, attrs``; rows in the
        order of their arrival.
    meters, subjects, places : table
        As the files of the same names; ``attrs`` may hold dicts.
    rules : path, optional
        Folder of rules; default: the shipped ones.
    budgets : mapping of str to float, optional
        False alerts a subject-year, by rule.
    start, end : str or datetime, optional
        Keep alerts raised from `start` on and before `end` (UTC where there is no offset); rows
        before still teach.
    report : path, optional
        Also write the HTML report.
    config : path, optional
        Configuration file.
    progress : callable, optional
        Told (rows more, event time in ns) after every record.

    Returns
    -------
    Replayed

    Raises
    ------
    connectors.errors.InputError
        If a table or file cannot be used.
    engine.library.LibraryError
        If the rules cannot be read, or a budget cannot be set.

    Examples
    --------
    >>> import tempfile
    >>> from engine.simulate import Incident, Town, TownConfig
    >>> town = TownConfig(elderly=4, homes=0, rentals=0, vacant=0, plants=0, closed_plants=0,
    ...     feeds=False, weather=False, incidents=(Incident("collapse", "elder-0002", 20.4, 72),))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     files = Town(town).generate(days=24, seed=7).write(Path(folder))
    ...     done = replay(files["readings"], files["meters"], files["subjects"])
    >>> done.reconciled
    True
    >>> done.to_frame().query("subject_id == 'elder-0002'").rule.unique().tolist()
    ['elderly-silence']
    """
    from engine.config import load
    from engine.replay import Replay, ReplayOptions
    from engine.reporting import plain_name, write_replay_report

    many = readings if isinstance(readings, list | tuple) else (readings,)
    with tempfile.TemporaryDirectory(prefix="gridwarden-") as made, as_given(made):
        folder = Path(made)
        happened = events if isinstance(events, list | tuple) else (events,)
        options = ReplayOptions(
            readings=tuple(as_file(x, folder, f"readings-{i}") for i, x in enumerate(many)),
            events=tuple(as_file(x, folder, f"events-{i}") for i, x in enumerate(happened)),
            meters=as_file(meters, folder, "meters"),
            subjects=as_file(subjects, folder, "subjects"),
            places=None if places is None else as_file(places, folder, "places"),
            rules=None if rules is None else Path(rules),
            budgets=dict(budgets or {}),
            from_ns=_moment_ns(start),
            to_ns=_moment_ns(end),
            report=None if report is None else str(report),
        )
        run = Replay(options, load(None if config is None else Path(config)), keep=True)
        run.on_progress = progress
        result = run.run()
        if report is not None:
            write_replay_report(str(report), run, result, command="engine.api.replay", made=made)
    return Replayed(
        lines=tuple(result.alerts),
        rows={plain_name(name, made): c for name, c in result.counts.items()},
        budgets=result.budgets,
        seconds=result.seconds,
        kind=kind_of(many[0]) or "pandas",
        warnings=(*run.warnings, *map(str, result.problems)),
    )


def _moment_ns(when: str | datetime | None) -> int | None:
    if when is None:
        return None
    from datetime import UTC

    moment = datetime.fromisoformat(when) if isinstance(when, str) else when
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) * 1_000_000_000


_UTC = pa.timestamp("us", tz="UTC")


def _times(texts: list[str | None]) -> pa.Array:
    return pa.array([None if t is None else datetime.fromisoformat(t) for t in texts], _UTC)


def _alerts(lines: tuple[AlertChange, ...]) -> pa.Table:
    """Return one row an alert: as it was raised, its highest level, and how it ended."""
    first: dict[str, AlertChange] = {}
    last: dict[str, AlertChange] = {}
    urgent = ("red", "orange", "yellow", "blue")
    level: dict[str, str] = {}
    for line in lines:
        first.setdefault(line.alert_id, line)
        last[line.alert_id] = line
        level[line.alert_id] = min(
            level.get(line.alert_id, "blue"), str(line.level), key=urgent.index
        )
    ids = list(first)
    begun, ended = [first[i] for i in ids], [last[i] for i in ids]
    return pa.table(
        {
            "alert_id": pa.array(ids, pa.string()),
            "rule": pa.array([a.rule for a in begun], pa.string()),
            "subject_id": pa.array([a.subject_id for a in begun], pa.string()),
            "place": pa.array([a.place for a in begun], pa.string()),
            "level": pa.array([level[i] for i in ids], pa.string()),
            "onset": _times([a.onset for a in begun]),
            "raised_at": _times([a.raised_at for a in begun]),
            "ended_at": _times([None if str(a.state) == "firing" else a.at for a in ended]),
            "state": pa.array([str(a.state) for a in ended], pa.string()),
            "evidence": pa.array([a.evidence for a in begun], pa.float64()),
            "p_value": pa.array([a.p_value for a in begun], pa.float64()),
            "reason_en": pa.array([a.reason.get("en") for a in begun], pa.string()),
            "reason_zh": pa.array([a.reason.get("zh") for a in begun], pa.string()),
        }
    )


def _changes(lines: tuple[AlertChange, ...]) -> pa.Table:
    from engine.frames import _json

    texts = ("alert_id", "rule", "rule_version", "subject_id", "place", "level", "state")
    columns: dict[str, Any] = {"at": _times([a.at for a in lines]), "seq": [a.seq for a in lines]}
    for name in texts:
        values = [getattr(a, name) for a in lines]
        columns[name] = pa.array([None if v is None else str(v) for v in values], pa.string())
    columns["facts"] = pa.array([_json(dict(a.facts)) for a in lines], pa.string())
    return pa.table(columns)


def _rows(rows: Mapping[str, Counts]) -> pa.Table:
    columns: dict[str, Any] = {
        "source": pa.array(list(rows), pa.string()), "rows": [c.rows for c in rows.values()]
    }  # fmt: skip
    for name in ("processed", "duplicate", "late", "quarantined"):
        columns[name] = [c.by_status[name] for c in rows.values()]
    return pa.table(columns)


def _budgets(budgets: Mapping[str, BudgetUse]) -> pa.Table:
    used = list(budgets.values())
    return pa.table(
        {
            "rule": pa.array(list(budgets), pa.string()),
            "asked": pa.array([b.asked for b in used], pa.float64()),
            "realised": pa.array([b.realised for b in used], pa.float64()),
            "subject_years": pa.array([b.exposure_years for b in used], pa.float64()),
        }
    )


# -- tune -----------------------------------------------------------------------------------------


def tune(*args: Any, **kwargs: Any) -> Tuned:
    """Search detector parameters on history; see :func:`engine.tuning.tune`."""
    from engine.tuning import tune as search

    return search(*args, **kwargs)
