"""What unfinished transfers left behind: shown, and removed only after a question; what a queue needs is never shown."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QAbstractItemModelTester, QTest
from PySide6.QtWidgets import QCheckBox, QFileDialog, QLabel, QMessageBox, QPushButton, QTableView
from pytestqt.qtbot import QtBot

from kegbrowser.backends.locations import RemotePath
from kegbrowser.backends.sftp import SFTPStorage
from kegbrowser.backends.uploads import IncompleteUpload, UploadSpec
from kegbrowser.models.leftovers import LeftoverColumn, LeftoversModel
from kegbrowser.profiles.connections import Connection
from kegbrowser.profiles.places import Places
from kegbrowser.services.transfer import TransferKind, TransferState
from kegbrowser.transfer.events import Leftovers, LocalPart
from kegbrowser.transfer.journal import Journal
from kegbrowser.transfer.part_file import PartFile
from kegbrowser.transfer.records import SourceMark
from kegbrowser.ui.clean_up_dialog import CleanUpDialog
from tests.gui.conftest import Program
from tests.integration.sftp_places import opened
from tests.servers.sshd import SshdAddress

DAYS_AGO = time.time() - 3 * 86_400
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def part_of(target: Path, *, is_old: bool = True) -> Path:
    """The part file of a download that was given up."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = PartFile(str(target))
    part.write_at(b"half of it", 0)
    part.leave()
    if is_old:
        os.utime(part.path, (DAYS_AGO, DAYS_AGO))
    return Path(part.path)


def needed_by_a_queue(journal: Path, token: str) -> None:
    """Have a job of another window, which will go on, need something."""
    with Journal(journal) as opened_journal:
        job = opened_journal.open_job(opened_journal.add("download", {}))
        item = job.plan("a", "/b", SourceMark(10, 0), overwrite=False)
        job.begin(item, token, "/b")
        job.close()


def look(program: Program, folder: Path) -> CleanUpDialog:
    """Look below a local folder, by the menu."""
    program.application.actions["clean_downloads"].trigger()
    chooser = program.window.findChild(QFileDialog, "clean_up_chooser")
    assert chooser is not None
    chooser.fileSelected.emit(str(folder))
    chooser.reject()
    return looked(program)


def looked(program: Program) -> CleanUpDialog:
    """The dialog, once all is found."""
    program.qtbot.waitUntil(lambda: program.window.findChild(CleanUpDialog) is not None)
    dialog = program.window.findChild(CleanUpDialog)
    assert dialog is not None
    program.qtbot.waitUntil(lambda: button(dialog, "clean_up_again").isEnabled(), timeout=20_000)
    return dialog


def button(dialog: CleanUpDialog, name: str) -> QPushButton:
    found = dialog.findChild(QPushButton, name)
    assert found is not None
    return found


def status(dialog: CleanUpDialog) -> str:
    label = dialog.findChild(QLabel, "clean_up_status")
    assert label is not None
    return label.text()


def paths(dialog: CleanUpDialog) -> list[str]:
    return [str(dialog.model.index(row, 0).data()) for row in range(dialog.model.rowCount())]


def question(dialog: CleanUpDialog) -> QMessageBox:
    button(dialog, "clean_up_delete").click()
    found = dialog.findChild(QMessageBox, "clean_up_question")
    assert found is not None
    return found


def answer_yes(program: Program, box: QMessageBox) -> TransferState:
    yes = box.findChild(QPushButton, "confirm_delete")
    assert yes is not None
    with program.qtbot.waitSignal(program.queue.transfer_ended, timeout=20_000):
        yes.click()
    return program.queue.transfers()[-1].state


# -- local part files ------------------------------------------------------------------------------------------------------


