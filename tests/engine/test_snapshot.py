"""Snapshot files: what goes in comes out; what is torn is refused; a full disk loses nothing."""

from __future__ import annotations

import errno
import io
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray
from structlog.testing import capture_logs

from engine.snapshot import (
    HEADER,
    DiskFull,
    SnapshotFileError,
    SnapshotFolder,
    TornSnapshot,
    state_digest,
)

ARRAYS = {
    "inactivity@3600/profile": np.arange(24 * 7, dtype=np.float32).reshape(24, 7),
    "inactivity@3600/seen": np.array([-1, 5, 2**62]),
    "empty": np.zeros((0, 3), np.uint8),
}
HEADER_OF_STATE = {"alerts": [{"id": "a", "onset": 2**53 + 1}], "sentence": "没有生活迹象"}


@pytest.fixture
def folder(tmp_path: Path) -> SnapshotFolder:
    return SnapshotFolder(tmp_path / "snapshots")


def same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    return (
        one.dtype == other.dtype
        and one.shape == other.shape
        and np.ascontiguousarray(one).tobytes() == np.ascontiguousarray(other).tobytes()
    )


def test_what_goes_in_comes_out(folder: SnapshotFolder) -> None:
    ref = folder.write("3301/06", 3, 77, HEADER_OF_STATE, ARRAYS)
    found = folder.read(ref)
    assert found.header == HEADER_OF_STATE
    assert sorted(found.arrays) == sorted(ARRAYS)
    assert all(same(found.arrays[name], ARRAYS[name]) for name in ARRAYS)
    assert re.fullmatch(
        r"3301_06-[0-9a-f]{8}\.e000003\.o00000000000077\.[0-9a-f]{16}\.snap", ref.file
    )
    assert ref.nbytes == (folder.folder / ref.file).stat().st_size
    assert sorted(p.name for p in folder.folder.iterdir()) == [ref.file]


@settings(max_examples=30)
@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,8}(/[a-z0-9@]{1,8}){0,2}", fullmatch=True),
        npst.arrays(
            dtype=st.one_of(
                npst.boolean_dtypes(),
                npst.integer_dtypes(endianness="?"),
                npst.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
                npst.datetime64_dtypes(endianness="="),
            ),
            shape=npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
        ),
        max_size=4,
    )
)
def test_any_array_comes_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, arrays: dict[str, NDArray[Any]]
) -> None:
    folder = SnapshotFolder(tmp_path_factory.mktemp("s"))
    found = folder.read(folder.write("s", 1, 0, {}, arrays)).arrays
    assert set(found) == set(arrays)
    assert all(same(found[name], arrays[name]) for name in arrays)


def test_views_and_fortran_order_are_stored_as_they_look(folder: SnapshotFolder) -> None:
    base = np.arange(24.0).reshape(4, 6)
    arrays = {"fortran": np.asfortranarray(base), "strided": base[::2, 1::3], "flipped": base[::-1]}
    found = folder.read(folder.write("s", 1, 0, {}, arrays)).arrays
    assert all(np.array_equal(found[name], arrays[name]) for name in arrays)


def test_the_same_state_gives_the_same_bytes_and_hashes(folder: SnapshotFolder) -> None:
    one = folder.write("s", 1, 5, HEADER_OF_STATE, ARRAYS)
    again = folder.write("s", 1, 5, HEADER_OF_STATE, dict(reversed(ARRAYS.items())))
    assert one == again
    later = folder.write("s", 2, 9, HEADER_OF_STATE, ARRAYS)
    assert later.state_hash == one.state_hash == state_digest(HEADER_OF_STATE, ARRAYS)
    assert later.sha256 != one.sha256
    changed = {**ARRAYS, "empty": np.zeros((3, 0), np.uint8)}
    assert state_digest(HEADER_OF_STATE, changed) != one.state_hash


def test_arrays_are_mapped_aligned_and_cannot_be_written(folder: SnapshotFolder) -> None:
    arrays = {f"a{i}/{'x' * i}": np.ones(i, np.float64) for i in range(1, 9)}
    found = folder.read(folder.write("s", 1, 0, {}, arrays)).arrays
    for name in found:
        array = found[name]
        assert array.ctypes.data % 64 == 0
        assert not array.flags.writeable
        assert not array.flags.owndata


