"""Mutants of the library: never a traceback, every error with a position."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import rules
from rules.loader import load
from rules.problems import Problem, RuleErrors
from rules.unittest import parse

LIBRARY = Path(rules.__file__).parent / "library"
RULES = {p.name: p.read_text("utf-8") for p in sorted(LIBRARY.glob("*.yaml"))}
TESTS = {p.name: p.read_text("utf-8") for p in sorted(LIBRARY.glob("tests/*.yaml"))}
_ODD = ["", "\t", "\x00", "\u2028", "中", "🏠", "&a ", "*a", "!!binary ", "<<", "? ", "- ", "{", "[[", "}}",
        "%", "@", "`", "|", ">", "'", '"', "\\", "#", ":", "-5s", "1e999", ".nan", "~", "yes", "0x1",
        "\ufeff", "---\n", "...\n", "!!python/object:os.system ", "&a [*a]", "\ud800"]  # fmt: skip


def _line_break(text: str, rng: random.Random) -> tuple[list[str], int]:
    lines = text.split("\n")
    return lines, rng.randrange(len(lines))


def drop_line(text: str, rng: random.Random) -> str:
    lines, i = _line_break(text, rng)
    return "\n".join(lines[:i] + lines[i + 1 :])


def double_line(text: str, rng: random.Random) -> str:
    lines, i = _line_break(text, rng)
    return "\n".join([*lines[:i], lines[i], *lines[i:]])


def swap_lines(text: str, rng: random.Random) -> str:
    lines, i = _line_break(text, rng)
    j = rng.randrange(len(lines))
    lines[i], lines[j] = lines[j], lines[i]
    return "\n".join(lines)


def indent_line(text: str, rng: random.Random) -> str:
    lines, i = _line_break(text, rng)
    lines[i] = rng.choice(["  ", " ", "\t"]) + lines[i] if rng.random() < 0.5 else lines[i].lstrip()
    return "\n".join(lines)


def change_character(text: str, rng: random.Random) -> str:
    i = rng.randrange(max(1, len(text)))
    return text[:i] + chr(rng.randrange(32, 127)) + text[i + 1 :]


def cut_piece(text: str, rng: random.Random) -> str:
    i = rng.randrange(max(1, len(text)))
    return text[:i] + text[i + rng.randrange(1, 40) :]


def insert_oddity(text: str, rng: random.Random) -> str:
    i = rng.randrange(max(1, len(text)))
    return text[:i] + rng.choice(_ODD) + text[i:]


def change_word(text: str, rng: random.Random) -> str:
    words = list(re.finditer(r"[\w.]+|^", text))
    one, other = rng.choice(words), rng.choice(words)
    return text[: one.start()] + other.group() + text[one.end() :]


def change_value(text: str, rng: random.Random) -> str:
    values = list(re.finditer(r"(?<=: )[^\n]+", text)) or list(re.finditer(r"^.*$", text, re.M))
    one = rng.choice(values)
    new = rng.choice(
        [*_ODD, rng.choice(values).group(), "[1, 2]", "{a: b}", "-1", "true", "1.5", "null"]
    )
    return text[: one.start()] + new + text[one.end() :]


def cut_off(text: str, rng: random.Random) -> str:
    return text[: rng.randrange(max(1, len(text)))]


MUTATIONS: list[Callable[[str, random.Random], str]] = [
    drop_line, double_line, swap_lines, indent_line, change_character, cut_piece, insert_oddity,
    change_word, change_value, change_value, cut_off,
]  # fmt: skip


def mutant(texts: dict[str, str], seed: int) -> tuple[str, str]:
    rng = random.Random(seed)
    name = rng.choice(sorted(texts))
    text = texts[name]
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        text = rng.choice(MUTATIONS)(text, rng)
    return name, text


def problems(call: Callable[[], object]) -> list[Problem]:
    """Return the problems that a call tells of, each of which must have a place and one line."""
    found: list[Problem] = []
    try:
        call()
    except RuleErrors as error:
        found = error.problems
    assert all(p.line >= 1 and p.column >= 1 and p.message for p in found)
    assert all(re.match(r"[\w./-]+:[1-9]\d*:[1-9]\d*: .", str(p)) for p in found)
    assert not any("\n" in str(p) for p in found)
    return found


def test_two_thousand_mutants() -> None:
    """Alone, a mutant's references to other rules are problems, too: they do not count here."""
    broken = 0
    for seed in range(2_000):
        name, text = mutant(RULES, seed)
        found = problems(lambda name=name, text=text: load({name: text}))
        assert all(p.line <= len(text.splitlines()) + 1 for p in found)
        broken += any("unknown rule" not in p.message for p in found)
    assert 1_000 < broken < 1_900  # most are broken, and some are not (comments, texts)


@pytest.mark.slow
def test_ten_thousand_mutants_within_the_library() -> None:
    broken = 0
    for seed in range(10_000, 20_000):
        name, text = mutant(RULES, seed)
        broken += bool(problems(lambda name=name, text=text: load({**RULES, name: text})))
    assert broken > 5_000


def test_mutants_of_test_files() -> None:
    broken = 0
    for seed in range(200):
        name, text = mutant(TESTS, seed)
        broken += bool(problems(lambda name=name, text=text: parse({name: text})))
    assert broken > 60


def test_random_characters_are_no_rules() -> None:
    rng = random.Random(7)
    for _ in range(300):
        text = "".join(chr(rng.randrange(0, 0x2FF)) for _ in range(rng.randrange(60)))
        problems(lambda text=text: load({"x.yaml": text}))
