"""The small files of a job: many on their way at once, over the storage's own way to do that, driven by one thread."""

from __future__ import annotations

import heapq
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from typing import Generic, TypeVar

from kegbrowser.backends.batches import FileResult, ReadRequest, WriteRequest
from kegbrowser.backends.errors import (
    AlreadyExists,
    CheckFailed,
    ConnectionLost,
    NotSupported,
    SourceChanged,
    StorageError,
    Throttled,
)
from kegbrowser.transfer.moving import LOSSES_THAT_STOP, Arrived, Move, Work, fail_item
from kegbrowser.transfer.pace import Direction
from kegbrowser.transfer.parallel import Feed, Lane, Lanes
from kegbrowser.transfer.records import ItemEnd, ItemState

R = TypeVar("R", ReadRequest, WriteRequest)

NEED_A_LOOK = (AlreadyExists, SourceChanged, CheckFailed, NotSupported)
"""What a single file's own way knows how to deal with."""


class SmallFiles(ABC, Generic[R]):
    """The `Batch` of a transfer. One thread.

    Args:
        direction: which of the job's limits holds.
        call: the storage's `read_files` or `write_files`.
    """

    def __init__(
        self,
        work: Work,
        lanes: Lanes[Move],
        direction: Direction,
        call: Callable[[Iterator[R | None], Callable[[], int]], Iterator[FileResult]],
    ) -> None:
        self._work = work
        self._lanes = lanes
        self._direction = direction
        self._call: Callable[[Iterator[R | None], Callable[[], int]], Iterator[FileResult]] = call
        self._under_way: dict[int, Move] = {}
        self._bytes_under_way = 0
        self._next_key = 0
        self._held_back: Move | None = None
        self._failed_tries: dict[int, int] = {}
        self._again: list[tuple[float, int, Move]] = []
        self._losses = 0

    @abstractmethod
    def prepare(self, move: Move, key: int) -> R:
        """The request for a file. Raises StorageError if it cannot be made."""

    @abstractmethod
    def accept(self, move: Move, result: FileResult) -> Arrived:
        """Take what came of it. Raises StorageError."""

    def run(self, feed: Feed[Move]) -> None:
        """Move all that the feed gives."""
        results = self._call(self._requests(feed), lambda: self._work.small.limit)
        try:
            for result in results:
                self._work.stop.check()
                self._take(result)
        finally:
            if isinstance(results, Generator):
                results.close()  # what is under way ends now, not when somebody collects it

    def _take(self, result: FileResult) -> None:
        move = self._under_way.pop(result.key)
        self._bytes_under_way -= move.file.size or 0
        try:
            if result.error is not None:
                raise result.error
            arrived = self.accept(move, result)
        except StorageError as error:
            self._deal_with(move, error)
        else:
            self._end(move, arrived)

    # -- what goes in ----------------------------------------------------------------------------------------------------

    def _requests(self, feed: Feed[Move]) -> Iterator[R | None]:
        work = self._work
        while True:
            work.stop.check()
            move = self._next_move(feed)
            if move is None:
                if feed.is_complete and not self._under_way and not self._again and self._held_back is None:
                    return
                yield None
                continue
            size = move.file.size or 0
            is_full = self._bytes_under_way and self._bytes_under_way + size > work.tuning.small_memory_bytes
            if is_full or not work.pace.try_take(self._direction, size):
                self._held_back = move
                yield None
                continue
            request = self._request(move)
            if request is not None:
                self._under_way[request.key] = move
                self._bytes_under_way += size
                yield request

    def _next_move(self, feed: Feed[Move]) -> Move | None:
        if self._held_back is not None:
            move, self._held_back = self._held_back, None
            return move
        if self._again and self._again[0][0] <= time.monotonic():
            return heapq.heappop(self._again)[2]
        # With the network away, those that failed are tried again before any other is.
        return None if self._again and self._losses >= LOSSES_THAT_STOP else feed.take()

    def _request(self, move: Move) -> R | None:
        self._next_key += 1
        try:
            return self.prepare(move, self._next_key)
        except StorageError as error:
            self._deal_with(move, error)
        except UnicodeEncodeError:
            self._lanes.put_again(move, Lane.SMALL)
        return None

    # -- what comes out --------------------------------------------------------------------------------------------------

    def _end(self, move: Move, arrived: Arrived) -> None:
        work, size = self._work, move.file.size or 0
        work.journal.end(move.item, ItemEnd(ItemState.DONE, arrived.place, arrived.proof))
        work.tracker.moved_whole(move.parts[-1] if move.parts else move.place, size, arrived.proof)
        work.guard.succeed()
        work.small.add(1, size)
        self._losses = 0
        self._failed_tries.pop(id(move), None)

    def _deal_with(self, move: Move, error: StorageError) -> None:
        if isinstance(error, NEED_A_LOOK):
            tries = self._failed_tries.pop(id(move), 0)
            self._lanes.put_again(replace(move, is_retried=tries > 0), Lane.SMALL)
            return
        if error.retryable:
            if isinstance(error, (Throttled, ConnectionLost)):
                self._work.small.shrink()
                self._losses += 1
            tries = self._failed_tries.get(id(move), 0) + 1
            self._failed_tries[id(move)] = tries
            retry = self._work.tuning.retry
            if tries < retry.tries_of(error):
                due = time.monotonic() + retry.wait_s(tries, error)
                heapq.heappush(self._again, (due, self._next_key, move))
                self._next_key += 1
                return
            if isinstance(error, ConnectionLost) and self._work.is_kept:
                raise error
        self._failed_tries.pop(id(move), None)
        self._work.tracker.fail(move.file.path, error)
        fail_item(move, error, self._work)
