"""Listings over SFTP: names as raw bytes, links looked into many at a time."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import paramiko
from paramiko.sftp import CMD_ATTRS, CMD_NAME, CMD_READLINK, CMD_STAT

from kegbrowser.backends.base import EntryKind, ListEntry, Page
from kegbrowser.backends.sftp.client import Client, is_folder, is_link

PAGE_ENTRIES = 1000
PART_ENDING = b".kegpart"

_Raw = tuple[bytes, bytes, paramiko.SFTPAttributes]


class Lister:
    """Lists one folder.

    Args:
        real: of the server.
        below: put before each name: where this folder is below the one that was asked for.
    """

    def __init__(self, real: bytes, below: str) -> None:
        self._real = real
        self._below = below

    def pages(self, client: Client, handle: bytes) -> Iterator[Page]:
        """The first page as soon as the server gives one, then at least 1,000 entries each; one empty page if there are none."""
        rows: list[_Raw] = []
        told = False
        for batch in client.read_folder(handle):
            rows += [row for row in batch if row[0] not in (b".", b"..") and not _is_part(row[0])]
            if rows and (not told or len(rows) >= PAGE_ENTRIES):
                told = True
                # The answers that were asked for ahead come in between: they are kept for their turn.
                yield self._page(client, rows)
                rows = []
        if rows or not told:
            yield self._page(client, rows)

    def _page(self, client: Client, rows: list[_Raw]) -> Page:
        links = [row for row in rows if is_link(row[2])]
        requests: list[tuple[Any, ...]] = []
        for name, _long_name, _own in links:
            path = self._real.rstrip(b"/") + b"/" + name
            requests += [(CMD_READLINK, path), (CMD_STAT, path)]
        answers = list(client.gather(requests))
        followed = {
            name: (_link_target(answers[2 * place]), _attributes(answers[2 * place + 1]))
            for place, (name, _long_name, _own) in enumerate(links)
        }
        return Page(tuple(self._entry(row, followed) for row in rows))

    def _entry(self, row: _Raw, followed: dict[bytes, tuple[str, paramiko.SFTPAttributes | None]]) -> ListEntry:
        name, long_name, attributes = row
        shown = self._below + name.decode("utf-8", "surrogateescape")
        if name not in followed:
            return entry_of(shown, attributes, long_name, "")
        target, real = followed[name]
        return entry_of(shown, attributes if real is None else real, long_name, target)


def entry_of(name: str, attributes: paramiko.SFTPAttributes, long_name: bytes, link_target: str) -> ListEntry:
    """An entry from what the server tells of a file."""
    mode = attributes.st_mode
    if is_folder(attributes):
        kind = EntryKind.FOLDER
    elif mode is not None and stat.S_ISLNK(mode):
        kind = EntryKind.LINK
    else:
        kind = EntryKind.FILE
    modified = attributes.st_mtime
    return ListEntry(
        name,
        None if modified is None else datetime.fromtimestamp(modified, UTC),
        0 if kind is EntryKind.FOLDER else attributes.st_size,
        kind,
        etag="" if kind is not EntryKind.FILE else f"{modified or 0:x}-{attributes.st_size or 0:x}",
        permissions=None if mode is None else stat.S_IMODE(mode),
        owner=_owner(attributes, long_name),
        link_target=link_target,
    )


def _owner(attributes: paramiko.SFTPAttributes, long_name: bytes) -> str:
    words = long_name.decode("utf-8", "replace").split(None, 4)
    if len(words) >= 4 and len(words[0]) >= 10:  # the form of `ls -l`, which is what servers give
        return f"{words[2]}:{words[3]}"
    return "" if attributes.st_uid is None else f"{attributes.st_uid}:{attributes.st_gid}"


def _is_part(name: bytes) -> bool:
    return name.startswith(b".") and name.endswith(PART_ENDING)


def _link_target(answer: tuple[int, Any] | OSError) -> str:
    if isinstance(answer, OSError) or answer[0] != CMD_NAME or answer[1].get_int() != 1:
        return "?"
    target: bytes = answer[1].get_string()
    return target.decode("utf-8", "surrogateescape")


def _attributes(answer: tuple[int, Any] | OSError) -> paramiko.SFTPAttributes | None:
    if isinstance(answer, OSError) or answer[0] != CMD_ATTRS:
        return None
    return paramiko.SFTPAttributes._from_msg(answer[1])  # type: ignore[attr-defined, no-any-return]
