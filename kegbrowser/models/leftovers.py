"""What unfinished transfers left behind, as a table to choose from."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, Qt, Signal

from kegbrowser.backends.uploads import IncompleteUpload
from kegbrowser.models.formats import number_text, size_text, time_text
from kegbrowser.models.listing import Index
from kegbrowser.models.shown_names import as_plain, shown_name
from kegbrowser.transfer.events import Leftovers, LocalPart

YOUNG = timedelta(hours=1)
"""What was touched since may be somebody's who is at it right now: it is not chosen unless its user does."""


class LeftoverColumn(enum.IntEnum):
    """The columns of the table."""

    PATH = 0
    SIZE = 1
    AGE = 2


@dataclass(slots=True)
class _Row:
    found: IncompleteUpload | LocalPart
    is_chosen: bool

    @property
    def size_bytes(self) -> int | None:
        return self.found.size_bytes

    @property
    def touched_utc(self) -> datetime | None:
        return self.found.begun_utc if isinstance(self.found, IncompleteUpload) else self.found.modified_utc


class LeftoversModel(QAbstractTableModel):
    """GUI thread only. What is old enough is chosen when it is found."""

    choice_changed = Signal()

    def __init__(self, parent: QObject | None = None, now: datetime | None = None) -> None:
        super().__init__(parent)
        self._rows: list[_Row] = []
        self._now = now or datetime.now(UTC)

    def add(self, found: Leftovers) -> None:
        """Append what was found."""
        new: list[IncompleteUpload | LocalPart] = [*found.uploads, *found.local_parts]
        if not new:
            return
        first = len(self._rows)
        self.beginInsertRows(QModelIndex(), first, first + len(new) - 1)
        for one in new:
            row = _Row(one, is_chosen=False)
            row.is_chosen = not self._is_young(row)
            self._rows.append(row)
        self.endInsertRows()
        self.choice_changed.emit()

    def clear(self) -> None:
        """Forget all."""
        self.beginResetModel()
        self._rows = []
        self.endResetModel()
        self.choice_changed.emit()

    def choose_all(self, *, chosen: bool) -> None:
        """Choose all of them, or none."""
        for row in self._rows:
            row.is_chosen = chosen
        if self._rows:
            self.dataChanged.emit(self.index(0, 0), self.index(len(self._rows) - 1, 0))
        self.choice_changed.emit()

    def chosen(self) -> Leftovers:
        """What is to go."""
        found = [row.found for row in self._rows if row.is_chosen]
        return Leftovers(
            tuple(one for one in found if isinstance(one, IncompleteUpload)),
            tuple(one for one in found if isinstance(one, LocalPart)),
        )

    def sums(self, *, only_chosen: bool) -> tuple[int, int, int]:
        """How many, how many bytes as far as is known, and how many of them are young."""
        rows = [row for row in self._rows if row.is_chosen or not only_chosen]
        return len(rows), sum(row.size_bytes or 0 for row in rows), sum(map(self._is_young, rows))

    # -- QAbstractTableModel ---------------------------------------------------------------------------------------------

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008  # as Qt declares it
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008  # as Qt declares it
        return 0 if parent.isValid() else len(LeftoverColumn)

    def flags(self, index: Index) -> Qt.ItemFlag:
        if not index.isValid():
            return Qt.ItemFlag.NoItemFlags
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        return flags | Qt.ItemFlag.ItemIsUserCheckable if index.column() == LeftoverColumn.PATH else flags

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation is Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return (self.tr("File"), self.tr("Size"), self.tr("Last touched"))[section]
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        row, column = self._rows[index.row()], LeftoverColumn(index.column())
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(row, column)
        if role == Qt.ItemDataRole.CheckStateRole and column is LeftoverColumn.PATH:
            return Qt.CheckState.Checked if row.is_chosen else Qt.CheckState.Unchecked
        if role == Qt.ItemDataRole.TextAlignmentRole and column is LeftoverColumn.SIZE:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role == Qt.ItemDataRole.ToolTipRole:
            touched = row.touched_utc
            moment = "" if touched is None else f"\n{time_text(touched, long=True)}"
            return as_plain(shown_name(row.found.path) + moment)
        return None

    def setData(self, index: Index, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        if role != Qt.ItemDataRole.CheckStateRole or index.column() != LeftoverColumn.PATH:
            return False
        self._rows[index.row()].is_chosen = Qt.CheckState(value) is Qt.CheckState.Checked
        self.dataChanged.emit(index, index)
        self.choice_changed.emit()
        return True

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        if column < 0:
            return  # unsorted: as they were found
        self.layoutAboutToBeChanged.emit()
        never = datetime.min.replace(tzinfo=UTC)
        keys = {
            LeftoverColumn.PATH: lambda row: row.found.path,
            LeftoverColumn.SIZE: lambda row: -1 if row.size_bytes is None else row.size_bytes,
            LeftoverColumn.AGE: lambda row: row.touched_utc or never,
        }
        old = self.persistentIndexList()
        places = [self._rows[index.row()] for index in old]
        self._rows.sort(key=keys[LeftoverColumn(column)], reverse=order is Qt.SortOrder.DescendingOrder)
        now_at = {id(row): number for number, row in enumerate(self._rows)} if old else {}
        new = [self.index(now_at[id(row)], index.column()) for row, index in zip(places, old, strict=True)]
        self.changePersistentIndexList(old, new)
        self.layoutChanged.emit()

    def _text(self, row: _Row, column: LeftoverColumn) -> str:
        match column:
            case LeftoverColumn.PATH:
                return shown_name(row.found.path)
            case LeftoverColumn.SIZE:
                return "" if row.size_bytes is None else size_text(row.size_bytes)
            case LeftoverColumn.AGE:
                return self._age_text(row.touched_utc)

    def _age_text(self, moment: datetime | None) -> str:
        if moment is None:
            return self.tr("unknown")
        age = max(self._now - moment, timedelta())
        if age.days:
            return self._ago(age.days, self.tr("1 day ago"), self.tr("%s days ago"))
        if age >= YOUNG:
            return self._ago(age.seconds // 3600, self.tr("1 hour ago"), self.tr("%s hours ago"))
        return self._ago(age.seconds // 60, self.tr("1 minute ago"), self.tr("%s minutes ago"))

    def _ago(self, number: int, one: str, many: str) -> str:
        return one if number == 1 else many % number_text(number)

    def _is_young(self, row: _Row) -> bool:
        touched = row.touched_utc
        return touched is None or self._now - touched < YOUNG
