"""Whatever S3 is doing, an interrupt ends it within a second, for good, and leaves nothing behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from kegbrowser.backends.errors import Cancelled
from kegbrowser.backends.s3 import S3Storage
from tests.conformance.fixtures.s3 import plain_client
from tests.integration.s3_places import new_bucket, put, storage_at
from tests.servers.faulty_proxy import FaultyProxy
from tests.servers.seaweed import S3Address

MIB = 1024 * 1024


@pytest.fixture
def bucket(s3_server: S3Address) -> Iterator[str]:
    with new_bucket(s3_server) as name:
        direct = storage_at(s3_server, name)
        put(direct, "x", b"x" * 30 * MIB)
        direct.shutdown()
        yield name


@pytest.fixture
def proxy(s3_server: S3Address) -> Iterator[FaultyProxy]:
    with FaultyProxy(s3_server.port) as running:
        yield running


@pytest.fixture
def storage(s3_server: S3Address, bucket: str, proxy: FaultyProxy) -> Iterator[S3Storage]:
    opened = storage_at(s3_server, bucket, endpoint_url=f"http://127.0.0.1:{proxy.port}")
    yield opened
    opened.shutdown()


def _seconds_after_interrupt(storage: S3Storage, call: Callable[[], object]) -> float:
    """How long a call that hangs goes on after an interrupt, which must end it as cancelled."""
    ended: list[tuple[float, BaseException | None]] = []

    def run() -> None:
        try:
            call()
        except BaseException as exc:
            ended.append((time.monotonic(), exc))
        else:
            ended.append((time.monotonic(), None))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(1.0)
    assert thread.is_alive(), f"it did not hang: {ended}"
    begun = time.monotonic()
    storage.interrupt()
    thread.join(10)
    assert [type(error) for _when, error in ended] == [Cancelled], ended
    return ended[0][0] - begun


def _uploads(s3_server: S3Address, bucket: str) -> list[object]:
    client = plain_client(s3_server)
    found: list[object] = client.list_multipart_uploads(Bucket=bucket).get("Uploads") or []
    client.close()
    return found


def test_a_stalled_listing_ends(storage: S3Storage, proxy: FaultyProxy) -> None:
    proxy.faults.stall_down_after = 0

    assert _seconds_after_interrupt(storage, lambda: storage.list("")) < 1.0


def test_a_stalled_download_ends(storage: S3Storage, proxy: FaultyProxy) -> None:
    proxy.faults.stall_down_after = 4 * MIB
    file = storage.open("x", "rb")

    assert _seconds_after_interrupt(storage, lambda: file.read(-1)) < 1.0
    file.close()


def test_a_stalled_small_upload_ends_and_nothing_appears(
    storage: S3Storage, proxy: FaultyProxy, s3_server: S3Address, bucket: str
) -> None:
    file = storage.open_writer("new")
    file.write(b"x" * 6 * MIB)
    proxy.faults.stall_up_after = 2 * MIB

    assert _seconds_after_interrupt(storage, file.close) < 1.0
    file.abort()

    assert file.closed
    direct = storage_at(s3_server, bucket)
    assert [entry.name for entry in direct.list("")] == ["x"]
    direct.shutdown()


def test_a_stalled_large_upload_ends_and_its_parts_are_removed(
    storage: S3Storage, proxy: FaultyProxy, s3_server: S3Address, bucket: str
) -> None:
    file = storage.open_writer("new", size_bytes=100 * MIB)
    proxy.faults.stall_up_after = 2 * MIB

    seconds = _seconds_after_interrupt(storage, lambda: file.write(b"x" * 100 * MIB))
    begun = time.monotonic()
    file.abort()

    assert seconds < 1.0
    assert time.monotonic() - begun < 1.0
    assert _uploads(s3_server, bucket) == []


def test_cleaning_up_at_a_server_that_is_gone_does_not_hold_the_caller(storage: S3Storage, proxy: FaultyProxy) -> None:
    file = storage.open_writer("new", size_bytes=100 * MIB)
    proxy.faults.stall_up_after = 2 * MIB
    _seconds_after_interrupt(storage, lambda: file.write(b"x" * 100 * MIB))
    proxy.faults.stall_up_after = 0

    begun = time.monotonic()
    file.abort()
    seconds = time.monotonic() - begun
    for thread in threading.enumerate():
        if thread.name == "s3-clean-up":
            thread.join(10)

    assert seconds < 1.0


def test_an_interrupt_is_for_good(storage: S3Storage) -> None:
    storage.list("")
    storage.interrupt()

    for call in (
        lambda: storage.list(""),
        lambda: storage.stat("x"),
        lambda: storage.open("x", "rb"),
        lambda: put(storage, "y"),
        lambda: list(storage.delete_files(["x"])),
        lambda: storage.rename("x", "y"),
        lambda: storage.make_folder("folder"),
        lambda: storage.check(),
    ):
        with pytest.raises(Cancelled):
            call()


def test_an_interrupt_before_the_first_call_holds(s3_server: S3Address) -> None:
    storage = storage_at(s3_server, "any")
    storage.interrupt()

    with pytest.raises(Cancelled):
        storage.list("")
    storage.shutdown()


def test_a_page_that_is_read_when_it_comes_gives_no_more_after_it(storage: S3Storage) -> None:
    pages = storage.list_pages("", recursive=True)
    next(pages)
    storage.interrupt()

    assert list(pages) == []  # the listing was complete


def test_an_interrupt_between_two_pages_ends_the_listing(s3_server: S3Address, bucket: str) -> None:
    storage = storage_at(s3_server, bucket)
    direct = storage_at(s3_server, bucket)
    client = plain_client(s3_server)
    for index in range(1_001):
        client.put_object(Bucket=bucket, Key=f"many/{index:04}", Body=b"")

    pages = storage.list_pages("many")
    first = next(pages)
    storage.interrupt()

    with pytest.raises(Cancelled):
        next(pages)
    assert len(first.entries) == 1_000
    client.close()
    storage.shutdown()
    direct.shutdown()
