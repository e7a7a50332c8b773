"""The real program with a window into it for tests: run as `python -m tests.end2end.driven SOCKET`.

Input comes through the X server only, from xdotool; this only answers where things are and what is shown.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from PySide6.QtCore import QObject, QPoint, QRect, Slot
from PySide6.QtNetwork import QLocalServer, QLocalSocket
from PySide6.QtWidgets import QApplication, QLabel, QListWidget, QMenu, QMessageBox, QSplitter, QTableView, QWidget

from kegbrowser.app import Application, run_window
from kegbrowser.backends.locations import RemotePath
from kegbrowser.models.folder_tree import FolderTreeModel
from kegbrowser.ui.transfer_panel import TransferPanel


class Probe(QObject):
    """Answers one JSON object a line with one JSON value a line. GUI thread."""

    def __init__(self, application: Application, socket_path: str) -> None:
        super().__init__(application)
        self._application = application
        self._server = QLocalServer(self)
        self._server.newConnection.connect(self._on_new_connection)
        assert self._server.listen(socket_path), self._server.errorString()

    @Slot()
    def _on_new_connection(self) -> None:
        peer = self._server.nextPendingConnection()
        peer.readyRead.connect(lambda: self._answer(peer))

    def _answer(self, peer: QLocalSocket) -> None:
        while peer.canReadLine():
            question = json.loads(bytes(peer.readLine().data()))
            answer = getattr(self, f"ask_{question.pop('ask')}")(**question)
            peer.write((json.dumps(answer) + "\n").encode())
            peer.flush()

    def ask_widget(self, name: str) -> Any:
        """Middle of the visible widget with this object name, in the window that is in front."""
        for top in [QApplication.activeModalWidget(), *QApplication.topLevelWidgets()]:
            if top is None or not top.isVisible():
                continue
            found = [top] if top.objectName() == name else top.findChildren(QWidget, name)
            for widget in found:
                if widget.isVisible():
                    return _middle(widget, widget.rect())
        return None

    def ask_row(self, name: str) -> Any:
        """Middle of the name of a row of the contents."""
        row = self._application.listing.row_of(name)
        view = self._application.browser.contents
        if row < 0:
            return None
        rect = view.visualRect(self._application.listing.index(row, 0))
        return _middle(view.viewport(), rect.adjusted(0, 0, -rect.width() + 200, 0))

    def ask_branch(self, connection: str, path: str = "") -> Any:
        """Middle of a folder in the tree."""
        tree: FolderTreeModel = self._application.tree
        one = next((one for one in self._application.connections.all() if one.name == connection), None)
        if one is None:
            return None
        index = tree.index_of(RemotePath.folder(one.connection_id, path))
        view = self._application.browser.tree
        rect = view.visualRect(index)
        if not index.isValid() or not view.viewport().rect().contains(rect.center()):
            return None
        return _middle(view.viewport(), rect)

    def ask_kind(self, label: str) -> Any:
        """Middle of a kind of storage in the list of the connection dialog."""
        for top in QApplication.topLevelWidgets():
            kinds = top.findChild(QListWidget, "connection_kinds") if top.isVisible() else None
            if kinds is not None:
                for row in range(kinds.count()):
                    if kinds.item(row).text() == label:
                        return _middle(kinds.viewport(), kinds.visualItemRect(kinds.item(row)))
        return None

    def ask_menu(self, text: str) -> Any:
        """Middle of an entry of the menu that is open."""
        menu = QApplication.activePopupWidget()
        if not isinstance(menu, QMenu):
            return None
        for action in menu.actions():
            if action.text().replace("&", "") == text and action.isEnabled():
                return _middle(menu, menu.actionGeometry(action))
        return None

    def ask_transfer(self, number: str) -> Any:
        """Middle of the name of a transfer in the panel, from the top, not counting files."""
        table = self._table()
        model = table.model()
        rows = [row for row in range(min(model.rowCount(), 200)) if not model.is_file(row)]  # type: ignore[attr-defined]
        if int(number) >= len(rows) or not table.isVisible():
            return None
        rect = table.visualRect(model.index(rows[int(number)], 0))
        return _middle(table.viewport(), rect.adjusted(0, 0, -rect.width() + 200, 0))

    def ask_grip(self) -> Any:
        """Middle of the line between the contents and the transfers."""
        splitter = self._application.window.centralWidget()
        assert isinstance(splitter, QSplitter)
        handle = splitter.handle(1)
        return _middle(handle, handle.rect()) if handle.isVisible() else None

    def _table(self) -> QTableView:
        panel = self._application.window.findChild(TransferPanel)
        assert panel is not None
        return panel.table

    def ask_state(self) -> Any:
        """What is shown."""
        application = self._application
        listing, folder = application.listing, application.listing.folder
        modal = QApplication.activeModalWidget()
        result = modal.findChild(QLabel, "test_result") if modal is not None else None
        return {
            "connections": [one.name for one in application.connections.all()],
            "folder": folder.path if folder is not None else None,
            "connection": _connection_name(application),
            "listing": listing.state.value,
            "error": listing.error.message if listing.error is not None else "",
            "names": [listing.path_at(row).name for row in range(min(listing.rowCount(), 500))],
            "transfers": [
                {
                    "kind": one.kind.value,
                    "state": one.state.value,
                    "error": one.error.message if one.error is not None else "",
                    "failures": [failure.error.message for failure in one.failures],
                    "files": one.progress.files_done,
                    "bytes": one.progress.bytes_done,
                }
                for one in application.queue.transfers()
            ],
            "transfer_rows": self._table().model().rowCount(),
            "message": application.browser.messages.text,
            "modal": modal.objectName() if modal is not None else "",
            "modal_text": modal.text() if isinstance(modal, QMessageBox) else "",
            "test_result": result.text() if result is not None else "",
        }

    def ask_shot(self, path: str) -> Any:
        """Draw the main window into a PNG file."""
        return self._application.window.grab().save(path)


def _middle(widget: QWidget, rect: QRect) -> list[int]:
    point = widget.mapToGlobal(QPoint(rect.center()))
    return [point.x(), point.y()]


def _connection_name(application: Application) -> str:
    folder = application.listing.folder
    one = application.connections.get(folder.connection_id) if folder is not None else None
    return one.name if one is not None else ""


if __name__ == "__main__":

    def started(application: Application) -> None:
        Probe(application, sys.argv[1])

    sys.exit(run_window(sys.argv[2:], started))
