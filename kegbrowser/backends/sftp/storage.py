"""An SFTP server behind the contract."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from datetime import UTC, datetime

from kegbrowser.backends.base import (
    Capabilities,
    DeleteResult,
    FileMode,
    ListEntry,
    Page,
    RemoteFile,
    StorageBackend,
    as_folder,
    split_path,
)
from kegbrowser.backends.batches import FileResult, ReadRequest, WriteRequest
from kegbrowser.backends.errors import (
    AlreadyExists,
    InvalidName,
    IsAFolder,
    NotAFolder,
    NotSupported,
    StorageError,
)
from kegbrowser.backends.proofs import Digests
from kegbrowser.backends.sftp import (
    batches,
    checking,
    copying,
    links,
    publishing,
    reasons,
    removing,
    renaming,
    small_files,
    uploads,
    wire,
)
from kegbrowser.backends.sftp.client import Client
from kegbrowser.backends.sftp.listing import Listing, Refused, entry_of, owner_by_id
from kegbrowser.backends.sftp.reader import SftpReader
from kegbrowser.backends.sftp.sessions import Session, Sessions
from kegbrowser.backends.sftp.target import Target
from kegbrowser.backends.sftp.translate import NO_SUCH_FILE, SftpStatus, shown, status_error, translated
from kegbrowser.backends.sftp.wire import Attributes
from kegbrowser.backends.sftp.writer import SftpWriter
from kegbrowser.backends.uploads import IncompleteUpload, Part, PartedUpload, UploadSpec

DELETES_AHEAD = 64


class SFTPStorage(StorageBackend):
    """Files of one user of one server. Any thread; connections are shared and opened when they are needed.

    Paths are as the server takes them: relative to the login folder, or from "/". With `root` every path is below that
    folder, and "" is the folder itself.

    Args:
        host: name or address.
        username: of the server; "" for the name that one is logged in with here.
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
        known_hosts_files: further known_hosts files.
        connect_timeout_s, timeout_s: until connected; of silence in the middle.
        checksums: let the server compute them, by commands of its shell.
    """

    capabilities = Capabilities(
        rename=True,
        rename_folder=True,
        real_folders=True,
        set_modified=True,
        permissions=True,
        resumable=True,
        links=True,
        max_name_bytes=publishing.MAX_NAME_BYTES,
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
        known_hosts_files: tuple[str, ...] = (),
        connect_timeout_s: float = 10.0,
        timeout_s: float = 60.0,
        checksums: bool = True,
    ) -> None:
        super().__init__(name)
        self._root = root
        self._start_folder = start_folder
        self._target = Target(
            host,
            port,
            username,
            key_filename,
            (*((known_hosts_fpath,) if known_hosts_fpath else ()), *known_hosts_files),
            tuple(host_keys),
            allow_agent,
            look_for_keys,
            password,
            passphrase,
            connect_timeout_s,
            timeout_s,
            checksums,
        )
        self._names_of_ids: dict[tuple[bool, int], str] = {}
        self._sessions = Sessions(self._target, self._learn)

    # -- reading and writing -----------------------------------------------------------------------------------------

    def open(self, path: str, mode: FileMode | str) -> RemoteFile:
        wanted = FileMode.as_mode(mode)
        if wanted == FileMode.read:
            return self.open_reader(path)
        if wanted == FileMode.write:
            return self.open_writer(path)
        raise NotSupported(f"“{shown(path)}” can be opened for reading or for writing, not for both.", path=path)

    def open_reader(self, path: str, *, offset: int = 0, length: int | None = None, etag: str = "") -> RemoteFile:
        real = self._real_file(path, "open")

        def why(status: SftpStatus) -> StorageError | None:
            return self._asked(lambda client: reasons.not_opened(client, real, path), status)

        return SftpReader(path, real, self._sessions, lambda: self._translated("read", path, why), offset, length, etag)

    def open_writer(
        self,
        path: str,
        *,
        size_bytes: int | None = None,
        overwrite: bool = True,
        modified: datetime | None = None,
        content_type: str = "",
    ) -> RemoteFile:
        return SftpWriter(
            path,
            self._real_new_file(path),
            self._sessions,
            self._saving(path),
            overwrite=overwrite,
            modified=modified,
        )

    def digests(self, path: str, *, etag: str = "") -> Digests:
        real = self._real_file(path, "check")
        with self._translated("check", path):
            return checking.digests(self._sessions, real, path, etag)

    # -- many small files --------------------------------------------------------------------------------------------

    def read_files(self, requests: Iterator[ReadRequest | None], in_flight: Callable[[], int]) -> Iterator[FileResult]:
        def start(session: Session, request: ReadRequest) -> small_files.Reading:
            return small_files.Reading(session, request, self._real_file(request.path, "read"))

        yield from batches.Batch(self._sessions, start, self._translated, "read").run(requests, in_flight)

    def write_files(
        self, requests: Iterator[WriteRequest | None], in_flight: Callable[[], int]
    ) -> Iterator[FileResult]:
        def start(session: Session, request: WriteRequest) -> small_files.Writing:
            return small_files.Writing(session, request, self._real_new_file(request.path))

        yield from batches.Batch(self._sessions, start, self._translated, "save").run(requests, in_flight)

    # -- uploads in parts --------------------------------------------------------------------------------------------

    def begin_upload(self, spec: UploadSpec) -> PartedUpload:
        return uploads.begin(spec, self._real_new_file(spec.path), self._sessions, self._saving(spec.path))

    def resume_upload(self, spec: UploadSpec, token: str, parts: Mapping[int, Part]) -> PartedUpload:
        real = self._real_new_file(spec.path)
        return uploads.resume(spec, real, token, parts, self._sessions, self._saving(spec.path))

    def incomplete_uploads(self, path: str) -> Iterator[IncompleteUpload]:
        return uploads.incomplete(as_folder(path), self._pages(path, recursive=True, tolerant=True))

    def discard_upload(self, path: str, token: str) -> None:
        real = self._real_new_file(path)
        with self._translated("clean up", path), self._sessions.client() as client:
            uploads.remove(client, real, path, token)

    # -- listing -----------------------------------------------------------------------------------------------------

    def list_pages(self, path: str, *, recursive: bool = False) -> Iterator[Page]:
        return self._pages(path, recursive=recursive)

    def _pages(self, path: str, *, recursive: bool, tolerant: bool = False) -> Iterator[Page]:
        real = self._real(as_folder(path), "list")
        with self._translated("list", path):
            session = self._sessions.take()
        has_ended = False
        try:
            pages = Listing(session, real, recursive=recursive, tolerant=tolerant).pages()
            while True:
                with self._translated("list", path):
                    try:
                        page = next(pages, None)
                    except Refused as refused:
                        has_ended = session.is_usable
                        raise self._why_not_listed(session, refused, path) from refused
                if page is None:
                    has_ended = True
                    return
                yield page
        finally:
            if has_ended:
                self._sessions.give_back(session)
            else:
                self._sessions.discard(session)

    def stat(self, path: str) -> ListEntry:
        real = self._real(path, "find")
        with self._translated("find", path), self._sessions.client() as client:
            facts, target = client.attributes(wire.LSTAT, real), ""
            if facts.is_link:
                target = client.name(wire.READLINK, real).decode("utf-8", "surrogateescape")
                with suppress(SftpStatus):
                    facts = client.attributes(wire.STAT, real)
            entry = entry_of(split_path(path)[1], facts, target, self._owner(client, facts))
        if path.endswith("/") and not entry.is_folder:
            raise NotAFolder(f"“{shown(path)}” is not a folder.", path=path)
        if facts.accessed_s is None:
            return entry
        read_at = datetime.fromtimestamp(facts.accessed_s, UTC)
        return replace(entry, extra=(("Last read", f"{read_at:%Y-%m-%d %H:%M:%S} UTC"),))

    def check(self) -> str:
        folder = self.home()
        real = self._real(folder, "open")
        with self._translated("open", folder or "/"), self._sessions.client() as client:
            client.send(wire.CLOSE, client.ask(wire.OPENDIR, real).string())
        return f"Connected to {self._target.server} as {self._target.user}."

    def home(self) -> str:
        if self._root is None:
            return ""
        with self._translated("find", self._start_folder or "the start folder"), self._sessions.client() as client:
            wanted = self._start_folder.encode("utf-8", "surrogateescape") or b"."
            found = client.name(wire.REALPATH, wanted).decode("utf-8", "surrogateescape")
        root, folder = as_folder(self._root), as_folder(found)
        return folder.removeprefix(root) if folder.startswith(root) else ""

    # -- changing ----------------------------------------------------------------------------------------------------

    def delete(self, path: str) -> None:
        real = self._real_file(path, "delete")
        self._change("delete", path, wire.REMOVE, real, reasons.not_removed)

    def delete_files(self, paths: Iterable[str]) -> Iterator[DeleteResult]:
        """As in the base; many requests are in flight."""
        waiting = iter(paths)
        while batch := [path for _place, path in zip(range(DELETES_AHEAD), waiting, strict=False)]:
            yield from self._delete_batch(batch)

    def delete_folder(self, path: str) -> None:
        real = self._real(path, "delete")
        if not path.strip("/"):
            raise NotSupported(f"Could not delete “{shown(path)}”: it is the root.", path=path)
        with self._translated("delete", path), self._sessions.client() as client:
            try:
                client.ask(wire.RMDIR, real)
            except SftpStatus as status:
                found = publishing.facts_of(client, real)
                if found is None or not found.is_link:
                    raise (reasons.folder_not_removed(client, real, path) or status) from status
                client.ask(wire.REMOVE, real)  # of a link to a folder only the link goes

    def make_folder(self, path: str) -> None:
        self._change("make", path, wire.MKDIR, self._real(path, "make"), reasons.not_made, wire.NO_ATTRIBUTES)

    def rename(self, source: str, target: str, *, overwrite: bool = False) -> None:
        old, new = self._real(source, "rename"), self._real(target, "rename")
        with self._translated("rename", source):
            renaming.rename(self._sessions, source, target, old, new, overwrite=overwrite)

    def copy(self, source: str, target: str, *, overwrite: bool = False) -> None:
        old, new = self._real_file(source, "copy"), self._real(target, "copy")
        with self._translated("copy", source), self._sessions.client() as client:
            if not client.has(wire.COPY_DATA):
                raise NotSupported(f"{self._target.server} cannot copy by itself.", path=source)
            if not overwrite and publishing.facts_of(client, new) is not None:
                raise AlreadyExists(f"“{shown(target)}” exists already.", path=target)
            if old == new:
                return
            copying.copy(self._sessions, client, source, target, old, new, overwrite=overwrite)

    def make_link(self, path: str, target: str) -> None:
        real = self._real_new_file(path)
        if not target or "\0" in target:
            raise InvalidName(f"Could not make the link “{shown(path)}”: it leads nowhere.", path=path)
        with self._translated("make", path), self._sessions.client() as client:
            links.make(client, real, target.encode("utf-8", "surrogateescape"), path)

    def interrupt(self) -> None:
        self._sessions.interrupt()

    def shutdown(self) -> None:
        self._sessions.close()

    # -- private -----------------------------------------------------------------------------------------------------

    def _real(self, path: str, verb: str) -> bytes:
        """The path of the server; refuses names that no file there can have."""
        if "\0" in path:
            raise InvalidName(f"Could not {verb} “{shown(path)}”: the server cannot store this name.", path=path)
        if self._root is None:
            return (path.rstrip("/") or ("/" if path.startswith("/") else ".")).encode("utf-8", "surrogateescape")
        bare = path.removesuffix("/")
        parts = bare.split("/") if bare else []
        if any(part in ("", ".", "..") for part in parts) or path == "/":
            raise InvalidName(f"Could not {verb} “{shown(path)}”: the server cannot store this name.", path=path)
        real = as_folder(self._root) + bare
        return (real.rstrip("/") or real).encode("utf-8", "surrogateescape")

    def _real_file(self, path: str, verb: str) -> bytes:
        real = self._real(path, verb)
        if path.endswith("/") or not path:
            raise IsAFolder(f"Could not {verb} “{shown(path)}”: it is a folder.", path=path)
        return real

    def _real_new_file(self, path: str) -> bytes:
        if path.endswith("/") or not path:
            raise InvalidName(f"Could not save “{shown(path)}”: this is the name of a folder.", path=path)
        return self._real(path, "save")

    def _saving(self, path: str) -> uploads.Translated:
        return lambda why: self._translated("save", path, why)

    def _translated(
        self, verb: str, path: str, why: Callable[[SftpStatus], StorageError | None] | None = None
    ) -> AbstractContextManager[None]:
        return translated(verb, path, self._target.server, lambda: self._sessions.is_interrupted, why)

    def _asked(self, question: Callable[[Client], StorageError | None], status: SftpStatus) -> StorageError | None:
        """Ask the server for a reason; None if it cannot be asked."""
        if status.code == NO_SUCH_FILE:
            return None
        try:
            with self._translated("find", ""), self._sessions.client() as client:
                return question(client)
        except StorageError:
            return None

    def _change(
        self,
        verb: str,
        path: str,
        request: int,
        real: bytes,
        why: Callable[[Client, bytes, str], StorageError | None],
        *arguments: bytes,
    ) -> None:
        with self._translated(verb, path), self._sessions.client() as client:
            try:
                client.ask(request, real, *arguments)
            except SftpStatus as status:
                raise (why(client, real, path) or status) from status

    def _delete_batch(self, batch: list[str]) -> list[DeleteResult]:
        refused: list[DeleteResult] = []
        files: list[tuple[str, bytes]] = []
        for path in batch:
            try:
                files.append((path, self._real_file(path, "delete")))
            except StorageError as error:
                refused.append(DeleteResult(path, error))
        results: list[DeleteResult] = []
        try:
            with self._translated("delete", batch[0]), self._sessions.client() as client:
                for result in removing.remove_all(client, files):
                    results.append(result)
        except StorageError as error:
            results += [DeleteResult(path, removing.told_of(path, error)) for path, _real in files[len(results) :]]
        return refused + results

    def _why_not_listed(self, session: Session, refused: Refused, path: str) -> StorageError:
        status, below = refused.__cause__, as_folder(path) + refused.below
        if not isinstance(status, SftpStatus):
            raise TypeError("a refusal without a status")
        if not session.is_usable:
            return status_error(status, "list", below)
        return reasons.not_listed(session, self._real(below, "list"), below) or status_error(status, "list", below)

    def _owner(self, client: Client, facts: Attributes) -> str:
        """User and group by name where the server tells them (OpenSSH 9.0 and newer), else by number."""
        if facts.uid is None or facts.gid is None or not client.has(wire.NAMES_OF_IDS):
            return owner_by_id(facts)
        wanted = ((True, facts.uid), (False, facts.gid))
        if any(one not in self._names_of_ids for one in wanted):
            ids = (one.to_bytes(4, "big") for _is_user, one in wanted)
            with suppress(SftpStatus):
                answer = client.extended(wire.NAMES_OF_IDS, *ids)
                for one in wanted:
                    self._names_of_ids[one] = wire.Answer(answer.string()).string().decode("utf-8", "replace")
        return ":".join(self._names_of_ids.get(one, "") or str(one[1]) for one in wanted)

    def _learn(self, session: Session) -> None:
        can_copy = session.has(wire.COPY_DATA)
        if can_copy != self.capabilities.server_copy:
            self.capabilities = replace(self.capabilities, server_copy=can_copy)
