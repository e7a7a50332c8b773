"""A test that leaves something alive is told so, and one that cleans up is not."""

from __future__ import annotations

import threading
import time

from PySide6.QtCore import QThread, QTimer
from PySide6.QtWidgets import QApplication, QDialog, QWidget

from tests.leaks import Leaks


def test_nothing_is_found_where_nothing_was_left(qapp: QApplication) -> None:
    before = Leaks()

    window = QWidget()
    timer = QTimer(window)
    timer.start(10_000)
    dialog = QDialog(window)
    dialog.show()
    window.deleteLater()
    del window, timer, dialog

    assert before.left() == []


def test_a_running_thread_is_found_unless_it_ends_soon() -> None:
    before = Leaks()
    may_end = threading.Event()
    thread = threading.Thread(target=may_end.wait, name="forgotten")
    brief = threading.Thread(target=time.sleep, args=(0.1,), name="brief")
    thread.start()
    brief.start()

    assert before.left(0.3) == ["thread forgotten"]

    may_end.set()
    assert before.left() == []


def test_a_running_timer_is_found(qapp: QApplication) -> None:
    before = Leaks()
    timer = QTimer()
    timer.start(10_000)

    assert "QTimer" in "".join(before.left(0.1))

    timer.stop()
    assert before.left() == []


def test_a_running_qthread_is_found(qapp: QApplication) -> None:
    before = Leaks()
    thread = QThread()
    thread.start()

    assert "QThread" in "".join(before.left(0.1))

    thread.quit()
    thread.wait()
    assert before.left() == []


def test_a_window_is_found_even_when_it_is_hidden(qapp: QApplication) -> None:
    before = Leaks()
    window = QWidget()

    assert "QWidget" in "".join(before.left(0.1))

    window.deleteLater()
    assert before.left() == []
