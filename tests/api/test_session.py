"""Signing in: lockout, cookies, CSRF, tokens, headers."""

from __future__ import annotations

import pytest

from tests.api.kit import PASSWORD, Site

SIGN_IN = {"name": "data", "password": PASSWORD}


def test_signing_in_gives_a_cookie_that_no_script_reads(site: Site) -> None:
    answer = site.client().api("POST", "/session", json=SIGN_IN)
    assert answer.status_code == 200
    cookie = answer.headers["set-cookie"]
    for flag in ("HttpOnly", "Secure", "SameSite=strict", "Path=/"):
        assert flag in cookie
    assert answer.json()["account"]["roles"] == ["data"]
    assert PASSWORD not in answer.text


def test_wrong_passwords_lock_the_name_and_then_let_go(site: Site) -> None:
    client = site.client()
    wrong = {"name": "data", "password": "wrong"}
    for _ in range(10):
        assert client.api("POST", "/session", json=wrong).json()["code"] == "wrong_password"
    locked = client.api("POST", "/session", json=SIGN_IN)  # even the right one
    assert locked.status_code == 429
    assert 0 < int(locked.headers["retry-after"]) <= 901
    assert client.api("POST", "/session", json=SIGN_IN | {"name": "command"}).status_code == 200
    site.times.wall += 901
    assert client.api("POST", "/session", json=SIGN_IN).status_code == 200


def test_an_unknown_name_is_told_like_a_wrong_password(site: Site) -> None:
    client = site.client()
    unknown = client.api("POST", "/session", json={"name": "nobody", "password": "x"})
    wrong = client.api("POST", "/session", json={"name": "data", "password": "x"})
    assert unknown.json() == wrong.json()


def test_a_change_needs_the_token_of_the_session(site: Site) -> None:
    client = site.client("gridworker")
    path = f"/tasks/{site.task}/sign"
    for headers in ({"X-CSRF-Token": ""}, {"X-CSRF-Token": "x" * 32}):
        assert client.api("POST", path, json={}, headers=headers).json()["code"] == "csrf"
    for headers in (
        {"Origin": "https://evil.test"}, {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "null"},
    ):  # fmt: skip
        assert client.api("POST", path, json={}, headers=headers).json()["code"] == "csrf"
    assert site.store.tasks.get(site.task).state == "dispatched"
    same = {"Origin": "https://site.test", "Sec-Fetch-Site": "same-origin"}
    assert client.api("POST", path, json={}, headers=same).status_code == 200


def test_nobody_is_signed_in_by_another_site(site: Site) -> None:
    client = site.client()
    answer = client.api("POST", "/session", json=SIGN_IN, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.json()["code"] == "csrf"


def test_signing_out_ends_the_session_at_once(site: Site) -> None:
    client = site.client("data")
    stolen = client.cookies["gridwarden"]
    assert client.api("DELETE", "/session").status_code == 200
    thief = site.client()
    thief.cookies.set("gridwarden", stolen)
    assert thief.api("GET", "/session").status_code == 401


def test_sessions_end_with_their_time_their_password_and_their_account(site: Site) -> None:
    client, admin = site.client("data"), site.client("admin")
    assert client.api("GET", "/session").status_code == 200
    admin.api("PATCH", "/accounts/data", json={"disabled": True})
    assert client.api("GET", "/session").status_code == 401
    admin.api("PATCH", "/accounts/data", json={"disabled": False})
    client = site.client("data")
    new = admin.api("POST", "/accounts/data/password").json()["password"]
    assert client.api("GET", "/session").status_code == 401
    client = site.client()
    assert client.api("POST", "/session", json=SIGN_IN | {"password": new}).status_code == 200
    site.times.wall += 12 * 3_600 + 1
    assert client.api("GET", "/session").status_code == 401


def test_the_last_admin_stays(site: Site) -> None:
    admin = site.client("admin")
    for change in ({"disabled": True}, {"roles": ["data"]}):
        answer = admin.api("PATCH", "/accounts/admin", json=change)
        assert answer.json()["code"] == "refused"


def test_tokens_do_what_their_scopes_say_until_they_are_revoked(site: Site) -> None:
    client = site.client("dispatcher")
    made = client.api("POST", "/tokens", json={"label": "x", "scopes": ["read"]}).json()
    assert made["secret"] not in client.api("GET", "/tokens").text
    program = site.client()
    program.headers["Authorization"] = f"Bearer {made['secret']}"
    assert program.api("GET", "/alerts").status_code == 200
    path = f"/tasks/{site.task}/supervise"
    assert program.api("POST", path, json={"why": "x"}).json()["code"] == "forbidden"
    assert program.api("POST", "/tokens", json={"label": "y", "scopes": ["act"]}).status_code == 403
    client.api("DELETE", f"/tokens/{made['token_id']}")
    assert program.api("GET", "/alerts").status_code == 401


def test_tokens_expire(site: Site) -> None:
    client = site.client("data")
    made = client.api("POST", "/tokens", json={"label": "x", "scopes": ["read"], "days": 1}).json()
    program = site.client()
    program.headers["Authorization"] = f"Bearer {made['secret']}"
    assert program.api("GET", "/rules").status_code == 200
    site.times.wall += 86_401
    assert program.api("GET", "/rules").status_code == 401


def test_secrets_are_kept_as_hashes_only(site: Site) -> None:
    client = site.client("data")
    token = client.api("POST", "/tokens", json={"label": "x", "scopes": ["read"]}).json()["secret"]
    raw = site.store.database.engine.raw_connection()
    dump = "\n".join(raw.driver_connection.iterdump())  # type: ignore[union-attr]
    for secret in (token, client.cookies["gridwarden"], PASSWORD):
        assert secret not in dump


@pytest.mark.parametrize("path", ["/api/v1/health", "/api/v1/alerts", "/api/v1/none", "/", "/x.js"])
def test_every_answer_has_the_headers(site: Site, path: str) -> None:
    answer = site.client().get(path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


def test_pages_are_served_from_their_folder_only(site: Site) -> None:
    client = site.client()
    assert "not built" in client.get("/").text  # and says what to run
    root = site.app.state.console and (site_folder := site.store.database.engine.url.database)
    assert root
    assert site_folder
    for path in ("/../site.db", "/..%2fsite.db", "/%2e%2e/site.db", "/assets/../../site.db"):
        answer = client.get(path)
        assert b"SQLite" not in answer.content


def test_unknown_routes_and_methods_are_problems(site: Site) -> None:
    client = site.client("data")
    for method, path, status in (
        ("GET", "/nothing", 404), ("PUT", "/alerts", 405), ("POST", "/nothing", 404),
    ):  # fmt: skip
        answer = client.api(method, path)
        assert answer.status_code in (status, 404), answer.text
        assert answer.headers["content-type"] == "application/problem+json"
