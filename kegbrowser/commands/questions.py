"""Answers the engine's questions on the terminal."""

from __future__ import annotations

from datetime import datetime

from kegbrowser.commands.console import Console, counted_text, size_text
from kegbrowser.commands.outcome import UsageError
from kegbrowser.transfer.questions import (
    Answer,
    ConflictAnswer,
    ConflictChoice,
    ConflictQuestion,
    DeleteAnswer,
    DeleteQuestion,
    Question,
)

_CONFLICT_CHOICES = {
    "s": ConflictChoice.SKIP,
    "o": ConflictChoice.OVERWRITE,
    "r": ConflictChoice.RENAME,
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
                hint="Say what to do by --policy overwrite, overwrite-if-newer, skip or rename.",
            )
        self._console.say(f"“{question.name}” exists already at {question.target}.")
        self._console.say(f"  new:   {_facts(question.source_size, question.source_modified)}")
        self._console.say(f"  there: {_facts(question.target_size, question.target_modified)}")
        prompt = f"[s]kip, [o]verwrite, [r]ename to “{question.suggested_name}”"
        choices = tuple(_CONFLICT_CHOICES)
        if question.more_to_come:
            prompt += "; capital for all"
            choices += tuple(letter.upper() for letter in choices)
        letter = self._console.ask(f"{prompt}?", choices)
        return ConflictAnswer(_CONFLICT_CHOICES[letter.lower()], for_all=letter.isupper())


def _facts(size: int | None, modified: datetime | None) -> str:
    when = modified.astimezone().strftime("%Y-%m-%d %H:%M:%S") if modified is not None else "time unknown"
    return f"{size_text(size)}, {when}"
