"""The count of a job."""

from __future__ import annotations

import threading
import time
from itertools import pairwise

from kegbrowser.backends.errors import PermissionDenied
from kegbrowser.backends.proofs import Proof
from kegbrowser.transfer.events import Checked, Progress
from kegbrowser.transfer.progress import MAX_FAILURES, Tracker


def test_last_snapshot_holds_everything() -> None:
    told: list[Progress] = []

    with Tracker(told.append) as tracker:
        tracker.plan(10)
        tracker.plan(5)
        tracker.plan(1)
        tracker.finish_plan()
        first = tracker.start("a", 10)
        first.move(4)
        first.move(6)
        first.finish(Proof.verified("CRC-32"))
        tracker.skip(5)
        tracker.start("c", 1).fail("c", PermissionDenied("no"))

    assert told[-1] == Progress(3, 16, True, 1, 1, 1, 15, 10, "c", told[-1].failures, checked=Checked(verified=1))
    assert [failure.path for progress in told for failure in progress.failures] == ["c"]


def test_report_equals_the_plan_only_if_all_is_done() -> None:
    with Tracker(lambda _progress: None) as tracker:
        tracker.plan(10)
        tracker.plan(10)
        tracker.start("a", 10).finish(Proof.verified("CRC-32"))
        tracker.start("b", 10).fail("b", PermissionDenied("no"))

    report = tracker.report()

    assert (report.files_total, report.files_done, report.files_failed) == (2, 1, 1)
    assert (report.bytes_total, report.bytes_done) == (20, 10)
    assert (report.check, report.checked) == ("CRC-32", Checked(verified=1))


def test_bytes_of_a_file_that_starts_anew_are_taken_back_but_stay_moved() -> None:
    told: list[Progress] = []

    with Tracker(told.append) as tracker:
        tracker.plan(10)
        progress = tracker.start("a", 10)
        progress.move(8)
        progress.restart(12)
        progress.move(12)
        progress.finish()

    assert (told[-1].bytes_total, told[-1].bytes_done, told[-1].bytes_moved) == (12, 12, 20)


def test_many_threads_lose_no_count_and_tell_at_most_ten_times_a_second() -> None:
    told: list[Progress] = []
    started = time.monotonic()

    with Tracker(told.append) as tracker:

        def move() -> None:
            for _ in range(2_000):
                tracker.plan(3)
                progress = tracker.start("x", 3)
                progress.move(3)
                progress.finish()

        threads = [threading.Thread(target=move) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    seconds = time.monotonic() - started
    assert (told[-1].files_done, told[-1].bytes_done) == (12_000, 36_000)
    assert len(told) <= seconds * 10 + 3
    assert all(earlier.bytes_moved <= later.bytes_moved for earlier, later in pairwise(told))


def test_many_failures_are_counted_but_not_all_kept() -> None:
    with Tracker(lambda _progress: None) as tracker:
        for index in range(MAX_FAILURES + 50):
            tracker.fail(str(index), PermissionDenied("no"), was_planned=False)

    assert tracker.report().files_failed == MAX_FAILURES + 50
    assert len(tracker.report().failures) == MAX_FAILURES
