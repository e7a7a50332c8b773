"""What goes through the pipe between the window's process and a helper."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from kegbrowser.backends.base import Capabilities, EntryKind, ListEntry
from kegbrowser.backends.errors import (
    AlreadyExists,
    FileNotFoundInStorageError,
    HostKeyChanged,
    StorageError,
    Throttled,
    UnknownHostKey,
)
from kegbrowser.backends.registry import ConnectionSpec
from kegbrowser.transfer.events import ConnectionReport, Counted, Failure, JobReport, PageListed, Progress
from kegbrowser.transfer.jobs import (
    CheckConnection,
    ConflictPolicy,
    Copy,
    Count,
    Delete,
    Describe,
    Download,
    FindHome,
    Job,
    ListFolder,
    MakeFolder,
    Rename,
    Source,
    Upload,
)
from kegbrowser.transfer.questions import ConflictAnswer, ConflictChoice, ConflictQuestion, DeleteAnswer, DeleteQuestion
from kegbrowser.worker.messages import (
    AskedByJob,
    CancelJob,
    Command,
    ForgetConnection,
    GiveAnswer,
    HappenedInJob,
    JobEnded,
    JournalPlace,
    Message,
    PaceLimits,
    SetPace,
    StartJob,
    WarmUp,
    Wire,
)

SPEC = ConnectionSpec("1", "sftp", "Server", {"host": "h", "password": "hunter2"})
MOMENT = datetime(2024, 2, 29, 23, 59, 59, 999_999, tzinfo=UTC)
SOURCES = (Source("a/ü\udcff.txt", False), Source("b/", True))

JOBS: tuple[Job, ...] = (
    ListFolder(SPEC, "a/"),
    FindHome(SPEC),
    CheckConnection(SPEC),
    Describe(SPEC, "a"),
    Count(SPEC, SOURCES),
    MakeFolder(SPEC, "new/"),
    Rename(SPEC, SOURCES[0], "b"),
    Delete(SPEC, SOURCES, confirmed=True),
    Download(SPEC, SOURCES, "/tmp/x", ConflictPolicy.SKIP),
    Upload(SPEC, ("/home/a", "/home/b"), "t/", rename_to="c"),
    Copy(SPEC, SOURCES, SPEC, "t/", move=True),
)
COUNTED = Counted(1, 2, 2**40, MOMENT)
ENTRIES = (
    ListEntry("file10", MOMENT, 3 * 2**30, EntryKind.FILE),
    ListEntry("folder", None, None, EntryKind.FOLDER),
    ListEntry("link", MOMENT, 5, EntryKind.LINK, link_target="file10"),
)
CONFLICT = ConflictQuestion("n", "s3://b/n", 1, None, MOMENT, None, "n (2)", more_to_come=False)
MESSAGES: tuple[Command | Message, ...] = (
    *(StartJob(number, job) for number, job in enumerate(JOBS)),
    StartJob(9, JOBS[0], JournalPlace("/state/journal.sqlite", 7), PaceLimits(paused=True)),
    CancelJob(3),
    CancelJob(3, keep=True),
    SetPace(3, PaceLimits(up_bytes_per_s=2**40, down_bytes_per_s=1)),
    GiveAnswer(3, 1, ConflictAnswer(ConflictChoice.RENAME, for_all=True, new_name="x")),
    GiveAnswer(3, 1, DeleteAnswer(confirmed=True)),
    GiveAnswer(3, 1, None),
    WarmUp(("s3", "sftp")),
    ForgetConnection("1"),
    HappenedInJob(3, PageListed.from_entries(ENTRIES)),
    HappenedInJob(3, COUNTED),
    HappenedInJob(3, Progress(9, 3 * 2**30, bytes_done=2**33, current="n")),
    AskedByJob(3, 7, CONFLICT),
    AskedByJob(3, 8, DeleteQuestion(("a", "b"), 2, COUNTED, can_be_undone=None)),
    JobEnded(3),
    JobEnded(3, result=JobReport(1, 2**35, 1, 2**35, check="CRC32C")),
    JobEnded(3, result=ConnectionReport("Connected.", "home/", Capabilities())),
    JobEnded(3, result=ENTRIES[0]),
    JobEnded(3, result="home/"),
    JobEnded(3, was_cancelled=True),
)
ERRORS = (
    StorageError("Plain."),
    AlreadyExists("“a” exists.", path="a", hint="Rename it."),
    FileNotFoundInStorageError("“a” is gone.", path="a", hint=""),
    Throttled("Slow down.", retryable=False, retry_after_s=2.5),
    UnknownHostKey(
        "Unknown.", host="[h]:2222", key_type="ssh-ed25519", key_base64="AAAA", fingerprint="SHA256:x", path="p"
    ),
    HostKeyChanged("Changed.", host="h", key_type="ssh-rsa", key_base64="BBBB", fingerprint="SHA256:y"),
)


@pytest.fixture
def pipe() -> Iterator[tuple[Wire, Wire]]:
    """The ends of a real pipe: what is sent by the first is received by the second."""
    reading, writing = os.pipe()
    incoming, outgoing = os.fdopen(reading, "rb"), os.fdopen(writing, "wb")
    try:
        yield Wire(io.BytesIO(), outgoing), Wire(incoming, io.BytesIO())
    finally:
        outgoing.close()
        incoming.close()


def facts_of(error: StorageError | None) -> dict[str, object]:
    """All attributes, also the one that may be of the class alone."""
    assert error is not None
    return vars(error) | {"retryable": error.retryable, "text": str(error)}


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_every_message_arrives_as_it_was_sent(pipe: tuple[Wire, Wire], message: Command | Message) -> None:
    sender, receiver = pipe
    sender.send(message)

    assert receiver.receive() == message


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_arrives_with_all_that_is_known_of_it(pipe: tuple[Wire, Wire], error: StorageError) -> None:
    sender, receiver = pipe
    sender.send(JobEnded(1, error=error))
    ended = receiver.receive()

    assert isinstance(ended, JobEnded)
    assert type(ended.error) is type(error)
    assert facts_of(ended.error) == facts_of(error)


def test_an_error_within_a_report_arrives_as_well(pipe: tuple[Wire, Wire]) -> None:
    sender, receiver = pipe
    failures = tuple(Failure("p", error) for error in ERRORS)
    sender.send(JobEnded(1, result=JobReport(1, 0, 0, 0, files_failed=len(failures), failures=failures)))
    ended = receiver.receive()

    assert isinstance(ended, JobEnded)
    assert isinstance(ended.result, JobReport)
    assert [type(failure.error) for failure in ended.result.failures] == [type(error) for error in ERRORS]


def test_secrets_pass_but_are_not_in_the_text_of_a_message(pipe: tuple[Wire, Wire]) -> None:
    sender, receiver = pipe
    sender.send(StartJob(1, ListFolder(SPEC, "")))
    received = receiver.receive()

    assert isinstance(received, StartJob)
    assert isinstance(received.job, ListFolder)
    assert received.job.spec.options["password"] == "hunter2"
    assert "hunter2" not in repr(received)


def test_messages_of_many_threads_do_not_mix(pipe: tuple[Wire, Wire]) -> None:
    sender, receiver = pipe
    names = ["x" * length for length in (1, 5_000, 70_000, 200_000)]

    def send(number: int) -> None:
        for turn in range(20):
            sender.send(JobEnded(number * 100 + turn, result=names[turn % len(names)]))

    threads = [threading.Thread(target=send, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    received = [receiver.receive() for _ in range(80)]
    for thread in threads:
        thread.join()

    assert sorted(ended.job_id for ended in received if isinstance(ended, JobEnded)) == sorted(
        number * 100 + turn for number in range(4) for turn in range(20)
    )
    assert all(isinstance(one, JobEnded) and one.result == names[one.job_id % 100 % 4] for one in received)


@pytest.mark.parametrize("cut", [0, 3, 8, 20])
def test_a_frame_that_is_cut_off_ends_the_conversation(cut: int) -> None:
    whole = io.BytesIO()
    Wire(io.BytesIO(), whole).send(JobEnded(1, result="x" * 100))

    assert Wire(io.BytesIO(whole.getvalue()[:cut]), io.BytesIO()).receive() is None


def test_sending_to_nobody_is_an_error_and_closing_twice_is_none(pipe: tuple[Wire, Wire]) -> None:
    sender, receiver = pipe
    sender.close_outgoing()
    sender.close_outgoing()

    with pytest.raises(BrokenPipeError):
        sender.send(CancelJob(1))
    assert receiver.receive() is None
