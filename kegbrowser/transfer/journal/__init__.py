"""The journal of transfers: one SQLite file that outlives every process, so that a crash costs nothing.

`Journal` keeps the queue and the history; `SqliteJobJournal` is one job's memory, written by the helper that runs it. No
secret is ever in it: a job is kept as a recipe with the ids of its connections, and the window adds their options again.
"""

from __future__ import annotations

from kegbrowser.transfer.journal.job_journal import SqliteJobJournal
from kegbrowser.transfer.journal.store import Journal
from kegbrowser.transfer.journal.values import JobRecord, JobState

__all__ = ["JobRecord", "JobState", "Journal", "SqliteJobJournal"]
