"""Names are kept exactly, whatever is in them, in every operation."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kegbrowser.backends.base import as_folder, split_path
from kegbrowser.backends.errors import InvalidName, NotSupported, StorageError
from tests.conformance.names import HOSTILE_NAMES, file_names
from tests.conformance.place import Place, make_parents, read, walk, write


def _files(names: set[str]) -> set[str]:
    """Without the folders that stand above the hostile names; the one file that ends in a slash stays."""
    return {name for name in names if not name.endswith("/")} | (names & {HOSTILE_NAMES["trailing slash"]})


def _content(name: str) -> bytes:
    return b"content of " + name.encode()


def test_names_are_written_exactly(place: Place) -> None:
    names = set(file_names(place.forbidden_names).values())

    for name in names:
        write(place.storage, name, _content(name))

    assert _files(place.raw_names()) == names
    assert [name for name in names if place.raw_bytes(name) != _content(name)] == []


def test_names_are_listed_and_read_exactly(place: Place) -> None:
    names = set(file_names(place.forbidden_names).values())
    for name in names:
        place.raw_put(name, _content(name))

    flat = {entry.path_in("") for entry in place.storage.list("", recursive=True) if not entry.is_folder}

    assert flat == names
    assert [name for name in names if read(place.storage, name) != _content(name)] == []


def test_names_are_found_level_by_level(place: Place) -> None:
    names = set(file_names(place.forbidden_names).values())
    for name in names:
        place.raw_put(name, _content(name))

    found = walk(place.storage)

    assert {name for name in found if not name.endswith("/")} | (found & names) == names
    folders = {name[: place_of_slash + 1] for name in names for place_of_slash in _slashes(name)}
    assert {name for name in found if name.endswith("/")} == folders


def _slashes(name: str) -> list[int]:
    return [index for index, letter in enumerate(name) if letter == "/"]


def test_names_are_described_exactly(place: Place) -> None:
    names = set(file_names(place.forbidden_names).values())
    for name in names:
        place.raw_put(name, _content(name))

    for name in names:
        entry = place.storage.stat(name)
        assert (entry.name, entry.is_folder, entry.size) == (split_path(name)[1], False, len(_content(name))), repr(
            name
        )


def test_names_are_renamed_exactly_both_ways(place: Place) -> None:
    names = set(file_names(place.forbidden_names).values())
    for name in names:
        place.raw_put("from", _content(name))
        make_parents(place.storage, name)

        place.storage.rename("from", name)
        assert place.raw_bytes(name) == _content(name), repr(name)
        place.storage.rename(name, "to", overwrite=True)

        assert place.raw_bytes("to") == _content(name), repr(name)
        assert _files(place.raw_names()) == {"to"}, repr(name)


def test_names_are_copied_exactly_both_ways(place: Place) -> None:
    names = set(file_names(place.forbidden_names).values())
    if not place.storage.capabilities.server_copy:
        with pytest.raises(NotSupported):
            place.storage.copy("from", "to")
        return
    for name in names:
        place.raw_put("from", _content(name))
        make_parents(place.storage, name)

        place.storage.copy("from", name)
        place.storage.copy(name, "to", overwrite=True)

        assert place.raw_bytes(name) == place.raw_bytes("to") == _content(name), repr(name)


def test_names_are_deleted_exactly_one_by_one(place: Place) -> None:
    names = set(file_names(place.forbidden_names).values())
    for name in names:
        place.raw_put(name, b"x")

    for name in sorted(names):
        place.storage.delete(name)
        assert name not in place.raw_names(), repr(name)

    assert _files(place.raw_names()) == set()


def test_names_are_deleted_exactly_in_batches(place: Place) -> None:
    names = set(file_names(place.forbidden_names).values())
    for name in names:
        place.raw_put(name, b"x")
    survivors = {"plain.txt", "a+b", "%41"} & names

    results = list(place.storage.delete_files(sorted(names - survivors)))

    assert {result.path for result in results} == names - survivors
    assert [result for result in results if result.error is not None] == []
    assert _files(place.raw_names()) == survivors


def test_hostile_folders_are_made_listed_and_removed_exactly(place: Place) -> None:
    storage = place.storage
    names = {
        name
        for label, name in file_names(place.forbidden_names).items()
        if "/" not in name and label != "name of 1,024 bytes"
    }

    for name in names:
        storage.make_folder(name)
    assert {entry.name for entry in storage.list("") if entry.is_folder} == names
    assert place.raw_names() == {as_folder(name) for name in names}

    for name in names:
        write(storage, f"{name}/inside", _content(name))
        assert [entry.name for entry in storage.list(name)] == ["inside"], repr(name)
        storage.delete(f"{name}/inside")
        storage.delete_folder(f"{name}/")
        assert as_folder(name) not in place.raw_names(), repr(name)


def test_names_the_storage_cannot_hold_are_refused_by_name(place: Place) -> None:
    place.raw_put("from", b"x")

    for label in place.forbidden_names:
        name = HOSTILE_NAMES[label]
        with pytest.raises(InvalidName) as refusal:
            write(place.storage, name, b"x")
        assert str(refusal.value), label
        with pytest.raises(StorageError):
            place.storage.rename("from", name)

    assert {name for name in place.raw_names() if not name.endswith("/")} == {"from"}
    assert place.raw_bytes("from") == b"x"


def test_a_name_is_a_file_and_a_folder_at_once_where_that_is_possible(place: Place) -> None:
    storage = place.storage
    place.raw_put("x", b"the file")
    if not storage.capabilities.path_or_prefix:
        with pytest.raises(StorageError):
            write(storage, "x/inside", b"inside")
        assert place.raw_names() == {"x"}
        return
    write(storage, "x/inside", b"inside")

    root = storage.list("")

    assert sorted((entry.name, entry.is_folder) for entry in root) == [("x", False), ("x", True)]
    assert read(storage, "x") == b"the file"
    assert [entry.name for entry in storage.list("x")] == ["inside"]
    assert not storage.stat("x").is_folder
    assert storage.stat("x/").is_folder

    storage.delete("x")
    assert place.raw_names() == {"x/inside"}
    assert [replace(entry, last_modified=None) for entry in storage.list("")] == [
        replace(entry, last_modified=None) for entry in root if entry.is_folder
    ]


def test_the_content_of_a_key_that_ends_in_a_slash_is_reachable(place: Place) -> None:
    if not place.storage.capabilities.path_or_prefix or "trailing slash" in place.forbidden_names:
        with pytest.raises(StorageError):
            write(place.storage, "key/", b"content")
        return
    place.raw_put("key/", b"content")

    inside = place.storage.list("key/")

    assert [(entry.name, entry.is_folder, entry.size) for entry in inside] == [("", False, 7)]
    assert inside[0].path_in("key/") == "key/"
    assert [entry.path_in("") for entry in place.storage.list("", recursive=True)] == ["key/"]
    assert read(place.storage, "key/") == b"content"

    place.storage.delete_folder("key/")
    assert place.raw_bytes("key/") == b"content"
