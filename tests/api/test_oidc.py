"""Signing in by an identity provider: one that answers in the test's process, with real keys."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from engine.config import OidcConfig
from engine.console.oidc import Provider
from tests.api.kit import Site, a_site

ISSUER = "https://id.test"


class FakeProvider:
    """Discovery, keys, and tokens for codes that it gave."""

    def __init__(self) -> None:
        self.key = RSAKey.generate_key(2048, {"kid": "one"})
        self.asked: dict[str, str] = {}
        self.claims: dict[str, Any] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path.endswith("openid-configuration"):
            return httpx.Response(200, json={
                "issuer": ISSUER, "authorization_endpoint": f"{ISSUER}/auth",
                "token_endpoint": f"{ISSUER}/token", "jwks_uri": f"{ISSUER}/keys",
            })  # fmt: skip
        if path == "/keys":
            return httpx.Response(200, json={"keys": [self.key.as_dict(private=False)]})
        form = {k: v[0] for k, v in parse_qs(request.content.decode()).items()}
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if form["code"] != "good" or challenge != self.asked["code_challenge"]:
            return httpx.Response(400, json={"error": "invalid_grant"})
        now = int(time.time())
        claims = {
            "iss": ISSUER, "aud": "console", "sub": "u-17", "exp": now + 300, "iat": now,
            "nonce": self.asked["nonce"], **self.claims,
        }  # fmt: skip
        token = jwt.encode({"alg": "RS256", "kid": self.key.kid}, claims, self.key)
        answer = {"access_token": "x", "token_type": "Bearer", "id_token": token}
        return httpx.Response(200, content=json.dumps(answer))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Site, FakeProvider]]:
    with a_site(tmp_path) as found:
        fake = FakeProvider()
        config = OidcConfig(issuer=ISSUER, client_id="console", client_secret=None)
        found.console.oidc = Provider(config, httpx.MockTransport(fake))
        yield found, fake


def leave(site: Site, fake: FakeProvider) -> tuple[Any, str]:
    """Go to the provider; return the browser and the state."""
    client = site.client()
    answer = client.api("GET", "/oidc/start", follow_redirects=False)
    assert answer.status_code == 302
    address = urlsplit(answer.headers["location"])
    assert f"{address.scheme}://{address.netloc}{address.path}" == f"{ISSUER}/auth"
    fake.asked = {k: v[0] for k, v in parse_qs(address.query).items()}
    assert fake.asked["code_challenge_method"] == "S256"
    assert fake.asked["redirect_uri"] == "https://site.test/api/v1/oidc/callback"
    return client, fake.asked["state"]


def come_back(client: Any, state: str, code: str = "good") -> str:
    path = f"/oidc/callback?code={code}&state={state}"
    answer = client.api("GET", path, follow_redirects=False)
    assert answer.status_code == 302
    return str(answer.headers["location"])


def test_who_is_tied_to_the_subject_is_signed_in_and_it_is_logged(
    site: tuple[Site, FakeProvider],
) -> None:
    found, fake = site
    found.store.accounts.change("dispatcher", by="admin", at_ns=0, oidc_subject="u-17")
    client, state = leave(found, fake)
    assert come_back(client, state) == "/"
    me = client.api("GET", "/session").json()
    assert me["account"]["name"] == "dispatcher"
    entry = found.store.books.audit_log("dispatcher")[0]
    assert (entry.action, entry.detail["by"]) == ("signed_in", "oidc")


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "another client"}, {"iss": "https://evil.test"}, {"nonce": "another"},
        {"exp": 1_000_000_000}, {"sub": ""}, {"sub": "somebody else"},
    ],
)  # fmt: skip
def test_a_token_that_does_not_hold_signs_nobody_in(
    site: tuple[Site, FakeProvider], claims: dict[str, Any]
) -> None:
    found, fake = site
    found.store.accounts.change("dispatcher", by="admin", at_ns=0, oidc_subject="u-17")
    fake.claims = claims
    client, state = leave(found, fake)
    assert come_back(client, state) == "/?signin=failed"
    assert client.api("GET", "/session").status_code == 401


def test_state_code_cookie_and_key_must_be_right(site: tuple[Site, FakeProvider]) -> None:
    found, fake = site
    found.store.accounts.change("dispatcher", by="admin", at_ns=0, oidc_subject="u-17")
    client, state = leave(found, fake)
    assert come_back(client, "forged") == "/?signin=failed"
    client, state = leave(found, fake)
    assert come_back(client, state, code="stolen") == "/?signin=failed"
    _, state = leave(found, fake)
    assert come_back(found.client(), state) == "/?signin=failed", "another browser"
    client, state = leave(found, fake)
    fake.key = RSAKey.generate_key(2048, {"kid": "two"})
    assert come_back(client, state) == "/", "keys that turned over are read anew"


def test_a_disabled_account_and_a_site_without_a_provider(
    site: tuple[Site, FakeProvider],
) -> None:
    found, fake = site
    found.store.accounts.change(
        "dispatcher", by="admin", at_ns=0, oidc_subject="u-17", disabled=True
    )
    client, state = leave(found, fake)
    assert come_back(client, state) == "/?signin=failed"
    found.console.oidc = None
    assert client.api("GET", "/oidc/start").status_code == 404
