"""Jobs as the journal knows them, and how errors, reports and progress are written down."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from kegbrowser.backends import errors
from kegbrowser.backends.errors import StorageError, UnknownHostKey
from kegbrowser.transfer.events import Checked, Failure, JobReport, Progress

KEPT_FAILURES = 20

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_HOST_KEY_FIELDS = ("host", "key_type", "key_base64", "fingerprint")


class JobState(enum.Enum):
    """Where a job is in the queue. INCOMPLETE: it ran to its end, but some files failed."""

    WAITING = "waiting"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    INCOMPLETE = "incomplete"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_ended(self) -> bool:
        return self in ENDED


ENDED = frozenset({JobState.DONE, JobState.INCOMPLETE, JobState.FAILED, JobState.CANCELLED})


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job of the queue or of the history.

    Attributes:
        kind, recipe: what it is, as JSON values, without any secret: whoever added it reads them.
        progress: its newest snapshot that was noted; never with failures or running files.
        report: of a job that ran to its end, with its first failures: all are in the items.
        error: of a FAILED one.
        owner: the window that has claimed it; "" for none. That window may be dead: `Journal.claim` finds out.
        started_utc: when it first ran.
        ended_utc: of a job that has ended.
    """

    job_id: int
    kind: str
    recipe: Mapping[str, object]
    state: JobState
    added_utc: datetime
    started_utc: datetime | None = None
    ended_utc: datetime | None = None
    progress: Progress | None = None
    report: JobReport | None = None
    error: StorageError | None = None
    owner: str = ""


def to_us(moment: datetime) -> int:
    """Microseconds since 1970 UTC."""
    return (moment - _EPOCH) // _MICROSECOND


def from_us(microseconds: int | None) -> datetime | None:
    """The moment; None stays None."""
    return None if microseconds is None else _EPOCH + timedelta(microseconds=microseconds)


def error_to_text(error: StorageError | None) -> str | None:
    """An error as JSON; its cause is not kept."""
    return None if error is None else json.dumps(_error_to_json(error))


def error_from_text(text: str | None) -> StorageError | None:
    """The error that `error_to_text` wrote; one of an unknown kind becomes a plain StorageError."""
    return None if text is None else _error_from_json(json.loads(text))


def report_to_text(report: JobReport | None) -> str | None:
    """A report as JSON."""
    if report is None:
        return None
    return json.dumps(
        _plain(report)
        | {"failures": [[one.path, _error_to_json(one.error)] for one in report.failures[:KEPT_FAILURES]]}
    )


def report_from_text(text: str | None) -> JobReport | None:
    """The report that `report_to_text` wrote."""
    if text is None:
        return None
    content = _known(JobReport, json.loads(text))
    failures = tuple(Failure(path, _error_from_json(error)) for path, error in content.pop("failures", ()))
    checked = Checked(**_known(Checked, content.pop("checked", {})))
    return JobReport(**content, failures=failures, checked=checked)


def progress_to_text(progress: Progress | None) -> str | None:
    """A snapshot as JSON, without its failures and running files."""
    return None if progress is None else json.dumps(_plain(progress))


def progress_from_text(text: str | None) -> Progress | None:
    """The snapshot that `progress_to_text` wrote."""
    if text is None:
        return None
    content = _known(Progress, json.loads(text))
    checked = Checked(**_known(Checked, content.pop("checked", {})))
    return Progress(**content, checked=checked)


def _plain(value: JobReport | Progress) -> dict[str, Any]:
    """The fields that are plain values, and how the files were checked."""
    content: dict[str, Any] = {
        field.name: getattr(value, field.name)
        for field in fields(value)
        if field.name not in ("failures", "running", "checked")
    }
    checked = value.checked
    return content | {"checked": {field.name: getattr(checked, field.name) for field in fields(checked)}}


def _known(kind: type, content: dict[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in content.items() if name in names}


def _error_to_json(error: StorageError) -> dict[str, Any]:
    content: dict[str, Any] = {
        "kind": type(error).__name__,
        "message": error.message,
        "path": error.path,
        "hint": error.hint,
        "retryable": error.retryable,
        "retry_after_s": error.retry_after_s,
    }
    if isinstance(error, UnknownHostKey):
        content |= {name: getattr(error, name) for name in _HOST_KEY_FIELDS}
    return content


def _error_from_json(content: dict[str, Any]) -> StorageError:
    kind = getattr(errors, str(content["kind"]), StorageError)
    if not (isinstance(kind, type) and issubclass(kind, StorageError)):
        kind = StorageError
    message, path = str(content["message"]), content["path"]
    if issubclass(kind, UnknownHostKey):
        make: Callable[..., StorageError] = kind  # it takes a server's key in place of a hint
        return make(message, path=path, **{name: content[name] for name in _HOST_KEY_FIELDS})
    return kind(
        message,
        path=path,
        hint=content["hint"],
        retryable=content["retryable"],
        retry_after_s=content["retry_after_s"],
    )
