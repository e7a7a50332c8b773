"""Asks what to do with a file whose place is taken: both are shown side by side, each policy is one key away."""

from __future__ import annotations

from datetime import datetime

from PySide6.QtCore import Qt, Slot
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import (
    QCheckBox,
    QDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from kegbrowser.models.formats import size_text, time_text
from kegbrowser.models.shown_names import as_plain, shown_name
from kegbrowser.transfer.jobs import ConflictPolicy
from kegbrowser.transfer.questions import Answer, ConflictAnswer, ConflictChoice, ConflictQuestion

NARROWEST = 520
MARGIN = 20


class ConflictDialog(QDialog):
    """The target exists: overwrite, go on with it, skip or keep both; for one file or for all further ones.

    `answer` is None when it was dismissed, which cancels.
    """

    def __init__(self, question: ConflictQuestion, parent: QWidget) -> None:
        super().__init__(parent)
        self.answer: Answer | None = None
        self._question = question
        self.setObjectName("conflict_dialog")
        self.setWindowTitle(self.tr("File Exists"))
        heading = QLabel(self.tr("“%s” is already there.") % shown_name(question.name))
        heading.setObjectName("heading")
        place = QLabel(shown_name(question.target))
        place.setObjectName("hint")
        for label in (heading, place):
            label.setWordWrap(True)
            label.setTextFormat(Qt.TextFormat.PlainText)  # names from a server are never markup
        self._for_all = QCheckBox(self.tr("Do the same for &all further ones"))
        self._for_all.setVisible(question.more_to_come)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(MARGIN, 18, MARGIN, 16)
        layout.setSpacing(12)
        layout.addWidget(heading)
        layout.addWidget(place)
        layout.addLayout(self._comparison())
        layout.addWidget(self._for_all)
        self._row = self._buttons()
        layout.addLayout(self._row)
        self._skip.setFocus()

    def _comparison(self) -> QGridLayout:
        question, grid = self._question, QGridLayout()
        grid.setHorizontalSpacing(18)
        newer = (self._newer(question.source_modified, question.target_modified), self.tr("newer"))
        older = (self._newer(question.target_modified, question.source_modified), self.tr("newer"))
        larger = (_is_larger(question.source_size, question.target_size), self.tr("larger"))
        smaller = (_is_larger(question.target_size, question.source_size), self.tr("larger"))
        rows = (
            (self.tr("New:"), question.source_size, question.source_modified, (larger, newer)),
            (self.tr("There now:"), question.target_size, question.target_modified, (smaller, older)),
        )
        for row, (label, size, modified, marks) in enumerate(rows):
            grid.addWidget(QLabel(label), row, 0, Qt.AlignmentFlag.AlignRight)
            grid.addWidget(QLabel("" if size is None else size_text(size)), row, 1, Qt.AlignmentFlag.AlignRight)
            moment = "" if modified is None else time_text(modified)
            words = ", ".join(word for holds, word in marks if holds)
            grid.addWidget(QLabel(f"{moment} ({words})".strip() if words else moment), row, 2)
        grid.setColumnStretch(2, 1)
        return grid

    def _newer(self, one: datetime | None, other: datetime | None) -> bool:
        return one is not None and other is not None and one > other

    def _buttons(self) -> QHBoxLayout:
        row = QHBoxLayout()
        cancel = QPushButton(self.tr("Cancel Transfer"))
        cancel.setAutoDefault(False)
        cancel.clicked.connect(self.reject)
        row.addWidget(cancel)
        row.addStretch(1)
        both = self._choice("conflict_rename", self.tr("Keep &Both"), self._on_rename)
        both.setToolTip(as_plain(self.tr("The new one becomes “%s”") % shown_name(self._question.suggested_name)))
        if_menu = QPushButton(self.tr("Overwrite &If"))
        if_menu.setObjectName("conflict_overwrite_if")
        if_menu.setMenu(self._conditions())
        buttons = [both]
        if self._question.can_resume:
            resume = self._choice("conflict_resume", self.tr("&Resume"), self._on_resume)
            resume.setToolTip(
                self.tr(
                    "Go on with what is there, if it is the beginning of the new one. If it is not, you are asked again."
                )
            )
            buttons.append(resume)
        skip = self._choice("conflict_skip", self.tr("&Skip"), self._on_skip)
        skip.setToolTip(self.tr("Leave what is there"))
        overwrite = self._choice("conflict_overwrite", self.tr("&Overwrite"), self._on_overwrite)
        overwrite.setToolTip(self.tr("Replace what is there"))
        for button in (*buttons, if_menu, overwrite, skip):
            row.addWidget(button)
        skip.setDefault(True)
        self._skip = skip
        return row

    def _conditions(self) -> QMenu:
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        newer = menu.addAction(self.tr("The New One Is &Newer"))
        newer.setObjectName("conflict_if_newer")
        newer.setToolTip(self.tr("Else it is skipped; also where a time is not known"))
        newer.triggered.connect(self._on_if_newer)
        different = menu.addAction(self.tr("Size or Time Is &Different"))
        different.setObjectName("conflict_if_different")
        different.setToolTip(self.tr("Else it is skipped; where a time is not known it is overwritten"))
        different.triggered.connect(self._on_if_different)
        return menu

    def _choice(self, name: str, text: str, slot: object) -> QPushButton:
        button = QPushButton(text)
        button.setObjectName(name)
        button.clicked.connect(slot)
        return button

    @Slot()
    def _on_rename(self) -> None:
        self._choose(ConflictChoice.RENAME)

    @Slot()
    def _on_overwrite(self) -> None:
        self._choose(ConflictChoice.OVERWRITE)

    @Slot()
    def _on_skip(self) -> None:
        self._choose(ConflictChoice.SKIP)

    @Slot()
    def _on_resume(self) -> None:
        self._choose(ConflictChoice.OVERWRITE, ConflictPolicy.RESUME)

    @Slot()
    def _on_if_newer(self) -> None:
        self._choose(ConflictChoice.OVERWRITE, ConflictPolicy.OVERWRITE_IF_NEWER)

    @Slot()
    def _on_if_different(self) -> None:
        self._choose(ConflictChoice.OVERWRITE, ConflictPolicy.OVERWRITE_IF_DIFFERENT)

    def showEvent(self, event: QShowEvent) -> None:
        """See to the room of the buttons: the style sheet gives them a least width, and their texts no longer count."""
        self.setMinimumWidth(max(NARROWEST, self._row.sizeHint().width() + 2 * MARGIN))
        super().showEvent(event)

    def _choose(self, choice: ConflictChoice, policy: ConflictPolicy | None = None) -> None:
        self.answer = ConflictAnswer(choice, for_all=self._for_all.isChecked(), policy=policy)
        self.accept()


def _is_larger(one: int | None, other: int | None) -> bool:
    return one is not None and other is not None and one > other
