"""A storage that passes everything on to another: what the doubles around any backend have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

from kegbrowser.backends.base import FileMode, ListEntry, Page, RemoteFile, StorageBackend
from kegbrowser.backends.proofs import Digests, Proof
from kegbrowser.backends.uploads import IncompleteUpload, Part, PartedUpload, UploadSpec


class PassingBackend(StorageBackend):
    """Calls `before(name)` ahead of each call, also of each page, and lets files pass through `wrap`. Any thread."""

    def __init__(self, inner: StorageBackend) -> None:
        super().__init__(inner.name)
        self.inner = inner
        self.capabilities = inner.capabilities

    def before(self, call: str) -> None:
        """What comes ahead of each call, by the method's name."""

    def wrap(self, file: RemoteFile) -> RemoteFile:
        """Put something around a file that was opened."""
        return PassingFile(self, file)

    def open(self, path: str, mode: FileMode | str) -> RemoteFile:
        self.before("open")
        return self.wrap(self.inner.open(path, mode))

    def delete(self, path: str) -> None:
        self.before("delete")
        self.inner.delete(path)

    def list_pages(self, path: str, *, recursive: bool = False) -> Iterator[Page]:
        self.before("list_pages")
        for page in self.inner.list_pages(path, recursive=recursive):
            yield page
            self.before("list_pages")

    def digests(self, path: str, *, etag: str = "") -> Digests:
        self.before("digests")
        return self.inner.digests(path, etag=etag)

    def begin_upload(self, spec: UploadSpec) -> PartedUpload:
        self.before("begin_upload")
        return PassingUpload(self, self.inner.begin_upload(spec))

    def resume_upload(self, spec: UploadSpec, token: str, parts: Mapping[int, Part]) -> PartedUpload:
        self.before("resume_upload")
        return PassingUpload(self, self.inner.resume_upload(spec, token, parts))

    def incomplete_uploads(self, path: str) -> Iterator[IncompleteUpload]:
        self.before("incomplete_uploads")
        return self.inner.incomplete_uploads(path)

    def discard_upload(self, path: str, token: str) -> None:
        self.before("discard_upload")
        self.inner.discard_upload(path, token)

    def stat(self, path: str) -> ListEntry:
        self.before("stat")
        return self.inner.stat(path)

    def open_reader(self, path: str, *, offset: int = 0, length: int | None = None, etag: str = "") -> RemoteFile:
        self.before("open_reader")
        return self.wrap(self.inner.open_reader(path, offset=offset, length=length, etag=etag))

    def open_writer(
        self,
        path: str,
        *,
        size_bytes: int | None = None,
        overwrite: bool = True,
        modified: datetime | None = None,
        content_type: str = "",
    ) -> RemoteFile:
        self.before("open_writer")
        return self.wrap(
            self.inner.open_writer(
                path, size_bytes=size_bytes, overwrite=overwrite, modified=modified, content_type=content_type
            )
        )

    def delete_folder(self, path: str) -> None:
        self.before("delete_folder")
        self.inner.delete_folder(path)

    def make_folder(self, path: str) -> None:
        self.before("make_folder")
        self.inner.make_folder(path)

    def rename(self, source: str, target: str, *, overwrite: bool = False) -> None:
        self.before("rename")
        self.inner.rename(source, target, overwrite=overwrite)

    def copy(self, source: str, target: str, *, overwrite: bool = False) -> None:
        self.before("copy")
        self.inner.copy(source, target, overwrite=overwrite)

    def check(self) -> str:
        self.before("check")
        return self.inner.check()

    def home(self) -> str:
        self.before("home")
        return self.inner.home()

    def interrupt(self) -> None:
        self.inner.interrupt()

    def shutdown(self) -> None:
        self.inner.shutdown()


class PassingFile(RemoteFile):
    """Calls `before` of its storage ahead of each read, write and close."""

    def __init__(self, storage: PassingBackend, inner: RemoteFile) -> None:
        super().__init__(inner.mode)
        self.storage = storage
        self.inner = inner

    def read(self, size: int) -> bytes:
        self.storage.before("read")
        return self.inner.read(size)

    def write(self, data: bytes) -> None:
        self.storage.before("write")
        self.inner.write(data)

    def close(self) -> None:
        if not self.closed:
            self.storage.before("close")
            self.closed = True
            self.inner.close()

    def abort(self) -> None:
        self.closed = True
        self.inner.abort()


class PassingUpload(PartedUpload):
    """Passes everything on to another upload."""

    def __init__(self, storage: PassingBackend, inner: PartedUpload) -> None:
        self.storage = storage
        self.inner = inner
        self.token, self.part_bytes, self.parts = inner.token, inner.part_bytes, inner.parts
        self.max_parallel = inner.max_parallel

    def send(self, number: int, content: bytes, on_sent: Callable[[int], None]) -> Part:
        self.storage.before("send")
        return self.inner.send(number, content, on_sent)

    def commit(self) -> Proof:
        self.storage.before("commit")
        return self.inner.commit()

    def discard(self) -> None:
        self.inner.discard()

    def leave(self) -> None:
        self.inner.leave()
