"""Downloads, over a storage in memory."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kegbrowser.backends.base import ListEntry, RemoteFile
from kegbrowser.backends.errors import (
    AuthenticationFailed,
    Cancelled,
    CheckFailed,
    ConnectionLost,
    FileNotFoundInStorageError,
    NotAFolder,
    PermissionDenied,
    QuotaExceeded,
)
from kegbrowser.backends.memory import MemoryStorage
from kegbrowser.transfer.jobs import ConflictPolicy, Download, Source
from kegbrowser.transfer.questions import ConflictAnswer, ConflictChoice, ConflictQuestion
from tests.doubles.engine import Engine, pattern, put, tree_of

OLD, NEW = b"the old content", b"the new content, longer"


class _Trapped(MemoryStorage):
    """Calls `trap` with the path and the number of readers so far before each reader is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[tuple[str, int]] = []
        self.lock = threading.Lock()

    def open_reader(self, path: str, *, offset: int = 0, length: int | None = None, etag: str = "") -> RemoteFile:
        with self.lock:
            self.opened.append((path, offset))
            count = len(self.opened)
        self.trap(path, count)
        return super().open_reader(path, offset=offset, length=length, etag=etag)

    def trap(self, path: str, count: int) -> None:
        return None


def test_folder_arrives_with_all_that_is_in_it(tmp_path: Path) -> None:
    storage = MemoryStorage()
    files = {f"d/sub{n % 3}/f{n}": pattern(n * 37, n) for n in range(40)} | {"d/empty file": b"", "d/x/y/z/deep": b"1"}
    for name, content in files.items():
        put(storage, name, content)
    storage.make_folder("d/empty/")

    with Engine() as engine:
        report = engine.whole(Download(engine.adopt(storage), (Source("d/", is_folder=True),), str(tmp_path)))

    arrived = tree_of(tmp_path)
    assert {name: content for name, content in arrived.items() if content is not None} == files
    assert "d/empty/" in arrived
    assert (report.files_done, report.bytes_done) == (42, sum(map(len, files.values())))
    assert report.checked.size_only == 42
    assert engine.progress[-1].is_planned
    assert engine.progress[-1].bytes_done == report.bytes_total


@pytest.mark.parametrize("size", [0, 1, 999, 1_000, 1_001, 19_999, 20_000, 20_001, 30_000, 34_567, 100_000])
def test_file_of_any_size_arrives_the_same(tmp_path: Path, size: int) -> None:
    storage = MemoryStorage()
    put(storage, "f", pattern(size))

    with Engine() as engine:
        engine.whole(Download(engine.adopt(storage), (Source("f", is_folder=False),), str(tmp_path)))

    assert tree_of(tmp_path) == {"f": pattern(size)}


def test_time_of_the_source_is_kept(tmp_path: Path) -> None:
    storage = MemoryStorage()
    moment = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)
    with storage.open_writer("f", modified=moment) as writer:
        writer.write(b"x")

    with Engine() as engine:
        engine.whole(Download(engine.adopt(storage), (Source("f", is_folder=False),), str(tmp_path)))

    assert (tmp_path / "f").stat().st_mtime == moment.timestamp()


def test_whole_storage_lands_in_the_destination_itself(tmp_path: Path) -> None:
    storage = MemoryStorage()
    put(storage, "a/b")

    with Engine() as engine:
        engine.whole(Download(engine.adopt(storage), (Source("", is_folder=True),), str(tmp_path / "new" / "folder")))

    assert tree_of(tmp_path) == {"new/": None, "new/folder/": None, "new/folder/a/": None, "new/folder/a/b": b"x"}


def test_single_source_can_be_renamed(tmp_path: Path) -> None:
    storage = MemoryStorage()
    put(storage, "d/f")

    with Engine() as engine:
        spec = engine.adopt(storage)
        engine.whole(Download(spec, (Source("d/f", is_folder=False),), str(tmp_path), rename_to="g"))
        engine.whole(Download(spec, (Source("d/", is_folder=True),), str(tmp_path), rename_to="e"))

    assert tree_of(tmp_path) == {"g": b"x", "e/": None, "e/f": b"x"}


