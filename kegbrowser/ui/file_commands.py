"""What the actions on files do: each a short verb that calls a service."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QObject, QStandardPaths, Qt, Slot
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFileDialog, QInputDialog

from kegbrowser.backends.errors import Cancelled, StorageError
from kegbrowser.backends.locations import RemotePath
from kegbrowser.models.listing import ListingModel
from kegbrowser.models.shown_names import as_plain, shown_name
from kegbrowser.services.operations import FileOperations, Operation, OperationKind
from kegbrowser.services.transfers import TransferQueue
from kegbrowser.ui import drops
from kegbrowser.ui.browser import Browser
from kegbrowser.ui.drops import Dropped
from kegbrowser.ui.message_bar import Tone
from kegbrowser.ui.navigation import Navigation
from kegbrowser.ui.properties_dialog import PropertiesDialog


class FileCommands(QObject):
    """GUI thread only. Slots are named after the actions that call them.

    Args:
        download_folder: where "Download" goes; "" for the system's.
    """

    def __init__(
        self,
        browser: Browser,
        listing: ListingModel,
        navigation: Navigation,
        queue: TransferQueue,
        operations: FileOperations,
        download_folder: str,
    ) -> None:
        super().__init__(browser)
        self._browser = browser
        self._listing = listing
        self._navigation = navigation
        self._queue = queue
        self._operations = operations
        self._download_folder = download_folder or system_download_folder()
        self._select_after: tuple[RemotePath, str] | None = None
        browser.contents.items_dropped.connect(self.take_drop)
        browser.tree.items_dropped.connect(self.take_drop)
        browser.path_bar.dropped_on.connect(self._on_dropped_on_path)
        browser.contents.renamed.connect(self._on_renamed)
        browser.contents.drag_wanted.connect(self._on_contents_drag)
        browser.tree.drag_wanted.connect(self._on_tree_drag)
        operations.operation_failed.connect(self._on_operation_failed)
        operations.operation_finished.connect(self._on_operation_finished)
        listing.state_changed.connect(self._on_listing_changed)

    @property
    def download_folder(self) -> str:
        """Where "Download" goes."""
        return self._download_folder

    def set_download_folder(self, folder: str) -> None:
        """Let "Download" go elsewhere; "" for the system's."""
        self._download_folder = folder or system_download_folder()

    # -- transfers ---------------------------------------------------------------------------------------------------

    @Slot()
    def upload_files(self) -> None:
        chooser = QFileDialog(self._browser, self.tr("Upload Files"))
        chooser.setFileMode(QFileDialog.FileMode.ExistingFiles)
        self._open_upload_chooser(chooser)

    @Slot()
    def upload_folder(self) -> None:
        chooser = QFileDialog(self._browser, self.tr("Upload Folder"))
        chooser.setFileMode(QFileDialog.FileMode.Directory)
        self._open_upload_chooser(chooser)

    @Slot()
    def download(self) -> None:
        self.download_into(self._browser.selected(), self._download_folder)

    @Slot()
    def download_to(self) -> None:
        chosen = self._browser.selected()
        chooser = QFileDialog(self._browser, self.tr("Download to"), self._download_folder)
        chooser.setObjectName("download_to_chooser")
        chooser.setFileMode(QFileDialog.FileMode.Directory)
        chooser.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        chooser.fileSelected.connect(lambda folder: self.download_into(chosen, folder))
        chooser.open()

    def download_into(self, paths: tuple[RemotePath, ...], folder: str) -> None:
        """Bring files and folders into a local folder, which is made if it is missing."""
        if not paths:
            return
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = error.strerror or self.tr("the disk refused")
            self._browser.messages.tell(
                Tone.ERROR, self.tr("Could not make “%1”: %2.").replace("%1", folder).replace("%2", reason)
            )
            return
        self._queue.download(paths, folder)

    @Slot(object, object, object)
    def take_drop(self, dropped: Dropped, target: RemotePath, action: Qt.DropAction) -> None:
        """Carry out a drop or a paste into a folder."""
        if dropped.local_paths:
            self._queue.upload(dropped.local_paths, target)
        if dropped.items:
            self._queue.copy(dropped.items, target, move=action == Qt.DropAction.MoveAction)
        if dropped.foreign:
            self._browser.messages.tell(
                Tone.WARNING,
                self.tr("Only files of this computer can be dropped here. Save the others to a folder first."),
            )

    # -- changes -----------------------------------------------------------------------------------------------------

    @Slot()
    def delete(self) -> None:
        chosen = self._browser.selected()
        if chosen:
            self._queue.delete(chosen)

    @Slot()
    def rename(self) -> None:
        rows = self._browser.contents.selected_rows()
        if self._browser.tree.hasFocus():
            self._rename_in_tree()
        elif len(rows) == 1:
            self._browser.contents.edit_row(rows[0])

    @Slot()
    def new_folder(self) -> None:
        folder = self._browser.folder
        if folder is None:
            return
        dialog = QInputDialog(self._browser)
        dialog.setObjectName("new_folder_dialog")
        dialog.setWindowTitle(self.tr("New Folder"))
        dialog.setLabelText(self.tr("Name of the new folder:"))
        dialog.setTextValue(self._free_name(self.tr("New folder")))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.textValueSelected.connect(lambda name: self._make_folder(folder, name))
        dialog.resize(420, dialog.height())
        dialog.open()

    # -- clipboard ---------------------------------------------------------------------------------------------------

    @Slot()
    def copy(self) -> None:
        self._to_clipboard(is_cut=False)

    @Slot()
    def cut(self) -> None:
        self._to_clipboard(is_cut=True)

    @Slot()
    def paste(self) -> None:
        folder = self._browser.folder
        dropped = drops.read_mime(QGuiApplication.clipboard().mimeData())
        if folder is None or not dropped:
            return
        if dropped.items and any(item.is_folder and folder.is_within(item) for item in dropped.items):
            self._browser.messages.tell(Tone.WARNING, self.tr("A folder cannot be pasted into itself."))
            return
        self.take_drop(dropped, folder, Qt.DropAction.MoveAction if dropped.is_cut else Qt.DropAction.CopyAction)
        if dropped.is_cut:
            QGuiApplication.clipboard().clear()

    @Slot()
    def copy_path(self) -> None:
        folder = self._browser.folder
        paths = self._browser.selected() or ((folder,) if folder is not None else ())
        QGuiApplication.clipboard().setText("\n".join(self._browser.address_of(path) for path in paths))

    @Slot()
    def select_all(self) -> None:
        self._browser.contents.setFocus()
        self._browser.contents.selectAll()

    @Slot()
    def properties(self) -> None:
        folder = self._browser.folder
        for path in self._browser.selected() or ((folder,) if folder is not None else ()):
            dialog = PropertiesDialog(path, self._browser.address_of(path), self._operations, self._browser)
            dialog.show()

    # -- private -----------------------------------------------------------------------------------------------------

    def _open_upload_chooser(self, chooser: QFileDialog) -> None:
        target = self._browser.folder
        if target is None:
            return
        chooser.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        chooser.filesSelected.connect(lambda paths: self._queue.upload(tuple(paths), target))
        chooser.open()

    def _make_folder(self, parent: RemotePath, name: str) -> None:
        if not self._is_usable(name):
            return
        self._select_after = (parent, name)
        self._operations.make_folder(parent, name)

    def _rename_in_tree(self) -> None:
        path = self._browser.tree.current_path()
        if path is None or path.is_root:
            return
        dialog = QInputDialog(self._browser)
        dialog.setObjectName("rename_dialog")
        dialog.setWindowTitle(self.tr("Rename Folder"))
        dialog.setLabelText(as_plain(self.tr("New name of “%s”:") % shown_name(path.name)))
        dialog.setTextValue(path.name)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.textValueSelected.connect(lambda name: self._rename_path(path, name))
        dialog.open()

    def _rename_path(self, path: RemotePath, name: str) -> None:
        parent = path.parent
        if parent is None or name == path.name or not self._is_usable(name):
            return
        if path.is_folder:
            self._navigation.leave(path)
        self._select_after = (parent, name)
        self._queue.rename(path, parent.join(name, is_folder=path.is_folder))

    def _is_usable(self, name: str) -> bool:
        if name and "/" not in name and "\0" not in name:
            return True
        text = (
            self.tr("A name cannot be empty.")
            if not name
            else self.tr("“%s” cannot be a name: it has a “/” in it.") % name
        )
        self._browser.messages.tell(Tone.WARNING, text)
        return False

    def _free_name(self, wanted: str) -> str:
        name, number = wanted, 2
        while self._listing.has_name(name):
            name, number = f"{wanted} {number}", number + 1
        return name

    def _to_clipboard(self, *, is_cut: bool) -> None:
        chosen = self._browser.selected()
        if chosen:
            addresses = tuple(self._browser.address_of(path) for path in chosen)
            QGuiApplication.clipboard().setMimeData(drops.mime_of(chosen, addresses, is_cut=is_cut))

    @Slot()
    def _on_contents_drag(self) -> None:
        chosen = self._browser.contents.selected_paths()
        first = shown_name(chosen[0].name)
        label = (
            first
            if len(chosen) == 1
            else self.tr("%1 and %2 more").replace("%1", first).replace("%2", str(len(chosen) - 1))
        )
        addresses = tuple(self._browser.address_of(path) for path in chosen)
        self._browser.contents.exec_drag(drops.mime_of(chosen, addresses), label)

    @Slot()
    def _on_tree_drag(self) -> None:
        path = self._browser.tree.current_path()
        if path is not None:
            mime = drops.mime_of((path,), (self._browser.address_of(path),))
            self._browser.contents.exec_drag(mime, shown_name(path.name))

    @Slot(object, object)
    def _on_dropped_on_path(self, target: RemotePath, event: object) -> None:
        dropped = drops.read_mime(event.mimeData())  # type: ignore[attr-defined]  # a QDropEvent, sent as an object
        if dropped and drops.can_drop(dropped, target):
            action = drops.action_for(dropped, target, event.modifiers())  # type: ignore[attr-defined]
            event.setDropAction(action)  # type: ignore[attr-defined]
            event.accept()  # type: ignore[attr-defined]
            self.take_drop(dropped, target, action)

    @Slot(int, str)
    def _on_renamed(self, row: int, name: str) -> None:
        self._rename_path(self._listing.path_at(row), name)

    @Slot(object, object)
    def _on_operation_failed(self, operation: Operation, error: StorageError | Cancelled) -> None:
        if operation.kind is OperationKind.MAKE_FOLDER and isinstance(error, StorageError):
            self._select_after = None
            self._browser.messages.tell(Tone.ERROR, f"{error.message} {error.hint}".strip())

    @Slot(object, object)
    def _on_operation_finished(self, operation: Operation, _result: object) -> None:
        if operation.kind is OperationKind.MAKE_FOLDER:
            self._browser.contents.setFocus()

    @Slot()
    def _on_listing_changed(self) -> None:
        """Select what was just made or renamed, once the listing shows it."""
        wanted = self._select_after
        if wanted is not None and self._listing.folder == wanted[0] and self._browser.contents.select_name(wanted[1]):
            self._select_after = None


def system_download_folder() -> str:
    """Where downloads go on this computer."""
    place = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.DownloadLocation)
    return place or str(Path.home())
