"""Several files, or several ranges of one, at once."""

from __future__ import annotations

import enum
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Generic, Self, TypeVar

from kegbrowser.backends.errors import Cancelled
from kegbrowser.transfer.cancel import CancelToken
from kegbrowser.transfer.tuning import Tuning

log = logging.getLogger(__name__)

T = TypeVar("T")

FETCHED_AT_ONCE = 64

STOP_LOOK_S = 0.1
"""How often a wait for the threads looks whether the job was stopped."""


class Lane(enum.Enum):
    """Where a task goes: among the many that one thread does together, or to a thread of its own, small or large."""

    BATCH = "batch"
    SMALL = "small"
    LARGE = "large"


class Feed(Generic[T]):
    """The tasks of the batch lane, for the one thread that does them."""

    def __init__(self, lanes: Lanes[T]) -> None:
        self._lanes = lanes
        self._taken: deque[T] = deque()

    def take(self) -> T | None:
        """The next task, if there is one now; does not wait."""
        if not self._taken:
            self._lanes.fetch(self._taken)
        return self._taken.popleft() if self._taken else None

    @property
    def is_complete(self) -> bool:
        """Whether there will never be another task."""
        return not self._taken and self._lanes.is_fetched


class Lanes(Generic[T]):
    """Lanes of threads, so that large files never hold up the small ones. A context manager.

    Tasks are put in by one thread, which waits when too many are ahead. An exception that leaves a task stops all of them
    and comes out of `put` or `finish`; `Cancelled` cancels the job. What may happen to a single file is handled within its task.

    Args:
        token: of the job.
        stop: cancelled when the job is, or when a task fails the whole of it; what tasks check and wait on.
        carry_out: does a task; called on the threads of the lanes.
        carry_out_batch: does all tasks of the batch lane, on a thread of its own; None if none is ever put there.
        keep: whether what is unfinished is kept when a failure stops all.
    """

    def __init__(
        self,
        token: CancelToken,
        stop: CancelToken,
        tuning: Tuning,
        carry_out: Callable[[T], None],
        carry_out_batch: Callable[[Feed[T]], None] | None = None,
        *,
        keep: bool = False,
    ) -> None:
        self.stop = stop
        self._token = token
        self._carry_out = carry_out
        self._carry_out_batch = carry_out_batch
        self._keep = keep
        self._limit = tuning.items_ahead
        self._clean_up_s = tuning.clean_up_s
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._lanes: dict[Lane, _Lane[T]] = {
            Lane.BATCH: _Lane(self._lock, "batch", 1),
            Lane.SMALL: _Lane(self._lock, "small", tuning.small_threads),
            Lane.LARGE: _Lane(self._lock, "large", tuning.large_threads),
        }
        self._ahead = 0
        self._is_complete = False
        self._error: BaseException | None = None
        self._clean_up_until: float | None = None
        self._forget: Callable[[], None] | None = None

    def __enter__(self) -> Self:
        self.stop.on_cancel(self._wake)
        self._forget = self._token.on_cancel(self._stop_with_job)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._forget is not None:
            self._forget()
        if exc_type is not None:
            if exc_type is Cancelled:
                self._token.cancel(keep=self.stop.keeps)
            self.stop.cancel(keep=self._keep)
            self._await_clean_up()

    def put(self, task: T, lane: Lane) -> None:
        """Add a task; waits while too many are ahead.

        Raises:
            Cancelled: the job was cancelled.
            StorageError: a task failed the whole job.
        """
        with self._lock:
            while self._ahead >= self._limit and not self.stop.is_cancelled:
                self._room.wait()
            self._raise_if_stopped()
            self._add(task, lane)

    def put_again(self, task: T, lane: Lane) -> None:
        """Add a task from within a lane; does not wait."""
        with self._lock:
            self._add(task, lane)

    def fetch(self, into: deque[T]) -> None:
        """Take some tasks of the batch lane, if there are any."""
        tasks = self._lanes[Lane.BATCH].tasks
        if not tasks:
            return
        with self._lock:
            count = min(len(tasks), FETCHED_AT_ONCE)
            into.extend(tasks.popleft() for _ in range(count))
            self._ahead -= count
            self._room.notify()

    @property
    def is_fetched(self) -> bool:
        """Whether the batch lane is empty for good."""
        with self._lock:
            return self._is_complete and not self._lanes[Lane.BATCH].tasks

    def check(self) -> None:
        """Raise what stopped the job, if something did."""
        if self.stop.is_cancelled:
            with self._lock:
                self._raise_if_stopped()

    def finish(self) -> None:
        """Wait until all tasks are done. Raises as `put`; then, unfinished tasks have had their time to clean up."""
        with self._lock:
            self._is_complete = True
        self._wake()
        while any(thread.is_alive() for thread in self._threads()) and not self.stop.is_cancelled:
            for thread in self._threads():
                thread.join(STOP_LOOK_S)
        if self.stop.is_cancelled:
            self._await_clean_up()
        with self._lock:
            self._raise_if_stopped()

    def _add(self, task: T, name: Lane) -> None:
        lane = self._lanes[name]
        lane.tasks.append(task)
        self._ahead += 1
        if not lane.idle and len(lane.threads) < lane.max_threads:
            work = self._work_batch if name is Lane.BATCH else self._work
            thread = threading.Thread(target=work, args=(lane,), name=f"{lane.name}-{len(lane.threads)}", daemon=True)
            lane.threads.append(thread)
            thread.start()
        lane.arrived.notify()

    def _threads(self) -> list[threading.Thread]:
        with self._lock:
            return [thread for lane in self._lanes.values() for thread in lane.threads]

    def _stop_with_job(self) -> None:
        self.stop.cancel(keep=self._token.keeps)

    def _raise_if_stopped(self) -> None:
        if self._token.is_cancelled:
            raise Cancelled
        if self._error is not None:
            raise self._error
        if self.stop.is_cancelled:
            raise Cancelled

    def _await_clean_up(self) -> None:
        if self._clean_up_until is None:
            self._clean_up_until = time.monotonic() + self._clean_up_s
        threads = self._threads()
        for thread in threads:
            thread.join(max(0.0, self._clean_up_until - time.monotonic()))
        late = sum(thread.is_alive() for thread in threads)
        if late:
            log.warning("%s transfers did not clean up within %s s", late, self._clean_up_s)

    def _work(self, lane: _Lane[T]) -> None:
        try:
            while True:
                with self._lock:
                    lane.idle += 1
                    while not lane.tasks and not self._is_at_end() and not self.stop.is_cancelled:
                        lane.arrived.wait()
                    lane.idle -= 1
                    if self.stop.is_cancelled or not lane.tasks:
                        return
                    task = lane.tasks.popleft()
                    self._ahead -= 1
                    self._room.notify()
                self._carry_out(task)
        except BaseException as error:  # the outermost frame of the thread: the job's own thread raises it again
            self._fail(error)

    def _work_batch(self, lane: _Lane[T]) -> None:
        try:
            if self._carry_out_batch is not None:
                self._carry_out_batch(Feed(self))
        except BaseException as error:  # the outermost frame of the thread: the job's own thread raises it again
            self._fail(error)
        finally:
            with self._lock:
                lane.is_over = True
            self._wake()

    def _is_at_end(self) -> bool:
        """Whether nobody will put in another task."""
        batch = self._lanes[Lane.BATCH]
        return self._is_complete and (batch.is_over or not batch.threads)

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, Cancelled):
            # A dismissed question cancels the job as well, so that what is stalled is interrupted; not after a failure.
            if not self.stop.is_cancelled:
                self._token.cancel()
            self.stop.cancel()
            return
        with self._lock:
            if self._error is None:
                self._error = error
        self.stop.cancel(keep=self._keep)

    def _wake(self) -> None:
        with self._lock:
            self._room.notify_all()
            for lane in self._lanes.values():
                lane.arrived.notify_all()


