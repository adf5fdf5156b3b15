"""What there is to tell, read from the store, and as a CloudEvent.

Only what is exported anyway leaves: pseudonymous ids, no free text that people wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from engine.store import Store
from engine.store.deliveries import Delivery
from engine.store.ratings import PREFIX
from engine.tasks import SYSTEM, Task, TaskEvent
from rules.alerts import AlertChange, stamp

_ENCODER = msgspec.json.Encoder()
CONTENT_TYPE = "application/cloudevents+json"
DEADLINES = ("sign_by", "contact_by", "door_by", "report_by", "close_by")


class Message(NamedTuple):
    """One change, with what it is about."""

    delivery: Delivery
    alert: AlertChange | None = None
    task: Task | None = None
    event: TaskEvent | None = None
    subject_id: str | None = None
    """Whose absence ends soon, or who is asked about a visit (``reminder``)."""

    @property
    def visit(self) -> str | None:
        """Task of the visit that somebody is asked about."""
        key = self.delivery.key
        asks = self.delivery.topic == "reminder" and key.startswith(PREFIX)
        return key.removeprefix(PREFIX) if asks else None

    @property
    def level(self) -> str | None:
        """Level of its alert or task."""
        if self.alert is not None:
            return str(self.alert.level)
        return None if self.task is None else self.task.level


def read(store: Store, deliveries: Sequence[Delivery]) -> list[Message | None]:
    """Return what deliveries are about; None for what is no more (forgotten)."""
    alerts = [d for d in deliveries if d.topic in ("alert", "shadow")]
    bodies = store.questions.bodies([(d.key, d.seq) for d in alerts])
    tasks = [d for d in deliveries if d.topic == "task"]
    found = store.questions.tasks_by_id([d.key for d in tasks])
    events = store.questions.events_by_key([(d.key, d.seq) for d in tasks])
    reminded = store.questions.reminded([d.key for d in deliveries if d.topic == "reminder"])
    messages: list[Message | None] = []
    for d in deliveries:
        message = Message(
            d, bodies.get((d.key, d.seq)), found.get(d.key), events.get((d.key, d.seq)),
            reminded.get(d.key),
        )  # fmt: skip
        messages.append(message if any(part is not None for part in message[1:]) else None)
    return messages


def cloud_event(message: Message, source: str) -> bytes:
    """Return a message as CloudEvents 1.0 in JSON (structured mode).

    `id` is the same however often it is told; `type` says what changed.
    """
    d = message.delivery
    kind, data, subject = _data(message)
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": d.name,
        "source": source,
        "type": f"gridwarden.{d.topic}.{kind}",
        "time": stamp(d.at_ns),
        "datacontenttype": "application/json",
        "data": data,
    }
    if subject is not None:
        event["subject"] = subject
    return _ENCODER.encode(event)


def _data(message: Message) -> tuple[str, Any, str | None]:
    if message.alert is not None:
        alert = message.alert
        return str(alert.state), msgspec.Raw(alert.line()), alert.subject_id or alert.place
    if message.task is not None:
        task, event = message.task, message.event
        data = {
            "task_id": task.task_id,
            "seq": message.delivery.seq,
            "alert_id": task.alert_id,
            "subject_id": task.subject_id,
            "place": task.place,
            "grid": task.grid,
            "rule": task.rule,
            "level": task.level,
            "kind": task.kind,
            "state": task.state,
            "queue": task.queue,
            "assignee": task.assignee,
            "opened_at": stamp(task.opened_ns),
            "outcome": task.outcome,
            "reason": {"zh": task.reason_zh, "en": task.reason_en},
        }
        for name in DEADLINES:
            at_ns = getattr(task, f"{name}_ns")
            data[name] = None if at_ns is None else stamp(at_ns)
        if task.calling and task.escalate_ns is not None:
            # What a dialler needs: whose turn it is, and until when an answer counts.
            steps = msgspec.json.decode(task.contact_first)
            who = steps[task.ladder_step]["who"] if task.ladder_step < len(steps) else None
            data["call"] = {"who": who, "until": stamp(task.escalate_ns)}
        if event is not None:
            data |= {"action": event.action, "by": event.by}
            if event.by == SYSTEM:
                data["why"] = event.why
        return task.state if event is None else event.action, data, task.subject_id or task.place
    data = {"subject_id": message.subject_id}
    visit = message.visit
    return (
        ("due", data, message.subject_id)
        if visit is None
        else ("rate", data | {"task_id": visit}, message.subject_id)
    )
