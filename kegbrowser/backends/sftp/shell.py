"""A shell on the server that computes checksums, where there is one that answers."""

from __future__ import annotations

import hashlib
import re
import secrets
import zlib
from collections import deque
from collections.abc import Sequence

import paramiko

from kegbrowser.backends.sftp.translate import NotSftp

START_S = 5.0
"""Until a shell has said its first word; login scripts may be slow."""

NOISE_BYTES = 256 * 1024
"""Banners and the like that may come before."""

RECEIVE_BYTES = 64 * 1024
BLOCK_BYTES = 1024 * 1024
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
"""SHA-256 of nothing: of a file that could not be read."""

SLOWEST_BYTES_PER_S = 20 * 1024 * 1024

# CRC-32 is what is known of each part already, and costs next to nothing; but no usual command computes it, save one of Python.
# Each line asks for a file, from where, how much of it (-1: all), and whether it shall be put on the disk (1), and is answered by
# a line. Thus the disk is at work beside the SFTP server, which would do nothing else meanwhile.
_PYTHON = """\
import os,sys,zlib
r=memoryview(bytearray(262144))
print("crc32\\n{mark}-",flush=True)
def c(p,a,n,s):
    v,m=0,n
    with open(bytes.fromhex(p),"rb",0) as f:
        f.seek(a)
        while m:
            k=f.readinto(r[:m] if m>0 else r)
            if not k: break
            v=zlib.crc32(r[:k],v)
            m-=k if m>0 else 0
        if s:
            try: os.fsync(f.fileno())
            except OSError: pass
    return "%08x"%v if m<1 else "-"
for l in sys.stdin:
    w=l.split()
    if len(w)==1: print(w[0],flush=True)
    elif w:
        try: print(c(w[0],int(w[1]),int(w[2]),int(w[3])))
        except Exception: print("-")
"""

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

_START_PYTHON = """\
if has python3; then python3 -I -S -c '{program}'; fi; echo sha256; echo '{mark}-'
"""

_LINE = re.compile(rb"\\?([0-9a-f]{64})(?: .*)?|([0-9a-f]{8})", re.DOTALL)


class NoShell(Exception):
    """None that could be used answers here."""


class Shell:
    """A `sh` on a channel; questions are answered in order. Any one thread at a time.

    Args:
        channel: just opened, nothing started on it.
        home: the login folder, as SFTP knows it: a shell that sees other files than SFTP (a changed root) is of no use.

    Attributes:
        algorithm: of the digests it gives, a key of `ALGORITHMS`.

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
            if b"\n".join(lines) != home:
                raise NoShell
            self._write(_START_PYTHON.format(mark=self._mark, program=_PYTHON.replace("{mark}", self._mark)).encode())
            (algorithm,) = self._until(self._mark.encode() + b"-")
            self.algorithm = algorithm.decode("ascii", "replace")
        except (EOFError, TimeoutError, NotSftp) as exc:
            raise NoShell from exc

    @property
    def is_usable(self) -> bool:
        return not self.channel.closed and self.channel.get_transport().is_active()

    @property
    def is_ready(self) -> bool:
        """Whether something has come that `take` will not have to wait for, at least at first."""
        return bool(self._buffer) or self.channel.recv_ready() or self.channel.closed

    def ask_range(self, path: bytes, offset: int, size: int) -> None:
        """Ask for the digest of a range of a file that was written; both ends are those of whole MiB, or the file's."""
        count = -(-size // BLOCK_BYTES)
        script = b"dd if=%s bs=%d skip=%d count=%d | s" % (_quoted(path), BLOCK_BYTES, offset // BLOCK_BYTES, count)
        self._ask(_wanted(path, offset, size, is_written=True), script)

    def ask_file(self, path: bytes) -> None:
        """Ask for the digest of a whole file."""
        self._ask(_wanted(path, 0, -1), b"s <%s || echo -" % _quoted(path))

    def ask_files(self, paths: Sequence[bytes], *, are_written: bool) -> None:
        """Ask for the digests of many small files in one answer."""
        wanted = b"\n".join(_wanted(path, 0, -1, is_written=are_written) for path in paths)
        self._ask(wanted, b"f " + b" ".join(map(_quoted, paths)))

    def take(self, timeout_s: float) -> list[str]:
        """The answer to the first question that was not answered yet: digests in order; "" for one that failed."""
        self.channel.settimeout(timeout_s)
        lines = self._until(self._asked.popleft())
        found = [_LINE.fullmatch(line) for line in lines if line == b"-" or _LINE.fullmatch(line)]
        digests = ["" if match is None else (match[1] or match[2]).decode() for match in found]
        return ["" if digest == EMPTY else digest for digest in digests]

    def digest_of(self, content: bytes) -> str:
        """What it would say of a file with this content."""
        return f"{zlib.crc32(content):08x}" if self.algorithm == "crc32" else hashlib.sha256(content).hexdigest()

    def close(self) -> None:
        self.channel.close()

    def _ask(self, wanted: bytes, script: bytes) -> None:
        self._number += 1
        end = b"%s-%d" % (self._mark.encode(), self._number)
        self._asked.append(end)
        if self.algorithm == "crc32":
            self._write(b"%s\n%s\n" % (wanted, end))
        else:
            self._write(b"{\n%s\n} </dev/null\necho '%s'\n" % (script, end))

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


def _quoted(path: bytes) -> bytes:
    """A path as one word of the shell, which no program takes for an option."""
    return b"'" + _plain(path).replace(b"'", b"'\\''") + b"'"


def _wanted(path: bytes, offset: int, size: int, *, is_written: bool = False) -> bytes:
    return b"%s %d %d %d" % (_plain(path).hex().encode(), offset, size, is_written)


def _plain(path: bytes) -> bytes:
    return path if path.startswith(b"/") else b"./" + path