def test_hostile_names_stay_in_the_destination_and_stay_apart(tmp_path: Path) -> None:
    storage = MemoryStorage()
    names = ["../x", "a//b", "/abs", "./y", "..", "n\nl", "x", "x/y", "a/../../z", "trailing/", "l" * 300]
    for name in names:
        put(storage, f"d/{name}", name.encode())
    destination = tmp_path / "in" / "here"

    with Engine() as engine:
        report = engine.whole(Download(engine.adopt(storage), (Source("d/", is_folder=True),), str(destination)))

    assert report.files_done == len(names)
    arrived = [content for content in tree_of(destination).values() if content is not None]
    assert sorted(arrived) == sorted(name.encode() for name in names)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["here"]


def test_same_download_maps_hostile_names_the_same_way(tmp_path: Path) -> None:
    storage = MemoryStorage()
    for name in ("d/../x", "d/x", "d/x/y", "d//"):
        put(storage, name, name.encode())

    with Engine() as engine:
        job = Download(engine.adopt(storage), (Source("d/", is_folder=True),), str(tmp_path), ConflictPolicy.OVERWRITE)
        engine.whole(job)
        first = tree_of(tmp_path)
        engine.whole(job)

    assert tree_of(tmp_path) == first


# -- conflicts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (ConflictPolicy.OVERWRITE, {"f.txt": NEW}),
        (ConflictPolicy.SKIP, {"f.txt": OLD}),
        (ConflictPolicy.RENAME, {"f.txt": OLD, "f (2).txt": NEW}),
        (ConflictPolicy.OVERWRITE_IF_NEWER, {"f.txt": NEW}),
    ],
)
def test_clash_is_settled_by_policy(tmp_path: Path, policy: ConflictPolicy, expected: dict[str, bytes]) -> None:
    storage = MemoryStorage()
    put(storage, "f.txt", NEW)
    (tmp_path / "f.txt").write_bytes(OLD)
    os.utime(tmp_path / "f.txt", (1, 1))

    with Engine() as engine:
        engine.whole(Download(engine.adopt(storage), (Source("f.txt", is_folder=False),), str(tmp_path), policy))

    assert tree_of(tmp_path) == expected
    assert engine.questions == []


def test_older_source_does_not_replace_a_newer_file(tmp_path: Path) -> None:
    storage = MemoryStorage()
    with storage.open_writer("f", modified=datetime(2000, 1, 1, tzinfo=UTC)) as writer:
        writer.write(NEW)
    (tmp_path / "f").write_bytes(OLD)

    with Engine() as engine:
        policy = ConflictPolicy.OVERWRITE_IF_NEWER
        report = engine.whole(Download(engine.adopt(storage), (Source("f", is_folder=False),), str(tmp_path), policy))

    assert tree_of(tmp_path) == {"f": OLD}
    assert report.files_skipped == 1


def test_question_says_what_clashes(tmp_path: Path) -> None:
    storage = MemoryStorage()
    put(storage, "f.txt", NEW)
    (tmp_path / "f.txt").write_bytes(OLD)
    (tmp_path / "f (2).txt").write_bytes(OLD)

    with Engine(ConflictAnswer(ConflictChoice.RENAME)) as engine:
        engine.whole(Download(engine.adopt(storage), (Source("f.txt", is_folder=False),), str(tmp_path)))

    (question,) = engine.questions
    assert isinstance(question, ConflictQuestion)
    assert (question.name, question.target) == ("f.txt", str(tmp_path / "f.txt"))
    assert (question.source_size, question.target_size) == (len(NEW), len(OLD))
    assert (question.suggested_name, question.more_to_come) == ("f (3).txt", False)
    assert (tmp_path / "f (3).txt").read_bytes() == NEW


def test_answer_for_all_is_remembered(tmp_path: Path) -> None:
    storage = MemoryStorage()
    for n in range(5):
        put(storage, f"f{n}", NEW)
        (tmp_path / f"f{n}").write_bytes(OLD)
    answers = ConflictAnswer(ConflictChoice.SKIP), ConflictAnswer(ConflictChoice.OVERWRITE, for_all=True)

    with Engine(*answers) as engine:
        sources = tuple(Source(f"f{n}", is_folder=False) for n in range(5))
        report = engine.whole(Download(engine.adopt(storage), sources, str(tmp_path)))

    assert len(engine.questions) == 2
    assert sorted(tree_of(tmp_path).values()) == [NEW, NEW, NEW, NEW, OLD]  # type: ignore[type-var]
    assert (report.files_done, report.files_skipped) == (4, 1)


