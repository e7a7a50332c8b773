"""Shows what unfinished transfers left behind, and removes what is chosen, after a question."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QDialog,
    QDialogButtonBox,
    QHeaderView,
    QLabel,
    QMessageBox,
    QPushButton,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from kegbrowser.backends.errors import StorageError
from kegbrowser.backends.locations import RemotePath
from kegbrowser.models.formats import number_text, size_text
from kegbrowser.models.leftovers import LeftoverColumn, LeftoversModel
from kegbrowser.models.shown_names import shown_name
from kegbrowser.services.leftovers import LeftoverFinder
from kegbrowser.transfer.events import Leftovers
from kegbrowser.ui import icons


class CleanUpDialog(QDialog):
    """Use `open()`; `removal_wanted` follows if it is confirmed. GUI thread only.

    Args:
        place: the remote folder, or the local one, below which is looked.
        address: it, for people.
    """

    removal_wanted = Signal(object)  # Leftovers

    def __init__(self, place: RemotePath | str, address: str, finder: LeftoverFinder, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("clean_up_dialog")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(self.tr("Clean Up"))
        self._place = place
        self._finder = finder
        self._number = 0
        self._is_looking = False
        self._is_cut = False
        self._error = ""
        self.model = LeftoversModel(self)
        self._table = QTableView()
        self._all = QCheckBox(self.tr("&All, also what was touched in the last hour"))
        self._status = QLabel()
        self._delete = QPushButton(self.tr("&Delete…"))
        self._again = QPushButton(self.tr("&Look Again"))
        self._lay_out(address)
        self.model.choice_changed.connect(self._on_choice_changed)
        self._all.clicked.connect(self._on_all_clicked)
        finder.leftovers_found.connect(self._on_leftovers_found)
        finder.finding_finished.connect(self._on_finding_finished)
        finder.finding_failed.connect(self._on_finding_failed)
        self._on_again()

    def done(self, result: int) -> None:
        self._finder.cancel(self._number)
        super().done(result)

    def _lay_out(self, address: str) -> None:
        is_local = isinstance(self._place, str)
        heading = QLabel(self.tr("Unfinished downloads") if is_local else self.tr("Incomplete uploads"))
        heading.setObjectName("heading")
        below = QLabel(self.tr("Below %s") % shown_name(address))
        below.setTextFormat(Qt.TextFormat.PlainText)  # names from a server are never markup
        below.setWordWrap(True)
        hint = QLabel(
            self.tr("Hidden files of downloads that were never finished. What your transfers still need is not shown.")
            if is_local
            else self.tr(
                "Begun and never finished, by any program; storages charge for them. What your transfers still need is not "
                "shown."
            )
        )
        hint.setObjectName("hint")
        hint.setWordWrap(True)
        self._prepare_table()
        self._all.setObjectName("clean_up_all")
        self._status.setObjectName("clean_up_status")
        self._status.setTextFormat(Qt.TextFormat.PlainText)
        self._status.setWordWrap(True)
        box = QDialogButtonBox()
        self._delete.setObjectName("clean_up_delete")
        self._again.setObjectName("clean_up_again")
        self._delete.clicked.connect(self._on_delete)
        self._again.clicked.connect(self._on_again)
        box.addButton(self._again, QDialogButtonBox.ButtonRole.ResetRole)
        box.addButton(self._delete, QDialogButtonBox.ButtonRole.DestructiveRole)
        close = box.addButton(QDialogButtonBox.StandardButton.Close)
        close.setDefault(True)
        for button in (self._delete, self._again):
            button.setAutoDefault(False)
        box.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 18, 20, 16)
        layout.setSpacing(10)
        for widget in (heading, below, hint, self._table, self._all, self._status, box):
            layout.addWidget(widget)
        layout.setStretchFactor(self._table, 1)
        self.resize(720, 480)

    def _prepare_table(self) -> None:
        table = self._table
        table.setModel(self.model)
        table.setObjectName("clean_up_table")
        table.setAccessibleName(self.tr("What was found"))
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setShowGrid(False)
        table.setWordWrap(False)
        table.setTabKeyNavigation(False)
        table.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        table.verticalHeader().hide()
        table.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header = table.horizontalHeader()
        header.setSectionResizeMode(LeftoverColumn.PATH, QHeaderView.ResizeMode.Stretch)
        header.resizeSection(LeftoverColumn.SIZE, 100)
        header.resizeSection(LeftoverColumn.AGE, 130)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        table.setSortingEnabled(True)

    # -- slots -------------------------------------------------------------------------------------------------------

    @Slot()
    def _on_again(self) -> None:
        self._finder.cancel(self._number)
        self.model.clear()
        self._is_looking, self._is_cut, self._error = True, False, ""
        place = self._place
        self._number = self._finder.find_parts(place) if isinstance(place, str) else self._finder.find_uploads(place)
        self._on_choice_changed()

    @Slot(int, object)
    def _on_leftovers_found(self, number: int, found: Leftovers) -> None:
        if number == self._number:
            self.model.add(found)

    @Slot(int, bool)
    def _on_finding_finished(self, number: int, is_cut: bool) -> None:  # as the signal gives it
        if number == self._number:
            self._is_looking, self._is_cut = False, is_cut
            self._on_choice_changed()

    @Slot(int, object)
    def _on_finding_failed(self, number: int, error: StorageError) -> None:
        if number == self._number:
            self._is_looking, self._error = False, f"{error.message} {error.hint}".strip()
            self._on_choice_changed()

    @Slot(bool)
    def _on_all_clicked(self, chosen: bool) -> None:  # as the signal gives it
        self.model.choose_all(chosen=chosen)

    @Slot()
    def _on_choice_changed(self) -> None:
        found, found_bytes, _ = self.model.sums(only_chosen=False)
        chosen, chosen_bytes, _ = self.model.sums(only_chosen=True)
        self._all.setEnabled(found > 0)
        self._all.setChecked(0 < found == chosen)
        self._delete.setEnabled(chosen > 0)
        self._again.setEnabled(not self._is_looking)
        words = []
        if found:
            text = self.tr("%1 found, %2; %3 chosen, %4").replace("%1", number_text(found))
            text = text.replace("%2", size_text(found_bytes)).replace("%3", number_text(chosen))
            words.append(f"{text.replace('%4', size_text(chosen_bytes))}.")
        elif not self._is_looking and not self._error:
            words.append(self.tr("Nothing was left behind."))
        if self._is_looking:
            words.append(self.tr("Looking…"))
        if self._is_cut:
            words.append(self.tr("There are more: clean up, then look again."))
        words.append(self._error)
        self._status.setText(" ".join(words).strip())

    @Slot()
    def _on_delete(self) -> None:
        count, size_bytes, young = self.model.sums(only_chosen=True)
        box = QMessageBox(self)
        box.setObjectName("clean_up_question")
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.setWindowTitle(self.tr("Clean Up"))
        box.setTextFormat(Qt.TextFormat.PlainText)
        box.setIconPixmap(icons.icon("warning").pixmap(40, 40))
        what = self.tr("Delete what is left of one transfer?")
        if count > 1:
            what = self.tr("Delete what is left of %s transfers?") % number_text(count)
        box.setText(what)
        lines = [size_text(size_bytes)] if size_bytes else []
        if young:
            text = self.tr("%s of them were touched in the last hour, or nobody knows when: somebody may be at them.")
            lines.append(text % number_text(young))
        lines.append(self.tr("This cannot be undone."))
        box.setInformativeText("\n\n".join(lines))
        delete = QPushButton(self.tr("&Delete"), box)
        delete.setObjectName("confirm_delete")  # before it is added: the style sheet looks at names only once
        delete.clicked.connect(self._on_confirmed)
        box.addButton(delete, QMessageBox.ButtonRole.DestructiveRole)
        keep = box.addButton(QMessageBox.StandardButton.Cancel)
        box.setDefaultButton(keep)
        box.setEscapeButton(keep)
        box.open()

    @Slot()
    def _on_confirmed(self) -> None:
        self.removal_wanted.emit(self.model.chosen())
        self.accept()
