"""Trying again."""

from __future__ import annotations

import threading

import pytest

from kegbrowser.backends.errors import Cancelled, ConnectionLost, PermissionDenied, StorageError, Throttled
from kegbrowser.transfer.cancel import CancelToken
from kegbrowser.transfer.retry import LONGEST_SERVER_WAIT_S, Attempts, RetryPolicy, retrying

QUICK = RetryPolicy(tries=5, first_wait_s=0.0001, longest_wait_s=0.001)


class _Failing:
    def __init__(self, *errors: StorageError) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def test_lost_connection_is_tried_again_until_it_works() -> None:
    action = _Failing(*[ConnectionLost("gone")] * 4)

    assert retrying(action, QUICK, CancelToken()) == "done"
    assert action.calls == 5


def test_it_is_given_up_after_the_last_try() -> None:
    action = _Failing(*[ConnectionLost("gone")] * 9)

    with pytest.raises(ConnectionLost):
        retrying(action, QUICK, CancelToken())

    assert action.calls == 5


def test_refusal_is_not_tried_again() -> None:
    action = _Failing(PermissionDenied("no"))

    with pytest.raises(PermissionDenied):
        retrying(action, QUICK, CancelToken())

    assert action.calls == 1


def test_what_moved_in_between_starts_the_count_anew() -> None:
    attempts = Attempts(QUICK, CancelToken())

    for _ in range(20):
        attempts.fail(ConnectionLost("gone"))
        attempts.succeed()


def test_waits_grow_with_jitter_up_to_the_longest() -> None:
    policy = RetryPolicy(first_wait_s=1.0, longest_wait_s=10.0)
    lost = ConnectionLost("gone")

    for failed, full in ((1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 10.0), (9, 10.0)):
        waits = [policy.wait_s(failed, lost) for _ in range(100)]
        assert all(full / 2 <= wait <= full for wait in waits)
        assert len(set(waits)) > 1


def test_the_servers_own_wait_is_honoured_but_not_for_hours() -> None:
    assert RetryPolicy().wait_s(1, Throttled("slow", retry_after_s=7.0)) == 7.0
    assert RetryPolicy().wait_s(1, Throttled("slow", retry_after_s=86400.0)) == LONGEST_SERVER_WAIT_S


def test_cancel_ends_a_wait_at_once() -> None:
    token = CancelToken()
    action = _Failing(*[Throttled("slow", retry_after_s=60.0)] * 5)
    threading.Timer(0.05, token.cancel).start()

    with pytest.raises(Cancelled):
        retrying(action, QUICK, token)

    assert action.calls == 1
