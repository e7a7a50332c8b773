"""Make or change a connection: choose a kind, fill in its form, test it, save it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from PySide6.QtCore import QSize, Qt, Signal, Slot
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QScrollArea,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from kegbrowser.backends.errors import StorageError, UnknownHostKey
from kegbrowser.backends.registry import BackendInfo, ConnectionSpec, backend, backends
from kegbrowser.profiles.connections import Connection
from kegbrowser.services.connections import Connections
from kegbrowser.services.operations import FileOperations, Operation
from kegbrowser.transfer.events import ConnectionReport
from kegbrowser.ui import icons
from kegbrowser.ui.option_form import OptionForm

HIDDEN_KINDS = frozenset({"memory"})


class ConnectionDialog(QDialog):
    """For a new connection, or for one that is there. Use `open()`. GUI thread only.

    Args:
        connections: saves it.
        operations: tests it.
        connection: to change; None for a new one.
        options: to begin with (from an address).
        kind: to begin with.
    """

    host_key_asked = Signal(object)  # UnknownHostKey: the test met a key that is not trusted

    def __init__(
        self,
        connections: Connections,
        operations: FileOperations,
        parent: QWidget,
        connection: Connection | None = None,
        kind: str = "s3",
        options: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(parent)
        self._connections = connections
        self._operations = operations
        self._connection = connection
        self._host_keys: tuple[str, ...] = connection.host_keys if connection is not None else ()
        self._test: Operation | None = None
        self._name_is_ours = connection is None
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setObjectName("connection_dialog")
        self.setWindowTitle(self.tr("New Connection") if connection is None else self.tr("Edit Connection"))
        self._infos = [info for info in backends().values() if info.kind not in HIDDEN_KINDS]
        self._forms = [OptionForm(info) for info in self._infos]
        self._kinds = self._kind_list()
        self._name = QLineEdit()
        self._name.setObjectName("connection_name")
        self._name.textEdited.connect(self._on_name_edited)
        self._description = QLabel()
        self._description.setWordWrap(True)
        self._description.setObjectName("hint")
        self._stack = QStackedWidget()
        self._result = QLabel()
        self._lay_out()
        for form in self._forms:
            form.changed.connect(self._on_form_changed)
        operations.operation_finished.connect(self._on_operation_finished)
        operations.operation_failed.connect(self._on_operation_failed)
        connections.change_failed.connect(self._on_change_failed)
        connections.connection_saved.connect(self._on_connection_saved)
        self._begin(connection.kind if connection is not None else kind, options)

    # -- building ----------------------------------------------------------------------------------------------------

    def _kind_list(self) -> QListWidget:
        kinds = QListWidget()
        kinds.setObjectName("connection_kinds")
        kinds.setAccessibleName(self.tr("Kind of storage"))
        kinds.setIconSize(QSize(24, 24))
        kinds.setFixedWidth(240)
        for info in self._infos:
            item = QListWidgetItem(icons.icon(info.icon), self.tr(info.label))
            item.setSizeHint(QSize(0, 44))
            kinds.addItem(item)
        kinds.currentRowChanged.connect(self._on_kind_chosen)
        return kinds

    def _lay_out(self) -> None:
        for form in self._forms:
            area = QScrollArea()
            area.setWidgetResizable(True)
            area.setFrameShape(QFrame.Shape.NoFrame)
            area.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # it follows the field that has the focus
            area.setWidget(form)
            self._stack.addWidget(area)
        self._result.setWordWrap(True)
        self._result.setTextFormat(Qt.TextFormat.PlainText)
        self._result.setObjectName("test_result")
        self._result.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._result.setMinimumHeight(44)
        self._result.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        name_row = QHBoxLayout()
        label = QLabel(self.tr("Name"))
        label.setBuddy(self._name)
        label.setMinimumWidth(120)
        label.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        name_row.setSpacing(12)
        name_row.addWidget(label)
        name_row.addWidget(self._name)
        right = QVBoxLayout()
        right.setSpacing(12)
        right.addWidget(self._description)
        right.addLayout(name_row)
        right.addWidget(self._stack, 1)
        right.addWidget(self._result)
        middle = QHBoxLayout()
        middle.setSpacing(18)
        middle.addWidget(self._kinds)
        middle.addLayout(right, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(18, 18, 18, 14)
        layout.setSpacing(12)
        layout.addLayout(middle, 1)
        layout.addWidget(self._button_row())
        self.resize(760, 560)

    def _button_row(self) -> QDialogButtonBox:
        box = QDialogButtonBox(QDialogButtonBox.StandardButton.Save | QDialogButtonBox.StandardButton.Cancel)
        self._test_button = QPushButton(self.tr("Test Connection"))
        self._test_button.setObjectName("test_connection")
        self._test_button.setAutoDefault(False)
        self._test_button.clicked.connect(self._on_test_clicked)
        box.addButton(self._test_button, QDialogButtonBox.ButtonRole.ActionRole)
        box.button(QDialogButtonBox.StandardButton.Cancel).setAutoDefault(False)
        self._save_button = box.button(QDialogButtonBox.StandardButton.Save)
        self._save_button.setObjectName("save_connection")
        self._save_button.setDefault(True)
        box.accepted.connect(self._on_save_clicked)
        box.rejected.connect(self.reject)
        return box

    def _begin(self, kind: str, options: Mapping[str, str] | None) -> None:
        row = next((row for row, info in enumerate(self._infos) if info.kind == kind), 0)
        self._kinds.setCurrentRow(row)
        if self._connection is None:
            if options:
                self._forms[row].set_options(options)
            self._on_form_changed()
            return
        self._kinds.setEnabled(False)  # another kind would be another connection
        self._name.setText(self._connection.name)
        self._forms[row].set_options(self._connection.options)
        if self._connection.secret_keys:
            self._forms[row].set_secrets_pending(True)
            self._say(self.tr("Reading the saved secrets…"))
        self._connections.options_ready.connect(self._on_options_ready)
        self._connections.read_options(self._connection)

    # -- what is in the form -----------------------------------------------------------------------------------------

    @property
    def form(self) -> OptionForm:
        return self._forms[self._kinds.currentRow()]

    @property
    def info(self) -> BackendInfo:
        return self._infos[self._kinds.currentRow()]

    def _spec(self) -> ConnectionSpec:
        options = self.form.options()
        if self._host_keys:
            options["host_keys"] = "\n".join(self._host_keys)
        connection_id = self._connection.connection_id if self._connection is not None else "new"
        return ConnectionSpec(f"test-{connection_id}", self.info.kind, self._name.text().strip(), options)

    def trust_host_key(self, line: str) -> None:
        """Go on with a host key that the user accepted: it is saved with the connection; the test runs again."""
        self._host_keys = (*self._host_keys, line)
        self._on_test_clicked()

    def _is_complete(self) -> bool:
        missing = self.form.missing()
        if missing is not None:
            self._say(self.tr("Fill in “%s”.") % self.tr(missing.label), "warning")
            self.form.focus_field(missing.key)
            return False
        if not self._name.text().strip():
            self._say(self.tr("Give the connection a name."), "warning")
            self._name.setFocus()
            return False
        return True

    def _say(self, text: str, tone: str = "") -> None:
        self._result.setText(text)
        self._result.setProperty("tone", tone)
        self._result.style().unpolish(self._result)
        self._result.style().polish(self._result)

    # -- slots -------------------------------------------------------------------------------------------------------

    @Slot(int)
    def _on_kind_chosen(self, row: int) -> None:
        self._stack.setCurrentIndex(row)
        self._description.setText(self.tr(self._infos[row].description))
        self._say("")
        self._on_form_changed()

    @Slot()
    def _on_form_changed(self) -> None:
        if self._name_is_ours:
            self._name.setText(self.info.suggest_name(self.form.options()))

    @Slot(str)
    def _on_name_edited(self, text: str) -> None:
        self._name_is_ours = not text

    @Slot(object)
    def _on_options_ready(self, options: Mapping[str, str]) -> None:
        self._connections.options_ready.disconnect(self._on_options_ready)
        self.form.set_options(options)
        self.form.set_secrets_pending(False)
        self._say("")

    @Slot()
    def _on_test_clicked(self) -> None:
        if not self._is_complete():
            return
        if self._test is not None:
            self._operations.cancel(self._test)
        spec = self._spec()
        self._say(self.tr("Connecting…"))
        self._test_button.setEnabled(False)
        self._test = self._operations.test(lambda: spec)

    def _end_test(self) -> None:
        self._test = None
        self._test_button.setEnabled(True)
        self._test_button.setFocus()

    @Slot(object, object)
    def _on_operation_finished(self, operation: Operation, report: ConnectionReport) -> None:
        if operation == self._test:
            self._end_test()
            self._say(report.message, "success")

    @Slot(object, object)
    def _on_operation_failed(self, operation: Operation, error: StorageError) -> None:
        if operation != self._test:
            return
        self._end_test()
        self._say(f"{error.message} {error.hint}".strip(), "error")
        if isinstance(error, UnknownHostKey):
            self.host_key_asked.emit(error)

    @Slot()
    def _on_save_clicked(self) -> None:
        if not self._is_complete():
            return
        options = self.form.options()
        name = self._name.text().strip()
        try:
            self.info.complete(options)
        except StorageError as error:
            self._say(f"{error.message} {error.hint}".strip(), "error")
            return
        if self._connection is None:
            self._connection = Connection.new(self.info.kind, name, options)
        self._connection = replace(self._connection, name=name, host_keys=self._host_keys)
        self._save_button.setEnabled(False)
        self._say(self.tr("Saving…"))
        self._connections.save(self._connection, options)

    @Slot(object)
    def _on_connection_saved(self, connection: Connection) -> None:
        if self._connection is not None and connection.connection_id == self._connection.connection_id:
            self.accept()

    @Slot(object)
    def _on_change_failed(self, error: StorageError) -> None:
        self._save_button.setEnabled(True)
        self._say(f"{error.message} {error.hint}".strip(), "error")

    def done(self, result: int) -> None:
        if self._test is not None:
            self._operations.cancel(self._test)
            self._test = None
        super().done(result)


def label_of(kind: str) -> str:
    """What a kind of storage is called."""
    return backend(kind).label
