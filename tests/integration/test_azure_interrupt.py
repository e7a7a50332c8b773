"""Cancelled calls end within a second, wherever they wait, and nothing half done can be seen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from kegbrowser.backends.azure import AzureStorage
from kegbrowser.backends.errors import Cancelled, ConnectionLost
from tests.integration.azure_places import Asked, Box, Told, new_box, put, scripted_server, scripted_storage, storage_at
from tests.servers.azurite import AzureAddress
from tests.servers.faulty_proxy import FaultyProxy

MIB = 1024 * 1024


@pytest.fixture
def box(azure_server: AzureAddress) -> Iterator[Box]:
    with new_box(azure_server) as made:
        yield made


@pytest.fixture
def proxy(azure_server: AzureAddress) -> Iterator[FaultyProxy]:
    with FaultyProxy(azure_server.port) as running:
        yield running


def _seconds_to_end(storage: AzureStorage, call: Callable[[], object], after_s: float = 0.3) -> float:
    """Interrupt a call that hangs; gives the seconds it then took to end."""
    interrupted: list[float] = []

    def interrupt() -> None:
        interrupted.append(time.monotonic())
        storage.interrupt()

    timer = threading.Timer(after_s, interrupt)
    timer.start()
    try:
        with pytest.raises(Cancelled):
            call()
        ended = time.monotonic()
    finally:
        timer.join()
    assert ended >= interrupted[0], "it did not hang"
    return ended - interrupted[0]


def test_an_upload_in_blocks_that_stalls(azure_server: AzureAddress, box: Box, proxy: FaultyProxy) -> None:
    box.put("file", b"old")
    with storage_at(azure_server, box.name, port=proxy.port) as storage:

        def upload() -> None:
            with storage.open_writer("file", size_bytes=100 * MIB) as file:
                for _number in range(100):
                    file.write(bytes(MIB))

        proxy.faults.stall_up_after = 10 * MIB
        assert _seconds_to_end(storage, upload, 1.0) < 1
    assert box.content("file") == b"old"


def test_the_last_word_of_an_upload_that_stalls(azure_server: AzureAddress, box: Box, proxy: FaultyProxy) -> None:
    with storage_at(azure_server, box.name, port=proxy.port) as storage:
        file = storage.open("file", "wb", 1000)
        file.write(b"x" * 2500)
        storage.list("")
        proxy.faults.stalled = True
        assert _seconds_to_end(storage, file.close) < 1
        assert file.closed
    proxy.faults.stalled = False


def test_a_download_that_stalls_in_the_middle(azure_server: AzureAddress, box: Box, proxy: FaultyProxy) -> None:
    box.put("file", bytes(8 * MIB))
    with storage_at(azure_server, box.name, port=proxy.port) as storage:
        proxy.faults.stall_down_after = 2 * MIB
        with storage.open("file", "rb") as file:
            assert _seconds_to_end(storage, lambda: file.read(-1)) < 1


def test_many_downloads_at_once_end_together(azure_server: AzureAddress, box: Box, proxy: FaultyProxy) -> None:
    box.put("file", bytes(8 * MIB))
    ended: list[type[BaseException] | None] = []
    with storage_at(azure_server, box.name, port=proxy.port) as storage:
        proxy.faults.stall_down_after = MIB

        def download(number: int) -> None:
            try:
                with storage.open_reader("file", offset=number * MIB) as file:
                    file.read(-1)
            except Cancelled as end:
                ended.append(type(end))
            else:
                ended.append(None)

        threads = [threading.Thread(target=download, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        threads[0].join(0.5)
        begun = time.monotonic()
        storage.interrupt()
        for thread in threads:
            thread.join()

    assert time.monotonic() - begun < 1
    assert ended == [Cancelled] * 6


def test_a_batch_of_deletions_that_stalls(azure_server: AzureAddress, box: Box, proxy: FaultyProxy) -> None:
    for number in range(5):
        box.put(f"file {number}")
    with storage_at(azure_server, box.name, port=proxy.port) as storage:
        storage.list("")
        proxy.faults.stall_up_after = 0
        assert _seconds_to_end(storage, lambda: list(storage.delete_files([f"file {n}" for n in range(5)]))) < 1
    assert len(box.names()) == 5


def test_deletions_one_by_one_that_stall(azure_server: AzureAddress, box: Box, proxy: FaultyProxy) -> None:
    with storage_at(azure_server, box.name, port=proxy.port) as storage:
        storage._deleter._takes_batches = False
        proxy.faults.stall_down_after = 0
        assert _seconds_to_end(storage, lambda: list(storage.delete_files([f"file {n}" for n in range(50)]))) < 1


def test_a_page_that_stalls(azure_server: AzureAddress, box: Box, proxy: FaultyProxy) -> None:
    for number in range(200):
        box.put(f"file {number}")
    with storage_at(azure_server, box.name, port=proxy.port) as storage:
        proxy.faults.stall_down_after = 20_000
        assert _seconds_to_end(storage, lambda: storage.list("")) < 1


def test_waiting_for_a_copy_is_no_waiting_for_its_next_look() -> None:
    facts = {"ETag": '"1"', "Last-Modified": "Mon, 23 Nov 2026 14:53:57 GMT", "Content-Length": "0"}
    pending = facts | {"x-ms-copy-id": "1", "x-ms-copy-status": "pending"}

    def answer(asked: Asked) -> Told:
        return Told(202 if asked.method == "PUT" else 200, b"", pending)

    with scripted_server(answer) as server, scripted_storage(server) as storage:
        assert _seconds_to_end(storage, lambda: storage.copy("from", "to")) < 0.5


def test_connecting_to_a_host_that_does_not_answer() -> None:
    # An address for documentation (RFC 5737): nobody answers there; where there is no route, connecting ends by itself.
    storage = AzureStorage("account", "a2V5", "box", endpoint="http://192.0.2.1:10000/account")
    threading.Timer(0.3, storage.interrupt).start()
    begun = time.monotonic()

    with pytest.raises((Cancelled, ConnectionLost)):
        storage.list("")

    assert time.monotonic() - begun < 1.3
    storage.shutdown()


def test_after_an_interrupt_nothing_is_sent_any_more(azure_server: AzureAddress, box: Box, proxy: FaultyProxy) -> None:
    box.put("file")
    with storage_at(azure_server, box.name, port=proxy.port) as storage:
        file = storage.open("new", "wb", 10)
        file.write(b"x" * 5)
        storage.list("")
        storage.interrupt()
        sent = proxy.bytes_up

        calls: list[Callable[[], object]] = [
            lambda: storage.list(""),
            lambda: storage.stat("file"),
            lambda: storage.copy("file", "new"),
            lambda: put(storage, "new"),
            lambda: list(storage.delete_files(["file", "other"])),
            file.close,
        ]
        for call in calls:
            with pytest.raises(Cancelled):
                call()
        assert proxy.bytes_up == sent
    assert box.names() == ["file"]


def test_a_silent_server_is_given_up_after_its_time(azure_server: AzureAddress, box: Box, proxy: FaultyProxy) -> None:
    with storage_at(azure_server, box.name, port=proxy.port, timeout_s=0.5) as storage:
        storage.list("")
        proxy.faults.stalled = True
        begun = time.monotonic()
        with pytest.raises(ConnectionLost, match="does not answer"):
            storage.list("")
        with pytest.raises(ConnectionLost):
            put(storage, "file", bytes(20 * MIB))
        assert time.monotonic() - begun < 5
    proxy.faults.stalled = False
