"""What a running job may ask its user, and the answers: values, fit to cross a process border.

The engine asks through `JobContext.ask` and waits; whoever runs the job answers (a window by a dialog, the command line by
a prompt or a rule). No answer, or a cancelled question, cancels the job.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime

from kegbrowser.transfer.events import Counted
from kegbrowser.transfer.jobs import ConflictPolicy


class ConflictChoice(enum.Enum):
    """What to do with a file whose target is there already."""

    OVERWRITE = "overwrite"
    SKIP = "skip"
    RENAME = "rename"


@dataclass(frozen=True, slots=True)
class ConflictQuestion:
    """The target of a transfer exists already.

    Attributes:
        name: of the file.
        target: where it would go, for people (a URL or a local path).
        source_size, target_size: bytes, None if unknown.
        source_modified, target_modified: UTC, None if unknown.
        suggested_name: a free name for RENAME.
        more_to_come: whether other files follow, so that "for all" makes sense.
        can_resume: what is there is shorter, so the policy RESUME may be of use.
    """

    name: str
    target: str
    source_size: int | None
    target_size: int | None
    source_modified: datetime | None
    target_modified: datetime | None
    suggested_name: str
    more_to_come: bool = True
    can_resume: bool = False


@dataclass(frozen=True, slots=True)
class ConflictAnswer:
    """What to do.

    Attributes:
        choice: with this file.
        for_all: with every later clash of this job as well.
        new_name: only with RENAME; "" is the suggested one.
        policy: decides instead of `choice`, with `for_all` the later ones as well: any but ASK. RESUME asks again where what is
            there turns out not to be a beginning of the source.
    """

    choice: ConflictChoice
    for_all: bool = False
    new_name: str = ""
    policy: ConflictPolicy | None = None


@dataclass(frozen=True, slots=True)
class DeleteQuestion:
    """All is counted; shall it be deleted?

    Attributes:
        names: of the first few sources, for the text.
        sources: how many were chosen.
        counted: what will go.
        can_be_undone: the storage keeps deleted files (versions, soft delete); None if that is not known.
    """

    names: tuple[str, ...]
    sources: int
    counted: Counted
    can_be_undone: bool | None


@dataclass(frozen=True, slots=True)
class DeleteAnswer:
    """True deletes."""

    confirmed: bool


Question = ConflictQuestion | DeleteQuestion
Answer = ConflictAnswer | DeleteAnswer
