"""The storage library: one contract, one folder per protocol. Importable alone, without Qt.

The backends are reached through `registry`; nothing here imports an SDK until a backend is opened.
"""

from kegbrowser.backends.base import (
    Capabilities,
    DeleteResult,
    EntryKind,
    FileMode,
    ListEntry,
    Page,
    RemoteFile,
    StorageBackend,
)
from kegbrowser.backends.errors import FileNotFoundInStorageError, StorageError
from kegbrowser.backends.locations import Location, RemotePath

__all__ = [
    "Capabilities",
    "DeleteResult",
    "EntryKind",
    "FileMode",
    "FileNotFoundInStorageError",
    "ListEntry",
    "Location",
    "Page",
    "RemoteFile",
    "RemotePath",
    "StorageBackend",
    "StorageError",
]
