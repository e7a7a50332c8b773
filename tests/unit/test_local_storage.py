"""What only a folder of this computer has: links, modes, a disk that fills, names that are not UTF-8, and a fence around it."""

from __future__ import annotations

import errno
import os
import resource
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kegbrowser.backends.base import EntryKind, ListEntry, RemoteFile, StorageBackend
from kegbrowser.backends.errors import (
    AlreadyExists,
    Cancelled,
    FileNotFoundInStorageError,
    InvalidName,
    IsAFolder,
    NotAFolder,
    NotSupported,
    PermissionDenied,
    QuotaExceeded,
    SourceChanged,
    StorageError,
)
from kegbrowser.backends.local import LocalStorage
from kegbrowser.backends.registry import ConnectionSpec


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret").write_bytes(b"secret")
    return folder


@pytest.fixture
def storage(root: Path) -> LocalStorage:
    return LocalStorage(str(root))


def _write(storage: StorageBackend, path: str, content: bytes = b"new", *, overwrite: bool = True) -> None:
    with storage.open_writer(path, overwrite=overwrite) as file:
        file.write(content)


def _read(storage: StorageBackend, path: str) -> bytes:
    with storage.open(path, "rb") as file:
        return file.read(-1)


def _write_for_long(file: RemoteFile, data: bytes) -> None:
    for _ in range(100):
        file.write(data)


def _in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _named(storage: StorageBackend, folder: str = "") -> dict[str, ListEntry]:
    return {entry.name: entry for entry in storage.list(folder)}


WAYS_OUT: dict[str, Callable[[LocalStorage, str], object]] = {
    "read": lambda storage, path: _read(storage, path),
    "write": lambda storage, path: _write(storage, path),
    "write anew": lambda storage, path: _write(storage, path, overwrite=False),
    "list": lambda storage, path: storage.list(path),
    "make a folder": lambda storage, path: storage.make_folder(path),
    "copy out": lambda storage, path: storage.copy("file", path, overwrite=True),
    "copy in": lambda storage, path: storage.copy(path, "copy"),
}


@pytest.mark.parametrize("way", WAYS_OUT)
@pytest.mark.parametrize(
    "path",
    [
        "../outside/secret",
        "../outside",
        "..",
        "folder/../../outside/secret",
        "/etc/passwd",
        "//etc/passwd",
        "link to file",
        "link to folder/secret",
        "link to folder/new",
        "link to nothing",
        "link over links",
    ],
)
def test_nothing_leads_out_of_the_root(root: Path, outside: Path, storage: LocalStorage, way: str, path: str) -> None:
    (root / "file").write_bytes(b"inside")
    (root / "folder").mkdir()
    (root / "link to file").symlink_to(outside / "secret")
    (root / "link to folder").symlink_to(outside)
    (root / "link to nothing").symlink_to(outside / "new")
    (root / "link over links").symlink_to("link to folder/secret")

    with pytest.raises(StorageError):
        WAYS_OUT[way](storage, path)

    assert {found.name: found.read_bytes() for found in outside.iterdir()} == {"secret": b"secret"}
    assert {found.name for found in outside.parent.iterdir()} == {"root", "outside"}


@pytest.mark.parametrize("target", ["../outside/moved", "link/moved", "/moved"])
def test_nothing_is_moved_out_of_the_root(root: Path, outside: Path, storage: LocalStorage, target: str) -> None:
    (root / "file").write_bytes(b"inside")
    (root / "link").symlink_to(outside)

    with pytest.raises(StorageError):
        storage.rename("file", target)

    assert (root / "file").read_bytes() == b"inside"
    assert [found.name for found in outside.iterdir()] == ["secret"]


def test_links_are_listed_as_what_they_are(root: Path, outside: Path, storage: LocalStorage) -> None:
    (root / "file").write_bytes(b"12345")
    (root / "folder").mkdir()
    (root / "to file").symlink_to("file")
    (root / "to folder").symlink_to("folder")
    (root / "to outside").symlink_to(outside)
    (root / "to nothing").symlink_to("missing")
    (root / "to itself").symlink_to("to itself")

    entries = _named(storage)

    kinds = {name: (entry.kind, entry.link_target) for name, entry in entries.items()}
    assert kinds == {
        "file": (EntryKind.FILE, ""),
        "folder": (EntryKind.FOLDER, ""),
        "to file": (EntryKind.FILE, "file"),
        "to folder": (EntryKind.FOLDER, "folder"),
        "to outside": (EntryKind.LINK, str(outside)),
        "to nothing": (EntryKind.LINK, "missing"),
        "to itself": (EntryKind.LINK, "to itself"),
    }
    assert entries["to file"].size == 5
    assert {name: storage.stat(name).kind for name in kinds} == {name: kind for name, (kind, _target) in kinds.items()}


