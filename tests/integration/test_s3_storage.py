"""Buckets, folders, deleting, copying and moving on S3."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator

import pytest

from kegbrowser.backends.base import EntryKind
from kegbrowser.backends.errors import (
    AlreadyExists,
    FileNotFoundInStorageError,
    FolderNotEmpty,
    InvalidName,
    IsAFolder,
    NotSupported,
    PermissionDenied,
    SourceChanged,
    StorageError,
)
from kegbrowser.backends.s3 import S3Storage
from kegbrowser.backends.s3.changing import copy_key
from kegbrowser.backends.s3.deeds import Deed
from tests.conformance.fixtures.s3 import all_keys, plain_client
from tests.doubles.exact_s3 import ExactS3, Stored
from tests.integration.s3_places import exact_server, exact_storage, new_bucket, put, storage_at
from tests.servers.seaweed import S3Address

MIB = 1024 * 1024


@pytest.fixture
def server() -> Iterator[ExactS3]:
    with exact_server("box") as running:
        yield running


@pytest.fixture
def storage(server: ExactS3) -> Iterator[S3Storage]:
    with exact_storage(server) as opened:
        yield opened


@pytest.fixture
def bucket(s3_server: S3Address) -> Iterator[str]:
    with new_bucket(s3_server) as name:
        yield name


@pytest.fixture
def real(s3_server: S3Address, bucket: str) -> Iterator[S3Storage]:
    opened = storage_at(s3_server, bucket)
    yield opened
    opened.shutdown()


# -- the root of all buckets ---------------------------------------------------------------------------------------------


def test_without_a_bucket_the_root_lists_them_and_paths_begin_with_one(s3_server: S3Address, bucket: str) -> None:
    root = storage_at(s3_server, None)
    put(root, f"{bucket}/folder/file", b"content")

    entries = {entry.name: entry.kind for entry in root.list("")}

    assert root.capabilities.containers_at_root
    assert entries[bucket] is EntryKind.CONTAINER
    assert [entry.name for entry in root.list(bucket)] == ["folder"]
    assert root.stat(f"{bucket}/").kind is EntryKind.CONTAINER
    assert root.stat(f"{bucket}/folder/").kind is EntryKind.FOLDER
    assert root.stat(f"{bucket}/folder/file").size == 7
    assert f"{bucket}/folder/file" in {entry.path_in("") for entry in root.list("", recursive=True)}
    assert "bucket" in root.check()
    root.shutdown()


def test_buckets_are_made_and_removed_when_empty(s3_server: S3Address) -> None:
    root = storage_at(s3_server, None)
    name = f"made-{secrets.token_hex(6)}"

    root.make_folder(f"{name}/")
    with pytest.raises(AlreadyExists, match=name):
        root.make_folder(name)
    put(root, f"{name}/x")
    with pytest.raises(FolderNotEmpty, match=name):
        root.delete_folder(name)
    root.delete(f"{name}/x")
    root.delete_folder(name)

    assert name not in {entry.name for entry in root.list("")}
    with pytest.raises(FileNotFoundInStorageError, match=name):
        root.list(name)
    root.shutdown()


def test_files_cannot_live_beside_buckets(s3_server: S3Address) -> None:
    root = storage_at(s3_server, None)

    for path in ("file-at-the-root", "", "bucket/"):
        with pytest.raises(IsAFolder):
            root.open(path, "wb")
    root.shutdown()


def test_a_bucket_cannot_be_named_badly(s3_server: S3Address) -> None:
    root = storage_at(s3_server, None)

    for name in ("Bad Bucket!", "UPPER_case", "x"):
        with pytest.raises((InvalidName, StorageError)) as failed:
            root.make_folder(name)
        assert name in failed.value.message
    root.shutdown()


def test_files_are_copied_from_bucket_to_bucket(server: ExactS3) -> None:
    server.buckets |= {"one": {"x": Stored(b"content", "text/x-special")}, "two": {}}

    with exact_storage(server, None) as root:
        root.copy("one/x", "two/folder/y")
        root.rename("one/x", "two/z")

    assert {key: stored.content for key, stored in server.buckets["two"].items()} == {
        "folder/y": b"content",
        "z": b"content",
    }
    assert server.buckets["one"] == {}


# -- listing -------------------------------------------------------------------------------------------------------------


def test_pages_are_asked_for_only_when_they_are_wanted(server: ExactS3, storage: S3Storage) -> None:
    server.buckets["box"] = {f"folder/{index:04}": Stored(b"") for index in range(2_500)}
    pages = storage.list_pages("folder")

    first = next(pages)
    asked = len(server.requests)
    rest = list(pages)

    assert asked == 1
    assert [len(page.entries) for page in (first, *rest)] == [1_000, 1_000, 500]
    assert [entry.name for page in (first, *rest) for entry in page.entries] == [
        f"{index:04}" for index in range(2_500)
    ]


def test_two_thousand_five_hundred_files_are_listed_once_each_and_deleted_on_the_real_server(
    real: S3Storage, s3_server: S3Address, bucket: str
) -> None:
    client = plain_client(s3_server)
    names = {f"{index:05}" for index in range(2_500)}
    halves = [sorted(names)[0::4], sorted(names)[1::4], sorted(names)[2::4], sorted(names)[3::4]]
    threads = [
        threading.Thread(
            target=lambda part=part: [client.put_object(Bucket=bucket, Key=f"d/{n}", Body=b"") for n in part]
        )
        for part in halves
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    put(real, "d-survivor")

    pages = list(real.list_pages("d"))
    listed = [entry.name for page in pages for entry in page.entries]
    results = list(real.delete_files(f"d/{name}" for name in listed))

    assert len(pages) == 3
    assert len(listed) == len(set(listed))
    assert set(listed) == names
    assert len(results) == 2_500
    assert [result for result in results if result.error] == []
    assert all_keys(client, bucket) == {"d-survivor": 1}
    client.close()


def test_a_listing_that_goes_round_in_circles_is_an_error_and_not_endless(server: ExactS3, storage: S3Storage) -> None:
    server.buckets["box"] = {f"{index:04}": Stored(b"") for index in range(1_500)}
    server.quirks.loops = True

    with pytest.raises(StorageError, match="where the listing goes on"):
        storage.list("")


def test_folders_and_files_of_one_name_and_empty_folders_are_told_apart(server: ExactS3, storage: S3Storage) -> None:
    server.buckets["box"] = {
        key: Stored(content)
        for key, content in {"x": b"file", "x/": b"", "x/y": b"1", "empty/": b"", "a/b/c": b"22", "a/d": b""}.items()
    }

    assert [(entry.name, entry.kind, entry.size) for entry in storage.list("")] == [
        ("a", EntryKind.FOLDER, 0),
        ("empty", EntryKind.FOLDER, 0),
        ("x", EntryKind.FOLDER, 0),
        ("x", EntryKind.FILE, 4),
    ]
    assert [(entry.name, entry.kind) for entry in storage.list("", recursive=True)] == [
        ("a/b/c", EntryKind.FILE),
        ("a/d", EntryKind.FILE),
        ("empty", EntryKind.FOLDER),
        ("x", EntryKind.FILE),
        ("x", EntryKind.FOLDER),
        ("x/y", EntryKind.FILE),
    ]
    assert [page.entries for page in storage.list_pages("empty")] == [()]
    with pytest.raises(FileNotFoundInStorageError, match="nothing-here"):
        storage.list("nothing-here")


def test_an_entry_says_what_the_server_says(server: ExactS3, storage: S3Storage) -> None:
    server.buckets["box"]["photo.jpg"] = Stored(b"content", "image/jpeg")

    listed, described = storage.list("")[0], storage.stat("photo.jpg")

    assert listed.last_modified is not None
    assert listed.last_modified.isoformat() == "2026-01-02T03:04:05+00:00"
    assert listed.last_modified == described.last_modified
    assert listed.etag == described.etag == Stored(b"content").etag
    assert described.content_type == "image/jpeg"
    assert listed.storage_class == "STANDARD"


# -- deleting ------------------------------------------------------------------------------------------------------------


def test_files_are_deleted_a_thousand_at_a_time(server: ExactS3, storage: S3Storage) -> None:
    server.buckets["box"] = {f"{index:04}": Stored(b"") for index in range(2_500)}

    results = list(storage.delete_files(f"{index:04}" for index in range(2_500)))

    assert len(results) == 2_500
    assert server.buckets["box"] == {}
    assert [method for method, _target in server.requests] == ["POST"] * 3


def test_results_come_while_paths_are_still_coming(server: ExactS3, storage: S3Storage) -> None:
    server.buckets["box"] = {f"{index:04}": Stored(b"") for index in range(1_500)}
    taken: list[str] = []

    def paths() -> Iterator[str]:
        for index in range(1_500):
            taken.append(f"{index:04}")
            yield f"{index:04}"

    results = storage.delete_files(paths())
    next(results)

    assert 1_000 <= len(taken) <= 1_001
    assert len(list(results)) == 1_499


def test_each_file_that_may_not_be_deleted_says_so(server: ExactS3, storage: S3Storage) -> None:
    server.buckets["box"] = {name: Stored(b"") for name in ("a", "protected-b", "c")}

    results = {result.path: result.error for result in storage.delete_files(["a", "protected-b", "c", "gone"])}

    assert results["a"] is results["c"] is results["gone"] is None
    assert isinstance(results["protected-b"], PermissionDenied)
    assert "protected-b" in results["protected-b"].message
    assert list(server.buckets["box"]) == ["protected-b"]


def test_a_server_without_batches_gets_single_deletes(server: ExactS3, storage: S3Storage) -> None:
    server.buckets["box"] = {f"{index}": Stored(b"") for index in range(10)}
    server.quirks.lacks_batches = True

    results = list(storage.delete_files(f"{index}" for index in range(10)))
    again = list(storage.delete_files(["x", "y"]))

    assert [result for result in (*results, *again) if result.error] == []
    assert server.buckets["box"] == {}
    assert sum(method == "POST" for method, _target in server.requests) == 1


def test_a_lost_connection_is_the_result_of_each_file(storage: S3Storage, server: ExactS3) -> None:
    server.fail("POST", 503, "SlowDown")

    results = list(storage.delete_files(["a", "b"]))

    assert [(result.path, bool(result.error and result.error.retryable)) for result in results] == [
        ("a", True),
        ("b", True),
    ]


def test_deleting_what_is_not_there_says_so(storage: S3Storage) -> None:
    with pytest.raises(FileNotFoundInStorageError, match="nope"):
        storage.delete("nope")


def test_a_folder_of_seaweedfs_goes_when_its_files_are_gone(real: S3Storage) -> None:
    put(real, "top/inner/deep/file")
    put(real, "top/other/file")
    list(real.delete_files(["top/inner/deep/file", "top/other/file"]))

    real.delete_folder("top/")

    assert real.list("") == []


def test_removing_a_folder_of_seaweedfs_spares_what_came_into_it(real: S3Storage) -> None:
    real.make_folder("top/")
    put(real, "top/inner/late")
    put(real, "top/gone/x")
    real.delete("top/gone/x")

    real.delete_folder("top/")

    assert [entry.name for entry in real.list("", recursive=True) if not entry.is_folder] == ["top/inner/late"]


# -- copying and moving --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quirk", ["", "ignores_conditions", "refuses_conditions"])
def test_copying_and_moving_take_no_name_away(server: ExactS3, storage: S3Storage, quirk: str) -> None:
    server.buckets["box"] = {"x": Stored(b"new"), "y": Stored(b"old")}
    if quirk:
        setattr(server.quirks, quirk, True)

    with pytest.raises(AlreadyExists, match="y"):
        storage.copy("x", "y")
    with pytest.raises(AlreadyExists, match="y"):
        storage.rename("x", "y")
    assert {key: stored.content for key, stored in server.buckets["box"].items()} == {"x": b"new", "y": b"old"}

    storage.copy("x", "z")
    storage.rename("x", "y", overwrite=True)
    assert {key: stored.content for key, stored in server.buckets["box"].items()} == {"z": b"new", "y": b"new"}


def test_moving_a_file_onto_itself_keeps_it(server: ExactS3, storage: S3Storage, real: S3Storage) -> None:
    server.buckets["box"]["x"] = Stored(b"content")
    put(real, "x", b"content")

    for each in (storage, real):
        with pytest.raises(AlreadyExists):
            each.rename("x", "x")
        each.rename("x", "x", overwrite=True)
        each.copy("x", "x", overwrite=True)
        assert each.stat("x").size == 7


def test_a_move_whose_copy_fails_keeps_the_file(server: ExactS3, storage: S3Storage) -> None:
    server.buckets["box"]["x"] = Stored(b"content")
    server.fail("PUT", 500, "InternalError")

    with pytest.raises(StorageError):
        storage.rename("x", "y")

    assert list(server.buckets["box"]) == ["x"]


def test_a_move_that_the_server_only_claims_to_have_made_keeps_the_file(server: ExactS3, storage: S3Storage) -> None:
    server.buckets["box"]["x"] = Stored(b"content")
    server.quirks.forgets_copies = True

    with pytest.raises(StorageError):
        storage.rename("x", "y")

    assert list(server.buckets["box"]) == ["x"]


def test_a_missing_source_is_named(storage: S3Storage) -> None:
    for call in (storage.copy, storage.rename):
        with pytest.raises(FileNotFoundInStorageError, match="nope"):
            call("nope", "y")


def test_a_folder_is_not_moved_as_if_it_were_a_file(server: ExactS3, storage: S3Storage) -> None:
    server.buckets["box"] = {"marked/": Stored(b""), "marked/x": Stored(b""), "plain/x": Stored(b"")}

    for folder in ("marked/", "plain/"):
        with pytest.raises(NotSupported):
            storage.rename(folder, "other/")
    with pytest.raises(FileNotFoundInStorageError):
        storage.rename("nothing/", "other/")

    assert len(server.buckets["box"]) == 3


@pytest.mark.parametrize("on", ["exact", "real"])
def test_large_files_are_copied_in_parts(
    server: ExactS3, storage: S3Storage, real: S3Storage, bucket: str, on: str
) -> None:
    content = bytes(range(256)) * (49 * 1024) + b"end"
    used, name = (storage, "box") if on == "exact" else (real, bucket)
    put(used, "x", content, content_type="text/x-special")
    source, target = Deed("copy", "read", name, "x", "x"), Deed("copy", "write", name, "a+b c", "a+b c", AlreadyExists)

    copy_key(used._connection, source, target, overwrite=False, in_parts_above=6 * MIB, part_bytes=5 * MIB)

    with used.open("a+b c", "rb") as file:
        assert file.read(-1) == content
    if on == "real":
        assert used.stat("a+b c").content_type == "text/x-special"
    assert server.uploads == {}


def test_a_copy_in_parts_that_fails_leaves_nothing(server: ExactS3, storage: S3Storage) -> None:
    put(storage, "x", b"x" * 12 * MIB)
    server.fail("PUT", 500, "InternalError", path="partNumber=2")
    source, target = Deed("copy", "read", "box", "x", "x"), Deed("copy", "write", "box", "y", "y", AlreadyExists)

    with pytest.raises(StorageError):
        copy_key(storage._connection, source, target, overwrite=True, in_parts_above=6 * MIB, part_bytes=5 * MIB)

    assert list(server.buckets["box"]) == ["x"]
    assert server.uploads == {}


def test_a_source_that_changes_before_it_is_copied_is_noticed(server: ExactS3, storage: S3Storage) -> None:
    server.buckets["box"] = {"x": Stored(b"new"), "y": Stored(b"old")}
    server.fail("PUT", 412, "PreconditionFailed")

    with pytest.raises(SourceChanged):
        storage.copy("x", "y", overwrite=True)


def test_a_server_that_folds_names_is_not_led_to_the_wrong_file(real: S3Storage) -> None:
    put(real, "a/b", b"precious")

    calls: list[Callable[[], object]] = [
        lambda: put(real, "a//b", b"other"),
        lambda: put(real, "/a/b", b"other"),
        lambda: put(real, "a\\b", b"other"),
        lambda: real.rename("a/b", "a//b", overwrite=True),
        lambda: real.copy("a/b", "a//b", overwrite=True),
        lambda: real.rename("a//b", "c"),
        lambda: real.delete("a//b"),
        lambda: real.make_folder("a//c"),
    ]
    for call in calls:
        with pytest.raises(InvalidName):
            call()
    results = list(real.delete_files(["a//b", "/a/b"]))

    assert [type(result.error) for result in results] == [InvalidName, InvalidName]
    with real.open("a/b", "rb") as file:
        assert file.read(-1) == b"precious"


# -- who may not -----------------------------------------------------------------------------------------------------------


def test_who_may_only_read_leaves_nothing_behind(s3_server: S3Address) -> None:
    with new_bucket(s3_server, "shared") as bucket:
        admin, reader = storage_at(s3_server, bucket), storage_at(s3_server, bucket, s3_server.reader)
        put(admin, "x", b"content")
        with reader.open("x", "rb") as file:
            assert file.read(-1) == b"content"

        calls: list[Callable[[], object]] = [
            lambda: put(reader, "new"),
            lambda: put(reader, "large", b"x" * 20 * MIB),
            lambda: reader.delete("x"),
            lambda: reader.rename("x", "y"),
            lambda: reader.copy("x", "y"),
            lambda: reader.make_folder("folder"),
        ]
        for call in calls:
            with pytest.raises(PermissionDenied, match=bucket):
                call()
        results = list(reader.delete_files(["x", "y"]))

        assert {type(result.error) for result in results} == {PermissionDenied}
        client = plain_client(s3_server)
        assert all_keys(client, bucket) == {"x": 7}
        assert not client.list_multipart_uploads(Bucket=bucket).get("Uploads")
        client.close()
        admin.shutdown()
        reader.shutdown()


def test_who_may_nothing_is_told_so(s3_server: S3Address, bucket: str) -> None:
    nobody = storage_at(s3_server, bucket, s3_server.nobody)

    for call in (
        lambda: nobody.list(""),
        lambda: nobody.stat("x"),
        lambda: nobody.open("x", "rb"),
        lambda: put(nobody, "x"),
        lambda: nobody.check(),
    ):
        with pytest.raises(PermissionDenied, match=bucket):
            call()
    nobody.shutdown()
