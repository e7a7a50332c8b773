"""A server of S3's and Azure's words that is never the limit: it sends files from memory and keeps no byte of uploads.

What is downloaded lies in a folder (`content/CONTAINER/name`) and goes out by sendfile. Of what is uploaded it notes the length
and the CRC-64/NVME of each part in the order of the object, so that a benchmark can compare with the source. No signature is
checked.
`FastServer` runs it beside the benchmark: some processes that share a port, a thread for each connection.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from awscrt import checksums

from tests.benchmarks._fast_answers import Answer, FileRange, Request, Storage, answer_azure, answer_s3
from tests.servers.process import HOST, Server, answers, die_with_parent, free_port

PROCESSES = 3
BUFFER = 1024 * 1024
SMALL = 128 * 1024
ACCOUNT = "devstoreaccount1"
_REASON: Final = {status.value: status.phrase for status in HTTPStatus}


class FastServer(Server):
    """A context manager; `content` is the folder whose files it serves, `storage` tells what was uploaded."""

    def __init__(self, parent: Path | None = None) -> None:
        super().__init__("fast", parent)
        self.port = free_port()
        self.content = self.folder / "content"
        self.content.mkdir()
        self.storage = Storage(self.folder)

    def start(self) -> int:
        root = str(Path(__file__).resolve().parents[2])
        command = [sys.executable, "-m", "tests.benchmarks._fast_server", str(self.folder), "--listen", str(self.port)]
        self.run(command, lambda: answers(self.port), {**os.environ, "PYTHONPATH": root})
        return self.port


class _Connection:
    """One client, until it leaves."""

    def __init__(self, connection: socket.socket, storage: Storage) -> None:
        self._socket = connection
        self._storage = storage
        self._held = b""
        self._buffer = bytearray(BUFFER)

    def serve(self) -> None:
        with suppress(OSError), self._socket:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while (head := self._read_head()) is not None:
                request = _parse(head)
                if "100-continue" in request.headers.get("expect", "").lower():
                    self._socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                self._read_body(request)
                is_azure = request.path.startswith(f"/{ACCOUNT}")
                answer = answer_azure(request, self._storage) if is_azure else answer_s3(request, self._storage)
                self._send(request, answer)
                if request.headers.get("connection", "").lower() == "close":
                    return

    def _read_head(self) -> bytes | None:
        while (end := self._held.find(b"\r\n\r\n")) < 0:
            more = self._socket.recv(65536)
            if not more:
                return None
            self._held += more
        head, self._held = self._held[:end], self._held[end + 4 :]
        return head

    def _read_body(self, request: Request) -> None:
        """Take the content: small bodies and those of commands are kept for the answer, of the others length and CRC."""
        headers = request.headers
        if "aws-chunked" in headers.get("content-encoding", "") or headers.get("x-amz-content-sha256", "").startswith(
            "STREAMING"
        ):
            self._read_signed_chunks(request)
        elif headers.get("transfer-encoding", "").lower() == "chunked":
            while size := int(self._read_line().split(b";")[0], 16):
                self._take(size, request)
                self._read_line()
            self._read_line()
        else:
            self._take(int(headers.get("content-length") or 0), request)

    def _read_signed_chunks(self, request: Request) -> None:
        while size := int(self._read_line().split(b";")[0], 16):
            self._take(size, request)
            self._read_line()
        while line := self._read_line():
            name, _colon, value = line.decode("latin-1").partition(":")
            request.headers[name.strip().lower()] = value.strip()

    def _read_line(self) -> bytes:
        while (end := self._held.find(b"\r\n")) < 0:
            more = self._socket.recv(65536)
            if not more:
                raise ConnectionResetError
            self._held += more
        line, self._held = self._held[:end], self._held[end + 2 :]
        return line

    def _take(self, length: int, request: Request) -> None:
        request.size += length
        if self._held and length:
            first, self._held = self._held[:length], self._held[length:]
            length -= len(first)
            self._count(first, request)
        view = memoryview(self._buffer)
        while length:
            got = self._socket.recv_into(view, min(length, BUFFER))
            if not got:
                raise ConnectionResetError
            length -= got
            self._count(view[:got], request)

    def _count(self, piece: bytes | memoryview, request: Request) -> None:
        if request.method == "POST" or "comp" in request.query:
            request.body += piece if len(request.body) < 8 * BUFFER and request.query.get("comp") != "block" else b""
        request.crc = checksums.crc64nvme(piece, request.crc)

    def _send(self, request: Request, answer: Answer) -> None:
        content = answer.content
        length = content.length if isinstance(content, FileRange) else len(content)
        lines = [f"HTTP/1.1 {answer.status} {_REASON.get(answer.status, '')}"]
        headers = {"content-length": str(length), "server": "fast", "x-ms-version": "2021-12-02"} | answer.headers
        lines += [f"{name}: {value}" for name, value in headers.items() if value]
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
        if request.method == "HEAD":
            self._socket.sendall(head)
        elif isinstance(content, bytes):
            self._socket.sendall(head + content)
        elif content.path:
            with Path(content.path).open("rb") as file:
                self._send_file(head, file.fileno(), content)
        else:
            self._send_file(head, content.descriptor, content)

    def _send_file(self, head: bytes, descriptor: int, content: FileRange) -> None:
        offset, length = content.offset, content.length
        if length <= SMALL:
            self._socket.sendall(head + os.pread(descriptor, length, offset))
            return
        self._socket.sendall(head)
        while length:
            sent = os.sendfile(self._socket.fileno(), descriptor, offset, length)
            offset += sent
            length -= sent


def _parse(head: bytes) -> Request:
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _version = first.split(" ", 2)
    parts = urlsplit(target if target.startswith("http") else f"http://-{target}")
    headers = {name.lower(): value.strip() for name, _colon, value in (line.partition(":") for line in lines)}
    return Request(method, unquote(parts.path), dict(parse_qsl(parts.query, keep_blank_values=True)), headers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--listen", type=int, required=True)
    words = parser.parse_args()
    listener = socket.create_server((HOST, words.listen), backlog=1024)
    signal.signal(signal.SIGTERM, lambda _number, _frame: os._exit(0))
    for _other in range(PROCESSES - 1):
        if os.fork() == 0:
            die_with_parent()
            break
    storage = Storage(words.folder)
    while True:
        connection, _address = listener.accept()
        threading.Thread(target=_Connection(connection, storage).serve, daemon=True).start()


if __name__ == "__main__":
    main()
