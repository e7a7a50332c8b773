"""The composition root of the window: builds everything, hands it in, and shuts it down in order."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

from PySide6.QtCore import QObject, QTimer, Slot
from PySide6.QtWidgets import QApplication

from kegbrowser import __version__
from kegbrowser.backends.locations import RemotePath
from kegbrowser.models.folder_tree import FolderTreeModel
from kegbrowser.models.listing import ListingModel
from kegbrowser.models.transfers import TransfersModel
from kegbrowser.profiles import places, playground
from kegbrowser.profiles.connections import ConnectionStore
from kegbrowser.profiles.secrets import SecretStore
from kegbrowser.profiles.settings import SettingsStore
from kegbrowser.services.connections import Connections
from kegbrowser.services.helper_pool import HelperPool
from kegbrowser.services.items import ItemsReader
from kegbrowser.services.jobs import JobRunner
from kegbrowser.services.leftovers import LeftoverFinder
from kegbrowser.services.lister import DirectoryLister
from kegbrowser.services.operations import FileOperations
from kegbrowser.services.queue_store import QueueStore
from kegbrowser.services.recipes import TransferDefaults
from kegbrowser.services.transfers import TransferQueue
from kegbrowser.transfer.jobs import ConflictPolicy, LinkPolicy
from kegbrowser.ui import icons
from kegbrowser.ui.actions import Actions
from kegbrowser.ui.browser import Browser
from kegbrowser.ui.check_commands import CheckCommands
from kegbrowser.ui.connection_commands import ConnectionCommands
from kegbrowser.ui.file_commands import FileCommands, system_download_folder
from kegbrowser.ui.main_window import MainWindow
from kegbrowser.ui.navigation import Navigation
from kegbrowser.ui.prompts import Prompter
from kegbrowser.ui.settings_dialog import SettingsDialog
from kegbrowser.ui.theme import Theme
from kegbrowser.ui.transfer_panel import TransferPanel

log = logging.getLogger(__name__)

SWITCH_INTERVAL_S = 0.0005
"""A tenth of Python's own: a job's thread that unpacks a page gives the lock back before a frame is late."""


class Application(QObject):
    """Everything the window needs, built from the bottom up. GUI thread only.

    Args:
        app: Qt's own.
        user_places: where this user's files are.
        addresses: to open at the start.
    """

    def __init__(self, app: QApplication, user_places: places.Places, addresses: Sequence[str]) -> None:
        super().__init__(app)
        self._places = user_places
        self._addresses = tuple(addresses)
        self._settings_store = SettingsStore(user_places.settings_file)
        self._settings = self._settings_store.load()
        self._pool = HelperPool()
        self._runner = JobRunner(self._pool)
        store = ConnectionStore(user_places.connections_file)
        self._connection_store = store
        self.connections = Connections(store, SecretStore(), self._pool)
        self._lister = DirectoryLister(self._runner, self.connections.spec)
        self._queue_store = QueueStore(user_places.journal_file)
        self.queue = TransferQueue(self._runner, self.connections.spec, store=self._queue_store)
        self.operations = FileOperations(self._runner, self.connections.spec)
        self._finder = LeftoverFinder(self._runner, self.connections.spec, user_places.journal_file)
        self._theme = Theme(app)
        self._theme.apply(self._settings.theme)
        self._build_window()
        self._theme.theme_changed.connect(self.window.retint)
        self.window.theme_chosen.connect(self._on_theme_chosen)
        self.window.settings_wanted.connect(self._on_settings_wanted)
        self.window.closing.connect(self._on_window_closing)
        self._apply_settings()
        settings = self._settings
        self.queue.set_limits(settings.limit_up_bytes_per_s or None, settings.limit_down_bytes_per_s or None)
        self.queue.limits_changed.connect(self._on_limits_changed)

    def _build_window(self) -> None:
        self.navigation = Navigation(self)
        self.tree = FolderTreeModel(self._lister, icons.tree_icon, self)
        self.listing = ListingModel(self._lister, icons.kind_of, icons.file_icon, self)
        self._items = ItemsReader(self._places.journal_file)
        transfers = TransfersModel(self.queue, self, self._items)
        self.actions = Actions(self)
        self.browser = Browser(self.connections, self.tree, self.listing, self.navigation, self.actions)
        panel = TransferPanel(transfers, self.queue)
        self.window = MainWindow(self.browser, panel, self.actions, self.navigation, self.listing, self.queue)
        self.window.setWindowIcon(icons.app_icon())
        self._files = files = FileCommands(
            self.browser, self.listing, self.navigation, self.queue, self.operations, self._settings.download_folder
        )
        self.commands = ConnectionCommands(
            self.browser, self.connections, self.operations, self.navigation, self.listing, self.tree
        )
        self._checks = checks = CheckCommands(self.browser, self.queue, self._finder, files.download_folder)
        self.window.bind(files, self.commands, checks)
        self._prompter = Prompter(self.queue, self.window)
        self.queue.folder_changed.connect(self._on_content_changed)
        self.operations.folder_changed.connect(self._on_content_changed)

    def start(self) -> None:
        """Show the window; everything slow follows after its first paint."""
        self.connections.load()
        self.window.restore(self._settings)
        self.window.show()
        QTimer.singleShot(0, self, self._after_first_paint)

    @Slot()
    def _after_first_paint(self) -> None:
        self.connections.connections_changed.connect(self._on_first_connections)
        self.connections.prepare(self._prepare)
        for notice in self._settings_store.take_notices():
            self.connections.notice_raised.emit(notice)

    def _prepare(self) -> None:
        """A thread's work: a helper for the first listing, and at the very first start the Playground."""
        self._pool.prepare(tuple({connection.kind for connection in self.connections.all()}))
        playground.ensure_playground(self._places, self._connection_store, self._settings_store)

    @Slot(object)
    def _on_first_connections(self, _connections: object) -> None:
        """Go where the window was, else to the first connection: the Playground at the very first start."""
        self.connections.connections_changed.disconnect(self._on_first_connections)
        self.queue.restore()
        if self._addresses:
            self.commands.open_address(self._addresses[0])
            return
        known = self.connections.all()
        last = self.connections.get(self._settings.last_connection) or (known[0] if known else None)
        if last is not None:
            path = self._settings.path_of(last.connection_id)
            self.navigation.go_to(RemotePath.folder(last.connection_id, path))

    @Slot(object)
    def _on_content_changed(self, folder: RemotePath) -> None:
        """A folder's listing is out of date: list it again where it is shown."""
        if self.listing.folder == folder:
            self.listing.refresh()
        else:
            self.tree.refresh(folder)

    @Slot(str)
    def _on_theme_chosen(self, theme: str) -> None:
        self._theme.apply(theme)
        self._settings = self._settings_store.change(theme=theme)

    @Slot()
    def _on_settings_wanted(self) -> None:
        dialog = SettingsDialog(self._settings, system_download_folder(), self.window)
        dialog.settings_chosen.connect(self._on_settings_chosen)
        dialog.open()

    @Slot(object)
    def _on_settings_chosen(self, values: dict[str, object]) -> None:
        self._keep(values)
        self._apply_settings()

    @Slot(object)
    def _on_limits_changed(self, limits: tuple[int | None, int | None]) -> None:
        up, down = limits
        self._keep({"limit_up_bytes_per_s": up or 0, "limit_down_bytes_per_s": down or 0})

    def _keep(self, values: dict[str, object]) -> None:
        """Keep settings over restarts; where that fails they count for this run, and it is said."""
        try:
            self._settings = self._settings_store.change(**values)
        except OSError as error:
            self._settings = replace(self._settings, **values)  # type: ignore[arg-type]  # names are those of Settings
            reason = error.strerror or self.tr("the disk refused")
            text = self.tr("The settings hold for now, but could not be saved: %s.") % reason
            self.connections.notice_raised.emit(text)

    def _apply_settings(self) -> None:
        settings = self._settings
        policy, links = ConflictPolicy(settings.conflict_policy), LinkPolicy(settings.links)
        self.queue.set_defaults(TransferDefaults(policy, links, settings.keep_permissions))
        self._files.set_download_folder(settings.download_folder)
        self._checks.set_download_folder(self._files.download_folder)

    @Slot()
    def _on_window_closing(self) -> None:
        folder = self.navigation.current
        values = self.window.state()
        if folder is not None:
            kept = dict(self._settings.last_paths) | {folder.connection_id: folder.path}
            values |= {"last_connection": folder.connection_id, "last_paths": tuple(kept.items())}
        try:
            self._settings_store.change(**values)
        except OSError as error:
            log.warning("The settings could not be saved: %s", error.strerror)

    def shut_down(self) -> None:
        """Stop everything, top down. Blocks, some seconds at most."""
        self.queue.shut_down()
        self._items.close()
        self.connections.shut_down()


