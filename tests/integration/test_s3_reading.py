"""Reading from S3: exactly what the file holds, or an error; never a file that is silently short or mixed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kegbrowser.backends.errors import CheckFailed, ConnectionLost, ServerFault, SourceChanged
from kegbrowser.backends.s3 import S3Reader, S3Storage
from tests.doubles.exact_s3 import ExactS3, Stored
from tests.integration.s3_places import exact_server, exact_storage, new_bucket, put, storage_at
from tests.servers.faulty_proxy import FaultyProxy
from tests.servers.seaweed import S3Address

MIB = 1024 * 1024
CONTENT = bytes(range(251)) * 20_000  # 5 MB, no two ranges alike


@pytest.fixture
def server() -> Iterator[ExactS3]:
    with exact_server("box") as running:
        running.buckets["box"]["x"] = Stored(CONTENT)
        running.buckets["box"]["empty"] = Stored(b"")
        yield running


@pytest.fixture
def storage(server: ExactS3) -> Iterator[S3Storage]:
    with exact_storage(server) as opened:
        yield opened


def test_a_whole_file_is_one_request_and_checked(server: ExactS3, storage: S3Storage) -> None:
    with storage.open("x", "rb") as file:
        got = b"".join(file.iter_chunks(100_000))

    assert got == CONTENT
    assert server.requests == [("GET", "/box/x")]
    assert server.seen_headers[-1]["x-amz-checksum-mode"] == "ENABLED"


def test_what_differs_from_the_servers_checksum_is_refused(server: ExactS3, storage: S3Storage) -> None:
    server.quirks.wrong_crc = True

    with storage.open("x", "rb") as file, pytest.raises(CheckFailed):
        file.read(-1)


@pytest.mark.parametrize("offset", [0, 1, 99_999, 100_000, len(CONTENT) - 1, len(CONTENT), len(CONTENT) + 7])
@pytest.mark.parametrize("length", [None, 0, 1, 100_000, 100_001, len(CONTENT), 10 * len(CONTENT)])
def test_ranges_are_exact_and_cut_at_the_end(storage: S3Storage, offset: int, length: int | None) -> None:
    reader = S3Reader(
        "box", "x", None, connection=storage._connection, offset=offset, length=length, range_bytes=100_000
    )

    got = reader.read(-1)

    reader.close()
    assert got == CONTENT[offset:][:length]


def test_ranges_of_an_empty_file_are_empty(storage: S3Storage) -> None:
    for offset, length in ((0, None), (0, 5), (3, None), (3, 0)):
        with storage.open_reader("empty", offset=offset, length=length) as file:
            assert file.read(10) == b""


def test_a_file_that_changes_between_two_ranges_is_noticed(server: ExactS3, storage: S3Storage) -> None:
    reader = S3Reader("box", "x", None, connection=storage._connection, offset=0, length=300_000, range_bytes=100_000)
    first = reader.read(100_000)
    server.buckets["box"]["x"] = Stored(CONTENT[::-1])

    with pytest.raises(SourceChanged, match="x"):
        reader.read(100_000)

    reader.close()
    assert first == CONTENT[:100_000]


def test_a_file_that_shrinks_between_two_ranges_is_noticed(server: ExactS3, storage: S3Storage) -> None:
    reader = S3Reader("box", "x", None, connection=storage._connection, offset=10, range_bytes=100_000)
    reader.read(100_000)
    server.buckets["box"]["x"] = Stored(b"short")

    with pytest.raises(SourceChanged):
        reader.read(100_000)
    reader.close()


def test_another_version_than_the_wanted_one_is_refused(server: ExactS3, storage: S3Storage) -> None:
    etag = storage.stat("x").etag
    with storage.open_reader("x", offset=5, length=5, etag=etag) as file:
        assert file.read(5) == CONTENT[5:10]
    server.buckets["box"]["x"] = Stored(b"new")

    for offset, length in ((0, None), (1, 1), (100, None), (0, 0)):
        with pytest.raises(SourceChanged):
            storage.open_reader("x", etag=etag, offset=offset, length=length)


def test_a_body_cut_in_the_middle_is_a_lost_connection(server: ExactS3, storage: S3Storage) -> None:
    server.quirks.cuts_bodies_at = 200_000

    for offset, length in ((0, None), (1_000, None), (1_000, 400_000)):
        with storage.open_reader("x", offset=offset, length=length) as file, pytest.raises(ConnectionLost) as failed:
            for _chunk in file.iter_chunks(64 * 1024):
                pass
        assert failed.value.retryable
        assert "x" in failed.value.message


def test_a_cut_body_is_taken_up_again_where_it_was_cut_if_asked_for(server: ExactS3, storage: S3Storage) -> None:
    server.quirks.cuts_bodies_at = 1_700_000

    reader = S3Reader("box", "x", None, connection=storage._connection, resumes=2)
    got = b"".join(reader.iter_chunks(64 * 1024))

    reader.close()
    assert got == CONTENT
    assert [headers.get("if-match") for headers in server.seen_headers[1:]] == [f'"{reader.etag}"'] * 2


def test_a_cut_body_is_not_taken_up_again_in_another_version(server: ExactS3, storage: S3Storage) -> None:
    server.quirks.cuts_bodies_at = 200_000
    reader = S3Reader("box", "x", None, connection=storage._connection, resumes=9)
    reader.read(100_000)
    server.buckets["box"]["x"] = Stored(CONTENT[::-1])

    with pytest.raises(SourceChanged):
        reader.read(-1)
    reader.close()


def test_a_server_that_ignores_ranges_is_not_believed(server: ExactS3, storage: S3Storage) -> None:
    server.quirks.ignores_ranges = True

    with pytest.raises(ServerFault, match="whole file"):
        storage.open_reader("x", offset=100, length=10)
    with storage.open_reader("x", offset=0, length=10) as file:
        assert file.read(-1) == CONTENT[:10]


def test_a_download_cut_by_the_network_is_lost_and_retryable(s3_server: S3Address) -> None:
    with new_bucket(s3_server) as bucket, FaultyProxy(s3_server.port) as proxy:
        direct = storage_at(s3_server, bucket)
        put(direct, "x", CONTENT * 4)
        storage = storage_at(s3_server, bucket, endpoint_url=f"http://127.0.0.1:{proxy.port}")
        proxy.faults.cut_down_after = 3 * MIB

        with storage.open("x", "rb") as file, pytest.raises(ConnectionLost, match=f"127.0.0.1:{proxy.port}") as failed:
            file.read(-1)

        assert failed.value.retryable
        storage.shutdown()
        direct.shutdown()


def test_a_byte_that_the_network_turns_is_noticed(s3_server: S3Address) -> None:
    with new_bucket(s3_server) as bucket, FaultyProxy(s3_server.port) as proxy:
        direct = storage_at(s3_server, bucket)
        put(direct, "x", CONTENT)
        storage = storage_at(s3_server, bucket, endpoint_url=f"http://127.0.0.1:{proxy.port}")
        proxy.faults.flip_byte_at = 100_000

        with storage.open("x", "rb") as file, pytest.raises(CheckFailed):
            file.read(-1)

        storage.shutdown()
        direct.shutdown()


def test_connections_are_used_again(s3_server: S3Address) -> None:
    with new_bucket(s3_server) as bucket, FaultyProxy(s3_server.port) as proxy:
        storage = storage_at(s3_server, bucket, endpoint_url=f"http://127.0.0.1:{proxy.port}")
        put(storage, "x", b"content")
        manager = storage._connection.client._endpoint.http_session._manager
        for _ in range(20):
            with storage.open("x", "rb") as file:
                assert file.read(100) == b"content"
            with storage.open_reader("x", offset=1, length=3) as file:
                assert file.read(-1) == b"ont"

        opened = [manager.pools[key].num_connections for key in manager.pools.keys()]  # noqa: SIM118 - no dict
        storage.shutdown()

    assert opened == [2]  # the SDK's for what it asks, and ours for content
