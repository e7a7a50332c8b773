"""Many small files over one SFTP session: each whole or not there, whatever happens to the others or to the line."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kegbrowser.backends.batches import FileResult, ReadRequest, WriteRequest
from kegbrowser.backends.errors import (
    AlreadyExists,
    CheckFailed,
    ConnectionLost,
    FileNotFoundInStorageError,
    IsAFolder,
    PermissionDenied,
    QuotaExceeded,
    SourceChanged,
    StorageError,
)
from kegbrowser.backends.proofs import Proof
from kegbrowser.backends.sftp import SFTPStorage, shell
from tests.conformance.content import content_of
from tests.doubles.sftp_server import SftpServerDouble, Ways
from tests.integration.sftp_places import SmallDiskSshd, opened, opened_double
from tests.servers.faulty_proxy import FaultyProxy
from tests.servers.sshd import SshdAddress


class _Stopped(Exception):
    """Raised by whoever gives the requests."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder, which the real server sees as well."""
    return tmp_path


@pytest.fixture
def storage(sshd_server: SshdAddress, folder: Path) -> Iterator[SFTPStorage]:
    with opened(sshd_server, root=str(folder)) as made:
        yield made


@pytest.fixture(params=["OpenSSH", "a plain server"])
def any_storage(request: pytest.FixtureRequest, folder: Path) -> Iterator[SFTPStorage]:
    if request.param == "OpenSSH":
        with opened(request.getfixturevalue("sshd_server"), root=str(folder)) as made:
            yield made
    else:
        with SftpServerDouble(folder, Ways(password="secret")) as double, opened_double(double) as made:
            yield made


def _write(storage: SFTPStorage, files: dict[str, bytes], **options: object) -> dict[str, FileResult]:
    names = list(files)
    requests = (WriteRequest(key, name, files[name], **options) for key, name in enumerate(names))  # type: ignore[arg-type]
    return {names[result.key]: result for result in storage.write_files(requests, lambda: 32)}


def _read(storage: SFTPStorage, sizes: dict[str, int], etag: str = "") -> dict[str, FileResult]:
    names = list(sizes)
    requests = (ReadRequest(key, name, sizes[name], etag) for key, name in enumerate(names))
    return {names[result.key]: result for result in storage.read_files(requests, lambda: 32)}


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def _errors(results: dict[str, FileResult]) -> dict[str, type[StorageError]]:
    return {name: type(result.error) for name, result in results.items() if result.error is not None}


# -- what arrives ----------------------------------------------------------------------------------------------------------


def test_files_of_all_small_sizes_go_there_and_back(any_storage: SFTPStorage, folder: Path) -> None:
    sizes = (0, 1, 32_767, 32_768, 32_769, 255 * 1024 - 1, 255 * 1024, 255 * 1024 + 1, 1_048_576)
    files = {f"{size}": content_of(size) for size in sizes}

    written = _write(any_storage, files)
    read = _read(any_storage, {name: len(content) for name, content in files.items()})

    assert _errors(written) == _errors(read) == {}
    assert {name: (folder / name).read_bytes() for name in files} == files
    assert {name: result.content for name, result in read.items()} == files
    assert _names(folder) == set(files)


def test_read_files_say_what_was_read(storage: SFTPStorage, folder: Path) -> None:
    (folder / "file").write_bytes(b"abc")
    listed = storage.stat("file")

    entry = _read(storage, {"file": 3}, listed.etag)["file"].entry

    assert entry is not None
    assert (entry.name, entry.size, entry.etag, entry.last_modified) == ("file", 3, listed.etag, listed.last_modified)


@pytest.mark.parametrize("python", [True, False], ids=["CRC-32", "SHA-256"])
def test_the_servers_shell_proves_each_file(
    storage: SFTPStorage, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, *, python: bool
) -> None:
    if not python:
        monkeypatch.setattr(shell, "_PYTHON", "import this_is_not_there")
    files = {f"na'me\n{number}": content_of(1000 + number) for number in range(100)}

    results = (*_write(storage, files).values(), *_read(storage, dict.fromkeys(files, 1000)).values())

    expected = Proof.verified("CRC-32" if python else "SHA-256")
    assert {result.proof for result in results if result.error is None} == {expected}
    assert len(results) == 200


