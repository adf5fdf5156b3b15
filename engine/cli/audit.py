"""`gridwarden audit`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("alerts", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--sample", type=click.IntRange(1), metavar="N", help="Try N counterfactuals only.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def audit(alerts: tuple[Path, ...], sample: int | None, as_json: bool) -> int:
    """Prove alerts by replay: same inputs, same bytes, counts that add up, counterfactuals that hold.

    Exit code 1 if anything is found.
    """
    import json
    from dataclasses import asdict

    from engine.audit import audit as run
    from engine.language import counted, pick

    code = 0
    for path in alerts:

        def told(done: int, total: int, path: Path = path) -> None:
            words = pick("次回放", "replays")
            click.echo(f"\r{path.name}: {done}/{total} {words}", err=True, nl=done == total)

        result = run(path, sample=sample, on_pass=told)
        code = code if result.ok else 1
        if as_json:
            click.echo(json.dumps({"file": str(path), **asdict(result)}, ensure_ascii=False))
            continue
        yes, no = pick("是", "yes"), pick("否", "no")
        click.echo(
            pick(
                f"{path}：{result.alerts} 条预警；重放逐字节一致：{yes if result.identical else no}；"
                f"行数核对：{yes if result.reconciled else no}；反事实成立 {result.proven} 条，"
                f"未试 {result.untried} 条。",
                f"{path}: {counted(result.alerts, 'alert')}; replay identical: "
                f"{yes if result.identical else no}; counts add up: "
                f"{yes if result.reconciled else no}; counterfactuals proven: {result.proven}, "
                f"not tried: {result.untried}.",
            )
        )
        for finding in result.findings:
            click.echo(f"  {finding.alert_id or ''} {finding.problem}".rstrip())
    return code