def test_chosen_name_that_is_taken_is_asked_about_again(tmp_path: Path) -> None:
    storage = MemoryStorage()
    put(storage, "f", NEW)
    (tmp_path / "f").write_bytes(OLD)
    (tmp_path / "g").write_bytes(OLD)
    answers = [ConflictAnswer(ConflictChoice.RENAME, new_name=name) for name in ("g", "../h")]

    with Engine(*answers) as engine:
        engine.whole(Download(engine.adopt(storage), (Source("f", is_folder=False),), str(tmp_path / ".")))

    assert len(engine.questions) == 2
    assert len(tree_of(tmp_path)) == 3
    assert not (tmp_path.parent / "h").exists()


def test_dismissed_question_cancels_and_leaves_the_old_file(tmp_path: Path) -> None:
    storage = MemoryStorage()
    put(storage, "f", NEW)
    (tmp_path / "f").write_bytes(OLD)

    with Engine() as engine, pytest.raises(Cancelled):
        engine.run(Download(engine.adopt(storage), (Source("f", is_folder=False),), str(tmp_path)))

    assert tree_of(tmp_path) == {"f": OLD}


def test_file_that_appears_at_the_target_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    class Storage(_Trapped):
        def trap(self, path: str, count: int) -> None:
            (tmp_path / "f").write_bytes(OLD)

    storage = Storage()
    put(storage, "f", NEW)

    with Engine(ConflictAnswer(ConflictChoice.RENAME)) as engine:
        engine.whole(Download(engine.adopt(storage), (Source("f", is_folder=False),), str(tmp_path)))

    assert tree_of(tmp_path) == {"f": OLD, "f (2)": NEW}
    assert len(engine.questions) == 1


@pytest.mark.parametrize("policy", [ConflictPolicy.OVERWRITE, ConflictPolicy.SKIP, ConflictPolicy.ASK])
def test_two_sources_of_one_name_both_arrive(tmp_path: Path, policy: ConflictPolicy) -> None:
    storage = MemoryStorage()
    put(storage, "a/f", b"1")
    put(storage, "b/f", b"2")

    with Engine() as engine:
        sources = Source("a/f", is_folder=False), Source("b/f", is_folder=False)
        engine.whole(Download(engine.adopt(storage), sources, str(tmp_path), policy))

    assert tree_of(tmp_path) == {"f": b"1", "f (2)": b"2"}


# -- what may go wrong ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [5_000, 64_321])
def test_lost_connections_are_taken_up_where_they_broke(tmp_path: Path, size: int) -> None:
    class Reader(RemoteFile):
        def __init__(self, inner: RemoteFile) -> None:
            super().__init__(inner.mode)
            self.inner = inner
            self.reads = 0

        def read(self, size: int) -> bytes:
            self.reads += 1
            if self.reads > 2:
                raise ConnectionLost("the wire was cut")
            return self.inner.read(size)

        def close(self) -> None:
            self.inner.close()

    class Storage(_Trapped):
        def open_reader(self, path: str, *, offset: int = 0, length: int | None = None, etag: str = "") -> RemoteFile:
            return Reader(super().open_reader(path, offset=offset, length=length, etag=etag))

    storage = Storage()
    put(storage, "f", pattern(size))

    with Engine() as engine:
        engine.whole(Download(engine.adopt(storage), (Source("f", is_folder=False),), str(tmp_path)))

    assert tree_of(tmp_path) == {"f": pattern(size)}
    assert engine.progress[-1].bytes_moved == size


@pytest.mark.parametrize("size", [5_000, 64_321])
def test_source_that_changes_while_it_is_read_is_fetched_anew(tmp_path: Path, size: int) -> None:
    class Storage(_Trapped):
        def trap(self, path: str, count: int) -> None:
            if count == 3 or size < 20_000:
                put(self, "f", pattern(size + 7, 1))

    storage = Storage()
    put(storage, "f", pattern(size))

    with Engine() as engine:
        report = engine.whole(Download(engine.adopt(storage), (Source("f", is_folder=False),), str(tmp_path)))

    assert tree_of(tmp_path) == {"f": pattern(size + 7, 1)}
    assert (report.bytes_total, report.bytes_done) == (size + 7, size + 7)


