"""Uploads in parts: written into a temporary file at their places, over several sessions, which then gets its name."""

from __future__ import annotations

import logging
import math
import re
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass

from kegbrowser.backends.base import Page
from kegbrowser.backends.errors import Cancelled, CheckFailed, FileNotFoundInStorageError, InvalidName, StorageError
from kegbrowser.backends.proofs import Proof
from kegbrowser.backends.sftp import parts as part_files
from kegbrowser.backends.sftp import reasons, wire
from kegbrowser.backends.sftp.checking import NO_CHECKSUMS, PartChecks
from kegbrowser.backends.sftp.client import Client
from kegbrowser.backends.sftp.holes import without_holes
from kegbrowser.backends.sftp.publishing import facts_of, is_same_file, part_name, publish
from kegbrowser.backends.sftp.sessions import Session, Sessions
from kegbrowser.backends.sftp.streams import WriteBehind
from kegbrowser.backends.sftp.translate import NO_SUCH_FILE, SESSION_ERRORS, SftpStatus, shown
from kegbrowser.backends.sftp.wire import Attributes
from kegbrowser.backends.uploads import IncompleteUpload, Part, PartedUpload, UploadSpec

log = logging.getLogger(__name__)

MIB = 1024 * 1024
PART_BYTES = 8 * MIB
MAX_PARTS = 10_000
NEAR_PARALLEL, FAR_PARALLEL, FAR_S = 2, 8, 0.005
"""Parts at once. On a short line the second fills the pauses of the first; on a long one each has a window
of 2 MiB (OpenSSH's) on its way, and no more, so that several are needed to fill it."""

_TOKEN = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{8}\.kegpart", re.DOTALL)

Translated = Callable[[Callable[[SftpStatus], StorageError | None]], AbstractContextManager[None]]


