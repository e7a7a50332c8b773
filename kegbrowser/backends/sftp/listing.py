"""Listings over SFTP: names as raw bytes, folders and links looked into many at a time."""

from __future__ import annotations

import stat
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime

from kegbrowser.backends.base import EntryKind, ListEntry, Page
from kegbrowser.backends.sftp import wire
from kegbrowser.backends.sftp.client import Client, Reply, one_name
from kegbrowser.backends.sftp.streams import mark_of
from kegbrowser.backends.sftp.translate import NO_SUCH_FILE, NotSftp, SftpEnd, SftpStatus
from kegbrowser.backends.sftp.wire import Answer, Attributes

PAGE_ENTRIES = 1000
READS_AHEAD = 4
FOLDERS_AHEAD = 16

_Row = tuple[bytes, bytes, Attributes]


class Refused(Exception):
    """The server refused to list a folder.

    Attributes:
        below: the folder, below the one that was asked for.
    """

    def __init__(self, below: str) -> None:
        super().__init__(below)
        self.below = below


class Listing:
    """The entries of a folder, or of all folders below it. One thread.

    Memory: a page, and for `recursive` the names of the folders that are still to be listed.

    Args:
        client: not used by anybody else until the listing has ended.
        real: of the server.
        recursive: go into folders, never through links.
    """

    def __init__(self, client: Client, real: bytes, *, recursive: bool) -> None:
        self._client = client
        self._real = real
        self._recursive = recursive
        self._ahead: deque[_Opening] = deque()
        self._to_open: list[str] = [""]

    def pages(self) -> Iterator[Page]:
        """The first page as soon as the server gives one, then about 1,000 entries each; one empty page if there are none.

        Raises:
            Refused: from the `SftpStatus` of the server.
        """
        entries: list[ListEntry] = []
        has_told = False
        while self._to_open or self._ahead:
            self._open_ahead()
            opening = self._ahead.popleft()
            for found in self._entries_of(opening):
                entries += found
                if entries and (not has_told or len(entries) >= PAGE_ENTRIES):
                    has_told = True
                    yield Page(tuple(entries))
                    entries = []
        if entries or not has_told:
            yield Page(tuple(entries))

    def _open_ahead(self) -> None:
        while self._to_open and len(self._ahead) < FOLDERS_AHEAD:
            below = self._to_open.pop()
            real = self._path(below)
            self._ahead.append(_Opening(below, self._client.send(wire.OPENDIR, real)))

    def _entries_of(self, opening: _Opening) -> Iterator[list[ListEntry]]:
        try:
            handle = self._client.wait(opening.reply).string()
        except SftpStatus as status:
            if opening.below and status.code == NO_SUCH_FILE:
                return  # deleted since its name was listed
            raise Refused(opening.below) from status
        reads = deque(self._client.send(wire.READDIR, handle) for _ in range(READS_AHEAD))
        try:
            while reads:
                rows = _rows(self._client.wait(reads.popleft()))
                reads.append(self._client.send(wire.READDIR, handle))
                found = self._entries(rows, opening.below)
                if self._recursive:
                    self._to_open += [f"{one.name}/" for one in found if one.is_folder and not one.link_target]
                yield found
        except SftpEnd:
            for late in reads:
                self._client.settled(late)
        except SftpStatus as status:
            raise Refused(opening.below) from status
        self._client.send(wire.CLOSE, handle)  # nobody waits for the answer

    def _entries(self, rows: list[_Row], below: str) -> list[ListEntry]:
        folder = self._path(below)
        links = [name for name, _long_name, facts in rows if facts.is_link]
        requests = [(kind, _join(folder, name)) for name in links for kind in (wire.READLINK, wire.STAT)]
        answers = list(self._client.gather(requests))
        followed = {
            name: (_link_target(answers[2 * place]), _facts(answers[2 * place + 1])) for place, name in enumerate(links)
        }
        entries = []
        for name, long_name, own in rows:
            if name in (b".", b".."):
                continue
            target, behind = followed.get(name, ("", None))
            shown = below + name.decode("utf-8", "surrogateescape")
            entries.append(entry_of(shown, behind or own, target, owner_in(long_name) or owner_by_id(own)))
        return entries

    def _path(self, below: str) -> bytes:
        inner = below.rstrip("/").encode("utf-8", "surrogateescape")
        return _join(self._real, inner) if inner else self._real


class _Opening:
    __slots__ = ("below", "reply")

    def __init__(self, below: str, reply: Reply) -> None:
        self.below = below
        self.reply = reply


def entry_of(name: str, facts: Attributes, link_target: str, owner: str) -> ListEntry:
    """An entry from what the server tells of a file. `facts` are those behind a link, or its own if it leads nowhere."""
    mode = facts.mode
    if facts.is_folder:
        kind = EntryKind.FOLDER
    elif facts.is_link or link_target:
        kind = EntryKind.LINK
    else:
        kind = EntryKind.FILE
    return ListEntry(
        name,
        None if facts.modified_s is None else datetime.fromtimestamp(facts.modified_s, UTC),
        0 if kind is EntryKind.FOLDER else facts.size,
        kind,
        etag="" if facts.is_folder or facts.is_link else mark_of(facts),
        permissions=None if mode is None else stat.S_IMODE(mode),
        owner=owner,
        link_target=link_target,
    )


def owner_in(long_name: bytes) -> str:
    """User and group by the line that servers give for a person to read; "" where it has not the form of `ls -l`."""
    words = long_name.decode("utf-8", "replace").split(None, 4)
    return f"{words[2]}:{words[3]}" if len(words) == 5 and len(words[0]) >= 10 and words[1].isdecimal() else ""


def owner_by_id(facts: Attributes) -> str:
    return "" if facts.uid is None else f"{facts.uid}:{facts.gid}"


def _rows(answer: Answer) -> list[_Row]:
    return [(answer.string(), answer.string(), answer.attributes()) for _ in range(answer.uint32())]


def _join(folder: bytes, name: bytes) -> bytes:
    return folder + name if folder.endswith(b"/") else folder + b"/" + name


def _link_target(answer: Answer | SftpStatus) -> str:
    if isinstance(answer, SftpStatus):
        return "?"
    try:
        return one_name(answer).decode("utf-8", "surrogateescape")
    except NotSftp:
        return "?"


def _facts(answer: Answer | SftpStatus) -> Attributes | None:
    return None if isinstance(answer, SftpStatus) else answer.attributes()
