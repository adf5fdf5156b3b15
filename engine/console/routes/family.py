"""Families' links: no sign-in, rate-limited, nothing personal."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request

from engine.console import family as f
from engine.console.boards import Done, FamilyLink, FamilyState, NewFamilyLink
from engine.console.context import Console
from engine.console.errors import ApiError
from engine.console.lookups import subject_for
from engine.console.requests import Away, Rating, Reply
from engine.console.routes.params import Id, ns_of
from engine.console.security import Allow, Here, Who, address_of, check_origin
from engine.store.access import hash_secret
from engine.store.ratings import read_rating

router = APIRouter(tags=["family"])
Desk = Annotated[Who, Depends(Allow("dispatcher"))]
Secret = Annotated[str, Path(min_length=10, max_length=200)]
_BY_LINK, _BY_ADDRESS = f.Limiter(10), f.Limiter(60)


def _open(request: Request, console: Console, link: str) -> f.LinkRow:
    """Return a link after counting the request, whether or not there is such a link."""
    site = str(id(request.app))
    _BY_ADDRESS.check(f"{site}/{address_of(request)}")
    _BY_LINK.check(f"{site}/{hash_secret(link)}")
    if request.method != "GET":
        check_origin(request)
    return f.open_link(console, link)


@router.get("/family/{link}", operation_id="family_state")
def family_state(request: Request, console: Here, link: Secret) -> FamilyState:
    """Return what the family's page shows."""
    return f.state_of(console, _open(request, console, link))


@router.post("/family/{link}/away", operation_id="family_away")
def family_away(request: Request, console: Here, link: Secret, body: Away) -> FamilyState:
    """Declare "away until …"; the bounds of absences hold."""
    row = _open(request, console, link)
    until_ns = ns_of(body.until)
    assert until_ns is not None
    return f.away(console, row, until_ns)


@router.post("/family/{link}/well", operation_id="family_well")
def family_well(request: Request, console: Here, link: Secret) -> FamilyState:
    """Tell that all is well."""
    return f.well(console, _open(request, console, link))


@router.post("/family/{link}/rating", operation_id="family_rating")
def family_rating(request: Request, console: Here, link: Secret, body: Rating) -> FamilyState:
    """Tell how content the family is with a visit; the first word stands."""
    return f.rate(console, _open(request, console, link), body.rating, body.task_id)


@router.post("/family/replies", operation_id="family_reply")
def family_reply(
    console: Here,
    who: Annotated[Who, Depends(Allow(token="messages"))],  # noqa: S106  a scope's name
    body: Reply,
) -> FamilyState:
    """Take a family's reply to a message, from the message gateway."""
    if who.token is None:
        raise ApiError("forbidden", "wanted an API token with the scope 'messages'")
    row = f.open_link(console, body.link)
    if (rating := read_rating(body.text)) is not None:
        return f.rate(console, row, rating)
    until_ns = f.read_reply(body.text, console.now_ns(), console.zone)
    return f.well(console, row) if until_ns is None else f.away(console, row, until_ns)


@router.get("/subjects/{subject_id}/links", operation_id="family_links")
def family_links(console: Here, who: Desk, subject_id: Id) -> list[FamilyLink]:
    """List the links of a home."""
    subject_for(console, who, subject_id)
    return [f.link_view(row) for row in f.links_of(console, subject_id)]


@router.post("/subjects/{subject_id}/links", operation_id="add_family_link")
def add_family_link(request: Request, console: Here, who: Desk, subject_id: Id) -> NewFamilyLink:
    """Make a link for a home; its address is shown this once."""
    subject_for(console, who, subject_id)
    secret, row = f.add_link(console, subject_id, by=who.actor)
    base = console.settings.url or str(request.base_url)
    return NewFamilyLink(**f.link_view(row).model_dump(), url=f"{base.rstrip('/')}/f/{secret}")


@router.delete("/links/{link_id}", operation_id="revoke_family_link")
def revoke_family_link(console: Here, who: Desk, link_id: Id) -> Done:
    """Revoke a link."""
    row = f.link_by_id(console, link_id)
    subject_for(console, who, row.subject_id)
    f.revoke_link(console, link_id, by=who.actor)
    return Done()
