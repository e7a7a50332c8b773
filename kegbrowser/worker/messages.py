"""What goes through the pipe between the window's process and a helper, and how it is framed.

A frame is its length (8 bytes, little endian) and a pickle. Both ends are this program: the child is started by the parent
and inherits nothing but the two pipes, so the pickles are trusted. Secrets travel here and nowhere else.
"""

from __future__ import annotations

import pickle
import struct
import threading
from dataclasses import dataclass
from typing import IO

from kegbrowser.backends.errors import StorageError
from kegbrowser.transfer.events import Event, Result
from kegbrowser.transfer.jobs import Job
from kegbrowser.transfer.questions import Answer, Question

_LENGTH = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class JournalPlace:
    """Where a job is remembered: the journal's file and the job's id in it, which has nothing to do with that of the pipe."""

    path: str
    job_id: int


@dataclass(frozen=True, slots=True)
class StartJob:
    """`journal` None: nobody remembers the job. `pace` None: as fast as it goes."""

    job_id: int
    job: Job
    journal: JournalPlace | None = None
    pace: PaceLimits | None = None


@dataclass(frozen=True, slots=True)
class CancelJob:
    """`keep`: suspend it; what is unfinished stays where it is, for a later run."""

    job_id: int
    keep: bool = False


@dataclass(frozen=True, slots=True)
class PaceLimits:
    """How fast a job may go; None: as fast as it goes."""

    paused: bool = False
    up_bytes_per_s: int | None = None
    down_bytes_per_s: int | None = None


@dataclass(frozen=True, slots=True)
class SetPace:
    """From now on; the newest counts."""

    job_id: int
    limits: PaceLimits


@dataclass(frozen=True, slots=True)
class GiveAnswer:
    """`answer` None dismisses the question, which cancels the job."""

    job_id: int
    question_id: int
    answer: Answer | None


@dataclass(frozen=True, slots=True)
class WarmUp:
    """Load what connections of these kinds need, while there is nothing else to do."""

    kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ForgetConnection:
    """Close what is open of a connection whose options have changed."""

    connection_id: str


@dataclass(frozen=True, slots=True)
class HappenedInJob:
    job_id: int
    event: Event


@dataclass(frozen=True, slots=True)
class AskedByJob:
    job_id: int
    question_id: int
    question: Question


@dataclass(frozen=True, slots=True)
class JobEnded:
    """The last message of a job: a result, an error, or neither when it was cancelled."""

    job_id: int
    result: Result = None
    error: StorageError | None = None
    was_cancelled: bool = False


Command = StartJob | CancelJob | SetPace | GiveAnswer | WarmUp | ForgetConnection
Message = HappenedInJob | AskedByJob | JobEnded


class Wire:
    """Frames over a pair of binary streams. Any thread may send; one thread receives.

    Args:
        incoming: read from here; None if nothing is received.
        outgoing: written to.
    """

    def __init__(self, incoming: IO[bytes], outgoing: IO[bytes]) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._send_lock = threading.Lock()

    def send(self, message: Command | Message) -> None:
        """Send one message whole.

        Raises:
            OSError: the other end is gone (BrokenPipeError) or this end is closed.
        """
        body = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
        with self._send_lock:
            try:
                self._outgoing.write(_LENGTH.pack(len(body)) + body)
                self._outgoing.flush()
            except ValueError as exc:  # a closed stream says so with a ValueError
                raise BrokenPipeError("The pipe is closed.") from exc

    def receive(self) -> Command | Message | None:
        """Wait for the next message; None when the other end is gone."""
        try:
            head = self._incoming.read(_LENGTH.size)
            if len(head) < _LENGTH.size:
                return None
            (length,) = _LENGTH.unpack(head)
            body = self._incoming.read(length)
        except (OSError, ValueError):
            return None
        if len(body) < length:
            return None
        message: Command | Message = pickle.loads(body)
        return message

    def close_outgoing(self) -> None:
        """Tell the other end that nothing more will come. The second call does nothing."""
        with self._send_lock:
            try:
                self._outgoing.close()
            except OSError:
                return
