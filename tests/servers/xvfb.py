"""A virtual screen with a window manager."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.servers.process import Server, find_program, wait_until


class Xvfb(Server):
    """Args: size: of the screen, as WIDTHxHEIGHT."""

    def __init__(self, size: str = "1400x950") -> None:
        super().__init__("screen")
        self._size = size
        self._manager: subprocess.Popen[bytes] | None = None
        self.display = ""

    def start(self) -> str:
        """Start and give the DISPLAY."""
        read_end, write_end = os.pipe()
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            [
                find_program("Xvfb"),
                "-displayfd",
                str(write_end),
                "-screen",
                "0",
                f"{self._size}x24",
                "-nolisten",
                "tcp",
            ],
            pass_fds=(write_end,),
            stdout=log,
            stderr=log,
        )
        os.close(write_end)
        with os.fdopen(read_end) as numbers:
            self.display = f":{numbers.readline().strip()}"
        log.close()
        env = os.environ | {"DISPLAY": self.display}
        quiet = subprocess.DEVNULL
        self._manager = subprocess.Popen([find_program("openbox")], env=env, stdout=quiet, stderr=quiet)
        wait_until(self._is_managed, "The window manager's start", 15)
        return self.display

    def screenshot(self, path: Path) -> None:
        """Write the whole screen as a PNG."""
        command = [find_program("import"), "-silent", "-window", "root", str(path)]
        subprocess.run(command, env=os.environ | {"DISPLAY": self.display}, check=True, capture_output=True)

    def stop(self) -> None:
        if self._manager is not None:
            self._manager.terminate()
            self._manager.wait()
            self._manager = None
        super().stop()

    def _is_managed(self) -> bool:
        command = [find_program("xprop"), "-display", self.display, "-root", "_NET_SUPPORTING_WM_CHECK"]
        answer = subprocess.run(command, capture_output=True, check=False)
        return b"window id" in answer.stdout
