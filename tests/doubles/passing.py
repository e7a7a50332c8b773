"""A storage that passes everything on to another: what the doubles around any backend have in common."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from kegbrowser.backends.base import FileMode, ListEntry, Page, RemoteFile, StorageBackend


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
