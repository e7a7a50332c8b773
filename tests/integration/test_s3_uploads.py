"""Uploads in parts to S3 that outlive the process that began them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import pytest

from kegbrowser.backends.errors import (
    AlreadyExists,
    CheckFailed,
    ConnectionLost,
    FileNotFoundInStorageError,
    NotSupported,
    ServerFault,
)
from kegbrowser.backends.proofs import Certainty, Proof
from kegbrowser.backends.s3 import S3Storage
from kegbrowser.backends.s3.parts import MAX_OBJECT_BYTES, MIB
from kegbrowser.backends.uploads import Part, PartedUpload, UploadSpec
from tests.doubles.exact_s3 import ExactS3, Stored
from tests.integration.s3_places import exact_server, exact_storage, new_bucket, put, storage_at
from tests.servers.seaweed import S3Address

CONTENT = bytes(range(256)) * (20 * 4 * 1024) + b"the end"
PART = 8 * MIB


@pytest.fixture
def server() -> Iterator[ExactS3]:
    with exact_server("box") as running:
        yield running


@pytest.fixture
def storage(server: ExactS3) -> Iterator[S3Storage]:
    with exact_storage(server) as opened:
        yield opened


@pytest.fixture(scope="module")
def bucket(s3_server: S3Address) -> Iterator[str]:
    with new_bucket(s3_server) as name:
        yield name


@pytest.fixture
def real(s3_server: S3Address, bucket: str) -> Iterator[S3Storage]:
    opened = storage_at(s3_server, bucket)
    yield opened
    opened.shutdown()


def content_of(storage: S3Storage, path: str) -> bytes:
    with storage.open_reader(path) as file:
        return file.read(-1)


def part_of(number: int) -> bytes:
    return CONTENT[number * PART : (number + 1) * PART]


def send(upload: PartedUpload, *numbers: int) -> dict[int, Part]:
    return {number: upload.send(number, part_of(number), lambda _count: None) for number in numbers}


def spec_of(path: str, *, overwrite: bool = True) -> UploadSpec:
    return UploadSpec(path, len(CONTENT), overwrite=overwrite)


def test_a_real_server_shows_the_file_only_when_it_is_committed_and_its_checksum_is_compared(real: S3Storage) -> None:
    upload = real.begin_upload(spec_of("folder/whole"))
    send(upload, 2, 0, 1)
    with pytest.raises(FileNotFoundInStorageError):
        real.stat("folder/whole")

    proof = upload.commit()

    assert proof == Proof.verified("CRC-32")
    assert content_of(real, "folder/whole") == CONTENT
    assert list(real.incomplete_uploads("")) == []


def test_a_real_server_knows_the_checksum_of_the_whole_afterwards(real: S3Storage) -> None:
    upload = real.begin_upload(spec_of("digests"))
    send(upload, 0, 1, 2)
    upload.commit()
    put(real, "small", b"small")

    assert real.digests("digests").values == {"crc32": f"{zlib.crc32(CONTENT):08x}"}
    assert set(real.digests("small").values) == {"crc32", "md5"}


def test_a_real_server_gives_back_the_parts_that_another_process_sent(
    real: S3Storage, s3_server: S3Address, bucket: str
) -> None:
    first = real.begin_upload(spec_of("again"))
    sent = send(first, 0, 2)
    first.leave()
    other = storage_at(s3_server, bucket)

    second = other.resume_upload(spec_of("again"), first.token, sent)
    remembered = dict(second.parts)
    send(second, 1)
    proof = second.commit()
    other.shutdown()

    assert remembered == sent
    assert proof.certainty is Certainty.VERIFIED
    assert content_of(real, "again") == CONTENT


@pytest.mark.parametrize("name", ["plain", "with space + plus", "ä/ö %25 &<>", "a?b#c"])
def test_a_real_server_lists_unfinished_uploads_and_forgets_them_when_they_are_discarded(
    real: S3Storage, name: str
) -> None:
    upload = real.begin_upload(spec_of(f"unfinished/{name}"))
    send(upload, 0)
    upload.leave()

    found = list(real.incomplete_uploads("unfinished"))
    real.discard_upload(found[0].path, found[0].token)
    real.discard_upload(found[0].path, found[0].token)

    assert [(one.path, one.token) for one in found] == [(f"unfinished/{name}", upload.token)]
    assert found[0].begun_utc is not None
    assert list(real.incomplete_uploads("")) == []


def test_a_real_server_makes_an_empty_file(real: S3Storage) -> None:
    proof = real.begin_upload(UploadSpec("empty", 0)).commit()

    assert content_of(real, "empty") == b""
    assert proof.certainty is Certainty.VERIFIED


def test_a_real_server_keeps_a_taken_name(real: S3Storage) -> None:
    put(real, "taken", b"old")
    upload = real.begin_upload(spec_of("taken", overwrite=False))
    send(upload, 0, 1, 2)

    with pytest.raises(AlreadyExists):
        upload.commit()
    upload.discard()

    assert content_of(real, "taken") == b"old"
    assert list(real.incomplete_uploads("")) == []


def test_unfinished_uploads_below_the_root_of_all_buckets_name_their_bucket(server: ExactS3) -> None:
    server.buckets["other"] = {}
    with exact_storage(server, None) as everything:
        paths = ("box/a/1", "box/b", "other/c", "other/d e")
        tokens = {path: everything.begin_upload(spec_of(path)).token for path in paths}
        found = {one.path: one.token for one in everything.incomplete_uploads("")}
        below = [one.path for one in everything.incomplete_uploads("box/a")]

    assert found == tokens
    assert below == ["box/a/1"]


def test_listing_unfinished_uploads_goes_on_behind_the_first_answer(server: ExactS3, storage: S3Storage) -> None:
    for number in range(5):
        server.uploads[f"upload-{number}"] = ("box", f"key +{number}", {})

    assert [one.path for one in storage.incomplete_uploads("")] == [f"key +{number}" for number in range(5)]


def test_resuming_finds_the_parts_of_all_answers(server: ExactS3, storage: S3Storage) -> None:
    spec = UploadSpec("x", 5 * PART)
    upload = storage.begin_upload(spec)
    parts = {number: upload.send(number, bytes(PART), lambda _count: None) for number in range(5)}

    assert storage.resume_upload(spec, upload.token, parts).parts == parts


def test_a_part_that_the_server_has_otherwise_than_remembered_is_sent_again(
    server: ExactS3, storage: S3Storage
) -> None:
    upload = storage.begin_upload(spec_of("x"))
    sent = send(upload, 0, 1, 2)
    server.uploads[upload.token][2][2] = Stored(b"y" * PART)
    server.uploads[upload.token][2][3] = Stored(b"short")
    remembered = {**sent, 7: Part(7, 1, 0, "unknown")}

    resumed = storage.resume_upload(spec_of("x"), upload.token, remembered)

    assert set(resumed.parts) == {0}
    send(resumed, 1, 2)
    assert resumed.commit().certainty is not Certainty.UNVERIFIABLE
    assert server.buckets["box"]["x"].content == CONTENT


def test_an_upload_that_the_server_dropped_is_told_as_gone(server: ExactS3, storage: S3Storage) -> None:
    upload = storage.begin_upload(spec_of("x"))
    sent = send(upload, 0, 1, 2)
    server.uploads.clear()

    with pytest.raises(FileNotFoundInStorageError):
        upload.send(0, part_of(0), lambda _count: None)
    with pytest.raises(FileNotFoundInStorageError):
        upload.commit()
    with pytest.raises(FileNotFoundInStorageError):
        storage.resume_upload(spec_of("x"), upload.token, sent)
    upload.discard()


def test_a_missing_part_publishes_nothing(server: ExactS3, storage: S3Storage) -> None:
    upload = storage.begin_upload(spec_of("x"))
    send(upload, 0, 2)

    with pytest.raises(CheckFailed):
        upload.commit()

    assert server.buckets["box"] == {}


def test_the_limit_of_s3_is_told_before_anything_is_sent(server: ExactS3, storage: S3Storage) -> None:
    with pytest.raises(NotSupported, match="5 TiB"):
        storage.begin_upload(UploadSpec("x", MAX_OBJECT_BYTES + 1))

    assert server.uploads == {}


def test_what_goes_out_is_counted_in_small_pieces(storage: S3Storage) -> None:
    counts: list[int] = []

    storage.begin_upload(spec_of("x")).send(0, part_of(0), counts.append)

    assert sum(counts) == PART
    assert max(counts) <= 256 * 1024


def test_what_the_counter_raises_comes_out_and_the_part_can_be_sent_again(server: ExactS3, storage: S3Storage) -> None:
    upload = storage.begin_upload(spec_of("x"))

    def refuse(count: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        upload.send(0, part_of(0), refuse)
    send(upload, 0, 1, 2)
    upload.commit()

    assert server.buckets["box"]["x"].content == CONTENT


def test_a_server_without_checksums_is_asked_once_and_then_told_the_md5(server: ExactS3, storage: S3Storage) -> None:
    server.quirks.refuses_checksums = True

    upload = storage.begin_upload(spec_of("x"))
    send(upload, 0, 1, 2)
    proof = upload.commit()

    assert proof == Proof.verified("MD5")
    assert server.buckets["box"]["x"].content == CONTENT
    with_checksums = [one for one in server.seen_headers if any("x-amz-checksum" in name for name in one)]
    assert len(with_checksums) <= 2


def test_a_lost_answer_to_the_commit_is_found_out_by_looking(server: ExactS3, storage: S3Storage) -> None:
    upload = storage.begin_upload(spec_of("x", overwrite=False))
    send(upload, 0, 1, 2)
    server.lose_answers("POST", "uploadId=")

    with pytest.raises((ConnectionLost, ServerFault)):
        upload.commit()
    proof = upload.commit()

    assert proof.certainty is Certainty.VERIFIED
    assert server.buckets["box"]["x"].content == CONTENT


def test_resuming_after_a_lost_answer_to_the_commit_finds_the_file_there(server: ExactS3, storage: S3Storage) -> None:
    upload = storage.begin_upload(spec_of("x"))
    sent = send(upload, 0, 1, 2)
    server.lose_answers("POST", "uploadId=")
    with pytest.raises((ConnectionLost, ServerFault)):
        upload.commit()
    upload.leave()

    resumed = storage.resume_upload(spec_of("x"), upload.token, sent)

    assert set(resumed.parts) == {0, 1, 2}
    assert resumed.commit().certainty is Certainty.VERIFIED


def test_another_file_at_the_name_is_not_taken_for_ours(server: ExactS3, storage: S3Storage) -> None:
    upload = storage.begin_upload(spec_of("x", overwrite=False))
    send(upload, 0, 1, 2)
    server.fail("POST", 500, "InternalError", path="uploadId=")
    with pytest.raises(ServerFault):
        upload.commit()
    server.buckets["box"]["x"] = Stored(b"another's")

    with pytest.raises(AlreadyExists):
        upload.commit()

    assert server.buckets["box"]["x"].content == b"another's"
