"""The transfers below the contents: a row each, with what can be done about it, and how fast all of them go."""

from __future__ import annotations

from PySide6.QtCore import QPoint, Qt, QTimer, QUrl, Signal, Slot
from PySide6.QtGui import QAction, QDesktopServices, QGuiApplication, QKeySequence
from PySide6.QtWidgets import (
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QInputDialog,
    QLabel,
    QMenu,
    QMessageBox,
    QTableView,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from kegbrowser.models.formats import size_text
from kegbrowser.models.transfers import TransfersModel
from kegbrowser.profiles.rates import rate_of
from kegbrowser.services.transfer import Transfer, TransferKind, TransferState
from kegbrowser.services.transfers import TransferQueue, can_verify
from kegbrowser.transfer.records import ItemRecord
from kegbrowser.ui import icons
from kegbrowser.ui.throughput_graph import ThroughputGraph
from kegbrowser.ui.transfer_table import TransferTable

SAMPLE_MS = 500
LIMITS_MIB_PER_S = (0.25, 0.5, 1, 2, 5, 10, 25, 50, 100)
MIB = 1024 * 1024
MAX_SELECTED = 10_000
"""Rows of one stretch that are looked at, where a million are selected."""

_PAUSABLE = (TransferState.WAITING, TransferState.PREPARING, TransferState.RUNNING)


class TransferPanel(QFrame):
    """GUI thread only."""

    details_wanted = Signal(object)  # Transfer
    verify_wanted = Signal(object)  # Transfer that ended

    def __init__(self, model: TransfersModel, queue: TransferQueue, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("transfer_panel")
        self._model = model
        self._queue = queue
        self._title = QLabel()
        self._title.setObjectName("panel_title")
        self._speed = QLabel()
        self._limit_text = QLabel()
        self._limit_text.setObjectName("hint")
        self._graph = ThroughputGraph()
        self._pause = self._button("pause", self.tr("Pause"), self._on_pause)
        self._resume = self._button("play", self.tr("Resume"), self._on_resume)
        self._stop = self._button("cancel", self.tr("Cancel"), self._on_cancel)
        self._retry = self._button("retry", self.tr("Try again"), self._on_retry)
        self._clear = self._button("clear", self.tr("Remove finished"), self._on_clear)
        self._limits = self._button("settings", self.tr("Speed limits"), self._on_limits)
        self._table = TransferTable(model)
        self._table.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self._table.customContextMenuRequested.connect(self._on_menu_requested)
        self._table.doubleClicked.connect(self._on_double_clicked)
        self._add_keys()
        self._lay_out()
        model.rowsInserted.connect(self._on_changed)
        model.rowsRemoved.connect(self._on_changed)
        model.dataChanged.connect(self._on_changed)
        self._table.selectionModel().selectionChanged.connect(self._on_changed)
        self._sampling = QTimer(self)
        self._sampling.setInterval(SAMPLE_MS)
        self._sampling.timeout.connect(self._on_sample_due)
        self._sampling.start()
        queue.limits_changed.connect(self._on_limits_changed)
        self._on_limits_changed()
        self._on_changed()

    @property
    def table(self) -> QTableView:
        return self._table

    def selected(self) -> list[Transfer]:
        """The transfers that are selected, or whose files are."""
        found = {one.transfer_id: one for one in map(self._model.transfer_at, self._selected_rows())}
        return list(found.values())

    def retint(self) -> None:
        """Take the icons of the theme that is in force now."""
        for button in (self._pause, self._resume, self._stop, self._retry, self._clear, self._limits):
            button.setIcon(icons.icon(button.property("icon_name")))

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.setContentsMargins(12, 4, 6, 4)
        head.addWidget(self._title)
        head.addSpacing(16)
        head.addWidget(self._graph)
        head.addWidget(self._speed)
        head.addSpacing(12)
        head.addWidget(self._limit_text)
        head.addStretch(1)
        for button in (self._pause, self._resume, self._stop, self._retry, self._clear, self._limits):
            head.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(head)
        layout.addWidget(self._table)

    def _add_keys(self) -> None:
        """What the table's keys do; each has a twin in the menu."""
        keys = (
            (Qt.Key.Key_Space, self._on_pause_or_resume),
            (Qt.Key.Key_Delete, self._on_cancel),
            (Qt.Key.Key_Return, self._on_details),
            (QKeySequence("Ctrl+Up"), self._on_move_up),
            (QKeySequence("Ctrl+Down"), self._on_move_down),
            (QKeySequence.StandardKey.Copy, self._on_copy),
            (QKeySequence("Ctrl+Return"), self._on_verify),
        )
        for key, slot in keys:
            action = QAction(self._table)
            action.setShortcut(QKeySequence(key))
            action.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
            action.triggered.connect(slot)
            self._table.addAction(action)

    def _button(self, icon_name: str, text: str, slot: object) -> QToolButton:
        button = QToolButton()
        button.setAutoRaise(True)
        button.setIcon(icons.icon(icon_name))
        button.setProperty("icon_name", icon_name)
        button.setToolTip(text)
        button.setAccessibleName(text)
        button.clicked.connect(slot)
        return button

    def _selected_rows(self) -> list[int]:
        selection = self._table.selectionModel().selection()
        rows: set[int] = set()
        for number in range(selection.count()):
            span = selection.at(number)
            rows.update(range(span.top(), min(span.bottom(), span.top() + MAX_SELECTED) + 1))
        return sorted(rows)

    def _targets(self) -> list[Transfer]:
        return self.selected() or list(self._queue.transfers())

    # -- what changes --------------------------------------------------------------------------------------------------------

    @Slot()
    def _on_changed(self) -> None:
        transfers = self._queue.transfers()
        active = sum(not one.state.is_final and one.state is not TransferState.PAUSED for one in transfers)
        paused = sum(one.state is TransferState.PAUSED for one in transfers)
        words = [self.tr("%n active", "", active)] if active else []
        if paused:
            words.append(self.tr("%n paused", "", paused))
        self._title.setText(self.tr("Transfers") + (f" — {', '.join(words)}" if words else ""))
        targets = self._targets()
        self._pause.setEnabled(any(map(_can_pause, targets)))
        self._resume.setEnabled(any(_can_resume(one) for one in targets))
        self._stop.setEnabled(any(not one.state.is_final for one in targets))
        self._retry.setEnabled(any(_can_retry(one) for one in targets))
        self._clear.setEnabled(any(one.state.is_final for one in transfers))

    @Slot()
    def _on_limits_changed(self, _limits: object = None) -> None:
        """Say which limits are in force where they are set, and in the title: slow transfers are no riddle then."""
        up, down = self._queue.limits
        words = [f"↓ {size_text(down)}/s"] if down is not None else []
        words += [f"↑ {size_text(up)}/s"] if up is not None else []
        self._limit_text.setText(self.tr("at most %s") % "   ".join(words) if words else "")
        self._limit_text.setVisible(bool(words))
        self._limits.setToolTip(self.tr("Speed limits") + (f": {', '.join(words)}" if words else ""))

    @Slot()
    def _on_sample_due(self) -> None:
        down = up = 0.0
        for one in self._queue.transfers():
            if one.kind in (TransferKind.DOWNLOAD, TransferKind.COPY, TransferKind.MOVE):
                down += one.rate_bytes_per_s
            if one.kind in (TransferKind.UPLOAD, TransferKind.COPY, TransferKind.MOVE):
                up += one.rate_bytes_per_s
        self._graph.add(down, up)
        parts = [f"↓ {size_text(int(down))}/s"] if down else []
        parts += [f"↑ {size_text(int(up))}/s"] if up else []
        self._speed.setText("   ".join(parts))

    # -- what is done --------------------------------------------------------------------------------------------------------

    @Slot()
    def _on_pause(self) -> None:
        for one in self._targets():
            self._queue.pause(one.transfer_id)

    @Slot()
    def _on_resume(self) -> None:
        for one in self._targets():
            if _can_resume(one):
                self._queue.resume(one.transfer_id)

    @Slot()
    def _on_pause_or_resume(self) -> None:
        chosen = self.selected()
        if any(_can_pause(one) and not one.notice for one in chosen):
            self._on_pause()
        elif chosen:
            self._on_resume()

    @Slot()
    def _on_cancel(self) -> None:
        for one in self._targets():
            self._queue.cancel(one.transfer_id)

    @Slot()
    def _on_retry(self) -> None:
        for one in self._targets():
            if _can_retry(one):
                self._queue.retry(one.transfer_id)

    @Slot()
    def _on_retry_failed(self) -> None:
        for one in self.selected():
            self._queue.retry_failed(one.transfer_id)

    @Slot()
    def _on_clear(self) -> None:
        self._queue.remove_ended()

    @Slot()
    def _on_move_up(self) -> None:
        self._move(-1)

    @Slot()
    def _on_move_down(self) -> None:
        self._move(1)

    def _move(self, step: int) -> None:
        """Up in the list is later in the queue: the newest is at the top."""
        chosen = self.selected()
        if len(chosen) != 1:
            return
        order = [one.transfer_id for one in self._queue.transfers()]
        place = order.index(chosen[0].transfer_id)
        if step > 0 and place > 0:
            self._queue.move(chosen[0].transfer_id, order[place - 1])
        elif step < 0 and place + 1 < len(order):
            self._queue.move(chosen[0].transfer_id, order[place + 2] if place + 2 < len(order) else None)

    @Slot()
    def _on_copy(self) -> None:
        """Copy what the selected rows say."""
        lines = [_described(self._model, row) for row in self._selected_rows()]
        QGuiApplication.clipboard().setText("\n".join(lines))

    @Slot()
    def _on_details(self) -> None:
        for one in self.selected()[:1]:
            self.details_wanted.emit(one)

    @Slot()
    def _on_double_clicked(self) -> None:
        rows = self._selected_rows()
        if len(rows) == 1 and self._model.can_open(rows[0]):
            self._table.toggle(rows[0])
        else:
            self._on_details()

    @Slot()
    def _on_show_files(self) -> None:
        for row in self._selected_rows()[:1]:
            self._table.toggle(row)

    @Slot(bool)
    def _on_only_failed(self, only_failed: bool) -> None:  # as the signal gives it
        for row in self._selected_rows()[:1]:
            if not self._model.is_file(row):
                self._model.set_open(row, is_open=True)
            self._model.set_only_failed(row, only_failed=only_failed)

    @Slot()
    def _on_verify(self) -> None:
        for one in self.selected()[:1]:
            if can_verify(one):
                self.verify_wanted.emit(one)

    @Slot()
    def _on_open_folder(self) -> None:
        for one in self.selected()[:1]:
            QDesktopServices.openUrl(QUrl.fromLocalFile(one.local_folder))

    @Slot()
    def _on_export(self) -> None:
        chosen = self.selected()
        if len(chosen) != 1:
            return
        dialog = QFileDialog(self, self.tr("Save the list of files"), "", self.tr("Comma-separated values (*.csv)"))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix("csv")
        dialog.setProperty("transfer_id", chosen[0].transfer_id)
        dialog.fileSelected.connect(self._on_export_chosen)
        dialog.open()

    @Slot(str)
    def _on_export_chosen(self, path: str) -> None:
        self._queue.export_files(int(self.sender().property("transfer_id")), path)

    # -- menus ---------------------------------------------------------------------------------------------------------------

    @Slot(QPoint)
    def _on_menu_requested(self, point: QPoint) -> None:
        chosen = self.selected()
        if not chosen:
            return
        one = chosen[0] if len(chosen) == 1 else None
        rows = self._selected_rows()
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._add(menu, "pause", self.tr("Pause"), self._on_pause, any(map(_can_pause, chosen)))
        self._add(menu, "play", self.tr("Resume"), self._on_resume, any(_can_resume(each) for each in chosen))
        self._add(menu, "cancel", self.tr("Cancel"), self._on_cancel, any(not each.state.is_final for each in chosen))
        self._add(menu, "retry", self.tr("Try Again"), self._on_retry, any(_can_retry(each) for each in chosen))
        is_incomplete = any(each.state is TransferState.INCOMPLETE for each in chosen)
        self._add(menu, "retry", self.tr("Try Again What Failed"), self._on_retry_failed, is_incomplete)
        menu.addSeparator()
        self._add(menu, "up", self.tr("Move Up"), self._on_move_up, one is not None)
        self._add(menu, "chevron-down", self.tr("Move Down"), self._on_move_down, one is not None)
        menu.addSeparator()
        can_open = one is not None and one.journal_id is not None
        self._add(menu, "chevron-right", self.tr("Show or Hide Files"), self._on_show_files, can_open)
        failed = menu.addAction(self.tr("Only Failed Files"))
        failed.setCheckable(True)
        failed.setChecked(len(rows) > 0 and self._model.shows_only_failed(rows[0]))
        failed.setEnabled(can_open)
        failed.toggled.connect(self._on_only_failed)
        self._add(menu, "copy", self.tr("Copy Text"), self._on_copy, bool(rows))
        self._add(menu, "file-sheet", self.tr("Save List of Files…"), self._on_export, can_open)
        can_check = one is not None and can_verify(one)
        self._add(menu, "search", self.tr("Verify Again…"), self._on_verify, can_check)
        menu.addSeparator()
        self._add(menu, "properties", self.tr("Details…"), self._on_details, one is not None)
        is_download = one is not None and one.kind is TransferKind.DOWNLOAD
        self._add(menu, "folder-open", self.tr("Open Download Folder"), self._on_open_folder, is_download)
        self._add(menu, "clear", self.tr("Remove Finished"), self._on_clear, True)
        menu.popup(self._table.viewport().mapToGlobal(point))

    def _add(self, menu: QMenu, icon: str, text: str, slot: object, enabled: bool) -> None:  # one line each
        action = menu.addAction(icons.icon(icon), text)
        action.triggered.connect(slot)
        action.setEnabled(enabled)

    @Slot()
    def _on_limits(self) -> None:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        up, down = self._queue.limits
        self._add_limits(menu.addMenu(icons.icon("transfer-down"), self.tr("Download Limit")), down, "down")
        self._add_limits(menu.addMenu(icons.icon("transfer-up"), self.tr("Upload Limit")), up, "up")
        menu.addSeparator()
        self._add(menu, "pause", self.tr("Pause All"), self._queue.pause_all, True)
        self._add(menu, "play", self.tr("Resume All"), self._queue.resume_all, True)
        menu.popup(self._limits.mapToGlobal(self._limits.rect().bottomLeft()))

    def _add_limits(self, menu: QMenu, current: int | None, direction: str) -> None:
        values = [int(one * MIB) for one in LIMITS_MIB_PER_S]
        if current is not None and current not in values:
            values = sorted([*values, current])
        for value in (None, *values):
            text = self.tr("No Limit") if value is None else self.tr("%s/s") % size_text(value)
            action = menu.addAction(text)
            action.setCheckable(True)
            action.setChecked(value == current)
            action.setData((direction, value))
            action.triggered.connect(self._on_limit_chosen)
        menu.addSeparator()
        other = menu.addAction(self.tr("Other…"))
        other.setData((direction, current))
        other.triggered.connect(self._on_other_limit)

    @Slot()
    def _on_limit_chosen(self) -> None:
        action = self.sender()
        assert isinstance(action, QAction)
        self._limit(*action.data())

    @Slot()
    def _on_other_limit(self) -> None:
        action = self.sender()
        assert isinstance(action, QAction)
        direction, current = action.data()
        dialog = QInputDialog(self)
        dialog.setObjectName("limit_dialog")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setWindowTitle(self.tr("Upload Limit") if direction == "up" else self.tr("Download Limit"))
        dialog.setLabelText(self.tr("At most, in bytes a second, as 500K or 1.5M (empty: no limit):"))
        dialog.setTextValue("" if current is None else _typed(current))
        dialog.setProperty("direction", direction)
        dialog.textValueSelected.connect(self._on_limit_typed)
        dialog.resize(460, dialog.height())
        dialog.open()

    @Slot(str)
    def _on_limit_typed(self, text: str) -> None:
        try:
            rate = rate_of(text) if text.strip() else None
        except ValueError as error:
            box = QMessageBox(self)
            box.setObjectName("limit_refused")
            box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            box.setTextFormat(Qt.TextFormat.PlainText)
            box.setText(str(error))
            box.setInformativeText(self.tr("Write it as 500K or 2M, in bytes a second."))
            box.open()
            return
        self._limit(str(self.sender().property("direction")), rate)

    def _limit(self, direction: str, value: int | None) -> None:
        up, down = self._queue.limits
        self._queue.set_limits(*((value, down) if direction == "up" else (up, value)))


def _described(model: TransfersModel, row: int) -> str:
    item: ItemRecord | None = model.item_at(row)
    if item is not None:
        reason = item.error.message if item.error is not None else ""
        return "\t".join(text for text in (item.source, item.place, item.state.value, reason) if text)
    transfer = model.transfer_at(row)
    return f"{model.title(transfer)}\t{model.status(transfer)}"


def _typed(rate: int) -> str:
    """A speed as one would type it; nothing is lost by it."""
    for unit, size in (("G", 1024**3), ("M", MIB), ("K", 1024)):
        if rate % size == 0:
            return f"{rate // size}{unit}"
    return str(rate)


def _can_pause(transfer: Transfer) -> bool:
    return transfer.state in _PAUSABLE and not transfer.kind.is_errand


def _can_resume(transfer: Transfer) -> bool:
    waits = transfer.state is TransferState.WAITING and bool(transfer.notice)
    return transfer.state is TransferState.PAUSED or waits


def _can_retry(transfer: Transfer) -> bool:
    return transfer.state in (TransferState.FAILED, TransferState.INCOMPLETE, TransferState.CANCELLED)
