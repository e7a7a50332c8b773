"""Reading and writing an open handle with a few large requests in flight."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from kegbrowser.backends.sftp import wire
from kegbrowser.backends.sftp.client import SAFE_BYTES, Client, Reply
from kegbrowser.backends.sftp.translate import NotSftp, SftpEnd, SftpStatus
from kegbrowser.backends.sftp.wire import Attributes, Uint64

DEPTH = 8
"""Requests in flight on a short line: 2 MiB at the usual 255 KiB each."""

DEEPEST = 32
"""On a long line, if more is of use."""

ENDLESS = 2**63 - 1


class Shorter(Exception):
    """The file ended before the end of the range."""


@dataclass(slots=True)
class _Flight:
    offset: int
    length: int
    reply: Reply


class ReadAhead:
    """The bytes of a range, in order, asked for ahead.

    Memory: at most DEEPEST requests of 255 KiB, 8 MiB; 2 MiB unless the line is long and fast.

    Args:
        client: not used by anybody else while an answer is on its way (`is_quiet`).
        handle: open for reading.
        start, end: the range. Until `limit` it is read one request after the other, to wherever the file ends.
    """

    def __init__(self, client: Client, handle: bytes, start: int, end: int = ENDLESS) -> None:
        self._client = client
        self._handle = handle
        self._next = start
        self._end = max(start, end)
        self._is_end_known = False
        self._flying: deque[_Flight] = deque()
        self._depth = DEPTH
        self._arrived = 0
        self._measured_at = time.monotonic()
        self._measured_bytes = 0

    @property
    def is_quiet(self) -> bool:
        return not self._flying

    @property
    def is_complete(self) -> bool:
        """Whether the whole range was given."""
        return not self._flying and self._next >= self._end

    def begin(self) -> None:
        """Ask for the first bytes, so that they come while something else is asked."""
        self._ask_on(1)

    def limit(self, end: int) -> None:
        """Say where the range ends, once it is known: the file is that long."""
        self._end = end
        self._is_end_known = True
        for flight in self._flying:
            flight.length = max(0, min(flight.length, end - flight.offset))
        if self._flying:
            self._next = self._flying[-1].offset + self._flying[-1].length

    def next_piece(self) -> bytes:
        """Some more bytes; b"" at the end of the range.

        Raises:
            Shorter: the file ends before.
        """
        self._ask_on(self._depth if self._is_end_known else 1)
        if not self._flying:
            return b""
        flight = self._flying.popleft()
        try:
            self._client.wait(flight.reply)
        except SftpEnd:
            return self._ended(flight)
        if flight.reply.kind != wire.DATA:
            raise NotSftp
        data = flight.reply.body[: flight.length]
        if not data:
            return self._ended(flight)
        if len(data) < flight.length:
            self._on_short(flight.offset + len(data), flight.length - len(data))
        self._arrived += len(data)
        self._deepen()
        return data

    def _ask_on(self, depth: int) -> None:
        while len(self._flying) < depth and self._next < self._end:
            length = min(self._client.max_read_bytes, self._end - self._next)
            self._ask(self._next, length)
            self._next += length

    def _on_short(self, offset: int, missing: int) -> None:
        """Servers may give less than was asked for, anywhere: the rest comes before all that is in flight."""
        if not self._is_end_known:
            self._next = offset
            return
        self._client.max_read_bytes = min(self._client.max_read_bytes, SAFE_BYTES)
        self._ask(offset, missing, first=True)

    def _ask(self, offset: int, length: int, *, first: bool = False) -> None:
        flight = _Flight(offset, length, self._client.send(wire.READ, self._handle, Uint64(offset), length))
        if first:
            self._flying.appendleft(flight)
        else:
            self._flying.append(flight)

    def _ended(self, flight: _Flight) -> bytes:
        if self._is_end_known and flight.length:
            raise Shorter
        self._end = self._next = 0
        return b""

    def _deepen(self) -> None:
        """Ask for more at once where the requests in flight are what limits the rate, as on a long line."""
        in_flight = self._depth * self._client.max_read_bytes
        if self._depth >= DEEPEST or self._arrived - self._measured_bytes < 2 * in_flight:
            return
        now = time.monotonic()
        rate = (self._arrived - self._measured_bytes) / max(now - self._measured_at, 1e-6)
        if rate * self._client.round_trip_s > in_flight / 2:
            self._depth = min(2 * self._depth, DEEPEST)
        self._measured_at, self._measured_bytes = now, self._arrived


class WriteBehind:
    """Writes to an open handle in order, without waiting for each answer.

    Memory: one request of 255 KiB, and what the kernel and the channel's window hold.

    Args:
        offset: where the first byte belongs.
        on_sent: called with the length of each request before it goes out; may wait, or raise.

    Attributes:
        offset: where the next byte belongs.
    """

    def __init__(
        self, client: Client, handle: bytes, offset: int = 0, on_sent: Callable[[int], None] = lambda count: None
    ) -> None:
        self.offset = offset
        self._on_sent = on_sent
        self._client = client
        self._handle = handle
        self._flying: deque[Reply] = deque()
        self._refusal: SftpStatus | None = None

    def write(self, data: bytes | memoryview) -> None:
        """Send all of it.

        Raises:
            SftpStatus: some piece, of now or of before, was refused; from then on every call raises it.
        """
        view, most = memoryview(data).cast("B"), self._client.max_write_bytes
        for start in range(0, len(view), most):
            while len(self._flying) >= DEPTH:
                self._take_answer()
            piece = view[start : start + most]
            self._on_sent(len(piece))
            self._flying.append(self._client.send(wire.WRITE, self._handle, Uint64(self.offset), piece))
            self.offset += len(piece)

    def settle(self) -> None:
        """Wait until everything was taken. Raises as `write`."""
        while self._flying:
            self._take_answer()
        if self._refusal is not None:
            raise self._refusal

    def _take_answer(self) -> None:
        answer = self._client.settled(self._flying.popleft())
        if isinstance(answer, SftpStatus) and self._refusal is None:
            self._refusal = answer
        if self._refusal is not None:
            raise self._refusal


def mark_of(facts: Attributes) -> str:
    """What stands for the content of a file: SFTP tells no more than its time, in whole seconds, and its size."""
    return f"{facts.modified_s or 0:x}-{facts.size or 0:x}"
