"""S3 keeps any key exactly; SeaweedFS, which the conformance suite runs on, cannot hold them all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kegbrowser.backends.base import EntryKind
from kegbrowser.backends.errors import InvalidName
from kegbrowser.backends.s3 import S3Storage
from tests.conformance.names import HOSTILE_NAMES
from tests.conformance.place import read, walk
from tests.doubles.exact_s3 import ExactS3, Stored
from tests.integration.s3_places import exact_server, exact_storage, put

NAMES = set(HOSTILE_NAMES.values()) | {"a/", "a//", "/", "//", ".", "..", "a b+c", "nul\x00byte", "\ufffe"}


@pytest.fixture
def server() -> Iterator[ExactS3]:
    with exact_server("box") as running:
        yield running


@pytest.fixture
def storage(server: ExactS3) -> Iterator[S3Storage]:
    with exact_storage(server) as opened:
        yield opened


def _fill(server: ExactS3) -> None:
    for name in NAMES:
        server.buckets["box"][name] = Stored(name.encode())


def test_every_key_is_written_and_read_exactly(server: ExactS3, storage: S3Storage) -> None:
    for name in NAMES:
        put(storage, name, name.encode())

    assert {key: stored.content for key, stored in server.buckets["box"].items()} == {n: n.encode() for n in NAMES}
    assert [name for name in NAMES if read(storage, name) != name.encode()] == []


def test_every_key_is_listed_exactly(server: ExactS3, storage: S3Storage) -> None:
    _fill(server)

    flat = {entry.path_in("") for entry in storage.list("", recursive=True)}
    by_level = {path for path in walk(storage) if path in NAMES}

    assert flat == NAMES
    assert by_level == NAMES


def test_every_key_is_described_exactly(server: ExactS3, storage: S3Storage) -> None:
    _fill(server)

    sizes = {name: storage.stat(name).size for name in NAMES if not name.endswith("/")}

    assert sizes == {name: len(name.encode()) for name in NAMES if not name.endswith("/")}


def test_every_key_is_renamed_exactly_there_and_back(server: ExactS3, storage: S3Storage) -> None:
    for name in NAMES:
        server.buckets["box"] = {"from": Stored(name.encode())}

        storage.rename("from", name)
        assert {key: stored.content for key, stored in server.buckets["box"].items()} == {name: name.encode()}
        storage.rename(name, "back")

        assert list(server.buckets["box"]) == ["back"], repr(name)


def test_every_key_is_deleted_exactly_one_by_one(server: ExactS3, storage: S3Storage) -> None:
    _fill(server)

    for name in NAMES:
        storage.delete(name)
        assert name not in server.buckets["box"], repr(name)

    assert server.buckets["box"] == {}


def test_every_key_is_deleted_exactly_in_a_batch(server: ExactS3, storage: S3Storage) -> None:
    _fill(server)
    server.buckets["box"]["survivor"] = Stored(b"")

    results = list(storage.delete_files(sorted(NAMES)))

    assert {result.path for result in results} == NAMES
    assert [result for result in results if result.error] == []
    assert list(server.buckets["box"]) == ["survivor"]
    assert any(method == "POST" for method, _target in server.requests)


def test_a_key_that_ends_in_a_slash_is_a_file_if_it_has_content_and_a_folder_if_not(
    server: ExactS3, storage: S3Storage
) -> None:
    server.buckets["box"] = {
        "full/": Stored(b"content"),
        "empty/": Stored(b""),
        "both/": Stored(b"1"),
        "both/x": Stored(b""),
    }

    assert storage.stat("full/").kind is EntryKind.FILE
    assert storage.stat("empty/").kind is EntryKind.FOLDER
    assert storage.stat("both/").kind is EntryKind.FOLDER
    assert [(entry.name, entry.size) for entry in storage.list("full/")] == [("", 7)]
    assert storage.list("empty/") == []
    assert [entry.name for entry in storage.list("both/")] == ["", "x"]


def test_removing_a_folder_spares_a_file_of_the_same_key(server: ExactS3, storage: S3Storage) -> None:
    server.buckets["box"] = {"full/": Stored(b"content"), "empty/": Stored(b"")}

    storage.delete_folder("full/")
    storage.delete_folder("empty/")
    storage.delete_folder("no-marker/")

    assert list(server.buckets["box"]) == ["full/"]


def test_a_name_that_is_not_unicode_is_refused_by_name(storage: S3Storage) -> None:
    with pytest.raises(InvalidName, match="bad"):
        storage.open("folder/bad\udcff", "wb")
