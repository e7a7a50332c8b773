"""The queue on disk: what was said of a job is there again, in every process, after every crash."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kegbrowser.backends.errors import Cancelled, PermissionDenied, StorageError
from kegbrowser.backends.proofs import Certainty, Proof
from kegbrowser.backends.uploads import Part
from kegbrowser.transfer.cancel import CancelToken
from kegbrowser.transfer.events import Checked, Failure, JobReport
from kegbrowser.transfer.journal import JobState, Journal, batch, job_journal
from kegbrowser.transfer.journal.database import connect
from kegbrowser.transfer.journal.locks import FileLock
from kegbrowser.transfer.records import ItemEnd, ItemState, JournalFailed, SourceMark

MARK = SourceMark(5, 1_600_000_000_000_000, "tag")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal(tmp_path / "transfers.sqlite")
    yield opened
    opened.close()


# -- jobs -----------------------------------------------------------------------------------------------------------------


def test_jobs_come_back_as_they_were(journal: Journal) -> None:
    recipe = {"sources": ["a", "b/"], "target": "ünïcödé/日本", "move": False}
    first = journal.add("upload", recipe)
    second = journal.add("delete", {})
    report = JobReport(3, 30, 2, 20, files_failed=1, check="CRC-32", checked=Checked(verified=2))
    journal.change(first, JobState.RUNNING)
    journal.change(first, JobState.INCOMPLETE, report=report, error=PermissionDenied("You may not.", path="a"))

    other = Journal(journal.path)
    jobs = {job.job_id: job for job in other.jobs()}
    other.close()

    assert list(jobs) == [first, second]
    job = jobs[first]
    assert (job.kind, job.recipe, job.state, job.report) == ("upload", recipe, JobState.INCOMPLETE, report)
    assert isinstance(job.error, PermissionDenied)
    assert (job.error.message, job.error.path) == ("You may not.", "a")
    assert job.started_utc is not None
    assert job.ended_utc is not None
    assert jobs[second].ended_utc is None


def test_the_first_failures_of_a_report_come_back(journal: Journal) -> None:
    job_id = journal.add("upload", {})
    failures = tuple(Failure(f"\udcff{number}", PermissionDenied("no")) for number in range(100))

    journal.change(job_id, JobState.INCOMPLETE, report=JobReport(1, 1, 0, 0, files_failed=100, failures=failures))

    job = journal.job(job_id)
    assert job is not None
    assert job.report is not None
    assert job.report.files_failed == 100
    assert [one.path for one in job.report.failures] == [f"\udcff{number}" for number in range(20)]


def test_jobs_change_places(journal: Journal) -> None:
    a, b, c, d = (journal.add(name, {}) for name in "abcd")

    journal.move(d, a)
    assert [job.job_id for job in journal.jobs()] == [d, a, b, c]
    journal.move(c, b)
    assert [job.job_id for job in journal.jobs()] == [d, a, c, b]
    journal.move(d, None)
    assert [job.job_id for job in journal.jobs()] == [a, c, b, d]
    for _again in range(80):
        journal.move(d, c)
        journal.move(b, c)
        journal.move(d, c)
    assert journal.jobs()[-1].job_id == c


def test_ids_are_never_used_again(journal: Journal) -> None:
    first = journal.add("upload", {})
    journal.remove(first)

    assert journal.add("upload", {}) > first


def test_oldest_ended_jobs_are_forgotten(journal: Journal) -> None:
    ids = [journal.add("upload", {}) for _number in range(10)]
    for job_id in ids[:8]:
        journal.change(job_id, JobState.DONE)

    journal.forget_oldest(keep=3)

    assert [job.job_id for job in journal.jobs()] == ids[5:]


# -- claims ---------------------------------------------------------------------------------------------------------------


def test_job_is_claimed_by_one_living_owner_only(journal: Journal) -> None:
    job_id = journal.add("upload", {})
    first, second = journal.new_owner(), journal.new_owner()

    assert journal.claim(job_id, first.name)
    assert journal.claim(job_id, first.name)
    assert not journal.claim(job_id, second.name)
    first.release()
    assert journal.claim(job_id, second.name)
    second.release()


def test_claim_ends_with_its_process_even_if_it_is_killed(journal: Journal) -> None:
    job_id = journal.add("upload", {})
    script = (
        "import sys, time; from pathlib import Path; from kegbrowser.transfer.journal import Journal\n"
        "j = Journal(Path(sys.argv[1])); o = j.new_owner(); print(j.claim(int(sys.argv[2]), o.name), flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", script, str(journal.path), str(job_id)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"True\n"
        ours = journal.new_owner()
        assert not journal.claim(job_id, ours.name)
        other.send_signal(signal.SIGKILL)
        other.wait()

    assert journal.claim(job_id, ours.name)
    ours.release()


def test_two_at_once_never_claim_the_same_job(journal: Journal) -> None:
    ids = [journal.add("upload", {}) for _number in range(40)]
    taken: list[list[int]] = [[], []]
    owners = [journal.new_owner(), journal.new_owner()]

    def take(number: int) -> None:
        own = Journal(journal.path)
        taken[number] = [job_id for job_id in ids if own.claim(job_id, owners[number].name)]
        own.close()

    threads = [threading.Thread(target=take, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(taken[0] + taken[1]) == ids
    for owner in owners:
        owner.release()


def test_a_job_that_is_still_cleaned_up_by_another_process_is_waited_for(journal: Journal) -> None:
    job_id = journal.add("upload", {})
    first = journal.open_job(job_id)
    assert journal.is_running(job_id)
    with pytest.raises(JournalFailed, match="another process"):
        journal.open_job(job_id, wait_s=0)
    timer = threading.Timer(0.1, first.close)
    timer.start()

    second = journal.open_job(job_id)

    timer.join()
    second.close()
    assert not journal.is_running(job_id)


def test_waiting_for_a_job_can_be_cancelled(journal: Journal) -> None:
    job_id = journal.add("upload", {})
    first, stop = journal.open_job(job_id), CancelToken()
    timer = threading.Timer(0.1, stop.cancel)
    timer.start()

    with pytest.raises(Cancelled):
        journal.open_job(job_id, stop)

    timer.join()
    first.close()


def test_locks_of_dead_windows_and_helpers_are_swept(journal: Journal, tmp_path: Path) -> None:
    folder = tmp_path / "transfers.sqlite.locks"
    first = journal.new_owner()
    for name in ("window-dead.lock", "job-77.lock"):
        (folder / name).touch()

    second = journal.new_owner()

    assert {path.name for path in folder.iterdir()} == {f"window-{one.name}.lock" for one in (first, second)}
    first.release()
    second.release()
    assert list(folder.iterdir()) == []


def test_lock_is_held_once_and_leaves_nothing(tmp_path: Path) -> None:
    lock = FileLock.try_lock(tmp_path / "a.lock")
    assert lock is not None
    assert FileLock.try_lock(tmp_path / "a.lock") is None
    lock.release()
    lock.release()
    assert list(tmp_path.iterdir()) == []


# -- items ----------------------------------------------------------------------------------------------------------------


def test_items_come_back_as_they_were(journal: Journal) -> None:
    job_id = journal.add("upload", {})
    memory = journal.open_job(job_id)
    assert not memory.is_resumed
    first = memory.plan("/from/a", "to/a", MARK, overwrite=True)
    second = memory.plan("/from/\udcff", "to/\udcff", SourceMark(-1, -(2**63)), overwrite=False)
    third = memory.plan("/from/c", "to/c", MARK, overwrite=False)
    memory.begin(first, "upload-1", "to/a (2)")
    memory.add_part(first, Part(0, 100, 2**32 - 1, "etag"))
    memory.add_part(first, Part(3, 50, 0))
    memory.end(second, ItemEnd(ItemState.DONE, proof=Proof.verified("CRC-32, MD5")))
    memory.end(third, ItemEnd(ItemState.FAILED, error=PermissionDenied("no", path="to/c", hint="ask")))
    memory.close()

    again = journal.open_job(job_id)
    assert again.is_resumed
    a, b, c = (again.find(source) for source in ("/from/a", "/from/\udcff", "/from/c"))
    assert a is not None
    assert b is not None
    assert c is not None
    assert (a.state, a.token, a.place, a.mark, a.overwrite) == (ItemState.MOVING, "upload-1", "to/a (2)", MARK, True)
    assert dict(again.parts(first)) == {0: Part(0, 100, 2**32 - 1, "etag"), 3: Part(3, 50, 0)}
    assert (b.state, b.proof, b.mark.size) == (ItemState.DONE, Proof.verified("CRC-32, MD5"), -1)
    assert isinstance(c.error, PermissionDenied)
    assert c.error.hint == "ask"
    assert again.find("/from/other") is None
    assert [record.item for record in journal.unfinished(job_id)] == [first]
    assert journal.tokens_in_use() == {"upload-1"}
    again.close()


def test_what_was_just_said_is_found_before_it_is_written(journal: Journal) -> None:
    memory = journal.open_job(journal.add("upload", {}))
    item = memory.plan("a", "b", MARK, overwrite=False)
    memory.flush()
    memory.end(item, ItemEnd(ItemState.DONE, "c"))
    found = memory.find("a")

    assert found is not None
    assert (found.state, found.place) == (ItemState.DONE, "c")
    assert memory.plan("a", "b", MARK, overwrite=False) == item
    memory.close()


def test_item_numbers_of_a_job_go_on_after_a_crash_and_are_its_own(journal: Journal) -> None:
    jobs = [journal.add("upload", {}) for _job in range(2)]
    for turn in range(2):
        for job_id in jobs:
            memory = journal.open_job(job_id)
            assert memory.plan(f"turn {turn}", "p", MARK, overwrite=False) == turn
            memory.close()

    assert [[record.item for record in journal.all_items(job_id)] for job_id in jobs] == [[0, 1], [0, 1]]


def test_damage_that_is_met_while_running_sets_the_file_aside_at_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    with Journal(path) as store:
        job_id = store.add("upload", {})
        memory = store.open_job(job_id)
        for number in range(3000):
            memory.plan(f"source {number}", "p", MARK, overwrite=False)
        memory.close()
    content = bytearray(path.read_bytes())
    content[len(content) // 3 :] = b"x" * (len(content) - len(content) // 3)
    path.write_bytes(content)

    with Journal(path) as store:
        with pytest.raises(JournalFailed, match="damaged"):
            list(store.all_items(job_id))
    with Journal(path) as store:
        assert "was kept as" in store.notice
        assert store.jobs() == []
    (kept,) = tmp_path.glob("*.bad-*")
    assert kept.read_bytes() == content


def test_new_begin_forgets_the_parts_of_the_old_one(journal: Journal) -> None:
    memory = journal.open_job(journal.add("upload", {}))
    item = memory.plan("a", "b", MARK, overwrite=False)
    memory.begin(item, "one", "b")
    memory.add_part(item, Part(0, 1, 1))
    memory.begin(item, "two", "b")
    memory.add_part(item, Part(1, 1, 1))

    assert dict(memory.parts(item)) == {1: Part(1, 1, 1)}
    memory.end(item, ItemEnd(ItemState.DONE))
    assert dict(memory.parts(item)) == {}
    memory.close()


def test_pages_and_counts_of_items(journal: Journal) -> None:
    job_id = journal.add("upload", {})
    memory = journal.open_job(job_id)
    for number in range(100):
        memory.plan(f"s{number}", f"p{number}", MARK, overwrite=False)
    for number in range(0, 100, 10):
        memory.end(number, ItemEnd(ItemState.FAILED, error=PermissionDenied("no")))
    for number in range(1, 100, 10):
        memory.end(number, ItemEnd(ItemState.DONE, proof=Proof.size_only("because")))
    memory.flush()

    assert [record.item for record in journal.items(job_id, 40, 3)] == [40, 41, 42]
    assert [record.item for record in journal.items(job_id, 3, 2, {ItemState.FAILED})] == [30, 40]
    assert journal.items(job_id, 1, 1)[0].proof == Proof(Certainty.SIZE_ONLY, reason="because")
    counts = journal.item_counts(job_id)
    assert (counts[ItemState.PLANNED], counts[ItemState.FAILED], counts[ItemState.DONE]) == (80, 10, 10)
    assert len(list(journal.all_items(job_id, ItemState.FAILED))) == 10
    memory.close()

    assert journal.reset_failed(job_id) == 10
    counts = journal.item_counts(job_id)
    assert (counts[ItemState.PLANNED], counts[ItemState.FAILED]) == (90, 0)
    journal.remove(job_id)
    journal.wait_removed()
    assert journal.items(job_id, 0, 10) == []
    assert sum(journal.item_counts(job_id).values()) == 0


# -- crashes --------------------------------------------------------------------------------------------------------------


def test_copy_taken_at_any_moment_is_whole_and_holds_what_was_promised(journal: Journal, tmp_path: Path) -> None:
    job_id = journal.add("upload", {})
    memory = journal.open_job(job_id)
    for number in range(30):
        item = memory.plan(f"s{number}", "p", MARK, overwrite=False)
        memory.begin(item, f"token {number}", "p")
        memory.add_part(item, Part(0, 1, number))
        copy = tmp_path / f"copy {number}" / journal.path.name
        copy.parent.mkdir()
        for ending in ("", "-wal"):
            shutil.copy(f"{journal.path}{ending}", f"{copy}{ending}")
        found = Journal(copy)
        (check,) = sqlite3.connect(copy).execute("PRAGMA integrity_check").fetchone()
        assert check == "ok"
        assert [record.token for record in found.unfinished(job_id)][-1] == f"token {number}"
        found.close()
    memory.close()


def test_killed_writer_damages_nothing(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    store = Journal(path)
    job_id = store.add("upload", {})
    script = (
        "import sys; from pathlib import Path; from kegbrowser.transfer.journal import Journal\n"
        "from kegbrowser.transfer.records import *\n"
        "m = Journal(Path(sys.argv[1])).open_job(int(sys.argv[2])); n = 0\n"
        "while True:\n"
        "    i = m.plan(f's{n}', 'p', SourceMark(1, 1), overwrite=False); n += 1\n"
        "    if n % 50 == 0: m.begin(i, f't{n}', 'p'); print(n, flush=True)\n"
        "    else: m.end(i, ItemEnd(ItemState.DONE))\n"
    )
    for kill in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", script, str(path), str(job_id)], stdout=subprocess.PIPE, cwd=ROOT
        ) as writer:
            assert writer.stdout is not None
            for _line in range(3 + kill * 7):
                told = int(writer.stdout.readline())
            writer.kill()
        assert any(record.token == f"t{told}" for record in store.unfinished(job_id))
        assert sum(store.item_counts(job_id).values()) == len(list(store.all_items(job_id)))
    store.close()


def test_damaged_file_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    path.write_bytes(b"this is no database, whatever it may have been before" * 100)

    store = Journal(path)

    assert store.jobs() == []
    store.close()
    assert [other.read_bytes()[:7] for other in tmp_path.glob("*.bad-*")] == [b"this is"]


def test_file_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()

    with pytest.raises(StorageError, match="newer version"):
        Journal(path)


def test_disk_that_takes_no_more_stops_the_job_with_one_sentence_and_loses_nothing(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[sqlite3.Connection] = []

    def connect_to_full_disk(path: Path) -> sqlite3.Connection:
        connection = connect(path)
        connection.execute("PRAGMA max_page_count = 60")
        opened.append(connection)
        return connection

    monkeypatch.setattr(job_journal, "RETRY_WAITS_S", (0.01,))
    monkeypatch.setattr(batch, "connect", connect_to_full_disk)
    job_id = journal.add("upload", {})
    memory = journal.open_job(job_id)
    planned = 0

    def plan_many() -> None:
        nonlocal planned
        for _turn in range(100_000):
            memory.plan(f"source {planned}" * 10, "p", MARK, overwrite=False)
            planned += 1

    with pytest.raises(JournalFailed, match="list of transfers could not be written: the disk is full") as failed:
        plan_many()
    assert failed.value.hint
    memory.end(0, ItemEnd(ItemState.DONE))
    with pytest.raises(JournalFailed, match="disk is full"):
        memory.begin(1, "token", "p")

    opened[0].execute("PRAGMA max_page_count = 1000000")
    memory.flush()
    memory.plan("one more", "p", MARK, overwrite=False)
    memory.close()

    assert sum(journal.item_counts(job_id).values()) == planned + 1
    assert [record.token for record in journal.unfinished(job_id)] == ["token"]
    assert journal.items(job_id, 0, 1)[0].state is ItemState.DONE


def test_disk_that_is_slower_than_the_walk_holds_the_walk_back(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_journal, "QUEUE_ITEMS", 50)
    job_id = journal.add("upload", {})
    memory = journal.open_job(job_id)
    numbers: list[int] = []
    blocker = connect(journal.path)
    blocker.execute("BEGIN IMMEDIATE")

    def walk() -> None:
        for number in range(1000):
            numbers.append(memory.plan(f"s{number}", "p", MARK, overwrite=False))

    walker = threading.Thread(target=walk)
    walker.start()
    walker.join(0.5)
    held_back_at = len(numbers)
    blocker.execute("ROLLBACK")
    blocker.close()
    walker.join(20)
    memory.close()

    assert held_back_at <= 100, "one batch on its way, one that waits"
    assert numbers == list(range(1000))
    assert sum(journal.item_counts(job_id).values()) == 1000


def test_no_secret_is_in_the_file(journal: Journal) -> None:
    journal.add("upload", {"connection": "id", "sources": ["/a"]})

    text = b"".join(Path(f"{journal.path}{ending}").read_bytes() for ending in ("", "-wal"))

    assert b"sources" in text
    assert journal.path.stat().st_mode & 0o077 == 0


def test_every_kind_of_note_reaches_the_disk_without_being_asked_for(journal: Journal) -> None:
    job_id = journal.add("upload", {})
    memory = journal.open_job(job_id)
    item = memory.plan("a", "b", MARK, overwrite=False)
    memory.begin(item, "token", "b")
    waited = threading.Event()

    def becomes(claim: Callable[[], bool]) -> bool:
        return any(claim() or waited.wait(0.05) for _look in range(100))

    for number in range(3):
        memory.add_part(item, Part(number, 1, 1))
        assert becomes(lambda: journal.parts_count(job_id, item) == number + 1)  # noqa: B023  # asked within this very turn
    memory.end(item, ItemEnd(ItemState.DONE))
    assert becomes(lambda: journal.item_counts(job_id)[ItemState.DONE] == 1)
    memory.close()