def test_a_file_that_is_damaged_at_the_server_never_gets_its_name(
    storage: SFTPStorage, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = shell.Shell.ask_files

    def damage_first(own: shell.Shell, paths: list[bytes], *, are_written: bool) -> None:
        for path in paths:
            if b".bad." in path:
                Path(os.fsdecode(path)).write_bytes(b"damaged")
        asked(own, paths, are_written=are_written)

    monkeypatch.setattr(shell.Shell, "ask_files", damage_first)

    results = _write(storage, {"good": b"content", "bad": b"content"})

    assert _errors(results) == {"bad": CheckFailed}
    storage.list("")
    assert _names(folder) == {"good"}


def test_without_a_shell_files_arrive_unproven(sshd_server: SshdAddress, folder: Path) -> None:
    with opened(sshd_server, root=str(folder), checksums=False) as storage:
        results = _write(storage, {f"{number}": b"x" for number in range(50)})

    assert {result.proof for result in results.values()} == {Proof.size_only("the server computes no checksums")}


# -- what is replaced ------------------------------------------------------------------------------------------------------


def test_a_replaced_file_leaves_its_permissions(any_storage: SFTPStorage, folder: Path) -> None:
    (folder / "file").write_bytes(b"old")
    (folder / "file").chmod(0o604)

    assert _errors(_write(any_storage, {"file": b"new"})) == {}

    assert (folder / "file").read_bytes() == b"new"
    assert (folder / "file").stat().st_mode & 0o7777 == 0o604


def test_permissions_and_times_are_set(any_storage: SFTPStorage, folder: Path) -> None:
    moment = datetime(2020, 2, 29, 12, 0, 1, tzinfo=UTC)

    _write(any_storage, {"file": b"x"}, modified=moment, permissions=0o751)

    found = (folder / "file").stat()
    assert (found.st_mode & 0o7777, found.st_mtime) == (0o751, moment.timestamp())


def test_a_taken_name_is_not_taken_again(any_storage: SFTPStorage, folder: Path) -> None:
    (folder / "taken").write_bytes(b"somebody's")

    results = _write(any_storage, {"taken": b"ours", "free": b"ours"}, overwrite=False)

    assert _errors(results) == {"taken": AlreadyExists}
    assert (folder / "taken").read_bytes() == b"somebody's"
    any_storage.list("")
    assert _names(folder) == {"taken", "free"}


def test_through_a_link_the_file_behind_it_is_replaced(storage: SFTPStorage, folder: Path) -> None:
    (folder / "real").write_bytes(b"old")
    (folder / "link").symlink_to("real")

    assert _errors(_write(storage, {"link": b"new"})) == {}

    assert (folder / "link").is_symlink()
    assert (folder / "real").read_bytes() == b"new"
    assert _names(folder) == {"link", "real"}


# -- what is refused -------------------------------------------------------------------------------------------------------


def test_each_refusal_is_that_files_own(any_storage: SFTPStorage, folder: Path) -> None:
    (folder / "folder").mkdir()
    (folder / "file").write_bytes(b"x")
    (folder / "other").write_bytes(b"longer than it was listed")

    written = _write(any_storage, {"new": b"x", "folder": b"x", "missing/file": b"x"})
    read = _read(any_storage, {"file": 1, "folder": 1, "missing": 1, "other": 3})

    assert _errors(written) == {"folder": IsAFolder, "missing/file": FileNotFoundInStorageError}
    assert _errors(read) == {"folder": IsAFolder, "missing": FileNotFoundInStorageError, "other": SourceChanged}
    any_storage.list("")
    assert _names(folder) == {"folder", "file", "other", "new"}


def test_a_server_that_takes_no_writes_is_told_so(read_only_sshd_server: SshdAddress) -> None:
    with opened(read_only_sshd_server) as storage:
        assert _errors(_write(storage, {"a": b"x", "b": b""})) == {"a": PermissionDenied, "b": PermissionDenied}


def test_a_full_disk_is_told_as_that_and_leaves_nothing() -> None:
    with SmallDiskSshd(6 * 1024 * 1024) as server, opened(server.start()) as storage:
        files = {f"{number}": content_of(500_000) for number in range(30)}

        errors = _errors(_write(storage, files))
        listed = {entry.name for entry in storage.list("")}

        assert errors
        assert set(errors.values()) == {QuotaExceeded}
        assert listed == set(files) - set(errors)
        read = _read(storage, dict.fromkeys(listed, 500_000))
        assert {name: result.content for name, result in read.items()} == {name: files[name] for name in listed}


# -- what breaks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [20_000, 300_000, 1_500_000])
def test_after_a_cut_each_file_is_whole_or_told_as_lost(sshd_server: SshdAddress, folder: Path, after: int) -> None:
    files = {f"{number}": content_of(10_000 + number) for number in range(300)}
    with FaultyProxy(sshd_server.port) as proxy, opened(sshd_server.at(proxy.port), root=str(folder)) as storage:
        proxy.faults.cut_up_after = after
        proxy.faults.cuts_left = 1

        results = _write(storage, files)
        proxy.faults.cut_up_after = None
        storage.list("")

        errors = _errors(results)
        assert results.keys() == files.keys()
        assert errors
        assert set(errors.values()) == {ConnectionLost}
        assert all((folder / name).read_bytes() == files[name] for name in files if name not in errors)
        there = _names(folder)
        assert there <= set(files)
        assert all((folder / name).read_bytes() == files[name] for name in there)


def test_a_server_that_falls_silent_is_given_up(sshd_server: SshdAddress, folder: Path) -> None:
    with (
        FaultyProxy(sshd_server.port) as proxy,
        opened(sshd_server.at(proxy.port), root=str(folder), timeout_s=1.0, checksums=False) as storage,
    ):
        storage.list("")
        proxy.faults.stall_down_after = 3_000

        errors = _errors(_write(storage, {f"{number}": b"x" for number in range(50)}))
        proxy.faults.stall_down_after = None

        assert set(errors.values()) == {ConnectionLost}


def test_a_server_that_cannot_be_reached_answers_each_request(sshd_server: SshdAddress, folder: Path) -> None:
    with FaultyProxy(sshd_server.port) as proxy, opened(sshd_server.at(proxy.port), root=str(folder)) as storage:
        proxy.faults.refuse = True

        assert _errors(_write(storage, {"a": b"x", "b": b"x"})) == {"a": ConnectionLost, "b": ConnectionLost}


@pytest.mark.parametrize("is_closed", [True, False], ids=["closed", "stopped by its requests"])
def test_a_batch_that_is_given_up_leaves_nothing_behind(storage: SFTPStorage, folder: Path, *, is_closed: bool) -> None:
    files = {f"{number}": content_of(50_000) for number in range(100)}

    def requests() -> Iterator[WriteRequest]:
        for key, (name, content) in enumerate(files.items()):
            if not is_closed and key == 60:
                raise _Stopped
            yield WriteRequest(key, name, content)

    done = _until_stopped(storage.write_files(requests(), lambda: 40), 5 if is_closed else 1000)
    storage.list("")

    there = _names(folder)
    assert done <= {list(files).index(name) for name in there}
    assert there <= set(files)
    assert all((folder / name).read_bytes() == files[name] for name in there)


def _until_stopped(results: Iterable[FileResult], most: int) -> set[int]:
    done: set[int] = set()
    try:
        for result in results:
            assert result.error is None
            done.add(result.key)
            if len(done) >= most:
                break
    except _Stopped:
        pass
    close: Callable[[], None] = results.close  # type: ignore[attr-defined]
    close()
    return done


def test_a_long_line_is_filled_with_files(sshd_server: SshdAddress, folder: Path) -> None:
    with FaultyProxy(sshd_server.port) as proxy, opened(sshd_server.at(proxy.port), root=str(folder)) as storage:
        proxy.faults.delay_s = 0.05
        files = {f"{number}": content_of(1000) for number in range(400)}
        names = list(files)
        most = len(names)

        requests = (WriteRequest(key, name, files[name]) for key, name in enumerate(names))
        begun = time.monotonic()
        errors = [result.error for result in storage.write_files(requests, lambda: most)]
        took_s = time.monotonic() - begun

        assert errors == [None] * most
        assert took_s < 20  # one after the other they would take two minutes
        assert proxy.connections == 1
