"""An HTTP proxy on loopback that answers some requests itself, as a server does that is broken or too busy."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tests.servers.process import HOST, ServerDidNotStart

CHUNK = 256 * 1024
HEAD_LIMIT = 64 * 1024


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer in the server's stead."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class RefusingProxy:
    """Listens on a free port and passes to `port`. A context manager; runs on a thread of its own.

    Args:
        port: of the server, on loopback.

    Attributes:
        refuse: asked for each request with its method and target; None lets it pass.
        refused, asked: how many requests were refused, and how many there were.
    """

    def __init__(self, port: int) -> None:
        self.refuse: Callable[[str, str], Refusal | None] = lambda _method, _target: None
        self.port = 0
        self.refused = 0
        self.asked = 0
        self._target = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="refusing-proxy", daemon=True)
        self._started = threading.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._started.wait(10):
            raise ServerDidNotStart("The proxy did not start.")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._listen())
        finally:
            self._loop.close()

    async def _listen(self) -> None:
        self._stopped = asyncio.Event()
        server = await asyncio.start_server(self._accept, HOST, 0, limit=HEAD_LIMIT)
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._stopped.wait()
        server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._serve(reader, writer)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(HOST, self._target, limit=HEAD_LIMIT)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                method, target, _version = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
                self.asked += 1
                refusal = self.refuse(method, target)
                if refusal is not None:
                    self.refused += 1
                    await _pass_body(head, reader, None, writer)
                    _answer(writer, refusal, has_body=method != "HEAD")
                    await writer.drain()
                    continue
                there_writer.write(head)
                await _pass_body(head, reader, there_writer, writer)
                await _pass_answer(there_reader, writer, has_body=method != "HEAD")
        finally:
            there_writer.close()


def _answer(writer: asyncio.StreamWriter, refusal: Refusal, *, has_body: bool) -> None:
    lines = [f"HTTP/1.1 {refusal.status} Refused", f"Content-Length: {len(refusal.body)}"]
    lines += [f"{name}: {value}" for name, value in refusal.headers.items()]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + (refusal.body if has_body else b""))


def _headers(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    return {name.strip().lower(): value.strip() for name, _colon, value in (line.partition(":") for line in lines)}


async def _pass_body(
    head: bytes, reader: asyncio.StreamReader, to: asyncio.StreamWriter | None, back: asyncio.StreamWriter
) -> None:
    """Pass a request's body on, or read it away."""
    headers = _headers(head)
    if headers.get("expect", "").lower() == "100-continue" and to is None:
        back.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    if "chunked" in headers.get("transfer-encoding", ""):
        await _pass_chunks(reader, to)
    else:
        await _pass_count(reader, to, int(headers.get("content-length", "0")))


async def _pass_answer(reader: asyncio.StreamReader, to: asyncio.StreamWriter, *, has_body: bool) -> None:
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        to.write(head)
        status = int(head.split(b" ", 2)[1])
        if status != 100:
            break
    headers = _headers(head)
    if has_body and status not in (204, 304):
        if "chunked" in headers.get("transfer-encoding", ""):
            await _pass_chunks(reader, to)
        else:
            await _pass_count(reader, to, int(headers.get("content-length", "0")))
    await to.drain()


async def _pass_count(reader: asyncio.StreamReader, to: asyncio.StreamWriter | None, count: int) -> None:
    while count:
        data = await reader.read(min(count, CHUNK))
        if not data:
            raise asyncio.IncompleteReadError(b"", count)
        count -= len(data)
        if to is not None:
            to.write(data)
            await to.drain()


async def _pass_chunks(reader: asyncio.StreamReader, to: asyncio.StreamWriter | None) -> None:
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        if to is not None:
            to.write(line)
        await _pass_count(reader, to, size + 2)
        if not size:
            return
