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
        bucket, key: what it is done to; no bucket: the list of buckets.
        path: as the backend's caller knows it.
        if_condition_fails: the error for a failed If-Match or If-None-Match.
    """

    verb: str
    right: str
    bucket: str = ""
    key: str = ""
    path: str | None = None
    if_condition_fails: type[StorageError] = SourceChanged

    def sentence(self, reason: str) -> str:
        return f"Could not {self.verb} {self._thing()}: {reason}."

    def _thing(self) -> str:
        if not self.bucket:
            return "the buckets"
        if not self.key:
            return f"the bucket “{readable(self.bucket)}”"
        is_folder = self.key.endswith("/")
        name = self.key.rstrip("/").rpartition("/")[2] or self.key
        return f"{'the folder ' if is_folder else ''}“{readable(name)}” in the bucket “{readable(self.bucket)}”"


def readable(name: str) -> str:
    """A name for a sentence: one line, not too long."""
    shown = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name)
    return shown if len(shown) <= LONGEST_NAME else f"{shown[: LONGEST_NAME - 1]}…"
