"""Keeps count of a job and tells it: ten snapshots a second at most, whatever the number of files and threads."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from itertools import islice
from types import TracebackType
from typing import Self

from kegbrowser.backends.errors import StorageError
from kegbrowser.backends.proofs import Certainty, Proof
from kegbrowser.transfer.events import Checked, Failure, JobReport, Progress, RunningItem

SNAPSHOT_S = 0.1
MAX_FAILURES = 1_000
RECENT_FAILURES = 16
MAX_RUNNING = 32


class Tracker:
    """The count of one job; any thread. A context manager: while inside, a thread of its own emits what changed.

    Args:
        emit: takes the snapshots, in order; one thread calls it at a time.
    """

    def __init__(self, emit: Callable[[Progress], None]) -> None:
        self._emit = emit
        self._lock = threading.Lock()
        self._emit_lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._tick, name="progress", daemon=True)
        self._is_changed = True
        self._files_total = 0
        self._bytes_total = 0
        self._is_planned = False
        self._files_done = 0
        self._files_skipped = 0
        self._files_failed = 0
        self._bytes_done = 0
        self._bytes_skipped = 0
        self._bytes_moved = 0
        self._bytes_resumed = 0
        self._current = ""
        self._running: dict[int, FileProgress] = {}
        self._new_failures: list[Failure] = []
        self._failures: list[Failure] = []
        self._certainties: Counter[Certainty] = Counter()
        self._checks: set[str] = set()
        self._reasons: Counter[str] = Counter()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        with self._lock:
            self._is_changed = True
        self._tell()

    def plan(self, size_bytes: int | None) -> None:
        """A file was found that is to be moved."""
        with self._lock:
            self._files_total += 1
            self._bytes_total += size_bytes or 0
            self._is_changed = True

    def plan_many(self, files: int, size_bytes: int) -> None:
        """So many files are all that is to be done."""
        with self._lock:
            self._files_total += files
            self._bytes_total += size_bytes
            self._is_changed = True

    def finish_plan(self) -> None:
        """All files are found: the totals are final."""
        with self._lock:
            self._is_planned = True
            self._is_changed = True

    def start(self, name: str, size_bytes: int | None, item: int = -1, *, is_shown: bool = False) -> FileProgress:
        """A planned file is being moved; `is_shown` among those that are running."""
        progress = FileProgress(self, size_bytes or 0, name, item)
        with self._lock:
            self._current = name
            if is_shown:
                self._running[id(progress)] = progress
            self._is_changed = True
        return progress

    def moved_whole(self, name: str, size_bytes: int, proof: Proof | None) -> None:
        """A planned file went over the wire in one piece and is at its target."""
        with self._lock:
            self._current = name
            self._bytes_done += size_bytes
            self._bytes_moved += size_bytes
        self.end_file(proof)

    def done_before(self, size_bytes: int | None, proof: Proof | None) -> None:
        """A planned file was moved by an earlier run."""
        with self._lock:
            self._bytes_done += size_bytes or 0
            self._bytes_resumed += size_bytes or 0
        self.end_file(proof)

    def skip(self, size_bytes: int | None) -> None:
        """A planned file stays as it is, as its user wants."""
        with self._lock:
            self._files_skipped += 1
            self._bytes_skipped += size_bytes or 0
            self._is_changed = True

    def fail(self, path: str, error: StorageError, *, was_planned: bool = True) -> None:
        """A file could not be done. One that was not even planned (an unreadable folder) counts as planned from now on.

        An error that was told before, the same object, is only counted: all files of a folder that cannot be made have one.
        """
        with self._lock:
            if not was_planned:
                self._files_total += 1
            self._files_failed += 1
            is_known = any(failure.error is error for failure in self._failures[-RECENT_FAILURES:])
            if len(self._failures) < MAX_FAILURES and not is_known:
                failure = Failure(path, error)
                self._failures.append(failure)
                self._new_failures.append(failure)
            self._is_changed = True

    @property
    def files_done(self) -> int:
        with self._lock:
            return self._files_done

    def report(self) -> JobReport:
        """What the job ends with."""
        with self._lock:
            return JobReport(
                files_total=self._files_total,
                bytes_total=self._bytes_total,
                files_done=self._files_done,
                bytes_done=self._bytes_done,
                files_skipped=self._files_skipped,
                files_failed=self._files_failed,
                failures=tuple(self._failures),
                check=", ".join(sorted(self._checks)),
                checked=self._checked(),
                unchecked_reason=self._reasons.most_common(1)[0][0] if self._reasons else "",
                bytes_resumed=self._bytes_resumed,
            )

    # -- of one file; called by FileProgress -----------------------------------------------------------------------------

    def move_bytes(self, change: int, moved: int) -> None:
        with self._lock:
            self._bytes_done += change
            self._bytes_moved += moved
            self._is_changed = True

    def replan_bytes(self, change: int) -> None:
        with self._lock:
            self._bytes_total += change
            self._is_changed = True

    def resume_bytes(self, count: int) -> None:
        with self._lock:
            self._bytes_done += count
            self._bytes_resumed += count
            self._is_changed = True

    def end_file(self, proof: Proof | None) -> None:
        with self._lock:
            self._files_done += 1
            if proof is not None:
                self._certainties[proof.certainty] += 1
                if proof.by:
                    self._checks.update(proof.by.split(", "))
                if proof.reason:
                    self._reasons[proof.reason] += 1
            self._is_changed = True

    def leave(self, progress: FileProgress) -> None:
        with self._lock:
            self._running.pop(id(progress), None)

    # -- telling ---------------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        self._tell()
        while not self._stop.wait(SNAPSHOT_S):
            self._tell()

    def _tell(self) -> None:
        with self._emit_lock:
            with self._lock:
                if not self._is_changed:
                    return
                snapshot = self._snapshot()
            self._emit(snapshot)

    def _snapshot(self) -> Progress:
        snapshot = Progress(
            self._files_total,
            self._bytes_total,
            self._is_planned,
            self._files_done,
            self._files_skipped,
            self._files_failed,
            self._bytes_done + self._bytes_skipped,
            self._bytes_moved,
            self._current,
            tuple(self._new_failures),
            self._bytes_resumed,
            tuple(running.shown() for running in islice(self._running.values(), MAX_RUNNING)),
            self._checked(),
        )
        self._new_failures.clear()
        self._is_changed = False
        return snapshot

    def _checked(self) -> Checked:
        counts = self._certainties
        return Checked(counts[Certainty.VERIFIED], counts[Certainty.SIZE_ONLY], counts[Certainty.UNVERIFIABLE])


class FileProgress:
    """The count of one file that is being moved; any thread."""

    def __init__(self, tracker: Tracker, size_bytes: int, name: str, item: int) -> None:
        self._tracker = tracker
        self._lock = threading.Lock()
        self._size_bytes = size_bytes
        self._done_bytes = 0
        self._name = name
        self._item = item

    def shown(self) -> RunningItem:
        """How far it is."""
        return RunningItem(self._item, self._name, self._done_bytes, self._size_bytes)

    def move(self, count: int) -> None:
        """Bytes of it went over the wire."""
        with self._lock:
            self._done_bytes += count
        self._tracker.move_bytes(count, count)

    def resume(self, count: int) -> None:
        """Bytes of it were moved by an earlier run, and are still there."""
        with self._lock:
            self._done_bytes += count
        self._tracker.resume_bytes(count)

    def take_back(self, count: int) -> None:
        """Bytes that went over the wire were of no use."""
        with self._lock:
            self._done_bytes -= count
        self._tracker.move_bytes(-count, 0)

    def restart(self, size_bytes: int | None = None) -> None:
        """It starts anew, perhaps with another size."""
        with self._lock:
            done, self._done_bytes = self._done_bytes, 0
            change = 0 if size_bytes is None else size_bytes - self._size_bytes
            self._size_bytes += change
        self._tracker.move_bytes(-done, 0)
        if change:
            self._tracker.replan_bytes(change)

    def finish(self, proof: Proof | None = None) -> None:
        """It is at its target. What a server moved by itself counts as done, but not as moved over the wire."""
        with self._lock:
            missing = self._size_bytes - self._done_bytes
            self._done_bytes = self._size_bytes
        if missing:
            self._tracker.move_bytes(missing, 0)
        self._tracker.leave(self)
        self._tracker.end_file(proof)

    def skip(self) -> None:
        """It stays as it is after all."""
        self.restart()
        self._tracker.leave(self)
        self._tracker.skip(self._size_bytes)

    def fail(self, path: str, error: StorageError) -> None:
        """It could not be done."""
        self.restart()
        self._tracker.leave(self)
        self._tracker.fail(path, error)

    def stop(self) -> None:
        """It is left as it is, to be gone on with another time."""
        self._tracker.leave(self)
