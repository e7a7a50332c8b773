"""Many small blobs at once: what was compared, and what a difference becomes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from azure.storage.blob import ContentSettings

from kegbrowser.backends.azure import AzureStorage
from kegbrowser.backends.batches import ReadRequest, WriteRequest
from kegbrowser.backends.errors import CheckFailed
from kegbrowser.backends.proofs import Certainty, Proof
from tests.integration.azure_places import Asked, Box, Told, new_box, scripted_server, scripted_storage, storage_at
from tests.servers.azurite import AzureAddress


@pytest.fixture
def box(azure_server: AzureAddress) -> Iterator[Box]:
    with new_box(azure_server) as made:
        yield made


@pytest.fixture
def storage(azure_server: AzureAddress, box: Box) -> Iterator[AzureStorage]:
    with storage_at(azure_server, box.name) as made:
        yield made


def test_small_files_are_verified_by_their_md5_both_ways(box: Box, storage: AzureStorage) -> None:
    contents = [b"%d" % number * 1000 for number in range(20)]

    written = list(storage.write_files((WriteRequest(n, f"f{n}", c) for n, c in enumerate(contents)), lambda: 8))
    read = list(storage.read_files((ReadRequest(n, f"f{n}", len(c)) for n, c in enumerate(contents)), lambda: 8))

    assert {result.key: result.proof for result in written} == dict.fromkeys(range(20), Proof.verified("MD5"))
    assert {result.key: result.proof for result in read} == dict.fromkeys(range(20), Proof.verified("MD5"))
    assert {result.key: result.content for result in read} == dict(enumerate(contents))
    assert [box.content(f"f{number}") for number in range(20)] == contents


def test_content_that_has_not_the_md5_of_the_file_is_not_handed_out(box: Box, storage: AzureStorage) -> None:
    wrong = bytearray(hashlib.md5(b"another", usedforsecurity=False).digest())
    box.put("file", b"content")
    box.client.get_blob_client("file").set_http_headers(ContentSettings(content_md5=wrong))

    (result,) = storage.read_files(iter([ReadRequest(1, "file", 7)]), lambda: 8)

    assert isinstance(result.error, CheckFailed)
    assert result.content == b""


def test_file_without_an_md5_is_not_called_verified() -> None:
    def answer(_asked: Asked) -> Told:
        return Told(206, b"content", {"Content-Range": "bytes 0-6/7", "ETag": '"1"'})

    with scripted_server(answer) as server, scripted_storage(server) as storage:
        (result,) = storage.read_files(iter([ReadRequest(1, "file", 7)]), lambda: 8)

    assert result.content == b"content"
    assert result.proof is not None
    assert result.proof.certainty is Certainty.SIZE_ONLY
    assert result.proof.reason


def test_md5_of_a_range_is_not_taken_for_that_of_the_file() -> None:
    def answer(_asked: Asked) -> Told:
        return Told(206, b"content", {"Content-Range": "bytes 0-6/7", "ETag": '"1"', "Content-MD5": "AAAA"})

    with scripted_server(answer) as server, scripted_storage(server) as storage:
        (result,) = storage.read_files(iter([ReadRequest(1, "file", 7)]), lambda: 8)

    assert result.error is None
    assert result.proof is not None
    assert result.proof.certainty is Certainty.SIZE_ONLY
