"""What the reader and the writer of a blob share."""

from __future__ import annotations

from azure.storage.blob import BlobServiceClient

from kegbrowser.backends.azure.calls import Guard
from kegbrowser.backends.azure.deeds import Deed, last_name
from kegbrowser.backends.azure.names import check_sendable
from kegbrowser.backends.azure.translate import server_of, translated
from kegbrowser.backends.base import FileMode, RemoteFile
from kegbrowser.backends.errors import NotSupported


class AzureFile(RemoteFile):
    """Base of the reader and the writer.

    Args:
        container_name: of the blob.
        path: the blob's exact name.
        mode: read or write; both at once are refused.
        service: the SDK's client of the account; not closed here.
        chunk_size: bytes of a range or block.
        guard: translates errors; made here for a bare client.
        shown_path: the path for errors, where it is not the blob's name.

    Raises:
        NotSupported: reading and writing at once.
        InvalidName: the name is no valid text.
    """

    def __init__(
        self,
        container_name: str,
        path: str,
        mode: FileMode,
        service: BlobServiceClient,
        chunk_size: int = 10_485_760,
        *,
        guard: Guard | None = None,
        shown_path: str | None = None,
    ) -> None:
        super().__init__(mode)
        self.closed = True  # until it is open: nothing to close if this raises
        self.container_name = container_name
        self.path = path
        self.chunk_size = chunk_size
        self._service = service
        self._guard = guard or _bare_guard(service)
        self._shown_path = path if shown_path is None else shown_path
        if FileMode.read in mode and FileMode.write in mode:
            what = f"“{last_name(path)}” can be opened for reading or for writing, not for both."
            raise NotSupported(what, path=self._shown_path)
        if chunk_size < 1:
            raise ValueError("A chunk has at least one byte.")
        check_sendable(self._deed("open", "read"))

    def close(self) -> None:
        self.closed = True

    def _deed(self, verb: str, right: str) -> Deed:
        return Deed(verb, right, self.container_name, self.path, self._shown_path)

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("The file is closed.")


def _bare_guard(service: BlobServiceClient) -> Guard:
    server = server_of(service.url)
    return lambda deed: translated(deed, server, lambda: False)
