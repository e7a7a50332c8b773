"""The network stalls, breaks, refuses; the user cancels: each ends soon, as what it is, with nothing half done."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from kegbrowser.backends.base import RemoteFile, StorageBackend
from kegbrowser.backends.errors import Cancelled, ConnectionLost, StorageError
from tests.conformance.content import content_of, digest
from tests.conformance.place import Place, read
from tests.servers.faulty_proxy import FaultyProxy

CALLS: dict[str, Callable[[StorageBackend], object]] = {
    "list": lambda storage: storage.list(""),
    "list all": lambda storage: storage.list("", recursive=True),
    "stat": lambda storage: storage.stat("file"),
    "open": lambda storage: storage.open("file", "rb"),
    "write": lambda storage: _write(storage, b"x"),
    "delete": lambda storage: storage.delete("file"),
    "delete many": lambda storage: list(storage.delete_files(["file"])),
    "rename": lambda storage: storage.rename("file", "new"),
    "make a folder": lambda storage: storage.make_folder("new/"),
    "check": lambda storage: storage.check(),
}


def _write(storage: StorageBackend, content: bytes) -> None:
    with storage.open("new", "wb") as file:
        for start in range(0, len(content), 1 << 20):
            file.write(content[start : start + (1 << 20)])


def _write_and_close(file: RemoteFile, content: bytes) -> None:
    file.write(content)
    file.close()


def _error_of(call: Callable[[], object]) -> ConnectionLost:
    """What a call loses the connection by; each file's own error, where many are deleted."""
    try:
        result = call()
    except ConnectionLost as error:
        return error
    errors = [told.error for told in result if told.error is not None] if isinstance(result, list) else []
    assert len(errors) == 1, "the call went through"
    assert isinstance(errors[0], ConnectionLost)
    return errors[0]


def _interrupt_soon(storage: StorageBackend, call: Callable[[], object]) -> float:
    """Interrupt a call that stalls; gives the seconds that it then took to end."""
    interrupted: list[float] = []

    def interrupt() -> None:
        interrupted.append(time.monotonic())
        storage.interrupt()

    timer = threading.Timer(0.25, interrupt)
    timer.start()
    try:
        with pytest.raises(Cancelled):
            call()
    finally:
        ended = time.monotonic()
        timer.join()
    assert ended >= interrupted[0], "it did not stall"
    return ended - interrupted[0]


# -- cancelled


@pytest.mark.parametrize("call", CALLS)
def test_a_call_that_stalls_ends_within_a_second(network_place: Place, proxy: FaultyProxy, call: str) -> None:
    network_place.raw_put("file", b"x")
    storage = network_place.connect(port=proxy.port)
    storage.stat("file")
    proxy.faults.stall_down_after = 0

    assert _interrupt_soon(storage, lambda: CALLS[call](storage)) < 1
    assert network_place.raw_bytes("file") == b"x" if "file" in network_place.raw_names() else call != "stat"


def test_connecting_to_a_silent_server_ends_within_a_second(network_place: Place, proxy: FaultyProxy) -> None:
    proxy.faults.stall_down_after = 0
    storage = network_place.connect(port=proxy.port)

    assert _interrupt_soon(storage, storage.check) < 1


def test_a_read_that_stalls_ends_within_a_second(network_place: Place, proxy: FaultyProxy) -> None:
    network_place.raw_put("file", content_of(4 * network_place.part_bytes))
    storage = network_place.connect(port=proxy.port)
    proxy.faults.bytes_per_s = 8_000_000
    file = storage.open("file", "rb")
    file.read(1000)
    proxy.faults.stall_down_after = 0

    assert _interrupt_soon(storage, lambda: file.read(-1)) < 1
    file.close()


def test_a_write_that_stalls_ends_within_a_second_and_leaves_nothing(network_place: Place, proxy: FaultyProxy) -> None:
    storage = network_place.connect(port=proxy.port)
    storage.list("")
    proxy.faults.stall_up_after = 100_000

    seconds = _interrupt_soon(storage, lambda: _write(storage, content_of(64 << 20)))

    assert seconds < 1
    assert network_place.raw_names() == set()
    assert network_place.leftovers() == []


@pytest.mark.parametrize("call", CALLS)
def test_after_an_interrupt_every_call_is_cancelled(place: Place, call: str) -> None:
    place.raw_put("file", b"x")
    storage = place.connect()
    storage.stat("file")

    storage.interrupt()
    storage.interrupt()

    with pytest.raises(Cancelled):
        CALLS[call](storage)
    assert place.raw_names() == {"file"}


def test_an_interrupt_reaches_files_that_are_open(place: Place) -> None:
    place.raw_put("file", content_of(3 * place.part_bytes))
    storage = place.connect()
    reader, writer = storage.open("file", "rb"), storage.open("new", "wb")
    reader.read(10)
    writer.write(b"x")

    storage.interrupt()

    with pytest.raises(Cancelled):
        reader.read(-1)
    with pytest.raises(Cancelled):
        writer.close()
    reader.close()
    writer.abort()
    assert place.raw_names() == {"file"}
    assert place.leftovers() == []


def test_an_interrupt_of_one_object_does_not_touch_another(place: Place) -> None:
    place.raw_put("file", b"x")
    storage = place.connect()

    storage.interrupt()

    assert read(place.storage, "file") == b"x"


def test_shutdown_may_come_twice(place: Place) -> None:
    storage = place.connect()
    storage.list("")

    storage.shutdown()
    storage.shutdown()


# -- broken


