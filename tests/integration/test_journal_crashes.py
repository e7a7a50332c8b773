"""The journal after kill -9 and power cuts at random moments, and between windows that are alive, dead or dying."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from kegbrowser.transfer.journal import JobState, Journal
from kegbrowser.transfer.records import ItemState
from tests.servers.process import wait_until

ROOT = Path(__file__).resolve().parents[2]

WRITER = """
import sys
from pathlib import Path
from kegbrowser.backends.uploads import Part
from kegbrowser.transfer.journal import Journal, database
from kegbrowser.transfer.records import ItemEnd, ItemState, SourceMark

path, job_id = Path(sys.argv[1]), int(sys.argv[2])
plain = database.connect
def connect(path):
    connection = plain(path)
    connection.execute(f"PRAGMA wal_autocheckpoint = {sys.argv[3]}")
    return connection
from kegbrowser.transfer.journal import batch
batch.connect = connect
journal = Journal(path).open_job(job_id)
wal = Path(f"{path}-wal")
number = int(sys.argv[4])
while True:
    for _file in range(40):
        item = journal.plan(f"source {number}", "p", SourceMark(1, 1), overwrite=False)
        journal.end(item, ItemEnd(ItemState.DONE))
        number += 1
    item = journal.plan(f"source {number}", "p", SourceMark(1, 1), overwrite=False)
    journal.begin(item, f"token {number}", "p")
    print(number, wal.stat().st_size, flush=True)
    journal.add_part(item, Part(0, 1, number))
    number += 1
"""
"""Plans and ends files; each 41st is begun, and once that is promised it tells the number and how long the WAL is."""


@dataclass(frozen=True)
class Promise:
    """What a writer said to be on disk: all files up to `number`, within the first `wal_bytes` of the WAL."""

    number: int
    wal_bytes: int


class Writer:
    """A process that writes to the journal until it is killed."""

    def __init__(self, path: Path, job_id: int, *, first: int = 0, checkpoint_pages: int = 1000) -> None:
        given = [str(path), str(job_id), str(checkpoint_pages), str(first)]
        self._process = subprocess.Popen([sys.executable, "-c", WRITER, *given], stdout=subprocess.PIPE, cwd=ROOT)

    def promise(self) -> Promise:
        assert self._process.stdout is not None
        number, wal_bytes = self._process.stdout.readline().split()
        return Promise(int(number), int(wal_bytes))

    def stop(self) -> None:
        """Hold it wherever it is, in the middle of a write or not."""
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOWAIT)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> Promise | None:
        """Kill it; gives the last promise that was not read yet."""
        self._process.kill()
        assert self._process.stdout is not None
        rest = [line.split() for line in self._process.stdout.read().splitlines(keepends=True) if line.endswith(b"\n")]
        self._process.wait()
        self._process.stdout.close()
        return Promise(int(rest[-1][0]), int(rest[-1][1])) if rest else None


def check(path: Path, job_id: int, promised: int) -> int:
    """Open a journal after a crash; all is whole and nothing promised is missing. Gives the number of its items."""
    with Journal(path) as journal:
        assert journal.notice == ""
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        records = list(journal.all_items(job_id))
        assert [record.item for record in records] == list(range(len(records))), "no gap: it is one moment's truth"
        assert [record.source for record in records] == [f"source {number}" for number in range(len(records))]
        assert len(records) > promised
        begun = records[promised]
        assert begun.token == f"token {promised}"
        assert begun.state is ItemState.MOVING
        assert all(record.state is ItemState.DONE for record in records[:promised] if not record.token)
        held = Counter(record.state for record in records)
        assert journal.item_counts(job_id) == {state: held[state] for state in ItemState}
        return len(records)


def test_a_journal_whose_writer_is_killed_at_random_moments_keeps_every_promise(tmp_path: Path) -> None:
    path, moments = tmp_path / "journal.sqlite", random.Random(3)
    with Journal(path) as journal:
        job_id = journal.add("download", {})
    count = 0
    for _turn in range(12):
        writer = Writer(path, job_id, first=count, checkpoint_pages=20)
        last = writer.promise()
        for _promise in range(moments.randrange(20)):
            last = writer.promise()
        last = writer.kill() or last
        count = check(path, job_id, last.number)


@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot be held there")
def test_what_a_power_cut_leaves_is_whole_and_holds_every_promise(tmp_path: Path) -> None:
    """What was not synced may be missing or garbage: the copy of a held writer loses its WAL behind the last promise."""
    path, moments = tmp_path / "journal.sqlite", random.Random(5)
    with Journal(path) as journal:
        job_id = journal.add("download", {})
    writer = Writer(path, job_id, checkpoint_pages=0)  # the WAL only grows, so its beginning is what was promised
    try:
        for turn in range(25):
            for _promise in range(moments.randrange(1, 4)):
                promise = writer.promise()
            writer.stop()
            copy = tmp_path / f"copy {turn}" / path.name
            copy.parent.mkdir()
            for ending in ("", "-wal"):
                shutil.copy(f"{path}{ending}", f"{copy}{ending}")
            writer.go_on()
            with Path(f"{copy}-wal").open("r+b") as wal:
                length = wal.seek(0, os.SEEK_END)
                cut = moments.randint(promise.wal_bytes, length)
                if turn % 2:
                    wal.truncate(cut)
                else:
                    wal.seek(cut)
                    wal.write(moments.randbytes(length - cut))
            check(copy, job_id, promise.number)
            shutil.rmtree(copy.parent)
    finally:
        writer.kill()


WINDOW = """
import os, sys
from pathlib import Path
from kegbrowser.transfer.journal import JobState, Journal
from kegbrowser.transfer.records import SourceMark

