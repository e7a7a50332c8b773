"""Many small files at once over one session: every file is a few requests, and hundreds of them are in flight."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from functools import partial
from typing import Generic, TypeVar

from kegbrowser.backends.base import split_path
from kegbrowser.backends.batches import FileResult, ReadRequest, WriteRequest
from kegbrowser.backends.errors import (
    AlreadyExists,
    CheckFailed,
    ConnectionLost,
    InvalidName,
    IsAFolder,
    SourceChanged,
    StorageError,
)
from kegbrowser.backends.proofs import ALGORITHMS, Proof
from kegbrowser.backends.sftp import parts, reasons, wire
from kegbrowser.backends.sftp.checking import NO_CHECKSUMS
from kegbrowser.backends.sftp.client import Reply
from kegbrowser.backends.sftp.file_checks import FileChecks
from kegbrowser.backends.sftp.listing import entry_of, owner_by_id
from kegbrowser.backends.sftp.publishing import part_name, publish
from kegbrowser.backends.sftp.removing import told_of
from kegbrowser.backends.sftp.sessions import Session, Sessions
from kegbrowser.backends.sftp.streams import Shorter, mark_of
from kegbrowser.backends.sftp.translate import (
    END,
    NO_SUCH_FILE,
    OK,
    SESSION_ERRORS,
    SftpStatus,
    shown,
)
from kegbrowser.backends.sftp.wire import Answer, Attributes, Uint64

R = TypeVar("R", ReadRequest, WriteRequest)

LOOK_AGAIN_S = 0.01
ROOM_FOR_MORE_BYTES = 8 * 1024 * 1024
"""By how much a file may be longer than it was listed."""

_NO_CHECKSUMS = Proof.size_only(NO_CHECKSUMS)
_NEW = wire.FOR_WRITING | wire.CREATE | wire.EXCLUSIVE

Translated = Callable[[str, str, Callable[[SftpStatus], StorageError | None] | None], AbstractContextManager[None]]


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
        self._room = request.size + ROOM_FOR_MORE_BYTES

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


class Batch(Generic[R]):
    """One call of `read_files` or `write_files`. The thread that iterates.

    Args:
        sessions: lends the session; a lost one is followed by another.
        start: makes the job of a request; raises StorageError if there can be none.
        translated: makes errors the user's.
        verb: for messages.
    """

    def __init__(
        self, sessions: Sessions, start: Callable[[Session, R], Job], translated: Translated, verb: str
    ) -> None:
        self._sessions = sessions
        self._start: Callable[[Session, R], Job] = start
        self._translated = translated
        self._verb = verb
        self._session: Session | None = None
        self._is_proven = False
        self._heard_at = 0.0
        self._checks: FileChecks[Job] = FileChecks(sessions)
        self._jobs: dict[int, tuple[Job, R]] = {}
        self._again: list[R] = []
        self._results: list[FileResult] = []

    def run(self, requests: Iterator[R | None], in_flight: Callable[[], int]) -> Iterator[FileResult]:
        """See `StorageBackend.read_files`."""
        has_more = True
        try:
            while has_more or self._jobs or self._again:
                is_pausing = False
                while has_more and not is_pausing and len(self._jobs) < max(1, in_flight()):
                    try:
                        request = self._again.pop() if self._again else next(requests)
                    except StopIteration:
                        has_more = False
                        break
                    is_pausing = request is None
                    if request is not None:
                        self._begin(request)
                while self._again and not has_more:
                    self._begin(self._again.pop())
                self._go_on(may_wait=not self._results, is_pausing=is_pausing)
                results, self._results = self._results, []
                yield from results
        finally:
            self._leave()

    # -- private ---------------------------------------------------------------------------------------------------------

    def _begin(self, request: R) -> None:
        job: Job | None = None
        try:
            with self._translated(self._verb, request.path, None):
                session = self._held()
                job = self._start(session, request)
                if not self._jobs:
                    self._heard_at = time.monotonic()
                self._jobs[id(job)] = (job, request)
                job.begin()
        except UnicodeEncodeError:
            self._results.append(FileResult(request.key, _not_text(request.path)))
        except StorageError as error:
            if job is None:
                self._results.append(FileResult(request.key, error))
            else:
                self._on_lost(error)

    def _held(self) -> Session:
        if self._session is None:
            self._session = self._sessions.take()
            self._session.gathers = True
            self._is_proven = False
            self._heard_at = time.monotonic()
        return self._session

    def _go_on(self, *, may_wait: bool, is_pausing: bool) -> None:
        """Take in what has come, and wait for something if nothing has."""
        session = self._session
        if not self._jobs or session is None:
            if is_pausing and may_wait:
                with self._translated(self._verb, "", None):
                    self._sessions.pause(LOOK_AGAIN_S)
            return
        self._take_checks(may_wait=may_wait and self._checks.count >= len(self._jobs))
        if self._checks.count >= len(self._jobs) or self._session is not session:
            return
        try:
            with self._translated(self._verb, "", None):
                if is_pausing and not session.arrived and not session.wait_ready(LOOK_AGAIN_S if may_wait else 0):
                    self._check_silence(session)
                    return
                if not session.arrived:
                    session.receive()
                session.receive_ready()
                self._is_proven, self._heard_at = True, time.monotonic()
        except StorageError as error:
            self._on_lost(error)
            return
        while session.arrived:
            job = session.arrived.popleft().owner
            if isinstance(job, Job) and id(job) in self._jobs:
                self._carry_on(job, job.advance)
            if not session.is_usable:
                return

    def _take_checks(self, *, may_wait: bool) -> None:
        for job, is_true in self._checks.done(may_wait=may_wait):
            if id(job) not in self._jobs:
                continue
            if is_true is False:
                error = CheckFailed(f"“{shown(job.path)}” did not arrive as it was sent.", path=job.path)
                self._end(job, error)
            else:
                proof = Proof.verified(ALGORITHMS[self._checks.algorithm]) if is_true else _NO_CHECKSUMS
                self._carry_on(job, partial(job.go_on, proof))

    def _check_silence(self, session: Session) -> None:
        patience_s = session.channel.gettimeout()
        if patience_s is not None and time.monotonic() - self._heard_at > patience_s:
            raise TimeoutError

    def _carry_on(self, job: Job, step: Callable[[], FileResult | None]) -> None:
        result: FileResult | None
        try:
            with self._translated(self._verb, job.path, job.why_not):
                try:
                    result = step()
                except Shorter:
                    raise SourceChanged(f"“{shown(job.path)}” changed while it was read.", path=job.path) from None
        except StorageError as error:
            if not job.session.is_usable:
                self._on_lost(error if isinstance(error, ConnectionLost) else ConnectionLost("The connection broke."))
                return
            self._end(job, error)
            return
        if result is not None:
            del self._jobs[id(job)]
            self._results.append(result)
        elif job.to_check is not None:
            path, content = job.to_check
            job.to_check = None
            self._checks.add(job, path, content)

    def _end(self, job: Job, error: StorageError) -> None:
        job.drop()
        del self._jobs[id(job)]
        self._results.append(FileResult(job.key, error))

    def _on_lost(self, error: StorageError) -> None:
        """Answer all that was under way; but what a connection lost that was never heard of again is asked anew."""
        session, self._session = self._session, None
        jobs, self._jobs = list(self._jobs.values()), {}
        self._throw_away([job for job, _request in jobs])
        if session is not None:
            self._sessions.discard(session)
        if session is not None and not self._is_proven and not session.is_new:
            self._again += [request for _job, request in jobs]
            return
        self._results += [FileResult(job.key, told_of(job.path, error)) for job, _request in jobs]

    def _leave(self) -> None:
        """End: all is answered, or what is under way is given up."""
        self._checks.close()
        session, self._session = self._session, None
        jobs = [job for job, _request in self._jobs.values()]
        self._jobs = {}
        if session is None:
            return
        if jobs and session.is_usable and not self._sessions.is_interrupted:
            parts_left = [part for job in jobs if (part := job.leftover()) is not None]
            try:
                for _answered in session.gather((wire.REMOVE, part) for part in parts_left):
                    continue
            except SESSION_ERRORS:
                self._throw_away(jobs)
        elif jobs:
            self._throw_away(jobs)
        session.arrived.clear()
        with suppress(*SESSION_ERRORS):
            session.flush()
        session.gathers = False
        if jobs:
            self._sessions.discard(session)  # with the handles that are still open
        else:
            self._sessions.give_back(session)

    def _throw_away(self, jobs: list[Job]) -> None:
        left = [part for job in jobs if (part := job.leftover()) is not None]
        if left:
            self._sessions.throw_away(*left)


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


def _not_text(path: str) -> InvalidName:
    shown_name = path.rpartition("/")[2].encode("utf-8", "backslashreplace").decode()
    return InvalidName(f"The storage cannot hold the name “{shown_name}”: it is not valid text.", path=path)
