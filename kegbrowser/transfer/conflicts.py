"""What becomes of a file whose place is taken: by policy, or as its user says."""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from kegbrowser.backends.errors import Cancelled
from kegbrowser.transfer.jobs import ConflictPolicy
from kegbrowser.transfer.questions import Answer, ConflictAnswer, ConflictChoice, ConflictQuestion, Question

SAME_TIME = timedelta(seconds=2)
"""Times this near are the same: some disks and servers keep only even seconds."""


@dataclass(frozen=True, slots=True)
class Existing:
    """What is at a target already; None is unknown."""

    size: int | None
    modified: datetime | None
    is_folder: bool = False


class Action(enum.Enum):
    """What to do with one file."""

    OVERWRITE = "overwrite"
    SKIP = "skip"
    RENAME = "rename"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do.

    Attributes:
        new_name: with RENAME, as its user typed it; "" for the suggested one.
        resumes: with OVERWRITE: what is there may be a beginning of the source. Whoever moves the file compares them, goes on
            with what is there if it is so (see `beginnings`), and else decides the clash anew without `Clash.can_resume`.
    """

    action: Action
    new_name: str = ""
    resumes: bool = False


@dataclass(frozen=True, slots=True)
class Clash:
    """A file and what is in its place.

    Attributes:
        name: of the file.
        target: gives its place, for people; only called for a question.
        suggested_name: finds a free name; only called when one is wanted.
        is_own: the place was taken by this very job: two sources have one name.
        keeps_times: files at the target have the times of their sources; else the time of their arrival.
        can_resume: whoever moves the file compares what is there with the source, and goes on with it if it is its beginning.
    """

    name: str
    target: Callable[[], str]
    source_size: int | None
    source_modified: datetime | None
    existing: Existing
    suggested_name: Callable[[], str]
    is_own: bool = False
    more_to_come: bool = True
    keeps_times: bool = True
    can_resume: bool = False

    @property
    def may_be_beginning(self) -> bool:
        """Whether comparing is worth it; by the sizes alone."""
        if not self.can_resume or self.source_size is None or self.existing.size is None:
            return False
        return 0 < self.existing.size <= self.source_size


class Conflicts:
    """Decides all clashes of one job; any thread, one question at a time.

    Args:
        ask: of the job's context.
        policy: ASK asks until an answer says "for all".
    """

    def __init__(self, ask: Callable[[Question], Answer], policy: ConflictPolicy) -> None:
        self._ask = ask
        self._policy = policy
        self._lock = threading.Lock()

    def decide(self, clash: Clash) -> Decision:
        """What to do.

        Raises:
            Cancelled: the question was dismissed.
        """
        if clash.is_own or clash.existing.is_folder:
            # Both must survive: the one is this job's own work, and a folder cannot be replaced by a file.
            if self._policy is ConflictPolicy.SKIP and not clash.is_own:
                return Decision(Action.SKIP)
            return Decision(Action.RENAME)
        with self._lock:
            return _by_policy(self._policy, clash) or self._ask_user(clash)

    def _ask_user(self, clash: Clash) -> Decision:
        question = ConflictQuestion(
            clash.name,
            clash.target(),
            clash.source_size,
            clash.existing.size,
            clash.source_modified,
            clash.existing.modified,
            clash.suggested_name(),
            clash.more_to_come,
            clash.may_be_beginning,
        )
        answer = self._ask(question)
        if not isinstance(answer, ConflictAnswer):
            raise Cancelled
        policy = answer.policy or _POLICY_OF[answer.choice]
        if answer.for_all:
            self._policy = policy
        if answer.policy is None and answer.new_name and answer.choice is ConflictChoice.RENAME:
            return Decision(Action.RENAME, answer.new_name)
        return _by_policy(policy, clash) or Decision(Action.RENAME)  # it cannot be gone on with: both survive


_POLICY_OF = {
    ConflictChoice.OVERWRITE: ConflictPolicy.OVERWRITE,
    ConflictChoice.SKIP: ConflictPolicy.SKIP,
    ConflictChoice.RENAME: ConflictPolicy.RENAME,
}


def _by_policy(policy: ConflictPolicy, clash: Clash) -> Decision | None:
    """What a policy says; None if its user must."""
    match policy:
        case ConflictPolicy.OVERWRITE:
            return Decision(Action.OVERWRITE)
        case ConflictPolicy.SKIP:
            return Decision(Action.SKIP)
        case ConflictPolicy.RENAME:
            return Decision(Action.RENAME)
        case ConflictPolicy.OVERWRITE_IF_NEWER:
            return Decision(Action.OVERWRITE if _is_newer(clash) else Action.SKIP)
        case ConflictPolicy.OVERWRITE_IF_DIFFERENT:
            return Decision(Action.OVERWRITE if _is_different(clash) else Action.SKIP)
        case ConflictPolicy.RESUME:
            return Decision(Action.OVERWRITE, resumes=True) if clash.may_be_beginning else None
        case ConflictPolicy.ASK:
            return None


def _is_newer(clash: Clash) -> bool:
    """Whether the source is newer; unknown times count as not newer, so that nothing is replaced by guess."""
    if clash.source_modified is None or clash.existing.modified is None:
        return False
    return clash.source_modified - clash.existing.modified > SAME_TIME


def _is_different(clash: Clash) -> bool:
    """Whether size or time differ; what is not known may differ: its user wants the target to be as the source is."""
    if clash.source_size is None or clash.source_size != clash.existing.size:
        return True
    if clash.source_modified is None or clash.existing.modified is None:
        return True
    if not clash.keeps_times:
        return clash.source_modified - clash.existing.modified > -SAME_TIME  # it may have changed after it was sent
    return abs(clash.source_modified - clash.existing.modified) > SAME_TIME
