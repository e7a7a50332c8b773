"""Many files removed at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from copy import copy

from kegbrowser.backends.base import DeleteResult
from kegbrowser.backends.errors import StorageError
from kegbrowser.backends.sftp import reasons, wire
from kegbrowser.backends.sftp.client import Client
from kegbrowser.backends.sftp.translate import NO_SUCH_FILE, SftpStatus, status_error


def remove_all(client: Client, files: Iterable[tuple[str, bytes]]) -> Iterator[DeleteResult]:
    """Ask for all of it, then tell what became of each, in order; what is gone already counts as removed.

    Args:
        files: each path as the user knows it and as the server does; a batch, as all requests are sent at once.
    """
    replies = [(path, real, client.send(wire.REMOVE, real)) for path, real in files]
    for path, real, reply in replies:
        status = client.settled(reply)
        if not isinstance(status, SftpStatus) or status.code == NO_SUCH_FILE:
            yield DeleteResult(path)
            continue
        error = reasons.not_removed(client, real, path) or status_error(status, "delete", path)
        error.__cause__ = status
        yield DeleteResult(path, error)


def told_of(path: str, error: StorageError) -> StorageError:
    """The same error, told of another file."""
    twin = copy(error)
    twin.path = path
    twin.__cause__ = error
    return twin
