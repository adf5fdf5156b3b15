"""Every command of every page runs; every link leads somewhere."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.docs.pages import FENCE, follow, pages, steps

APART = {ROOT / "docs" / "guides" / "new-detector.md", ROOT / "docs" / "zh" / "new-rule.md"}
"""Followed in a copy of the project by a test of its own; does what the English page does."""
WITH_COMMANDS = [
    p
    for p in pages()
    if p not in APART and any(s.path is None for s in steps(p.read_text("utf-8")))
]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_command_runs(page: Path, tmp_path: Path) -> None:
    assert follow(page, tmp_path) >= 1
    if page.name == "new-feed.md":
        lines = [json.loads(x) for x in (tmp_path / "alerts.ndjson").read_text().splitlines()]
        assert {(x["rule"], x["subject_id"]) for x in lines} == {("ozone-limit", "ozone-1")}
        assert len({x["alert_id"] for x in lines}) == 1
        assert "160" in lines[0]["reason"]["en"]
        assert "o3-z" in (tmp_path / "refused.csv").read_text()
        report = (tmp_path / "report.html").read_text("utf-8")
        assert ">o3</text>" in report, "the curve is labelled with what was measured"
        assert ">l / h</text>" not in report


def test_enough_pages_have_commands() -> None:
    names = {p.name for p in WITH_COMMANDS}
    assert {"data-team.md", "operator.md", "new-feed.md", "index.md"} <= names


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and the site make them."""
    text = FENCE.sub("", page.read_text("utf-8"))
    return {
        re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-")
        for h in re.findall(r"^#+ +(.+)$", text, re.M)
    }


@pytest.mark.parametrize(
    "page", [*pages(), *sorted((ROOT / "docs" / "detectors").glob("*.md"))],
    ids=lambda p: p.relative_to(ROOT).as_posix(),
)  # fmt: skip
def test_every_link_leads_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text("utf-8"))
    for match in LINK.finditer(text):
        target = match[1] or match[2]
        if re.match(r"[a-z]+:", target):
            assert target.startswith(("https://", "mailto:")), target
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{page.relative_to(ROOT)}: {target} leads nowhere"
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there), f"{page.relative_to(ROOT)}: no heading #{anchor}"


def test_the_runner_can_fail(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```console\n$ python -c 'raise SystemExit(3)'\n```\n")
    with pytest.raises(AssertionError, match=r"(?s)page\.md:2.*ended with 3"):
        follow(page, tmp_path)
    page.write_text("```console\n$ python -c 'raise SystemExit(3)'  # exit 3\n```\n")
    assert follow(page, tmp_path) == 1


def test_the_site_builds_without_warnings(tmp_path: Path) -> None:
    import os
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir",
         str(tmp_path / "site")],
        cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    site = tmp_path / "site"
    for page in ("index.html", "detectors/inactivity/index.html", "zh/gridworker/index.html",
                 "rules/zh/elderly-silence/index.html", "api/index.html"):  # fmt: skip
        assert (site / page).is_file(), f"{page} is missing"
    text = (site / "index.html").read_text("utf-8")
    assert "fonts.googleapis" not in text, "the site must not call anybody"
    shutil.rmtree(site)


# -- commands that are only mentioned -------------------------------------------------------------

MENTION = re.compile(r"(?:^|[`\s(])gridwarden +((?:[a-z][a-z-]*)(?:[^`\n]*))", re.M)


def mentions(page: Path) -> list[str]:
    """Return everything after ``gridwarden`` in code spans and blocks, lines joined."""
    text = re.sub(r"\\\n\s*", " ", page.read_text("utf-8"))
    spans = re.findall(r"`([^`\n]+)`", FENCE.sub("", text))
    spans += [line for block in FENCE.finditer(text) for line in block["body"].splitlines()]
    return [m[1] for span in spans for m in MENTION.finditer(span)]


def resolve(words: list[str]) -> tuple[str, set[str]] | None:
    """Return the command that some words name, and its options; None if there is no such one."""
    import click

    from engine.cli.main import cli

    command: click.Command = cli
    context = click.Context(cli)
    path = []
    for word in words:
        if not isinstance(command, click.Group):
            break
        # `list|add` stands for several: each must be there
        inner = [command.get_command(context, w) for w in word.replace("\\", "").split("|")]
        if not all(inner):
            return None if not path or re.fullmatch(r"[a-z|-]+", word) else (" ".join(path), set())
        path.append(word)
        command = inner[0]  # type: ignore[assignment]
    options = {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
    free = command.context_settings.get("ignore_unknown_options", False)
    return " ".join(path), options | {"--help", "-h", "--version"} | ({"*"} if free else set())


@pytest.mark.parametrize("page", pages(), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_command_that_is_mentioned_exists(page: Path) -> None:
    for text in mentions(page):
        if re.match(r"(is|a|in|and|on|has)\b", text):
            continue
        found = resolve([w for w in text.split() if not w.startswith("-")])
        assert found is not None, f"{page.name}: gridwarden {text}: no such command"
        name, options = found
        for option in re.findall(r"(?:^|[\s\[])(--[a-z][a-z-]*)", text.split(" | ")[0]):
            assert option in options or "*" in options, f"{page.name}: {name} has no {option}"


def test_a_command_that_is_not_there_is_noticed() -> None:
    assert resolve(["tuen"]) is None
    assert resolve(["rules", "chekc"]) is None
    found = resolve(["tasks", "list"])
    assert found is not None
    assert "--held" in found[1]
    assert "--hold" not in found[1]
