"""What would hold the loop up: connections are made, and what only the SDK can do is done, on other threads."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

from kegbrowser.backends.batches import FileResult
from kegbrowser.backends.errors import Cancelled
from kegbrowser.backends.s3.routes import Route
from kegbrowser.backends.s3.translate import SDK_ERRORS
from kegbrowser.backends.s3.wire import Wire

if TYPE_CHECKING:
    from kegbrowser.backends.s3.client import S3Connection

MOST_OPENING = 16
"""Connections made at once."""
SLOW_THREADS = 4
CLOSE_WAIT_S = 1.0
"""How long the end waits for connections that are being made; later ones are closed by their threads."""

Event = tuple[Route, Wire | Exception] | FileResult | BaseException
"""A connection made or not, a file done slowly, or what broke the slow lane."""


class Openers:
    """The threads beside a loop, and a bell that rings in it when something is ready."""

    def __init__(self, connection: S3Connection) -> None:
        self._connection = connection
        self.bell, self._rope = socket.socketpair()
        self.bell.setblocking(False)
        self._rope.setblocking(False)
        self._jobs: queue.SimpleQueue[Route | None] = queue.SimpleQueue()
        self._opened: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._opening: dict[str, int] = {}
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._is_closed = False
        self._slow_lane: ThreadPoolExecutor | None = None

    def opening(self, route: Route) -> int:
        """How many connections there are being made."""
        return self._opening.get(route.url, 0)

    def open(self, route: Route) -> None:
        """Have a connection made."""
        self._opening[route.url] = self.opening(route) + 1
        if len(self._threads) < MOST_OPENING:
            thread = threading.Thread(target=self._work, name="s3-open", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._jobs.put(route)

    def events(self) -> Iterator[Event]:
        """What has come about since."""
        with suppress(BlockingIOError):
            while self.bell.recv(4096):
                pass
        while True:
            try:
                one = self._opened.get_nowait()
            except queue.Empty:
                return
            if isinstance(one, tuple):
                self._opening[one[0].url] -= 1
            yield one

    def call(self, action: Callable[[], FileResult]) -> None:
        """Have an action carried out; its result comes out of `events`."""
        if self._slow_lane is None:
            self._slow_lane = ThreadPoolExecutor(SLOW_THREADS, "s3-slow")
        self._slow_lane.submit(self._carry_out, action)

    def close(self) -> None:
        """End the threads; an action that runs is waited for."""
        if self._slow_lane is not None:
            self._slow_lane.shutdown(wait=True, cancel_futures=True)
        with self._lock:
            self._is_closed = True
        for _thread in self._threads:
            self._jobs.put(None)
        until = self._connection.now() + CLOSE_WAIT_S
        for thread in self._threads:
            thread.join(max(0.0, until - self._connection.now()))
        for event in self.events():
            if isinstance(event, tuple) and isinstance(event[1], Wire):
                self._connection.routes.give_back(event[0], event[1])
        with self._lock:
            self.bell.close()
            self._rope.close()

    def _carry_out(self, action: Callable[[], FileResult]) -> None:
        try:
            self._tell(action())
        except BaseException as exc:  # the outermost frame of the slow lane: the loop raises it again
            self._tell(exc)

    def _work(self) -> None:
        while (route := self._jobs.get()) is not None:
            if self._is_closed:
                return
            try:
                self._tell((route, self._connection.routes.connect(route)))
            except (Cancelled, *SDK_ERRORS) as exc:
                self._tell((route, exc))

    def _tell(self, what: Event) -> None:
        with self._lock:
            if self._is_closed:
                if isinstance(what, tuple) and isinstance(what[1], Wire):
                    what[1].close()
                return
            self._opened.put(what)
            with suppress(OSError):
                self._rope.send(b"!")
