"""The transfers as a table, the newest at the top; below an opened one its files, however many."""

from __future__ import annotations

import enum
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, Qt, QTimer, Slot

from kegbrowser.backends.proofs import Certainty, Proof
from kegbrowser.models.formats import number_text, size_text
from kegbrowser.models.listing import Index
from kegbrowser.models.shown_names import as_plain, shown_name
from kegbrowser.models.transfer_rows import PAGE_ITEMS, Block, Pages, Rows
from kegbrowser.services.items import ItemsReader
from kegbrowser.services.transfer import Transfer, TransferKind, TransferState
from kegbrowser.services.transfers import TransferQueue
from kegbrowser.transfer.events import Checked, JobReport, RunningItem
from kegbrowser.transfer.records import ItemRecord, ItemState

TRANSFER_ROLE = Qt.ItemDataRole.UserRole
FRACTION_ROLE = Qt.ItemDataRole.UserRole + 1
"""0 to 1000, or -1 while the total is unknown."""
ITEM_ROLE = Qt.ItemDataRole.UserRole + 2
"""ItemRecord of a file; None for a transfer, and for a file that is not read yet."""

REFRESH_MS = 500


class TransferColumn(enum.IntEnum):
    """The columns of the table."""

    NAME = 0
    PROGRESS = 1
    SPEED = 2
    REMAINING = 3
    STATUS = 4


