"""SFTP: files on a server that speaks SSH. The SDK (paramiko) is imported when a connection is opened, not before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kegbrowser.backends.sftp.options import BACKEND

if TYPE_CHECKING:
    from kegbrowser.backends.sftp.files import SFTPRemoteFile
    from kegbrowser.backends.sftp.storage import SFTPStorage

__all__ = ["BACKEND", "SFTPRemoteFile", "SFTPStorage"]


def __getattr__(name: str) -> Any:
    if name == "SFTPStorage":
        from kegbrowser.backends.sftp.storage import SFTPStorage

        return SFTPStorage
    if name == "SFTPRemoteFile":
        from kegbrowser.backends.sftp.files import SFTPRemoteFile

        return SFTPRemoteFile
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
