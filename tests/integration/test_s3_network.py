"""Ways to a server: through a proxy, by a name."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator

import pytest

from kegbrowser.backends.batches import ReadRequest, WriteRequest
from kegbrowser.backends.errors import ConnectionLost
from tests.doubles.exact_s3 import ExactS3
from tests.integration.s3_places import exact_server, exact_storage, put


@pytest.fixture
def server() -> Iterator[ExactS3]:
    with exact_server("box") as running:
        yield running


class TunnelProxy:
    """An HTTP proxy that answers CONNECT, and passes other requests on; one thread for each connection."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> TunnelProxy:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client = self._listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            head = client.recv(65536)
            self.asked.append(head.split(b"\r\n", 1)[0].decode())
            method, target, _version = self.asked[-1].split(" ")
            host, _colon, port = (target if method == "CONNECT" else target.split("/")[2]).partition(":")
            with socket.create_connection((host, int(port))) as upstream:
                if method == "CONNECT":
                    client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                else:
                    upstream.sendall(head)
                while ready := select.select([client, upstream], [], [], 5)[0]:
                    for one in ready:
                        data = one.recv(65536)
                        if not data:
                            return
                        (upstream if one is client else client).sendall(data)


@pytest.fixture
def through_proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[TunnelProxy]:
    with TunnelProxy() as proxy:
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        yield proxy


def test_a_proxy_of_the_environment_is_used(server: ExactS3, through_proxy: TunnelProxy) -> None:
    with exact_storage(server) as storage:
        put(storage, "x", b"content")
        with storage.open("x", "rb") as file:
            assert file.read(-1) == b"content"

    assert any(line.startswith("HEAD http://127.0.0.1") for line in through_proxy.asked)


def test_tls_goes_through_the_proxy_in_a_tunnel(server: ExactS3, through_proxy: TunnelProxy) -> None:
    # The server behind it speaks no TLS: that this is what is told shows that the handshake went through the tunnel.
    with exact_storage(server, endpoint_url=f"https://127.0.0.1:{server.port}") as storage:
        with pytest.raises(ConnectionLost, match="does not speak TLS"):
            storage.list("")

    assert [line.rpartition(" ")[0] for line in through_proxy.asked] == [f"CONNECT 127.0.0.1:{server.port}"]


def test_a_proxy_that_is_not_there_is_what_is_told(server: ExactS3, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, f"http://user:proxypassword@127.0.0.1:{port}")

    with exact_storage(server) as storage, pytest.raises(ConnectionLost) as failed:
        storage.list("")

    assert "proxy" in failed.value.message
    assert "proxypassword" not in f"{failed.value!r}{failed.value.__cause__!r}"


def test_a_server_is_found_by_its_name(server: ExactS3) -> None:
    with exact_storage(server, endpoint_url=f"http://localhost:{server.port}") as storage:
        put(storage, "x", b"content")

        assert storage.stat("x").size == 7


def test_content_goes_through_the_proxy_as_well(server: ExactS3, through_proxy: TunnelProxy) -> None:
    with exact_storage(server) as storage:
        written = list(storage.write_files(iter([WriteRequest(n, f"x{n}", b"content") for n in range(4)]), lambda: 4))
        got = list(storage.read_files(iter([ReadRequest(n, f"x{n}", 7) for n in range(4)]), lambda: 4))

    assert [result.error for result in written] == [None] * 4
    assert [result.content for result in got] == [b"content"] * 4
    assert any(line.startswith("PUT http://127.0.0.1") for line in through_proxy.asked)
