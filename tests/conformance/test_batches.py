"""Many small files at once: each is answered once, whatever becomes of the others."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

import pytest

from kegbrowser.backends.base import StorageBackend
from kegbrowser.backends.batches import FileResult, ReadRequest, WriteRequest
from kegbrowser.backends.errors import AlreadyExists, Cancelled, FileNotFoundInStorageError, SourceChanged
from kegbrowser.backends.proofs import Certainty
from tests.conformance.content import content_of
from tests.conformance.names import HOSTILE_NAMES
from tests.conformance.place import Place
from tests.servers.faulty_proxy import FaultyProxy

T = TypeVar("T")
SIZES = (0, 1, 100, 16_384, 65_537, 300_001)


def _contents(count: int) -> dict[str, bytes]:
    return {f"file {number}": content_of(SIZES[number % len(SIZES)] + number) for number in range(count)}


def _write(storage: StorageBackend, files: dict[str, bytes], **options: object) -> dict[str, FileResult]:
    names = list(files)
    requests = (WriteRequest(key, name, files[name], **options) for key, name in enumerate(names))  # type: ignore[arg-type]
    return _collect(storage.write_files(requests, lambda: 32), names)


def _read(storage: StorageBackend, sizes: dict[str, int], **options: str) -> dict[str, FileResult]:
    names = list(sizes)
    requests = (ReadRequest(key, name, sizes[name], **options) for key, name in enumerate(names))
    return _collect(storage.read_files(requests, lambda: 32), names)


def _collect(results: Iterable[FileResult], names: list[str]) -> dict[str, FileResult]:
    found: dict[str, FileResult] = {}
    for result in results:
        assert names[result.key] not in found, "told twice"
        found[names[result.key]] = result
    return found


def test_many_files_go_there_and_back(place: Place) -> None:
    files = _contents(300)

    written = _write(place.storage, files)
    read = _read(place.storage, {name: len(content) for name, content in files.items()})

    assert [result.error for result in (*written.values(), *read.values()) if result.error is not None] == []
    assert written.keys() == files.keys()
    assert {name: result.content for name, result in read.items()} == files
    assert place.raw_names() == set(files)
    assert all(place.raw_bytes(name) == files[name] for name in list(files)[::37])
    for result in (*written.values(), *read.values()):
        assert result.proof is not None
        assert bool(result.proof.by) == (result.proof.certainty is Certainty.VERIFIED)


def test_one_that_is_missing_does_not_stop_the_others(place: Place) -> None:
    files = _contents(30)
    for name, content in files.items():
        place.raw_put(name, content)
    wanted = {name: len(content) for name, content in files.items()} | {f"missing {number}": 10 for number in range(30)}

    read = _read(place.storage, wanted)

    assert read.keys() == wanted.keys()
    for name, result in read.items():
        if name in files:
            assert (result.error, result.content) == (None, files[name])
        else:
            assert isinstance(result.error, FileNotFoundInStorageError)
            assert name in result.error.message


def test_file_that_is_not_the_same_any_more_is_told(place: Place) -> None:
    place.raw_put("file", b"one")
    etag = place.storage.stat("file").etag
    place.raw_put("file", b"other, longer")

    if etag:
        (result,) = _read(place.storage, {"file": 3}, etag=etag).values()
        assert isinstance(result.error, SourceChanged)


def test_file_that_grew_out_of_all_proportion_is_not_read(place: Place) -> None:
    place.raw_put("file", content_of(12_000_000))

    (result,) = _read(place.storage, {"file": 3}).values()

    assert isinstance(result.error, SourceChanged)


def test_taken_path_is_not_replaced_unless_it_may_be(place: Place) -> None:
    place.raw_put("taken", b"somebody's")
    files = {"taken": b"ours", "free": b"ours"}

    refused = _write(place.storage, files, overwrite=False)
    assert isinstance(refused["taken"].error, AlreadyExists)
    assert refused["free"].error is None
    assert (place.raw_bytes("taken"), place.raw_bytes("free")) == (b"somebody's", b"ours")

    _write(place.storage, files)
    assert place.raw_bytes("taken") == b"ours"


def test_time_is_kept_where_it_can_be(place: Place) -> None:
    moment = datetime(2021, 3, 4, 5, 6, 8, tzinfo=UTC)

    _write(place.storage, {"file": b"x"}, modified=moment)

    if place.storage.capabilities.set_modified:
        assert place.storage.stat("file").last_modified == moment


def test_requests_may_pause_and_no_more_are_under_way_than_allowed(place: Place) -> None:
    files = _contents(40)
    under_way = most = 0

    def requests() -> Iterator[WriteRequest | None]:
        nonlocal under_way, most
        for key, (name, content) in enumerate(files.items()):
            yield from [None] * (key % 3)
            under_way += 1
            most = max(most, under_way)
            yield WriteRequest(key, name, content)

    for result in place.storage.write_files(requests(), lambda: 3):
        assert result.error is None
        under_way -= 1

    assert most <= 3
    assert place.raw_names() == set(files)


def test_hostile_names_go_there_and_back(place: Place) -> None:
    allowed = {key: name for key, name in HOSTILE_NAMES.items() if key not in place.forbidden_names}
    if place.storage.capabilities.real_folders:
        allowed = {key: name for key, name in allowed.items() if "/" not in name}
    files = {name: key.encode() for key, name in allowed.items()}

    written = _write(place.storage, files)
    read = _read(place.storage, {name: len(content) for name, content in files.items()})

    assert {name: result.error for name, result in written.items() if result.error is not None} == {}
    assert {name: result.content for name, result in read.items()} == files


def test_nothing_to_do_is_done_at_once(place: Place) -> None:
    assert _write(place.storage, {}) == {}
    assert _read(place.storage, {}) == {}


@pytest.mark.parametrize("is_reading", [True, False], ids=["reading", "writing"])
def test_stalled_batch_is_cancelled_within_a_second(
    network_place: Place, proxy: FaultyProxy, *, is_reading: bool
) -> None:
    files = _contents(20)
    for name, content in files.items():
        network_place.raw_put(name, content)
    storage = network_place.connect(port=proxy.port)
    storage.list("")
    if is_reading:
        proxy.faults.stall_down_after = 2_000
        call = partial(_read, storage, {name: len(content) for name, content in files.items()})
    else:
        proxy.faults.stall_up_after = 2_000
        call = partial(_write, storage, files)
    timer = threading.Timer(0.3, storage.interrupt)
    timer.start()

    with pytest.raises(Cancelled):
        call()
    timer.join()
    proxy.faults.stall_down_after = proxy.faults.stall_up_after = None


def test_connections_that_the_server_closed_meanwhile_lose_no_request(network_place: Place, proxy: FaultyProxy) -> None:
    files = _contents(12)
    storage = network_place.connect(port=proxy.port)
    first = _write(storage, files)
    assert all(result.error is None for result in first.values())
    proxy.cut_all()

    again = _read(storage, {name: len(content) for name, content in files.items()})

    assert {name: result.content for name, result in again.items() if result.error is None} == files
