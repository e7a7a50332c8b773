"""A folder of this computer behind the contract; nothing outside it is ever read or written."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import threading
from collections.abc import Iterator
from datetime import datetime

from kegbrowser.backends.base import (
    Capabilities,
    EntryKind,
    FileMode,
    ListEntry,
    Page,
    RemoteFile,
    StorageBackend,
    as_folder,
    split_path,
)
from kegbrowser.backends.errors import (
    AlreadyExists,
    Cancelled,
    InvalidName,
    NotSupported,
    PermissionDenied,
)
from kegbrowser.backends.local.errors import shown, translated
from kegbrowser.backends.local.files import (
    STEP_BYTES,
    LocalReader,
    LocalWriter,
    is_part_name,
    mark_of,
    move_without_clobbering,
    time_of,
)

PAGE_ENTRIES = 1000
_FORBIDDEN_LETTERS = frozenset('\\/:*?"<>|' if os.name == "nt" else "")


class LocalStorage(StorageBackend):
    """Files and folders below one folder. Any thread.

    Symbolic links are listed. They are followed only as long as they stay below the root.

    Args:
        root: the folder.
        name: as it is called in messages.
    """

    capabilities = Capabilities(
        parallel_parts=True,
        rename=True,
        rename_folder=True,
        server_copy=True,
        real_folders=True,
        set_modified=True,
        permissions=True,
        max_name_bytes=255,
        max_path_bytes=4095,
    )

    def __init__(self, root: str, name: str = "local") -> None:
        super().__init__(name)
        self._root = os.path.realpath(root)
        self._stop = threading.Event()

    def open(self, path: str, mode: FileMode | str) -> RemoteFile:
        wanted = FileMode.as_mode(mode)
        if wanted == FileMode.read:
            return self.open_reader(path)
        if wanted == FileMode.write:
            return self.open_writer(path)
        raise NotSupported(f"“{shown(path)}” can be opened for reading or for writing, not for both.", path=path)

    def open_reader(self, path: str, *, offset: int = 0, length: int | None = None, etag: str = "") -> RemoteFile:
        return LocalReader(path, self._real_file(path, "open"), offset, length, etag, self._stop)

    def open_writer(
        self,
        path: str,
        *,
        size_bytes: int | None = None,
        overwrite: bool = True,
        modified: datetime | None = None,
        content_type: str = "",
    ) -> RemoteFile:
        real = self._real_file(path, "save")
        return LocalWriter(path, real, overwrite=overwrite, modified=modified, stop=self._stop)

    def list_pages(self, path: str, *, recursive: bool = False) -> Iterator[Page]:
        entries: list[ListEntry] = []
        waiting = [""]
        told = False
        while waiting:
            below = waiting.pop()
            for entry in self._scan(as_folder(path), below):
                entries.append(entry)
                if recursive and entry.is_folder and not entry.link_target:
                    waiting.append(f"{entry.name}/")
                if len(entries) >= PAGE_ENTRIES:
                    told = True
                    yield Page(tuple(entries))
                    entries = []
        if entries or not told:
            yield Page(tuple(entries))

    def stat(self, path: str) -> ListEntry:
        real = self._real(path, "find", follow=False)
        with translated("find", path):
            status = os.lstat(real)
            target = os.readlink(real) if stat.S_ISLNK(status.st_mode) else ""
            if target and self._leads_inside(real):
                status = os.stat(real)
            if path.endswith("/") and not stat.S_ISDIR(status.st_mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        return _entry_of(split_path(path)[1], status, target)

    def delete(self, path: str) -> None:
        real = self._real(path, "delete", follow=False)
        with translated("delete", path):
            if stat.S_ISDIR(os.lstat(real).st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            if path.endswith("/"):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            os.unlink(real)

    def delete_folder(self, path: str) -> None:
        real = self._real(path, "delete", follow=False)
        self._refuse_root(real, path)
        with translated("delete", path):
            if os.path.islink(real) and os.path.isdir(real):
                os.unlink(real)
            else:
                os.rmdir(real)

    def make_folder(self, path: str) -> None:
        real = self._real(path, "make")
        with translated("make", path, missing="the folder it should be in does not exist"):
            os.mkdir(real)

    def rename(self, source: str, target: str, *, overwrite: bool = False) -> None:
        old = self._real(source, "rename", follow=False)
        new = self._real(target, "rename", follow=False)
        self._refuse_root(old, source)
        with translated("rename", source):
            is_folder = stat.S_ISDIR(os.lstat(old).st_mode)
        if target.endswith("/") and not is_folder:
            raise InvalidName(
                f"Could not rename “{shown(source)}” to “{target}”: a file's name has no “/” at its end.", path=target
            )
        if new.startswith(old + os.sep):
            raise NotSupported(f"Could not move “{shown(source)}”: a folder cannot go into itself.", path=source)
        with translated("rename", source, missing=f"the folder of “{shown(target)}” does not exist"):
            try:
                self._move(old, new, overwrite=overwrite, is_folder=is_folder)
            except FileExistsError as exc:
                message = f"Could not rename “{shown(source)}”: “{shown(target)}” exists already."
                raise AlreadyExists(message, path=target) from exc

    def copy(self, source: str, target: str, *, overwrite: bool = False) -> None:
        modified = self.stat(source).last_modified
        with self.open_reader(source) as reader:
            with self.open_writer(target, overwrite=overwrite, modified=modified) as writer:
                for chunk in reader.iter_chunks(STEP_BYTES):
                    writer.write(chunk)
        with translated("copy", source):
            shutil.copymode(self._real(source, "copy"), self._real(target, "copy"))

    def check(self) -> str:
        self._check()
        with translated("open", self._root):
            os.scandir(self._root).close()
        return f"The folder “{self._root}” can be opened."

    def interrupt(self) -> None:
        self._stop.set()

    def shutdown(self) -> None:
        return None

    # -- private -----------------------------------------------------------------------------------------------------

    def _check(self) -> None:
        if self._stop.is_set():
            raise Cancelled

    def _real(self, path: str, verb: str, *, follow: bool = True) -> str:
        """The path of the disk; refuses what leads out of the root.

        The last name is not followed when `follow` is False: it is the link itself that is meant.
        """
        self._check()
        parts = path.removesuffix("/").split("/") if path else []
        if any(part in ("", ".", "..") or not _FORBIDDEN_LETTERS.isdisjoint(part) for part in parts):
            raise InvalidName(f"Could not {verb} “{shown(path)}”: the disk cannot store this name.", path=path)
        real = os.path.join(self._root, *parts)
        with translated(verb, path):
            above = os.path.realpath(real if follow else os.path.dirname(real)) if parts else self._root
        if not self._is_inside(above):
            raise PermissionDenied(f"Could not {verb} “{shown(path)}”: it lies outside the folder.", path=path)
        return real

    def _real_file(self, path: str, verb: str) -> str:
        if path.endswith("/") or not path:
            raise InvalidName(f"Could not {verb} “{shown(path)}”: this is the name of a folder.", path=path)
        return self._real(path, verb)

    def _refuse_root(self, real: str, path: str) -> None:
        if real == self._root:
            raise PermissionDenied("The connection's own folder cannot be changed here.", path=path)

    def _move(self, old: str, new: str, *, overwrite: bool, is_folder: bool) -> None:
        if _is_same(old, new):
            os.rename(old, new)  # perhaps in another case
        elif is_folder:
            if not overwrite and os.path.lexists(new):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            os.rename(old, new)
        elif overwrite:
            os.replace(old, new)
        else:
            move_without_clobbering(old, new)

    def _scan(self, folder: str, below: str) -> Iterator[ListEntry]:
        """The entries of one folder, by their names below the folder that is listed."""
        real = self._real(folder + below, "list")
        with translated("list", folder + below or self._root):
            try:
                scan = os.scandir(real)
            except FileNotFoundError:
                if below:  # gone since it was listed
                    return
                raise
            with scan as entries:
                for entry in entries:
                    self._check()
                    if not is_part_name(entry.name):
                        yield self._entry(entry, below)

    def _entry(self, entry: os.DirEntry[str], below: str) -> ListEntry:
        name = f"{below}{entry.name}"
        try:
            status = entry.stat(follow_symlinks=False)
            target = os.readlink(entry.path) if entry.is_symlink() else ""
            if target and self._leads_inside(entry.path):
                status = os.stat(entry.path)
        except OSError:  # gone since, or not ours to see: it was there all the same
            return ListEntry(name, None, None)
        return _entry_of(name, status, target)

    def _is_inside(self, real: str) -> bool:
        return real == self._root or real.startswith(self._root.rstrip("/\\") + os.sep)

    def _leads_inside(self, real: str) -> bool:
        target = os.path.realpath(real)
        return os.path.exists(target) and self._is_inside(target)


def _entry_of(name: str, status: os.stat_result, link_target: str) -> ListEntry:
    if stat.S_ISDIR(status.st_mode):
        kind = EntryKind.FOLDER
    elif link_target and stat.S_ISLNK(status.st_mode):
        kind = EntryKind.LINK
    else:
        kind = EntryKind.FILE
    return ListEntry(
        name,
        time_of(status),
        0 if kind is EntryKind.FOLDER else status.st_size,
        kind,
        etag="" if kind is EntryKind.FOLDER else mark_of(status),
        permissions=stat.S_IMODE(status.st_mode),
        link_target=link_target,
    )


def _is_same(old: str, new: str) -> bool:
    """Whether two names are one file: a change of case on a disk that does not tell cases apart."""
    try:
        return os.path.samefile(old, new) and old.casefold() == new.casefold()
    except OSError:
        return False
