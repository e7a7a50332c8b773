"""Copying on the server (copy-data, draft-ietf-secsh-filexfer-extensions-00, section 7), by way of a temporary name."""

from __future__ import annotations

from collections import deque
from contextlib import suppress

from kegbrowser.backends.errors import IsAFolder, SourceChanged, StorageError
from kegbrowser.backends.sftp import parts, wire
from kegbrowser.backends.sftp.client import Client, Reply
from kegbrowser.backends.sftp.publishing import part_name, publish
from kegbrowser.backends.sftp.sessions import Sessions
from kegbrowser.backends.sftp.streams import mark_of
from kegbrowser.backends.sftp.translate import SESSION_ERRORS, SftpStatus, shown
from kegbrowser.backends.sftp.wire import Uint64

PIECE_BYTES = 16 * 1024 * 1024
"""Copied by one request: a server that is at work answers often enough not to be taken for dead."""


def copy(
    sessions: Sessions, client: Client, source: str, target: str, old: bytes, new: bytes, *, overwrite: bool
) -> None:
    """Copy a file; it appears whole at its name, with the time and permissions of the source.

    Raises:
        SourceChanged: it changed meanwhile; nothing appears.
        AlreadyExists: not `overwrite`, and the name is taken.
    """
    reading = client.ask(wire.OPEN, old, wire.FOR_READING, wire.NO_ATTRIBUTES).string()
    try:
        facts = client.attributes(wire.FSTAT, reading)
        if facts.is_folder:
            raise IsAFolder(f"“{shown(source)}” is a folder.", path=source)
        name = part_name(new)
        try:
            part = parts.begin(client, target, new, name, follow=overwrite)
            name = part.name
            _copy_pieces(client, reading, part.handle, facts.size or 0)
            like = part.replaced or wire.Attributes(mode=facts.mode)
            parts.finish(client, part.handle, facts.modified_s, like)
            if mark_of(client.attributes(wire.FSTAT, reading)) != mark_of(facts):
                raise SourceChanged(f"“{shown(source)}” changed while it was copied.", path=source)
            publish(client, part.name, part.target, target, overwrite=overwrite)
        except (SftpStatus, StorageError):
            client.settled(client.send(wire.REMOVE, name))
            raise
        except SESSION_ERRORS:
            sessions.throw_away(name)
            raise
    finally:
        with suppress(*SESSION_ERRORS):
            client.send(wire.CLOSE, reading)


def _copy_pieces(client: Client, reading: bytes, writing: bytes, size: int) -> None:
    flying: deque[Reply] = deque()
    with client.patience(parts.SYNC_PATIENCE):
        for offset in range(0, size, PIECE_BYTES):
            if len(flying) >= 2:
                client.wait(flying.popleft())
            length = min(PIECE_BYTES, size - offset)
            place = (Uint64(offset), Uint64(length), writing, Uint64(offset))
            flying.append(client.send(wire.EXTENDED, wire.COPY_DATA, reading, *place))
        while flying:
            client.wait(flying.popleft())