class _Corrupting(_Trapped):
    """Turns a bit on the way, and says so at the end as a checksum does, `times` times."""

    times = 1

    def open_reader(self, path: str, *, offset: int = 0, length: int | None = None, etag: str = "") -> RemoteFile:
        inner = super().open_reader(path, offset=offset, length=length, etag=etag)
        with self.lock:
            self.times -= 1
            is_corrupt = self.times >= 0
        return _CorruptReader(inner) if is_corrupt else inner


class _CorruptReader(RemoteFile):
    def __init__(self, inner: RemoteFile) -> None:
        super().__init__(inner.mode)
        self.inner = inner

    def read(self, size: int) -> bytes:
        piece = self.inner.read(size)
        if not piece:
            raise CheckFailed("The checksum differs.")
        return bytes([piece[0] ^ 1]) + piece[1:]

    def close(self) -> None:
        self.inner.close()


@pytest.mark.parametrize("size", [5_000, 64_321])
def test_file_that_does_not_arrive_as_it_was_sent_is_fetched_anew(tmp_path: Path, size: int) -> None:
    storage = _Corrupting()
    put(storage, "f", pattern(size))

    with Engine() as engine:
        engine.whole(Download(engine.adopt(storage), (Source("f", is_folder=False),), str(tmp_path)))

    assert tree_of(tmp_path) == {"f": pattern(size)}


def test_file_that_never_arrives_as_it_was_sent_fails_and_leaves_the_old_one(tmp_path: Path) -> None:
    storage = _Corrupting()
    storage.times = 1_000
    put(storage, "f", pattern(5_000))
    (tmp_path / "f").write_bytes(OLD)

    with Engine() as engine:
        job = Download(engine.adopt(storage), (Source("f", is_folder=False),), str(tmp_path), ConflictPolicy.OVERWRITE)
        report = engine.report(job)

    assert isinstance(report.failures[0].error, CheckFailed)
    assert tree_of(tmp_path) == {"f": OLD}


def test_source_that_never_stops_changing_fails_by_name_and_leaves_nothing(tmp_path: Path) -> None:
    class Storage(_Trapped):
        def trap(self, path: str, count: int) -> None:
            put(self, "f", pattern(100, count))

    storage = Storage()
    put(storage, "f", pattern(100))

    with Engine() as engine:
        report = engine.report(Download(engine.adopt(storage), (Source("f", is_folder=False),), str(tmp_path)))

    assert report.files_failed == 1
    assert tree_of(tmp_path) == {}
    assert len(storage.opened) == 1 + engine.tuning.tries_of_changing


def test_failing_file_does_not_stop_the_others(tmp_path: Path) -> None:
    class Storage(_Trapped):
        def trap(self, path: str, count: int) -> None:
            if path == "d/f7":
                raise PermissionDenied("you may not read f7", path=path)

    storage = Storage()
    for n in range(20):
        put(storage, f"d/f{n}")

    with Engine() as engine:
        report = engine.report(Download(engine.adopt(storage), (Source("d/", is_folder=True),), str(tmp_path)))

    assert (report.files_total, report.files_done, report.files_failed) == (20, 19, 1)
    assert [failure.path for failure in report.failures] == ["d/f7"]
    assert len([name for name in tree_of(tmp_path) if not name.endswith("/")]) == 19


def test_missing_sources_fail_by_name_and_the_others_arrive(tmp_path: Path) -> None:
    storage = MemoryStorage()
    put(storage, "there")

    with Engine() as engine:
        sources = Source("gone", is_folder=False), Source("no/", is_folder=True), Source("there", is_folder=False)
        report = engine.report(Download(engine.adopt(storage), sources, str(tmp_path)))

    assert [failure.path for failure in report.failures] == ["gone", "no/"]
    assert all(isinstance(failure.error, FileNotFoundInStorageError) for failure in report.failures)
    assert (report.files_total, report.files_done, report.files_failed) == (3, 1, 2)


