"""Uploads of blobs in blocks that outlive the process: what is believed, what was checked, and answers that get lost."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator

import pytest
from azure.storage.blob import BlobBlock

from kegbrowser.backends.azure import AzureStorage
from kegbrowser.backends.errors import AlreadyExists, CheckFailed, FileNotFoundInStorageError
from kegbrowser.backends.proofs import Proof
from kegbrowser.backends.uploads import Part, PartedUpload, UploadSpec
from tests.integration.azure_places import Box, new_box, storage_at
from tests.servers.azurite import AzureAddress

MIB = 1024 * 1024


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


def _send_all(
    upload: PartedUpload, content: bytes, told: Callable[[int], None] = lambda _count: None
) -> dict[int, Part]:
    starts = range(0, len(content), upload.part_bytes)
    return {
        number: upload.send(number, content[start : start + upload.part_bytes], told)
        for number, start in enumerate(starts)
    }


def test_commit_whose_answer_was_lost_succeeds_when_it_is_tried_again(box: Box, storage: AzureStorage) -> None:
    content = _content(9 * MIB)
    spec = UploadSpec("file", len(content), overwrite=False)
    upload = storage.begin_upload(spec)
    _send_all(upload, content)
    start = upload.token.partition(":")[0]
    box.client.get_blob_client("file").commit_block_list([BlobBlock(f"{start}{number:04x}") for number in range(2)])

    proof = upload.commit()

    assert proof == Proof.verified("MD5")
    assert box.content("file") == content


def test_upload_that_was_committed_before_a_crash_is_not_sent_again(box: Box, storage: AzureStorage) -> None:
    content = _content(9 * MIB)
    spec = UploadSpec("file", len(content), overwrite=False)
    first = storage.begin_upload(spec)
    sent = _send_all(first, content)
    first.commit()
    mark = storage.stat("file").etag

    second = storage.resume_upload(spec, first.token, sent)

    assert dict(second.parts) == sent
    assert second.commit() == Proof.verified("MD5")
    assert storage.stat("file").etag == mark


def test_blob_of_somebody_else_is_not_taken_for_ours(box: Box, storage: AzureStorage) -> None:
    content = _content(9 * MIB)
    spec = UploadSpec("file", len(content), overwrite=False)
    upload = storage.begin_upload(spec)
    _send_all(upload, content)
    other = storage.begin_upload(UploadSpec("file", len(content)))
    _send_all(other, content[::-1])
    other.commit()

    with pytest.raises(AlreadyExists):
        upload.commit()

    assert box.content("file") == content[::-1]


def test_blocks_with_ids_that_are_no_text_do_not_hinder_an_upload(box: Box, storage: AzureStorage) -> None:
    block_id = base64.b64encode(bytes(range(200, 220))).decode().replace("+", "%2B").replace("=", "%3D")
    assert box.send("PUT", "file", b"x", f"&comp=block&blockid={block_id}")[0] == 201
    content = _content(100)

    upload = storage.begin_upload(UploadSpec("file", len(content)))
    _send_all(upload, content)
    upload.commit()

    assert box.content("file") == content


def test_file_of_one_part_gets_its_md5_and_a_larger_one_says_that_it_has_none(storage: AzureStorage) -> None:
    small, large = _content(1000), _content(9 * MIB)
    for path, content in (("small", small), ("large", large)):
        upload = storage.begin_upload(UploadSpec(path, len(content)))
        _send_all(upload, content)
        upload.commit()

    assert storage.digests("small").values == {"md5": hashlib.md5(small, usedforsecurity=False).hexdigest()}
    assert storage.digests("large").values == {}
    assert storage.digests("large").reason


def test_part_of_a_wrong_length_is_refused(box: Box, storage: AzureStorage) -> None:
    upload = storage.begin_upload(UploadSpec("file", 1000))

    with pytest.raises(CheckFailed):
        upload.send(0, bytes(999), lambda _count: None)
    with pytest.raises(CheckFailed):
        upload.send(1, b"x", lambda _count: None)
    with pytest.raises(CheckFailed):
        upload.commit()

    assert box.names() == []


def test_block_that_changes_after_its_checksum_was_made_is_refused(box: Box, storage: AzureStorage) -> None:
    content = bytearray(_content(1000))
    upload = storage.begin_upload(UploadSpec("file", len(content)))

    def change(_count: int) -> None:
        content[500] ^= 1

    with pytest.raises(CheckFailed):
        upload.send(0, content, change)  # type: ignore[arg-type]  # bytes-like is enough

    assert box.names() == []


def test_discarded_upload_neither_shows_nor_touches_a_blob(box: Box, storage: AzureStorage) -> None:
    box.put("file", b"old")
    content = _content(1000)
    for path in ("file", "new"):
        upload = storage.begin_upload(UploadSpec(path, len(content)))
        _send_all(upload, content)
        upload.discard()
        storage.discard_upload(path, upload.token)

    assert box.names() == ["file"]
    assert box.content("file") == b"old"


@pytest.mark.parametrize("token", ["", "abc", ":5", "abc:", "abc:0", "abc:-1", "abc:x"])
def test_token_that_is_none_of_ours_is_not_found(storage: AzureStorage, token: str) -> None:
    with pytest.raises(FileNotFoundInStorageError):
        storage.resume_upload(UploadSpec("file", 10), token, {})
