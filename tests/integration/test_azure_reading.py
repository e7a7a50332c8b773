"""Reading blobs: by ranges, exactly, and never a short or mixed file."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from azure.storage.blob import BlobServiceClient

from kegbrowser.backends.azure import AzureReader, AzureStorage
from kegbrowser.backends.base import FileMode
from kegbrowser.backends.errors import (
    ConnectionLost,
    FileNotFoundInStorageError,
    NotSupported,
    ServerFault,
    SourceChanged,
)
from tests.integration.azure_places import (
    Asked,
    Box,
    ScriptedServer,
    Told,
    new_box,
    scripted_server,
    scripted_storage,
    storage_at,
)
from tests.servers.azurite import AzureAddress
from tests.servers.faulty_proxy import FaultyProxy

MIB = 1024 * 1024
CONTENT = bytes(range(256)) * 4096  # 1 MiB


@pytest.fixture
def box(azure_server: AzureAddress) -> Iterator[Box]:
    with new_box(azure_server) as made:
        yield made


@pytest.fixture
def storage(azure_server: AzureAddress, box: Box) -> Iterator[AzureStorage]:
    with storage_at(azure_server, box.name) as made:
        yield made


@pytest.mark.parametrize("buffer_size", [1, 7, 4096, 100_000, MIB, 10 * MIB])
def test_a_file_is_read_whole_by_ranges_of_any_size(box: Box, storage: AzureStorage, buffer_size: int) -> None:
    content = CONTENT[: min(len(CONTENT), 50 * buffer_size)]
    box.put("file", content)

    with storage.open("file", "rb", buffer_size) as file:
        assert file.read(-1) == content
        assert file.read(10) == b""


@pytest.mark.parametrize(
    ("offset", "length"), [(0, 1), (0, 100), (99, 1), (5, 0), (100, 5), (101, None), (0, None), (7, 1000)]
)
def test_a_range_is_exactly_that(box: Box, storage: AzureStorage, offset: int, length: int | None) -> None:
    box.put("file", CONTENT[:100])
    end = None if length is None else offset + length

    with storage.open_reader("file", offset=offset, length=length) as file:
        assert file.read(-1) == CONTENT[:100][offset:end]


def test_an_empty_file_is_read_as_empty(box: Box, storage: AzureStorage) -> None:
    box.put("empty", b"")

    with storage.open("empty", "rb") as file:
        assert file.read(10) == file.read(-1) == b""


def test_an_empty_range_of_a_missing_file_is_still_missing(storage: AzureStorage) -> None:
    for offset, length in ((0, 0), (10, 0), (10, 5)):
        with pytest.raises(FileNotFoundInStorageError):
            storage.open_reader("missing", offset=offset, length=length)


def test_many_small_reads_use_one_request(azure_server: AzureAddress, box: Box) -> None:
    box.put("file", CONTENT)
    with FaultyProxy(azure_server.port) as proxy, storage_at(azure_server, box.name, port=proxy.port) as storage:
        with storage.open("file", "rb") as file:
            pieces = list(file.iter_chunks(1000))

        assert b"".join(pieces) == CONTENT
        assert {len(piece) for piece in pieces[:-1]} == {1000}
        assert proxy.connections == 1
        assert proxy.bytes_up < 5000


def test_a_connection_is_used_again_after_a_range_but_not_after_half_of_one(
    azure_server: AzureAddress, box: Box
) -> None:
    box.put("file", CONTENT)
    with FaultyProxy(azure_server.port) as proxy, storage_at(azure_server, box.name, port=proxy.port) as storage:
        for offset in range(0, MIB, MIB // 8):
            with storage.open_reader("file", offset=offset, length=1000) as file:
                assert file.read(-1) == CONTENT[offset : offset + 1000]
        assert proxy.connections == 1

        with storage.open("file", "rb") as file:
            file.read(10)
        with storage.open("file", "rb") as file:
            assert file.read(-1) == CONTENT
        assert proxy.connections == 2


def test_a_file_that_is_replaced_while_it_is_read_is_noticed(box: Box, storage: AzureStorage) -> None:
    box.put("file", b"a" * 1000)
    file = storage.open("file", "rb", 100)
    assert file.read(50) == b"a" * 50

    box.put("file", b"b" * 1000)

    with pytest.raises(SourceChanged, match="“file” in the container"):
        file.read(-1)
    file.close()


def test_a_file_that_is_deleted_while_it_is_read_is_noticed(box: Box, storage: AzureStorage) -> None:
    box.put("file", b"a" * 1000)
    file = storage.open("file", "rb", 100)
    file.read(100)

    box.client.delete_blob("file")

    with pytest.raises((FileNotFoundInStorageError, SourceChanged)):  # Azurite: the condition failed
        file.read(-1)
    file.close()


def test_another_mark_than_the_listed_one_is_noticed(box: Box, storage: AzureStorage) -> None:
    box.put("file", b"old")
    box.put("empty", b"")
    marks = {entry.name: entry.etag for entry in storage.list("")}
    with storage.open_reader("file", etag=marks["file"]) as file:
        assert file.read(-1) == b"old"

    box.put("file", b"new")
    box.put("empty", b"", metadata={"now": "another"})

    for name in ("file", "empty"):
        with pytest.raises(SourceChanged):
            storage.open_reader(name, etag=marks[name])


def test_memory_does_not_grow_with_the_range(box: Box, storage: AzureStorage) -> None:
    box.put("file", CONTENT * 24)
    tracemalloc.start()
    try:
        with storage.open_reader("file") as file:
            for _piece in file.iter_chunks(65536):
                pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 4 * MIB


def test_compressed_content_comes_as_it_is_stored(box: Box, storage: AzureStorage) -> None:
    import gzip

    from azure.storage.blob import ContentSettings

    stored = gzip.compress(CONTENT)
    box.put("page.html", stored, content_settings=ContentSettings(content_encoding="gzip"))

    with storage.open("page.html", "rb") as file:
        assert file.read(-1) == stored


def test_the_documented_reader_works_on_a_plain_client(azure_server: AzureAddress, box: Box) -> None:
    box.put("file", CONTENT)
    with BlobServiceClient(azure_server.endpoint, credential=azure_server.key) as service:
        with AzureReader(box.name, "file", FileMode.read, service, 1000) as file:
            assert file.read(-1) == CONTENT
        with pytest.raises(FileNotFoundInStorageError, match="“missing” in the container"):
            AzureReader(box.name, "missing", FileMode.read, service)
        with pytest.raises(FileNotFoundInStorageError):
            AzureReader(box.name, "x/../file", FileMode.read, service)
        with pytest.raises(NotSupported):
            AzureReader(box.name, "file", FileMode.read | FileMode.write, service)
        with pytest.raises(NotSupported):
            AzureReader(box.name, "file", FileMode.write, service)


# -- servers and lines that do not keep their word


def _read_from(server: ScriptedServer, **more: Any) -> bytes:
    with scripted_storage(server) as storage, storage.open_reader("file", **more) as file:
        return file.read(-1)


def _ranged(asked: Asked, content: bytes) -> tuple[int, int]:
    first, _dash, last = asked.headers["x-ms-range"].removeprefix("bytes=").partition("-")
    return int(first), min(int(last), len(content) - 1)


def test_a_server_that_sends_less_than_asked_is_asked_for_the_rest() -> None:
    def answer(asked: Asked) -> Told:
        first, last = _ranged(asked, CONTENT)
        last = min(last, first + 99_999)
        return Told(
            206, CONTENT[first : last + 1], {"Content-Range": f"bytes {first}-{last}/{len(CONTENT)}", "ETag": '"1"'}
        )

    with scripted_server(answer) as server:
        assert _read_from(server) == CONTENT
        assert len(server.asked) == 11
        assert {asked.headers.get("If-Match") for asked in server.asked[1:]} == {'"1"'}


def test_a_server_that_knows_no_ranges_is_believed_from_the_start_only() -> None:
    with scripted_server(lambda _asked: Told(200, CONTENT, {"ETag": '"1"'})) as server:
        assert _read_from(server) == CONTENT
        assert _read_from(server, length=1000) == CONTENT[:1000]
        with pytest.raises(ServerFault, match="part that was asked for"):
            _read_from(server, offset=1)


@pytest.mark.parametrize("content_range", ["bytes 1-100/1000", "bytes 0-99999999/1000", "bytes */1000", "nonsense", ""])
def test_another_part_than_asked_for_is_an_error(content_range: str) -> None:
    headers = {"ETag": '"1"', "Content-Range": content_range}
    with scripted_server(lambda _asked: Told(206, b"x" * 100, headers)) as server:
        with pytest.raises(ServerFault, match="part that was asked for"):
            _read_from(server)


def test_a_body_that_ends_early_is_an_error_not_a_short_file() -> None:
    headers = {"ETag": '"1"', "Content-Range": f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}"}
    told = Told(206, CONTENT[:500_000], headers, stated_length=len(CONTENT))
    with scripted_server(lambda _asked: told) as server, scripted_storage(server) as storage:
        file = storage.open("file", "rb")
        got: list[bytes] = []
        with pytest.raises(ConnectionLost) as lost:
            got.extend(iter(lambda: file.read(100_000), b""))

        assert lost.value.retryable
        assert CONTENT.startswith(b"".join(got))
        file.close()
        assert len(server.asked) == 1, "tried again behind our back"


def test_a_body_in_chunks_that_is_too_short_is_an_error_not_a_short_file() -> None:
    headers = {"ETag": '"1"', "Content-Range": "bytes 0-9/10", "Transfer-Encoding": "chunked"}
    with scripted_server(lambda _asked: Told(206, b"4\r\nabcd\r\n0\r\n\r\n", headers)) as server:
        with pytest.raises(ConnectionLost, match="broke in the middle"):
            _read_from(server)

        server.answer = lambda _asked: Told(206, b"a\r\n0123456789\r\n0\r\n\r\n", headers)
        assert _read_from(server) == b"0123456789"


def test_nobody_on_the_way_is_asked_to_compress() -> None:
    with scripted_server(lambda _asked: Told(200, b"x", {"ETag": '"1"'})) as server:
        _read_from(server)
        assert server.asked[0].headers["Accept-Encoding"] == "identity"


def test_a_cut_is_told_once_and_not_tried_again_by_the_sdk(azure_server: AzureAddress, box: Box) -> None:
    box.put("file", CONTENT * 4)
    with FaultyProxy(azure_server.port) as proxy, storage_at(azure_server, box.name, port=proxy.port) as storage:
        proxy.faults.cut_down_after = MIB
        with storage.open("file", "rb") as file, pytest.raises(ConnectionLost, match=r"127\.0\.0\.1:\d+ broke"):
            file.read(-1)

        assert proxy.connections == 1