def test_old_part_files_go_after_a_question_and_nothing_else(program: Program, tmp_path: Path) -> None:
    old, young = part_of(tmp_path / "d" / "old.bin"), part_of(tmp_path / "d" / "sub" / "young.bin", is_old=False)
    (tmp_path / "d" / "mine.kegpart").write_text("not one of ours")
    dialog = look(program, tmp_path / "d")
    assert sorted(paths(dialog)) == sorted([str(old), str(young)])
    assert "2 found" in status(dialog)
    assert "1 chosen" in status(dialog)
    box = question(dialog)
    assert box.defaultButton() is not box.findChild(QPushButton, "confirm_delete")

    assert answer_yes(program, box) is TransferState.DONE
    assert program.queue.transfers()[-1].kind is TransferKind.CLEAN_UP
    assert not old.exists()
    assert young.exists()
    assert (tmp_path / "d" / "mine.kegpart").exists()


def test_a_question_that_is_dismissed_leaves_everything(program: Program, tmp_path: Path) -> None:
    old = part_of(tmp_path / "d" / "old.bin")
    dialog = look(program, tmp_path / "d")
    QTest.keyClick(question(dialog), Qt.Key.Key_Escape)

    assert old.exists()
    assert program.queue.transfers() == ()
    assert dialog.isVisible()
    dialog.reject()


def test_what_a_queue_still_needs_is_never_shown(program: Program, places: Places, tmp_path: Path) -> None:
    mine, other = part_of(tmp_path / "d" / "mine.bin"), part_of(tmp_path / "d" / "other.bin")
    needed_by_a_queue(places.journal_file, f"4194304:{mine}")
    dialog = look(program, tmp_path / "d")

    assert paths(dialog) == [str(other)]
    dialog.reject()


def test_what_a_queue_began_to_need_meanwhile_is_left(program: Program, places: Places, tmp_path: Path) -> None:
    mine = part_of(tmp_path / "d" / "mine.bin")
    dialog = look(program, tmp_path / "d")
    box = question(dialog)
    needed_by_a_queue(places.journal_file, f"4194304:{mine}")

    assert answer_yes(program, box) is TransferState.DONE
    assert mine.exists()


