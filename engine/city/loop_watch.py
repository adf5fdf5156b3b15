"""How long the event loop was kept by one turn: membership and health wait for it."""

from __future__ import annotations

import asyncio
import time

EVERY_S = 0.01


class LoopWatch:
    """Rings every hundredth of a second and looks how late it was.

    A turn is as long as the loop's thread computed, at most as the bell was late: time in which the
    machine gave the thread no core is nobody's turn.
    """

    def __init__(self) -> None:
        self.longest_s = 0.0
        """The longest turn since :meth:`start`."""
        self._due = 0.0
        self._cpu_s = 0.0
        self._bell: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin; called from the loop's thread."""
        self.stop()
        self.longest_s = 0.0
        self._arm()

    def stop(self) -> None:
        """End."""
        if self._bell is not None:
            self._bell.cancel()
            self._bell = None

    def _arm(self) -> None:
        self._due, self._cpu_s = time.monotonic() + EVERY_S, time.thread_time()
        self._bell = asyncio.get_running_loop().call_later(EVERY_S, self._ring)

    def _ring(self) -> None:
        late_s, computed_s = time.monotonic() - self._due, time.thread_time() - self._cpu_s
        self.longest_s = max(self.longest_s, min(late_s, computed_s))
        self._arm()