class _Lane(Generic[T]):
    """The state of one lane; guarded by the lock of all."""

    def __init__(self, lock: threading.Lock, name: str, max_threads: int) -> None:
        self.name = name
        self.max_threads = max_threads
        self.arrived = threading.Condition(lock)
        self.tasks: deque[T] = deque()
        self.threads: list[threading.Thread] = []
        self.idle = 0
        self.is_over = False


def in_parallel(tasks: Iterable[T], carry_out: Callable[[T, Callable[[], None]], None], threads: int) -> None:
    """Do all tasks, `threads` at a time. The first exception ends it: no further task begins, and when the running ones have
    ended it is raised.

    Args:
        carry_out: does a task; is given a check that raises `Cancelled` once another task has failed.
    """
    todo = iter(tasks)
    lock = threading.Lock()
    errors: list[BaseException] = []

    def check() -> None:
        if errors:
            raise Cancelled

    def work() -> None:
        try:
            while True:
                with lock:
                    if errors:
                        return
                    task = next(todo, _END)
                if isinstance(task, _End):
                    return
                carry_out(task, check)
        except BaseException as error:  # the outermost frame of the thread: the caller's raises it again
            with lock:
                errors.append(error)

    workers = [threading.Thread(target=work, name=f"range-{index}", daemon=True) for index in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for error in errors:
        if not isinstance(error, Cancelled):
            raise error
    if errors:
        raise errors[0]


class _End:
    """The end of the tasks."""


_END = _End()
