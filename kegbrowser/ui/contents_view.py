"""The contents of a folder: a table that takes drops, starts drags and renames in place."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from PySide6.QtCore import (
    QItemSelection,
    QItemSelectionModel,
    QItemSelectionRange,
    QMimeData,
    QModelIndex,
    QPoint,
    QRect,
    QSize,
    Qt,
    Signal,
    Slot,
)
from PySide6.QtGui import (
    QDrag,
    QDragEnterEvent,
    QDragLeaveEvent,
    QDragMoveEvent,
    QDropEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPalette,
    QPen,
)
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QLineEdit,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from kegbrowser.backends.locations import RemotePath
from kegbrowser.models.listing import Column, Index, ListingModel
from kegbrowser.ui import drops
from kegbrowser.ui.drag_card import drag_pixmap

ROW_PX = 28
TYPE_AHEAD_MS = 1000
MOST_STRETCHES = 20_000
"""A selection that falls into more pieces is let go of."""

_WIDTHS = {Column.NAME: 380, Column.SIZE: 100, Column.KIND: 160, Column.MODIFIED: 150}


class ContentsView(QTableView):
    """GUI thread only."""

    opened = Signal(int)  # row
    renamed = Signal(int, str)  # row, new name
    items_dropped = Signal(object, object, object)  # Dropped, target RemotePath, Qt.DropAction
    selection_changed = Signal()
    drag_wanted = Signal()  # the selection is being dragged

    def __init__(self, model: ListingModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = model
        self._drop_row: int | None = None  # -1: the folder itself
        self._kept = _Kept()
        self.setObjectName("contents")
        self.setAccessibleName(self.tr("Contents of the folder"))
        self.setModel(model)
        self.setItemDelegate(_Delegate(self))
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        self.setCornerButtonEnabled(False)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setDragEnabled(True)
        self.setAcceptDrops(True)
        self.setDragDropMode(QAbstractItemView.DragDropMode.DragDrop)
        self.setDropIndicatorShown(False)
        self.setIconSize(QSize(20, 20))
        self.verticalHeader().hide()
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.verticalHeader().setDefaultSectionSize(ROW_PX)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        # A header asks for every row whether its column is selected, and paints nothing of it here.
        header.setSelectionModel(QItemSelectionModel(model, header))
        header.setSectionsMovable(False)
        header.setMinimumSectionSize(60)
        header.setSectionResizeMode(Column.NAME, QHeaderView.ResizeMode.Stretch)
        for column, width in _WIDTHS.items():
            self.setColumnWidth(column, width)
        self.setSortingEnabled(True)
        self.sortByColumn(Column.NAME, Qt.SortOrder.AscendingOrder)
        self.doubleClicked.connect(self._on_double_clicked)
        self.selectionModel().selectionChanged.connect(self._on_selection_changed)
        model.about_to_replace.connect(self._on_about_to_replace)
        model.replaced.connect(self._on_replaced)
        model.modelReset.connect(self._on_selection_changed)

    def selected_ranges(self) -> list[tuple[int, int]]:
        """Stretches of selected rows, (first, last) of each, from the top."""
        stretches = self.selectionModel().selection().toList()
        return sorted((stretch.top(), stretch.bottom()) for stretch in stretches)

    def selected_count(self) -> int:
        return sum(last - first + 1 for first, last in self.selected_ranges())

    def selected_rows(self) -> list[int]:
        """Rows that are selected, from the top."""
        return [row for first, last in self.selected_ranges() for row in range(first, last + 1)]

    def selected_paths(self) -> tuple[RemotePath, ...]:
        return tuple(self._model.path_at(row) for row in self.selected_rows())

    def edit_row(self, row: int) -> None:
        """Rename in place."""
        index = self._model.index(row, Column.NAME)
        self.setCurrentIndex(index)
        self.edit(index)
        editor = self.indexWidget(index)
        if isinstance(editor, QLineEdit) and not self._model.path_at(row).is_folder:
            # The view has selected everything: the ending of a file's name mostly stays.
            editor.setSelection(0, len(editor.text().rpartition(".")[0] or editor.text()))

    def select_name(self, name: str) -> bool:
        """Select one thing by its name and bring it into view; False if it is not shown."""
        row = self._model.row_of(name)
        if row < 0:
            return False
        self.selectRow(row)
        self.scrollTo(self._model.index(row, Column.NAME))
        return True

    # -- Qt's side ---------------------------------------------------------------------------------------------------

    def keyPressEvent(self, event: QKeyEvent) -> None:
        enter = (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        editing = self.state() == QAbstractItemView.State.EditingState
        if event.key() in enter and not editing and not event.modifiers() & Qt.KeyboardModifier.AltModifier:
            if self.currentIndex().isValid():
                self.opened.emit(self.currentIndex().row())
            return
        super().keyPressEvent(event)

    def selectAll(self) -> None:
        """One stretch, however many rows: Qt's own goes through all of them."""
        if self._model.rowCount():
            self._select([(0, self._model.rowCount() - 1)])

    def keyboardSearch(self, search: str) -> None:
        self._type_ahead(search)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if not self.indexAt(event.position().toPoint()).isValid() and not event.modifiers():
            self.clearSelection()
        super().mousePressEvent(event)

    def startDrag(self, supported_actions: Qt.DropAction) -> None:
        if self.selectionModel().hasSelection():
            self.drag_wanted.emit()

    def exec_drag(self, mime: QMimeData, label: str) -> None:
        """Run a drag of remote items; what becomes of it is the business of where it is dropped."""
        drag = QDrag(self)
        drag.setMimeData(mime)
        drag.setPixmap(drag_pixmap(self, label))
        drag.setHotSpot(QPoint(-12, -8))
        both = Qt.DropAction.CopyAction | Qt.DropAction.MoveAction
        drag.exec(both, Qt.DropAction.MoveAction)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if drops.read_mime(event.mimeData()):
            event.acceptProposedAction()
        else:
            event.ignore()

    def dragMoveEvent(self, event: QDragMoveEvent) -> None:
        super().dragMoveEvent(event)  # scrolls near the edges
        target, row = self._target_at(event.position().toPoint())
        dropped = drops.read_mime(event.mimeData())
        if target is None or not dropped or not drops.can_drop(dropped, target):
            self._show_target(None)
            event.ignore()
            return
        event.setDropAction(drops.action_for(dropped, target, event.modifiers()))
        event.accept()
        self._show_target(row)

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        super().dragLeaveEvent(event)
        self._show_target(None)

    def dropEvent(self, event: QDropEvent) -> None:
        self._show_target(None)
        target, _row = self._target_at(event.position().toPoint())
        dropped = drops.read_mime(event.mimeData())
        self.setState(QAbstractItemView.State.NoState)
        self.stopAutoScroll()
        if target is None or not dropped or not drops.can_drop(dropped, target):
            event.ignore()
            return
        action = drops.action_for(dropped, target, event.modifiers())
        event.setDropAction(action)
        event.accept()
        self.items_dropped.emit(dropped, target, action)

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if self._drop_row is None:
            return
        painter = QPainter(self.viewport())
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(self.palette().highlight().color(), 2))
        painter.drawRoundedRect(self._drop_rectangle().adjusted(1, 1, -1, -1), 5, 5)
        painter.end()

    # -- private -----------------------------------------------------------------------------------------------------

    def _target_at(self, point: QPoint) -> tuple[RemotePath | None, int]:
        """The folder under the pointer, and its row; -1 for the shown folder itself."""
        index = self.indexAt(point)
        if index.isValid():
            path = self._model.path_at(index.row())
            if path.is_folder:
                return path, index.row()
        return self._model.folder, -1

    def _show_target(self, row: int | None) -> None:
        if row != self._drop_row:
            self._drop_row = row
            self.viewport().update()

    def _drop_rectangle(self) -> QRect:
        if self._drop_row is None or self._drop_row < 0:
            return self.viewport().rect()
        first = self.visualRect(self._model.index(self._drop_row, Column.NAME))
        last = self.visualRect(self._model.index(self._drop_row, len(Column) - 1))
        return first.united(last)

    def _type_ahead(self, search: str) -> None:
        current = self.currentIndex().row()
        row = self._model.row_starting_with(search, max(current, 0) - 1 if len(search) > 1 else current)
        if row >= 0:
            self.selectionModel().setCurrentIndex(
                self._model.index(row, Column.NAME),
                QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows,
            )

    @Slot(QModelIndex)
    def _on_double_clicked(self, index: QModelIndex) -> None:
        self.opened.emit(index.row())

    @Slot()
    def _on_selection_changed(self) -> None:
        self.selection_changed.emit()

    @Slot()
    def _on_about_to_replace(self) -> None:
        model, current = self._model, self.currentIndex()
        here = [(current.row(), current.row())] if current.isValid() else []
        self._kept = _Kept(model.numbers(self.selected_ranges()), model.numbers(here), self.verticalScrollBar().value())

    @Slot()
    def _on_replaced(self) -> None:
        kept, self._kept = self._kept, _Kept()
        stretches = self._model.rows_of(kept.selected) if kept.selected else []
        if 0 < len(stretches) <= MOST_STRETCHES:
            self._select(stretches)
        for row, _last in self._model.rows_of(kept.current) if kept.current else ():
            index = self._model.index(row, Column.NAME)
            self.selectionModel().setCurrentIndex(index, QItemSelectionModel.SelectionFlag.NoUpdate)
        self.verticalScrollBar().setValue(kept.scroll)

    def _select(self, stretches: list[tuple[int, int]]) -> None:
        selection, last_column = QItemSelection(), len(Column) - 1
        for first, last in stretches:
            selection.append(QItemSelectionRange(self._model.index(first, 0), self._model.index(last, last_column)))
        self.selectionModel().select(selection, QItemSelectionModel.SelectionFlag.ClearAndSelect)


