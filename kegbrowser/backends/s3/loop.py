"""Many small requests at once on one thread: a connection each, kept from one to the next, driven by a selector."""

from __future__ import annotations

import queue
import selectors
import socket
import ssl
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from botocore.exceptions import ConnectionClosedError, HTTPClientError, ReadTimeoutError

from kegbrowser.backends.batches import FileResult
from kegbrowser.backends.errors import Cancelled, StorageError
from kegbrowser.backends.s3.routes import Route
from kegbrowser.backends.s3.translate import SDK_ERRORS
from kegbrowser.backends.s3.wire import HEAD_BYTES, Head, Unclear, Unusual, Wire, parse_head

if TYPE_CHECKING:
    from kegbrowser.backends.s3.client import S3Connection

SCRATCH_BYTES = 256 * 1024
ASK_AGAIN_S = 0.01
LOOK_S = 0.25
"""How often a wait looks for an interrupt and for stalled connections."""
MOST_OPENING = 16
"""Connections made at once."""
SLOW_THREADS = 4
CLOSE_WAIT_S = 1.0
"""How long the end waits for connections that are being made; later ones are closed by their threads."""


class Errand(ABC):
    """One file's course: one request after another, until there is a result.

    Attributes:
        bucket: what it is about.
        route: where its requests go; None: only the SDK knows, `slowly` does it.
        method: of the request that is to be sent.
        may_resend: whether that request does no harm if it comes twice.
        was_lost: a kept connection lost it once.
    """

    bucket: str
    route: Route | None
    method: str
    may_resend = True
    was_lost = False

    @abstractmethod
    def request(self) -> bytes:
        """The whole request to be sent now, signed for this moment."""

    @abstractmethod
    def check_head(self, head: Head) -> FileResult | None:
        """Look at the head of an answer before its body is taken; a result ends the errand, and the connection."""

    @abstractmethod
    def answer(self, head: Head, body: bytes) -> FileResult | None:
        """Take an answer; None: there is another request to send.

        Raises:
            Unusual: it is not understood.
            StorageError, SDK_ERRORS: it is an error.
        """

    @abstractmethod
    def fail(self, exc: Exception) -> FileResult:
        """The result for a StorageError or an exception of `SDK_ERRORS`."""

    @abstractmethod
    def slowly(self) -> FileResult:
        """Do it all in the SDK's way, blocking, on another thread."""


@dataclass(slots=True, eq=False)
class _Line:
    """A wire in the loop.

    Attributes:
        out: what is still to be sent.
        data: of an answer whose head is not whole yet.
        moved_at: when something last moved on it.
    """

    wire: Wire
    route: Route
    is_tls: bool
    errand: Errand | None = None
    out: memoryview | None = None
    data: bytes = b""
    head: Head | None = None
    pieces: list[bytes] = field(default_factory=list)
    missing: int = 0
    moved_at: float = 0.0
    waits_to_write: bool = False


