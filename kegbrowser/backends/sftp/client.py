"""One SFTP session on a channel: raw names, the server's extensions, many requests in flight."""

from __future__ import annotations

import stat
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import paramiko
from paramiko.message import Message
from paramiko.sftp import (
    CMD_ATTRS,
    CMD_EXTENDED,
    CMD_EXTENDED_REPLY,
    CMD_HANDLE,
    CMD_INIT,
    CMD_NAME,
    CMD_OPENDIR,
    CMD_READDIR,
    CMD_STATUS,
    CMD_VERSION,
    SFTP_EOF,
    SFTP_OK,
    SFTPError,
)

from kegbrowser.backends.sftp.translate import SftpStatus

SAFE_BYTES = 32_768
"""What every server must take in one request (draft-ietf-secsh-filexfer-02, section 3)."""

WINDOW_BYTES = 2 * 1024 * 1024
"""Of the channel. A larger one makes paramiko slower."""

READ_AHEAD_LISTS = 4
GATHER_DEPTH = 64


class Client(paramiko.SFTPClient):
    """Used by one thread at a time. Names are bytes here, as they are on the wire.

    Raises `SftpStatus` for every refusal of the server, EOFError at the end of something.
    """

    extensions: dict[str, bytes]
    max_read_bytes = SAFE_BYTES
    max_write_bytes = SAFE_BYTES

    def learn_limits(self) -> None:
        """Ask how much the server takes in one request (limits@openssh.com; OpenSSH 8.5 and newer)."""
        if "limits@openssh.com" not in self.extensions:
            return
        kind, answer = self.ask(CMD_EXTENDED, b"limits@openssh.com")
        if kind == CMD_EXTENDED_REPLY:
            _packet, read, write, _handles = (answer.get_int64() for _ in range(4))
            self.max_read_bytes = min(read, 255 * 1024) or SAFE_BYTES
            self.max_write_bytes = min(write, 255 * 1024) or SAFE_BYTES

    def ask(self, kind: int, *arguments: Any) -> tuple[int, Message]:
        """Send one request and wait for its answer."""
        result: tuple[int, Message] = self._request(kind, *arguments)  # type: ignore[attr-defined]
        return result

    def send(self, kind: int, *arguments: Any) -> Reply:
        """Send one request; its answer is waited for by `wait`."""
        reply = Reply()
        self._async_request(reply, kind, *arguments)  # type: ignore[attr-defined]
        return reply

    def wait(self, reply: Reply) -> tuple[int, Message]:
        """The answer to a request that was sent; a refusal is raised."""
        while reply.message is None:
            self._read_response()  # type: ignore[attr-defined]
        if reply.kind == CMD_STATUS:
            self._convert_status(reply.message)
        return reply.kind, reply.message

    def gather(self, requests: Iterable[tuple[Any, ...]]) -> Iterator[tuple[int, Message] | OSError]:
        """Answers to many requests, in order, many in flight; a refusal is an answer."""
        flying: deque[Reply] = deque()
        for request in requests:
            flying.append(self.send(*request))
            if len(flying) >= GATHER_DEPTH:
                yield self._settled(flying.popleft())
        while flying:
            yield self._settled(flying.popleft())

    def open_folder(self, path: bytes) -> bytes:
        kind, answer = self.ask(CMD_OPENDIR, path)
        return _handle(kind, answer)

    def read_folder(self, handle: bytes) -> Iterator[list[tuple[bytes, bytes, paramiko.SFTPAttributes]]]:
        """Batches of (name, long name, attributes) as the server gives them, some requests ahead."""
        flying = deque(self.send(CMD_READDIR, handle) for _ in range(READ_AHEAD_LISTS))
        try:
            while flying:
                kind, answer = self.wait(flying.popleft())
                if kind != CMD_NAME:
                    raise SFTPError("Expected names")
                flying.append(self.send(CMD_READDIR, handle))
                yield [self._name(answer) for _ in range(answer.get_int())]
        except EOFError:
            for _rest in (self._settled(reply) for reply in flying):
                continue

    def attributes(self, request: int, path_or_handle: bytes) -> paramiko.SFTPAttributes:
        """Of CMD_STAT, CMD_LSTAT or CMD_FSTAT."""
        kind, answer = self.ask(request, path_or_handle)
        if kind != CMD_ATTRS:
            raise SFTPError("Expected attributes")
        return paramiko.SFTPAttributes._from_msg(answer)  # type: ignore[attr-defined, no-any-return]

    def real_path(self, request: int, path: bytes) -> bytes:
        """Of CMD_REALPATH or CMD_READLINK."""
        kind, answer = self.ask(request, path)
        if kind != CMD_NAME or answer.get_int() != 1:
            raise SFTPError("Expected one name")
        name: bytes = answer.get_string()
        return name

    def extended(self, name: bytes, *arguments: Any) -> tuple[int, Message]:
        return self.ask(CMD_EXTENDED, name, *arguments)

    def _settled(self, reply: Reply) -> tuple[int, Message] | OSError:
        try:
            return self.wait(reply)
        except EOFError:
            return OSError("end")
        except SftpStatus as status:
            return status

    def _name(self, answer: Message) -> tuple[bytes, bytes, paramiko.SFTPAttributes]:
        name, long_name = answer.get_string(), answer.get_string()
        return name, long_name, paramiko.SFTPAttributes._from_msg(answer)  # type: ignore[attr-defined]

    # -- paramiko's own inner methods, which others of its methods call ------------------------------------------------

    def _send_version(self) -> int:
        hello = Message()
        hello.add_int(3)
        self._send_packet(CMD_INIT, hello)  # type: ignore[attr-defined]
        kind, data = self._read_packet()  # type: ignore[attr-defined]
        if kind != CMD_VERSION:
            raise SFTPError("Incompatible sftp protocol")
        answer = Message(data)
        version = answer.get_int()
        self.extensions = {}
        while answer.get_remainder():
            name = answer.get_string().decode("utf-8", "replace")
            self.extensions[name] = answer.get_string()
        return version

    def _convert_status(self, msg: Message) -> None:
        code = msg.get_int()
        if code == SFTP_EOF:
            raise EOFError
        if code != SFTP_OK:
            raise SftpStatus(code, msg.get_string().decode("utf-8", "replace"))

    def _read_all(self, n: int) -> bytes:
        pieces: list[bytes] = []
        while n > 0:
            piece = self.sock.recv(n)
            if not piece:
                raise EOFError
            pieces.append(piece)
            n -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class Reply:
    """The answer to a request, once it has come."""

    __slots__ = ("__weakref__", "kind", "message")  # paramiko holds it weakly

    def __init__(self) -> None:
        self.kind = 0
        self.message: Message | None = None

    def _async_response(self, kind: int, message: Message, _number: int) -> None:
        self.kind, self.message = kind, message


def open_handle(client: Client, request: int, path: bytes, flags: int, attributes: paramiko.SFTPAttributes) -> bytes:
    """Open a file and give its handle."""
    kind, answer = client.ask(request, path, flags, attributes)
    return _handle(kind, answer)


def is_folder(attributes: paramiko.SFTPAttributes) -> bool:
    return attributes.st_mode is not None and stat.S_ISDIR(attributes.st_mode)


def is_link(attributes: paramiko.SFTPAttributes) -> bool:
    return attributes.st_mode is not None and stat.S_ISLNK(attributes.st_mode)


def _handle(kind: int, answer: Message) -> bytes:
    if kind != CMD_HANDLE:
        raise SFTPError("Expected a handle")
    handle: bytes = answer.get_string()
    return handle
