"""Cold start: `--version`, and the window's first paint beside an empty PySide6 window. `packaging/bench start [--repeats N]`."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from tests.servers.xvfb import Xvfb

ROOT = Path(__file__).resolve().parents[2]
LIMIT_MS = 200.0

_EMPTY = """
from PySide6.QtCore import QEvent, QTimer
from PySide6.QtWidgets import QApplication, QMainWindow
import os
class Window(QMainWindow):
    def paintEvent(self, event):
        super().paintEvent(event)
        print("painted", flush=True)
        os._exit(0)
app = QApplication([])
window = Window()
window.resize(1180, 760)
window.show()
app.exec()
"""

_OURS = """
import os, sys
from PySide6.QtCore import QEvent, QObject
from kegbrowser.app import run_window
HEAVY = ("boto3", "botocore", "azure", "paramiko", "keyring", "numpy", "urllib3", "requests")
class Watch(QObject):
    def eventFilter(self, watched, event):
        if event.type() == QEvent.Type.Paint:
            loaded = [name for name in HEAVY if name in sys.modules]
            print("painted", ",".join(loaded), flush=True)
            os._exit(0)
        return False
def started(application):
    global watch
    watch = Watch()
    application.browser.contents.viewport().installEventFilter(watch)
run_window([], started)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--json", default="")
    words = parser.parse_args()
    with Xvfb() as screen:
        display = screen.start()
        rows = _measure(display, words.repeats)
    print(f"{'work':36} {'ours ms':>9} {'beside ms':>10} {'more ms':>8}")
    for row in rows:
        print(f"{row['work']:36} {row['ours_ms']:9.0f} {row['peer_ms']:10.0f} {row['ours_ms'] - row['peer_ms']:8.0f}")
    print(
        f"SDKs imported before the first paint: {rows[1]['loaded'] or 'none'}; limit: {LIMIT_MS:.0f} ms more than empty"
    )
    if words.json:
        Path(words.json).write_text(json.dumps(rows, indent=1))


def _measure(display: str, repeats: int) -> list[dict[str, Any]]:
    home = tempfile.mkdtemp(prefix="keg-start-")
    env = {**os.environ, "DISPLAY": display, "HOME": home, "PYTHONPATH": str(ROOT), "QT_QPA_PLATFORM": "xcb"}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    cases = {
        "version": [sys.executable, "-m", "kegbrowser", "--version"],
        "nothing": [sys.executable, "-c", "pass"],
        "ours": [sys.executable, "-c", _OURS],
        "empty": [sys.executable, "-c", _EMPTY],
    }
    times: dict[str, list[float]] = {name: [] for name in cases}
    loaded = ""
    for turn in range(repeats + 1):
        for name, command in cases.items():
            took, line = _time_to_line(command, env)
            if turn:  # the first turn fills the caches of the disk and of byte code, and makes the Playground
                times[name].append(took)
            if name == "ours":
                loaded = line.removeprefix("painted").strip()
    middle = {name: median(values) * 1000 for name, values in times.items()}
    return [
        {"work": "kegbrowser --version / python -c pass", "ours_ms": middle["version"], "peer_ms": middle["nothing"]},
        {
            "work": "first paint / empty window",
            "ours_ms": middle["ours"],
            "peer_ms": middle["empty"],
            "loaded": loaded,
            "limit_more_ms": LIMIT_MS,
        },
    ]


def _time_to_line(command: list[str], env: dict[str, str]) -> tuple[float, str]:
    began = time.perf_counter()
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        line = program.stdout.readline()
        if "painted" not in line:
            program.wait()
        took = time.perf_counter() - began
    return took, line


if __name__ == "__main__":
    main()
