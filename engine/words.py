"""Words for what the store keeps as codes, in Chinese and English; imports nothing."""

from __future__ import annotations

from collections.abc import Mapping

STATES: Mapping[str, tuple[str, str]] = {
    "calling": ("电话核实中", "calling"),
    "dispatched": ("已派单", "dispatched"),
    "signed": ("已签收", "signed"),
    "handling": ("处置中", "handling"),
    "reported": ("已上报", "reported"),
    "closed": ("已办结", "closed"),
    "escalated": ("已升级", "escalated"),
    "reassigned": ("已改派", "reassigned"),
    "cancelled": ("已撤销", "cancelled"),
}
"""States of tasks."""
