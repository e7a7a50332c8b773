"""Memory of the window and its helpers, and its late frames, while it moves much over every protocol."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks._measure import Ratio
from tests.benchmarks._processes import PeerFailed
from tests.benchmarks._sites import Site, remote_base
from tests.benchmarks._tools import ROOT
from tests.servers.process import descendants
from tests.servers.xvfb import Xvfb

MIB = 1024 * 1024
MEMORY_MIB = 400.0
LATE_PERCENT = 1.0
SAMPLE_S = 0.5
LIMIT_S = 1500.0


@dataclass(frozen=True, slots=True)
class Sample:
    """At a time (as `time.time`): the window's and its helpers' memory in bytes, shared pages divided among those who share."""

    at: float
    window: int
    helpers: int


class _Sampler(threading.Thread):
    """Looks from outside, so that looking costs the window no frame."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.samples: list[Sample] = []
        self._pid = pid
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(SAMPLE_S):
            helpers = sum(_share(one) for one in descendants(self._pid))
            self.samples.append(Sample(time.time(), _share(self._pid), helpers))

    def stop(self) -> None:
        self._ended.set()
        self.join()


def measure_window(sites: list[Site], big: Path, tree: Path, total_mib: int, folder: Path) -> list[Ratio]:
    """Move `total_mib` and the small files up and down in a real window on a screen of its own.

    Raises:
        PeerFailed: the window failed, or does not end.
    """
    home = folder / "window"
    home.mkdir()
    result = home / "result.json"
    steps = _steps(sites, big, tree, total_mib)
    task = {
        "connections": [_connection(site) for site in sites],
        "steps": steps,
        "home": str(home),
        "result": str(result),
    }
    (home / "task.json").write_text(json.dumps(task))
    with ExitStack() as stack:
        screen = stack.enter_context(Xvfb())
        env = {key: value for key, value in os.environ.items() if not key.startswith(("XDG_", "DBUS_", "WAYLAND_"))}
        env |= {"HOME": str(home), "DISPLAY": screen.start(), "PYTHONPATH": str(ROOT), "QT_QPA_PLATFORM": "xcb"}
        command = [sys.executable, "-m", "tests.benchmarks._window_inside", str(home / "task.json")]
        window = subprocess.Popen(command, cwd=ROOT, env=env)
        sampler = _Sampler(window.pid)
        sampler.start()
        try:
            window.wait(LIMIT_S)
        except subprocess.TimeoutExpired as exc:
            raise PeerFailed("the window did not end") from exc
        finally:
            sampler.stop()
            for pid in [*descendants(window.pid), window.pid] if window.poll() is None else []:
                os.kill(pid, 9)
            window.wait()
    if not result.exists():
        failed = result.with_suffix(".failed")
        raise PeerFailed(f"the window failed: {failed.read_text() if failed.exists() else window.returncode}")
    return _ratios(json.loads(result.read_text()), sampler.samples, total_mib)


def _steps(sites: list[Site], big: Path, tree: Path, total_mib: int) -> list[dict[str, Any]]:
    each = big.stat().st_size // MIB
    steps: list[dict[str, Any]] = []
    left = total_mib
    while left > 0:
        site = sites[len(steps) % len(sites)]
        name = f"{site.kind}: {each} MiB up and down at once"
        down = big.name if left > each else ""
        steps.append({"name": name, "connection": site.kind, "up": str(big), "down": down, "is_folder": False})
        left -= 2 * each if down else each
    for site in sites:
        name = f"{site.kind}: {tree.name} up and down at once"
        steps.append({"name": name, "connection": site.kind, "up": str(tree), "down": tree.name, "is_folder": True})
    return steps


def _connection(site: Site) -> dict[str, Any]:
    spec = site.spec(site.port)
    return {"kind": spec.kind, "name": site.kind, "options": dict(spec.options), "target": remote_base(site)}


def _ratios(rows: list[dict[str, Any]], samples: list[Sample], total_mib: int) -> list[Ratio]:
    begin = rows[0]["ended"]
    for row in rows:
        during = [one for one in samples if begin - 0.1 <= one.at <= row["ended"]] or samples[-1:]
        window, helpers = max(one.window for one in during) / MIB, max(one.helpers for one in during) / MIB
        late = 100 * row["late"] / max(1.0, row["frames"])
        print(
            f"  {row['name']:44} {row['took_s']:6.1f} s   late {row['late']:4} of {row['frames']:6.0f} frames ({late:.2f} %),"
            f" p99 {row['p99_ms']:.1f} ms, max {row['max_ms']:.1f} ms   window {window:.0f} MiB, helpers {helpers:.0f} MiB"
        )
        begin = row["ended"]
    busy = rows[1:]
    moving = [one for one in samples if rows[0]["ended"] < one.at <= rows[-1]["ended"]]
    peak = max(one.window + one.helpers for one in moving) / MIB
    third = max(1, len(moving) // 3)
    first, last = (
        sum(one.window + one.helpers for one in some) / len(some) / MIB for some in (moving[:third], moving[-third:])
    )
    late_percent = 100 * sum(row["late"] for row in busy) / sum(row["frames"] for row in busy)
    took_s = sum(row["took_s"] for row in busy)
    print(f"  memory: at most {peak:.0f} MiB; first third {first:.0f} MiB, last third {last:.0f} MiB on average")
    print(f"  late frames: {late_percent:.2f} %")
    return [
        Ratio(
            f"memory during {total_mib:,} MiB ({peak:.0f} MiB)",
            "400 MiB",
            took_s,
            None,
            round(MEMORY_MIB / peak, 3),
            1.0,
        ),
        Ratio(
            f"late frames during all of it ({late_percent:.2f} %)",
            "1 %",
            took_s,
            None,
            round(LATE_PERCENT / max(late_percent, 0.001), 3),
            1.0,
        ),
    ]


def _share(pid: int) -> int:
    """The proportional share of a process, in bytes; 0 if it is gone."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:")), 0)
