"""`cleanup`: what unfinished transfers left behind is shown and removed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from kegbrowser.backends.registry import ConnectionSpec
from kegbrowser.commands.command import Command
from kegbrowser.commands.console import size_text
from kegbrowser.commands.outcome import ExitCode
from kegbrowser.commands.reporting import finish
from kegbrowser.profiles.places import Places
from kegbrowser.transfer.events import Leftovers
from kegbrowser.transfer.jobs import CleanUp, FindIncomplete, FindLocalParts
from kegbrowser.transfer.journal import Journal


def clean_up(command: Command) -> ExitCode:
    """`cleanup`: uploads that were begun and not ended, and part files of downloads."""
    in_use = tokens_in_use(Places.of_user())
    reports = []
    for text in command.words.places:
        spec: ConnectionSpec | None = None
        if command.book.is_remote(text):
            place = command.book.place(text)
            spec, job = place.spec, FindIncomplete(place.spec, place.path)
            found = command.find(job)
        else:
            found = command.find(FindLocalParts(text))
        _show(command, found)
        if command.words.dry_run:
            continue
        paths = tuple(part.path for part in found.local_parts)
        minutes = command.words.older_than
        sweep = CleanUp(spec, found.uploads, paths, in_use, minutes, confirmed=command.words.yes)
        reports.append(command.transfer(sweep))
    return ExitCode.DONE if command.words.dry_run else finish(command, reports)


def tokens_in_use(places: Places) -> frozenset[str]:
    """What belongs to transfers of the window that will go on."""
    if not places.journal_file.exists():
        return frozenset()
    with Journal(places.journal_file) as journal:
        return frozenset(journal.tokens_in_use())


def _show(command: Command, found: Leftovers) -> None:
    rows = [(one.path, one.size_bytes, one.begun_utc) for one in found.uploads]
    rows += [(one.path, one.size_bytes, one.modified_utc) for one in found.local_parts]
    for path, size_bytes, moment in rows:
        if command.console.as_json:
            when = None if moment is None else moment.isoformat().replace("+00:00", "Z")
            command.console.json_line({"path": path, "size": size_bytes, "begun": when})
        else:
            command.console.line(f"{size_text(size_bytes):>12}  {_age_text(moment):>14}  {path}")
    if found.is_cut:
        command.console.note("There are more; clean up once more afterwards.")


def _age_text(moment: datetime | None) -> str:
    if moment is None:
        return "age unknown"
    age = max(datetime.now(UTC) - moment, timedelta())
    if age.days:
        return f"{age.days:,} days old"
    hours, rest = divmod(age.seconds, 3600)
    return f"{hours} h old" if hours else f"{rest // 60} min old"
