"""The transfers as a table, the newest at the top."""

from __future__ import annotations

import enum
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, Qt, Slot

from kegbrowser.models.formats import number_text, size_text
from kegbrowser.models.listing import Index, as_plain, shown_name
from kegbrowser.services.transfer import Transfer, TransferKind, TransferState
from kegbrowser.services.transfers import TransferQueue

TRANSFER_ROLE = Qt.ItemDataRole.UserRole
FRACTION_ROLE = Qt.ItemDataRole.UserRole + 1
"""0 to 1000, or -1 while the total is unknown."""


class TransferColumn(enum.IntEnum):
    """The columns of the table."""

    NAME = 0
    PROGRESS = 1
    SPEED = 2
    REMAINING = 3
    STATUS = 4


class TransfersModel(QAbstractTableModel):
    """GUI thread only. Follows the queue's signals; holds nothing of its own but the order."""

    def __init__(self, queue: TransferQueue, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._transfers: list[Transfer] = []
        queue.transfer_added.connect(self._on_transfer_added)
        queue.transfer_changed.connect(self._on_transfer_changed)
        queue.transfer_removed.connect(self._on_transfer_removed)

    def transfer_at(self, row: int) -> Transfer:
        return self._transfers[row]

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own default
        return 0 if parent.isValid() else len(self._transfers)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own default
        return 0 if parent.isValid() else len(TransferColumn)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < len(TransferColumn):
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            titles = (
                self.tr("Transfer"),
                self.tr("Progress"),
                self.tr("Speed"),
                self.tr("Time left"),
                self.tr("Status"),
            )
            return titles[section]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(section)
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        transfer = self._transfers[index.row()]
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return self._text(transfer, TransferColumn(index.column()))
        if role == TRANSFER_ROLE:
            return transfer
        if role == FRACTION_ROLE:
            return fraction(transfer)
        if role == Qt.ItemDataRole.ToolTipRole:
            return as_plain(self._tool_tip(transfer))
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(index.column())
        return None

    @Slot(object)
    def _on_transfer_added(self, transfer: Transfer) -> None:
        self.beginInsertRows(QModelIndex(), 0, 0)
        self._transfers.insert(0, transfer)
        self.endInsertRows()

    @Slot(object)
    def _on_transfer_changed(self, transfer: Transfer) -> None:
        row = self._row_of(transfer.transfer_id)
        if row is not None:
            self._transfers[row] = transfer
            self.dataChanged.emit(self.index(row, 0), self.index(row, len(TransferColumn) - 1))

    @Slot(int)
    def _on_transfer_removed(self, transfer_id: int) -> None:
        row = self._row_of(transfer_id)
        if row is not None:
            self.beginRemoveRows(QModelIndex(), row, row)
            del self._transfers[row]
            self.endRemoveRows()

    def _row_of(self, transfer_id: int) -> int | None:
        return next((row for row, one in enumerate(self._transfers) if one.transfer_id == transfer_id), None)

    def _text(self, transfer: Transfer, column: TransferColumn) -> str:
        match column:
            case TransferColumn.NAME:
                return self.title(transfer)
            case TransferColumn.PROGRESS:
                return self._progress_text(transfer)
            case TransferColumn.SPEED:
                rate = int(transfer.rate_bytes_per_s)
                return self.tr("%s/s") % size_text(rate) if rate and not transfer.state.is_final else ""
            case TransferColumn.REMAINING:
                return "" if transfer.remaining_s is None else self.duration(transfer.remaining_s)
            case TransferColumn.STATUS:
                return self.status(transfer)

    def title(self, transfer: Transfer) -> str:
        """What it does with what, as "Upload photo.jpg and 3 more"."""
        first = shown_name(transfer.names[0]) if transfer.names and transfer.names[0] else self.tr("everything")
        verb = {
            TransferKind.DOWNLOAD: self.tr("Download %s"),
            TransferKind.UPLOAD: self.tr("Upload %s"),
            TransferKind.COPY: self.tr("Copy %s"),
            TransferKind.MOVE: self.tr("Move %s"),
            TransferKind.RENAME: self.tr("Rename %s"),
            TransferKind.DELETE: self.tr("Delete %s"),
        }[transfer.kind]
        more = len(transfer.names) - 1
        name = first if not more else self.tr("%1 and %2 more").replace("%1", first).replace("%2", str(more))
        return verb.replace("%s", name)

    def status(self, transfer: Transfer) -> str:
        """Where it stands, in a few words; a failure with its reason."""
        progress = transfer.progress
        match transfer.state:
            case TransferState.WAITING:
                return transfer.notice or self.tr("Waiting")
            case TransferState.PAUSED:
                return self.tr("Paused")
            case TransferState.PREPARING:
                return self.tr("Counting…")
            case TransferState.RUNNING:
                return shown_name(progress.current) if progress.current else self.tr("Running")
            case TransferState.ASKING:
                return self.tr("Waits for your answer")
            case TransferState.STOPPING:
                return self.tr("Stopping…")
            case TransferState.CANCELLED:
                return self.tr("Cancelled")
            case TransferState.FAILED:
                return transfer.error.message if transfer.error is not None else self.tr("Failed")
            case TransferState.INCOMPLETE:
                failed = transfer.report.files_failed if transfer.report is not None else len(transfer.failures)
                reason = transfer.failures[0].error.message if transfer.failures else ""
                return f"{self.tr('%n failed:', '', failed)} {reason}"
            case TransferState.DONE:
                return self._done_text(transfer)

    def _done_text(self, transfer: Transfer) -> str:
        skipped = transfer.report.files_skipped if transfer.report is not None else 0
        check = transfer.report.check if transfer.report is not None else ""
        text = self.tr("Done, %s checked") % check if check else self.tr("Done")
        return f"{text}, {self.tr('%n skipped', '', skipped)}" if skipped else text

    def _progress_text(self, transfer: Transfer) -> str:
        progress = transfer.progress
        if transfer.kind in (TransferKind.DELETE, TransferKind.RENAME):
            if not progress.files_total:
                return ""
            done = number_text(progress.files_done)
            return self.tr("%1 of %2").replace("%1", done).replace("%2", number_text(progress.files_total))
        if not progress.bytes_total and not progress.files_total:
            return ""
        size = size_text(progress.bytes_total)
        text = self.tr("%1 of %2").replace("%1", size_text(progress.bytes_done)).replace("%2", size)
        if progress.files_total > 1:
            files = f"{number_text(progress.files_done)}/{number_text(progress.files_total)}"
            return f"{text} · {self.tr('%s files') % files}"
        return text

    def _tool_tip(self, transfer: Transfer) -> str:
        lines = [self.title(transfer), self.status(transfer)]
        if transfer.error is not None and transfer.error.hint:
            lines.append(transfer.error.hint)
        lines += [failure.error.message for failure in transfer.failures[:10]]
        return "\n".join(dict.fromkeys(lines))

    def duration(self, seconds: float) -> str:
        """A time span in its two largest units, rounded so that it does not jump about."""
        whole = int(seconds)
        if whole < 60:
            return self.tr("%s s") % max(1, whole if whole < 10 else round(whole, -1) or 10)
        if whole < 3600:
            return self.tr("%s min") % ((whole + 30) // 60)
        return self.tr("%1 h %2 min").replace("%1", str(whole // 3600)).replace("%2", str(whole % 3600 // 60))


def fraction(transfer: Transfer) -> int:
    """How much is done, 0 to 1000; -1 while that cannot be told."""
    progress = transfer.progress
    if transfer.state is TransferState.DONE:
        return 1000
    if transfer.kind in (TransferKind.DELETE, TransferKind.RENAME):
        ended = progress.files_done + progress.files_failed
        return ended * 1000 // progress.files_total if progress.is_planned and progress.files_total else -1
    if progress.bytes_total:
        return min(1000, progress.bytes_done * 1000 // progress.bytes_total)
    if progress.files_total:
        return min(1000, (progress.files_done + progress.files_skipped) * 1000 // progress.files_total)
    return 0 if transfer.state is TransferState.WAITING or transfer.state.is_final else -1


def _alignment(column: int) -> Qt.AlignmentFlag:
    right = column in (TransferColumn.SPEED, TransferColumn.REMAINING)
    side = Qt.AlignmentFlag.AlignRight if right else Qt.AlignmentFlag.AlignLeft
    return side | Qt.AlignmentFlag.AlignVCenter