def part_bytes_for(size_bytes: int) -> int:
    """The length of parts, in whole MiB, so that there are never more than `MAX_PARTS`."""
    needed = -(-size_bytes // MAX_PARTS)
    return max(PART_BYTES, -(-needed // MIB) * MIB)


@dataclass(slots=True, eq=False)
class _Lane:
    """A session on which the temporary file is open for writing."""

    session: Session
    handle: bytes


class SftpUpload(PartedUpload):
    """See `PartedUpload`. The token is the name of the temporary file.

    Args:
        spec: what is uploaded.
        round_trip_s: to the server and back.
        name, target: the temporary file, and what it will be called.
        replaced: the facts of what has that name now; None if nothing has.
        sessions: lends the sessions.
        translated: makes errors the user's.
    """

    def __init__(
        self,
        spec: UploadSpec,
        name: bytes,
        target: bytes,
        replaced: Attributes | None,
        sessions: Sessions,
        translated: Translated,
        round_trip_s: float,
    ) -> None:
        self.max_parallel = FAR_PARALLEL if FAR_S < round_trip_s < float("inf") else NEAR_PARALLEL
        self.token = _text(name.rpartition(b"/")[2])
        self.part_bytes = part_bytes_for(spec.size_bytes)
        self.parts: Mapping[int, Part] = {}
        self._spec = spec
        self._name = name
        self._target = target
        self._replaced = replaced
        self._sessions = sessions
        self._translated = translated
        self._lock = threading.Lock()
        self._idle: list[_Lane] = []
        self._sent: dict[int, Part] = {}
        self._is_over = False
        self._may_be_published = False
        self._checks = PartChecks(sessions, name, self.part_bytes)
        self._proof = Proof.size_only(NO_CHECKSUMS)

    def send(self, number: int, content: bytes, on_sent: Callable[[int], None]) -> Part:
        view = memoryview(content).cast("B")
        with self._translated(self._why_not_sent), self._lane() as lane:
            behind = WriteBehind(lane.session, lane.handle, number * self.part_bytes, on_sent)
            behind.write(view)
            part = Part(number, len(view), zlib.crc32(view), self._checks.tag_of(view))
            behind.settle()
        if part.size:
            self._checks.ask(part)
        with self._lock:
            self._sent[number] = part
        return part

    def commit(self) -> Proof:
        if self._is_over:
            return self._proof
        with self._translated(self._why_not_sent):
            if self._may_be_published:
                self._publish_again()
            else:
                self._check_parts()
                self._proof = self._checks.prove({**self.parts, **self._sent}, self._spec.path)
                self._finish_and_publish()
        self._end()
        return self._proof

    def discard(self) -> None:
        if self._is_over:
            return
        self._end()
        try:
            with self._sessions.client() as client:
                client.settled(client.send(wire.REMOVE, self._name))
        except (StorageError, Cancelled, *SESSION_ERRORS) as exc:
            log.debug("could not remove a temporary file at once: %s", exc)
            self._sessions.throw_away(self._name)

    def leave(self) -> None:
        self._end()

    def believe(self, parts: Mapping[int, Part]) -> None:
        """Take over those of the remembered parts that the temporary file holds.

        Raises:
            FileNotFoundInStorageError: there is no such file.
        """
        with self._translated(self._why_not_sent), self._lane() as lane:
            size = lane.session.attributes(wire.FSTAT, lane.handle).size or 0
            inside = {number: part for number, part in parts.items() if self._is_inside(number, part, size)}
            algorithm = self._checks.algorithm
            can_compare = algorithm == "crc32"
            hashed = {number: part for number, part in inside.items() if can_compare or (algorithm and part.tag)}
            others = {number: part for number, part in inside.items() if number not in hashed}
            found = self._checks.true_ones(hashed) | without_holes(lane.session, lane.handle, others, self.part_bytes)
            self.parts = dict(sorted(found.items()))

    # -- private ---------------------------------------------------------------------------------------------------------

    def _is_inside(self, number: int, part: Part, size: int) -> bool:
        offset = number * self.part_bytes
        expected = min(self.part_bytes, self._spec.size_bytes - offset)
        return part.number == number >= 0 and part.size == expected > 0 and offset + part.size <= size

    def _check_parts(self) -> None:
        count = -(-self._spec.size_bytes // self.part_bytes)
        missing = [number for number in range(count) if number not in self._sent and number not in self.parts]
        if missing:
            raise CheckFailed(
                f"Could not save “{shown(self._spec.path)}”: {len(missing)} of its {count} parts are missing.",
                path=self._spec.path,
            )

    def _finish_and_publish(self) -> None:
        spec = self._spec
        like = self._replaced
        if spec.permissions is not None:
            like = Attributes(mode=spec.permissions)
        modified_s = None if spec.modified is None else math.floor(spec.modified.timestamp())
        lane = self._take_lane()
        try:
            size = lane.session.attributes(wire.FSTAT, lane.handle).size
            if size != spec.size_bytes:
                raise CheckFailed(
                    f"Could not save “{shown(spec.path)}”: {size} of {spec.size_bytes} bytes are there.", path=spec.path
                )
            part_files.finish(lane.session, lane.handle, modified_s, like)
            self._close_idle()
            self._may_be_published = True
            publish(lane.session, self._name, self._target, spec.path, overwrite=spec.overwrite)
        except (SftpStatus, StorageError):
            self._may_be_published = False
            self._sessions.give_back(lane.session)
            raise
        except BaseException:
            self._sessions.discard(lane.session)
            raise
        self._sessions.give_back(lane.session)

    def _publish_again(self) -> None:
        """Find out what became of a rename whose answer was lost, and do it if it was not done."""
        with self._sessions.client() as client:
            found = facts_of(client, self._target)
            if facts_of(client, self._name) is None:
                if found is None or found.size != self._spec.size_bytes:
                    raise _gone(self._spec.path)
            elif found is not None and is_same_file(client, self._name, self._target):
                client.ask(wire.REMOVE, self._name)  # the link was made, and only its old name was left
            else:
                publish(client, self._name, self._target, self._spec.path, overwrite=self._spec.overwrite)

    @contextmanager
    def _lane(self) -> Iterator[_Lane]:
        lane = self._take_lane()
        try:
            yield lane
        finally:
            with self._lock:
                is_kept = lane.session.is_usable and not self._is_over
                if is_kept:
                    self._idle.append(lane)
            if not is_kept:
                self._drop(lane)

    def _drop(self, lane: _Lane) -> None:
        """Close a lane; and those beside it on the same connection, if that broke."""
        dropped = [lane]
        if not lane.session.is_usable:
            with self._lock:
                dropped += [one for one in self._idle if one.session.connection is lane.session.connection]
                self._idle = [one for one in self._idle if one not in dropped]
        for one in dropped:
            self._sessions.discard(one.session)

    def _take_lane(self) -> _Lane:
        with self._lock:
            while self._idle:
                lane = self._idle.pop()
                if lane.session.is_usable:
                    return lane
                self._sessions.discard(lane.session)
        session = self._sessions.take()
        try:
            opened = session.ask(wire.OPEN, self._name, wire.FOR_WRITING | wire.FOR_READING, wire.NO_ATTRIBUTES)
        except SftpStatus as status:
            self._sessions.give_back(session)
            if status.code == NO_SUCH_FILE:
                raise _gone(self._spec.path) from status
            raise
        except BaseException:
            self._sessions.discard(session)
            raise
        return _Lane(session, opened.string())

    def _end(self) -> None:
        self._is_over = True
        self._close_idle()
        self._checks.close()

    def _close_idle(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for lane in idle:
            try:
                lane.session.send(wire.CLOSE, lane.handle)
            except SESSION_ERRORS:
                self._sessions.discard(lane.session)
            else:
                self._sessions.give_back(lane.session)

    def _why_not_sent(self, status: SftpStatus) -> StorageError | None:
        try:
            with self._sessions.client() as client:
                return reasons.not_written(client, status, self._target, self._spec.path)
        except (StorageError, *SESSION_ERRORS):
            return None


def begin(spec: UploadSpec, real: bytes, sessions: Sessions, translated: Translated) -> SftpUpload:
    """Make the temporary file of a new upload. Raises what `StorageBackend.begin_upload` raises."""

    def why(status: SftpStatus) -> StorageError | None:
        with suppress(StorageError, *SESSION_ERRORS), sessions.client() as client:
            return reasons.not_written(client, status, real, spec.path)
        return None

    name = part_name(real)
    with translated(why):
        try:
            with sessions.client() as client:
                made = part_files.begin(client, spec.path, real, name, follow=spec.overwrite)
                if spec.permissions is not None:  # nobody shall read meanwhile what will be closed to others
                    private = Attributes(mode=0o600 | spec.permissions & 0o700)
                    client.send(wire.FSETSTAT, made.handle, private.packed())
                client.send(wire.CLOSE, made.handle)
        except (SftpStatus, StorageError):
            raise
        except BaseException:
            sessions.throw_away(name)
            raise
    return SftpUpload(spec, made.name, made.target, made.replaced, sessions, translated, client.round_trip_s)


def resume(
    spec: UploadSpec, real: bytes, token: str, parts: Mapping[int, Part], sessions: Sessions, translated: Translated
) -> SftpUpload:
    """Take up an upload. Raises what `StorageBackend.resume_upload` raises."""
    with translated(lambda _status: None), sessions.client() as client:
        target = _behind_link(client, real) if spec.overwrite else real
        name = _beside(target, token, spec.path)
        found, replaced = facts_of(client, name), facts_of(client, target)
        if found is None or found.is_folder or found.is_link:
            raise _gone(spec.path)
    upload = SftpUpload(spec, name, target, replaced, sessions, translated, client.round_trip_s)
    try:
        upload.believe(parts)
    except BaseException:
        upload.leave()
        raise
    return upload


def remove(client: Client, real: bytes, path: str, token: str) -> None:
    """Remove the temporary file of an upload to `real`, or to where a link there leads."""
    for target in dict.fromkeys((real, _behind_link(client, real))):
        try:
            client.ask(wire.REMOVE, _beside(target, token, path))
        except SftpStatus as status:
            if status.code != NO_SUCH_FILE:
                raise


def incomplete(folder: str, pages: Iterator[Page]) -> Iterator[IncompleteUpload]:
    """The uploads whose temporary files a listing shows."""
    for page in pages:
        for entry in page.entries:
            above, slash, name = entry.name.rpartition("/")
            match = None if entry.is_folder or entry.link_target else _TOKEN.fullmatch(name)
            if match:
                path = folder + above + slash + match["name"]
                yield IncompleteUpload(path, name, entry.last_modified, entry.size)


def _behind_link(client: Client, real: bytes) -> bytes:
    found = facts_of(client, real)
    if found is None or not found.is_link:
        return real
    try:
        return client.name(wire.REALPATH, real)
    except SftpStatus:
        return real


def _beside(target: bytes, token: str, path: str) -> bytes:
    if not _TOKEN.fullmatch(token) or "/" in token or "\0" in token:
        raise InvalidName(f"“{shown(token)}” is not the name of an unfinished upload.", path=path)
    folder, slash, _name = target.rpartition(b"/")
    return folder + slash + token.encode("utf-8", "surrogateescape")


def _gone(path: str) -> FileNotFoundInStorageError:
    return FileNotFoundInStorageError(f"The unfinished upload of “{shown(path)}” is not there any more.", path=path)


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
