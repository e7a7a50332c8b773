"""Removes folders that nothing is left in."""

from __future__ import annotations

from collections.abc import Iterable

from kegbrowser.backends.base import StorageBackend, as_folder
from kegbrowser.backends.errors import FileNotFoundInStorageError, FolderNotEmpty
from kegbrowser.transfer.cancel import CancelToken
from kegbrowser.transfer.plan import list_all
from kegbrowser.transfer.retry import RetryPolicy, retrying


def remove_empty_folders(storage: StorageBackend, top: str, policy: RetryPolicy, token: CancelToken) -> None:
    """Remove `top` and the folders below it, deepest first, but none that holds a file or leads to one, and no container."""
    top = as_folder(top)
    folders: set[str] = {top}
    kept: set[str] = {top} if is_container(storage, top) else set()
    try:
        for entry in list_all(storage, top, policy, token):
            if entry.is_folder and not entry.link_target:
                folders.add(entry.path_in(top))
            else:
                kept.update(_folders_above(entry.path_in(top), top))
    except FileNotFoundInStorageError:
        return
    for folder in deepest_first(folders - kept):
        remove_folder(storage, folder, policy, token)


def remove_folder(storage: StorageBackend, folder: str, policy: RetryPolicy, token: CancelToken) -> bool:
    """Remove one folder; False if it is not empty and stays. One that is gone already is fine."""
    try:
        retrying(lambda: storage.delete_folder(folder), policy, token)
    except FileNotFoundInStorageError:
        return True
    except FolderNotEmpty:
        return False
    return True


def is_container(storage: StorageBackend, folder: str) -> bool:
    """Whether a folder's path is that of a bucket or container."""
    return storage.capabilities.containers_at_root and folder.count("/") == 1


def deepest_first(folders: Iterable[str]) -> list[str]:
    """Folders in an order in which each comes before the one it is in."""
    return sorted(folders, key=lambda folder: (-folder.count("/"), folder))


def holds_anything(storage: StorageBackend, folder: str, policy: RetryPolicy, token: CancelToken) -> bool:
    """Whether something is in a folder now."""

    def look() -> bool:
        return any(page.entries for page in storage.list_pages(folder))

    try:
        return retrying(look, policy, token)
    except FileNotFoundInStorageError:
        return False


def _folders_above(path: str, top: str) -> list[str]:
    """The folders from `top` down to the one that the file is in."""
    above = [top]
    at = path.find("/", len(top))
    while at != -1:
        above.append(path[: at + 1])
        at = path.find("/", at + 1)
    return above
