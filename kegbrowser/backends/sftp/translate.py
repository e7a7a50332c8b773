"""The border to paramiko: what its exceptions and the server's status codes mean. The only module that knows them all."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import paramiko
from cryptography.exceptions import InvalidTag

from kegbrowser.backends.errors import (
    AlreadyExists,
    AuthenticationFailed,
    Cancelled,
    ConnectionLost,
    FileNotFoundInStorageError,
    FolderNotEmpty,
    InvalidName,
    NotSupported,
    PermissionDenied,
    QuotaExceeded,
    ServerFault,
    StorageError,
)

# draft-ietf-secsh-filexfer-13, section 9.1; OpenSSH speaks version 3, which ends at 8.
OK, END, NO_SUCH_FILE, PERMISSION, FAILURE, BAD_MESSAGE, UNSUPPORTED = 0, 1, 2, 3, 4, 5, 8
_CODES: dict[int, tuple[type[StorageError], str]] = {
    END: (ServerFault, "the server told an end where there is none"),
    NO_SUCH_FILE: (FileNotFoundInStorageError, "it does not exist"),
    PERMISSION: (PermissionDenied, "the server does not permit it"),
    # OpenSSH: the name is too long, or has a character that the disk does not take.
    BAD_MESSAGE: (InvalidName, "the server cannot store this name"),
    6: (ConnectionLost, "the server has no connection to its disk"),
    7: (ConnectionLost, "the server lost the connection to its disk"),
    UNSUPPORTED: (NotSupported, "the server cannot do this"),
    10: (FileNotFoundInStorageError, "the folder above it does not exist"),
    11: (AlreadyExists, "it exists already"),
    12: (PermissionDenied, "the disk of the server is read-only"),
    14: (QuotaExceeded, "the disk of the server is full"),
    15: (QuotaExceeded, "your quota on the server is used up"),
    18: (FolderNotEmpty, "the folder is not empty"),
    20: (InvalidName, "the server cannot store this name"),
}


class SftpStatus(Exception):
    """A status of the server that is no success; `code` as in the protocol, `text` is its own, fit for no sentence of ours."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text


class SftpEnd(SftpStatus):
    """The end of a file or of a folder."""

    def __init__(self) -> None:
        super().__init__(END, "")


class NotSftp(Exception):
    """What came is no answer of SFTP."""


SESSION_ERRORS = (NotSftp, EOFError, OSError, paramiko.SSHException, struct.error, InvalidTag)
"""After one of these a session is of no more use. InvalidTag: bytes were changed on the way, which paramiko lets out as it is."""


@contextmanager
def translated(
    verb: str,
    path: str,
    server: str,
    is_interrupted: Callable[[], bool],
    why: Callable[[SftpStatus], StorageError | None] | None = None,
) -> Iterator[None]:
    """Translate what goes wrong inside.

    Args:
        verb: as in "open": Could not open “a.txt”: it does not exist.
        path: what it is about.
        server: `host:port`, for the sentences about the connection.
        is_interrupted: whether the storage was interrupted, which explains every broken connection.
        why: asks for the reason behind a bare refusal; None if it finds none.
    """
    try:
        yield
    except (StorageError, Cancelled):
        if is_interrupted():
            raise Cancelled from None
        raise
    except SftpStatus as status:
        reason = why(status) if why is not None else None
        raise (reason or status_error(status, verb, path)) from status
    except SESSION_ERRORS as exc:
        if is_interrupted():
            raise Cancelled from exc
        raise connection_error(exc, server) from exc


def status_error(status: SftpStatus, verb: str, path: str) -> StorageError:
    """What a refusal means when nothing more is known about it."""
    kind, reason = _CODES.get(status.code, (ServerFault, "the server says only that it failed"))
    error = kind(f"Could not {verb} “{shown(path)}”: {reason}.", path=path)
    if status.code == FAILURE:
        error.retryable = False
        error.hint = "The disk may be full or broken, or it may not take this name: ask the owner of the server."
    return error


def connection_error(exc: BaseException, server: str) -> StorageError:
    """What a failure to connect, or of the connection, means."""
    if isinstance(exc, StorageError):
        return exc
    if isinstance(exc, NotSftp):
        return ServerFault(
            f"What {server} sends is not SFTP.",
            hint="A login script on the server may print something: it must be silent for SFTP.",
            retryable=False,
        )
    if isinstance(exc, socket.gaierror):
        return ConnectionLost(f"The server of {server} was not found.", hint="Check the name of the server.")
    if isinstance(exc, ConnectionRefusedError):
        return ConnectionLost(f"{server} refused the connection.", hint="Check the port, and that the server runs.")
    if isinstance(exc, TimeoutError):
        return ConnectionLost(f"{server} does not answer.")
    if isinstance(exc, paramiko.ssh_exception.IncompatiblePeer):
        return ServerFault(
            f"{server} and this program have no encryption in common.",
            hint="The server may be very old: ask its owner to renew it.",
            retryable=False,
        )
    if isinstance(exc, paramiko.ChannelException):
        return ConnectionLost(f"{server} opens no further session.", hint="Ask the owner of the server.")
    if isinstance(exc, paramiko.SSHException) and "banner" in str(exc):
        return ConnectionLost(f"{server} does not answer as an SSH server.", hint="Check the port.")
    if isinstance(exc, paramiko.AuthenticationException):
        return AuthenticationFailed(f"{server} refused to let you in.")
    return ConnectionLost(f"The connection to {server} broke.")


def shown(path: str) -> str:
    """The last name of a path, as it may stand in a sentence."""
    name = path.rstrip("/").rpartition("/")[2] or path or "the folder"
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in _readable(name))


def _readable(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
