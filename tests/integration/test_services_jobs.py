"""Jobs on their threads: each ends with exactly one signal, at once when it is cancelled, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QObject, Qt, Signal, Slot
from pytestqt.qtbot import QtBot

from kegbrowser.backends.errors import PermissionDenied, StorageError
from kegbrowser.backends.registry import ConnectionSpec
from kegbrowser.services.helper_pool import HelperPool
from kegbrowser.services.jobs import LANE_LIMITS, JobThread, Lane
from kegbrowser.transfer.events import Counted
from kegbrowser.transfer.jobs import Delete, FindHome, Job, ListFolder, Source
from kegbrowser.transfer.questions import DeleteAnswer, DeleteQuestion
from kegbrowser.worker.handle import HelperHandle
from kegbrowser.worker.messages import AskedByJob, HappenedInJob, JobEnded
from tests.doubles.services import Services
from tests.servers.process import wait_until


class Ear(QObject):
    """Hears the signals of jobs on the GUI thread, in order."""

    heard_one = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.events: list[object] = []
        self.questions: list[int] = []
        self.ends: list[tuple[str, object, object]] = []

    def listen(self, job: JobThread) -> JobThread:
        queued = Qt.ConnectionType.QueuedConnection
        job.event_received.connect(self.on_event, queued)
        job.question_asked.connect(self.on_question, queued)
        job.job_finished.connect(self.on_finished, queued)
        job.job_failed.connect(self.on_failed, queued)
        job.job_cancelled.connect(self.on_cancelled, queued)
        return job

    @Slot(object, object)
    def on_event(self, _key: object, event: object) -> None:
        self.events.append(event)

    @Slot(object, int, object)
    def on_question(self, _key: object, question_id: int, _question: object) -> None:
        self.questions.append(question_id)
        self.heard_one.emit()

    @Slot(object, object)
    def on_finished(self, key: object, result: object) -> None:
        self._end("finished", key, result)

    @Slot(object, object)
    def on_failed(self, key: object, error: object) -> None:
        self._end("failed", key, error)

    @Slot(object)
    def on_cancelled(self, key: object) -> None:
        self._end("cancelled", key, None)

    def _end(self, how: str, key: object, payload: object) -> None:
        self.ends.append((how, key, payload))
        self.heard_one.emit()


@pytest.fixture
def services(qtbot: QtBot, tmp_path: Path) -> Iterator[Services]:
    with Services(tmp_path) as made:
        yield made


@pytest.fixture
def ear() -> Ear:
    return Ear()


def asking_job(services: Services) -> Callable[[], Job]:
    """Makes a job that asks a question and waits for the answer."""
    file = services.file("file")
    return lambda: Delete(services.spec("c"), (Source(file.path, False),))


def start(services: Services, ear: Ear, make_job: Callable[[], Job], key: object = "key") -> JobThread:
    job = ear.listen(services.runner.new_job(key, make_job, ("c",)))
    services.runner.submit(job, Lane.BROWSE)
    return job


def started_and_asking(services: Services, ear: Ear, qtbot: QtBot) -> JobThread:
    with qtbot.waitSignal(ear.heard_one, timeout=20_000):
        job = start(services, ear, asking_job(services))
    assert ear.questions == [0]
    return job


def nothing_runs(services: Services) -> bool:
    return not any(services.runner._running.values())


def test_emitting_signals_costs_no_reference_to_true(qtbot: QtBot) -> None:
    ear = Ear()
    before = sys.getrefcount(True), sys.getrefcount(None)
    for _ in range(200):
        ear.heard_one.emit()
    after = sys.getrefcount(True), sys.getrefcount(None)

    assert all(now - then > -100 for now, then in zip(after, before, strict=True)), (
        "this PySide6 will abort the program"
    )


def test_a_job_that_works_ends_as_finished_once(services: Services, ear: Ear, qtbot: QtBot) -> None:
    services.file("a")
    with qtbot.waitSignal(ear.heard_one, timeout=20_000):
        start(services, ear, lambda: ListFolder(services.spec("c"), ""))
    qtbot.waitUntil(lambda: nothing_runs(services))

    assert ear.ends == [("finished", "key", None)]
    assert len(ear.events) == 1


def test_the_options_of_a_connection_are_read_off_the_gui_thread(services: Services, ear: Ear, qtbot: QtBot) -> None:
    services.folder()
    with qtbot.waitSignal(ear.heard_one, timeout=20_000):
        start(services, ear, lambda: FindHome(services.spec("c")))

    assert len(services.asked_on) == 1
    assert threading.get_ident() not in services.asked_on


def test_a_job_whose_options_cannot_be_read_fails_with_that_error(services: Services, ear: Ear, qtbot: QtBot) -> None:
    services.refusal = PermissionDenied("The keyring is locked.")
    with qtbot.waitSignal(ear.heard_one, timeout=5_000):
        start(services, ear, lambda: FindHome(services.spec("c")))

    assert ear.ends == [("failed", "key", services.refusal)]
    assert services.pool.pids() == (), "no helper was needed"


def test_a_job_fails_with_a_sentence_where_no_helper_can_be_started(ear: Ear, qtbot: QtBot, tmp_path: Path) -> None:
    def refuse() -> HelperHandle:
        raise OSError(11, "Resource temporarily unavailable")

    spec = ConnectionSpec("c", "local", "c", {"root": str(tmp_path)})
    job = ear.listen(JobThread("key", lambda: FindHome(spec), ("c",), HelperPool(refuse)))
    with qtbot.waitSignal(ear.heard_one, timeout=5_000):
        job.start()
    job.wait()

    ((how, _key, error),) = ear.ends
    assert how == "failed"
    assert isinstance(error, StorageError)
    assert "Resource temporarily unavailable" in error.message


def test_cancelling_a_running_job_is_told_within_a_second(services: Services, ear: Ear, qtbot: QtBot) -> None:
    job = started_and_asking(services, ear, qtbot)
    begun = time.monotonic()
    with qtbot.waitSignal(ear.heard_one, timeout=5_000):
        services.runner.cancel(job)
    took_s = time.monotonic() - begun
    services.runner.cancel(job)
    qtbot.waitUntil(lambda: nothing_runs(services))

    assert took_s < 1.0
    assert ear.ends == [("cancelled", "key", None)]
    assert (services.root / "c" / "file").exists()


def test_cancelling_is_told_within_a_second_though_the_helper_does_not_answer(
    services: Services, ear: Ear, qtbot: QtBot
) -> None:
    job = started_and_asking(services, ear, qtbot)
    (pid,) = services.pool.pids()
    os.kill(pid, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        with qtbot.waitSignal(ear.heard_one, timeout=5_000):
            services.runner.cancel(job)
        assert time.monotonic() - begun < 1.0
    finally:
        os.kill(pid, signal.SIGCONT)
    qtbot.waitUntil(lambda: nothing_runs(services))

    assert ear.ends == [("cancelled", "key", None)], "the helper's own answer is not told a second time"


def test_cancelling_is_told_within_a_second_though_the_keyring_waits(
    services: Services, ear: Ear, qtbot: QtBot
) -> None:
    services.folder()
    services.gate.clear()
    job = start(services, ear, lambda: FindHome(services.spec("c")))
    qtbot.waitUntil(lambda: len(services.asked_on) == 1)
    begun = time.monotonic()
    with qtbot.waitSignal(ear.heard_one, timeout=5_000):
        services.runner.cancel(job)
    took_s = time.monotonic() - begun
    services.gate.set()
    qtbot.waitUntil(lambda: nothing_runs(services))

    assert took_s < 1.0
    assert ear.ends == [("cancelled", "key", None)]


class LateHelper(HelperHandle):
    """Asks only when `go_on` is set, however long ago the job was cancelled. No process."""

    def __init__(self) -> None:
        self.served = set()
        self.begun = threading.Event()
        self.go_on = threading.Event()

    @property
    def is_alive(self) -> bool:
        return True

    def run(
        self, job: Job, journal: object = None, pace: object = None
    ) -> Iterator[HappenedInJob | AskedByJob | JobEnded]:
        self.begun.set()
        assert self.go_on.wait(10)
        yield AskedByJob(0, 0, DeleteQuestion(("a",), 1, Counted(1, 0, 0), can_be_undone=None))
        yield HappenedInJob(0, Counted(1, 0, 0))
        yield JobEnded(0, was_cancelled=True)

    def cancel(self) -> None:
        """As if it had not arrived yet."""


def test_what_a_cancelled_job_tells_late_is_not_told(ear: Ear, qtbot: QtBot, tmp_path: Path) -> None:
    helper = LateHelper()
    spec = ConnectionSpec("c", "local", "c", {"root": str(tmp_path)})
    job = ear.listen(JobThread("key", lambda: FindHome(spec), ("c",), HelperPool(lambda: helper)))
    job.start()
    qtbot.waitUntil(helper.begun.is_set)
    with qtbot.waitSignal(ear.heard_one, timeout=5_000):
        job.cancel()
    with qtbot.waitSignal(job.finished, timeout=5_000):
        helper.go_on.set()
    job.wait()

    assert ear.ends == [("cancelled", "key", None)]
    assert ear.questions == ear.events == []


def test_a_lane_runs_as_many_jobs_as_it_may_and_a_waiting_one_is_cancelled_unstarted(
    services: Services, ear: Ear, qtbot: QtBot
) -> None:
    services.folder()
    services.gate.clear()
    limit = LANE_LIMITS[Lane.BROWSE]
    jobs = [start(services, ear, lambda: FindHome(services.spec("c")), key) for key in range(limit + 2)]
    qtbot.waitUntil(lambda: len(services.asked_on) == limit)

    assert [services.runner.is_waiting(job) for job in jobs] == [False] * limit + [True] * 2
    with qtbot.waitSignal(ear.heard_one, timeout=1_000):
        services.runner.cancel(jobs[-1])
    assert ear.ends == [("cancelled", limit + 1, None)]
    services.gate.set()
    qtbot.waitUntil(lambda: len(ear.ends) == limit + 2, timeout=20_000)
    qtbot.waitUntil(lambda: nothing_runs(services))
    assert sorted(str(key) for how, key, _ in ear.ends if how == "finished") == [str(key) for key in range(limit + 1)]
    assert len(services.asked_on) == limit + 1, "the cancelled one never began"


def test_a_killed_helper_fails_its_job_with_a_sentence_and_the_next_one_works(
    services: Services, ear: Ear, qtbot: QtBot
) -> None:
    started_and_asking(services, ear, qtbot)
    (pid,) = services.pool.pids()
    with qtbot.waitSignal(ear.heard_one, timeout=5_000):
        os.kill(pid, signal.SIGKILL)

    ((how, _key, error),) = ear.ends
    assert how == "failed"
    assert isinstance(error, StorageError)
    assert error.message.endswith(".")
    assert error.hint
    assert error.retryable
    ear.ends.clear()
    with qtbot.waitSignal(ear.heard_one, timeout=20_000):
        start(services, ear, lambda: FindHome(services.spec("c")))
    assert ear.ends == [("finished", "key", "")]
    assert pid not in services.pool.pids()


def test_a_helper_that_does_not_stop_is_killed_and_the_job_is_cancelled(
    services: Services, ear: Ear, qtbot: QtBot
) -> None:
    job = started_and_asking(services, ear, qtbot)
    (pid,) = services.pool.pids()
    os.kill(pid, signal.SIGSTOP)
    services.runner.cancel(job)
    job.kill_helper()
    qtbot.waitUntil(lambda: nothing_runs(services))

    assert ear.ends == [("cancelled", "key", None)]
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the end of the helper")


def test_an_answer_lets_the_job_go_on(services: Services, ear: Ear, qtbot: QtBot) -> None:
    job = started_and_asking(services, ear, qtbot)
    with qtbot.waitSignal(ear.heard_one, timeout=5_000):
        job.answer(0, DeleteAnswer(confirmed=True))

    assert [how for how, _key, _ in ear.ends] == ["finished"]
    assert not (services.root / "c" / "file").exists()


def test_shutting_down_ends_every_thread_and_process(services: Services, ear: Ear, qtbot: QtBot) -> None:
    running = started_and_asking(services, ear, qtbot)
    pids = services.pool.pids()
    services.gate.clear()
    blocked = [start(services, ear, lambda: FindHome(services.spec("c")), key) for key in range(6)]
    qtbot.waitUntil(lambda: len(services.asked_on) >= 2)
    opener = threading.Timer(0.2, services.gate.set)
    opener.start()

    begun = time.monotonic()
    services.runner.shut_down()
    opener.join()

    assert time.monotonic() - begun < 5.0
    assert pids
    assert not any(job.isRunning() for job in (running, *blocked))
    assert services.pool.pids() == ()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert (services.root / "c" / "file").exists()


def test_a_job_that_comes_after_the_end_is_cancelled_at_once(services: Services, ear: Ear, qtbot: QtBot) -> None:
    services.runner.shut_down()
    with qtbot.waitSignal(ear.heard_one, timeout=1_000):
        start(services, ear, lambda: FindHome(services.spec("c")))

    assert ear.ends == [("cancelled", "key", None)]
    assert services.asked_on == []
