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

    Stop `gridwarden run` first; of a city all gateways, workers and relays. Exits 3 if a file that
    belongs to somebody else (an input, a backup in the watched folder) still names the person, or a
    topic of Kafka still holds ids; it is printed, with the day on which Kafka lets go of them.
    """
    import json

    from engine.city.forget import ForgottenInCity, is_city
    from engine.city.forget import forget as erase_in_city
    from engine.config import load
    from engine.forget import forget as erase
    from engine.language import pick
    from engine.store import Store

    if not yes:
        question = pick(f"彻底删除 {subject}，无法恢复。继续？", f"Erase {subject} for good?")
        click.confirm(question, abort=True)
    config = load(config_file)
    with Store.open(config.store, create=False) as store:
        way = erase_in_city if is_city(store) else erase
    done = way(config, subject, by=by, wall_ns=time.time_ns())
    proof = {
        "removed": done.removed,
        "others_that_differ": done.differing,
        "bytes_searched": done.searched,
        "found_in": done.left,
    }
    runs_out: dict[str, str] = {}
    if isinstance(done, ForgottenInCity):
        runs_out = done.runs_out
        proof |= {"computed_anew_from": done.from_offset, "ids_left_in_topics": runs_out}
    click.echo(json.dumps(proof, ensure_ascii=False, indent=1))
    for path in done.left:
        click.echo(
            pick(
                f"仍含此人：{path}；请自行删除或改写",
                f"still names them: {path}; it is yours to mend",
            ),
            err=True,
        )
    for topic, told in runs_out.items():
        click.echo(
            pick(
                f"Kafka 主题 {topic} 仍含编号（无姓名）：{told}",
                f"Kafka topic {topic} still holds ids, no names: {told}",
            ),
            err=True,
        )
    return 3 if done.left or runs_out else 0
