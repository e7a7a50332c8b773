"""The border to the operating system: what its refusals mean."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from kegbrowser.backends.errors import (
    AlreadyExists,
    FileNotFoundInStorageError,
    FolderNotEmpty,
    InvalidName,
    IsAFolder,
    NotAFolder,
    NotSupported,
    PermissionDenied,
    QuotaExceeded,
    StorageError,
)

_KINDS: dict[int, tuple[type[StorageError], str]] = {
    errno.ENOENT: (FileNotFoundInStorageError, "it does not exist"),
    errno.EEXIST: (AlreadyExists, "it exists already"),
    errno.ENOTDIR: (NotAFolder, "it is not a folder"),
    errno.EISDIR: (IsAFolder, "it is a folder"),
    errno.ENOTEMPTY: (FolderNotEmpty, "the folder is not empty"),
    errno.EACCES: (PermissionDenied, "you may not do this"),
    errno.EPERM: (PermissionDenied, "you may not do this"),
    errno.EROFS: (PermissionDenied, "the disk is read-only"),
    errno.ENOSPC: (QuotaExceeded, "the disk is full"),
    errno.EDQUOT: (QuotaExceeded, "your quota is used up"),
    errno.EFBIG: (QuotaExceeded, "the file is too large for the disk"),
    errno.ENAMETOOLONG: (InvalidName, "the name is too long for the disk"),
    errno.EILSEQ: (InvalidName, "the disk cannot store this name"),
    errno.EINVAL: (InvalidName, "the disk cannot store this name"),
    errno.ELOOP: (NotAFolder, "its links lead in a circle"),
    errno.EXDEV: (NotSupported, "it would have to go to another disk"),
}


@contextmanager
def translated(verb: str, path: str, *, missing: str = "it does not exist") -> Iterator[None]:
    """Turn an OSError into what it means; `verb` as in "open": Could not open “a.txt”: it does not exist.

    `missing`: the reason to give where something is not there.
    """
    try:
        yield
    except StorageError:
        raise
    except ValueError as exc:  # a NUL, or a letter that has no bytes
        raise InvalidName(f"Could not {verb} “{shown(path)}”: the disk cannot store this name.", path=path) from exc
    except OSError as exc:
        kind, reason = _KINDS.get(exc.errno or 0, (StorageError, exc.strerror or "the disk refused"))
        if kind is FileNotFoundInStorageError:
            reason = missing
        raise kind(f"Could not {verb} “{shown(path)}”: {reason}.", path=path) from exc


def shown(path: str) -> str:
    """The last name of a path, as it may stand in a sentence."""
    name = path.removesuffix("/").rpartition("/")[2] or path or "the folder"
    return name.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
