"""`gridwarden`: the entry point. Data on stdout, logs and progress on stderr.

Exit codes: 0 ok; 1 findings (only from check, test, audit); 2 usage; 3 failure.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

# name → (module, attribute, one line of help). Help must not import anything heavy.
COMMANDS = {
    "demo": ("engine.cli.demo", "demo", "The main job on a laptop, on real and simulated homes."),
    "city-demo": (
        "engine.cli.city_demo",
        "city_demo",
        "A whole city on this machine, on real servers.",
    ),
    "replay": ("engine.cli.replay", "replay", "Run history through detectors and rules."),
    "score": ("engine.cli.score", "score", "Score one series with one detector."),
    "run": ("engine.cli.run", "run", "Live, embedded: watch a folder, or stdin."),
    "gateway": ("engine.cli.gateway", "gateway", "City: pack all sources into blocks on Kafka."),
    "worker": ("engine.cli.worker", "worker", "City: watch the shards that Kafka assigns."),
    "archive": ("engine.cli.archive", "archive", "City: keep the logs as Parquet files."),
    "relay": ("engine.cli.relay", "relay", "Tell others: doorbells, topics, webhooks, phones."),
    "serve": ("engine.cli.serve", "serve", "The console: API, live stream and pages."),
    "users": ("engine.cli.users", "users", "Accounts of the console."),
    "forget": ("engine.cli.forget", "forget", "Erase a person everywhere, and prove it."),
    "backup": ("engine.cli.backup", "backup", "Store, snapshots and journal into one file."),
    "restore": ("engine.cli.backup", "restore", "Put a backup into an empty store."),
    "config": ("engine.cli.config", "config", "Check a configuration file."),
    "rules": ("engine.cli.rules", "rules", "Check rules, and explain what they decided."),
    "tune": ("engine.cli.tune", "tune", "Search a detector's parameters on history."),
    "tasks": ("engine.cli.tasks", "tasks", "The gridworkers' queue from a terminal."),
    "audit": ("engine.cli.audit", "audit", "Prove alerts and their counterfactuals by replay."),
    "simulate": ("engine.cli.simulate", "simulate", "Make a town with known incidents."),
    "bench": ("engine.cli.bench", "bench", "Measure quality and speed."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the commands in their documented order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import and return a command."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        _log_to_stderr()
        command: click.Command = getattr(importlib.import_module(entry[0]), entry[1])
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry[2]) for name, entry in COMMANDS.items()])


def _log_to_stderr() -> None:
    """Keep stdout for data, whoever logs."""
    import structlog

    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="gridwarden", prog_name="gridwarden")
def cli() -> None:
    """Early warning for governance grids: meter readings and events in, explained alerts out."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; known failures end with one clear message and exit code 3."""
    _say_warnings_plainly()
    try:
        code = cli.main(args=argv, prog_name="gridwarden", standalone_mode=False)
    except click.UsageError as error:
        error.show()
        sys.exit(2)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code if error.exit_code != 1 else 3)
    except click.Abort:
        sys.exit(130)
    except BrokenPipeError:
        # Somebody closed our stdout (`| head`): not an error, but nothing may be flushed to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        if os.environ.get("GRIDWARDEN_DEBUG"):
            raise
        _report(error)
        sys.exit(3)
    sys.exit(code if isinstance(code, int) else 0)


def _say_warnings_plainly() -> None:
    """Let a broken file of a detector be told in a line, without the source that told it."""
    import warnings

    usual = warnings.formatwarning

    def told(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> str:
        if category.__name__ == "BrokenDetectorWarning":  # nothing heavy is imported for it
            return f"gridwarden: warning: {message}\n"
        return usual(message, category, *rest, **more)

    warnings.formatwarning = told


def _report(error: Exception) -> None:
    """Print an error for people: our own messages as they are, others with what to do next."""
    ours = ("engine", "connectors", "rules", "detectors")
    known = isinstance(error, OSError) or type(error).__module__.split(".")[0] in ours
    if known:
        click.echo(f"gridwarden: {error}", err=True)
    else:
        click.echo(
            f"gridwarden: unexpected {type(error).__name__}: {error}\n"
            "This is a defect. GRIDWARDEN_DEBUG=1 shows where it happened.",
            err=True,
        )


if __name__ == "__main__":
    main()
