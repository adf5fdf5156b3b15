"""`gridwarden bench …`: runs the benchmarks of a checkout."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import click

BENCHES = {
    "throughput": ("bench.throughput", "Whole replay at scale: rows a second, bytes a meter."),
    "detectors": ("bench.detectors", "Every registered detector: cost, memory, what it finds."),
    "scale": ("bench.scale", "How cost and memory grow; a city's day in one shard and in ten."),
    "latency": ("bench.latency", "From arrival to task while readings pour in."),
    "storm": ("bench.storm", "Many alerts at once, beside a quiet day."),
    "soak": ("bench.soak", "Whether memory stays flat over a month."),
    "recovery": ("bench.chaos", "Workers and servers killed under load: nothing lost or doubled."),
    "peers": ("bench.peers", "What a reading costs and buys, beside other tools."),
    "nab": ("bench.nab", "Numenta Anomaly Benchmark, beside the published figures."),
    "homes": ("bench.quality.judged", "Collapses cut into real homes, through the whole engine."),
    "plants": ("bench.quality.plants", "Closed plants made from a real one."),
    "surges": ("bench.quality.surges", "Surges planted into real counts."),
    "slow": ("bench.quality.slow", "Slow changes of homes, planted and on real records."),
    "silence": ("bench.quality.silence", "Power cut, dead concentrator or one silent person."),
}
QUALITY = ("homes", "plants", "surges", "silence", "slow")


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("name", type=click.Choice(["quality", *BENCHES]))
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def bench(name: str, options: tuple[str, ...]) -> int:
    """Measure quality and speed; answers are asserted before figures are printed.

    `quality` runs homes, plants, surges, silence and slow. OPTIONS go to the benchmark (--json FILE,
    --help …).
    """
    # The benchmarks lie beside the packages in a checkout, and are not installed with them.
    root = Path(__file__).resolve().parents[2]
    if (root / "bench").is_dir() and str(root) not in sys.path:
        sys.path.insert(0, str(root))
    chosen = QUALITY if name == "quality" else (name,)
    code = 0
    for one in chosen:
        module, title = BENCHES[one]
        click.echo(f"# {one}: {title}")
        try:
            main = importlib.import_module(module).main
        except ModuleNotFoundError as error:
            if not (error.name or "").startswith("bench"):
                raise
            raise click.ClickException(
                f"the benchmarks are not part of the installed package; run this in a checkout "
                f"of the project (looked in {Path.cwd()})"
            ) from None
        sys.argv = [f"gridwarden bench {one}", *options]
        code = max(code, int(main() or 0))
    return code
