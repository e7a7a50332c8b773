"""The transfers below the contents: a row each, with what can be done about it."""

from __future__ import annotations

from PySide6.QtCore import QPoint, QRect, QRectF, QSize, Qt, QUrl, Signal, Slot
from PySide6.QtGui import QDesktopServices, QPainter
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QMenu,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from kegbrowser.models.listing import Index
from kegbrowser.models.transfers import FRACTION_ROLE, TRANSFER_ROLE, TransferColumn, TransfersModel
from kegbrowser.services.transfer import Transfer, TransferKind, TransferState
from kegbrowser.services.transfers import TransferQueue
from kegbrowser.ui import icons

ROW_PX = 30
MARGIN_PX = 11
"""Left and right in a cell, as the style sheet has it for text."""
_WIDTHS = {TransferColumn.PROGRESS: 260, TransferColumn.SPEED: 100, TransferColumn.REMAINING: 90}


class TransferPanel(QFrame):
    """GUI thread only."""

    details_wanted = Signal(object)  # Transfer

    def __init__(self, model: TransfersModel, queue: TransferQueue, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("transfer_panel")
        self._model = model
        self._queue = queue
        self._title = QLabel()
        self._title.setObjectName("panel_title")
        self._stop = self._button("cancel", self.tr("Cancel"), self._on_cancel)
        self._retry = self._button("retry", self.tr("Try again"), self._on_retry)
        self._clear = self._button("clear", self.tr("Remove finished"), self._on_clear)
        self._table = QTableView()
        self._set_up_table()
        head = QHBoxLayout()
        head.setContentsMargins(12, 4, 6, 4)
        head.addWidget(self._title)
        head.addStretch(1)
        for button in (self._stop, self._retry, self._clear):
            head.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(head)
        layout.addWidget(self._table)
        model.rowsInserted.connect(self._on_changed)
        model.rowsRemoved.connect(self._on_changed)
        model.dataChanged.connect(self._on_changed)
        self._table.selectionModel().selectionChanged.connect(self._on_changed)
        self._on_changed()

    @property
    def table(self) -> QTableView:
        return self._table

    def selected(self) -> list[Transfer]:
        rows = sorted({index.row() for index in self._table.selectionModel().selectedIndexes()})
        return [self._model.transfer_at(row) for row in rows]

    def retint(self) -> None:
        """Take the icons of the theme that is in force now."""
        for button in (self._stop, self._retry, self._clear):
            button.setIcon(icons.icon(button.property("icon_name")))

    def _set_up_table(self) -> None:
        table = self._table
        table.setObjectName("transfers")
        table.setAccessibleName(self.tr("Transfers"))
        table.setModel(self._model)
        table.setItemDelegate(_Delegate(table))
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setShowGrid(False)
        table.setWordWrap(False)
        table.setTabKeyNavigation(False)
        table.setFrameShape(QFrame.Shape.NoFrame)
        table.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        table.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        table.verticalHeader().hide()
        table.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        table.verticalHeader().setDefaultSectionSize(ROW_PX)
        table.horizontalHeader().setHighlightSections(False)
        table.horizontalHeader().setSectionResizeMode(TransferColumn.NAME, QHeaderView.ResizeMode.Stretch)
        table.horizontalHeader().setSectionResizeMode(TransferColumn.STATUS, QHeaderView.ResizeMode.Stretch)
        for column, width in _WIDTHS.items():
            table.setColumnWidth(column, width)
        table.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        table.customContextMenuRequested.connect(self._on_menu_requested)
        table.doubleClicked.connect(self._on_double_clicked)

    def _button(self, icon_name: str, text: str, slot: object) -> QToolButton:
        button = QToolButton()
        button.setAutoRaise(True)
        button.setIcon(icons.icon(icon_name))
        button.setProperty("icon_name", icon_name)
        button.setToolTip(text)
        button.setAccessibleName(text)
        button.clicked.connect(slot)
        return button

    @Slot()
    def _on_changed(self) -> None:
        transfers = self._queue.transfers()
        active = sum(not transfer.state.is_final for transfer in transfers)
        chosen = self.selected()
        targets = chosen or transfers
        self._title.setText(self.tr("Transfers — %n active", "", active) if active else self.tr("Transfers"))
        self._stop.setEnabled(any(not transfer.state.is_final for transfer in targets))
        self._retry.setEnabled(any(_can_retry(transfer) for transfer in targets))
        self._clear.setEnabled(any(transfer.state.is_final for transfer in transfers))

    @Slot()
    def _on_cancel(self) -> None:
        for transfer in self.selected() or self._queue.transfers():
            self._queue.cancel(transfer.transfer_id)

    @Slot()
    def _on_retry(self) -> None:
        for transfer in self.selected() or self._queue.transfers():
            if _can_retry(transfer):
                self._queue.retry(transfer.transfer_id)

    @Slot()
    def _on_clear(self) -> None:
        self._queue.remove_ended()

    @Slot(QPoint)
    def _on_menu_requested(self, point: QPoint) -> None:
        chosen = self.selected()
        if not chosen:
            return
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        cancel = menu.addAction(icons.icon("cancel"), self.tr("Cancel"), self._on_cancel)
        cancel.setEnabled(any(not transfer.state.is_final for transfer in chosen))
        retry = menu.addAction(icons.icon("retry"), self.tr("Try Again"), self._on_retry)
        retry.setEnabled(any(_can_retry(transfer) for transfer in chosen))
        menu.addSeparator()
        details = menu.addAction(self.tr("Details…"), self._on_details)
        details.setEnabled(len(chosen) == 1)
        folder = menu.addAction(self.tr("Open Download Folder"), self._on_open_folder)
        folder.setEnabled(len(chosen) == 1 and chosen[0].kind is TransferKind.DOWNLOAD)
        menu.addAction(self.tr("Remove Finished"), self._on_clear)
        menu.popup(self._table.viewport().mapToGlobal(point))

    @Slot()
    def _on_details(self) -> None:
        for transfer in self.selected()[:1]:
            self.details_wanted.emit(transfer)

    @Slot()
    def _on_double_clicked(self) -> None:
        self._on_details()

    @Slot()
    def _on_open_folder(self) -> None:
        for transfer in self.selected()[:1]:
            QDesktopServices.openUrl(QUrl.fromLocalFile(transfer.local_folder))


class _Delegate(QStyledItemDelegate):
    """Draws the progress as a slim bar under its text, and the state as an icon and words."""

    def initStyleOption(self, option: QStyleOptionViewItem, index: Index) -> None:
        super().initStyleOption(option, index)
        if index.column() == TransferColumn.NAME:
            transfer: Transfer = index.data(TRANSFER_ROLE)
            option.icon = icons.icon(_state_icon(transfer))
            option.features |= QStyleOptionViewItem.ViewItemFeature.HasDecoration
            option.decorationSize = QSize(16, 16)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        if index.column() != TransferColumn.PROGRESS:
            super().paint(painter, option, index)
            return
        raised = QStyleOptionViewItem(option)
        raised.rect = option.rect.adjusted(0, -2, 0, -4)
        background = QStyleOptionViewItem(option)
        self.initStyleOption(background, index)
        background.text = ""
        style = option.widget.style()
        style.drawControl(QStyle.ControlElement.CE_ItemViewItem, background, painter, option.widget)
        self._draw_text(painter, raised, index)
        self._draw_bar(painter, option, index)

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


def _can_retry(transfer: Transfer) -> bool:
    return transfer.state in (TransferState.FAILED, TransferState.INCOMPLETE, TransferState.CANCELLED)


def _state_icon(transfer: Transfer) -> str:
    by_state = {
        TransferState.DONE: "verified",
        TransferState.INCOMPLETE: "warning",
        TransferState.FAILED: "error",
        TransferState.CANCELLED: "cancel",
        TransferState.ASKING: "question",
        TransferState.WAITING: "clock",
    }
    by_kind = {
        TransferKind.DOWNLOAD: "transfer-down",
        TransferKind.UPLOAD: "transfer-up",
        TransferKind.COPY: "copy",
        TransferKind.MOVE: "move",
        TransferKind.RENAME: "rename",
        TransferKind.DELETE: "delete",
    }
    return by_state.get(transfer.state) or by_kind[transfer.kind]
