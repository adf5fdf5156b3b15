"""Snapshots at an fsspec URL: whole or not there; fetched and checked by whoever takes the shard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from engine.snapshot import SnapshotFileError, SnapshotRef, TornSnapshot
from engine.snapshot_store import SnapshotBucket, SnapshotsAway, open_snapshots


@pytest.fixture(params=["memory", "file"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "memory":
        return f"memory://{tmp_path.name}"
    return f"file://{tmp_path}/there"


def bucket(url: str, folder: Path, **more: Any) -> SnapshotBucket:
    return SnapshotBucket(url, folder, **more)


def save(one: SnapshotBucket, offset: int, epoch: int = 1) -> SnapshotRef:
    return one.write("s0001", epoch, offset, {"n": offset}, {"a": np.arange(offset)})


def names(url: str) -> list[str]:
    fs, root = fsspec.core.url_to_fs(url)
    return sorted(str(p).rpartition("/")[2] for p in fs.ls(root, detail=False))


def test_what_one_worker_saved_another_restores(url: str, tmp_path: Path) -> None:
    ref = save(bucket(url, tmp_path / "one"), 7)
    found = bucket(url, tmp_path / "two").read(ref)
    assert found.header == {"n": 7}
    np.testing.assert_array_equal(found.arrays["a"], np.arange(7))
    assert names(url) == [ref.file]


def test_one_that_is_torn_there_is_told_and_the_one_before_is_taken(
    url: str, tmp_path: Path
) -> None:
    one = bucket(url, tmp_path / "one")
    refs = [save(one, 9), save(one, 5)]
    fs, root = fsspec.core.url_to_fs(url)
    fs.pipe_file(f"{root}/{refs[0].file}", b"torn")
    two = bucket(url, tmp_path / "two")
    with pytest.raises(TornSnapshot):
        two.read(refs[0])
    found = two.newest(refs)
    assert found is not None
    assert found.ref == refs[1]
    fs.rm_file(f"{root}/{refs[1].file}")
    with pytest.raises(TornSnapshot, match="is not at"):
        bucket(url, tmp_path / "three").read(refs[1])


def test_a_torn_copy_here_is_fetched_anew(url: str, tmp_path: Path) -> None:
    one = bucket(url, tmp_path / "one")
    ref = save(one, 4)
    (tmp_path / "one" / ref.file).write_bytes(b"torn")
    assert one.read(ref).header == {"n": 4}


def test_retention_leaves_the_newest_and_removes_what_earlier_epochs_left(
    url: str, tmp_path: Path
) -> None:
    one = bucket(url, tmp_path / "one", keep=2)
    lost = save(one, 3)  # never made current
    refs = [save(one, n, epoch=2) for n in (9, 8, 7, 6)]
    other = one.write("s0002", 1, 1, {}, {"a": np.arange(1)})
    assert one.retain(refs, refs[0]) == [refs[2].file, refs[3].file]
    assert names(url) == sorted([refs[0].file, refs[1].file, other.file])
    assert lost.file not in names(url)
    assert one.read(refs[1]).header == {"n": 8}  # here it had gone


def test_a_side_that_takes_nothing_leaves_the_one_before_current(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = bucket(f"memory://{tmp_path.name}", tmp_path / "one")
    monkeypatch.setattr(one._fs, "put_file", lambda *_: (_ for _ in ()).throw(OSError("quota")))
    with pytest.raises(SnapshotFileError, match=r"quota.*stays current"):
        save(one, 3)
    assert not list((tmp_path / "one").glob("*.snap"))


def test_a_side_that_is_away_is_no_torn_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = save(bucket(f"memory://{tmp_path.name}", tmp_path / "one"), 3)
    two = bucket(f"memory://{tmp_path.name}", tmp_path / "two")
    monkeypatch.setattr(two._fs, "get_file", lambda *_: (_ for _ in ()).throw(OSError("away")))
    with pytest.raises(SnapshotsAway, match="try again"):
        two.newest([ref])


def test_a_url_that_nobody_knows_is_told(tmp_path: Path) -> None:
    with pytest.raises(SnapshotFileError, match="nonsense"):
        open_snapshots(tmp_path, "nonsense://x", "one")