def test_a_refused_connection_is_retryable_and_names_the_server(network_place: Place, proxy: FaultyProxy) -> None:
    port = proxy.port
    proxy.stop()
    storage = network_place.connect(port=port)

    begun = time.monotonic()
    with pytest.raises(ConnectionLost, match=rf"127\.0\.0\.1.*{port}") as refusal:
        storage.list("")

    assert time.monotonic() - begun < 5
    assert refusal.value.retryable
    assert refusal.value.hint


@pytest.mark.parametrize("call", CALLS)
def test_a_reset_connection_is_retryable(network_place: Place, proxy: FaultyProxy, call: str) -> None:
    network_place.raw_put("file", b"x")
    storage = network_place.connect(port=proxy.port)
    storage.stat("file")
    proxy.faults.refuse = True
    proxy.cut_all()

    assert _error_of(lambda: CALLS[call](storage)).retryable
    assert network_place.raw_names() == {"file"}


def test_the_same_object_connects_anew_after_a_cut(network_place: Place, proxy: FaultyProxy) -> None:
    network_place.raw_put("file", b"content")
    storage = network_place.connect(port=proxy.port)
    assert read(storage, "file") == b"content"
    proxy.faults.refuse = True
    proxy.cut_all()
    with pytest.raises(ConnectionLost):
        storage.list("")

    proxy.faults.refuse = False

    assert read(storage, "file") == b"content"
    assert [entry.name for entry in storage.list("")] == ["file"]


def test_a_silent_server_is_given_up_as_lost(network_place: Place, proxy: FaultyProxy) -> None:
    network_place.raw_put("file", b"x")
    storage = network_place.connect(port=proxy.port, timeout_s=1.0)
    storage.stat("file")
    proxy.faults.stall_down_after = 0

    begun = time.monotonic()
    with pytest.raises(ConnectionLost) as refusal:
        storage.list("")

    assert 0.5 < time.monotonic() - begun < 8
    assert refusal.value.retryable


def test_a_read_that_stalls_is_given_up_as_lost(network_place: Place, proxy: FaultyProxy) -> None:
    network_place.raw_put("file", content_of(4 * network_place.part_bytes))
    storage = network_place.connect(port=proxy.port, timeout_s=1.0)
    proxy.faults.bytes_per_s = 8_000_000
    file = storage.open("file", "rb")
    file.read(1000)
    proxy.faults.stall_down_after = 0

    with pytest.raises(ConnectionLost) as refusal:
        file.read(-1)

    assert refusal.value.retryable
    file.close()


def test_a_cut_while_reading_is_never_a_short_file(network_place: Place, proxy: FaultyProxy) -> None:
    content = content_of(3 * network_place.part_bytes)
    network_place.raw_put("file", content)
    storage = network_place.connect(port=proxy.port)
    proxy.faults.bytes_per_s = 16_000_000
    file = storage.open("file", "rb")
    got = file.read(1000)

    proxy.faults.refuse = True
    proxy.cut_all()

    error: ConnectionLost | None = None
    while error is None:
        try:
            piece = file.read(1 << 20)
        except ConnectionLost as lost:
            error = lost
        else:
            assert piece, "a short file"
            got += piece
    file.close()
    assert error.retryable
    assert content.startswith(got)


def test_one_cut_while_reading_is_an_error_or_made_good(network_place: Place, proxy: FaultyProxy) -> None:
    content = content_of(3 * network_place.part_bytes)
    network_place.raw_put("file", content)
    storage = network_place.connect(port=proxy.port)
    storage.stat("file")
    proxy.faults.cuts_left = 1
    proxy.faults.cut_down_after = network_place.part_bytes

    try:
        got = digest(read(storage, "file"))
    except ConnectionLost:
        got = digest(read(storage, "file"))

    assert got == digest(content)


def test_one_cut_while_writing_is_an_error_without_traces_or_made_good(
    network_place: Place, proxy: FaultyProxy
) -> None:
    content = content_of(3 * network_place.part_bytes)
    network_place.raw_put("new", b"old")
    storage = network_place.connect(port=proxy.port)
    storage.stat("new")
    proxy.faults.cuts_left = 1
    proxy.faults.cut_up_after = network_place.part_bytes * 3 // 2

    expected = content
    try:
        _write(storage, content)
    except ConnectionLost:
        expected = b"old"

    assert digest(network_place.raw_bytes("new")) == digest(expected)
    assert network_place.raw_names() == {"new"}
    assert network_place.leftovers() == []


def test_a_write_that_loses_the_server_for_good_publishes_nothing(network_place: Place, proxy: FaultyProxy) -> None:
    network_place.raw_put("new", b"old")
    storage = network_place.connect(port=proxy.port)
    file = storage.open("new", "wb")
    file.write(content_of(network_place.part_bytes * 2))

    proxy.faults.refuse = True
    proxy.cut_all()

    assert _error_of(lambda: _write_and_close(file, content_of(network_place.part_bytes * 2))).retryable
    file.abort()
    assert network_place.raw_bytes("new") == b"old"


def test_what_is_saved_under_the_old_name_during_a_rename_is_not_lost(network_place: Place, proxy: FaultyProxy) -> None:
    network_place.raw_put("old", b"first version")
    storage = network_place.connect(port=proxy.port)
    storage.stat("old")
    proxy.faults.delay_s = 0.3
    thread = threading.Thread(target=_rename_or_refuse, args=(storage, "old", "new"))

    thread.start()
    until = time.monotonic() + 20
    while "new" not in network_place.raw_names():
        assert time.monotonic() < until
    network_place.raw_put("old", b"second version")  # long before the answer has come back
    thread.join(20)

    left = {name: network_place.raw_bytes(name) for name in network_place.raw_names()}
    assert left.get("new") in (b"first version", None)
    assert left.get("old") == b"second version"


def _rename_or_refuse(storage: StorageBackend, source: str, target: str) -> None:
    with suppress(StorageError):
        storage.rename(source, target)
