"""The walk of the sources: lazy, and not broken by a listing that is."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from kegbrowser.backends.base import EntryKind, ListEntry, Page
from kegbrowser.backends.errors import AuthenticationFailed, Cancelled, ConnectionLost
from kegbrowser.backends.memory import MemoryStorage
from kegbrowser.transfer.cancel import CancelToken
from kegbrowser.transfer.events import Progress
from kegbrowser.transfer.jobs import Download, Source
from kegbrowser.transfer.local_walk import walk_local
from kegbrowser.transfer.plan import Found, FoundFile, FoundFolder, NotFound, list_all, walk_remote
from tests.doubles.engine import QUICK_RETRY, Engine, put

TOP = Source("top/", is_folder=True)


class _Listed(MemoryStorage):
    """Lists what `pages` gives, a new one each time."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.pages_given = 0

    def pages(self, call: int) -> Iterator[Page]:
        raise NotImplementedError

    def list_pages(self, path: str, *, recursive: bool = False) -> Iterator[Page]:
        self.calls += 1
        for page in self.pages(self.calls):
            self.pages_given += 1
            yield page


def _page(*names: str) -> Page:
    return Page(tuple(ListEntry(name, None, 1) for name in names))


def _walk(storage: MemoryStorage) -> list[Found]:
    return list(walk_remote(storage, (TOP,), "", QUICK_RETRY, CancelToken()))


def test_files_move_long_before_a_million_are_found(tmp_path: Path) -> None:
    class Storage(_Listed):
        def pages(self, call: int) -> Iterator[Page]:
            for n in range(1_000):
                yield _page(*[f"s{n}/f{k}" for k in range(1_000)])

    storage = Storage()
    engine = Engine()

    def stop(event: object) -> None:
        if isinstance(event, Progress) and event.files_failed > 5:
            engine.token.cancel()

    engine.on_event = stop
    with engine, pytest.raises(Cancelled):
        engine.run(Download(engine.adopt(storage), (TOP,), str(tmp_path)))

    assert storage.pages_given < 20


def test_walk_of_many_files_needs_little_memory() -> None:
    class Storage(_Listed):
        def pages(self, call: int) -> Iterator[Page]:
            for n in range(100):
                yield _page(*[f"s{n}/f{k}" for k in range(1_000)])

    tracemalloc.start()
    count = sum(1 for _ in walk_remote(Storage(), (TOP,), "", QUICK_RETRY, CancelToken()))
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert count == 100_000
    assert peak < 4 * 1024 * 1024


def test_listing_that_breaks_off_goes_on_with_nothing_twice() -> None:
    class Storage(_Listed):
        def pages(self, call: int) -> Iterator[Page]:
            for n in range(6):
                if n == call:
                    raise ConnectionLost("cut")
                yield _page(f"f{n}a", f"f{n}b")

    storage = Storage()
    names = [entry.name for entry in list_all(storage, "top/", QUICK_RETRY, CancelToken())]

    assert names == [f"f{n}{letter}" for n in range(6) for letter in "ab"]
    assert storage.calls == 6


def test_listing_that_is_another_one_after_it_broke_off_is_not_trusted() -> None:
    class Storage(_Listed):
        def pages(self, call: int) -> Iterator[Page]:
            yield _page("a", "b") if call == 1 else _page("b", "c")
            if call == 1:
                raise ConnectionLost("cut")

    found = _walk(Storage())

    assert [item.path for item in found] == ["top/a", "top/b", "top/"]
    assert isinstance(found[-1], NotFound)
    assert "changed while it was listed" in found[-1].error.message


def test_only_folders_with_nothing_in_them_are_told() -> None:
    storage = MemoryStorage()
    for folder in ("top/", "top/full/", "top/empty/", "top/a/b/empty/"):
        storage.make_folder(folder)
    put(storage, "top/full/f")

    found = _walk(storage)

    assert [item.parts for item in found if isinstance(item, FoundFolder)] == [
        ("top", "a", "b", "empty"),
        ("top", "empty"),
    ]
    assert [item.parts for item in found if isinstance(item, FoundFile)] == [("top", "full", "f")]


def test_links_of_a_server_are_looked_at_again_and_folder_links_are_told() -> None:
    class Storage(_Listed):
        def pages(self, call: int) -> Iterator[Page]:
            link = ListEntry("link", None, 7, EntryKind.LINK, etag="of the link", link_target="f")
            folder = ListEntry("folder", None, 0, EntryKind.FOLDER, link_target="..")
            yield Page((link, folder))

    file, folder = _walk(Storage())

    assert isinstance(file, FoundFile)
    assert (file.size, file.etag) == (None, "")
    assert isinstance(folder, NotFound)


def test_refused_connection_ends_the_walk() -> None:
    class Storage(_Listed):
        def pages(self, call: int) -> Iterator[Page]:
            if call:
                raise AuthenticationFailed("wrong key")
            yield _page()

    with pytest.raises(AuthenticationFailed):
        _walk(Storage())


def test_local_walk_finds_every_file_and_each_empty_folder(tmp_path: Path) -> None:
    for n in range(50):
        (tmp_path / "d" / f"s{n}").mkdir(parents=True)
        (tmp_path / "d" / f"s{n}" / "f").write_bytes(b"x")
    (tmp_path / "d" / "empty").mkdir()

    found = list(walk_local((str(tmp_path / "d"),)))

    assert [item.parts for item in found if isinstance(item, FoundFolder)] == [("d", "empty")]
    assert {item.parts for item in found if isinstance(item, FoundFile)} == {("d", f"s{n}", "f") for n in range(50)}


def test_trailing_slash_of_a_local_source_does_not_lose_its_name(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_bytes(b"x")

    (found,) = walk_local((f"{tmp_path}/d/",))

    assert isinstance(found, FoundFile)
    assert found.parts == ("d", "f")
