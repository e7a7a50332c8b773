"""The local disk's errors as the storage's: the engine's own border to the operating system."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from kegbrowser.backends.errors import (
    AlreadyExists,
    FileNotFoundInStorageError,
    InvalidName,
    IsAFolder,
    NotAFolder,
    PermissionDenied,
    QuotaExceeded,
    StorageError,
)

_REASONS: dict[int, tuple[type[StorageError], str, str]] = {
    errno.ENOSPC: (QuotaExceeded, "the disk is full", "Free some space, then retry."),
    errno.EDQUOT: (QuotaExceeded, "your quota on this disk is used up", "Free some space, then retry."),
    errno.EFBIG: (QuotaExceeded, "it is too large for this disk", "Choose a folder on another disk."),
    errno.ENAMETOOLONG: (InvalidName, "its name is too long for this disk", "Use a shorter name or folder."),
    errno.EILSEQ: (InvalidName, "this disk cannot hold its name", "Use another name."),
    errno.EINVAL: (InvalidName, "this disk cannot hold its name", "Use another name."),
    errno.EROFS: (PermissionDenied, "this disk is read-only", "Choose a folder on another disk."),
    errno.EACCES: (PermissionDenied, "you may not do this here", "Change the permissions or choose another folder."),
    errno.EPERM: (PermissionDenied, "you may not do this here", "Change the permissions or choose another folder."),
    errno.ENOENT: (FileNotFoundInStorageError, "it is not there any more", ""),
    errno.EEXIST: (AlreadyExists, "there is something of that name already", ""),
    errno.EISDIR: (IsAFolder, "there is a folder of that name", ""),
    errno.ENOTDIR: (NotAFolder, "a part of its path is not a folder", ""),
}


def local_error(exc: OSError, verb: str, path: str) -> StorageError:
    """What the disk's refusal means; `verb` as in "save": Could not save “photo.jpg”: the disk is full."""
    name = os.path.basename(path.rstrip("/\\")) or path
    known = _REASONS.get(exc.errno or 0)
    if known is None:
        reason = (exc.strerror or type(exc).__name__).rstrip(".")
        return StorageError(f"Could not {verb} “{name}”: {reason[:1].lower()}{reason[1:]}.", path=path)
    kind, reason, hint = known
    return kind(f"Could not {verb} “{name}”: {reason}.", path=path, hint=hint or None)


@contextmanager
def local_errors(verb: str, path: str) -> Iterator[None]:
    """Turn OSErrors of the block into StorageErrors about `path`; those that are StorageErrors already pass."""
    try:
        yield
    except StorageError:
        raise
    except OSError as exc:
        raise local_error(exc, verb, path) from exc
