"""How a file gets onto an SFTP server whole: a temporary name, then one step to its own."""

from __future__ import annotations

import secrets
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

import paramiko
from paramiko.sftp import (
    CMD_CLOSE,
    CMD_FSETSTAT,
    CMD_LSTAT,
    CMD_OPEN,
    CMD_REALPATH,
    CMD_REMOVE,
    CMD_RENAME,
    CMD_STAT,
    SFTP_FLAG_CREATE,
    SFTP_FLAG_EXCL,
    SFTP_FLAG_READ,
    SFTP_FLAG_WRITE,
    int64,
)

from kegbrowser.backends.errors import AlreadyExists, IsAFolder, StorageError
from kegbrowser.backends.sftp.client import Client, is_folder, is_link, open_handle
from kegbrowser.backends.sftp.files import SftpWriter
from kegbrowser.backends.sftp.listing import PART_ENDING
from kegbrowser.backends.sftp.translate import BAD_MESSAGE, SftpStatus, shown

if TYPE_CHECKING:
    from kegbrowser.backends.sftp.storage import SFTPStorage

MAX_NAME_BYTES = 255
POSIX_RENAME, HARD_LINK, FSYNC, COPY_DATA = (
    "posix-rename@openssh.com",
    "hardlink@openssh.com",
    "fsync@openssh.com",
    "copy-data",
)


def open_writer(storage: SFTPStorage, path: str, *, overwrite: bool, modified: datetime | None) -> SftpWriter:
    """Begin a file: its temporary file is there, its target as it was."""
    real = storage.real(path, "save")
    with storage.translated("save", path):
        client = storage.sessions.take()
        part = b""
        try:
            target, mode = _target_of(client, real, path)
            part = part_name(target)
            flags = SFTP_FLAG_WRITE | SFTP_FLAG_CREATE | SFTP_FLAG_EXCL
            handle = open_handle(client, CMD_OPEN, part, flags, paramiko.SFTPAttributes())
        except (SftpStatus, StorageError):
            storage.sessions.give_back(client)
            raise
        except BaseException:
            storage.sessions.discard(client)
            if part:  # the server may have made it before the connection broke
                _remove_anew(storage, part)
            raise

    def publish(client: Client, handle: bytes) -> None:
        _finish(client, handle, modified, mode)
        if overwrite:
            replace(client, part, target)
        else:
            try:
                rename_new(client, part, target, is_folder=False)
            except SftpStatus as status:
                if exists(client, target):
                    raise AlreadyExists(f"“{shown(path)}” exists already.", path=path) from status
                raise

    def remove(client: Client) -> None:
        try:
            client.ask(CMD_REMOVE, part)
        except SftpStatus:
            return  # published or gone
        except (OSError, EOFError, paramiko.SSHException):
            _remove_anew(storage, part)

    return SftpWriter(storage, path, client, handle, publish, remove)


def part_name(target: bytes) -> bytes:
    """A hidden name beside the target that nobody has."""
    folder, slash, name = target.rpartition(b"/")
    ending = b"." + secrets.token_hex(4).encode() + PART_ENDING
    stem = name[: MAX_NAME_BYTES - len(ending) - 1]
    if len(stem) < len(name):  # not in the middle of a character
        stem = stem.decode("utf-8", "ignore").encode()
    return folder + slash + b"." + stem + ending


def replace(client: Client, old: bytes, new: bytes) -> None:
    """Rename over whatever has the name; in one step where the server can, else never with neither of the two there."""
    if POSIX_RENAME in client.extensions:
        client.extended(POSIX_RENAME.encode(), old, new)
        return
    if not exists(client, new):
        client.ask(CMD_RENAME, old, new)
        return
    kept = part_name(new)
    client.ask(CMD_RENAME, new, kept)
    try:
        client.ask(CMD_RENAME, old, new)
    except SftpStatus:
        client.ask(CMD_RENAME, kept, new)
        raise
    client.ask(CMD_REMOVE, kept)


