"""What `make venv` runs last, so that nobody waits for the compiler later."""

from __future__ import annotations

import pytest

from connectors.sources import ReadingSource
from engine.warm import warm


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
