"""Parameters that many routes share: cursors, limits, places, times."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec
from fastapi import Path, Query
from pydantic import AwareDatetime

from engine.console.errors import ApiError

NS = 1_000_000_000
LONGEST_CURSOR = 1_000

PlaceCode = Annotated[str, Query(max_length=40, pattern=r"^[0-9]*$")]
Word = Annotated[str, Query(max_length=200)]
Words = Annotated[list[str], Query(max_length=20)]
Limit = Annotated[int, Query(ge=1, le=500)]
Cursor = Annotated[str, Query(max_length=LONGEST_CURSOR, description="From `next`.")]
When = Annotated[AwareDatetime | None, Query()]
From = Annotated[AwareDatetime | None, Query(alias="from")]
Id = Annotated[str, Path(max_length=200)]


def ns_of(moment: datetime | None) -> int | None:
    """Return nanoseconds of a time, clipped to what the store can hold."""
    if moment is None:
        return None
    seconds = min(max(moment.timestamp(), 0.0), 9_000_000_000.0)
    return int(seconds * 1_000_000) * 1_000


def write_cursor(key: Sequence[Any]) -> str:
    """Return a sort key as opaque text."""
    return base64.urlsafe_b64encode(msgspec.json.encode(list(key))).decode().rstrip("=")


def read_cursor(text: str, kinds: Sequence[type]) -> tuple[Any, ...] | None:
    """Return the sort key of a cursor.

    Raises
    ------
    ApiError
        400 if it is none of ours.
    """
    if not text:
        return None
    try:
        raw = base64.b64decode(text.encode() + b"=" * (-len(text) % 4), b"-_", validate=True)
        key = msgspec.json.decode(raw)
    except (binascii.Error, ValueError, msgspec.DecodeError):
        key = None
    fits = (
        isinstance(key, list)
        and len(key) == len(kinds)
        and all(type(v) is k for v, k in zip(key, kinds, strict=True))
        and all(abs(v) < 2**63 for v in key if type(v) is int)
    )
    if not fits or key is None:
        raise ApiError("bad_request", "cursor: not one of ours; ask for the first page again")
    return tuple(key)