def test_links_are_not_followed_in_a_flat_listing(root: Path, storage: LocalStorage) -> None:
    (root / "folder").mkdir()
    (root / "folder" / "file").write_bytes(b"x")
    (root / "folder" / "up").symlink_to("..")

    names = [entry.name for entry in storage.list("", recursive=True)]

    assert sorted(names) == ["folder", "folder/file", "folder/up"]


def test_deleting_a_link_leaves_its_target(root: Path, outside: Path, storage: LocalStorage) -> None:
    (root / "folder").mkdir()
    (root / "folder" / "file").write_bytes(b"x")
    (root / "to folder").symlink_to("folder")
    (root / "to outside").symlink_to(outside / "secret")
    (root / "to nothing").symlink_to("missing")

    storage.delete_folder("to folder/")
    storage.delete("to outside")
    storage.delete("to nothing")

    assert set(_named(storage)) == {"folder"}
    assert (root / "folder" / "file").exists()
    assert (outside / "secret").read_bytes() == b"secret"


def test_a_link_is_renamed_itself(root: Path, outside: Path, storage: LocalStorage) -> None:
    (root / "link").symlink_to(outside / "secret")

    storage.rename("link", "renamed")

    assert (root / "renamed").readlink() == outside / "secret"
    assert not (root / "link").is_symlink()
    assert (outside / "secret").read_bytes() == b"secret"


def test_the_root_itself_cannot_be_changed(root: Path, storage: LocalStorage) -> None:
    changes: list[Callable[[], object]] = [
        lambda: storage.delete_folder(""),
        lambda: storage.rename("", "x"),
        lambda: storage.delete(""),
        lambda: storage.make_folder(""),
    ]
    for change in changes:
        with pytest.raises(StorageError):
            change()

    assert root.is_dir()


def test_names_that_are_not_utf8_come_and_go_exactly(root: Path, storage: LocalStorage) -> None:
    raw = os.fsencode(root) + b"/caf\xe9 \xff"
    Path(os.fsdecode(raw)).write_bytes(b"old")

    (entry,) = storage.list("")
    assert entry.name == "caf\udce9 \udcff"
    assert _read(storage, entry.name) == b"old"
    _write(storage, entry.name, b"new")
    storage.rename(entry.name, f"{entry.name}2")
    with pytest.raises(FileNotFoundInStorageError) as refusal:
        storage.delete(entry.name)

    assert [os.fsencode(name) for name in _in(root)] == [b"caf\xe9 \xff2"]
    str(refusal.value).encode()


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "n" * 256, "é" * 128])
def test_names_the_disk_cannot_hold_are_refused(root: Path, storage: LocalStorage, name: str) -> None:
    (root / "file").write_bytes(b"x")

    attempts: list[Callable[[], object]] = [
        lambda: _write(storage, name),
        lambda: storage.make_folder(name),
        lambda: storage.rename("file", name),
    ]
    for attempt in attempts:
        with pytest.raises(InvalidName) as refusal:
            attempt()
        str(refusal.value).encode()

    assert _in(root) == ["file"]


def test_the_longest_name_can_be_written(root: Path, storage: LocalStorage) -> None:
    for name in ("n" * 255, "é" * 127):
        _write(storage, name)

    assert _in(root) == ["n" * 255, "é" * 127]


def test_permissions_of_a_replaced_file_stay(root: Path, storage: LocalStorage) -> None:
    (root / "script").write_bytes(b"old")
    (root / "script").chmod(0o750)

    _write(storage, "script")

    assert (root / "script").read_bytes() == b"new"
    assert storage.stat("script").permissions == 0o750


def test_a_new_file_has_the_usual_permissions(root: Path, storage: LocalStorage) -> None:
    (root / "usual").write_bytes(b"x")

    _write(storage, "new")

    assert storage.stat("new").permissions == storage.stat("usual").permissions


def test_a_copy_keeps_time_and_permissions(root: Path, storage: LocalStorage) -> None:
    (root / "old").write_bytes(b"content")
    (root / "old").chmod(0o640)
    os.utime(root / "old", (1_000_000_000.5, 1_000_000_000.5))

    storage.copy("old", "new")

    old, new = storage.stat("old"), storage.stat("new")
    assert (new.last_modified, new.permissions, new.size) == (old.last_modified, 0o640, 7)


@pytest.mark.parametrize("microsecond", [0, 1, 123_457, 999_999])
@pytest.mark.parametrize("year", [1969, 1970, 2001, 2242])
def test_times_are_kept_to_the_microsecond(storage: LocalStorage, year: int, microsecond: int) -> None:
    moment = datetime(year, 12, 31, 23, 59, 59, microsecond, tzinfo=UTC)

    storage.open_writer("file", modified=moment).close()

    assert storage.stat("file").last_modified == moment


def test_files_that_are_being_written_are_not_shown(root: Path, storage: LocalStorage) -> None:
    with storage.open_writer("file") as file:
        file.write(b"x")
        hidden = _in(root)
        shown = storage.list("")

    assert len(hidden) == 1
    assert hidden[0].startswith(".file.")
    assert shown == []
    assert _in(root) == ["file"]


