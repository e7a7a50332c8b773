"""The questions of running transfers, asked one at a time, never in the way of the event loop."""

from __future__ import annotations

from collections import deque

from PySide6.QtCore import QCoreApplication, QObject, Qt, Slot
from PySide6.QtWidgets import (
    QCheckBox,
    QDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QMessageBox,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from kegbrowser.models.formats import number_text, size_text, time_text
from kegbrowser.models.shown_names import as_plain, shown_name
from kegbrowser.services.transfers import Prompt, TransferQueue
from kegbrowser.transfer.questions import (
    Answer,
    ConflictAnswer,
    ConflictChoice,
    ConflictQuestion,
    DeleteAnswer,
    DeleteQuestion,
)
from kegbrowser.ui import icons


class Prompter(QObject):
    """Shows what transfers ask and gives the answers back. GUI thread only."""

    def __init__(self, queue: TransferQueue, window: QWidget) -> None:
        super().__init__(window)
        self._queue = queue
        self._window = window
        self._waiting: deque[Prompt] = deque()
        self._shown: Prompt | None = None
        self._dialog: QDialog | None = None
        queue.prompt_raised.connect(self._on_prompt_raised)
        queue.prompt_withdrawn.connect(self._on_prompt_withdrawn)

    @Slot(object)
    def _on_prompt_raised(self, prompt: Prompt) -> None:
        self._waiting.append(prompt)
        self._show_next()

    @Slot(int, int)
    def _on_prompt_withdrawn(self, transfer_id: int, question_id: int) -> None:
        self._waiting = deque(
            one for one in self._waiting if (one.transfer.transfer_id, one.question_id) != (transfer_id, question_id)
        )
        shown = self._shown
        if shown is not None and (shown.transfer.transfer_id, shown.question_id) == (transfer_id, question_id):
            self._shown = None
            if self._dialog is not None:
                self._dialog.reject()

    def _show_next(self) -> None:
        if self._dialog is not None or not self._waiting:
            return
        self._shown = self._waiting.popleft()
        question = self._shown.question
        if isinstance(question, DeleteQuestion):
            self._dialog = DeleteDialog(question, self._window)
        else:
            self._dialog = ConflictDialog(question, self._window)
        self._dialog.finished.connect(self._on_dialog_finished)
        self._dialog.open()

    @Slot(int)
    def _on_dialog_finished(self, _result: int) -> None:
        dialog, self._dialog = self._dialog, None
        shown, self._shown = self._shown, None
        if shown is not None and isinstance(dialog, (ConflictDialog, DeleteDialog)):
            self._queue.answer(shown.transfer.transfer_id, shown.question_id, dialog.answer)
        if dialog is not None:
            dialog.deleteLater()
        self._show_next()


class ConflictDialog(QDialog):
    """The target exists: overwrite, skip or keep both. `answer` is None when it was dismissed, which cancels."""

    def __init__(self, question: ConflictQuestion, parent: QWidget) -> None:
        super().__init__(parent)
        self.answer: Answer | None = None
        self._question = question
        self.setObjectName("conflict_dialog")
        self.setWindowTitle(self.tr("File Exists"))
        heading = QLabel(self.tr("“%s” is already there.") % shown_name(question.name))
        heading.setObjectName("heading")
        heading.setWordWrap(True)
        heading.setTextFormat(Qt.TextFormat.PlainText)  # names from a server are never markup
        place = QLabel(shown_name(question.target))
        place.setObjectName("hint")
        place.setWordWrap(True)
        place.setTextFormat(Qt.TextFormat.PlainText)
        self._for_all = QCheckBox(self.tr("Do the same for all further ones"))
        self._for_all.setVisible(question.more_to_come)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 18, 20, 16)
        layout.setSpacing(12)
        layout.addWidget(heading)
        layout.addWidget(place)
        layout.addLayout(self._comparison())
        layout.addWidget(self._for_all)
        layout.addLayout(self._buttons())
        self.setMinimumWidth(520)

    def _comparison(self) -> QGridLayout:
        question, grid = self._question, QGridLayout()
        grid.setHorizontalSpacing(18)
        rows = (
            (self.tr("New:"), question.source_size, question.source_modified),
            (self.tr("There now:"), question.target_size, question.target_modified),
        )
        newest = (
            question.source_modified
            and question.target_modified
            and question.source_modified > question.target_modified
        )
        for row, (label, size, modified) in enumerate(rows):
            grid.addWidget(QLabel(label), row, 0, Qt.AlignmentFlag.AlignRight)
            grid.addWidget(QLabel("" if size is None else size_text(size)), row, 1, Qt.AlignmentFlag.AlignRight)
            moment = "" if modified is None else time_text(modified)
            is_newer = newest if row == 0 else newest is False
            grid.addWidget(QLabel(f"{moment} {self.tr('(newer)')}" if is_newer and moment else moment), row, 2)
        grid.setColumnStretch(2, 1)
        return grid

    def _buttons(self) -> QHBoxLayout:
        row = QHBoxLayout()
        cancel = QPushButton(self.tr("Cancel Transfer"))
        cancel.clicked.connect(self.reject)
        row.addWidget(cancel)
        row.addStretch(1)
        both = QPushButton(self.tr("Keep Both"))
        both.setToolTip(as_plain(self.tr("The new one becomes “%s”") % shown_name(self._question.suggested_name)))
        both.setObjectName("conflict_rename")
        both.clicked.connect(self._on_rename)
        overwrite = QPushButton(self.tr("Overwrite"))
        overwrite.setObjectName("conflict_overwrite")
        overwrite.clicked.connect(self._on_overwrite)
        skip = QPushButton(self.tr("Skip"))
        skip.setObjectName("conflict_skip")
        skip.setDefault(True)
        skip.clicked.connect(self._on_skip)
        for button in (both, overwrite, skip):
            row.addWidget(button)
        skip.setFocus()
        return row

    @Slot()
    def _on_rename(self) -> None:
        self._choose(ConflictChoice.RENAME)

    @Slot()
    def _on_overwrite(self) -> None:
        self._choose(ConflictChoice.OVERWRITE)

    @Slot()
    def _on_skip(self) -> None:
        self._choose(ConflictChoice.SKIP)

    def _choose(self, choice: ConflictChoice) -> None:
        self.answer = ConflictAnswer(choice, for_all=self._for_all.isChecked())
        self.accept()


