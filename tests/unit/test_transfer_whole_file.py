"""Small files that are saved in one go."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kegbrowser.backends.errors import AlreadyExists, PermissionDenied, StorageError
from kegbrowser.transfer import whole_file
from kegbrowser.transfer.whole_file import force_to_disk, hidden_path, save_whole
from tests.doubles.engine import tree_of

MOMENT = datetime(2020, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)


@pytest.fixture(params=["nameless", "hidden"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "hidden":
        monkeypatch.setattr(whole_file, "_O_TMPFILE", 0)
    return str(request.param)


def test_file_has_its_content_time_and_permissions(tmp_path: Path) -> None:
    save_whole(str(tmp_path / "f"), b"content", MOMENT, overwrite=False, permissions=0o640)
    save_whole(str(tmp_path / "empty"), b"", None, overwrite=False)
    force_to_disk(str(tmp_path))

    found = (tmp_path / "f").stat()
    assert tree_of(tmp_path) == {"f": b"content", "empty": b""}
    assert found.st_mode & 0o777 == 0o640
    assert datetime.fromtimestamp(found.st_mtime, UTC) == MOMENT


def test_taken_place_is_kept_unless_it_may_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"old")
    (tmp_path / "f").chmod(0o600)

    with pytest.raises(AlreadyExists):
        save_whole(str(tmp_path / "f"), b"new", MOMENT, overwrite=False)
    assert tree_of(tmp_path) == {"f": b"old"}

    save_whole(str(tmp_path / "f"), b"new", MOMENT, overwrite=True)
    assert tree_of(tmp_path) == {"f": b"new"}
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o600


def test_name_as_long_as_the_disk_takes_is_saved(tmp_path: Path) -> None:
    name = "ä" * 127

    save_whole(str(tmp_path / name), b"1", None, overwrite=False)
    save_whole(str(tmp_path / name), b"2", None, overwrite=True)

    assert tree_of(tmp_path) == {name: b"2"}


def test_what_a_crash_left_is_cleared_away(tmp_path: Path) -> None:
    target = str(tmp_path / "f")
    (tmp_path / "f").write_bytes(b"old")
    Path(hidden_path(target)).write_bytes(b"half of it")

    save_whole(target, b"new", None, overwrite=True)

    assert tree_of(tmp_path) == {"f": b"new"}


def test_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(_fd: int, _data: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", write)

    with pytest.raises(StorageError, match=r"f\.txt"):
        save_whole(str(tmp_path / "f.txt"), b"new", None, overwrite=False)

    assert list(tmp_path.iterdir()) == []


def test_link_in_the_place_of_the_hidden_file_is_not_followed(tmp_path: Path) -> None:
    target = str(tmp_path / "f")
    (tmp_path / "f").write_bytes(b"old")
    (tmp_path / "precious").write_bytes(b"precious")
    Path(hidden_path(target)).symlink_to(tmp_path / "precious")

    save_whole(target, b"new", None, overwrite=True)

    assert tree_of(tmp_path) == {"f": b"new", "precious": b"precious"}


def test_folder_that_is_gone_is_told_with_the_file_s_name(tmp_path: Path) -> None:
    with pytest.raises((StorageError, PermissionDenied), match=r"f\.txt"):
        save_whole(str(tmp_path / "gone" / "f.txt"), b"new", None, overwrite=False)
