"""A storage that must never be called where that would freeze the window, around any other."""

from __future__ import annotations

import sys
import threading

from kegbrowser.backends.base import StorageBackend
from tests.doubles.passing import PassingBackend


class CalledOnGuiThread(AssertionError):
    """A blocking call on the thread of the window."""


class GuiThreadGuard(PassingBackend):
    """Raises at each call on the thread of the window: that of the QApplication, or the main thread if there is none."""

    def __init__(self, inner: StorageBackend) -> None:
        super().__init__(inner)
        self.calls: list[str] = []

    def before(self, call: str) -> None:
        if _is_gui_thread():
            raise CalledOnGuiThread(f"“{call}” was called on the thread of the window")
        self.calls.append(call)


def _is_gui_thread() -> bool:
    core = sys.modules.get("PySide6.QtCore")
    app = core.QCoreApplication.instance() if core is not None else None
    if core is None or app is None:
        return threading.current_thread() is threading.main_thread()
    return bool(core.QThread.currentThread() is app.thread())
