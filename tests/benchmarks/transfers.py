"""Our transfers beside others' on the same servers: `packaging/bench transfers [--row WORDS] [--repeats N] [--json PATH]`.

All take turns at the same work, each time from and to fresh names, and what each left is compared with its source. Ours is the
engine in a warm helper process, as the window runs it; a library is warm as well, a program starts anew as it does for its user,
and beside them stands our own command line, which starts anew, too. A ratio says how many times as fast as the peer we are.

The server is named in each row: where a real one (SeaweedFS, OpenSSH) would be what limits everybody, and in all Azure rows
(Azurite is far slower than its clients), it is a small test server of our own, see `_fast_server`. All data lies in memory.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.benchmarks._fast_server import FastServer
from tests.benchmarks._measure import Ratio, table
from tests.benchmarks._ours import CommandLine, Engine
from tests.benchmarks._processes import PeerFailed
from tests.benchmarks._race import COLD, OURS, Course, Race, load
from tests.benchmarks._sites import CIPHER, ContentDiffers, FastSite, SeaweedSite, Site, SshdSite
from tests.benchmarks._tools import Ground, Peer, make_peer, versions
from tests.benchmarks._window import measure_window
from tests.servers.delaying_proxy import DelayingProxy
from tests.servers.seaweed import Seaweed
from tests.servers.sshd import Sshd

MIB = 1024 * 1024
SMALL_BYTES = 16 * 1024
FILES_A_FOLDER = 1000
ROUND_TRIP_S = 0.04

S3_DOWN = {"s5cmd": 1.0, "obstore": 1.0, "rclone": 1.5, "s3transfer": 3.0}
S3_UP = {"s5cmd": 1.0, "obstore": 1.0, "rclone": 1.0, "aws CLI": 1.0, "s3transfer": 3.0}
AZURE = {"azcopy": 1.0, "rclone": 1.0, "obstore": 1.0, "azure-sdk": 3.0}
SFTP_DOWN = {"sftp": 1.0, "rclone": 1.0, "paramiko": 2.0}
SFTP_UP = {"sftp": 1.2, "rclone": 1.2, "paramiko": 1.8}
BEST = {
    "s3": {"s5cmd": 1.0, "obstore": 1.0, "rclone": 1.0},
    "azure": {"azcopy": 1.0, "obstore": 1.0, "rclone": 1.0},
    "sftp": {"sftp": 1.0, "rclone": 1.0},
}


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table before it is measured; `server`: seaweed, fast or sshd."""

    title: str
    server: str
    kind: str
    is_down: bool
    is_tree: bool
    targets: dict[str, float]
    is_far: bool = False


def rows() -> Iterator[Row]:
    """All rows, in the order of the table."""
    yield Row("S3 download", "seaweed", "s3", True, False, S3_DOWN)
    yield Row("S3 download", "fast", "s3", True, False, S3_DOWN)
    yield Row("S3 upload", "fast", "s3", False, False, S3_UP)
    yield Row("Azure download", "fast", "azure", True, False, AZURE)
    yield Row("Azure upload", "fast", "azure", False, False, AZURE)
    yield Row("SFTP download", "sshd", "sftp", True, False, SFTP_DOWN)
    yield Row("SFTP upload", "sshd", "sftp", False, False, SFTP_UP)
    for is_down in (True, False):
        for kind, server in (("s3", "seaweed"), ("s3", "fast"), ("azure", "fast"), ("sftp", "sshd")):
            yield Row(f"{_label(kind)} {_way(is_down)}", server, kind, is_down, True, BEST[kind])
    for is_tree in (False, True):
        for kind, server in (("s3", "fast"), ("azure", "fast"), ("sftp", "sshd")):
            for is_down in (True, False):
                # One file after the other over a long way takes sftp minutes: it is not the best of anything there.
                targets = {name: 1.0 for name in BEST[kind] if not (is_tree and name == "sftp")}
                yield Row(f"{_label(kind)} {_way(is_down)}", server, kind, is_down, is_tree, targets, is_far=True)


def _label(kind: str) -> str:
    return {"s3": "S3", "azure": "Azure", "sftp": "SFTP"}[kind]


def _way(is_down: bool) -> str:
    return "download" if is_down else "upload"


