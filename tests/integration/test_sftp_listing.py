"""Listings over SFTP: links told but not followed, folders below folders, a million of round trips saved."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kegbrowser.backends.base import EntryKind
from kegbrowser.backends.errors import ConnectionLost, FileNotFoundInStorageError, NotAFolder, PermissionDenied
from kegbrowser.backends.sftp import SFTPStorage
from kegbrowser.backends.sftp.listing import owner_in
from tests.integration.sftp_places import UnprivilegedSshd, opened
from tests.servers.faulty_proxy import FaultyProxy
from tests.servers.sshd import SshdAddress


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder, which the real server sees as well."""
    return tmp_path


@pytest.fixture
def storage(sshd_server: SshdAddress, folder: Path) -> Iterator[SFTPStorage]:
    with opened(sshd_server, root=str(folder)) as made:
        yield made


def test_links_are_told_by_where_they_lead(storage: SFTPStorage, folder: Path) -> None:
    (folder / "real").mkdir()
    (folder / "real/file").write_bytes(b"12345")
    for name, to in {
        "to folder": "real",
        "to file": "real/file",
        "broken": "nothing",
        "round": "round",
        "absolute": "/etc",
    }.items():
        (folder / name).symlink_to(to)

    entries = {entry.name: entry for entry in storage.list("")}

    assert {name: (entry.kind, entry.link_target) for name, entry in entries.items()} == {
        "real": (EntryKind.FOLDER, ""),
        "to folder": (EntryKind.FOLDER, "real"),
        "to file": (EntryKind.LINK, "real/file"),
        "broken": (EntryKind.LINK, "nothing"),
        "round": (EntryKind.LINK, "round"),
        "absolute": (EntryKind.FOLDER, "/etc"),
    }
    assert entries["to file"].size == 5
    for name, entry in entries.items():
        told = storage.stat(name)
        assert (told.kind, told.link_target, told.size) == (entry.kind, entry.link_target, entry.size), name


def test_recursion_goes_through_no_link(storage: SFTPStorage, folder: Path) -> None:
    (folder / "a/b").mkdir(parents=True)
    (folder / "a/b/file").touch()
    (folder / "a/b/up").symlink_to("..")
    (folder / "a/self").symlink_to(".")
    (folder / "out").symlink_to("/etc")

    names = {(entry.name, entry.is_folder) for entry in storage.list("", recursive=True)}

    assert names == {
        ("a", True),
        ("a/b", True),
        ("a/b/file", False),
        ("a/b/up", True),
        ("a/self", True),
        ("out", True),
    }


def test_deep_and_wide_folders_are_listed_whole(sshd_server: SshdAddress, folder: Path) -> None:
    expected = set()
    for one in range(20):
        for two in range(10):
            path = folder / f"{one}/{two}"
            path.mkdir(parents=True)
            (path / "file").touch()
            expected |= {f"{one}", f"{one}/{two}", f"{one}/{two}/file"}
    with FaultyProxy(sshd_server.port) as proxy, opened(sshd_server.at(proxy.port), root=str(folder)) as storage:
        storage.list("")
        proxy.faults.delay_s = 0.01
        begun = time.monotonic()

        entries = storage.list("", recursive=True)

        assert time.monotonic() - begun < 6  # 221 folders, one after the other, would take 8.8 s and more
        assert proxy.connections == 1
    assert len(entries) == len(expected)
    assert {entry.name for entry in entries} == expected


def test_the_order_of_a_recursive_listing_is_the_same_again(storage: SFTPStorage, folder: Path) -> None:
    for one in range(30):
        (folder / f"{one}/below").mkdir(parents=True)
        (folder / f"{one}/below/file").touch()

    first = [entry.name for entry in storage.list("", recursive=True)]

    assert [entry.name for entry in storage.list("", recursive=True)] == first


def test_many_links_are_looked_into_at_once(sshd_server: SshdAddress, folder: Path) -> None:
    (folder / "target").touch()
    for number in range(300):
        (folder / f"link {number}").symlink_to("target")
    with FaultyProxy(sshd_server.port) as proxy, opened(sshd_server.at(proxy.port), root=str(folder)) as storage:
        storage.stat("")
        proxy.faults.delay_s = 0.02
        begun = time.monotonic()

        entries = storage.list("")

        assert time.monotonic() - begun < 3  # 600 questions, one after the other, would take 24 s
    assert sum(entry.link_target == "target" for entry in entries) == 300


def test_a_listing_that_is_left_does_no_harm(storage: SFTPStorage, folder: Path) -> None:
    for number in range(500):
        (folder / f"file {number}").touch()
    pages = storage.list_pages("")
    next(pages)
    pages.close()  # type: ignore[attr-defined]

    assert len(storage.list("")) == 500


