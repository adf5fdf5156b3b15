"""Waking gridworkers' phones by Web Push (RFC 8030; keys: RFC 8292, encryption: RFC 8291).

A push service sees an encrypted message of a phone, and when. Within is what a locked phone may
show to anybody: level, kind, limit, and which task to open; never a place, a person or a reason.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import msgspec

from engine.config import ConfigError, PushConfig
from engine.relay.channel import TOLD, Answer
from engine.relay.egress import EgressRefused, client
from engine.relay.messages import Message
from engine.relay.words import Note, Words
from engine.store import Store
from engine.store.deliveries import Deliveries
from engine.store.pushes import Holder, Subscription
from engine.tasks import NS, Task, due

if TYPE_CHECKING:
    from py_vapid import Vapid02

GONE = (404, 410)
"""The phone took its word back: it is dropped."""
HOUR_S = 3_600
SIGNED_S = 12 * HOUR_S
"""How long a signature for a push service holds."""
KEPT_S = (600, 24 * HOUR_S)
"""A push service keeps a message for a phone that is off, until the task's limit within these."""
TIMEOUT_S = 10.0


def vapid_of(config: PushConfig) -> Vapid02:
    """Return the site's key.

    Raises
    ------
    ConfigError
        If the library is not installed, or the key is none.
    """
    if importlib.util.find_spec("py_vapid") is None:
        raise ConfigError("relay.push: needs the extra 'push' (pywebpush)")
    from py_vapid import Vapid02

    text = config.key.get_secret_value().strip()
    try:
        made = Vapid02.from_pem(text.encode()) if "BEGIN" in text else Vapid02.from_string(text)
        _ = made.public_key
    except Exception as error:
        raise ConfigError(
            "relay.push.key: wanted a private key on P-256, as PEM or base64url; "
            "`vapid --gen` makes one (private_key.pem)"
        ) from error
    return made


def public_key(config: PushConfig) -> str:
    """Return what browsers subscribe with: the public key, uncompressed, as base64url."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    from py_vapid.utils import b64urlencode

    key = vapid_of(config).public_key
    return str(b64urlencode(key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)))


class PushChannel:
    """Wakes the phones of whoever holds a task, or of those of its queue while nobody does.

    Parameters
    ----------
    config : PushConfig
    store : Store
        Whose phones there are.
    words : mapping of str to Words
        By language.
    networks : sequence of str
        Private networks where push services may stand.
    wall : callable
        Seconds.
    transport : httpx.BaseTransport, optional
        For tests; default: public addresses and `networks` alone.

    Raises
    ------
    ConfigError
        If the key is none.
    """

    name = "push"
    topics: Sequence[str] = ("task",)
    attempts = 8
    at_once = 100

    def __init__(
        self, config: PushConfig, store: Store, words: Mapping[str, Words],
        networks: Sequence[str], wall: Callable[[], float],
        *, transport: httpx.BaseTransport | None = None,
    ) -> None:  # fmt: skip
        self._levels = config.levels
        self._contact = config.contact
        self._vapid = vapid_of(config)
        self._store = store
        self._words = words
        self._wall = wall
        self._client = (
            client(networks, TIMEOUT_S) if transport is None else httpx.Client(transport=transport)
        )
        self._signed: dict[str, tuple[float, str]] = {}

    def look(self, deliveries: Deliveries) -> None:
        """Nothing to look at."""

    def tell(self, messages: Sequence[Message]) -> Sequence[Answer]:
        """Wake every phone that a message is for; one that failed has its message told again.

        Phones that got it before show it once all the same: it bears the task's tag.
        """
        return [self._tell(message) for message in messages]

    def _tell(self, message: Message) -> Answer:
        task = message.task
        if task is None or task.level not in self._levels:
            return TOLD
        notes = {language: words.short(message) for language, words in self._words.items()}
        if not any(notes.values()):
            return TOLD
        failed = TOLD
        for holder in self._store.pushes.of(self._for(task)):
            note = notes.get(holder.language) or notes["zh"]
            if note is not None:
                answer = self._send(holder, note, task)
                failed = answer if answer.problem else failed
        return failed

    def _for(self, task: Task) -> list[str]:
        if task.assignee is not None:
            return [task.assignee]
        return [
            worker.worker_id
            for worker in self._store.rosters.workers()
            if worker.role == task.queue
            and any(task.grid.startswith(code) for code in worker.grids)
        ]

    def _send(self, holder: Holder, note: Note, task: Task) -> Answer:
        phone = holder.subscription
        body = {
            "title": note.title, "body": note.body, "tag": task.task_id,
            "path": f"/m/task/{task.task_id}", "lang": holder.language, "red": task.level == "red",
        }  # fmt: skip
        try:
            sealed = _sealed(phone, msgspec.json.encode(body))
            answer = self._client.post(
                phone.endpoint, content=sealed, headers=self._headers(phone, task)
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            if isinstance(error.__cause__, EgressRefused):
                self._store.pushes.drop(phone.subscription_id)
                return Answer(str(error), aside=True)
            return Answer(type(error).__name__)  # not its address: whoever has it may send
        except _BadPhoneError:
            self._store.pushes.drop(phone.subscription_id)
            return TOLD
        if answer.status_code in GONE:
            self._store.pushes.drop(phone.subscription_id)
            return TOLD
        if answer.is_success:
            return TOLD
        wish = answer.headers.get("retry-after", "")
        return Answer(
            f"HTTP {answer.status_code}", min(float(wish), HOUR_S) if wish.isdecimal() else None
        )

    def _headers(self, phone: Subscription, task: Task) -> dict[str, str]:
        least, most = KEPT_S
        at_ns = due(task)
        left = most if at_ns is None else (at_ns - task.updated_ns) // NS
        parts = urlsplit(phone.endpoint)
        return {
            "authorization": self._signature(f"{parts.scheme}://{parts.netloc}"),
            "content-encoding": "aes128gcm",
            "content-type": "application/octet-stream",
            "ttl": str(max(least, min(int(left), most))),
            "urgency": "high" if task.level in ("red", "orange") else "normal",
            "topic": task.task_id[:32],  # a newer word on a task takes the place of an older one
        }

    def _signature(self, audience: str) -> str:
        now = self._wall()
        until, signed = self._signed.get(audience, (0.0, ""))
        if until < now + HOUR_S:
            until = now + SIGNED_S
            claims = {"aud": audience, "exp": int(until), "sub": self._contact}
            signed = str(self._vapid.sign(claims)["Authorization"])
            self._signed[audience] = (until, signed)
        return signed

    def mark(self) -> tuple[str, int] | None:
        """Nothing to note."""
        return None

    def close(self) -> None:
        """Close all connections."""
        self._client.close()


class _BadPhoneError(ValueError):
    """A phone's keys are no keys."""


def _sealed(phone: Subscription, data: bytes) -> bytes:
    """Return data as only that phone can read it."""
    from pywebpush import WebPusher

    keys: dict[str, Any] = {"p256dh": phone.p256dh, "auth": phone.auth}
    try:
        return bytes(WebPusher({"endpoint": phone.endpoint, "keys": keys}).encode(data)["body"])
    except Exception as error:
        raise _BadPhoneError(phone.subscription_id) from error
