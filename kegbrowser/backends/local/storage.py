"""A folder of this computer behind the contract; nothing outside it is ever read or written."""

from __future__ import annotations

import os
import shutil
import stat
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

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
from kegbrowser.backends.local.files import PART_ENDING, LocalReader, LocalWriter, mark_of

PAGE_ENTRIES = 1000


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
        real = self._real(path, "open")
        with translated("open", path):
            if stat.S_ISDIR(os.stat(real).st_mode):
                raise IsADirectoryError(21, os.strerror(21))
        return LocalReader(path, real, offset, length, etag, self._stop)

    def open_writer(
        self,
        path: str,
        *,
        size_bytes: int | None = None,
        overwrite: bool = True,
        modified: datetime | None = None,
        content_type: str = "",
    ) -> RemoteFile:
        if path.endswith("/") or not path:
            raise InvalidName(f"“{shown(path)}” is a folder's name.", path=path)
        real = self._real(path, "save")
        return LocalWriter(path, real, overwrite=overwrite, modified=modified, stop=self._stop)

    def list_pages(self, path: str, *, recursive: bool = False) -> Iterator[Page]:
        folder = as_folder(path)
        entries: list[ListEntry] = []
        waiting = [""]
        told = False
        while waiting:
            below = waiting.pop()
            for entry in self._scan(folder + below):
                self._check()
                told_entry = self._entry(entry, below)
                entries.append(told_entry)
                if recursive and told_entry.is_folder and not told_entry.link_target:
                    waiting.append(f"{told_entry.name}/")
                if len(entries) >= PAGE_ENTRIES:
                    told = True
                    yield Page(tuple(entries))
                    entries = []
        if entries or not told:
            yield Page(tuple(entries))

    def stat(self, path: str) -> ListEntry:
        real = self._real(path, "find")
        with translated("find", path):
            status = os.lstat(real)
            is_link = stat.S_ISLNK(status.st_mode)
            target = os.readlink(real) if is_link else ""
            if is_link and self._leads_inside(real):
                status = os.stat(real)
            if path.endswith("/") and not stat.S_ISDIR(status.st_mode):
                raise NotADirectoryError(20, os.strerror(20))
        return _entry_of(split_path(path)[1], status, target)

    def delete(self, path: str) -> None:
        real = self._real(path, "delete", follow=False)
        with translated("delete", path):
            if stat.S_ISDIR(os.lstat(real).st_mode):
                raise IsADirectoryError(21, os.strerror(21))
            os.unlink(real)

    def delete_folder(self, path: str) -> None:
        real = self._real(path.rstrip("/"), "delete", follow=False)
        self._refuse_root(real, path)
        with translated("delete", path):
            if os.path.islink(real):
                os.unlink(real)
            else:
                os.rmdir(real)

    def make_folder(self, path: str) -> None:
        real = self._real(path, "make")
        with translated("make", path):
            os.mkdir(real)

    def rename(self, source: str, target: str, *, overwrite: bool = False) -> None:
        old = self._real(source.rstrip("/"), "rename", follow=False)
        new = self._real(target.rstrip("/"), "rename", follow=False)
        self._refuse_root(old, source)
        with translated("rename", source):
            os.lstat(old)
            if not overwrite and os.path.lexists(new) and not _is_same(old, new):
                raise AlreadyExists(
                    f"Could not rename “{shown(source)}”: “{shown(target)}” exists already.", path=target
                )
            if overwrite and not os.path.isdir(old):
                os.replace(old, new)
            else:
                os.rename(old, new)

    def copy(self, source: str, target: str, *, overwrite: bool = False) -> None:
        with self.open_reader(source) as reader:
            modified = self.stat(source).last_modified
            with self.open_writer(target, overwrite=overwrite, modified=modified) as writer:
                for chunk in reader.iter_chunks(1024 * 1024):
                    writer.write(chunk)
        shutil.copymode(self._real(source, "copy"), self._real(target, "copy"))

    def check(self) -> str:
        with translated("open", self._root):
            os.scandir(self._root).close()
        return f"“{self._root}” can be opened."

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
        if any(part in ("", ".", "..") for part in parts):
            raise InvalidName(f"Could not {verb} “{shown(path)}”: the disk cannot store this name.", path=path)
        real = os.path.join(self._root, *parts)
        with translated(verb, path):
            above = os.path.realpath(real if follow else os.path.dirname(real)) if parts else self._root
        if above != self._root and not above.startswith(self._root.rstrip("/\\") + os.sep):
            raise PermissionDenied(f"Could not {verb} “{shown(path)}”: it lies outside the folder.", path=path)
        return real

    def _refuse_root(self, real: str, path: str) -> None:
        if real == self._root:
            raise PermissionDenied("The connection's own folder cannot be changed here.", path=path)

    def _scan(self, folder: str) -> Iterator[os.DirEntry[str]]:
        real = self._real(folder, "list")
        with translated("list", folder):
            with os.scandir(real) as entries:
                for entry in entries:
                    if not (entry.name.startswith(".") and entry.name.endswith(PART_ENDING)):
                        yield entry

    def _entry(self, entry: os.DirEntry[str], below: str) -> ListEntry:
        name = f"{below}{entry.name}"
        try:
            status = entry.stat(follow_symlinks=False)
            target = os.readlink(entry.path) if entry.is_symlink() else ""
            if target and self._leads_inside(entry.path):
                status = os.stat(entry.path)
        except OSError:  # gone since, or not ours to see: it is there all the same
            return ListEntry(name, None, None, EntryKind.FILE)
        return _entry_of(name, status, target)

    def _leads_inside(self, real: str) -> bool:
        target = os.path.realpath(real)
        return os.path.exists(target) and (target == self._root or target.startswith(self._root.rstrip("/\\") + os.sep))


def _entry_of(name: str, status: os.stat_result, link_target: str) -> ListEntry:
    if stat.S_ISDIR(status.st_mode):
        kind = EntryKind.FOLDER
    elif link_target and stat.S_ISLNK(status.st_mode):
        kind = EntryKind.LINK
    else:
        kind = EntryKind.FILE
    return ListEntry(
        name,
        datetime.fromtimestamp(status.st_mtime, UTC),
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
