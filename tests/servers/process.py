"""Start a server as a child that cannot outlive the tests, and wait until it answers."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

HOST = "127.0.0.1"
START_S = 60.0
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform.startswith("linux") else None


class ServerDidNotStart(AssertionError):
    """A server that the tests need is missing or broken: that is a failure, never a reason to skip."""


def free_port(*, also: tuple[int, ...] = ()) -> int:
    """A port that nobody listens on, with the ports at the offsets `also` free as well."""
    for _attempt in range(200):
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port = int(probe.getsockname()[1])
        if port + max(also, default=0) < 65536 and all(_is_free(port + offset) for offset in also):
            return port
    raise ServerDidNotStart("No free port was found.")


def wait_until(is_ready: Callable[[], bool], what: str, timeout_s: float = START_S) -> None:
    """Wait until something holds; fails with its name."""
    end = time.monotonic() + timeout_s
    while not is_ready():
        if time.monotonic() > end:
            raise ServerDidNotStart(f"{what} did not happen within {timeout_s:.0f} s.")
        time.sleep(0.02)


def answers(port: int) -> bool:
    """Whether somebody takes connections on a port."""
    try:
        with socket.create_connection((HOST, port), timeout=1):
            return True
    except OSError:
        return False


def find_program(name: str, *places: str) -> str:
    """The path of a program; fails if it is not installed."""
    for place in places:
        if Path(place).is_file():
            return place
    found = shutil.which(name)
    if found is None:
        raise ServerDidNotStart(f"{name} is not installed; packaging/test installs it.")
    return found


class Server:
    """A server in a folder of its own. A context manager; `stop` may be called twice.

    Args:
        name: for messages and the folder.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.folder = Path(tempfile.mkdtemp(prefix=f"keg-{name}-"))
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def run(self, command: Sequence[str], is_ready: Callable[[], bool], env: Mapping[str, str] | None = None) -> None:
        """Start the program and wait until it is ready."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(os.environ if env is None else env),
                preexec_fn=_die_with_parent,
            )
        end = time.monotonic() + START_S
        while not is_ready():
            if self.process.poll() is not None or time.monotonic() > end:
                self.stop_process()
                raise ServerDidNotStart(f"{self.name} did not start:\n{self.log[-4000:]}")
            time.sleep(0.02)

    def stop_process(self) -> None:
        """End the program, gently first."""
        process, self.process = self.process, None
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def stop(self) -> None:
        self.stop_process()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _die_with_parent() -> None:
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
