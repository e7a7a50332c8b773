"""Helpers and the journal: jobs are suspended, slowed down, orphaned and killed, and go on from where they were."""

from __future__ import annotations

import filecmp
import os
import pickle
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from kegbrowser.backends.registry import ConnectionSpec
from kegbrowser.transfer.events import JobReport, Progress
from kegbrowser.transfer.jobs import Download, Job, Source
from kegbrowser.transfer.journal import Journal
from kegbrowser.transfer.records import ItemState
from kegbrowser.worker.handle import HelperDied, HelperHandle
from kegbrowser.worker.messages import HappenedInJob, JobEnded, JournalPlace, PaceLimits, SetPace, StartJob, Wire
from tests.servers.process import wait_until

MIB = 1024 * 1024
FILES = 40
FILE_BYTES = MIB + 1000
"""Too big for the lane of small files, so each has its own part file and token."""

SLOW = PaceLimits(down_bytes_per_s=24 * MIB)


@pytest.fixture
def helper() -> Iterator[HelperHandle]:
    handle = HelperHandle()
    yield handle
    handle.stop()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "state" / "journal.sqlite") as opened:
        yield opened


class Site:
    """A folder with files, and one to bring them to; one job of the journal that does."""

    def __init__(self, folder: Path, journal: Journal) -> None:
        self.journal = journal
        self.source, self.target = folder / "from", folder / "to"
        self.source.mkdir()
        self.target.mkdir()
        for number in range(FILES):
            (self.source / f"file {number}").write_bytes(random.Random(number).randbytes(FILE_BYTES))
        self.job_id = journal.add("download", {"sources": [""]})
        self.place = JournalPlace(os.fspath(journal.path), self.job_id)

    @property
    def job(self) -> Job:
        spec = ConnectionSpec("from", "local", "From", {"root": str(self.source)})
        return Download(spec, tuple(Source(f"file {number}", False) for number in range(FILES)), str(self.target))

    def names(self) -> list[str]:
        return sorted(path.name for path in self.target.iterdir())

    def counts(self) -> dict[ItemState, int]:
        return {state: count for state, count in self.journal.item_counts(self.job_id).items() if count}

    def is_half_done(self) -> bool:
        return self.counts().get(ItemState.DONE, 0) >= 3 and any(True for _one in self.journal.unfinished(self.job_id))

    def check_whole(self) -> None:
        assert self.names() == sorted(f"file {number}" for number in range(FILES))
        assert all(filecmp.cmp(self.target / name, self.source / name, shallow=False) for name in self.names())
        assert self.counts() == {ItemState.DONE: FILES}
        assert list(self.journal.unfinished(self.job_id)) == []


@pytest.fixture
def site(tmp_path: Path, journal: Journal) -> Iterator[Site]:
    made = Site(tmp_path, journal)
    yield made
    shutil.rmtree(made.target)


def run(helper: HelperHandle, site: Site, pace: PaceLimits | None = None) -> JobEnded:
    for message in helper.run(site.job, site.place, pace):
        ended = message
    assert isinstance(ended, JobEnded)
    return ended


def report_of(ended: JobEnded) -> JobReport:
    assert isinstance(ended.result, JobReport), ended.error
    return ended.result


def in_the_middle(threads: ThreadPoolExecutor, helper: HelperHandle, site: Site) -> Future[JobEnded]:
    future = threads.submit(run, helper, site, SLOW)
    wait_until(lambda: site.is_half_done() or future.done(), "the first files")
    assert not future.done()
    return future


def test_a_suspended_job_keeps_its_parts_and_goes_on_from_them(
    helper: HelperHandle, threads: ThreadPoolExecutor, site: Site
) -> None:
    future = in_the_middle(threads, helper, site)
    helper.suspend()
    assert future.result(5).was_cancelled
    records = list(site.journal.unfinished(site.job_id))
    assert records
    assert all(Path(record.token.partition(":")[2]).exists() for record in records)
    assert not site.journal.is_running(site.job_id)

    report = report_of(run(helper, site))

    assert report.bytes_resumed >= 3 * FILE_BYTES
    site.check_whole()


def test_a_cancelled_job_leaves_nothing(helper: HelperHandle, threads: ThreadPoolExecutor, site: Site) -> None:
    future = in_the_middle(threads, helper, site)
    helper.cancel()

    assert future.result(5).was_cancelled
    assert not [name for name in site.names() if name.endswith(".kegpart")]
    assert list(site.journal.unfinished(site.job_id)) == []


