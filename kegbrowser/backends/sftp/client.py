"""One SFTP session: raw names, the server's extensions, many requests in flight."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import paramiko
from paramiko.sftp import int64

from kegbrowser.backends.sftp import wire
from kegbrowser.backends.sftp.packets import send_all
from kegbrowser.backends.sftp.translate import END, OK, NotSftp, SftpEnd, SftpStatus
from kegbrowser.backends.sftp.wire import Answer, Argument, Attributes

SAFE_BYTES = 32_768
"""What every server must take in one request (draft-ietf-secsh-filexfer-02, section 3)."""

MOST_BYTES = 255 * 1024
"""With its head still below the 256 KiB at which OpenSSH ends a session."""

LONGEST_ANSWER = 16 * 1024 * 1024
GATHER_DEPTH = 64
RECEIVE_BYTES = 256 * 1024
OUTBOX_BYTES = 128 * 1024


class Reply:
    """The answer to a request, once it has come. The body of a `DATA` answer is the data itself.

    Attributes:
        owner: whom it concerns; None if somebody waits for it.
    """

    __slots__ = ("__weakref__", "body", "has_come", "kind", "owner")  # paramiko's client holds it weakly

    def __init__(self, owner: object = None) -> None:
        self.kind = 0
        self.body = b""
        self.has_come = False
        self.owner = owner

    def _async_response(self, kind: int, message: paramiko.Message, _number: int) -> None:
        rest = message.get_remainder()
        self.kind, self.body, self.has_come = kind, rest[4:] if kind == wire.DATA else rest, True


class Client(ABC):
    """Used by one thread at a time. Names are bytes here, as they are on the wire.

    Every refusal of the server is raised as `SftpStatus`, the end of a file or folder as `SftpEnd`. Any other exception means
    that the session is of no more use.

    Attributes:
        max_read_bytes, max_write_bytes: the most that one request may ask for, or carry.
        renames_by_link: a plain rename of a file is known to refuse a taken name, in one step.
    """

    renames_by_link = False

    def __init__(self) -> None:
        self.max_read_bytes = SAFE_BYTES
        self.max_write_bytes = SAFE_BYTES
        self._round_trips_s: deque[float] = deque((float("inf"),), maxlen=8)

    @property
    def round_trip_s(self) -> float:
        """The shortest time that one of the last answers took."""
        return min(self._round_trips_s)

    @abstractmethod
    def has(self, extension: bytes) -> bool:
        """Whether the server takes this extended request, as far as is known."""

    @abstractmethod
    def send(self, kind: int, *arguments: Argument) -> Reply:
        """Send one request; its answer is waited for by `wait`."""

    @abstractmethod
    def receive(self) -> None:
        """Take one answer in, whoever waits for it."""

    @abstractmethod
    def receive_ready(self) -> None:
        """Take in what has come already."""

    def wait(self, reply: Reply) -> Answer:
        """The answer to a request; one that is a status other than OK is raised."""
        while not reply.has_come:
            self.receive()
        if reply.kind == wire.STATUS:
            answer = Answer(reply.body)
            code = answer.uint32()
            if code == END:
                raise SftpEnd
            if code != OK:
                raise SftpStatus(code, answer.string().decode("utf-8", "replace") if answer.has_more else "")
        return Answer(reply.body)

    def ask(self, kind: int, *arguments: Argument) -> Answer:
        """Send one request and wait for its answer."""
        begun = time.monotonic()
        reply = self.send(kind, *arguments)
        try:
            return self.wait(reply)
        finally:
            self._round_trips_s.append(time.monotonic() - begun)

    def gather(self, requests: Iterable[tuple[int, *tuple[Argument, ...]]]) -> Iterator[Answer | SftpStatus]:
        """Answers to many requests, in order, many in flight; a refusal is an answer."""
        flying: deque[Reply] = deque()
        for kind, *arguments in requests:
            flying.append(self.send(kind, *arguments))
            if len(flying) >= GATHER_DEPTH:
                yield self.settled(flying.popleft())
        while flying:
            yield self.settled(flying.popleft())

    def settled(self, reply: Reply) -> Answer | SftpStatus:
        """The answer to a request, or its refusal."""
        try:
            return self.wait(reply)
        except SftpStatus as status:
            return status.with_traceback(None)  # kept as a value, it would keep the callers' frames alive

    def extended(self, name: bytes, *arguments: Argument) -> Answer:
        return self.ask(wire.EXTENDED, name, *arguments)

    def attributes(self, request: int, path_or_handle: bytes) -> Attributes:
        """Of STAT, LSTAT or FSTAT."""
        return self.ask(request, path_or_handle).attributes()

    def name(self, request: int, path: bytes) -> bytes:
        """Of REALPATH or READLINK."""
        return one_name(self.ask(request, path))

    def learn_limits(self) -> None:
        """Ask how much the server takes in one request (OpenSSH 8.5 and newer tell)."""
        answer = self.extended(wire.LIMITS)
        answer.uint64()
        self.max_read_bytes = min(answer.uint64(), MOST_BYTES) or SAFE_BYTES
        self.max_write_bytes = min(answer.uint64(), MOST_BYTES) or SAFE_BYTES

    @contextmanager
    def patience(self, factor: float) -> Iterator[None]:
        """Let the server be silent for longer, while it does what may take long."""
        yield


class ChannelClient(Client):
    """The session on a channel on which the subsystem was started.

    Attributes:
        arrived: the answers that have come and have an owner.
        gathers: requests are kept until some are together, or an answer is waited for.

    Raises:
        NotSftp: what answers is something else.
    """

    def __init__(self, channel: paramiko.Channel) -> None:
        super().__init__()
        self.channel = channel
        self.arrived: deque[Reply] = deque()
        self.gathers = False
        self._outbox: list[bytes | memoryview] = []
        self._outbox_bytes = 0
        self._number = 0
        self._waiting: dict[int, Reply] = {}
        self._is_sound = True
        self._chunk = b""
        self._at = 0
        self._extensions = self._greet()
        # OpenSSH's own sftp-server (sftp-server.c, process_rename) links and unlinks.
        version = channel.get_transport().remote_version
        self.renames_by_link = "OpenSSH" in version and self.has(wire.HARD_LINK) and self.has(wire.FSYNC)
        if self.has(wire.LIMITS):
            self.learn_limits()

    @property
    def is_usable(self) -> bool:
        """Whether it can take another request. Answers that nobody waits for any more may still be on their way."""
        return self._is_sound and self.channel.get_transport().is_active() and not self.channel.closed

    def has(self, extension: bytes) -> bool:
        return extension in self._extensions

    def send(self, kind: int, *arguments: Argument) -> Reply:
        return self.send_for(None, kind, *arguments)

    def send_for(self, owner: object, kind: int, *arguments: Argument) -> Reply:
        """Send one request; its answer is put into `arrived` if it has an owner."""
        self._number = (self._number + 1) & 0xFFFFFFFF
        reply = self._waiting[self._number] = Reply(owner)
        self._is_sound = False  # what stops in the middle of a request or an answer cannot go on with another one
        self._write(wire.request(kind, self._number, *arguments))
        self._is_sound = True
        return reply

    def receive(self) -> None:
        self._is_sound = False
        length, kind, number = self._head()
        reply = self._waiting.pop(number, None)
        if reply is None:
            raise NotSftp
        if kind == wire.DATA:
            size = int.from_bytes(self._take(4), "big")
            if size > length - 9:
                raise NotSftp
            reply.body = self._take(size)
            self._take(length - 9 - size)
        else:
            reply.body = self._take(length - 5)
        reply.kind = kind
        reply.has_come = True
        if reply.owner is not None:
            self.arrived.append(reply)
        self._is_sound = True

    def wait_ready(self, timeout_s: float) -> bool:
        """Wait until something has come, or will come no more; whether it has."""
        self.flush()
        return self._at < len(self._chunk) or self.channel.in_buffer.wait_ready(timeout_s)  # type: ignore[attr-defined]

    def flush(self) -> None:
        """Send what was kept."""
        if self._outbox:
            packets, self._outbox, self._outbox_bytes = self._outbox, [], 0
            send_all(self.channel, packets)

    def receive_ready(self) -> None:
        while self._at < len(self._chunk) or self.channel.recv_ready():
            self.receive()

    @contextmanager
    def patience(self, factor: float) -> Iterator[None]:
        usual_s = self.channel.gettimeout()
        self.channel.settimeout(usual_s and usual_s * factor)
        try:
            yield
        finally:
            self.channel.settimeout(usual_s)

    def close(self) -> None:
        self.channel.close()

    def _greet(self) -> dict[bytes, bytes]:
        self._write(wire.request(wire.INIT, None, wire.PROTOCOL))
        length = int.from_bytes(self._take(4), "big")
        if not 5 <= length <= LONGEST_ANSWER or self._take(1)[0] != wire.VERSION:
            raise NotSftp
        answer = Answer(self._take(length - 1))
        answer.uint32()
        extensions = {}
        while answer.has_more:
            name = answer.string()
            extensions[name] = answer.string()
        return extensions

    def _head(self) -> tuple[int, int, int]:
        head = self._take(9)
        length = int.from_bytes(head[:4], "big")
        if not 5 <= length <= LONGEST_ANSWER:
            raise NotSftp
        return length, head[4], int.from_bytes(head[5:], "big")

    def _write(self, packet: list[bytes | memoryview]) -> None:
        if not self.gathers:
            self.flush()
            send_all(self.channel, packet)
            return
        self._outbox += packet
        self._outbox_bytes += sum(map(len, packet))
        if self._outbox_bytes >= OUTBOX_BYTES:
            self.flush()

    def _take(self, count: int) -> bytes:
        pieces: list[bytes] = []
        while count > 0:
            if self._at >= len(self._chunk):
                self.flush()
                self._chunk, self._at = self.channel.recv(RECEIVE_BYTES), 0
                if not self._chunk:
                    raise EOFError
            piece = self._chunk[self._at : self._at + count]
            self._at += len(piece)
            count -= len(piece)
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class BorrowedClient(Client):
    """A session of somebody's paramiko client, which may be used for other things between our requests, in the same thread."""

    def __init__(self, client: paramiko.SFTPClient) -> None:
        super().__init__()
        self._client = client

    def has(self, extension: bytes) -> bool:
        return True  # paramiko does not keep what the server said: it is asked, and refuses

    def send(self, kind: int, *arguments: Argument) -> Reply:
        reply = Reply()
        self._client._async_request(reply, kind, *map(_for_paramiko, arguments))  # type: ignore[attr-defined]
        return reply

    def receive(self) -> None:
        self._client._read_response()  # type: ignore[attr-defined]

    def receive_ready(self) -> None:
        return  # what comes may be an answer to somebody else


def one_name(answer: Answer) -> bytes:
    """The only name of a NAME answer."""
    if answer.uint32() != 1:
        raise NotSftp
    return answer.string()


class _PackedAttributes(paramiko.SFTPAttributes):
    """Attributes as paramiko's client takes them for a request."""

    def __init__(self, packed: bytes) -> None:
        super().__init__()
        self._packed = packed

    def _pack(self, message: paramiko.Message) -> None:
        message.add_bytes(self._packed)


def _for_paramiko(argument: Argument) -> object:
    if isinstance(argument, wire.Uint64):
        return int64(argument)
    if isinstance(argument, wire.Packed):
        return _PackedAttributes(argument)
    return bytes(argument) if isinstance(argument, memoryview) else argument
