"""What SFTP version 3 puts on the wire (draft-ietf-secsh-filexfer-02): requests, answers and the facts of a file."""

from __future__ import annotations

import stat
import struct
from dataclasses import dataclass

INIT, VERSION = 1, 2
OPEN, CLOSE, READ, WRITE, LSTAT, FSTAT, SETSTAT, FSETSTAT = 3, 4, 5, 6, 7, 8, 9, 10
OPENDIR, READDIR, REMOVE, MKDIR, RMDIR, REALPATH, STAT, RENAME, READLINK, SYMLINK = (
    11,
    12,
    13,
    14,
    15,
    16,
    17,
    18,
    19,
    20,
)
STATUS, HANDLE, DATA, NAME, ATTRS = 101, 102, 103, 104, 105
EXTENDED, EXTENDED_REPLY = 200, 201

PROTOCOL = 3
FOR_READING, FOR_WRITING, CREATE, EXCLUSIVE = 0x01, 0x02, 0x08, 0x20

POSIX_RENAME = b"posix-rename@openssh.com"
HARD_LINK = b"hardlink@openssh.com"
FSYNC = b"fsync@openssh.com"
FREE_SPACE = b"statvfs@openssh.com"
LIMITS = b"limits@openssh.com"
NAMES_OF_IDS = b"users-groups-by-id@openssh.com"
COPY_DATA = b"copy-data"

_HAS_SIZE, _HAS_OWNER, _HAS_MODE, _HAS_TIMES, _HAS_MORE = 0x1, 0x2, 0x4, 0x8, 0x80000000
_LATEST_S = 2**32 - 1

Argument = int | bytes | memoryview


class Uint64(int):
    """A number of eight bytes; a plain int has four."""


class Packed(bytes):
    """What is put into a request as it is, without a length before it."""


@dataclass(slots=True)
class Attributes:
    """Facts of a file; None is what the server did not tell, or what it shall not change."""

    size: int | None = None
    uid: int | None = None
    gid: int | None = None
    mode: int | None = None
    accessed_s: int | None = None
    modified_s: int | None = None

    @property
    def is_folder(self) -> bool:
        return self.mode is not None and stat.S_ISDIR(self.mode)

    @property
    def is_link(self) -> bool:
        return self.mode is not None and stat.S_ISLNK(self.mode)

    def packed(self) -> Packed:
        """As a request carries them. Times outside of 1970 to 2106 become the nearest that there is."""
        flags, body = 0, b""
        if self.size is not None:
            flags, body = flags | _HAS_SIZE, body + struct.pack(">Q", self.size)
        if self.uid is not None and self.gid is not None:
            flags, body = flags | _HAS_OWNER, body + struct.pack(">II", self.uid, self.gid)
        if self.mode is not None:
            flags, body = flags | _HAS_MODE, body + struct.pack(">I", self.mode)
        if self.modified_s is not None:
            accessed_s = self.modified_s if self.accessed_s is None else self.accessed_s
            times = (min(max(0, seconds), _LATEST_S) for seconds in (accessed_s, self.modified_s))
            flags, body = flags | _HAS_TIMES, body + struct.pack(">II", *times)
        return Packed(struct.pack(">I", flags) + body)


NO_ATTRIBUTES = Attributes().packed()


class Answer:
    """Takes an answer apart, from its start. Raises `struct.error` where it is shorter than it should be."""

    __slots__ = ("_at", "_body")

    def __init__(self, body: bytes, at: int = 0) -> None:
        self._body = body
        self._at = at

    @property
    def has_more(self) -> bool:
        return self._at < len(self._body)

    def uint32(self) -> int:
        value: int = struct.unpack_from(">I", self._body, self._at)[0]
        self._at += 4
        return value

    def uint64(self) -> int:
        value: int = struct.unpack_from(">Q", self._body, self._at)[0]
        self._at += 8
        return value

    def string(self) -> bytes:
        length = self.uint32()
        start = self._at
        self._at += length
        if self._at > len(self._body):
            raise struct.error("a string that is longer than its answer")
        return self._body[start : self._at]

    def rest(self) -> bytes:
        """All that was not taken yet."""
        return self._body[self._at :]

    def attributes(self) -> Attributes:
        flags = self.uint32()
        found = Attributes()
        if flags & _HAS_SIZE:
            found.size = self.uint64()
        if flags & _HAS_OWNER:
            found.uid, found.gid = self.uint32(), self.uint32()
        if flags & _HAS_MODE:
            found.mode = self.uint32()
        if flags & _HAS_TIMES:
            found.accessed_s, found.modified_s = self.uint32(), self.uint32()
        if flags & _HAS_MORE:
            for _pair in range(self.uint32()):
                self.string()
                self.string()
        return found


def request(kind: int, number: int | None, *arguments: Argument) -> list[bytes | memoryview]:
    """The pieces of a whole request. An int is a uint32, a `Uint64` a uint64, bytes are a string with its length."""
    pieces: list[bytes | memoryview] = [b"", bytes((kind,))]
    if number is not None:
        pieces.append(struct.pack(">I", number))
    for argument in arguments:
        if isinstance(argument, Uint64):
            pieces.append(struct.pack(">Q", argument))
        elif isinstance(argument, int):
            pieces.append(struct.pack(">I", argument))
        elif isinstance(argument, Packed):
            pieces.append(argument)
        else:
            pieces += (struct.pack(">I", len(argument)), argument)
    pieces[0] = struct.pack(">I", sum(map(len, pieces)))
    return pieces
