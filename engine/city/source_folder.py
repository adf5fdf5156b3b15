"""Files dropped into a folder, packed; what was durable is never read again."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable
from pathlib import Path

import structlog

from connectors.errors import InputError
from connectors.merge import Log
from connectors.records import Event, ReadingBlock
from connectors.sources import Source
from detectors.base import NS
from engine.city.gateway import Gateway
from engine.city.packer import LogError
from engine.drops import Drops, arrived, is_events, unread
from engine.inputs import open_source

log = structlog.get_logger()
SETTLE_RECORDS = 256
"""So many records may be on their way before their being durable is awaited and noted."""


class FolderSource:
    """Watches a folder for a gateway.

    Parameters
    ----------
    gateway : Gateway
    folder : Path
    state : Path
        File that says how far each file was read; made if it is not there.
    """

    def __init__(self, gateway: Gateway, folder: Path, state: Path) -> None:
        self.gateway = gateway
        self.drops = Drops(folder)
        self.state = state
        self.problems: dict[str, str] = {}
        self.read_to: dict[str, int] = {}
        self.done: dict[str, list[int]] = {}
        if state.exists():
            saved = json.loads(state.read_text(encoding="utf-8"))
            self.read_to, self.done = saved["read_to"], saved["done"]

    async def run(self) -> None:
        """Look and read, for ever."""
        while True:
            files = await asyncio.to_thread(self.drops.look, self.done)
            if files:
                try:
                    await self.read(files)
                except LogError as error:
                    log.warning("log_down", problem=str(error))
            await asyncio.sleep(self.gateway.district.config.inputs.poll_s)

    async def read(self, paths: list[Path]) -> None:
        """Pack files, merged by arrival; return when all of it is durable.

        Raises
        ------
        LogError
            If the log took only a part; the rest is read again at the next look.
        """
        states: dict[str, list[int]] = {}
        sources: list[Source] = []
        directory = self.gateway.directory()
        for path in sorted(paths, key=is_events):
            name, stat = str(path), path.stat()
            before = self.done.get(name)
            if before is not None and stat.st_size <= before[0]:
                self.read_to.pop(name, None)  # not the file that it was
            states[name] = [stat.st_size, stat.st_mtime_ns]
            try:
                sources.append(
                    open_source(name, directory, self.gateway.district.config, is_events(path))
                )
            except InputError as error:
                self._refuse(name, error)
        merged = Log(sources, block_rows=self.gateway.config.block_rows * 8)
        try:
            await self._pack(merged)
        finally:
            merged.close()
        for source in sources:
            if source.problem is not None:
                self._refuse(source.name, source.problem)
        self.done |= states
        self._note({})

    async def _pack(self, merged: Log) -> None:
        gateway, known = self.gateway, dict(self.read_to)
        clock, packer = gateway.clock, gateway.packer
        skew_ns = gateway.district.config.clock.max_skew_s * NS
        low, waits, reached = 0, list[Awaitable[object]](), dict[str, int]()
        while (record := await asyncio.to_thread(merged.next_record)) is not None:
            fresh = unread(record, known)
            if fresh is None:
                continue
            if not clock.by_data:
                fresh = arrived(fresh, clock.now_ns(), low, False, skew_ns)
            clock.show(_first(fresh))
            if clock.by_data:
                await gateway.tick()
            waits.append(await packer.take(fresh))
            if isinstance(fresh, ReadingBlock):
                if clock.by_data:
                    clock.show(int(fresh.arrival_ns[-1]))
                reached[fresh.source] = int(fresh.position[-1])
            else:
                reached[fresh.source] = fresh.position
            if len(waits) >= SETTLE_RECORDS:
                await self._settle(waits, reached)
        await self._settle(waits, reached)

    async def _settle(self, waits: list[Awaitable[object]], reached: dict[str, int]) -> None:
        self.gateway.packer.flush()
        for one in waits:
            await one
        waits.clear()
        self._note(reached)

    def _note(self, reached: dict[str, int]) -> None:
        """Write down how far files were read, all or nothing."""
        self.read_to |= {k: max(v, self.read_to.get(k, 0)) for k, v in reached.items()}
        text = json.dumps({"read_to": self.read_to, "done": self.done}, indent=1)
        part = self.state.with_name(self.state.name + ".tmp")
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.state)

    def _refuse(self, name: str, error: InputError) -> None:
        self.problems[name] = str(error)
        log.error("file_refused", problem=str(error))


def _first(record: ReadingBlock | Event) -> int:
    return int(record.arrival_ns[0]) if isinstance(record, ReadingBlock) else record.arrival_ns
