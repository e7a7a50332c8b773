"""An SFTP server behind the contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from datetime import datetime

import paramiko
from paramiko.sftp import (
    CMD_CLOSE,
    CMD_FSTAT,
    CMD_LSTAT,
    CMD_MKDIR,
    CMD_OPEN,
    CMD_OPENDIR,
    CMD_READDIR,
    CMD_READLINK,
    CMD_REALPATH,
    CMD_REMOVE,
    CMD_RMDIR,
    CMD_STAT,
    SFTP_FLAG_READ,
)

from kegbrowser.backends.base import (
    Capabilities,
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
    FolderNotEmpty,
    InvalidName,
    IsAFolder,
    NotAFolder,
    NotSupported,
    QuotaExceeded,
    SourceChanged,
    StorageError,
)
from kegbrowser.backends.sftp import writing
from kegbrowser.backends.sftp.client import Client, is_folder, is_link, open_handle
from kegbrowser.backends.sftp.files import SftpReader, mark_of
from kegbrowser.backends.sftp.listing import Lister, entry_of
from kegbrowser.backends.sftp.sessions import Sessions, Target
from kegbrowser.backends.sftp.translate import SftpStatus, shown, translated

NO_ATTRIBUTES = paramiko.SFTPAttributes()


class SFTPStorage(StorageBackend):
    """Files of one user of one server. Any thread; connections are shared and opened when they are needed.

    Paths are as the server takes them: relative to the login folder, or from "/". With `root` every path is below that
    folder, and "" is the folder itself.

    Args:
        host: name or address.
        username: of the server.
        key_filename: a private key; None for none.
        known_hosts_fpath: a known_hosts file; None for none.
        allow_agent: try the keys of the SSH agent.
        look_for_keys: try the usual keys in ~/.ssh.
        name: as it is called in messages.
        port: of the server.
        password, passphrase: of the user, of the key file.
        root: see above.
        start_folder: what `home` gives; "" for the login folder.
        host_keys: further known host keys, lines of a known_hosts file.
        connect_timeout_s, timeout_s: until connected; of silence in the middle.
    """

    capabilities = Capabilities(
        rename=True,
        rename_folder=True,
        real_folders=True,
        set_modified=True,
        permissions=True,
        max_name_bytes=255,
        max_path_bytes=4096,
    )

    def __init__(
        self,
        host: str,
        username: str,
        key_filename: str | None,
        known_hosts_fpath: str | None,
        allow_agent: bool = False,
        look_for_keys: bool = False,
        name: str = "sftp",
        *,
        port: int = 22,
        password: str | None = None,
        passphrase: str | None = None,
        root: str | None = None,
        start_folder: str = "",
        host_keys: tuple[str, ...] = (),
        connect_timeout_s: float = 10.0,
        timeout_s: float = 60.0,
    ) -> None:
        super().__init__(name)
        self._root = root
        self._start_folder = start_folder
        target = Target(
            host,
            port,
            username,
            key_filename,
            (known_hosts_fpath,) if known_hosts_fpath else (),
            host_keys,
            allow_agent,
            look_for_keys,
            password,
            passphrase,
            connect_timeout_s,
            timeout_s,
        )
        self._server = target.server
        self.sessions = Sessions(target)

    # -- reading and writing -----------------------------------------------------------------------------------------

    def open(self, path: str, mode: FileMode | str) -> RemoteFile:
        wanted = FileMode.as_mode(mode)
        if wanted == FileMode.read:
            return self.open_reader(path)
        if wanted == FileMode.write:
            return self.open_writer(path)
        raise NotSupported(f"“{shown(path)}” can be opened for reading or for writing, not for both.", path=path)

    def open_reader(self, path: str, *, offset: int = 0, length: int | None = None, etag: str = "") -> RemoteFile:
        real = self.real(path, "open")
        with self.translated("open", path):
            client = self.sessions.take()
            try:
                handle = open_handle(client, CMD_OPEN, real, SFTP_FLAG_READ, NO_ATTRIBUTES)
            except SftpStatus:
                self.sessions.give_back(client)
                raise
            except BaseException:
                self.sessions.discard(client)
                raise
            try:
                attributes = client.attributes(CMD_FSTAT, handle)
                size = attributes.st_size or 0
                if is_folder(attributes):
                    raise IsAFolder(f"“{shown(path)}” is a folder.", path=path)
                if etag and etag != mark_of(attributes):
                    raise SourceChanged(f"“{shown(path)}” has changed.", path=path)
            except BaseException:
                self.sessions.discard(client)
                raise
        wanted = size if length is None else length
        return SftpReader(self, path, client, handle, size, mark_of(attributes), min(offset, size), wanted)

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
        return writing.open_writer(self, path, overwrite=overwrite, modified=modified)

    # -- listing -----------------------------------------------------------------------------------------------------

    def list_pages(self, path: str, *, recursive: bool = False) -> Iterator[Page]:
        waiting, told = [""], False
        while waiting:
            below = waiting.pop()
            for page in self._pages_of_one(as_folder(path) + below, below):
                if page.entries or (not told and not waiting and not recursive):
                    told = True
                    yield page
                if recursive:
                    waiting += [f"{entry.name}/" for entry in page.entries if entry.is_folder and not entry.link_target]
        if not told:
            yield Page(())

    def stat(self, path: str) -> ListEntry:
        real = self.real(path, "find")
        with self.translated("find", path), self.sessions.client() as client:
            attributes = client.attributes(CMD_LSTAT, real)
            target = ""
            if is_link(attributes):
                target = client.real_path(CMD_READLINK, real).decode("utf-8", "surrogateescape")
                with suppress(SftpStatus):
                    attributes = client.attributes(CMD_STAT, real)
            entry = entry_of(split_path(path)[1], attributes, b"", target)
        if path.endswith("/") and not entry.is_folder:
            raise NotAFolder(f"“{shown(path)}” is not a folder.", path=path)
        return entry

    def check(self) -> str:
        with self.translated("open", ""), self.sessions.client() as client:
            self._learn(client)
            handle = client.open_folder(self.real(self.home(), "open"))
            client.ask(CMD_CLOSE, handle)
        return f"Connected to {self._server}."

    def home(self) -> str:
        if self._root is None:
            return ""
        with self.translated("find", "the start folder"), self.sessions.client() as client:
            self._learn(client)
            wanted = self._start_folder.encode("utf-8", "surrogateescape") or b"."
            found = client.real_path(CMD_REALPATH, wanted).decode("utf-8", "surrogateescape")
        root = as_folder(self._root)
        return as_folder(found.removeprefix(root)) if found.startswith(root) else ""

    # -- changing ----------------------------------------------------------------------------------------------------

    def delete(self, path: str) -> None:
        self._change("delete", path, CMD_REMOVE, lambda client, real: self._why_not_removed(client, real, path))

    def delete_folder(self, path: str) -> None:
        self._change("delete", path, CMD_RMDIR, lambda client, real: self._why_folder_stays(client, real, path))

    def make_folder(self, path: str) -> None:
        def why(client: Client, real: bytes) -> StorageError | None:
            return self._exists(client, real, path)

        self._change("make", path, CMD_MKDIR, why, paramiko.SFTPAttributes())

    def rename(self, source: str, target: str, *, overwrite: bool = False) -> None:
        old, new = self.real(source, "rename"), self.real(target, "rename")
        with self.translated("rename", source), self.sessions.client() as client:
            client.attributes(CMD_LSTAT, old)
            if old == new:
                return
            if overwrite:
                writing.replace(client, old, new)
                return
            exists = self._exists(client, new, target)
            if exists is not None:
                raise exists
            writing.rename_new(client, old, new, is_folder=source.endswith("/"))

    def copy(self, source: str, target: str, *, overwrite: bool = False) -> None:
        if not self.capabilities.server_copy:
            raise NotSupported(f"{self._server} cannot copy by itself.", path=source)
        writing.copy_data(self, source, target, overwrite=overwrite)

    def interrupt(self) -> None:
        self.sessions.interrupt()

    def shutdown(self) -> None:
        self.sessions.close()

    # -- for the other modules of this package -----------------------------------------------------------------------

    def real(self, path: str, verb: str) -> bytes:
        """The path of the server; refuses names that no file there can have."""
        if self._root is None:
            return (path.rstrip("/") or ("/" if path.startswith("/") else ".")).encode("utf-8", "surrogateescape")
        bare = path.removesuffix("/")
        parts = bare.split("/") if bare else []
        if any(part in ("", ".", "..") for part in parts) or "\0" in bare or path == "/":
            raise InvalidName(f"Could not {verb} “{shown(path)}”: the server cannot store this name.", path=path)
        return (as_folder(self._root) + bare).encode("utf-8", "surrogateescape")

    def translated(
        self, verb: str, path: str, why: Callable[[], StorageError | None] | None = None
    ) -> AbstractContextManager[None]:
        return translated(verb, path, self._server, lambda: self.sessions.is_interrupted, why)

    def why_not_written(self) -> StorageError | None:
        """A bare "Failure" while writing is mostly a full disk."""
        return QuotaExceeded(f"The disk of {self._server} is full, or it refuses to write for another reason.")

    # -- private -----------------------------------------------------------------------------------------------------

    def _pages_of_one(self, path: str, below: str) -> Iterator[Page]:
        real = self.real(path, "list")
        lister = Lister(real, below)
        with self.translated("list", path, lambda: self._why_not_listed(path)):
            client = self.sessions.take()
        clean = False
        try:
            with self.translated("list", path):
                try:
                    handle = client.open_folder(real)
                except SftpStatus as status:
                    clean = True
                    raise (self._why_not_folder(client, real, path) or status) from status
                pages = lister.pages(client, handle)
                while (page := next(pages, None)) is not None:
                    yield page
                client.ask(CMD_CLOSE, handle)
                clean = True
        finally:
            if clean:
                self.sessions.give_back(client)
            else:
                self.sessions.discard(client)

    def _why_not_listed(self, path: str) -> StorageError | None:
        return None

    def _why_not_folder(self, client: Client, real: bytes, path: str) -> StorageError | None:
        with suppress(SftpStatus):
            if not is_folder(client.attributes(CMD_STAT, real)):
                return NotAFolder(f"“{shown(path)}” is not a folder.", path=path)
        return None

    def _change(
        self,
        verb: str,
        path: str,
        request: int,
        why: Callable[[Client, bytes], StorageError | None],
        *arguments: object,
    ) -> None:
        real = self.real(path, verb)
        with self.translated(verb, path), self.sessions.client() as client:
            try:
                client.ask(request, real, *arguments)
            except SftpStatus as status:
                raise (why(client, real) or status) from status

    def _why_not_removed(self, client: Client, real: bytes, path: str) -> StorageError | None:
        with suppress(SftpStatus):
            if is_folder(client.attributes(CMD_LSTAT, real)):
                return IsAFolder(f"Could not delete “{shown(path)}”: it is a folder.", path=path)
        return None

    def _why_folder_stays(self, client: Client, real: bytes, path: str) -> StorageError | None:
        with suppress(SftpStatus):
            attributes = client.attributes(CMD_LSTAT, real)
            if is_link(attributes):
                client.ask(CMD_REMOVE, real)
                return None
            if not is_folder(attributes):
                return NotAFolder(f"Could not delete “{shown(path)}”: it is not a folder.", path=path)
            _kind, answer = client.ask(CMD_OPENDIR, real)
            handle = answer.get_string()
            names = 0
            with suppress(EOFError):
                _kind, answer = client.ask(CMD_READDIR, handle)
                names = answer.get_int()
            client.ask(CMD_CLOSE, handle)
            if names > 2:
                return FolderNotEmpty(f"Could not delete “{shown(path)}”: the folder is not empty.", path=path)
        return None

    def _exists(self, client: Client, real: bytes, path: str) -> StorageError | None:
        with suppress(SftpStatus):
            client.attributes(CMD_LSTAT, real)
            return AlreadyExists(f"“{shown(path)}” exists already.", path=path)
        return None

    def _learn(self, client: Client) -> None:
        can_copy = "copy-data" in client.extensions
        if can_copy != self.capabilities.server_copy:
            self.capabilities = replace(self.capabilities, server_copy=can_copy)
