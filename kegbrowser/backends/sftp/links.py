"""Symbolic links that are made."""

from __future__ import annotations

from contextlib import suppress

from kegbrowser.backends.sftp import reasons, wire
from kegbrowser.backends.sftp.client import Client
from kegbrowser.backends.sftp.translate import SftpStatus


def make(client: Client, link: bytes, target: bytes, path: str) -> None:
    """Make a link at `link`.

    OpenSSH takes the two names the other way round than the draft (PROTOCOL, section 4.1), and most servers do as it does. Which
    way it was is looked at afterwards.

    Args:
        path: of the link, as the user knows it.

    Raises:
        AlreadyExists: the name is taken.
    """
    try:
        client.ask(wire.SYMLINK, target, link)
    except SftpStatus as status:
        raise (reasons.not_made(client, link, path) or status) from status
    if _target_of(client, link) is None and _target_of(client, target) == link:
        client.ask(wire.REMOVE, target)
        client.ask(wire.SYMLINK, link, target)


def _target_of(client: Client, link: bytes) -> bytes | None:
    with suppress(SftpStatus):
        return client.name(wire.READLINK, link)
    return None
