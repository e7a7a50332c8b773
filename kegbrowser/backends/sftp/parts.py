"""The temporary file that is written before it gets its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kegbrowser.backends.errors import IsAFolder
from kegbrowser.backends.sftp import wire
from kegbrowser.backends.sftp.client import Client
from kegbrowser.backends.sftp.publishing import part_name
from kegbrowser.backends.sftp.translate import NO_SUCH_FILE, UNSUPPORTED, SftpStatus, shown
from kegbrowser.backends.sftp.wire import Answer, Attributes

SYNC_PATIENCE = 10.0
"""A disk may need minutes to take a large file in: so many times the usual silence is waited for."""

_NEW = wire.FOR_WRITING | wire.CREATE | wire.EXCLUSIVE
KEPT_MODE = 0o1777
"""Not the set-user and set-group bits: writing into a file takes them away as well."""


@dataclass(slots=True)
class Part:
    """A temporary file that is open.

    Attributes:
        name: its own, beside the target.
        target: what it will be called; behind the symbolic link that the user named, if it is one.
        handle: open for writing.
        replaced: the facts of what has that name now; None if nothing has.
    """

    name: bytes
    target: bytes
    handle: bytes
    replaced: Attributes | None


def begin(client: Client, path: str, target: bytes, name: bytes, *, follow: bool) -> Part:
    """Make a temporary file and look at what will be replaced, in one round trip.

    Args:
        name: for the temporary file; see `part_name`.
        path: the target as the user knows it.
        follow: write to where a symbolic link at the target leads.

    Raises:
        IsAFolder: the target is one.
        SftpStatus: refused; nothing is left.
    """
    looking = client.send(wire.LSTAT, target)
    opening = client.send(wire.OPEN, name, _NEW, wire.NO_ATTRIBUTES)
    looked, opened = client.settled(looking), client.settled(opening)
    try:
        found = _found(looked)
        if found is not None and found.is_folder:
            raise IsAFolder(f"Could not save “{shown(path)}”: a folder has this name.", path=path)
        real = client.name(wire.REALPATH, target) if found is not None and found.is_link and follow else target
    except (SftpStatus, IsAFolder):
        _undo(client, name, opened)
        raise
    if real != target:
        _undo(client, name, opened)
        return begin(client, path, real, part_name(real), follow=False)
    if isinstance(opened, SftpStatus):
        raise opened
    handle = opened.string()
    if found is not None and found.mode is not None:
        # Nobody shall read it who could not read what it replaces.
        client.send(wire.FSETSTAT, handle, Attributes(mode=0o600 | found.mode & 0o700).packed())
    return Part(name, target, handle, found)


def finish(
    client: Client,
    handle: bytes,
    modified_s: int | None,
    like: Attributes | None,
    settle: Callable[[], None] = lambda: None,
) -> None:
    """Put a file on the disk, give it its time, and the permissions and owner of another one; close it. One round trip.

    Args:
        settle: waits for what was written and not answered yet.

    Raises:
        SftpStatus: the disk did not take all of it.
    """
    facts = Attributes(modified_s=modified_s)
    if like is not None and like.mode is not None:
        facts.mode = like.mode & KEPT_MODE
    wishes = []
    syncing = client.send(wire.EXTENDED, wire.FSYNC, handle) if client.has(wire.FSYNC) else None
    if like is not None and like.uid is not None and like.gid is not None:
        wishes.append(client.send(wire.FSETSTAT, handle, Attributes(uid=like.uid, gid=like.gid).packed()))
    if facts != Attributes():
        wishes.append(client.send(wire.FSETSTAT, handle, facts.packed()))
    closing = client.send(wire.CLOSE, handle)
    with client.patience(SYNC_PATIENCE):
        settle()
        synced = None if syncing is None else client.settled(syncing)
        for wish in wishes:  # not every server and disk can do this, and the content is more
            client.settled(wish)
        client.wait(closing)
    if isinstance(synced, SftpStatus) and synced.code != UNSUPPORTED:
        raise synced


def _found(answer: Answer | SftpStatus) -> Attributes | None:
    if not isinstance(answer, SftpStatus):
        return answer.attributes()
    if answer.code == NO_SUCH_FILE:
        return None
    raise answer


def _undo(client: Client, name: bytes, opened: Answer | SftpStatus) -> None:
    if not isinstance(opened, SftpStatus):
        client.send(wire.CLOSE, opened.string())
        client.settled(client.send(wire.REMOVE, name))
