"""A virtual screen with a window manager."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.servers.process import Server, ServerDidNotStart, find_program

TRIES = 4


class Xvfb(Server):
    """Args: size: of the screen, as WIDTHxHEIGHT."""

    def __init__(self, size: str = "1400x950") -> None:
        super().__init__("screen")
        self._size = size
        self.display = ""

    @property
    def env(self) -> Mapping[str, str]:
        """This process's environment with the display in it, for programs that are to show there."""
        without_wayland = {key: value for key, value in os.environ.items() if key != "WAYLAND_DISPLAY"}
        return without_wayland | {"DISPLAY": self.display, "QT_QPA_PLATFORM": "xcb"}

    def start(self) -> str:
        """Start and give the DISPLAY. Two that start at once may agree on one number: the loser tries another."""
        for _attempt in range(TRIES - 1):
            try:
                return self._start_once()
            except ServerDidNotStart:
                self.stop_process()
        return self._start_once()

    def _start_once(self) -> str:
        read_end, write_end = os.pipe()
        screen = ["-displayfd", str(write_end), "-screen", "0", f"{self._size}x24", "-nolisten", "tcp"]
        try:
            self.run([find_program("Xvfb"), *screen], lambda: True, pass_fds=(write_end,))
        finally:
            os.close(write_end)
        with os.fdopen(read_end) as numbers:
            number = numbers.readline().strip()
        if not number:
            raise ServerDidNotStart(f"Xvfb did not start:\n{self.log}")
        self.display = f":{number}"
        self.run([find_program("openbox"), "--sm-disable"], self._is_managed, self.env)
        return self.display

    def screenshot(self, path: Path) -> None:
        """Write the whole screen as a picture: a PNG, or whatever the name says."""
        command = [find_program("import"), "-silent", "-window", "root", str(path)]
        subprocess.run(command, env=self.env, check=True, capture_output=True)

    def xdotool(self, *words: object) -> str:
        """Move the pointer, press keys, find windows: one call of xdotool, and what it prints."""
        command = [find_program("xdotool"), *(str(word) for word in words)]
        return subprocess.run(command, env=self.env, check=True, capture_output=True, text=True).stdout

    def _is_managed(self) -> bool:
        command = [find_program("xprop"), "-display", self.display, "-root", "_NET_SUPPORTING_WM_CHECK"]
        answer = subprocess.run(command, capture_output=True, check=False)
        return b"window id" in answer.stdout
