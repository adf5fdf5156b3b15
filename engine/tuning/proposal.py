"""A rule file with other parameters or another budget, its comments and layout kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from rules.loader import load


class ProposalError(ValueError):
    """A proposal cannot be written where or as asked."""


def rewritten(
    text: str, signal: str, params: Mapping[str, float], budget: float | None, why: str
) -> str:
    r"""Return a rule's YAML with a signal's parameters, and perhaps its budget, replaced.

    Everything else keeps its bytes; `why` goes above as comments.

    >>> print(rewritten("name: x\nsignals:\n  s: seasonal  # kept\n", "s", {"bins": 24.0}, None,
    ...     "Proposed."))
    # Proposed.
    name: x
    signals:
      s: {detector: seasonal, params: {bins: 24}}  # kept
    <BLANKLINE>
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    changes: list[tuple[int, int, str]] = []
    use = _child(_child(root, "signals"), signal)
    inner = ", ".join(f"{k}: {_number(v)}" for k, v in sorted(params.items()))
    if isinstance(use, yaml.ScalarNode):
        new = f"{{detector: {use.value}, params: {{{inner}}}}}"
        changes.append((use.start_mark.index, use.end_mark.index, new))
    else:
        old = _child(use, "params", missing=True)
        if old is not None:
            changes.append((*_span(text, old), f"{{{inner}}}"))
        else:
            detector = _child(use, "detector")
            end = detector.end_mark.index
            flow = bool(use.flow_style)
            indent = " " * use.start_mark.column
            extra = f", params: {{{inner}}}" if flow else f"\n{indent}params: {{{inner}}}"
            changes.append((end, end, extra))
    if budget is not None:
        node = _child(root, "budget")
        if isinstance(node, yaml.MappingNode):
            node = _child(node, "false_alerts_per_subject_year")
        changes.append((node.start_mark.index, node.end_mark.index, _number(budget)))
    for start, stop, new in sorted(changes, reverse=True):
        text = text[:start] + new + text[stop:]
    return "".join(f"# {line}\n" for line in why.splitlines()) + text


def _span(text: str, node: yaml.Node) -> tuple[int, int]:
    """Return where a node stands; a block mapping's end mark lies behind the lines after it."""
    start, stop = node.start_mark.index, node.end_mark.index
    while stop > start and text[stop - 1] in " \n":
        stop -= 1
    return start, stop


def _child(node: yaml.Node | None, key: str, *, missing: bool = False) -> yaml.Node:
    for name, value in node.value if isinstance(node, yaml.MappingNode) else ():
        if name.value == key:
            found: yaml.Node = value
            return found
    if missing:
        return None  # type: ignore[return-value]
    raise ProposalError(f"no {key!r} in the rule's file")


def _number(value: float) -> str:
    return f"{value:.6g}"


def write(
    folder: Path,
    source: Path,
    files: Mapping[str, str],
    rule: str,
    text: str,
    tests: Mapping[str, str],
) -> Path:
    """Write a whole folder of rules with one changed; return the changed file.

    Parameters
    ----------
    folder : Path
        Must not be there yet, or be empty.
    source : Path
        Folder of the rules in force: never written to.
    files, tests : mapping of str to str
        Rules and their tests, by file name.

    Raises
    ------
    ProposalError
        If the folder holds something, or is the rules' own.
    """
    if folder.resolve() == source.resolve() or source.resolve() in folder.resolve().parents:
        raise ProposalError(f"{folder}: holds the rules in force; a proposal goes elsewhere")
    if folder.exists() and any(folder.iterdir()):
        raise ProposalError(f"{folder}: is not empty; give a new folder")
    name = next(n for n, t in files.items() if f"name: {rule}\n" in t)
    load({**files, name: text})  # never propose what could not be loaded
    (folder / "tests").mkdir(parents=True, exist_ok=True)
    for file, content in {**files, name: text}.items():
        (folder / Path(file).name).write_text(content, encoding="utf-8")
    for file, content in tests.items():
        (folder / "tests" / Path(file).name).write_text(content, encoding="utf-8")
    return folder / Path(name).name
