"""Azure Blob storage. The SDK is imported when a connection is opened, not before."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kegbrowser.backends.azure.options import BACKEND

if TYPE_CHECKING:
    from kegbrowser.backends.azure.files import AzureFile
    from kegbrowser.backends.azure.reader import AzureReader
    from kegbrowser.backends.azure.storage import AzureStorage
    from kegbrowser.backends.azure.writer import AzureWriter

__all__ = ["BACKEND", "AzureFile", "AzureReader", "AzureStorage", "AzureWriter"]

_MODULES = {"AzureStorage": "storage", "AzureFile": "files", "AzureReader": "reader", "AzureWriter": "writer"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
