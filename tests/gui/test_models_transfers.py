"""The table of transfers: each state has its words, and the newest is at the top. Qt's own tester watches along."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QAbstractItemModelTester

from kegbrowser.backends.errors import PermissionDenied
from kegbrowser.models.transfers import FRACTION_ROLE, TRANSFER_ROLE, TransferColumn, TransfersModel
from kegbrowser.services.jobs import JobRunner
from kegbrowser.services.transfer import Transfer, TransferKind, TransferState
from kegbrowser.services.transfers import TransferQueue
from kegbrowser.transfer.events import Checked, Failure, JobReport, Progress

GIB = 2**30
DENIED = PermissionDenied("“x” may not be read.", hint="Ask the owner.")
UPLOAD = Transfer(1, TransferKind.UPLOAD, ("photo.jpg",), None)


@pytest.fixture
def queue(qapp: object) -> TransferQueue:
    """A queue that starts nothing: the test tells its signals."""
    return TransferQueue(cast("JobRunner", None), lambda _connection_id: None)  # type: ignore[arg-type,return-value]


@pytest.fixture
def model(queue: TransferQueue) -> TransfersModel:
    made = TransfersModel(queue)
    QAbstractItemModelTester(made, QAbstractItemModelTester.FailureReportingMode.Warning, made)
    return made


def texts(model: TransfersModel, row: int = 0) -> dict[TransferColumn, str]:
    return {column: str(model.index(row, column).data()) for column in TransferColumn}


def test_the_newest_is_at_the_top_and_rows_come_change_and_go(queue: TransferQueue, model: TransfersModel) -> None:
    for number in (1, 2, 3):
        queue.transfer_added.emit(replace(UPLOAD, transfer_id=number, names=(f"file {number}",)))
    queue.transfer_changed.emit(replace(UPLOAD, transfer_id=2, names=("changed",)))
    queue.transfer_changed.emit(replace(UPLOAD, transfer_id=99))
    assert [texts(model, row)[TransferColumn.NAME] for row in range(3)] == [
        "Upload file 3",
        "Upload changed",
        "Upload file 1",
    ]
    queue.transfer_removed.emit(2)
    queue.transfer_removed.emit(99)
    assert [model.transfer_at(row).transfer_id for row in range(model.rowCount())] == [3, 1]
    for number in (1, 3):
        queue.transfer_removed.emit(number)
    assert model.rowCount() == 0


@pytest.mark.parametrize(
    ("transfer", "status", "fraction"),
    [
        (UPLOAD, "Waiting", 0),
        (replace(UPLOAD, state=TransferState.PREPARING), "Counting…", -1),
        (
            replace(UPLOAD, state=TransferState.RUNNING, progress=Progress(1, 4 * GIB, True, bytes_done=3 * GIB)),
            "Running",
            750,
        ),
        (
            replace(
                UPLOAD, state=TransferState.RUNNING, progress=Progress(2, 4 * GIB, bytes_done=9 * GIB, current="x\ny")
            ),
            "x\\x0ay",
            1000,
        ),
        (replace(UPLOAD, state=TransferState.ASKING), "Waits for your answer", -1),
        (replace(UPLOAD, state=TransferState.STOPPING), "Stopping…", -1),
        (replace(UPLOAD, state=TransferState.CANCELLED), "Cancelled", 0),
        (replace(UPLOAD, state=TransferState.FAILED, error=DENIED), "“x” may not be read.", 0),
        (
            replace(
                UPLOAD,
                state=TransferState.INCOMPLETE,
                failures=(Failure("x", DENIED),),
                report=JobReport(2, 2, 1, 1, files_failed=1),
            ),
            "1 failed: “x” may not be read.",
            0,
        ),
        (replace(UPLOAD, state=TransferState.DONE), "Done", 1000),
        (
            replace(
                UPLOAD,
                state=TransferState.DONE,
                report=JobReport(3, 1, 1, 1, files_skipped=2, check="CRC32C", checked=Checked(verified=1)),
            ),
            "Done, verified by CRC32C, 2 skipped",
            1000,
        ),
        (
            replace(UPLOAD, kind=TransferKind.DELETE, state=TransferState.RUNNING, progress=Progress(4, 0, True, 1)),
            "Running",
            250,
        ),
    ],
    ids=lambda value: value.state.value if isinstance(value, Transfer) else None,
)
def test_each_state_has_its_words_and_its_share(
    queue: TransferQueue, model: TransfersModel, transfer: Transfer, status: str, fraction: int
) -> None:
    queue.transfer_added.emit(UPLOAD)
    queue.transfer_changed.emit(transfer)
    index = model.index(0, TransferColumn.STATUS)

    assert index.data() == index.data(Qt.ItemDataRole.AccessibleTextRole) == status
    assert index.data(FRACTION_ROLE) == fraction
    assert index.data(TRANSFER_ROLE) == transfer


def test_amounts_speed_and_time_left_are_told_for_people(queue: TransferQueue, model: TransfersModel) -> None:
    progress = Progress(12_480, 6 * GIB, True, files_done=1_000, bytes_done=3 * GIB)
    running = replace(
        UPLOAD, state=TransferState.RUNNING, progress=progress, rate_bytes_per_s=2.5 * 2**20, remaining_s=3_720.0
    )
    queue.transfer_added.emit(running)
    told = texts(model)

    assert told[TransferColumn.PROGRESS] == "3.0 GiB of 6.0 GiB · 1,000/12,480 files"
    assert told[TransferColumn.SPEED] == "2.5 MiB/s"
    assert told[TransferColumn.REMAINING] == "1 h 2 min"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (9, "9 s"), (14, "10 s"), (59, "60 s"), (61, "1 min"), (100, "2 min"), (7_260, "2 h 1 min")],
)
def test_the_time_left_is_rounded_so_that_it_does_not_jump(model: TransfersModel, seconds: float, text: str) -> None:
    assert model.duration(seconds) == text


@pytest.mark.parametrize(
    ("kind", "names", "title"),
    [
        (TransferKind.DOWNLOAD, ("a",), "Download a"),
        (TransferKind.COPY, ("a", "b", "c"), "Copy a and 2 more"),
        (TransferKind.MOVE, ("100%s done",), "Move 100%s done"),
        (TransferKind.DELETE, ("",), "Delete everything"),
        (TransferKind.VERIFY, ("a", "b"), "Verify a and 1 more"),
        (TransferKind.CLEAN_UP, ("",), "Clean up"),
        (TransferKind.RENAME, ("\u202eexe",), "Rename \\u202eexe"),
    ],
)
def test_the_title_says_what_is_done_with_what(
    model: TransfersModel, kind: TransferKind, names: tuple[str, ...], title: str
) -> None:
    assert model.title(replace(UPLOAD, kind=kind, names=names)) == title


def test_the_tool_tip_gives_each_reason_once_and_the_hint(queue: TransferQueue, model: TransfersModel) -> None:
    failures = tuple(Failure(str(number), DENIED) for number in range(3))
    queue.transfer_added.emit(replace(UPLOAD, state=TransferState.FAILED, error=DENIED, failures=failures))

    tip = model.index(0, 0).data(Qt.ItemDataRole.ToolTipRole)
    assert tip == "Upload photo.jpg\n“x” may not be read.\nAsk the owner."
