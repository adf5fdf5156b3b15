"""The detector contract: what every detector takes, gives, keeps and promises.

An author writes a state layout (:class:`Field` entries) and the array kernels ``_step`` and
``_explain`` (and, where the detector can, ``_amend`` and ``_inform``). The base class owns
validation, capacity, snapshots and growth. ``tests/detectors/suite.py`` holds every detector to
the promises written here.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, ClassVar, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from detectors.mishaps import short, told

FloatArray: TypeAlias = NDArray[np.floating[Any]]
IntArray: TypeAlias = NDArray[np.integer[Any]]
BoolArray: TypeAlias = NDArray[np.bool_]
State: TypeAlias = dict[str, NDArray[Any]]

NS = 1_000_000_000
LEVELS = 35
"""Length of the price grid: see :attr:`Signals.urgency`."""
NO_SLOT = -1
"""Onset of a row without an episode."""


class DetectorError(ValueError):
    """A detector was given something it cannot take; the message says what, where and wanted."""


class SnapshotError(DetectorError):
    """A snapshot belongs to another detector, another layout or a newer schema."""


@dataclass(frozen=True, slots=True)
class Channel:
    """One input of a detector.

    Parameters
    ----------
    utility : str
        ``electricity``, ``water``, ``gas`` …, or ``*`` for any.
    reduce : {"sum", "max"}
        How slots of a finer meter become one slot of the detector, and how several meters of one
        subject become one value. A coarser meter is never up-sampled: its channel stays NaN.
    """

    utility: str
    reduce: str = "sum"


@dataclass(frozen=True, slots=True)
class Field:
    """One array of a detector's state.

    Parameters
    ----------
    dtype : str
        Fixed dtype, as numpy spells it (``"f4"``).
    shape : tuple of int
        Shape of one row's part; the row axis is inserted at `axis`.
    fill : float
        Value of a row that has seen nothing.
    axis : int
        Where the row axis stands: ``profile[slot, subject]`` has ``shape=(96,), axis=1``.
    """

    dtype: str
    shape: tuple[int, ...] = ()
    fill: float = 0
    axis: int = 0

    def allocate(self, n: int) -> NDArray[Any]:
        """Return a filled array for `n` rows."""
        full = (*self.shape[: self.axis], n, *self.shape[self.axis :])
        return np.full(full, self.fill, dtype=self.dtype)


@dataclass(frozen=True, slots=True)
class Frame:
    """T consecutive slots for the N rows of a detector.

    Parameters
    ----------
    first_slot : int
        Slot number of ``values[0]``: the slot starts at ``first_slot * interval_s`` seconds UTC
        (plus :attr:`Detector.phase_s`, which is 0 but for daily slots).
    values : ndarray of float32, shape (T, C, N)
        Amounts in the utility's canonical unit (kWh, l). NaN = missing.
    local_slot : ndarray of int32, shape (T, Z)
        Slot of the local day, for each time zone.
    local_day : ndarray of int32, shape (T, Z)
        Local date as days since 1970-01-01.
    rest_day : ndarray of bool, shape (T, Z)
        Week-end or public holiday (swapped work days are False).
    """

    first_slot: int
    values: NDArray[np.float32]
    local_slot: NDArray[np.int32]
    local_day: NDArray[np.int32]
    rest_day: BoolArray

    @property
    def slots(self) -> int:
        """Number of slots T."""
        return int(self.values.shape[0])


@dataclass(slots=True)
class Signals:
    """What a detector says of each row at each slot of a frame.

    Parameters
    ----------
    evidence : ndarray of float32, shape (T, N)
        log10 likelihood ratio of "something is wrong here" against "nothing is"; NaN while not
        ready. Evidence of different detectors adds up.
    p_value : ndarray of float32, shape (T, N)
        Chance of at least this evidence while nothing is wrong with this row; NaN while not ready.
    urgency : ndarray of int8, shape (T, N)
        At how many prices of the detector's grid (:attr:`Detector.grid`, ascending) acting now
        pays: 0 … :data:`LEVELS`; −1 while not ready. At the price with index i the moment has
        come when ``urgency > i``. Within one episode it never falls.
    onset : ndarray of int64, shape (T, N)
        Slot number at which the present episode began; :data:`NO_SLOT` without one. An episode
        is what one alert would be about: a silence, a run, a burst.
    """

    evidence: NDArray[np.float32]
    p_value: NDArray[np.float32]
    urgency: NDArray[np.int8]
    onset: NDArray[np.int64]

    @property
    def ready(self) -> BoolArray:
        """Whether a row has a score at all, shape (T, N)."""
        return self.urgency >= 0

    @classmethod
    def empty(cls, slots: int, rows: int) -> Signals:
        """Return signals that say "not ready" everywhere."""
        return cls(
            evidence=np.full((slots, rows), np.nan, dtype=np.float32),
            p_value=np.full((slots, rows), np.nan, dtype=np.float32),
            urgency=np.full((slots, rows), -1, dtype=np.int8),
            onset=np.full((slots, rows), NO_SLOT, dtype=np.int64),
        )

    def take(self, rows: IntArray) -> Signals:
        """Return the same signals for some rows only."""
        return Signals(
            self.evidence[:, rows],
            self.p_value[:, rows],
            self.urgency[:, rows],
            self.onset[:, rows],
        )


class Detector(ABC):
    """Base of all detectors: validation, capacity, snapshots, growth.

    Parameters
    ----------
    rows : int
        Number of rows N (subjects, or places).
    interval_s : int
        Length of a slot in seconds.
    zone : ndarray of uint8, shape (N,), optional
        Index of each row's time zone in the frames' local columns; default all 0.
    key : ndarray of uint64, shape (N,), optional
        Hash of each row's id; the only source of per-row randomness. Default: 0 … N−1.
    fed : sequence of int, optional
        Channels that any row has a meter for; the others are NaN for ever, and a detector may keep
        no state of them. Default: all.
    **params
        Overrides of :attr:`defaults`.

    Notes
    -----
    Promises, held by the common suite: scoring leaves the state unchanged; any split of the same
    slots into frames gives the same signals; rows do not influence one another unless
    :attr:`pooled`; NaN input changes nothing but time; ±inf raises; snapshot → restore → go on
    is bitwise equal to going on; memory is constant at fixed N; growing leaves old rows alone.
    """

    name: ClassVar[str]
    """Name in rules and on the command line."""
    schema: ClassVar[int] = 1
    """Version of the state layout."""
    interval_s_allowed: ClassVar[tuple[int, int]] = (60, 86_400)
    """Shortest and longest slot this detector understands."""
    slot_s: ClassVar[int | None] = None
    """The detector's own slot length, or None to take the meter's."""
    channels: ClassVar[tuple[Channel, ...]] = (Channel("*"),)
    grain: ClassVar[str] = "subject"
    """``subject``; ``place``: rows are communities and inputs come as census columns; or
    ``series``: rows are made by events, and channels are ``events`` (how many) and ``different``
    (how many different callers, say, the window holds)."""
    informs: ClassVar[frozenset[str]] = frozenset()
    """Kinds of notice that :meth:`inform` understands."""
    amends: ClassVar[bool] = False
    """Whether :meth:`amend` corrects the state; others count late slots and ignore them."""
    amend_s: ClassVar[int] = 0
    """How far back :meth:`amend` reaches, seconds."""
    pooled: ClassVar[bool] = False
    defaults: ClassVar[Mapping[str, float]] = {}
    """Parameters and their defaults; documented in the class docstring."""
    grid: ClassVar[NDArray[np.float64]]
    """Price grid, ascending, shape (LEVELS,): λ, or lines of evidence."""
    prior_rate: ClassVar[NDArray[np.float64]]
    """Harmless episodes per subject-year that reach each price, falling, shape (LEVELS,): what
    the budget controller believes before it has counted any (detectors/budget.py)."""
    prior_years: ClassVar[float] = 3.0
    """How many subject-years of counting :attr:`prior_rate` weighs. Large where most episodes are
    real: they are what is looked for, and must not raise the price of the next one."""

    def __init__(
        self,
        rows: int,
        *,
        interval_s: int,
        zone: NDArray[np.uint8] | None = None,
        key: NDArray[np.uint64] | None = None,
        fed: Sequence[int] | None = None,
        **params: float,
    ) -> None:
        low, high = self.interval_s_allowed
        if not low <= interval_s <= high:
            raise DetectorError(
                f"{self.name}: interval_s must be {low}..{high}, got {interval_s}; "
                "a coarser meter is not ready for this detector"
            )
        unknown = sorted(set(params) - set(self.defaults))
        if unknown:
            known = ", ".join(sorted(self.defaults)) or "none"
            raise DetectorError(f"{self.name}: unknown parameter {unknown[0]!r}; known: {known}")
        self.interval_s = int(interval_s)
        self.params: dict[str, float] = {**self.defaults, **params}
        self.rows = int(rows)
        self.fed = list(range(len(self.channels))) if fed is None else sorted(set(fed))
        self.zone = np.zeros(rows, np.uint8) if zone is None else np.asarray(zone, np.uint8)
        self.key = np.arange(rows, dtype=np.uint64) if key is None else np.asarray(key, np.uint64)
        self._configure()
        self._layout = dict(self._fields())
        self.state: State = {k: f.allocate(rows) for k, f in self._layout.items()}

    # -- what authors write ---------------------------------------------------------------

    def _configure(self) -> None:  # noqa: B027 (most detectors have nothing to derive)
        """Derive constants from ``self.params`` before the state is allocated."""

    @abstractmethod
    def _fields(self) -> Mapping[str, Field]:
        """Return the state layout."""

    @abstractmethod
    def _step(self, frame: Frame, out: Signals) -> None:
        """Score each slot with what was known before it, then learn from it; fill `out`."""

    def _explain(self, rows: IntArray) -> dict[str, NDArray[Any]]:  # noqa: ARG002
        """Return named facts of the present episode, arrays of shape (M,)."""
        return {}

    def _current(self, rows: IntArray, out: Signals) -> None:
        """Fill `out` (1, M) with the signals as of the last slot, after an amendment."""
        raise NotImplementedError

    def _amend(self, slot: int, rows: IntArray, values: NDArray[np.float32]) -> None:
        raise NotImplementedError

    def _inform(
        self,
        kind: str,
        rows: IntArray,
        start_ns: NDArray[np.int64],
        end_ns: NDArray[np.int64],
        value: NDArray[np.float32],
    ) -> None:
        raise NotImplementedError

    def returned(self) -> IntArray:
        """Return rows whose declared absence turned out to be over, since last asked."""
        return np.zeros(0, np.int64)

    # -- what callers use -----------------------------------------------------------------

    def step(self, frame: Frame) -> Signals:
        """Score the slots of `frame` in order, learning from each; return their signals.

        Raises
        ------
        DetectorError
            If the frame is not what the detector takes, or the detector's own code fails; the
            message names its file and line.
        """
        self._check(frame)
        out = Signals.empty(frame.slots, self.rows)
        try:
            self._step(frame, out)
        except (DetectorError, MemoryError):
            raise
        except Exception as error:
            file = inspect.getfile(type(self))
            raise DetectorError(
                f'detector "{self.name}" failed: {told(error, file)}; '
                f"mend {short(file)}, or use another detector"
            ) from error
        return out

    def score(self, frame: Frame) -> Signals:
        """Return what :meth:`step` would, leaving the state unchanged."""
        kept = self.state
        self.state = {k: v.copy() for k, v in kept.items()}
        try:
            return self.step(frame)
        finally:
            self.state = kept

    def current(self, rows: IntArray) -> Signals:
        """Return the signals as of the last slot for some rows, shapes (1, M)."""
        out = Signals.empty(1, len(rows))
        self._current(rows, out)
        return out

    def amend(self, slot: int, rows: IntArray, values: NDArray[np.float32]) -> None:
        """Correct a slot that was already scored.

        Parameters
        ----------
        slot : int
            Slot number, not after the last one seen.
        rows : ndarray of int, shape (M,)
            Unique rows.
        values : ndarray of float32, shape (C, M)
            The slot's values as they are now known. Where several channels are fed, NaN says that
            there is nothing new of one: what it said before stands.
        """
        if not self.amends:
            return
        if np.isinf(values).any():
            raise DetectorError(f"{self.name}: infinite value in an amendment of slot {slot}")
        self._amend(slot, rows, values)

    def inform(
        self,
        kind: str,
        rows: IntArray,
        start_ns: NDArray[np.int64],
        end_ns: NDArray[np.int64],
        value: NDArray[np.float32] | None = None,
    ) -> None:
        """Tell of something known from elsewhere: an absence, a permit, a vehicle.

        Kinds that the detector does not name in :attr:`informs` are ignored. A point in time has
        ``start_ns == end_ns``; what an amount means (kW, °C) depends on the kind.
        """
        if kind not in self.informs or len(rows) == 0:
            return
        amount = np.full(len(rows), np.nan, np.float32) if value is None else value
        self._inform(kind, rows, start_ns, end_ns, amount)

    def explain(self, rows: IntArray) -> dict[str, NDArray[Any]]:
        """Return the facts of the present episode of some rows, each of shape (M,)."""
        return self._explain(np.asarray(rows))

    def grow(
        self,
        rows: int,
        zone: NDArray[np.uint8] | None = None,
        key: NDArray[np.uint64] | None = None,
    ) -> None:
        """Append rows that have seen nothing until there are `rows` of them."""
        if rows < self.rows:
            raise DetectorError(f"{self.name}: cannot shrink from {self.rows} to {rows} rows")
        more = rows - self.rows
        for name, field in self._layout.items():
            self.state[name] = np.concatenate(
                [self.state[name], field.allocate(more)], axis=field.axis
            )
        more_zone = np.zeros(more, np.uint8) if zone is None else np.asarray(zone, np.uint8)
        more_key = (
            np.arange(self.rows, rows, dtype=np.uint64)
            if key is None
            else np.asarray(key, np.uint64)
        )
        self.zone = np.concatenate([self.zone, more_zone])
        self.key = np.concatenate([self.key, more_key])
        self.rows = rows

    def forget(self, rows: IntArray) -> None:
        """Erase all that was learned of some rows."""
        for name, field in self._layout.items():
            index = (slice(None),) * field.axis + (rows,)
            self.state[name][index] = field.allocate(len(rows))

    @property
    def layout(self) -> Mapping[str, Field]:
        """The state's arrays by name."""
        return self._layout

    @property
    def nbytes(self) -> int:
        """Bytes of state."""
        return sum(v.nbytes for v in self.state.values())

    def snapshot(self) -> tuple[dict[str, Any], State]:
        """Return a header and copies of the arrays; both go into the shard's snapshot file."""
        header = {
            "detector": self.name,
            "schema": self.schema,
            "interval_s": self.interval_s,
            "rows": self.rows,
            "params": dict(sorted(self.params.items())),
        }
        return header, {k: v.copy() for k, v in self.state.items()}

    def restore(self, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over the state of a snapshot.

        Raises
        ------
        SnapshotError
            If the snapshot is of another detector, interval or parameters, of a newer schema, or
            its arrays do not fit.
        """
        want = {"detector": self.name, "interval_s": self.interval_s, "rows": self.rows}
        for what, wanted in want.items():
            if header.get(what) != wanted:
                raise SnapshotError(
                    f"{self.name}: snapshot has {what} {header.get(what)!r}, wanted {wanted!r}"
                )
        if int(header["schema"]) > self.schema:
            raise SnapshotError(
                f"{self.name}: snapshot has schema {header['schema']}, this program knows up to "
                f"{self.schema}; start the newer program"
            )
        if dict(header["params"]) != self.params:
            raise SnapshotError(f"{self.name}: snapshot was taken with other parameters")
        arrays = self._migrate(int(header["schema"]), dict(arrays))
        for name, mine in self.state.items():
            theirs = arrays.get(name)
            if theirs is None or theirs.shape != mine.shape or theirs.dtype != mine.dtype:
                got = "nothing" if theirs is None else f"{theirs.dtype}{theirs.shape}"
                raise SnapshotError(
                    f"{self.name}: snapshot array {name!r} is {got}, wanted {mine.dtype}{mine.shape}"
                )
        self.state = {k: np.array(arrays[k]) for k in self.state}

    def _migrate(self, schema: int, arrays: State) -> State:
        """Bring arrays of an older schema to the present one."""
        if schema != self.schema:
            raise SnapshotError(f"{self.name}: no way from schema {schema} to {self.schema}")
        return arrays

    def _check(self, frame: Frame) -> None:
        t, c, n = frame.values.shape
        if (c, n) != (len(self.channels), self.rows):
            raise DetectorError(
                f"{self.name}: frame has {c} channels × {n} rows, wanted "
                f"{len(self.channels)} × {self.rows}"
            )
        if frame.values.dtype != np.float32:
            raise DetectorError(f"{self.name}: values must be float32, got {frame.values.dtype}")
        if frame.local_slot.shape[0] != t:
            raise DetectorError(
                f"{self.name}: {t} slots but {frame.local_slot.shape[0]} local ones"
            )
        if np.isinf(frame.values).any():
            raise DetectorError(f"{self.name}: infinite value in slot {frame.first_slot} or later")


_REGISTRY: dict[str, type[Detector]] = {}
_FACTORIES: dict[str, Callable[[str], type[Detector]]] = {}
BROKEN: dict[str, str] = {}
"""Modules of detectors that cannot be loaded: name → file, line and why."""
D = TypeVar("D", bound=type[Detector])


def register(cls: D) -> D:
    """Class decorator: make a detector known by its name."""
    if cls.name in _REGISTRY:
        raise DetectorError(f"detector {cls.name!r} is registered twice")
    _REGISTRY[cls.name] = cls
    return cls


def register_family(prefix: str, factory: Callable[[str], type[Detector]]) -> None:
    """Make a family of detectors known: ``river:HalfSpaceTrees`` has prefix ``river``."""
    _FACTORIES[prefix] = factory


@contextmanager
def all_or_nothing() -> Iterator[None]:
    """Forget what a file registered before it failed: half a file is no detector."""
    before, families = dict(_REGISTRY), dict(_FACTORIES)
    try:
        yield
    except Exception:
        for known, was in ((_REGISTRY, before), (_FACTORIES, families)):
            for name in set(known) - set(was):
                del known[name]
        raise


def lookup(name: str) -> type[Detector]:
    """Return the detector class of that name.

    Raises
    ------
    DetectorError
        If there is none; the message lists what there is.
    """
    import detectors.catalogue  # registers everything on first use

    del detectors
    prefix, _, rest = name.partition(":")
    if rest and prefix in _FACTORIES:
        return _FACTORIES[prefix](rest)
    if name not in _REGISTRY:
        known = ", ".join(sorted([*_REGISTRY, *(f"{p}:*" for p in _FACTORIES)]))
        near = get_close_matches(name, sorted(_REGISTRY), n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        broken = "".join(f"; not loaded: {why}" for why in BROKEN.values())
        raise DetectorError(f"unknown detector {name!r}; {hint}known: {known}{broken}")
    return _REGISTRY[name]


def names() -> list[str]:
    """Return the names of all registered detectors, sorted."""
    import detectors.catalogue

    del detectors
    return sorted(_REGISTRY)
