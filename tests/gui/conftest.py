"""The whole program in this process, on a folder of this computer, with its window shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from kegbrowser.app import Application
from kegbrowser.backends.locations import RemotePath
from kegbrowser.models.listing import Column, ListingState
from kegbrowser.profiles import playground
from kegbrowser.profiles.connections import Connection, ConnectionStore
from kegbrowser.profiles.places import Places
from kegbrowser.services.transfers import TransferQueue
from kegbrowser.ui import icons
from kegbrowser.ui.colors import LIGHT
from kegbrowser.ui.contents_view import ContentsView
from kegbrowser.ui.main_window import MainWindow


@dataclass
class Program:
    """The running program.

    Attributes:
        remote: the folder on disk that the connection `connection_id` shows.
        other_id: a second connection, on the folder `other` beside it.
    """

    application: Application
    remote: Path
    connection_id: str
    other_id: str
    qtbot: QtBot

    @property
    def window(self) -> MainWindow:
        return self.application.window

    @property
    def contents(self) -> ContentsView:
        return self.application.browser.contents

    @property
    def queue(self) -> TransferQueue:
        return self.application.queue

    def names(self) -> list[str]:
        """What is shown, from the top."""
        model = self.application.listing
        return [str(model.index(row, Column.NAME).data()) for row in range(model.rowCount())]

    def folder(self, path: str = "") -> RemotePath:
        return RemotePath.folder(self.connection_id, path)

    def go_to(self, path: str = "") -> None:
        """Show a folder and wait until it is listed."""
        self.application.navigation.go_to(self.folder(path))
        self.wait_for(path)

    def wait_for(self, path: str) -> None:
        listing = self.application.listing
        self.qtbot.waitUntil(
            lambda: listing.folder == self.folder(path) and listing.state is ListingState.LISTED, timeout=20_000
        )

    def select(self, *names: str) -> None:
        self.contents.setFocus()
        self.contents.clearSelection()
        for name in names:
            row = self.names().index(name)
            self.contents.selectionModel().select(
                self.application.listing.index(row, 0),
                self.contents.selectionModel().SelectionFlag.Select | self.contents.selectionModel().SelectionFlag.Rows,
            )
            self.contents.selectionModel().setCurrentIndex(
                self.application.listing.index(row, 0), self.contents.selectionModel().SelectionFlag.NoUpdate
            )

    def key(self, key: Qt.Key, modifiers: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        """Press a key where the focus is."""
        QTest.keyClick(QApplication.focusWidget() or self.window, key, modifiers)

    @property
    def message(self) -> str:
        return self.application.browser.messages.text


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Where the program's own files are."""
    made = Places.below(tmp_path / "user")
    made.make()
    return made


@pytest.fixture
def program(
    qtbot: QtBot, qapp: QApplication, tmp_path: Path, places: Places, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Program]:
    remote = tmp_path / "remote"
    (remote / "folder" / "deeper").mkdir(parents=True)
    (remote / "folder" / "inner.txt").write_text("inner")
    (remote / "empty").mkdir()
    for name in ("a.txt", "b.txt", "photo.jpg"):
        (remote / name).write_text(name)
    (tmp_path / "other").mkdir()
    store = ConnectionStore(places.connections_file)
    connection = Connection.new("local", "Remote", {"root": str(remote)})
    other = Connection.new("local", "Other", {"root": str(tmp_path / "other")})
    store.add(connection)
    store.add(other)
    monkeypatch.setattr(playground, "ensure_playground", lambda *_args: False)
    palette, font, style = qapp.palette(), qapp.font(), qapp.style().name()
    application = Application(qapp, places, [])
    running = Program(application, remote, connection.connection_id, other.connection_id, qtbot)
    application.start()
    with qtbot.waitExposed(application.window):
        application.window.activateWindow()
    running.wait_for("")
    yield running
    application.shut_down()
    application.window._may_close = True
    application.window.close()
    application.window.deleteLater()
    application._theme.deleteLater()
    application.deleteLater()
    qapp.setStyleSheet("")
    qapp.setStyle(style)
    qapp.setPalette(palette)
    qapp.setFont(font)
    icons.use_colors(LIGHT)
