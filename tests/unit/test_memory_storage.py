"""The storage in memory: what two of one name share, and what it refuses as object stores do."""

from __future__ import annotations

import pytest

from kegbrowser.backends.errors import InvalidName, NotSupported, PermissionDenied
from kegbrowser.backends.memory import MemoryStorage
from kegbrowser.backends.memory.store import drop_store
from kegbrowser.backends.registry import ConnectionSpec


def _write(storage: MemoryStorage, path: str, content: bytes = b"x") -> None:
    with storage.open(path, "wb") as file:
        file.write(content)


def test_two_of_one_store_see_the_same_files() -> None:
    one, other = MemoryStorage(store="shared by two"), MemoryStorage("another name", store="shared by two")

    _write(one, "file", b"content")
    one.interrupt()

    with other.open("file", "rb") as file:
        assert file.read(-1) == b"content"
    drop_store("shared by two")
    assert MemoryStorage(store="shared by two").list("") == []


def test_two_without_a_store_see_nothing_of_each_other() -> None:
    one, other = MemoryStorage(), MemoryStorage()

    _write(one, "file")

    assert other.list("") == []


def test_a_connection_names_its_store() -> None:
    spec = ConnectionSpec("id", "memory", "mine", {"store": "of a connection"})

    storage = spec.open()

    assert isinstance(storage, MemoryStorage)
    _write(storage, "file")
    assert [entry.name for entry in MemoryStorage(store="of a connection").list("")] == ["file"]
    drop_store("of a connection")


def test_a_read_only_store_refuses_every_change() -> None:
    _write(MemoryStorage(store="read only"), "file")
    storage = MemoryStorage(store="read only", read_only=True)

    for change in (
        lambda: _write(storage, "new"),
        lambda: storage.delete("file"),
        lambda: storage.rename("file", "new"),
        lambda: storage.copy("file", "new"),
        lambda: storage.make_folder("new"),
        lambda: storage.delete_folder("new"),
    ):
        with pytest.raises(PermissionDenied):
            change()  # type: ignore[no-untyped-call]  # a lambda has no types

    assert [entry.name for entry in storage.list("")] == ["file"]
    drop_store("read only")


def test_a_key_has_1024_bytes_at_most() -> None:
    storage = MemoryStorage()

    _write(storage, "é" * 512)

    with pytest.raises(InvalidName):
        _write(storage, "é" * 512 + "x")
    with pytest.raises(InvalidName):
        _write(storage, "")


def test_a_prefix_is_not_moved_in_one_step_but_a_marker_is() -> None:
    storage = MemoryStorage()
    _write(storage, "folder/file")
    storage.make_folder("empty")

    with pytest.raises(NotSupported, match="folder"):
        storage.rename("folder/", "new/")
    storage.rename("empty/", "new/")

    assert {entry.path_in("") for entry in storage.list("", recursive=True)} == {"folder/file", "new/"}
