"""`excess` on real homes: leaks of the record are found, taps opened by hand are found soon."""

import numpy as np
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pytest

from detectors.base import NO_SLOT, Frame, lookup

HOURS = 24 * 200
TAP = (24 * 150, 24 * 150 + 48)


@pytest.fixture(scope="module")
def homes(data):
    """Return hourly litres of the first 16 real homes, float32 (hours, homes); gaps are NaN."""
    table = pa_csv.read_csv(data / "homes_water" / "readings.csv.gz")
    time = table["ts"].cast("int64").to_numpy()
    start = time.min() // 3600 * 3600
    grid = start + 3600 * np.arange(HOURS + 1)
    columns = []
    for number in range(16):
        mine = pc.equal(table["meter_id"], f"w-{number:03d}").to_numpy(zero_copy_only=False)
        t, v = time[mine], table["value"].to_numpy()[mine]
        order = np.argsort(t, kind="stable")
        t, v = t[order], v[order]
        level = np.interp(grid, t, v)
        used = np.diff(level)
        near = np.searchsorted(t, grid[1:])
        apart = t[np.clip(near, 0, len(t) - 1)] - t[np.clip(near - 1, 0, len(t) - 1)]
        columns.append(np.where((apart > 9000) | (used < 0) | (used > 1000), np.nan, used))
    return np.stack(columns, axis=1).astype(np.float32)


def frame(litres, first_slot=400_000):
    hours = first_slot + np.arange(len(litres))
    values = np.full((len(litres), 3, litres.shape[1]), np.nan, np.float32)
    values[:, 1] = litres
    hour, day = (hours % 24).astype(np.int32)[:, None], (hours // 24).astype(np.int32)[:, None]
    return Frame(first_slot, values, hour, day, (day + 3) % 7 >= 5)


def run(litres):
    detector = lookup("excess")(litres.shape[1], interval_s=3600)
    return detector, detector.step(frame(litres))


def line(evidence):
    """Return the urgency that means: at least this evidence."""
    return int(np.searchsorted(lookup("excess").grid, evidence - 1e-9, side="right")) + 1


def test_evidence_is_what_it_says(homes):
    """10^-evidence is the chance of such a day: episodes a year at 1 and 2 stay near 365 x that."""
    _, signals = run(homes)
    years = (signals.urgency >= 0).sum() / 8760
    for evidence, most in ((1.0, 40.0), (2.0, 7.0)):
        episodes = 0
        for n in range(homes.shape[1]):
            episodes += len(np.unique(signals.onset[signals.urgency[:, n] >= line(evidence), n]))
        assert 0.5 < episodes / years < most


@pytest.mark.parametrize(("litres", "within"), [(30.0, 20), (90.0, 11), (240.0, 6)])
def test_a_tap_left_open_is_found(homes, litres, within):
    opened = homes.copy()
    opened[TAP[0] : TAP[1]] += litres
    _, signals = run(opened)
    present = np.isfinite(homes[TAP[0] : TAP[1]]).mean(axis=0) > 0.95
    late = (signals.urgency[TAP[0] : TAP[1]] >= line(2.0)).argmax(axis=0) + 1
    missed = ~(signals.urgency[TAP[0] : TAP[1]] >= line(2.0)).any(axis=0)
    delay = np.where(missed, 999, late)[present & signals.ready[TAP[0]]]
    assert len(delay) >= 8
    assert np.median(delay) <= within
    assert np.median(delay) < 24  # the rule "24 hours without a pause"


def test_facts_tell_the_run(homes):
    opened = homes.copy()
    opened[TAP[0] :] += 240.0
    detector = lookup("excess")(homes.shape[1], interval_s=3600)
    signals = detector.step(frame(opened[: TAP[0] + 9]))
    rows = np.flatnonzero(signals.urgency[-1] >= line(2.0))
    facts = detector.explain(rows)
    assert (facts["channel"] == 1).all()
    assert (facts["threshold"] > facts["usual"]).any()
    assert (facts["own"] == 1).all()
    onset = signals.onset[-1, rows] - 400_000
    assert (np.abs(onset - TAP[0]) <= 12).all()
    # the sentence is true: every hour told of reached the threshold, back to the onset
    for row, hours, least in zip(rows, facts["hours"], facts["threshold"], strict=True):
        told = opened[TAP[0] + 9 - hours : TAP[0] + 9, row]
        assert np.nanmin(told) >= least - 1e-4
    assert (facts["hours"] == TAP[0] + 9 - onset).mean() > 0.7


def test_an_alert_does_not_end_because_the_meter_falls_silent(homes):
    opened = homes.copy()
    opened[TAP[0] : TAP[0] + 10] += 240.0
    opened[TAP[0] + 10 :] = np.nan
    _, signals = run(opened[: TAP[0] + 200])
    hot = signals.urgency[TAP[0] + 9] >= line(2.0)
    assert hot.any()
    assert (signals.urgency[-1, hot] == signals.urgency[TAP[0] + 9, hot]).all()
    assert (signals.onset[-1, hot] != NO_SLOT).all()


def test_a_leak_that_stays_becomes_the_floor_but_not_at_once(homes):
    leaking = homes.copy()
    leaking[TAP[0] :] += 20.0
    detector, signals = run(leaking)
    early = np.nanmax(signals.evidence[TAP[0] : TAP[0] + 72], axis=0)
    late = np.nanmax(signals.evidence[-72:], axis=0)
    known = np.isfinite(homes[TAP[0] :]).mean(axis=0) > 0.9
    assert (early[known] > late[known]).all()
    assert (detector.state["floor"][known, 1] > 10).all()


def test_state_is_small():
    detector = lookup("excess")(100, interval_s=3600)
    assert detector.nbytes / 100 <= 300
