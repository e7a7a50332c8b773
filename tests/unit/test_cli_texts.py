"""The command line's words and numbers: what is shown, and which exit status follows."""

from __future__ import annotations

import pytest

from kegbrowser.backends.errors import (
    AlreadyExists,
    AuthenticationFailed,
    Cancelled,
    ConnectionLost,
    CredentialsExpired,
    FileNotFoundInStorageError,
    HostKeyChanged,
    InvalidOptions,
    PermissionDenied,
    QuotaExceeded,
    StorageError,
    Throttled,
)
from kegbrowser.commands.console import counted_text, duration_text, printable, progress_text, size_text
from kegbrowser.commands.outcome import ExitCode, code_of, code_of_report, sentence_of, worst
from kegbrowser.commands.reports import merged, report_row
from kegbrowser.services.speed import SpeedMeter
from kegbrowser.transfer.events import Counted, Failure, JobReport, Progress

MISSING = FileNotFoundInStorageError("“a” is not there.")
DENIED = PermissionDenied("“b” is closed.")


@pytest.mark.parametrize(
    ("size", "text"),
    [(None, "?"), (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536 * 1024, "1.5 MiB"), (5 << 40, "5.0 TiB"),
     (5 << 50, "5120.0 TiB")],
)  # fmt: skip
def test_sizes_are_for_people(size: int | None, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (60, "1:00"), (3599, "59:59"), (7385, "2:03:05")]
)
def test_times_are_for_people(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_counts_know_one_from_many() -> None:
    assert counted_text(Counted(1, 0, 5)) == "1 file, 5 B"
    assert counted_text(Counted(1200, 1, 2048)) == "1,200 files in 1 folder, 2.0 KiB"


@pytest.mark.parametrize("text", ["plain", "Grüße 日本 🦆", "👩‍👩‍👧 family", "raw \udcff byte", "a  b"])
def test_ordinary_names_are_shown_as_they_are(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [("\x1b[2J", "\\x1b[2J"), ("a\nb\tc\r", "a\\nb\\tc\\r"), ("\u202egpj.exe", "\\u202egpj.exe"), ("\x9b31m", "\\x9b31m"),
     ("\x07", "\\x07")],
)  # fmt: skip
def test_what_could_drive_a_terminal_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_progress_says_how_much_how_fast_and_how_long() -> None:
    now = [0.0]
    speed = SpeedMeter(lambda: now[0])
    for step in range(1, 41):
        now[0] = step * 0.1
        speed.add(step * 100 * 1024)
    progress = Progress(4, 40 << 20, is_planned=True, files_done=1, bytes_done=20 << 20, current="big.bin")

    text = progress_text(progress, speed)

    assert text.startswith(" 50 %  20.0 MiB of 40.0 MiB, 1 of 4 files, 1000.0 KiB/s, 20 s left")
    assert text.endswith("  big.bin")
    assert "+" in progress_text(Progress(4, 40, bytes_done=1), SpeedMeter(lambda: 0.0))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MISSING, 3),
        (DENIED, 4),
        (AuthenticationFailed("x"), 4),
        (CredentialsExpired("x"), 4),
        (HostKeyChanged("x", host="h", key_type="t", key_base64="k", fingerprint="f"), 4),
        (ConnectionLost("x"), 5),
        (Throttled("x"), 5),
        (InvalidOptions("x"), 2),
        (Cancelled(), 130),
        (QuotaExceeded("x"), 1),
        (AlreadyExists("x"), 1),
    ],
)
def test_every_kind_of_error_has_its_exit_status(error: Exception, code: int) -> None:
    assert code_of(error) == code


def report(done: int, *errors: StorageError, skipped: int = 0) -> JobReport:
    failures = tuple(Failure("p", error) for error in errors)
    return JobReport(done + len(errors), 10, done, 10, skipped, len(errors), failures, "size" if done else "")


@pytest.mark.parametrize(
    ("ended", "code"),
    [
        (report(2), 0),
        (report(0, skipped=3), 0),
        (report(1, MISSING), 1),
        (report(0, MISSING, DENIED), 1),
        (report(0, MISSING, MISSING), 3),
        (report(0, DENIED), 4),
        (report(0, DENIED, skipped=1), 1),
    ],
)
def test_a_report_is_done_or_partly_failed_or_one_clear_failure(ended: JobReport, code: int) -> None:
    assert code_of_report(ended) == code


def test_several_steps_fail_together_only_for_one_reason() -> None:
    done, missing, denied = ExitCode.DONE, ExitCode.NOT_FOUND, ExitCode.DENIED
    assert worst([done, done]) == 0
    assert worst([missing]) == 3
    assert worst([missing, missing]) == 3
    assert worst([missing, done]) == 1
    assert worst([missing, denied]) == 1


def test_reports_of_several_connections_become_one() -> None:
    row = report_row(merged([report(2), report(0, DENIED)]))

    assert (row["files_total"], row["files_done"], row["files_failed"], row["check"]) == (3, 2, 1, "size")
    assert row["failures"] == [{"path": "p", "message": "“b” is closed.", "hint": DENIED.hint, "exit_code": 4}]


def test_the_window_s_advice_is_left_out() -> None:
    assert sentence_of(MISSING) == "“a” is not there."
    assert sentence_of(FileNotFoundInStorageError("x.", hint="Do this.")) == "x. Do this."
    assert "--ask" in sentence_of(AuthenticationFailed("x."))
