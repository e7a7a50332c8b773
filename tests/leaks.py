"""What a test may not leave behind: running threads, running timers, windows."""

from __future__ import annotations

import gc
import sys
import threading
import time
import weakref
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

PATIENCE_S = 2.0
"""A thread that was told to end may need that long."""


@dataclass(slots=True)
class Leaks:
    """What is alive before a test; `left()` says what is alive in addition after it. GUI thread only."""

    threads: set[threading.Thread] = field(default_factory=lambda: set(threading.enumerate()))
    qt: set[int] = field(default_factory=lambda: {id(one) for one in _live_qt_objects()})

    def left(self, patience_s: float = PATIENCE_S) -> list[str]:
        """Descriptions of what is new; waits a little for what is just ending."""
        found = self._new_threads() + self._new_qt_objects()
        end = time.monotonic() + patience_s
        while found and time.monotonic() < end:
            _let_qt_delete()
            gc.collect()
            time.sleep(0.01)
            found = self._new_threads() + self._new_qt_objects()
        return found

    def _new_threads(self) -> list[str]:
        alive = [one for one in threading.enumerate() if one not in self.threads and not one.daemon]
        return [f"thread {one.name}" for one in alive]

    def _new_qt_objects(self) -> list[str]:
        return [repr(one) for one in _live_qt_objects() if id(one) not in self.qt]


def _live_qt_objects() -> list[Any]:
    """Top-level widgets, running timers and running QThreads; nothing while Qt is not loaded."""
    core: ModuleType | None = sys.modules.get("PySide6.QtCore")
    if core is None:
        return []
    running = [one for one in _INSTANCES.of(core.QTimer, core.QThread) if _is_running(one, core)]
    return [*running, *_top_level_widgets()]


class _Instances:
    """Finds all objects of some classes. Looking at every object takes 25 ms, so it looks only when there may be new ones."""

    def __init__(self) -> None:
        self._found: list[weakref.ref[Any]] = []
        self._counts: dict[type, int] = {}

    def of(self, *kinds: type) -> list[Any]:
        every = set[type]().union(*(_with_subclasses(kind) for kind in kinds))
        counts = {kind: sys.getrefcount(kind) for kind in every}  # each object holds a reference to its class
        found = [one() for one in self._found]
        if counts != self._counts or None in found:
            # By exact type: isinstance would ask proxies for their __class__, which they answer by importing.
            found = [one for one in gc.get_objects() if type(one) in every]
            self._found = [weakref.ref(one) for one in found]
            self._counts = counts
        return found


_INSTANCES = _Instances()


def _with_subclasses(kind: type) -> set[type]:
    below: list[type] = type.__subclasses__(kind)
    return {kind}.union(*(_with_subclasses(one) for one in below))


def _is_running(one: Any, core: ModuleType) -> bool:
    if not sys.modules["shiboken6"].isValid(one):
        return False
    if isinstance(one, core.QTimer):
        return bool(one.isActive())
    return bool(one.isRunning()) and not one.isCurrentThread()


def _top_level_widgets() -> list[Any]:
    widgets = sys.modules.get("PySide6.QtWidgets")
    app = widgets.QApplication.instance() if widgets is not None else None
    if widgets is None or not isinstance(app, widgets.QApplication):
        return []
    # Qt keeps its tool tip and, on some platforms, a window of its own for the clipboard.
    ours = [one for one in app.topLevelWidgets() if not one.inherits("QTipLabel") and one.parentWidget() is None]
    return [one for one in ours if not one.inherits("QMenu") or one.isVisible()]


def _let_qt_delete() -> None:
    core = sys.modules.get("PySide6.QtCore")
    if core is not None and core.QCoreApplication.instance() is not None:
        core.QCoreApplication.sendPostedEvents(None, core.QEvent.Type.DeferredDelete.value)
        core.QCoreApplication.processEvents()
