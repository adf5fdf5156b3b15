"""`rules explain --verify`: an alert recomputed from its inputs matches, or says what differs."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from click.testing import CliRunner

from engine.audit import AuditError
from engine.cli.rules import rules as command
from engine.config import Config
from engine.replay import Replay, ReplayOptions
from engine.simulate import Incident, Rates, Town, TownConfig
from engine.store import Store
from engine.verify import verify
from tests.engine.store_kit import change, quick


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A street in which a pensioner collapses, replayed into a store; the folder, an alert's id."""
    folder = tmp_path_factory.mktemp("street")
    config = TownConfig(
        streets=1, communities_per_street=1, grids_per_community=1, concentrators_per_community=1,
        elderly=6, homes=4, rentals=0, vacant=0, plants=0, closed_plants=0,
        electricity_interval_s=3600, gas_share=0.0, rates=Rates(late_share=0.02),
        incidents=(Incident("collapse", "elder-0002", 10.4, 48),),
    )  # fmt: skip
    Town(config).generate(days=13, seed=3).write(folder)
    options = ReplayOptions(
        readings=(str(folder / "readings.csv.gz"),),
        meters=str(folder / "meters.csv"),
        subjects=str(folder / "subjects.csv"),
        budgets={"elderly-silence": 52.0},
        store=f"sqlite:///{folder / 'gw.db'}",
    )
    Replay(options, Config()).run()
    with Store.open(options.store or "") as store:
        return folder, next(a.alert_id for a in store.alerts() if a.subject_id == "elder-0002")


def asked(folder: Path, alert: str) -> tuple[int, str]:
    url = f"sqlite:///{folder / 'gw.db'}"
    done = CliRunner().invoke(
        command, ["explain", alert, "--store", url, "--verify"], standalone_mode=False
    )
    assert done.exception is None, done.output
    return done.return_value, done.output


def test_an_alert_its_state_and_its_inputs_are_what_they_were(street: tuple[Path, str]) -> None:
    code, said = asked(*street)
    assert (code, said.count("  same  ")) == (0, 6)
    assert "DIFFERS" not in said
    assert f"gridwarden rules explain {street[1]} --store" in said


def test_what_differs_is_named(street: tuple[Path, str]) -> None:
    folder, alert = street
    path = folder / "readings.csv.gz"
    before = path.read_bytes()
    lines = gzip.decompress(before).decode().splitlines(keepends=True)
    mine = [i for i, line in enumerate(lines) if "elder-0002" in line]
    try:
        # Signs of life where there were none: the alert has no ground any more.
        for i in mine[-240:]:
            lines[i] = lines[i].replace(lines[i].rsplit(",", 1)[1], "9.5\n")
        path.write_bytes(gzip.compress("".join(lines).encode()))
        code, said = asked(folder, alert)
    finally:
        path.write_bytes(before)
    assert code == 1
    wrong = [line.split("  ")[2] for line in said.splitlines() if line.startswith("  DIFFERS")]
    assert wrong == [f"input {path}", "the alert, byte for byte", "state"]


def test_what_cannot_be_recomputed_says_why(tmp_path: Path) -> None:
    with quick(tmp_path / "gw.db") as store:
        store.commit("s", store.claim("s"), 1, [change()])
    url = f"sqlite:///{tmp_path / 'gw.db'}"
    assert verify(url, "nothing") is None
    with pytest.raises(AuditError, match="no state is kept"):
        verify(url, change().alert_id)
