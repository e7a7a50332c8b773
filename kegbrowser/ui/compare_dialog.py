"""Asks how files are to be compared with local ones, and with which."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import (
    QCheckBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

MARGIN = 20
WIDTH = 520


class CompareDialog(QDialog):
    """Use `open()`; `comparison_wanted` follows if it is confirmed. Nothing is changed by a comparison on either side.

    Args:
        heading: what is compared.
        explanation: with what.
        local: the path that is offered to be chosen; None: nothing is to be chosen.
        is_folder: a folder is chosen, not a file.
    """

    comparison_wanted = Signal(str, bool, bool)  # local path, read whole, tell what is only here

    def __init__(
        self, heading: str, explanation: str, parent: QWidget, *, local: str | None = None, is_folder: bool = True
    ) -> None:
        super().__init__(parent)
        self.setObjectName("compare_dialog")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(self.tr("Verify"))
        self._is_folder = is_folder
        self._local = local
        self._place = QLineEdit(local or "")
        self._read_whole = QCheckBox(self.tr("&Read files whole where the storage keeps no checksum"))
        self._extra = QCheckBox(self.tr("Tell what is &only on this computer"))
        self._problem = QLabel()
        self._problem.setObjectName("hint")
        self._problem.setTextFormat(Qt.TextFormat.PlainText)
        self._go = QPushButton(self.tr("&Verify"))
        self._lay_out(heading, explanation)
        self._place.textChanged.connect(self._on_place_changed)
        self._on_place_changed()
        self.accepted.connect(self._on_accepted)

    def _lay_out(self, heading: str, explanation: str) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(MARGIN, 18, MARGIN, 16)
        layout.setSpacing(12)
        for text, name in ((heading, "heading"), (explanation, "hint")):
            label = QLabel(text)
            label.setObjectName(name)
            label.setWordWrap(True)
            label.setTextFormat(Qt.TextFormat.PlainText)  # names from a server are never markup
            label.setMinimumWidth(WIDTH - 2 * MARGIN)
            layout.addWidget(label)
        if self._local is not None:
            self._place.setObjectName("compare_local")
            self._place.setAccessibleName(self.tr("On this computer"))
            browse = QPushButton(self.tr("&Choose…"))
            browse.setAutoDefault(False)
            browse.clicked.connect(self._on_browse)
            row = QHBoxLayout()
            row.addWidget(self._place, 1)
            row.addWidget(browse)
            layout.addLayout(row)
            layout.addWidget(self._problem)
        self._read_whole.setObjectName("compare_read_whole")
        self._read_whole.setToolTip(
            self.tr("It costs what a download costs. Without it such files are compared by size.")
        )
        layout.addWidget(self._read_whole)
        self._extra.setObjectName("compare_extra")
        self._extra.setVisible(self._local is not None and self._is_folder)
        self._extra.setChecked(self._local is not None and self._is_folder)
        layout.addWidget(self._extra)
        box = QDialogButtonBox()
        self._go.setObjectName("compare_go")
        self._go.setDefault(True)
        box.addButton(self._go, QDialogButtonBox.ButtonRole.AcceptRole)
        box.addButton(QDialogButtonBox.StandardButton.Cancel)
        box.accepted.connect(self.accept)
        box.rejected.connect(self.reject)
        layout.addWidget(box)

    @Slot()
    def _on_place_changed(self) -> None:
        if self._local is None:
            return
        path = self._place.text()
        is_there = bool(path) and (Path(path).is_dir() if self._is_folder else Path(path).is_file())
        self._go.setEnabled(is_there)
        missing = self.tr("There is no such folder.") if self._is_folder else self.tr("There is no such file.")
        self._problem.setText("" if is_there or not path else missing)

    @Slot()
    def _on_browse(self) -> None:
        chooser = QFileDialog(self, self.tr("Verify Against"), self._place.text())
        chooser.setFileMode(QFileDialog.FileMode.Directory if self._is_folder else QFileDialog.FileMode.ExistingFile)
        chooser.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        chooser.fileSelected.connect(self._place.setText)
        chooser.open()

    @Slot()
    def _on_accepted(self) -> None:
        path = str(Path(self._place.text()).absolute()) if self._local is not None else ""
        self.comparison_wanted.emit(path, self._read_whole.isChecked(), self._extra.isChecked())
