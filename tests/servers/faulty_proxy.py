"""A proxy on loopback that does to a connection what networks do: delay, limit, stall, cut, corrupt, refuse."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.servers.process import HOST, ServerDidNotStart

CHUNK = 64 * 1024
READ_AHEAD = 32 * 1024 * 1024
"""What may be on its way at once while there is a delay; without one the sender is held back at once."""
BUFFER = 256 * 1024
"""Of the sockets: a sender notices a stall or a limit after about that much."""
POLL_S = 0.01


@dataclass(slots=True)
class Faults:
    """What is done to every connection; may be changed at any time, also for those that are open.

    Attributes:
        delay_s: latency each way; much may be on its way at once, as on a long line.
        bytes_per_s: limit each way, for each connection; 0 for none.
        cut_down_after, cut_up_after: end the connection after that many bytes from (to) the server; None: never.
        cuts_left: how many connections are cut; None: all.
        gentle: a cut or refusal is an orderly end of the connection, not a reset.
        stall_down_after, stall_up_after: pass nothing more after that many bytes; None: never.
        stalled: pass nothing, neither way.
        flip_byte_at: position in the bytes from the server, of each connection, whose bits are turned; None: none.
        refuse: end new connections at once.
    """

    delay_s: float = 0.0
    bytes_per_s: float = 0.0
    cut_down_after: int | None = None
    cut_up_after: int | None = None
    cuts_left: int | None = None
    gentle: bool = False
    stall_down_after: int | None = None
    stall_up_after: int | None = None
    stalled: bool = False
    flip_byte_at: int | None = None
    refuse: bool = False


class FaultyProxy:
    """Listens on a free port and passes to `port`. A context manager; runs on a thread of its own.

    Args:
        port: of the server, on loopback.

    Attributes:
        faults: change its fields, or give another one.
        port: where it listens.
        bytes_down, bytes_up: passed from (to) the server so far.
        connections: how many were made so far.
    """

    def __init__(self, port: int) -> None:
        self.faults = Faults()
        self.port = 0
        self.bytes_down = 0
        self.bytes_up = 0
        self.connections = 0
        self._target = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="faulty-proxy", daemon=True)
        self._started = threading.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def open_connections(self) -> int:
        return len(self._tasks)

    def start(self) -> Self:
        self._thread.start()
        if not self._started.wait(10):
            raise ServerDidNotStart("The proxy did not start.")
        return self

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join(10)

    def cut_all(self) -> None:
        """End every connection that is open now."""
        self._loop.call_soon_threadsafe(self._end_all)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._listen())
        finally:
            asyncio.set_event_loop(None)
            self._loop.close()

    async def _listen(self) -> None:
        self._stopped = asyncio.Event()
        listener = socket.create_server((HOST, 0), backlog=200)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        server = await asyncio.start_server(self._accept, sock=listener, limit=CHUNK)
        self.port = listener.getsockname()[1]
        self._started.set()
        await self._stopped.wait()
        server.close()
        self._end_all()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _end_all(self) -> None:
        for writer in list(self._writers):
            self._end(writer)

    def _end(self, writer: asyncio.StreamWriter) -> None:
        connection = writer.get_extra_info("socket")
        if not self.faults.gentle and connection is not None and connection.fileno() >= 0:
            with contextlib.suppress(OSError):  # with no time to linger, closing sends a reset
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        self._writers.discard(writer)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = self._loop.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        upstream: asyncio.StreamWriter | None = None
        is_whole = False
        try:
            if self.faults.refuse:
                raise ConnectionRefusedError
            server_reader, upstream = await self._connect()
            self._writers.add(upstream)
            async with asyncio.TaskGroup() as group:
                for direction in (
                    _Direction(self, reader, upstream, down=False),
                    _Direction(self, server_reader, writer, down=True),
                ):
                    group.create_task(direction.take())
                    group.create_task(direction.give())
            is_whole = True
        except* (OSError, RuntimeError):
            pass
        finally:
            for one in (writer, upstream):
                if one is not None and is_whole:
                    one.close()
                    self._writers.discard(one)
                elif one is not None:
                    self._end(one)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        connection.setblocking(False)
        try:
            await self._loop.sock_connect(connection, (HOST, self._target))
        except OSError:
            connection.close()
            raise
        return await asyncio.open_connection(sock=connection, limit=CHUNK)

    def may_cut(self) -> bool:
        if self.faults.cuts_left is None:
            return True
        if self.faults.cuts_left <= 0:
            return False
        self.faults.cuts_left -= 1
        return True

    def count(self, passed: int, *, down: bool) -> None:
        if down:
            self.bytes_down += passed
        else:
            self.bytes_up += passed


class _Direction:
    """One way of one connection: `take` reads what is sent, `give` passes it when its time has come."""

    def __init__(
        self, proxy: FaultyProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, down: bool
    ) -> None:
        self._proxy = proxy
        self._reader = reader
        self._writer = writer
        self._down = down
        writer.transport.set_write_buffer_limits(0)  # so that all is on its way before a cut
        self._queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        self._held = 0
        self._room = asyncio.Event()
        self._passed = 0

    async def take(self) -> None:
        now = asyncio.get_running_loop().time
        while True:
            data = await self._reader.read(CHUNK)
            self._held += len(data)
            self._queue.put_nowait((now() + self._proxy.faults.delay_s, data))
            if not data:
                return
            while self._held > (READ_AHEAD if self._proxy.faults.delay_s else 0):
                self._room.clear()
                await self._room.wait()

    async def give(self) -> None:
        now = asyncio.get_running_loop().time
        while True:
            due, data = await self._queue.get()
            if (wait_s := due - now()) > 0:
                await asyncio.sleep(wait_s)
            await self._wait_while_stalled()
            if not data:
                self._writer.write_eof()
                return
            place = 0
            while place < len(data):
                place += await self._give_some(data[place:])
            self._held -= len(data)
            self._room.set()

    async def _give_some(self, data: bytes) -> int:
        """Pass as much as the faults let pass at once; gives its length."""
        await self._wait_while_stalled()
        faults = self._proxy.faults
        cut = faults.cut_down_after if self._down else faults.cut_up_after
        if cut is not None and self._passed >= cut and self._proxy.may_cut():
            raise ConnectionResetError
        if faults.bytes_per_s:
            data = data[: max(1, int(faults.bytes_per_s * 5 * POLL_S))]
        for limit in (cut, self._stall_after()):
            if limit is not None and limit > self._passed:
                data = data[: limit - self._passed]
        flip = faults.flip_byte_at
        if self._down and flip is not None and self._passed <= flip < self._passed + len(data):
            place = flip - self._passed
            data = data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]
        if faults.bytes_per_s:
            await asyncio.sleep(len(data) / faults.bytes_per_s)
        self._writer.write(data)
        await self._writer.drain()
        self._passed += len(data)
        self._proxy.count(len(data), down=self._down)
        return len(data)

    def _stall_after(self) -> int | None:
        faults = self._proxy.faults
        return faults.stall_down_after if self._down else faults.stall_up_after

    async def _wait_while_stalled(self) -> None:
        while self._proxy.faults.stalled or ((limit := self._stall_after()) is not None and self._passed >= limit):
            await asyncio.sleep(POLL_S)
