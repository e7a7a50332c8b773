"""Checksums of many small files, computed by the server in groups while others are moved."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

from kegbrowser.backends.errors import Cancelled, StorageError
from kegbrowser.backends.sftp.checking import ANSWER_S
from kegbrowser.backends.sftp.sessions import Sessions
from kegbrowser.backends.sftp.shell import Shell
from kegbrowser.backends.sftp.translate import SESSION_ERRORS

T = TypeVar("T")

GROUP, GROUP_OF_COMMAND = 8, 32
"""Files asked for at once; more where each time a program is started for it."""

GROUPS_AHEAD = 32
LOOK_AGAIN_S = 0.01


class FileChecks(Generic[T]):
    """One thread, but for the start of the shell.

    Args:
        are_written: the files were just written, and shall be on the disk before they are used.

    Attributes:
        count: files that wait for their digest.
        algorithm: of the digests; "" if there are none.
    """

    def __init__(self, sessions: Sessions, *, are_written: bool) -> None:
        self._are_written = are_written
        self.count = 0
        self._sessions = sessions
        self._shell: Shell | None = None
        self._waiting: list[tuple[T, bytes, bytes]] = []
        self._groups: deque[list[tuple[T, bytes, bytes]]] = deque()
        self._starter = threading.Thread(target=self._start, name="sftp-shell", daemon=True)
        self._is_started = False

    @property
    def algorithm(self) -> str:
        return "" if self._shell is None else self._shell.algorithm

    def add(self, whose: T, path: bytes, content: bytes) -> None:
        """Have a file checked that is at `path` now and should have that content."""
        if not self._is_started:
            self._is_started = True
            self._starter.start()
        self._waiting.append((whose, path, content))
        self.count += 1

    def done(self, *, may_wait: bool) -> Iterator[tuple[T, bool | None]]:
        """Those that are known now, and whether they are as they should be; None where the server does not tell.

        Args:
            may_wait: nothing else is to be done meanwhile, but for some milliseconds.
        """
        if self._is_started and self._starter.is_alive():
            if not may_wait:
                return
            self._starter.join(LOOK_AGAIN_S)
            if self._starter.is_alive():
                return
        try:
            self._ask(is_forced=may_wait)
            while self._groups and self._shell is not None and (may_wait or self._shell.is_ready):
                digests = self._shell.take(ANSWER_S)
                group = self._groups.popleft()
                self.count -= len(group)
                may_wait = False
                yield from self._compared(group, digests)
        except SESSION_ERRORS:
            self._drop_shell()
        if self._shell is None:
            unknown = [one for group in (*self._groups, self._waiting) for one in group]
            self._groups.clear()
            self._waiting, self.count = [], 0
            for whose, _path, _content in unknown:
                yield whose, None

    def close(self) -> None:
        """Give the shell back."""
        if self._is_started:
            self._starter.join()
        shell, self._shell = self._shell, None
        if shell is not None:
            self._sessions.give_shell_back(shell, is_quiet=not self._groups)

    def _ask(self, *, is_forced: bool) -> None:
        shell = self._shell
        while shell is not None and len(self._groups) < GROUPS_AHEAD and self._waiting:
            size = GROUP if shell.algorithm == "crc32" else GROUP_OF_COMMAND
            if len(self._waiting) < size and self._groups and not is_forced:
                return
            group, self._waiting = self._waiting[:size], self._waiting[size:]
            self._groups.append(group)
            shell.ask_files([path for _whose, path, _content in group], are_written=self._are_written)

    def _compared(self, group: list[tuple[T, bytes, bytes]], digests: list[str]) -> Iterator[tuple[T, bool | None]]:
        shell = self._shell
        for place, (whose, _path, content) in enumerate(group):
            is_known = shell is not None and len(digests) == len(group) and digests[place]
            yield whose, digests[place] == shell.digest_of(content) if is_known and shell is not None else None

    def _start(self) -> None:
        try:
            self._shell = self._sessions.take_shell()
        except (StorageError, Cancelled):
            return

    def _drop_shell(self) -> None:
        shell, self._shell = self._shell, None
        if shell is not None:
            self._sessions.give_shell_back(shell, is_quiet=False)
