"""The live stream (Server-Sent Events)."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import StreamingResponse

from engine.console.errors import ApiError
from engine.console.security import Allow, Who

router = APIRouter(tags=["stream"])
MOST_CLIENTS = 5_000


class EventStream(StreamingResponse):
    """A stream of events."""

    media_type = "text/event-stream"


@router.get(
    "/stream",
    operation_id="stream",
    response_class=EventStream,
    responses={200: {"content": {"text/event-stream": {}}, "description": "Events, see docs"}},
)
async def stream(
    request: Request,
    who: Annotated[Who, Depends(Allow("command", "dispatcher", "gridworker", "data", wall=True))],
    cursor: Annotated[int | None, Query(ge=0, lt=2**63)] = None,
    last_event_id: Annotated[str | None, Header(max_length=30)] = None,
) -> EventStream:
    """Follow alerts and tasks as they change, from a cursor on."""
    hub = request.app.state.hub
    if hub.clients >= MOST_CLIENTS:
        raise ApiError("slow_down", "too many streams", retry_after_s=10)
    if last_event_id:
        if not last_event_id.isascii() or not last_event_id.isdigit():
            raise ApiError("bad_request", "Last-Event-ID: wanted a number from this stream")
        cursor = min(int(last_event_id), 2**62)
    headers = {"X-Accel-Buffering": "no", "Cache-Control": "no-store", "Vary": "Accept-Encoding"}
    packed = "gzip" in request.headers.get("accept-encoding", "")
    if packed:
        headers["Content-Encoding"] = "gzip"
    return EventStream(hub.read(who, cursor, packed=packed), headers=headers)
