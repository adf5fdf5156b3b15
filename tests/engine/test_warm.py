"""What `make venv` runs last, so that nobody waits for the compiler later."""

from __future__ import annotations

import io
import time

import pytest

from connectors.sources import ReadingSource
from engine.warm import kernels, telling, warm


def test_all_kinds_of_files_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    rows: dict[str, int] = {}
    given = ReadingSource.next_record

    def noted(self: ReadingSource):  # type: ignore[no-untyped-def]
        record = given(self)
        if record is not None:
            ending = self.path.rsplit("/", 1)[-1].partition(".")[2]
            read.append(ending)
            rows[ending] = rows.get(ending, 0) + int((record.fault == 0).sum())
        return record

    monkeypatch.setattr(ReadingSource, "next_record", noted)
    assert warm() > 0
    assert {"csv.gz", "csv", "ndjson", "parquet", "arrow"} == set(read)
    assert rows["csv"] == rows["ndjson"] == rows["arrow"] == rows["parquet"] / 2 > 1_000
    ready, known = kernels()
    assert 10 < ready <= known


def test_it_says_how_far_it_is_until_it_is_done() -> None:
    out = io.StringIO()
    with telling(out, every_s=0.001):
        deadline = time.monotonic() + 10
        while out.getvalue().count("\n") < 2 and time.monotonic() < deadline:
            pass
    said = out.getvalue()
    assert all(" kernels, " in line for line in said.splitlines())
    assert said.count("\n") >= 2
    assert out.getvalue() == said
