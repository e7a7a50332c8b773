"""Files over SFTP: never short, never mixed, never half written, whatever the server lacks or does badly."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kegbrowser.backends.errors import (
    AlreadyExists,
    ConnectionLost,
    FileNotFoundInStorageError,
    FolderNotEmpty,
    InvalidName,
    IsAFolder,
    NotAFolder,
    QuotaExceeded,
    ServerFault,
    SourceChanged,
    StorageError,
)
from kegbrowser.backends.sftp import SFTPStorage
from kegbrowser.backends.sftp.packets import GatheringPacketizer
from kegbrowser.backends.sftp.reader import SftpReader
from tests.conformance.content import content_of, digest
from tests.doubles.sftp_server import SftpServerDouble, Ways
from tests.integration.sftp_places import SmallDiskSshd, break_at_rename, opened, opened_double
from tests.servers.faulty_proxy import FaultyProxy
from tests.servers.process import wait_until
from tests.servers.sshd import SshdAddress

MIB = 1 << 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder, which the real server sees as well."""
    return tmp_path


@pytest.fixture
def storage(sshd_server: SshdAddress, folder: Path) -> Iterator[SFTPStorage]:
    with opened(sshd_server, root=str(folder)) as made:
        yield made


@pytest.fixture
def double(tmp_path: Path) -> Iterator[SftpServerDouble]:
    with SftpServerDouble(tmp_path, Ways(password="secret")) as running:
        yield running


@pytest.fixture
def plain(double: SftpServerDouble) -> Iterator[SFTPStorage]:
    """A storage on a server that knows no extension of OpenSSH."""
    with opened_double(double) as made:
        yield made


def _write(storage: SFTPStorage, path: str, content: bytes, **options: object) -> None:
    with storage.open_writer(path, **options) as file:  # type: ignore[arg-type]
        file.write(content)


def _read(storage: SFTPStorage, path: str) -> bytes:
    with storage.open(path, "rb") as file:
        return file.read(-1)


def _raw_names(folder: Path) -> list[bytes]:
    return [os.fsencode(path.name) for path in folder.iterdir()]


# -- reading


@pytest.mark.parametrize("most", [1000, 4096, 32_767])
def test_short_answers_make_a_whole_file(plain: SFTPStorage, double: SftpServerDouble, most: int) -> None:
    content = content_of(400_000)
    (double.root / "file").write_bytes(content)
    double.ways.most_read_bytes = most

    assert digest(_read(plain, "file")) == digest(content)
    with plain.open_reader("file", offset=12_345, length=77_777) as file:
        assert digest(file.read(-1)) == digest(content[12_345 : 12_345 + 77_777])


def test_files_that_say_they_are_empty_are_read_to_their_end(sshd_server: SshdAddress) -> None:
    with opened(sshd_server, root="/") as storage:
        assert _read(storage, "proc/version") == Path("/proc/version").read_bytes()
        with storage.open_reader("proc/version", offset=6, length=8) as file:
            assert file.read(-1) == Path("/proc/version").read_bytes()[6:14]


@pytest.mark.parametrize("change", ["grown", "cut short", "rewritten"])
def test_a_file_that_changes_while_it_is_read_is_noticed(storage: SFTPStorage, folder: Path, change: str) -> None:
    path = folder / "file"
    path.write_bytes(content_of(20 * MIB))
    os.utime(path, (1_000_000_000, 1_000_000_000))

    with storage.open("file", "rb") as file:
        file.read(1000)
        if change == "grown":
            with path.open("ab") as more:
                more.write(b"x")
        elif change == "cut short":
            os.truncate(path, 10 * MIB)
        else:
            with path.open("r+b") as other:
                other.write(b"other")

        with pytest.raises(SourceChanged, match="file"):
            file.read(-1)


def test_a_file_comes_whole_over_a_renewed_encryption(
    storage: SFTPStorage, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GatheringPacketizer, "REKEY_BYTES", 4 * MIB)
    content = content_of(40 * MIB)
    (folder / "file").write_bytes(content)

    assert digest(_read(storage, "file")) == digest(content)


