"""Texts count as people do: one rule, two rules."""

import pytest
from click.testing import CliRunner

from engine.cli.rules import rules
from engine.language import language, say


@pytest.mark.parametrize(
    ("word", "values", "told"),
    [
        ("rules_ok", {"rules": 1, "files": 1, "version": "a"}, "1 rule in 1 file: all good. Version a"),
        ("rules_ok", {"rules": 23, "files": 2, "version": "a"}, "23 rules in 2 files"),
        ("rules_warned", {"rules": 2, "files": 1, "version": "a", "warnings": 1}, "no errors, 1 warning. "),
        ("quarantine_how", {"rows": 1}, "1 row was refused"),
        ("quarantine_where", {"rows": 1200, "path": "q.csv"}, "1,200 rows were refused: see q.csv"),
        ("done", {"rows": 1, "seconds": 0.5, "rate": 2.0}, "1 row in 0.5 s, 2 rows/s"),
    ],
)  # fmt: skip
def test_one_and_many(
    monkeypatch: pytest.MonkeyPatch, word: str, values: dict[str, object], told: str
):
    monkeypatch.setenv("GRIDWARDEN_LANGUAGE", "en")
    assert told in say(word, **values)
    monkeypatch.setenv("GRIDWARDEN_LANGUAGE", "zh")
    assert say(word, **values)


def test_a_command_speaks_as_it_is_asked(tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GRIDWARDEN_LANGUAGE", "en")
    (tmp_path / "r.yaml").write_text("name: a-rule\nlevl: red\n", encoding="utf-8")
    for lang, word in (
        ("zh", "r.yaml:2:1: 规则“a-rule”：没有键"),
        ("en", 'rule "a-rule": unknown key'),
    ):
        done = CliRunner().invoke(
            rules, ["check", str(tmp_path), "--lang", lang], standalone_mode=False
        )
        assert done.return_value == 1
        assert word in done.output
    assert language() == "en", "what one command was asked for is forgotten with it"