class Loop:
    """Carries out errands; `run` is iterated by one thread.

    Args:
        in_flight: how many errands may be under way.
    """

    def __init__(self, connection: S3Connection, in_flight: Callable[[], int]) -> None:
        self._connection = connection
        self._in_flight = in_flight
        self._selector = selectors.DefaultSelector()
        self._scratch = bytearray(SCRATCH_BYTES)
        self._waiting: deque[Errand] = deque()
        self._idle: dict[str, list[_Line]] = {}
        self._lines: set[_Line] = set()
        self._busy = 0
        self._slow = 0
        self._results: deque[FileResult] = deque()
        self._openers = _Openers(connection)
        self._slow_lane: ThreadPoolExecutor | None = None
        self._now = connection.now()
        self._looked_at = self._now

    def run(self, errands: Iterator[Errand | FileResult | None]) -> Iterator[FileResult]:
        """Carry out what comes, and give results as they are there.

        Args:
            errands: None: nothing right now; a result: it was settled without a request.

        Raises:
            Cancelled: interrupted.
        """
        has_more = True
        self._selector.register(self._openers.bell, selectors.EVENT_READ, None)
        try:
            while has_more or self._under_way or self._results:
                has_more = has_more and self._draw(errands)
                self._serve_waiting()
                while self._results:
                    yield self._results.popleft()
                    self._connection.sockets.check()
                if has_more or self._under_way:
                    self._turn(has_more=has_more)
        finally:
            self._end()

    @property
    def _under_way(self) -> int:
        return len(self._waiting) + self._busy + self._slow

    # -- what goes in ----------------------------------------------------------------------------------------------------

    def _draw(self, errands: Iterator[Errand | FileResult | None]) -> bool:
        """Take errands while there is room for them; False if there are no more."""
        room = max(1, self._in_flight()) - self._under_way
        while room > 0:
            try:
                errand = next(errands)
            except StopIteration:
                return False
            if errand is None:
                return True
            if isinstance(errand, FileResult):
                self._results.append(errand)
            else:
                self._waiting.append(errand)
            room -= 1
        return True

    def _serve_waiting(self) -> None:
        """Send what waits over idle connections, and have new ones made for the rest."""
        left: deque[Errand] = deque()
        wanted: dict[str, int] = {}
        while self._waiting:
            errand = self._waiting.popleft()
            route = errand.route
            if route is None:
                self._do_slowly(errand)
                continue
            line = None if errand.was_lost else self._idle_line(route)
            if line is not None:
                self._send(line, errand)
                continue
            left.append(errand)
            wanted[route.url] = wanted.get(route.url, 0) + 1
            if self._openers.opening(route) < wanted[route.url]:
                self._openers.open(route)
        self._waiting = left

    def _idle_line(self, route: Route) -> _Line | None:
        idle = self._idle.get(route.url)
        if idle:
            return idle.pop()
        wire = self._connection.routes.take(route)
        return None if wire is None else self._add(route, wire)

    def _add(self, route: Route, wire: Wire) -> _Line:
        wire.sock.setblocking(False)
        line = _Line(wire, route, isinstance(wire.sock, ssl.SSLSocket))
        self._lines.add(line)
        self._selector.register(wire.sock, selectors.EVENT_READ, line)
        return line

    def _send(self, line: _Line, errand: Errand) -> None:
        try:
            request = errand.request()
        except SDK_ERRORS as exc:
            self._results.append(errand.fail(exc))
            self._rest(line)
            return
        line.errand = errand
        line.out = memoryview(request)
        line.moved_at = self._now
        self._busy += 1
        self._push(line)

    # -- what happens on connections -------------------------------------------------------------------------------------

    def _turn(self, *, has_more: bool) -> None:
        """Wait for something to happen, and deal with all that has."""
        has_room = has_more and self._under_way < self._in_flight()
        events = self._selector.select(ASK_AGAIN_S if has_room else LOOK_S)
        self._connection.sockets.check()
        self._now = self._connection.now()
        for key, mask in events:
            line = key.data
            if line is None:
                self._take_opened()
                continue
            if mask & selectors.EVENT_WRITE and line.out is not None:
                self._push(line)
            if mask & selectors.EVENT_READ and line in self._lines:
                self._pull(line)
        if self._now - self._looked_at > LOOK_S:
            self._looked_at = self._now
            self._drop_stalled()

    def _push(self, line: _Line) -> None:
        """Send as much as goes."""
        assert line.out is not None
        try:
            while line.out:
                line.out = line.out[line.wire.sock.send(line.out) :]
                line.moved_at = self._now
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            if not line.waits_to_write:
                line.waits_to_write = True
                self._selector.modify(line.wire.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, line)
            return
        except OSError as exc:
            # A server that refuses does not take the rest: its answer may be there to be read.
            line.out = None
            if not self._pull(line):
                self._lose(line, exc)
            return
        line.out = None
        if line.waits_to_write:
            line.waits_to_write = False
            self._selector.modify(line.wire.sock, selectors.EVENT_READ, line)

    def _pull(self, line: _Line) -> bool:
        """Take what has come; False if nothing has, and the connection stands."""
        view = memoryview(self._scratch)
        had_any = False
        while True:
            try:
                count = line.wire.sock.recv_into(view)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return had_any
            except OSError as exc:
                self._lose(line, exc)
                return True
            if not count:
                self._lose(line, None)
                return True
            had_any = True
            line.moved_at = self._now
            if not self._take(line, bytes(view[:count])) or not line.is_tls:
                return True

    def _take(self, line: _Line, data: bytes) -> bool:
        """Take a piece of an answer; False if the line expects no more."""
        errand = line.errand
        if errand is None:
            self._drop(line)  # nobody asked for anything
            return False
        try:
            if line.head is None:
                body = self._take_head(line, errand, line.data + data if line.data else data)
                if body is None:
                    return line in self._lines
                data = body
            line.pieces.append(data)
            line.missing -= len(data)
            if line.missing > 0:
                return True
            self._finish(line, errand)
        except Unusual as exc:
            self._drop(line)
            if errand.route is not None and not isinstance(exc, Unclear):
                self._connection.routes.miss(errand.bucket, errand.route, str(exc))
            self._do_slowly(errand)
        return False

    def _take_head(self, line: _Line, errand: Errand, data: bytes) -> bytes | None:
        """Take the head off an answer and give the rest; None if more must come, or nothing more is expected."""
        while True:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                if len(data) > HEAD_BYTES:
                    raise Unusual("a head without an end")
                line.data = data
                return None
            head = parse_head(data[:end], errand.method)
            data = data[end + 4 :]
            if head.status >= 200:
                break  # else an informational answer before the real one
        if head.length is None:
            raise Unusual("a body without a length")
        result = errand.check_head(head)
        if result is not None:
            self._drop(line)
            self._results.append(result)
            return None
        line.head, line.missing, line.data = head, head.length, b""
        return data

    def _finish(self, line: _Line, errand: Errand) -> None:
        """An answer is whole: keep its result, or let the errand send its next request."""
        head, pieces, extra = line.head, line.pieces, line.missing < 0
        assert head is not None
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if extra:
            body = body[: head.length]
        keeps = head.keeps and not extra and line.out is None
        line.wire.answers += 1
        line.errand, line.head, line.pieces, line.missing = None, None, [], 0
        self._busy -= 1
        if keeps:
            self._rest(line)
        else:
            self._drop(line)
        try:
            result = errand.answer(head, body)
        except (StorageError, *SDK_ERRORS) as exc:
            result = errand.fail(exc)
        if result is None:
            self._waiting.appendleft(errand)
        else:
            self._results.append(result)

    def _rest(self, line: _Line) -> None:
        self._idle.setdefault(line.route.url, []).append(line)

    def _lose(self, line: _Line, exc: OSError | None) -> None:
        """A connection ended: its errand fails, or is sent again if a kept connection took no notice of it."""
        errand = line.errand
        had_answer = bool(line.data) or line.head is not None
        self._drop(line)
        self._connection.sockets.check()
        if errand is None:
            return
        if line.wire.answers and not had_answer and errand.may_resend and not errand.was_lost:
            errand.was_lost = True
            self._waiting.appendleft(errand)
            return
        url = line.wire.url
        lost = HTTPClientError(error=exc) if isinstance(exc, ssl.SSLError) else ConnectionClosedError(endpoint_url=url)
        self._results.append(errand.fail(lost))

    def _drop(self, line: _Line) -> None:
        if line not in self._lines:
            return
        self._lines.discard(line)
        idle = self._idle.get(line.route.url)
        if idle and line in idle:
            idle.remove(line)
        if line.errand is not None:
            line.errand = None
            self._busy -= 1
        with suppress(KeyError, ValueError):
            self._selector.unregister(line.wire.sock)
        line.wire.close()

    def _drop_stalled(self) -> None:
        limit = self._connection.settings.timeout_s
        for line in [one for one in self._lines if one.errand is not None and self._now - one.moved_at > limit]:
            errand = line.errand
            self._drop(line)
            if errand is not None:
                error = TimeoutError("The server is silent.")
                self._results.append(errand.fail(ReadTimeoutError(endpoint_url=line.wire.url, error=error)))

    # -- other threads ---------------------------------------------------------------------------------------------------

    def _take_opened(self) -> None:
        for opened in self._openers.opened():
            if isinstance(opened, BaseException):
                raise opened
            if isinstance(opened, FileResult):
                self._slow -= 1
                self._results.append(opened)
                continue
            route, wire = opened
            if isinstance(wire, Wire):
                self._serve_new(self._add(route, wire))
            else:
                self._give_up_on(route, wire)

    def _serve_new(self, line: _Line) -> None:
        """Give a new connection to the first that waits for one."""
        for errand in self._waiting:
            if errand.route is not None and errand.route.url == line.route.url:
                self._waiting.remove(errand)
                self._send(line, errand)
                return
        self._rest(line)

    def _give_up_on(self, route: Route, exc: Exception) -> None:
        """No connection could be made: one errand fails, unless others' connections will become free for it."""
        if any(line.route.url == route.url for line in self._lines):
            return
        for errand in self._waiting:
            if errand.route is not None and errand.route.url == route.url:
                self._waiting.remove(errand)
                self._results.append(errand.fail(exc))
                return

    def _do_slowly(self, errand: Errand) -> None:
        if self._slow_lane is None:
            self._slow_lane = ThreadPoolExecutor(SLOW_THREADS, "s3-slow")
        self._slow += 1
        self._slow_lane.submit(self._openers.call, errand.slowly)

    def _end(self) -> None:
        """Give idle connections back; what is under way is broken off."""
        if self._slow_lane is not None:
            self._slow_lane.shutdown(wait=True, cancel_futures=True)
        for line in list(self._lines):
            if line.errand is None and not self._connection.sockets.is_interrupted:
                self._lines.discard(line)
                self._selector.unregister(line.wire.sock)
                self._connection.routes.give_back(line.route, line.wire)
            else:
                self._drop(line)
        self._selector.close()
        self._openers.close()


