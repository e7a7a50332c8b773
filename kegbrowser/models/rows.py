"""The rows of a folder as columns: no object per row. No Qt."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from kegbrowser.backends.base import EntryKind, ListEntry
from kegbrowser.backends.entries import KIND_CODES, UNKNOWN
from kegbrowser.models.natural import natural_key
from kegbrowser.transfer.events import PageListed

_FOLDER_CODES = frozenset(
    code for code, kind in enumerate(KIND_CODES) if kind in (EntryKind.FOLDER, EntryKind.CONTAINER)
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Totals:
    """A sum over rows; `bytes` leaves out what is unknown."""

    files: int = 0
    folders: int = 0
    bytes: int = 0


class Rows:
    """Columns of a listing, in the order of arrival; a row's number is its identity while the listing lasts."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.keys: list[str] = []
        self.sizes = array("q")
        self.modified_us = array("q")
        self.kinds = bytearray()
        self.links: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self.names)

    def append(self, page: PageListed) -> range:
        """Take over a page; gives the numbers of its rows."""
        first = len(self.names)
        if page.count == 0:
            return range(first, first)
        names = page.names.split("\0")
        self.names.extend(names)
        self.keys.extend(map(natural_key, names))
        self.sizes.frombytes(page.sizes)
        self.modified_us.frombytes(page.modified_us)
        self.kinds.extend(page.kinds)
        for row, target in page.links:
            self.links[first + row] = target
        return range(first, len(self.names))

    def is_folder(self, row: int) -> bool:
        return self.kinds[row] in _FOLDER_CODES

    def kind(self, row: int) -> EntryKind:
        return KIND_CODES[self.kinds[row]]

    def size(self, row: int) -> int | None:
        """Bytes; None for folders and where it is unknown."""
        size = self.sizes[row]
        return None if size == UNKNOWN or self.is_folder(row) else size

    def modified_utc(self, row: int) -> datetime | None:
        moment = self.modified_us[row]
        return None if moment == UNKNOWN else _EPOCH + timedelta(microseconds=moment)

    def entry(self, row: int) -> ListEntry:
        """The row as an entry, with what the columns hold."""
        size = self.sizes[row]
        return ListEntry(
            self.names[row],
            self.modified_utc(row),
            None if size == UNKNOWN else size,
            self.kind(row),
            link_target=self.links.get(row, ""),
        )

    def identity(self, row: int) -> tuple[str, bool]:
        """What makes it the same thing after a refresh."""
        return self.names[row], self.is_folder(row)

    def same_facts(self, row: int, other: Rows, other_row: int) -> bool:
        """Whether a row tells the same as one of another listing."""
        return (
            self.sizes[row] == other.sizes[other_row]
            and self.modified_us[row] == other.modified_us[other_row]
            and self.kinds[row] == other.kinds[other_row]
        )

    def totals(self, rows: Iterable[int]) -> Totals:
        """Count and sum some rows."""
        files = folders = total = 0
        for row in rows:
            if self.is_folder(row):
                folders += 1
            else:
                files += 1
                total += max(self.sizes[row], 0)
        return Totals(files, folders, total)

    def passes(self, row: int, needle: str, *, show_hidden: bool) -> bool:
        """Whether a filter (casefolded text, "" for none) lets a row through."""
        name = self.names[row]
        if not show_hidden and name.startswith("."):
            return False
        return not needle or needle in name.casefold()

    def sort_key(self, column: str, kind_of: Callable[[str, bool], str]) -> Callable[[int], tuple[object, ...]]:
        """What a row is sorted by: folders first, then the column (`name`, `size`, `modified`, `kind`), then the name."""
        names, keys, kinds = self.names, self.keys, self.kinds
        ranks = [0 if code in _FOLDER_CODES else 1 for code in range(len(KIND_CODES))]
        if column == "size":
            sizes = self.sizes
            return lambda row: (ranks[kinds[row]], sizes[row], keys[row], names[row])
        if column == "modified":
            times = self.modified_us
            return lambda row: (ranks[kinds[row]], times[row], keys[row], names[row])
        if column == "kind":
            return lambda row: (ranks[kinds[row]], kind_of(*self.identity(row)), keys[row], names[row])
        return lambda row: (ranks[kinds[row]], keys[row], names[row])
