"""The lister, the queue and the operations over real helpers: what they tell, and that they tell it once."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QObject
from pytestqt.qtbot import QtBot

from kegbrowser.backends.base import ListEntry
from kegbrowser.backends.errors import FileNotFoundInStorageError, PermissionDenied, StorageError
from kegbrowser.backends.locations import RemotePath
from kegbrowser.services.operations import Operation, OperationKind
from kegbrowser.services.transfer import Transfer, TransferState
from kegbrowser.services.transfers import Prompt
from kegbrowser.transfer.events import ConnectionReport, Counted, PageListed
from kegbrowser.transfer.jobs import ConflictPolicy
from kegbrowser.transfer.questions import ConflictAnswer, ConflictChoice, ConflictQuestion, DeleteAnswer, DeleteQuestion
from tests.doubles.services import Services


@pytest.fixture
def services(qtbot: QtBot, tmp_path: Path) -> Iterator[Services]:
    with Services(tmp_path) as made:
        yield made


class Heard:
    """All signals of the lister, the operations and the queue, in order."""

    def __init__(self, services: Services) -> None:
        self.told: list[tuple[Any, ...]] = []
        for source, names in (
            (services.lister, ("started", "finished", "failed", "cancelled")),
            (services.operations, ("progressed", "finished", "failed", "cancelled")),
        ):
            prefix = "listing" if source is services.lister else "operation"
            for name in names:
                self._keep(source, f"{prefix}_{name}")
        self._keep(services.lister, "page_ready")
        for name in ("transfer_added", "transfer_changed", "transfer_ended", "transfer_removed", "prompt_raised",
                     "prompt_withdrawn", "folder_changed"):  # fmt: skip
            self._keep(services.queue, name)
        services.operations.folder_changed.connect(lambda folder: self.told.append(("folder_changed", folder)))

    def _keep(self, source: QObject, name: str) -> None:
        getattr(source, name).connect(lambda *values: self.told.append((name, *values)))

    def of(self, name: str) -> list[Any]:
        """The first value of each signal of that name; all of them if there are more."""
        return [values[0] if len(values) == 1 else values for told, *values in self.told if told == name]

    def names(self) -> list[str]:
        """The names that the pages so far brought."""
        return [entry.name for told, *values in self.told if told == "page_ready" for entry in values[1].entries()]

    @property
    def prompts(self) -> list[Prompt]:
        return [one for one in self.of("prompt_raised") if isinstance(one, Prompt)]

    @property
    def ended(self) -> list[Transfer]:
        return [one for one in self.of("transfer_ended") if isinstance(one, Transfer)]


@pytest.fixture
def heard(services: Services) -> Heard:
    return Heard(services)


def held_listing(services: Services, qtbot: QtBot, folder: RemotePath, who: object, **how: bool) -> None:
    """Begin a listing that waits for its connection's options."""
    services.gate.clear()
    before = len(services.asked_on)
    services.lister.list_folder(folder, who, **how)
    qtbot.waitUntil(lambda: len(services.asked_on) > before)


# -- the lister ----------------------------------------------------------------------------------------------------------


def test_a_listing_starts_brings_its_pages_and_finishes(services: Services, heard: Heard, qtbot: QtBot) -> None:
    folder = services.file("a").parent
    assert folder is not None
    with qtbot.waitSignal(services.lister.listing_finished, timeout=20_000):
        assert services.lister.list_folder(folder, "me") == ()
        assert services.lister.is_listing(folder)

    assert [told for told, *_ in heard.told] == ["listing_started", "page_ready", "listing_finished"]
    assert heard.names() == ["a"]
    assert not services.lister.is_listing(folder)


def test_a_second_one_joins_the_listing_that_runs(services: Services, heard: Heard, qtbot: QtBot) -> None:
    services.file("a")
    folder = services.folder()
    held_listing(services, qtbot, folder, "first")
    services.lister.list_folder(folder, "second")
    services.lister.release(folder, "first")
    assert services.lister.is_listing(folder), "somebody still wants it"
    with qtbot.waitSignal(services.lister.listing_finished, timeout=20_000):
        services.gate.set()

    assert len(services.asked_on) == 1
    assert heard.names() == ["a"]


