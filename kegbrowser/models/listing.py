"""The contents of one folder as a table: fed by the lister, sorted and filtered here, held in columns."""

from __future__ import annotations

import enum
import html
import unicodedata
from collections.abc import Callable, Iterable
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
from kegbrowser.models.formats import size_text, time_text
from kegbrowser.models.rows import Rows, Totals
from kegbrowser.services.lister import DirectoryLister
from kegbrowser.transfer.events import PageListed

Index = QModelIndex | QPersistentModelIndex

TICK_MS = 16
"""Pages are taken over at most once a frame."""

RESORT_MS = 250
"""While pages arrive, the order is mended at most that often."""

RESORT_MAX_ROWS = 50_000
"""Longer listings are put in order once, at their end."""


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
        self._order: list[int] = []
        self._fresh: Rows | None = None
        self._pages: list[PageListed] = []
        self._sort_column = Column.NAME
        self._sort_order = Qt.SortOrder.AscendingOrder
        self._needle = ""
        self._show_hidden = True
        self._tick = QTimer(self)
        self._tick.setSingleShot(True)
        self._tick.setInterval(TICK_MS)
        self._tick.timeout.connect(self._take_pages)
        self._resort = QTimer(self)
        self._resort.setSingleShot(True)
        self._resort.setInterval(RESORT_MS)
        self._resort.timeout.connect(self._sort_again)
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
        self._rows, self._order, self._fresh, self._error = Rows(), [], None, None
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
        self._needle = text.casefold()
        self._arrange_anew()

    def set_show_hidden(self, shown: bool) -> None:
        """Whether names that begin with a dot are shown."""
        self._show_hidden = shown
        self._arrange_anew()

    def path_at(self, row: int) -> RemotePath:
        assert self._folder is not None
        number = self._order[row]
        name, is_folder = self._rows.identity(number)
        return self._folder.join(name, is_folder=is_folder)

    def entry_at(self, row: int) -> ListEntry:
        return self._rows.entry(self._order[row])

    def row_of(self, name: str, is_folder: bool | None = None) -> int:
        """Where a name is shown; -1 if it is not. `is_folder` None takes either."""
        for row, number in enumerate(self._order):
            if self._rows.names[number] == name and is_folder in (None, self._rows.is_folder(number)):
                return row
        return -1

    def row_starting_with(self, text: str, after: int) -> int:
        """The next row after `after`, around the end, whose name begins with the text, case aside; -1 for none."""
        prefix, count = text.casefold(), len(self._order)
        for step in range(1, count + 1):
            row = (after + step) % count
            if self._rows.names[self._order[row]].casefold().startswith(prefix):
                return row
        return -1

    def totals(self, rows: Iterable[int] | None = None) -> Totals:
        """Count and sum shown rows; all of them by default."""
        return self._rows.totals(self._order if rows is None else (self._order[row] for row in rows))

    def names(self) -> set[str]:
        """All names of the folder, also hidden ones."""
        return set(self._rows.names)

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
            name = shown_name(self._rows.names[number])
            return as_plain(name if target is None else self.tr("%s → %s") % (name, shown_name(target)))
        if role == Qt.ItemDataRole.EditRole and column == Column.NAME:
            return self._rows.names[number]
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return self.text(number, column)
        return None

    def text(self, number: int, column: int) -> str:
        """What a cell shows, by the row's own number."""
        rows = self._rows
        if column == Column.NAME:
            return shown_name(rows.names[number])
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
        self._sort_column, self._sort_order = Column(column), order
        self._sort_again()

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
        if self._fresh is not None:
            self._replace_rows(self._fresh)
            self._fresh = None
        self._sort_again()
        self._set_state(ListingState.LISTED)

    @Slot(object, object)
    def _on_listing_failed(self, folder: RemotePath, error: StorageError) -> None:
        if folder != self._folder:
            return
        self._take_pages()
        self._fresh = None
        self._error = error
        self._sort_again()
        self._set_state(ListingState.FAILED)

    @Slot(object)
    def _on_listing_cancelled(self, folder: RemotePath) -> None:
        if folder != self._folder:
            return
        self._take_pages()
        self._fresh = None
        self._sort_again()
        self._set_state(ListingState.STOPPED)

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
        shown = self._sorted(self._shown(range(first, len(self._rows))))
        if shown:
            self.beginInsertRows(QModelIndex(), len(self._order), len(self._order) + len(shown) - 1)
            self._order.extend(shown)
            self.endInsertRows()
            if not self._resort.isActive() and len(self._order) <= RESORT_MAX_ROWS:
                self._resort.start()
        self.counts_changed.emit()

    def _shown(self, numbers: Iterable[int]) -> list[int]:
        if not self._needle and self._show_hidden:
            return list(numbers)
        rows, needle, hidden = self._rows, self._needle, self._show_hidden
        return [number for number in numbers if rows.passes(number, needle, show_hidden=hidden)]

    def _sorted(self, numbers: list[int]) -> list[int]:
        """The numbers in the chosen order, folders first in both directions."""
        rows = self._rows
        ordered = sorted(numbers, key=rows.sort_key(COLUMN_KEYS[self._sort_column], self._kind_of))
        if self._sort_order == Qt.SortOrder.AscendingOrder:
            return ordered
        folders = [number for number in reversed(ordered) if rows.is_folder(number)]
        return folders + [number for number in reversed(ordered) if not rows.is_folder(number)]

    @Slot()
    def _sort_again(self) -> None:
        self._resort.stop()
        order = self._sorted(self._order)
        if order == self._order:
            return
        self.layoutAboutToBeChanged.emit()
        held = self.persistentIndexList()
        numbers = [self._order[index.row()] for index in held]
        self._order = order
        if held:
            place = {number: row for row, number in enumerate(order)}
            moved = [self.index(place[number], index.column()) for number, index in zip(numbers, held, strict=True)]
            self.changePersistentIndexList(held, moved)
        self.layoutChanged.emit()

    def _arrange_anew(self, fresh: Rows | None = None) -> None:
        """Show what the filter lets through, of these rows or of `fresh` ones; whoever listens sees the old ones until then."""
        self.about_to_replace.emit()
        self.beginResetModel()
        if fresh is not None:
            self._rows = fresh
        self._order = self._sorted(self._shown(range(len(self._rows))))
        self.endResetModel()
        self.replaced.emit()
        self.counts_changed.emit()

    def _replace_rows(self, fresh: Rows) -> None:
        if len(fresh) == len(self._rows) and all(
            fresh.identity(row) == self._rows.identity(row) and fresh.same_facts(row, self._rows, row)
            for row in range(len(fresh))
        ):
            return  # nothing has changed: selection, place and a rename in progress stay untouched
        self._arrange_anew(fresh)


_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
_ALIGNMENT = {Column.NAME: _LEFT, Column.SIZE: _RIGHT, Column.KIND: _LEFT, Column.MODIFIED: _LEFT}
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Categories of characters that nobody sees, or that change how others are seen."""
_JOINERS = "\u200c\u200d"
"""Harmless, and many scripts and emoji need them."""


def shown_name(name: str) -> str:
    """A name as it may be shown: control characters and direction overrides made visible, so that none can pose as another."""
    if not name:
        return "⟨no name⟩"
    if name.isprintable():
        return name
    return "".join([_escaped(char) if _is_unseen(char) else char for char in name])


def as_plain(text: str) -> str:
    """A text for tool tips and other places that would take a name like `<b>` for markup."""
    return f'<p style="white-space: pre-wrap">{html.escape(text)}</p>' if "<" in text else text


def _is_unseen(char: str) -> bool:
    return unicodedata.category(char) in _UNSEEN and char not in _JOINERS


def _escaped(char: str) -> str:
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