def test_a_job_begins_paused_goes_on_and_is_slowed_down(
    helper: HelperHandle, threads: ThreadPoolExecutor, site: Site
) -> None:
    planned, moved = threading.Event(), threading.Event()

    def watch() -> JobEnded:
        for message in helper.run(site.job, site.place, PaceLimits(paused=True)):
            if isinstance(message, HappenedInJob) and isinstance(message.event, Progress):
                if message.event.is_planned:
                    planned.set()
                if message.event.bytes_done:
                    moved.set()
            ended = message
        assert isinstance(ended, JobEnded)
        return ended

    future = threads.submit(watch)
    assert planned.wait(20)
    assert not moved.is_set()
    helper.set_pace(down_bytes_per_s=64 * MIB)
    assert moved.wait(5)
    assert not future.done()
    helper.set_pace()

    report_of(future.result(5))
    site.check_whole()


def test_the_newest_pace_counts_that_came_before_the_job(helper: HelperHandle, site: Site) -> None:
    messages = helper.run(site.job, site.place, PaceLimits(paused=True))
    helper.set_pace(paused=True)
    helper.set_pace(paused=False)

    ended = list(messages)[-1]

    assert isinstance(ended, JobEnded)
    report_of(ended)
    site.check_whole()


def test_a_job_that_is_cancelled_before_it_starts_never_runs(helper: HelperHandle, site: Site) -> None:
    messages = helper.run(site.job, site.place)
    helper.suspend()

    assert [type(message) for message in messages] == [JobEnded]
    assert site.names() == []


def test_a_job_whose_window_is_killed_is_suspended_and_free_soon(
    helper: HelperHandle, site: Site, threads: ThreadPoolExecutor
) -> None:
    script = (
        "import pickle, sys\n"
        "from kegbrowser.worker.handle import HelperHandle\n"
        "job, place, pace = pickle.load(sys.stdin.buffer)\n"
        "helper = HelperHandle()\n"
        "for message in helper.run(job, place, pace):\n"
        "    print(helper.pid, flush=True)\n"
    )
    window = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with window:
        assert window.stdin is not None
        assert window.stdout is not None
        window.stdin.write(_pickled(site))
        window.stdin.flush()
        assert int(window.stdout.readline())
        wait_until(site.is_half_done, "the first files")
        window.kill()

    report = report_of(run(helper, site))  # waits until the orphan has let go

    assert report.bytes_resumed >= 3 * FILE_BYTES
    site.check_whole()


def test_a_job_that_a_killed_helper_ran_goes_on_in_another_one(threads: ThreadPoolExecutor, site: Site) -> None:
    for turn in range(3):
        doomed = HelperHandle()
        try:
            future = threads.submit(run, doomed, site, SLOW)
            wait_until(site.is_half_done, "the first files")
            doomed.kill()
            with pytest.raises(HelperDied):
                future.result(5)
        finally:
            doomed.stop()
        assert sum(site.counts().values()) <= FILES, turn
    helper = HelperHandle()
    try:
        report = report_of(run(helper, site))
    finally:
        helper.stop()

    assert report.bytes_resumed >= 3 * FILE_BYTES
    site.check_whole()
    with sqlite3.connect(site.journal.path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


def test_a_removed_job_is_refused_in_a_sentence(helper: HelperHandle, site: Site) -> None:
    site.journal.remove(site.job_id)
    ended = run(helper, site)

    assert ended.error is not None
    assert "removed" in ended.error.message
    assert site.names() == []


def test_a_journal_that_cannot_be_opened_ends_the_job_in_a_sentence_and_not_the_helper(
    helper: HelperHandle, site: Site, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    place = JournalPlace(os.fspath(tmp_path / "file" / "journal.sqlite"), 1)

    ended = list(helper.run(site.job, place))[-1]

    assert isinstance(ended, JobEnded)
    assert ended.error is not None
    assert "list of transfers" in ended.error.message or "journal.sqlite" in ended.error.message
    assert site.names() == []
    report_of(run(helper, site))
    site.check_whole()


def test_a_job_that_waits_in_the_pipe_of_a_dead_parent_is_not_begun(site: Site) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "kegbrowser", "--helper"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        wire = Wire(process.stdout, process.stdin)
        wire.send(SetPace(1, PaceLimits(paused=True)))
        wire.send(StartJob(1, site.job, site.place))
        wire.send(StartJob(2, site.job, site.place))
        wire.close_outgoing()
        told = []
        while (message := wire.receive()) is not None:
            told.append(message)

    assert [one for one in told if isinstance(one, JobEnded) and one.result is not None] == []
    assert process.returncode == 0
    assert len(site.names()) < FILES


def _pickled(site: Site) -> bytes:
    return pickle.dumps((site.job, site.place, SLOW))
