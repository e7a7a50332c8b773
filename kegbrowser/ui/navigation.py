"""Where the window is and where it was: one current folder, a history, one signal."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal

from kegbrowser.backends.locations import RemotePath

MAX_STEPS = 200


class Navigation(QObject):
    """GUI thread only."""

    folder_changed = Signal(object)  # RemotePath | None

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._past: list[RemotePath] = []
        self._future: list[RemotePath] = []
        self._current: RemotePath | None = None

    @property
    def current(self) -> RemotePath | None:
        return self._current

    @property
    def can_go_back(self) -> bool:
        return bool(self._past)

    @property
    def can_go_forward(self) -> bool:
        return bool(self._future)

    @property
    def can_go_up(self) -> bool:
        return self._current is not None and not self._current.is_root

    def go_to(self, folder: RemotePath) -> None:
        """Show a folder; the one shown becomes the past."""
        if folder == self._current:
            return
        if self._current is not None:
            self._past.append(self._current)
            del self._past[:-MAX_STEPS]
        self._future.clear()
        self._show(folder)

    def go_back(self) -> None:
        if self._past:
            if self._current is not None:
                self._future.append(self._current)
            self._show(self._past.pop())

    def go_forward(self) -> None:
        if self._future:
            if self._current is not None:
                self._past.append(self._current)
            self._show(self._future.pop())

    def go_up(self) -> None:
        parent = self._current.parent if self._current is not None else None
        if parent is not None:
            self.go_to(parent)

    def forget(self, connection_id: str) -> None:
        """Leave a connection that is gone, and take it out of the history."""
        self._past = [path for path in self._past if path.connection_id != connection_id]
        self._future = [path for path in self._future if path.connection_id != connection_id]
        if self._current is not None and self._current.connection_id == connection_id:
            self._show(self._past.pop() if self._past else None)

    def leave(self, folder: RemotePath) -> None:
        """A folder was deleted or renamed: step out of it if the window is in it or below."""
        if self._current is not None and self._current.is_within(folder) and folder.parent is not None:
            self._past = [path for path in self._past if not path.is_within(folder)]
            self._future = [path for path in self._future if not path.is_within(folder)]
            self._show(folder.parent)

    def _show(self, folder: RemotePath | None) -> None:
        self._current = folder
        self.folder_changed.emit(folder)
