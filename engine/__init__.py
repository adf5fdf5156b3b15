"""The engine: event clock, shard state, alerts, tasks, runners and the command line."""

__version__ = "0.1.0"
