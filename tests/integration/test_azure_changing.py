"""Copying, moving, deleting, folders and containers: nothing is lost, nobody else's work is destroyed."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from kegbrowser.backends.azure import AzureStorage
from kegbrowser.backends.base import EntryKind
from kegbrowser.backends.errors import (
    AlreadyExists,
    ConnectionLost,
    FileNotFoundInStorageError,
    FolderNotEmpty,
    IsAFolder,
    NotSupported,
    PermissionDenied,
    ServerFault,
    SourceChanged,
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
from tests.servers.azurite import AzureAddress
from tests.servers.faulty_proxy import FaultyProxy

MOMENT = "Mon, 23 Nov 2026 14:53:57 GMT"


@pytest.fixture
def box(azure_server: AzureAddress) -> Iterator[Box]:
    with new_box(azure_server) as made:
        yield made


@pytest.fixture(params=["key", "sas"])
def storage(request: pytest.FixtureRequest, azure_server: AzureAddress, box: Box) -> Iterator[AzureStorage]:
    more: dict[str, Any] = {"sas_token": azure_server.sas("rwdlac")} if request.param == "sas" else {}
    with storage_at(azure_server, box.name, **more) as made:
        yield made


# -- copying and moving


def test_a_copy_has_the_content_and_the_facts_of_its_source(box: Box, storage: AzureStorage) -> None:
    box.put("a b?.txt", b"content", metadata={"colour": "green"})

    storage.copy("a b?.txt", "folder/ü#2")

    assert box.content("folder/ü#2") == b"content"
    assert dict(storage.stat("folder/ü#2").extra)["Metadata: colour"] == "green"
    assert storage.stat("folder/ü#2").content_type == storage.stat("a b?.txt").content_type


def test_a_copy_and_a_move_replace_only_what_they_may(box: Box, storage: AzureStorage) -> None:
    for move in (storage.copy, storage.rename):
        box.put("from", b"new")
        box.put("to", b"old")

        with pytest.raises(AlreadyExists, match="“to”"):
            move("from", "to")
        assert (box.content("from"), box.content("to")) == (b"new", b"old")
        move("from", "to", overwrite=True)
        assert box.content("to") == b"new"
    assert box.names() == ["to"]


def test_a_missing_source_is_named(box: Box, storage: AzureStorage) -> None:
    box.put("to", b"old")

    for move in (storage.copy, storage.rename):
        for overwrite in (True, False):
            with pytest.raises(FileNotFoundInStorageError, match="“from”"):
                move("from", "new", overwrite=overwrite)
    assert box.names() == ["to"]


def test_between_containers_too(azure_server: AzureAddress, box: Box) -> None:
    with new_box(azure_server) as other, storage_at(azure_server, None) as root:
        box.put("file", b"content")

        root.copy(f"{box.name}/file", f"{other.name}/copy")
        root.rename(f"{box.name}/file", f"{other.name}/moved")

        assert box.names() == []
        assert other.names() == ["copy", "moved"]
        with pytest.raises(FileNotFoundInStorageError, match="no container “not-there”"):
            root.copy(f"{other.name}/copy", "not-there/copy")
        with pytest.raises(IsAFolder):
            root.copy(f"{other.name}/copy", f"{other.name}")
        with pytest.raises(IsAFolder):
            root.rename(f"{other.name}/", "new")


def test_moving_a_file_onto_itself_keeps_it(box: Box, storage: AzureStorage) -> None:
    box.put("file", b"content")

    for overwrite in (True, False):
        storage.rename("file", "file", overwrite=overwrite)

    assert box.content("file") == b"content"
    with pytest.raises(FileNotFoundInStorageError):
        storage.rename("missing", "missing")


def test_a_folder_cannot_be_moved_in_one_step(box: Box, storage: AzureStorage) -> None:
    box.put("folder/file", b"x")

    with pytest.raises(NotSupported):
        storage.rename("folder/", "new/")
    assert box.names() == ["folder/file"]


def test_a_copy_left_by_a_move_that_may_not_delete_is_told(azure_server: AzureAddress, box: Box) -> None:
    box.put("from", b"content")
    with storage_at(azure_server, box.name, sas_token=azure_server.sas("rwlac")) as storage:
        with pytest.raises(PermissionDenied, match="the old “from”") as refused:
            storage.rename("from", "to")

    assert "“to” is there" in refused.value.hint
    assert box.names() == ["from", "to"]


class _Copying:
    """A service on which a copy takes its time."""

    def __init__(self, *later: str) -> None:
        self.later = list(later)
        self.deleted: list[str] = []
        self.aborted = False
        self.status = "pending"

    def answer(self, asked: Asked) -> Told:
        path = asked.path.partition("?")[0].rpartition("/")[2]
        facts = {"ETag": f'"0x{path}"', "Last-Modified": MOMENT, "x-ms-blob-type": "BlockBlob", "Content-Length": "0"}
        if "comp=copy" in asked.path:
            self.aborted = True
            self.status = "aborted"
            return Told(204)
        if asked.method == "PUT":
            return Told(202, b"", facts | {"x-ms-copy-id": "1", "x-ms-copy-status": "pending"})
        if asked.method == "DELETE":
            self.deleted.append(path)
            return Told(202)
        if path == "to" and asked.method == "HEAD":
            if self.later:
                self.status = self.later.pop(0)
            if self.status == "lost":
                return Told(500, b"", {"x-ms-error-code": "InternalError"})
            return Told(200, b"", facts | {"x-ms-copy-id": "1", "x-ms-copy-status": self.status})
        return Told(200, b"", facts)


def test_a_copy_that_takes_its_time_is_waited_for() -> None:
    service = _Copying("pending", "success")
    with scripted_server(service.answer) as server, scripted_storage(server) as storage:
        storage.rename("from", "to")
    assert service.deleted == ["from"]


@pytest.mark.parametrize("end", ["failed", "aborted"])
def test_a_copy_that_fails_leaves_no_empty_file_and_keeps_the_source(end: str) -> None:
    service = _Copying("pending", end)
    with scripted_server(service.answer) as server, scripted_storage(server) as storage:
        with pytest.raises(ServerFault, match=end):
            storage.rename("from", "to")
    assert service.deleted == ["to"]


def test_a_copy_that_cannot_be_watched_is_given_up() -> None:
    service = _Copying("pending", "lost", "pending")
    with scripted_server(service.answer) as server, scripted_storage(server) as storage:
        with pytest.raises(ServerFault):
            storage.copy("from", "to")
    assert service.aborted
    assert "from" not in service.deleted


def test_a_source_that_changes_during_a_move_is_kept() -> None:
    facts = {"Last-Modified": MOMENT, "x-ms-blob-type": "BlockBlob", "Content-Length": "0"}

    def answer(asked: Asked) -> Told:
        if asked.method == "PUT":
            assert asked.headers["x-ms-source-if-match"] == '"old"'
            return Told(202, b"", facts | {"ETag": '"copy"', "x-ms-copy-id": "1", "x-ms-copy-status": "success"})
        if asked.method == "DELETE":  # somebody has saved it anew by now
            return Told(202) if asked.headers.get("If-Match") != '"old"' else refusal(412, "ConditionNotMet")
        return Told(200, b"", facts | {"ETag": '"old"'})

    with scripted_server(answer) as server, scripted_storage(server) as storage:
        with pytest.raises(SourceChanged, match=r"the old “from”.*changed meanwhile") as kept:
            storage.rename("from", "to")
    assert "“to” is there" in kept.value.hint


# -- deleting


def test_many_files_are_deleted_in_few_requests(azure_server: AzureAddress, box: Box) -> None:
    names = [f"file {number} ü?#%" for number in range(600)]
    with storage_at(azure_server, box.name) as storage:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda name: put(storage, name), [*names, "stays"]))
    with FaultyProxy(azure_server.port) as proxy, storage_at(azure_server, box.name, port=proxy.port) as storage:
        results = list(storage.delete_files([*names, "missing"]))

        assert sorted(result.path for result in results) == sorted([*names, "missing"])
        assert [result for result in results if result.error is not None] == []
        assert proxy.connections == 1
    assert box.names() == ["stays"]


def test_deletion_is_a_stream_that_asks_for_paths_as_it_goes(box: Box, storage: AzureStorage) -> None:
    asked = 0

    def paths() -> Iterator[str]:
        nonlocal asked
        for number in range(1000):
            asked += 1
            yield f"missing {number}"

    results = storage.delete_files(paths())
    next(results)

    assert asked <= 257 + 1
    assert len(list(results)) == 999


def test_deleting_what_may_not_be_deleted_is_told_for_each_file(azure_server: AzureAddress, box: Box) -> None:
    names = [f"file {number}" for number in range(20)]
    for name in names:
        box.put(name)
    with storage_at(azure_server, box.name, sas_token=azure_server.sas("rl")) as storage:
        for _again in range(2):
            results = list(storage.delete_files(names))
            assert sorted(result.path for result in results) == sorted(names)
            assert {type(result.error) for result in results} == {PermissionDenied}
    assert box.names() == sorted(names)


def test_a_batch_that_half_succeeds_is_told_exactly() -> None:
    """The answers of a batch may come in any order: whose is whose is found out by asking for each."""
    batches = 0

    def answer(asked: Asked) -> Told:
        nonlocal batches
        if "comp=batch" in asked.path:
            batches += 1
            parts = "".join(
                f"--b\r\nContent-Type: application/http\r\nContent-ID: {place}\r\n\r\nHTTP/1.1 {status}\r\n\r\n\r\n"
                for place, status in ((2, "403 Denied"), (0, "202 Accepted"), (1, "202 Accepted"))
            )
            return Told(202, f"{parts}--b--\r\n".encode(), {"Content-Type": "multipart/mixed; boundary=b"})
        name = asked.path.partition("?")[0].rpartition("/")[2]
        return refusal(403, "AuthorizationPermissionMismatch") if name == "kept" else refusal(404, "BlobNotFound")

    with scripted_server(answer) as server, scripted_storage(server) as storage:
        results = {result.path: result.error for result in storage.delete_files(["a", "b", "kept"])}
    assert batches == 1
    assert (results["a"], results["b"]) == (None, None)
    assert isinstance(results["kept"], PermissionDenied)


@pytest.mark.parametrize("status", [400, 404, 405, 501, 500])
def test_a_server_without_batches_is_asked_for_each_file(status: int) -> None:
    deleted: list[str] = []
    batches = 0

    def answer(asked: Asked) -> Told:
        nonlocal batches
        if "comp=batch" in asked.path:
            batches += 1
            return Told(status, b"what?")
        deleted.append(asked.path.partition("?")[0].rpartition("/")[2])
        return Told(202)

    names = [f"f{number}" for number in range(30)]
    with scripted_server(answer) as server, scripted_storage(server) as storage:
        for _again in range(2):
            assert [result.error for result in storage.delete_files(names)] == [None] * 30
    assert sorted(deleted) == sorted(names * 2)
    assert batches == 1


def test_a_lost_connection_is_told_for_each_file_and_not_taken_for_done(azure_server: AzureAddress, box: Box) -> None:
    for name in ("a", "b"):
        box.put(name)
    with FaultyProxy(azure_server.port) as proxy, storage_at(azure_server, box.name, port=proxy.port) as storage:
        proxy.faults.refuse = True
        results = list(storage.delete_files(["a", "b"]))
        assert [type(result.error) for result in results] == [ConnectionLost] * 2

        proxy.faults.refuse = False
        assert [result.error for result in storage.delete_files(["a", "b"])] == [None, None]
    assert box.names() == []


def test_files_of_several_containers_are_deleted_at_once(azure_server: AzureAddress, box: Box) -> None:
    with new_box(azure_server) as other, storage_at(azure_server, None) as root:
        for made in (box, other):
            for name in ("a", "b", "stays"):
                made.put(name)
        paths = [f"{made.name}/{name}" for name in ("a", "b") for made in (box, other)]

        results = list(root.delete_files([*paths, "not-there/x", "..", "UPPER/x", box.name]))

        assert {result.path for result in results if result.error is None} == {*paths, "not-there/x", "UPPER/x"}
        assert {result.path: type(result.error) for result in results if result.error} == {
            "..": IsAFolder,
            box.name: IsAFolder,
        }
        assert box.names() == other.names() == ["stays"]


def test_a_file_with_snapshots_is_deleted(box: Box, storage: AzureStorage) -> None:
    for name in ("one", "two", "three"):
        box.put(name)
        box.client.get_blob_client(name).create_snapshot()

    storage.delete("one")
    results = list(storage.delete_files(["two", "three"]))

    assert [result.error for result in results] == [None, None]
    assert [blob.name for blob in box.client.list_blobs(include=["snapshots"])] == []


# -- folders and containers


def test_a_folder_does_not_replace_a_file_of_its_name(box: Box, storage: AzureStorage) -> None:
    box.put("key/", b"content")

    with pytest.raises(AlreadyExists):
        storage.make_folder("key")
    assert box.content("key/") == b"content"


def test_a_folder_needs_its_container(azure_server: AzureAddress) -> None:
    with storage_at(azure_server, "not-there") as storage:
        with pytest.raises(FileNotFoundInStorageError, match="no container “not-there”"):
            storage.make_folder("folder")


def test_containers_are_made_and_removed_when_empty(azure_server: AzureAddress) -> None:
    name = f"made-{secrets.token_hex(4)}"
    with storage_at(azure_server, None) as root:
        root.make_folder(f"{name}/")
        assert root.stat(f"{name}/").kind is EntryKind.CONTAINER
        assert root.list(name) == []
        with pytest.raises(AlreadyExists):
            root.make_folder(name)
        put(root, f"{name}/folder/file")

        with pytest.raises(FolderNotEmpty, match=name):
            root.delete_folder(f"{name}/")
        root.delete(f"{name}/folder/file")
        root.delete_folder(f"{name}/")

        assert name not in [entry.name for entry in root.list("")]
        with pytest.raises(FileNotFoundInStorageError):
            root.delete_folder(f"{name}/")


def test_the_container_of_a_connection_is_not_removed_by_it(box: Box, storage: AzureStorage) -> None:
    with pytest.raises(StorageError):
        storage.delete_folder("")
    assert box.names() == []
    for call in (lambda: storage.delete(""), lambda: storage.open("", "rb"), lambda: storage.open("", "wb")):
        with pytest.raises(IsAFolder):
            call()
