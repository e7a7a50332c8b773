"""The tree of connections and folders: chooses the folder that is shown, takes drops, opens branches under a drag."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, QSize, Qt, QTimer, Signal, Slot
from PySide6.QtGui import (
    QDragEnterEvent,
    QDragLeaveEvent,
    QDragMoveEvent,
    QDropEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QWheelEvent,
)
from PySide6.QtWidgets import QAbstractItemView, QStyledItemDelegate, QStyleOptionViewItem, QTreeView, QWidget

from kegbrowser.backends.locations import RemotePath
from kegbrowser.models.folder_tree import STATE_ROLE, BranchState, FolderTreeModel
from kegbrowser.models.listing import Index
from kegbrowser.ui import drops

SPRING_OPEN_MS = 700
FOLLOW_MS = 60


class TreeView(QTreeView):
    """GUI thread only."""

    folder_chosen = Signal(object)  # RemotePath
    items_dropped = Signal(object, object, object)  # Dropped, target RemotePath, Qt.DropAction
    drag_wanted = Signal()

    def __init__(self, model: FolderTreeModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = model
        self._drop_index = QPersistentModelIndex()
        self._hovered = QPersistentModelIndex()
        self._quiet = False
        self._follows = False
        self.setObjectName("tree")
        self.setAccessibleName(self.tr("Connections and folders"))
        self.setModel(model)
        self.setItemDelegate(_Delegate(self))
        self.setHeaderHidden(True)
        self.setUniformRowHeights(True)
        self.setIconSize(QSize(20, 20))
        self.setIndentation(18)
        self.setAnimated(False)
        self.setExpandsOnDoubleClick(True)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setAcceptDrops(True)
        self.setDragEnabled(True)
        self.setDragDropMode(QAbstractItemView.DragDropMode.DragDrop)
        self.setDropIndicatorShown(False)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self._spring = QTimer(self)
        self._spring.setSingleShot(True)
        self._spring.setInterval(SPRING_OPEN_MS)
        self._spring.timeout.connect(self._open_under_drag)
        self.selectionModel().currentChanged.connect(self._on_current_changed)
        self._follow = QTimer(self)
        self._follow.setSingleShot(True)
        self._follow.setInterval(FOLLOW_MS)
        self._follow.timeout.connect(self._bring_current_into_view)
        model.rowsInserted.connect(self._on_rows_inserted)

    def current_path(self) -> RemotePath | None:
        return self._model.path_at(self.currentIndex())

    def show_folder(self, folder: RemotePath | None) -> None:
        """Make a folder the current one without telling so; folders above it are opened."""
        self._quiet = True
        try:
            if folder is None:
                self.selectionModel().clear()
                return
            index = self._model.ensure(folder)
            above = index.parent()
            while above.isValid():
                self.expand(above)
                above = above.parent()
            self.setCurrentIndex(index)
            self.scrollTo(index)
            self._follows = True
        finally:
            self._quiet = False

    # -- Qt's side ---------------------------------------------------------------------------------------------------

    def keyPressEvent(self, event: QKeyEvent) -> None:
        failed = self.currentIndex().data(STATE_ROLE) is BranchState.FAILED
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and failed and not event.modifiers():
            self._model.list_again(self.currentIndex())
            return
        super().keyPressEvent(event)

    def wheelEvent(self, event: QWheelEvent) -> None:
        self._follows = False
        super().wheelEvent(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self._follows = False
        super().mousePressEvent(event)

    def startDrag(self, supported_actions: Qt.DropAction) -> None:
        path = self.current_path()
        if path is not None and not path.is_root:
            self.drag_wanted.emit()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if drops.read_mime(event.mimeData()):
            event.acceptProposedAction()
        else:
            event.ignore()

    def dragMoveEvent(self, event: QDragMoveEvent) -> None:
        super().dragMoveEvent(event)  # scrolls near the edges
        index = self.indexAt(event.position().toPoint())
        target = self._model.path_at(index)
        dropped = drops.read_mime(event.mimeData())
        if target is None or not dropped or not drops.can_drop(dropped, target):
            self._show_target(index if target is not None else QModelIndex(), accepted=False)
            event.ignore()
            return
        event.setDropAction(drops.action_for(dropped, target, event.modifiers()))
        event.accept()
        self._show_target(index, accepted=True)

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        super().dragLeaveEvent(event)
        self._show_target(QModelIndex(), accepted=False)

    def dropEvent(self, event: QDropEvent) -> None:
        target = self._model.path_at(self.indexAt(event.position().toPoint()))
        dropped = drops.read_mime(event.mimeData())
        self._show_target(QModelIndex(), accepted=False)
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
        if not self._drop_index.isValid():
            return
        painter = QPainter(self.viewport())
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(self.palette().highlight().color(), 2))
        row = self.visualRect(self._index_of(self._drop_index))
        painter.drawRoundedRect(QRect(1, row.top() + 1, self.viewport().width() - 2, row.height() - 2), 5, 5)
        painter.end()

    # -- private -----------------------------------------------------------------------------------------------------

    def _index_of(self, held: QPersistentModelIndex) -> QModelIndex:
        return self._model.index(held.row(), held.column(), held.parent())

    def _show_target(self, index: QModelIndex, *, accepted: bool) -> None:
        shown = index if accepted else QModelIndex()
        if shown != self._drop_index:
            self._drop_index = QPersistentModelIndex(shown)
            self.viewport().update()
        if self._hovered != index:
            # A folder that cannot take the drop itself may hold one that can: it opens when the pointer rests on it.
            self._hovered = QPersistentModelIndex(index)
            self._spring.stop()
            if index.isValid() and not self.isExpanded(index):
                self._spring.start()

    @Slot()
    def _open_under_drag(self) -> None:
        if self._hovered.isValid():
            self.expand(self._index_of(self._hovered))

    @Slot()
    def _on_rows_inserted(self) -> None:
        """Folders that come in above the current one push it away: keep it in view until the user looks elsewhere."""
        if self._follows and not self._follow.isActive():
            self._follow.start()

    @Slot()
    def _bring_current_into_view(self) -> None:
        if self._follows and self.currentIndex().isValid():
            self.scrollTo(self.currentIndex())

    @Slot(QModelIndex, QModelIndex)
    def _on_current_changed(self, current: QModelIndex, _previous: QModelIndex) -> None:
        path = self._model.path_at(current)
        if path is not None and not self._quiet:
            self.folder_chosen.emit(path)


class _Delegate(QStyledItemDelegate):
    """Greys a branch that could not be listed; its tool tip says why."""

    def initStyleOption(self, option: QStyleOptionViewItem, index: Index) -> None:
        super().initStyleOption(option, index)
        if index.data(STATE_ROLE) is BranchState.FAILED:
            option.font.setItalic(True)

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(super().sizeHint(option, index).width(), 28)
