"""The window by keyboard alone, and what every widget and action owes the people who use it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAccessible, QAction, QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QDialog,
    QInputDialog,
    QLineEdit,
    QListWidget,
    QMenu,
    QMessageBox,
    QPushButton,
    QToolButton,
    QWidget,
)
from pytestqt.qtbot import QtBot

from kegbrowser.backends.locations import RemotePath
from kegbrowser.profiles.places import Places
from kegbrowser.services.transfer import TransferState
from kegbrowser.ui.main_window import _CONTENTS_MENU
from kegbrowser.ui.message_bar import MessageBar, Tone
from tests.gui.conftest import Program

Key, Modifier = Qt.Key, Qt.KeyboardModifier
FOCUSED_BY_TAB = Qt.FocusPolicy.TabFocus


def dialog_named(program: Program, name: str) -> QDialog:
    program.qtbot.waitUntil(lambda: program.window.findChild(QDialog, name) is not None, timeout=20_000)
    found = program.window.findChild(QDialog, name)
    assert isinstance(found, QDialog)
    program.qtbot.waitUntil(found.isVisible)
    return found


def button(dialog: QWidget, name: str) -> QPushButton:
    found = dialog.findChild(QPushButton, name)
    assert found is not None
    return found


# -- the keyboard ------------------------------------------------------------------------------------------------------------


def test_the_first_connection_is_shown_at_the_start(program: Program) -> None:
    assert program.names() == ["empty", "folder", "a.txt", "b.txt", "photo.jpg"]
    assert program.window.windowTitle() == "Remote"


def test_enter_opens_backspace_goes_up_and_alt_arrows_go_back_and_forth(program: Program) -> None:
    program.select("folder")
    program.key(Key.Key_Return)
    program.wait_for("folder/")
    assert program.names() == ["deeper", "inner.txt"]
    program.contents.setFocus()
    program.key(Key.Key_Backspace)
    program.wait_for("")
    program.key(Key.Key_Left, Modifier.AltModifier)
    program.wait_for("folder/")
    program.key(Key.Key_Left, Modifier.AltModifier)
    program.wait_for("")
    program.key(Key.Key_Right, Modifier.AltModifier)
    program.wait_for("folder/")
    assert not program.application.actions["forward"].isEnabled() or program.application.navigation.can_go_forward


def test_f2_renames_in_place_and_the_ending_stays_unselected(program: Program) -> None:
    program.select("a.txt")
    program.key(Key.Key_F2)
    field = program.contents.findChild(QLineEdit, "rename_field")
    assert field is not None
    assert field.selectedText() == "a"
    QTest.keyClicks(field, "new")
    with program.qtbot.waitSignal(program.queue.transfer_ended, timeout=20_000):
        QTest.keyClick(field, Key.Key_Return)
    program.qtbot.waitUntil(lambda: "new.txt" in program.names(), timeout=20_000)

    assert (program.remote / "new.txt").read_text() == "a.txt"
    program.qtbot.waitUntil(lambda: [path.name for path in program.contents.selected_paths()] == ["new.txt"])


def test_escape_gives_up_a_rename(program: Program) -> None:
    program.select("a.txt")
    program.key(Key.Key_F2)
    field = program.contents.findChild(QLineEdit, "rename_field")
    assert field is not None
    QTest.keyClicks(field, "new")
    QTest.keyClick(field, Key.Key_Escape)

    assert program.queue.transfers() == ()
    assert "a.txt" in program.names()


def test_a_name_with_a_slash_is_refused_with_a_sentence(program: Program) -> None:
    program.select("a.txt")
    program.contents.renamed.emit(program.contents.selected_rows()[0], "x/y")

    assert "/" in program.message
    assert program.queue.transfers() == ()


def test_del_asks_first_and_escape_keeps_everything(program: Program) -> None:
    program.select("a.txt", "folder")
    program.key(Key.Key_Delete)
    dialog = dialog_named(program, "delete_dialog")
    assert isinstance(dialog, QMessageBox)
    assert dialog.defaultButton() is not button(dialog, "confirm_delete")
    with program.qtbot.waitSignal(program.queue.transfer_ended, timeout=20_000):
        QTest.keyClick(dialog, Key.Key_Escape)

    assert program.queue.transfers()[0].state is TransferState.CANCELLED
    assert (program.remote / "a.txt").exists()
    assert (program.remote / "folder" / "inner.txt").exists()


def test_a_deletion_that_is_confirmed_deletes_and_the_list_follows(program: Program) -> None:
    program.select("a.txt", "folder")
    program.key(Key.Key_Delete)
    dialog = dialog_named(program, "delete_dialog")
    with program.qtbot.waitSignal(program.queue.transfer_ended, timeout=20_000):
        button(dialog, "confirm_delete").click()
    program.qtbot.waitUntil(lambda: program.names() == ["empty", "b.txt", "photo.jpg"], timeout=20_000)

    assert not (program.remote / "folder").exists()


def test_ctrl_l_edits_the_address_and_enter_goes_there(program: Program) -> None:
    program.key(Key.Key_L, Modifier.ControlModifier)
    field = program.window.findChild(QLineEdit, "address_field")
    assert field is not None
    assert field.hasFocus()
    assert field.selectedText() == f"local:///{str(program.remote).strip('/')}/"
    QTest.keyClicks(field, f"local://{program.remote}/folder")
    QTest.keyClick(field, Key.Key_Return)
    program.wait_for("folder/")


def test_an_address_that_is_none_is_refused_with_a_sentence(program: Program) -> None:
    program.application.browser.address_entered.emit("gopher://x/y")

    assert "not an address" in program.message


def test_ctrl_f_filters_and_escape_shows_everything_again(program: Program) -> None:
    program.key(Key.Key_F, Modifier.ControlModifier)
    field = program.application.browser.filter_field
    assert field.hasFocus()
    QTest.keyClicks(field, "TXT")
    program.qtbot.waitUntil(lambda: program.names() == ["a.txt", "b.txt"])
    QTest.keyClick(field, Key.Key_Escape)
    program.qtbot.waitUntil(lambda: len(program.names()) == 5)

    assert field.text() == ""
    assert program.contents.hasFocus()


def test_a_filter_ends_with_its_folder(program: Program) -> None:
    program.application.browser.filter_field.setText("txt")
    program.qtbot.waitUntil(lambda: len(program.names()) == 2)
    program.go_to("folder/")

    assert program.names() == ["deeper", "inner.txt"]


def test_a_new_folder_is_made_and_selected(program: Program) -> None:
    program.contents.setFocus()
    program.key(Key.Key_F7)
    dialog = dialog_named(program, "new_folder_dialog")
    assert isinstance(dialog, QInputDialog)
    assert dialog.textValue() == "New folder"
    dialog.setTextValue("made")
    dialog.accept()
    program.qtbot.waitUntil(lambda: "made" in program.names(), timeout=20_000)

    assert (program.remote / "made").is_dir()
    program.qtbot.waitUntil(lambda: [path.name for path in program.contents.selected_paths()] == ["made"])


def test_cut_and_paste_move_and_the_clipboard_is_empty_then(program: Program) -> None:
    program.select("a.txt")
    program.key(Key.Key_X, Modifier.ControlModifier)
    assert QGuiApplication.clipboard().text().endswith("/a.txt")
    program.go_to("folder/")
    program.contents.setFocus()
    with program.qtbot.waitSignal(program.queue.transfer_ended, timeout=20_000):
        program.key(Key.Key_V, Modifier.ControlModifier)

    assert (program.remote / "folder" / "a.txt").exists()
    assert not (program.remote / "a.txt").exists()
    assert QGuiApplication.clipboard().text() == ""


def test_a_folder_is_not_pasted_into_itself(program: Program) -> None:
    program.select("folder")
    program.key(Key.Key_C, Modifier.ControlModifier)
    program.go_to("folder/deeper/")
    program.application.actions["paste"].trigger()

    assert "into itself" in program.message
    assert program.queue.transfers() == ()
    QGuiApplication.clipboard().clear()


def test_typing_jumps_to_a_name(program: Program) -> None:
    program.select("empty")
    QTest.keyClicks(program.contents, "ph")

    assert [path.name for path in program.contents.selected_paths()] == ["photo.jpg"]


def test_select_all_takes_every_row(program: Program) -> None:
    program.key(Key.Key_A, Modifier.ControlModifier)

    assert len(program.contents.selected_rows()) == 5


def test_a_folder_that_is_gone_says_so_and_lets_one_try_again(program: Program) -> None:
    program.application.navigation.go_to(program.folder("missing/"))
    placeholder = program.application.browser.placeholder
    program.qtbot.waitUntil(placeholder.isVisible, timeout=20_000)
    program.qtbot.waitUntil(lambda: "missing" in placeholder._title.text(), timeout=20_000)
    (program.remote / "missing").mkdir()
    with program.qtbot.waitSignal(program.application.listing.state_changed):
        placeholder._button.click()
    program.wait_for("missing/")


def test_closing_while_something_runs_asks_first(program: Program) -> None:
    program.select("a.txt")
    program.key(Key.Key_Delete)
    delete = dialog_named(program, "delete_dialog")
    assert not program.window.close()
    question = dialog_named(program, "quit_dialog")
    assert program.window.isVisible()
    question.reject()
    with program.qtbot.waitSignal(program.queue.transfer_ended, timeout=20_000):
        delete.reject()
    assert program.window.close()


def test_after_a_failed_connection_the_next_visit_asks_again_what_it_can_do(program: Program) -> None:
    other = RemotePath.folder(program.other_id)
    place = program.remote.parent / "other"
    place.rmdir()
    with program.qtbot.waitSignal(program.application.operations.operation_failed, timeout=20_000):
        program.application.navigation.go_to(other)
    assert program.application.connections.capabilities(program.other_id) is None
    program.go_to("")
    place.mkdir()
    with program.qtbot.waitSignal(program.application.connections.report_changed, timeout=20_000):
        program.application.navigation.go_to(other)

    assert program.application.connections.capabilities(program.other_id) is not None


# -- what everything has -----------------------------------------------------------------------------------------------------


def actions_in(menu: QMenu) -> Iterator[QAction]:
    for action in menu.actions():
        below = action.menu()
        if isinstance(below, QMenu):
            yield from actions_in(below)
        else:
            yield action


def test_every_action_has_a_text_a_tip_and_a_place_in_a_menu(program: Program) -> None:
    menus = program.window.menuBar().findChildren(QMenu)
    placed = {action.objectName() for menu in menus for action in actions_in(menu)} | set(_CONTENTS_MENU)

    assert menus
    for action in program.application.actions.all():
        assert action.text(), action.objectName()
        assert action.toolTip(), action.objectName()
        assert action.objectName() in placed
        assert not action.icon().isNull(), action.objectName()


def test_no_key_does_two_things(program: Program) -> None:
    keys = [key.toString() for action in program.application.actions.all() for key in action.shortcuts()]

    assert keys
    assert len(keys) == len(set(keys))


def unnamed(top: QWidget) -> list[str]:
    """The widgets below `top` that the keyboard reaches and that have no accessible name."""
    found: list[str] = []
    for widget in top.findChildren(QWidget):
        if widget.window() is not top or not widget.focusPolicy() & FOCUSED_BY_TAB or widget.focusProxy() is not None:
            continue
        if not widget.isVisibleTo(top):
            continue
        interface = QAccessible.queryAccessibleInterface(widget)
        if not interface.text(QAccessible.Text.Name):
            found.append(f"{type(widget).__name__} {widget.objectName()}")
    return found


def test_every_widget_of_the_window_that_the_keyboard_reaches_has_a_name(program: Program) -> None:
    program.application.browser.messages.tell(Tone.ERROR, "Something.", action="Do", act=lambda: None)
    program.application.actions["show_transfers"].setChecked(True)

    assert unnamed(program.window) == []


@pytest.mark.parametrize("action", ["new_connection", "edit_connection"])
def test_every_widget_of_the_connection_dialog_has_a_name(program: Program, action: str) -> None:
    program.application.actions[action].trigger()
    dialog = dialog_named(program, "connection_dialog")

    kinds = dialog.findChild(QListWidget, "connection_kinds")
    assert kinds is not None
    for section in dialog.findChildren(QToolButton):
        if section.isCheckable():
            section.setChecked(True)
    for row in range(kinds.count()) if kinds.isEnabled() else [kinds.currentRow()]:
        kinds.setCurrentRow(row)
        assert unnamed(dialog) == []
    dialog.reject()


def test_actions_are_enabled_by_what_is_there(program: Program) -> None:
    actions = program.application.actions
    program.contents.setFocus()
    program.contents.clearSelection()
    assert not any(actions[key].isEnabled() for key in ("rename", "delete", "download", "up", "copy"))
    program.select("a.txt", "b.txt")
    assert actions["delete"].isEnabled()
    assert not actions["rename"].isEnabled()
    program.select("a.txt")
    assert actions["rename"].isEnabled()


# -- messages ------------------------------------------------------------------------------------------------------------------


def test_a_message_has_one_thing_to_do_and_goes_when_it_is_done(qtbot: QtBot) -> None:
    bar = MessageBar()
    qtbot.addWidget(bar)
    done: list[int] = []
    assert bar.text == ""
    bar.tell(Tone.ERROR, "<b>It</b> failed.", action="Try Again", act=lambda: done.append(1))
    assert bar.text == "<b>It</b> failed."
    assert bar._text.textFormat() == Qt.TextFormat.PlainText
    assert bar.accessibleName() == bar.text
    bar._button.click()
    bar._button.click()

    assert (done, bar.text) == ([1], "")


@pytest.mark.parametrize(
    ("tone", "leaves", "stays_in_other_folder"),
    [(Tone.INFO, True, False), (Tone.SUCCESS, True, False), (Tone.WARNING, False, True), (Tone.ERROR, False, False)],
)
def test_only_good_news_leaves_by_itself_and_a_warning_stays(
    qtbot: QtBot, tone: Tone, leaves: bool, stays_in_other_folder: bool
) -> None:
    bar = MessageBar()
    qtbot.addWidget(bar)
    bar.tell(Tone.INFO, "Before.")
    bar.tell(tone, "Something.")
    assert bar._timer.isActive() == leaves
    bar.leave_folder()
    assert (bar.text != "") == stays_in_other_folder
    bar._timer.stop()


@pytest.fixture
def broken_settings(places: Places) -> Path:
    places.settings_file.write_text("{ this is no JSON")
    return places.settings_file


def test_a_file_of_settings_that_was_set_aside_is_told(broken_settings: Path, program: Program) -> None:
    program.qtbot.waitUntil(lambda: program.message != "")

    assert "settings" in program.message
    assert program.message.endswith(".")
    assert any(
        path.read_text() == "{ this is no JSON" for path in broken_settings.parent.iterdir() if path != broken_settings
    )
    program.go_to("folder/")
    assert program.message != "", "a warning stays until it is closed"
