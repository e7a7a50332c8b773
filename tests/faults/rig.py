"""A tree of files, a server behind a proxy, and the engine between them, run again and again until all has arrived."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from kegbrowser.backends.base import StorageBackend
from kegbrowser.backends.errors import ConnectionLost
from kegbrowser.transfer.cancel import CancelToken
from kegbrowser.transfer.events import JobReport
from kegbrowser.transfer.jobs import ConflictPolicy, Download, Source, TransferJob, Upload
from kegbrowser.transfer.retry import RetryPolicy
from kegbrowser.transfer.tuning import Tuning
from tests.conformance.place import Place
from tests.doubles.engine import Engine, pattern
from tests.doubles.memory_journal import MemoryJournal
from tests.integration.engine_places import becomes_true

MIB = 1024 * 1024
TUNING = Tuning(
    retry=RetryPolicy(tries=4, first_wait_s=0.02, longest_wait_s=0.2), range_bytes=4 * MIB, piece_bytes=256 * 1024
)
MAX_RUNS = 12

FILES = {f"d/small {number}": pattern(number * 611 % 40_000, number) for number in range(40)} | {
    "d/large": pattern(18 * MIB + 77, 1),
    "d/sub/middling": pattern(3 * MIB, 2),
    "d/empty": b"",
}
PAYLOAD = sum(map(len, FILES.values()))


@dataclass(slots=True)
class Ending:
    """How a scene ended; `problems` is empty if all is as it must be.

    Attributes:
        runs: how often the job was started.
        report: of the last run.
    """

    runs: int = 0
    report: JobReport | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        return not self.problems


class Rig:
    """One place, one direction.

    Args:
        place: empty, on a real server.
        folder: empty, for the local side.
        is_upload: else a download.
        connect: gives a storage that leads to the place, by way of a proxy; called for each run.
    """

    def __init__(
        self,
        place: Place,
        folder: Path,
        *,
        is_upload: bool,
        connect: Callable[[], StorageBackend],
        tuning: Tuning = TUNING,
    ) -> None:
        self.place = place
        self.is_upload = is_upload
        self.journal = MemoryJournal()
        self.tuning = tuning
        self.expected = dict(FILES)
        self.on_moved: Callable[[int], None] = lambda _bytes: None
        self.allowed_failures: set[str] = set()
        self.token = CancelToken()
        self._folder = folder
        self._connect = connect
        for name, content in FILES.items():
            if is_upload:
                self.write_local(name, content)
            else:
                place.raw_put(name, content)

    @property
    def source(self) -> Path:
        return self._folder / "from"

    @property
    def target(self) -> Path:
        return self._folder / "to"

    def write_local(self, name: str, content: bytes) -> None:
        """Make or change a local source."""
        path = self.source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def change_source(self, name: str, content: bytes) -> None:
        """Somebody saves a source anew."""
        self.expected[name] = content
        if self.is_upload:
            self.write_local(name, content)
        else:
            self.place.raw_put(name, content)

    def run(self) -> Ending:
        """Run the job until it ends by itself, as the queue does: after a lost connection it is started again."""
        ending = Ending()
        while ending.runs < MAX_RUNS:
            ending.runs += 1
            storage = self._connect()
            try:
                ending.report = self._run_once(storage)
            except ConnectionLost as error:
                lost = error
                self.journal.reopen()
                continue
            break
        else:
            ending.problems.append(f"not done after {MAX_RUNS} runs: {lost}")
        self._judge(ending)
        return ending

    def _run_once(self, storage: StorageBackend) -> JobReport:
        with Engine(tuning=self.tuning, journal=self.journal) as engine:
            engine.on_event = lambda _event: self.on_moved(engine.progress[-1].bytes_moved if engine.progress else 0)
            return engine.report(self._job(engine, storage))

    def _job(self, engine: Engine, storage: StorageBackend) -> TransferJob:
        spec = engine.adopt(storage, self.place.kind)
        if self.is_upload:
            return Upload(spec, (str(self.source / "d"),), "", ConflictPolicy.OVERWRITE)
        return Download(spec, (Source("d/", is_folder=True),), str(self.target), ConflictPolicy.OVERWRITE)

    def _judge(self, ending: Ending) -> None:
        problems = ending.problems
        failed = (
            {failure.path.rpartition("/")[2]: failure.error for failure in ending.report.failures}
            if ending.report
            else {}
        )
        problems += [f"{name}: {error}" for name, error in failed.items() if name not in self.allowed_failures]
        arrived = self.arrived()
        for name, content in self.expected.items():
            there = arrived.pop(name, None)
            if there is None and name.rpartition("/")[2] in self.allowed_failures:
                continue
            if there != digest(content):
                problems.append(f"{name} {'is missing' if there is None else 'differs'}")
        problems += [f"{name} should not be there" for name in arrived]
        if not becomes_true(lambda: not self.place.leftovers(), within_s=10):
            problems.append(f"left over at the server: {self.place.leftovers()}")

    def arrived(self) -> dict[str, str]:
        """The digest of each file at the target, hidden ones too."""
        if self.is_upload:
            return {
                name: digest(self.place.raw_bytes(name)) for name in self.place.raw_names() if not name.endswith("/")
            }
        return {
            path.relative_to(self.target).as_posix(): digest(path.read_bytes())
            for path in self.target.rglob("*")
            if path.is_file()
        }


def digest(content: bytes) -> str:
    """What is the same only for the same content."""
    return hashlib.sha256(content).hexdigest()


def points(count: int, seed: str) -> list[int]:
    """Random places in the payload, the same ones each time."""
    chosen = random.Random(seed)
    return [chosen.randrange(1, PAYLOAD) for _number in range(count)]
