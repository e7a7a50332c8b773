"""A proxy on loopback that makes the way to a server long: each byte takes a fixed time each way, and the rate stays what it was.

A connection begins one round trip later, as it would after a handshake over that way. Some processes share the port, so that the
proxy is not what limits a measurement; `python -m tests.servers.delaying_proxy PORT [--delay-ms 20]` runs one by hand.
"""

from __future__ import annotations

import argparse
import os
import selectors
import signal
import socket
import sys
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

from tests.servers.process import HOST, Server, answers, die_with_parent, free_port

PROCESSES = 2
PIECE = 256 * 1024
ON_ITS_WAY = 64 * 1024 * 1024
"""Of one direction of one connection: 64 MiB in 20 ms is more than any loopback passes."""
SOCKET_BUFFER = 4 * 1024 * 1024
SPARE_PIECES = 512


class DelayingProxy(Server):
    """Passes to `port`, later. A context manager; its processes are its own, so that it costs the measured program no time.

    Args:
        port: of the server, on loopback.
        delay_s: latency each way: half of the round trip.
    """

    def __init__(self, port: int, *, delay_s: float = 0.02) -> None:
        super().__init__("delay")
        self.port = free_port()
        self._target = port
        self._delay_s = delay_s

    def start(self) -> int:
        """Start it and give its port."""
        program = [sys.executable, "-m", "tests.servers.delaying_proxy", str(self._target)]
        root = str(Path(__file__).resolve().parents[2])
        self.run(
            [*program, "--delay-ms", str(self._delay_s * 1000), "--listen", str(self.port)],
            lambda: answers(self.port),
            {**os.environ, "PYTHONPATH": root},
        )
        return self.port


class _Pieces:
    """Buffers that are used again: new ones would cost more than what is copied into them."""

    def __init__(self) -> None:
        self._spare: list[bytearray] = []

    def take(self) -> bytearray:
        return self._spare.pop() if self._spare else bytearray(PIECE)

    def give_back(self, piece: bytearray) -> None:
        if len(self._spare) < SPARE_PIECES:
            self._spare.append(piece)


class _Way:
    """One direction of a connection: what was read, and when it is due."""

    def __init__(self, source: socket.socket, target: socket.socket, not_before: float) -> None:
        self.source = source
        self.target = target
        self.not_before = not_before
        self.held: deque[tuple[float, bytearray, int]] = deque()
        self.held_bytes = 0
        self.sent_of_first = 0
        self.has_ended = False
        """The source has said all."""
        self.is_closed = False
        """The target was told so."""
        self.is_full = False
        """The target takes nothing just now."""


class _Line:
    """A connection with its two directions."""

    def __init__(self, client: socket.socket, server: socket.socket, begins: float) -> None:
        self.client = client
        self.server = server
        self.up = _Way(client, server, begins)
        self.down = _Way(server, client, 0.0)


class _Loop:
    """All connections of one process."""

    def __init__(self, listener: socket.socket, target: int, delay_s: float) -> None:
        self._listener = listener
        self._target = target
        self._delay_s = delay_s
        self._selector = selectors.DefaultSelector()
        self._pieces = _Pieces()
        self._lines: set[_Line] = set()
        self._masks: dict[socket.socket, int] = {}

    def run(self) -> None:
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ, None)
        while True:
            for key, mask in self._selector.select(self._wait_s()):
                if key.data is None:
                    self._accept()
                elif key.data in self._lines:
                    self._serve(key.data, key.fileobj, mask)
            now = time.monotonic()
            for line in list(self._lines):
                self._give(line, now)

    def _wait_s(self) -> float | None:
        due = [
            way.held[0][0]
            for line in self._lines
            for way in (line.up, line.down)
            if way.held and not way.is_full and not way.is_closed
        ]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _accept(self) -> None:
        try:
            client, _address = self._listener.accept()
        except OSError:
            return  # another process was quicker
        server = socket.socket()
        try:
            server.connect((HOST, self._target))
        except OSError:
            client.close()
            server.close()
            return
        line = _Line(client, server, time.monotonic() + 3 * self._delay_s)
        for one in (client, server):
            one.setblocking(False)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER)
            self._selector.register(one, selectors.EVENT_READ, line)
            self._masks[one] = selectors.EVENT_READ
        self._lines.add(line)

    def _serve(self, line: _Line, ready: object, mask: int) -> None:
        reading, writing = (line.up, line.down) if ready is line.client else (line.down, line.up)
        if mask & selectors.EVENT_WRITE:
            writing.is_full = False
        if mask & selectors.EVENT_READ:
            self._take(line, reading)

    def _take(self, line: _Line, way: _Way) -> None:
        piece = self._pieces.take()
        try:
            length = way.source.recv_into(piece)
        except BlockingIOError:
            self._pieces.give_back(piece)
            return
        except OSError:
            self._end(line)
            return
        way.has_ended = length == 0
        way.held.append((max(time.monotonic() + self._delay_s, way.not_before), piece, length))
        way.held_bytes += length
        self._watch(line)

    def _give(self, line: _Line, now: float) -> None:
        for way in (line.up, line.down):
            try:
                self._give_due(way, now)
            except OSError:
                self._end(line)
                return
        if line.up.is_closed and line.down.is_closed:
            self._end(line)
        else:
            self._watch(line)

    def _give_due(self, way: _Way, now: float) -> None:
        while way.held and not way.is_full and way.held[0][0] <= now:
            _due, piece, length = way.held[0]
            if length == 0:
                way.is_closed = True
                with suppress(OSError):
                    way.target.shutdown(socket.SHUT_WR)
            else:
                try:
                    way.sent_of_first += way.target.send(memoryview(piece)[way.sent_of_first : length])
                except BlockingIOError:
                    way.is_full = True
                    return
                if way.sent_of_first < length:
                    continue
            way.held.popleft()
            way.held_bytes -= length
            way.sent_of_first = 0
            self._pieces.give_back(piece)

    def _watch(self, line: _Line) -> None:
        """Ask for what each socket is to tell: to read while there is room, to write while the target was full."""
        for one, reading, writing in ((line.client, line.up, line.down), (line.server, line.down, line.up)):
            mask = 0
            if not reading.has_ended and reading.held_bytes < ON_ITS_WAY:
                mask |= selectors.EVENT_READ
            if writing.is_full:
                mask |= selectors.EVENT_WRITE
            if mask == self._masks[one]:
                continue
            if mask and self._masks[one]:
                self._selector.modify(one, mask, line)
            elif mask:
                self._selector.register(one, mask, line)
            else:
                self._selector.unregister(one)
            self._masks[one] = mask

    def _end(self, line: _Line) -> None:
        self._lines.discard(line)
        for one in (line.client, line.server):
            if self._masks.pop(one, 0):
                self._selector.unregister(one)
            one.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int, help="of the server")
    parser.add_argument("--listen", type=int, default=0, help="port to listen on; 0: a free one")
    parser.add_argument("--delay-ms", type=float, default=20.0, help="each way (20)")
    parser.add_argument("--processes", type=int, default=PROCESSES)
    words = parser.parse_args()
    listener = socket.create_server((HOST, words.listen), backlog=1024)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER)
    signal.signal(signal.SIGTERM, lambda _number, _frame: os._exit(0))
    if words.listen == 0:
        print(listener.getsockname()[1], flush=True)
    for _other in range(words.processes - 1):
        if os.fork() == 0:
            die_with_parent()
            break
    _Loop(listener, words.port, words.delay_ms / 1000).run()


if __name__ == "__main__":
    main()
