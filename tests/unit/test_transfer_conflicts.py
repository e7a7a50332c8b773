"""What becomes of a file whose place is taken."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from kegbrowser.backends.errors import Cancelled
from kegbrowser.transfer.conflicts import Action, Clash, Conflicts, Decision, Existing
from kegbrowser.transfer.jobs import ConflictPolicy
from kegbrowser.transfer.questions import Answer, ConflictAnswer, ConflictChoice, ConflictQuestion, Question

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


class _Asked:
    """Answers with what it was given, one after the other, and keeps the questions."""

    def __init__(self, *answers: ConflictAnswer) -> None:
        self.answers = list(answers)
        self.questions: list[ConflictQuestion] = []

    def __call__(self, question: Question) -> Answer:
        assert isinstance(question, ConflictQuestion)
        self.questions.append(question)
        if not self.answers:
            raise Cancelled
        return self.answers.pop(0)


def _clash(
    size: int | None = 10, later_s: float | None = 0, there: int | None = 10, *, keeps_times: bool = True
) -> Clash:
    """A source of `size` bytes that is `later_s` younger than what is there."""
    modified = None if later_s is None else NOON + timedelta(seconds=later_s)
    return Clash("f", lambda: "/f", size, modified, Existing(there, NOON), lambda: "f (2)", keeps_times=keeps_times)


@pytest.mark.parametrize(
    ("clash", "is_replaced"),
    [
        (_clash(), False),
        (_clash(later_s=1.5), False),
        (_clash(later_s=-1.5), False),
        (_clash(later_s=3), True),
        (_clash(later_s=-3), True),
        (_clash(size=11), True),
        (_clash(size=None), True),
        (_clash(there=None), True),
        (_clash(later_s=None), True),
        (_clash(later_s=-3600, keeps_times=False), False),
        (_clash(later_s=3600, keeps_times=False), True),
        (_clash(later_s=0, keeps_times=False), True),
        (_clash(size=9, later_s=-3600, keeps_times=False), True),
    ],
)
def test_a_file_is_replaced_if_size_or_time_differ(clash: Clash, is_replaced: bool) -> None:
    conflicts = Conflicts(_Asked(), ConflictPolicy.OVERWRITE_IF_DIFFERENT)

    assert conflicts.decide(clash).action is (Action.OVERWRITE if is_replaced else Action.SKIP)


@pytest.mark.parametrize("there", [1, 9, 10])
def test_what_may_be_a_beginning_is_to_be_compared(there: int) -> None:
    conflicts = Conflicts(_Asked(), ConflictPolicy.RESUME)

    assert conflicts.decide(replace(_clash(there=there), can_resume=True)) == Decision(Action.OVERWRITE, resumes=True)


@pytest.mark.parametrize(("there", "can_resume"), [(11, True), (0, True), (None, True), (5, False)])
def test_what_cannot_be_gone_on_with_is_never_replaced_without_a_question(there: int | None, can_resume: bool) -> None:
    asked = _Asked(ConflictAnswer(ConflictChoice.SKIP))
    conflicts = Conflicts(asked, ConflictPolicy.RESUME)

    assert conflicts.decide(replace(_clash(there=there), can_resume=can_resume)).action is Action.SKIP
    assert [question.can_resume for question in asked.questions] == [False]


def test_an_answer_may_name_a_policy_for_all_later_clashes() -> None:
    answer = ConflictAnswer(ConflictChoice.OVERWRITE, for_all=True, policy=ConflictPolicy.OVERWRITE_IF_NEWER)
    asked = _Asked(answer)
    conflicts = Conflicts(asked, ConflictPolicy.ASK)

    assert conflicts.decide(_clash(later_s=10)).action is Action.OVERWRITE
    assert conflicts.decide(_clash(later_s=-10)).action is Action.SKIP
    assert len(asked.questions) == 1


def test_an_answer_to_go_on_holds_for_one_file_only_unless_said_otherwise() -> None:
    answer = ConflictAnswer(ConflictChoice.OVERWRITE, policy=ConflictPolicy.RESUME)
    asked = _Asked(answer, answer)
    conflicts = Conflicts(asked, ConflictPolicy.ASK)
    clash = replace(_clash(there=5), can_resume=True)

    assert [conflicts.decide(clash).resumes for _ in range(2)] == [True, True]
    assert [question.can_resume for question in asked.questions] == [True, True]


def test_both_survive_an_answer_to_go_on_with_what_is_no_beginning() -> None:
    answer = ConflictAnswer(ConflictChoice.OVERWRITE, policy=ConflictPolicy.RESUME)
    conflicts = Conflicts(_Asked(answer), ConflictPolicy.ASK)

    assert conflicts.decide(_clash(there=5)).action is Action.RENAME


def test_a_dismissed_question_cancels() -> None:
    with pytest.raises(Cancelled):
        Conflicts(_Asked(), ConflictPolicy.ASK).decide(_clash())
