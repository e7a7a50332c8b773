"""A folder with 2,500 files: each is listed once, and the first are there before the last are asked for."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from kegbrowser.backends.base import EntryKind
from kegbrowser.backends.errors import Cancelled
from tests.conformance.conftest import NETWORK_KINDS
from tests.conformance.place import Place
from tests.servers.faulty_proxy import FaultyProxy

COUNT = 2500
NAMES = frozenset(f"file-{number:04}" for number in range(COUNT))


@pytest.fixture(scope="module")
def crowded(lasting_place: Place) -> Place:
    lasting_place.raw_fill([f"many/{name}" for name in sorted(NAMES)])
    lasting_place.raw_fill(["many/folder/inside", "beside"])
    return lasting_place


def test_each_entry_is_listed_exactly_once(crowded: Place) -> None:
    entries = [entry for page in crowded.storage.list_pages("many/") for entry in page.entries]

    names = [entry.name for entry in entries]
    assert len(names) == COUNT + 1
    assert set(names) == NAMES | {"folder"}
    assert {entry.kind for entry in entries if entry.name != "folder"} == {EntryKind.FILE}
    assert {entry.size for entry in entries if entry.name != "folder"} == {1}


def test_entries_have_aware_times(crowded: Place) -> None:
    now = datetime.now(UTC)

    for entry in crowded.storage.list("many/"):
        if not entry.is_folder:
            assert entry.last_modified is not None
            assert entry.last_modified.utcoffset() == timedelta(0)
            assert abs(now - entry.last_modified) < timedelta(minutes=10)


def test_the_listing_comes_in_pages_none_of_them_empty(crowded: Place) -> None:
    sizes = [len(page.entries) for page in crowded.storage.list_pages("many/")]

    assert len(sizes) > 1
    assert 0 not in sizes


def test_the_flat_listing_names_the_rest_of_the_path(crowded: Place) -> None:
    files = [entry.name for entry in crowded.storage.list("", recursive=True) if not entry.is_folder]

    assert len(files) == COUNT + 2
    assert set(files) == {f"many/{name}" for name in NAMES} | {"many/folder/inside", "beside"}


def test_a_listing_can_be_left_in_the_middle(crowded: Place) -> None:
    for _ in range(3):
        pages = crowded.storage.list_pages("many/")
        next(pages)
        del pages

    assert crowded.storage.stat("beside").size == 1


def test_two_listings_at_once_do_not_mix(crowded: Place) -> None:
    ahead, behind = crowded.storage.list_pages("many/"), crowded.storage.list_pages("many/")
    names: list[str] = []

    first = [entry.name for entry in next(ahead).entries]
    names += [entry.name for page in behind for entry in page.entries]
    rest = [entry.name for page in ahead for entry in page.entries]

    assert sorted(first + rest) == sorted(names) == sorted(NAMES | {"folder"})


def test_an_interrupt_ends_a_listing_within_a_second(crowded: Place) -> None:
    storage = crowded.connect()
    pages = storage.list_pages("", recursive=True)
    next(pages)

    begun = time.monotonic()
    storage.interrupt()
    with pytest.raises(Cancelled):
        for _page in pages:
            pass

    assert time.monotonic() - begun < 1
    with pytest.raises(Cancelled):
        storage.list("")


def test_two_threads_list_at_once(crowded: Place) -> None:
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.append(len(crowded.storage.list("many/"))), daemon=True) for _ in range(4)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert found == [COUNT + 1] * 4


@pytest.mark.parametrize("lasting_place", NETWORK_KINDS, indirect=True)
def test_the_first_page_is_there_before_the_last_is_fetched(crowded: Place) -> None:
    assert crowded.server_port is not None
    with FaultyProxy(crowded.server_port) as proxy:
        storage = crowded.connect(port=proxy.port)
        storage.stat("beside")  # connected
        before = proxy.bytes_down

        pages = storage.list_pages("many/")
        first = next(pages)
        after_first = proxy.bytes_down - before
        rest = sum(len(page.entries) for page in pages)
        after_all = proxy.bytes_down - before

        assert len(first.entries) + rest == COUNT + 1
        assert after_first < 0.9 * after_all
