"""The contents of one folder as a table: fed by the lister, sorted and filtered here, held in columns."""

from __future__ import annotations

import enum
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

from PySide6.QtCore import (
    QAbstractTableModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    Qt,
    QTimer,
    Signal,
    Slot,
)

from kegbrowser.backends.base import ListEntry
from kegbrowser.backends.errors import StorageError
from kegbrowser.backends.locations import RemotePath
from kegbrowser.models.arrangement import Arranged, Wanted
from kegbrowser.models.arranging_thread import Answer, ArrangingThread, Order
from kegbrowser.models.formats import size_text, time_text
from kegbrowser.models.rows import Rows, Totals, numbers_moved
from kegbrowser.models.shown_names import as_plain, shown_name
from kegbrowser.services.lister import DirectoryLister
from kegbrowser.transfer.events import PageListed

_numbers = count()

Index = QModelIndex | QPersistentModelIndex

TICK_MS = 16
"""Pages are taken over at most once a frame."""

RESORT_MS = 250
"""While pages arrive, the order is mended at most that often."""

SMALL_ROWS = 2_000
"""Larger folders are put in order beside the window, by numpy."""

RESORT_SHARE = 3
"""A larger one is put in order anew when that many times as long has passed as the last time took."""


class Column(enum.IntEnum):
    """The columns of the table."""

    NAME = 0
    SIZE = 1
    KIND = 2
    MODIFIED = 3


COLUMN_KEYS = {Column.NAME: "name", Column.SIZE: "size", Column.KIND: "kind", Column.MODIFIED: "modified"}


class ListingState(enum.Enum):
    """What the view should say of the folder."""

    NOTHING = "nothing"  # no folder is chosen
    LISTING = "listing"
    LISTED = "listed"
    FAILED = "failed"
    STOPPED = "stopped"  # by the user, in the middle


