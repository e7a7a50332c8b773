"""Answers the engine's questions on the terminal."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from kegbrowser.commands.console import Console, counted_text, size_text
from kegbrowser.commands.outcome import UsageError
from kegbrowser.transfer.jobs import ConflictPolicy
from kegbrowser.transfer.questions import (
    Answer,
    ConflictAnswer,
    ConflictChoice,
    ConflictQuestion,
    DeleteAnswer,
    DeleteQuestion,
    Question,
)

_ANSWERS = {
    "s": ConflictAnswer(ConflictChoice.SKIP),
    "o": ConflictAnswer(ConflictChoice.OVERWRITE),
    "r": ConflictAnswer(ConflictChoice.RENAME),
}
_GO_ON = ConflictAnswer(ConflictChoice.OVERWRITE, policy=ConflictPolicy.RESUME)
_FOR_ALL = {
    "N": ConflictAnswer(ConflictChoice.OVERWRITE, policy=ConflictPolicy.OVERWRITE_IF_NEWER),
    "D": ConflictAnswer(ConflictChoice.OVERWRITE, policy=ConflictPolicy.OVERWRITE_IF_DIFFERENT),
}


class Answerer:
    """Asks the person at the terminal; without one a question ends the command. Main thread only."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __call__(self, question: Question) -> Answer:
        """Answer one question.

        Raises:
            UsageError: nobody is there to answer; the text says which option answers beforehand.
            KeyboardInterrupt: the person wants to stop.
        """
        if isinstance(question, DeleteQuestion):
            return self._delete(question)
        return self._conflict(question)

    def _delete(self, question: DeleteQuestion) -> DeleteAnswer:
        what = f"“{question.names[0]}”" if question.sources == 1 and question.names else f"{question.sources:,} items"
        if not self._console.can_ask:
            raise UsageError(f"Nobody is here to confirm that {what} may be deleted.", hint="Add --yes.")
        undo = {True: " It can be brought back.", False: " It cannot be brought back.", None: ""}
        self._console.say(f"{what}: {counted_text(question.counted)}.{undo[question.can_be_undone]}")
        if self._console.ask("Delete? [no/yes]", ("no", "yes")) == "no":
            raise KeyboardInterrupt
        return DeleteAnswer(confirmed=True)

    def _conflict(self, question: ConflictQuestion) -> ConflictAnswer:
        if not self._console.can_ask:
            raise UsageError(
                f"“{question.name}” exists already at {question.target}.",
                hint="Say what to do by --on-clash (--policy) overwrite, overwrite-if-newer, overwrite-if-different, resume, "
                "skip or rename.",
            )
        self._console.say(f"“{question.name}” exists already at {question.target}.")
        self._console.say(f"  new:   {_facts(question.source_size, question.source_modified)}")
        self._console.say(f"  there: {_facts(question.target_size, question.target_modified)}")
        prompt = f"[s]kip, [o]verwrite, [r]ename to “{question.suggested_name}”"
        answers = dict(_ANSWERS)
        if question.can_resume:
            prompt += ", [g]o on with it if it is a beginning"
            answers["g"] = _GO_ON
        if question.more_to_come:
            prompt += "; capital for all, [N]ewer or [D]ifferent ones only"
            answers |= {letter.upper(): answer for letter, answer in answers.items()} | _FOR_ALL
        letter = self._console.ask(f"{prompt}?", tuple(answers))
        return replace(answers[letter], for_all=letter.isupper())


def _facts(size: int | None, modified: datetime | None) -> str:
    when = modified.astimezone().strftime("%Y-%m-%d %H:%M:%S") if modified is not None else "time unknown"
    return f"{size_text(size)}, {when}"
