"""A small SFTP server whose ways can be chosen: how it lets one in, what it lacks, what it does badly.

For what OpenSSH cannot be made to do by a user of no rights. Everything else is tested on OpenSSH.
"""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import paramiko
from paramiko.server import InteractiveQuery
from paramiko.sftp import SFTP_FAILURE, SFTP_OK

from tests.servers.process import HOST

USER = "keg"


@dataclass(slots=True)
class Ways:
    """What the server does; may be changed at any time.

    Attributes:
        password: what lets one in; None: no password does.
        methods: told to the client, in the words of the protocol.
        key: a public key that lets one in.
        second_step: a key alone is not enough: the password is wanted as well.
        most_read_bytes: given by one read at most, whatever was asked for.
        room_bytes: writing beyond that much in one file fails.
        renames_over: a plain rename replaces what is there, against the protocol.
        refuse_rename_to: a rename to a path that ends so fails, once for each time it is listed.
        sessions: opened at most on one connection.
        requests: kinds of request that came, by paramiko's name of its handler.
    """

    password: str | None = None
    methods: str = "password"
    key: paramiko.PKey | None = None
    second_step: bool = False
    most_read_bytes: int = 1 << 20
    room_bytes: int | None = None
    renames_over: bool = False
    refuse_rename_to: list[str] = field(default_factory=list)
    sessions: int = 100
    requests: list[str] = field(default_factory=list)


class SftpServerDouble:
    """Listens on a free port and serves a folder. A context manager.

    Args:
        root: what clients see as "/".
        ways: see there.
    """

    def __init__(self, root: Path, ways: Ways) -> None:
        self.root = root
        self.ways = ways
        self.host_key = paramiko.ECDSAKey.generate()
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._transports: list[paramiko.Transport] = []
        self._thread = threading.Thread(target=self._accept, name="sftp-double", daemon=True)

    @property
    def host_key_line(self) -> str:
        return f"[{HOST}]:{self.port} {self.host_key.get_name()} {self.host_key.get_base64()}"

    @property
    def connections(self) -> int:
        return len(self._transports)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for transport in self._transports:
            transport.close()
        self._thread.join(5)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _address = self._listener.accept()
                transport = paramiko.Transport(connection)
                self._transports.append(transport)
                transport.add_server_key(self.host_key)
                transport.set_subsystem_handler("sftp", paramiko.SFTPServer, _Files, self)
                with suppress(paramiko.SSHException, EOFError):
                    transport.start_server(event=threading.Event(), server=_Door(self.ways))


class _Door(paramiko.ServerInterface):
    def __init__(self, ways: Ways) -> None:
        self._ways = ways
        self._has_shown_key = False
        self._sessions = 0

    def get_allowed_auths(self, username: str) -> str:
        return "password" if self._has_shown_key else self._ways.methods

    def check_auth_password(self, username: str, password: str) -> int:
        if "password" not in self._ways.methods and not self._has_shown_key:
            return paramiko.common.AUTH_FAILED
        return self._judge(username, password)

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        if username != USER or key != self._ways.key:
            return paramiko.common.AUTH_FAILED
        if self._ways.second_step:
            self._has_shown_key = True
            return paramiko.common.AUTH_PARTIALLY_SUCCESSFUL
        return paramiko.common.AUTH_SUCCESSFUL

    def check_auth_interactive(self, username: str, submethods: str) -> Any:
        self._asked = username
        return InteractiveQuery("", "", ("Password: ", False))

    def check_auth_interactive_response(self, responses: list[str]) -> int:
        return self._judge(self._asked, responses[0])

    def check_channel_request(self, kind: str, chanid: int) -> int:
        self._sessions += 1
        if self._sessions > self._ways.sessions:
            return paramiko.common.OPEN_FAILED_RESOURCE_SHORTAGE
        return paramiko.common.OPEN_SUCCEEDED

    def _judge(self, username: str, password: str) -> int:
        if username == USER and self._ways.password is not None and password == self._ways.password:
            return paramiko.common.AUTH_SUCCESSFUL
        return paramiko.common.AUTH_FAILED


class _Files(paramiko.SFTPServerInterface):
    def __init__(self, server: paramiko.ServerInterface, double: SftpServerDouble) -> None:
        super().__init__(server)
        self._root = double.root
        self._ways = double.ways

    def _local(self, path: str) -> Path:
        self._ways.requests.append(path)
        return self._root / path.lstrip("/")

    def list_folder(self, path: str) -> Any:
        try:
            return [
                paramiko.SFTPAttributes.from_stat(entry.lstat(), entry.name) for entry in self._local(path).iterdir()
            ]
        except OSError as exc:
            return paramiko.SFTPServer.convert_errno(exc.errno or 0)

    def stat(self, path: str) -> Any:
        try:
            return paramiko.SFTPAttributes.from_stat(self._local(path).stat())
        except OSError as exc:
            return paramiko.SFTPServer.convert_errno(exc.errno or 0)

    def lstat(self, path: str) -> Any:
        try:
            return paramiko.SFTPAttributes.from_stat(self._local(path).lstat())
        except OSError as exc:
            return paramiko.SFTPServer.convert_errno(exc.errno or 0)

    def open(self, path: str, flags: int, attr: paramiko.SFTPAttributes) -> Any:
        try:
            return _Handle(os.open(self._local(path), flags, 0o644), flags, self._ways)
        except OSError as exc:
            return paramiko.SFTPServer.convert_errno(exc.errno or 0)

    def remove(self, path: str) -> int:
        return self._done(lambda: self._local(path).unlink())

    def mkdir(self, path: str, attr: paramiko.SFTPAttributes) -> int:
        return self._done(lambda: self._local(path).mkdir())

    def rmdir(self, path: str) -> int:
        return self._done(lambda: self._local(path).rmdir())

    def rename(self, oldpath: str, newpath: str) -> int:
        for ending in self._ways.refuse_rename_to:
            if newpath.endswith(ending):
                self._ways.refuse_rename_to.remove(ending)
                return SFTP_FAILURE
        if self._local(newpath).exists() and not self._ways.renames_over:
            return SFTP_FAILURE
        return self._done(lambda: self._local(oldpath).rename(self._local(newpath)))

    def _done(self, change: Any) -> int:
        try:
            change()
        except OSError as exc:
            return paramiko.SFTPServer.convert_errno(exc.errno or 0)
        return SFTP_OK


class _Handle(paramiko.SFTPHandle):
    def __init__(self, descriptor: int, flags: int, ways: Ways) -> None:
        super().__init__(flags)
        self._descriptor = descriptor
        self._ways = ways

    def close(self) -> None:
        os.close(self._descriptor)

    def read(self, offset: int, length: int) -> Any:
        return os.pread(self._descriptor, min(length, self._ways.most_read_bytes), offset)

    def write(self, offset: int, data: Any) -> int:
        room = self._ways.room_bytes
        if room is not None and offset + len(data) > room:
            return SFTP_FAILURE
        os.pwrite(self._descriptor, data, offset)
        return SFTP_OK

    def stat(self) -> Any:
        return paramiko.SFTPAttributes.from_stat(os.fstat(self._descriptor))

    def chattr(self, attr: paramiko.SFTPAttributes) -> int:
        if attr.st_mtime is not None:
            os.utime(self._descriptor, (attr.st_atime or 0, attr.st_mtime))
        if attr.st_mode is not None:
            os.fchmod(self._descriptor, attr.st_mode & 0o7777)
        return SFTP_OK
