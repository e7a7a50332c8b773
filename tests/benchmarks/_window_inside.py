"""Run inside the window's process: connect, move what the task says, one step after the other, and measure the event loop.

The task is a JSON file: `connections` (kind and options of each), `steps` (what goes up and down at once), `result` (its path).
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from PySide6.QtCore import QTimer

from kegbrowser.app import Application, run_window
from kegbrowser.backends.locations import RemotePath
from kegbrowser.profiles.connections import Connection
from tests.benchmarks._meter import FRAMES_PER_S, Meter, pause, wait_until

STEP_S = 300.0


class _Drive:
    """Does the steps on the window's own thread, as a user would have them done."""

    def __init__(self, application: Application, task: dict[str, Any]) -> None:
        self._application = application
        self._task = task
        self._folders: dict[str, RemotePath] = {}
        self._number = 0

    def run(self) -> None:
        for one in self._task["connections"]:
            connection = Connection.new(one["kind"], one["name"], one["options"])
            self._application.connections.save(connection, one["options"])
            wait_until(lambda wanted=connection: self._has(wanted), 20)  # type: ignore[misc]
            self._folders[one["name"]] = RemotePath.folder(connection.connection_id, one["target"])
        pause(1.5)
        idle = Meter(self._application)
        pause(3)
        idle.stop()
        rows = [{"name": "nothing to do", "ended": time.time(), **_facts(idle, 3.0)}]
        rows += [self._step(step) for step in self._task["steps"]]
        Path(self._task["result"]).write_text(json.dumps(rows))

    def _has(self, connection: Connection) -> bool:
        return self._application.connections.get(connection.connection_id) is not None

    def _step(self, step: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        queue, folder = self._application.queue, self._folders[step["connection"]]
        down = Path(self._task["home"]) / f"down-{self._number}"
        down.mkdir()
        meter = Meter(self._application)
        began = time.monotonic()
        if step["up"]:
            queue.upload((step["up"],), folder, rename_to=f"window-{self._number}")
        if step["down"]:
            queue.download((folder.join(step["down"], is_folder=step["is_folder"]),), str(down))
        wait_until(lambda: all(one.state.is_final for one in queue.transfers()), STEP_S)
        took_s = time.monotonic() - began
        meter.stop()
        bad = [f"{one.names}: {one.state} {one.error}" for one in queue.transfers() if one.state.value != "done"]
        assert not bad, bad
        moved = sum(path.stat().st_size for path in down.rglob("*") if path.is_file())
        shutil.rmtree(down)
        queue.remove_ended()
        return {"name": step["name"], "ended": time.time(), "down_bytes": moved, **_facts(meter, took_s)}


def _facts(meter: Meter, took_s: float) -> dict[str, Any]:
    ordered = sorted(meter.delays_ms) or [0.0]
    return {
        "took_s": took_s,
        "late": meter.late(),
        "frames": took_s * FRAMES_PER_S,
        "p99_ms": ordered[len(ordered) * 99 // 100],
        "max_ms": ordered[-1],
    }


def main(task_path: str) -> None:
    task = json.loads(Path(task_path).read_text())

    def started(application: Application) -> None:
        QTimer.singleShot(1500, application, lambda: drive(application))

    def drive(application: Application) -> None:
        try:
            _Drive(application, task).run()
        except BaseException as exc:  # PySide would print it and leave the window open
            Path(task["result"]).with_suffix(".failed").write_text(f"{type(exc).__name__}: {exc}")
            os._exit(1)
        application.window.close()

    run_window([], started)


if __name__ == "__main__":
    main(sys.argv[1])
