"""The window while 1 GiB goes up and 1 GiB comes down: delays of its event loop, late frames, memory of all processes.

`packaging/bench responsiveness [--kind s3|sftp|azure] [--mib 1024] [--json PATH]`. The whole program runs on a virtual screen
against a real server on this machine, which takes its share of the processors. A timer of 4 ms measures how late the event loop
serves it; a frame is late when the loop was held for more than 16 ms. Beside it the same window with nothing to do.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.servers.azurite import Azurite
from tests.servers.seaweed import Seaweed
from tests.servers.sshd import Sshd
from tests.servers.xvfb import Xvfb

ROOT = Path(__file__).resolve().parents[2]
MIB = 1024 * 1024
FRAME_MS = 16.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=("s3", "sftp", "azure"), default="sftp")
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--json", default="")
    parser.add_argument("--inside", default="", help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.inside:
        _run_inside(json.loads(Path(words.inside).read_text()))
        return
    rows = _run_outside(words.kind, words.mib)
    print(f"{'work':34} {'p50':>6} {'p99':>7} {'max':>7} {'late':>8} {'MiB/s':>7} {'window':>8} {'helpers':>8}")
    for row in rows:
        print(
            f"{row['work']:34} {row['p50_ms']:6.1f} {row['p99_ms']:7.1f} {row['max_ms']:7.1f} {row['late_percent']:7.2f}%"
            f" {row['mib_per_s']:7.0f} {row['window_mib']:4.0f} MiB {row['helpers_mib']:4.0f} MiB"
        )
    if words.json:
        Path(words.json).write_text(json.dumps(rows, indent=1))


def _run_outside(kind: str, mib: int) -> list[dict[str, Any]]:
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="keg-bench-", dir=_fast_folder())))
        screen = Xvfb()
        stack.enter_context(screen)
        task = {"options": _options(kind, stack), "kind": kind, "mib": mib, "home": str(home)}
        result = home / "result.json"
        (home / "task.json").write_text(json.dumps(task | {"result": str(result)}))
        env = {**os.environ, "HOME": str(home), "DISPLAY": screen.start(), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "tests.benchmarks.responsiveness", "--inside", str(home / "task.json")]
        subprocess.run(command, cwd=ROOT, env=env, check=True, timeout=900)
        rows: list[dict[str, Any]] = json.loads(result.read_text())
    return rows


def _fast_folder() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def _options(kind: str, stack: ExitStack) -> dict[str, str]:
    if kind == "sftp":
        server = stack.enter_context(Sshd())
        address = server.start()
        return {
            "host": address.host,
            "port": str(address.port),
            "username": address.username,
            "auth": "key",
            "key_filename": address.key_file,
            "known_hosts": address.known_hosts_file,
            "target": f"{address.root.lstrip('/')}/",
        }
    if kind == "s3":
        s3 = stack.enter_context(Seaweed()).start()
        keys = {"access_key_id": s3.admin.access_key, "secret_access_key": s3.admin.secret_key}
        return {"endpoint": s3.endpoint, "target": "bench/"} | keys
    azure = stack.enter_context(Azurite(in_memory=False)).start()
    return {"account": azure.account, "key": azure.key, "endpoint": azure.endpoint, "target": "bench/"}


def _run_inside(task: dict[str, Any]) -> None:
    from PySide6.QtCore import QTimer

    from kegbrowser.app import Application, run_window
    from kegbrowser.backends.locations import RemotePath
    from kegbrowser.profiles.connections import Connection
    from tests.benchmarks._meter import Meter, pause, wait_until

    def drive(application: Application) -> None:
        window_pid, home, size = os.getpid(), Path(task["home"]), task["mib"] * MIB
        options = dict(task["options"])
        target = options.pop("target")
        connection = Connection.new(task["kind"], "Bench", options)
        application.connections.save(connection, options)
        wait_until(lambda: application.listing.folder is not None, 20)
        wait_until(lambda: application.connections.get(connection.connection_id) is not None, 20)
        folder = RemotePath.folder(connection.connection_id, target)
        if task["kind"] != "sftp":
            application.operations.make_folder(RemotePath.folder(connection.connection_id), target.rstrip("/"))
        up, down = home / "up.bin", home / "down"
        down.mkdir()
        _write_random(up, size)
        queue = application.queue
        pause(1.5)  # the first listings and the Playground settle

        def busy() -> bool:
            return any(not one.state.is_final for one in queue.transfers())

        queue.upload((str(up),), folder, rename_to="first.bin")
        wait_until(lambda: not busy(), 300)
        _check(queue)
        idle = Meter(application)
        pause(3)
        rows = [_row("nothing to do", idle.delays_ms, 0.0, [_memory(window_pid)])]

        meter = Meter(application)
        memory: list[tuple[int, int]] = []
        sampler = QTimer(application)
        sampler.setInterval(250)
        sampler.timeout.connect(lambda: memory.append(_memory(window_pid)))
        sampler.start()
        began = time.monotonic()
        queue.upload((str(up),), folder, rename_to="second.bin")
        queue.download((folder.join("first.bin", is_folder=False),), str(down))
        wait_until(lambda: not busy(), 600)
        took = time.monotonic() - began
        sampler.stop()
        _check(queue)
        assert (down / "first.bin").stat().st_size == size
        name = f"{task['kind']}: {task['mib']} MiB up and down at once"
        rows.append(_row(name, meter.delays_ms, 2 * task["mib"] / took, memory))
        Path(task["result"]).write_text(json.dumps(rows))
        application.window.close()

    def started(application: Application) -> None:
        QTimer.singleShot(1500, application, lambda: drive(application))

    run_window([], started)


def _check(queue: Any) -> None:
    bad = [one for one in queue.transfers() if one.state.value != "done"]
    assert not bad, bad


def _row(work: str, delays_ms: list[float], rate: float, memory: list[tuple[int, int]]) -> dict[str, Any]:
    ordered = sorted(delays_ms)
    count = len(ordered)
    return {
        "work": work,
        "ticks": count,
        "p50_ms": ordered[count // 2],
        "p99_ms": ordered[count * 99 // 100],
        "max_ms": ordered[-1],
        "late_percent": 100.0 * sum(delay > FRAME_MS for delay in ordered) / count,
        "mib_per_s": rate,
        "window_mib": max(window for window, _helpers in memory) / MIB,
        "helpers_mib": max(helpers for _window, helpers in memory) / MIB,
    }


def _memory(window_pid: int) -> tuple[int, int]:
    """Resident bytes of the window and of its children; shared pages count in each."""
    children = Path(f"/proc/{window_pid}/task/{window_pid}/children").read_text().split()
    return _resident(str(window_pid)), sum(_resident(pid) for pid in children) + _grandchildren(window_pid, children)


def _grandchildren(window_pid: int, known: list[str]) -> int:
    """Helpers started by a job's thread stand below that thread."""
    total = 0
    for thread in Path(f"/proc/{window_pid}/task").iterdir():
        try:
            pids = (thread / "children").read_text().split()
        except OSError:
            continue
        total += sum(_resident(pid) for pid in pids if pid not in known)
    return total


def _resident(pid: str) -> int:
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _write_random(path: Path, size: int) -> None:
    with path.open("wb") as file:
        for _piece in range(size // MIB):
            file.write(os.urandom(MIB))


if __name__ == "__main__":
    main()