def test_names_that_are_no_utf8_are_kept_by_their_bytes(storage: SFTPStorage, folder: Path) -> None:
    raw = b"\xff\xfe.txt"
    name = raw.decode("utf-8", "surrogateescape")
    Path(os.fsdecode(os.fsencode(folder) + b"/" + raw)).write_bytes(b"content")

    assert [entry.name for entry in storage.list("")] == [name]
    assert _read(storage, name) == b"content"
    _write(storage, name, b"new")
    assert _raw_names(folder) == [raw]
    storage.rename(name, name + "\udcfd")
    assert _raw_names(folder) == [raw + b"\xfd"]
    storage.delete(name + "\udcfd")
    storage.make_folder(name)
    assert [entry.name for entry in storage.list("", recursive=True)] == [name]
    storage.delete_folder(name)
    with pytest.raises(FileNotFoundInStorageError) as refusal:
        storage.open(name, "rb")
    str(refusal.value).encode()


# -- writing


def test_a_replaced_file_keeps_its_permissions(storage: SFTPStorage, folder: Path) -> None:
    path = folder / "file"
    path.write_bytes(b"old")
    path.chmod(0o640)

    _write(storage, "file", b"new")

    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o7777 == 0o640


def test_what_replaces_a_private_file_is_private_from_the_start(storage: SFTPStorage, folder: Path) -> None:
    (folder / "file").write_bytes(b"old")
    (folder / "file").chmod(0o600)

    with storage.open("file", "wb") as file:
        file.write(b"x" * MIB)
        storage.stat("file")
        (part,) = folder.glob("*.kegpart")
        wait_until(lambda: part.stat().st_size > 0, "writing")
        assert part.stat().st_mode & 0o077 == 0


def test_writing_through_a_link_replaces_the_file_behind_it(storage: SFTPStorage, folder: Path) -> None:
    (folder / "real").mkdir()
    (folder / "real/file").write_bytes(b"old")
    (folder / "link").symlink_to("real/file")
    (folder / "dangling").symlink_to("real/new")

    _write(storage, "link", b"new")
    _write(storage, "dangling", b"new one")

    assert (folder / "link").is_symlink()
    assert (folder / "real/file").read_bytes() == b"new"
    assert (folder / "dangling").is_symlink()
    assert (folder / "real/new").read_bytes() == b"new one"
    assert not list(folder.rglob("*.kegpart"))


def test_a_link_is_taken_for_taken_where_nothing_may_be_replaced(storage: SFTPStorage, folder: Path) -> None:
    (folder / "dangling").symlink_to("nothing")

    with pytest.raises(AlreadyExists, match="dangling"):
        _write(storage, "dangling", b"new", overwrite=False)

    assert sorted(path.name for path in folder.iterdir()) == ["dangling"]


@pytest.mark.parametrize("moment", [datetime(1970, 1, 1, tzinfo=UTC), datetime(2105, 12, 31, tzinfo=UTC)])
def test_times_at_the_edges_are_kept(storage: SFTPStorage, moment: datetime) -> None:
    _write(storage, "file", b"x", modified=moment)

    assert storage.stat("file").last_modified == moment


def test_times_beyond_the_edges_do_not_stop_a_file(storage: SFTPStorage, folder: Path) -> None:
    for number, year in enumerate((1, 1969, 2200)):
        _write(storage, f"file {number}", b"x", modified=datetime(year, 1, 2, tzinfo=UTC))

    assert len(list(folder.iterdir())) == 3


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_name_of_full_length_is_written(storage: SFTPStorage, folder: Path, overwrite: bool) -> None:
    for name in ("n" * 255, "é" * 127 + "n", "😀" * 63 + "abc"):
        _write(storage, name, b"x", overwrite=overwrite)
        assert (folder / name).read_bytes() == b"x"

    assert len(list(folder.iterdir())) == 3


def test_a_full_disk_is_told_as_that_and_keeps_the_old_file() -> None:
    with SmallDiskSshd(6 * MIB) as server, opened(server.start()) as storage:
        _write(storage, "file", b"old")

        with pytest.raises(QuotaExceeded, match="file"):
            _write(storage, "file", bytes(12 * MIB))

        assert _read(storage, "file") == b"old"
        assert [entry.name for entry in storage.list("")] == ["file"]


