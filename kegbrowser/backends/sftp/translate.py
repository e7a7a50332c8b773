"""The border to paramiko: what its exceptions and the server's status codes mean. The only module that knows them all."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import paramiko

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
NO_SUCH_FILE, PERMISSION, FAILURE, BAD_MESSAGE = 2, 3, 4, 5
_CODES: dict[int, tuple[type[StorageError], str]] = {
    NO_SUCH_FILE: (FileNotFoundInStorageError, "it does not exist"),
    PERMISSION: (PermissionDenied, "the server does not permit it"),
    BAD_MESSAGE: (InvalidName, "the server cannot store this name"),
    6: (ConnectionLost, "there is no connection"),
    7: (ConnectionLost, "the connection broke"),
    8: (NotSupported, "the server cannot do this"),
    11: (AlreadyExists, "it exists already"),
    12: (PermissionDenied, "the disk of the server is read-only"),
    14: (QuotaExceeded, "the disk of the server is full"),
    15: (QuotaExceeded, "your quota on the server is used up"),
    18: (FolderNotEmpty, "the folder is not empty"),
    20: (InvalidName, "the server cannot store this name"),
}


class SftpStatus(OSError):
    """A status of the server that is no success; `code` as in the protocol."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(errno.ENOENT if code == NO_SUCH_FILE else errno.EIO, text)
        self.code = code


@contextmanager
def translated(
    verb: str,
    path: str,
    server: str,
    is_interrupted: Callable[[], bool],
    why: Callable[[], StorageError | None] | None = None,
) -> Iterator[None]:
    """Translate what goes wrong inside.

    Args:
        verb: as in "open": Could not open “a.txt”: it does not exist.
        path: what it is about.
        server: `host:port`, for the sentences about the connection.
        is_interrupted: whether the storage was interrupted, which explains every broken connection.
        why: asks the server for the reason behind its bare "Failure"; None if it finds none.
    """
    try:
        yield
    except (StorageError, Cancelled):
        if is_interrupted():
            raise Cancelled from None
        raise
    except SftpStatus as exc:
        reason = why() if exc.code == FAILURE and why is not None else None
        raise (reason or _status_error(exc, verb, path)) from exc
    except (EOFError, OSError, paramiko.SSHException, struct.error) as exc:
        if is_interrupted():
            raise Cancelled from exc
        raise connection_error(exc, server) from exc


def connection_error(exc: BaseException, server: str) -> StorageError:
    """What a failure to connect, or of the connection, means."""
    if isinstance(exc, paramiko.BadAuthenticationType):
        allowed = ", ".join(exc.allowed_types) or "nothing"
        return AuthenticationFailed(f"{server} does not let you in this way: it accepts {allowed}.")
    if isinstance(exc, paramiko.AuthenticationException):
        return AuthenticationFailed(f"{server} refused the user name, password or key.")
    if isinstance(exc, socket.gaierror):
        return ConnectionLost(f"The server of {server} was not found.", hint="Check the name of the server.")
    if isinstance(exc, ConnectionRefusedError):
        return ConnectionLost(f"{server} refused the connection.", hint="Check the port, and that the server runs.")
    if isinstance(exc, (TimeoutError, socket.timeout)):
        return ConnectionLost(f"{server} does not answer.")
    if isinstance(exc, paramiko.ssh_exception.IncompatiblePeer):
        return ServerFault(f"{server} and this program have no encryption in common.", hint="", retryable=False)
    if isinstance(exc, paramiko.ChannelException):
        return NotSupported(f"{server} opens no further SFTP session.", hint="Ask the owner of the server.")
    return ConnectionLost(f"The connection to {server} broke.")


def shown(path: str) -> str:
    """The last name of a path, as it may stand in a sentence."""
    name = path.rstrip("/").rpartition("/")[2] or path or "the folder"
    return name.encode("utf-8", "backslashreplace").decode()


def _status_error(exc: SftpStatus, verb: str, path: str) -> StorageError:
    kind, reason = _CODES.get(exc.code, (ServerFault, f"the server says “{exc.strerror}”"))
    return kind(f"Could not {verb} “{shown(path)}”: {reason}.", path=path)