def run_window(arguments: Sequence[str], started: Callable[[Application], None] | None = None) -> int:
    """Open the window and run until it is closed; gives the exit status. `started` is called once the window is shown."""
    if sys.platform.startswith("linux") and not _has_display():
        print("Kegbrowser needs a display: start it in a graphical session, or use its command line.", file=sys.stderr)
        return 1
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    app = QApplication([sys.argv[0]])
    app.setApplicationName("kegbrowser")
    app.setApplicationDisplayName("Kegbrowser")
    app.setApplicationVersion(__version__)
    app.setDesktopFileName("org.kegbrowser.Kegbrowser")
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    user_places = places.Places.of_user()
    user_places.make()
    application = Application(app, user_places, [word for word in arguments if not word.startswith("-")])
    signal.signal(signal.SIGTERM, lambda *_: app.quit())
    signal.signal(signal.SIGINT, lambda *_: app.quit())
    wake = QTimer(app)
    wake.timeout.connect(_see_signals)
    wake.start(500)
    application.start()
    if started is not None:
        started(application)
    status = app.exec()
    application.shut_down()
    return status


def _see_signals() -> None:
    """Do nothing, in Python: it looks for signals only while it runs, and Qt's loop alone never lets it."""


def _has_display() -> bool:
    offscreen = os.environ.get("QT_QPA_PLATFORM", "") not in ("", "xcb", "wayland")
    return offscreen or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
