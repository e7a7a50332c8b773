"""A place that is taken, asked by the running engine and answered in the window."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QCheckBox, QPushButton

from kegbrowser.services.transfer import TransferState
from kegbrowser.ui.conflict_dialog import ConflictDialog
from tests.gui.conftest import Program

NOON = 1_700_000_000
NAMES = ("1.txt", "2.txt", "3.txt")


@pytest.fixture
def here(program: Program, tmp_path: Path) -> Path:
    """A local folder with files that the connection's folder `folder` has too: 1 is the same, 2 older, 3 a beginning."""
    local = tmp_path / "here"
    local.mkdir()
    for name in NAMES:
        (program.remote / "folder" / name).write_text("the whole text")
        os.utime(program.remote / "folder" / name, (NOON, NOON))
        (local / name).write_text("the whole text")
        os.utime(local / name, (NOON, NOON))
    (local / "2.txt").write_text("an older text!")
    os.utime(local / "2.txt", (NOON - 60, NOON - 60))
    (local / "3.txt").write_text("the who")
    os.utime(local / "3.txt", (NOON + 60, NOON + 60))
    return local


def asked(program: Program) -> ConflictDialog:
    """The question, once it is shown."""

    def shown() -> list[ConflictDialog]:
        return [one for one in program.window.findChildren(ConflictDialog) if one.isVisible()]

    program.qtbot.waitUntil(lambda: bool(shown()), timeout=20_000)
    return shown()[0]


def download(program: Program, here: Path, *names: str) -> None:
    folder = program.folder("folder/")
    program.queue.download(tuple(folder.join(name, is_folder=False) for name in names or NAMES), str(here))


def ended(program: Program) -> TransferState:
    program.qtbot.waitUntil(lambda: program.queue.transfers()[0].state.is_final, timeout=20_000)
    return program.queue.transfers()[0].state


def texts(here: Path) -> list[str]:
    return [(here / name).read_text() for name in NAMES]


def choose(dialog: ConflictDialog, name: str, *, for_all: bool) -> None:
    box = dialog.findChild(QCheckBox)
    assert box is not None
    box.setChecked(for_all)
    found = dialog.findChild(QAction, name) or dialog.findChild(QPushButton, name)
    assert isinstance(found, (QAction, QPushButton))
    found.trigger() if isinstance(found, QAction) else found.click()


def test_overwrite_if_different_replaces_what_differs_and_leaves_the_rest(program: Program, here: Path) -> None:
    before = (here / "1.txt").stat().st_ino
    download(program, here)
    choose(asked(program), "conflict_if_different", for_all=True)

    assert ended(program) is TransferState.DONE
    assert texts(here) == ["the whole text"] * 3
    assert (here / "1.txt").stat().st_ino == before
    assert program.queue.transfers()[0].progress.files_skipped == 1


def test_overwrite_if_newer_leaves_what_is_newer_here(program: Program, here: Path) -> None:
    download(program, here)
    choose(asked(program), "conflict_if_newer", for_all=True)

    assert ended(program) is TransferState.DONE
    assert texts(here) == ["the whole text", "the whole text", "the who"]


def test_a_policy_for_one_asks_again_for_the_next(program: Program, here: Path) -> None:
    download(program, here, "2.txt", "3.txt")
    choose(asked(program), "conflict_if_different", for_all=False)
    program.qtbot.waitUntil(lambda: (here / "2.txt").read_text() == "the whole text", timeout=20_000)
    second = asked(program)
    assert second._question.name == "3.txt"
    choose(second, "conflict_skip", for_all=False)

    assert ended(program) is TransferState.DONE
    assert texts(here) == ["the whole text", "the whole text", "the who"]


def test_resume_goes_on_with_a_beginning(program: Program, here: Path) -> None:
    download(program, here, "3.txt")
    choose(asked(program), "conflict_resume", for_all=False)

    assert ended(program) is TransferState.DONE
    assert (here / "3.txt").read_text() == "the whole text"


def test_resume_of_something_else_asks_again_and_no_longer_offers_it(program: Program, here: Path) -> None:
    download(program, here, "2.txt")
    first = asked(program)
    choose(first, "conflict_resume", for_all=False)
    program.qtbot.waitUntil(lambda: not first.isVisible())
    again = asked(program)
    assert again.findChild(QPushButton, "conflict_resume") is None
    choose(again, "conflict_skip", for_all=False)

    assert ended(program) is TransferState.DONE
    assert (here / "2.txt").read_text() == "an older text!"


def test_resume_is_not_offered_where_what_is_there_is_longer(program: Program, here: Path) -> None:
    (here / "1.txt").write_text("the whole text and more")
    download(program, here, "1.txt")
    dialog = asked(program)

    assert dialog.findChild(QPushButton, "conflict_resume") is None
    dialog.reject()
    assert ended(program) is TransferState.CANCELLED
    assert (here / "1.txt").read_text() == "the whole text and more"


def test_a_question_is_answered_by_keys_alone(program: Program, here: Path) -> None:
    download(program, here)
    dialog = asked(program)
    program.qtbot.waitUntil(dialog.isActiveWindow)
    QTest.keyClick(dialog, Qt.Key.Key_A, Qt.KeyboardModifier.AltModifier)
    box = dialog.findChild(QCheckBox)
    assert box is not None
    program.qtbot.waitUntil(box.isChecked)
    QTest.keyClick(dialog, Qt.Key.Key_I, Qt.KeyboardModifier.AltModifier)
    condition = dialog.findChild(QPushButton, "conflict_overwrite_if")
    assert condition is not None
    menu = condition.menu()
    program.qtbot.waitUntil(menu.isVisible)
    QTest.keyClick(menu, Qt.Key.Key_D)

    assert ended(program) is TransferState.DONE
    assert texts(here) == ["the whole text"] * 3


def test_mnemonics_of_a_question_are_its_own(program: Program, here: Path) -> None:
    download(program, here, "3.txt")
    dialog = asked(program)
    keys = [
        widget.text().partition("&")[2][:1].lower()
        for widget in (*dialog.findChildren(QPushButton), *dialog.findChildren(QCheckBox))
        if "&" in widget.text()
    ]

    assert len(keys) == len(set(keys)) == 6
    dialog.reject()
    assert ended(program) is TransferState.CANCELLED


def test_enter_and_space_skip_at_first(program: Program, here: Path) -> None:
    download(program, here, "2.txt")
    dialog = asked(program)
    focused = dialog.focusWidget()
    assert focused is dialog.findChild(QPushButton, "conflict_skip")
    QTest.keyClick(focused, Qt.Key.Key_Space)

    assert ended(program) is TransferState.DONE
    assert (here / "2.txt").read_text() == "an older text!"