def test_who_joins_late_is_given_the_pages_that_were_told(services: Services, heard: Heard, qtbot: QtBot) -> None:
    services.file("a")
    folder = services.folder()
    joined: list[PageListed] = []
    services.lister.page_ready.connect(lambda *_: joined.extend(services.lister.list_folder(folder, "late")))
    with qtbot.waitSignal(services.lister.listing_finished, timeout=20_000):
        services.lister.list_folder(folder, "first")

    assert [entry.name for page in joined for entry in page.entries()] == ["a"]


def test_a_listing_nobody_wants_any_more_is_cancelled_once(services: Services, heard: Heard, qtbot: QtBot) -> None:
    folder = services.folder()
    held_listing(services, qtbot, folder, "only")
    services.lister.release(folder, "only")

    assert heard.of("listing_cancelled") == [folder]
    assert not services.lister.is_listing(folder)
    services.gate.set()
    qtbot.waitUntil(lambda: not any(services.runner._running.values()))
    assert [told for told, *_ in heard.told] == ["listing_started", "listing_cancelled"]


def test_listing_anew_replaces_the_one_that_runs_and_takes_nothing_of_it(
    services: Services, heard: Heard, qtbot: QtBot
) -> None:
    services.file("a")
    folder = services.folder()
    held_listing(services, qtbot, folder, "first")
    held_listing(services, qtbot, folder, "second", anew=True)
    with qtbot.waitSignal(services.lister.listing_finished, timeout=20_000):
        services.gate.set()
    qtbot.waitUntil(lambda: not any(services.runner._running.values()))

    assert len(services.asked_on) == 2
    assert [told for told, *_ in heard.told] == [
        "listing_started",
        "listing_started",
        "page_ready",
        "listing_finished",
    ]


def test_late_pages_of_a_replaced_listing_are_ignored(services: Services, heard: Heard, qtbot: QtBot) -> None:
    folder = services.folder()
    held_listing(services, qtbot, folder, "first")
    old_job = services.lister._listings[folder].job
    services.lister.list_folder(folder, "second", anew=True)
    old_job.event_received.emit(old_job.key, PageListed.from_entries([ListEntry("stale", None, 1)]))
    old_job.job_finished.emit(old_job.key, None)
    with qtbot.waitSignal(services.lister.listing_finished, timeout=20_000):
        services.gate.set()

    assert heard.names() == []
    assert heard.of("listing_finished") == [folder]


def test_a_listing_that_fails_says_why(services: Services, heard: Heard, qtbot: QtBot) -> None:
    services.folder()
    with qtbot.waitSignal(services.lister.listing_failed, timeout=20_000):
        services.lister.list_folder(RemotePath.folder("c", "missing/"), "me")

    ((folder, error),) = heard.of("listing_failed")
    assert folder == RemotePath.folder("c", "missing/")
    assert isinstance(error, FileNotFoundInStorageError)
    assert not services.lister.is_listing(folder)


# -- operations ------------------------------------------------------------------------------------------------------------


def test_connecting_reports_what_can_be_done(services: Services, heard: Heard, qtbot: QtBot) -> None:
    services.folder()
    with qtbot.waitSignal(services.operations.operation_finished, timeout=20_000):
        operation = services.operations.connect_to("c")

    ((finished, report),) = heard.of("operation_finished")
    assert finished == operation
    assert isinstance(report, ConnectionReport)
    assert threading.get_ident() not in services.asked_on


def test_testing_options_that_are_not_saved_calls_for_them_off_the_gui_thread(
    services: Services, heard: Heard, qtbot: QtBot
) -> None:
    services.folder()
    with qtbot.waitSignal(services.operations.operation_finished, timeout=20_000):
        services.operations.test(lambda: services.spec("c"))

    assert threading.get_ident() not in services.asked_on
    assert heard.of("folder_changed") == []


