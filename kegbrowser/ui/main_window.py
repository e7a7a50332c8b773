"""The window: composes the views, the panel, the menus and the commands; does nothing itself."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QByteArray, QPoint, Qt, Signal, Slot
from PySide6.QtGui import QActionGroup, QCloseEvent
from PySide6.QtWidgets import QMainWindow, QMenu, QMessageBox, QSplitter, QWidget

from kegbrowser import __version__
from kegbrowser.backends.errors import StorageError
from kegbrowser.models.listing import ListingModel
from kegbrowser.profiles.settings import Settings
from kegbrowser.services.transfer import Transfer, TransferKind, TransferState
from kegbrowser.services.transfers import TransferQueue
from kegbrowser.ui.actions import Actions
from kegbrowser.ui.browser import Browser
from kegbrowser.ui.check_commands import CheckCommands
from kegbrowser.ui.connection_commands import ConnectionCommands
from kegbrowser.ui.file_commands import FileCommands
from kegbrowser.ui.message_bar import Tone
from kegbrowser.ui.navigation import Navigation
from kegbrowser.ui.transfer_panel import TransferPanel

_MENUS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "&File",
        ("new_connection", "edit_connection", "remove_connection", "", "upload_files", "upload_folder", "download",
         "download_to", "", "new_folder", "properties", "", "quit"),
    ),
    ("&Edit", ("cut", "copy", "paste", "copy_path", "", "rename", "delete", "", "select_all", "filter", "", "settings")),
    ("&View", ("refresh", "stop", "", "show_hidden", "show_transfers", "")),
    ("&Go", ("back", "forward", "up", "", "edit_location")),
    ("&Tools", ("compare", "", "save_manifest", "check_manifest", "", "clean_uploads", "clean_downloads")),
    ("&Help", ("about",)),
)  # fmt: skip

_CONTENTS_MENU = ("open", "", "download", "download_to", "", "cut", "copy", "paste", "copy_path", "", "rename", "delete",
                  "", "compare", "properties")  # fmt: skip
_FOLDER_MENU = ("upload_files", "upload_folder", "new_folder", "", "paste", "copy_path", "select_all", "", "compare",
                "save_manifest", "check_manifest", "", "refresh", "properties")  # fmt: skip
_TREE_MENU = ("upload_files", "upload_folder", "new_folder", "", "download", "download_to", "copy_path", "", "rename",
              "delete", "", "compare", "save_manifest", "check_manifest", "", "refresh", "properties")  # fmt: skip
_CONNECTION_MENU = ("edit_connection", "remove_connection", "", "upload_files", "upload_folder", "new_folder", "",
                    "copy_path", "clean_uploads", "refresh", "properties", "", "new_connection")  # fmt: skip


class MainWindow(QMainWindow):
    """GUI thread only. Everything it shows is handed in."""

    closing = Signal()
    settings_wanted = Signal()
    theme_chosen = Signal(str)  # "system", "light", "dark"

    def __init__(
        self,
        browser: Browser,
        panel: TransferPanel,
        actions: Actions,
        navigation: Navigation,
        listing: ListingModel,
        queue: TransferQueue,
    ) -> None:
        super().__init__()
        self.setObjectName("main_window")
        self.setWindowTitle("Kegbrowser")
        self._browser = browser
        self._panel = panel
        self._actions = actions
        self._navigation = navigation
        self._listing = listing
        self._queue = queue
        self._may_close = False
        self._splitter = QSplitter(Qt.Orientation.Vertical)
        self._splitter.setChildrenCollapsible(False)
        self._splitter.setHandleWidth(1)
        self._splitter.addWidget(browser)
        self._splitter.addWidget(panel)
        self._splitter.setStretchFactor(0, 1)
        self._splitter.setSizes([560, 190])
        self.setCentralWidget(self._splitter)
        self.addActions(actions.all())
        self._build_menus()
        self.resize(1180, 760)
        for view, slot in ((browser.contents, self._on_contents_menu), (browser.tree, self._on_tree_menu)):
            view.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
            view.customContextMenuRequested.connect(slot)
        browser.state_changed.connect(self._on_state_changed)
        navigation.folder_changed.connect(self._on_folder_changed)
        queue.transfer_added.connect(self._on_transfer_added)
        queue.transfer_ended.connect(self._on_transfer_ended)
        queue.trouble_met.connect(self._on_trouble_met)
        panel.details_wanted.connect(self._on_details_wanted)
        panel.hide()

    def bind(self, files: FileCommands, connections: ConnectionCommands, checks: CheckCommands) -> None:
        """Connect the actions with what they do."""
        verbs: dict[str, Callable[[], object]] = {
            "quit": self.close,
            "back": self._navigation.go_back,
            "forward": self._navigation.go_forward,
            "up": self._navigation.go_up,
            "refresh": self._listing.refresh,
            "stop": self._listing.stop,
            "edit_location": self._browser.path_bar.edit,
            "filter": self._browser.focus_filter,
            "open": self._on_open,
            "about": self._on_about,
            "settings": self.settings_wanted.emit,
        }
        for key in ("new_connection", "edit_connection", "remove_connection"):
            verbs[key] = getattr(connections, key)
        for key in ("upload_files", "upload_folder", "download", "download_to", "new_folder", "rename", "delete", "cut",
                    "copy", "paste", "copy_path", "select_all", "properties"):  # fmt: skip
            verbs[key] = getattr(files, key)
        for key in ("compare", "save_manifest", "check_manifest", "clean_uploads", "clean_downloads"):
            verbs[key] = getattr(checks, key)
        self._panel.verify_wanted.connect(checks.verify_transfer)
        for key, verb in verbs.items():
            self._actions[key].triggered.connect(verb)
        self._actions["show_hidden"].toggled.connect(self._listing.set_show_hidden)
        self._actions["show_transfers"].toggled.connect(self._panel.setVisible)
        for theme in ("system", "light", "dark"):
            self._actions[f"theme_{theme}"].triggered.connect(self._on_theme_triggered)
        self._on_state_changed()

    def restore(self, settings: Settings) -> None:
        """Look as it did when the program was last closed."""
        for text, restore in (
            (settings.window_geometry, self.restoreGeometry),
            (settings.window_splitter, self._browser.splitter.restoreState),
            (settings.transfers_splitter, self._splitter.restoreState),
        ):
            if text:
                restore(QByteArray.fromBase64(text.encode("ascii", "replace")))
        self._actions["show_hidden"].setChecked(settings.show_hidden)
        self._actions[f"theme_{settings.theme}"].setChecked(True)

    def state(self) -> dict[str, object]:
        """What `restore` wants to know next time, as fields of Settings."""
        return {
            "window_geometry": _base64(self.saveGeometry()),
            "window_splitter": _base64(self._browser.splitter.saveState()),
            "transfers_splitter": _base64(self._splitter.saveState()),
            "show_hidden": self._actions["show_hidden"].isChecked(),
        }

    def retint(self) -> None:
        """Take the icons of the theme that is in force now."""
        self._actions.retint()
        self._browser.retint()
        self._panel.retint()

    def closeEvent(self, event: QCloseEvent) -> None:
        if self._may_close or not self._queue.is_busy():
            self.closing.emit()
            event.accept()
            return
        event.ignore()
        self._ask_to_quit()

    # -- private -----------------------------------------------------------------------------------------------------

    def _build_menus(self) -> None:
        themes = QActionGroup(self)
        for title, keys in _MENUS:
            menu = self.menuBar().addMenu(self.tr(title))
            self._fill(menu, keys)
            if title == "&View":
                appearance = menu.addMenu(self.tr("Appearance"))
                for theme in ("theme_system", "theme_light", "theme_dark"):
                    themes.addAction(self._actions[theme])
                    appearance.addAction(self._actions[theme])

    def _fill(self, menu: QMenu, keys: tuple[str, ...]) -> QMenu:
        for key in keys:
            if key:
                menu.addAction(self._actions[key])
            else:
                menu.addSeparator()
        return menu

    def _pop_up(self, keys: tuple[str, ...], view: QWidget, point: QPoint) -> None:
        self._on_state_changed()
        menu = self._fill(QMenu(self), keys)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(view.mapToGlobal(point))

    def _ask_to_quit(self) -> None:
        box = QMessageBox(self)
        box.setObjectName("quit_dialog")
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.setIcon(QMessageBox.Icon.Question)
        box.setWindowTitle(self.tr("Quit"))
        box.setText(self.tr("Transfers are still running. Quit all the same?"))
        if self._queue.would_lose():
            box.setInformativeText(
                self.tr("What deletes, renames or compares stops where it is; all else goes on at the next start.")
            )
        else:
            box.setInformativeText(self.tr("They go on where they are when Kegbrowser starts again."))
        stop = box.addButton(self.tr("Quit"), QMessageBox.ButtonRole.DestructiveRole)
        box.setDefaultButton(box.addButton(QMessageBox.StandardButton.Cancel))
        stop.clicked.connect(self._on_quit_confirmed)
        box.open()

    @Slot()
    def _on_quit_confirmed(self) -> None:
        self._may_close = True
        self.close()

    @Slot()
    def _on_open(self) -> None:
        rows = self._browser.contents.selected_rows()
        if len(rows) == 1:
            self._browser.contents.opened.emit(rows[0])

    @Slot()
    def _on_about(self) -> None:
        box = QMessageBox(self)
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.setWindowTitle(self.tr("About Kegbrowser"))
        box.setIconPixmap(self.windowIcon().pixmap(64, 64))
        box.setText(f"<b>Kegbrowser {__version__}</b>")
        box.setInformativeText(self.tr("A file browser for Amazon S3, Azure Blob and SFTP.\nApache License 2.0"))
        box.open()

    @Slot()
    def _on_theme_triggered(self) -> None:
        for theme in ("system", "light", "dark"):
            if self._actions[f"theme_{theme}"].isChecked():
                self.theme_chosen.emit(theme)

    @Slot()
    def _on_state_changed(self) -> None:
        self._actions.enable(self._browser.met_needs())

    @Slot(object)
    def _on_folder_changed(self, folder: object) -> None:
        self.setWindowTitle(self._browser.title())

    @Slot(object)
    def _on_transfer_added(self, transfer: Transfer) -> None:
        if transfer.kind not in (TransferKind.RENAME, TransferKind.DELETE):
            self._actions["show_transfers"].setChecked(True)
            self._panel.show()

    @Slot(object)
    def _on_trouble_met(self, error: StorageError) -> None:
        self._browser.messages.tell(Tone.WARNING, f"{error.message} {error.hint}".strip())

    @Slot(object)
    def _on_transfer_ended(self, transfer: Transfer) -> None:
        """Say what went wrong where the user looks, when the panel does not show it."""
        if transfer.state is TransferState.FAILED and transfer.error is not None:
            text = f"{transfer.error.message} {transfer.error.hint}".strip()
        elif transfer.state is TransferState.INCOMPLETE and transfer.failures:
            text = transfer.failures[0].error.message
            more = (transfer.report.files_failed if transfer.report is not None else len(transfer.failures)) - 1
            if more:
                is_check = transfer.kind in (TransferKind.VERIFY, TransferKind.CHECK)
                text += " " + (self.tr("%s more are not the same.") if is_check else self.tr("%s more failed.")) % more
        else:
            return
        self._browser.messages.tell(
            Tone.ERROR, text, action=self.tr("Show"), act=lambda: self._actions["show_transfers"].setChecked(True)
        )

    @Slot(object)
    def _on_details_wanted(self, transfer: Transfer) -> None:
        box = QMessageBox(self)
        box.setObjectName("transfer_details")
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.setWindowTitle(self.tr("Transfer"))
        box.setTextFormat(Qt.TextFormat.PlainText)
        model = self._panel.table.model()
        box.setText(model.title(transfer))  # type: ignore[attr-defined]  # a TransfersModel
        box.setInformativeText(model.status(transfer))  # type: ignore[attr-defined]
        lines = [f"{failure.path}: {failure.error.message}" for failure in transfer.failures]
        if lines:
            box.setDetailedText("\n".join(lines))
        box.open()

    @Slot(QPoint)
    def _on_contents_menu(self, point: QPoint) -> None:
        view = self._browser.contents
        view.setFocus()
        self._pop_up(_CONTENTS_MENU if view.selected_count() else _FOLDER_MENU, view.viewport(), point)

    @Slot(QPoint)
    def _on_tree_menu(self, point: QPoint) -> None:
        tree = self._browser.tree
        tree.setFocus()
        path = tree.current_path()
        self._pop_up(_CONNECTION_MENU if path is None or path.is_root else _TREE_MENU, tree.viewport(), point)


def _base64(content: QByteArray) -> str:
    return bytes(content.toBase64().data()).decode("ascii")
