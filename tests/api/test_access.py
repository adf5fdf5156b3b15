"""Every route, every role, own and other place: generated from the OpenAPI document."""

from __future__ import annotations

from typing import Any

import pytest

from engine.tasks import TaskState
from rules.alerts import alert_id
from tests.api.kit import OTHER, PASSWORD, ROLES, Site
from tests.engine.store_kit import GRID, HOUR, T0

OWN = {
    "alert_id": alert_id("elderly-silence", "home-1", T0 - 6 * HOUR),
    "subject_id": "home-1",
    "department": "worker-1",
}
FAR = {
    "alert_id": alert_id("elderly-silence", "away-1", T0 - 6 * HOUR),
    "subject_id": "away-1",
    "department": "worker-1",
}
ELSE = {
    "absence_id": "a-none", "silence_id": "s-none", "photo_id": "p-none", "token_id": "k-none",
    "worker_id": "worker-1", "name": "data", "version": "none", "link": "x" * 30,
    "link_id": "f-none",
}  # fmt: skip
BODIES: dict[str, Any] = {
    "sign_in": {"name": "x", "password": "y"},
    "change_password": {"old": "x", "new": "y" * 12},
    "contact": {"who": "resident", "result": "no_answer"},
    "report": {"kind": "safe_at_home"},
    "reassign": {"to": "worker-2"},
    "transfer": {"queue": "street", "why": "because"},
    "whistle": {"departments": ["fire"], "why": "because"},
    "answer_call": {"text": "we came"},
    "declare_absence": {"subject_id": "SUBJECT", "until": "2026-01-05T00:00:00Z"},
    "add_silence": {"rule": "elderly-excess", "place": "PLACE", "until": "2026-01-05T00:00:00Z",
                    "why": "works"},
    "report_incident": {"place": "PLACE", "topic": "noise"},
    "add_account": {"name": "newcomer", "roles": ["data"], "scope": [""]},
    "add_token": {"label": "t", "scopes": ["read"]},
    "propose_rules": {"files": {"a.yaml": "nonsense"}},
    "set_consent": {"purpose": "x", "until": None},
    "family_away": {"until": "2026-01-05T00:00:00Z"},
    "family_reply": {"link": "x" * 30, "text": "1"},
    "change_worker": {},
}  # fmt: skip
STREAMS = {"stream"}


