"""Connections of urllib3 whose sockets can all be shut down at once, so that a blocked request ends within a moment.

`LiveSockets.install(manager)` makes a `urllib3.PoolManager` (botocore's session and requests' `HTTPAdapter` each hold one) open
its connections here. What differs from urllib3's own:

- the address is looked up and connected to in slices, so that `interrupt` ends it as well;
- each socket is known from its birth (also in the TLS handshake) until nobody holds it any more;
- sending has the read timeout for each slice instead of the connect timeout for the whole body: with the usual 10 s a part of
  8 MiB would fail on any line slower than 7 Mbit/s.
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import queue
import selectors
import socket
import threading
import time
import weakref
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, cast

from urllib3 import PoolManager
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import ConnectTimeoutError, LocationParseError, NameResolutionError, NewConnectionError
from urllib3.util.connection import allowed_gai_family

from kegbrowser.backends.errors import Cancelled

SLICE_S = 0.1
"""How often a wait that has no socket yet looks for an interrupt."""

SEND_BYTES = 256 * 1024
"""What must be taken by the other side within one stall timeout."""

_UNDER_WAY = {errno.EINPROGRESS, errno.EWOULDBLOCK, getattr(errno, "WSAEWOULDBLOCK", errno.EWOULDBLOCK)}

_Address = tuple[int, int, int, str, Any]  # as getaddrinfo gives it

# urllib3 logs each request's target at debug, with its query: for a signed link or a SAS that is the secret.
logging.getLogger("urllib3").setLevel(logging.WARNING)


class LiveSockets:
    """All sockets of one backend. Any thread.

    Args:
        stall_timeout_s: how long the other side may take nothing of what is sent.
    """

    def __init__(self, *, stall_timeout_s: float = 60.0) -> None:
        self.stall_timeout_s = stall_timeout_s
        self._lock = threading.Lock()
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._interrupted = threading.Event()

    @property
    def is_interrupted(self) -> bool:
        return self._interrupted.is_set()

    def check(self) -> None:
        """Raise `Cancelled` after an interrupt."""
        if self._interrupted.is_set():
            raise Cancelled

    def wait(self, seconds: float) -> None:
        """Wait, as before another try; raises `Cancelled` at an interrupt."""
        if self._interrupted.wait(seconds):
            raise Cancelled

    def interrupt(self) -> None:
        """Shut all sockets down, now and for good: what is blocked on one ends, and no new one can be made."""
        with self._lock:
            self._interrupted.set()
            for live in list(self._sockets):
                _shut_down(live)

    def close(self) -> None:
        """Close what is still open, when nothing is running any more. The pools of the managers are cleared by their owners."""
        with self._lock:
            left = list(self._sockets)
        for live in left:
            _shut_down(live)
            live.close()

    def add(self, live: socket.socket) -> None:
        """Know a socket from now on.

        Raises:
            Cancelled: interrupted before; the socket is shut down.
        """
        with self._lock:
            if not self._interrupted.is_set():
                self._sockets.add(live)
                return
        _shut_down(live)
        raise Cancelled

    def forget(self, live: socket.socket) -> None:
        with self._lock:
            self._sockets.discard(live)

    def install(self, manager: PoolManager) -> None:
        """Make this manager open all its later connections here, by the classes that it has now. Also for proxy managers."""
        manager.pool_classes_by_scheme = {
            scheme: self._pool_class(pool_class) for scheme, pool_class in manager.pool_classes_by_scheme.items()
        }

    def connect(
        self,
        host: str,
        port: int,
        *,
        timeout_s: float | None,
        source_address: tuple[str, int] | None = None,
        socket_options: Iterable[tuple[int, int, int | bytes]] | None = None,
    ) -> socket.socket:
        """Open a TCP connection to the first address that answers.

        Raises:
            Cancelled: interrupted.
            socket.gaierror: the name is unknown.
            TimeoutError: no answer in `timeout_s` seconds, for all addresses together.
            OSError: refused, no route.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        failure: OSError = OSError(f"No address is known for {host}.")
        for family, kind, protocol, _canonical, address in self._resolve(host, port, deadline):
            self.check()
            fresh = socket.socket(family, kind, protocol)
            try:
                for option in socket_options or ():
                    fresh.setsockopt(*option)
                if source_address:
                    fresh.bind(source_address)
                self._reach(fresh, address, deadline)
                fresh.settimeout(timeout_s)
                self.add(fresh)
            except OSError as exc:
                fresh.close()
                failure = exc
            except Cancelled:
                fresh.close()
                raise
            else:
                return fresh
        raise failure

    def _resolve(self, host: str, port: int, deadline: float | None) -> list[_Address]:
        family = allowed_gai_family()
        try:
            ipaddress.ip_address(host)
        except ValueError:
            pass
        else:
            return cast(list[_Address], socket.getaddrinfo(host, port, family, socket.SOCK_STREAM))
        # A look-up cannot be stopped: it is left behind in its thread.
        answers: queue.SimpleQueue[list[_Address] | OSError] = queue.SimpleQueue()

        def look_up() -> None:
            try:
                answers.put(cast(list[_Address], socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)))
            except OSError as exc:
                answers.put(exc)

        threading.Thread(target=look_up, name="look-up", daemon=True).start()
        while True:
            self.check()
            try:
                answer = answers.get(timeout=_slice(deadline))
            except queue.Empty:
                if deadline is not None and time.monotonic() >= deadline:
                    raise TimeoutError(f"Looking up {host} takes too long.") from None
                continue
            if isinstance(answer, OSError):
                raise answer
            return answer

    def _reach(self, fresh: socket.socket, address: Any, deadline: float | None) -> None:
        fresh.setblocking(False)
        code = fresh.connect_ex(address)
        if code in _UNDER_WAY:
            with selectors.DefaultSelector() as selector:
                selector.register(fresh, selectors.EVENT_WRITE)
                while not selector.select(_slice(deadline)):
                    self.check()
                    if deadline is not None and time.monotonic() >= deadline:
                        raise TimeoutError("Connecting takes too long.")
            code = fresh.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))

    def _pool_class(self, base: type[HTTPConnectionPool]) -> type[HTTPConnectionPool]:
        connection_class = type(
            f"Live{base.ConnectionCls.__name__}", (_LiveConnection, base.ConnectionCls), {"live_sockets": self}
        )
        return type(f"Live{base.__name__}", (base,), {"ConnectionCls": connection_class})