def test_a_failure_to_write_is_an_error_and_leaves_nothing(plain: SFTPStorage, double: SftpServerDouble) -> None:
    (double.root / "file").write_bytes(b"old")
    double.ways.room_bytes = 100_000

    with pytest.raises(ServerFault, match="file") as refusal:
        _write(plain, "file", bytes(300_000))

    assert refusal.value.hint
    assert [path.name for path in double.root.iterdir()] == ["file"]
    assert (double.root / "file").read_bytes() == b"old"


@pytest.mark.parametrize("room", [10_000, 100_000, 200_000])
def test_a_file_with_a_refused_piece_is_never_published(
    plain: SFTPStorage, double: SftpServerDouble, room: int
) -> None:
    double.ways.room_bytes = room
    file = plain.open("file", "wb")
    for _ in range(30):
        with suppress(ServerFault):
            file.write(bytes(10_000))
    double.ways.room_bytes = None
    with suppress(ServerFault):
        file.write(b"the end")

    with pytest.raises(ServerFault, match="file"):
        file.close()

    assert list(double.root.iterdir()) == []


# -- a server with nothing but version 3


def test_files_are_replaced_without_the_one_step(plain: SFTPStorage, double: SftpServerDouble) -> None:
    _write(plain, "file", b"first")
    _write(plain, "file", b"second", modified=datetime(2001, 2, 3, tzinfo=UTC))

    assert [path.name for path in double.root.iterdir()] == ["file"]
    assert (double.root / "file").read_bytes() == b"second"
    assert plain.stat("file").last_modified == datetime(2001, 2, 3, tzinfo=UTC)


def test_a_replacement_that_fails_in_the_middle_puts_the_old_file_back(
    plain: SFTPStorage, double: SftpServerDouble
) -> None:
    (double.root / "file").write_bytes(b"old")
    double.ways.refuse_rename_to.append("/file")

    with pytest.raises(StorageError, match="file"):
        _write(plain, "file", b"new")

    assert [path.name for path in double.root.iterdir()] == ["file"]
    assert (double.root / "file").read_bytes() == b"old"


@pytest.mark.parametrize("renames_over", [False, True])
def test_a_taken_name_is_never_taken_again(plain: SFTPStorage, double: SftpServerDouble, renames_over: bool) -> None:
    double.ways.renames_over = renames_over
    (double.root / "file").write_bytes(b"old")
    (double.root / "other").write_bytes(b"other")

    with pytest.raises(AlreadyExists, match="file"):
        _write(plain, "file", b"new", overwrite=False)
    with pytest.raises(AlreadyExists, match="file"):
        plain.rename("other", "file")
    _write(plain, "new", b"new", overwrite=False)

    assert {path.name: path.read_bytes() for path in double.root.iterdir()} == {
        "file": b"old",
        "other": b"other",
        "new": b"new",
    }


# -- broken in the middle


def test_what_a_broken_upload_left_is_removed_by_a_later_call(sshd_server: SshdAddress, folder: Path) -> None:
    with FaultyProxy(sshd_server.port) as proxy, opened(sshd_server.at(proxy.port), root=str(folder)) as storage:
        file = storage.open("file", "wb")
        file.write(b"x" * MIB)
        wait_until(lambda: list(folder.glob("*.kegpart")) != [], "writing")
        proxy.faults.refuse = True
        proxy.cut_all()
        with pytest.raises(ConnectionLost):
            file.close()
        assert list(folder.glob("*.kegpart"))

        proxy.faults.refuse = False
        storage.list("")

        assert list(folder.iterdir()) == []


def test_an_abort_ends_soon_though_the_server_is_silent(sshd_server: SshdAddress, folder: Path) -> None:
    with FaultyProxy(sshd_server.port) as proxy, opened(sshd_server.at(proxy.port), root=str(folder)) as storage:
        file = storage.open("file", "wb")
        file.write(b"x" * MIB)
        proxy.faults.stalled = True
        storage.interrupt()

        begun = time.monotonic()
        file.abort()

        assert time.monotonic() - begun < 1
        proxy.faults.stalled = False
        wait_until(lambda: list(folder.iterdir()) == [], "removing", 10)


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("is_done", [True, False])
@pytest.mark.parametrize("is_openssh", [True, False])
def test_a_connection_that_breaks_at_the_last_step_costs_nothing(
    sshd_server: SshdAddress,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    overwrite: bool,
    is_done: bool,
    is_openssh: bool,
) -> None:
    with FaultyProxy(sshd_server.port) as proxy, opened(sshd_server.at(proxy.port), root=str(folder)) as storage:
        if overwrite:
            (folder / "file").write_bytes(b"old")
        file = storage.open_writer("file", overwrite=overwrite)
        file.write(b"new content")
        break_at_rename(monkeypatch, proxy, is_done=is_done, is_openssh=is_openssh)

        file.close()

        assert (folder / "file").read_bytes() == b"new content"
        assert [path.name for path in folder.iterdir()] == ["file"]
        assert proxy.connections == 2


