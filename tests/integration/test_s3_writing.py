"""Writing to S3: nothing appears before its time, nothing is left behind, no name is taken away from anybody."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from kegbrowser.backends.errors import AlreadyExists, ConnectionLost, NotSupported, ServerFault, Throttled
from kegbrowser.backends.s3 import S3Storage, S3Writer
from kegbrowser.backends.s3.parts import MAX_OBJECT_BYTES, MAX_PARTS, MIB, part_bytes_for
from tests.doubles.exact_s3 import ExactS3, Stored
from tests.integration.s3_places import exact_server, exact_storage, new_bucket, put, storage_at
from tests.servers.faulty_proxy import FaultyProxy
from tests.servers.seaweed import S3Address

LARGE = b"x" * (20 * MIB)


@pytest.fixture
def server() -> Iterator[ExactS3]:
    with exact_server("box") as running:
        yield running


@pytest.fixture
def storage(server: ExactS3) -> Iterator[S3Storage]:
    with exact_storage(server) as opened:
        yield opened


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (None, 8 * MIB),
        (0, 8 * MIB),
        (8 * MIB * MAX_PARTS, 8 * MIB),
        (8 * MIB * MAX_PARTS + 1, 9 * MIB),
        (100 * 1024 * MIB, 11 * MIB),
        (MAX_OBJECT_BYTES, 525 * MIB),
    ],
)
def test_parts_grow_with_the_file_so_that_ten_thousand_are_enough(size: int | None, expected: int) -> None:
    assert part_bytes_for(size, 8 * MIB) == expected
    assert expected * MAX_PARTS >= (size or 0)


def test_parts_are_never_below_what_s3_takes() -> None:
    assert part_bytes_for(None, 1) == 5 * MIB


def test_a_file_above_five_tebibytes_is_refused_before_anything_is_sent(storage: S3Storage) -> None:
    with pytest.raises(NotSupported, match="5 TiB"):
        storage.open_writer("x", size_bytes=MAX_OBJECT_BYTES + 1)


def test_a_small_file_is_one_request_and_says_its_checksum(server: ExactS3, storage: S3Storage) -> None:
    storage.list("")
    server.requests.clear()

    put(storage, "photo.jpg", b"content")

    assert server.requests == [("PUT", "/box/photo.jpg")]
    assert "x-amz-checksum-crc32" in server.seen_headers[-1]
    assert "expect" not in server.seen_headers[-1]
    assert server.buckets["box"]["photo.jpg"].content_type == "image/jpeg"


def test_a_large_file_is_whole_and_its_parts_say_their_checksums(server: ExactS3, storage: S3Storage) -> None:
    content = bytes(range(256)) * (70 * 1024)

    with storage.open_writer("x", size_bytes=len(content)) as file:
        for start in range(0, len(content), 700_001):
            file.write(content[start : start + 700_001])

    assert server.buckets["box"]["x"].content == content
    assert server.uploads == {}
    parts = [
        headers
        for (_method, target), headers in zip(server.requests, server.seen_headers, strict=True)
        if "partNumber" in target
    ]
    assert len(parts) == 3
    assert all("x-amz-checksum-crc32" in headers for headers in parts)


def test_a_buffer_that_the_caller_uses_again_does_not_change_the_file(server: ExactS3, storage: S3Storage) -> None:
    buffer = bytearray(b"first")

    with storage.open_writer("x") as file:
        file.write(buffer)  # type: ignore[arg-type]
        buffer[:] = b"other"
        file.write(memoryview(buffer))  # type: ignore[arg-type]

    assert server.buckets["box"]["x"].content == b"firstother"


def test_nothing_is_visible_before_close(server: ExactS3, storage: S3Storage) -> None:
    server.buckets["box"]["x"] = Stored(b"old")

    file = storage.open_writer("x")
    file.write(LARGE)
    before = server.buckets["box"]["x"].content
    file.close()

    assert before == b"old"
    assert server.buckets["box"]["x"].content == LARGE


def test_an_exception_in_the_middle_leaves_nothing(server: ExactS3, storage: S3Storage) -> None:
    for content in (b"small", LARGE):
        with suppress(ZeroDivisionError), storage.open_writer("x") as file:
            file.write(content)
            raise ZeroDivisionError

    assert server.buckets["box"] == {}
    assert server.uploads == {}


def test_a_part_that_fails_for_good_fails_the_file_and_leaves_nothing(server: ExactS3, storage: S3Storage) -> None:
    server.fail("PUT", 500, "InternalError", path="partNumber=2", times=99)

    with pytest.raises(ServerFault):
        put(storage, "x", LARGE)

    assert server.buckets["box"] == {}
    assert server.uploads == {}


def test_a_part_that_fails_once_does_not_cost_the_file(server: ExactS3, storage: S3Storage) -> None:
    server.fail("PUT", 503, "SlowDown", path="partNumber=2")

    put(storage, "x", LARGE)

    assert server.buckets["box"]["x"].content == LARGE


def test_a_refused_end_leaves_nothing(server: ExactS3, storage: S3Storage) -> None:
    server.fail("POST", 503, "SlowDown", path="uploadId")
    file = storage.open_writer("x")
    file.write(LARGE)

    with pytest.raises(Throttled):
        file.close()
    file.close()

    assert file.closed
    assert server.buckets["box"] == {}
    assert server.uploads == {}


@pytest.mark.parametrize("content", [b"new", LARGE], ids=["small", "large"])
@pytest.mark.parametrize("quirk", ["", "ignores_conditions", "refuses_conditions"])
def test_a_taken_name_is_not_overwritten_even_where_the_server_knows_no_conditions(
    server: ExactS3, storage: S3Storage, content: bytes, quirk: str
) -> None:
    server.buckets["box"]["x"] = Stored(b"old")
    if quirk:
        setattr(server.quirks, quirk, True)

    with pytest.raises(AlreadyExists, match="x"):
        put(storage, "x", content, overwrite=False)
    put(storage, "y", content, overwrite=False)

    assert server.buckets["box"]["x"].content == b"old"
    assert server.buckets["box"]["y"].content == content
    assert server.uploads == {}


@pytest.mark.parametrize("content", [b"new", LARGE], ids=["small", "large"])
def test_a_name_that_is_taken_while_we_write_is_not_overwritten(
    server: ExactS3, storage: S3Storage, content: bytes
) -> None:
    storage.list("")
    file = storage.open_writer("x", overwrite=False)
    file.write(content)
    server.fail("HEAD", 404, "NoSuchKey", times=99)  # what we look at before the end is a moment old
    server.buckets["box"]["x"] = Stored(b"somebody else's")

    with pytest.raises(AlreadyExists):
        file.close()

    assert server.buckets["box"]["x"].content == b"somebody else's"


@pytest.mark.parametrize("content", [b"new", LARGE], ids=["small", "large"])
def test_a_server_that_refuses_checksums_gets_none_from_then_on(
    server: ExactS3, storage: S3Storage, content: bytes
) -> None:
    server.quirks.refuses_checksums = True

    put(storage, "x", content)
    asked = len(server.requests)
    put(storage, "y", b"small")

    assert server.buckets["box"]["x"].content == content
    assert server.buckets["box"]["y"].content == b"small"
    assert len(server.requests) == asked + 1


@pytest.mark.parametrize("content", [b"new", LARGE], ids=["small", "large"])
def test_taken_names_survive_on_the_real_server(s3_server: S3Address, content: bytes) -> None:
    with new_bucket(s3_server) as bucket:
        storage = storage_at(s3_server, bucket)
        put(storage, "x", b"old", overwrite=False)

        with pytest.raises(AlreadyExists):
            put(storage, "x", content, overwrite=False)

        with storage.open("x", "rb") as file:
            assert file.read(-1) == b"old"
        storage.shutdown()


def test_an_upload_cut_in_the_middle_is_lost_retryable_and_leaves_no_file(s3_server: S3Address) -> None:
    with new_bucket(s3_server) as bucket, FaultyProxy(s3_server.port) as proxy:
        direct = storage_at(s3_server, bucket)
        storage = storage_at(s3_server, bucket, endpoint_url=f"http://127.0.0.1:{proxy.port}")
        file = storage.open_writer("x")
        proxy.faults.cut_up_after = 6 * MIB

        with pytest.raises(ConnectionLost) as failed:
            _write_whole(file, LARGE)
        file.abort()

        assert failed.value.retryable
        assert f"127.0.0.1:{proxy.port}" in failed.value.message
        assert direct.list("") == []
        storage.shutdown()
        direct.shutdown()


def _write_whole(file: S3Writer, content: bytes) -> None:
    file.write(content)
    file.close()


def test_writers_of_several_threads_share_one_storage(server: ExactS3, storage: S3Storage) -> None:
    contents = {f"file-{index}": bytes([index]) * (index * 3 * MIB) for index in range(6)}
    failures: list[BaseException] = []

    def write(path: str) -> None:
        try:
            put(storage, path, contents[path])
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=write, args=(path,)) for path in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert {key: stored.content for key, stored in server.buckets["box"].items()} == contents


def test_parts_of_a_stream_of_unknown_length_grow(
    server: ExactS3, storage: S3Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kegbrowser.backends.s3.writer.PARTS_OF_A_SIZE", 2)

    with S3Writer("box", "x", None, 5 * MIB, connection=storage._connection) as file:
        file.write(b"x" * 31 * MIB)

    sizes = sorted(
        int(headers["content-length"]) // MIB
        for (_method, target), headers in zip(server.requests, server.seen_headers, strict=True)
        if "partNumber" in target
    )
    assert sizes == [1, 5, 5, 10, 10]
    assert len(server.buckets["box"]["x"].content) == 31 * MIB
