"""`gridwarden bench …`: runs the benchmarks of a checkout."""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
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
    "practice": (
        "bench.quality.homes",
        "The same beside today's rules and river models, by the hour.",
    ),
    "compressed": ("bench.quality.compressed", "Homes kept in a kilobyte, beside homes in full."),
    "plants": ("bench.quality.plants", "Closed plants made from a real one."),
    "surges": ("bench.quality.surges", "Surges planted into real counts."),
    "fades": ("bench.quality.fades", "Firms whose load fades, simulated and real."),
    "slow": ("bench.quality.slow", "Slow changes of homes, planted and on real records."),
    "silence": ("bench.quality.silence", "Power cut, dead concentrator or one silent person."),
}
QUALITY: Mapping[str, tuple[str, ...]] = {
    "homes": (),
    "practice": ("--cross-validate", "--river", "--cases", "8"),
    "compressed": (),
    "plants": (),
    "surges": (),
    "silence": (),
    "fades": (),
    "slow": (),
}
"""What `quality` runs: benches of detection with their options."""


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("name", type=click.Choice(["quality", *BENCHES]))
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def bench(name: str, options: tuple[str, ...]) -> int:
    """Measure quality and speed; answers are asserted before figures are printed.

    `quality` runs homes, practice, compressed, plants, surges, silence, fades and slow; with --json
    FILE all their figures are in one file, by name. OPTIONS go to the benchmark (--json FILE,
    --help …).
    """
    # The benchmarks lie beside the packages in a checkout, and are not installed with them.
    root = Path(__file__).resolve().parents[2]
    if (root / "bench").is_dir() and str(root) not in sys.path:
        sys.path.insert(0, str(root))
    return _quality(options) if name == "quality" else _run(name, options)


def _run(name: str, options: Sequence[str]) -> int:
    """Run one benchmark as a command of its own would."""
    module, title = BENCHES[name]
    click.echo(f"# {name}: {title}")
    try:
        main = importlib.import_module(module).main
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("bench"):
            raise
        raise click.ClickException(
            f"the benchmarks are not part of the installed package; run this in a checkout "
            f"of the project (looked in {Path.cwd()})"
        ) from None
    sys.argv = [f"gridwarden bench {name}", *options]
    return int(main() or 0)


def _quality(options: Sequence[str]) -> int:
    """Run all benches of detection; their figures go into one file."""
    target = Path(options[1]) if len(options) == 2 and options[0] == "--json" else None
    if options and target is None:
        raise click.UsageError(
            f"quality takes --json FILE and nothing else, got {' '.join(options)}; "
            f"name one of {', '.join(QUALITY)} to give it options of its own"
        )
    code, figures = 0, {}
    with tempfile.TemporaryDirectory(prefix="gridwarden-bench-") as made:
        for one, own in QUALITY.items():
            part = Path(made) / f"{one}.json"
            code = max(code, _run(one, (*own, "--json", str(part))))
            figures[one] = json.loads(part.read_text(encoding="utf-8"))
            if target is not None:  # after each, since the whole takes long
                target.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return code
