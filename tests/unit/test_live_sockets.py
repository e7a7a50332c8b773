"""Whatever a connection waits for, an interrupt ends it within a second."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest
from urllib3 import PoolManager
from urllib3.exceptions import HTTPError, NewConnectionError
from urllib3.util import Retry, Timeout

from kegbrowser.backends._sockets import LiveSockets
from kegbrowser.backends.errors import Cancelled

NO_RETRIES = Retry(False)


@pytest.fixture
def silent_server() -> Iterator[tuple[str, int]]:
    """A server that takes connections and never says or reads a thing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    taken.append(listener.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)
        for connection in taken:
            connection.close()


@pytest.fixture
def manager_and_sockets() -> Iterator[tuple[PoolManager, LiveSockets]]:
    sockets = LiveSockets(stall_timeout_s=30.0)
    manager = PoolManager(timeout=30.0)
    sockets.install(manager)
    yield manager, sockets
    manager.clear()
    sockets.close()


def _seconds_until_interrupted(manager: PoolManager, sockets: LiveSockets, url: str, body: bytes = b"") -> float:
    timer = threading.Timer(0.3, sockets.interrupt)
    begun = time.monotonic()
    timer.start()
    with pytest.raises((HTTPError, Cancelled)):
        manager.request("PUT" if body else "GET", url, body=body or None, retries=NO_RETRIES)
    timer.join()
    assert sockets.is_interrupted
    return time.monotonic() - begun - 0.3


def test_interrupt_ends_a_wait_for_the_answer(
    silent_server: tuple[str, int], manager_and_sockets: tuple[PoolManager, LiveSockets]
) -> None:
    host, port = silent_server

    assert -0.1 < _seconds_until_interrupted(*manager_and_sockets, f"http://{host}:{port}/") < 1.0


def test_interrupt_ends_a_stalled_upload(
    silent_server: tuple[str, int], manager_and_sockets: tuple[PoolManager, LiveSockets]
) -> None:
    host, port = silent_server

    seconds = _seconds_until_interrupted(*manager_and_sockets, f"http://{host}:{port}/", bytes(64 * 1024 * 1024))

    assert -0.1 < seconds < 1.0


def test_interrupt_ends_a_stalled_tls_handshake(
    silent_server: tuple[str, int], manager_and_sockets: tuple[PoolManager, LiveSockets]
) -> None:
    host, port = silent_server

    assert -0.1 < _seconds_until_interrupted(*manager_and_sockets, f"https://{host}:{port}/") < 1.0


def test_interrupt_ends_a_wait_for_a_connection(manager_and_sockets: tuple[PoolManager, LiveSockets]) -> None:
    # A listener whose queue is full leaves further connections unanswered, as a firewall that drops does.
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        host, port = listener.getsockname()
        waiting = []
        for _ in range(8):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex((host, port))
            waiting.append(filler)
        try:
            assert -0.1 < _seconds_until_interrupted(*manager_and_sockets, f"http://{host}:{port}/") < 1.0
        finally:
            for filler in waiting:
                filler.close()


def test_nothing_connects_after_an_interrupt(silent_server: tuple[str, int]) -> None:
    sockets = LiveSockets()
    sockets.interrupt()

    with pytest.raises(Cancelled):
        sockets.connect(*silent_server, timeout_s=5.0)


def test_a_refused_connection_is_urllib3s_own_error(manager_and_sockets: tuple[PoolManager, LiveSockets]) -> None:
    manager, _sockets = manager_and_sockets
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with pytest.raises(NewConnectionError):
        manager.request("GET", f"http://127.0.0.1:{port}/", retries=NO_RETRIES)


def test_the_address_is_tried_in_all_families(silent_server: tuple[str, int]) -> None:
    _host, port = silent_server
    sockets = LiveSockets()

    with sockets.connect("localhost", port, timeout_s=5.0) as connected:
        assert connected.getpeername()[1] == port
    sockets.close()


def test_an_upload_may_take_longer_than_connecting_as_long_as_it_flows() -> None:
    body = bytes(8 * 1024 * 1024)
    got = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)

        def serve() -> None:
            connection, _peer = listener.accept()
            with connection:
                until = time.monotonic() + 30
                pause = threading.Event()
                while not got.endswith(b"\0" * 1024) or len(got) < len(body):
                    got.extend(connection.recv(256 * 1024))
                    pause.wait(0.02)
                    assert time.monotonic() < until
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        sockets = LiveSockets(stall_timeout_s=20.0)
        manager = PoolManager()
        sockets.install(manager)
        host, port = listener.getsockname()

        timeout = Timeout(connect=0.2, read=20.0)
        response = manager.request("PUT", f"http://{host}:{port}/", body=body, retries=NO_RETRIES, timeout=timeout)

        thread.join(5)
        manager.clear()
        sockets.close()
    assert response.status == 200
    assert len(got) > len(body)
