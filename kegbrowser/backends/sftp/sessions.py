"""The connections to one server: opened when needed, shared by sessions, kept alive, opened again after a loss."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import paramiko

from kegbrowser.backends._sockets import LiveSockets
from kegbrowser.backends.errors import Cancelled, StorageError
from kegbrowser.backends.sftp import wire
from kegbrowser.backends.sftp.client import ChannelClient
from kegbrowser.backends.sftp.connecting import Connection, connect
from kegbrowser.backends.sftp.shell import NoShell, Shell
from kegbrowser.backends.sftp.target import Target
from kegbrowser.backends.sftp.translate import SESSION_ERRORS, SftpStatus, connection_error

log = logging.getLogger(__name__)

ROOM = 8
"""Sessions and shells on one connection; OpenSSH's MaxSessions is 10."""

DOUBT_AFTER_S = 15.0
"""A connection from which nothing came for that long is asked whether it is still there, before it is trusted."""

PROBE_S = 3.0
SWEEP_CONNECT_S, SWEEP_WAIT_S = 5.0, 0.5


class Session(ChannelClient):
    """A client that knows the connection it is on.

    Attributes:
        is_new: it was not used before.
    """

    def __init__(self, channel: paramiko.Channel, connection: Connection) -> None:
        self.connection = connection
        self.is_new = True
        super().__init__(channel)


