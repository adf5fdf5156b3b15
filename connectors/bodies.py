"""Bodies that a live sender pushes (HTTP, MQTT, Kafka) become records that arrive now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import numpy as np
import pyarrow as pa

from connectors.arrival import READING_RULES
from connectors.errors import InputError, clip
from connectors.events import EventNormaliser
from connectors.files import EVENTS, READINGS
from connectors.json_rows import JsonParser
from connectors.normalise import EARLIEST_NS, LATEST_NS, Directory, Normaliser
from connectors.records import Event, Fault, ReadingBlock
from connectors.rows import RawRows

ARROW = b"\xff\xff\xff\xff"
"""An Arrow IPC stream begins so; no text does."""
RAW_BYTES = 4_096
"""Of a body that cannot be read, so much is kept in quarantine."""
_RAWS = msgspec.json.Decoder(list[msgspec.Raw])


class BodyError(InputError):
    """A body is no readings or events at all; nothing of it was taken."""


class Door:
    """Where the bodies of one live sender come in; used by one thread at a time.

    Parameters
    ----------
    source : str
        Name, for counts and quarantine.
    directory : Directory
        Not shared with another door that works at the same time.
    max_skew_s : int
        How far a stamp may lie ahead of now.
    earliest_ns, latest_ns : int
        Stamps outside are out of range.
    """

    def __init__(
        self,
        source: str,
        directory: Directory,
        *,
        max_skew_s: int = READING_RULES.max_skew_s,
        earliest_ns: int = EARLIEST_NS,
        latest_ns: int = LATEST_NS,
    ) -> None:
        self.source = source
        rules = replace(READING_RULES, max_skew_s=max_skew_s)
        self._readings = Normaliser(
            source, directory, rules=rules, earliest_ns=earliest_ns, latest_ns=latest_ns
        )
        self._events = EventNormaliser(
            source, directory, earliest_ns=earliest_ns, latest_ns=latest_ns
        )
        self._lines = JsonParser(READINGS.required, numbers=("value",))
        names = (*EVENTS.required, *EVENTS.optional)
        self._event_lines = JsonParser(names, nested=("attrs",))
        self._rows = 0

    def readings(self, body: bytes, now_ns: int) -> list[ReadingBlock]:
        """Return the readings of a body: a JSON object or array, lines of JSON, or Arrow IPC.

        Raises
        ------
        BodyError
            If it is none of these.
        """
        if body.startswith(ARROW):
            return [self._block(rows, now_ns) for rows in self._arrow(body)]
        return [self._block(self._lines.parse(self.lines(body), self._rows + 1), now_ns)]

    def messages(
        self, bodies: Sequence[bytes], position: Sequence[int] | None, now_ns: int
    ) -> ReadingBlock:
        """Return the readings of many messages with one JSON object each.

        Parameters
        ----------
        position : sequence of int, optional
            Of each message, from 1; default: they go on counting.
        """
        data = b"\n".join(bodies)
        if data.count(b"\n") != len(bodies) - 1 or not all(bodies):
            # A message over several lines, or an empty one: each still is one row.
            flat = (b.replace(b"\r", b" ").replace(b"\n", b" ") for b in bodies)
            data = b"\n".join(b if b.strip() else b"null" for b in flat)
        block = self._block(self._lines.parse(data, self._rows + 1), now_ns)
        if position is None or len(block) != len(position):
            return block
        return replace(block, position=np.asarray(position, np.int64))

    def events(self, body: bytes, now_ns: int) -> list[Event]:
        """Return the events of a body: a JSON object or array, or lines of JSON."""
        rows = self._event_lines.parse(self.lines(body), self._rows + 1)
        self._rows += len(rows)
        return self._events.arrived(rows, now_ns)

    def unreadable(self, body: bytes, position: int, now_ns: int, error: BodyError) -> Event:
        """Return what stands in quarantine for a whole body that nobody can be asked to resend."""
        raw = {"raw": body[:RAW_BYTES].decode(errors="backslashreplace")}
        return Event(
            "", now_ns, "", None, None, {}, now_ns, self.source, position, Fault.MALFORMED,
            str(error), raw,
        )  # fmt: skip

    def lines(self, body: bytes) -> bytes:
        """Return a body with one JSON object a line.

        Raises
        ------
        BodyError
            If it is an array that breaks off, or no JSON at all.
        """
        text = body.strip()
        if text.startswith(b"["):
            try:
                items = _RAWS.decode(text)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise BodyError(self.source, "body is no JSON array", got=str(error)) from None
            return b"\n".join(bytes(i).replace(b"\n", b" ").replace(b"\r", b" ") for i in items)
        if not text.startswith(b"{"):
            raise BodyError(
                self.source, "body is no readings or events", got=clip(repr(text[:40])),
                wanted="JSON objects (one, an array, or one a line), or an Arrow IPC stream",
            )  # fmt: skip
        if b"\n" in text:
            first = text.split(b"\n", 1)[0]
            try:
                msgspec.json.decode(first)
            except (msgspec.DecodeError, UnicodeDecodeError):
                try:  # one object, spread over lines
                    msgspec.json.decode(text)
                except (msgspec.DecodeError, UnicodeDecodeError):
                    return text
                return text.replace(b"\n", b" ").replace(b"\r", b" ")
        return text

    def _block(self, rows: RawRows, now_ns: int) -> ReadingBlock:
        self._rows += len(rows)
        return self._readings.arrived(rows, now_ns)

    def _arrow(self, body: bytes) -> list[RawRows]:
        try:
            with pa.ipc.open_stream(pa.py_buffer(body)) as reader:
                wanted = READINGS.choose(self.source, reader.schema.names)
                batches = [batch.select(wanted) for batch in reader]
            for batch in batches:
                batch.validate(full=True)  # offsets of a forged body may point anywhere
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError, InputError) as error:
            raise BodyError(
                self.source, "body is no Arrow IPC stream of readings", got=str(error)
            ) from None
        found, start = [], self._rows + 1
        for batch in batches:
            if batch.num_rows:
                found.append(RawRows(start, batch))
                start += batch.num_rows
        return found
