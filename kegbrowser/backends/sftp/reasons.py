"""Why a server refused: SFTP version 3 says little more than "failure", so that the server is asked about what is there."""

from __future__ import annotations

from contextlib import suppress

from kegbrowser.backends.errors import (
    AlreadyExists,
    FileNotFoundInStorageError,
    FolderNotEmpty,
    InvalidName,
    IsAFolder,
    NotAFolder,
    QuotaExceeded,
    StorageError,
)
from kegbrowser.backends.sftp import wire
from kegbrowser.backends.sftp.client import Client
from kegbrowser.backends.sftp.publishing import facts_of
from kegbrowser.backends.sftp.translate import (
    FAILURE,
    NO_SUCH_FILE,
    PERMISSION,
    SESSION_ERRORS,
    SftpEnd,
    SftpStatus,
    shown,
)

NEARLY_FULL_BYTES = 4 * 1024 * 1024


def not_listed(client: Client, real: bytes, path: str) -> StorageError | None:
    with suppress(SftpStatus):
        if not client.attributes(wire.STAT, real).is_folder:
            return NotAFolder(f"“{shown(path)}” is not a folder.", path=path)
    return None


def not_opened(client: Client, real: bytes, path: str) -> StorageError | None:
    with suppress(SftpStatus):
        if client.attributes(wire.STAT, real).is_folder:
            return IsAFolder(f"“{shown(path)}” is a folder.", path=path)
    return None


def not_removed(client: Client, real: bytes, path: str) -> StorageError | None:
    with suppress(SftpStatus):
        found = facts_of(client, real)
        if found is not None and found.is_folder:
            return IsAFolder(f"Could not delete “{shown(path)}”: it is a folder.", path=path)
    return None


def folder_not_removed(client: Client, real: bytes, path: str) -> StorageError | None:
    with suppress(SftpStatus):
        found = facts_of(client, real)
        if found is None:
            return None
        if not found.is_folder:
            return NotAFolder(f"Could not delete “{shown(path)}”: it is not a folder.", path=path)
        if _holds_something(client, real):
            return FolderNotEmpty(f"Could not delete “{shown(path)}”: the folder is not empty.", path=path)
    return None


def not_made(client: Client, real: bytes, path: str) -> StorageError | None:
    with suppress(SftpStatus):
        if facts_of(client, real) is not None:
            return AlreadyExists(f"“{shown(path)}” exists already.", path=path)
        return no_folder_above(client, real, path, "make")
    return None


def no_folder_above(client: Client, real: bytes, path: str, verb: str) -> StorageError | None:
    folder = real.rpartition(b"/")[0]
    with suppress(SftpStatus):
        if folder and facts_of(client, folder) is None:
            name = shown(folder.decode("utf-8", "surrogateescape"))
            return FileNotFoundInStorageError(
                f"Could not {verb} “{shown(path)}”: the folder “{name}” does not exist.", path=path
            )
    return None


def not_written(client: Client, status: SftpStatus, target: bytes, path: str) -> StorageError | None:
    """A bare "failure" while writing is mostly a full disk."""
    with suppress(*SESSION_ERRORS):
        if status.code == NO_SUCH_FILE:
            return no_folder_above(client, target, path, "save")
        if status.code == FAILURE and client.has(wire.FREE_SPACE) and _is_full(client, target):
            return QuotaExceeded(f"Could not save “{shown(path)}”: the disk of the server is full.", path=path)
    return None


def not_renamed(
    client: Client, status: SftpStatus, old: bytes, new: bytes, source: str, target: str
) -> StorageError | None:
    with suppress(SftpStatus):
        moved, taken = facts_of(client, old), facts_of(client, new)
        if moved is None:
            return FileNotFoundInStorageError(f"Could not rename “{shown(source)}”: it does not exist.", path=source)
        if moved.is_folder and new.startswith(old + b"/"):
            return InvalidName(
                f"Could not move “{shown(source)}”: a folder cannot be put into itself.",
                path=source,
                hint="Choose another folder.",
            )
        if status.code == PERMISSION:
            return None
        if taken is not None:
            return _not_replaced(client, new, source, target, moved=moved, taken=taken)
        folder = new.rpartition(b"/")[0]
        above = client.attributes(wire.STAT, folder) if folder and facts_of(client, folder) is not None else None
        if folder and (above is None or not above.is_folder):
            return FileNotFoundInStorageError(
                f"Could not rename “{shown(source)}”: the folder it should go to does not exist.", path=target
            )
    return None


def _not_replaced(
    client: Client, new: bytes, source: str, target: str, *, moved: wire.Attributes, taken: wire.Attributes
) -> StorageError | None:
    if taken.is_folder and not moved.is_folder:
        return IsAFolder(f"Could not replace “{shown(target)}”: it is a folder.", path=target)
    if moved.is_folder and not taken.is_folder:
        return NotAFolder(f"Could not replace “{shown(target)}” by a folder: it is a file.", path=target)
    if taken.is_folder and _holds_something(client, new):
        return FolderNotEmpty(f"Could not replace “{shown(target)}”: the folder is not empty.", path=target)
    return AlreadyExists(f"“{shown(target)}” exists already.", path=target)


def _is_full(client: Client, target: bytes) -> bool:
    try:
        answer = client.extended(wire.FREE_SPACE, target.rpartition(b"/")[0] or b".")
    except SftpStatus:
        return False
    _block, fragment, _blocks, _free, available, _files, _free_files, available_files = (
        answer.uint64() for _field in range(8)
    )
    return available * fragment < NEARLY_FULL_BYTES or available_files == 0


def _holds_something(client: Client, folder: bytes) -> bool:
    handle = client.ask(wire.OPENDIR, folder).string()
    try:
        while True:
            answer = client.ask(wire.READDIR, handle)
            for _row in range(answer.uint32()):
                name = answer.string()
                answer.string()
                answer.attributes()
                if name not in (b".", b".."):
                    return True
    except SftpEnd:
        return False
    finally:
        client.send(wire.CLOSE, handle)
