"""A turn of the event loop that computes for long is seen; waiting is none."""

from __future__ import annotations

import asyncio
import time

from engine.city.loop_watch import LoopWatch


def measured(work_s: float, wait_s: float) -> float:
    async def run() -> float:
        watch = LoopWatch()
        watch.start()
        await asyncio.sleep(0.03)
        begin = time.thread_time()
        while time.thread_time() - begin < work_s:
            pass
        time.sleep(wait_s)
        await asyncio.sleep(0.03)
        watch.stop()
        return watch.longest_s

    return asyncio.run(run())


def test_a_long_turn_is_as_long_as_it_computed() -> None:
    assert 0.07 <= measured(0.08, 0.0) <= 0.2


def test_a_thread_that_got_no_core_is_no_turn() -> None:
    assert measured(0.0, 0.1) < 0.05
