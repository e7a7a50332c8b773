"""A person at the program: sees through the probe, acts by mouse and keys through the X server."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.servers.process import wait_until
from tests.servers.xvfb import Xvfb

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60.0


class Desktop:
    """The running program. A context manager: leaving it closes the window by its own quit.

    Args:
        screen: where it shows.
        home: its user's home folder.
        env: further environment (the keyring's).
    """

    def __init__(self, screen: Xvfb, home: Path, env: Mapping[str, str]) -> None:
        self._screen = screen
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
        self._env = (
            kept
            | {"HOME": str(home), "DISPLAY": screen.display, "PYTHONPATH": str(ROOT), "PYTHONFAULTHANDLER": "1"}
            | dict(env)
        )
        self._socket_path = str(home / "probe")
        self._program: subprocess.Popen[bytes] | None = None
        self._log = home.parent / "program.log"

    def __enter__(self) -> Self:
        Path(self._socket_path).unlink(missing_ok=True)
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "tests.end2end.driven", self._socket_path]
            self._program = subprocess.Popen(command, cwd=ROOT, env=self._env, stdout=log, stderr=log)
        wait_until(lambda: Path(self._socket_path).exists() or self._program_ended(), "The program's start", 30)
        assert not self._program_ended(), self.log
        self._peer = socket.socket(socket.AF_UNIX)
        self._peer.connect(self._socket_path)
        self._lines = self._peer.makefile("rwb")
        self.until(lambda state: state["connections"], "the first connections")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._program is not None
        try:
            if kind is None:
                self.key("ctrl+q")
                self._program.wait(15)
        finally:
            with suppress(OSError):
                self._lines.close()
            self._peer.close()
            if self._program.poll() is None:
                self._program.kill()
            self._program.wait()

    @property
    def log(self) -> str:
        return self._log.read_text("utf-8", "replace")

    @property
    def state(self) -> dict[str, Any]:
        answer: dict[str, Any] = self._ask("state")
        return answer

    def until(
        self, holds: Callable[[dict[str, Any]], object], what: str, patience_s: float = PATIENCE_S
    ) -> dict[str, Any]:
        """Wait until something is shown; gives the state then."""
        end = time.monotonic() + patience_s
        while True:
            state = self.state
            if holds(state):
                return state
            if time.monotonic() > end:
                raise AssertionError(
                    f"{what} did not come; shown is {json.dumps(state, indent=1)[:3000]}\n{self.log[-3000:]}"
                )
            time.sleep(0.05)

    def place(self, ask: str, **words: str) -> tuple[int, int]:
        """Where something is on the screen, once it is there and stays."""
        end, last = time.monotonic() + PATIENCE_S, None
        while time.monotonic() < end:
            found = self._ask(ask, **words)
            if found is not None and found == last:
                return found[0], found[1]
            last = found
            time.sleep(0.1)
        raise AssertionError(f"{ask} {words} is not shown; {json.dumps(self.state)[:2000]}")

    def click(self, ask: str, *, button: int = 1, **words: str) -> None:
        x, y = self.place(ask, **words)
        self._do("mousemove", "--sync", str(x), str(y), "click", str(button))
        time.sleep(0.15)

    def key(self, keys: str) -> None:
        self._do("key", "--clearmodifiers", keys)
        time.sleep(0.1)

    def type(self, text: str) -> None:
        self._do("type", "--clearmodifiers", "--delay", "4", text)
        time.sleep(0.1)

    def fill(self, name: str, text: str) -> None:
        """Replace the text of a field."""
        self.click("widget", name=name)
        self.key("ctrl+a")
        self.type(text)

    def drag_from_file_manager(self, folder: Path, target: tuple[int, int]) -> None:
        """Drag a local folder from another program's window to a point; a real drag through the X server."""
        x, y = 40, 860
        command = [sys.executable, "-m", "tests.end2end.drag_source", str(x), str(y), str(folder)]
        source = subprocess.Popen(command, cwd=ROOT, env=self._env, stderr=subprocess.DEVNULL)
        try:
            self._do("search", "--sync", "--pid", str(source.pid))
            time.sleep(0.8)
            self._drag((x + 60, y + 30), target)
        finally:
            source.kill()
            source.wait()

    def drag(self, start: tuple[int, int], end: tuple[int, int], *, modifier: str = "") -> None:
        """Drag from one place of the screen to another; `modifier` is held while the button is let go."""
        self._drag(start, end, modifier)

    def screenshot(self, path: Path) -> None:
        self._screen.screenshot(path)

    def _drag(self, start: tuple[int, int], end: tuple[int, int], modifier: str = "") -> None:
        """Slowly, as a hand does: the source must notice the start, the target must answer before the button is let go."""
        self._do("mousemove", "--sync", str(start[0]), str(start[1]))
        time.sleep(0.2)
        self._do("mousedown", "1")
        time.sleep(0.15)
        for pixels in (2, 4, 8, 14, 22):
            self._do("mousemove", str(start[0] + pixels), str(start[1] - pixels))
            time.sleep(0.06)
        for step in range(1, 11):
            x = start[0] + (end[0] - start[0]) * step // 10
            y = start[1] + (end[1] - start[1]) * step // 10
            self._do("mousemove", str(x), str(y))
            time.sleep(0.06)
        time.sleep(0.1)
        if modifier:
            self._do("keydown", modifier)
        self._do("mousemove", str(end[0] + 1), str(end[1]))
        time.sleep(0.5)
        self._do("mouseup", "1")
        if modifier:
            self._do("keyup", modifier)
        time.sleep(0.6)

    def _do(self, *words: str) -> None:
        subprocess.run(["xdotool", *words], env=self._env, check=True, capture_output=True, timeout=30)

    def _ask(self, ask: str, **words: str) -> Any:
        line = b""
        with suppress(BrokenPipeError, ConnectionResetError):
            self._lines.write((json.dumps({"ask": ask} | words) + "\n").encode())
            self._lines.flush()
            line = self._lines.readline()
        assert line, f"The program is gone:\n{self.log[-4000:]}"
        return json.loads(line)

    def _program_ended(self) -> bool:
        return self._program is not None and self._program.poll() is not None
