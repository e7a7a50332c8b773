"""Speed limits, and the number of things at once."""

from __future__ import annotations

import threading

import pytest

from kegbrowser.backends.errors import Cancelled
from kegbrowser.transfer.adaptive import WINDOW_S, Concurrency, Slots
from kegbrowser.transfer.cancel import CancelToken
from kegbrowser.transfer.pace import Direction, Pace


class _Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


# -- pace -----------------------------------------------------------------------------------------------------------------


def test_without_a_limit_everything_may_go() -> None:
    pace = Pace(_Clock())

    assert all(pace.try_take(Direction.UP, 1 << 40) for _again in range(3))


def test_limited_bytes_take_the_time_they_must() -> None:
    clock = _Clock()
    pace = Pace(clock)
    pace.set_limit(Direction.DOWN, 1_000)
    moved = 0

    for _tick in range(1_000):
        clock.now += 0.01
        while pace.try_take(Direction.DOWN, 50):
            moved += 50

    assert moved == pytest.approx(10_000, rel=0.06)
    assert pace.try_take(Direction.UP, 1 << 30), "the other direction is not limited"


def test_pause_holds_both_directions_and_a_stop_ends_the_wait() -> None:
    pace, stop = Pace(), CancelToken()
    pace.set_paused(paused=True)
    assert not pace.try_take(Direction.UP, 1)
    threading.Timer(0.05, stop.cancel).start()

    with pytest.raises(Cancelled):
        pace.take(Direction.DOWN, 1, stop)


def test_wait_ends_when_the_limit_is_lifted_or_the_pause_is_over() -> None:
    pace, stop = Pace(), CancelToken()
    pace.set_limit(Direction.UP, 1)
    pace.take(Direction.UP, 1_000_000, stop)
    threading.Timer(0.05, pace.set_limit, (Direction.UP, None)).start()
    pace.take(Direction.UP, 1, stop)

    pace.set_paused(paused=True)
    threading.Timer(0.05, lambda: pace.set_paused(paused=False)).start()
    pace.take(Direction.UP, 1, stop)


# -- how many at once -----------------------------------------------------------------------------------------------------


def _run(concurrency: Concurrency, clock: _Clock, rate: float, windows: int) -> None:
    """Let things of 1 MB be done so many a second and at once, for some windows."""
    for _window in range(windows):
        clock.now += WINDOW_S
        done = max(concurrency.limit, int(rate * WINDOW_S))
        concurrency.add(done, int(rate * WINDOW_S * 1_000_000))


def test_number_grows_while_the_throughput_does() -> None:
    clock = _Clock()
    concurrency = Concurrency(4, 64, clock)

    for _step in range(20):
        _run(concurrency, clock, 10.0 * concurrency.limit, 1)

    assert concurrency.limit >= 60


def test_step_that_does_not_pay_is_taken_back() -> None:
    clock = _Clock()
    concurrency = Concurrency(8, 64, clock)

    _run(concurrency, clock, 100.0, 40)

    assert concurrency.limit <= 12


def test_errors_halve_the_number_once_a_second() -> None:
    clock = _Clock()
    concurrency = Concurrency(16, 64, clock)

    for _error in range(10):
        concurrency.shrink()
    assert concurrency.limit == 8
    for _second in range(10):
        clock.now += 1.1
        concurrency.shrink()

    assert concurrency.limit == 1


def test_no_more_slots_are_taken_than_there_are() -> None:
    slots, stop = Slots(Concurrency(2, 2)), CancelToken()
    lock = threading.Lock()
    inside = most = 0
    go = threading.Barrier(2, timeout=5)

    def work() -> None:
        nonlocal inside, most
        with slots.taken(stop):
            with lock:
                inside += 1
                most = max(most, inside)
            go.wait()
            with lock:
                inside -= 1

    threads = [threading.Thread(target=work) for _number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert most == 2


def test_wait_for_a_slot_ends_with_the_job() -> None:
    slots, stop = Slots(Concurrency(1, 1)), CancelToken()

    with slots.taken(CancelToken()):
        stop.cancel()
        with pytest.raises(Cancelled), slots.taken(stop):
            raise AssertionError("there was no slot")
