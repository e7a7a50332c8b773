"""Trying again: how often, after which wait."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from kegbrowser.backends.errors import StorageError, Throttled
from kegbrowser.transfer.cancel import CancelToken

log = logging.getLogger(__name__)

T = TypeVar("T")

LONGEST_SERVER_WAIT_S = 120.0
"""A server's own wait is honoured up to here; one that names hours would look like a hang."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential waits with jitter, so that many clients that failed together do not come back together."""

    tries: int = 5
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0
    throttled_tries: int = 12

    def tries_of(self, error: StorageError) -> int:
        """How often something is tried in a row; a server that is busy gets more time than one that is not there."""
        return max(self.tries, self.throttled_tries) if isinstance(error, Throttled) else self.tries

    def wait_s(self, failed_tries: int, error: StorageError) -> float:
        """How long to wait after the `failed_tries`-th failure in a row."""
        if error.retry_after_s is not None:
            return min(max(error.retry_after_s, 0.0), LONGEST_SERVER_WAIT_S)
        full = min(self.first_wait_s * 2.0 ** (failed_tries - 1), self.longest_wait_s)
        return full * random.uniform(0.5, 1.0)


class Attempts:
    """Counts the failures of one piece of work. Used by one thread.

    Args:
        token: the waits end when it is cancelled.
    """

    def __init__(self, policy: RetryPolicy, token: CancelToken) -> None:
        self._policy = policy
        self._token = token
        self._failed = 0

    def succeed(self) -> None:
        """Something went over the wire: the next failure is counted as the first one again."""
        self._failed = 0

    def fail(self, error: StorageError) -> None:
        """Wait until the next try is due.

        Raises:
            StorageError: `error` itself, if trying again is of no use or was done often enough.
            Cancelled: while waiting.
        """
        self._failed += 1
        if not error.retryable or self._failed >= self._policy.tries_of(error):
            raise error
        wait_s = self._policy.wait_s(self._failed, error)
        log.info("trying again in %.1f s after failure %s: %s", wait_s, self._failed, error)
        self._token.wait(wait_s)


def retrying(action: Callable[[], T], policy: RetryPolicy, token: CancelToken) -> T:
    """Do something that can be done again from its start, until it succeeds or trying again is of no use."""
    attempts = Attempts(policy, token)
    while True:
        token.check()
        try:
            return action()
        except StorageError as error:
            attempts.fail(error)


def retrying_change(
    action: Callable[[], None], is_done: Callable[[], bool], policy: RetryPolicy, token: CancelToken
) -> None:
    """Do something that cannot be done twice, as a rename, until it succeeds or trying again is of no use.

    A connection may break after the server did it, but before it said so: a refusal after a lost connection is looked into by
    `is_done`, and may turn out to be a success.
    """
    attempts = Attempts(policy, token)
    was_lost = False
    while True:
        token.check()
        try:
            action()
        except StorageError as error:
            if was_lost and not error.retryable and retrying(is_done, policy, token):
                return
            was_lost = True
            attempts.fail(error)
        else:
            return
