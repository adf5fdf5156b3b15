"""The demo's meters: the simulated town's readings sent as their time comes, by MQTT and HTTP.

Nothing is dropped: what no server takes waits here and is sent again, and what was sent is
counted, so that the end can say whether all of it arrived.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import numpy as np
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from engine.simulate.files import TownData
from rules.alerts import stamp

NS = 1_000_000_000
BATCH = 200
BY_HTTP = 8
"""Every eighth meter sends by HTTP, the others by MQTT."""
LOOK_S = 0.1
_ENCODER = msgspec.json.Encoder()


class Feed:
    """Sends a town's live days.

    Parameters
    ----------
    data : TownData
    url, key : str
        Of the gateway's push API.
    mqtt_port : int or None
        None: everything goes by HTTP.
    now_ns : callable
        Event time.
    """

    def __init__(
        self, data: TownData, url: str, key: str, mqtt_port: int | None, now_ns: Callable[[], int]
    ) -> None:
        assert data.live_from_ns is not None
        self.sent = 0
        """Readings handed to a server that acknowledged them."""
        self.events = 0
        self.problem: str | None = None
        self._data = data
        self._now_ns = now_ns
        self._ids = [m.meter_id for m in data.meters]
        self._at = int(np.searchsorted(data.arrival_ns, data.live_from_ns))
        self._events = deque(
            sorted(
                (e for e in data.events if data.start_ns + e.ts_s * NS >= data.live_from_ns),
                key=lambda e: e.ts_s,
            )
        )
        self._bodies: deque[tuple[str, bytes, int]] = deque()
        self._http = httpx.Client(
            base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=25, trust_env=False
        )
        self._mqtt_port = mqtt_port
        self._mqtt: mqtt.Client | None = None
        self._under_way: dict[int, int] = {}
        self._early: set[int] = set()
        """Acknowledged before it was written down that they were sent."""
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=work, daemon=True, name=name)
            for name, work in (("meters", self._run), ("push", self._push))
        ]

    @property
    def waiting(self) -> int:
        """Readings that no server has acknowledged yet."""
        with self._lock:
            return sum(self._under_way.values()) + sum(n for _, _, n in list(self._bodies))

    @property
    def over(self) -> bool:
        """Whether the town has no more readings."""
        return self._at >= len(self._data.meter)

    def start(self) -> None:
        """Begin."""
        if self._mqtt_port is not None:
            client = mqtt.Client(CallbackAPIVersion.VERSION2, "demo-meters", clean_session=False)
            client.max_queued_messages_set(0)
            client.reconnect_delay_set(1, 2)
            client.on_publish = self._acknowledged
            client.connect_async("127.0.0.1", self._mqtt_port)
            client.loop_start()
            self._mqtt = client
        for thread in self._threads:
            thread.start()

    def pause(self) -> None:
        """Send nothing new; what is under way goes on."""
        self._stop.set()

    def close(self) -> None:
        """End."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=30)
        if self._mqtt is not None:
            self._mqtt.disconnect()
            self._mqtt.loop_stop()
        self._http.close()

    # -- meters ---------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.wait(LOOK_S) and not (self.over and not self._events):
            self._send_until(self._now_ns())

    def _send_until(self, now_ns: int) -> None:
        data = self._data
        until = int(np.searchsorted(data.arrival_ns, now_ns, side="right"))
        rows = np.arange(self._at, until)
        by_http = data.meter[rows] % BY_HTTP == 0
        for chosen, send in ((rows[~by_http], self._publish), (rows[by_http], self._queue)):
            for start in range(0, len(chosen), BATCH):
                part = chosen[start : start + BATCH]
                lines = [
                    _ENCODER.encode(
                        {
                            "meter_id": self._ids[int(data.meter[i])],
                            "ts": stamp(int(data.ts_ns[i])),
                            "value": round(float(data.value[i]), 4),
                        }
                    )
                    for i in part
                ]
                send(b"\n".join(lines) + b"\n", len(part))
        self._at = until
        while self._events and data.start_ns + self._events[0].ts_s * NS <= now_ns:
            self._queue_event(self._events.popleft())

    def _publish(self, body: bytes, rows: int) -> None:
        if self._mqtt is None:
            self._queue(body, rows)
            return
        # Not under our lock: the client calls `_acknowledged` under its own, which it takes here, too.
        mid = self._mqtt.publish("gridwarden/readings/demo", body, qos=1).mid
        with self._lock:
            if mid in self._early:
                self._early.discard(mid)
                self.sent += rows
            else:
                self._under_way[mid] = rows

    def _acknowledged(
        self, _client: Any, _data: Any, mid: int, _reason: Any, _properties: Any
    ) -> None:
        with self._lock:
            if mid in self._under_way:
                self.sent += self._under_way.pop(mid)
            else:
                self._early.add(mid)

    def _queue(self, body: bytes, rows: int) -> None:
        self._bodies.append(("/v1/readings", body, rows))

    def _queue_event(self, event: Any) -> None:
        body: dict[str, Any] = {
            "event_id": event.event_id,
            "ts": stamp(self._data.start_ns + int(event.ts_s * NS)),
            "kind": event.kind,
            "attrs": event.attrs,
        }
        for name in ("subject_id", "place"):
            if getattr(event, name):
                body[name] = getattr(event, name)
        self._bodies.append(("/v1/events", _ENCODER.encode(body), 0))

    # -- HTTP -----------------------------------------------------------------------------

    def _push(self) -> None:
        """Send bodies in their order; one that is not taken is sent again."""
        while not (self._stop.is_set() and not self._bodies):
            if not self._bodies:
                time.sleep(LOOK_S)
                continue
            path, body, rows = self._bodies[0]
            try:
                kind = "application/x-ndjson" if rows else "application/json"
                answer = self._http.post(path, content=body, headers={"content-type": kind})
                refused = None if answer.is_success else f"HTTP {answer.status_code}"
            except httpx.HTTPError as error:
                refused = str(error) or type(error).__name__
            self.problem = refused
            if refused is not None:
                time.sleep(0.5)
                continue
            self._bodies.popleft()
            self.sent += rows
            self.events += not rows
