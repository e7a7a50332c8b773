"""The terminal: lines, questions, the line of progress. Main thread only."""

from __future__ import annotations

import getpass
import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TextIO

from kegbrowser.commands.outcome import UsageError
from kegbrowser.services.speed import SpeedMeter
from kegbrowser.transfer.events import Counted, Progress

REDRAW_S = 0.1
_ERASE = "\r\x1b[K"
_JOINERS = "\u200c\u200d"  # within emoji and Indic or Persian words


class Console:
    """Standard input, output and error of this process.

    Results go to standard output; all else, progress and questions too, to standard error, and only if it is a terminal.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._out: TextIO = sys.stdout
        self._err: TextIO = sys.stderr
        for stream in (self._out, self._err):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="surrogateescape")  # names that are not UTF-8 come out as they are
        self._out_is_terminal = self._out.isatty()
        self._shows_progress = self._err.isatty()
        self._can_ask = sys.stdin.isatty() and self._err.isatty()
        self._speed = SpeedMeter(time.monotonic)
        self._is_drawn = False
        self._drawn_at = 0.0

    @property
    def can_ask(self) -> bool:
        """Whether a person is there to answer."""
        return self._can_ask

    def line(self, text: str) -> None:
        """Write one line of the result. On a terminal, control characters in names are shown as `\\x1b`."""
        self.clear()
        self._out.write(f"{printable(text) if self._out_is_terminal else text}\n")
        if self._out_is_terminal:
            self._out.flush()

    def json_line(self, value: Mapping[str, object]) -> None:
        """Write one JSON object in one line, in ASCII: so any byte of a name survives any terminal and pipe."""
        self.clear()
        self._out.write(json.dumps(value) + "\n")

    def say(self, text: str) -> None:
        """Write a line for people to standard error."""
        self.clear()
        self._err.write(f"{printable(text)}\n")
        self._err.flush()

    def complain(self, text: str) -> None:
        """Write an error to standard error."""
        self.say(f"kegbrowser: {text}")

    def note(self, text: str) -> None:
        """Write a line for people, if one is there to read it."""
        if self._shows_progress:
            self.say(text)

    def ask(self, prompt: str, choices: Sequence[str]) -> str:
        """Ask until the answer is one of `choices`; the first is what just Enter means.

        Raises:
            UsageError: nobody is there to answer.
        """
        while True:
            answer = self._read_line(f"{prompt} ").strip() or choices[0]
            if answer in choices:
                return answer
            self.say(f"Please answer {', '.join(choices)}.")

    def ask_secret(self, prompt: str) -> str:
        """Ask for a secret without showing it."""
        self._need_person()
        self.clear()
        return getpass.getpass(f"{printable(prompt)}: ", stream=self._err)

    def progress(self, event: Progress | Counted) -> None:
        """Draw how far a job is, at most ten times a second."""
        if not self._shows_progress:
            return
        now = time.monotonic()
        if isinstance(event, Progress):
            self._speed.add(event.bytes_moved)
        if self._is_drawn and now - self._drawn_at < REDRAW_S:
            return
        text = printable(
            progress_text(event, self._speed) if isinstance(event, Progress) else counted_text(event) + " ..."
        )
        width = max(20, shutil.get_terminal_size().columns - 1)
        self._err.write(f"{_ERASE}{text if len(text) <= width else text[: width - 3] + '...'}")
        self._err.flush()
        self._is_drawn, self._drawn_at = True, now

    def begin_job(self) -> None:
        """Forget the speed of the job before."""
        self._speed = SpeedMeter(time.monotonic)

    def clear(self) -> None:
        """Take the line of progress away."""
        if self._is_drawn:
            self._err.write(_ERASE)
            self._err.flush()
            self._is_drawn = False

    def _read_line(self, prompt: str) -> str:
        self._need_person()
        self.clear()
        self._err.write(printable(prompt))
        self._err.flush()
        line = sys.stdin.readline()
        if not line:  # Ctrl+D
            raise KeyboardInterrupt
        return line

    def _need_person(self) -> None:
        if not self._can_ask:
            raise UsageError("There is a question, but nobody at a terminal to answer it.")


def progress_text(progress: Progress, speed: SpeedMeter) -> str:
    """One line: how much of how much, how fast, how long still, and which file."""
    files = progress.files_done + progress.files_skipped + progress.files_failed
    total = size_text(progress.bytes_total) + ("" if progress.is_planned else "+")
    percent = f"{progress.bytes_done * 100 // progress.bytes_total:3} %  " if progress.bytes_total else ""
    text = f"{percent}{size_text(progress.bytes_done)} of {total}, {files:,} of {progress.files_total:,} files"
    if speed.rate_bytes_per_s >= 1:
        text += f", {size_text(int(speed.rate_bytes_per_s))}/s"
    remaining_s = speed.remaining_s(progress) if progress.is_planned else None
    if remaining_s:
        text += f", {duration_text(remaining_s)} left"
    return f"{text}  {progress.current}".rstrip()


def size_text(size_bytes: int | None) -> str:
    """A size for people, in powers of 1,024: `1.5 MiB`; `?` if unknown."""
    if size_bytes is None:
        return "?"
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(size) < 1024 or unit == "TiB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError  # the last unit takes all


def counted_text(counted: Counted) -> str:
    """What was counted, for people: `3 files in 1 folder, 1.5 MiB`."""
    files = f"{counted.files:,} {'file' if counted.files == 1 else 'files'}"
    folders = f" in {counted.folders:,} {'folder' if counted.folders == 1 else 'folders'}" if counted.folders else ""
    return f"{files}{folders}, {size_text(counted.bytes)}"


def duration_text(seconds: float) -> str:
    """A time for people: `8 s`, `3:05`, `2:03:05`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def printable(text: str) -> str:
    """The text with control characters and direction marks escaped: a name from a server must not drive the terminal."""
    return "".join(
        char if char.isprintable() or char in _JOINERS or "\ud800" <= char <= "\udfff" else _escaped(char)
        for char in text
    )


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
