"""Signing in by an identity provider (OpenID Connect, code flow with PKCE).

The provider says who somebody is; what they may do stays with the account here that an
administrator has tied to that subject. Nobody gets an account by signing in.

References
----------
OpenID Connect Core 1.0, §3.1; RFC 7636 (PKCE).
"""

from __future__ import annotations

import secrets
import time
from typing import Any, NamedTuple

from engine.config import OidcConfig

FRESH_S = 3_600.0
"""How long what the provider says of itself, and its keys, are taken from memory."""
ALGORITHMS = ["RS256", "PS256", "ES256"]
TIMEOUT_S = 10.0


class OidcError(Exception):
    """Somebody cannot be signed in by the provider; the message is for the log."""


class Kept(NamedTuple):
    """What the browser keeps between leaving for the provider and coming back."""

    state: str
    nonce: str
    verifier: str

    @classmethod
    def fresh(cls) -> Kept:
        """Return new secrets."""
        return cls(*(secrets.token_urlsafe(n) for n in (24, 24, 48)))

    @classmethod
    def read(cls, cookie: str | None) -> Kept:
        """Return what a cookie holds.

        Raises
        ------
        OidcError
            If it is not one of ours.
        """
        parts = (cookie or "").split(".")
        if len(parts) != 3 or not all(parts):
            raise OidcError("came back without the cookie of the start")
        return cls(*parts)

    def __str__(self) -> str:
        return ".".join(self)


class Provider:
    """One identity provider.

    Parameters
    ----------
    config : OidcConfig
    transport
        For tests: answers in the provider's place.
    """

    def __init__(self, config: OidcConfig, transport: Any = None) -> None:
        self.config = config
        self._transport = transport
        self._seen_s = 0.0
        self._said: dict[str, Any] = {}
        self._keys: Any = {}

    def _client(self, redirect: str) -> Any:
        try:
            from authlib.integrations.httpx_client import AsyncOAuth2Client
        except ImportError:
            raise OidcError("console.oidc needs authlib: pip install 'gridwarden[oidc]'") from None
        secret = self.config.client_secret
        return AsyncOAuth2Client(
            self.config.client_id,
            secret.get_secret_value() if secret else None,
            scope=" ".join(self.config.scopes),
            redirect_uri=redirect,
            code_challenge_method="S256",
            transport=self._transport,
            timeout=TIMEOUT_S,
        )

    async def _learn(self, client: Any, *, anew: bool = False) -> None:
        """Read what the provider says of itself, and its keys."""
        if not anew and self._said and time.monotonic() - self._seen_s < FRESH_S:
            return
        issuer = self.config.issuer.rstrip("/")
        answer = await client.request(
            "GET", f"{issuer}/.well-known/openid-configuration", withhold_token=True
        )
        answer.raise_for_status()
        said = answer.json()
        if str(said.get("issuer", "")).rstrip("/") != issuer:
            raise OidcError(f"the provider calls itself {said.get('issuer')!r}, wanted {issuer!r}")
        keys = await client.request("GET", said["jwks_uri"], withhold_token=True)
        keys.raise_for_status()
        self._said, self._keys, self._seen_s = said, keys.json(), time.monotonic()

    async def start(self, redirect: str) -> tuple[str, Kept]:
        """Return where to send the browser, and what it keeps.

        Raises
        ------
        OidcError
            If the provider cannot be reached.
        """
        kept = Kept.fresh()
        try:
            async with self._client(redirect) as client:
                await self._learn(client)
                url, _ = client.create_authorization_url(
                    self._said["authorization_endpoint"], state=kept.state, nonce=kept.nonce,
                    code_verifier=kept.verifier,
                )  # fmt: skip
        except OidcError:
            raise
        except Exception as error:
            raise OidcError(f"{type(error).__name__}: {error}") from error
        return str(url), kept

    async def finish(self, redirect: str, code: str, state: str, kept: Kept) -> str:
        """Return whom the provider says is there (the claim of the configuration).

        Raises
        ------
        OidcError
            If the answer is not to what was asked, or its token does not hold.
        """
        if not secrets.compare_digest(state, kept.state):
            raise OidcError("the state is not the one that was sent")
        try:
            async with self._client(redirect) as client:
                await self._learn(client)
                token = await client.fetch_token(
                    self._said["token_endpoint"], code=code, code_verifier=kept.verifier
                )
                claims = await self._claims(client, str(token.get("id_token", "")), kept.nonce)
        except OidcError:
            raise
        except Exception as error:
            raise OidcError(f"{type(error).__name__}: {error}") from error
        who = claims.get(self.config.claim)
        if not isinstance(who, str) or not who:
            raise OidcError(f"the token has no claim {self.config.claim!r}")
        return who

    async def _claims(self, client: Any, token: str, nonce: str) -> dict[str, Any]:
        """Return the claims of an ID token that holds; keys that turned over are read anew."""
        from joserfc import jwt
        from joserfc.errors import JoseError
        from joserfc.jwk import KeySet

        wanted = jwt.JWTClaimsRegistry(
            leeway=60,
            iss={"essential": True, "value": self._said["issuer"]},
            aud={"essential": True, "value": self.config.client_id},
            sub={"essential": True},
            exp={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        for anew in (False, True):
            try:
                found = jwt.decode(token, KeySet.import_key_set(self._keys), ALGORITHMS)
                wanted.validate(found.claims)
                return dict(found.claims)
            except (JoseError, ValueError) as error:
                if anew:
                    raise OidcError(f"the ID token does not hold: {error}") from error
                await self._learn(client, anew=True)
        raise AssertionError("unreachable")
