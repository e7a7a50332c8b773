"""Where downloads land: maps the parts of remote paths to places in one local folder, and makes the folders."""

from __future__ import annotations

import os
import stat
import sys
import threading
from collections import OrderedDict
from datetime import UTC, datetime

from kegbrowser.backends.errors import AlreadyExists, NotAFolder, StorageError
from kegbrowser.transfer.conflicts import Existing
from kegbrowser.transfer.local_errors import local_errors
from kegbrowser.transfer.names import MAX_NAME_BYTES, LocalNames, numbered_name, safe_name

MAX_FOLDERS = 4_096


class LocalTree:
    """A local folder that a job downloads into. Any thread. A folder that cannot be made raises the same error again and again.

    Nothing leaves `destination`: names are mapped by `LocalNames`, and below it a symbolic link in the place of a folder is
    never followed; the folder gets another name.

    Raises:
        NotAFolder: the destination is a file.
        PermissionDenied: it cannot be made.
    """

    def __init__(self, destination: str) -> None:
        self.root = os.path.abspath(destination)
        with local_errors("make the folder", self.root):
            try:
                os.makedirs(self.root, exist_ok=True)
            except FileExistsError as exc:
                raise NotAFolder(
                    f"“{os.path.basename(self.root)}” is not a folder.", path=self.root, hint="Choose a folder."
                ) from exc
        self.max_name_bytes = _max_name_bytes(self.root)
        self._names = LocalNames(ignores_case=_ignores_case(self.root), max_bytes=self.max_name_bytes)
        self._folders: OrderedDict[tuple[str, ...], str | StorageError] = OrderedDict()
        self._lock = threading.Lock()

    def folder(self, parts: tuple[str, ...]) -> str:
        """The local folder for a remote one; it is made if it is not there."""
        with self._lock:
            return self._folder(parts)

    def place(self, parts: tuple[str, ...]) -> str:
        """The local path for a remote file, in a folder that is there."""
        with self._lock:
            folder = self._folder(parts[:-1])
            path = os.path.join(folder, self._names.name_for(folder, parts[-1], is_folder=False))
            if _is_folder(path):
                path = os.path.join(folder, self._names.other_name(parts[-1], is_folder=False))
            return path

    def free_place(self, path: str) -> str:
        """A path beside `path` that is free: `photo (2).jpg`."""
        folder, name = os.path.split(path)
        number = 2
        while True:
            other = numbered_name(name, number, max_bytes=self.max_name_bytes)
            candidate = os.path.join(folder, other)
            with self._lock:
                is_claimed = self._names.is_claimed(folder, other)
            if not is_claimed and not os.path.lexists(candidate):
                return candidate
            number += 1

    def named_place(self, path: str, name: str) -> str:
        """A path beside `path` with a name that its user chose."""
        folder = os.path.dirname(path)
        return os.path.join(folder, safe_name(name, max_bytes=self.max_name_bytes))

    def claim(self, path: str, remote_path: str) -> bool:
        """Note that this job will write `path`; False if it already does, for another file."""
        folder, name = os.path.split(path)
        with self._lock:
            return self._names.claim_for(folder, name, remote_path)

    def _folder(self, parts: tuple[str, ...]) -> str:
        if not parts:
            return self.root
        known = self._folders.get(parts)
        if known is None:
            try:
                known = self._make(parts)
            except StorageError as error:
                known = error
            self._folders[parts] = known
            if len(self._folders) > MAX_FOLDERS:
                self._folders.popitem(last=False)
        else:
            self._folders.move_to_end(parts)
        if isinstance(known, StorageError):
            raise known.with_traceback(None)
        return known

    def _make(self, parts: tuple[str, ...]) -> str:
        parent = self._folder(parts[:-1])
        path = os.path.join(parent, self._names.name_for(parent, parts[-1], is_folder=True))
        if not _is_made(path):
            # A file, or a link that may lead anywhere, has the name.
            other = self._names.other_name(parts[-1], is_folder=True)
            path = os.path.join(parent, other)
            if not _is_made(path):
                raise AlreadyExists(f"Could not make the folder “{other}”: there is a file of that name.", path=path)
        return path


def existing_at(path: str) -> Existing | None:
    """What is at a local path, links not followed; None if nothing."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    except OSError as exc:
        if isinstance(exc, NotADirectoryError):
            return None
        with local_errors("look at", path):
            raise
    modified = datetime.fromtimestamp(found.st_mtime, UTC)
    return Existing(found.st_size, modified, is_folder=stat.S_ISDIR(found.st_mode))


def _is_made(path: str) -> bool:
    """Make a folder, or find it there; False if something else is in its place."""
    with local_errors("make the folder", path):
        try:
            os.mkdir(path)
        except FileExistsError:
            return _is_folder(path)
    return True


def _is_folder(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def _max_name_bytes(folder: str) -> int:
    if sys.platform == "win32":
        return MAX_NAME_BYTES
    try:
        return min(MAX_NAME_BYTES, os.pathconf(folder, "PC_NAME_MAX"))
    except (OSError, ValueError):
        return MAX_NAME_BYTES


def _ignores_case(folder: str) -> bool:
    parent, name = os.path.split(folder)
    swapped = os.path.join(parent, name.swapcase())
    if swapped == folder:
        return sys.platform in ("win32", "darwin")
    try:
        return os.path.samefile(folder, swapped)
    except OSError:
        return False
