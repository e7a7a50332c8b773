"""What is set in the window: it counts at once, and is there at the next start."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QCheckBox, QComboBox, QDialogButtonBox, QInputDialog, QLineEdit, QMenu, QMessageBox

from kegbrowser.profiles.places import Places
from kegbrowser.profiles.rates import rate_of
from kegbrowser.profiles.settings import SettingsStore
from kegbrowser.services.recipes import Recipe
from kegbrowser.services.transfer import TransferKind, TransferState
from kegbrowser.transfer.jobs import LinkPolicy
from kegbrowser.ui.settings_dialog import SettingsDialog
from kegbrowser.ui.transfer_panel import TransferPanel, _typed
from tests.gui.conftest import Program

MIB = 1024 * 1024


def panel_of(program: Program) -> TransferPanel:
    found = program.window.findChild(TransferPanel)
    assert found is not None
    return found


def limits_menu(program: Program, direction: str) -> dict[str, QAction]:
    """What can be chosen as a limit, by text."""
    panel = panel_of(program)
    panel.show()
    panel._limits.click()
    menu = panel.findChildren(QMenu, options=Qt.FindChildOption.FindDirectChildrenOnly)[-1]
    below = menu.actions()[0 if direction == "down" else 1].menu()
    assert isinstance(below, QMenu)
    found = {action.text(): action for action in below.actions() if action.text()}
    menu.hide()
    return found


def state(program: Program) -> TransferState:
    program.qtbot.waitUntil(lambda: program.queue.transfers()[-1].state.is_final, timeout=20_000)
    return program.queue.transfers()[-1].state


def change(program: Program, **choices: str | bool) -> None:
    """Change settings by the dialog, which a key opens."""
    program.contents.setFocus()
    program.key(Qt.Key.Key_Comma, Qt.KeyboardModifier.ControlModifier)
    dialog = program.window.findChild(SettingsDialog)
    assert dialog is not None
    for name, value in choices.items():
        if isinstance(value, bool):
            box = dialog.findChild(QCheckBox, f"settings_{name}")
            assert box is not None
            box.setChecked(value)
        elif name == "folder":
            field = dialog.findChild(QLineEdit, "settings_folder")
            assert field is not None
            field.setText(value)
        else:
            combo = dialog.findChild(QComboBox, f"settings_{name}")
            assert combo is not None
            assert combo.findData(value) >= 0
            combo.setCurrentIndex(combo.findData(value))
    buttons = dialog.findChild(QDialogButtonBox)
    assert buttons is not None
    buttons.button(QDialogButtonBox.StandardButton.Ok).click()


# -- limits of the speed ---------------------------------------------------------------------------------------------------


def test_a_limit_is_kept_over_a_restart_and_shown(program: Program, places: Places) -> None:
    limits_menu(program, "up")["2.0 MiB/s"].trigger()
    assert program.queue.limits == (2 * MIB, None)
    assert "2.0 MiB/s" in panel_of(program)._limit_text.text()

    kept = SettingsStore(places.settings_file).load()
    assert (kept.limit_up_bytes_per_s, kept.limit_down_bytes_per_s) == (2 * MIB, 0)
    assert limits_menu(program, "up")["2.0 MiB/s"].isChecked()
    limits_menu(program, "up")["No Limit"].trigger()
    assert SettingsStore(places.settings_file).load().limit_up_bytes_per_s == 0
    assert not panel_of(program)._limit_text.isVisible()


def test_a_limit_of_ones_own_is_typed_and_nonsense_is_refused(program: Program, places: Places) -> None:
    def type_in(text: str) -> None:
        limits_menu(program, "down")["Other…"].trigger()
        dialog = program.window.findChild(QInputDialog, "limit_dialog")
        assert dialog is not None
        dialog.setTextValue(text)
        dialog.accept()
        program.qtbot.waitUntil(lambda: program.window.findChild(QInputDialog, "limit_dialog") is None)

    type_in("1.5M")
    assert program.queue.limits == (None, 1536 * 1024)
    assert limits_menu(program, "down")["1.5 MiB/s"].isChecked()
    type_in("as fast as light")
    refused = program.window.findChild(QMessageBox, "limit_refused")
    assert refused is not None
    refused.reject()
    assert program.queue.limits == (None, 1536 * 1024)
    type_in("")
    assert not any(program.queue.limits)


@pytest.mark.parametrize(
    ("text", "rate"), [("500K", 500 * 1024), ("1,5 MiB/s", 1536 * 1024), ("7", 7), ("2g", 2 << 30)]
)
def test_speeds_are_read_as_they_are_typed_and_written_so(text: str, rate: int) -> None:
    assert rate_of(text) == rate
    assert rate_of(_typed(rate)) == rate


@pytest.mark.parametrize("text", ["", "0", "-1", "fast", "1.5.2M", "1T"])
def test_what_is_no_speed_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no speed"):
        rate_of(text)


def test_a_limit_that_cannot_be_saved_counts_and_is_told(
    program: Program, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object, **_values: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(program.application._settings_store, "change", refuse)
    program.queue.set_limits(MIB, None)

    assert program.queue.limits == (MIB, None)
    assert "No space left" in program.message


# -- how transfers are made ------------------------------------------------------------------------------------------------


def test_a_policy_that_is_set_is_not_asked_about_and_kept(program: Program, places: Places, tmp_path: Path) -> None:
    (tmp_path / "down").mkdir()
    (tmp_path / "down" / "a.txt").write_text("mine")
    change(program, policy="rename", folder=str(tmp_path / "down"))
    program.select("a.txt")
    program.application.actions["download"].trigger()

    assert state(program) is TransferState.DONE
    assert sorted(path.name for path in (tmp_path / "down").iterdir()) == ["a (2).txt", "a.txt"]
    assert (tmp_path / "down" / "a.txt").read_text() == "mine"
    kept = SettingsStore(places.settings_file).load()
    assert (kept.conflict_policy, kept.download_folder) == ("rename", str(tmp_path / "down"))


def test_settings_that_are_cancelled_change_nothing(program: Program, places: Places) -> None:
    before = SettingsStore(places.settings_file).load()
    program.application.actions["settings"].trigger()
    dialog = program.window.findChild(SettingsDialog)
    assert dialog is not None
    combo = dialog.findChild(QComboBox, "settings_policy")
    assert combo is not None
    combo.setCurrentIndex(3)
    QTest.keyClick(dialog, Qt.Key.Key_Escape)

    assert SettingsStore(places.settings_file).load() == before


def test_overwriting_by_setting_never_empties_a_file_that_is_copied_onto_itself(program: Program) -> None:
    change(program, policy="overwrite")
    program.queue.copy((program.folder().join("a.txt", is_folder=False),), program.folder())
    state(program)

    assert (program.remote / "a.txt").read_text() == "a.txt"


def test_links_go_as_they_are_set(program: Program, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_text("x")
    (tree / "link").symlink_to("file")
    change(program, links="skip")
    program.queue.upload((str(tree),), program.folder("empty/"))

    assert state(program) is TransferState.DONE
    assert [path.name for path in (program.remote / "empty" / "tree").iterdir()] == ["file"]


def test_permissions_are_kept_or_not_as_it_is_set(program: Program, tmp_path: Path) -> None:
    (program.remote / "a.txt").chmod(0o700)
    target = tmp_path / "down"
    target.mkdir()

    def mode_after() -> int:
        program.queue.download((program.folder().join("a.txt", is_folder=False),), str(target))
        assert state(program) is TransferState.DONE
        found = stat.S_IMODE((target / "a.txt").stat().st_mode)
        (target / "a.txt").unlink()
        return found

    assert mode_after() & 0o100
    change(program, permissions=False)
    assert not mode_after() & 0o100


def test_a_transfer_of_an_older_journal_has_the_rules_of_then() -> None:
    recipe = Recipe(TransferKind.UPLOAD, "c", (("/a", False),), "b/", links=LinkPolicy.SKIP, keep_permissions=False)
    values = recipe.to_json()
    assert Recipe.from_json("upload", values) == recipe
    del values["links"], values["keep_permissions"]
    old = Recipe.from_json("upload", values)

    assert (old.links, old.keep_permissions) == (LinkPolicy.FOLLOW_FILES, True)
