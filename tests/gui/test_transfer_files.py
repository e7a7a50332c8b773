"""The files of a transfer in the panel: read from the journal a page at a time, however many there are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QAbstractItemModelTester, QTest
from pytestqt.qtbot import QtBot

from kegbrowser.backends.errors import PermissionDenied
from kegbrowser.backends.proofs import Certainty, Proof
from kegbrowser.models.transfers import FRACTION_ROLE, TransferColumn, TransfersModel
from kegbrowser.services.items import ItemsReader
from kegbrowser.services.jobs import JobRunner
from kegbrowser.services.transfer import Transfer, TransferKind, TransferState
from kegbrowser.services.transfers import TransferQueue
from kegbrowser.transfer.events import Progress, RunningItem
from kegbrowser.transfer.journal import Journal
from kegbrowser.transfer.records import ItemEnd, ItemState, SourceMark
from kegbrowser.ui.transfer_panel import TransferPanel

FILES = 5_000


class _World:
    """A queue that starts nothing, over a journal with one job of many files."""

    def __init__(self, folder: Path) -> None:
        self.journal = Journal(folder / "journal.sqlite")
        self.job_id = self.journal.add("upload", {})
        self._fill()
        self.queue = TransferQueue(cast("JobRunner", None), lambda _id: None)  # type: ignore[arg-type,return-value]
        self.reader = ItemsReader(folder / "journal.sqlite")
        self.model = TransfersModel(self.queue, None, self.reader)
        QAbstractItemModelTester(self.model, QAbstractItemModelTester.FailureReportingMode.Warning, self.model)
        self.transfer = Transfer(
            1, TransferKind.UPLOAD, ("d",), None, state=TransferState.RUNNING, journal_id=self.job_id
        )
        self.queue.transfer_added.emit(replace(self.transfer, transfer_id=2, journal_id=None))
        self.queue.transfer_added.emit(self.transfer)

    def _fill(self) -> None:
        with_proof = {
            0: ItemEnd(ItemState.DONE, proof=Proof.verified("CRC-32")),
            1: ItemEnd(ItemState.DONE, proof=Proof.size_only("the server computes no checksums")),
            2: ItemEnd(ItemState.DONE, proof=Proof(Certainty.UNVERIFIABLE, reason="the server copied it by itself")),
            3: ItemEnd(ItemState.FAILED, error=PermissionDenied("“x” may not be read.", hint="Ask the owner.")),
            4: ItemEnd(ItemState.SKIPPED),
        }
        memory = self.journal.open_job(self.job_id)
        for number in range(FILES):
            item = memory.plan(f"/from/file {number}", f"to/file {number}", SourceMark(1024, 0), overwrite=False)
            if number < 1_000:
                memory.end(item, with_proof[number % 5])
        memory.close()

    def text(self, row: int, column: TransferColumn) -> str:
        return str(self.model.index(row, column).data())

    def close(self) -> None:
        row = self.model.row_of(1)
        if row is not None:
            self.model.set_open(row, is_open=False)
        self.reader.close()
        self.journal.close()


@pytest.fixture
def world(qapp: object, tmp_path: Path) -> Iterator[_World]:
    made = _World(tmp_path)
    yield made
    made.close()


def _open(world: _World, qtbot: QtBot) -> None:
    world.model.set_open(0, is_open=True)
    qtbot.waitUntil(lambda: world.model.rowCount() == FILES + 2)


def test_files_follow_their_transfer_with_their_honest_states(world: _World, qtbot: QtBot) -> None:
    _open(world, qtbot)
    assert world.text(1, TransferColumn.NAME) == "…"
    qtbot.waitUntil(lambda: world.text(1, TransferColumn.NAME) == "file 0")

    assert [world.text(row, TransferColumn.STATUS) for row in range(1, 6)] == [
        "Verified by CRC-32",
        "Size only: the server computes no checksums",
        "Not verifiable here: the server copied it by itself",
        "FAILED: “x” may not be read.",
        "Skipped",
    ]
    assert "Ask the owner." in str(world.model.index(4, 0).data(Qt.ItemDataRole.ToolTipRole))
    assert world.model.transfer_at(FILES + 1).transfer_id == 2
    world.text(FILES, TransferColumn.NAME)
    qtbot.waitUntil(lambda: world.text(FILES, TransferColumn.NAME) == f"file {FILES - 1}")
    assert world.text(FILES, TransferColumn.STATUS) == "Waiting"


def test_running_file_shows_how_far_it_is(world: _World, qtbot: QtBot) -> None:
    _open(world, qtbot)
    world.text(1_001, TransferColumn.NAME)
    qtbot.waitUntil(lambda: world.text(1_001, TransferColumn.NAME) == "file 1000")

    running = Progress(FILES, 1, True, running=(RunningItem(1_000, "file 1000", 256, 1024),))
    world.queue.transfer_changed.emit(replace(world.transfer, progress=running))

    assert world.text(1_001, TransferColumn.STATUS) == "Moving"
    assert world.model.index(1_001, 1).data(FRACTION_ROLE) == 250


def test_only_those_that_failed_can_be_shown(world: _World, qtbot: QtBot) -> None:
    _open(world, qtbot)
    world.model.set_only_failed(0, only_failed=True)
    qtbot.waitUntil(lambda: world.model.rowCount() == 202)
    world.text(200, TransferColumn.NAME)
    qtbot.waitUntil(lambda: world.text(200, TransferColumn.NAME) == "file 998")

    world.model.set_only_failed(0, only_failed=False)
    qtbot.waitUntil(lambda: world.model.rowCount() == FILES + 2)


def test_transfer_may_close_change_or_go_while_it_is_open(world: _World, qtbot: QtBot) -> None:
    _open(world, qtbot)
    world.queue.transfer_changed.emit(replace(world.transfer, state=TransferState.DONE))
    world.queue.transfers_arranged.emit((1, 2))
    assert world.model.transfer_at(0).transfer_id == 2
    assert world.model.rowCount() == FILES + 2
    world.model.set_open(1, is_open=False)
    assert world.model.rowCount() == 2
    world.model.set_open(1, is_open=True)
    world.queue.transfer_removed.emit(1)
    qtbot.wait(200)

    assert world.model.rowCount() == 1


def test_panel_opens_and_closes_by_keys(world: _World, qtbot: QtBot) -> None:
    panel = TransferPanel(world.model, world.queue)
    qtbot.addWidget(panel)
    panel.resize(900, 300)
    panel.show()
    panel.table.selectRow(0)
    panel.table.setFocus()

    QTest.keyClick(panel.table, Qt.Key.Key_Right)
    qtbot.waitUntil(lambda: world.model.rowCount() == FILES + 2)
    panel.table.selectRow(3)
    QTest.keyClick(panel.table, Qt.Key.Key_Left)
    assert panel.table.currentIndex().row() == 0
    QTest.keyClick(panel.table, Qt.Key.Key_Left)

    assert world.model.rowCount() == 2
