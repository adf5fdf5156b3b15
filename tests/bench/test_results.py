"""`make bench` writes what was measured, and leaves alone what people wrote."""

import importlib
import sys
from pathlib import Path

import pytest

from bench import results
from bench.results import BEGIN, END, Ran, main, section, sections, written
from engine.cli.bench import BENCHES


def test_sections_come_and_go_and_the_notes_stay() -> None:
    notes = "# Measured\n\n## Homes\nBy hand.\n"
    once = written(notes, {"nab": "### nab\n\n76\n"})
    assert once.startswith(notes.rstrip("\n"))
    both = written(once, {"homes": "### homes\n\n6 / 13\n"})
    assert list(sections(both)) == ["nab", "homes"]
    again = written(both, {"nab": "### nab\n\n77\n"})
    assert sections(again) == {"nab": "### nab\n\n77\n", "homes": "### homes\n\n6 / 13\n"}
    assert again.count(BEGIN) == again.count(END) == 1
    assert again.startswith(notes.rstrip("\n"))
    assert written(again, {}) == again
    assert written(again + "after\n", {}).endswith("after\n")


def test_a_section_names_machine_versions_and_command() -> None:
    text = section(Ran("nab", "NAB.", "76.4", 0, 12.3, 14.0))
    for word in (
        "gridwarden bench nab",
        "cores",
        "Python 3.",
        "numpy ",
        "12 s of CPU",
        "```\n76.4",
    ):
        assert word in text
    assert "**Failed with 1**" in section(Ran("nab", "NAB.", "", 1, 0, 0))
    assert "```" not in section(Ran("x", "X.", "| a |\n|---|\n| 1 |", 0, 0, 0))


def test_every_bench_is_run_and_a_failure_is_the_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: dict[str, tuple[str, ...]] = {}

    def run(name: str, options: tuple[str, ...]) -> Ran:
        ran[name] = options
        return Ran(name, "T.", name, int(name == "surges"), 0, 0, options)

    monkeypatch.setattr(results, "run", run)
    out = tmp_path / "RESULTS.md"
    assert main(["--out", str(out)]) == 1
    assert sorted(ran) == sorted(BENCHES)
    assert set(sections(out.read_text())) == set(BENCHES)
    assert "`gridwarden bench recovery --kills 20`" in out.read_text()
    assert ran["recovery"] == ("--kills", "20")
    main(["--full", "--out", str(out)])
    assert not any(ran.values())


@pytest.mark.parametrize("name", results.SHORTER)
def test_the_shorter_runs_are_ones_that_the_benches_know(name: str) -> None:
    source = Path(str(importlib.import_module(BENCHES[name][0]).__file__)).read_text("utf-8")
    for option in results.SHORTER[name][::2]:
        assert f'"{option}"' in source


def test_a_bench_that_cannot_run_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BENCHES, "nobody", ("bench.nobody", "Is not there."))
    assert results.run("nobody").code != 0


def test_every_bench_answers_help() -> None:
    import importlib
    from contextlib import suppress

    for name, (module, _) in BENCHES.items():
        main_of = importlib.import_module(module).main
        saved, sys.argv = sys.argv, [f"gridwarden bench {name}", "--help"]
        try:
            with suppress(SystemExit):
                main_of()
        finally:
            sys.argv = saved
