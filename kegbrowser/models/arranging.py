"""Which rows of a large folder are shown, and in which order: computed by numpy, beside the window. No Qt.

Importing this module imports numpy: it is done on the thread that arranges, when the first large folder comes.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from kegbrowser.backends.entries import KIND_CODES, Columns
from kegbrowser.models.arrangement import Arranged, Wanted
from kegbrowser.models.name_order import NameBytes, encoded, name_order, rows_containing
from kegbrowser.models.rows import FOLDER_CODES, Totals

_PAGES_AT_ONCE = 16
"""Names are folded and encoded a few pages at a time: each step holds the interpreter's lock."""

_IS_FOLDER = np.array([code in FOLDER_CODES for code in range(len(KIND_CODES))])


class Arranger:
    """Arranges one folder again and again, and remembers what it learnt of it. One thread.

    Memory: some 45 bytes a row, mostly the names without regard to case, by which it filters.

    Args:
        kind_of: gives the text of the column Kind for (name, is_folder).
    """

    def __init__(self, kind_of: Callable[[str, bool], str]) -> None:
        self._kind_of = kind_of
        self._pages: tuple[Columns, ...] = ()
        self._folded: NameBytes | None = None
        self._by_name: NDArray[np.int32] | None = None
        self._by_kind: NDArray[np.int32] | None = None

    def arrange(self, pages: tuple[Columns, ...], wanted: Wanted) -> Arranged:
        """The numbers of the rows to be shown, in their order."""
        if len(pages) != len(self._pages):
            self._pages, self._folded, self._by_name, self._by_kind = pages, None, None, None
        kinds = np.frombuffer(b"".join([page.kinds for page in pages]), np.uint8)
        is_folder = _IS_FOLDER[kinds]
        order = self._sorted(wanted, is_folder)
        shown = self._shown(wanted)
        if shown is not None:
            order = order[shown[order]]
        sizes = _column(pages, "sizes")
        places = np.full(len(kinds), -1, np.int32)
        places[order] = np.arange(len(order), dtype=np.int32)
        return Arranged(
            len(kinds), array("i", order.tobytes()), array("i", places.tobytes()), _totals(sizes, is_folder, shown)
        )

    # -- private ---------------------------------------------------------------------------------------------------------

    def _sorted(self, wanted: Wanted, is_folder: NDArray[np.bool_]) -> NDArray[np.int32]:
        """All rows in order, folders first both ways."""
        order = self._names_sorted()
        if wanted.column in ("size", "modified"):
            column = _column(self._pages, "sizes" if wanted.column == "size" else "modified_us")
            order = order[np.argsort(column[order], kind="stable")]
        elif wanted.column == "kind":
            order = order[np.argsort(self._kinds_ranked()[order], kind="stable")]
        if wanted.is_descending:
            order = order[::-1]
        above = is_folder[order]
        if not above.any():
            return order
        return np.concatenate((order[above], order[~above]))

    def _shown(self, wanted: Wanted) -> NDArray[np.bool_] | None:
        """Which rows the filter lets through; None: all."""
        shown = None
        if wanted.needle:
            shown = rows_containing(self._folded_names(), wanted.needle.encode("utf-8", "surrogatepass"))
        if not wanted.show_hidden:
            names = self._folded_names()
            seen = names.blob[names.starts] != ord(".")
            shown = seen if shown is None else shown & seen
        return shown

    def _names_sorted(self) -> NDArray[np.int32]:
        if self._by_name is None:
            names = NameBytes.of(_encoded(self._pages, is_folded=False))
            self._by_name = name_order(names, self._folded_names())
        return self._by_name

    def _folded_names(self) -> NameBytes:
        if self._folded is None:
            self._folded = NameBytes.of(_encoded(self._pages, is_folded=True))
        return self._folded

    def _kinds_ranked(self) -> NDArray[np.int32]:
        """The place of each row's kind among all kinds."""
        if self._by_kind is None:
            codes: dict[str, int] = {}
            found = array("i")
            for page in self._pages:
                folders = [code in FOLDER_CODES for code in page.kinds]
                kinds = map(self._kind_of, page.names.split("\0"), folders)
                found.extend([codes.setdefault(kind, len(codes)) for kind in kinds])
            ranks = np.empty(len(codes), np.int32)
            ranks[[codes[kind] for kind in sorted(codes)]] = np.arange(len(codes))
            self._by_kind = ranks[np.frombuffer(found, np.int32)]
        return self._by_kind


def runs_of(numbers: array[int], moved: array[int] | None, places: array[int]) -> list[tuple[int, int]]:
    """Where some rows are shown, as (first, last) of each stretch.

    Args:
        moved: the rows' numbers now, by their numbers when they were chosen; None if they are the same.
    """
    now = np.frombuffer(numbers, np.int32)
    if moved is not None:
        now = np.frombuffer(moved, np.int32)[now]
        now = now[now >= 0]
    rows = np.frombuffer(places, np.int32)[now]
    rows = np.sort(rows[rows >= 0])
    if not len(rows):
        return []
    breaks = np.flatnonzero(np.diff(rows) != 1)
    firsts = rows[np.concatenate(([0], breaks + 1))]
    lasts = rows[np.concatenate((breaks, [len(rows) - 1]))]
    return list(zip(firsts.tolist(), lasts.tolist(), strict=True))


def totals_of(pages: Sequence[Columns], numbers: array[int]) -> Totals:
    """Count and sum some rows."""
    rows = np.frombuffer(numbers, np.int32)
    is_folder = _IS_FOLDER[np.frombuffer(b"".join([page.kinds for page in pages]), np.uint8)]
    return _totals(_column(pages, "sizes")[rows], is_folder[rows], None)


def _column(pages: Sequence[Columns], name: str) -> NDArray[np.int64]:
    return np.frombuffer(b"".join([getattr(page, name) for page in pages]), np.int64)


def _totals(sizes: NDArray[np.int64], is_folder: NDArray[np.bool_], shown: NDArray[np.bool_] | None) -> Totals:
    if shown is not None:
        sizes, is_folder = sizes[shown], is_folder[shown]
    folders = int(np.count_nonzero(is_folder))
    counted = sizes[~is_folder] if folders else sizes
    return Totals(len(sizes) - folders, folders, int(np.maximum(counted, 0).sum()))


def _encoded(pages: Sequence[Columns], *, is_folded: bool) -> bytes:
    pieces = []
    for first in range(0, len(pages), _PAGES_AT_ONCE):
        text = "\0".join([page.names for page in pages[first : first + _PAGES_AT_ONCE]])
        pieces.append(encoded(text.casefold() if is_folded else text))
    return b"".join(pieces)
