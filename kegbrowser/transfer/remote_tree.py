"""What is at a remote target already, learnt with as few requests as possible, and the making of its folders."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from kegbrowser.backends.base import ListEntry, StorageBackend, as_folder, split_path
from kegbrowser.backends.errors import (
    AlreadyExists,
    FileNotFoundInStorageError,
    NotAFolder,
    NotSupported,
    PermissionDenied,
    StorageError,
)
from kegbrowser.transfer.cancel import CancelToken
from kegbrowser.transfer.conflicts import Existing
from kegbrowser.transfer.names import numbered_name
from kegbrowser.transfer.retry import RetryPolicy, retrying

T = TypeVar("T")

PART_ENDING = ".kegpart"
_PART_TAG = re.compile(r"[0-9a-f]{8,32}")

STATS_BEFORE_LISTING = 16
"""So many files are asked for one by one before the whole folder is listed: one more in a folder of a million is no reason."""

FIRST_LOOK_NAMES = 2_000
MAX_FOLDER_NAMES = 100_000
MAX_NAMES = 250_000
MAX_FOLDERS = 256


@dataclass(slots=True)
class _Folder:
    """What is known of one folder of the target.

    Attributes:
        names: files, and folders where a file cannot have a folder's name.
        folders: names of folders, where they may be names of files as well.
        own: names that this job writes, with the source each is for.
        is_complete: a name that is not here is not there.
        is_listable: a listing was not refused, and not too long.
        error: why the folder cannot be written into; raised for each file of it.
    """

    names: dict[str, Existing] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    own: dict[str, str] = field(default_factory=dict)
    is_complete: bool = False
    is_listable: bool = True
    asked: int = 0
    error: StorageError | None = None


class RemoteTree:
    """A remote folder that a job writes into. Any thread; one request at a time.

    A folder that this job made, or whose parent's listing does not hold it, is known to be empty with no request; one that is
    there is listed once. Memory: `MAX_NAMES` names (some 60 MiB).

    Args:
        target: path of the folder; it is made if it is not there and folders are real.
    """

    def __init__(self, storage: StorageBackend, target: str, policy: RetryPolicy, token: CancelToken) -> None:
        self._storage = storage
        self._target = as_folder(target)
        self._policy = policy
        self._token = token
        self._abilities = storage.capabilities
        self._lock = threading.RLock()
        self._folders: OrderedDict[tuple[str, ...], _Folder] = OrderedDict()

    def prepare(self) -> None:
        """Look at the target itself before anything is moved.

        Raises:
            NotAFolder: it is a file.
            NotSupported: files cannot live there.
        """
        if self._abilities.containers_at_root and not self._target:
            raise NotSupported(
                "Files cannot be put beside buckets or containers.", path="", hint="Choose a folder inside one of them."
            )
        self._folders[()] = _Folder(is_complete=self._abilities.real_folders and self._make_chain(self._target))

    @property
    def keeps_times(self) -> bool:
        """Whether files there get the times of their sources."""
        return self._abilities.set_modified

    def path(self, parts: tuple[str, ...]) -> str:
        """The path of a file below the target."""
        return self._target + "/".join(parts)

    def find(self, parts: tuple[str, ...]) -> Existing | None:
        """What is in a file's place; None if nothing, or if nobody may know."""
        with self._lock:
            folder, name = self._folder(parts[:-1]), parts[-1]
            if name in folder.names or folder.is_complete:
                return folder.names.get(name)
            folder.asked += 1
            if folder.asked > STATS_BEFORE_LISTING and folder.is_listable:
                self._list(parts[:-1], folder, MAX_FOLDER_NAMES)
                return self._listed(folder, parts)
            return self._stat(parts)

    def look(self, parts: tuple[str, ...]) -> Existing | None:
        """What is in a file's place now, whatever was known."""
        with self._lock:
            return self._stat(parts)

    def part_files(self, parts: tuple[str, ...]) -> list[str]:
        """Paths of hidden files that were to become this one, as far as its folder was listed: a crash leaves them."""
        begins, ends = f".{parts[-1]}.", PART_ENDING
        with self._lock:
            names = self._folder(parts[:-1]).names
            found = [name for name in names if name.startswith(begins) and name.endswith(ends)]
        return [self.path((*parts[:-1], name)) for name in found if _PART_TAG.fullmatch(name[len(begins) : -len(ends)])]

    def claim(self, parts: tuple[str, ...], source_path: str) -> bool:
        """Note that this job will write a file; False if it already does, for another source."""
        with self._lock:
            return self._folder(parts[:-1]).own.setdefault(parts[-1], source_path) == source_path

    def has_folder(self, parts: tuple[str, ...]) -> bool:
        """Whether a folder is there, made by nobody but others."""
        try:
            return self._try(lambda: self._storage.stat(self.path(parts) + "/")).is_folder
        except FileNotFoundInStorageError:
            return False

    def free(self, parts: tuple[str, ...]) -> tuple[str, ...]:
        """Parts beside `parts` that are free: `photo (2).jpg`."""
        number = 2
        while True:
            name = numbered_name(parts[-1], number, max_bytes=self._abilities.max_name_bytes)
            other = (*parts[:-1], name)
            with self._lock:
                is_own = name in self._folder(parts[:-1]).own
            if not is_own and self.find(other) is None:
                return other
            number += 1

    def make(self, parts: tuple[str, ...]) -> None:
        """Make a folder that has nothing in it; one that is there already is fine."""
        with self._lock:
            if self._abilities.real_folders:
                self._folder(parts)
                return
            try:
                self._try(lambda: self._storage.make_folder(self.path(parts) + "/" if parts else self._target))
            except AlreadyExists:
                return

    # -- folders ---------------------------------------------------------------------------------------------------------

    def _folder(self, parts: tuple[str, ...]) -> _Folder:
        known = self._folders.get(parts)
        if known is not None:
            # Its parents stay in mind with it: a walk comes back to them.
            for depth in range(len(parts) + 1):
                if parts[:depth] in self._folders:
                    self._folders.move_to_end(parts[:depth])
        else:
            known = _Folder()
            try:
                self._enter(parts, known)
            except StorageError as error:
                known.error = error
            self._folders[parts] = known
            self._forget_oldest(parts)
        if known.error is not None:
            raise known.error.with_traceback(None)
        return known

    def _enter(self, parts: tuple[str, ...], folder: _Folder) -> None:
        parent = self._folder(parts[:-1])
        if self._abilities.real_folders:
            self._enter_real(parts, parent, folder)
        elif parent.is_complete and parts[-1] not in parent.folders:
            folder.is_complete = True
        else:
            self._list(parts, folder, FIRST_LOOK_NAMES)

    def _enter_real(self, parts: tuple[str, ...], parent: _Folder, folder: _Folder) -> None:
        path = self.path(parts) + "/"
        found = parent.names.get(parts[-1])
        if found is None:
            try:
                self._try(lambda: self._storage.make_folder(path))
            except AlreadyExists:
                pass  # whose it is, and whether it is a folder, the listing says
            else:
                folder.is_complete = True
                parent.names[parts[-1]] = Existing(None, None, is_folder=True)
                return
        if found is not None and not found.is_folder:
            raise _file_in_the_way(path)
        self._list(parts, folder, FIRST_LOOK_NAMES)

    def _list(self, parts: tuple[str, ...], folder: _Folder, limit: int) -> None:
        path = self.path(parts) + "/" if parts else self._target
        try:
            self._try(lambda: self._read_listing(path, folder, limit))
        except FileNotFoundInStorageError:
            folder.is_complete = True
        except NotAFolder as exc:
            raise _file_in_the_way(path) from exc
        except PermissionDenied:
            folder.is_listable = False  # a folder that may be written but not read: the writer itself sees a clash

    def _read_listing(self, path: str, folder: _Folder, limit: int) -> None:
        names: dict[str, Existing] = {}
        folders: set[str] = set()
        for page in self._storage.list_pages(path):
            self._token.check()
            for entry in page.entries:
                if entry.is_folder and self._abilities.path_or_prefix:
                    folders.add(entry.name)
                else:
                    names[entry.name] = _existing(entry)
            if len(names) + len(folders) > limit:
                folder.is_listable = limit < MAX_FOLDER_NAMES
                break
        else:
            folder.is_complete = True
        folder.names |= names
        folder.folders |= folders

    def _listed(self, folder: _Folder, parts: tuple[str, ...]) -> Existing | None:
        found = folder.names.get(parts[-1])
        return found if found is not None or folder.is_complete else self._stat(parts)

    def _stat(self, parts: tuple[str, ...]) -> Existing | None:
        path = self.path(parts)
        try:
            return _existing(self._try(lambda: self._storage.stat(path)))
        except (FileNotFoundInStorageError, PermissionDenied):
            return None

    def _make_chain(self, path: str) -> bool:
        """Make a real folder and those above it that are missing; False if it was there."""
        try:
            entry = self._try(lambda: self._storage.stat(path))
        except PermissionDenied:
            return False
        except FileNotFoundInStorageError:
            if not path:
                raise
        else:
            if not entry.is_folder:
                raise _file_in_the_way(path)
            return False
        self._make_chain(split_path(path)[0])
        try:
            self._try(lambda: self._storage.make_folder(path))
        except AlreadyExists:
            return False
        return True

    def _forget_oldest(self, keep: tuple[str, ...]) -> None:
        total = sum(len(folder.names) + len(folder.own) for folder in self._folders.values())
        for parts in list(self._folders):
            if total <= MAX_NAMES and len(self._folders) <= MAX_FOLDERS:
                return
            if parts != keep[: len(parts)]:
                gone = self._folders.pop(parts)
                total -= len(gone.names) + len(gone.own)

    def _try(self, action: Callable[[], T]) -> T:
        return retrying(action, self._policy, self._token)


def _existing(entry: ListEntry) -> Existing:
    return Existing(entry.size, entry.last_modified, is_folder=entry.is_folder)


def _file_in_the_way(path: str) -> NotAFolder:
    name = split_path(path)[1] or path
    return NotAFolder(f"“{name}” is a file at the target, where a folder of that name is needed.", path=path)