class TransfersModel(QAbstractTableModel):
    """GUI thread only. Follows the queue's signals; of the files of open transfers it holds those that were read lately.

    Args:
        reader: reads the files of a transfer; None: transfers cannot be opened.
    """

    def __init__(self, queue: TransferQueue, parent: QObject | None = None, reader: ItemsReader | None = None) -> None:
        super().__init__(parent)
        self._rows = Rows()
        self._pages = Pages()
        self._asked: set[tuple[int, bool, int]] = set()
        self._reader = reader
        self._refreshing = QTimer(self)
        self._refreshing.setInterval(REFRESH_MS)
        self._refreshing.timeout.connect(self._on_refresh_due)
        self._visible = range(0)
        queue.transfer_added.connect(self._on_transfer_added)
        queue.transfer_changed.connect(self._on_transfer_changed)
        queue.transfer_removed.connect(self._on_transfer_removed)
        queue.transfers_arranged.connect(self._on_transfers_arranged)
        if reader is not None:
            reader.items_ready.connect(self._on_items_ready, Qt.ConnectionType.QueuedConnection)
            reader.counts_ready.connect(self._on_counts_ready, Qt.ConnectionType.QueuedConnection)

    def transfer_at(self, row: int) -> Transfer:
        """The transfer that a row shows, or whose file it shows."""
        return self._rows.at(row)[0].transfer

    def item_at(self, row: int) -> ItemRecord | None:
        """The file that a row shows; None for a transfer, and while the file is not read yet."""
        block, number = self._rows.at(row)
        return None if number < 0 else self._pages.find(block, number)

    def is_file(self, row: int) -> bool:
        return self._rows.at(row)[1] >= 0

    def can_open(self, row: int) -> bool:
        """Whether a row is a transfer whose files can be shown."""
        block, number = self._rows.at(row)
        is_brief = block.transfer.kind in (TransferKind.DELETE, TransferKind.RENAME)
        return number < 0 and not is_brief and self._reader is not None and block.transfer.journal_id is not None

    def is_open(self, row: int) -> bool:
        block, number = self._rows.at(row)
        return number < 0 and block.is_open

    def shows_only_failed(self, row: int) -> bool:
        return self._rows.at(row)[0].only_failed

    def row_of(self, transfer_id: int) -> int | None:
        return self._rows.row_of(transfer_id)

    def set_open(self, row: int, *, is_open: bool) -> None:
        """Show or hide the files of a transfer."""
        block, number = self._rows.at(row)
        if number >= 0 or block.is_open == is_open or (is_open and not self.can_open(row)):
            return
        if is_open:
            block.is_open, block.files = True, 0
            self._rows.update()
            self._ask_counts(block)
            self._refreshing.start()
        else:
            self._resize(block, 0)
            block.is_open = False
            self._rows.update()
            self._pages.forget(block.transfer.transfer_id)
            if not any(one.is_open for one in self._rows.blocks):
                self._refreshing.stop()
        self._tell_changed(row, row)

    def set_only_failed(self, row: int, *, only_failed: bool) -> None:
        """Show all files of a transfer, or only those that failed."""
        block = self._rows.at(row)[0]
        if block.only_failed != only_failed:
            self._resize(block, 0)
            block.only_failed = only_failed
            self._ask_counts(block)

    def set_visible(self, first: int, last: int) -> None:
        """The rows that are on the screen: only they are kept fresh."""
        self._visible = range(max(0, first), last + 1)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own default
        return 0 if parent.isValid() else len(self._rows)

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
        block, number = self._rows.at(index.row())
        if role == TRANSFER_ROLE:
            return block.transfer
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(index.column())
        if number >= 0:
            return self._file_data(block, number, TransferColumn(index.column()), role)
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return self._text(block.transfer, TransferColumn(index.column()))
        if role == FRACTION_ROLE:
            return fraction(block.transfer)
        if role == Qt.ItemDataRole.ToolTipRole:
            return as_plain(self._tool_tip(block.transfer))
        return None

    # -- files -------------------------------------------------------------------------------------------------------------

    def _file_data(self, block: Block, number: int, column: TransferColumn, role: int) -> Any:
        item = self._pages.find(block, number)
        if item is None:
            self._ask_page(block, number)
        if role == ITEM_ROLE:
            return item
        running = self._running(block, item)
        if role == FRACTION_ROLE:
            return -1 if item is None else file_fraction(item, running)
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            if item is None:
                return "…" if column is TransferColumn.NAME else ""
            return self._file_text(block, item, column, running)
        if role == Qt.ItemDataRole.ToolTipRole and item is not None:
            lines = [shown_name(item.source), shown_name(item.place), self._file_status(item, running)]
            if item.error is not None and item.error.hint:
                lines.append(item.error.hint)
            return as_plain("\n".join(dict.fromkeys(line for line in lines if line)))
        return None

    def _running(self, block: Block, item: ItemRecord | None) -> RunningItem | None:
        if item is None or block.transfer.state.is_final:
            return None
        return next((one for one in block.transfer.progress.running if one.item == item.item), None)

    def _file_text(self, block: Block, item: ItemRecord, column: TransferColumn, running: RunningItem | None) -> str:
        match column:
            case TransferColumn.NAME:
                return shown_name(item.source.rstrip("/\\").replace("\\", "/").rpartition("/")[2] or item.source)
            case TransferColumn.PROGRESS:
                size = "" if item.mark.size < 0 else size_text(item.mark.size)
                if running is None or not size:
                    return size
                return self.tr("%1 of %2").replace("%1", size_text(running.bytes_done)).replace("%2", size)
            case TransferColumn.STATUS:
                return self._file_status(item, running)
            case _:
                return ""

    def _file_status(self, item: ItemRecord, running: RunningItem | None) -> str:
        """How a file ended: verified and by what, size only, not verifiable and why, or failed and why."""
        match item.state:
            case ItemState.DONE:
                return self._proof_text(item.proof)
            case ItemState.FAILED:
                reason = item.error.message if item.error is not None else ""
                return self.tr("FAILED: %s") % reason if reason else self.tr("FAILED")
            case ItemState.SKIPPED:
                return self.tr("Skipped")
            case ItemState.MOVING:
                return self.tr("Moving") if running is not None else self.tr("Begun")
            case ItemState.PLANNED:
                return self.tr("Moving") if running is not None else self.tr("Waiting")

    def _proof_text(self, proof: Proof | None) -> str:
        if proof is None:
            return self.tr("Done")
        match proof.certainty:
            case Certainty.VERIFIED:
                return self.tr("Verified by %s") % proof.by
            case Certainty.SIZE_ONLY:
                return self.tr("Size only: %s") % proof.reason if proof.reason else self.tr("Size only")
            case Certainty.UNVERIFIABLE:
                return self.tr("Not verifiable here: %s") % proof.reason

    def _ask_page(self, block: Block, number: int) -> None:
        transfer = block.transfer
        key = (transfer.transfer_id, block.only_failed, number // PAGE_ITEMS)
        if self._reader is None or transfer.journal_id is None or key in self._asked:
            return
        self._asked.add(key)
        first = number // PAGE_ITEMS * PAGE_ITEMS
        self._reader.request(
            transfer.transfer_id, transfer.journal_id, first, PAGE_ITEMS, only_failed=block.only_failed
        )

    def _ask_counts(self, block: Block) -> None:
        transfer = block.transfer
        if self._reader is not None and transfer.journal_id is not None:
            self._reader.request(transfer.transfer_id, transfer.journal_id, 0, 0, only_failed=block.only_failed)

    @Slot(object, object, bool, object)
    def _on_items_ready(self, transfer_id: int, first: int, only_failed: bool, items: tuple[ItemRecord, ...]) -> None:
        self._asked.discard((transfer_id, only_failed, first // PAGE_ITEMS))
        number = self._rows.number_of(transfer_id)
        if number is None:
            return
        block = self._rows.blocks[number]
        if not block.is_open or block.only_failed != only_failed:
            return
        self._pages.put(transfer_id, first, items, only_failed=only_failed)
        row = self._rows.row_of(transfer_id)
        if row is not None and block.files:
            last = min(first + len(items), block.files) - 1
            self._tell_changed(row + 1 + first, row + 1 + max(first, last))

    @Slot(object, object)
    def _on_counts_ready(self, transfer_id: int, counts: dict[ItemState, int]) -> None:
        number = self._rows.number_of(transfer_id)
        if number is not None and self._rows.blocks[number].is_open:
            block = self._rows.blocks[number]
            self._resize(block, counts[ItemState.FAILED] if block.only_failed else sum(counts.values()))

    def _resize(self, block: Block, files: int) -> None:
        """Let so many rows of files follow a transfer."""
        row = self._rows.row_of(block.transfer.transfer_id)
        if row is None or not block.is_open or files == block.files:
            return
        if files > block.files:
            self.beginInsertRows(QModelIndex(), row + 1 + block.files, row + files)
            block.files = files
            self._rows.update()
            self.endInsertRows()
        else:
            self.beginRemoveRows(QModelIndex(), row + 1 + files, row + block.files)
            block.files = files
            self._rows.update()
            self.endRemoveRows()

    @Slot()
    def _on_refresh_due(self) -> None:
        """Read again what is on the screen of transfers that go on."""
        is_needed = False
        for block in self._rows.blocks:
            if not block.is_open:
                continue
            is_needed = True
            if not block.transfer.state.is_final or not block.files:
                self._ask_counts(block)
        seen: set[tuple[int, int]] = set()
        for row in self._visible:
            if row >= len(self._rows):
                break
            block, number = self._rows.at(row)
            page = (block.transfer.transfer_id, number // PAGE_ITEMS)
            if number >= 0 and page not in seen and not block.transfer.state.is_final:
                seen.add(page)
                self._ask_page(block, number)
        if not is_needed:
            self._refreshing.stop()

    # -- transfers -----------------------------------------------------------------------------------------------------------

    @Slot(object)
    def _on_transfer_added(self, transfer: Transfer) -> None:
        self.beginInsertRows(QModelIndex(), 0, 0)
        self._rows.blocks.insert(0, Block(transfer))
        self._rows.update()
        self.endInsertRows()

    @Slot(object)
    def _on_transfer_changed(self, transfer: Transfer) -> None:
        number = self._rows.number_of(transfer.transfer_id)
        row = self._rows.row_of(transfer.transfer_id)
        if number is None or row is None:
            return
        block = self._rows.blocks[number]
        has_ended = transfer.state.is_final and not block.transfer.state.is_final
        block.transfer = transfer
        self._tell_changed(row, row)
        if block.is_open and has_ended:
            self._pages.forget(transfer.transfer_id)
            self._ask_counts(block)
            self._tell_changed(row, row + block.files)

    @Slot(int)
    def _on_transfer_removed(self, transfer_id: int) -> None:
        number = self._rows.number_of(transfer_id)
        row = self._rows.row_of(transfer_id)
        if number is None or row is None:
            return
        block = self._rows.blocks[number]
        self.beginRemoveRows(QModelIndex(), row, row + (block.files if block.is_open else 0))
        del self._rows.blocks[number]
        self._rows.update()
        self._pages.forget(transfer_id)
        self.endRemoveRows()

    @Slot(object)
    def _on_transfers_arranged(self, order: tuple[int, ...]) -> None:
        """The newest is at the top, so what comes first in the queue is at the bottom."""
        rank = {transfer_id: -place for place, transfer_id in enumerate(order)}
        self.layoutAboutToBeChanged.emit()
        old = self.persistentIndexList()
        places = [self._rows.at(index.row()) for index in old]
        self._rows.blocks.sort(key=lambda block: rank.get(block.transfer.transfer_id, 1))
        self._rows.update()
        new = [
            self.index((self._rows.row_of(block.transfer.transfer_id) or 0) + 1 + number, index.column())
            for index, (block, number) in zip(old, places, strict=True)
        ]
        self.changePersistentIndexList(old, new)
        self.layoutChanged.emit()

    def _tell_changed(self, first: int, last: int) -> None:
        self.dataChanged.emit(self.index(first, 0), self.index(last, len(TransferColumn) - 1))

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
            TransferKind.VERIFY: self.tr("Verify %s"),
            TransferKind.MANIFEST: self.tr("Save manifest of %s"),
            TransferKind.CHECK: self.tr("Check %s against its manifest"),
            TransferKind.CLEAN_UP: self.tr("Clean up %s"),
        }[transfer.kind]
        if transfer.kind is TransferKind.CLEAN_UP and not any(transfer.names):
            return self.tr("Clean up")
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
                is_check = transfer.kind in (TransferKind.VERIFY, TransferKind.CHECK)
                count = self.tr("%n not the same:", "", failed) if is_check else self.tr("%n failed:", "", failed)
                return f"{count} {reason}"
            case TransferState.DONE:
                return self._done_text(transfer)

    def _done_text(self, transfer: Transfer) -> str:
        report = transfer.report
        if report is None:
            return self.tr("Done")
        words = [self._done_word(transfer.kind, report)]
        if transfer.kind not in (TransferKind.MANIFEST, TransferKind.CLEAN_UP):
            words += self._checked_texts(report.checked, report.check, report.unchecked_reason)
        if report.files_skipped:
            words.append(self.tr("%n skipped", "", report.files_skipped))
        return ", ".join(words)

    def _done_word(self, kind: TransferKind, report: JobReport) -> str:
        if not kind.is_errand:
            return self.tr("Done")
        if not report.files_total:
            return self.tr("There was nothing to do")
        return {
            TransferKind.VERIFY: self.tr("All the same"),
            TransferKind.CHECK: self.tr("All the same"),
            TransferKind.MANIFEST: self.tr("Saved"),
        }.get(kind, self.tr("Removed"))

    def _checked_texts(self, checked: Checked, by: str, reason: str) -> list[str]:
        """How the files of a transfer were checked."""
        texts: list[str] = []
        unchecked = checked.size_only + checked.unverifiable
        if checked.verified:
            count = "" if not unchecked else f"{number_text(checked.verified)} "
            texts.append(self.tr("%1verified by %2").replace("%1", count).replace("%2", by))
        if checked.size_only:
            count = "" if not checked.verified and not checked.unverifiable else f"{number_text(checked.size_only)} "
            texts.append(f"{count}{self.tr('size only')}")
        if checked.unverifiable:
            texts.append(self.tr("%s not verifiable here") % number_text(checked.unverifiable))
        if unchecked and reason:
            texts[-1] += f" ({reason})"
        return texts

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


def file_fraction(item: ItemRecord, running: RunningItem | None) -> int:
    """How much of a file is there, 0 to 1000."""
    if item.state is ItemState.DONE:
        return 1000
    if running is not None and running.bytes_total:
        return min(1000, running.bytes_done * 1000 // running.bytes_total)
    return 0


def _alignment(column: int) -> Qt.AlignmentFlag:
    right = column in (TransferColumn.SPEED, TransferColumn.REMAINING)
    side = Qt.AlignmentFlag.AlignRight if right else Qt.AlignmentFlag.AlignLeft
    return side | Qt.AlignmentFlag.AlignVCenter
