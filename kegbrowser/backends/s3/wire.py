"""HTTP/1.1 over one kept connection, with as few steps as can be: heads taken apart, bodies given as they come.

RFC 9112. What is out of the ordinary is an error here, never a guess: the caller then asks by way of the SDK.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ConnectionClosedError, HTTPClientError, ReadTimeoutError

from kegbrowser.backends._sockets import SEND_BYTES

HEAD_BYTES = 64 * 1024
"""No head is longer."""
TLS_FILL_BYTES = 256 * 1024
"""TLS gives 16 KiB at a time; so much is gathered before it is given on."""
FIRST_PIECE_BYTES = 256 * 1024
SMALLEST_PIECE_BYTES = 64 * 1024
LARGEST_PIECE_BYTES = 4 * 1024 * 1024
HEAD_PIECE_BYTES = 64 * 1024
QUICK_S, SLOW_S = 0.05, 0.2
"""A piece that took less (more) time than this makes the next one larger (smaller), so that progress can be seen."""

_NO_BODY = frozenset((204, 304))


class Unusual(Exception):
    """The answer is not of the kind that is understood here; what it means must be found out by way of the SDK."""


class Unclear(Unusual):
    """What the answer means must be found out by way of the SDK, though it came from the right place."""


class Stale(Exception):
    """The server had closed the kept connection: nothing of an answer came."""


@dataclass(frozen=True, slots=True)
class Head:
    """The head of an answer.

    Attributes:
        headers: names in lower case; of a header that comes more than once, the last.
        length: of the body; None: to the end of the connection.
        is_chunked: the body comes in chunks.
        keeps: the connection can be used again afterwards.
    """

    status: int
    headers: dict[str, str]
    length: int | None
    is_chunked: bool
    keeps: bool


def parse_head(text: bytes | bytearray, method: str) -> Head:
    """Take a head apart, without the empty line at its end.

    Raises:
        Unusual: it is none of HTTP/1.
    """
    lines = text.decode("latin-1").split("\r\n")
    status_line = lines[0]
    if not status_line.startswith(("HTTP/1.1 ", "HTTP/1.0 ")) or not status_line[9:12].isdecimal():
        raise Unusual("no answer of HTTP/1")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not name or name[0] in " \t":
            raise Unusual("a header without a name")
        name, value = name.lower(), value.strip()
        if name == "content-length" and headers.get(name, value) != value:
            raise Unusual("two lengths")
        headers[name] = value
    status = int(status_line[9:12])
    connection = headers.get("connection", "").lower()
    keeps = "close" not in connection and (status_line[7] == "1" or "keep-alive" in connection)
    return _framed(status, headers, method, keeps=keeps)


def _framed(status: int, headers: dict[str, str], method: str, *, keeps: bool) -> Head:
    if method == "HEAD" or status in _NO_BODY or status < 200:
        return Head(status, headers, 0, is_chunked=False, keeps=keeps)
    coding = headers.get("transfer-encoding", "").lower()
    if coding:
        if coding != "chunked":
            raise Unusual("an unknown transfer encoding")
        return Head(status, headers, None, is_chunked=True, keeps=keeps)
    said = headers.get("content-length")
    if said is None:
        return Head(status, headers, None, is_chunked=False, keeps=False)
    if not (said.isascii() and said.isdecimal()):
        raise Unusual("a length that is no number")
    return Head(status, headers, int(said), is_chunked=False, keeps=keeps)


class Wire:
    """A connection to a server. One thread at a time.

    Args:
        owner: keeps the socket alive and closes it.
        live: the connected socket; its TLS handshake is done.
        url: of the server, for errors; without a query.
        stall_timeout_s: how long the server may be silent, or take nothing.

    Attributes:
        answers: how many it has brought.
        rest: what came behind the last head.
    """

    def __init__(self, owner: Any, live: socket.socket, url: str, stall_timeout_s: float) -> None:
        self.sock = live
        self.url = url
        self.answers = 0
        self.rest = b""
        self.idle_since = 0.0
        self._owner = owner
        self._is_tls = isinstance(live, ssl.SSLSocket)
        self._stall_timeout_s = stall_timeout_s
        self._piece_bytes = FIRST_PIECE_BYTES
        self._waits_for_all = not self._is_tls and sys.platform.startswith("linux")
        if self._waits_for_all:
            span = struct.pack("@ll", int(stall_timeout_s), int(stall_timeout_s % 1 * 1e6))
            live.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, span)
            live.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, span)

    def close(self) -> None:
        self._owner.close()

    def block(self) -> None:
        """Let calls wait, as the methods of this class need it."""
        self.sock.settimeout(None if self._waits_for_all else self._stall_timeout_s)

    def is_fresh(self) -> bool:
        """Whether nothing waits to be read on the idle connection: it could only be the end, or an answer to nobody."""
        if self._is_tls and isinstance(self.sock, ssl.SSLSocket) and self.sock.pending():
            return False
        poller = select.poll() if hasattr(select, "poll") else None
        if poller is None:
            return not select.select([self.sock], [], [], 0)[0]
        poller.register(self.sock, select.POLLIN)
        return not poller.poll(0)

    # -- a request -------------------------------------------------------------------------------------------------------

    def send(self, head: bytes, body: memoryview | bytes = b"", on_sent: Callable[[int], None] | None = None) -> None:
        """Send a request. A server that answers before it has taken all is listened to: `receive_head` gives its answer.

        Raises:
            what `on_sent` raises; TimeoutError; OSError.
        """
        self.rest = b""
        view = memoryview(body).cast("B")
        if len(view) <= SEND_BYTES and on_sent is None:
            self._send_all(memoryview(head + view))
            return
        self._send_all(memoryview(head))
        for start in range(0, len(view), SEND_BYTES):
            piece = view[start : start + SEND_BYTES]
            if on_sent is not None:
                on_sent(len(piece))
            self._send_all(piece)

    def receive_head(self, method: str) -> Head:
        """The answer's head; informational ones are passed over.

        Raises:
            Stale, Unusual, BotoCoreError.
        """
        data = bytearray(self.rest)
        while True:
            end = data.find(b"\r\n\r\n")
            if end >= 0:
                head = parse_head(data[:end], method)
                del data[: end + 4]
                if head.status >= 200 or head.status == 101:
                    self.rest = bytes(data)
                    self.answers += 1
                    return head
                continue
            if len(data) > HEAD_BYTES:
                raise Unusual("a head without an end")
            piece = self._receive(HEAD_PIECE_BYTES, had_any=bool(data))
            if not piece:
                if not data and self.answers:
                    raise Stale
                raise ConnectionClosedError(endpoint_url=self.url)
            data += piece

    def read(self, size: int) -> bytes:
        """Up to `size` bytes of a body, which must have so many left; b"" only at the connection's end."""
        if self.rest:
            first, self.rest = self.rest[:size], self.rest[size:]
            missing = min(size, FIRST_PIECE_BYTES) - len(first)
            return first if missing <= 0 else first + self._receive(missing, had_any=True, wait_for_all=True)
        if self._is_tls:
            return self._fill(min(size, TLS_FILL_BYTES))
        wanted = min(size, self._piece_bytes)
        began = time.monotonic()
        piece = self._receive(wanted, had_any=True, wait_for_all=True)
        took = time.monotonic() - began
        if took < QUICK_S and wanted == self._piece_bytes:
            self._piece_bytes = min(self._piece_bytes * 2, LARGEST_PIECE_BYTES)
        elif took > SLOW_S:
            self._piece_bytes = max(self._piece_bytes // 2, SMALLEST_PIECE_BYTES)
        return piece

    def read_all(self, head: Head, limit: int) -> bytes:
        """A short body whole, as of an error.

        Raises:
            Unusual: longer than `limit`.
        """
        if head.is_chunked:
            return self._read_chunks(limit)
        pieces: list[bytes] = []
        left = limit + 1 if head.length is None else head.length
        if left > limit and head.length is not None:
            raise Unusual("a long answer")
        while left > 0:
            piece = self.read(left)
            if not piece:
                if head.length is None:
                    break
                raise ConnectionClosedError(endpoint_url=self.url)
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)

    # -- private ---------------------------------------------------------------------------------------------------------

    def _send_all(self, view: memoryview) -> None:
        while view:
            try:
                view = view[self.sock.send(view) :]
            except BlockingIOError:  # SO_SNDTIMEO
                raise TimeoutError("The server takes nothing.") from None

    def _receive(self, size: int, *, had_any: bool, wait_for_all: bool = False) -> bytes:
        try:
            return self.sock.recv(size, socket.MSG_WAITALL if wait_for_all and self._waits_for_all else 0)
        except OSError as exc:
            raise self._failed(exc, had_any=had_any) from exc

    def _fill(self, size: int) -> bytes:
        """Gather what TLS gives in small records, for a fraction of a second."""
        buffer = bytearray(size)
        view, filled = memoryview(buffer), 0
        until = time.monotonic() + QUICK_S
        while filled < size:
            try:
                count = self.sock.recv_into(view[filled:])
            except OSError as exc:
                if filled:
                    break  # the next call meets it again
                raise self._failed(exc, had_any=True) from exc
            filled += count
            if not count or time.monotonic() > until:
                break
        return bytes(view[:filled])

    def _failed(self, exc: OSError, *, had_any: bool) -> BotoCoreError | Stale:
        """What a failure to receive means."""
        failure: BotoCoreError = HTTPClientError(error=exc)
        if isinstance(exc, (BlockingIOError, TimeoutError)):  # BlockingIOError: SO_RCVTIMEO
            failure = ReadTimeoutError(endpoint_url=self.url, error=exc)
        elif isinstance(exc, ConnectionError):
            if not had_any and self.answers:
                return Stale()
            failure = ConnectionClosedError(endpoint_url=self.url, error=exc)
        return failure

    def _read_chunks(self, limit: int) -> bytes:
        taken = bytearray()
        while True:
            line = self._line()
            size_text = line.partition(b";")[0].strip()
            try:
                size = int(size_text, 16)
            except ValueError:
                raise Unusual("a chunk without a length") from None
            if size < 0 or len(taken) + size > limit:
                raise Unusual("a long answer")
            if size == 0:
                while self._line():
                    pass
                return bytes(taken)
            missing = size
            while missing:
                piece = self.read(missing)
                if not piece:
                    raise ConnectionClosedError(endpoint_url=self.url)
                taken += piece
                missing -= len(piece)
            if self._line():
                raise Unusual("a chunk that does not end")

    def _line(self) -> bytes:
        while (end := self.rest.find(b"\r\n")) < 0:
            if len(self.rest) > HEAD_BYTES:
                raise Unusual("a line without an end")
            piece = self._receive(HEAD_PIECE_BYTES, had_any=True)
            if not piece:
                raise ConnectionClosedError(endpoint_url=self.url)
            self.rest += piece
        line, self.rest = self.rest[:end], self.rest[end + 2 :]
        return line
