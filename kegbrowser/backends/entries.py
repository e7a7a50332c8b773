"""What listings are made of: entries, and pages of them as objects or as columns."""

from __future__ import annotations

import enum
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

UNKNOWN = -(2**63)
"""Stands in an int64 column for a size or time that the storage does not tell."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class EntryKind(enum.Enum):
    """What an entry of a listing is."""

    FILE = "file"
    FOLDER = "folder"
    CONTAINER = "container"
    LINK = "link"


@dataclass(frozen=True, slots=True)
class ListEntry:
    """One entry of a listing.

    Attributes:
        name: relative to the listed folder, without a last "/" for folders. May be empty on object stores (a file whose key
            is the folder's own prefix and that has content, or a folder between two slashes). With `recursive=True`
            it is the rest of the path below the listed folder.
        last_modified: aware, UTC; None if the storage does not say (folders of an object store).
        size: bytes; 0 for folders; None if unknown.
        kind: FOLDER and CONTAINER can be listed. LINK: a symbolic link that does not lead to a folder; a link to a folder is
            a FOLDER with `link_target` set.
        etag: the storage's own version mark without quotes, "" if it has none; equal marks mean equal content.
        content_type: media type as stored; "" if the listing does not give it.
        permissions: POSIX mode bits (the lower 12); None if the storage has none.
        owner: user and group as text, "" if unknown.
        link_target: where a symbolic link points, "" if it is none.
        storage_class: as the service names it, "" if it has none.
        extra: further facts for the properties dialog, (label, value) in order; only `stat` fills it.
    """

    name: str
    last_modified: datetime | None
    size: int | None
    kind: EntryKind = EntryKind.FILE
    etag: str = ""
    content_type: str = ""
    permissions: int | None = None
    owner: str = ""
    link_target: str = ""
    storage_class: str = ""
    extra: tuple[tuple[str, str], ...] = ()

    @property
    def is_folder(self) -> bool:
        return self.kind in (EntryKind.FOLDER, EntryKind.CONTAINER)

    def path_in(self, folder: str) -> str:
        """The entry's exact path, given the path of the folder it was listed in."""
        return f"{as_folder(folder)}{self.name}{'/' if self.is_folder else ''}"


KIND_CODES = (EntryKind.FILE, EntryKind.FOLDER, EntryKind.CONTAINER, EntryKind.LINK)
CODE_OF = {kind: code for code, kind in enumerate(KIND_CODES)}


@dataclass(frozen=True, slots=True)
class Columns:
    """A page of a listing as columns: a thousandth of the objects, and quick to send.

    Attributes:
        count: rows.
        names: joined by NUL (no protocol allows it in a name).
        sizes: int64 bytes in native order; UNKNOWN for none.
        modified_us: int64, microseconds since 1970 UTC, in native order; UNKNOWN for none.
        kinds: uint8, index into KIND_CODES.
        links: (row, target) of the few that are symbolic links.
    """

    count: int
    names: str
    sizes: bytes
    modified_us: bytes
    kinds: bytes
    links: tuple[tuple[int, str], ...] = ()

    @classmethod
    def from_entries(cls, entries: Sequence[ListEntry]) -> Self:
        return cls(
            len(entries),
            names_joined([entry.name for entry in entries]),
            array("q", [UNKNOWN if entry.size is None else entry.size for entry in entries]).tobytes(),
            array("q", [microseconds(entry.last_modified) for entry in entries]).tobytes(),
            bytes([CODE_OF[entry.kind] for entry in entries]),
            tuple((row, entry.link_target) for row, entry in enumerate(entries) if entry.link_target),
        )

    @classmethod
    def joined(cls, pieces: Iterable[Columns]) -> Self:
        """Several pages as one."""
        full = [piece for piece in pieces if piece.count]
        links: list[tuple[int, str]] = []
        count = 0
        for piece in full:
            links += [(count + row, target) for row, target in piece.links]
            count += piece.count
        return cls(
            count,
            "\0".join([piece.names for piece in full]),
            b"".join([piece.sizes for piece in full]),
            b"".join([piece.modified_us for piece in full]),
            b"".join([piece.kinds for piece in full]),
            tuple(links),
        )

    def entries(self) -> Iterator[ListEntry]:
        """The rows as entries, with what the columns hold."""
        sizes, times = array("q", self.sizes), array("q", self.modified_us)
        links = dict(self.links)
        for row, name in enumerate(self.names.split("\0") if self.count else ()):
            yield ListEntry(
                name,
                None if times[row] == UNKNOWN else _EPOCH + timedelta(microseconds=times[row]),
                None if sizes[row] == UNKNOWN else sizes[row],
                KIND_CODES[self.kinds[row]],
                link_target=links.get(row, ""),
            )


class Page:
    """A piece of a listing, in the order of the server; entries of one listing never repeat between pages.

    Who shows it takes its columns, who works with the files takes its entries; a backend makes one of them, the other is
    made when it is asked for.
    """

    __slots__ = ("_columns", "_entries", "_make_entries")

    def __init__(self, entries: tuple[ListEntry, ...]) -> None:
        self._entries: tuple[ListEntry, ...] | None = entries
        self._columns: Columns | None = None
        self._make_entries: Callable[[], Iterable[ListEntry]] = tuple

    @classmethod
    def of_columns(cls, columns: Columns, make_entries: Callable[[], Iterable[ListEntry]]) -> Page:
        """A page whose entries, as many as the columns have rows, are made when first asked for."""
        page = cls(())
        page._entries, page._columns, page._make_entries = None, columns, make_entries
        return page

    @property
    def entries(self) -> tuple[ListEntry, ...]:
        if self._entries is None:
            self._entries = tuple(self._make_entries())
        return self._entries

    @property
    def columns(self) -> Columns:
        if self._columns is None:
            self._columns = Columns.from_entries(self.entries)
        return self._columns

    def __len__(self) -> int:
        return len(self.entries) if self._columns is None else self._columns.count

    def __eq__(self, other: object) -> bool:
        return self.entries == other.entries if isinstance(other, Page) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Page({self.entries!r})"


def names_joined(names: Sequence[str]) -> str:
    """The column of names. One with a NUL in it, which only a server that lies can give, is shown with a sign instead."""
    joined = "\0".join(names)
    if joined.count("\0") >= max(len(names), 1):
        joined = "\0".join([name.replace("\0", "\N{SYMBOL FOR NULL}") for name in names])
    return joined


def microseconds(moment: datetime | None) -> int:
    """Since 1970 UTC; UNKNOWN for None."""
    return UNKNOWN if moment is None else (moment - _EPOCH) // _MICROSECOND


def as_folder(path: str) -> str:
    """The path as a folder's: empty, or with a "/" at its end."""
    return path if not path or path.endswith("/") else f"{path}/"
