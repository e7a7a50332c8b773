"""Connections to one server: opened when needed, shared by channels, kept alive, opened again after a loss."""

from __future__ import annotations

import io
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import paramiko

from kegbrowser.backends._sockets import LiveSockets
from kegbrowser.backends.errors import AuthenticationFailed, NotSupported, StorageError
from kegbrowser.backends.sftp import host_keys
from kegbrowser.backends.sftp.client import WINDOW_BYTES, Client
from kegbrowser.backends.sftp.translate import SftpStatus, connection_error

CHANNELS_PER_CONNECTION = 8
"""OpenSSH's MaxSessions is 10."""

SOCKET_OPTIONS = ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),)
"""Requests are small and wait for nothing: without it each small file costs milliseconds of waiting."""

KEEPALIVE_S = 30
MAX_PACKET_BYTES = 256 * 1024

logging.getLogger("paramiko").setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect and how to get in; secrets do not show in its repr."""

    host: str
    port: int
    username: str
    key_filename: str | None
    known_hosts_files: tuple[str, ...]
    host_key_lines: tuple[str, ...] = ()
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


class Sessions:
    """A pool of clients. Any thread."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._sockets = LiveSockets(stall_timeout_s=target.timeout_s)
        self._connections: list[tuple[paramiko.Transport, int]] = []
        self._idle: list[Client] = []

    @property
    def is_interrupted(self) -> bool:
        return self._sockets.is_interrupted

    @contextmanager
    def client(self) -> Iterator[Client]:
        """A client for one thread; given back afterwards, or closed if its connection broke under it."""
        client = self.take()
        try:
            yield client
        except (SftpStatus, StorageError):
            self.give_back(client)
            raise
        except BaseException:
            self.discard(client)
            raise
        else:
            self.give_back(client)

    def take(self) -> Client:
        """A client, to be given back or discarded.

        Raises:
            StorageError: no connection, or not let in.
            Cancelled: interrupted.
        """
        self._sockets.check()
        with self._lock:
            while self._idle:
                client = self._idle.pop()
                if _is_alive(client):
                    return client
        try:
            return self._open_client()
        except (EOFError, OSError, paramiko.SSHException) as exc:
            self._sockets.check()
            if isinstance(exc, StorageError):
                raise
            raise connection_error(exc, self._target.server) from exc

    def give_back(self, client: Client) -> None:
        with self._lock:
            if _is_alive(client) and not self.is_interrupted:
                self._idle.append(client)
                return
        client.close()

    def discard(self, client: Client) -> None:
        """Close a client that may be in the middle of an answer."""
        with suppress(OSError, EOFError, paramiko.SSHException):
            client.close()

    def interrupt(self) -> None:
        """End everything that is blocked; nothing can be opened any more."""
        self._sockets.interrupt()

    def close(self) -> None:
        """Close all connections and wait for their threads."""
        with self._lock:
            transports = [transport for transport, _count in self._connections]
            self._connections.clear()
            self._idle.clear()
        for transport in transports:
            transport.close()
        self._sockets.close()
        for transport in transports:
            transport.join(2)

    def fresh(self) -> Sessions:
        """Another pool for the same server, for cleaning up after an interrupt; it waits only briefly."""
        target = self._target
        return Sessions(
            Target(
                target.host,
                target.port,
                target.username,
                target.key_filename,
                target.known_hosts_files,
                target.host_key_lines,
                target.allow_agent,
                target.look_for_keys,
                target.password,
                target.passphrase,
                connect_timeout_s=2.0,
                timeout_s=2.0,
            )
        )

    # -- private -----------------------------------------------------------------------------------------------------

    def _open_client(self) -> Client:
        transport = self._transport_with_room()
        try:
            channel = transport.open_session(
                window_size=WINDOW_BYTES, max_packet_size=MAX_PACKET_BYTES, timeout=self._target.connect_timeout_s
            )
        except paramiko.ChannelException:
            # Fewer sessions than usual are allowed on one connection: use another one.
            transport = self._connect()
            with self._lock:
                self._connections.append((transport, 1))
            channel = transport.open_session(window_size=WINDOW_BYTES, max_packet_size=MAX_PACKET_BYTES)
        channel.settimeout(self._target.timeout_s)
        try:
            channel.invoke_subsystem("sftp")
            client = Client(channel)
        except (paramiko.SSHException, EOFError) as exc:
            self._sockets.check()
            if not transport.is_active():
                raise
            channel.close()
            raise NotSupported(
                f"{self._target.server} offers no SFTP.", hint="Ask the owner of the server to allow it for this user."
            ) from exc
        client.learn_limits()
        return client

    def _transport_with_room(self) -> paramiko.Transport:
        with self._lock:
            self._connections = [pair for pair in self._connections if pair[0].is_active()]
            for place, (transport, count) in enumerate(self._connections):
                if count < CHANNELS_PER_CONNECTION:
                    self._connections[place] = (transport, count + 1)
                    return transport
        transport = self._connect()
        with self._lock:
            self._connections.append((transport, 1))
        return transport

    def _connect(self) -> paramiko.Transport:
        target = self._target
        known = host_keys.load_known(target.known_hosts_files, target.host_key_lines)
        raw = self._sockets.connect(
            target.host, target.port, timeout_s=target.connect_timeout_s, socket_options=SOCKET_OPTIONS
        )
        transport = paramiko.Transport(raw)
        try:
            transport.banner_timeout = transport.handshake_timeout = target.connect_timeout_s
            transport.auth_timeout = max(target.connect_timeout_s, 5.0)
            self._prefer(transport, known)
            transport.start_client(timeout=target.connect_timeout_s)
            host_keys.check(known, target.host, target.port, transport.get_remote_server_key())
            self._sign_in(transport)
            transport.set_keepalive(KEEPALIVE_S)
        except BaseException:
            transport.close()
            raise
        return transport

    def _prefer(self, transport: paramiko.Transport, known: paramiko.HostKeys) -> None:
        options = transport.get_security_options()
        fast = [cipher for cipher in ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com") if cipher in options.ciphers]
        options.ciphers = (*fast, *(cipher for cipher in options.ciphers if cipher not in fast))
        types = host_keys.known_types(known, self._target.host, self._target.port)
        if "ssh-rsa" in types:
            types += ["rsa-sha2-512", "rsa-sha2-256"]
        first = [kind for kind in options.key_types if kind in types]
        options.key_types = (*first, *(kind for kind in options.key_types if kind not in first))

    def _sign_in(self, transport: paramiko.Transport) -> None:
        target = self._target
        refusal: BaseException | None = None
        for key in self._keys():
            try:
                transport.auth_publickey(target.username, key)
            except paramiko.AuthenticationException as exc:
                refusal = exc
            if transport.is_authenticated():
                return
        if target.password is not None:
            try:
                transport.auth_password(target.username, target.password)  # falls back to keyboard-interactive itself
            except paramiko.AuthenticationException as exc:
                refusal = exc
        if transport.is_authenticated():
            return
        if refusal is None:
            raise AuthenticationFailed(
                f"There is no password and no key to sign in to {target.server} with.",
                hint="Give the connection a password or a key file, or add a key to the SSH agent.",
            )
        raise self._refused(refusal) from refusal

    def _refused(self, refusal: BaseException) -> StorageError:
        target = self._target
        if isinstance(refusal, paramiko.BadAuthenticationType):
            return connection_error(refusal, target.server)
        what = f"the key “{Path(target.key_filename).name}”" if target.key_filename else "the password or key"
        return AuthenticationFailed(f"{target.server} refused {what} for the user “{target.username}”.")

    def _keys(self) -> Iterator[paramiko.PKey]:
        target = self._target
        if target.key_filename:
            yield load_key(target.key_filename, target.passphrase)
        if target.allow_agent:
            with suppress(paramiko.SSHException, OSError):
                yield from paramiko.Agent().get_keys()
        if target.look_for_keys:
            for name in ("id_ed25519", "id_ecdsa", "id_rsa"):
                path = Path("~/.ssh").expanduser() / name
                if path.is_file():
                    with suppress(AuthenticationFailed):  # one with a passphrase nobody gave
                        yield load_key(str(path), target.passphrase)


def load_key(path: str, passphrase: str | None) -> paramiko.PKey:
    """Read a private key.

    Raises:
        AuthenticationFailed: missing, unreadable, of no known kind, or its passphrase is missing or wrong.
    """
    name = Path(path).name
    try:
        return _load_any(path, passphrase or None)
    except FileNotFoundError as exc:
        raise AuthenticationFailed(f"The key file “{name}” does not exist.", hint="Choose the key file again.") from exc
    except OSError as exc:
        raise AuthenticationFailed(f"The key file “{name}” cannot be read.", hint="Check its permissions.") from exc
    except paramiko.PasswordRequiredException as exc:
        raise AuthenticationFailed(f"The key “{name}” is protected.", hint="Enter its passphrase.") from exc
    except (paramiko.SSHException, ValueError, IndexError) as exc:
        if passphrase:
            text = f"The passphrase of the key “{name}” is wrong, or the file is no private key."
        else:
            text = f"The file “{name}” is no private key, or it is protected by a passphrase."
        raise AuthenticationFailed(text, hint="Check the key file and its passphrase.") from exc


def _load_any(path: str, passphrase: str | None) -> paramiko.PKey:
    """Try each kind of key. paramiko 5.1's own `PKey.from_path` takes no passphrase: it hands text on where bytes are wanted."""
    text = Path(path).read_text("utf-8")
    refusal: paramiko.SSHException | None = None
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            key = kind.from_private_key(io.StringIO(text), passphrase)
        except paramiko.PasswordRequiredException:
            raise
        except paramiko.SSHException as exc:
            refusal = exc
            continue
        certificate = f"{path}-cert.pub"
        if Path(certificate).is_file():
            key.load_certificate(certificate)
        return key
    raise refusal or paramiko.SSHException("No key")


def _is_alive(client: Client) -> bool:
    channel = client.get_channel()
    transport = channel.get_transport() if channel is not None else None
    return channel is not None and transport is not None and transport.is_active() and not channel.closed