def test_many_chosen_files_cost_one_listing(tmp_path: Path) -> None:
    class Storage(MemoryStorage):
        stats = 0

        def stat(self, path: str) -> ListEntry:
            self.stats += 1
            return super().stat(path)

    storage = Storage()
    for n in range(500):
        put(storage, f"d/f{n}", str(n).encode())
    sources = tuple(Source(f"d/f{n}", is_folder=False) for n in range(0, 600, 3))

    with Engine() as engine:
        report = engine.report(Download(engine.adopt(storage), sources, str(tmp_path)))

    assert storage.stats == 33  # only those that are not there are asked for
    assert (report.files_done, report.files_failed) == (167, 33)
    assert tree_of(tmp_path) == {f"f{n}": str(n).encode() for n in range(0, 500, 3)}


def test_wrong_key_ends_the_job_once(tmp_path: Path) -> None:
    class Storage(_Trapped):
        def trap(self, path: str, count: int) -> None:
            raise AuthenticationFailed("the key is wrong")

    storage = Storage()
    for n in range(500):
        put(storage, f"d/f{n}")

    with Engine() as engine, pytest.raises(AuthenticationFailed):
        engine.run(Download(engine.adopt(storage), (Source("d/", is_folder=True),), str(tmp_path)))

    assert len(storage.opened) < 50
    assert not list(tmp_path.rglob("*.kegpart"))


def test_network_that_is_gone_ends_the_job_after_a_few_files(tmp_path: Path) -> None:
    class Storage(_Trapped):
        def trap(self, path: str, count: int) -> None:
            raise ConnectionLost("no route")

    storage = Storage()
    for n in range(500):
        put(storage, f"d/f{n}")

    with Engine() as engine, pytest.raises(ConnectionLost):
        engine.run(Download(engine.adopt(storage), (Source("d/", is_folder=True),), str(tmp_path)))

    assert len(storage.opened) < 200


def test_full_disk_is_known_before_a_byte_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_fd: int, _offset: int, _length: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    storage = _Trapped()
    put(storage, "photo.jpg", pattern(25_000))

    with Engine() as engine:
        report = engine.report(Download(engine.adopt(storage), (Source("photo.jpg", is_folder=False),), str(tmp_path)))

    (failure,) = report.failures
    assert isinstance(failure.error, QuotaExceeded)
    assert "photo.jpg" in failure.error.message
    assert (storage.opened, tree_of(tmp_path)) == ([], {})


def test_folder_that_cannot_be_made_is_one_failure_that_counts_all_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_mkdir = os.mkdir
    asked: list[str] = []

    def mkdir(path: str, mode: int = 0o777) -> None:
        asked.append(path)
        if path.endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        real_mkdir(path, mode)

    monkeypatch.setattr(os, "mkdir", mkdir)
    storage = MemoryStorage()
    for n in range(100):
        put(storage, f"d/closed/f{n}")
        put(storage, f"d/open/f{n}")

    with Engine() as engine:
        report = engine.report(Download(engine.adopt(storage), (Source("d/", is_folder=True),), str(tmp_path)))

    assert (report.files_total, report.files_done, report.files_failed) == (200, 100, 100)
    assert len(report.failures) == 1
    assert len(asked) < 6


def test_destination_that_is_a_file_is_refused(tmp_path: Path) -> None:
    storage = MemoryStorage()
    put(storage, "f")
    (tmp_path / "file").write_bytes(OLD)

    with Engine() as engine, pytest.raises(NotAFolder, match="file"):
        engine.run(Download(engine.adopt(storage), (Source("f", is_folder=False),), str(tmp_path / "file")))

    assert (tmp_path / "file").read_bytes() == OLD


def test_cancel_leaves_nothing_unfinished(tmp_path: Path) -> None:
    engine = Engine()

    class Storage(_Trapped):
        def trap(self, path: str, count: int) -> None:
            if count == 30:
                engine.token.cancel()

    storage = Storage()
    for n in range(60):
        put(storage, f"d/f{n}", pattern(3_000, n))
    put(storage, "d/large", pattern(200_000))

    with engine, pytest.raises(Cancelled):
        engine.run(Download(engine.adopt(storage), (Source("d/", is_folder=True),), str(tmp_path)))

    arrived = {name: content for name, content in tree_of(tmp_path).items() if content is not None}
    assert len(arrived) < 61
    assert not [name for name in arrived if name.endswith(".kegpart")]
    for name, content in arrived.items():
        assert content == (pattern(200_000) if name == "d/large" else pattern(3_000, int(name[3:])))
