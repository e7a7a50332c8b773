"""The engine's one door: takes a job, carries it out, gives its result."""

from __future__ import annotations

import logging
from typing import assert_never

from kegbrowser.transfer.context import JobContext
from kegbrowser.transfer.copying import copy
from kegbrowser.transfer.counting import count
from kegbrowser.transfer.download import download
from kegbrowser.transfer.events import Result
from kegbrowser.transfer.folders import make_folder, rename
from kegbrowser.transfer.jobs import (
    CheckConnection,
    CheckManifest,
    CleanUp,
    Copy,
    Count,
    Delete,
    Describe,
    Download,
    FindHome,
    FindIncomplete,
    FindLocalParts,
    Job,
    ListFolder,
    MakeFolder,
    MakeManifest,
    Rename,
    Upload,
    VerifyAgain,
)
from kegbrowser.transfer.leftovers import clean_up, find_incomplete, find_local_parts
from kegbrowser.transfer.listing import check_connection, describe, find_home, list_folder
from kegbrowser.transfer.manifests import check_manifest, make_manifest
from kegbrowser.transfer.removal import delete
from kegbrowser.transfer.tuning import Tuning
from kegbrowser.transfer.upload import upload
from kegbrowser.transfer.verifying import verify_again

log = logging.getLogger(__name__)


def run_job(job: Job, context: JobContext, tuning: Tuning | None = None) -> Result:
    """Carry out a job on this thread, and on threads of its own that end with it.

    A file that cannot be done is a failure in the job's report and does not stop the others.

    Raises:
        Cancelled: by the token or a dismissed question; what was unfinished is removed.
        StorageError: the job as a whole cannot be done.
    """
    tuning = tuning or Tuning()
    context.token.check()
    log.debug("running %s", type(job).__name__)
    match job:
        case ListFolder():
            list_folder(job, context, tuning)
            return None
        case FindHome():
            return find_home(job, context, tuning)
        case CheckConnection():
            return check_connection(job, context)
        case Describe():
            return describe(job, context, tuning)
        case Count():
            return count(job, context, tuning)
        case MakeFolder():
            make_folder(job, context, tuning)
            return None
        case Rename():
            return rename(job, context, tuning)
        case Delete():
            return delete(job, context, tuning)
        case Download():
            return download(job, context, tuning)
        case Upload():
            return upload(job, context, tuning)
        case Copy():
            return copy(job, context, tuning)
        case VerifyAgain():
            return verify_again(job, context, tuning)
        case MakeManifest():
            return make_manifest(job, context, tuning)
        case CheckManifest():
            return check_manifest(job, context, tuning)
        case FindIncomplete():
            return find_incomplete(job, context, tuning)
        case FindLocalParts():
            return find_local_parts(job, context)
        case CleanUp():
            return clean_up(job, context, tuning)
        case _:
            assert_never(job)
