"""A file that is written: to a temporary name, then in one step to its own."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from datetime import datetime

from kegbrowser.backends.base import FileMode, RemoteFile
from kegbrowser.backends.errors import ConnectionLost, FileNotFoundInStorageError, StorageError
from kegbrowser.backends.sftp import parts, reasons, wire
from kegbrowser.backends.sftp.publishing import facts_of, is_same_file, part_name, publish
from kegbrowser.backends.sftp.sessions import Session, Sessions
from kegbrowser.backends.sftp.streams import WriteBehind
from kegbrowser.backends.sftp.translate import SESSION_ERRORS, SftpStatus, shown

PAUSES_S = (0.0, 0.3, 1.0)
"""Before each of the tries to give a file its name over a new connection."""

Why = Callable[[SftpStatus], StorageError | None]
Translated = Callable[[Why], AbstractContextManager[None]]


class SftpWriter(RemoteFile):
    """Any one thread at a time. Memory: see `WriteBehind`.

    A replaced file leaves its permissions (and, where the server lets us, its owner and group) to the new one. Through a
    symbolic link the file behind it is replaced.

    Args:
        path: as the user knows it.
        real: as the server does.
        sessions: gives the session, which is given back at `close`.
        translated: makes errors the user's.
        overwrite, modified: see `StorageBackend.open_writer`.

    Raises:
        What `StorageBackend.open_writer` raises.
    """

    def __init__(
        self,
        path: str,
        real: bytes,
        sessions: Sessions,
        translated: Translated,
        *,
        overwrite: bool,
        modified: datetime | None,
    ) -> None:
        super().__init__(FileMode.write)
        self.closed = True
        self._path = path
        self._sessions = sessions
        self._translated = translated
        self._overwrite = overwrite
        self._modified_s = None if modified is None else math.floor(modified.timestamp())
        self._is_settled = False
        self._replaces_in_two_steps = False
        self._session: Session | None = None
        self._target = real
        name = part_name(real)
        with translated(self._why_not):
            self._session = sessions.take()
            try:
                self._part = parts.begin(self._session, path, real, name, follow=overwrite)
            except SftpStatus as status:
                reason = self._why_not(status)
                self._leave()
                raise (reason or status) from status
            except StorageError:
                self._leave()
                raise
            except BaseException:
                self._leave()
                sessions.throw_away(name)
                raise
            self._behind = WriteBehind(self._session, self._part.handle)
        self.closed = False

    def read(self, size: int) -> bytes:
        raise io.UnsupportedOperation("This file was not opened for reading.")

    def write(self, data: bytes) -> None:
        if self.closed:
            raise ValueError("The file is closed.")
        with self._translated(self._why_not):
            self._behind.write(data)

    def close(self) -> None:
        if self.closed:
            return
        try:
            with self._translated(self._why_not):
                session = self._held()
                part = self._part
                parts.finish(session, part.handle, self._modified_s, part.replaced, self._behind.settle)
                self._is_settled = True
                self._publish(session)
        except BaseException:
            self.abort()
            raise
        self.closed = True
        self._leave()

    def abort(self) -> None:
        if self.closed:
            return
        self.closed = True
        session = self._session
        if session is not None and session.is_usable and not self._sessions.is_interrupted:
            try:
                if not self._is_settled:
                    session.send(wire.CLOSE, self._part.handle)
                session.settled(session.send(wire.REMOVE, self._part.name))
            except SESSION_ERRORS:
                self._sessions.throw_away(self._part.name)
        elif not (self._is_settled and self._replaces_in_two_steps):
            self._sessions.throw_away(self._part.name)
        self._leave()

    def _publish(self, session: Session) -> None:
        """Give the file its name. All of it is there: if the connection breaks now, nothing need be sent again."""
        self._replaces_in_two_steps = not session.has(wire.POSIX_RENAME)
        part = self._part
        try:
            publish(session, part.name, part.target, self._path, overwrite=self._overwrite)
        except (SftpStatus, StorageError):
            raise
        except SESSION_ERRORS:
            if not self._gets_its_name_later():
                raise

    def _gets_its_name_later(self) -> bool:
        self._leave()
        for pause_s in PAUSES_S:
            self._sessions.pause(pause_s)
            try:
                self._publish_again()
            except ConnectionLost:
                continue  # no new connection yet
            except (SftpStatus, StorageError):
                raise
            except SESSION_ERRORS:
                self._leave()
            else:
                return True
        return False

    def _publish_again(self) -> None:
        self._session = session = self._sessions.take()
        part = self._part
        found = facts_of(session, part.target)
        if facts_of(session, part.name) is None:
            if found is None or found.size != self._behind.offset:
                raise FileNotFoundInStorageError(
                    f"Could not save “{shown(self._path)}”: somebody removed it meanwhile.", path=self._path
                )
        elif found is not None and is_same_file(session, part.name, part.target):
            session.ask(wire.REMOVE, part.name)  # the link was made, and only its old name was left
        else:
            publish(session, part.name, part.target, self._path, overwrite=self._overwrite)

    def _why_not(self, status: SftpStatus) -> StorageError | None:
        """A bare "failure" while writing is mostly a full disk."""
        session = self._session
        if session is None or not session.is_usable:
            return None
        return reasons.not_written(session, status, self._target, self._path)

    def _held(self) -> Session:
        if self._session is None:
            raise EOFError
        return self._session

    def _leave(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            self._sessions.give_back(session)

    def __del__(self) -> None:
        drop(self, getattr(self, "_path", ""))


def drop(file: RemoteFile, path: str) -> None:
    """What happens to a writer that nobody closed."""
    if getattr(file, "closed", True):
        return
    warnings.warn(f"“{shown(path)}” was dropped without close: nothing is written", ResourceWarning, stacklevel=3)
    with suppress(StorageError):
        file.abort()
