"""The rows of a folder as they came, in pages of columns: no object per row. No Qt."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from sys import byteorder

from kegbrowser.backends.base import EntryKind, ListEntry
from kegbrowser.backends.entries import KIND_CODES, UNKNOWN, Columns
from kegbrowser.models.natural import natural_key

FOLDER_CODES = frozenset(
    code for code, kind in enumerate(KIND_CODES) if kind in (EntryKind.FOLDER, EntryKind.CONTAINER)
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_SPLIT = 256


@dataclass(frozen=True, slots=True)
class Totals:
    """A sum over rows; `bytes` leaves out what is unknown."""

    files: int = 0
    folders: int = 0
    bytes: int = 0

    def __add__(self, other: Totals) -> Totals:
        return Totals(self.files + other.files, self.folders + other.folders, self.bytes + other.bytes)


class Rows:
    """A listing in the order of arrival; a row's number is its identity while the listing lasts.

    Pages are kept as they came, some 47 bytes a row; the names of those in use are split and held.

    Attributes:
        totals: of all rows.
        links: targets of symbolic links, by number.
    """

    def __init__(self) -> None:
        self.totals = Totals()
        self.links: dict[int, str] = {}
        self._pages: list[Columns] = []
        self._firsts: list[int] = []
        self._count = 0
        self._split: dict[int, list[str]] = {}

    def __len__(self) -> int:
        return self._count

    @property
    def pages(self) -> tuple[Columns, ...]:
        """What came so far; none of them ever changes."""
        return tuple(self._pages)

    def append(self, page: Columns) -> range:
        """Take over a page; gives the numbers of its rows."""
        first = self._count
        if page.count:
            self._pages.append(page)
            self._firsts.append(first)
            self._count += page.count
            self.totals += totals_of(page)
            for row, target in page.links:
                self.links[first + row] = target
        return range(first, self._count)

    def name(self, row: int) -> str:
        number = bisect_right(self._firsts, row) - 1
        return self._names(number)[row - self._firsts[number]]

    def is_folder(self, row: int) -> bool:
        page, place = self._at(row)
        return page.kinds[place] in FOLDER_CODES

    def kind(self, row: int) -> EntryKind:
        page, place = self._at(row)
        return KIND_CODES[page.kinds[place]]

    def size(self, row: int) -> int | None:
        """Bytes; None for folders and where it is unknown."""
        page, place = self._at(row)
        size = _number(page.sizes, place)
        return None if size == UNKNOWN or page.kinds[place] in FOLDER_CODES else size

    def modified_utc(self, row: int) -> datetime | None:
        page, place = self._at(row)
        moment = _number(page.modified_us, place)
        return None if moment == UNKNOWN else _EPOCH + timedelta(microseconds=moment)

    def entry(self, row: int) -> ListEntry:
        """The row as an entry, with what the columns hold."""
        page, place = self._at(row)
        size = _number(page.sizes, place)
        return ListEntry(
            self.name(row),
            self.modified_utc(row),
            None if size == UNKNOWN else size,
            self.kind(row),
            link_target=self.links.get(row, ""),
        )

    def identity(self, row: int) -> tuple[str, bool]:
        """What makes it the same thing after a refresh."""
        return self.name(row), self.is_folder(row)

    def identities(self) -> Iterator[tuple[str, bool]]:
        """`identity` of all rows."""
        for page in self._pages:
            yield from zip(page.names.split("\0"), [code in FOLDER_CODES for code in page.kinds], strict=True)

    def numbers_named(self, name: str) -> list[int]:
        """The rows of exactly this name: none, one, or a folder and a file."""
        found = []
        for number, page in enumerate(self._pages):
            if name in page.names and (number in self._split or f"\0{name}\0" in f"\0{page.names}\0"):
                first = self._firsts[number]
                found += [first + place for place, one in enumerate(self._names(number)) if one == name]
        return found

    def numbers_starting_with(self, text: str) -> set[int]:
        """The rows whose name begins with a text, case aside."""
        prefix, found = text.casefold(), set()
        for number, page in enumerate(self._pages):
            if f"\0{prefix}" in f"\0{page.names.casefold()}":
                first = self._firsts[number]
                found |= {
                    first + place for place, one in enumerate(self._names(number)) if one.casefold().startswith(prefix)
                }
        return found

    def tells_the_same(self, other: Rows) -> bool:
        """Whether another listing has the same rows in the same order, with the same facts; for some thousand rows."""
        if self.totals != other.totals or len(self) != len(other) or self.links != other.links:
            return False
        return Columns.joined(self._pages) == Columns.joined(other._pages)

    def totals_of(self, rows: Iterable[int]) -> Totals:
        """Count and sum some rows."""
        files = folders = total = 0
        for row in rows:
            page, place = self._at(row)
            if page.kinds[place] in FOLDER_CODES:
                folders += 1
            else:
                files += 1
                total += max(_number(page.sizes, place), 0)
        return Totals(files, folders, total)

    def passes(self, row: int, needle: str, *, show_hidden: bool) -> bool:
        """Whether a filter (casefolded text, "" for none) lets a row through."""
        name = self.name(row)
        if not show_hidden and name.startswith("."):
            return False
        return not needle or needle in name.casefold()

    def sort_key(self, column: str, kind_of: Callable[[str, bool], str]) -> Callable[[int], tuple[object, ...]]:
        """What a row is sorted by: folders first, then the column (`name`, `size`, `modified`, `kind`), then the name."""
        fact: Callable[[int], object]
        if column == "name":
            return lambda row: (not self.is_folder(row), natural_key(self.name(row)), self.name(row))
        if column == "kind":
            fact = lambda row: kind_of(*self.identity(row))  # noqa: E731
        else:
            field = "sizes" if column == "size" else "modified_us"
            fact = lambda row: _number(*self._cell(row, field))  # noqa: E731
        return lambda row: (not self.is_folder(row), fact(row), natural_key(self.name(row)), self.name(row))

    # -- private ---------------------------------------------------------------------------------------------------------

    def _at(self, row: int) -> tuple[Columns, int]:
        number = bisect_right(self._firsts, row) - 1
        return self._pages[number], row - self._firsts[number]

    def _cell(self, row: int, column: str) -> tuple[bytes, int]:
        page, place = self._at(row)
        return getattr(page, column), place

    def _names(self, number: int) -> list[str]:
        names = self._split.get(number)
        if names is None:
            if len(self._split) >= _MOST_SPLIT:
                self._split.clear()
            names = self._split[number] = self._pages[number].names.split("\0")
        return names


def numbers_moved(old: Sequence[Columns], new: Sequence[Columns]) -> array[int]:
    """For each row of a listing its number in a later one of the same folder, by name and sort; -1 if it is gone."""
    places: dict[tuple[str, bool], int] = {}
    first = 0
    for page in new:
        folders = [code in FOLDER_CODES for code in page.kinds]
        places.update(
            zip(zip(page.names.split("\0"), folders, strict=True), range(first, first + page.count), strict=True)
        )
        first += page.count
    moved = array("i")
    for page in old:
        folders = [code in FOLDER_CODES for code in page.kinds]
        moved.extend([places.get(one, -1) for one in zip(page.names.split("\0"), folders, strict=True)])
    return moved


def totals_of(page: Columns) -> Totals:
    """Count and sum a page."""
    folders = sum(page.kinds.count(code) for code in FOLDER_CODES)
    sizes = array("q", page.sizes)
    if folders or UNKNOWN in sizes:
        known = [size for size, code in zip(sizes, page.kinds, strict=True) if code not in FOLDER_CODES and size > 0]
        return Totals(page.count - folders, folders, sum(known))
    return Totals(page.count, 0, sum(sizes))


def _number(column: bytes, place: int) -> int:
    return int.from_bytes(column[8 * place : 8 * place + 8], byteorder, signed=True)
