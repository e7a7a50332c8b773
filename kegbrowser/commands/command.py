"""What a verb is given, and how it runs a job."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from kegbrowser.backends.base import ListEntry
from kegbrowser.backends.registry import ConnectionSpec
from kegbrowser.commands.addresses import AddressBook
from kegbrowser.commands.console import Console
from kegbrowser.commands.running import JobRunner
from kegbrowser.transfer.events import JobReport, Leftovers, PageListed
from kegbrowser.transfer.jobs import (
    ConflictPolicy,
    Describe,
    FindIncomplete,
    FindLocalParts,
    Job,
    LinkPolicy,
    ListFolder,
)

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Command:
    """All that a verb needs: the understood words, and the means to carry them out."""

    words: argparse.Namespace
    console: Console
    book: AddressBook
    runner: JobRunner

    @property
    def policy(self) -> ConflictPolicy:
        return ConflictPolicy(self.words.policy)

    @property
    def links(self) -> LinkPolicy:
        return LinkPolicy(self.words.links)

    @property
    def keeps_permissions(self) -> bool:
        return not self.words.no_permissions

    def find(self, job: FindIncomplete | FindLocalParts) -> Leftovers:
        """Find what unfinished transfers left behind."""
        return self._run(job, Leftovers)

    def list(self, spec: ConnectionSpec, path: str, on_page: Callable[[PageListed], None]) -> None:
        """Stream one folder."""
        self.runner.run(ListFolder(spec, path), on_page=on_page)

    def stat(self, spec: ConnectionSpec, path: str) -> ListEntry:
        """Describe one path."""
        return self._run(Describe(spec, path), ListEntry)

    def transfer(self, job: Job) -> JobReport:
        """Run a job that ends with a report."""
        return self._run(job, JobReport)

    def _run(self, job: Job, kind: type[_Result]) -> _Result:
        result = self.runner.run(job)
        if not isinstance(result, kind):
            raise TypeError(f"the engine gave {type(result).__name__}, not {kind.__name__}")
        return result
