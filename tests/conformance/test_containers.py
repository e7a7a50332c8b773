"""Without a bucket or container in its options a storage lists them, and the first part of a path is one."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import pytest

from kegbrowser.backends.base import EntryKind, StorageBackend
from kegbrowser.backends.errors import (
    AlreadyExists,
    FileNotFoundInStorageError,
    FolderNotEmpty,
    InvalidName,
    StorageError,
)
from tests.conformance.names import file_names
from tests.conformance.place import AccountPlace, read, walk, write


def _containers(storage: StorageBackend) -> set[str]:
    entries = storage.list("")
    assert {entry.kind for entry in entries} <= {EntryKind.CONTAINER}
    return {entry.name for entry in entries}


def test_the_root_lists_the_containers(account_place: AccountPlace) -> None:
    storage = account_place.connect_account()

    assert storage.capabilities.containers_at_root
    assert account_place.container in _containers(storage)
    assert storage.stat(f"{account_place.container}/").kind is EntryKind.CONTAINER
    assert storage.stat("").is_folder
    assert storage.home() == ""


def test_files_are_reached_through_their_container(account_place: AccountPlace) -> None:
    storage, root = account_place.connect_account(), f"{account_place.container}/"
    names = set(file_names(account_place.forbidden_names | {"name of 1,024 bytes"}).values())

    for name in names:
        write(storage, root + name, name.encode())

    assert walk(storage, root) >= {root + name for name in names}
    assert {entry.path_in(root) for entry in storage.list(root, recursive=True)} >= {root + name for name in names}
    assert [name for name in names if read(storage, root + name) != name.encode()] == []
    assert [name for name in names if account_place.raw_bytes(name) != name.encode()] == []


def test_files_are_changed_through_their_container(account_place: AccountPlace) -> None:
    storage, root = account_place.connect_account(), f"{account_place.container}/"
    for name in ("one", "two", "three", "four"):
        account_place.raw_put(name, name.encode())

    storage.rename(f"{root}one", f"{root}renamed")
    storage.copy(f"{root}two", f"{root}copied")
    storage.delete(f"{root}two")
    results = list(storage.delete_files([f"{root}three", f"{root}missing"]))
    storage.make_folder(f"{root}folder")

    assert account_place.raw_names() == {"renamed", "copied", "four", "folder/"}
    assert {(result.path, result.error) for result in results} == {(f"{root}three", None), (f"{root}missing", None)}


def test_files_are_moved_between_containers(account_place: AccountPlace) -> None:
    storage, root = account_place.connect_account(), f"{account_place.container}/"
    other = f"{_fresh_name()}/"
    storage.make_folder(other)
    account_place.raw_put("file", b"content")

    storage.rename(f"{root}file", f"{other}file")

    assert account_place.raw_names() == set()
    assert read(storage, f"{other}file") == b"content"
    storage.delete(f"{other}file")
    storage.delete_folder(other)


def test_a_container_is_made_and_removed(account_place: AccountPlace) -> None:
    storage = account_place.connect_account()
    assert storage.capabilities.create_containers
    name = _fresh_name()

    storage.make_folder(f"{name}/")
    assert name in _containers(storage)
    assert storage.list(f"{name}/") == []
    with pytest.raises(AlreadyExists, match=name):
        storage.make_folder(f"{name}/")
    storage.delete_folder(f"{name}/")

    assert name not in _containers(storage)


def test_a_container_with_files_is_not_removed(account_place: AccountPlace) -> None:
    storage = account_place.connect_account()
    account_place.raw_put("file", b"content")

    with pytest.raises(FolderNotEmpty, match=account_place.container):
        storage.delete_folder(f"{account_place.container}/")

    assert account_place.raw_bytes("file") == b"content"


@pytest.mark.parametrize("name", ["UPPER CASE", "a", "under_score?", "x" * 64])
def test_a_name_that_no_container_can_have_is_refused(account_place: AccountPlace, name: str) -> None:
    with pytest.raises(InvalidName):
        account_place.connect_account().make_folder(f"{name}/")


CALLS: dict[str, Callable[[StorageBackend, str], object]] = {
    "list": lambda storage, container: storage.list(container),
    "list all": lambda storage, container: storage.list(container, recursive=True),
    "stat": lambda storage, container: storage.stat(container),
    "stat a file": lambda storage, container: storage.stat(f"{container}file"),
    "read": lambda storage, container: storage.open(f"{container}file", "rb"),
    "write": lambda storage, container: write(storage, f"{container}file"),
    "make a folder": lambda storage, container: storage.make_folder(f"{container}folder/"),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_missing_container_is_not_found_and_not_made(account_place: AccountPlace, call: str) -> None:
    storage, missing = account_place.connect_account(), _fresh_name()

    with pytest.raises(FileNotFoundInStorageError, match=missing) as refusal:
        CALLS[call](storage, f"{missing}/")

    assert (refusal.value.path or "").startswith(f"{missing}/")
    assert missing not in _containers(storage)


def test_no_file_lives_beside_the_containers(account_place: AccountPlace) -> None:
    storage = account_place.connect_account()
    before = _containers(storage)

    for attempt in (
        lambda: write(storage, "file"),
        lambda: storage.rename(f"{account_place.container}/", "renamed/"),
        lambda: storage.delete("file"),
    ):
        with pytest.raises(StorageError):
            attempt()  # type: ignore[no-untyped-call]  # a lambda has no types

    assert _containers(storage) >= before - {"file"}


def _fresh_name() -> str:
    return f"shared-other-{secrets.token_hex(4)}"
