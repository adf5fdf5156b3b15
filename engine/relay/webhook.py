"""Webhooks: CloudEvents posted, signed as Standard Webhooks has it (standardwebhooks.com)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx

from engine.config import WebhookConfig
from engine.relay.channel import TOLD, Answer
from engine.relay.egress import client
from engine.relay.messages import CONTENT_TYPE, Message, cloud_event
from engine.store.deliveries import Deliveries

AT_ONCE = 4
GONE = 410
LONGEST_WISH_S = 3_600.0
_SECRET = "whsec_"  # noqa: S105 -- how secrets of this standard begin


def signature(secret: str, name: str, timestamp: int, body: bytes) -> str:
    """Return the signature of a message.

    Parameters
    ----------
    secret : str
        Shared with the receiver; ``whsec_`` and base64, or plain text.
    name : str
        Id of the message, the same at every attempt.
    timestamp : int
        Of this attempt, seconds.

    >>> signature("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek",
    ...           1614265330, b'{"test": 2432232314}')
    'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
    """
    key = secret.encode()
    if secret.startswith(_SECRET):
        key = base64.b64decode(secret.removeprefix(_SECRET))
    signed = b".".join((name.encode(), str(timestamp).encode(), body))
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


class WebhookChannel:
    """Posts to one receiver.

    Parameters
    ----------
    name : str
        As the configuration has it.
    config : WebhookConfig
    source : str
        `source` of the events.
    networks : sequence of str
        Private networks that may be called.
    wall : callable
        Seconds.
    """

    at_once = 100

    def __init__(
        self, name: str, config: WebhookConfig, source: str, networks: Sequence[str],
        wall: Callable[[], float],
    ) -> None:  # fmt: skip
        self.name = f"webhook:{name}"
        self.topics: Sequence[str] = config.topics
        self.attempts = config.attempts
        self._config = config
        self._source = source
        self._wall = wall
        self._client = client(networks, config.timeout_s)
        self._pool = ThreadPoolExecutor(AT_ONCE, f"webhook-{name}")

    def look(self, deliveries: Deliveries) -> None:
        """Nothing to look at."""

    def tell(self, messages: Sequence[Message]) -> Sequence[Answer]:
        """Post all, a few at a time; `seq` in each says which change came first."""
        return list(self._pool.map(self._post, messages))

    def _post(self, message: Message) -> Answer:
        body = cloud_event(message, self._source)
        now = int(self._wall())
        headers = {
            "content-type": CONTENT_TYPE,
            "user-agent": "gridwarden",
            "webhook-id": message.delivery.name,
            "webhook-timestamp": str(now),
        }
        if self._config.secret is not None:
            secret = self._config.secret.get_secret_value()
            headers["webhook-signature"] = signature(secret, message.delivery.name, now, body)
        try:
            with self._client.stream(
                "POST", self._config.url.get_secret_value(), content=body, headers=headers
            ) as answer:  # its body is nobody's business, and may be endless
                return _answer(answer)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return Answer(f"{type(error).__name__}: {error}")

    def mark(self) -> tuple[str, int] | None:
        """Nothing to note."""
        return None

    def close(self) -> None:
        """Close all connections."""
        self._pool.shutdown(cancel_futures=True)
        self._client.close()


def _answer(answer: httpx.Response) -> Answer:
    if answer.is_success:
        return TOLD
    problem = f"HTTP {answer.status_code} {answer.reason_phrase}"
    if answer.status_code == GONE:
        return Answer(problem, aside=True)
    wish = answer.headers.get("retry-after", "")
    return Answer(problem, min(float(wish), LONGEST_WISH_S) if wish.isdecimal() else None)
