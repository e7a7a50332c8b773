"""How a command ends: its exit status, and the sentence that says why."""

from __future__ import annotations

import enum

from kegbrowser.backends.errors import (
    AuthenticationFailed,
    Cancelled,
    ConnectionLost,
    FileNotFoundInStorageError,
    InvalidName,
    InvalidOptions,
    PermissionDenied,
    StorageError,
    UnknownHostKey,
)
from kegbrowser.profiles.secrets import KeyringUnavailable
from kegbrowser.transfer.events import JobReport


class ExitCode(enum.IntEnum):
    """The exit status of the command line; part of its interface, never renumbered."""

    DONE = 0
    SOME_FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    DENIED = 4
    NO_CONNECTION = 5
    CANCELLED = 130


_CODES: tuple[tuple[type[Exception], ExitCode], ...] = (
    (Cancelled, ExitCode.CANCELLED),
    (FileNotFoundInStorageError, ExitCode.NOT_FOUND),
    (AuthenticationFailed, ExitCode.DENIED),
    (PermissionDenied, ExitCode.DENIED),
    (UnknownHostKey, ExitCode.DENIED),
    (KeyringUnavailable, ExitCode.DENIED),
    (ConnectionLost, ExitCode.NO_CONNECTION),
    (InvalidOptions, ExitCode.USAGE),
    (InvalidName, ExitCode.USAGE),
)


class UsageError(InvalidOptions):
    """The words of the command do not make sense together."""


def code_of(error: Exception) -> ExitCode:
    """The exit status of a command that an error ended."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), ExitCode.SOME_FAILED)


def code_of_report(report: JobReport) -> ExitCode:
    """The exit status of a finished job: where nothing at all could be done for one reason, that reason's."""
    if not report.files_failed and not report.failures:
        return ExitCode.DONE
    codes = {code_of(failure.error) for failure in report.failures}
    if not report.files_done and not report.files_skipped and len(codes) == 1:
        return codes.pop()
    return ExitCode.SOME_FAILED


def worst(codes: list[ExitCode]) -> ExitCode:
    """The exit status of several steps: of the only one, else SOME_FAILED if any failed."""
    failed = [code for code in codes if code is not ExitCode.DONE]
    if not failed:
        return ExitCode.DONE
    if ExitCode.CANCELLED in failed:
        return ExitCode.CANCELLED
    return failed[0] if len(failed) == len(codes) and len(set(failed)) == 1 else ExitCode.SOME_FAILED


def hint_of(error: StorageError) -> str:
    """What to do about an error on the command line; "" if only the window's advice (refresh) is known."""
    if isinstance(error, FileNotFoundInStorageError) and error.hint == FileNotFoundInStorageError.default_hint:
        return ""
    if isinstance(error, AuthenticationFailed):
        return f"{error.hint} A secret is asked for by --ask KEY.".lstrip()
    return error.hint


def sentence_of(error: StorageError) -> str:
    """The message and the hint of an error, in one line."""
    return f"{error.message} {hint_of(error)}".strip()