journal, runs = Journal(Path(sys.argv[1])), Path(sys.argv[2])
owner = journal.new_owner()
print("ready", flush=True)
sys.stdin.readline()
while True:
    todo = [job.job_id for job in journal.jobs() if not job.state.is_ended]
    if not todo:
        break
    for job_id in todo:
        if not journal.claim(job_id, owner.name):
            continue
        job = journal.job(job_id)
        if job is None or job.state.is_ended:
            continue
        memory = journal.open_job(job_id)
        marker = os.open(runs / str(job_id), os.O_CREAT | os.O_EXCL)  # fails if somebody else is at it
        journal.change(job_id, JobState.RUNNING)
        item = memory.plan(f"by {os.getpid()}", "p", SourceMark(1, 1), overwrite=False)
        memory.begin(item, "t", "p")
        os.close(marker)
        os.unlink(runs / str(job_id))
        journal.change(job_id, JobState.DONE)
        with open(runs / "ended", "a") as ended:
            ended.write(f"{job_id}\\n")
        memory.close()
"""
"""Claims and runs whatever is left in the queue; a job that two run at once makes it fail."""


def start_window(path: Path, runs: Path) -> subprocess.Popen[bytes]:
    window = subprocess.Popen(
        [sys.executable, "-c", WINDOW, str(path), str(runs)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    )
    assert window.stdout is not None
    assert window.stdout.readline() == b"ready\n"
    return window


def release(window: subprocess.Popen[bytes]) -> None:
    assert window.stdin is not None
    window.stdin.write(b"go\n")
    window.stdin.flush()


def end(window: subprocess.Popen[bytes]) -> int:
    assert window.stdin is not None
    assert window.stdout is not None
    status = window.wait(60)
    window.stdin.close()
    window.stdout.close()
    return status


def ended_count(runs: Path) -> int:
    ended = runs / "ended"
    return len(ended.read_text().split()) if ended.exists() else 0


def test_windows_that_start_together_run_each_job_once(tmp_path: Path) -> None:
    path, runs = tmp_path / "journal.sqlite", tmp_path / "runs"
    runs.mkdir()
    with Journal(path) as journal:
        ids = [journal.add("download", {}) for _job in range(60)]
        windows = [start_window(path, runs) for _window in range(3)]
        for window in windows:
            release(window)

        assert [end(window) for window in windows] == [0, 0, 0]

        ended = [int(line) for line in (runs / "ended").read_text().split()]
        assert sorted(ended) == ids
        assert all(sum(journal.item_counts(job_id).values()) == 1 for job_id in ids)


def test_jobs_of_killed_windows_are_taken_over_and_no_job_is_run_by_two(tmp_path: Path) -> None:
    path, runs, moments = tmp_path / "journal.sqlite", tmp_path / "runs", random.Random(9)
    runs.mkdir()
    with Journal(path) as journal:
        ids = [journal.add("download", {}) for _job in range(150)]
        for _turn in range(3):
            doomed, spared = start_window(path, runs), start_window(path, runs)
            release(doomed)
            release(spared)
            enough = ended_count(runs) + moments.randrange(1, 25)
            wait_until(lambda least=enough: ended_count(runs) >= least, "the first jobs")  # type: ignore[misc]
            doomed.kill()
            end(doomed)
            spared.kill()
            end(spared)
            for left in runs.glob("[0-9]*"):
                left.unlink()  # the marker of one that was killed in the middle
            ended = {int(line) for line in (runs / "ended").read_text().split()}
            for job_id in ended:
                job = journal.job(job_id)
                assert job is not None
                assert job.state is JobState.DONE
        last = start_window(path, runs)
        release(last)

        assert end(last) == 0

        assert all(job.state is JobState.DONE for job in journal.jobs())
        ended_once = Counter(int(line) for line in (runs / "ended").read_text().split())
        assert max(ended_once.values()) == 1
        assert set(ended_once) <= set(ids)
