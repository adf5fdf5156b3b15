"""The Grafana dashboard of a city: `python -m engine.city.dashboard > deploy/grafana/gridwarden.json`."""

from __future__ import annotations

import json
from typing import Any, NamedTuple


class Panel(NamedTuple):
    """One panel: title, what it shows, unit, queries by legend."""

    title: str
    about: str
    unit: str
    queries: dict[str, str]
    kind: str = "timeseries"


ROWS: dict[str, tuple[Panel, ...]] = {
    "Is everybody watched?": (
        Panel("Not watched", "Subjects of shards that nobody moves.", "short",
              {"subjects": "max(gridwarden_subjects_unwatched)"}, "stat"),
        Panel("Shards up", "Shards that some worker watches.", "short",
              {"up": "sum(gridwarden_shard_up)"}, "stat"),
        Panel("Event time behind", "Clock of the slowest shard behind now.", "s",
              {"slowest": "max(gridwarden_shard_behind_seconds)",
               "worker: {{shard}}": "topk(5, time() - gridwarden_shard_clock_seconds)"}),
        Panel("Messages behind the log", "Per shard; more than a few for long: add workers.", "short",
              {"{{shard}}": "topk(8, gridwarden_shard_lag)"}),
        Panel("Missing readings", "Meters without a reading in their last slot.", "percentunit",
              {"{{shard}}": "topk(8, gridwarden_missing_share)"}),
    ),
    "Coming in": (
        Panel("Rows", "By how they ended at the gateway.", "rps",
              {"{{source}} {{status}}": "sum by (source, status) (rate(gridwarden_gateway_rows_total[1m]))"}),
        Panel("Quarantined", "By reason; the rows are in the topic PREFIX.quarantine.", "rps",
              {"{{source}} {{reason}}": "sum by (source, reason) (rate(gridwarden_quarantined_total[5m]))"}),
        Panel("On their way to Kafka", "Bounded; at the limit senders get 429.", "bytes",
              {"bytes": "sum(gridwarden_gateway_load_bytes)"}),
        Panel("Messages to Kafka", "Sent by all gateways.", "short",
              {"messages": "sum(rate(gridwarden_gateway_messages_total[1m]))"}),
        Panel("Connections", "1: up. Sources, Kafka, store, channels.", "short",
              {"{{source}}": "gridwarden_source_up", "kafka": "min(gridwarden_log_up)",
               "store, workers": "min(gridwarden_store_up)",
               "store, relay": "min(gridwarden_relay_store_up)",
               "{{channel}}": "gridwarden_channel_up"}),
        Panel("Gateway's clock behind", "Event time of the gateways.", "s",
              {"{{instance}}": "time() - gridwarden_gateway_clock_seconds"}),
    ),
    "Workers": (
        Panel("Rows in shards", "Every row ends as exactly one of these.", "rps",
              {"{{status}}": "sum by (status) (rate(gridwarden_rows_total[1m]))"}),
        Panel("Busy", "Share of the time at work.", "percentunit",
              {"{{instance}}": "rate(gridwarden_busy_seconds_total[1m])"}),
        Panel("Longest turn", "Of a shard, and of the event loop (membership waits for it).", "s",
              {"shards: {{instance}}": "gridwarden_longest_turn_seconds",
               "event loop: {{instance}}": "gridwarden_longest_loop_turn_seconds"}),
        Panel("Messages fed", "Per worker.", "short",
              {"{{instance}}": "rate(gridwarden_messages_total[1m])"}),
        Panel("Messages waiting", "In workers' memory.", "short",
              {"{{shard}}": "topk(8, gridwarden_shard_waiting)"}),
        Panel("Assignments", "Rebalances; many: sessions are lost.", "short",
              {"{{instance}}": "increase(gridwarden_rebalances_total[10m])"}),
        Panel("Changes of rules", "Refused versions; shards that learned of a change too late.", "short",
              {"refused": "max(gridwarden_rules_refused)",
               "late: {{shard}}": "increase(gridwarden_rules_late_total[1h])"}),
        Panel("Snapshot age", "Since each shard was saved.", "s",
              {"oldest": "max(gridwarden_snapshot_age_seconds)"}),
        Panel("Snapshots", "Size of the newest ones.", "bytes",
              {"all": "sum(gridwarden_snapshot_bytes)"}),
        Panel("Offsets", "How far each log was fed.", "short",
              {"{{shard}}": "rate(gridwarden_shard_offset[5m])"}),
    ),
    "Alerts and tasks": (
        Panel("Alerts firing", "Now, by level.", "short",
              {"{{level}}": "sum by (level) (gridwarden_alerts_firing)"}),
        Panel("Raised a day", "By rule.", "short",
              {"{{rule}}": "sum by (rule) (increase(gridwarden_alerts_raised_total[1d]))"}),
        Panel("Open tasks", "By queue and level.", "short",
              {"{{queue}} {{level}}": "gridwarden_tasks"}),
        Panel("Oldest unsigned task", "By queue.", "s", {"{{queue}}": "gridwarden_queue_oldest_seconds"}),
    ),
    "Budgets": (
        Panel("Spent of what was allowed", "Over 30 days; 1: as asked.", "percentunit",
              {"{{rule}}": "sum by (rule) (increase(gridwarden_rule_spent_total[30d])) * 31536000 "
               "/ sum by (rule) (increase(gridwarden_rule_exposure_seconds_total[30d])) "
               "/ max by (rule) (gridwarden_rule_budget)"}),
        Panel("Price", "Index of the price in force; higher: more sparing.", "short",
              {"{{rule}}": "gridwarden_rule_price"}),
    ),
    "Telling others": (
        Panel("Waiting", "To be told, by channel.", "short",
              {"{{channel}}": "gridwarden_deliveries_waiting"}),
        Panel("Oldest waiting", "By channel.", "s", {"{{channel}}": "gridwarden_deliveries_oldest_seconds"}),
        Panel("Put aside", "Given up: gridwarden relay --list.", "short",
              {"{{channel}}": "gridwarden_deliveries_aside"}),
        Panel("Told and failed", "Per second.", "short",
              {"{{channel}}": "sum by (channel) (rate(gridwarden_told_total[5m]))",
               "{{channel}} failed": "sum by (channel) (rate(gridwarden_told_failed_total[5m]))"}),
        Panel("Relays", "One acts.", "short", {"acting": "sum(gridwarden_relay_acts)"}, "stat"),
        Panel("Subjects", "To be watched.", "short", {"subjects": "max(gridwarden_subjects)"}, "stat"),
    ),
}  # fmt: skip
WIDTH, HEIGHT = 8, 7