class DeleteDialog(QMessageBox):
    """How much will go, and whether it can come back. `answer` is None unless it was confirmed."""

    def __init__(self, question: DeleteQuestion, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("delete_dialog")
        self.setWindowTitle(self.tr("Delete"))
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setIconPixmap(icons.icon("warning").pixmap(40, 40))
        self.setText(_delete_heading(question))
        self.setInformativeText(_delete_text(question))
        self._delete = QPushButton(self.tr("&Delete"))
        self._delete.setObjectName("confirm_delete")  # before it is added: the style sheet looks at names only once
        self.addButton(self._delete, QMessageBox.ButtonRole.DestructiveRole)
        keep = self.addButton(QMessageBox.StandardButton.Cancel)
        self.setDefaultButton(keep)
        self.setEscapeButton(keep)

    @property
    def answer(self) -> Answer | None:
        return DeleteAnswer(confirmed=True) if self.clickedButton() is self._delete else None


def _delete_heading(question: DeleteQuestion) -> str:
    if question.sources == 1 and question.names:
        return _tr("Delete “%s”?").replace("%s", shown_name(question.names[0]))
    return _tr("Delete these %s items?").replace("%s", number_text(question.sources))


def _delete_text(question: DeleteQuestion) -> str:
    counted = question.counted
    what = [_count(counted.files, _tr("1 file"), _tr("%s files"))]
    if counted.folders:
        what.append(_count(counted.folders, _tr("1 folder"), _tr("%s folders")))
    lines = [f"{', '.join(what)}, {size_text(counted.bytes)}"]
    if question.sources > 1:
        names = ", ".join(f"“{shown_name(name)}”" for name in question.names[:5])
        lines.append(f"{names}…" if question.sources > len(question.names[:5]) else names)
    if question.can_be_undone is None:
        lines.append(_tr("Whether this can be undone depends on the storage."))
    elif question.can_be_undone:
        lines.append(_tr("The storage keeps earlier versions: this can be undone."))
    else:
        lines.append(_tr("This cannot be undone."))
    return "\n\n".join(lines)


def _count(number: int, one: str, many: str) -> str:
    return one if number == 1 else many.replace("%s", number_text(number))


def _tr(text: str) -> str:
    return QCoreApplication.translate("Prompts", text)
