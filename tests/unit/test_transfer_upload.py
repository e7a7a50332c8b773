"""Uploads, over storages in memory and on disk."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kegbrowser.backends.base import ListEntry, Page, RemoteFile
from kegbrowser.backends.errors import (
    Cancelled,
    ConnectionLost,
    InvalidName,
    NotAFolder,
    NotSupported,
    PermissionDenied,
    SourceChanged,
)
from kegbrowser.backends.local import LocalStorage
from kegbrowser.backends.memory import MemoryStorage
from kegbrowser.transfer.jobs import ConflictPolicy, Upload
from kegbrowser.transfer.questions import ConflictAnswer, ConflictChoice, ConflictQuestion
from tests.doubles.engine import SMALL_PARTS, Engine, files_of, pattern, put, tree_of

OLD, NEW = b"the old content", b"the new content, longer"


class _Watched(MemoryStorage):
    """Counts what it is asked, and calls `before_close` with the path and the number of the attempt."""

    def __init__(self) -> None:
        super().__init__()
        self.listed: list[str] = []
        self.stats: list[str] = []
        self.unfinished = 0
        self.attempts = 0
        self.lock = threading.Lock()

    def list_pages(self, path: str, *, recursive: bool = False) -> Iterator[Page]:
        self.listed.append(path)
        return super().list_pages(path, recursive=recursive)

    def stat(self, path: str) -> ListEntry:
        self.stats.append(path)
        return super().stat(path)

    def open_writer(
        self,
        path: str,
        *,
        size_bytes: int | None = None,
        overwrite: bool = True,
        modified: datetime | None = None,
        content_type: str = "",
    ) -> RemoteFile:
        inner = super().open_writer(path, size_bytes=size_bytes, overwrite=overwrite, modified=modified)
        with self.lock:
            self.attempts += 1
            self.unfinished += 1
        return _WatchedWriter(self, inner, path, self.attempts)

    def on_write(self, path: str, attempt: int, written: int) -> None:
        return None

    def on_close(self, path: str, attempt: int, finish: RemoteFile) -> None:
        finish.close()


class _WatchedWriter(RemoteFile):
    def __init__(self, storage: _Watched, inner: RemoteFile, path: str, attempt: int) -> None:
        super().__init__(inner.mode)
        self.storage, self.inner, self.path, self.attempt = storage, inner, path, attempt
        self.written = 0

    def write(self, data: bytes) -> None:
        self.storage.on_write(self.path, self.attempt, self.written)
        self.inner.write(data)
        self.written += len(data)

    def close(self) -> None:
        if not self.closed:
            self._end()
            self.storage.on_close(self.path, self.attempt, self.inner)

    def abort(self) -> None:
        if not self.closed:
            self._end()
            self.inner.abort()

    def _end(self) -> None:
        self.closed = True
        with self.storage.lock:
            self.storage.unfinished -= 1


STREAMS = replace(MemoryStorage.capabilities, resumable=False)
ONLY_LARGE = replace(SMALL_PARTS, small_file_bytes=0)
"""No file goes together with others."""


def _fill(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def test_folder_arrives_with_all_that_is_in_it(tmp_path: Path) -> None:
    files = {f"sub{n % 3}/f{n}": pattern(n * 37, n) for n in range(40)} | {"nothing": b"", "x/y/z/deep": b"1"}
    _fill(tmp_path / "d", files)
    (tmp_path / "d" / "empty" / "deeper").mkdir(parents=True)
    storage = MemoryStorage()

    with Engine() as engine:
        report = engine.whole(Upload(engine.adopt(storage), (str(tmp_path / "d"),), "to/here/"))
        arrived = files_of(storage, "to/here/")

    assert arrived == {f"d/{name}": content for name, content in files.items()} | {"d/empty/deeper/": b""}
    assert (report.files_done, report.bytes_done) == (42, sum(map(len, files.values())))


def test_folder_arrives_where_folders_are_real(tmp_path: Path) -> None:
    files = {f"sub{n % 3}/f{n}": pattern(n * 37, n) for n in range(20)}
    _fill(tmp_path / "d", files)
    (tmp_path / "d" / "empty").mkdir()
    (tmp_path / "there").mkdir()

    with Engine() as engine:
        spec = engine.adopt(LocalStorage(str(tmp_path / "there")), "local", root=str(tmp_path / "there"))
        engine.whole(Upload(spec, (str(tmp_path / "d"),), "new/folder/"))

    assert tree_of(tmp_path / "there" / "new" / "folder" / "d") == tree_of(tmp_path / "d")


def test_time_of_the_source_is_kept(tmp_path: Path) -> None:
    _fill(tmp_path, {"f": b"x"})
    os.utime(tmp_path / "f", (981173106, 981173106))
    storage = MemoryStorage()

    with Engine() as engine:
        engine.whole(Upload(engine.adopt(storage), (str(tmp_path / "f"),), "", rename_to="g"))
        entry = storage.stat("g")

    assert entry.last_modified == datetime.fromtimestamp(981173106, UTC)


def test_links_are_followed_to_files_and_told_for_folders(tmp_path: Path) -> None:
    _fill(tmp_path / "d", {"f": b"content"})
    (tmp_path / "d" / "to-file").symlink_to("f")
    (tmp_path / "d" / "loop").symlink_to("..")
    (tmp_path / "d" / "dangling").symlink_to("nowhere")
    os.mkfifo(tmp_path / "d" / "pipe")
    storage = MemoryStorage()

    with Engine() as engine:
        report = engine.report(Upload(engine.adopt(storage), (str(tmp_path / "d"),), ""))
        arrived = files_of(storage)

    assert arrived == {"d/f": b"content", "d/to-file": b"content"}
    assert sorted(Path(failure.path).name for failure in report.failures) == ["dangling", "loop", "pipe"]
    assert (report.files_total, report.files_done, report.files_failed) == (5, 2, 3)


def test_link_that_is_itself_chosen_is_followed(tmp_path: Path) -> None:
    _fill(tmp_path / "d", {"f": b"content"})
    (tmp_path / "chosen").symlink_to("d")
    storage = MemoryStorage()

    with Engine() as engine:
        engine.whole(Upload(engine.adopt(storage), (str(tmp_path / "chosen"),), ""))
        assert files_of(storage) == {"chosen/f": b"content"}


def test_name_that_is_no_text_fails_by_name(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    with open(os.fsencode(tmp_path / "d") + b"/bad\xff", "wb") as file:  # noqa: PTH123  # pathlib takes no bytes
        file.write(b"x")
    _fill(tmp_path / "d", {"good": b"y"})

    class Storage(MemoryStorage):
        def open_writer(self, path: str, **options: object) -> RemoteFile:
            path.encode()
            return super().open_writer(path)

    storage = Storage()
    with Engine() as engine:
        report = engine.report(Upload(engine.adopt(storage), (str(tmp_path / "d"),), ""))
        assert files_of(storage) == {"d/good": b"y"}

    assert isinstance(report.failures[0].error, InvalidName)


# -- conflicts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (ConflictPolicy.OVERWRITE, {"f.txt": NEW}),
        (ConflictPolicy.SKIP, {"f.txt": OLD}),
        (ConflictPolicy.RENAME, {"f.txt": OLD, "f (2).txt": NEW}),
    ],
)
def test_clash_is_settled_by_policy(tmp_path: Path, policy: ConflictPolicy, expected: dict[str, bytes]) -> None:
    _fill(tmp_path, {"f.txt": NEW})
    storage = MemoryStorage()
    put(storage, "t/f.txt", OLD)

    with Engine() as engine:
        engine.whole(Upload(engine.adopt(storage), (str(tmp_path / "f.txt"),), "t/", policy))
        assert files_of(storage, "t/") == expected


def test_question_names_the_target_as_its_address(tmp_path: Path) -> None:
    _fill(tmp_path, {"f.txt": NEW})
    storage = MemoryStorage(store="shelf")
    put(storage, "t/f.txt", OLD)

    with Engine(ConflictAnswer(ConflictChoice.RENAME, new_name="a/b")) as engine:
        spec = engine.adopt(storage, store="shelf")
        engine.whole(Upload(spec, (str(tmp_path / "f.txt"),), "t/"))
        assert files_of(storage, "t/") == {"f.txt": OLD, "a_b": NEW}

    (question,) = engine.questions
    assert isinstance(question, ConflictQuestion)
    assert question.target == "memory://shelf/t/f.txt"
    assert (question.source_size, question.target_size) == (len(NEW), len(OLD))


def test_two_sources_of_one_name_both_arrive(tmp_path: Path) -> None:
    _fill(tmp_path, {"a/f": b"1", "b/f": b"2"})
    storage = MemoryStorage()

    with Engine() as engine:
        sources = str(tmp_path / "a/f"), str(tmp_path / "b/f")
        engine.whole(Upload(engine.adopt(storage), sources, "", ConflictPolicy.OVERWRITE))
        assert files_of(storage) == {"f": b"1", "f (2)": b"2"}


def test_file_that_appears_at_the_target_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    class Storage(_Watched):
        def on_close(self, path: str, attempt: int, finish: RemoteFile) -> None:
            if attempt == 1:
                with MemoryStorage.open_writer(self, "f") as writer:
                    writer.write(OLD)
            finish.close()

    _fill(tmp_path, {"f": NEW})
    storage = Storage()

    with Engine(ConflictAnswer(ConflictChoice.RENAME)) as engine:
        engine.whole(Upload(engine.adopt(storage), (str(tmp_path / "f"),), ""))
        assert files_of(storage) == {"f": OLD, "f (2)": NEW}

    assert len(engine.questions) == 1


def test_new_folder_costs_no_request_per_file(tmp_path: Path) -> None:
    _fill(tmp_path / "d", {f"s{n % 7}/f{n}": b"x" for n in range(200)})
    storage = _Watched()

    with Engine() as engine:
        engine.whole(Upload(engine.adopt(storage), (str(tmp_path / "d"),), ""))

    assert (len(storage.listed), len(storage.stats)) == (1, 0)


def test_folder_that_is_there_is_listed_once(tmp_path: Path) -> None:
    _fill(tmp_path / "d", {f"f{n}": NEW for n in range(200)})
    storage = _Watched()
    for n in range(0, 200, 2):
        put(storage, f"d/f{n}", OLD)

    with Engine() as engine:
        report = engine.whole(Upload(engine.adopt(storage), (str(tmp_path / "d"),), "", ConflictPolicy.SKIP))

    assert (report.files_done, report.files_skipped) == (100, 100)
    assert (len(storage.listed), len(storage.stats)) == (1, 0)


def test_file_where_a_folder_is_needed_fails_and_survives(tmp_path: Path) -> None:
    _fill(tmp_path / "d", {"x/f": NEW, "g": NEW})
    _fill(tmp_path / "there", {"d/x": OLD})

    with Engine() as engine:
        spec = engine.adopt(LocalStorage(str(tmp_path / "there")), "local", root=str(tmp_path / "there"))
        report = engine.report(Upload(spec, (str(tmp_path / "d"),), ""))

    assert tree_of(tmp_path / "there") == {"d/": None, "d/x": OLD, "d/g": NEW}
    assert isinstance(report.failures[0].error, NotAFolder)


def test_folder_in_the_place_of_a_file_survives(tmp_path: Path) -> None:
    _fill(tmp_path, {"x": NEW, "there/x/f": OLD})

    with Engine() as engine:
        spec = engine.adopt(LocalStorage(str(tmp_path / "there")), "local", root=str(tmp_path / "there"))
        engine.whole(Upload(spec, (str(tmp_path / "x"),), "", ConflictPolicy.OVERWRITE))

    assert tree_of(tmp_path / "there") == {"x/": None, "x/f": OLD, "x (2)": NEW}


def test_files_cannot_be_put_beside_buckets(tmp_path: Path) -> None:
    class Buckets(MemoryStorage):
        def __init__(self) -> None:
            super().__init__()
            self.capabilities = type(self.capabilities)(containers_at_root=True)

    _fill(tmp_path, {"f": NEW})

    with Engine() as engine, pytest.raises(NotSupported):
        engine.run(Upload(engine.adopt(Buckets()), (str(tmp_path / "f"),), ""))


# -- what may go wrong ----------------------------------------------------------------------------------------------------


def test_lost_connection_starts_the_file_anew(tmp_path: Path) -> None:
    class Storage(_Watched):
        capabilities = STREAMS

        def on_write(self, path: str, attempt: int, written: int) -> None:
            if attempt < 3 and written >= 2_000:
                raise ConnectionLost("the wire was cut")

    _fill(tmp_path, {"f": pattern(5_000)})
    storage = Storage()

    with Engine(tuning=ONLY_LARGE) as engine:
        report = engine.whole(Upload(engine.adopt(storage), (str(tmp_path / "f"),), ""))
        assert files_of(storage) == {"f": pattern(5_000)}

    assert report.bytes_done == 5_000
    assert engine.progress[-1].bytes_moved == 9_000
    assert storage.unfinished == 0


def test_file_whose_arrival_was_not_confirmed_is_not_asked_about(tmp_path: Path) -> None:
    class Storage(_Watched):
        capabilities = STREAMS

        def on_close(self, path: str, attempt: int, finish: RemoteFile) -> None:
            finish.close()
            if attempt == 1:
                raise ConnectionLost("the answer was cut off")

    _fill(tmp_path, {"f": pattern(5_000)})
    storage = Storage()

    with Engine(tuning=ONLY_LARGE) as engine:
        report = engine.whole(Upload(engine.adopt(storage), (str(tmp_path / "f"),), ""))
        assert files_of(storage) == {"f": pattern(5_000)}

    assert (report.files_done, engine.questions) == (1, [])


def test_foreign_file_is_not_taken_for_the_own_one_after_a_lost_answer(tmp_path: Path) -> None:
    class Storage(_Watched):
        def on_close(self, path: str, attempt: int, finish: RemoteFile) -> None:
            if attempt == 1:
                with MemoryStorage.open_writer(self, "f") as writer:
                    writer.write(pattern(5_000, seed=1))
                finish.abort()
                raise ConnectionLost("the answer was cut off")
            finish.close()

    _fill(tmp_path, {"f": pattern(5_000)})
    storage = Storage()

    with Engine(ConflictAnswer(ConflictChoice.RENAME)) as engine:
        engine.whole(Upload(engine.adopt(storage), (str(tmp_path / "f"),), ""))
        assert files_of(storage) == {"f": pattern(5_000, seed=1), "f (2)": pattern(5_000)}


def test_source_that_changes_while_it_is_read_is_sent_anew(tmp_path: Path) -> None:
    class Storage(_Watched):
        capabilities = STREAMS

        def on_write(self, path: str, attempt: int, written: int) -> None:
            if attempt == 1 and written == 1_000:
                (tmp_path / "f").write_bytes(pattern(4_000, seed=1))

    _fill(tmp_path, {"f": pattern(5_000)})
    storage = Storage()

    with Engine(tuning=ONLY_LARGE) as engine:
        report = engine.whole(Upload(engine.adopt(storage), (str(tmp_path / "f"),), ""))
        assert files_of(storage) == {"f": pattern(4_000, seed=1)}

    assert (report.bytes_total, report.bytes_done) == (4_000, 4_000)


def test_source_that_another_file_takes_the_place_of_is_sent_anew(tmp_path: Path) -> None:
    class Storage(_Watched):
        capabilities = STREAMS

        def on_write(self, path: str, attempt: int, written: int) -> None:
            if attempt == 1:
                (tmp_path / "new").write_bytes(pattern(5_000, seed=1))
                (tmp_path / "new").replace(tmp_path / "f")

    _fill(tmp_path, {"f": pattern(5_000)})
    storage = Storage()

    with Engine(tuning=ONLY_LARGE) as engine:
        engine.whole(Upload(engine.adopt(storage), (str(tmp_path / "f"),), ""))
        assert files_of(storage) == {"f": pattern(5_000, seed=1)}


def test_source_that_never_stops_changing_fails_by_name_and_leaves_nothing(tmp_path: Path) -> None:
    class Storage(_Watched):
        capabilities = STREAMS

        def on_write(self, path: str, attempt: int, written: int) -> None:
            with (tmp_path / "log.txt").open("ab") as file:
                file.write(b"more")

    _fill(tmp_path, {"log.txt": b"x"})
    storage = Storage()

    with Engine(tuning=ONLY_LARGE) as engine:
        report = engine.report(Upload(engine.adopt(storage), (str(tmp_path / "log.txt"),), ""))
        assert files_of(storage) == {}

    (failure,) = report.failures
    assert isinstance(failure.error, SourceChanged)
    assert "log.txt" in failure.error.message
    assert (storage.attempts, storage.unfinished) == (engine.tuning.tries_of_changing, 0)


def test_target_that_may_not_be_written_ends_the_job_once(tmp_path: Path) -> None:
    class Storage(_Watched):
        def on_write(self, path: str, attempt: int, written: int) -> None:
            raise PermissionDenied("you may not write here", path=path)

    _fill(tmp_path / "d", {f"f{n}": b"x" for n in range(500)})
    storage = Storage()

    with Engine() as engine, pytest.raises(PermissionDenied):
        engine.run(Upload(engine.adopt(storage), (str(tmp_path / "d"),), ""))

    assert storage.attempts < 50
    assert storage.unfinished == 0


def test_unreadable_files_and_folders_fail_by_name_and_the_others_arrive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_open, real_scandir = os.open, os.scandir

    def refusing_open(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if str(path).endswith("secret"):
            raise PermissionError(13, "Permission denied", path)
        return real_open(path, flags, mode, dir_fd=dir_fd)

    def refusing_scandir(path: str) -> os.PathLike[str]:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return real_scandir(path)  # type: ignore[return-value]  # what it is does not matter here

    _fill(tmp_path / "d", {"f": b"x", "secret": b"y", "closed/g": b"z"})
    monkeypatch.setattr(os, "open", refusing_open)  # root, who runs the tests, may read everything
    monkeypatch.setattr(os, "scandir", refusing_scandir)
    storage = MemoryStorage()

    with Engine() as engine:
        report = engine.report(Upload(engine.adopt(storage), (str(tmp_path / "d"),), ""))
        assert files_of(storage) == {"d/f": b"x"}

    assert sorted(Path(failure.path).name for failure in report.failures) == ["closed", "secret"]
    assert all(isinstance(failure.error, PermissionDenied) for failure in report.failures)


def test_missing_sources_fail_by_name_and_the_others_arrive(tmp_path: Path) -> None:
    _fill(tmp_path, {"f": b"x"})
    storage = MemoryStorage()

    with Engine() as engine:
        report = engine.report(Upload(engine.adopt(storage), (str(tmp_path / "gone"), str(tmp_path / "f")), ""))
        assert files_of(storage) == {"f": b"x"}

    assert [failure.path for failure in report.failures] == [str(tmp_path / "gone")]


def test_cancel_leaves_nothing_unfinished(tmp_path: Path) -> None:
    engine = Engine()

    class Storage(_Watched):
        def on_write(self, path: str, attempt: int, written: int) -> None:
            if attempt == 20:
                engine.token.cancel()

    _fill(tmp_path / "d", {f"f{n}": pattern(3_000, n) for n in range(60)} | {"large": pattern(200_000)})
    storage = Storage()

    with engine, pytest.raises(Cancelled):
        engine.run(Upload(engine.adopt(storage), (str(tmp_path / "d"),), ""))

    assert storage.unfinished == 0
    assert storage.attempts < 61
