"""Making, moving, copying and deleting: exactly what was named, and never a moment without the file."""

from __future__ import annotations

from contextlib import suppress

import pytest

from kegbrowser.backends.errors import (
    AlreadyExists,
    FileNotFoundInStorageError,
    FolderNotEmpty,
    NotSupported,
    StorageError,
)
from tests.conformance.content import content_of, digest
from tests.conformance.place import Place


def test_a_folder_is_made(place: Place) -> None:
    place.storage.make_folder("new/")
    place.storage.make_folder("new/nested")

    assert place.raw_names() == {"new/", "new/nested/"}
    assert [(entry.name, entry.is_folder) for entry in place.storage.list("new/")] == [("nested", True)]


@pytest.mark.parametrize("path", ["folder", "folder/", "full", "full/"])
def test_a_folder_is_not_made_twice(place: Place, path: str) -> None:
    place.storage.make_folder("folder")
    place.raw_put("full/inside", b"x")

    with pytest.raises(AlreadyExists, match=path.removesuffix("/")):
        place.storage.make_folder(path)

    assert place.raw_bytes("full/inside") == b"x"


def test_a_folder_does_not_replace_a_file(place: Place) -> None:
    place.raw_put("name", b"content")
    names = {"name"}

    try:
        place.storage.make_folder("name/")
    except AlreadyExists:  # an object store may take it, or have a file system behind its back
        pass
    else:
        assert not place.storage.capabilities.real_folders
        names = {"name", "name/"}

    assert place.raw_names() == names
    assert place.raw_bytes("name") == b"content"


def test_a_real_folder_needs_its_parent(place: Place) -> None:
    if not place.storage.capabilities.real_folders:
        place.storage.make_folder("missing/new/")
        assert [entry.name for entry in place.storage.list("missing/")] == ["new"]
        return

    with pytest.raises(FileNotFoundInStorageError, match="new"):
        place.storage.make_folder("missing/new/")


@pytest.mark.parametrize("path", ["folder", "folder/"])
def test_an_empty_folder_is_removed(place: Place, path: str) -> None:
    place.storage.make_folder("folder")
    place.storage.make_folder("folder beside")

    place.storage.delete_folder(path)

    assert place.raw_names() == {"folder beside/"}


def test_a_full_folder_keeps_what_is_in_it(place: Place) -> None:
    place.storage.make_folder("folder")
    place.raw_put("folder/inside", b"x")

    if place.storage.capabilities.real_folders:
        with pytest.raises(FolderNotEmpty, match="folder"):
            place.storage.delete_folder("folder/")
    else:
        place.storage.delete_folder("folder/")

    assert place.raw_bytes("folder/inside") == b"x"


def test_a_missing_folder_is_an_error_only_where_folders_are_real(place: Place) -> None:
    if place.storage.capabilities.real_folders:
        with pytest.raises(FileNotFoundInStorageError, match="missing"):
            place.storage.delete_folder("missing/")
    else:
        place.storage.delete_folder("missing/")


def test_a_file_is_not_removed_as_a_folder(place: Place) -> None:
    place.raw_put("file", b"x")

    if place.storage.capabilities.real_folders:
        with pytest.raises(StorageError, match="file"):
            place.storage.delete_folder("file/")
    else:
        place.storage.delete_folder("file/")

    assert place.raw_bytes("file") == b"x"


def test_only_the_named_file_is_deleted(place: Place) -> None:
    for path in ("a", "ab", "b/a", "A"):
        place.raw_put(path, b"x")
    files = {name for name in place.raw_names() if not name.endswith("/")}

    place.storage.delete("a")

    assert {name for name in place.raw_names() if not name.endswith("/")} == files - {"a"}


@pytest.mark.parametrize("path", ["missing", "folder/missing", "no folder/missing"])
def test_deleting_a_missing_file_is_an_error(place: Place, path: str) -> None:
    place.raw_put("folder/inside", b"x")

    with pytest.raises(FileNotFoundInStorageError, match="missing"):
        place.storage.delete(path)


@pytest.mark.parametrize("path", ["folder", "folder/"])
def test_deleting_a_file_never_deletes_a_folder(place: Place, path: str) -> None:
    place.raw_put("folder/inside", b"x")

    if place.storage.capabilities.real_folders:
        with pytest.raises(StorageError, match="folder"):
            place.storage.delete(path)
    else:
        with suppress(FileNotFoundInStorageError):  # a server that shows folders as empty keys may take it
            place.storage.delete(path)

    assert place.raw_bytes("folder/inside") == b"x"


def test_many_files_are_deleted_and_each_is_told_once(place: Place) -> None:
    doomed = [f"many/{number:04}" for number in range(1200)]
    gone = [f"many/missing-{number}" for number in range(30)]
    place.raw_fill([*doomed, "many/survivor", "survivor"])

    results = list(place.storage.delete_files(path for path in [*doomed[:700], *gone, *doomed[700:]]))

    assert sorted(result.path for result in results) == sorted(doomed + gone)
    assert [result for result in results if result.error is not None] == []
    assert {name for name in place.raw_names() if not name.endswith("/")} == {"many/survivor", "survivor"}


def test_deleting_no_files_deletes_nothing(place: Place) -> None:
    place.raw_put("survivor", b"x")

    assert list(place.storage.delete_files([])) == []

    assert place.raw_names() == {"survivor"}


