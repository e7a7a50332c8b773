"""What the actions on connections do: make, change, remove, open by address, trust a host key."""

from __future__ import annotations

from PySide6.QtCore import QObject, Qt, Slot
from PySide6.QtWidgets import QMessageBox

from kegbrowser.backends.errors import (
    AuthenticationFailed,
    HostKeyChanged,
    InvalidOptions,
    StorageError,
    UnknownHostKey,
)
from kegbrowser.backends.locations import Location, RemotePath
from kegbrowser.backends.registry import backend
from kegbrowser.models.folder_tree import FolderTreeModel
from kegbrowser.models.listing import ListingModel, ListingState
from kegbrowser.profiles.connections import Connection
from kegbrowser.services.connections import Connections
from kegbrowser.services.operations import FileOperations, Operation, OperationKind
from kegbrowser.ui.browser import Browser
from kegbrowser.ui.connection_dialog import ConnectionDialog
from kegbrowser.ui.message_bar import Tone
from kegbrowser.ui.navigation import Navigation


class ConnectionCommands(QObject):
    """GUI thread only. Slots are named after the actions that call them."""

    def __init__(
        self,
        browser: Browser,
        connections: Connections,
        operations: FileOperations,
        navigation: Navigation,
        listing: ListingModel,
        tree: FolderTreeModel,
    ) -> None:
        super().__init__(browser)
        self._browser = browser
        self._connections = connections
        self._operations = operations
        self._navigation = navigation
        self._listing = listing
        self._tree = tree
        self._connecting: Operation | None = None
        self._opened_once: set[str] = set()
        self._trusting: str = ""
        browser.address_entered.connect(self.open_address)
        connections.notice_raised.connect(self._on_notice_raised)
        connections.change_failed.connect(self._on_change_failed)
        connections.connection_saved.connect(self._on_connection_saved)
        navigation.folder_changed.connect(self._on_folder_changed)
        operations.operation_finished.connect(connections.take_report)
        operations.operation_finished.connect(self._on_operation_finished)
        operations.operation_failed.connect(self._on_operation_ended)
        operations.operation_cancelled.connect(self._on_operation_ended)
        listing.state_changed.connect(self._on_listing_changed)

    @Slot()
    def new_connection(self) -> None:
        self._open_dialog(ConnectionDialog(self._connections, self._operations, self._browser.window()))

    @Slot()
    def edit_connection(self) -> None:
        connection = self._chosen()
        if connection is not None:
            self.edit(connection)

    def edit(self, connection: Connection) -> None:
        window = self._browser.window()
        self._open_dialog(ConnectionDialog(self._connections, self._operations, window, connection))

    @Slot()
    def remove_connection(self) -> None:
        connection = self._chosen()
        if connection is None:
            return
        box = QMessageBox(self._browser.window())
        box.setObjectName("remove_connection_dialog")
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.setWindowTitle(self.tr("Remove Connection"))
        box.setTextFormat(Qt.TextFormat.PlainText)
        box.setText(self.tr("Remove the connection “%s”?") % connection.name)
        box.setInformativeText(
            self.tr("Its files stay where they are. Its password or key is removed from the keyring.")
        )
        remove = box.addButton(self.tr("Remove"), QMessageBox.ButtonRole.DestructiveRole)
        keep = box.addButton(QMessageBox.StandardButton.Cancel)
        box.setDefaultButton(keep)
        box.setEscapeButton(keep)
        remove.clicked.connect(lambda: self._connections.remove(connection.connection_id))
        box.open()

    @Slot(str)
    def open_address(self, text: str) -> None:
        """Go to a URL or a path: in a connection that holds it, else offer to make one."""
        folder = self._browser.folder
        if "://" not in text and folder is not None:
            self._navigation.go_to(RemotePath.folder(folder.connection_id, text.lstrip("/")))
            return
        try:
            location = Location.parse(text)
        except InvalidOptions as error:
            self._browser.messages.tell(Tone.ERROR, f"{error.message} {error.hint}".strip())
            return
        for connection in self._connections.all():
            if connection.kind != location.scheme:
                continue
            info = backend(connection.kind)
            path = info.match(info.with_defaults(connection.options), location)
            if path is not None:
                self._navigation.go_to(RemotePath.folder(connection.connection_id, path))
                return
        options = backend(location.scheme).from_location(location)
        window = self._browser.window()
        dialog = ConnectionDialog(self._connections, self._operations, window, kind=location.scheme, options=options)
        self._open_dialog(dialog)

    # -- private -----------------------------------------------------------------------------------------------------

    def _chosen(self) -> Connection | None:
        path = self._browser.tree.current_path() or self._browser.folder
        return self._connections.get(path.connection_id) if path is not None else None

    def _open_dialog(self, dialog: ConnectionDialog) -> None:
        dialog.host_key_asked.connect(self._on_host_key_asked_by_dialog)
        dialog.open()

    @Slot(object)
    def _on_folder_changed(self, folder: RemotePath | None) -> None:
        """Ask once for each connection what it can do, and where it begins."""
        if folder is None or self._connections.capabilities(folder.connection_id) is not None:
            return
        if self._connecting is None or self._connecting.path.connection_id != folder.connection_id:
            self._connecting = self._operations.connect_to(folder.connection_id)

    @Slot(object, object)
    def _on_operation_finished(self, operation: Operation, _result: object) -> None:
        if operation.kind is not OperationKind.CONNECT:
            return
        self._on_operation_ended(operation)
        connection_id = operation.path.connection_id
        home = self._connections.home(connection_id)
        folder = self._browser.folder
        first_time = connection_id not in self._opened_once
        self._opened_once.add(connection_id)
        if first_time and home and folder == RemotePath.folder(connection_id):
            self._navigation.go_to(RemotePath.folder(connection_id, home))
        self._browser.state_changed.emit()

    @Slot(object)
    @Slot(object, object)
    def _on_operation_ended(self, operation: Operation, _error: object = None) -> None:
        """However it ended: the next visit to the connection may ask again."""
        if operation == self._connecting:
            self._connecting = None

    @Slot()
    def _on_listing_changed(self) -> None:
        error, folder = self._listing.error, self._listing.folder
        if self._listing.state is not ListingState.FAILED or error is None or folder is None:
            return
        connection = self._connections.get(folder.connection_id)
        if isinstance(error, UnknownHostKey):
            self._ask_to_trust(error, folder.connection_id)
        elif isinstance(error, (AuthenticationFailed, InvalidOptions)) and connection is not None:
            self._browser.messages.tell(
                Tone.ERROR,
                f"{error.message} {error.hint}".strip(),
                action=self.tr("Edit Connection…"),
                act=lambda: self.edit(connection),
            )
        elif self._listing.rowCount():
            self._browser.messages.tell(
                Tone.ERROR,
                f"{error.message} {error.hint}".strip(),
                action=self.tr("Try Again"),
                act=self._listing.refresh,
            )

    def _ask_to_trust(self, error: UnknownHostKey, connection_id: str, dialog: ConnectionDialog | None = None) -> None:
        if self._trusting == error.fingerprint:
            return  # the question is open already: several listings met the same key
        self._trusting = error.fingerprint
        box = QMessageBox(dialog or self._browser.window())
        box.setObjectName("host_key_dialog")
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        changed = isinstance(error, HostKeyChanged)
        box.setIcon(QMessageBox.Icon.Critical if changed else QMessageBox.Icon.Question)
        box.setWindowTitle(self.tr("Server's Key Has Changed") if changed else self.tr("Unknown Server"))
        box.setTextFormat(Qt.TextFormat.PlainText)
        box.setText(error.message)
        box.setInformativeText(f"{error.key_type}\n{error.fingerprint}\n\n{error.hint}")
        text = self.tr("Trust the New Key") if changed else self.tr("Trust and Connect")
        trust = box.addButton(text, QMessageBox.ButtonRole.AcceptRole)
        trust.setObjectName("trust_host_key")
        leave = box.addButton(QMessageBox.StandardButton.Cancel)
        box.setDefaultButton(leave)
        box.setEscapeButton(leave)
        line = f"{error.host} {error.key_type} {error.key_base64}"
        if dialog is not None:
            trust.clicked.connect(lambda: dialog.trust_host_key(line))
        else:
            trust.clicked.connect(lambda: self._connections.accept_host_key(connection_id, line))
        box.finished.connect(self._on_trust_answered)
        box.open()

    @Slot(int)
    def _on_trust_answered(self, _result: int) -> None:
        self._trusting = ""

    @Slot(object)
    def _on_host_key_asked_by_dialog(self, error: UnknownHostKey) -> None:
        dialog = self.sender()
        if isinstance(dialog, ConnectionDialog):
            self._ask_to_trust(error, "", dialog)

    @Slot(object)
    def _on_connection_saved(self, connection: Connection) -> None:
        folder = self._browser.folder
        self._opened_once.discard(connection.connection_id)
        if folder is not None and folder.connection_id == connection.connection_id:
            self._connecting = self._operations.connect_to(connection.connection_id)
            self._listing.refresh()
            self._tree.refresh(RemotePath.folder(connection.connection_id))
        else:
            self._navigation.go_to(RemotePath.folder(connection.connection_id))

    @Slot(str)
    def _on_notice_raised(self, text: str) -> None:
        self._browser.messages.tell(Tone.WARNING, text)

    @Slot(object)
    def _on_change_failed(self, error: StorageError) -> None:
        self._browser.messages.tell(Tone.ERROR, f"{error.message} {error.hint}".strip())
