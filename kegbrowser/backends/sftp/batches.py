"""Many small files at once over one session: every file is a few requests, and hundreds of them are in flight."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import Generic, TypeVar

from kegbrowser.backends.batches import FileResult, ReadRequest, WriteRequest
from kegbrowser.backends.errors import CheckFailed, ConnectionLost, InvalidName, SourceChanged, StorageError
from kegbrowser.backends.proofs import ALGORITHMS, Proof
from kegbrowser.backends.sftp import wire
from kegbrowser.backends.sftp.checking import NO_CHECKSUMS
from kegbrowser.backends.sftp.file_checks import FileChecks
from kegbrowser.backends.sftp.removing import told_of
from kegbrowser.backends.sftp.sessions import Session, Sessions
from kegbrowser.backends.sftp.small_files import Job
from kegbrowser.backends.sftp.streams import Shorter
from kegbrowser.backends.sftp.translate import SESSION_ERRORS, SftpStatus, shown

R = TypeVar("R", ReadRequest, WriteRequest)

LOOK_AGAIN_S = 0.01

_NO_CHECKSUMS = Proof.size_only(NO_CHECKSUMS)

Translated = Callable[[str, str, Callable[[SftpStatus], StorageError | None] | None], AbstractContextManager[None]]


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
        self._checks: FileChecks[Job] = FileChecks(sessions, are_written=verb == "save")
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


def _not_text(path: str) -> InvalidName:
    shown_name = path.rpartition("/")[2].encode("utf-8", "backslashreplace").decode()
    return InvalidName(f"The storage cannot hold the name “{shown_name}”: it is not valid text.", path=path)
