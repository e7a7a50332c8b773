"""Checksums that the server computes: of a file when asked, and of each part of an upload while the next ones are sent."""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Mapping

from kegbrowser.backends.errors import Cancelled, CheckFailed, IsAFolder, SourceChanged, StorageError
from kegbrowser.backends.proofs import ALGORITHMS, Digests, Proof
from kegbrowser.backends.sftp import wire
from kegbrowser.backends.sftp.sessions import Sessions
from kegbrowser.backends.sftp.shell import SLOWEST_BYTES_PER_S, Shell
from kegbrowser.backends.sftp.streams import mark_of
from kegbrowser.backends.sftp.translate import SESSION_ERRORS, shown
from kegbrowser.backends.uploads import Part

NO_CHECKSUMS = "the server computes no checksums"
ANSWER_S = 60.0


def digests(sessions: Sessions, real: bytes, path: str, etag: str) -> Digests:
    """See `StorageBackend.digests`."""
    with sessions.client() as client:
        before = client.attributes(wire.STAT, real)
    if before.is_folder:
        raise IsAFolder(f"“{shown(path)}” is a folder.", path=path)
    if etag not in ("", mark_of(before)):
        raise SourceChanged(f"“{shown(path)}” has changed.", path=path)
    algorithm, digest = _digest(sessions, real, before.size or 0)
    if not digest:
        return Digests(reason=NO_CHECKSUMS)
    with sessions.client() as client:
        if mark_of(client.attributes(wire.STAT, real)) != mark_of(before):
            raise SourceChanged(f"“{shown(path)}” changed while it was checked.", path=path)
    return Digests({algorithm: digest}, "")


def _digest(sessions: Sessions, real: bytes, size: int) -> tuple[str, str]:
    """The algorithm and the digest; "" if the server does not tell."""
    shell = sessions.take_shell()
    if shell is None:
        return "", ""
    is_quiet = False
    try:
        shell.ask_file(real)
        found = shell.take(_patience_s(size))
        is_quiet = True
    except SESSION_ERRORS:
        return "", ""
    finally:
        sessions.give_shell_back(shell, is_quiet=is_quiet)
    if size == 0:
        return shell.algorithm, shell.digest_of(b"")
    return shell.algorithm, found[0] if len(found) == 1 else ""


class PartChecks:
    """Has the server hash each part of a temporary file, and compares. Any thread.

    Args:
        name: of the temporary file.
        part_bytes: length of a part, in whole MiB.
    """

    def __init__(self, sessions: Sessions, name: bytes, part_bytes: int) -> None:
        self._sessions = sessions
        self._name = name
        self._part_bytes = part_bytes
        self._lock = threading.Lock()
        self._shell: Shell | None = None
        self._reason = ""
        self._algorithm = ""
        self._asked: deque[Part] = deque()
        self._results: dict[int, str] = {}
        # A shell takes a tenth of a second to start: meanwhile the first part can be sent.
        self._starter = threading.Thread(target=self._start, name="sftp-shell", daemon=True)
        self._starter.start()

    @property
    def algorithm(self) -> str:
        """What is compared, as far as is known; "" for nothing. Looks for a shell at first."""
        with self._lock:
            shell = self._found()
            return "" if shell is None else shell.algorithm

    def tag_of(self, content: memoryview) -> str:
        """What `Part.tag` needs to be for a part to be compared: nothing if its CRC-32 is."""
        return hashlib.sha256(content).hexdigest() if self.algorithm == "sha256" else ""

    def ask(self, part: Part) -> None:
        """Have a part hashed that is there now."""
        with self._lock:
            shell = self._found()
            if shell is None:
                return
            try:
                shell.ask_range(self._name, part.number * self._part_bytes, part.size)
                self._asked.append(part)
                while self._asked and shell.is_ready:
                    self._take(shell)
            except SESSION_ERRORS:
                self._give_up()

    def true_ones(self, parts: Mapping[int, Part]) -> dict[int, Part]:
        """Those of the parts that the server finds to be what their tags say, or cannot tell."""
        for part in parts.values():
            self.ask(part)
        self._take_all()
        return {number: part for number, part in parts.items() if self._is_as_told(part)}

    def prove(self, parts: Mapping[int, Part], path: str) -> Proof:
        """Say what is known of all the parts.

        Raises:
            CheckFailed: one is not what was sent.
        """
        self._take_all()
        if not all(map(self._is_as_told, parts.values())):
            raise CheckFailed(f"“{shown(path)}” did not arrive as it was sent: the checksum differs.", path=path)
        if self._reason:
            return Proof.size_only(self._reason)
        if any(number not in self._results for number in parts):
            return Proof.size_only("the server computed no checksum of a part of it")
        return Proof.verified(ALGORITHMS[self._algorithm] if self._algorithm else "CRC-32")

    def close(self) -> None:
        """Give the shell back."""
        self._starter.join()
        with self._lock:
            shell, self._shell = self._shell, None
            self._reason = self._reason or NO_CHECKSUMS
        if shell is not None:
            self._sessions.give_shell_back(shell, is_quiet=not self._asked)

    def _start(self) -> None:
        with self._lock:
            self._found()

    def _is_as_told(self, part: Part) -> bool:
        """Whether the server has not found a part to be something else."""
        told = self._results.get(part.number)
        expected = f"{part.crc32:08x}" if self._algorithm == "crc32" else part.tag
        return told is None or told == expected

    def _found(self) -> Shell | None:
        if self._shell is None and not self._reason:
            try:
                self._shell = self._sessions.take_shell()
            except (StorageError, Cancelled):
                self._shell = None
            if self._shell is None:
                self._reason = NO_CHECKSUMS
            else:
                self._algorithm = self._shell.algorithm
        return self._shell

    def _take_all(self) -> None:
        with self._lock:
            shell = self._shell
            try:
                while self._asked and shell is not None:
                    self._take(shell)
            except SESSION_ERRORS:
                self._give_up()

    def _take(self, shell: Shell) -> None:
        found = shell.take(_patience_s(self._part_bytes))
        part = self._asked.popleft()
        if len(found) == 1 and found[0]:
            self._results[part.number] = found[0]
        else:
            self._results.pop(part.number, None)

    def _give_up(self) -> None:
        shell, self._shell = self._shell, None
        self._reason = "the server's checksums did not come"
        self._asked.clear()
        if shell is not None:
            self._sessions.give_shell_back(shell, is_quiet=False)


def _patience_s(size: int) -> float:
    return ANSWER_S + size / SLOWEST_BYTES_PER_S
