"""Several files, and several ranges of one, at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from kegbrowser.backends.errors import AuthenticationFailed, Cancelled, ConnectionLost
from kegbrowser.transfer.cancel import CancelToken
from kegbrowser.transfer.parallel import Lane, Lanes, in_parallel
from kegbrowser.transfer.tuning import Tuning

TUNING = Tuning(small_threads=3, large_threads=1, items_ahead=10, clean_up_s=1.0)


def test_large_tasks_do_not_hold_up_small_ones() -> None:
    is_small_done = threading.Event()
    order: list[str] = []

    def carry_out(task: str) -> None:
        if task == "large":
            assert is_small_done.wait(5)
        order.append(task)
        if task == "small":
            is_small_done.set()

    with Lanes(CancelToken(), CancelToken(), TUNING, carry_out) as lanes:
        lanes.put("large", Lane.LARGE)
        lanes.put("small", Lane.SMALL)
        lanes.finish()

    assert order == ["small", "large"]


def test_every_task_is_done_once_and_few_are_ahead() -> None:
    done: list[int] = []
    put, ahead = 0, 0

    with Lanes(CancelToken(), CancelToken(), TUNING, done.append) as lanes:
        for number in range(5_000):
            lanes.put(number, Lane.LARGE if number % 7 == 0 else Lane.SMALL)
            put += 1
            ahead = max(ahead, put - len(done))
        lanes.finish()

    assert sorted(done) == list(range(5_000))
    assert ahead <= TUNING.items_ahead + TUNING.small_threads + TUNING.large_threads + 1


def test_error_that_leaves_a_task_stops_all_and_comes_out() -> None:
    done: list[int] = []

    def carry_out(number: int) -> None:
        if number == 3:
            raise AuthenticationFailed("wrong key")
        done.append(number)

    def run() -> None:
        with Lanes(CancelToken(), CancelToken(), TUNING, carry_out) as lanes:
            for number in range(100_000):
                lanes.put(number, Lane.SMALL)
            lanes.finish()

    with pytest.raises(AuthenticationFailed):
        run()

    assert len(done) < 100


def test_cancel_ends_a_put_that_waits() -> None:
    token, stop = CancelToken(), CancelToken()
    threading.Timer(0.05, token.cancel).start()
    started = time.monotonic()

    def wait(_number: int) -> None:
        stop.wait(30)

    def run() -> None:
        with Lanes(token, stop, TUNING, wait) as lanes:
            for number in range(100):
                lanes.put(number, Lane.SMALL)

    with pytest.raises(Cancelled):
        run()

    assert time.monotonic() - started < 1


def test_task_that_does_not_clean_up_is_left_behind_in_time() -> None:
    token = CancelToken()
    release = threading.Event()
    threading.Timer(0.05, token.cancel).start()
    started = time.monotonic()

    def wait(_number: int) -> None:
        release.wait(30)

    def run() -> None:
        with Lanes(token, CancelToken(), TUNING, wait) as lanes:
            for number in range(3):
                lanes.put(number, Lane.SMALL)
            lanes.finish()

    with pytest.raises(Cancelled):
        run()

    assert time.monotonic() - started < TUNING.clean_up_s + 0.5
    release.set()


def test_ranges_run_at_once_and_the_first_error_comes_out() -> None:
    meeting = threading.Barrier(4, timeout=5)
    begun: list[int] = []

    def carry_out(number: int, _check: Callable[[], None]) -> None:
        begun.append(number)
        if number < 4:
            meeting.wait()
        if number == 4:
            raise ConnectionLost("gone")

    with pytest.raises(ConnectionLost):
        in_parallel(range(1_000_000), carry_out, 4)

    assert len(begun) < 1_000_000


def test_range_learns_that_another_one_failed() -> None:
    has_failed = threading.Event()
    checks: list[str] = []

    def carry_out(number: int, check: Callable[[], None]) -> None:
        if number == 0:
            has_failed.set()
            raise ConnectionLost("gone")
        has_failed.wait(5)
        while True:
            check()
            checks.append("still running")

    with pytest.raises(ConnectionLost):
        in_parallel(range(2), carry_out, 2)


def test_dismissed_question_cancels_the_job_so_that_the_others_are_interrupted() -> None:
    token = CancelToken()
    interrupted = threading.Event()
    token.on_cancel(interrupted.set)

    def carry_out(number: int) -> None:
        if number == 1:
            raise Cancelled
        assert interrupted.wait(5)
        raise Cancelled

    def run() -> None:
        with Lanes(token, CancelToken(), TUNING, carry_out) as lanes:
            lanes.put(0, Lane.SMALL)
            lanes.put(1, Lane.SMALL)
            lanes.finish()

    with pytest.raises(Cancelled):
        run()

    assert interrupted.is_set()
