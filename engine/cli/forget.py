"""`gridwarden forget`."""

from __future__ import annotations

import time
from pathlib import Path

import click


@click.command()
@click.argument("subject", metavar="SUBJECT")
@click.option("--config", "config_file", type=click.Path(path_type=Path), required=True)
@click.option("--by", envvar="GRIDWARDEN_USER", default="terminal", metavar="WHO")
@click.option("--yes", is_flag=True, help="Do not ask.")
def forget(subject: str, config_file: Path, by: str, yes: bool) -> int:
    """Erase a subject: readings, state, alerts, photos, personal data. It cannot be undone.

    Stop `gridwarden run` first. Exits 3 if a file that belongs to somebody else (an input, a
    backup in the watched folder) still names the person; it is printed.
    """
    import json

    from engine.config import load
    from engine.forget import forget as erase
    from engine.language import pick

    if not yes:
        question = pick(f"彻底删除 {subject}，无法恢复。继续？", f"Erase {subject} for good?")
        click.confirm(question, abort=True)
    done = erase(load(config_file), subject, by=by, wall_ns=time.time_ns())
    proof = {
        "removed": done.removed,
        "others_that_differ": done.differing,
        "bytes_searched": done.searched,
        "found_in": done.left,
    }
    click.echo(json.dumps(proof, ensure_ascii=False, indent=1))
    for path in done.left:
        click.echo(
            pick(
                f"仍含此人：{path}；请自行删除或改写",
                f"still names them: {path}; it is yours to mend",
            ),
            err=True,
        )
    return 3 if done.left else 0
