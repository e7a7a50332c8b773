"""The table of transfers and of the files of those that are opened: how its rows are drawn, and opened by mouse and keys."""

from __future__ import annotations

from PySide6.QtCore import QRect, QRectF, QSize, Qt, Signal, Slot
from PySide6.QtGui import QKeyEvent, QMouseEvent, QPainter, QResizeEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHeaderView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from kegbrowser.backends.proofs import Certainty
from kegbrowser.models.listing import Index
from kegbrowser.models.transfers import (
    FRACTION_ROLE,
    ITEM_ROLE,
    TRANSFER_ROLE,
    TransferColumn,
    TransfersModel,
)
from kegbrowser.services.transfer import Transfer, TransferKind, TransferState
from kegbrowser.transfer.records import ItemRecord, ItemState
from kegbrowser.ui import icons

ROW_PX = 30
MARGIN_PX = 11
"""Left and right in a cell, as the style sheet has it for text."""
ARROW_PX = 18
INDENT_PX = 38
_WIDTHS = {TransferColumn.PROGRESS: 300, TransferColumn.SPEED: 100, TransferColumn.REMAINING: 90}


class TransferTable(QTableView):
    """GUI thread only."""

    pause_wanted = Signal()

    def __init__(self, model: TransfersModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = model
        self.setObjectName("transfers")
        self.setAccessibleName(self.tr("Transfers"))
        self.setModel(model)
        self.setItemDelegate(_Delegate(self))
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.verticalHeader().hide()
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.verticalHeader().setDefaultSectionSize(ROW_PX)
        self.horizontalHeader().setHighlightSections(False)
        self.horizontalHeader().setSectionResizeMode(TransferColumn.NAME, QHeaderView.ResizeMode.Stretch)
        self.horizontalHeader().setSectionResizeMode(TransferColumn.STATUS, QHeaderView.ResizeMode.Stretch)
        for column, width in _WIDTHS.items():
            self.setColumnWidth(column, width)
        self.verticalScrollBar().valueChanged.connect(self._tell_visible)
        model.rowsInserted.connect(self._tell_visible)
        model.rowsRemoved.connect(self._tell_visible)

    def toggle(self, row: int) -> None:
        """Show the files of a transfer, or hide them."""
        self._model.set_open(row, is_open=not self._model.is_open(row))
        self._tell_visible()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        row = self.currentIndex().row()
        if row >= 0 and event.key() in (Qt.Key.Key_Right, Qt.Key.Key_Left):
            wants_open = event.key() == Qt.Key.Key_Right
            if self._model.is_file(row) and not wants_open:
                above = self._model.row_of(self._model.transfer_at(row).transfer_id)
                if above is not None:
                    self.selectRow(above)
            elif self._model.is_open(row) != wants_open:
                self.toggle(row)
            return
        super().keyPressEvent(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        index = self.indexAt(event.position().toPoint())
        is_arrow = index.isValid() and index.column() == TransferColumn.NAME and self._model.can_open(index.row())
        if is_arrow and event.position().x() - self.visualRect(index).left() < MARGIN_PX + ARROW_PX:
            self.toggle(index.row())
            return
        super().mousePressEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._tell_visible()

    @Slot()
    def _tell_visible(self) -> None:
        first = self.rowAt(0)
        if first >= 0:
            self._model.set_visible(first, first + self.viewport().height() // ROW_PX + 1)


class _Delegate(QStyledItemDelegate):
    """Draws the progress as a slim bar under its text, the state as an icon, and files one step in."""

    def initStyleOption(self, option: QStyleOptionViewItem, index: Index) -> None:
        super().initStyleOption(option, index)
        if index.column() == TransferColumn.STATUS:
            option.textElideMode = Qt.TextElideMode.ElideRight
        if index.column() != TransferColumn.NAME:
            return
        model = index.model()
        assert isinstance(model, TransfersModel)
        is_file = model.is_file(index.row())
        name = _file_icon(index.data(ITEM_ROLE)) if is_file else _state_icon(index.data(TRANSFER_ROLE))
        option.icon = icons.icon(name)
        option.features |= QStyleOptionViewItem.ViewItemFeature.HasDecoration
        option.decorationSize = QSize(16, 16)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        if index.column() == TransferColumn.NAME:
            self._paint_name(painter, option, index)
            return
        if index.column() != TransferColumn.PROGRESS:
            super().paint(painter, option, index)
            return
        raised = QStyleOptionViewItem(option)
        raised.rect = option.rect.adjusted(0, -2, 0, -4)
        self._paint_background(painter, option, index)
        self._draw_text(painter, raised, index)
        self._draw_bar(painter, option, index)

    def _paint_name(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        model = index.model()
        assert isinstance(model, TransfersModel)
        row = index.row()
        self._paint_background(painter, option, index)
        moved = QStyleOptionViewItem(option)
        moved.rect = option.rect.adjusted(INDENT_PX if model.is_file(row) else ARROW_PX, 0, 0, 0)
        super().paint(painter, moved, index)
        if model.can_open(row):
            icon = icons.icon("chevron-down" if model.is_open(row) else "chevron-right")
            place = QRect(option.rect.left() + MARGIN_PX - 3, option.rect.center().y() - 7, 14, 14)
            icon.paint(painter, place)

    def _paint_background(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        background = QStyleOptionViewItem(option)
        super().initStyleOption(background, index)
        background.text = ""
        style = option.widget.style()
        style.drawControl(QStyle.ControlElement.CE_ItemViewItem, background, painter, option.widget)

    def _draw_text(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        selected = bool(option.state & QStyle.StateFlag.State_Selected)
        palette = option.palette
        painter.save()
        painter.setPen((palette.highlightedText() if selected else palette.text()).color())
        rect = option.rect.adjusted(MARGIN_PX, 0, -MARGIN_PX, 0)
        text = option.fontMetrics.elidedText(str(index.data() or ""), Qt.TextElideMode.ElideRight, rect.width())
        painter.drawText(rect, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, text)
        painter.restore()

    def _draw_bar(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        thousandths = int(index.data(FRACTION_ROLE))
        area: QRect = option.rect
        bar = QRectF(area.left() + MARGIN_PX, area.bottom() - 6, area.width() - 2 * MARGIN_PX, 3)
        palette = option.palette
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(palette.mid())
        painter.drawRoundedRect(bar, 1.5, 1.5)
        if thousandths > 0:
            painter.setBrush(palette.accent())
            painter.drawRoundedRect(
                QRectF(bar.left(), bar.top(), bar.width() * thousandths / 1000, bar.height()), 1.5, 1.5
            )
        painter.restore()


def _state_icon(transfer: Transfer) -> str:
    by_state = {
        TransferState.DONE: "verified",
        TransferState.INCOMPLETE: "warning",
        TransferState.FAILED: "error",
        TransferState.CANCELLED: "cancel",
        TransferState.ASKING: "question",
        TransferState.WAITING: "clock",
        TransferState.PAUSED: "pause",
    }
    by_kind = {
        TransferKind.DOWNLOAD: "transfer-down",
        TransferKind.UPLOAD: "transfer-up",
        TransferKind.COPY: "copy",
        TransferKind.MOVE: "move",
        TransferKind.RENAME: "rename",
        TransferKind.DELETE: "delete",
        TransferKind.VERIFY: "search",
        TransferKind.MANIFEST: "file-sheet",
        TransferKind.CHECK: "search",
        TransferKind.CLEAN_UP: "clear",
    }
    return by_state.get(transfer.state) or by_kind[transfer.kind]


def _file_icon(item: ItemRecord | None) -> str:
    """Only what was verified has the green mark."""
    if item is None:
        return "clock"
    if item.state is ItemState.DONE:
        certainty = item.proof.certainty if item.proof is not None else None
        return _BY_CERTAINTY[certainty]
    return _BY_STATE[item.state]


_BY_CERTAINTY = {
    None: "check",
    Certainty.VERIFIED: "verified",
    Certainty.SIZE_ONLY: "check",
    Certainty.UNVERIFIABLE: "info",
}
_BY_STATE = {
    ItemState.FAILED: "error",
    ItemState.SKIPPED: "forward",
    ItemState.MOVING: "play",
    ItemState.PLANNED: "clock",
}
