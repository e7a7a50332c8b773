"""Every action of the window, as a table: text, icon, keys and what it needs. Menus, toolbar and keyboard follow from it."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from PySide6.QtCore import QCoreApplication, QObject
from PySide6.QtGui import QAction, QKeySequence

from kegbrowser.ui import icons


class Needs(enum.Flag):
    """What must be true for an action to be enabled."""

    NOTHING = 0
    FOLDER = enum.auto()  # a folder is shown
    WRITABLE = enum.auto()  # files or folders can be made in it
    SELECTION = enum.auto()  # something is selected
    SINGLE = enum.auto()  # exactly one thing is selected
    PARENT = enum.auto()
    BACK = enum.auto()
    FORWARD = enum.auto()
    CONNECTION = enum.auto()  # a connection is chosen in the tree
    LISTING = enum.auto()  # a listing runs


@dataclass(frozen=True, slots=True)
class ActionSpec:
    """One action. `keys` are portable key sequences, the first is shown; `text` is the source of the translation."""

    key: str
    text: str
    icon: str = ""
    keys: tuple[str, ...] = ()
    needs: Needs = Needs.NOTHING
    tip: str = ""


ACTIONS: tuple[ActionSpec, ...] = (
    ActionSpec("new_connection", "New Connection…", "add-connection", ("Ctrl+N",), tip="Connect to S3, Azure or SFTP"),
    ActionSpec("edit_connection", "Edit Connection…", "settings", (), Needs.CONNECTION),
    ActionSpec("remove_connection", "Remove Connection…", "delete", (), Needs.CONNECTION),
    ActionSpec("settings", "Settings…", "settings", ("Ctrl+,",)),
    ActionSpec("quit", "Quit", "quit", ("Ctrl+Q",)),
    ActionSpec("back", "Back", "back", ("Alt+Left",), Needs.BACK),
    ActionSpec("forward", "Forward", "forward", ("Alt+Right",), Needs.FORWARD),
    ActionSpec("up", "Up", "up", ("Alt+Up", "Backspace"), Needs.PARENT),
    ActionSpec("refresh", "Refresh", "refresh", ("F5", "Ctrl+R"), Needs.FOLDER),
    ActionSpec("stop", "Stop Loading", "stop", (), Needs.LISTING),
    ActionSpec("edit_location", "Location…", "location", ("Ctrl+L", "F6"), tip="Type an address"),
    ActionSpec("filter", "Filter", "filter", ("Ctrl+F",), Needs.FOLDER),
    ActionSpec("open", "Open", "folder-open", (), Needs.SINGLE),
    ActionSpec("upload_files", "Upload Files…", "upload", ("Ctrl+U",), Needs.WRITABLE),
    ActionSpec("upload_folder", "Upload Folder…", "upload", ("Ctrl+Shift+U",), Needs.WRITABLE),
    ActionSpec("download", "Download", "download", ("Ctrl+D",), Needs.SELECTION, "Download to the download folder"),
    ActionSpec("download_to", "Download to…", "download", ("Ctrl+Shift+D",), Needs.SELECTION),
    ActionSpec("new_folder", "New Folder…", "new-folder", ("Ctrl+Shift+N", "F7"), Needs.WRITABLE),
    ActionSpec("rename", "Rename…", "rename", ("F2",), Needs.SINGLE),
    ActionSpec("delete", "Delete…", "delete", ("Del",), Needs.SELECTION),
    ActionSpec("cut", "Cut", "cut", ("Ctrl+X",), Needs.SELECTION),
    ActionSpec("copy", "Copy", "copy", ("Ctrl+C",), Needs.SELECTION),
    ActionSpec("paste", "Paste", "paste", ("Ctrl+V",), Needs.WRITABLE),
    ActionSpec("copy_path", "Copy Address", "copy", ("Ctrl+Shift+C",), Needs.FOLDER),
    ActionSpec("select_all", "Select All", "select-all", ("Ctrl+A",), Needs.FOLDER),
    ActionSpec("properties", "Properties", "properties", ("Alt+Return",), Needs.FOLDER),
    ActionSpec("compare", "Verify Against This Computer…", "verified", ("Ctrl+M",), Needs.FOLDER),
    ActionSpec(
        "save_manifest",
        "Save Manifest…",
        "file-sheet",
        ("Ctrl+Shift+S",),
        Needs.FOLDER,
        "Write down the checksums of all files below the folder",
    ),
    ActionSpec("check_manifest", "Check Against Manifest…", "file-sheet", ("Ctrl+Shift+M",), Needs.FOLDER),
    ActionSpec(
        "clean_uploads",
        "Clean Up Incomplete Uploads…",
        "clear",
        (),
        Needs.FOLDER,
        "Show uploads below the folder that were begun and never finished",
    ),
    ActionSpec(
        "clean_downloads",
        "Clean Up Unfinished Downloads…",
        "clear",
        (),
        Needs.NOTHING,
        "Show hidden files of unfinished downloads on this computer",
    ),
    ActionSpec("show_hidden", "Show Hidden Files", "eye", ("Ctrl+H",)),
    ActionSpec("show_transfers", "Show Transfers", "transfer-down", ("Ctrl+T",)),
    ActionSpec("theme_system", "As the System", "system-theme", ()),
    ActionSpec("theme_light", "Light", "sun", ()),
    ActionSpec("theme_dark", "Dark", "moon", ()),
    ActionSpec("about", "About Kegbrowser", "info", ()),
)

CHECKABLE = frozenset({"show_hidden", "show_transfers", "theme_system", "theme_light", "theme_dark"})


class Actions(QObject):
    """The window's actions, by key. GUI thread only."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._specs = {spec.key: spec for spec in ACTIONS}
        self._actions = {spec.key: self._make(spec) for spec in ACTIONS}

    def __getitem__(self, key: str) -> QAction:
        return self._actions[key]

    def all(self) -> tuple[QAction, ...]:
        return tuple(self._actions.values())

    def enable(self, met: Needs) -> None:
        """Enable the actions all of whose needs are met."""
        for key, action in self._actions.items():
            needs = self._specs[key].needs
            action.setEnabled(needs & met == needs)

    def retint(self) -> None:
        """Give all actions icons of the theme that is in force now."""
        for key, action in self._actions.items():
            if self._specs[key].icon:
                action.setIcon(icons.icon(self._specs[key].icon))

    def _make(self, spec: ActionSpec) -> QAction:
        text = QCoreApplication.translate("Actions", spec.text)
        action = QAction(text, self)
        action.setObjectName(spec.key)
        action.setShortcuts([QKeySequence(keys) for keys in spec.keys])
        tip = QCoreApplication.translate("Actions", spec.tip) if spec.tip else text.rstrip("…")
        shown_keys = QKeySequence(spec.keys[0]).toString(QKeySequence.SequenceFormat.NativeText) if spec.keys else ""
        action.setToolTip(f"{tip} ({shown_keys})" if shown_keys else tip)
        action.setCheckable(spec.key in CHECKABLE)
        if spec.icon:
            action.setIcon(icons.icon(spec.icon))
        return action
