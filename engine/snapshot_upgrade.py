"""States of shards as earlier programs wrote them, brought to the form of this one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.base import NO_SLOT
from engine.watch import Watch

COLUMNS = ("urgency", "evidence", "p_value", "onset")

Header = Mapping[str, Any]
Arrays = Mapping[str, NDArray[Any]]


def upgraded(watches: Sequence[Watch], header: Header, arrays: Arrays) -> tuple[Header, Arrays]:
    """Return a state in the present form.

    Parameters
    ----------
    watches : sequence of Watch
        The rules under which it was taken, with all their rows.
    header, arrays : mapping
        What :meth:`engine.shard.ShardRunner.snapshot` gave, now or with an earlier program.
    """
    return (header, arrays) if "shares" in header else _columns_shared(watches, header, arrays)


def _columns_shared(
    watches: Sequence[Watch], header: Header, arrays: Arrays
) -> tuple[Header, Arrays]:
    """Until 2026-11-22 each rule kept columns and episodes of its own, and dense marks."""
    shares: list[dict[str, int]] = []
    found = {k: v for k, v in arrays.items() if not k.startswith("watches/")}
    count = 0
    for i, watch in enumerate(watches):
        mine: dict[str, int] = {}
        start = f"watches/{i}/"
        own = {k[len(start) :]: v for k, v in arrays.items() if k.startswith(start)}
        found |= {start + k: v for k, v in own.items() if k == "reached" or k.startswith("event/")}
        link_at = 0
        for name, turns in watch.turns.items():
            columns = {k: own[f"signal/{name}/{k}"] for k in COLUMNS}
            found |= {f"heard/{count}/{k}": v for k, v in columns.items()}
            due = np.flatnonzero(own[f"signal/{name}/due"]).astype(np.int32)
            found[f"{start}signal/{name}/due/rows"] = due
            found[f"{start}signal/{name}/due/onset"] = columns["onset"][due]
            if turns.heard.counted:
                n = len(watch.rows)
                onset, peak = np.full(n, NO_SLOT, np.int32), np.zeros(n, np.int8)
                spent = np.zeros(n, np.bool_)
                for k, link in enumerate(turns.heard.links, start=link_at):
                    for values, key in ((onset, "onset"), (peak, "peak"), (spent, "spent")):
                        values[link.rule_rows] = own[f"counter/{k}/{key}"]
                rows = np.flatnonzero(spent).astype(np.int32)
                found[f"heard/{count}/episode/onset"] = onset
                found[f"heard/{count}/episode/peak"] = peak
                found[f"{start}signal/{name}/spent/rows"] = rows
                found[f"{start}signal/{name}/spent/onset"] = onset[rows]
            link_at += len(turns.heard.links)
            mine[name] = count
            count += 1
        shares.append(mine)
    return {**header, "shares": shares, "heard": [{}] * count}, found