def rename_new(client: Client, old: bytes, new: bytes, *, is_folder: bool) -> None:
    """Rename to a name that must be free. A file: by a hard link, which refuses a taken name in one step."""
    if not is_folder and HARD_LINK in client.extensions:
        try:
            client.extended(HARD_LINK.encode(), old, new)
        except SftpStatus:
            if exists(client, new):
                raise
            client.ask(CMD_RENAME, old, new)  # a disk without hard links
            return
        client.ask(CMD_REMOVE, old)
        return
    client.ask(CMD_RENAME, old, new)  # version 3 refuses a taken name (draft-ietf-secsh-filexfer-02, section 6.5)


def copy_data(storage: SFTPStorage, source: str, target: str, *, overwrite: bool) -> None:
    """Copy on the server (copy-data, draft-ietf-secsh-filexfer-extensions-00), by way of a temporary name."""
    real = storage.real(source, "copy")
    with storage.translated("copy", source), storage.sessions.client() as client:
        attributes = client.attributes(CMD_STAT, real)
        if is_folder(attributes):
            raise IsAFolder(f"“{shown(source)}” is a folder.", path=source)
        new = storage.real(target, "copy")
        if not overwrite and exists(client, new):
            raise AlreadyExists(f"“{shown(target)}” exists already.", path=target)
        part = part_name(new)
        reading = open_handle(client, CMD_OPEN, real, SFTP_FLAG_READ, paramiko.SFTPAttributes())
        try:
            flags = SFTP_FLAG_WRITE | SFTP_FLAG_CREATE | SFTP_FLAG_EXCL
            writing = open_handle(client, CMD_OPEN, part, flags, paramiko.SFTPAttributes())
            try:
                client.extended(COPY_DATA.encode(), reading, int64(0), int64(0), writing, int64(0))
                _finish(client, writing, None, attributes.st_mode, attributes.st_mtime)
                if overwrite:
                    replace(client, part, new)
                else:
                    rename_new(client, part, new, is_folder=False)
            except SftpStatus:
                with suppress(SftpStatus):
                    client.ask(CMD_REMOVE, part)
                raise
        finally:
            with suppress(OSError, EOFError, paramiko.SSHException):
                client.ask(CMD_CLOSE, reading)


def exists(client: Client, real: bytes) -> bool:
    try:
        client.attributes(CMD_LSTAT, real)
    except SftpStatus:
        return False
    return True


def _target_of(client: Client, real: bytes, path: str) -> tuple[bytes, int | None]:
    """Where a file really goes (through a symbolic link), and the mode to keep of the one that is there."""
    try:
        attributes = client.attributes(CMD_LSTAT, real)
        if is_link(attributes):
            real = client.real_path(CMD_REALPATH, real)
            attributes = client.attributes(CMD_LSTAT, real)
    except SftpStatus as status:
        if status.code == BAD_MESSAGE:  # a name that the server cannot hold is refused now, not at the end
            raise
        return real, None
    if is_folder(attributes):
        raise IsAFolder(f"Could not save “{shown(path)}”: a folder has this name.", path=path)
    return real, attributes.st_mode


def _finish(
    client: Client, handle: bytes, modified: datetime | None, mode: int | None, modified_s: int | None = None
) -> None:
    """Put it on the disk, set its time and mode, close it."""
    if FSYNC in client.extensions:
        with suppress(SftpStatus):
            client.extended(FSYNC.encode(), handle)
    attributes = paramiko.SFTPAttributes()
    seconds = int(modified.timestamp()) if modified is not None else modified_s
    if seconds is not None:
        attributes.st_atime = attributes.st_mtime = seconds
        attributes._flags |= attributes.FLAG_AMTIME  # type: ignore[attr-defined]
    if mode is not None:
        attributes.st_mode = mode & 0o7777
        attributes._flags |= attributes.FLAG_PERMISSIONS  # type: ignore[attr-defined]
    if attributes._flags:  # type: ignore[attr-defined]
        with suppress(SftpStatus):
            client.ask(CMD_FSETSTAT, handle, attributes)
    client.ask(CMD_CLOSE, handle)


def _remove_anew(storage: SFTPStorage, part: bytes) -> None:
    """The connection is gone and the temporary file is there: try it once with a new connection, briefly."""
    sessions = storage.sessions.fresh()
    try:
        with sessions.client() as client:
            client.ask(CMD_REMOVE, part)
    except (StorageError, OSError, EOFError, paramiko.SSHException):
        return
    finally:
        sessions.close()