def dashboard() -> dict[str, Any]:
    """Return the dashboard as Grafana reads it."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS.items():
        panels.append(
            {"id": len(panels) + 1, "type": "row", "title": title, "collapsed": False, "panels": [],
             "gridPos": {"x": 0, "y": y, "w": 24, "h": 1}}
        )  # fmt: skip
        y += 1
        for i, panel in enumerate(row):
            at = {"x": i % 3 * WIDTH, "y": y + i // 3 * HEIGHT, "w": WIDTH, "h": HEIGHT}
            panels.append(_panel(panel, len(panels) + 1, at))
        y += (len(row) + 2) // 3 * HEIGHT
    return {
        "uid": "gridwarden", "title": "Gridwarden", "tags": ["gridwarden"], "schemaVersion": 41,
        "version": 1, "editable": True, "timezone": "browser", "refresh": "15s",
        "time": {"from": "now-6h", "to": "now"}, "panels": panels,
    }  # fmt: skip


def _panel(panel: Panel, number: int, at: dict[str, int]) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "prometheus"}
    targets = [
        {"refId": chr(ord("A") + i), "datasource": source, "expr": expr, "legendFormat": legend}
        for i, (legend, expr) in enumerate(panel.queries.items())
    ]
    return {
        "id": number, "type": panel.kind, "title": panel.title, "description": panel.about,
        "datasource": source, "gridPos": at, "targets": targets,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(dashboard(), indent=1, ensure_ascii=False))  # noqa: T201 -- what it is for