class Sessions:
    """A pool. Any thread.

    Args:
        target: the server.
        on_opened: called with each new session.
    """

    def __init__(self, target: Target, on_opened: Callable[[Session], None] = lambda session: None) -> None:
        self._target = target
        self._on_opened = on_opened
        self._lock = threading.Lock()
        self._sockets = LiveSockets(stall_timeout_s=target.timeout_s)
        self._connections: list[Connection] = []
        self._idle: list[Session] = []
        self._shells: list[Shell] = []
        self._connections_of_shells: dict[Shell, Connection] = {}
        self._may_have_shell = target.uses_shell
        self._litter: set[bytes] = set()
        self._sweepers: list[threading.Thread] = []

    @property
    def is_interrupted(self) -> bool:
        return self._sockets.is_interrupted

    @contextmanager
    def client(self) -> Iterator[Session]:
        """A session for one thread; given back afterwards, or closed if its connection broke under it."""
        session = self.take()
        try:
            yield session
        except (SftpStatus, StorageError):
            self.give_back(session)
            raise
        except BaseException:
            self.discard(session)
            raise
        else:
            self.give_back(session)

    def take(self) -> Session:
        """A session, to be given back or discarded.

        Raises:
            StorageError: no connection, or not let in.
            Cancelled: interrupted.
        """
        self._sockets.check()
        while (session := self._pop_idle()) is not None:
            if session.is_usable and self._answers(session):
                break
            self.discard(session)
        else:
            try:
                session = self._open()
            except SESSION_ERRORS as exc:
                self._sockets.check()
                raise connection_error(exc, self._target.server) from exc
        self._sweep_with(session)
        return session

    def give_back(self, session: Session) -> None:
        if session.is_usable and not self.is_interrupted:
            session.is_new = False
            with self._lock:
                self._idle.append(session)
            return
        self.discard(session)

    def discard(self, session: Session) -> None:
        """Close a session; and its connection, if that did not say anything for long."""
        connection = session.connection
        with self._lock:
            connection.sessions -= 1
            connection.is_doubted = connection.is_doubted or not session.is_usable
            is_dead = self._is_lost(connection)
            if is_dead and connection in self._connections:
                self._connections.remove(connection)
        if is_dead:
            connection.close()
        else:
            with suppress(*SESSION_ERRORS):
                session.close()

    def take_shell(self) -> Shell | None:
        """A shell of the server, to be given back; None where no usable one answers, which is found out once.

        Raises:
            StorageError: no connection, or not let in.
            Cancelled: interrupted.
        """
        while (known := self._pop_shell()) is not None:
            with self._lock:
                connection = self._connections_of_shells.get(known)
            is_trusted = connection is not None and connection.silent_s < DOUBT_AFTER_S and not connection.is_doubted
            if known.is_usable and is_trusted:
                return known
            self._close_shell(known)
        if not self._may_have_shell:
            return None
        with self.client() as session:
            try:
                return self._open_shell(session.name(wire.REALPATH, b"."))
            except (NoShell, SftpStatus) as exc:
                log.info("no checksums by the server: %r", exc)
                self._may_have_shell = False
            except SESSION_ERRORS as exc:  # also: no room for another session on this connection
                self._sockets.check()
                log.info("no checksums by the server this time: %r", exc)
        return None

    def give_shell_back(self, shell: Shell, *, is_quiet: bool) -> None:
        """`is_quiet`: all that was asked was answered."""
        if is_quiet and shell.is_usable and not self.is_interrupted:
            with self._lock:
                self._shells.append(shell)
        else:
            self._close_shell(shell)

    def throw_away(self, *paths: bytes) -> None:
        """Remove temporary files whose session broke: soon in the background, else before the next use of a session."""
        with self._lock:
            self._litter.update(paths)
            sweeper = threading.Thread(target=self._sweep_apart, name="sftp-sweeper", daemon=True)
            self._sweepers = [one for one in self._sweepers if one.is_alive()] + [sweeper]
        sweeper.start()
        sweeper.join(SWEEP_WAIT_S)

    def pause(self, seconds: float) -> None:
        """Wait; raises `Cancelled` at an interrupt."""
        self._sockets.wait(seconds)

    def interrupt(self) -> None:
        """End everything that is blocked; nothing can be opened any more."""
        self._sockets.interrupt()

    def close(self) -> None:
        """Close all connections and wait for their threads."""
        with self._lock:
            sweepers, self._sweepers = self._sweepers, []
            connections, self._connections = self._connections, []
            self._idle.clear()
            self._shells.clear()
        for sweeper in sweepers:
            sweeper.join(2)
        for connection in connections:
            connection.close()
        self._sockets.close()

    # -- private -----------------------------------------------------------------------------------------------------

    def _open_shell(self, home: bytes) -> Shell:
        connection = self._with_room()
        try:
            channel = connection.open_shell(self._target)
            if channel is None:
                raise NoShell
            try:
                shell = Shell(channel, home)
            except BaseException:
                with suppress(*SESSION_ERRORS):
                    channel.close()
                raise
        except BaseException:
            with self._lock:
                connection.sessions -= 1
            raise
        with self._lock:
            self._connections_of_shells[shell] = connection
        return shell

    def _close_shell(self, shell: Shell) -> None:
        with self._lock:
            connection = self._connections_of_shells.pop(shell, None)
            if connection is not None:
                connection.sessions -= 1
        with suppress(*SESSION_ERRORS):
            shell.close()

    def _pop_shell(self) -> Shell | None:
        with self._lock:
            return self._shells.pop() if self._shells else None

    def _pop_idle(self) -> Session | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _answers(self, session: Session) -> bool:
        """Whether a session that was not heard of for long is still there."""
        connection = session.connection
        if connection.silent_s < DOUBT_AFTER_S and not connection.is_doubted:
            return True
        begun = time.monotonic()
        try:
            with session.patience(min(1.0, PROBE_S / self._target.timeout_s)):
                session.name(wire.REALPATH, b".")
        except SftpStatus:
            pass
        except SESSION_ERRORS:
            self._sockets.check()
            connection.raw.heard_at = begun - 2 * self._target.timeout_s  # it is taken for dead
            return False
        connection.is_doubted = False
        return True

    def _open(self) -> Session:
        with self._lock:
            known = list(self._connections)
        connection = self._with_room()
        try:
            session = self._open_on(connection)
        except paramiko.ChannelException:
            with self._lock:
                others = connection.room = connection.sessions
            if not others:
                raise
            # Fewer sessions than usual are allowed on one connection: use another one.
            session = self._open_on(self._connect())
        except SESSION_ERRORS:
            self._sockets.check()
            if connection not in known:
                raise
            # Mostly it was lost since it was last used, which shows only now: nothing has been asked of it yet. That it is
            # lost may be known only a moment later, so what else runs on it is left alone, but it gets no more sessions.
            if self._is_lost(connection):
                self._forget(connection)
            else:
                with self._lock:
                    connection.room = connection.sessions
            session = self._open_on(self._connect())
        self._on_opened(session)
        return session

    def _is_lost(self, connection: Connection) -> bool:
        """Whether a connection on which something failed is of no more use to its other sessions either."""
        return not connection.is_alive or connection.silent_s > self._target.timeout_s / 2

    def _forget(self, connection: Connection) -> None:
        with self._lock:
            if connection in self._connections:
                self._connections.remove(connection)
        connection.close()

    def _open_on(self, connection: Connection) -> Session:
        try:
            return Session(connection.open_channel(self._target), connection)
        except BaseException:
            with self._lock:
                connection.sessions -= 1
            raise

    def _with_room(self) -> Connection:
        """A connection with a place for a session taken on it."""
        with self._lock:
            useless = [one for one in self._connections if not one.is_alive or _is_forgotten(one)]
            self._connections = [one for one in self._connections if one not in useless]
            for connection in self._connections:
                is_trusted = connection.silent_s < DOUBT_AFTER_S and not connection.is_doubted
                if connection.sessions < connection.room and is_trusted:
                    connection.sessions += 1
                    return connection
        for connection in useless:
            connection.close()
        return self._connect()

    def _connect(self) -> Connection:
        connection = connect(self._target, self._sockets, ROOM)
        connection.sessions = 1
        with self._lock:
            self._connections.append(connection)
        return connection

    def _sweep_with(self, session: Session) -> None:
        if not self._litter:
            return
        with self._lock:
            litter, self._litter = self._litter, set()
        try:
            for _answer in session.gather((wire.REMOVE, path) for path in litter):
                continue
        except SESSION_ERRORS as exc:
            with self._lock:
                self._litter |= litter
            self.discard(session)
            self._sockets.check()
            raise connection_error(exc, self._target.server) from exc

    def _sweep_apart(self) -> None:
        """With a connection of its own, as this pool may be interrupted; tried once."""
        with self._lock:
            litter, self._litter = self._litter, set()
        apart = Sessions(replace(self._target, connect_timeout_s=SWEEP_CONNECT_S, timeout_s=SWEEP_CONNECT_S))
        apart._litter = set(litter)
        try:
            apart.give_back(apart.take())
        except (StorageError, Cancelled):
            with self._lock:
                self._litter |= litter
        finally:
            apart.close()


def _is_forgotten(connection: Connection) -> bool:
    return connection.sessions == 0 and connection.silent_s >= DOUBT_AFTER_S
