"""Schemathesis over the whole OpenAPI document: no 5xx, no answer that breaks its schema."""

from __future__ import annotations

import atexit
import shutil
import tempfile
import warnings
from pathlib import Path

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, settings

from engine.config import OidcConfig
from engine.console.oidc import Provider
from tests.api.kit import ROLES, Site
from tests.api.test_oidc import ISSUER, FakeProvider

SKIPPED = ("stream",)
"""It never ends; what it is asked with is tried in test_stream.py."""


def _site() -> Site:
    """Return a site with everything on: an identity provider, and phones to wake."""
    global _made
    if _made is None:
        _made = Site(Path(tempfile.mkdtemp(prefix="fuzz-")))
        oidc = OidcConfig(issuer=ISSUER, client_id="console")
        _made.console.oidc = Provider(oidc, transport=httpx.MockTransport(FakeProvider()))
        _made.console.push_key = "B" * 87
        atexit.register(shutil.rmtree, _made.folder, ignore_errors=True)
    return _made


_made: Site | None = None
schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", _site().app).exclude(
    operation_id=list(SKIPPED)
)


@schema.parametrize()
@settings(
    max_examples=12,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_no_request_breaks_the_api(case) -> None:  # type: ignore[no-untyped-def]
    roles = case.operation.definition.raw.get("x-roles") or [None]
    role = roles[0] if roles[0] in ROLES else "dispatcher" if roles[0] == "*" else None
    client = _site().client(role)
    headers = dict(client.headers)
    if role is not None:
        headers["Cookie"] = f"gridwarden={client.cookies['gridwarden']}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answer = case.call(headers={**headers, **(case.headers or {})}, allow_redirects=False)
    assert answer.status_code < 500, answer.text
    case.validate_response(
        answer,
        checks=[schemathesis.checks.not_a_server_error,
                schemathesis.specs.openapi.checks.response_schema_conformance],
    )  # fmt: skip
