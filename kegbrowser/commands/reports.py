"""Entries and reports as rows for programs and as lines for people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from kegbrowser.backends.base import ListEntry
from kegbrowser.commands.addresses import Place
from kegbrowser.commands.console import size_text
from kegbrowser.commands.outcome import code_of, hint_of
from kegbrowser.transfer.events import Checked, JobReport


def entry_row(root: Place, path: str, entry: ListEntry) -> dict[str, object]:
    """An entry as a JSON object: what is not known is null, times are ISO 8601 in UTC."""
    row: dict[str, object] = {
        "name": entry.name,
        "path": path,
        "kind": entry.kind.value,
        "size": None if entry.is_folder else entry.size,
        "modified": _iso(entry.last_modified),
        "url": root.url(path),
    }
    if entry.permissions is not None:
        row["permissions"] = f"{entry.permissions:04o}"
    for key in ("etag", "content_type", "owner", "link_target", "storage_class"):
        if value := getattr(entry, key):
            row[key] = value
    if entry.extra:
        row["extra"] = dict(entry.extra)
    return row


def long_line(entry: ListEntry, shown: str) -> str:
    """An entry as a line of `ls -l`: bytes, local time, name."""
    size = "-" if entry.is_folder or entry.size is None else str(entry.size)
    modified = entry.last_modified.astimezone().strftime("%Y-%m-%d %H:%M:%S") if entry.last_modified else "-"
    arrow = f" -> {entry.link_target}" if entry.link_target else ""
    return f"{size:>14}  {modified:19}  {shown}{arrow}"


def entry_lines(place: Place, entry: ListEntry) -> list[str]:
    """An entry as lines for `stat`; what the storage does not say is left out."""
    facts: list[tuple[str, str]] = [
        ("Name", entry.name or place.name),
        ("Kind", entry.kind.value),
        ("URL", place.url()),
    ]
    if entry.size is not None and not entry.is_folder:
        facts.append(("Size", f"{entry.size} bytes ({size_text(entry.size)})"))
    if entry.last_modified is not None:
        facts.append(("Modified", _iso(entry.last_modified) or ""))
    if entry.permissions is not None:
        facts.append(("Permissions", f"{entry.permissions:04o}"))
    optional = (
        ("Owner", entry.owner),
        ("Link to", entry.link_target),
        ("Type", entry.content_type),
        ("ETag", entry.etag),
        ("Storage class", entry.storage_class),
        *entry.extra,
    )
    facts.extend((label, value) for label, value in optional if value)
    width = max(len(label) for label, _value in facts)
    return [f"{label + ':':{width + 1}} {value}" for label, value in facts]


def merged(reports: Sequence[JobReport]) -> JobReport:
    """The reports of several connections as one."""
    if len(reports) == 1:
        return reports[0]
    return JobReport(
        sum(report.files_total for report in reports),
        sum(report.bytes_total for report in reports),
        sum(report.files_done for report in reports),
        sum(report.bytes_done for report in reports),
        sum(report.files_skipped for report in reports),
        sum(report.files_failed for report in reports),
        tuple(failure for report in reports for failure in report.failures),
        ", ".join(dict.fromkeys(report.check for report in reports if report.check)),
        Checked(
            sum(report.checked.verified for report in reports),
            sum(report.checked.size_only for report in reports),
            sum(report.checked.unverifiable for report in reports),
        ),
        next((report.unchecked_reason for report in reports if report.unchecked_reason), ""),
        sum(report.bytes_resumed for report in reports),
    )


def report_row(report: JobReport) -> dict[str, object]:
    """The report of a job as a JSON object."""
    return {
        "files_total": report.files_total,
        "files_done": report.files_done,
        "files_skipped": report.files_skipped,
        "files_failed": report.files_failed,
        "bytes_total": report.bytes_total,
        "bytes_done": report.bytes_done,
        "check": report.check,
        "checked": {
            "verified": report.checked.verified,
            "size_only": report.checked.size_only,
            "unverifiable": report.checked.unverifiable,
        },
        "unchecked_reason": report.unchecked_reason,
        "failures": [
            {
                "path": failure.path,
                "message": failure.error.message,
                "hint": hint_of(failure.error),
                "exit_code": int(code_of(failure.error)),
            }
            for failure in report.failures
        ],
    }


def summary_text(report: JobReport) -> str:
    """The report of a job in one line for people."""
    text = f"{report.files_done:,} of {report.files_total:,} files, {size_text(report.bytes_done)}"
    if report.files_skipped:
        text += f", {report.files_skipped:,} skipped"
    if report.files_failed:
        text += f", {report.files_failed:,} failed"
    return f"{text}.{_checks_text(report)}"


def _checks_text(report: JobReport) -> str:
    """How many files were checked, and how; "" if nothing was."""
    checked = report.checked
    states = []
    if checked.verified:
        states.append(f"{checked.verified:,} verified by {report.check}")
    if checked.size_only:
        states.append(f"{checked.size_only:,} compared by size only")
    if checked.unverifiable:
        states.append(f"{checked.unverifiable:,} not verifiable here")
    if not states:
        return ""
    reason = f" ({report.unchecked_reason})" if report.unchecked_reason else ""
    return f" {', '.join(states)}{reason}."


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")
