"""Folders made and renamed; folders listed; the small questions."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kegbrowser.backends.base import Capabilities, ListEntry, Page
from kegbrowser.backends.errors import AlreadyExists, Cancelled, ConnectionLost, NotSupported, PermissionDenied
from kegbrowser.backends.local import LocalStorage
from kegbrowser.backends.memory import MemoryStorage
from kegbrowser.transfer.events import ConnectionReport, PageListed
from kegbrowser.transfer.jobs import (
    CheckConnection,
    Describe,
    FindHome,
    ListFolder,
    MakeFolder,
    Rename,
    Source,
)
from tests.doubles.engine import Engine, files_of, pattern, put, tree_of
from tests.doubles.flaky import Fault, FlakyBackend

# -- rename ---------------------------------------------------------------------------------------------------------------


def test_file_is_renamed() -> None:
    storage = MemoryStorage()
    put(storage, "d/f", b"1")

    with Engine() as engine:
        engine.whole(Rename(engine.adopt(storage), Source("d/f", is_folder=False), "d/g"))
        assert files_of(storage) == {"d/g": b"1"}


def test_rename_never_overwrites() -> None:
    storage = MemoryStorage()
    put(storage, "f", b"1")
    put(storage, "g", b"2")
    put(storage, "d/x", b"3")
    put(storage, "e/x", b"4")

    with Engine() as engine:
        spec = engine.adopt(storage)
        with pytest.raises(AlreadyExists):
            engine.run(Rename(spec, Source("f", is_folder=False), "g"))
        with pytest.raises(AlreadyExists, match="e"):
            engine.run(Rename(spec, Source("d/", is_folder=True), "e/"))
        assert files_of(storage) == {"f": b"1", "g": b"2", "d/x": b"3", "e/x": b"4"}


def test_folder_without_a_rename_of_its_own_is_renamed_file_by_file() -> None:
    storage = MemoryStorage()
    files = {f"s{n % 3}/f{n}": pattern(n, n) for n in range(30)} | {"/odd": b"1", "../odd": b"2"}
    for name, content in files.items():
        put(storage, f"d/{name}", content)
    storage.make_folder("d/empty/")

    with Engine() as engine:
        report = engine.whole(Rename(engine.adopt(storage), Source("d/", is_folder=True), "new name/"))
        assert files_of(storage, "new name/") == files | {"empty/": b""}
        assert [entry.name for entry in storage.list("")] == ["new name"]

    assert report.files_done == len(files)


def test_every_file_of_a_renamed_folder_is_always_at_one_of_both_places() -> None:
    class Storage(MemoryStorage):
        def rename(self, source: str, target: str, *, overwrite: bool = False) -> None:
            if source.endswith("f7"):
                raise PermissionDenied("this one stays", path=source)
            super().rename(source, target, overwrite=overwrite)

    storage = Storage()
    for n in range(20):
        put(storage, f"d/f{n}", str(n).encode())

    with Engine() as engine:
        report = engine.report(Rename(engine.adopt(storage), Source("d/", is_folder=True), "e/"))
        everything = files_of(storage)

    assert everything.pop("d/f7") == b"7"
    assert {name: content for name, content in everything.items() if content} == {
        f"e/f{n}": str(n).encode() for n in range(20) if n != 7
    }
    assert [failure.path for failure in report.failures] == ["d/f7"]


def test_folder_with_a_rename_of_its_own_is_renamed_in_one_step(tmp_path: Path) -> None:
    (tmp_path / "d" / "s").mkdir(parents=True)
    (tmp_path / "d" / "s" / "f").write_bytes(b"x")

    with Engine() as engine:
        spec = engine.adopt(LocalStorage(str(tmp_path)), "local", root=str(tmp_path))
        engine.whole(Rename(spec, Source("d/", is_folder=True), "e/"))

    assert tree_of(tmp_path) == {"e/": None, "e/s/": None, "e/s/f": b"x"}


def test_folder_is_not_renamed_into_itself() -> None:
    storage = MemoryStorage()
    put(storage, "d/f")

    with Engine() as engine:
        with pytest.raises(NotSupported, match="into itself"):
            engine.run(Rename(engine.adopt(storage), Source("d/", is_folder=True), "d/e/"))
        assert files_of(storage) == {"d/f": b"x"}


def test_container_keeps_its_name() -> None:
    class Buckets(MemoryStorage):
        capabilities = Capabilities(containers_at_root=True, path_or_prefix=True)

    storage = Buckets()
    put(storage, "bucket/f")

    with Engine() as engine:
        with pytest.raises(NotSupported, match="bucket"):
            engine.run(Rename(engine.adopt(storage), Source("bucket/", is_folder=True), "other/"))
        assert files_of(storage) == {"bucket/f": b"x"}


def test_folder_is_made_once() -> None:
    storage = MemoryStorage()

    with Engine() as engine:
        spec = engine.adopt(storage)
        engine.run(MakeFolder(spec, "d/new"))
        with pytest.raises(AlreadyExists):
            engine.run(MakeFolder(spec, "d/new/"))
        assert files_of(storage) == {"d/new/": b""}


def test_rename_whose_answer_was_lost_is_a_success() -> None:
    storage = MemoryStorage()
    put(storage, "f", b"1")

    with Engine() as engine:
        flaky = FlakyBackend(storage, [Fault.ANSWER_LOST])
        engine.whole(Rename(engine.adopt(flaky), Source("f", is_folder=False), "g"))
        assert files_of(storage) == {"g": b"1"}


def test_rename_that_had_copied_but_not_deleted_is_finished() -> None:
    class Storage(MemoryStorage):
        losses = 1

        def rename(self, source: str, target: str, *, overwrite: bool = False) -> None:
            self.copy(source, target, overwrite=overwrite)
            if self.losses:
                self.losses -= 1
                raise ConnectionLost("cut between copy and delete")
            self.delete(source)

    storage = Storage()
    put(storage, "f", b"1")

    with Engine() as engine:
        engine.whole(Rename(engine.adopt(storage), Source("f", is_folder=False), "g"))
        assert files_of(storage) == {"g": b"1"}


def test_target_of_a_rename_that_is_somebody_elses_is_not_taken_for_a_success() -> None:
    class Storage(MemoryStorage):
        losses = 1

        def rename(self, source: str, target: str, *, overwrite: bool = False) -> None:
            if self.losses:
                self.losses -= 1
                put(self, target, b"2")
                raise ConnectionLost("cut before anything was done")
            super().rename(source, target, overwrite=overwrite)

    storage = Storage()
    put(storage, "f", b"1")

    with Engine() as engine:
        with pytest.raises(AlreadyExists):
            engine.run(Rename(engine.adopt(storage), Source("f", is_folder=False), "g"))
        assert files_of(storage) == {"f": b"1", "g": b"2"}


def test_folder_whose_making_was_not_confirmed_is_no_error() -> None:
    storage = MemoryStorage()

    with Engine() as engine:
        engine.run(MakeFolder(engine.adopt(FlakyBackend(storage, [Fault.ANSWER_LOST])), "new"))
        assert files_of(storage) == {"new/": b""}


# -- listing --------------------------------------------------------------------------------------------------------------


class _Paged(MemoryStorage):
    """Lists pages as it is told; a number is a wait."""

    def __init__(self, *script: Page | float | Exception) -> None:
        super().__init__()
        self.script = list(script)
        self.stopped = threading.Event()
        self.calls = 0

    def list_pages(self, path: str, *, recursive: bool = False) -> Iterator[Page]:
        self.calls += 1
        while self.script:
            step = self.script.pop(0)
            if isinstance(step, Page):
                yield step
            elif isinstance(step, Exception):
                raise step
            elif self.stopped.wait(step):
                raise Cancelled

    def interrupt(self) -> None:
        self.stopped.set()


def _page(first: int, count: int) -> Page:
    return Page(tuple(ListEntry(f"f{n:06d}", None, n) for n in range(first, first + count)))


def _pages(engine: Engine) -> list[PageListed]:
    return [event for event in engine.events if isinstance(event, PageListed)]


def test_listing_streams_every_entry_once() -> None:
    storage = MemoryStorage()
    for n in range(2_500):
        put(storage, f"d/f{n:05d}")

    with Engine() as engine:
        assert engine.run(ListFolder(engine.adopt(storage), "d/")) is None

    names = [entry.name for page in _pages(engine) for entry in page.entries()]
    assert names == [f"f{n:05d}" for n in range(2_500)]
    assert len(_pages(engine)) >= 2


def test_first_page_goes_out_at_once_and_small_ones_are_batched() -> None:
    storage = _Paged(_page(0, 1), *[_page(n, 10) for n in range(1, 4_991, 10)])

    with Engine() as engine:
        engine.run(ListFolder(engine.adopt(storage), ""))

    pages = _pages(engine)
    assert pages[0].count == 1
    assert sum(page.count for page in pages) == 4_991
    assert len(pages) < 30


def test_rows_do_not_wait_for_a_page_that_is_late() -> None:
    storage = _Paged(_page(0, 1), _page(1, 1), 30.0)
    arrived = threading.Event()
    engine = Engine()
    engine.on_event = lambda _event: arrived.set() if len(_pages(engine)) == 2 else None
    spec = engine.adopt(storage)

    def run() -> None:
        with pytest.raises(Cancelled):
            engine.run(ListFolder(spec, ""))

    thread = threading.Thread(target=run)
    thread.start()

    assert arrived.wait(2)
    engine.token.cancel()
    thread.join(2)
    assert not thread.is_alive()
    engine.context.close()


def test_empty_folder_lists_nothing() -> None:
    with Engine() as engine:
        engine.run(ListFolder(engine.adopt(MemoryStorage()), ""))

    assert _pages(engine) == []


def test_listing_is_tried_again_before_its_first_page_only() -> None:
    early = _Paged(ConnectionLost("cut"), _page(0, 3))
    late = _Paged(_page(0, 3), ConnectionLost("cut"), _page(0, 3))

    with Engine() as engine:
        engine.run(ListFolder(engine.adopt(early), ""))
        with pytest.raises(ConnectionLost):
            engine.run(ListFolder(engine.adopt(late), ""))

    assert (early.calls, late.calls) == (2, 1)
    assert [page.count for page in _pages(engine)] == [3, 3]


def test_cancel_ends_a_stalled_listing_within_a_second() -> None:
    storage = _Paged(_page(0, 3), 60.0)

    with Engine() as engine:
        spec = engine.adopt(storage)
        threading.Timer(0.1, engine.token.cancel).start()
        started = time.monotonic()
        with pytest.raises(Cancelled):
            engine.run(ListFolder(spec, ""))

    assert time.monotonic() - started < 1


# -- small questions ------------------------------------------------------------------------------------------------------


def test_connection_is_described_and_its_home_found() -> None:
    storage = MemoryStorage("shelf")
    put(storage, "f", b"123")

    with Engine() as engine:
        spec = engine.adopt(storage)
        report = engine.run(CheckConnection(spec))
        home = engine.run(FindHome(spec))
        entry = engine.run(Describe(spec, "f"))

    assert isinstance(report, ConnectionReport)
    assert "shelf" in report.message
    assert report.capabilities == storage.capabilities
    assert home == ""
    assert isinstance(entry, ListEntry)
    assert (entry.name, entry.size) == ("f", 3)


def test_test_of_a_connection_answers_at_once() -> None:
    storage = _Paged(ConnectionLost("refused"), _page(0, 1))

    with Engine() as engine, pytest.raises(ConnectionLost):
        engine.run(CheckConnection(engine.adopt(storage)))

    assert storage.calls == 1