def test_other_programs_can_open_it(folder: SnapshotFolder) -> None:
    ref = folder.write("s", 1, 0, HEADER_OF_STATE, ARRAYS)
    path = folder.folder / ref.file
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert json.loads(archive.read(HEADER))["state"] == HEADER_OF_STATE
    with path.open("rb") as file, np.load(file, allow_pickle=False) as loaded:
        assert same(loaded["inactivity@3600/profile"], ARRAYS["inactivity@3600/profile"])


@pytest.mark.parametrize(
    ("header", "arrays", "says"),
    [
        ({}, {"x": np.array([{}], object)}, "array 'x' has dtype object"),
        ({}, {"x": np.array([(1, None)], [("a", "i4"), ("b", "O")])}, "only plain numbers"),
        ({}, {"../x": np.zeros(1)}, "array name '../x' cannot be stored"),
        ({}, {HEADER: np.zeros(1)}, "cannot be stored"),
        ({"x": float("nan")}, {}, "header is not plain JSON"),
        ({"x": np.float32(1)}, {}, "header is not plain JSON"),
    ],
)
def test_what_cannot_be_stored_is_refused_before_anything_is_written(
    folder: SnapshotFolder, header: dict[str, Any], arrays: dict[str, Any], says: str
) -> None:
    with pytest.raises(SnapshotFileError, match=says):
        folder.write("s", 1, 0, header, arrays)
    assert not folder.folder.exists()


# -- torn ---------------------------------------------------------------------------------------------


def tear(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "gone":
        path.unlink()
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif how == "longer":
        path.write_bytes(data + b"\0")
    else:
        data[int(how)] ^= 1
        path.write_bytes(data)


@pytest.mark.parametrize("how", ["gone", "empty", "cut", "longer", "150", "700"])
def test_a_torn_file_is_refused_by_name_and_the_one_before_is_used(
    folder: SnapshotFolder, how: str
) -> None:
    old = folder.write("s", 1, 10, {"offset": 10}, ARRAYS)
    new = folder.write("s", 1, 20, {"offset": 20}, ARRAYS)
    tear(folder.folder / new.file, how)
    with pytest.raises(TornSnapshot, match=new.file):
        folder.read(new)
    with capture_logs() as logs:
        found = folder.newest([new, old])
    assert found is not None
    assert found.ref == old
    assert found.header == {"offset": 10}
    assert [(line["event"], line["log_level"], line["file"]) for line in logs] == [
        ("snapshot_torn", "error", new.file)
    ]


def test_whatever_bit_flips_the_state_is_whole_or_refused(folder: SnapshotFolder) -> None:
    arrays = {"a": np.arange(5, dtype=np.int16), "b/c": np.zeros(3, bool)}
    ref = folder.write("s", 1, 20, HEADER_OF_STATE, arrays)
    path = folder.folder / ref.file
    whole, refused = path.read_bytes(), 0
    for i in range(0, len(whole), 3):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ (1 << i % 8)]) + whole[i + 1 :])
        try:
            found = folder.read(ref)
        except TornSnapshot:
            refused += 1
            continue
        assert found.header == HEADER_OF_STATE
        assert all(same(found.arrays[name], arrays[name]) for name in arrays)
    assert refused > 100


def test_nothing_whole_left_is_an_error_and_no_snapshot_is_none(folder: SnapshotFolder) -> None:
    assert folder.newest([]) is None
    ref = folder.write("s", 1, 10, {}, ARRAYS)
    tear(folder.folder / ref.file, "cut")
    with capture_logs(), pytest.raises(TornSnapshot, match="go on from the one before"):
        folder.newest([ref])


