"""What a storage says of a file's content is true of it, and a byte that was damaged on the way is never passed over."""

from __future__ import annotations

import hashlib
import zlib

import pytest

from kegbrowser.backends.errors import FileNotFoundInStorageError, SourceChanged
from kegbrowser.backends.proofs import ALGORITHMS
from kegbrowser.backends.uploads import UploadSpec
from kegbrowser.transfer.digesting import Hasher, can_hash
from tests.conformance.content import content_of
from tests.conformance.place import Place, write

CONTENT = content_of(3_000_001)


def _hashed(algorithm: str, content: bytes) -> str:
    if algorithm == "crc32":
        return f"{zlib.crc32(content):08x}"
    if algorithm in hashlib.algorithms_available:
        return hashlib.new(algorithm, content).hexdigest()
    hasher = Hasher(algorithm)
    hasher.update(content)
    return hasher.hexdigest()


@pytest.mark.parametrize("how", ["by ours", "by the server's own means"])
def test_checksums_are_those_of_the_content(place: Place, how: str) -> None:
    if how == "by ours":
        write(place.storage, "file", CONTENT)
    else:
        place.raw_put("file", CONTENT)

    _check_digests(place)


def test_checksums_of_what_was_sent_in_parts_are_those_of_the_content(parted_place: Place) -> None:
    upload = parted_place.storage.begin_upload(UploadSpec("file", len(CONTENT)))
    for number in range(-(-len(CONTENT) // upload.part_bytes)):
        start = number * upload.part_bytes
        upload.send(number, CONTENT[start : start + upload.part_bytes], lambda _count: None)
    upload.commit()

    _check_digests(parted_place)


def _check_digests(place: Place) -> None:
    digests = place.storage.digests("file")

    assert digests.values.keys() <= ALGORITHMS.keys()
    assert bool(digests.values) or digests.reason
    for algorithm, value in digests.values.items():
        if can_hash(algorithm):
            assert value == _hashed(algorithm, CONTENT), algorithm


def test_checksum_of_a_file_that_is_not_there_is_not_found(place: Place) -> None:
    with pytest.raises(FileNotFoundInStorageError):
        place.storage.digests("nothing")


def test_checksum_of_another_version_is_not_given(place: Place) -> None:
    place.raw_put("file", b"one")
    etag = place.storage.stat("file").etag
    place.raw_put("file", b"another one")

    if etag:
        with pytest.raises(SourceChanged):
            place.storage.digests("file", etag=etag)