def test_a_new_folder_makes_its_parents_listing_out_of_date(services: Services, heard: Heard, qtbot: QtBot) -> None:
    parent = services.folder("above/")
    with qtbot.waitSignal(services.operations.operation_finished, timeout=20_000):
        services.operations.make_folder(parent, "new")

    assert (services.root / "c" / "above" / "new").is_dir()
    assert heard.of("folder_changed") == [parent]


def test_a_folder_that_cannot_be_made_fails_and_changes_nothing(services: Services, heard: Heard, qtbot: QtBot) -> None:
    services.folder("above/new/")
    with qtbot.waitSignal(services.operations.operation_failed, timeout=20_000):
        services.operations.make_folder(RemotePath.folder("c", "above/"), "new")

    assert heard.of("operation_finished") == heard.of("folder_changed") == []


def test_describing_and_counting_give_what_is_there(services: Services, heard: Heard, qtbot: QtBot) -> None:
    file = services.file("folder/a", b"12345")
    folder = services.folder("folder/")
    with qtbot.waitSignals([services.operations.operation_finished] * 2, timeout=20_000):
        services.operations.describe(file)
        services.operations.count((folder,))

    results: dict[OperationKind, object] = {}
    for finished in heard.of("operation_finished"):
        operation, result = finished
        assert isinstance(operation, Operation)
        results[operation.kind] = result
    described, counted = results[OperationKind.DESCRIBE], results[OperationKind.COUNT]
    assert isinstance(described, ListEntry)
    assert described.size == 5
    assert isinstance(counted, Counted)
    assert (counted.files, counted.bytes) == (1, 5)


def test_a_cancelled_operation_ends_as_cancelled_only(services: Services, heard: Heard, qtbot: QtBot) -> None:
    services.folder()
    services.gate.clear()
    operation = services.operations.connect_to("c")
    qtbot.waitUntil(lambda: len(services.asked_on) == 1)
    with qtbot.waitSignal(services.operations.operation_cancelled, timeout=1_000):
        services.operations.cancel(operation)
    services.gate.set()
    qtbot.waitUntil(lambda: not any(services.runner._running.values()))
    services.operations.cancel(operation)

    assert [told for told, *_ in heard.told] == ["operation_cancelled"]


# -- the queue -------------------------------------------------------------------------------------------------------------


def asked(services: Services, heard: Heard, qtbot: QtBot, source: RemotePath) -> int:
    """A deletion that waits for its answer."""
    with qtbot.waitSignal(services.queue.prompt_raised, timeout=20_000):
        (transfer_id,) = services.queue.delete((source,))
    return transfer_id


def test_an_upload_ends_as_done_and_makes_the_target_out_of_date(
    services: Services, heard: Heard, qtbot: QtBot, tmp_path: Path
) -> None:
    target = services.folder("to/")
    (tmp_path / "local.txt").write_bytes(b"local")
    with qtbot.waitSignal(services.queue.transfer_ended, timeout=20_000):
        transfer_id = services.queue.upload((str(tmp_path / "local.txt"),), target)

    (ended,) = heard.ended
    assert (ended.transfer_id, ended.state, ended.names) == (transfer_id, TransferState.DONE, ("local.txt",))
    assert ended.report is not None
    assert ended.report.bytes_done == 5
    assert heard.of("folder_changed") == [target]
    assert (services.root / "c" / "to" / "local.txt").read_bytes() == b"local"
    assert not services.queue.is_busy()


def test_a_download_of_two_connections_is_two_transfers(
    services: Services, heard: Heard, qtbot: QtBot, tmp_path: Path
) -> None:
    sources = services.file("a", connection_id="one"), services.file("b", connection_id="two")
    (tmp_path / "to").mkdir()
    with qtbot.waitSignals([services.queue.transfer_ended] * 2, timeout=20_000):
        ids = services.queue.download(sources, str(tmp_path / "to"))

    assert len(set(ids)) == 2
    assert [one.state for one in heard.ended] == [TransferState.DONE] * 2
    assert sorted(path.name for path in (tmp_path / "to").iterdir()) == ["a", "b"]
    assert heard.of("folder_changed") == [], "nothing remote has changed"