def test_a_foreign_file_is_not_taken_for_ours_after_a_break(
    sshd_server: SshdAddress, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultyProxy(sshd_server.port) as proxy, opened(sshd_server.at(proxy.port), root=str(folder)) as storage:
        file = storage.open_writer("file", overwrite=False, modified=datetime(2001, 2, 3, tzinfo=UTC))
        file.write(b"ours")
        break_at_rename(monkeypatch, proxy, is_done=False, is_openssh=True)
        (folder / "file").write_bytes(b"them")
        os.utime(folder / "file", (981158400, 981158400))

        with pytest.raises(AlreadyExists, match="file"):
            file.close()

        assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"file": b"them"}


# -- changing


@pytest.mark.parametrize("is_done", [True, False], ids=["after it was done", "before it was done"])
def test_a_rename_whose_answer_is_lost_is_told_as_it_was(
    sshd_server: SshdAddress, folder: Path, monkeypatch: pytest.MonkeyPatch, *, is_done: bool
) -> None:
    (folder / "old").write_bytes(b"content")
    with FaultyProxy(sshd_server.port) as proxy, opened(sshd_server.at(proxy.port), root=str(folder)) as storage:
        break_at_rename(monkeypatch, proxy, is_done=is_done, is_openssh=True)

        if is_done:
            storage.rename("old", "new")
        else:
            with pytest.raises(ConnectionLost):
                storage.rename("old", "new")

    assert [path.name for path in folder.iterdir()] == ["new" if is_done else "old"]


def test_refusals_to_rename_say_why(storage: SFTPStorage, folder: Path) -> None:
    (folder / "file").write_bytes(b"file")
    (folder / "full/inside").mkdir(parents=True)
    (folder / "empty").mkdir()

    with pytest.raises(IsAFolder, match="full"):
        storage.rename("file", "full", overwrite=True)
    with pytest.raises(NotAFolder, match="file"):
        storage.rename("empty/", "file", overwrite=True)
    with pytest.raises(FolderNotEmpty, match="full"):
        storage.rename("empty/", "full/", overwrite=True)
    with pytest.raises(InvalidName, match="full"):
        storage.rename("full/", "full/inside/below/")
    with pytest.raises(FileNotFoundInStorageError, match="file"):
        storage.rename("file", "missing/file")
    with pytest.raises(NotAFolder, match="file"):
        storage.rename("file/", "other/")

    assert sorted(path.name for path in folder.rglob("*")) == ["empty", "file", "full", "inside"]


def test_a_missing_folder_above_is_named(storage: SFTPStorage) -> None:
    with pytest.raises(FileNotFoundInStorageError, match=r"“new”.*the folder “missing” does not exist"):
        storage.make_folder("missing/new")
    with pytest.raises(FileNotFoundInStorageError, match=r"“new”.*the folder “missing” does not exist"):
        storage.open("missing/new", "wb")


def test_links_are_renamed_and_deleted_themselves(storage: SFTPStorage, folder: Path) -> None:
    (folder / "target").mkdir()
    (folder / "target/inside").write_bytes(b"x")
    for name, to in (("to folder", "target"), ("to file", "target/inside"), ("broken", "nothing")):
        (folder / name).symlink_to(to)
        storage.rename(name, f"{name} 2")
        assert (folder / f"{name} 2").readlink() == Path(to)

    storage.delete("to file 2")
    storage.delete("broken 2")
    storage.delete_folder("to folder 2/")

    assert sorted(path.name for path in folder.rglob("*")) == ["inside", "target"]


def test_the_root_itself_cannot_be_deleted(storage: SFTPStorage, folder: Path) -> None:
    with pytest.raises(StorageError):
        storage.delete_folder("")

    assert folder.is_dir()