def test_a_file_is_renamed(place: Place) -> None:
    content = content_of(place.part_bytes + 9)
    place.raw_put("old", content)
    place.raw_put("folder/other", b"x")

    place.storage.rename("old", "folder/new")

    assert digest(place.raw_bytes("folder/new")) == digest(content)
    assert {name for name in place.raw_names() if not name.endswith("/")} == {"folder/new", "folder/other"}


def test_renaming_does_not_overwrite_unless_wanted(place: Place) -> None:
    place.raw_put("old", b"old")
    place.raw_put("taken", b"taken")

    with pytest.raises(AlreadyExists, match="taken"):
        place.storage.rename("old", "taken")
    assert (place.raw_bytes("old"), place.raw_bytes("taken")) == (b"old", b"taken")

    place.storage.rename("old", "taken", overwrite=True)
    assert place.raw_names() == {"taken"}
    assert place.raw_bytes("taken") == b"old"


def test_a_missing_file_cannot_be_renamed(place: Place) -> None:
    place.raw_put("taken", b"taken")

    for overwrite in (False, True):
        with pytest.raises(FileNotFoundInStorageError, match="missing"):
            place.storage.rename("missing", "new", overwrite=overwrite)
        with pytest.raises(StorageError):
            place.storage.rename("missing", "taken", overwrite=overwrite)

    assert place.raw_names() == {"taken"}
    assert place.raw_bytes("taken") == b"taken"


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("verb", ["rename", "copy"])
def test_a_file_put_onto_itself_stays(place: Place, verb: str, overwrite: bool) -> None:
    place.raw_put("file", b"content")

    try:
        getattr(place.storage, verb)("file", "file", overwrite=overwrite)
    except (AlreadyExists, NotSupported):
        assert not overwrite or verb == "copy"

    assert place.raw_bytes("file") == b"content"
    assert place.raw_names() == {"file"}


def test_a_folder_is_renamed_only_where_that_is_one_step(place: Place) -> None:
    for path in ("old/file", "old/deep/file", "old beside/file"):
        place.raw_put(path, path.encode())
    before = place.raw_names()
    if not place.storage.capabilities.rename_folder:
        with pytest.raises(NotSupported, match="old"):
            place.storage.rename("old/", "new/")
        assert place.raw_names() == before
        return

    place.storage.rename("old/", "new/")

    assert place.raw_names() == {name.replace("old/", "new/") for name in before}
    assert place.raw_bytes("new/deep/file") == b"old/deep/file"


def test_a_folder_is_not_renamed_onto_another(place: Place) -> None:
    place.raw_put("old/file", b"old")
    place.raw_put("taken/file", b"taken")
    place.raw_put("file", b"file")

    for target in ("taken/", "file", "file/"):
        with pytest.raises((AlreadyExists, NotSupported, StorageError)):
            place.storage.rename("old/", target)

    assert (place.raw_bytes("old/file"), place.raw_bytes("taken/file")) == (b"old", b"taken")
    assert place.raw_bytes("file") == b"file"


def test_a_folder_is_not_moved_into_itself(place: Place) -> None:
    place.raw_put("folder/file", b"x")

    with pytest.raises(StorageError, match="folder"):
        place.storage.rename("folder/", "folder/below/")

    assert place.raw_bytes("folder/file") == b"x"


def test_a_file_does_not_replace_a_real_folder(place: Place) -> None:
    place.raw_put("file", b"file")
    place.raw_put("folder/inside", b"inside")

    if place.storage.capabilities.real_folders:
        for overwrite in (False, True):
            with pytest.raises(StorageError):
                place.storage.rename("file", "folder", overwrite=overwrite)
        assert place.raw_bytes("file") == b"file"
    else:
        name = "folder"
        try:
            place.storage.rename("file", "folder")
        except AlreadyExists:  # as folders are files of its disk, for some servers
            name = "file"
        assert place.raw_bytes(name) == b"file"

    assert place.raw_bytes("folder/inside") == b"inside"


def test_renaming_to_a_missing_folder_keeps_the_file(place: Place) -> None:
    place.raw_put("file", b"content")
    if not place.storage.capabilities.real_folders:
        place.storage.rename("file", "missing/file")
        assert place.raw_bytes("missing/file") == b"content"
        return

    with pytest.raises(FileNotFoundInStorageError):
        place.storage.rename("file", "missing/file")

    assert place.raw_bytes("file") == b"content"


def test_a_file_is_copied_on_the_server(place: Place) -> None:
    content = content_of(place.part_bytes + 9)
    place.raw_put("old", content)
    place.storage.check()
    if not place.storage.capabilities.server_copy:
        with pytest.raises(NotSupported):
            place.storage.copy("old", "new")
        return

    place.storage.copy("old", "new")

    assert digest(place.raw_bytes("old")) == digest(place.raw_bytes("new")) == digest(content)
    assert place.raw_names() == {"old", "new"}
    assert place.leftovers() == []


def test_copying_does_not_overwrite_unless_wanted(place: Place) -> None:
    place.raw_put("old", b"old")
    place.raw_put("taken", b"taken")
    place.storage.check()
    if not place.storage.capabilities.server_copy:
        return

    with pytest.raises(AlreadyExists, match="taken"):
        place.storage.copy("old", "taken")
    assert place.raw_bytes("taken") == b"taken"

    place.storage.copy("old", "taken", overwrite=True)
    assert place.raw_bytes("taken") == place.raw_bytes("old") == b"old"


def test_a_missing_file_cannot_be_copied(place: Place) -> None:
    place.storage.check()
    if not place.storage.capabilities.server_copy:
        return

    with pytest.raises(FileNotFoundInStorageError, match="missing"):
        place.storage.copy("missing", "new")

    assert place.raw_names() == set()
