"""One connection to a server: reached, known by its key, signed in to."""

from __future__ import annotations

import getpass
import logging
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import paramiko

from kegbrowser.backends._sockets import LiveSockets
from kegbrowser.backends.errors import AuthenticationFailed, ConnectionLost, NotSupported
from kegbrowser.backends.sftp import host_keys
from kegbrowser.backends.sftp.keys import load_key, usual_keys
from kegbrowser.backends.sftp.pipe import ChunkPipe

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


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect and how to get in; secrets do not show in its repr."""

    host: str
    port: int
    username: str
    key_filename: str | None
    known_hosts_files: tuple[str, ...]
    host_key_lines: tuple[str, ...] = field(default=(), repr=False)
    allow_agent: bool = False
    look_for_keys: bool = False
    password: str | None = field(default=None, repr=False)
    passphrase: str | None = field(default=None, repr=False)
    connect_timeout_s: float = 10.0
    timeout_s: float = 60.0

    @property
    def server(self) -> str:
        """For sentences."""
        return f"{self.host}:{self.port}"

    @property
    def user(self) -> str:
        return self.username or getpass.getuser()


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


class Transport(paramiko.Transport):
    """Remembers why the server ended the connection.

    Attributes:
        farewell: the server's own words; "" if it said nothing.
    """

    farewell = ""

    def _parse_disconnect(self, message: paramiko.Message) -> None:
        message.get_int()
        self.farewell = message.get_string().decode("utf-8", "replace")


@dataclass(slots=True, eq=False)
class Connection:
    """A connection that is signed in.

    Attributes:
        room: how many sessions the server allows on it, as far as is known.
        sessions: how many there are.
    """

    transport: Transport
    raw: PatientSocket
    room: int
    sessions: int = 0

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
        channel = self.transport.open_session(
            window_size=WINDOW_BYTES, max_packet_size=MAX_PACKET_BYTES, timeout=target.timeout_s
        )
        channel.in_buffer = ChunkPipe()  # type: ignore[assignment]
        channel.settimeout(target.timeout_s)
        if not self._start_sftp(channel, target.timeout_s):
            channel.close()
            raise NotSupported(
                f"{target.server} offers no SFTP.", hint="Ask the owner of the server to allow it for this user."
            )
        return channel

    def _start_sftp(self, channel: paramiko.Channel, timeout_s: float) -> bool:
        # paramiko's `invoke_subsystem` waits for ever.
        request = paramiko.Message()
        request.add_byte(paramiko.common.cMSG_CHANNEL_REQUEST)
        request.add_int(channel.remote_chanid)
        request.add_string("subsystem")
        request.add_boolean(True)
        request.add_string("sftp")
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
    transport = Transport(raw)
    try:
        transport.banner_timeout = transport.handshake_timeout = target.connect_timeout_s
        transport.auth_timeout = target.connect_timeout_s * SIGN_IN_FACTOR
        _prefer(transport, host_keys.kinds_of(known))
        _shake_hands(transport, target.connect_timeout_s)
        host_keys.check(known, target.host, target.port, transport.get_remote_server_key())
        _SignIn(target, transport, sockets).run()
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


class _SignIn:
    """Tries what there is: the key file, the agent's keys, the usual keys, the password."""

    def __init__(self, target: Target, transport: Transport, sockets: LiveSockets) -> None:
        self._target = target
        self._transport = transport
        self._sockets = sockets
        self._tried: list[str] = []
        self._accepted: list[str] = []
        self._missing: list[str] = []

    def run(self) -> None:
        """Sign in.

        Raises:
            AuthenticationFailed: nothing of it was accepted, and why.
            ConnectionLost: the connection ended meanwhile.
        """
        target, transport = self._target, self._transport
        with self._keys() as keys:
            for what, key in keys:
                if self._try(what, lambda key=key: transport.auth_publickey(target.user, key)):  # type: ignore[misc]
                    return
        if target.password is not None:
            password = target.password  # paramiko goes on to keyboard-interactive where a server wants that
            if self._try("the password", lambda: transport.auth_password(target.user, password)):
                return
        raise self._refusal()

    def _try(self, what: str, attempt: Callable[[], Sequence[str]]) -> bool:
        self._tried.append(what)
        try:
            missing = attempt()
        except paramiko.BadAuthenticationType as exc:
            self._missing = exc.allowed_types
        except paramiko.AuthenticationException as exc:
            if "timeout" in str(exc):
                raise TimeoutError from exc
        except (paramiko.SSHException, EOFError, OSError):
            if self._transport.is_active():
                raise  # a key that cannot sign, an agent that is gone
        else:
            if self._transport.is_authenticated():
                return True
            self._accepted.append(what)
            self._missing = list(missing or ())
        if not self._transport.is_active():
            self._sockets.check()
            raise self._cut_off()
        return False

    @contextmanager
    def _keys(self) -> Iterator[Iterator[tuple[str, paramiko.PKey]]]:
        agent: paramiko.Agent | None = None
        if self._target.allow_agent:
            with suppress(paramiko.SSHException, OSError):
                agent = paramiko.Agent()
                if isinstance(connection := agent._conn, socket.socket):  # type: ignore[attr-defined]
                    self._sockets.add(connection)  # it may wait for somebody to touch a token
        try:
            yield self._all_keys(agent)
        finally:
            if agent is not None:
                agent.close()

    def _all_keys(self, agent: paramiko.Agent | None) -> Iterator[tuple[str, paramiko.PKey]]:
        target = self._target
        if target.key_filename:
            yield f"the key “{Path(target.key_filename).name}”", load_key(target.key_filename, target.passphrase)
        if agent is not None:
            yield from (("the keys of the SSH agent", key) for key in agent.get_keys())
        if target.look_for_keys:
            yield from (("the keys in ~/.ssh", key) for key in usual_keys(target.passphrase))

    def _cut_off(self) -> AuthenticationFailed | ConnectionLost:
        target = self._target
        if "authentication" in self._transport.farewell.lower():
            many = len(self._tried) > 1
            return AuthenticationFailed(
                f"{target.server} refused the user “{target.user}” after too many tries.",
                hint="Choose the one key file that the server knows." if many else None,
            )
        return ConnectionLost(
            f"{target.server} ended the connection while “{target.user}” signed in.",
            hint="The server may be busy, or may not let this user in.",
        )

    def _refusal(self) -> AuthenticationFailed:
        target = self._target
        if not self._tried:
            what = "the SSH agent holds no key" if target.allow_agent else "there is no password and no key"
            return AuthenticationFailed(
                f"Could not sign in to {target.server}: {what}.",
                hint="Give the connection a password or a key file, or add a key to the SSH agent.",
            )
        tried = " and ".join(dict.fromkeys(self._tried))
        wanted = _words(self._missing)
        if self._accepted:
            return AuthenticationFailed(
                f"{target.server} accepted {' and '.join(dict.fromkeys(self._accepted))}, but wants {wanted} as well.",
                hint="This way of signing in is not supported yet."
                if "password" not in wanted
                else "Give the password.",
            )
        if wanted and "key" in wanted and tried == "the password":
            return AuthenticationFailed(
                f"{target.server} takes no password for the user “{target.user}”: it wants {wanted}.",
                hint="Sign in with a key file or the SSH agent.",
            )
        return AuthenticationFailed(f"{target.server} refused {tried} for the user “{target.user}”.")


def _words(methods: list[str]) -> str:
    names = {"publickey": "a key", "password": "a password", "keyboard-interactive": "answers to questions"}
    return " or ".join(names.get(method, method) for method in methods)
