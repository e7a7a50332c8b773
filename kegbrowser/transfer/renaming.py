"""Renames on the server, also when the answer to the first try is lost."""

from __future__ import annotations

from kegbrowser.backends.base import ListEntry, StorageBackend
from kegbrowser.backends.errors import FileNotFoundInStorageError
from kegbrowser.transfer.moving import Work
from kegbrowser.transfer.retry import retrying_change


def rename_file(storage: StorageBackend, source: str, target: str, work: Work, *, overwrite: bool = False) -> None:
    """Rename a file, or a folder where the storage can.

    Raises:
        AlreadyExists: the target is taken and not `overwrite`.
    """
    retrying_change(
        lambda: storage.rename(source, target, overwrite=overwrite),
        lambda: _is_renamed(storage, source, target),
        work.tuning.retry,
        work.stop,
    )


def _is_renamed(storage: StorageBackend, source: str, target: str) -> bool:
    """Whether a rename whose answer was lost was done after all; one that copied and did not yet delete is finished here."""
    new = _find(storage, target)
    if new is None:
        return False
    old = _find(storage, source)
    if old is None:
        return True
    if old.is_folder or not old.etag or (old.etag, old.size) != (new.etag, new.size):
        return False
    storage.delete(source)
    return True


def _find(storage: StorageBackend, path: str) -> ListEntry | None:
    try:
        return storage.stat(path)
    except FileNotFoundInStorageError:
        return None