def test_a_disk_that_fills_is_said_and_leaves_nothing(
    root: Path, storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "file").write_bytes(b"old")

    def full(*_arguments: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for call in ("write", "fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(f"os.{call}", full)
            with pytest.raises(QuotaExceeded, match=r"“file”.*full"):
                _write(storage, "file")

    assert (root / "file").read_bytes() == b"old"
    assert _in(root) == ["file"]


def test_a_file_too_large_for_the_disk_is_said_and_leaves_nothing(root: Path, storage: LocalStorage) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(QuotaExceeded, match="“file”"):
            _write(storage, "file", bytes(300_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert _in(root) == []


@pytest.mark.parametrize("overwrite", [False, True])
def test_without_hard_links_nothing_is_clobbered_either(
    root: Path, storage: LocalStorage, monkeypatch: pytest.MonkeyPatch, overwrite: bool
) -> None:
    def no_links(*_arguments: object, **_named: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr("os.link", no_links)
    (root / "taken").write_bytes(b"taken")

    _write(storage, "free", overwrite=overwrite)
    storage.rename("free", "moved")
    if not overwrite:
        with pytest.raises(AlreadyExists):
            _write(storage, "taken", overwrite=False)
        with pytest.raises(AlreadyExists):
            storage.rename("moved", "taken")

    assert {found.name: found.read_bytes() for found in root.iterdir()} == {"taken": b"taken", "moved": b"new"}


def test_a_file_changed_in_place_while_it_is_read_is_noticed(root: Path, storage: LocalStorage) -> None:
    (root / "file").write_bytes(b"a" * 1000)
    os.utime(root / "file", (1, 1))

    with storage.open("file", "rb") as file:
        file.read(100)
        (root / "file").write_bytes(b"b" * 1000)
        with pytest.raises(SourceChanged, match="file"):
            file.read(-1)


def test_a_pipe_or_a_device_is_not_read(root: Path, storage: LocalStorage) -> None:
    os.mkfifo(root / "pipe")

    with pytest.raises(NotSupported, match="pipe"):
        storage.open("pipe", "rb")
    with pytest.raises((NotSupported, PermissionDenied)):
        LocalStorage("/dev").open("zero", "rb")


def test_a_missing_root_is_said_by_its_name(tmp_path: Path) -> None:
    storage = LocalStorage(str(tmp_path / "gone"))

    for call in (storage.check, lambda: storage.list("")):
        with pytest.raises(FileNotFoundInStorageError, match="gone"):
            call()


def test_a_root_that_is_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")

    with pytest.raises(NotAFolder, match="file"):
        LocalStorage(str(tmp_path / "file")).check()


def test_the_root_may_be_a_link(tmp_path: Path, root: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    storage = LocalStorage(str(tmp_path / "link"))

    _write(storage, "file")

    assert (root / "file").read_bytes() == b"new"
    assert _read(storage, "file") == b"new"


def test_a_folder_that_vanishes_while_all_is_listed_is_passed_over(root: Path, storage: LocalStorage) -> None:
    for folder in ("a", "b"):
        (root / folder).mkdir()
        for number in range(1200):
            (root / folder / f"{number}").write_bytes(b"")
    pages = storage.list_pages("", recursive=True)
    first = next(pages).entries
    untouched = "a" if any(entry.name.startswith("a/") for entry in first) else "b"
    other = "b" if untouched == "a" else "a"

    for path in (root / other).iterdir():
        path.unlink()
    (root / other).rmdir()
    names = [entry.name for entry in first] + [entry.name for page in pages for entry in page.entries]

    assert sum(name.startswith(f"{untouched}/") for name in names) == 1200
    assert not any(name.startswith(f"{other}/") for name in names)


def test_a_long_write_ends_soon_after_an_interrupt(root: Path, storage: LocalStorage) -> None:
    file = storage.open_writer("file")
    data = bytes(256 * 1024 * 1024)
    timer = threading.Timer(0.01, storage.interrupt)
    timer.start()

    with pytest.raises(Cancelled):
        _write_for_long(file, data)
    timer.join()
    file.abort()

    assert _in(root) == []


def test_a_folder_is_not_opened_as_a_file(root: Path, storage: LocalStorage) -> None:
    (root / "folder").mkdir()

    with pytest.raises(IsAFolder, match="folder"):
        storage.open("folder", "rb")
    with pytest.raises(IsAFolder, match="folder"):
        storage.open("folder", "wb")
    for mode in ("rb", "wb"):
        with pytest.raises(InvalidName, match="folder"):
            storage.open("folder/", mode)


def test_a_local_connection_opens_its_folder(root: Path) -> None:
    (root / "file").write_bytes(b"x")

    storage = ConnectionSpec("id", "local", "Mine", {"root": str(root)}).open()

    assert storage.name == "Mine"
    assert list(_named(storage)) == ["file"]
    assert str(root) in storage.check()
