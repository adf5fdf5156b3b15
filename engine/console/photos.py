"""Photos: taken from people who may send anything, kept without anything but the picture.

A picture is decoded and encoded anew, so that nothing of the file survives but its pixels: no
place, no camera, no second picture, no script. Formats and sizes are checked before the pixels
are decoded, so a few bytes cannot become gigabytes. What is kept is sealed with the key of the
personal data.
"""

from __future__ import annotations

import io
import secrets
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

from PIL import Image, ImageOps, UnidentifiedImageError
from sqlalchemy import func, select, update

from engine.console.context import Console
from engine.console.errors import ApiError, not_found
from engine.console.schemas import Photo
from engine.store import schema_console as tc
from engine.store.database import How, write
from engine.tasks import Task
from rules.alerts import stamp

FORMATS = ("JPEG", "PNG", "WEBP")
MOST_PIXELS = 50_000_000
LONGEST_SIDE = 1_600
QUALITY = 82
MOST = 4
"""Photos of a task or a report."""


class Picture(NamedTuple):
    """A clean picture."""

    jpeg: bytes
    width: int
    height: int


def clean(data: bytes) -> Picture:
    """Return the picture in `data`, upright, at most 1,600 pixels a side, without metadata.

    Raises
    ------
    ApiError
        415 if it is no JPEG, PNG or WebP; 413 if it has too many pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            opened = Image.open(io.BytesIO(data), formats=FORMATS)
            if opened.width * opened.height > MOST_PIXELS or min(opened.size) < 1:
                raise ApiError("too_large", f"wanted at most {MOST_PIXELS:,} pixels")
            if opened.format == "JPEG":
                opened.draft("RGB", (LONGEST_SIDE, LONGEST_SIDE))
            upright = ImageOps.exif_transpose(opened)
            upright.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
            plain = Image.new("RGB", upright.size, "white")
            layered = upright.convert("RGBA") if upright.mode in ("P", "LA", "RGBA") else upright
            plain.paste(layered, mask=layered if layered.mode == "RGBA" else None)
            out = io.BytesIO()
            plain.save(out, "JPEG", quality=QUALITY, optimize=True)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ApiError("too_large", f"wanted at most {MOST_PIXELS:,} pixels") from error
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Warning) as error:
        raise ApiError("unsupported_type", "wanted a JPEG, PNG or WebP picture") from error
    return Picture(out.getvalue(), *plain.size)


def keep(
    console: Console,
    data: bytes,
    *,
    by: str,
    place: str,
    at_ns: int,
    photo_id: str | None,
    task: Task | None = None,
) -> Photo:
    """Clean a photo, seal and keep it; the same id again is the same photo.

    Raises
    ------
    ApiError
        If it is no picture, or the task has four.
    """
    name = photo_id or "p-" + secrets.token_hex(8)
    known = _row(console, name)
    if known is not None:
        return _photo(known)
    picture = clean(data)
    vault = console.store.people.vault()
    key, sealed = vault.seal_bytes(name, "photo", picture.jpeg)
    row: dict[str, Any] = {
        "photo_id": name, "task_id": task.task_id if task else None, "incident_id": None,
        "subject_id": task.subject_id if task else None, "place": place, "by": by,
        "at_ns": at_ns, "width": picture.width, "height": picture.height, "key_id": key,
        "sealed": sealed, "nbytes": len(picture.jpeg),
    }  # fmt: skip
    with console.store.database.write() as connection:
        if task is not None:
            count = select(func.count()).where(tc.photos.c.task_id == task.task_id)
            if connection.execute(count).scalar_one() >= MOST:
                raise ApiError("refused", f"a task has at most {MOST} photos")
        write(connection, tc.photos, [row], How.NEW)
    kept = _row(console, name)
    assert kept is not None
    return _photo(kept)


def attach(console: Console, photo_ids: Sequence[str], *, by: str, task: Task) -> None:
    """Put photos that somebody sent before to a task.

    Raises
    ------
    ApiError
        If one is not there, is somebody else's, or there are too many.
    """
    if not photo_ids:
        return
    c = tc.photos.c
    with console.store.database.write() as connection:
        mine = (c.photo_id.in_(photo_ids)) & (c.by == by)
        free = mine & (c.task_id.is_(None) | (c.task_id == task.task_id)) & c.incident_id.is_(None)
        connection.execute(
            update(tc.photos)
            .where(free)
            .values(task_id=task.task_id, subject_id=task.subject_id, place=task.place)
        )
        query = select(c.photo_id).where(c.task_id == task.task_id)
        there = set(connection.execute(query).scalars())
        missing = sorted(set(photo_ids) - there)
        if missing:
            raise ApiError("refused", f"photo {missing[0]!r} is not there; send it first")
        if len(there) > MOST:
            raise ApiError("refused", f"a task has at most {MOST} photos")


def photos_of(console: Console, task_id: str) -> list[Photo]:
    """Return what is known of a task's photos."""
    query = select(tc.photos).where(tc.photos.c.task_id == task_id).order_by(tc.photos.c.at_ns)
    with console.store.database.read() as connection:
        return [_photo(row) for row in connection.execute(query)]


def jpeg_of(console: Console, photo_id: str) -> tuple[bytes, Any]:
    """Return (JPEG, row) of a photo.

    Raises
    ------
    ApiError
        404 if there is none.
    """
    row = _row(console, photo_id)
    if row is None:
        raise not_found(f"photo {photo_id!r}")
    vault = console.store.people.vault()
    return vault.unseal_bytes(photo_id, "photo", row.key_id, row.sealed), row


def _row(console: Console, photo_id: str) -> Any:
    query = select(tc.photos).where(tc.photos.c.photo_id == photo_id)
    with console.store.database.read() as connection:
        return connection.execute(query).first()


def _photo(row: Any) -> Photo:
    return Photo(
        photo_id=row.photo_id,
        at=stamp(row.at_ns),
        by=row.by,
        width=row.width,
        height=row.height,
        bytes=row.nbytes,
    )
