"""Readings and events from an MQTT broker, QoS 1: acknowledged when they are durable, not before.

MQTT 5 with a persistent session: what comes while the gateway is away waits at the broker, and the
broker sends at most ``inflight`` messages that are not acknowledged, so memory is bounded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as mqtt
import structlog
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from connectors.bodies import ARROW, BodyError, Door
from connectors.records import Event, ReadingBlock
from engine.city.gateway import Gateway
from engine.city.packer import LogError
from engine.config import MqttConfig

log = structlog.get_logger()
GATHER_S = 0.02
"""Messages are gathered for so long, then parsed together."""
SESSION_S = 7 * 86_400


class MqttSource:
    """A gateway's session at a broker.

    Parameters
    ----------
    gateway : Gateway
    config : MqttConfig
    """

    def __init__(self, gateway: Gateway, config: MqttConfig) -> None:
        self.gateway = gateway
        self.config = config
        self.connected = False
        self.received = self.acknowledged = 0
        self._door: Door = gateway.door("mqtt")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._came = asyncio.Event()
        self._messages: list[tuple[int, mqtt.MQTTMessage]] = []
        self._session = 0
        self._client = self._make()
        gateway.sources_up["mqtt"] = lambda: self.connected

    def _make(self) -> mqtt.Client:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2, self.config.client_id,
            protocol=MQTTProtocolVersion.MQTTv5, manual_ack=True,
        )  # fmt: skip
        if self.config.username is not None:
            secret = self.config.password
            client.username_pw_set(
                self.config.username, None if secret is None else secret.get_secret_value()
            )
        client.reconnect_delay_set(1, 10)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        return client

    async def run(self) -> None:
        """Take messages, for ever; a broker that is away is waited for."""
        self._loop = asyncio.get_running_loop()
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = SESSION_S
        properties.ReceiveMaximum = self.config.inflight
        self._client.connect_async(
            self.config.host, self.config.port, clean_start=False, properties=properties
        )
        self._client.loop_start()
        under_way: set[asyncio.Task[None]] = set()
        try:
            while True:
                await self._came.wait()
                await asyncio.sleep(GATHER_S)
                self._came.clear()
                messages, self._messages = self._messages, []
                task = asyncio.create_task(self._take(messages))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
        finally:
            self._client.disconnect()
            await asyncio.to_thread(self._client.loop_stop)
            for task in under_way:
                task.cancel()

    # -- called in the client's thread ------------------------------------------------------

    def _on_connect(
        self, client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any
    ) -> None:
        self.connected = not reason.is_failure
        if reason.is_failure:
            log.error(
                "mqtt_refused", broker=f"{self.config.host}:{self.config.port}", reason=str(reason)
            )
            return
        self._session += 1
        client.subscribe([(t, 1) for t in (*self.config.readings, *self.config.events)])

    def _on_disconnect(self, *_: Any) -> None:
        self.connected = False

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._gather, self._session, message)

    # -- packing ----------------------------------------------------------------------------

    def _gather(self, session: int, message: mqtt.MQTTMessage) -> None:
        """Put a message to those that are parsed next; in the loop, as all that touches them."""
        self._messages.append((session, message))
        self._came.set()

    async def _take(self, messages: list[tuple[int, mqtt.MQTTMessage]]) -> None:
        self.received += len(messages)
        try:
            records = self._parse([m for _, m in messages])
            waits = [await self.gateway.packer.take(record) for record in records]
            for one in waits:
                await one
        except LogError as error:
            # Not acknowledged: the broker keeps them and sends them again to the next session.
            log.warning("log_down", problem=str(error), messages=len(messages))
            await asyncio.to_thread(self._client.reconnect)
            return
        for session, message in messages:
            # After a reconnection the broker sends again what was open, under new numbers.
            if session == self._session and message.qos:
                self._client.ack(message.mid, message.qos)
                self.acknowledged += 1

    def _parse(self, messages: list[mqtt.MQTTMessage]) -> list[ReadingBlock | Event]:
        now = self.gateway.clock.now_ns()
        single: list[bytes] = []
        records: list[ReadingBlock | Event] = []
        for message in messages:
            body = bytes(message.payload)
            if any(mqtt.topic_matches_sub(t, message.topic) for t in self.config.events):
                records += self._safely(self._door.events, body, now)
            elif body.startswith(ARROW) or body[:1] == b"[" or b"\n" in body:
                records += self._safely(self._door.readings, body, now)
            else:
                single.append(body)
        if single:
            records.append(self._door.messages(single, None, now))
        return records

    def _safely(
        self, parse: Callable[[bytes, int], Any], body: bytes, now: int
    ) -> list[ReadingBlock | Event]:
        """Return the records of a body; one that is none at all ends in quarantine, whole."""
        try:
            return list(parse(body, now))
        except BodyError as error:
            return [self._door.unreadable(body, 0, now, error)]