def test_a_files_path_with_a_slash_is_not_the_file(storage: SFTPStorage, folder: Path) -> None:
    (folder / "file").write_bytes(b"x")

    for call in (
        lambda: storage.delete("file/"),
        lambda: storage.open("file/", "rb"),
        lambda: storage.open("file/", "wb"),
        lambda: storage.delete_folder("file/"),
        lambda: storage.list("file/"),
        lambda: storage.stat("file/"),
        lambda: storage.copy("file/", "copy"),
    ):
        with pytest.raises(StorageError, match="file"):
            call()

    assert [path.name for path in folder.iterdir()] == ["file"]


def test_many_files_are_deleted_in_few_round_trips(sshd_server: SshdAddress, folder: Path) -> None:
    for number in range(200):
        (folder / f"file {number}").touch()
    (folder / "folder").mkdir()
    with FaultyProxy(sshd_server.port) as proxy, opened(sshd_server.at(proxy.port), root=str(folder)) as storage:
        storage.list("")
        proxy.faults.delay_s = 0.05
        begun = time.monotonic()

        results = list(storage.delete_files([*(f"file {number}" for number in range(200)), "folder", "missing"]))

        assert time.monotonic() - begun < 3
    assert {result.path: type(result.error) for result in results if result.error} == {"folder": IsAFolder}
    assert [path.name for path in folder.iterdir()] == ["folder"]


def test_each_path_to_delete_is_told_once_also_a_repeated_one(storage: SFTPStorage, folder: Path) -> None:
    (folder / "file").touch()

    results = list(storage.delete_files(["file", "a//b", "file", "folder/"]))

    told = sorted(((result.path, type(result.error)) for result in results), key=lambda pair: pair[0])
    assert told == [("a//b", InvalidName), ("file", type(None)), ("file", type(None)), ("folder/", IsAFolder)]


def test_a_large_file_is_copied_on_the_server_with_time_and_permissions(storage: SFTPStorage, folder: Path) -> None:
    content = content_of(1000) + bytes(40 * MIB) + content_of(1000, 1)
    (folder / "file").write_bytes(content)
    (folder / "file").chmod(0o750)
    os.utime(folder / "file", (1_000_000_000, 1_000_000_000))

    storage.copy("file", "copy")

    assert storage.capabilities.server_copy
    assert digest((folder / "copy").read_bytes()) == digest(content)
    assert (folder / "copy").stat().st_mtime == 1_000_000_000
    assert (folder / "copy").stat().st_mode & 0o7777 == 0o750
    assert sorted(path.name for path in folder.iterdir()) == ["copy", "file"]


def test_a_long_line_is_filled(sshd_server: SshdAddress, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "file").write_bytes(bytes(32 * MIB))

    def seconds(deepest: int) -> float:
        monkeypatch.setattr("kegbrowser.backends.sftp.streams.DEEPEST", deepest)
        with FaultyProxy(sshd_server.port) as proxy, opened(sshd_server.at(proxy.port), root=str(folder)) as storage:
            proxy.faults.delay_s = 0.05
            storage.list("")
            begun = time.monotonic()
            assert len(_read(storage, "file")) == 32 * MIB
            return time.monotonic() - begun

    assert seconds(32) < 0.75 * seconds(8)


def test_a_slow_line_is_not_crowded(sshd_server: SshdAddress, folder: Path) -> None:
    (folder / "file").write_bytes(bytes(8 * MIB))
    with FaultyProxy(sshd_server.port) as proxy, opened(sshd_server.at(proxy.port), root=str(folder)) as storage:
        proxy.faults.delay_s = 0.01
        proxy.faults.bytes_per_s = 8_000_000
        with storage.open("file", "rb") as file:
            assert isinstance(file, SftpReader)
            assert len(file.read(-1)) == 8 * MIB

            assert file._ahead._depth == 8


def test_threads_share_a_storage(storage: SFTPStorage, folder: Path) -> None:
    contents = {f"file {number}": content_of(700_000 + number, number) for number in range(12)}
    failed: list[BaseException] = []

    def work(name: str) -> None:
        try:
            _write(storage, name, contents[name])
            assert digest(_read(storage, name)) == digest(contents[name])
            storage.rename(name, f"{name} renamed")
            storage.list("")
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert failed == []
    assert {path.name for path in folder.iterdir()} == {f"{name} renamed" for name in contents}
