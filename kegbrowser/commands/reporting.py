"""Tells how the jobs of a command ended."""

from __future__ import annotations

from collections.abc import Sequence

from kegbrowser.commands.command import Command
from kegbrowser.commands.outcome import ExitCode, code_of_report, sentence_of
from kegbrowser.commands.reports import merged, report_row, summary_text
from kegbrowser.transfer.events import JobReport


def finish(command: Command, reports: Sequence[JobReport]) -> ExitCode:
    """Tell what failed and what was done, and give the exit status."""
    report = merged(reports)
    for failure in report.failures:
        command.console.complain(sentence_of(failure.error))
    if report.files_failed > len(report.failures):
        command.console.complain(f"{report.files_failed - len(report.failures):,} more failed.")
    if command.console.as_json:
        command.console.json_line(report_row(report))
    else:
        command.console.note(summary_text(report))
    return code_of_report(report)
