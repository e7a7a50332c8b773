"""The lean HTTP client against servers that answer byte by byte what a test wants."""

from __future__ import annotations

import base64
import socket
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kegbrowser.backends.batches import FileResult, ReadRequest, WriteRequest
from kegbrowser.backends.errors import CheckFailed, ConnectionLost, PermissionDenied, ServerFault
from kegbrowser.backends.s3 import S3Storage
from kegbrowser.backends.s3.wire import Head, Unusual, parse_head

BODY = b"content"
OK = b'HTTP/1.1 200 OK\r\nETag: "0123"\r\nContent-Length: 7\r\n\r\n' + BODY
DENIED = b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
HEAD_BUCKET = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class ScriptedServer:
    """Gives the next of its answers to each request, whatever it is; None: closes without one."""

    def __init__(self, answers: list[bytes | None]) -> None:
        self.requests: list[bytes] = []
        self._answers = answers
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client = self._listener.accept()[0]
            except OSError:
                return
            with client:
                client.settimeout(5)
                self._serve(client)

    def _serve(self, client: socket.socket) -> None:
        received = client.makefile("rb")
        with received:
            while self._answers:
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    line = received.readline()
                    if not line:
                        return
                    head += line
                length = next(
                    (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
                )
                received.read(length)
                self.requests.append(head)
                answer = self._answers.pop(0)
                if answer is None:
                    return
                client.sendall(answer)
                if b"connection: close" in answer.lower() or b"content-length" not in answer.lower():
                    return


@contextmanager
def storage_before(*answers: bytes | None) -> Iterator[tuple[S3Storage, ScriptedServer]]:
    server = ScriptedServer(list(answers))
    storage = S3Storage("box", "us-east-1", "AKID", "secret", endpoint_url=f"http://127.0.0.1:{server.port}")
    try:
        yield storage, server
    finally:
        storage.shutdown()
        server.close()


def read_one(storage: S3Storage, size: int = 7) -> FileResult:
    (result,) = storage.read_files(iter([ReadRequest(0, "x", size)]), lambda: 1)
    return result


def read_way(storage: S3Storage, way: str) -> bytes:
    if way == "small":
        result = read_one(storage)
        if result.error is not None:
            raise result.error
        return result.content
    with storage.open_reader("x") as file:
        return file.read(-1)


@pytest.fixture(params=["small", "large"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize(
    "answer",
    [
        OK,
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        b'HTTP/1.1 200 Fine by me\r\netag:"0123"\r\nCONTENT-LENGTH:   7  \r\nConnection: close\r\n\r\ncontent',
        b'HTTP/1.0 200 OK\r\nETag: "0123"\r\nContent-Length: 7\r\n\r\ncontent',
        b'HTTP/1.1 200 OK\r\nETag: "0123"\r\nContent-Length: 7\r\nX-Empty:\r\nX-Colon: a:b\r\n\r\ncontent',
    ],
)
def test_answers_of_many_forms_are_understood(answer: bytes, way: str) -> None:
    with storage_before(answer) as (storage, _server):
        assert read_way(storage, way) == BODY


def test_an_answer_that_comes_byte_by_byte_is_put_together(way: str) -> None:
    class Slow(ScriptedServer):
        def _serve(self, client: socket.socket) -> None:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.recv(65536)
            for byte in OK:
                client.sendall(bytes([byte]))

    server = Slow([])
    storage = S3Storage("box", "us-east-1", "AKID", "secret", endpoint_url=f"http://127.0.0.1:{server.port}")
    try:
        assert read_way(storage, way) == BODY
    finally:
        storage.shutdown()
        server.close()


def test_more_than_was_said_is_not_taken_for_another_answer(way: str) -> None:
    with storage_before(OK + b"HTTP/1.1 200 OK\r\n", OK, OK) as (storage, _server):
        assert read_way(storage, way) == BODY
        assert read_way(storage, way) == BODY


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nETag: ",
        b'HTTP/1.1 200 OK\r\nETag: "0123"\r\nContent-Length: 7\r\n\r\ncont',
    ],
)
def test_an_answer_that_breaks_off_is_a_lost_connection(answer: bytes, way: str) -> None:
    class Breaking(ScriptedServer):
        def _serve(self, client: socket.socket) -> None:
            client.recv(65536)
            client.sendall(answer)

    server = Breaking([])
    storage = S3Storage("box", "us-east-1", "AKID", "secret", endpoint_url=f"http://127.0.0.1:{server.port}")
    try:
        with pytest.raises(ConnectionLost):
            read_way(storage, way)
    finally:
        storage.shutdown()
        server.close()


def test_an_error_in_chunks_is_understood(way: str) -> None:
    chunked = b"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (
        len(DENIED),
        DENIED,
    )

    with storage_before(chunked, chunked) as (storage, _server), pytest.raises(PermissionDenied):
        read_way(storage, way)


def test_a_login_page_is_no_content(way: str) -> None:
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 7\r\n\r\n<html/>"

    with storage_before(page, page) as (storage, _server), pytest.raises(ServerFault):
        read_way(storage, way)


@pytest.mark.parametrize(("algorithm", "value"), [("crc32", zlib.crc32(BODY).to_bytes(4, "big")), ("crc64nvme", None)])
def test_a_checksum_that_differs_is_caught(algorithm: str, value: bytes | None, way: str) -> None:
    wrong = base64.b64encode(bytes(8 if value is None else 4))
    answer = OK.replace(b"\r\n\r\n", b"\r\nx-amz-checksum-%s: %s\r\n\r\n" % (algorithm.encode(), wrong))

    with storage_before(answer) as (storage, _server), pytest.raises(CheckFailed):
        read_way(storage, way)


def test_a_server_that_refuses_before_it_took_all_is_listened_to() -> None:
    refused = b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(DENIED), DENIED)

    class Hasty(ScriptedServer):
        def _serve(self, client: socket.socket) -> None:
            if client.recv(65536).startswith(b"HEAD"):
                client.sendall(HEAD_BUCKET)
                return
            client.sendall(refused)
            client.shutdown(socket.SHUT_WR)
            while client.recv(65536):
                pass

    server = Hasty([])
    storage = S3Storage("box", "us-east-1", "AKID", "secret", endpoint_url=f"http://127.0.0.1:{server.port}")
    try:
        (result,) = storage.write_files(iter([WriteRequest(0, "x", bytes(8_000_000))]), lambda: 1)
    finally:
        storage.shutdown()
        server.close()

    assert isinstance(result.error, PermissionDenied)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_head_or_refused(data: bytes) -> None:
    try:
        head = parse_head(b"HTTP/1.1 200 OK\r\n" + data, "GET")
    except Unusual:
        return
    assert isinstance(head, Head)
    assert head.length is None or head.length >= 0


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/2 200",
        b"SSH-2.0-OpenSSH",
        b"HTTP/1.1 abc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1_0",
        "HTTP/1.1 200 OK\r\nContent-Length: ²".encode("latin-1"),
        b"HTTP/1.1 200 OK\r\n folded: x",
        b"HTTP/1.1 200 OK\r\nno colon",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked",
    ],
)
def test_a_head_that_can_be_misread_is_refused(head: bytes) -> None:
    with pytest.raises(Unusual):
        parse_head(head, "GET")
