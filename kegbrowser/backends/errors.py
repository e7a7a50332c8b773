"""What can go wrong with a storage, in one taxonomy for all protocols.

Every backend translates its SDK's exceptions into these once, at its border, and keeps the cause (`raise ... from exc`).
"""

from __future__ import annotations


class StorageError(Exception):
    """Base of all errors of a storage.

    Attributes:
        message: one whole sentence with the name of the thing in it, fit to be shown; never a secret, a header or a
            URL with a query.
        path: the path the operation was about, as the backend takes it; None if it is about the whole connection.
        hint: what the user can do, one sentence; "" if nothing is known.
        retryable: whether the same operation may succeed later without a change by the user.
        retry_after_s: the server's own wait in seconds; None if it named none.
    """

    retryable = False
    default_hint = ""

    def __init__(
        self,
        message: str,
        *,
        path: str | None = None,
        hint: str | None = None,
        retryable: bool | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.path = path
        self.hint = self.default_hint if hint is None else hint
        if retryable is not None:
            self.retryable = retryable
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross a process border: exceptions with keyword-only arguments need their own way through pickle.
        return _rebuild, (type(self), self.message, self.path, self.hint, self.retryable, self.retry_after_s)


class FileNotFoundInStorageError(StorageError, FileNotFoundError):
    """There is no such file, folder, bucket or container."""

    default_hint = "Refresh the folder: it may have been deleted or renamed."


class AlreadyExists(StorageError, FileExistsError):
    """The target exists and may not be replaced by this call."""


class NotAFolder(StorageError, NotADirectoryError):
    """A folder was asked for, but the path names a file."""


class IsAFolder(StorageError, IsADirectoryError):
    """A file was asked for, but the path names a folder."""


class FolderNotEmpty(StorageError):
    """Only an empty folder can be removed by this call."""


class PermissionDenied(StorageError, PermissionError):
    """The account is known but may not do this."""

    default_hint = "Ask the owner of the storage for the right to do this."


class AuthenticationFailed(StorageError):
    """The credentials were refused: wrong, unknown, or malformed."""

    default_hint = "Check the user name, key or password of the connection."


class CredentialsExpired(AuthenticationFailed):
    """The credentials were good once, but have expired."""

    default_hint = "Sign in again or paste fresh credentials into the connection."


class ClockSkewed(AuthenticationFailed):
    """The server refused the signature because this machine's clock is wrong."""

    default_hint = "Set this machine's clock, then try again."


class UnknownHostKey(StorageError):
    """The server's host key is not in the known hosts.

    Attributes:
        host: host name as it stands in a known_hosts file (`[name]:port` off port 22).
        key_type: algorithm name, as `ssh-ed25519`.
        key_base64: the public key.
        fingerprint: `SHA256:...`.
    """

    default_hint = "Compare the fingerprint with one you got from the server's owner before you trust it."

    def __init__(
        self,
        message: str,
        *,
        host: str,
        key_type: str,
        key_base64: str,
        fingerprint: str,
        path: str | None = None,
    ) -> None:
        super().__init__(message, path=path)
        self.host = host
        self.key_type = key_type
        self.key_base64 = key_base64
        self.fingerprint = fingerprint

    def __reduce__(self) -> tuple[object, ...]:
        fields = (self.message, self.host, self.key_type, self.key_base64, self.fingerprint, self.path)
        return _rebuild_host_key, (type(self), *fields)


class HostKeyChanged(UnknownHostKey):
    """The server's host key differs from the known one: a new server, or somebody in between."""

    default_hint = "Do not connect unless the server's owner confirms that its key was changed."


class InvalidName(StorageError, ValueError):
    """The storage cannot hold this name (too long, forbidden characters)."""

    default_hint = "Use another name."


class InvalidOptions(StorageError, ValueError):
    """The connection's options are incomplete or contradict each other."""


class QuotaExceeded(StorageError):
    """There is no space or quota left at the target."""

    default_hint = "Free some space at the target, then retry."


class ConnectionLost(StorageError, ConnectionError):
    """The server could not be reached, or the connection broke or stalled in the middle."""

    retryable = True
    default_hint = "Check the network and the address of the connection."


class Throttled(ConnectionLost):
    """The server asked to slow down."""

    default_hint = "The server is busy; it is tried again by itself."


class ServerFault(StorageError):
    """The server failed on its own side, or answered with something that makes no sense."""

    retryable = True
    default_hint = "Try again; if it stays, tell the owner of the server."


class SourceChanged(StorageError):
    """The file changed while it was read; what was read so far must be thrown away."""

    retryable = True


class CheckFailed(StorageError):
    """What arrived is not what was sent: the checksum or the length differs."""

    retryable = True


class NotSupported(StorageError):
    """This storage cannot do this at all."""


class Cancelled(Exception):
    """The user cancelled. Never shown, never logged above debug."""


def _rebuild(
    kind: type[StorageError],
    message: str,
    path: str | None,
    hint: str,
    retryable: bool,
    retry_after_s: float | None,
) -> StorageError:
    return kind(message, path=path, hint=hint, retryable=retryable, retry_after_s=retry_after_s)


def _rebuild_host_key(
    kind: type[UnknownHostKey],
    message: str,
    host: str,
    key_type: str,
    key_base64: str,
    fingerprint: str,
    path: str | None,
) -> UnknownHostKey:
    return kind(message, host=host, key_type=key_type, key_base64=key_base64, fingerprint=fingerprint, path=path)