def test_nothing_found_is_said_and_nothing_can_be_deleted(program: Program, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    dialog = look(program, tmp_path / "d")

    assert status(dialog) == "Nothing was left behind."
    assert not button(dialog, "clean_up_delete").isEnabled()
    part_of(tmp_path / "d" / "late.bin")
    button(dialog, "clean_up_again").click()
    program.qtbot.waitUntil(lambda: len(paths(dialog)) == 1, timeout=20_000)
    dialog.reject()


def test_a_folder_that_is_gone_is_told_and_can_be_looked_at_again(program: Program, tmp_path: Path) -> None:
    dialog = look(program, tmp_path / "missing")

    assert "missing" in status(dialog)
    assert not button(dialog, "clean_up_delete").isEnabled()
    (tmp_path / "missing").mkdir()
    button(dialog, "clean_up_again").click()
    program.qtbot.waitUntil(lambda: status(dialog) == "Nothing was left behind.", timeout=20_000)
    dialog.reject()


def test_space_chooses_and_the_box_chooses_all(program: Program, tmp_path: Path) -> None:
    part_of(tmp_path / "d" / "old.bin")
    part_of(tmp_path / "d" / "young.bin", is_old=False)
    dialog = look(program, tmp_path / "d")
    table, everything = dialog.findChild(QTableView), dialog.findChild(QCheckBox, "clean_up_all")
    assert table is not None
    assert everything is not None
    everything.click()
    assert "2 chosen" in status(dialog)
    everything.click()
    assert "0 chosen" in status(dialog)
    assert not button(dialog, "clean_up_delete").isEnabled()
    table.setFocus()
    table.setCurrentIndex(dialog.model.index(0, LeftoverColumn.PATH))
    QTest.keyClick(table, Qt.Key.Key_Space)
    assert "1 chosen" in status(dialog)
    everything.click()

    assert "in the last hour" in question(dialog).informativeText()
    dialog.reject()


# -- uploads ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def storage(sshd_server: SshdAddress) -> Iterator[SFTPStorage]:
    with opened(sshd_server) as made:
        yield made


def test_incomplete_uploads_of_a_connection_are_removed_and_files_are_not(
    program: Program, sshd_server: SshdAddress, storage: SFTPStorage, places: Places, tmp_path: Path
) -> None:
    folder = tmp_path.name
    storage.make_folder(f"{folder}/")
    with storage.open(f"{folder}/whole", "wb") as file:
        file.write(b"whole")
    storage.begin_upload(UploadSpec(f"{folder}/half", 100)).leave()
    storage.begin_upload(UploadSpec(f"{folder}/needed", 100)).leave()
    tokens = {one.path: one.token for one in storage.incomplete_uploads(f"{folder}/")}
    needed_by_a_queue(places.journal_file, tokens[f"{folder}/needed"])
    options = {
        "host": sshd_server.host,
        "port": str(sshd_server.port),
        "username": sshd_server.username,
        "auth": "key",
        "key_filename": sshd_server.key_file,
        "known_hosts": sshd_server.known_hosts_file,
    }
    server = Connection.new("sftp", "Server", options)
    with program.qtbot.waitSignal(program.application.connections.connection_saved, timeout=20_000):
        program.application.connections.save(server, options)
    root = f"{sshd_server.root.strip('/')}/{folder}/"
    program.application.navigation.go_to(RemotePath.folder(server.connection_id, root))
    program.qtbot.waitUntil(lambda: "whole" in program.names(), timeout=20_000)
    program.application.actions["clean_uploads"].trigger()
    dialog = looked(program)
    assert [Path(path).name for path in paths(dialog)] == ["half"]
    box = dialog.findChild(QCheckBox, "clean_up_all")
    assert box is not None
    box.setChecked(False)
    box.click()

    assert answer_yes(program, question(dialog)) is TransferState.DONE
    assert [one.path for one in storage.incomplete_uploads(f"{folder}/")] == [f"{folder}/needed"]
    with storage.open(f"{folder}/whole", "rb") as whole:
        assert whole.read(10) == b"whole"


# -- the table -------------------------------------------------------------------------------------------------------------


def found(number: int, *, hours: float | None, size: int | None = 1) -> IncompleteUpload:
    begun = None if hours is None else NOW - timedelta(hours=hours)
    return IncompleteUpload(f"d/file {number}", f"token {number}", begun, size)


def test_ages_are_told_and_what_is_young_or_unknown_is_not_chosen(qtbot: QtBot) -> None:
    model = LeftoversModel(now=NOW)
    QAbstractItemModelTester(model, QAbstractItemModelTester.FailureReportingMode.Warning, model)
    model.add(
        Leftovers(
            (
                found(1, hours=24 * 40),
                found(2, hours=1.5),
                found(3, hours=0.2),
                found(4, hours=None, size=None),
                found(5, hours=-1),
            ),
            (LocalPart("/x\u202ey", 2048, NOW - timedelta(days=2)),),
        )
    )

    ages = [model.index(row, LeftoverColumn.AGE).data() for row in range(6)]
    assert ages == ["40 days ago", "1 hour ago", "12 minutes ago", "unknown", "0 minutes ago", "2 days ago"]
    assert [one.path for one in model.chosen().uploads] == ["d/file 1", "d/file 2"]
    assert len(model.chosen().local_parts) == 1
    assert model.sums(only_chosen=False) == (6, 2052, 3)
    assert model.index(5, LeftoverColumn.PATH).data() == "/x\\u202ey"
    model.sort(LeftoverColumn.SIZE, Qt.SortOrder.DescendingOrder)
    assert model.index(0, LeftoverColumn.SIZE).data() == "2.0 KiB"
    assert model.index(5, LeftoverColumn.SIZE).data() == ""
    model.sort(LeftoverColumn.AGE)
    assert model.index(0, LeftoverColumn.AGE).data() == "unknown"


def test_a_hundred_thousand_are_shown_and_chosen_at_once(qtbot: QtBot) -> None:
    model = LeftoversModel(now=NOW)
    model.add(Leftovers(tuple(found(number, hours=48) for number in range(100_000))))
    begun = time.perf_counter()
    model.choose_all(chosen=False)
    model.choose_all(chosen=True)
    model.sort(LeftoverColumn.PATH, Qt.SortOrder.DescendingOrder)

    assert len(model.chosen().uploads) == 100_000
    assert time.perf_counter() - begun < 5
