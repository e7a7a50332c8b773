"""The hidden file that becomes the target in one step."""

from __future__ import annotations

import errno
import itertools
import os
import resource
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from kegbrowser.backends.errors import AlreadyExists, InvalidName, PermissionDenied, QuotaExceeded
from kegbrowser.transfer import part_file
from kegbrowser.transfer.part_file import RESERVE_TRIAL, PartFile, rename_new

MOMENT = datetime(2020, 2, 3, 4, 5, 6, tzinfo=UTC)


def test_target_appears_whole_with_its_time_and_nothing_else_remains(tmp_path: Path) -> None:
    target = tmp_path / "photo.jpg"
    part = PartFile(str(target))
    part.reserve(6, lambda: None)
    part.write_at(b"def", 3)
    part.write_at(b"abc", 0)

    assert not target.exists()
    part.publish(6, MOMENT, overwrite=False)
    part.discard()

    assert target.read_bytes() == b"abcdef"
    assert target.stat().st_mtime == MOMENT.timestamp()
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]


def test_part_file_is_hidden_beside_its_target(tmp_path: Path) -> None:
    part = PartFile(str(tmp_path / "photo.jpg"))

    (name,) = [path.name for path in tmp_path.iterdir()]

    assert name.startswith(".photo.jpg.")
    assert name.endswith(".kegpart")
    part.discard()
    assert [path.name for path in tmp_path.iterdir()] == []


def test_two_parts_of_one_target_do_not_meet(tmp_path: Path) -> None:
    first, second = PartFile(str(tmp_path / "x")), PartFile(str(tmp_path / "x"))
    first.write_at(b"1", 0)
    second.write_at(b"2", 0)

    first.publish(1, None, overwrite=False)
    with pytest.raises(AlreadyExists):
        second.publish(1, None, overwrite=False)

    second.retarget(str(tmp_path / "y"))
    second.publish(1, None, overwrite=False)
    assert (tmp_path / "x").read_bytes() + (tmp_path / "y").read_bytes() == b"12"


def test_overwriting_replaces_a_link_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"old")
    (tmp_path / "x").symlink_to("precious")
    part = PartFile(str(tmp_path / "x"))
    part.write_at(b"new", 0)

    part.publish(3, None, overwrite=True)

    assert (tmp_path / "precious").read_bytes() == b"old"
    assert (tmp_path / "x").read_bytes() == b"new"


def test_private_file_stays_private_when_it_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "secret"
    target.write_bytes(b"old")
    target.chmod(0o600)
    part = PartFile(str(target), overwrite=True)
    mode_meanwhile = Path(part.path).stat().st_mode & 0o777
    part.write_at(b"new", 0)

    part.publish(3, None, overwrite=True)

    assert mode_meanwhile == 0o600
    assert target.stat().st_mode & 0o777 == 0o600
    assert target.read_bytes() == b"new"


def test_longest_name_has_a_part_file_as_well(tmp_path: Path) -> None:
    target = tmp_path / ("é" * 127 + "x")
    part = PartFile(str(target))
    part.write_at(b"x", 0)

    part.publish(1, None, overwrite=False)

    assert target.read_bytes() == b"x"


def test_too_long_name_is_an_invalid_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidName, match="xxx"):
        PartFile(str(tmp_path / ("x/" * 2500) / "xxx"))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_is_known_before_anything_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def full(_fd: int, _offset: int, _length: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "posix_fallocate", full)
    part = PartFile(str(tmp_path / "photo.jpg"))

    with pytest.raises(QuotaExceeded, match="photo"):
        part.reserve(100, lambda: None)

    part.discard()
    assert [path.name for path in tmp_path.iterdir()] == []


def test_file_beyond_the_size_limit_is_refused_by_name(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    part = PartFile(str(tmp_path / "photo.jpg"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
    try:
        with pytest.raises(QuotaExceeded, match="photo"):
            part.reserve(4096, lambda: None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        part.discard()


def test_disk_that_cannot_reserve_takes_the_file_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot(_fd: int, _offset: int, _length: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(os, "posix_fallocate", cannot)
    part = PartFile(str(tmp_path / "x"))
    part.reserve(3, lambda: None)
    part.write_at(b"abc", 0)
    part.publish(3, None, overwrite=False)

    assert (tmp_path / "x").read_bytes() == b"abc"


@pytest.mark.parametrize(("took_s", "calls"), [(0.0, 2), (1.0, 1)])
def test_a_disk_that_reserves_by_writing_zeros_is_not_made_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, took_s: float, calls: int
) -> None:
    reserved: list[int] = []
    now = itertools.count(step=took_s)
    monkeypatch.setattr(os, "posix_fallocate", lambda _fd, _offset, length: reserved.append(length))
    monkeypatch.setattr("kegbrowser.transfer.part_file.time", SimpleNamespace(monotonic=lambda: next(now)))
    part = PartFile(str(tmp_path / "x"))

    part.reserve(RESERVE_TRIAL + 5, lambda: None)
    part.discard()

    assert reserved == [RESERVE_TRIAL, 5][:calls]


def test_disk_that_cannot_reserve_and_has_no_space_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "posix_fallocate")
    part = PartFile(str(tmp_path / "photo.jpg"))

    with pytest.raises(QuotaExceeded, match="photo"):
        part.reserve(2**60, lambda: None)

    part.discard()


def test_file_in_the_way_of_the_folder_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    part = PartFile(str(tmp_path / "gone" / "x"))
    Path(part.path).unlink()

    with pytest.raises(FileNotFoundError):
        part.publish(0, None, overwrite=True)

    part.discard()


@pytest.mark.parametrize("has_renameat2", [True, False])
def test_rename_never_replaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_renameat2: bool) -> None:
    if not has_renameat2:
        monkeypatch.setattr(part_file, "_renameat2", lambda: None)
    (tmp_path / "new").write_bytes(b"new")
    (tmp_path / "old").write_bytes(b"old")

    with pytest.raises(FileExistsError):
        rename_new(str(tmp_path / "new"), str(tmp_path / "old"))
    rename_new(str(tmp_path / "new"), str(tmp_path / "free"))

    assert (tmp_path / "old").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["free", "old"]


def test_read_only_folder_is_a_permission_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_path: str, _flags: int, _mode: int) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)

    with pytest.raises(PermissionDenied, match="photo"):
        PartFile(str(tmp_path / "photo.jpg"))
