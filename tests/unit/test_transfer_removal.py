"""Deletions: counted, asked, and exactly what was counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from kegbrowser.backends.base import Capabilities, DeleteResult
from kegbrowser.backends.errors import (
    AuthenticationFailed,
    Cancelled,
    ConnectionLost,
    FileNotFoundInStorageError,
    NotSupported,
    PermissionDenied,
)
from kegbrowser.backends.local import LocalStorage
from kegbrowser.backends.memory import MemoryStorage
from kegbrowser.transfer import removal
from kegbrowser.transfer.events import Counted
from kegbrowser.transfer.jobs import Count, Delete, Source
from kegbrowser.transfer.questions import DeleteAnswer, DeleteQuestion
from tests.doubles.engine import Engine, files_of, put, tree_of

YES, NO = DeleteAnswer(confirmed=True), DeleteAnswer(confirmed=False)
FOLDER = Source("d/", is_folder=True)


def test_question_says_how_much_will_go() -> None:
    storage = MemoryStorage()
    for n in range(30):
        put(storage, f"d/sub/f{n}", b"12345")
    storage.make_folder("d/empty/")
    put(storage, "g", b"1")

    with Engine(YES) as engine:
        report = engine.whole(Delete(engine.adopt(storage), (FOLDER, Source("g", is_folder=False))))
        assert storage.list("") == []

    (question,) = engine.questions
    assert isinstance(question, DeleteQuestion)
    assert (question.names, question.sources, question.can_be_undone) == (("d", "g"), 2, False)
    assert (question.counted.files, question.counted.bytes) == (31, 151)
    assert (report.files_total, report.files_done, report.bytes_done) == (31, 31, 151)
    assert any(isinstance(event, Counted) for event in engine.events)


@pytest.mark.parametrize("answer", [(NO,), ()])
def test_no_answer_or_no_deletes_nothing(answer: tuple[DeleteAnswer, ...]) -> None:
    storage = MemoryStorage()
    put(storage, "d/f")

    with Engine(*answer) as engine, pytest.raises(Cancelled):
        engine.run(Delete(engine.adopt(storage), (FOLDER,)))

    assert files_of(MemoryStorage()) == {}
    assert storage._store.blobs.keys() == {"d/f"}


def test_file_that_arrives_between_the_count_and_the_answer_survives() -> None:
    storage = MemoryStorage()
    for n in range(5):
        put(storage, f"d/f{n}")

    class Late(Engine):
        def _answer(self, question: object) -> DeleteAnswer:
            put(storage, "d/new")
            put(storage, "d/sub/new")
            return YES

    with Late() as engine:
        report = engine.whole(Delete(engine.adopt(storage), (FOLDER,)))
        assert files_of(storage) == {"d/new": b"x", "d/sub/new": b"x"}

    assert report.files_done == 5


def test_folder_that_holds_a_new_file_stays(tmp_path: Path) -> None:
    for name in ("d/a/f", "d/b/f", "d/c/sub/f"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"x")

    class Late(Engine):
        def _answer(self, question: object) -> DeleteAnswer:
            (tmp_path / "d" / "b" / "new").write_bytes(b"new")
            return YES

    with Late() as engine:
        spec = engine.adopt(LocalStorage(str(tmp_path)), "local", root=str(tmp_path))
        report = engine.whole(Delete(spec, (FOLDER,)))

    assert tree_of(tmp_path) == {"d/": None, "d/b/": None, "d/b/new": b"new"}
    assert report.files_done == 3


def test_links_are_removed_and_not_what_they_lead_to(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "f").write_bytes(b"x")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "folder link").symlink_to("../precious")
    (tmp_path / "d" / "file link").symlink_to("../precious/f")
    (tmp_path / "chosen").symlink_to("precious")

    with Engine(YES) as engine:
        spec = engine.adopt(LocalStorage(str(tmp_path)), "local", root=str(tmp_path))
        engine.whole(Delete(spec, (FOLDER, Source("chosen/", is_folder=True))))

    assert tree_of(tmp_path) == {"precious/": None, "precious/f": b"x"}


def test_file_and_folder_of_one_name_are_told_apart() -> None:
    storage = MemoryStorage()
    for name in ("x", "x/y", "xy"):
        put(storage, name)

    with Engine(YES) as engine:
        spec = engine.adopt(storage)
        engine.whole(Delete(spec, (Source("x", is_folder=False),)))
        assert files_of(storage).keys() == {"x/y", "xy"}
        engine.whole(Delete(spec, (Source("x/", is_folder=True),)))
        assert files_of(storage).keys() == {"xy"}


def test_hostile_names_are_deleted_exactly() -> None:
    storage = MemoryStorage()
    names = {"d//", "d/../x", "d//b", "d/a\nb", "d/\ud800", "d/%41", "d/é", "d/e\u0301"}
    for name in (*names, "d", "x", "e/é"):
        put(storage, name)

    with Engine(YES) as engine:
        report = engine.whole(Delete(engine.adopt(storage), (FOLDER,)))
        assert files_of(storage).keys() == {"d", "x", "e/é"}

    assert report.files_done == len(names)


def test_long_list_goes_through_a_file_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "MEMORY_BYTES", 1_000)
    monkeypatch.setattr(removal, "BATCH_FILES", 37)
    storage = MemoryStorage()
    for n in range(1_000):
        put(storage, f"d/sub{n % 10}/f{n}")

    with Engine(YES) as engine:
        report = engine.whole(Delete(engine.adopt(storage), (FOLDER,)))
        assert storage.list("") == []

    assert report.files_done == 1_000


def test_what_cannot_be_deleted_fails_by_name_and_the_rest_goes() -> None:
    class Storage(MemoryStorage):
        def delete(self, path: str) -> None:
            if path.endswith("7"):
                raise PermissionDenied("you may not", path=path)
            super().delete(path)

    storage = Storage()
    for n in range(10):
        put(storage, f"d/f{n}")

    with Engine(YES) as engine:
        report = engine.report(Delete(engine.adopt(storage), (FOLDER,)))
        assert files_of(storage).keys() == {"d/f7"}

    assert [failure.path for failure in report.failures] == ["d/f7"]


def test_lost_connection_is_taken_up_where_it_broke() -> None:
    class Storage(MemoryStorage):
        losses = 3
        asked = 0

        def delete_files(self, paths: Iterable[str]) -> Iterator[DeleteResult]:
            for path in paths:
                self.asked += 1
                if self.losses and path.endswith("5"):
                    self.losses -= 1
                    raise ConnectionLost("cut")
                self.delete(path)
                yield DeleteResult(path)

    storage = Storage()
    for n in range(10):
        put(storage, f"d/f{n}")

    with Engine(YES) as engine:
        report = engine.whole(Delete(engine.adopt(storage), (FOLDER,)))
        assert storage.list("") == []

    assert (report.files_done, storage.asked) == (10, 13)


def test_wrong_key_ends_the_job_once() -> None:
    class Storage(MemoryStorage):
        def delete(self, path: str) -> None:
            raise AuthenticationFailed("expired")

    storage = Storage()
    for n in range(10):
        put(storage, f"d/f{n}")

    with Engine(YES) as engine, pytest.raises(AuthenticationFailed):
        engine.run(Delete(engine.adopt(storage), (FOLDER,)))


def test_container_that_holds_new_files_stays() -> None:
    class Buckets(MemoryStorage):
        capabilities = Capabilities(containers_at_root=True, path_or_prefix=True)

        def delete_folder(self, path: str) -> None:
            for entry in self.list(path, recursive=True):  # as some servers do
                self.delete(entry.path_in(path))

    storage = Buckets()
    put(storage, "bucket/f")

    class Late(Engine):
        def _answer(self, question: object) -> DeleteAnswer:
            put(storage, "bucket/new")
            return YES

    with Late() as engine:
        engine.whole(Delete(engine.adopt(storage), (Source("bucket/", is_folder=True),)))
        assert files_of(storage) == {"bucket/new": b"x"}


def test_the_whole_storage_cannot_be_deleted() -> None:
    with Engine(YES) as engine, pytest.raises(NotSupported):
        engine.run(Delete(engine.adopt(MemoryStorage()), (Source("", is_folder=True),)))


def test_what_is_gone_already_is_said() -> None:
    with Engine(YES) as engine, pytest.raises(FileNotFoundInStorageError):
        engine.run(Delete(engine.adopt(MemoryStorage()), (Source("gone", is_folder=False),)))


def test_count_tells_files_folders_bytes_and_the_newest() -> None:
    storage = MemoryStorage()
    put(storage, "d/f", b"123")
    put(storage, "d/s/g", b"4567")
    storage.make_folder("d/empty/")

    with Engine() as engine:
        counted = engine.run(Count(engine.adopt(storage), (FOLDER,)))

        assert isinstance(counted, Counted)
        assert (counted.files, counted.folders, counted.bytes) == (2, 2, 7)
        assert counted.newest_utc == storage.stat("d/s/g").last_modified
    assert engine.events[-1] == counted