class Lab:
    """The servers and the content, made when a row needs them."""

    def __init__(self, words: argparse.Namespace, stack: ExitStack) -> None:
        parent = "/dev/shm" if Path("/dev/shm").is_dir() else None
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="keg-bench-", dir=parent)))
        self._stack = stack
        self._words = words
        self._sites: dict[tuple[str, str], Site] = {}
        self._proxies: dict[int, DelayingProxy] = {}
        self._big: Path | None = None
        self._trees: dict[int, Path] = {}

    def name_of(self, row: Row) -> str:
        amount = f"{self.files(row):,} x 16 KiB" if row.is_tree else f"{self._words.size:,} MiB"
        server = {"seaweed": "SeaweedFS", "fast": "test server", "sshd": "OpenSSH"}[row.server]
        far = f", {ROUND_TRIP_S * 1000:.0f} ms" if row.is_far else ""
        return f"{row.title} {amount}{far} ({server})"

    def files(self, row: Row) -> int:
        return int(self._words.files // 10 if row.is_far else self._words.files)

    def course(self, row: Row) -> tuple[Course, int, list[int]]:
        """The course, the port to go to, and the proxy's processes."""
        site = self._site(row.server, row.kind)
        big, tree = self.content_big(), self.content_tree(self._words.files)
        site.publish(big, tree)
        if row.is_far and row.is_tree:
            tree = self.content_tree(self.files(row))
            site.publish_tree(tree)
        course = Course(self.name_of(row), site, row.is_down, row.is_tree, big, tree, row.targets)
        if not row.is_far:
            return course, site.port, []
        proxy = self._proxies.get(site.port)
        if proxy is None:
            proxy = self._stack.enter_context(DelayingProxy(site.port, delay_s=ROUND_TRIP_S / 2))
            proxy.start()
            self._proxies[site.port] = proxy
        return course, proxy.port, [process.pid for process in proxy.processes]

    def _site(self, server: str, kind: str) -> Site:
        site = self._sites.get((server, kind))
        if site is None:
            site = self._sites[server, kind] = self._start(server, kind)
        return site

    def _start(self, server: str, kind: str) -> Site:
        if server == "seaweed":
            seaweed = self._stack.enter_context(Seaweed(self.folder))
            seaweed.start()
            return SeaweedSite(seaweed)
        if server == "sshd":
            sshd = self._stack.enter_context(Sshd(parent=self.folder, options=(f"Ciphers {CIPHER}",)))
            sshd.start()
            return SshdSite(sshd)
        fast = self._stack.enter_context(FastServer(self.folder))
        fast.start()
        return FastSite(kind, fast)

    def content_big(self) -> Path:
        if self._big is None:
            self._big = self.folder / "big.bin"
            with self._big.open("wb") as file:
                for _piece in range(self._words.size):
                    file.write(random.randbytes(MIB))
        return self._big

    def content_tree(self, files: int) -> Path:
        if files not in self._trees:
            tree = self._trees[files] = self.folder / f"tree-{files}"
            for number in range(files):
                folder = tree / f"d{number // FILES_A_FOLDER:03}"
                if number % FILES_A_FOLDER == 0:
                    folder.mkdir(parents=True)
                (folder / f"f{number:06}.bin").write_bytes(random.randbytes(SMALL_BYTES))
        return self._trees[files]


def main(argv: list[str] | None = None) -> int:
    words = _words(argv)
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))  # whatever it started and wrote is removed
    ratios: list[Ratio] = []
    failed = False
    with ExitStack() as stack:
        lab = Lab(words, stack)
        print(f"peers: {versions()}; {os.cpu_count()} processors; load {load()}", flush=True)
        works = [(lab.name_of(row), functools.partial(_race, lab, row, words)) for row in rows()]
        works.append(
            (f"memory and late frames of the window, {words.window_mib:,} MiB", functools.partial(_window, lab, words))
        )
        for name, work in works:
            if words.row and not any(all(part in name for part in one.split()) for one in words.row):
                continue
            if words.list:
                print(name)
                continue
            began = time.monotonic()
            print(f"\n{name}   (load {load()})", flush=True)
            try:
                measured = work()
            except (PeerFailed, ContentDiffers, AssertionError) as exc:
                print(f"  FAILED: {exc}", flush=True)
                failed = True
                if not words.keep_going:
                    break
                continue
            ratios += measured
            print(table(measured, with_head=False))
            print(f"  (took {time.monotonic() - began:.0f} s, load {load()})", flush=True)
            _write(words.json, ratios)
    if not words.list:
        print("\n" + table(ratios))
    return 1 if failed or not all(ratio.is_met for ratio in ratios) else 0


def _race(lab: Lab, row: Row, words: argparse.Namespace) -> list[Ratio]:
    with ExitStack() as stack:
        course, port, more_pids = lab.course(row)
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="home-", dir=lab.folder)))
        ground = Ground(course.site, port, home)
        engine = Engine(ground)
        stack.callback(engine.close)
        runners: dict[str, Peer] = {OURS: engine, COLD: CommandLine(ground)}
        for name in row.targets:
            if not words.peer or name in words.peer:
                runners[name] = peer = make_peer(name, ground)
                if hasattr(peer, "close"):
                    stack.callback(peer.close)
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="down-", dir=lab.folder)))
        race = Race(course, runners, place, more_pids)
        ratios = race.run(words.repeats, print)
        print("\n".join(race.lines()))
        print(f"  ours was checked by: {engine.check}")
        return ratios


def _window(lab: Lab, words: argparse.Namespace) -> list[Ratio]:
    places = (("fast", "s3"), ("fast", "azure"), ("sshd", "sftp"))
    sites = [lab.course(Row("", server, kind, True, True, {}))[0].site for server, kind in places]
    return measure_window(sites, lab.content_big(), lab.content_tree(words.files), words.window_mib, lab.folder)


def _words(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--row", action="append", metavar="WORDS", help="only rows whose name has all these words; may be repeated"
    )
    parser.add_argument("--peer", action="append", metavar="NAME", help="only this peer; may be repeated")
    parser.add_argument("--list", action="store_true", help="show the rows")
    parser.add_argument("--size", type=int, default=1024, metavar="MIB", help="of the large file (1024)")
    parser.add_argument(
        "--files", type=int, default=10_000, help="of 16 KiB; a tenth of them over the long way (10,000)"
    )
    parser.add_argument(
        "--window-mib", type=int, default=10 * 1024, help="moved in the window for memory and frames (10,240)"
    )
    parser.add_argument("--repeats", type=int, default=3, help="turns that count, after one that does not (3)")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the table there as well, after each row")
    parser.add_argument("--keep-going", action="store_true", help="go on with the next row when ours fails")
    return parser.parse_args(argv)


def _write(path: Path | None, ratios: list[Ratio]) -> None:
    if path is not None:
        path.write_text(json.dumps([asdict(ratio) for ratio in ratios], indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
