"""Messages to people by Apprise: DingTalk, WeCom, Feishu, SMS, mail and some hundred others."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence

from engine.config import ConfigError, NotifyConfig
from engine.relay.channel import TOLD, Answer
from engine.relay.messages import Message
from engine.relay.words import Note, Words
from engine.store.deliveries import Deliveries
from rules.alerts import Level
from rules.model import URGENCY


class NotifyChannel:
    """Tells the people behind some Apprise URLs.

    At most `per_minute` messages go out; what comes beyond is gathered into the last of them, the
    most urgent ones being told by themselves.

    Parameters
    ----------
    name : str
        As the configuration has it.
    config : NotifyConfig
    words : Words
    wall : callable
        Seconds.

    Raises
    ------
    ConfigError
        If Apprise is not installed, or does not know a URL.
    """

    topics: Sequence[str] = ("task", "reminder")
    attempts = 20
    at_once = 500

    def __init__(
        self, name: str, config: NotifyConfig, words: Words, wall: Callable[[], float]
    ) -> None:
        if importlib.util.find_spec("apprise") is None:
            raise ConfigError(f"relay.notify.{name}: needs the extra 'notify' (apprise)")
        import apprise

        self.name = f"notify:{name}"
        self._levels = config.levels
        self._words = words
        self._wall = wall
        self._per_minute = config.per_minute
        self._sent: list[float] = []
        self._apprise = apprise.Apprise()
        for number, url in enumerate(config.urls):
            if not self._apprise.add(url.get_secret_value()):
                raise ConfigError(f"relay.notify.{name}.urls.{number}: Apprise does not know it")

    def look(self, deliveries: Deliveries) -> None:
        """Nothing to look at."""

    def tell(self, messages: Sequence[Message]) -> Sequence[Answer]:
        """Send, the most urgent first; what is too much for this minute as one message."""
        answers = [TOLD] * len(messages)
        wanted = []
        for i, message in enumerate(messages):
            note = None
            if message.level is None or message.level in self._levels:
                note = self._words.note(message)
            if note is not None:
                wanted.append((_urgency(message), i, note))
        wanted.sort(key=lambda w: (w[0], w[1]))
        if not wanted:
            return answers
        room = self._room()
        if room == 0:
            later = Answer(
                "too many messages this minute", max(0.1, self._sent[0] + 60.0 - self._wall())
            )
            for _, i, _ in wanted:
                answers[i] = later
            return answers
        single = len(wanted) if len(wanted) <= room else room - 1
        for _, i, note in wanted[:single]:
            answers[i] = self._send(note)
        rest = wanted[single:]
        if rest:
            answer = self._send(self._words.digest([note for _, _, note in rest]))
            for _, i, _ in rest:
                answers[i] = answer
        return answers

    def _room(self) -> int:
        now = self._wall()
        self._sent = [at for at in self._sent if now - at < 60.0]
        return self._per_minute - len(self._sent)

    def _send(self, note: Note) -> Answer:
        self._sent.append(self._wall())
        if self._apprise.notify(title=note.title, body=note.body or note.title):
            return TOLD
        return Answer("Apprise could not send it; its log says why")

    def mark(self) -> tuple[str, int] | None:
        """Nothing to note."""
        return None

    def close(self) -> None:
        """Nothing to give back."""


def _urgency(message: Message) -> int:
    return -URGENCY[Level(message.level)] if message.level else 0
