"""The questions of running transfers, asked one at a time, never in the way of the event loop."""

from __future__ import annotations

from collections import deque

from PySide6.QtCore import QCoreApplication, QObject, Qt, Slot
from PySide6.QtWidgets import QDialog, QMessageBox, QPushButton, QWidget

from kegbrowser.models.formats import number_text, size_text
from kegbrowser.models.shown_names import shown_name
from kegbrowser.services.transfers import Prompt, TransferQueue
from kegbrowser.transfer.questions import Answer, DeleteAnswer, DeleteQuestion
from kegbrowser.ui import icons
from kegbrowser.ui.conflict_dialog import ConflictDialog


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
