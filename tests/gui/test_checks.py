"""Verify again, compare with this computer, manifests: by the window, with the real engine."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QCheckBox, QDialog, QFileDialog, QLineEdit, QPushButton

from kegbrowser.models.transfers import TransfersModel
from kegbrowser.services.transfer import Transfer, TransferKind, TransferState
from kegbrowser.transfer.jobs import ConflictPolicy
from kegbrowser.ui.compare_dialog import CompareDialog
from kegbrowser.ui.transfer_panel import TransferPanel
from tests.gui.conftest import Program


@pytest.fixture
def here(tmp_path: Path) -> Path:
    made = tmp_path / "here"
    made.mkdir()
    return made


def newest(program: Program) -> Transfer:
    """The last transfer, once it has ended."""
    program.qtbot.waitUntil(lambda: program.queue.transfers()[-1].state.is_final, timeout=20_000)
    return program.queue.transfers()[-1]


def panel_of(program: Program) -> TransferPanel:
    found = program.window.findChild(TransferPanel)
    assert found is not None
    return found


def status(program: Program, transfer: Transfer) -> str:
    model = panel_of(program).table.model()
    assert isinstance(model, TransfersModel)
    return model.status(transfer)


def downloaded(program: Program, here: Path, policy: ConflictPolicy = ConflictPolicy.ASK) -> Transfer:
    program.queue.download((program.folder("folder/"),), str(here), policy)
    return newest(program)


def shown(program: Program) -> CompareDialog:
    program.qtbot.waitUntil(lambda: program.window.findChild(CompareDialog) is not None)
    found = program.window.findChild(CompareDialog)
    assert found is not None
    return found


def confirm(program: Program, *, read_whole: bool = False) -> Transfer:
    """Confirm the question, and give the check when it has ended."""
    dialog = shown(program)
    box = dialog.findChild(QCheckBox, "compare_read_whole")
    go = dialog.findChild(QPushButton, "compare_go")
    assert box is not None
    assert go is not None
    box.setChecked(read_whole)
    with program.qtbot.waitSignal(program.queue.transfer_added, timeout=20_000):
        go.click()
    return newest(program)


def verify(program: Program, *, read_whole: bool = True) -> Transfer:
    """Verify the newest transfer by the key of the panel."""
    table = panel_of(program).table
    table.setFocus()
    table.selectRow(0)
    QTest.keyClick(table, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    return confirm(program, read_whole=read_whole)


# -- verify again ----------------------------------------------------------------------------------------------------------


def test_a_download_that_is_as_it_came_is_the_same(program: Program, here: Path) -> None:
    assert downloaded(program, here).state is TransferState.DONE
    found = verify(program)

    assert (found.kind, found.state) == (TransferKind.VERIFY, TransferState.DONE)
    assert status(program, found).startswith("All the same, verified by")
    assert found.report is not None
    assert found.report.files_done == 1


def test_a_file_that_was_changed_since_is_named_and_left_as_it_is(program: Program, here: Path) -> None:
    downloaded(program, here)
    (here / "folder" / "inner.txt").write_text("rotte")
    found = verify(program)

    assert found.state is TransferState.INCOMPLETE
    assert status(program, found).startswith("1 not the same: “inner.txt” differs:")
    assert (here / "folder" / "inner.txt").read_text() == "rotte"
    assert (program.remote / "folder" / "inner.txt").read_text() == "inner"


def test_a_file_that_is_gone_since_is_missing(program: Program, here: Path) -> None:
    downloaded(program, here)
    (here / "folder" / "inner.txt").unlink()
    found = verify(program)

    assert "“inner.txt” is missing here" in status(program, found)


def test_what_was_kept_beside_an_older_file_is_what_is_compared(program: Program, here: Path) -> None:
    (here / "folder").mkdir()
    (here / "folder" / "inner.txt").write_text("older")
    downloaded(program, here, ConflictPolicy.RENAME)
    found = verify(program)

    assert found.state is TransferState.DONE, found.failures
    assert found.report is not None
    assert found.report.files_done == 1


def test_an_upload_is_compared_with_where_it_came_from(program: Program, here: Path) -> None:
    (here / "tree" / "below").mkdir(parents=True)
    (here / "tree" / "below" / "one").write_text("1")
    (here / "two").write_text("2")
    program.queue.upload((str(here / "tree"), str(here / "two")), program.folder("empty/"))
    newest(program)
    (program.remote / "empty" / "two").write_text("3")
    found = verify(program)

    assert found.state is TransferState.INCOMPLETE
    assert [Path(failure.path).name for failure in found.failures] == ["two"]
    assert found.report is not None
    assert found.report.files_done == 1


def test_a_check_is_neither_paused_nor_opened_nor_verified(program: Program, here: Path) -> None:
    downloaded(program, here)
    found = verify(program)
    panel = panel_of(program)
    panel.table.selectRow(0)
    QTest.keyClick(panel.table, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    program.queue.pause(found.transfer_id)

    assert program.window.findChildren(CompareDialog) == []
    assert newest(program).state is TransferState.DONE


def test_a_check_can_be_tried_again_and_removed(program: Program, here: Path) -> None:
    downloaded(program, here)
    (here / "folder" / "inner.txt").write_text("rotte")
    found = verify(program)
    (here / "folder" / "inner.txt").write_text("inner")
    program.queue.retry(found.transfer_id)

    assert newest(program).state is TransferState.DONE
    program.queue.remove_ended()
    assert program.queue.transfers() == ()


# -- with this computer ----------------------------------------------------------------------------------------------------


def test_a_folder_is_compared_with_a_local_one_and_what_is_extra_is_told(program: Program, here: Path) -> None:
    (here / "deeper").mkdir()
    (here / "inner.txt").write_text("inner")
    (here / "extra.txt").write_text("x")
    program.select("folder")
    program.key(Qt.Key.Key_M, Qt.KeyboardModifier.ControlModifier)
    field = shown(program).findChild(QLineEdit, "compare_local")
    assert field is not None
    field.setText(str(here))
    found = confirm(program, read_whole=True)

    assert [Path(failure.path).name for failure in found.failures] == ["extra.txt"]
    assert "missing at the storage" in status(program, found)


def test_several_are_looked_for_under_their_names(program: Program, here: Path) -> None:
    (here / "a.txt").write_text("a.txt")
    (here / "other.txt").write_text("not asked about")
    program.select("a.txt", "b.txt")
    program.application.actions["compare"].trigger()
    field = shown(program).findChild(QLineEdit, "compare_local")
    assert field is not None
    field.setText(str(here))
    found = confirm(program)

    assert [failure.path for failure in found.failures] == ["b.txt"]
    assert "missing here" in status(program, found)


def test_a_place_that_is_not_there_cannot_be_compared_with(program: Program, here: Path) -> None:
    program.application.actions["compare"].trigger()
    dialog = shown(program)
    field = dialog.findChild(QLineEdit, "compare_local")
    go = dialog.findChild(QPushButton, "compare_go")
    assert field is not None
    assert go is not None
    for text in (str(here / "missing"), ""):
        field.setText(text)
        assert not go.isEnabled()
    field.setText(str(here))
    assert go.isEnabled()
    QTest.keyClick(dialog, Qt.Key.Key_Escape)

    assert program.queue.transfers() == ()


def test_a_connection_that_is_chosen_in_the_tree_is_what_is_compared(program: Program, here: Path) -> None:
    program.go_to("folder/")
    tree = program.application.browser.tree
    model = program.application.tree
    tree.setFocus()
    tree.selectionModel().setCurrentIndex(
        model.index_of(program.folder()), tree.selectionModel().SelectionFlag.ClearAndSelect
    )
    for name in ("a.txt", "b.txt", "photo.jpg"):
        (here / name).write_text(name)
    (here / "empty").mkdir()
    (here / "folder" / "deeper").mkdir(parents=True)
    (here / "folder" / "inner.txt").write_text("inner")
    program.application.actions["compare"].trigger()
    field = shown(program).findChild(QLineEdit, "compare_local")
    assert field is not None
    field.setText(str(here))
    found = confirm(program, read_whole=True)

    assert found.state is TransferState.DONE, found.failures
    assert found.report is not None
    assert found.report.files_done == 4


def test_several_that_differ_are_counted_in_the_message(program: Program, here: Path) -> None:
    program.select("a.txt", "b.txt", "photo.jpg")
    program.application.actions["compare"].trigger()
    field = shown(program).findChild(QLineEdit, "compare_local")
    assert field is not None
    field.setText(str(here))
    confirm(program)

    assert program.message.endswith("2 more are not the same.")


# -- manifests -------------------------------------------------------------------------------------------------------------


def chooser_named(program: Program, name: str) -> QFileDialog:
    program.qtbot.waitUntil(lambda: program.window.findChild(QDialog, name) is not None, timeout=20_000)
    found = program.window.findChild(QFileDialog, name)
    assert found is not None
    return found


@pytest.mark.parametrize("name", ["sums.sha256", "sums.csv"])
def test_a_manifest_is_saved_and_finds_later_what_has_changed(program: Program, here: Path, name: str) -> None:
    program.select("folder")
    program.key(Qt.Key.Key_S, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    chooser = chooser_named(program, "save_manifest_chooser")
    chooser.fileSelected.emit(str(here / name))
    chooser.reject()
    saved = newest(program)
    assert (saved.kind, status(program, saved)) == (TransferKind.MANIFEST, "Saved")
    assert "inner.txt" in (here / name).read_text()

    def check() -> Transfer:
        program.application.actions["check_manifest"].trigger()
        other = chooser_named(program, "check_manifest_chooser")
        other.fileSelected.emit(str(here / name))
        other.reject()
        program.qtbot.waitUntil(lambda: program.window.findChild(QFileDialog, "check_manifest_chooser") is None)
        return newest(program)

    program.select("folder")
    assert status(program, check()).startswith("All the same")
    (program.remote / "folder" / "inner.txt").write_text("INNER")
    program.select("folder")
    assert "inner.txt" in status(program, check())


def test_what_is_no_manifest_is_told(program: Program, here: Path) -> None:
    (here / "x.sha256").write_text("this is no manifest\n")
    program.application.actions["check_manifest"].trigger()
    chooser = chooser_named(program, "check_manifest_chooser")
    chooser.fileSelected.emit(str(here / "x.sha256"))
    chooser.reject()
    found = newest(program)

    assert found.state in (TransferState.FAILED, TransferState.INCOMPLETE)
    assert program.message
