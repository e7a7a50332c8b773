"""What is known of a file or folder; a folder's size is counted while the dialog is open."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, Slot
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QFormLayout, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from kegbrowser.backends.base import ListEntry
from kegbrowser.backends.errors import StorageError
from kegbrowser.backends.locations import RemotePath
from kegbrowser.models.formats import number_text, size_text, time_text
from kegbrowser.models.shown_names import shown_name
from kegbrowser.services.operations import FileOperations, Operation
from kegbrowser.transfer.events import Counted
from kegbrowser.ui import icons


class PropertiesDialog(QDialog):
    """Use `show()`: several may be open. GUI thread only.

    Args:
        path: what it is about.
        address: its URL.
        operations: where the facts come from.
    """

    def __init__(self, path: RemotePath, address: str, operations: FileOperations, parent: QWidget) -> None:
        super().__init__(parent)
        self._operations = operations
        self.setObjectName("properties_dialog")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        name = shown_name(path.name) if not path.is_root else address
        self.setWindowTitle(self.tr("Properties of %s") % name)
        icon = QLabel()
        icon.setPixmap(icons.file_icon(path.name, path.is_folder).pixmap(QSize(40, 40), self.devicePixelRatioF()))
        title = QLabel(name)
        title.setObjectName("heading")
        title.setWordWrap(True)
        title.setTextFormat(Qt.TextFormat.PlainText)
        head = QHBoxLayout()
        head.setSpacing(12)
        head.addWidget(icon)
        head.addWidget(title, 1)
        self._form = QFormLayout()
        self._form.setLabelAlignment(Qt.AlignmentFlag.AlignRight)
        self._form.setHorizontalSpacing(14)
        self._add(self.tr("Address"), address)
        self._size = self._add(self.tr("Size"), self.tr("Counting…") if path.is_folder else "…")
        self._facts = self._add("", self.tr("Asking the server…"))
        box = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        box.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 18, 20, 14)
        layout.setSpacing(14)
        layout.addLayout(head)
        layout.addLayout(self._form)
        layout.addStretch(1)
        layout.addWidget(box)
        self.resize(480, 320)
        operations.operation_finished.connect(self._on_operation_finished)
        operations.operation_failed.connect(self._on_operation_failed)
        operations.operation_progressed.connect(self._on_operation_progressed)
        self._count = operations.count((path,)) if path.is_folder else None
        self._describe = None if path.is_root else operations.describe(path)
        if self._describe is None:
            self._form.removeRow(self._facts)

    def done(self, result: int) -> None:
        for operation in (self._count, self._describe):
            if operation is not None:
                self._operations.cancel(operation)
        super().done(result)

    def _add(self, label: str, text: str) -> QLabel:
        value = QLabel(text)
        value.setWordWrap(True)
        value.setTextFormat(Qt.TextFormat.PlainText)
        value.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self._form.addRow(f"{label}:" if label else "", value)
        return value

    @Slot(object, object)
    def _on_operation_progressed(self, operation: Operation, counted: Counted) -> None:
        if operation == self._count:
            self._size.setText(f"{self._counted_text(counted)}…")

    @Slot(object, object)
    def _on_operation_finished(self, operation: Operation, result: object) -> None:
        if operation == self._count and isinstance(result, Counted):
            self._count = None
            self._size.setText(self._counted_text(result))
        elif operation == self._describe and isinstance(result, ListEntry):
            self._describe = None
            self._show_entry(result)

    @Slot(object, object)
    def _on_operation_failed(self, operation: Operation, error: StorageError) -> None:
        if operation == self._count:
            self._count = None
            self._size.setText(error.message)
        elif operation == self._describe:
            self._describe = None
            self._facts.setText(f"{error.message} {error.hint}".strip())

    def _counted_text(self, counted: Counted) -> str:
        files = self.tr("%1 files, %2 folders").replace("%1", number_text(counted.files))
        return f"{size_text(counted.bytes)} · {files.replace('%2', number_text(counted.folders))}"

    def _show_entry(self, entry: ListEntry) -> None:
        self._form.removeRow(self._facts)
        if not entry.is_folder and entry.size is not None:
            exact = self.tr("%s bytes") % number_text(entry.size)
            self._size.setText(f"{size_text(entry.size)} ({exact})" if entry.size >= 1024 else exact)
        if entry.last_modified is not None:
            self._add(self.tr("Modified"), time_text(entry.last_modified, long=True))
        for label, value in (
            (self.tr("Type"), entry.content_type),
            (self.tr("Permissions"), "" if entry.permissions is None else _mode_text(entry)),
            (self.tr("Owner"), entry.owner),
            (self.tr("Link to"), entry.link_target),
            (self.tr("Storage class"), entry.storage_class),
            (self.tr("Version mark"), entry.etag),
            *entry.extra,
        ):
            if value:
                self._add(label, value)


def _mode_text(entry: ListEntry) -> str:
    assert entry.permissions is not None
    letters = "".join(
        letter if entry.permissions >> (8 - place) & 1 else "-" for place, letter in enumerate("rwxrwxrwx")
    )
    return f"{letters} ({entry.permissions:04o})"