class _LiveConnection(HTTPConnection):
    """Mixed in before a connection class of urllib3 or botocore."""

    live_sockets: LiveSockets
    _before_tls: socket.socket | None = None

    def _new_conn(self) -> socket.socket:
        # `_dns_host` keeps the last dot of a full name, which `host` does not.
        host = self._dns_host.strip("[]")
        timeout_s = self.timeout
        try:
            host.encode("idna")
        except UnicodeError:
            raise LocationParseError(f"'{host}', label empty or too long") from None
        try:
            fresh = self.live_sockets.connect(
                host,
                self.port,
                timeout_s=timeout_s,
                source_address=self.source_address,
                socket_options=self.socket_options,
            )
        except socket.gaierror as exc:
            raise NameResolutionError(self.host, self, exc) from exc
        except TimeoutError as exc:
            raise ConnectTimeoutError(self, f"Connecting to {self.host} takes longer than {timeout_s} s.") from exc
        except OSError as exc:
            raise NewConnectionError(self, f"Failed to establish a new connection: {exc}") from exc
        # The TLS layer takes the descriptor away from `fresh`: through the handshake its twin stands for it.
        self._before_tls = fresh.dup()
        try:
            self.live_sockets.add(self._before_tls)
        except Cancelled:
            fresh.close()
            raise
        return fresh

    def connect(self) -> None:
        try:
            super().connect()
            self.live_sockets.add(self.sock)
            self.sock.settimeout(self.live_sockets.stall_timeout_s)
        finally:
            twin, self._before_tls = self._before_tls, None
            if twin is not None:
                self.live_sockets.forget(twin)
                twin.close()

    def send(self, data: Any) -> None:
        if not isinstance(data, (bytes, bytearray, memoryview)) or len(data) <= SEND_BYTES:
            super().send(data)
            return
        rest = memoryview(data).cast("B")
        for start in range(0, len(rest), SEND_BYTES):
            super().send(rest[start : start + SEND_BYTES])


def _slice(deadline: float | None) -> float:
    return SLICE_S if deadline is None else min(SLICE_S, max(0.0, deadline - time.monotonic()))


def _shut_down(live: socket.socket) -> None:
    # Not `SSLSocket.shutdown`: that also takes the TLS state away under the thread that is reading.
    with suppress(OSError):
        socket.socket.shutdown(live, socket.SHUT_RDWR)
