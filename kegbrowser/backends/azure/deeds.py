"""What is being done to what: the words of a message."""

from __future__ import annotations

from dataclasses import dataclass

from kegbrowser.backends.errors import SourceChanged, StorageError

LONGEST_NAME = 120


@dataclass(frozen=True, slots=True)
class Deed:
    """What is being done, in the words of a message.

    Attributes:
        verb: as in “Could not *open* …”.
        right: what the account may not do if it is denied, as in “the account may not *read* it”.
        container, blob: what it is done to; no container: the account's list of containers.
        path: as the backend's caller knows it.
        if_condition_fails: the error for a failed If-Match or If-None-Match.
        source: of a copy, what is copied; the deed itself is then about the target.
    """

    verb: str
    right: str
    container: str = ""
    blob: str = ""
    path: str | None = None
    if_condition_fails: type[StorageError] = SourceChanged
    source: Deed | None = None

    def sentence(self, reason: str) -> str:
        return f"Could not {self.verb} {self._thing()}: {reason}."

    def _thing(self) -> str:
        if not self.container:
            return "the containers"
        if not self.blob:
            return f"the container “{readable(self.container)}”"
        folder = "the folder " if self.blob.endswith("/") else ""
        return f"{folder}“{last_name(self.blob)}” in the container “{readable(self.container)}”"


def last_name(path: str) -> str:
    """The last name of a path, for a sentence."""
    return readable(path.rstrip("/").rpartition("/")[2] or path)


def readable(name: str) -> str:
    """A name for a sentence: one line, not too long."""
    shown = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name)
    return shown if len(shown) <= LONGEST_NAME else f"{shown[: LONGEST_NAME - 1]}…"