def test_a_move_makes_both_folders_out_of_date(services: Services, heard: Heard, qtbot: QtBot) -> None:
    source, target = services.file("from/a"), services.folder("to/")
    with qtbot.waitSignal(services.queue.transfer_ended, timeout=20_000):
        services.queue.copy((source,), target, move=True)

    assert heard.ended[0].state is TransferState.DONE
    assert set(heard.of("folder_changed")) == {source.parent, target}
    assert not (services.root / "c" / "from" / "a").exists()


def test_a_rename_ends_as_done_and_never_replaces(services: Services, heard: Heard, qtbot: QtBot) -> None:
    source, taken = services.file("a", b"a"), services.file("b", b"b")
    with qtbot.waitSignal(services.queue.transfer_ended, timeout=20_000):
        services.queue.rename(source, taken)

    assert heard.ended[0].state in (TransferState.FAILED, TransferState.INCOMPLETE)
    assert (services.root / "c" / "b").read_bytes() == b"b"
    with qtbot.waitSignal(services.queue.transfer_ended, timeout=20_000):
        services.queue.rename(source, RemotePath.file("c", "free"))
    assert heard.ended[1].state is TransferState.DONE
    assert (services.root / "c" / "free").read_bytes() == b"a"


def test_a_deletion_asks_and_deletes_when_it_is_confirmed(services: Services, heard: Heard, qtbot: QtBot) -> None:
    source = services.file("folder/a")
    transfer_id = asked(services, heard, qtbot, source)
    (prompt,) = heard.prompts
    assert isinstance(prompt.question, DeleteQuestion)
    assert prompt.transfer.state is TransferState.ASKING
    assert services.queue.is_busy()
    with qtbot.waitSignal(services.queue.transfer_ended, timeout=20_000):
        services.queue.answer(transfer_id, prompt.question_id, DeleteAnswer(confirmed=True))

    assert heard.ended[0].state is TransferState.DONE
    assert not (services.root / "c" / "folder" / "a").exists()
    assert heard.of("folder_changed") == [source.parent]


@pytest.mark.parametrize("answer", [None, DeleteAnswer(confirmed=False)])
def test_a_question_that_is_dismissed_cancels_the_transfer(
    services: Services, heard: Heard, qtbot: QtBot, answer: DeleteAnswer | None
) -> None:
    transfer_id = asked(services, heard, qtbot, services.file("a"))
    with qtbot.waitSignal(services.queue.transfer_ended, timeout=20_000):
        services.queue.answer(transfer_id, heard.prompts[0].question_id, answer)

    assert heard.ended[0].state is TransferState.CANCELLED
    assert (services.root / "c" / "a").exists()


def test_a_clash_asks_and_the_answer_decides(services: Services, heard: Heard, qtbot: QtBot, tmp_path: Path) -> None:
    services.file("to/x", b"old")
    (tmp_path / "x").write_bytes(b"new")
    with qtbot.waitSignal(services.queue.prompt_raised, timeout=20_000):
        transfer_id = services.queue.upload((str(tmp_path / "x"),), RemotePath.folder("c", "to/"))
    (prompt,) = heard.prompts
    assert isinstance(prompt.question, ConflictQuestion)
    with qtbot.waitSignal(services.queue.transfer_ended, timeout=20_000):
        services.queue.answer(transfer_id, prompt.question_id, ConflictAnswer(ConflictChoice.RENAME))

    assert (services.root / "c" / "to" / "x").read_bytes() == b"old"
    assert (services.root / "c" / "to" / prompt.question.suggested_name).read_bytes() == b"new"


def test_a_policy_spares_the_question(services: Services, heard: Heard, qtbot: QtBot, tmp_path: Path) -> None:
    services.file("to/x", b"old")
    (tmp_path / "x").write_bytes(b"new")
    target = RemotePath.folder("c", "to/")
    with qtbot.waitSignal(services.queue.transfer_ended, timeout=20_000):
        services.queue.upload((str(tmp_path / "x"),), target, ConflictPolicy.SKIP)

    assert heard.prompts == []
    assert (services.root / "c" / "to" / "x").read_bytes() == b"old"


