"""The queue outlives the window, its helpers and the network; two windows never run the same transfer."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from kegbrowser.backends.errors import ConnectionLost
from kegbrowser.backends.locations import RemotePath
from kegbrowser.services.transfer import Transfer, TransferState
from kegbrowser.services.transfers import TransferQueue
from kegbrowser.transfer.jobs import ConflictPolicy
from kegbrowser.transfer.journal import JobState, Journal
from tests.doubles.services import Services

MIB = 1024 * 1024
BIG = 96 * MIB
RATE = 24 * MIB

Open = Callable[[], Services]


@pytest.fixture
def journal_file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.sqlite"


@pytest.fixture
def open_window(tmp_path: Path, journal_file: Path) -> Iterator[Open]:
    """Opens the services of one more window; closing the stack closes them all."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(Services(tmp_path / "places", journal_file))


@pytest.fixture
def content(tmp_path: Path) -> str:
    """A big file in the place `c`; gives its SHA-256."""
    place = tmp_path / "places" / "c" / "d"
    place.mkdir(parents=True)
    data = os.urandom(BIG)
    (place / "big").write_bytes(data)
    for number in range(20):
        (place / f"small {number}").write_bytes(b"x" * number)
    return hashlib.sha256(data).hexdigest()


def _download(window: Services, to: Path) -> int:
    source = RemotePath.folder("c", "d/")
    return window.queue.download((source,), str(to), ConflictPolicy.OVERWRITE)[0]


def _of(queue: TransferQueue, transfer_id: int) -> Transfer:
    return next(one for one in queue.transfers() if one.transfer_id == transfer_id)


def _half_way(window: Services, transfer_id: int, qtbot: QtBot) -> None:
    qtbot.waitUntil(lambda: _of(window.queue, transfer_id).progress.bytes_done > 48 * MIB, timeout=30_000)


def _wait_for_end(window: Services, qtbot: QtBot) -> Transfer:
    qtbot.waitUntil(lambda: all(one.state.is_final for one in window.queue.transfers()), timeout=60_000)
    (only,) = window.queue.transfers()
    return only


def _arrived(to: Path) -> str:
    return hashlib.sha256((to / "d" / "big").read_bytes()).hexdigest()


def _left_over(to: Path) -> list[Path]:
    return list(to.rglob("*.kegpart"))


def test_transfer_goes_on_in_the_next_window_from_where_it_was(
    open_window: Open, content: str, tmp_path: Path, qtbot: QtBot
) -> None:
    to = tmp_path / "to"
    first = open_window()
    first.queue.set_limits(None, RATE)
    _half_way(first, _download(first, to), qtbot)
    first.queue.shut_down()
    assert len(_left_over(to)) == 1

    second = open_window()
    second.queue.restore()
    qtbot.waitUntil(lambda: bool(second.queue.transfers()), timeout=10_000)
    ended = _wait_for_end(second, qtbot)

    assert ended.state is TransferState.DONE
    assert ended.report is not None
    assert ended.report.bytes_resumed >= 16 * MIB
    assert ended.progress.bytes_moved <= BIG - 16 * MIB + MIB
    assert _arrived(to) == content
    assert _left_over(to) == []


def test_killed_helper_is_replaced_and_the_transfer_goes_on(
    open_window: Open, content: str, tmp_path: Path, qtbot: QtBot
) -> None:
    to = tmp_path / "to"
    window = open_window()
    window.queue.set_limits(None, RATE)
    _half_way(window, _download(window, to), qtbot)

    for pid in window.pool.pids():
        os.kill(pid, signal.SIGKILL)
    window.queue.set_limits(None, None)
    ended = _wait_for_end(window, qtbot)

    assert ended.state is TransferState.DONE
    assert ended.report is not None
    assert ended.report.bytes_resumed >= 16 * MIB
    assert _arrived(to) == content
    assert _left_over(to) == []


def test_paused_transfer_holds_still_and_goes_on(open_window: Open, content: str, tmp_path: Path, qtbot: QtBot) -> None:
    to = tmp_path / "to"
    window = open_window()
    window.queue.set_limits(None, RATE)
    transfer_id = _download(window, to)
    _half_way(window, transfer_id, qtbot)

    window.queue.pause(transfer_id)
    assert _of(window.queue, transfer_id).state is TransferState.PAUSED
    qtbot.wait(500)
    before = _of(window.queue, transfer_id).progress.bytes_moved
    qtbot.wait(500)
    assert _of(window.queue, transfer_id).progress.bytes_moved == before
    assert not window.queue.is_busy()

    window.queue.set_limits(None, None)
    window.queue.resume(transfer_id)
    assert _wait_for_end(window, qtbot).state is TransferState.DONE
    assert _arrived(to) == content


