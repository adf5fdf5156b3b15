"""Photos: sending and looking at them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, File, Request, Response, UploadFile

from engine.console.errors import ApiError, not_found
from engine.console.lookups import task_for
from engine.console.photos import jpeg_of, keep
from engine.console.routes.params import Id
from engine.console.schemas import Photo
from engine.console.security import Allow, Here, Once, Who
from engine.tasks import Action

router = APIRouter(tags=["photos"])
Worker = Annotated[Who, Depends(Allow("gridworker"))]


def _bytes_of(upload: UploadFile, most: int) -> bytes:
    data = upload.file.read(most + 1)
    if len(data) > most:
        raise ApiError("too_large", f"wanted at most {most} bytes")
    return data


@router.post("/photos", operation_id="upload_photo")
def upload_photo(
    request: Request, response: Response, console: Here, who: Worker,
    file: Annotated[UploadFile, File(description="JPEG, PNG or WebP.")],
) -> Photo:  # fmt: skip
    """Send a photo for a report to come."""
    data = _bytes_of(file, int(console.settings.photo_mb * 1e6))
    once = Once(request, who, data)
    kept = keep(
        console, data, by=who.actor, place=min(who.scope, default=""), at_ns=console.now_ns(),
        photo_id=once.name("p"),
    )  # fmt: skip
    once.done(response)
    return kept


@router.post("/tasks/{task_id}/photos", operation_id="add_photo")
def add_photo(
    request: Request, response: Response, console: Here, who: Worker, task_id: Id,
    file: Annotated[UploadFile, File(description="JPEG, PNG or WebP.")],
) -> Photo:  # fmt: skip
    """Add a photo to a task that one holds; at most four."""
    task = task_for(console, who, task_id)
    if task.assignee != who.actor:
        raise ApiError("holder_only")
    data = _bytes_of(file, int(console.settings.photo_mb * 1e6))
    once = Once(request, who, data)
    kept = keep(
        console, data, by=who.actor, place=task.place, at_ns=console.now_ns(),
        photo_id=once.name("p"), task=task,
    )  # fmt: skip
    if not once.replayed:
        console.store.tasks.act(
            task_id, Action.NOTE, by=who.actor, at_ns=max(console.now_ns(), task.opened_ns),
            why="photo", detail={"photo_id": kept.photo_id}, key=once.scoped,
        )  # fmt: skip
    once.done(response)
    return kept


@router.get(
    "/photos/{photo_id}",
    operation_id="photo",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}, "description": "The photo"}},
)
def photo(
    console: Here,
    who: Annotated[Who, Depends(Allow("command", "dispatcher", "gridworker", "auditor"))],
    photo_id: Id,
) -> Response:
    """Return a photo to those who may see its task; the look is logged."""
    data, row = jpeg_of(console, photo_id)
    if row.by != who.actor:
        if row.task_id is not None:
            task_for(console, who, row.task_id)
        else:
            who.must_see(row.place, f"photo {photo_id!r}")
        if row.task_id is None and row.incident_id is None:
            raise not_found(f"photo {photo_id!r}")  # not sent with anything yet
    console.store.books.audit(
        who.account.name, console.now_ns(), "photo_seen", row.subject_id or row.place,
        {"photo": photo_id, "task": row.task_id},
    )  # fmt: skip
    return Response(data, media_type="image/jpeg", headers={"Content-Disposition": "inline"})
