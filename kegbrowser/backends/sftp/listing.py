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
READS_AHEAD = 2
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
    """The entries of a folder, or of all folders below it, those of a higher level first. One thread.

    The order is the server's, however the answers come: who begins a listing again can pass over what was seen.

    Memory: a page, and for `recursive` the names of the folders that are still to be listed.

    Args:
        client: not used by anybody else until the listing has ended.
        real: of the server.
        recursive: go into folders, never through links.
        tolerant: pass over folders below that are refused.
    """

    def __init__(self, client: Client, real: bytes, *, recursive: bool, tolerant: bool = False) -> None:
        self._client = client
        self._real = real
        self._recursive = recursive
        self._tolerant = tolerant
        self._ahead: deque[_Folder] = deque()
        self._to_open = deque([""])

    def pages(self) -> Iterator[Page]:
        """The first page as soon as the server gives one, then about 1,000 entries each; one empty page if there are none.

        Raises:
            Refused: from the `SftpStatus` of the server.
        """
        entries: list[ListEntry] = []
        has_told = False
        while self._to_open or self._ahead:
            self._look_ahead()
            for found in self._entries_of(self._ahead.popleft()):
                entries += found
                if entries and (not has_told or len(entries) >= PAGE_ENTRIES):
                    has_told = True
                    yield Page(tuple(entries))
                    entries = []
        if entries or not has_told:
            yield Page(tuple(entries))

    def _look_ahead(self) -> None:
        """Ask for the next folders to be opened, and those that are open for their names, while others are waited for."""
        self._client.receive_ready()
        while self._to_open and len(self._ahead) < FOLDERS_AHEAD:
            below = self._to_open.popleft()
            self._ahead.append(_Folder(below, self._client.send(wire.OPENDIR, self._path(below))))
        for folder in self._ahead:
            if folder.opening.has_come and not folder.is_open:
                self._begin(folder)

    def _begin(self, folder: _Folder) -> None:
        folder.is_open = True
        answer = self._client.settled(folder.opening)
        if isinstance(answer, SftpStatus):
            folder.refusal = answer
            return
        folder.handle = answer.string()
        folder.reads.extend(self._client.send(wire.READDIR, folder.handle) for _ in range(READS_AHEAD))

    def _entries_of(self, folder: _Folder) -> Iterator[list[ListEntry]]:
        if not folder.is_open:
            self._client.settled(folder.opening)
            self._look_ahead()
            self._begin(folder)
        if folder.refusal is not None:
            if folder.below and (self._tolerant or folder.refusal.code == NO_SUCH_FILE):
                return  # deleted since its name was listed, or not ours to see
            raise Refused(folder.below) from folder.refusal
        try:
            while True:
                rows = _rows(self._client.wait(folder.reads.popleft()))
                folder.reads.append(self._client.send(wire.READDIR, folder.handle))
                found = self._entries(rows, folder.below)
                if self._recursive:
                    self._to_open += [f"{one.name}/" for one in found if one.is_folder and not one.link_target]
                    self._look_ahead()
                yield found
        except SftpEnd:
            self._client.send(wire.CLOSE, folder.handle)  # nobody waits for it, nor for what was asked ahead
        except SftpStatus as status:
            raise Refused(folder.below) from status

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


class _Folder:
    """A folder on its way to be listed."""

    def __init__(self, below: str, opening: Reply) -> None:
        self.below = below
        self.opening = opening
        self.is_open = False
        self.refusal: SftpStatus | None = None
        self.handle = b""
        self.reads: deque[Reply] = deque()


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
