"""Notifications by the platform: a gridworker's phone asks to be woken when a task comes."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from engine.console.boards import Done, PushInfo, PushState
from engine.console.errors import ApiError, not_found
from engine.console.requests import PushRequest
from engine.console.routes.params import Id
from engine.console.security import Allow, Here, Who

router = APIRouter(tags=["push"])
Worker = Annotated[Who, Depends(Allow("gridworker"))]


@router.get("/push", operation_id="push_info")
def push_info(console: Here, _: Worker) -> PushInfo:
    """Tell whether the site wakes phones, and with which key they subscribe."""
    return PushInfo(key=console.push_key)


@router.post("/push", operation_id="push_on")
def push_on(console: Here, who: Worker, body: PushRequest) -> PushState:
    """Have this phone woken; the same again only says that it is still there."""
    if console.push_key is None:
        raise ApiError("refused", "this site wakes no phones (relay.push is not set)")
    row = console.store.pushes.add(
        who.account.name, endpoint=body.endpoint, p256dh=body.keys.p256dh, auth=body.keys.auth,
        now_wall=console.wall(),
    )  # fmt: skip
    return PushState(subscription_id=row.subscription_id)


@router.delete("/push/{subscription_id}", operation_id="push_off")
def push_off(console: Here, who: Worker, subscription_id: Id) -> Done:
    """Let this phone sleep."""
    if not console.store.pushes.drop(subscription_id, who.account.name):
        raise not_found("subscription")
    return Done()
