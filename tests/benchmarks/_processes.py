"""Run others' programs by the clock: their time on the processors, and an end to them if they hang."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.servers.process import descendants

LIMIT_S = 300.0
NICE = ("nice", "-n", "10")
"""Peers are as polite as our helpers are: else whatever runs beside the benchmark would take its time from ours alone."""
_TICKS = os.sysconf("SC_CLK_TCK")


class PeerFailed(Exception):
    """A peer did not do the work; the text is the end of what it said."""


def processor_s(pids: Iterable[int]) -> float:
    """Seconds that processes, what they started and what of that has ended spent on the processors."""
    return sum(_one_s(one) for pid in pids for one in (pid, *descendants(pid)))


def _one_s(pid: int) -> float:
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(int(field) for field in fields[11:15]) / _TICKS
    return 0.0


def run_program(command: Sequence[str], env: Mapping[str, str], given: str = "") -> float:
    """Run a program to its end and give its processor seconds.

    Raises:
        PeerFailed: it says that it failed, or does not end.
    """
    before = os.times()
    try:
        done = subprocess.run(
            command,
            env=dict(env),
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
        )
    except subprocess.TimeoutExpired as exc:
        raise PeerFailed(f"{Path(command[0]).name} did not end within {LIMIT_S:.0f} s") from exc
    if done.returncode != 0:
        raise PeerFailed(f"{Path(command[0]).name} ended with {done.returncode}: {done.stdout[-1500:]}")
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


class LibraryPeer:
    """A process that stays warm between the turns; see `_library_peer`."""

    def __init__(
        self, python: str, env: Mapping[str, str], library: str, kind: str, options: Mapping[str, Any]
    ) -> None:
        program = Path(__file__).with_name("_library_peer.py")
        self._process = subprocess.Popen(
            [*NICE, python, "-P", str(program)], env=dict(env), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.library = library
        self.tell(do="connect", library=library, kind=kind, options=dict(options))

    @property
    def pid(self) -> int:
        return self._process.pid

    def tell(self, **words: Any) -> float:
        """Have it do something and wait; gives its processor seconds.

        Raises:
            PeerFailed: it could not, or is gone.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        before = processor_s([self.pid])
        try:
            self._process.stdin.write(json.dumps(words) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except OSError as exc:
            raise PeerFailed(f"{self.library} is gone") from exc
        if line.strip() != "ok":
            raise PeerFailed(f"{self.library}: {line.strip() or 'it is gone'}")
        return processor_s([self.pid]) - before

    def stop(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
