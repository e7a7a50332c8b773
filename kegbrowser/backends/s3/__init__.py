"""Amazon S3 and compatible servers.

Importing this package does not import the SDK: the classes are loaded when they are first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from kegbrowser.backends.s3.options import BACKEND

if TYPE_CHECKING:
    from kegbrowser.backends.s3.files import S3FileBase
    from kegbrowser.backends.s3.reader import S3Reader
    from kegbrowser.backends.s3.storage import S3Storage
    from kegbrowser.backends.s3.writer import S3Writer

__all__ = ["BACKEND", "S3FileBase", "S3Reader", "S3Storage", "S3Writer"]

_MODULES = {"S3FileBase": "files", "S3Reader": "reader", "S3Storage": "storage", "S3Writer": "writer"}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