def test_a_container_of_a_newer_program_is_refused(
    folder: SnapshotFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.snapshot.SCHEMA", 2)
    ref = folder.write("s", 1, 10, {}, {})
    monkeypatch.setattr("engine.snapshot.SCHEMA", 1)
    with pytest.raises(SnapshotFileError, match=r"schema 2, this program knows up to 1"):
        folder.read(ref)


# -- full disks -----------------------------------------------------------------------------------------


class FullDisk(io.FileIO):
    """A file on a disk that has room for so many bytes more."""

    room = 1_000

    def write(self, data: Any) -> int:
        if self.tell() + len(memoryview(data)) > self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


@pytest.mark.parametrize("room", [0, 100, 700, 1_500])
def test_a_full_disk_leaves_the_snapshot_before_and_nothing_else(tmp_path: Path, room: int) -> None:
    old = SnapshotFolder(tmp_path).write("s", 1, 10, {}, ARRAYS)

    def opener(path: Path) -> io.FileIO:
        file = FullDisk(path, "xb")
        file.room = room
        return file

    folder = SnapshotFolder(tmp_path, opener=opener)
    with pytest.raises(DiskFull, match=f"no room in {tmp_path}.*stays current and nothing is lost"):
        folder.write("s", 1, 20, {}, ARRAYS)
    assert [p.name for p in tmp_path.iterdir()] == [old.file]
    assert folder.newest([old]) is not None


def test_a_real_limit_of_the_system_is_told_as_a_full_disk(tmp_path: Path) -> None:
    program = """
import resource, sys
from pathlib import Path
import numpy as np
from engine.snapshot import DiskFull, SnapshotFolder
folder = SnapshotFolder(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    folder.write("s", 1, 1, {}, {"a": np.zeros(1_000_000, np.uint8)})
except DiskFull as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert "no room in" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    def refuse(path: Path) -> io.FileIO:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    folder = SnapshotFolder(tmp_path, opener=refuse)
    with pytest.raises(SnapshotFileError, match="cannot be written: Permission denied"):
        folder.write("s", 1, 1, {}, {})


def test_what_a_crash_left_half_written_is_no_snapshot_and_is_written_over(
    folder: SnapshotFolder,
) -> None:
    ref = folder.write("s", 1, 1, {}, ARRAYS)

    class Plug(BaseException):
        pass

    def pull(path: Path) -> io.FileIO:
        path.write_bytes(b"half")
        raise Plug

    with pytest.raises(Plug):
        SnapshotFolder(folder.folder, opener=pull).write("s", 1, 2, {}, ARRAYS)
    assert len(list(folder.folder.glob("*.snap"))) == 1
    assert folder.newest([ref]) is not None
    later = folder.write("s", 1, 2, {}, ARRAYS)
    assert sorted(p.name for p in folder.folder.iterdir()) == sorted([ref.file, later.file])


# -- retention --------------------------------------------------------------------------------------------


def test_only_the_last_ones_are_kept_and_always_the_current_one(tmp_path: Path) -> None:
    folder = SnapshotFolder(tmp_path, keep=2)
    refs = [folder.write("s", 1, offset, {}, {}) for offset in range(5)][::-1]
    removed = folder.retain(refs, current=refs[3])
    assert removed == [refs[2].file, refs[4].file]
    assert {p.name for p in tmp_path.iterdir()} == {refs[0].file, refs[1].file, refs[3].file}
    assert folder.retain(refs, current=refs[3]) == removed
    with pytest.raises(ValueError, match="keep must be >= 1"):
        SnapshotFolder(tmp_path, keep=0)


def test_what_earlier_epochs_left_behind_goes_and_nothing_else(tmp_path: Path) -> None:
    folder = SnapshotFolder(tmp_path)
    never_current = folder.write("s", 1, 5, {}, {})
    mine = folder.write("s", 2, 6, {}, {})
    others = [folder.write(name, 1, 5, {}, {}).file for name in ("t", "as", "s/1", "s_1")]
    assert len(set(others)) == 4
    (tmp_path / ".s.e1.77.tmp").write_bytes(b"half")
    (tmp_path / ".s.e2.78.tmp").write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("s.e1")
    folder.retain([mine], current=mine)
    left = {p.name for p in tmp_path.iterdir()}
    assert left == {mine.file, *others, ".s.e2.78.tmp", "notes.txt"}
    assert never_current.file not in left