@dataclass(frozen=True, slots=True)
class _Kept:
    """What stays over a change of all rows, by the numbers of the model."""

    selected: array[int] = field(default_factory=lambda: array("i"))
    current: array[int] = field(default_factory=lambda: array("i"))
    scroll: int = 0


class _Delegate(QStyledItemDelegate):
    """Names stand out, what is said about them is quieter; renames in place."""

    def __init__(self, view: ContentsView) -> None:
        super().__init__(view)
        self._view = view

    def initStyleOption(self, option: QStyleOptionViewItem, index: Index) -> None:
        """Fill in all that a cell shows. Qt's own asks the model for seven roles, this for two: a tenth of a frame less."""
        model, column = self._view._model, index.column()
        option.index = index  # type: ignore[assignment]
        option.text = model.data(index)
        option.features |= QStyleOptionViewItem.ViewItemFeature.HasDisplay
        if column == Column.NAME:
            option.icon = model.data(index, Qt.ItemDataRole.DecorationRole)
            option.features |= QStyleOptionViewItem.ViewItemFeature.HasDecoration
            return
        option.palette.setColor(QPalette.ColorRole.Text, option.palette.color(QPalette.ColorRole.PlaceholderText))
        if column == Column.SIZE:
            option.displayAlignment = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter

    def createEditor(self, parent: QWidget, option: QStyleOptionViewItem, index: Index) -> QWidget:
        editor = QLineEdit(parent)
        editor.setObjectName("rename_field")
        editor.setFrame(True)
        return editor

    def setEditorData(self, editor: QWidget, index: Index) -> None:
        assert isinstance(editor, QLineEdit)
        editor.setText(str(index.data(Qt.ItemDataRole.EditRole)))

    def setModelData(self, editor: QWidget, model: object, index: Index) -> None:
        assert isinstance(editor, QLineEdit)
        name = editor.text()
        if name and name != index.data(Qt.ItemDataRole.EditRole):
            self._view.renamed.emit(index.row(), name)

    def updateEditorGeometry(self, editor: QWidget, option: QStyleOptionViewItem, index: Index) -> None:
        editor.setGeometry(option.rect.adjusted(34, 1, 0, -1))

    def destroyEditor(self, editor: QWidget, index: Index) -> None:
        super().destroyEditor(editor, index)
        self._view.setFocus()