def test_the_first_page_is_there_before_the_last_is_sent(sshd_server: SshdAddress, folder: Path) -> None:
    for number in range(3000):
        (folder / f"file {number:05}").touch()
    with FaultyProxy(sshd_server.port) as proxy, opened(sshd_server.at(proxy.port), root=str(folder)) as storage:
        storage.stat("")
        proxy.faults.bytes_per_s = 400_000
        begun = time.monotonic()
        pages = storage.list_pages("")

        first = next(pages)
        first_s = time.monotonic() - begun
        rest = [len(page.entries) for page in pages]

    assert 0 < len(first.entries) < 1000
    assert len(first.entries) + sum(rest) == 3000
    assert first_s < (time.monotonic() - begun) / 2


def test_a_listing_that_breaks_off_is_an_error_and_no_short_listing(sshd_server: SshdAddress, folder: Path) -> None:
    for number in range(3000):
        (folder / f"file {number:05}").touch()
    with FaultyProxy(sshd_server.port) as proxy, opened(sshd_server.at(proxy.port), root=str(folder)) as storage:
        storage.stat("")
        proxy.faults.bytes_per_s = 1_000_000
        pages = storage.list_pages("")
        next(pages)
        proxy.cut_all()

        with pytest.raises(ConnectionLost):
            list(pages)


def test_facts_of_files_are_told(storage: SFTPStorage, folder: Path) -> None:
    (folder / "file").write_bytes(b"12345")
    (folder / "file").chmod(0o4751)
    os.utime(folder / "file", (1_100_000_000, 1_000_000_000))
    found = (folder / "file").stat()

    (listed,) = storage.list("")
    told = storage.stat("file")

    for entry in (listed, told):
        assert (entry.size, entry.permissions) == (5, 0o4751)
        assert entry.last_modified == datetime.fromtimestamp(1_000_000_000, UTC)
        assert entry.etag
        assert entry.owner == f"{(folder / 'file').owner()}:{(folder / 'file').group()}"
    assert listed.etag == told.etag
    assert ("Last read", "2004-11-09 11:33:20 UTC") in told.extra
    assert found.st_size == 5


@pytest.mark.parametrize(
    ("line", "owner"),
    [
        (b"-rw-r--r--    1 root     users           5 Nov 23 14:00 name", "root:users"),
        (b"drwxr-xr-x+   2 1000     1000         4096 Nov 23 14:00 a b c", "1000:1000"),
        (b"name", ""),
        (b"", ""),
        (b"11-23-26  02:00PM       <DIR>          folder with spaces in it", ""),
    ],
)
def test_owners_are_read_from_the_usual_form_only(line: bytes, owner: str) -> None:
    assert owner_in(line) == owner


def test_errors_name_the_folder(storage: SFTPStorage, folder: Path) -> None:
    (folder / "file").touch()

    with pytest.raises(FileNotFoundInStorageError, match="missing"):
        storage.list("missing/")
    with pytest.raises(NotAFolder, match="file"):
        storage.list("file/")
    with pytest.raises(FileNotFoundInStorageError, match="below"):
        storage.list("file/below")


def test_what_modes_forbid_is_told_by_name() -> None:
    with UnprivilegedSshd() as server, opened(server.start(), root=server.address.root) as storage:
        storage.make_folder("open")
        storage.make_folder("open/closed")
        with storage.open("open/secret", "wb") as file:
            file.write(b"x")
        closed, secret = Path(server.address.root, "open/closed"), Path(server.address.root, "open/secret")
        closed.chmod(0)
        secret.chmod(0)
        try:
            for path, recursive in (("open/closed", False), ("", True)):
                with pytest.raises(PermissionDenied, match="closed") as refusal:
                    storage.list(path, recursive=recursive)
                assert refusal.value.path == "open/closed/"
            with pytest.raises(PermissionDenied, match="secret"):
                storage.open("open/secret", "rb")
            with pytest.raises(PermissionDenied, match="new"):
                with storage.open("open/closed/new", "wb") as file:
                    file.write(b"x")
            assert {entry.name for entry in storage.list("open/")} == {"closed", "secret"}
        finally:
            closed.chmod(0o700)
        assert list(closed.iterdir()) == []


def test_relative_paths_start_at_the_login_folder(sshd_server: SshdAddress, folder: Path) -> None:
    (folder / "file").write_bytes(b"x")
    with opened(sshd_server, root=None) as storage:
        login = {entry.name for entry in storage.list("")}
        assert login == {path.name for path in Path(f"~{sshd_server.username}").expanduser().iterdir()}
        assert [entry.name for entry in storage.list(str(folder))] == ["file"]
        with storage.open(f"{folder}/file", "rb") as file:
            assert file.read(-1) == b"x"
        assert "etc" in {entry.name for entry in storage.list("/")}
        assert storage.home() == ""
