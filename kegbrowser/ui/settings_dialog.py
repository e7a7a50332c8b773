"""How transfers are made if nothing else is asked for."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from kegbrowser.profiles.settings import Settings


class SettingsDialog(QDialog):
    """Use `open()`; `settings_chosen` follows if it is confirmed. GUI thread only.

    Args:
        settings: as they are.
        system_folder: where "Download" goes while no folder is set.
    """

    settings_chosen = Signal(object)  # dict: what to change, as fields of Settings

    def __init__(self, settings: Settings, system_folder: str, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("settings_dialog")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(self.tr("Settings"))
        self._folder = QLineEdit(settings.download_folder)
        self._folder.setObjectName("settings_folder")
        self._folder.setPlaceholderText(system_folder)
        self._policy = self._choice(
            "settings_policy",
            (
                ("ask", self.tr("Ask")),
                ("skip", self.tr("Skip it")),
                ("rename", self.tr("Keep both")),
                ("overwrite", self.tr("Overwrite it")),
                ("overwrite-if-newer", self.tr("Overwrite it if the new one is newer")),
                ("overwrite-if-different", self.tr("Overwrite it if size or time is different")),
                ("resume", self.tr("Resume it if it is a beginning, else ask")),
            ),
            settings.conflict_policy,
        )
        self._links = self._choice(
            "settings_links",
            (
                ("follow-files", self.tr("Follow those to files, report those to folders")),
                ("follow", self.tr("Follow them all")),
                ("recreate", self.tr("Make them again as links, where the target can")),
                ("skip", self.tr("Leave them out")),
            ),
            settings.links,
        )
        self._permissions = QCheckBox(self.tr("&Keep permissions, where both sides have such"))
        self._permissions.setObjectName("settings_permissions")
        self._permissions.setChecked(settings.keep_permissions)
        self._lay_out()
        self.accepted.connect(self._on_accepted)

    def _choice(self, name: str, choices: tuple[tuple[str, str], ...], current: str) -> QComboBox:
        combo = QComboBox()
        combo.setObjectName(name)
        for value, text in choices:
            combo.addItem(text, value)
        combo.setCurrentIndex(max(0, combo.findData(current)))
        return combo

    def _lay_out(self) -> None:
        browse = QPushButton(self.tr("&Choose…"))
        browse.setAutoDefault(False)
        browse.clicked.connect(self._on_browse)
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self._folder, 1)
        row.addWidget(browse)
        form = QFormLayout()
        form.setLabelAlignment(Qt.AlignmentFlag.AlignRight)
        form.setHorizontalSpacing(14)
        form.setVerticalSpacing(10)
        form.addRow(self.tr("&Download folder:"), row)
        form.addRow(self.tr("If a file is &there already:"), self._policy)
        form.addRow(self.tr("Symbolic &links:"), self._links)
        form.addRow("", self._permissions)
        for field, text in (
            (self._folder, self.tr("Download folder")),
            (self._policy, self.tr("If a file is there already")),
            (self._links, self.tr("Symbolic links")),
        ):
            field.setAccessibleName(text)
        label = form.labelForField(row)
        if label is not None:
            label.setBuddy(self._folder)  # type: ignore[attr-defined]  # a QLabel
        box = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        box.accepted.connect(self.accept)
        box.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 18, 20, 16)
        layout.setSpacing(16)
        layout.addLayout(form)
        layout.addWidget(box)
        self.resize(600, self.sizeHint().height())

    @Slot()
    def _on_browse(self) -> None:
        chooser = QFileDialog(self, self.tr("Download Folder"), self._folder.text() or self._folder.placeholderText())
        chooser.setFileMode(QFileDialog.FileMode.Directory)
        chooser.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        chooser.fileSelected.connect(self._folder.setText)
        chooser.open()

    @Slot()
    def _on_accepted(self) -> None:
        typed = self._folder.text().strip()
        self.settings_chosen.emit(
            {
                "download_folder": str(Path(typed).expanduser().absolute()) if typed else "",
                "conflict_policy": self._policy.currentData(),
                "links": self._links.currentData(),
                "keep_permissions": self._permissions.isChecked(),
            }
        )