def test_paused_transfer_stays_paused_in_the_next_window_and_leaves_nothing_when_it_is_cancelled(
    open_window: Open, content: str, tmp_path: Path, qtbot: QtBot
) -> None:
    to = tmp_path / "to"
    first = open_window()
    first.queue.set_limits(None, RATE)
    transfer_id = _download(first, to)
    _half_way(first, transfer_id, qtbot)
    first.queue.pause(transfer_id)
    first.queue.shut_down()

    second = open_window()
    second.queue.restore()
    qtbot.waitUntil(lambda: bool(second.queue.transfers()), timeout=10_000)
    (restored,) = second.queue.transfers()
    assert restored.state is TransferState.PAUSED
    second.queue.cancel(restored.transfer_id)

    assert _of(second.queue, restored.transfer_id).state is TransferState.CANCELLED
    qtbot.waitUntil(lambda: _left_over(to) == [], timeout=20_000)


def test_two_windows_never_run_the_same_transfer(
    open_window: Open, content: str, tmp_path: Path, journal_file: Path, qtbot: QtBot
) -> None:
    to = tmp_path / "to"
    first, second = open_window(), open_window()
    first.queue.set_limits(None, RATE)
    _half_way(first, _download(first, to), qtbot)

    second.queue.restore()
    qtbot.wait(1_000)

    assert second.queue.transfers() == ()
    first.queue.set_limits(None, None)
    assert _wait_for_end(first, qtbot).state is TransferState.DONE
    assert _arrived(to) == content
    with Journal(journal_file) as journal:
        assert [job.state for job in journal.jobs()] == [JobState.DONE]


def test_network_that_is_away_is_waited_for(open_window: Open, content: str, tmp_path: Path, qtbot: QtBot) -> None:
    to = tmp_path / "to"
    window = open_window()
    window.refusal = ConnectionLost("The server cannot be reached.")
    transfer_id = _download(window, to)
    qtbot.waitUntil(lambda: "Trying again" in _of(window.queue, transfer_id).notice, timeout=10_000)
    assert _of(window.queue, transfer_id).state is TransferState.WAITING

    window.refusal = None
    window.queue.resume(transfer_id)

    assert _wait_for_end(window, qtbot).state is TransferState.DONE
    assert _arrived(to) == content


def test_deletion_that_was_interrupted_is_not_repeated_by_itself(
    open_window: Open, tmp_path: Path, journal_file: Path, qtbot: QtBot
) -> None:
    first = open_window()
    path = first.file("d/file")
    first.queue.delete((path,))
    with qtbot.waitSignal(first.queue.prompt_raised, timeout=20_000):
        pass
    first.queue.shut_down()

    second = open_window()
    second.queue.restore()
    qtbot.waitUntil(lambda: bool(second.queue.transfers()), timeout=10_000)
    (restored,) = second.queue.transfers()

    assert restored.state is TransferState.FAILED
    assert restored.error is not None
    assert "interrupted" in restored.error.message
    assert (tmp_path / "places" / "c" / "d" / "file").exists()


def test_ended_transfers_are_remembered_until_they_are_removed(open_window: Open, tmp_path: Path, qtbot: QtBot) -> None:
    first = open_window()
    first.file("d/file")
    _download(first, tmp_path / "to")
    assert _wait_for_end(first, qtbot).state is TransferState.DONE
    first.queue.shut_down()

    second = open_window()
    second.queue.restore()
    qtbot.waitUntil(lambda: bool(second.queue.transfers()), timeout=10_000)
    (restored,) = second.queue.transfers()
    assert (restored.state, restored.names) == (TransferState.DONE, ("d",))
    assert restored.report is not None
    assert restored.report.files_done == 1
    second.queue.remove_ended()
    second.queue.shut_down()

    third = open_window()
    third.queue.restore()
    qtbot.wait(700)
    assert third.queue.transfers() == ()


def test_waiting_transfers_change_places(open_window: Open, tmp_path: Path, qtbot: QtBot) -> None:
    window = open_window()
    window.gate.clear()
    for number in range(8):
        window.file(f"d{number}/file")
    ids = [
        window.queue.download((RemotePath.folder("c", f"d{number}/"),), str(tmp_path / "to"))[0] for number in range(8)
    ]

    window.queue.move(ids[7], ids[0])
    window.queue.move(ids[0], None)

    order = [one.transfer_id for one in window.queue.transfers()]
    assert order == [ids[7], *ids[1:7], ids[0]]
    window.gate.set()
    qtbot.waitUntil(lambda: all(one.state.is_final for one in window.queue.transfers()), timeout=30_000)
