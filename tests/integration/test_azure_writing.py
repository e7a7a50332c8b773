"""Writing blobs: whole or not at all, whatever happens and whoever else writes."""

from __future__ import annotations

import base64
import hashlib
import threading
import tracemalloc
from collections.abc import Iterator

import pytest
from azure.storage.blob import BlobBlock, BlobServiceClient

from kegbrowser.backends.azure import AzureStorage, AzureWriter
from kegbrowser.backends.azure.blocks import MAX_BLOB_BYTES, MAX_BLOCK_BYTES, MAX_BLOCKS, BlockIds, BlockPlan, in_flight
from kegbrowser.backends.base import FileMode, RemoteFile
from kegbrowser.backends.errors import (
    AlreadyExists,
    CheckFailed,
    ConnectionLost,
    FileNotFoundInStorageError,
    InvalidName,
    NotSupported,
    QuotaExceeded,
    ServerFault,
    StorageError,
)
from tests.integration.azure_places import (
    Asked,
    Box,
    Told,
    new_box,
    put,
    refusal,
    scripted_server,
    scripted_storage,
    storage_at,
)
from tests.integration.engine_places import becomes_true
from tests.servers.azurite import AzureAddress
from tests.servers.faulty_proxy import FaultyProxy

MIB = 1024 * 1024
TIB = 1024**4


@pytest.fixture
def box(azure_server: AzureAddress) -> Iterator[Box]:
    with new_box(azure_server) as made:
        yield made


@pytest.fixture
def storage(azure_server: AzureAddress, box: Box) -> Iterator[AzureStorage]:
    with storage_at(azure_server, box.name) as made:
        yield made


