"""Start a server as a child that cannot outlive the tests, and wait until it answers."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
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
    """A port that nobody listens on, with the ports at the offsets `also` free as well.

    It lies below the system's own range for outgoing connections: one of those could otherwise take the port before the
    server binds it, or while a server is down between a stop and a start.
    """
    ceiling = _first_outgoing_port() - max(also, default=0)
    for _attempt in range(500):
        port = random.randrange(10_240, max(ceiling, 20_000))
        if all(_is_free(port + offset) for offset in (0, *also)):
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
    """One or several programs in a folder of their own. A context manager; `stop` may be called twice.

    Start it from a thread that lives as long as it should: the system kills the programs when that thread ends.

    Args:
        name: for messages and the folder.
        parent: where its folder is made (`/dev/shm` for measurements); None: the system's temporary folder.
    """

    stop_signal = signal.SIGTERM

    def __init__(self, name: str, parent: Path | None = None) -> None:
        self.name = name
        self.folder = Path(tempfile.mkdtemp(prefix=f"keg-{name}-", dir=parent))
        self.processes: list[subprocess.Popen[bytes]] = []

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """The program started last, None after a stop."""
        return self.processes[-1] if self.processes else None

    @property
    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def run(
        self,
        command: Sequence[str],
        is_ready: Callable[[], bool],
        env: Mapping[str, str] | None = None,
        *,
        pass_fds: tuple[int, ...] = (),
        given: bytes | None = None,
    ) -> None:
        """Start a program and wait until it is ready; `given` is what it reads as standard input."""
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL if given is None else subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(os.environ if env is None else env),
                pass_fds=pass_fds,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        self.processes.append(process)
        if process.stdin is not None:
            with process.stdin as pipe:
                pipe.write(given or b"")
        end = time.monotonic() + START_S
        while not is_ready():
            if process.poll() is not None or time.monotonic() > end:
                self.stop_process()
                raise ServerDidNotStart(f"{self.name} did not start:\n{self.log[-4000:]}")
            time.sleep(0.02)

    def stop_process(self) -> None:
        """End the programs, and with them every process that they started: connections, too, are gone then."""
        processes, self.processes = self.processes, []
        for process in reversed(processes):
            started = descendants(process.pid)
            if process.poll() is None:
                process.send_signal(self.stop_signal)
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for pid in started:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        self.stop_process()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def descendants(pid: int) -> list[int]:
    """The ids of all processes below one, as they are now."""
    found: list[int] = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            ids = [int(word) for word in children.read_text().split()]
        except OSError:
            continue
        for child in ids:
            found += [child, *descendants(child)]
    return found


def die_with_parent() -> None:
    """Have the system kill this process when its parent ends; a fork does not inherit it."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _first_outgoing_port() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        return 32_768


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
