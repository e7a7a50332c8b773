"""How a file gets its name in one step, and what is done where a server lacks that step."""

from __future__ import annotations

import secrets
from contextlib import suppress

from kegbrowser.backends.errors import AlreadyExists, IsAFolder, StorageError
from kegbrowser.backends.sftp import wire
from kegbrowser.backends.sftp.client import Client
from kegbrowser.backends.sftp.translate import NO_SUCH_FILE, UNSUPPORTED, SftpStatus, shown
from kegbrowser.backends.sftp.wire import Attributes

MAX_NAME_BYTES = 255
PART_ENDING = b".kegpart"
KEPT_ENDING = b".kegold"


def part_name(target: bytes) -> bytes:
    """A hidden name beside the target that nobody has."""
    return _beside(target, b".", PART_ENDING)


def facts_of(client: Client, path: bytes) -> Attributes | None:
    """Of whatever has this name, also a link; None if nothing has it."""
    try:
        return client.attributes(wire.LSTAT, path)
    except SftpStatus as status:
        if status.code == NO_SUCH_FILE:
            return None
        raise


def publish(client: Client, part: bytes, target: bytes, path: str, *, overwrite: bool) -> None:
    """Give a finished temporary file its name.

    Args:
        path: the target as the user knows it.

    Raises:
        AlreadyExists: not `overwrite`, and the name is taken.
        IsAFolder: it is a folder's.
        SftpStatus: refused otherwise.
    """
    try:
        if overwrite:
            replace(client, part, target)
        else:
            rename_new(client, part, target, is_file=True)
    except SftpStatus as status:
        raise (_why_not_published(client, target, path, overwrite=overwrite) or status) from status


def replace(client: Client, old: bytes, new: bytes) -> None:
    """Rename over whatever has the name: in one step where the server can, else with the file that was there kept until the
    new one has its name. Should all break down between the two, it is beside it, as `name.kegold`."""
    if client.has(wire.POSIX_RENAME):
        try:
            client.extended(wire.POSIX_RENAME, old, new)
        except SftpStatus as status:
            if status.code != UNSUPPORTED:
                raise
        else:
            return
    found = facts_of(client, new)
    if found is None:
        client.ask(wire.RENAME, old, new)
        return
    if found.is_folder:
        client.ask(wire.RMDIR, new)  # only an empty one goes, as with the one step
        client.ask(wire.RENAME, old, new)
        return
    kept = _beside(new, b"", KEPT_ENDING)
    client.ask(wire.RENAME, new, kept)
    try:
        client.ask(wire.RENAME, old, new)
    except SftpStatus:
        client.ask(wire.RENAME, kept, new)
        raise
    client.ask(wire.REMOVE, kept)


def rename_new(client: Client, old: bytes, new: bytes, *, is_file: bool) -> None:
    """Rename to a name that must be free. A file: by a hard link, which refuses a taken name in one step."""
    if is_file and client.renames_by_link:
        client.ask(wire.RENAME, old, new)
        return
    if is_file and client.has(wire.HARD_LINK):
        try:
            client.extended(wire.HARD_LINK, old, new)
        except SftpStatus:
            if facts_of(client, new) is not None or facts_of(client, old) is None:
                raise
            # A disk without hard links.
        else:
            client.ask(wire.REMOVE, old)
            return
    if facts_of(client, new) is not None:  # some servers rename over it
        raise SftpStatus(11, "exists")
    client.ask(wire.RENAME, old, new)


def is_same_file(client: Client, one: bytes, other: bytes) -> bool:
    """Whether two names are hard links to one file: its time of access, changed by one name, is changed by the other as well."""
    facts = client.attributes(wire.LSTAT, one)
    probe = Attributes(accessed_s=secrets.randbelow(2**31), modified_s=facts.modified_s)
    client.ask(wire.SETSTAT, one, probe.packed())
    is_same = client.attributes(wire.LSTAT, other) == client.attributes(wire.LSTAT, one)
    was = Attributes(accessed_s=facts.accessed_s, modified_s=facts.modified_s)
    client.ask(wire.SETSTAT, one, was.packed())
    return is_same


def _why_not_published(client: Client, target: bytes, path: str, *, overwrite: bool) -> StorageError | None:
    with suppress(SftpStatus):
        found = facts_of(client, target)
        if found is not None and not overwrite:
            return AlreadyExists(f"“{shown(path)}” exists already.", path=path)
        if found is not None and found.is_folder:
            return IsAFolder(f"Could not save “{shown(path)}”: a folder has this name.", path=path)
    return None


def _beside(path: bytes, before: bytes, ending: bytes) -> bytes:
    folder, slash, name = path.rpartition(b"/")
    ending = b"." + secrets.token_hex(4).encode() + ending
    room = MAX_NAME_BYTES - len(before) - len(ending)
    stem = name[:room]
    while len(stem) < len(name) and stem and name[len(stem)] & 0xC0 == 0x80:  # not in the middle of a character
        stem = stem[:-1]
    return folder + slash + before + stem + ending
