"""A proxy on loopback that does to a connection what networks do: delay, limit, stall, cut, corrupt, refuse."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.servers.process import HOST

CHUNK = 64 * 1024


@dataclass(slots=True)
class Faults:
    """What is done to every connection; may be changed while it runs.

    Attributes:
        delay_s: each piece waits that long, each way.
        bytes_per_s: limit each way, for each connection; 0 for none.
        cut_down_after, cut_up_after: reset the connection after that many bytes from (to) the server; None: never.
        cuts_left: how many connections are cut; None: all.
        stall_down_after, stall_up_after: pass nothing more after that many bytes; None: never.
        flip_byte_at: position in the bytes from the server, of each connection, whose bits are turned; None: none.
        refuse: reset new connections at once.
    """

    delay_s: float = 0.0
    bytes_per_s: float = 0.0
    cut_down_after: int | None = None
    cut_up_after: int | None = None
    cuts_left: int | None = None
    stall_down_after: int | None = None
    stall_up_after: int | None = None
    flip_byte_at: int | None = None
    refuse: bool = False


class FaultyProxy:
    """Listens on a free port and passes to `port`. A context manager; runs on a thread of its own.

    Args:
        port: of the server, on loopback.
    """

    def __init__(self, port: int) -> None:
        self.faults = Faults()
        self.port = 0
        self.bytes_down = 0
        self.bytes_up = 0
        self._target = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="faulty-proxy", daemon=True)
        self._started = threading.Event()
        self._writers: set[asyncio.StreamWriter] = set()

    def start(self) -> Self:
        self._thread.start()
        self._started.wait(10)
        return self

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop_soon)
            self._thread.join(10)

    def cut_all(self) -> None:
        """Reset every connection that is open now."""
        self._loop.call_soon_threadsafe(self._abort_all)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._listen())
        self._loop.run_forever()
        pending = asyncio.all_tasks(self._loop)
        for task in pending:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
        self._loop.close()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, HOST, 0, limit=CHUNK)
        self.port = self._server.sockets[0].getsockname()[1]
        self._started.set()

    def _stop_soon(self) -> None:
        self._server.close()
        self._abort_all()
        self._loop.stop()

    def _abort_all(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        upstream: asyncio.StreamWriter | None = None
        try:
            if self.faults.refuse:
                return
            server_reader, upstream = await asyncio.open_connection(HOST, self._target, limit=CHUNK)
            self._writers.add(upstream)
            both = (
                asyncio.ensure_future(self._pass(reader, upstream, down=False)),
                asyncio.ensure_future(self._pass(server_reader, writer, down=True)),
            )
            done, pending = await asyncio.wait(both, return_when=asyncio.FIRST_EXCEPTION)
            for task in pending:
                task.cancel()
            for task in done:
                task.exception()
        except OSError:
            return
        finally:
            for one in (writer, upstream):
                if one is not None:
                    self._writers.discard(one)
                    one.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, down: bool) -> None:
        passed = 0
        while data := await reader.read(CHUNK):
            faults = self.faults
            if faults.delay_s:
                await asyncio.sleep(faults.delay_s)
            if faults.bytes_per_s:
                await asyncio.sleep(len(data) / faults.bytes_per_s)
            cut = faults.cut_down_after if down else faults.cut_up_after
            stall = faults.stall_down_after if down else faults.stall_up_after
            if stall is not None and passed + len(data) > stall:
                await self._send(writer, data[: max(0, stall - passed)], down=down)
                await asyncio.Event().wait()
            if cut is not None and passed + len(data) > cut and self._may_cut():
                await self._send(writer, data[: max(0, cut - passed)], down=down)
                raise ConnectionResetError
            flip = faults.flip_byte_at
            if down and flip is not None and passed <= flip < passed + len(data):
                place = flip - passed
                data = data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]
            await self._send(writer, data, down=down)
            passed += len(data)
        if writer.can_write_eof():
            writer.write_eof()

    def _may_cut(self) -> bool:
        if self.faults.cuts_left is None:
            return True
        if self.faults.cuts_left <= 0:
            return False
        self.faults.cuts_left -= 1
        return True

    async def _send(self, writer: asyncio.StreamWriter, data: bytes, *, down: bool) -> None:
        writer.write(data)
        await writer.drain()
        if down:
            self.bytes_down += len(data)
        else:
            self.bytes_up += len(data)