def operations(site: Site) -> list[tuple[str, str, dict[str, Any]]]:
    document = site.app.openapi()
    return [
        (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def call(client: Any, method: str, path: str, operation: dict[str, Any], ids: Any) -> Any:
    name = operation["operationId"]
    for key, value in (ELSE | ids).items():
        path = path.replace("{" + key + "}", value)
    how: dict[str, Any] = {}
    if "upload" in name or name == "add_photo":
        how["files"] = {"file": ("x.jpg", b"not a picture", "image/jpeg")}
    elif "requestBody" in operation:
        place = OTHER if ids["subject_id"] == "away-1" else GRID
        body = BODIES.get(name, {"why": "because"} if name not in ("sign", "arrive") else {})
        how["json"] = {
            k: {"SUBJECT": ids["subject_id"], "PLACE": place}.get(v, v)
            if isinstance(v, str) else v
            for k, v in body.items()
        }  # fmt: skip
    return client.request(method, path, **how)


def ids_of(site: Site, far: bool) -> dict[str, str]:
    return (FAR | {"task_id": site.far}) if far else (OWN | {"task_id": site.task})


def test_every_route_says_who_may_call_it(site: Site) -> None:
    for method, path, operation in operations(site):
        assert "x-roles" in operation, f"{method} {path}"
        assert set(operation["x-roles"]) <= {*ROLES, "*"}
    assert len(operations(site)) > 70


def test_nobody_gets_in_without_signing_in(site: Site) -> None:
    client = site.client()
    for method, path, operation in operations(site):
        if operation["x-roles"]:
            answer = call(client, method, path, operation, ids_of(site, far=False))
            assert answer.status_code == 401, f"{method} {path}"
            assert answer.json()["code"] == "signed_out"


@pytest.mark.parametrize("role", [*ROLES, "wall"])
def test_a_role_may_do_what_its_routes_say_and_nothing_else(site: Site, role: str) -> None:
    client = site.client(role)
    for method, path, operation in operations(site):
        name = operation["operationId"]
        allowed = operation["x-roles"]
        if not allowed or name in STREAMS or name in ("sign_out", "change_password"):
            continue
        may = "*" in allowed or ("command" if role == "wall" else role) in allowed
        may = may and (role != "wall" or operation["x-wall"])
        answer = call(client, method, path, operation, ids_of(site, far=False))
        where = f"{role}: {method} {path}: {answer.status_code} {answer.text[:200]}"
        if may:
            refused = answer.status_code == 403 and answer.json()["code"] == "forbidden"
            own_rule = name in ("family_reply", "answer_call", "add_token")
            assert not refused or own_rule, where
            assert answer.status_code != 401, where
            assert answer.status_code < 500, where
        else:
            assert answer.status_code == 403, where
        if name in ("change_account", "reset_password"):  # these end sessions
            client = site.client(role)


@pytest.mark.parametrize("role", ROLES)
def test_what_lies_elsewhere_does_not_exist(site: Site, role: str) -> None:
    client = site.client(role)
    for method, path, operation in operations(site):
        allowed = operation["x-roles"]
        if role not in allowed or operation["operationId"] in STREAMS:
            continue
        answer = call(client, method, path, operation, ids_of(site, far=True))
        where = f"{role}: {method} {path}: {answer.status_code} {answer.text[:300]}"
        about = [k for k in ("alert_id", "task_id", "subject_id") if "{" + k + "}" in path]
        body = "SUBJECT" in str(BODIES.get(operation["operationId"]))
        if operation["operationId"] in ("consents", "set_consent", "audit", "looks", "accounts"):
            continue  # offices of the whole site, without personal data
        if about or body:
            assert answer.status_code == 404, where
        elif method == "GET" and answer.status_code == 200:
            for secret in ("away-1", OTHER, "worker-9", site.far):
                assert secret not in answer.text, f"{where}: {secret}"


def test_no_change_from_afar_reached_a_task(site: Site) -> None:
    before = site.store.tasks.history(site.far)
    for role in ROLES:
        client = site.client(role)
        for method, path, operation in operations(site):
            if method != "GET" and "{task_id}" in path:
                call(client, method, path, operation, ids_of(site, far=True))
    assert site.store.tasks.history(site.far) == before


def test_a_silence_is_ended_by_those_whose_places_it_covers(site: Site) -> None:
    """Whoever answers for one street sees what hushes the whole county, and leaves it alone."""
    site.store.accounts.add(
        "county", roles=["dispatcher"], scope=[""], password=PASSWORD, by="test", at_ns=T0
    )
    county, street = site.client("county"), site.client("dispatcher")
    until = {"until": "2026-01-05T00:00:00Z", "why": "works"}
    for what in ({"place": "330106"}, {"rule": "elderly-excess"}):
        made = county.api("POST", "/silences", json=what | until).json()["silence_id"]
        assert made in {one["silence_id"] for one in street.api("GET", "/silences").json()}
        assert street.api("DELETE", f"/silences/{made}").json()["code"] == "forbidden"
        assert county.api("DELETE", f"/silences/{made}").json()["holds"] is False
    mine = street.api("POST", "/silences", json={"place": GRID} | until).json()["silence_id"]
    assert street.api("DELETE", f"/silences/{mine}").json()["holds"] is False


def test_nobody_is_made_to_answer_for_places_beyond_ones_own(site: Site) -> None:
    """A worker without grids answers for all of them."""
    desk = site.client("dispatcher")
    for grids in ([], [OTHER]):
        answer = desk.api("PATCH", "/workers/worker-1", json={"grids": grids})
        assert answer.status_code == 404, answer.text
    assert desk.api("PATCH", "/workers/worker-1", json={"grids": [GRID]}).status_code == 200


def test_the_wall_shows_no_name_no_door_no_subject(site: Site) -> None:
    client = site.client("wall")
    for path in ("/board", "/alerts?state=firing&state=resolved", "/places", "/session"):
        text = client.api("GET", path).text
        for secret in ("home-1", "home-2", "away-1", "沈", "12-2", "000-6666", "worker-1"):
            assert secret not in text, f"{path}: {secret}"
    tile = next(t for t in client.api("GET", "/board").json()["tiles"] if t["place"] == GRID)
    assert tile["watched"] == {"elderly_alone": None}  # two homes: too few to be told


def test_personal_data_only_for_the_holder_after_signing_and_every_look_is_logged(
    site: Site,
) -> None:
    worker, other = site.client("gridworker"), site.client("other")
    path = f"/tasks/{site.task}/person"
    assert worker.api("GET", path).json()["code"] == "sign_first"
    assert other.api("GET", path).status_code == 404
    assert site.client("dispatcher").api("GET", path).status_code == 403
    auditor = site.client("auditor")
    assert auditor.api("GET", "/audit/looks").json()["items"] == []
    assert worker.api("POST", f"/tasks/{site.task}/sign", json={}).status_code == 200
    seen = worker.api("GET", path, headers={"X-Why": "at the door"}).json()
    assert (seen["name"], seen["contacts"][0]["phone"]) == ("沈home-1", "000-6666-1234")
    looks = auditor.api("GET", "/audit/looks").json()["items"]
    assert [(x["who"], x["what"]) for x in looks] == [("gridworker", "home-1")]
    assert site.task in looks[0]["detail"]["why"]
    assert "沈" not in str(looks)
    worker.api("POST", f"/tasks/{site.task}/report", json={"kind": "safe_at_home"})
    assert worker.api("GET", path).json()["code"] == "holder_only"  # nothing left to do there


def test_consent_that_has_expired_closes_the_data(site: Site) -> None:
    worker, admin = site.client("gridworker"), site.client("admin")
    worker.api("POST", f"/tasks/{site.task}/sign", json={})
    admin.api(
        "PUT", "/consents/home-1", json={"purpose": "visits", "until": "2026-01-01T00:00:00Z"}
    )
    assert worker.api("GET", f"/tasks/{site.task}/person").json()["code"] == "no_consent"


def test_a_worker_keeps_a_task_that_came_from_elsewhere(site: Site) -> None:
    site.store.tasks.reassign(site.far, to="worker-1", by="dispatcher", at_ns=T0 + HOUR)
    worker = site.client("gridworker")
    assert worker.api("GET", f"/tasks/{site.far}").status_code == 200
    mine = worker.api("GET", "/tasks?mine=true").json()["items"]
    assert site.far in [t["task_id"] for t in mine]
    assert site.store.tasks.get(site.far).state == TaskState.REASSIGNED
