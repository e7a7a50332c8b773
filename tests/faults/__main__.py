"""Every scene at many random points, on every protocol, and a table of how they ended: python -m tests.faults --points 20"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.conformance.place import Place
from tests.faults.kills import kill_helper
from tests.faults.rig import MIB, PAYLOAD, points
from tests.faults.scenes import EVERYWHERE, OVER_HTTP, Scene, Setting
from tests.servers.azurite import Azurite
from tests.servers.seaweed import Seaweed
from tests.servers.sshd import Sshd

KINDS = ("s3", "azure", "sftp")
ONCE = frozenset({"slow line", *OVER_HTTP})
"""Scenes that are the same at every point."""


class _Servers:
    """Gives the conformance suite's places their servers, as pytest's fixtures do."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._started: dict[str, Any] = {}
        self.param = ""

    def getfixturevalue(self, name: str) -> Any:
        if name not in self._started:
            makers: dict[str, Callable[[], Any]] = {
                "s3_server": Seaweed,
                "azure_server": Azurite,
                "sshd_server": Sshd,
                "read_only_sshd_server": lambda: Sshd(read_only=True),
            }
            server = self._stack.enter_context(makers[name]())
            self._started[name] = server.start()
        return self._started[name]


@contextmanager
def _place(kind: str, servers: _Servers) -> Iterator[Place]:
    with import_module(f"tests.conformance.fixtures.{kind}").open_place(servers) as place:
        yield place


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Let everything go wrong.")
    parser.add_argument("--points", type=int, default=20, help="random points for each scene")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--scenes", default="", help="only those whose name holds this")
    given = parser.parse_args()
    is_bad = False
    with ExitStack() as stack:
        servers = _Servers(stack)
        print(f"{'protocol':9} {'way':5} {'scene':22} {'good':>9} {'runs':>5} {'seconds':>8}", flush=True)
        for kind in given.kinds.split(","):
            scenes: dict[str, Scene] = EVERYWHERE | (OVER_HTTP if kind != "sftp" else {})
            for name, scene in scenes.items():
                if given.scenes in name:
                    for is_upload in (True, False):
                        count = 1 if name in ONCE else given.points
                        is_bad |= _play(kind, servers, name, scene, count, is_upload=is_upload)
            if given.scenes in "helper killed":
                for is_upload in (True, False):
                    is_bad |= _kill(kind, servers, given.points, is_upload=is_upload)
    return 1 if is_bad else 0


def _play(kind: str, servers: _Servers, name: str, scene: Scene, count: int, *, is_upload: bool) -> bool:
    good = runs = 0
    problems: list[str] = []
    began = time.monotonic()
    for point in points(count, f"{name} {kind} {is_upload} many"):
        with _place(kind, servers) as place, tempfile.TemporaryDirectory() as folder:
            ending = scene(Setting(place, Path(folder), is_upload), point)
        good += ending.is_good
        runs += ending.runs
        problems += [f"at {point:,}: {problem}" for problem in ending.problems]
    way = "up" if is_upload else "down"
    seconds = time.monotonic() - began
    print(f"{kind:9} {way:5} {name:22} {good:>4} of {count:<2} {runs:>5} {seconds:>8.1f}", flush=True)
    for problem in problems[:10]:
        print(f"    {problem}", flush=True)
    return bool(problems)


def _kill(kind: str, servers: _Servers, count: int, *, is_upload: bool) -> bool:
    problems: list[str] = []
    twice: list[int] = []
    began = time.monotonic()
    for point in points(count, f"kill {kind} {is_upload}"):
        with _place(kind, servers) as place, tempfile.TemporaryDirectory() as folder:
            killed = kill_helper(place, Path(folder), point, is_upload=is_upload)
        twice.append(killed.sent_twice)
        problems += [f"at {point:,}: {problem}" for problem in killed.problems]
    way, seconds = "up" if is_upload else "down", time.monotonic() - began
    most, middle = max(twice) / MIB, sorted(twice)[len(twice) // 2] / MIB
    good = count - len({problem.split(":")[0] for problem in problems})
    print(
        f"{kind:9} {way:5} {'helper killed (-9)':22} {good:>4} of {count:<2} {2 * count:>5} {seconds:>8.1f}", flush=True
    )
    print(f"    sent twice, of {PAYLOAD / MIB:.1f} MiB: {middle:.1f} MiB in the middle, {most:.1f} at most", flush=True)
    for problem in problems[:10]:
        print(f"    {problem}", flush=True)
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
