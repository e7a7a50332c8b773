"""The real program as a subprocess with a home of its own."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Ended:
    """How one command ended."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Standard output as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def row(self) -> dict[str, Any]:
        (row,) = self.rows
        return row

    def sentence(self) -> str:
        """The one line on standard error of a command that failed as expected."""
        (line,) = self.err.splitlines()
        assert line.startswith("kegbrowser: ")
        assert "Traceback" not in self.err
        return line


@dataclass(slots=True)
class CommandLine:
    """Runs `python -m kegbrowser`; nothing of the tester's own settings reaches it."""

    home: Path
    environment: dict[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()

    def run(self, *words: str, stdin: str = "", cwd: Path | None = None) -> Ended:
        """Run a command to its end."""
        return self._run(self._command(words), stdin, cwd)

    def python(self, program: str, stdin: str = "") -> Ended:
        """Run a Python program in the same surroundings."""
        return self._run([sys.executable, "-c", program], stdin, None)

    def _run(self, command: Sequence[str], stdin: str, cwd: Path | None) -> Ended:
        done = subprocess.run(
            command,
            input=stdin.encode(),
            capture_output=True,
            env=self._environment(),
            cwd=cwd or self.home,
            timeout=TIMEOUT_S,
            check=False,
        )
        return Ended(done.returncode, done.stdout.decode(errors="surrogateescape"), done.stderr.decode())

    def start(self, *words: str, stdin: str = "") -> subprocess.Popen[bytes]:
        """Start a command; the caller ends it."""
        running = subprocess.Popen(
            self._command(words),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self._environment(),
            cwd=self.home,
        )
        assert running.stdin is not None
        running.stdin.write(stdin.encode())
        running.stdin.close()
        running.stdin = None
        return running

    def at_terminal(self, words: Sequence[str], answers: Sequence[tuple[str, str]] = ()) -> tuple[str, int]:
        """Run a command at a pseudo terminal; each answer is typed once its text has been shown.

        Gives all that was shown, and the status.
        """
        ours, theirs = pty.openpty()
        running = subprocess.Popen(
            self._command(words),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=self._environment() | {"TERM": "xterm", "COLUMNS": "200"},
            cwd=self.home,
            start_new_session=True,
        )
        os.close(theirs)
        screen, waiting, seen = b"", list(answers), 0
        while select.select([ours], [], [], TIMEOUT_S)[0]:
            try:
                screen += os.read(ours, 65536)
            except OSError:  # how Linux says that the other side was closed
                break
            if waiting and waiting[0][0].encode() in screen[seen:]:
                seen = len(screen)
                os.write(ours, waiting.pop(0)[1].encode())
        os.close(ours)
        code = running.wait(TIMEOUT_S)
        assert not waiting, screen
        return screen.decode(errors="replace"), code

    def with_options(self, *options: str, environment: Mapping[str, str] | None = None) -> CommandLine:
        """The same, with options of a connection given after every verb."""
        return CommandLine(self.home, self.environment | dict(environment or {}), options)

    def _command(self, words: Sequence[str]) -> list[str]:
        return [sys.executable, "-m", "kegbrowser", *words[:1], *self.options, *words[1:]]

    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR", "SYSTEMROOT") if name in os.environ}
        package = str(Path(__file__).parents[2])
        return kept | {"HOME": str(self.home), "PYTHONPATH": package, "PYTHONWARNINGS": "error"} | self.environment


def interrupt(running: subprocess.Popen[bytes]) -> Ended:
    """Press Ctrl+C and wait for the end."""
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=TIMEOUT_S)
    return Ended(running.returncode, out.decode(errors="surrogateescape"), err.decode())
