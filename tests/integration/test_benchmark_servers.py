"""What transfers are measured with does what it says: the long way is long and whole, the fast server notes what it was given."""

from __future__ import annotations

import http.client
import os
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from awscrt import checksums

from tests.benchmarks._fast_answers import Part
from tests.benchmarks._fast_server import ACCOUNT, FastServer
from tests.servers.delaying_proxy import DelayingProxy
from tests.servers.process import HOST

MIB = 1024 * 1024


@pytest.fixture
def echo_port() -> Iterator[int]:
    """A server that sends back what it gets."""
    server = socketserver.ThreadingTCPServer((HOST, 0), _Echo)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield int(server.server_address[1])
    server.shutdown()
    thread.join()
    server.server_close()


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while piece := self.request.recv(MIB):
            self.request.sendall(piece)


@pytest.fixture(scope="module")
def fast() -> Iterator[FastServer]:
    with FastServer() as server:
        folder = server.content / "bench" / "some"
        folder.mkdir(parents=True)
        for number in range(3):
            (folder / f"f{number}").write_bytes(os.urandom(1000 + number))
        server.storage.publish()
        server.start()
        yield server


def test_each_byte_takes_its_time_each_way(echo_port: int) -> None:
    with DelayingProxy(echo_port, delay_s=0.05) as proxy, socket.create_connection((HOST, proxy.start())) as client:
        client.sendall(b"first")
        client.recv(5)
        begin = time.monotonic()
        client.sendall(b"second")
        client.recv(6)

        assert 0.1 <= time.monotonic() - begin < 1


def test_the_long_way_keeps_every_byte_in_order(echo_port: int) -> None:
    content = os.urandom(16 * MIB)
    came = bytearray()

    with DelayingProxy(echo_port, delay_s=0.01) as proxy, socket.create_connection((HOST, proxy.start())) as client:

        def send() -> None:
            client.sendall(content)
            client.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        while piece := client.recv(MIB):
            came += piece
        sender.join()

    assert bytes(came) == content


def test_the_fast_server_notes_each_part_of_an_s3_upload(fast: FastServer) -> None:
    first, second = os.urandom(3 * MIB), os.urandom(77)
    with closing(http.client.HTTPConnection(HOST, fast.port)) as client:
        begun = _ask(client, "POST", "/bench/up/a?uploads")
        upload = begun.split(b"<UploadId>")[1].split(b"<")[0].decode()
        _ask(client, "PUT", f"/bench/up/a?partNumber=2&uploadId={upload}", second)
        _ask(client, "PUT", f"/bench/up/a?partNumber=1&uploadId={upload}", first)
        listed = b"".join(b"<Part><PartNumber>%d</PartNumber></Part>" % number for number in (1, 2))
        _ask(client, "POST", f"/bench/up/a?uploadId={upload}", listed)

    assert fast.storage.uploaded("bench/up/a") == [
        Part(len(first), checksums.crc64nvme(first)),
        Part(len(second), checksums.crc64nvme(second)),
    ]


def test_the_fast_server_puts_azures_blocks_in_the_order_of_the_list(fast: FastServer) -> None:
    with closing(http.client.HTTPConnection(HOST, fast.port)) as client:
        _ask(client, "PUT", f"/{ACCOUNT}/bench/up/b?comp=block&blockid=one", b"1")
        _ask(client, "PUT", f"/{ACCOUNT}/bench/up/b?comp=block&blockid=two", b"22")
        _ask(client, "PUT", f"/{ACCOUNT}/bench/up/b?comp=blocklist", b"<Latest>two</Latest><Latest>one</Latest>")

    parts = fast.storage.uploaded("bench/up/b")
    assert parts is not None
    assert [part.size for part in parts] == [2, 1]


def test_the_fast_server_lists_in_pages_and_gives_ranges(fast: FastServer) -> None:
    content = (fast.content / "bench" / "some" / "f1").read_bytes()
    with closing(http.client.HTTPConnection(HOST, fast.port)) as client:
        page = _ask(client, "GET", "/bench?list-type=2&prefix=some/&max-keys=2")
        rest = _ask(client, "GET", "/bench?list-type=2&prefix=some/&max-keys=2&continuation-token=some/f1")
        client.request("GET", "/bench/some/f1", headers={"Range": "bytes=10-19"})
        ranged = client.getresponse().read()

    assert page.count(b"<Key>") == 2
    assert b"<IsTruncated>true" in page
    assert b"<Key>some/f2</Key>" in rest
    assert b"<IsTruncated>false" in rest
    assert ranged == content[10:20]


def _ask(client: http.client.HTTPConnection, method: str, path: str, body: bytes = b"") -> bytes:
    client.request(method, path, body)
    answer = client.getresponse()
    content = answer.read()
    assert answer.status in (200, 201), content
    return content
