"""One small file on its way: the few requests it takes, each step sent when the one before was answered."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from kegbrowser.backends.base import split_path
from kegbrowser.backends.batches import FileResult, ReadRequest, WriteRequest
from kegbrowser.backends.errors import AlreadyExists, IsAFolder, SourceChanged, StorageError
from kegbrowser.backends.proofs import Proof
from kegbrowser.backends.sftp import parts, reasons, wire
from kegbrowser.backends.sftp.client import Reply
from kegbrowser.backends.sftp.listing import entry_of, owner_by_id
from kegbrowser.backends.sftp.publishing import part_name, publish
from kegbrowser.backends.sftp.sessions import Session
from kegbrowser.backends.sftp.streams import Shorter, mark_of
from kegbrowser.backends.sftp.translate import END, NO_SUCH_FILE, OK, SESSION_ERRORS, SftpStatus, shown
from kegbrowser.backends.sftp.wire import Answer, Attributes, Uint64

_NEW = wire.FOR_WRITING | wire.CREATE | wire.EXCLUSIVE


class Job(ABC):
    """One file on its way. `begin` sends the first requests; when all that it sent was answered it goes on with `_next`.

    Args:
        session: which carries it.
        key: the caller's.
        path: as the user knows it.

    Attributes:
        handle: that is open; b"" if none is.
        to_check: the name of a file, and what its content should be, to be compared before it goes on by `go_on`.
    """

    handle = b""
    to_check: tuple[bytes, bytes] | None = None

    def __init__(self, session: Session, key: int, path: str) -> None:
        self.session = session
        self.key = key
        self.path = path
        self._pending = 0
        self._next: Callable[[], FileResult | None] = self.begin

    @abstractmethod
    def begin(self) -> None:
        """Send the first requests."""

    @abstractmethod
    def leftover(self) -> bytes | None:
        """The name of a temporary file that may be there."""

    def drop(self) -> None:
        """Ask for the removal of what it has made."""
        part = self.leftover()
        if part is not None:
            with suppress(*SESSION_ERRORS):
                if self.handle:
                    self.session.send(wire.CLOSE, self.handle)
                self.session.send(wire.REMOVE, part)

    def why_not(self, status: SftpStatus) -> StorageError | None:
        """The reason behind a refusal; asks the server."""
        return None

    def advance(self) -> FileResult | None:
        """One of its answers came; gives the result once it is known.

        Raises:
            SftpStatus, StorageError: it failed.
        """
        self._pending -= 1
        return self._next() if self._pending == 0 else None

    @abstractmethod
    def go_on(self, proof: Proof) -> FileResult | None:
        """Go on after the check; as `advance`."""

    def _ask(self, kind: int, *arguments: wire.Argument) -> Reply:
        self._pending += 1
        return self.session.send_for(self, kind, *arguments)


class Reading(Job):
    """A file that is read."""

    def __init__(self, session: Session, request: ReadRequest, real: bytes) -> None:
        super().__init__(session, request.key, request.path)
        self._request = request
        self._real = real

    def begin(self) -> None:
        self._next = self._read
        self._opening = self._ask(wire.OPEN, self._real, wire.FOR_READING, wire.NO_ATTRIBUTES)

    def leftover(self) -> bytes | None:
        return None

    def why_not(self, status: SftpStatus) -> StorageError | None:
        return None if status.code == NO_SUCH_FILE else reasons.not_opened(self.session, self._real, self.path)

    def _read(self) -> None:
        """All in one round trip: the bytes and one more, which is not there unless it grew, and the facts around them."""
        self._next = self._finish
        handle = _answer(self._opening).string()
        step, wanted = self.session.max_read_bytes, self._request.size + 1
        self._sizes = [min(step, wanted - start) for start in range(0, wanted, step)]
        # A single read gives what was there at one moment: what the file is afterwards tells enough.
        self._before = self._ask(wire.FSTAT, handle) if len(self._sizes) > 1 else None
        self._reads = [
            self._ask(wire.READ, handle, Uint64(place * step), size) for place, size in enumerate(self._sizes)
        ]
        self._after = self._ask(wire.FSTAT, handle)
        self.session.send(wire.CLOSE, handle)

    def _finish(self) -> FileResult | None:
        facts = _answer(self._after).attributes()
        if facts.is_folder:
            raise IsAFolder(f"“{shown(self.path)}” is a folder.", path=self.path)
        mark = mark_of(facts)
        before = mark if self._before is None else mark_of(_answer(self._before).attributes())
        if before != mark or self._request.etag not in ("", mark):
            raise SourceChanged(f"“{shown(self.path)}” has changed.", path=self.path)
        pieces = [_data(reply) for reply in self._reads]
        content = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if facts.size != len(content):
            raise Shorter
        entry = entry_of(split_path(self.path)[1], facts, "", owner_by_id(facts))
        self._result = FileResult(self.key, None, content, None, entry)
        self.to_check = (self._real, content)
        return None

    def go_on(self, proof: Proof) -> FileResult:
        return replace(self._result, proof=proof)


class Writing(Job):
    """A file that is written: to a temporary name, which it loses once all is known to have been taken."""

    def __init__(self, session: Session, request: WriteRequest, real: bytes) -> None:
        super().__init__(session, request.key, request.path)
        self._request = request
        self._target = real
        self._part: bytes | None = None
        self._renames_at_once = session.renames_by_link or session.has(wire.POSIX_RENAME)

    def begin(self) -> None:
        session, wanted = self.session, self._request.permissions
        self._next = self._write
        self._part = part_name(self._target)
        is_told = not self._request.overwrite and session.renames_by_link  # a taken name is refused at the end as well
        self._looking = None if is_told else self._ask(wire.LSTAT, self._target)
        # Until it is finished nobody else shall read what will be closed to others.
        facts = wire.NO_ATTRIBUTES if wanted is None else Attributes(mode=0o600 | wanted & 0o777).packed()
        self._opening = self._ask(wire.OPEN, self._part, _NEW, facts)

    def leftover(self) -> bytes | None:
        return self._part

    def why_not(self, status: SftpStatus) -> StorageError | None:
        return reasons.not_written(self.session, status, self._target, self.path)

    def _write(self) -> FileResult | None:
        self.handle = _answer(self._opening).string()
        found = None if self._looking is None else _found(self._looking)
        if found is not None:
            self._check(found)
        if found is not None and found.is_link:
            self._go_behind_link()
            return None
        session, content, handle = self.session, self._request.content, self.handle
        self._next = self._check_written
        facts = self._facts(found)
        if found is not None and found.mode is not None:
            session.send(wire.FSETSTAT, handle, Attributes(mode=0o600 | found.mode & 0o700).packed())
        step = session.max_write_bytes
        self._answers = [
            self._ask(wire.WRITE, handle, Uint64(start), content[start : start + step])
            for start in range(0, len(content), step)
        ]
        if found is not None and found.uid is not None and found.gid is not None:
            session.send(wire.FSETSTAT, handle, Attributes(uid=found.uid, gid=found.gid).packed())
        if facts != Attributes():
            session.send(wire.FSETSTAT, handle, facts.packed())  # not every disk can, and the content is more
        self._answers.append(self._ask(wire.CLOSE, handle))
        self.handle = b""
        return None

    def _check_written(self) -> None:
        for reply in self._answers:
            _answer(reply)
        self.to_check = (self._part or b"", self._request.content)

    def go_on(self, proof: Proof) -> FileResult | None:
        self._proof = proof
        self._next = self._end
        session, part = self.session, self._part or b""
        if self._request.overwrite and session.has(wire.POSIX_RENAME):
            self._renaming = self._ask(wire.EXTENDED, wire.POSIX_RENAME, part, self._target)
        elif not self._request.overwrite and session.renames_by_link:
            self._renaming = self._ask(wire.RENAME, part, self._target)
        else:
            self._publish_slowly()
            return self._done()
        return None

    def _end(self) -> FileResult | None:
        try:
            _answer(self._renaming)
        except SftpStatus:
            self._publish_slowly()  # which finds out why, or another way
        return self._done()

    def _done(self) -> FileResult:
        self._part = None
        return FileResult(self.key, proof=self._proof)

    def _publish_slowly(self) -> None:
        publish(self.session, self._part or b"", self._target, self.path, overwrite=self._request.overwrite)

    def _check(self, found: Attributes) -> None:
        if not self._request.overwrite:
            raise AlreadyExists(f"“{shown(self.path)}” exists already.", path=self.path)
        if found.is_folder:
            raise IsAFolder(f"Could not save “{shown(self.path)}”: a folder has this name.", path=self.path)

    def _go_behind_link(self) -> None:
        """Through a symbolic link the file behind it is replaced."""
        self.drop()
        self._target = self.session.name(wire.REALPATH, self._target)
        self.begin()

    def _facts(self, found: Attributes | None) -> Attributes:
        modified = self._request.modified
        facts = Attributes(modified_s=None if modified is None else math.floor(modified.timestamp()))
        if self._request.permissions is not None:
            facts.mode = self._request.permissions & parts.KEPT_MODE
        elif found is not None and found.mode is not None:
            facts.mode = found.mode & parts.KEPT_MODE
        return facts


def _answer(reply: Reply) -> Answer:
    """Take an answer apart; a refusal is raised."""
    if reply.kind == wire.STATUS:
        answer = Answer(reply.body)
        code = answer.uint32()
        if code != OK:
            raise SftpStatus(code, answer.string().decode("utf-8", "replace") if answer.has_more else "")
    return Answer(reply.body)


def _data(reply: Reply) -> bytes:
    if reply.kind == wire.DATA:
        return reply.body
    try:
        _answer(reply)
    except SftpStatus as status:
        if status.code == END:
            return b""
        raise
    return b""


def _found(reply: Reply) -> Attributes | None:
    try:
        return _answer(reply).attributes()
    except SftpStatus as status:
        if status.code == NO_SUCH_FILE:
            return None
        raise
