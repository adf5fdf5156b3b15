"""`rules check` in Chinese: every message that checks can make has its words."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import rules
from rules.problems import Problem
from rules.problems_zh import chinese, told

MADE_BY = frozenset({"report", "Problem", "Finding", "Suspicion", "_problem"})
"""What is called with a message."""


def literal(node: ast.expr) -> str:
    """Return a string as its call writes it, with a word for what is put in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(v.value if isinstance(v, ast.Constant) else "7" for v in node.values)  # type: ignore[misc]
    return ""


def messages() -> list[str]:
    found = set()
    for file in sorted(Path(str(rules.__file__)).parent.glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                if name in MADE_BY:
                    # Sentences have spaces; keys, names and examples have none, or no Latin word.
                    texts = [literal(a) for a in node.args[:4]]
                    found |= {t for t in texts if " " in t and re.search("[a-z]{3}", t)}
    return sorted(found - OTHERS)


OTHERS = {'no subject is of kind "7"7', "texts.7.7: 7", 'unknown name "7"7'}
"""Put together of parts: shown below as they come out."""


@pytest.mark.parametrize("message", messages())
def test_every_message_has_its_chinese(message: str) -> None:
    assert re.search("[\u4e00-\u9fff]", chinese(message)), message


def test_a_problem_reads_as_a_whole() -> None:
    one = Problem("a.yaml", 3, 5, 'unknown name "kindz"', "r", '"kindz"', "one of kinds, places",
                  'did you mean "kinds"?')  # fmt: skip
    assert told(one) == (
        'a.yaml:3:5: 规则“r”：没有名称“kindz”；实际为 "kindz"；应为 下列之一：kinds, places；是否想写“kinds”？'
    )
    odd = Problem("a.yaml", 1, 1, "the file is empty", warning=True)
    assert told(odd) == "a.yaml:1:1: 警告：文件是空的"
    assert chinese('no subject is of kind "x" (nor of the 2 others)').startswith(
        "没有“x”类的对象（"
    )
    assert chinese('unknown name "a" in "b"') == "“b”中没有名称“a”"
    assert chinese('texts.raised.en: unknown format "x"') == "texts.raised.en：没有格式“x”"
