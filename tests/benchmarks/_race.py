"""Let all do the same work in turn, compare what each left, and say who took how long."""

from __future__ import annotations

import fcntl
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks._measure import Ratio
from tests.benchmarks._processes import PeerFailed, processor_s
from tests.benchmarks._sites import (
    ContentDiffers,
    Site,
    digest_of_source_tree,
    digest_of_tree,
    sha256,
    sha256_of_source,
)
from tests.benchmarks._tools import Peer

OURS = "ours"
COLD = "ours, command line"
SLOW_S = 15.0


@dataclass(frozen=True, slots=True)
class Course:
    """What is to be done: one of the four works on a site.

    Attributes:
        name: as in the table.
        is_down, is_tree: which of the four works.
        big, tree: the content.
        targets: the peers, and how many times as fast as each we are to be; None: told, but not held against us.
    """

    name: str
    site: Site
    is_down: bool
    is_tree: bool
    big: Path
    tree: Path
    targets: Mapping[str, float | None]


@dataclass(slots=True)
class Times:
    """Of one who did the work: wall seconds, own processor seconds, those of the server."""

    wall_s: list[float] = field(default_factory=list)
    own_s: list[float] = field(default_factory=list)
    server_s: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def is_slow(self) -> bool:
        """One such turn says enough, and it counts."""
        return bool(self.wall_s) and max(self.wall_s) > SLOW_S

    def median_s(self) -> float:
        return statistics.median(self.wall_s)


class Race:
    """One course, with all who take part."""

    def __init__(self, course: Course, runners: Mapping[str, Peer], place: Path, more_pids: list[int]) -> None:
        self._course = course
        self._runners = runners
        self._place = place
        self._more_pids = more_pids
        self._number = 0
        self._wanted = digest_of_source_tree(course.tree) if course.is_tree else sha256_of_source(course.big)
        self.times = {name: Times() for name in runners}

    def run(self, repeats: int, say: Callable[[str], None]) -> list[Ratio]:
        """One turn to warm up and `repeats` that count, each round beginning with another runner.

        A runner that fails is told about and does not count; ours that fails ends it.

        Raises:
            PeerFailed, ContentDiffers: of ours.
        """
        names = list(self._runners)
        for turn in range(repeats + 1):
            first = turn % len(names)
            for name in names[first:] + names[:first]:
                if self.times[name].is_slow:
                    continue
                try:
                    self._turn(name, counts=turn > 0)
                except (PeerFailed, ContentDiffers) as exc:
                    if name == OURS:
                        raise
                    self.times[name].failures.append(str(exc))
                    say(f"  {self._course.name}: {name} failed: {str(exc).strip()[-400:]}")
        return self._ratios()

    def lines(self) -> list[str]:
        """What each took, for people."""
        amount = self._amount()
        said = []
        for name, times in self.times.items():
            if not times.wall_s:
                said.append(f"  {name:20} did not do it")
                continue
            wall_s = times.median_s()
            own_s, server_s = statistics.median(times.own_s), statistics.median(times.server_s)
            said.append(
                f"  {name:20} {wall_s:8.3f} s ({min(times.wall_s):.3f}-{max(times.wall_s):.3f})"
                f" {amount[0] / wall_s:8.0f} {amount[1]}   processor: own {own_s:6.2f} s, server {server_s:6.2f} s"
            )
        return said

    def _amount(self) -> tuple[float, str]:
        if self._course.is_tree:
            return float(sum(1 for path in self._course.tree.rglob("*") if path.is_file())), "files/s"
        return self._course.big.stat().st_size / 2**20, "MiB/s"

    def _ratios(self) -> list[Ratio]:
        ours_s = self.times[OURS].median_s()
        return [
            Ratio.of(self._course.name, peer, ours_s, self.times[peer].median_s(), target)
            for peer, target in self._course.targets.items()
            if self.times[peer].wall_s
        ]

    def _turn(self, name: str, *, counts: bool) -> None:
        runner, course = self._runners[name], self._course
        self._number += 1
        folder = f"up-{self._number}"
        local = self._place / f"down-{self._number}"
        local.mkdir()
        if not course.is_down:
            course.site.make_room(folder)
        target, remote = local / _source(course).name, f"{folder}/{_source(course).name}"
        server = [*course.site.pids, *self._more_pids]
        try:
            with _alone():
                server_before = processor_s(server)
                begin = time.perf_counter()
                own_s = self._do(runner, target, remote)
                wall_s = time.perf_counter() - begin
                server_s = processor_s(server) - server_before
            self._check(target, remote)
        finally:
            shutil.rmtree(local)
            if not course.is_down:
                course.site.remove(folder)
        if counts or wall_s > SLOW_S:
            times = self.times[name]
            times.wall_s.append(wall_s)
            times.own_s.append(own_s)
            times.server_s.append(server_s)

    def _do(self, runner: Peer, target: Path, remote: str) -> float:
        course = self._course
        if course.is_down:
            if course.is_tree:
                return runner.down_tree(course.tree.name, target)
            return runner.down(course.big.name, target, course.big.stat().st_size)
        if course.is_tree:
            return runner.up_tree(course.tree, remote)
        return runner.up(course.big, remote)

    def _check(self, target: Path, remote: str) -> None:
        course = self._course
        if course.is_down:
            there = digest_of_tree(target) if course.is_tree else sha256(target)
            if there != self._wanted:
                raise ContentDiffers(f"{target} is not as its source")
        elif course.is_tree:
            course.site.check_tree(remote, course.tree)
        else:
            course.site.check_file(remote, course.big)


@contextmanager
def _alone() -> Iterator[None]:
    """No other benchmark of this kind measures on this machine meanwhile."""
    with (Path(tempfile.gettempdir()) / "kegbrowser-benchmark.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _source(course: Course) -> Path:
    return course.tree if course.is_tree else course.big


def load() -> str:
    return f"{os.getloadavg()[0]:.1f}"
