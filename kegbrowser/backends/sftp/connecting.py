"""One connection to a server: reached, known by its key, signed in to."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import paramiko

from kegbrowser.backends._sockets import LiveSockets
from kegbrowser.backends.errors import NotSupported
from kegbrowser.backends.sftp import host_keys
from kegbrowser.backends.sftp.packets import GatheringPacketizer
from kegbrowser.backends.sftp.pipe import ChunkPipe
from kegbrowser.backends.sftp.shell import START_S
from kegbrowser.backends.sftp.signing_in import SignIn, Transport
from kegbrowser.backends.sftp.target import Target

KEEPALIVE_S = 30
WINDOW_BYTES = 16 * 1024 * 1024
"""Of a channel. What can come at once is bounded by the requests in flight, which are fewer."""

MAX_PACKET_BYTES = 256 * 1024
FAST_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
SIGN_IN_FACTOR = 3
"""How much longer than the connection itself a sign-in may take: servers ask directories, and wait after a wrong password."""

# Requests are small and must not wait for the one before to be acknowledged: without it each small file takes 5 ms, not 1.
_OPTIONS = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]

logging.getLogger("paramiko").setLevel(logging.CRITICAL)


class PatientSocket(socket.socket):
    """A socket whose other side may take nothing for a while, but not for ever. paramiko itself would try for ever.

    Attributes:
        heard_at: when something last came, on `time.monotonic`'s clock.
    """

    heard_at = 0.0
    stall_s = 60.0
    _sent_at = 0.0
    _is_stuck = False

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        data = super().recv(size, flags)
        self.heard_at = time.monotonic()
        return data

    def send(self, data: object, flags: int = 0, /) -> int:
        try:
            sent = super().send(data, flags)  # type: ignore[arg-type]
        except TimeoutError:
            now = time.monotonic()
            if not self._is_stuck:
                self._is_stuck, self._sent_at = True, now
            if now - self._sent_at > self.stall_s:
                raise ConnectionAbortedError("The other side takes nothing.") from None
            raise
        self._is_stuck = False
        return sent


@dataclass(slots=True, eq=False)
class Connection:
    """A connection that is signed in.

    Attributes:
        room: how many sessions the server allows on it, as far as is known.
        sessions: how many there are.
        is_doubted: something broke on it: whether it is still there must be asked before it is trusted.
    """

    transport: Transport
    raw: PatientSocket
    room: int
    sessions: int = 0
    is_doubted: bool = False

    @property
    def is_alive(self) -> bool:
        return self.transport.is_active()

    @property
    def silent_s(self) -> float:
        return time.monotonic() - self.raw.heard_at

    def open_channel(self, target: Target) -> paramiko.Channel:
        """A channel on which SFTP is started.

        Raises:
            paramiko.ChannelException: the server opens no further one here.
            NotSupported: the server has no SFTP.
        """
        channel = self._new_channel(target)
        if not self._start(channel, "subsystem", "sftp", target.timeout_s):
            channel.close()
            raise NotSupported(
                f"{target.server} offers no SFTP.", hint="Ask the owner of the server to allow it for this user."
            )
        return channel

    def open_shell(self, target: Target) -> paramiko.Channel | None:
        """A channel on which `sh` was started, or what the server runs instead; None if it refused."""
        channel = self._new_channel(target)
        if self._start(channel, "exec", "exec sh", min(START_S, target.timeout_s)):
            return channel
        channel.close()
        return None

    def _new_channel(self, target: Target) -> paramiko.Channel:
        channel = self.transport.open_session(
            window_size=WINDOW_BYTES, max_packet_size=MAX_PACKET_BYTES, timeout=target.timeout_s
        )
        channel.in_buffer = ChunkPipe()  # type: ignore[assignment]
        channel.settimeout(target.timeout_s)
        return channel

    def _start(self, channel: paramiko.Channel, kind: str, what: str, timeout_s: float) -> bool:
        # paramiko's `invoke_subsystem` and `exec_command` wait for ever.
        request = paramiko.Message()
        request.add_byte(paramiko.common.cMSG_CHANNEL_REQUEST)
        request.add_int(channel.remote_chanid)
        request.add_string(kind)
        request.add_boolean(True)
        request.add_string(what)
        channel._event_pending()  # type: ignore[attr-defined]
        self.transport._send_user_message(request)  # type: ignore[attr-defined]
        if not channel.event.wait(timeout_s):
            raise TimeoutError
        if not self.is_alive:
            raise EOFError
        return bool(channel.event_ready)

    def close(self) -> None:
        _close(self.transport, self.raw)


def connect(target: Target, sockets: LiveSockets, room: int) -> Connection:
    """Reach the server, check its host key, sign in.

    Raises:
        UnknownHostKey, HostKeyChanged: see `host_keys.check`; nothing secret was sent.
        AuthenticationFailed: not let in.
        OSError, EOFError, paramiko.SSHException: no connection.
    """
    known = host_keys.known_keys(target.known_hosts_files, target.host_key_lines, target.host, target.port)
    raw = _reach(target, sockets)
    transport = Transport(raw, packetizer_class=GatheringPacketizer)
    try:
        transport.banner_timeout = transport.handshake_timeout = target.connect_timeout_s
        transport.auth_timeout = target.connect_timeout_s * SIGN_IN_FACTOR
        _prefer(transport, host_keys.kinds_of(known))
        _shake_hands(transport, target.connect_timeout_s)
        host_keys.check(known, target.host, target.port, transport.get_remote_server_key())
        SignIn(target, transport, sockets).run()
        transport.set_keepalive(KEEPALIVE_S)
    except BaseException:
        _close(transport, raw)
        raise
    return Connection(transport, raw, room)


def _reach(target: Target, sockets: LiveSockets) -> PatientSocket:
    plain = sockets.connect(target.host, target.port, timeout_s=target.connect_timeout_s, socket_options=_OPTIONS)
    raw = PatientSocket(plain.family, plain.type, plain.proto, fileno=plain.detach())
    sockets.forget(plain)
    raw.stall_s, raw.heard_at = target.timeout_s, time.monotonic()
    try:
        sockets.add(raw)
        with suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):  # a peer that is gone is noticed also while nothing is asked of it
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(2000 * max(target.timeout_s, 30)))
    except BaseException:
        raw.close()
        raise
    return raw


def _shake_hands(transport: Transport, timeout_s: float) -> None:
    try:
        transport.start_client(timeout=timeout_s)
    except (EOFError, OSError, paramiko.SSHException) as exc:
        if not transport.remote_version:
            raise paramiko.SSHException("no banner") from exc
        raise
    if not transport.initial_kex_done:
        raise TimeoutError


def _prefer(transport: Transport, kinds: list[str]) -> None:
    options = transport.get_security_options()
    options.ciphers = _first(options.ciphers, FAST_CIPHERS)
    options.key_types = _first(options.key_types, kinds)


def _first(all_of_them: Sequence[str], preferred: Sequence[str]) -> tuple[str, ...]:
    front = [one for one in preferred if one in all_of_them]
    return (*dict.fromkeys(front), *(one for one in all_of_them if one not in front))


def _close(transport: Transport, raw: PatientSocket) -> None:
    transport.close()
    raw.close()
    with suppress(RuntimeError):  # never started
        transport.join(2)
