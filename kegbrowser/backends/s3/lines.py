"""A connection in the loop: what goes out over it, and an answer as it comes together."""

from __future__ import annotations

import selectors
import ssl
from dataclasses import dataclass, field

from kegbrowser.backends.batches import FileResult
from kegbrowser.backends.s3.errands import Errand
from kegbrowser.backends.s3.routes import Route
from kegbrowser.backends.s3.wire import HEAD_BYTES, Head, Unusual, Wire, parse_head

NOT_NOW = (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError)
"""What a socket says when nothing can be sent, or nothing has come."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; `keeps`: the connection can be used again."""

    head: Head
    body: bytes
    keeps: bool


@dataclass(slots=True, eq=False)
class Line:
    """A wire in the loop. One thread.

    Attributes:
        errand: whose request is under way; None: idle.
        moved_at: when something last moved on it.
        data: of an answer whose head is not whole yet.
        missing: bytes of the body that are still to come.
    """

    wire: Wire
    route: Route
    is_tls: bool
    errand: Errand | None = None
    moved_at: float = 0.0
    data: bytes = b""
    head: Head | None = None
    missing: int = 0
    _out: memoryview | None = None
    _pieces: list[bytes] = field(default_factory=list)

    @classmethod
    def of(cls, wire: Wire, route: Route) -> Line:
        wire.sock.setblocking(False)
        return cls(wire, route, isinstance(wire.sock, ssl.SSLSocket))

    @property
    def had_answer(self) -> bool:
        """Whether anything of the running request's answer came."""
        return bool(self.data) or self.head is not None

    @property
    def events(self) -> int:
        """What the selector is to look for."""
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self._out is not None else 0)

    def start(self, errand: Errand, request: bytes) -> None:
        self.errand = errand
        self._out = memoryview(request)

    def push(self) -> bool:
        """Send as much as goes; whether that was all.

        Raises:
            OSError: the connection is lost, for sending at least.
        """
        out = self._out
        if out is None:
            return True
        try:
            while out:
                out = out[self.wire.sock.send(out) :]
        except NOT_NOW:
            self._out = out
            return False
        self._out = None
        return True

    def feed(self, data: bytes) -> Answer | FileResult | None:
        """Take a piece of an answer: the answer once it is whole, or a result that its head alone settles; None: go on.

        Raises:
            Unusual: it is not understood.
        """
        errand = self.errand
        assert errand is not None
        if self.head is None:
            settled = self._take_head(errand, self.data + data if self.data else data)
            if settled is not None or self.head is None:
                return settled
        else:
            self._pieces.append(data)
            self.missing -= len(data)
        if self.missing > 0:
            return None
        pieces, head = self._pieces, self.head
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        keeps = head.keeps and self.missing == 0 and self._out is None
        if self.missing < 0:
            body = body[: head.length]
        self.wire.answers += 1
        self.errand, self.head, self._pieces, self.missing = None, None, [], 0
        return Answer(head, body, keeps)

    def _take_head(self, errand: Errand, data: bytes) -> FileResult | None:
        """Take the head off an answer, if it is whole."""
        while True:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                if len(data) > HEAD_BYTES:
                    raise Unusual("a head without an end")
                self.data = data
                return None
            head = parse_head(data[:end], errand.method)
            data = data[end + 4 :]
            if head.status >= 200:
                break  # else an informational answer before the real one
        if head.length is None:
            raise Unusual("a body without a length")
        self.head, self.data = head, b""
        self._pieces.append(data)
        self.missing = head.length - len(data)
        return errand.check_head(head)