class ListingModel(QAbstractTableModel):
    """GUI thread only. Shows one folder at a time; a refresh keeps what is shown until the new listing is whole.

    Args:
        lister: where pages come from.
        kind_of: gives the text of the column Kind for (name, is_folder); pure and fast.
        icon_of: gives the icon for (name, is_folder); pure and fast.
    """

    state_changed = Signal()
    counts_changed = Signal()
    about_to_replace = Signal()  # all rows go; remember selection and place by name
    replaced = Signal()

    def __init__(
        self,
        lister: DirectoryLister,
        kind_of: Callable[[str, bool], str],
        icon_of: Callable[[str, bool], object],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._lister = lister
        self._kind_of = kind_of
        self._icon_of = icon_of
        self._folder: RemotePath | None = None
        self._state = ListingState.NOTHING
        self._error: StorageError | None = None
        self._rows = Rows()
        self._order = array("i")
        self._places: array[int] | None = None
        self._totals = Totals()
        self._wanted = Wanted()
        self._shown_wanted = self._wanted
        self._fresh: Rows | None = None
        self._pages: list[PageListed] = []
        self._moved: array[int] | None = None
        self._thread = ArrangingThread(kind_of, self)
        self._thread.answered.connect(self._on_answered, Qt.ConnectionType.QueuedConnection)
        self._last_order: Order | None = None
        self._replacing: tuple[Rows, Rows] | None = None
        self._asked_at = self._arranging_s = 0.0
        self._tick = QTimer(self)
        self._tick.setSingleShot(True)
        self._tick.setInterval(TICK_MS)
        self._tick.timeout.connect(self._take_pages)
        self._resort = QTimer(self)
        self._resort.setSingleShot(True)
        self._resort.setInterval(RESORT_MS)
        self._resort.timeout.connect(self._arrange)
        lister.page_ready.connect(self._on_page_ready)
        lister.listing_started.connect(self._on_listing_started)
        lister.listing_finished.connect(self._on_listing_finished)
        lister.listing_failed.connect(self._on_listing_failed)
        lister.listing_cancelled.connect(self._on_listing_cancelled)

    # -- what is shown -----------------------------------------------------------------------------------------------

    @property
    def folder(self) -> RemotePath | None:
        return self._folder

    @property
    def state(self) -> ListingState:
        return self._state

    @property
    def error(self) -> StorageError | None:
        """Why the last listing failed; the rows are those of before."""
        return self._error

    @property
    def total_rows(self) -> int:
        """Rows of the folder, also those that the filter hides."""
        return len(self._rows)

    def show_folder(self, folder: RemotePath | None) -> None:
        """Show a folder; what was shown goes at once."""
        if self._folder is not None and self._folder != folder:
            old, self._folder = self._folder, None
            self._lister.release(old, self)
        self._stop_timers()
        self.beginResetModel()
        self._folder = folder
        self._rows, self._order, self._places = Rows(), array("i"), None
        self._fresh, self._error, self._replacing, self._last_order = None, None, None, None
        self._totals, self._shown_wanted = Totals(), self._wanted
        self.endResetModel()
        self._set_state(ListingState.NOTHING if folder is None else ListingState.LISTING)
        self.counts_changed.emit()
        if folder is not None:
            self._pages.extend(self._lister.list_folder(folder, self))
            if self._pages:
                self._tick.start()

    def refresh(self) -> None:
        """List the folder anew; the rows stay until the new listing is whole."""
        if self._folder is not None:
            self._lister.list_folder(self._folder, self, anew=True)

    def stop(self) -> None:
        """Stop listing and keep what came."""
        if self._folder is not None:
            self._lister.cancel(self._folder)

    def set_filter(self, text: str) -> None:
        """Show only names that contain the text, case aside; "" shows all."""
        self._want(replace(self._wanted, needle=text.casefold()))

    def set_show_hidden(self, shown: bool) -> None:
        """Whether names that begin with a dot are shown."""
        self._want(replace(self._wanted, show_hidden=shown))

    @property
    def is_arranging(self) -> bool:
        """What is shown is not yet in the order, or filtered in the way, that was asked for."""
        return self._last_order is not None

    def path_at(self, row: int) -> RemotePath:
        assert self._folder is not None
        number = self._order[row]
        name, is_folder = self._rows.identity(number)
        return self._folder.join(name, is_folder=is_folder)

    def entry_at(self, row: int) -> ListEntry:
        return self._rows.entry(self._order[row])

    def row_of(self, name: str, is_folder: bool | None = None) -> int:
        """Where a name is shown; -1 if it is not. `is_folder` None takes either."""
        numbers = self._rows.numbers_named(name)
        rows = [self._row(number) for number in numbers if is_folder in (None, self._rows.is_folder(number))]
        return min((row for row in rows if row >= 0), default=-1)

    def row_starting_with(self, text: str, after: int) -> int:
        """The next row after `after`, around the end, whose name begins with the text, case aside; -1 for none."""
        numbers, order, count = self._rows.numbers_starting_with(text), self._order, len(self._order)
        if not numbers:
            return -1
        return next((row for row in _around(after, count) if order[row] in numbers), -1)

    def has_name(self, name: str) -> bool:
        """Whether the folder has something of this name, shown or not."""
        return bool(self._rows.numbers_named(name))

    def totals(self, ranges: Sequence[tuple[int, int]] | None = None) -> Totals:
        """Count and sum shown rows, given as (first, last) of each stretch; all of them by default."""
        if ranges is None or ranges == [(0, len(self._order) - 1)]:
            return self._totals
        numbers = self.numbers(ranges)
        if len(numbers) <= SMALL_ROWS:
            return self._rows.totals_of(numbers)
        from kegbrowser.models.arranging import totals_of  # so many rows were arranged before: numpy is there

        return totals_of(self._rows.pages, numbers)

    def numbers(self, ranges: Sequence[tuple[int, int]]) -> array[int]:
        """What stays the same of shown rows over `replaced`: their numbers; see `rows_of`."""
        found = array("i")
        for first, last in ranges:
            found.extend(self._order[first : last + 1])
        return found

    def rows_of(self, numbers: array[int]) -> list[tuple[int, int]]:
        """Where rows are shown now, as (first, last) of each stretch. Only while `replaced` is told."""
        if self._places is not None:
            from kegbrowser.models.arranging import runs_of

            return runs_of(numbers, self._moved, self._places)
        moved = self._moved
        now = {number if moved is None else moved[number] for number in numbers}
        return [(row, row) for row, number in enumerate(self._order) if number in now]

    # -- Qt's side ---------------------------------------------------------------------------------------------------

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own default
        return 0 if parent.isValid() else len(self._order)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own default
        return 0 if parent.isValid() else len(Column)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < len(Column):
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return (self.tr("Name"), self.tr("Size"), self.tr("Kind"), self.tr("Modified"))[section]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _ALIGNMENT[Column(section)]
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        number, column = self._order[index.row()], index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return self.text(number, column)
        if role == Qt.ItemDataRole.DecorationRole and column == Column.NAME:
            return self._icon_of(*self._rows.identity(number))
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _ALIGNMENT[Column(column)]
        if role == Qt.ItemDataRole.ToolTipRole and column == Column.NAME:
            target = self._rows.links.get(number)
            name = shown_name(self._rows.name(number))
            return as_plain(name if target is None else self.tr("%s → %s") % (name, shown_name(target)))
        if role == Qt.ItemDataRole.EditRole and column == Column.NAME:
            return self._rows.name(number)
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return self.text(number, column)
        return None

    def text(self, number: int, column: int) -> str:
        """What a cell shows, by the row's own number."""
        rows = self._rows
        if column == Column.NAME:
            return shown_name(rows.name(number))
        if column == Column.SIZE:
            size = rows.size(number)
            return "" if size is None else size_text(size)
        if column == Column.KIND:
            return self._kind_of(*rows.identity(number))
        moment = rows.modified_utc(number)
        return "" if moment is None else time_text(moment)

    def flags(self, index: Index) -> Qt.ItemFlag:
        if not index.isValid():
            return Qt.ItemFlag.ItemIsDropEnabled
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemIsDragEnabled
        if index.column() == Column.NAME:
            flags |= Qt.ItemFlag.ItemIsEditable
        if self._rows.is_folder(self._order[index.row()]):
            flags |= Qt.ItemFlag.ItemIsDropEnabled
        return flags

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        is_descending = order == Qt.SortOrder.DescendingOrder
        self._want(replace(self._wanted, column=COLUMN_KEYS[Column(column)], is_descending=is_descending))

    # -- what the lister tells ---------------------------------------------------------------------------------------

    @Slot(object)
    def _on_listing_started(self, folder: RemotePath) -> None:
        if folder != self._folder:
            return
        self._stop_timers()
        self._error = None
        self._fresh = Rows() if len(self._rows) else None
        self._set_state(ListingState.LISTING)

    @Slot(object, object)
    def _on_page_ready(self, folder: RemotePath, page: PageListed) -> None:
        if folder == self._folder:
            self._pages.append(page)
            if not self._tick.isActive():
                self._tick.start()

    @Slot(object)
    def _on_listing_finished(self, folder: RemotePath) -> None:
        if folder != self._folder:
            return
        self._take_pages()
        fresh, self._fresh = self._fresh, None
        if fresh is None:
            self._arrange()
        else:
            self._replace_rows(fresh)
        self._set_state(ListingState.LISTED)

    @Slot(object, object)
    def _on_listing_failed(self, folder: RemotePath, error: StorageError) -> None:
        if folder == self._folder:
            self._error = error
            self._end_with_what_came(ListingState.FAILED)

    @Slot(object)
    def _on_listing_cancelled(self, folder: RemotePath) -> None:
        if folder == self._folder:
            self._end_with_what_came(ListingState.STOPPED)

    def _end_with_what_came(self, state: ListingState) -> None:
        self._take_pages()
        self._fresh = None
        self._arrange()
        self._set_state(state)

    # -- private -----------------------------------------------------------------------------------------------------

    def _set_state(self, state: ListingState) -> None:
        self._state = state
        self.state_changed.emit()

    def _stop_timers(self) -> None:
        self._tick.stop()
        self._resort.stop()
        self._pages.clear()

    @Slot()
    def _take_pages(self) -> None:
        self._tick.stop()
        pages, self._pages = self._pages, []
        if not pages:
            return
        if self._fresh is not None:
            for page in pages:
                self._fresh.append(page)
            return
        first = len(self._rows)
        for page in pages:
            self._rows.append(page)
        shown = self._shown(range(first, len(self._rows)))
        if len(self._rows) <= SMALL_ROWS:
            shown = array("i", self._sorted(shown))
        if shown:
            self.beginInsertRows(QModelIndex(), len(self._order), len(self._order) + len(shown) - 1)
            self._add(shown)
            self.endInsertRows()
            if not self._resort.isActive():
                took_s = self._arranging_s if len(self._rows) > SMALL_ROWS else 0.0
                self._resort.start(max(RESORT_MS, round(RESORT_SHARE * took_s * 1000)))
        self.counts_changed.emit()

    def _add(self, shown: array[int]) -> None:
        """Show some more rows at the end."""
        if self._places is not None:
            _extend_places(self._places, len(self._rows), shown, len(self._order))
        self._order.extend(shown)
        everything = len(self._order) == len(self._rows)
        self._totals = self._rows.totals if everything else self._totals + self._rows.totals_of(shown)

    def _row(self, number: int) -> int:
        """Where a row is shown; -1 if it is not."""
        if self._places is not None:
            return self._places[number]
        return self._order.index(number) if number in self._order else -1

    def _shown(self, numbers: range) -> array[int]:
        """Those rows that pass the filter by which the others are shown."""
        wanted, rows = self._shown_wanted, self._rows
        if not wanted.needle and wanted.show_hidden:
            return array("i", numbers)
        needle, hidden = wanted.needle, wanted.show_hidden
        return array("i", [number for number in numbers if rows.passes(number, needle, show_hidden=hidden)])

    def _sorted(self, numbers: Iterable[int]) -> list[int]:
        """The numbers in the chosen order, folders first in both directions."""
        rows, wanted = self._rows, self._wanted
        ordered = sorted(numbers, key=rows.sort_key(wanted.column, self._kind_of))
        if not wanted.is_descending:
            return ordered
        folders = [number for number in reversed(ordered) if rows.is_folder(number)]
        return folders + [number for number in reversed(ordered) if not rows.is_folder(number)]

    def _want(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._arrange()

    @Slot()
    def _arrange(self) -> None:
        """Show what is wanted: at once for a small folder, else as soon as it is found out."""
        self._resort.stop()
        if self._replacing is not None:
            self._submit(*self._replacing)
        elif len(self._rows) > SMALL_ROWS:
            self._submit(self._rows)
        elif _passes_the_same(self._wanted, self._shown_wanted):
            self._put_in_order(array("i", self._sorted(self._order)), None)
        else:
            self._show_anew(self._rows, None, None)

    def _put_in_order(self, order: array[int], places: array[int] | None) -> None:
        """The rows that are shown, in another order; indexes that are held go along."""
        self._shown_wanted = self._wanted
        if order == self._order:
            self._places = places
            return
        self.layoutAboutToBeChanged.emit()
        held = self.persistentIndexList()
        numbers = [self._order[index.row()] for index in held]
        self._order, self._places = order, places
        if held:
            place = places or {number: row for row, number in enumerate(order)}
            moved = [self.index(place[number], index.column()) for number, index in zip(numbers, held, strict=True)]
            self.changePersistentIndexList(held, moved)
        self.layoutChanged.emit()

    def _show_anew(self, rows: Rows, arranged: Arranged | None, moved: array[int] | None) -> None:
        """Show other rows, or others of them; whoever listens sees the old ones until then."""
        self.about_to_replace.emit()
        self.beginResetModel()
        self._rows, self._shown_wanted = rows, self._wanted
        if arranged is None:
            order = array("i", self._sorted(self._shown(range(len(rows)))))
            self._order, self._places, self._totals = order, None, rows.totals
            if len(order) < len(rows):
                self._totals = rows.totals_of(order)
        else:
            self._order, self._places, self._totals = arranged.order, arranged.places, arranged.totals
            self._add(self._shown(range(arranged.count, len(rows))))
        self.endResetModel()
        self._moved = moved
        self.replaced.emit()
        self._moved = None
        self.counts_changed.emit()

    def _replace_rows(self, fresh: Rows) -> None:
        """Show a new listing of the same folder; where nothing has changed, selection, place and a rename in progress stay."""
        if max(len(fresh), len(self._rows)) > SMALL_ROWS:
            self._submit(fresh, self._rows)
        elif not fresh.tells_the_same(self._rows):
            self._show_anew(fresh, None, numbers_moved(self._rows.pages, fresh.pages))

    # -- large folders ---------------------------------------------------------------------------------------------------

    def _submit(self, rows: Rows, old: Rows | None = None) -> None:
        """Have the thread arrange a listing; what was ordered before is not waited for any more."""
        self._replacing = None if old is None else (rows, old)
        number = next(_numbers)
        self._last_order = Order(number, id(rows), rows.pages, self._wanted, None if old is None else old.pages)
        self._asked_at = time.monotonic()
        self._thread.submit(self._last_order)

    @Slot(object)
    def _on_answered(self, answer: Answer) -> None:
        order = answer.order
        if order is not self._last_order:
            return
        self._arranging_s = time.monotonic() - self._asked_at
        rows = self._rows if self._replacing is None else self._replacing[0]
        self._last_order = self._replacing = None
        if answer.is_same:
            return
        arranged = answer.arranged
        assert arranged is not None
        if order.old_pages is not None:
            self._show_anew(rows, arranged, answer.moved)
        elif self._state is ListingState.LISTING and _passes_the_same(order.wanted, self._shown_wanted):
            self._put_in_order(*self._with_later_rows(arranged))
        else:
            self._show_anew(rows, arranged, None)

    def _with_later_rows(self, arranged: Arranged) -> tuple[array[int], array[int]]:
        """The order, and the rows that have come since it was asked for."""
        order, places = arranged.order, arranged.places
        later = self._shown(range(arranged.count, len(self._rows)))
        _extend_places(places, len(self._rows), later, len(order))
        order.extend(later)
        return order, places


def _passes_the_same(one: Wanted, other: Wanted) -> bool:
    return (one.needle, one.show_hidden) == (other.needle, other.show_hidden)


def _extend_places(places: array[int], count: int, shown: array[int], first_row: int) -> None:
    """Note where some later rows of a listing of `count` are shown: from `first_row` on."""
    later = count - len(places)
    if len(shown) == later:
        places.extend(array("i", range(first_row, first_row + later)))
        return
    places.extend(array("i", [-1]) * later)
    for row, number in enumerate(shown, first_row):
        places[number] = row


def _around(after: int, count: int) -> Iterator[int]:
    """All rows, beginning behind one, around the end."""
    yield from range(after + 1, count)
    yield from range(min(after + 1, count))


_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
_ALIGNMENT = {Column.NAME: _LEFT, Column.SIZE: _RIGHT, Column.KIND: _LEFT, Column.MODIFIED: _LEFT}
