"""Measure our way of doing a work and others' in turn, so that a busy machine is busy for all, and compare the medians.

A benchmark is a module with a `main()` that builds its works and calls `run`:

    def main() -> int:
        options = arguments(__doc__)
        with Sshd(parent=Path("/dev/shm")) as server:
            ...
            return run([Work("1 GiB down", ours, {"sftp": by_sftp}, target=1.0, between=empty_the_folder)], options)
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

OURS = "ours"


@dataclass(frozen=True, slots=True)
class Work:
    """Something that we and others do.

    Attributes:
        name: as it stands in the table, with its amount: "2,000 x 16 KiB up".
        ours, peers: each does the work once and returns when it is done; a failure is an exception.
        target: how many times as fast as the peers ours is to be; None: it is only told.
        between: runs before each turn, unmeasured: puts everything back, and may check what the last turn left.
    """

    name: str
    ours: Callable[[], object]
    peers: Mapping[str, Callable[[], object]]
    target: float | None = None
    between: Callable[[], object] | None = None


@dataclass(frozen=True, slots=True)
class Ratio:
    """One line of the table: medians in seconds, and the peer's divided by ours: how many times as fast as the peer we are.

    Where something else than time is limited, `peer_s` is None and the ratio is the limit divided by what was measured.
    """

    work: str
    peer: str
    ours_s: float
    peer_s: float | None
    ratio: float
    target: float | None

    @classmethod
    def of(cls, work: str, peer: str, ours_s: float, peer_s: float, target: float | None) -> Self:
        return cls(work, peer, round(ours_s, 4), round(peer_s, 4), round(peer_s / ours_s, 3), target)

    @property
    def is_met(self) -> bool:
        return self.target is None or self.ratio >= self.target


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    repeats: int = 5
    json_path: Path | None = None
    only: tuple[str, ...] = field(default=())


def arguments(description: str | None, argv: list[str] | None = None) -> Options:
    """Read the command line of a benchmark."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the table there as well")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each, after one that is not counted (5)")
    parser.add_argument("--only", action="append", default=[], metavar="WORDS", help="works whose name has these words")
    given = parser.parse_args(argv)
    return Options(max(1, given.repeats), given.json, tuple(given.only))


def run(works: Iterable[Work], options: Options) -> int:
    """Measure, print the table, write the JSON; gives 1 if a target is missed."""
    ratios: list[Ratio] = []
    for work in works:
        if not options.only or any(words in work.name for words in options.only):
            measured = compare(work, options.repeats)
            print(table(measured, with_head=not ratios), flush=True)
            ratios += measured
    if options.json_path is not None:
        options.json_path.write_text(json.dumps([asdict(ratio) for ratio in ratios], indent=2) + "\n")
    return 0 if all(ratio.is_met for ratio in ratios) else 1


def compare(work: Work, repeats: int) -> list[Ratio]:
    """Do the work in turn by all, `repeats` times after one turn to warm up, each round beginning with another one."""
    doers = {OURS: work.ours, **work.peers}
    times: dict[str, list[float]] = {name: [] for name in doers}
    names = list(doers)
    for turn in range(repeats + 1):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            if work.between is not None:
                work.between()
            begin = time.perf_counter()
            doers[name]()
            if turn > 0:
                times[name].append(time.perf_counter() - begin)
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    ours_s = medians[OURS]
    return [Ratio.of(work.name, peer, ours_s, medians[peer], work.target) for peer in work.peers]


def table(ratios: Iterable[Ratio], *, with_head: bool = True) -> str:
    """The lines of the table, aligned."""
    lines = [f"{'work':44} {'peer':14} {'ours s':>9} {'peer s':>9} {'ratio':>7} {'target':>7}"] if with_head else []
    for one in ratios:
        target = "" if one.target is None else f"{one.target:.2f}"
        peer_s = f"{'':9}" if one.peer_s is None else f"{one.peer_s:9.3f}"
        mark = "" if one.is_met else "  missed"
        lines.append(f"{one.work:44} {one.peer:14} {one.ours_s:9.3f} {peer_s} {one.ratio:7.2f} {target:>7}{mark}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit("This is no benchmark; see packaging/bench.")