def _content(size: int) -> bytes:
    return hashlib.shake_128(b"%d" % size).digest(size)


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 200, 201, 1050])
@pytest.mark.parametrize("piece", [1, 100, 10_000])
def test_any_length_arrives_in_blocks_of_any_length(box: Box, storage: AzureStorage, size: int, piece: int) -> None:
    content = _content(size)

    with storage.open("file", "wb", 100) as file:
        for start in range(0, size, piece):
            file.write(content[start : start + piece])

    assert box.content("file") == content
    blocks = box.client.get_blob_client("file").get_block_list("all")
    assert [block.size for block in blocks[0]] == (
        [] if size <= 100 else [100] * (size // 100) + [size % 100] * (size % 100 > 0)
    )
    assert blocks[1] == []


def test_the_caller_may_use_its_buffer_again(box: Box, storage: AzureStorage) -> None:
    buffer = bytearray(50)

    with storage.open("file", "wb", 100) as file:
        for number in range(10):
            buffer[:] = bytes([number]) * 50
            file.write(buffer)  # type: ignore[arg-type]

    assert box.content("file") == b"".join(bytes([number]) * 50 for number in range(10))


def test_a_small_file_is_one_request_and_a_large_one_asks_for_nothing_else(
    azure_server: AzureAddress, box: Box
) -> None:
    asked: list[str] = []

    def answer(request: Asked) -> Told:
        asked.append(f"{request.method} {request.path.partition('?')[2].partition('&')[0]}")
        return Told(201, b"", {"ETag": '"1"', "Last-Modified": "Mon, 23 Nov 2026 14:53:57 GMT"})

    with scripted_server(answer) as server, scripted_storage(server) as storage:
        put(storage, "small", b"x" * 1000)
        put(storage, "empty", b"")
        assert asked == ["PUT ", "PUT "]
        asked.clear()
        with storage.open("large", "wb", 1000) as file:
            file.write(b"x" * 2500)
    assert sorted(asked) == ["PUT comp=block", "PUT comp=block", "PUT comp=block", "PUT comp=blocklist"]
    assert asked[-1] == "PUT comp=blocklist"


def test_without_tls_the_service_checks_the_content() -> None:
    told = Told(201, b"", {"ETag": '"1"', "Last-Modified": "Mon, 23 Nov 2026 14:53:57 GMT"})
    with scripted_server(lambda _asked: told) as server, scripted_storage(server) as storage:
        put(storage, "small", b"content")
        with storage.open("large", "wb", 10) as file:
            file.write(b"0123456789abc")

        sums = {asked.body: asked.headers.get("Content-MD5") for asked in server.asked if b"<" not in asked.body}
        server.answer = lambda _asked: refusal(400, "Md5Mismatch")
        with pytest.raises(CheckFailed):
            put(storage, "small", b"content")
    assert set(sums) == {b"content", b"0123456789", b"abc"}
    assert sums == {body: base64.b64encode(hashlib.md5(body).digest()).decode() for body in sums}


def _write_and_fail(file: RemoteFile) -> None:
    file.write(b"x" * 35)
    raise KeyError


def test_an_exception_inside_with_leaves_the_old_file_or_nothing(box: Box, storage: AzureStorage) -> None:
    box.put("old", b"old")

    for name in ("old", "new"):
        with pytest.raises(KeyError), storage.open(name, "wb", 10) as file:
            _write_and_fail(file)
    assert box.names() == ["old"]
    assert [entry.name for entry in storage.list("")] == ["old"]
    assert box.content("old") == b"old"


def test_an_aborted_file_is_closed_and_cannot_be_written_any_more(box: Box, storage: AzureStorage) -> None:
    file = storage.open("file", "wb", 10)
    file.write(b"x" * 25)

    file.abort()
    file.abort()
    file.close()

    with pytest.raises(ValueError):
        file.write(b"x")
    assert box.names() == []


def test_a_dropped_file_is_not_published(box: Box, storage: AzureStorage) -> None:
    with pytest.warns(ResourceWarning, match="“dropped” was dropped"):
        storage.open("folder/dropped", "wb").write(b"content")
    assert box.names() == []


def test_overwriting_is_atomic_for_those_who_read(box: Box, storage: AzureStorage) -> None:
    box.put("file", b"a" * 1000)
    with storage.open("file", "wb", 100) as file:
        file.write(b"b" * 950)
        assert box.content("file") == b"a" * 1000
    assert box.content("file") == b"b" * 950


@pytest.mark.parametrize("size", [10, 250])
def test_what_is_there_is_not_replaced_unless_wanted(box: Box, storage: AzureStorage, size: int) -> None:
    box.put("file", b"old")
    for name in ("file", "new"):
        writer = AzureWriter(box.name, name, FileMode.write, storage.service, 100, overwrite=False)
        writer.write(b"n" * size)
        if name == "new":
            writer.close()
        else:
            with pytest.raises(AlreadyExists, match="“file”"):
                writer.close()
    assert box.content("file") == b"old"
    assert box.content("new") == b"n" * size


def test_of_two_new_files_at_once_the_second_is_refused_where_nothing_may_be_replaced(
    box: Box, storage: AzureStorage
) -> None:
    first, second = (storage.open_writer("file", overwrite=False) for _ in range(2))
    first.write(b"first")
    second.write(b"second")

    first.close()
    with pytest.raises(AlreadyExists):
        second.close()

    assert box.content("file") == b"first"


def test_two_writers_at_once_do_not_mix(box: Box, storage: AzureStorage) -> None:
    files = [storage.open("file", "wb", 1000) for _ in range(2)]
    contents = [_content(50_000), _content(60_000)]

    def send(number: int) -> None:
        content = contents[number]
        for start in range(0, len(content), 700):
            files[number].write(content[start : start + 700])

    threads = [threading.Thread(target=send, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    files[0].close()

    # The first to finish drops the blocks of the other ("Put Block List"), which must say so and not publish what is left.
    with pytest.raises(ServerFault, match="something else was saved there meanwhile") as refused:
        files[1].close()

    assert refused.value.retryable
    assert box.content("file") == contents[0]


@pytest.mark.parametrize("letters", [5, 7, 20, 48, 64])
def test_blocks_of_another_length_left_by_another_program_are_no_hindrance(
    box: Box, storage: AzureStorage, letters: int
) -> None:
    blob = box.client.get_blob_client("file")
    blob.stage_block("b" * letters, b"left behind")
    content = _content(3050)

    with storage.open("file", "wb", 100) as file:
        file.write(content)

    assert box.content("file") == content


def test_blocks_with_binary_ids_left_by_another_program_are_no_hindrance(box: Box, storage: AzureStorage) -> None:
    block = base64.b64encode(bytes(range(200, 224))).decode().replace("+", "%2B").replace("/", "%2F")
    assert box.send("PUT", "file", b"left", query=f"&comp=block&blockid={block}")[0] == 201

    with storage.open("file", "wb", 100) as file:
        file.write(b"x" * 250)

    assert box.content("file") == b"x" * 250


def test_the_unfinished_upload_of_another_program_goes_on(box: Box, storage: AzureStorage) -> None:
    blob = box.client.get_blob_client("file")
    blob.stage_block("theirs-1", b"theirs 1 ")
    file = storage.open("file", "wb", 100)
    file.write(b"x" * 250)
    assert becomes_true(lambda: len(box.uncommitted("file")) == 3)

    blob.stage_block("theirs-2", b"theirs 2")
    blob.commit_block_list([BlobBlock("theirs-1"), BlobBlock("theirs-2")])

    assert box.content("file") == b"theirs 1 theirs 2"
    with pytest.raises(StorageError):
        file.close()
    assert box.content("file") == b"theirs 1 theirs 2"


def test_ids_too_short_to_share_are_told_as_what_they_are(box: Box, storage: AzureStorage) -> None:
    box.client.get_blob_client("file").stage_block("abc", b"left behind")

    with pytest.raises(NotSupported, match="unfinished upload of another program"):
        with storage.open("file", "wb", 10) as file:
            file.write(b"x" * 25)
    put(storage, "file", b"a small file needs no blocks")
    assert box.content("file") == b"a small file needs no blocks"


def test_the_ids_of_one_blob_are_equally_long_and_no_two_writers_share_them() -> None:
    first, second = BlockIds(), BlockIds()
    ids = {writer.id_of(number) for writer in (first, second) for number in (0, 1, 15, 16, 49_999)}

    assert len(ids) == 10
    assert {len(one) for one in ids} == {20}
    with pytest.raises(ValueError):
        BlockIds(4)
    taken = [letter.encode() + b"0000" for letter in "abcdefghijklmnopqrstuvwxyz0123456789"]
    with pytest.raises(ValueError):
        BlockIds(5, taken)
    assert BlockIds(5, taken[1:]).id_of(0) == "a0000"


def _capacity(plan: BlockPlan) -> int:
    return sum(plan.size_of(number) for number in range(MAX_BLOCKS))


@pytest.mark.parametrize("size", [0, 1, 100 * MIB, 400 * 1024 * MIB, TIB, 5 * TIB, 100 * TIB, MAX_BLOB_BYTES])
def test_fifty_thousand_blocks_suffice_for_every_length(size: int) -> None:
    plan = BlockPlan.for_size(size, 8 * MIB)
    sizes = [plan.size_of(number) for number in range(MAX_BLOCKS)]

    assert sum(sizes) >= size
    assert max(sizes) <= MAX_BLOCK_BYTES
    assert sizes[0] >= 8 * MIB
    assert sizes[0] <= max(8 * MIB, size // 40_000 + MIB)
    assert sizes == sorted(sizes)


def test_a_file_of_unknown_length_may_be_very_long() -> None:
    assert _capacity(BlockPlan(4 * MIB)) > 30 * TIB
    assert _capacity(BlockPlan(10 * MIB)) > 50 * TIB


def test_blocks_on_their_way_stay_within_their_memory() -> None:
    assert [in_flight(size * MIB) for size in (1, 8, 21, 32, 33, 64, 100, 4000)] == [3, 3, 3, 2, 1, 1, 1, 1]


def test_a_blob_that_cannot_be_held_is_refused_before_a_byte_is_sent(storage: AzureStorage) -> None:
    with pytest.raises(QuotaExceeded, match=r"190\.7 TiB"):
        storage.open_writer("file", size_bytes=MAX_BLOB_BYTES + 1)


def test_blocks_grow_where_a_file_turns_out_to_be_long(box: Box, storage: AzureStorage) -> None:
    plan = BlockPlan(100, steady=2, doubled_every=2)
    content = _content(3000)

    with AzureWriter(box.name, "file", FileMode.write, storage.service, 100, plan=plan) as file:
        file.write(content)

    assert box.content("file") == content
    sizes = [block.size for block in box.client.get_blob_client("file").get_block_list("committed")[0]]
    assert sizes == [100, 100, 200, 200, 400, 400, 800, 800]


def test_memory_is_bounded_by_the_blocks_on_their_way(storage: AzureStorage) -> None:
    piece = bytes(MIB)
    tracemalloc.start()
    try:
        with storage.open_writer("file") as file:
            for _number in range(96):
                file.write(piece)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < (3 + 2) * 4 * MIB + 4 * MIB


def test_a_lost_block_is_an_error_at_once_and_for_good(box: Box, azure_server: AzureAddress) -> None:
    with FaultyProxy(azure_server.port) as proxy, storage_at(azure_server, box.name, port=proxy.port) as storage:
        file = storage.open("file", "wb", 100_000)
        file.write(b"x" * 250_000)
        proxy.faults.refuse = True
        proxy.cut_all()
        with pytest.raises(ConnectionLost):
            file.write(b"x" * 2_000_000)
        proxy.faults.refuse = False

        with pytest.raises(ConnectionLost):
            file.write(b"y")
        with pytest.raises(ConnectionLost):
            file.close()
    assert file.closed
    assert box.names() == []


def test_writing_into_a_missing_container_names_it(azure_server: AzureAddress) -> None:
    with storage_at(azure_server, "not-there") as storage:
        with pytest.raises(FileNotFoundInStorageError, match="no container “not-there”"):
            put(storage, "file")
        with pytest.raises(FileNotFoundInStorageError, match="no container “not-there”"):
            with storage.open("file", "wb", 10) as file:
                file.write(b"x" * 100)


def test_the_content_type_follows_the_name_or_what_is_said(storage: AzureStorage) -> None:
    put(storage, "page.html")
    put(storage, "no-idea")
    put(storage, "page.txt", content_type="text/x-own")
    with storage.open("big.png", "wb", 10) as file:
        file.write(b"x" * 100)

    types = {entry.name: entry.content_type for entry in storage.list("")}

    assert types == {
        "page.html": "text/html",
        "no-idea": "application/octet-stream",
        "page.txt": "text/x-own",
        "big.png": "image/png",
    }


def test_the_documented_writer_works_on_a_plain_client(azure_server: AzureAddress, box: Box) -> None:
    content = _content(5 * MIB)
    with BlobServiceClient(azure_server.endpoint, credential=azure_server.key) as service:
        with AzureWriter(box.name, "file", FileMode.write, service) as file:
            assert file.chunk_size == 4_194_304
            file.write(content)
        with pytest.raises(InvalidName):
            AzureWriter(box.name, "report.", FileMode.write, service)
        with pytest.raises(NotSupported):
            AzureWriter(box.name, "file", FileMode.read | FileMode.write, service)
        with (
            AzureWriter("not-there", "file", FileMode.write, service) as lost,
            pytest.raises(FileNotFoundInStorageError),
        ):
            lost.close()
    assert box.content("file") == content
    assert box.uncommitted("file") == []