def test_cancelling_withdraws_the_question_and_ends_within_a_second(
    services: Services, heard: Heard, qtbot: QtBot
) -> None:
    transfer_id = asked(services, heard, qtbot, services.file("a"))
    begun = time.monotonic()
    with qtbot.waitSignal(services.queue.transfer_ended, timeout=5_000):
        services.queue.cancel(transfer_id)
        assert services.queue.transfers()[0].state is TransferState.STOPPING

    assert time.monotonic() - begun < 1.0
    assert heard.of("prompt_withdrawn") == [[transfer_id, heard.prompts[0].question_id]]
    services.queue.answer(transfer_id, heard.prompts[0].question_id, DeleteAnswer(confirmed=True))
    services.queue.cancel(transfer_id)
    qtbot.waitUntil(lambda: not any(services.runner._running.values()))
    assert [one.state for one in heard.ended] == [TransferState.CANCELLED]
    assert (services.root / "c" / "a").exists()


def test_a_killed_helper_fails_the_transfer_and_a_retry_does_it(services: Services, heard: Heard, qtbot: QtBot) -> None:
    transfer_id = asked(services, heard, qtbot, services.file("a"))
    (pid,) = services.pool.pids()
    with qtbot.waitSignal(services.queue.transfer_ended, timeout=5_000):
        os.kill(pid, signal.SIGKILL)
    (failed,) = heard.ended
    assert failed.state is TransferState.FAILED
    assert failed.error is not None
    assert failed.error.message.endswith(".")
    assert len(heard.of("prompt_withdrawn")) == 1

    with qtbot.waitSignal(services.queue.prompt_raised, timeout=20_000):
        services.queue.retry(transfer_id)
        assert services.queue.transfers()[0].state is TransferState.WAITING
        assert services.queue.transfers()[0].error is None
    with qtbot.waitSignal(services.queue.transfer_ended, timeout=20_000):
        services.queue.answer(transfer_id, heard.prompts[-1].question_id, DeleteAnswer(confirmed=True))
    assert heard.ended[-1].state is TransferState.DONE
    assert not (services.root / "c" / "a").exists()


def test_a_locked_keyring_fails_the_transfer_with_its_own_sentence(
    services: Services, heard: Heard, qtbot: QtBot
) -> None:
    services.refusal = PermissionDenied("The keyring is locked.")
    with qtbot.waitSignal(services.queue.transfer_ended, timeout=5_000):
        services.queue.delete((services.file("a"),))

    assert heard.ended[0].error is services.refusal
    assert threading.get_ident() not in services.asked_on


def test_only_what_has_ended_can_be_removed(services: Services, heard: Heard, qtbot: QtBot) -> None:
    transfer_id = asked(services, heard, qtbot, services.file("a"))
    services.queue.remove(transfer_id)
    services.queue.retry(transfer_id)
    assert [one.transfer_id for one in services.queue.transfers()] == [transfer_id]
    with qtbot.waitSignal(services.queue.transfer_ended, timeout=5_000):
        services.queue.cancel(transfer_id)
    services.queue.remove_ended()

    assert services.queue.transfers() == ()
    assert heard.of("transfer_removed") == [transfer_id]
    services.queue.retry(transfer_id)
    services.queue.cancel(transfer_id)


def test_files_that_fail_end_the_transfer_as_incomplete_with_their_reasons(
    services: Services, heard: Heard, qtbot: QtBot, tmp_path: Path
) -> None:
    good = services.file("good")
    missing = RemotePath.file("c", "missing")
    (tmp_path / "to").mkdir()
    with qtbot.waitSignal(services.queue.transfer_ended, timeout=20_000):
        services.queue.download((good, missing), str(tmp_path / "to"))

    (ended,) = heard.ended
    assert ended.state is TransferState.INCOMPLETE
    assert [type(failure.error) for failure in ended.failures] == [FileNotFoundInStorageError]
    assert all(isinstance(failure.error, StorageError) and failure.error.message for failure in ended.failures)
    assert (tmp_path / "to" / "good").read_bytes() == b"content"
