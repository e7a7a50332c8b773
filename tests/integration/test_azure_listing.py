"""Listings: streamed, whole, exact; folders of all kinds once each."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kegbrowser.backends.azure import AzureStorage
from kegbrowser.backends.azure.deeds import Deed
from kegbrowser.backends.azure.pages import parse_page
from kegbrowser.backends.base import EntryKind, ListEntry
from kegbrowser.backends.errors import AlreadyExists, FileNotFoundInStorageError, ServerFault
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

FOLDER_MARK = {"hdi_isfolder": "true"}


@pytest.fixture
def box(azure_server: AzureAddress) -> Iterator[Box]:
    with new_box(azure_server) as made:
        yield made


@pytest.fixture
def storage(azure_server: AzureAddress, box: Box) -> Iterator[AzureStorage]:
    with storage_at(azure_server, box.name) as made:
        yield made


def _kinds(storage: AzureStorage, path: str, *, recursive: bool = False) -> list[tuple[str, bool]]:
    return sorted((entry.name, entry.is_folder) for entry in storage.list(path, recursive=recursive))


def test_a_listing_is_a_stream(azure_server: AzureAddress, box: Box) -> None:
    names = [f"many/{number:04d}" for number in range(2500)]
    with storage_at(azure_server, box.name) as storage:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda name: put(storage, name), names))
    with FaultyProxy(azure_server.port) as proxy, storage_at(azure_server, box.name, port=proxy.port) as storage:
        pages = storage.list_pages("many")
        first = next(pages)
        after_first = proxy.bytes_down
        rest = list(pages)

        assert len(first.entries) == 1000
        assert proxy.bytes_down > after_first * 2
        listed = [entry.name for page in (first, *rest) for entry in page.entries]
        assert listed == [name.removeprefix("many/") for name in names]
        assert proxy.connections == 1


def test_an_entry_says_what_the_service_knows(box: Box, storage: AzureStorage) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    put(storage, "a & <b>.txt", b"content")

    (entry,) = storage.list("")

    assert (entry.name, entry.size, entry.kind) == ("a & <b>.txt", 7, EntryKind.FILE)
    assert entry.content_type == "text/plain"
    assert entry.storage_class == "Hot"
    assert entry.last_modified is not None
    assert before <= entry.last_modified <= datetime.now(UTC)
    facts = storage.stat("a & <b>.txt")
    assert (facts.etag, facts.last_modified, facts.size) == (entry.etag, entry.last_modified, 7)
    assert "“" not in entry.etag
    assert not entry.etag.startswith('"')


def test_properties_tell_more(box: Box, storage: AzureStorage) -> None:
    from azure.storage.blob import ContentSettings

    box.put(
        "file",
        b"content",
        metadata={"colour": "green"},
        content_settings=ContentSettings(cache_control="no-store", content_language="de"),
    )

    facts = dict(storage.stat("file").extra)

    assert facts["Metadata: colour"] == "green"
    assert facts["Cache control"] == "no-store"
    assert facts["Content language"] == "de"
    assert facts["MD5"] == "9a0364b9e99bb480dd25e1f0284c8555"
    assert "Created" in facts


# -- folders


def test_every_kind_of_folder_is_listed_once(box: Box, storage: AzureStorage) -> None:
    box.put("empty/", b"")
    box.put("hadoop", b"", metadata=FOLDER_MARK)
    box.put("both", b"", metadata=FOLDER_MARK)
    box.put("both/file", b"x")
    box.put("both!between", b"x")
    box.put("twice", b"", metadata={"Hdi_IsFolder": "True"})
    box.put("twice/", b"")
    box.put("only/prefix", b"x")
    box.put("file", b"")

    files = [("both!between", False), ("file", False)]
    folders = [(name, True) for name in ("both", "empty", "hadoop", "only", "twice")]

    assert _kinds(storage, "") == sorted(files + folders)
    assert _kinds(storage, "", recursive=True) == sorted(
        [
            *files,
            ("both", True),
            ("empty", True),
            ("hadoop", True),
            ("twice", True),
            ("both/file", False),
            ("only/prefix", False),
        ]
    )
    for name in ("empty", "hadoop", "twice"):
        assert storage.list(name) == storage.list(f"{name}/", recursive=True) == []
    assert _kinds(storage, "both") == [("file", False)]
    for name, _is_folder in folders:
        assert storage.stat(f"{name}/").kind is EntryKind.FOLDER
        with pytest.raises(AlreadyExists):
            storage.make_folder(name)


def test_a_folder_mark_is_removed_with_its_folder(box: Box, storage: AzureStorage) -> None:
    box.put("a/hadoop", b"", metadata=FOLDER_MARK)
    box.put("a/twice", b"", metadata=FOLDER_MARK)
    box.put("a/twice/", b"")
    box.put("a/file", b"")

    storage.delete_folder("a/hadoop/")
    storage.delete_folder("a/twice/")
    storage.delete_folder("a/file/")
    storage.delete_folder("a/nothing/")

    assert box.names() == ["a/file"]


def test_a_blob_with_content_is_no_folder_mark(box: Box, storage: AzureStorage) -> None:
    box.put("data", b"content", metadata=FOLDER_MARK)
    box.put("slash/", b"content")

    assert _kinds(storage, "") == [("data", False), ("slash", True)]
    assert _kinds(storage, "slash/") == [("", False)]
    storage.delete_folder("data/")
    storage.delete_folder("slash/")
    assert box.names() == ["data", "slash/"]
    assert storage.stat("slash/").size == 7


def test_a_folder_that_is_not_there_is_not_found(box: Box, storage: AzureStorage) -> None:
    box.put("file", b"x")

    for path in ("nothing", "nothing/", "file/", "fil", "//"):
        with pytest.raises(FileNotFoundInStorageError, match="no such folder"):
            storage.list(path)
    with pytest.raises(FileNotFoundInStorageError):
        storage.stat("nothing/")
    with pytest.raises(FileNotFoundInStorageError):
        storage.stat("file/")


def test_unfinished_uploads_are_not_listed_and_are_no_folders(box: Box, storage: AzureStorage) -> None:
    box.client.get_blob_client("folder/unfinished").stage_block("aaaa", b"x")

    assert storage.list("") == storage.list("", recursive=True) == []
    with pytest.raises(FileNotFoundInStorageError):
        storage.list("folder")
    with pytest.raises(FileNotFoundInStorageError):
        storage.stat("folder/unfinished")


# -- the account's root


def test_the_root_of_an_account_lists_its_containers_and_what_is_in_them(azure_server: AzureAddress, box: Box) -> None:
    box.put("folder/file", b"content")
    with storage_at(azure_server, None) as root:
        entries = {entry.name: entry for entry in root.list("")}
        below = [entry.path_in("") for entry in root.list("", recursive=True) if entry.name.startswith(box.name)]

        assert entries[box.name].kind is EntryKind.CONTAINER
        assert below == [f"{box.name}/", f"{box.name}/folder/file"]
        assert root.stat(box.name) == entries[box.name]
        assert root.stat(f"{box.name}/").kind is EntryKind.CONTAINER
        assert root.stat("").is_folder
        assert [entry.name for entry in root.list(f"{box.name}/folder")] == ["file"]
        with pytest.raises(FileNotFoundInStorageError, match="no container “missing”"):
            root.list("missing/")
        with pytest.raises(FileNotFoundInStorageError, match="no container “missing”"):
            root.stat("missing/")


# -- odd answers


def _listing(*items: str, following: str = "") -> bytes:
    return (
        '\ufeff<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="x" ContainerName="box"><Prefix>'
        f"</Prefix><Blobs>{''.join(items)}</Blobs><NextMarker>{following}</NextMarker></EnumerationResults>"
    ).encode()


def _item(name: str, attribute: str = "") -> str:
    return (
        f"<Blob><Name{attribute}>{name}</Name><Properties><Last-Modified>Mon, 23 Nov 2026 14:53:57 GMT</Last-Modified>"
        "<Etag>0x1</Etag><Content-Length>1</Content-Length><Content-Type /></Properties></Blob>"
    )


def _list_from(body: bytes) -> list[ListEntry]:
    with scripted_server(lambda _asked: Told(200, body)) as server, scripted_storage(server) as storage:
        return storage.list("")


def test_names_come_out_of_xml_as_they_went_in() -> None:
    names = ["&amp;", "&#38;", "<>\"'", "&lt;", " lead", "trail ", "a\nb", "&copy", "é😀", "&#x41;", "]]>"]
    items = [_item(escape(name, {'"': "&quot;", "'": "&apos;"})) for name in names]
    items += [
        _item("a&#xD;&#10;b"),
        _item("%61%01%25", ' Encoded="true"'),
        _item("%41"),
        "<Blob><Name>bare</Name></Blob>",
    ]

    entries = _list_from(_listing(*items))

    assert [entry.name for entry in entries] == [*names, "a\r\nb", "a\x01%", "%41", "bare"]
    assert entries[0].last_modified == datetime(2026, 11, 23, 14, 53, 57, tzinfo=UTC)
    assert (entries[-1].size, entries[-1].last_modified) == (None, None)


@given(names=st.lists(st.text(st.characters(codec="utf-8"), min_size=1), max_size=5))
def test_any_names_come_out_of_xml_as_they_went_in(names: list[str]) -> None:
    items = [_item(escape(name, {"\r": "&#xD;", '"': "&quot;"})) for name in names]

    page = parse_page(_listing(*items), Deed("list", "list", "box"))

    assert [blob.name for blob in page.blobs] == names


def test_empty_pages_do_not_end_a_listing() -> None:
    pages = [
        _listing(following="2"),
        _listing(_item("a"), following="3&amp;x"),
        _listing(following="4"),
        _listing(_item("b")),
    ]

    def answer(asked: Asked) -> Told:
        marker = parse_qs(urlsplit(asked.path).query).get("marker", ["1"])[0]
        return Told(200, pages[int(marker.removesuffix("&x")) - 1])

    with scripted_server(answer) as server, scripted_storage(server) as storage:
        assert [[entry.name for entry in page.entries] for page in storage.list_pages("")] == [["a"], ["b"]]
        assert storage.stat("folder/").is_folder
        with pytest.raises(AlreadyExists):
            storage.make_folder("folder")


def test_a_folder_mark_and_its_folder_on_different_pages_are_one_entry() -> None:
    mark = (
        "<Blob><Name>both</Name><Properties><Content-Length>0</Content-Length></Properties>"
        "<Metadata><hdi_isfolder>true</hdi_isfolder></Metadata></Blob>"
    )
    pages = [
        _listing(mark, _item("both!"), following="2"),
        _listing("<BlobPrefix><Name>both/</Name></BlobPrefix>", _item("c")),
    ]

    def answer(asked: Asked) -> Told:
        return Told(200, pages["marker=" in asked.path])

    with scripted_server(answer) as server, scripted_storage(server) as storage:
        assert _kinds(storage, "") == [("both", True), ("both!", False), ("c", False)]


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>Sign in to the hotel's network</html>", _listing(_item("a"))[:-30], b"\xff\xfe</EnumerationResults>"],
)
def test_what_is_no_listing_is_an_error_not_an_empty_folder(body: bytes) -> None:
    with pytest.raises(ServerFault, match="no listing"):
        _list_from(body)


def test_an_entry_without_a_name_is_an_error() -> None:
    with pytest.raises(ServerFault, match="without a name"):
        _list_from(_listing("<Blob><Properties/></Blob>"))


def test_a_listing_that_does_not_go_on_is_an_error_not_an_endless_one() -> None:
    with pytest.raises(ServerFault, match="does not say where the listing goes on"):
        _list_from(_listing(_item("a"), following="same"))


def test_a_page_that_fails_in_the_middle_fails_the_listing() -> None:
    def answer(asked: Asked) -> Told:
        return (
            refusal(500, "InternalError") if "marker=" in asked.path else Told(200, _listing(_item("a"), following="2"))
        )

    with scripted_server(answer) as server, scripted_storage(server) as storage:
        pages = storage.list_pages("")
        assert [entry.name for entry in next(pages).entries] == ["a"]
        with pytest.raises(ServerFault):
            next(pages)
        assert len(server.asked) == 2, "tried again behind our back"


def test_a_page_of_five_thousand_is_taken_apart_in_little_time_and_memory() -> None:
    import time

    body = _listing(*(_item(f"folder/with/some/depth/file {number:06d} &amp; more.txt") for number in range(5000)))
    with scripted_server(lambda _asked: Told(200, body)) as server, scripted_storage(server) as storage:
        storage.list("", recursive=True)
        begun = time.process_time()
        for _again in range(3):
            storage.list("", recursive=True)
        seconds = (time.process_time() - begun) / 3
        tracemalloc.start()
        try:
            for _page in storage.list_pages("", recursive=True):
                pass
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert seconds < 0.4, "the SDK's own way takes over a second"
    assert peak < 30 * 1024 * 1024
