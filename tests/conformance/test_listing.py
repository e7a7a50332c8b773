"""Listing and describing: one level, exact names, folders marked, what is missing is said."""

from __future__ import annotations

import pytest

from kegbrowser.backends.base import EntryKind, Page
from kegbrowser.backends.errors import FileNotFoundInStorageError, NotAFolder
from tests.conformance.place import Place, write


def _told(place: Place, folder: str, *, recursive: bool = False) -> set[tuple[str, bool]]:
    entries = place.storage.list(folder, recursive=recursive)
    told = {(entry.name, entry.is_folder) for entry in entries}
    assert len(told) == len(entries), "an entry is told twice"
    return told


def test_an_empty_root_is_one_empty_page(place: Place) -> None:
    assert list(place.storage.list_pages("")) == [Page(())]
    assert place.storage.list("") == []


def test_a_listing_is_one_level_with_names_relative_to_it(place: Place) -> None:
    for path in ("top", "a/one", "a/two", "a/b/deep", "a/b/c/deeper", "ab/other"):
        place.raw_put(path, b"x")

    assert _told(place, "") == {("top", False), ("a", True), ("ab", True)}
    assert _told(place, "a/") == _told(place, "a") == {("one", False), ("two", False), ("b", True)}
    assert _told(place, "a/b/c") == {("deeper", False)}


def test_a_flat_listing_is_all_below_it(place: Place) -> None:
    for path in ("top", "a/one", "a/b/deep", "ab/other"):
        place.raw_put(path, b"x")
    place.storage.make_folder("a/empty/")

    below = _told(place, "a/", recursive=True)

    assert {name for name, is_folder in below if not is_folder} == {"one", "b/deep"}
    assert ("empty", True) in below
    assert ("", True) not in below
    assert (("b", True) in below) == place.storage.capabilities.real_folders


def test_an_empty_folder_is_shown_and_lists_nothing(place: Place) -> None:
    place.storage.make_folder("empty/")

    assert _told(place, "") == {("empty", True)}
    assert place.storage.list("empty/") == []
    assert list(place.storage.list_pages("empty/", recursive=True)) == [Page(())]
    assert place.storage.stat("empty/").kind is EntryKind.FOLDER


def test_folders_have_no_size(place: Place) -> None:
    place.raw_put("a/b", b"12345")

    (folder,) = place.storage.list("")

    assert (folder.name, folder.size, folder.kind) == ("a", 0, EntryKind.FOLDER)


@pytest.mark.parametrize("recursive", [False, True])
def test_a_missing_folder_is_not_found_by_its_name(place: Place, recursive: bool) -> None:
    place.raw_put("missing folder too", b"x")

    with pytest.raises(FileNotFoundInStorageError, match="missing folder") as refusal:
        place.storage.list("missing folder/", recursive=recursive)

    assert isinstance(refusal.value, FileNotFoundError)
    assert refusal.value.path is not None
    assert not refusal.value.retryable


def test_a_file_cannot_be_listed(place: Place) -> None:
    place.raw_put("a file", b"x")
    expected = NotAFolder if place.storage.capabilities.real_folders else FileNotFoundInStorageError

    with pytest.raises(expected, match="a file"):
        place.storage.list("a file/")


def test_a_file_is_described(place: Place) -> None:
    place.raw_put("folder/photo.jpg", b"12345")

    entry = place.storage.stat("folder/photo.jpg")

    assert (entry.name, entry.size, entry.kind) == ("photo.jpg", 5, EntryKind.FILE)
    assert entry.last_modified is not None
    assert entry.last_modified.tzinfo is not None


def test_the_listing_and_the_description_agree(place: Place) -> None:
    place.raw_put("folder/photo.jpg", b"12345")

    (listed,) = place.storage.list("folder/")
    described = place.storage.stat("folder/photo.jpg")

    assert (listed.name, listed.size, listed.etag) == (described.name, described.size, described.etag)
    assert listed.last_modified is not None
    assert described.last_modified is not None
    assert abs((listed.last_modified - described.last_modified).total_seconds()) < 1.01
    assert listed.permissions == described.permissions
    assert (listed.permissions is not None) == place.storage.capabilities.permissions


def test_folders_and_the_root_are_described(place: Place) -> None:
    place.raw_put("above/folder/inside", b"x")

    assert place.storage.stat("above/folder/").kind is EntryKind.FOLDER
    assert place.storage.stat("above/folder/").name == "folder"
    assert place.storage.stat("").is_folder


@pytest.mark.parametrize("path", ["missing", "folder/missing", "missing/", "missing/missing", "fol"])
def test_what_is_missing_cannot_be_described(place: Place, path: str) -> None:
    place.raw_put("folder/inside", b"x")

    with pytest.raises(FileNotFoundInStorageError) as refusal:
        place.storage.stat(path)

    assert path.removesuffix("/").rpartition("/")[2] in str(refusal.value)


def test_a_file_is_not_described_as_a_folder(place: Place) -> None:
    place.raw_put("file", b"x")

    with pytest.raises((FileNotFoundInStorageError, NotAFolder), match="file"):
        place.storage.stat("file/")


def test_the_mark_changes_with_the_content(place: Place) -> None:
    write(place.storage, "file", b"one")
    before = place.storage.stat("file").etag

    write(place.storage, "file", b"another")  # of another length: SFTP tells times in whole seconds

    assert place.storage.stat("file").etag != before
    assert '"' not in before


def test_a_check_says_in_a_sentence_what_was_reached(place: Place) -> None:
    sentence = place.storage.check()

    assert sentence.endswith(".")
    assert len(sentence.split()) > 2


def test_the_first_folder_to_show_can_be_listed(place: Place) -> None:
    home = place.storage.home()

    assert home == "" or home.endswith("/")
    place.storage.list(home)
