"""No request ever reaches a blob of another name, on a server that keeps odd names and on one that changes them."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from kegbrowser.backends.azure import AzureStorage
from kegbrowser.backends.azure.names import exact_dots, in_url, is_container_name
from kegbrowser.backends.errors import FileNotFoundInStorageError, InvalidName, SourceChanged, StorageError
from tests.integration.azure_places import Asked, Box, Told, new_box, put, scripted_server, scripted_storage, storage_at
from tests.servers.azurite import AzureAddress

KEPT_BY_AZURITE = ("a/../b", "../x", "./y", "a/./b", "name.", "a./b", "...", "..", "d../", "x/..")
CHANGED_BY_AZURE = (*KEPT_BY_AZURITE, "a\\b", "\\x", "report.")


@pytest.fixture
def box(azure_server: AzureAddress) -> Iterator[Box]:
    with new_box(azure_server) as made:
        yield made


@pytest.fixture
def storage(azure_server: AzureAddress, box: Box) -> Iterator[AzureStorage]:
    with storage_at(azure_server, box.name) as made:
        yield made


def _encoded(name: str) -> str:
    return quote(name, safe="/").replace(".", "%2E")


@pytest.mark.parametrize("name", KEPT_BY_AZURITE)
def test_a_name_with_odd_dots_that_is_there_is_listed_read_and_deleted_exactly(
    box: Box, storage: AzureStorage, name: str
) -> None:
    assert box.send("PUT", _encoded(name), b"odd")[0] == 201
    for neighbour in ("b", "x", "y", "a/b", "name", "d"):
        box.put(neighbour, b"neighbour")
    there = set(box.names())

    listed = {entry.path_in(""): entry for entry in storage.list("", recursive=True)}
    with storage.open(name, "rb") as file:
        content = file.read(-1)

    assert set(listed) == there
    assert content == b"odd"
    assert storage.stat(name).size == 3
    assert storage.stat(name).etag == listed[name].etag
    storage.delete(name)
    assert set(box.names()) == there - {name}


@pytest.mark.parametrize("name", KEPT_BY_AZURITE)
def test_a_batch_with_odd_names_deletes_exactly_those(box: Box, storage: AzureStorage, name: str) -> None:
    box.send("PUT", _encoded(name), b"odd")
    for neighbour in ("b", "x", "y", "a/b", "name", "d", "plain"):
        box.put(neighbour)

    results = list(storage.delete_files([name, "plain", "missing"]))

    assert {result.path for result in results} == {name, "plain", "missing"}
    assert [result for result in results if result.error] == []
    assert box.names() == sorted(["b", "x", "y", "a/b", "name", "d"])


@pytest.mark.parametrize("name", CHANGED_BY_AZURE)
def test_a_name_that_azure_would_change_is_never_made(box: Box, storage: AzureStorage, name: str) -> None:
    box.put("from", b"source")
    before = box.names()

    for make in (
        lambda: storage.open_writer(name),
        lambda: storage.open(name, "wb"),
        lambda: storage.copy("from", name),
        lambda: storage.rename("from", name, overwrite=True),
    ):
        with pytest.raises(InvalidName) as refusal:
            make()
        assert "Azure" in str(refusal.value)
    with pytest.raises(InvalidName):
        storage.make_folder(name)
    assert box.names() == before


@pytest.mark.parametrize("name", CHANGED_BY_AZURE)
def test_a_name_that_azure_would_change_and_that_is_not_listed_is_not_found(
    box: Box, storage: AzureStorage, name: str
) -> None:
    for neighbour in ("b", "x", "y", "a/b", "name", "report", "d/"):
        box.put(neighbour, b"neighbour")
    before = box.names()

    for touch in (
        lambda: storage.open(name, "rb"),
        lambda: storage.stat(name),
        lambda: storage.delete(name),
        lambda: storage.copy(name, "to"),
        lambda: storage.rename(name, "to"),
    ):
        with pytest.raises(FileNotFoundInStorageError):
            touch()
    assert [result.error for result in storage.delete_files([name])] == [None]
    assert box.names() == before


def test_a_service_that_drops_dots_does_not_get_the_wrong_blob_deleted_or_read() -> None:
    """As the service does it: the listing knows `report.`, but a request for it reaches `report`."""
    listing = (
        b"<EnumerationResults><Blobs><Blob><Name>report.</Name><Properties><Etag>0xODD</Etag>"
        b"<Content-Length>3</Content-Length></Properties></Blob></Blobs><NextMarker/></EnumerationResults>"
    )
    done: list[str] = []

    def answer(asked: Asked) -> Told:
        if "comp=list" in asked.path:
            return Told(200, listing)
        if asked.headers.get("If-Match") not in (None, '"0xREPORT"'):
            return Told(412, b"", {"x-ms-error-code": "ConditionNotMet"})
        done.append(f"{asked.method} {asked.path.partition('?')[0]}")
        return Told(202 if asked.method == "DELETE" else 200, b"report", {"ETag": '"0xREPORT"'})

    with scripted_server(answer) as server, scripted_storage(server) as storage:
        with pytest.raises(SourceChanged):
            storage.delete("report.")
        with pytest.raises(SourceChanged):
            storage.open("report.", "rb")
        assert [type(result.error) for result in storage.delete_files(["report."])] == [SourceChanged]
    assert done == []


@pytest.mark.parametrize("name", ["a\x01b", "tab\t", "line\n", "a\x7f", "\x85", "\ufffe", "a\uffff"])
def test_control_characters_are_refused(box: Box, storage: AzureStorage, name: str) -> None:
    with pytest.raises(InvalidName, match="control characters"):
        put(storage, name)
    assert box.names() == []


def test_names_are_limited_to_1024_characters_and_254_parts(box: Box, storage: AzureStorage) -> None:
    longest, deepest = "é" * 1024, "d/" * 253 + "f"

    put(storage, longest)
    put(storage, deepest)
    with pytest.raises(InvalidName, match=r"1,024"):
        put(storage, longest + "x")
    with pytest.raises(InvalidName, match="254"):
        put(storage, "d/" + deepest)

    assert box.names() == sorted([longest, deepest])


def test_what_has_no_bytes_is_refused_by_every_call(storage: AzureStorage) -> None:
    name = "half \ud800"

    for call in (
        lambda: storage.list(name),
        lambda: storage.stat(name),
        lambda: storage.open(name, "rb"),
        lambda: storage.open(name, "wb"),
        lambda: storage.delete(name),
        lambda: storage.make_folder(name),
        lambda: storage.delete_folder(name),
        lambda: storage.copy(name, "to"),
    ):
        with pytest.raises(InvalidName):
            call()
    assert [type(result.error) for result in storage.delete_files([name])] == [InvalidName]


@pytest.mark.parametrize(
    "container", ["..", ".", "a?comp=list", "UPPER", "ab", "a--b", "a-", "x" * 64, "a#b", "%2e%2e"]
)
def test_what_cannot_be_a_container_never_gets_into_an_address(azure_server: AzureAddress, container: str) -> None:
    assert not is_container_name(container)
    with storage_at(azure_server, None) as root:
        for call in (
            lambda: root.list(f"{container}/"),
            lambda: root.stat(f"{container}/x"),
            lambda: root.open(f"{container}/x", "rb"),
            lambda: root.open(f"{container}/x", "wb"),
            lambda: root.delete(f"{container}/x"),
            lambda: root.delete_folder(f"{container}/"),
            lambda: root.make_folder(f"{container}/x/"),
        ):
            with pytest.raises(FileNotFoundInStorageError, match="no container"):
                call()
        with pytest.raises(InvalidName, match="cannot be the name of a container"):
            root.make_folder(f"{container}/")


@pytest.mark.parametrize("container", ["abc", "a1-b2", "x" * 63, "$root", "$web", "$logs"])
def test_what_can_be_a_container(container: str) -> None:
    assert is_container_name(container)


def test_dots_are_encoded_only_where_they_are_a_whole_part() -> None:
    assert exact_dots("http://h/a/../b/./c") == "http://h/a/%2E%2E/b/%2E/c"
    assert exact_dots("http://h.x/a.b/..c/d../...") == "http://h.x/a.b/..c/d../..."
    assert in_url("..") == "%2E%2E"
    assert in_url("é/~?#%+ ") == "%C3%A9/~%3F%23%25%2B%20"


def test_a_sentence_about_a_long_or_odd_name_stays_one_readable_line(storage: AzureStorage) -> None:
    with pytest.raises(StorageError) as refusal:
        put(storage, "x" * 5000 + "\n")

    assert len(str(refusal.value)) < 300
    assert "\n" not in str(refusal.value)
