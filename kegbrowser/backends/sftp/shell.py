"""A shell on the server that computes checksums, where there is one that answers."""

from __future__ import annotations

import re
import secrets
from collections import deque
from collections.abc import Sequence

import paramiko

from kegbrowser.backends.sftp.translate import NotSftp

START_S = 8.0
"""Until a shell has said its first word; login scripts may be slow."""

NOISE_BYTES = 256 * 1024
"""Banners and the like that may come before."""

RECEIVE_BYTES = 64 * 1024
BLOCK_BYTES = 1024 * 1024
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
"""SHA-256 of nothing: of a file that could not be read."""

SLOWEST_BYTES_PER_S = 20 * 1024 * 1024

# `f` hashes files by name, `s` its input; of several programs the one that is quick for it. All give "digest, space, name", and
# those that are asked with names escape what would break the line ("\" first), or else are noticed by the count of lines.
_START = """\
exec 2>/dev/null
LC_ALL=C; export LC_ALL; PATH="$PATH:/usr/local/bin:/usr/bin:/bin:/sbin"; export PATH
has() {{ command -v "$1" >/dev/null; }}
if has sha256sum; then f() {{ sha256sum "$@"; }}
elif has shasum; then f() {{ shasum -a 256 "$@"; }}
elif has openssl; then f() {{ openssl dgst -sha256 -r "$@"; }}
elif has sha256; then f() {{ sha256 -r "$@"; }}
else exit; fi
if has openssl && echo | openssl dgst -sha256 -r | grep -q '^01ba4719c80b6fe911b091a7c05124b6'; then
s() {{ openssl dgst -sha256 -r; }}
else s() {{ f; }}; fi
echo | s | grep -q '^01ba4719c80b6fe911b091a7c05124b6' || exit
printf '\\n%s\\n' '{mark}'; pwd -P; echo '{mark}.'
"""

_LINE = re.compile(rb"\\?([0-9a-f]{64})(?: .*)?", re.DOTALL)


class NoShell(Exception):
    """None that could be used answers here."""


class Shell:
    """A `sh` on a channel; questions are answered in order. Any one thread at a time.

    Args:
        channel: just opened, nothing started on it.
        home: the login folder, as SFTP knows it: a shell that sees other files than SFTP (a changed root) is of no use.

    Raises:
        NoShell: no such shell.
        OSError, EOFError, paramiko.SSHException: the connection broke.
    """

    def __init__(self, channel: paramiko.Channel, home: bytes) -> None:
        self.channel = channel
        self._mark = f"keg-{secrets.token_hex(12)}"
        self._buffer = b""
        self._number = 0
        self._asked: deque[bytes] = deque()
        channel.settimeout(START_S)
        try:
            # What is no shell (a forced internal-sftp) takes this for a packet of absurd length, and ends at once.
            self._write(_START.format(mark=self._mark).encode())
            self._until(self._mark.encode())
            lines = self._until(self._mark.encode() + b".")
        except (EOFError, TimeoutError, NotSftp) as exc:
            raise NoShell from exc
        if b"\n".join(lines) != home:
            raise NoShell

    @property
    def is_usable(self) -> bool:
        return not self.channel.closed and self.channel.get_transport().is_active()

    @property
    def is_ready(self) -> bool:
        """Whether something has come that `take` will not have to wait for, at least at first."""
        return bool(self._buffer) or self.channel.recv_ready() or self.channel.closed

    def ask(self, script: bytes) -> None:
        """Have some commands carried out; `take` gives what they print."""
        self._number += 1
        end = b"%s-%d" % (self._mark.encode(), self._number)
        self._asked.append(end)
        self._write(b"{\n%s\n} </dev/null\necho '%s'\n" % (script, end))

    def take(self, timeout_s: float) -> list[bytes]:
        """The lines of the answer to the first question that was not answered yet."""
        self.channel.settimeout(timeout_s)
        return self._until(self._asked.popleft())

    def close(self) -> None:
        self.channel.close()

    def _write(self, text: bytes) -> None:
        self.channel.sendall(text)

    def _until(self, mark: bytes) -> list[bytes]:
        lines: list[bytes] = []
        taken = 0
        while True:
            line, newline, rest = self._buffer.partition(b"\n")
            if not newline:
                piece = self.channel.recv(RECEIVE_BYTES)
                taken += len(piece)
                if not piece:
                    raise EOFError
                if taken > NOISE_BYTES and not self._asked and self._number == 0:
                    raise NotSftp
                self._buffer += piece
                continue
            self._buffer = rest
            if line == mark:
                return lines
            lines.append(line)


def quoted(path: bytes) -> bytes:
    """A path as one word of the shell, which no program takes for an option."""
    bare = path if path.startswith(b"/") else b"./" + path
    return b"'" + bare.replace(b"'", b"'\\''") + b"'"


def hash_range(offset: int, size: int, path: bytes) -> bytes:
    """The script for a range of a file; both ends are those of whole blocks, or the file's."""
    count = -(-size // BLOCK_BYTES)
    return b"dd if=%s bs=%d skip=%d count=%d | s" % (quoted(path), BLOCK_BYTES, offset // BLOCK_BYTES, count)


def hash_file(path: bytes) -> bytes:
    """The script for one file."""
    return b"s <%s || echo -" % quoted(path)


def hash_files(paths: Sequence[bytes]) -> bytes:
    """The script for many small ones."""
    return b"f " + b" ".join(map(quoted, paths))


def digests_in(lines: Sequence[bytes]) -> list[str]:
    """The digests that were printed, in order; "" for one that could not be computed."""
    found = [_LINE.fullmatch(line) for line in lines if line == b"-" or _LINE.fullmatch(line)]
    return ["" if match is None or match[1].decode() == EMPTY else match[1].decode() for match in found]
