"""Many small requests at once on one thread: a connection each, kept from one to the next, driven by a selector."""

from __future__ import annotations

import selectors
import ssl
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from botocore.exceptions import ConnectionClosedError, HTTPClientError, ReadTimeoutError

from kegbrowser.backends.batches import FileResult
from kegbrowser.backends.errors import StorageError
from kegbrowser.backends.s3.errands import Errand
from kegbrowser.backends.s3.lines import NOT_NOW, Answer, Line
from kegbrowser.backends.s3.openers import Openers
from kegbrowser.backends.s3.routes import Route
from kegbrowser.backends.s3.translate import SDK_ERRORS
from kegbrowser.backends.s3.wire import Unclear, Unusual, Wire

if TYPE_CHECKING:
    from kegbrowser.backends.s3.client import S3Connection

SCRATCH_BYTES = 256 * 1024
ASK_AGAIN_S = 0.01
LOOK_S = 0.25
"""How often a wait looks for an interrupt and for stalled connections."""


class Loop:
    """Carries out errands; `run` is iterated by one thread.

    Memory: the results that were not taken yet, and what is on its way; both are counted by `in_flight`.

    Args:
        in_flight: how many errands may be under way.
    """

    def __init__(self, connection: S3Connection, in_flight: Callable[[], int]) -> None:
        self._connection = connection
        self._in_flight = in_flight
        self._selector = selectors.DefaultSelector()
        self._scratch = memoryview(bytearray(SCRATCH_BYTES))
        self._openers = Openers(connection)
        self._waiting: deque[Errand] = deque()
        self._results: deque[FileResult] = deque()
        self._lines: set[Line] = set()
        self._idle: dict[str, list[Line]] = {}
        self._lines_of: Counter[str] = Counter()
        self._full: set[str] = set()  # servers that refused a further connection
        self._busy = self._slow = 0
        self._now = self._looked_at = connection.now()

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
                if self._waiting:
                    self._serve_waiting()
                if self._results:
                    yield self._results.popleft()
                    self._connection.sockets.check()
                elif has_more or self._under_way:
                    self._turn(has_more=has_more)
        finally:
            self._end()

    @property
    def _under_way(self) -> int:
        return len(self._waiting) + self._busy + self._slow

    # -- what goes in ----------------------------------------------------------------------------------------------------

    def _draw(self, errands: Iterator[Errand | FileResult | None]) -> bool:
        """Take errands while there is room for them; False if there are no more."""
        room = max(1, self._in_flight()) - self._under_way - len(self._results)
        for _ in range(room):
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
        return True

    def _serve_waiting(self) -> None:
        """Send what waits over idle connections, and have new ones made for the rest."""
        left: deque[Errand] = deque()
        wanted: Counter[str] = Counter()
        while self._waiting:
            errand = self._waiting.popleft()
            route = errand.route
            if route is None:
                self._do_slowly(errand)
                continue
            may_be_kept = not errand.was_lost or route.url in self._full
            line = self._idle_line(route) if may_be_kept else None
            if line is not None:
                self._send(line, errand)
                continue
            left.append(errand)
            wanted[route.url] += 1
            if self._openers.opening(route) < wanted[route.url] and route.url not in self._full:
                self._openers.open(route)
        self._waiting = left

    def _idle_line(self, route: Route) -> Line | None:
        idle = self._idle.get(route.url)
        if idle:
            return idle.pop()
        wire = self._connection.routes.take(route)
        return None if wire is None else self._add(route, wire)

    def _add(self, route: Route, wire: Wire) -> Line:
        line = Line.of(wire, route)
        self._lines.add(line)
        self._lines_of[route.url] += 1
        self._selector.register(wire.sock, selectors.EVENT_READ, line)
        return line

    def _send(self, line: Line, errand: Errand) -> None:
        try:
            request = errand.request()
        except SDK_ERRORS as exc:
            self._results.append(errand.fail(exc))
            self._rest(line)
            return
        line.start(errand, request)
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
            if mask & selectors.EVENT_WRITE and line in self._lines:
                self._push(line)
            if mask & selectors.EVENT_READ and line in self._lines:
                self._pull(line)
        if self._now - self._looked_at > LOOK_S:
            self._looked_at = self._now
            self._drop_stalled()

    def _push(self, line: Line) -> None:
        """Send as much as goes."""
        looked_for = line.events
        line.moved_at = self._now
        try:
            is_sent = line.push()
        except OSError as exc:
            # A server that refuses does not take the rest: its answer may be there to be read.
            if not self._pull(line):
                self._lose(line, exc)
            return
        if not is_sent or looked_for != selectors.EVENT_READ:
            self._selector.modify(line.wire.sock, line.events, line)

    def _pull(self, line: Line) -> bool:
        """Take what has come; False if nothing has, and the connection stands."""
        had_any = False
        while True:
            try:
                count = line.wire.sock.recv_into(self._scratch)
            except NOT_NOW:
                return had_any
            except OSError as exc:
                self._lose(line, exc)
                return True
            if not count:
                self._lose(line, None)
                return True
            had_any = True
            line.moved_at = self._now
            self._take(line, bytes(self._scratch[:count]))
            # What TLS has in hand is not seen by the selector.
            if not line.is_tls or line not in self._lines:
                return True

    def _take(self, line: Line, data: bytes) -> None:
        """Take a piece of an answer."""
        errand = line.errand
        if errand is None:
            self._drop(line)  # nobody asked for anything
            return
        try:
            taken = line.feed(data)
            if taken is None:
                return
            if isinstance(taken, Answer):
                self._busy -= 1
                if taken.keeps:
                    self._rest(line)
                else:
                    self._drop(line)
                result = self._ask(errand, taken)
            else:
                self._drop(line)
                result = taken
        except Unusual as exc:
            self._drop(line)
            if errand.route is not None and not isinstance(exc, Unclear):
                self._connection.routes.miss(errand.bucket, errand.route, str(exc))
            self._do_slowly(errand)
            return
        if result is None:
            self._waiting.appendleft(errand)
        else:
            self._results.append(result)

    def _ask(self, errand: Errand, answer: Answer) -> FileResult | None:
        """What an errand makes of its answer; None: it has another request to send."""
        try:
            return errand.answer(answer.head, answer.body)
        except (StorageError, *SDK_ERRORS) as exc:
            return errand.fail(exc)

    def _rest(self, line: Line) -> None:
        self._idle.setdefault(line.route.url, []).append(line)

    def _lose(self, line: Line, exc: OSError | None) -> None:
        """A connection ended: its errand fails, or is sent again if a kept connection took no notice of it."""
        errand, had_answer, is_kept = line.errand, line.had_answer, bool(line.wire.answers)
        self._drop(line)
        self._connection.sockets.check()
        if errand is None:
            return
        if is_kept and not had_answer and errand.may_resend and not errand.was_lost:
            errand.was_lost = True
            self._waiting.appendleft(errand)
            return
        url = line.wire.url
        lost = HTTPClientError(error=exc) if isinstance(exc, ssl.SSLError) else ConnectionClosedError(endpoint_url=url)
        self._results.append(errand.fail(lost))

    def _drop(self, line: Line) -> None:
        if line not in self._lines:
            return
        self._forget(line)
        if line.errand is not None:
            line.errand = None
            self._busy -= 1
        line.wire.close()

    def _forget(self, line: Line) -> None:
        url = line.route.url
        self._lines.discard(line)
        self._lines_of[url] -= 1
        if not self._lines_of[url]:
            self._full.discard(url)
        idle = self._idle.get(url)
        if idle and line in idle:
            idle.remove(line)
        self._selector.unregister(line.wire.sock)

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
        for event in self._openers.events():
            if isinstance(event, BaseException):
                raise event
            if isinstance(event, FileResult):
                self._slow -= 1
                self._results.append(event)
            elif isinstance(event[1], Wire):
                self._serve_new(self._add(event[0], event[1]))
            else:
                self._give_up_on(event[0].url, event[1])

    def _serve_new(self, line: Line) -> None:
        """Give a new connection to the first that waits for one."""
        errand = self._first_waiting(line.route.url)
        if errand is None:
            self._rest(line)
        else:
            self._send(line, errand)

    def _give_up_on(self, url: str, exc: Exception) -> None:
        """No connection could be made: one errand fails, unless others' connections will become free for it."""
        if self._lines_of[url]:
            self._full.add(url)
            return
        errand = self._first_waiting(url)
        if errand is not None:
            self._results.append(errand.fail(exc))

    def _first_waiting(self, url: str) -> Errand | None:
        for errand in self._waiting:
            if errand.route is not None and errand.route.url == url:
                self._waiting.remove(errand)
                return errand
        return None

    def _do_slowly(self, errand: Errand) -> None:
        self._slow += 1
        self._openers.call(errand.slowly)

    def _end(self) -> None:
        """Give idle connections back; what is under way is broken off."""
        for line in list(self._lines):
            if line.errand is None and not self._connection.sockets.is_interrupted:
                self._forget(line)
                self._connection.routes.give_back(line.route, line.wire)
            else:
                self._drop(line)
        self._openers.close()
        self._selector.close()
