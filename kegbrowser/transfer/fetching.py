"""Fetches one large file into its part file: in ranges, several at once, gone on with where an earlier run was; and checks it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from zlib import crc32

from kegbrowser.backends.base import StorageBackend
from kegbrowser.backends.errors import Cancelled, CheckFailed, SourceChanged, StorageError
from kegbrowser.backends.proofs import ALGORITHMS, Digests, Proof
from kegbrowser.backends.uploads import Part
from kegbrowser.transfer.digesting import Hasher, best_of, combine, crc64nvme
from kegbrowser.transfer.moving import Work
from kegbrowser.transfer.pace import Direction
from kegbrowser.transfer.parallel import in_parallel
from kegbrowser.transfer.part_file import PartFile
from kegbrowser.transfer.plan import FoundFile
from kegbrowser.transfer.progress import FileProgress
from kegbrowser.transfer.retry import Attempts, retrying
from kegbrowser.transfer.tuning import Tuning

MIB = 1024 * 1024
HASH_PIECE_BYTES = MIB
COMBINED = {"crc32": 8, "crc64nvme": 16}
"""The checksums that are computed of every part while it comes in, with their hex digits: both are quicker than any network."""


PARTS_A_RANGE = 8
"""A range is asked for at once, but remembered in parts: a crash costs no more than one of these for each that is under way."""


def part_bytes_for(size: int, tuning: Tuning) -> int:
    """The length of the parts of a download, so that there are never more than `Tuning.most_ranges` ranges of them."""
    needed = -(-size // tuning.most_ranges)
    return tuning.range_bytes // PARTS_A_RANGE * max(1, -(-needed // tuning.range_bytes))


@dataclass(frozen=True, slots=True)
class _Span:
    """Neighbouring parts that are fetched in one go."""

    first: int
    count: int


class Fetch:
    """One attempt to fetch a file.

    Args:
        item: the file's number in the job's journal.
        held: parts that an earlier run left in the part file, and that are as they were.
        part_bytes: length of a part.
    """

    def __init__(
        self,
        work: Work,
        storage: StorageBackend,
        part_file: PartFile,
        file: FoundFile,
        item: int,
        held: Mapping[int, Part],
        part_bytes: int,
        progress: FileProgress,
    ) -> None:
        self._work = work
        self._storage = storage
        self._part_file = part_file
        self._file = file
        self._item = item
        self._size = file.size or 0
        self._part_bytes = part_bytes
        self._progress = progress
        self._lock = threading.Condition()
        self._parts = dict(held)
        self._crc64s: dict[int, int] = {}

    def run(self) -> Proof:
        """Fetch what is missing, check all of it, and say how.

        Raises:
            SourceChanged, CheckFailed: the file is no longer the one that was planned, or what came is not what was sent; all
                of it must start anew.
        """
        expected = _Expected(self)
        if self._size >= 2 * PARTS_A_RANGE * self._part_bytes:
            expected.start()
        try:
            self._fetch_all()
            if not self._file.etag:
                self._check_unchanged()
            return expected.compare()
        finally:
            expected.stop()

    # -- of the expected checksum ----------------------------------------------------------------------------------------

    def digests(self) -> Digests:
        """What the storage knows of the content."""
        work, file = self._work, self._file
        return retrying(lambda: self._storage.digests(file.path, etag=file.etag), work.tuning.retry, work.stop)

    def combined(self, algorithm: str) -> str:
        """The checksum of all, one of `COMBINED`, from those of the parts."""
        whole = 0
        for number, part in sorted(self._parts.items()):
            crc = part.crc32 if algorithm == "crc32" else self._crc64_of(number, part)
            whole = combine(algorithm, whole, crc, part.size)
        return f"{whole:0{COMBINED[algorithm]}x}"

    def _crc64_of(self, number: int, part: Part) -> int:
        """What was computed while the part came in; one of an earlier run is read again."""
        if number not in self._crc64s:
            content = self._part_file.read_at(number * self._part_bytes, part.size)
            self._crc64s[number] = crc64nvme(content)
        return self._crc64s[number]

    def pieces(self, is_stopped: Callable[[], bool]) -> Iterator[bytes]:
        """The content from its beginning, as far as it is there, waiting for the rest."""
        offset, number = 0, 0
        while offset < self._size:
            with self._lock:
                while number not in self._parts:
                    if is_stopped():
                        return
                    self._lock.wait(0.1)
            end = min(offset + self._part_bytes, self._size)
            while offset < end:
                piece = self._part_file.read_at(offset, min(HASH_PIECE_BYTES, end - offset))
                if not piece or is_stopped():
                    return
                offset += len(piece)
                yield piece
            number += 1

    def differs(self) -> CheckFailed:
        name = self._file.parts[-1] if self._file.parts else self._file.path
        return CheckFailed(
            f"“{name}” did not arrive as it was sent: the checksum differs.",
            path=self._file.path,
            hint="Download it again; if it stays, the file is damaged at the server or on the way.",
        )

    # -- private ---------------------------------------------------------------------------------------------------------

    def _fetch_all(self) -> None:
        abilities, tuning = self._storage.capabilities, self._work.tuning
        held_bytes = sum(part.size for part in self._parts.values())
        if held_bytes:
            self._progress.resume(held_bytes)
        missing = [number for number in range(-(-self._size // self._part_bytes)) if number not in self._parts]
        is_cut = abilities.parallel_parts and abilities.ranged_read
        spans = _runs(missing, PARTS_A_RANGE if is_cut else len(missing))
        if len(spans) > 1 and is_cut:
            in_parallel(spans, self._fetch_span_in_turn, min(tuning.most_parts, len(spans)))
        else:
            for span in spans:
                self._fetch_span_in_turn(span, self._work.stop.check)

    def _fetch_span_in_turn(self, span: _Span, check: Callable[[], None]) -> None:
        with self._work.slots.taken(self._work.stop):
            self._fetch_span(span, check)

    def _fetch_span(self, span: _Span, check: Callable[[], None]) -> None:
        """Fetch some parts; after a lost connection it goes on where it was.

        `check` raises if another span failed: then this one is of no use.
        """
        work, file = self._work, self._file
        attempts = Attempts(work.tuning.retry, work.stop)
        filling = _Filling(self, span)
        end = filling.end
        is_whole = filling.at == 0 and end == self._size
        while filling.at < end:
            work.stop.check()
            try:
                if filling.was_begun and not file.etag:
                    self._check_unchanged()
                length = None if is_whole else end - filling.at
                with self._storage.open_reader(file.path, offset=filling.at, length=length, etag=file.etag) as reader:
                    while piece := reader.read(work.pace.piece_bytes(Direction.DOWN, work.tuning.piece_bytes)):
                        if filling.at + len(piece) > end:
                            raise changed(file)
                        work.pace.take(Direction.DOWN, len(piece), work.stop)
                        filling.add(piece)
                        attempts.succeed()
                        work.stop.check()
                        check()
                if filling.at < end:
                    raise changed(file)
            except (SourceChanged, CheckFailed):
                raise  # what is in the part file may be wrong: going on from there would keep it
            except StorageError as error:
                if error.retryable:
                    work.slots.concurrency.shrink()
                attempts.fail(error)

    def take_piece(self, piece: bytes, at: int) -> None:
        self._part_file.write_at(piece, at)
        self._progress.move(len(piece))

    def take_part(self, part: Part, crc64: int) -> None:
        self._crc64s[part.number] = crc64
        self._work.journal.add_part(self._item, part)
        self._work.slots.concurrency.add(1, part.size)
        with self._lock:
            self._parts[part.number] = part
            self._lock.notify_all()

    def _check_unchanged(self) -> None:
        entry = self._storage.stat(self._file.path)
        if entry.size != self._file.size or entry.last_modified != self._file.modified:
            raise changed(self._file)

    @property
    def size(self) -> int:
        return self._size

    @property
    def part_bytes(self) -> int:
        return self._part_bytes


class _Filling:
    """Cuts what comes in for a span into its parts."""

    def __init__(self, fetch: Fetch, span: _Span) -> None:
        self._fetch = fetch
        self._number = span.first
        self._crc = 0
        self._crc64 = 0
        self._in_part = 0
        self.at = span.first * fetch.part_bytes
        self.end = min((span.first + span.count) * fetch.part_bytes, fetch.size)
        self.was_begun = False

    def add(self, piece: bytes) -> None:
        self.was_begun = True
        self._fetch.take_piece(piece, self.at)
        view = memoryview(piece)
        while view:
            room = min((self._number + 1) * self._fetch.part_bytes, self._fetch.size) - self.at
            here = view[:room]
            self._crc = crc32(here, self._crc)
            self._crc64 = crc64nvme(here, self._crc64)
            self._in_part += len(here)
            self.at += len(here)
            if len(here) == room:
                self._fetch.take_part(Part(self._number, self._in_part, self._crc), self._crc64)
                self._number += 1
                self._crc = self._crc64 = self._in_part = 0
            view = view[room:]


class _Expected:
    """The checksum that the storage has of the file: asked for, and computed here, while the parts come in."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._thread: threading.Thread | None = None
        self._is_stopped = False
        self._digests: Digests | None = None
        self._computed = ""
        self._error: BaseException | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._follow, name="checksum", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._is_stopped = True
        if self._thread is not None:
            self._thread.join()

    def compare(self) -> Proof:
        """Wait for it; raises CheckFailed if it differs."""
        if self._thread is None:
            self._learn()
        else:
            self._thread.join()
            self._thread = None
            if self._error is not None:
                raise self._error
        digests = self._digests or Digests()
        algorithm = best_of(digests)
        if not algorithm:
            return Proof.size_only(digests.reason)
        computed = self._fetch.combined(algorithm) if algorithm in COMBINED else self._computed
        if computed != digests.values[algorithm]:
            raise self._fetch.differs()
        return Proof.verified(ALGORITHMS[algorithm])

    def _follow(self) -> None:
        try:
            self._learn()
        except BaseException as error:  # the outermost frame of the thread: the caller's raises it again
            self._error = error

    def _learn(self) -> None:
        self._digests = self._fetch.digests()
        algorithm = best_of(self._digests)
        if not algorithm or algorithm in COMBINED:
            return
        hasher = Hasher(algorithm)
        for piece in self._fetch.pieces(lambda: self._is_stopped):
            hasher.update(piece)
        if self._is_stopped:
            raise Cancelled
        self._computed = hasher.hexdigest()


def _runs(numbers: list[int], most: int) -> list[_Span]:
    """Neighbours together, so many at most."""
    runs: list[_Span] = []
    for number in numbers:
        if runs and runs[-1].first + runs[-1].count == number and runs[-1].count < most:
            runs[-1] = _Span(runs[-1].first, runs[-1].count + 1)
        else:
            runs.append(_Span(number, 1))
    return runs


def changed(file: FoundFile) -> SourceChanged:
    """The error for a file that is not the same any more."""
    name = file.parts[-1] if file.parts else file.path
    return SourceChanged(f"“{name}” changed while it was downloaded.", path=file.path, hint="Download it again.")