_Event = tuple[Route, Wire | Exception] | FileResult | BaseException
"""A connection made or not, a file done slowly, or what broke the slow lane."""


class _Openers:
    """Threads that make connections, and a bell that rings in the loop when one is made."""

    def __init__(self, connection: S3Connection) -> None:
        self._connection = connection
        self.bell, self._rope = socket.socketpair()
        self.bell.setblocking(False)
        self._rope.setblocking(False)
        self._jobs: queue.SimpleQueue[Route | None] = queue.SimpleQueue()
        self._opened: queue.SimpleQueue[_Event] = queue.SimpleQueue()
        self._opening: dict[str, int] = {}
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._is_closed = False

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

    def opened(self) -> Iterator[_Event]:
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
        """Carry out an action on the calling thread, and have its result come out of `opened`."""
        try:
            self._tell(action())
        except BaseException as exc:  # the outermost frame of the slow lane: the loop raises it again
            self._tell(exc)

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
        for _thread in self._threads:
            self._jobs.put(None)
        until = self._connection.now() + CLOSE_WAIT_S
        for thread in self._threads:
            thread.join(max(0.0, until - self._connection.now()))
        for one in self.opened():
            if isinstance(one, tuple) and isinstance(one[1], Wire):
                self._connection.routes.give_back(one[0], one[1])
        with self._lock:
            self.bell.close()
            self._rope.close()

    def _work(self) -> None:
        while (route := self._jobs.get()) is not None:
            if self._is_closed:
                return
            try:
                self._tell((route, self._connection.routes.connect(route)))
            except (Cancelled, *SDK_ERRORS) as exc:
                self._tell((route, exc))

    def _tell(self, what: _Event) -> None:
        with self._lock:
            if self._is_closed:
                if isinstance(what, tuple) and isinstance(what[1], Wire):
                    what[1].close()
                return
            self._opened.put(what)
            with suppress(OSError):
                self._rope.send(b"!")
