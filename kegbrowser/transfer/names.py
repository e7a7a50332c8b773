"""Names from a server are hostile: here they become names that a local folder can hold, and never leave it.

A name that is harmless stays as it is. Any other has what is bad in it replaced and a mark appended, `~` and twelve hex digits
of the SHA-256 of its exact text, before its ending: `a/../b:c.txt` cannot come out of it, and two different names never come
out as one. A harmless name that looks as if it had such a mark gets one of its own for that reason.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import unicodedata
from collections import OrderedDict

MARK_DIGITS = 12
MAX_NAME_BYTES = 255
MAX_CLAIMS = 250_000

_MARKED = re.compile(rf"~[0-9a-f]{{{MARK_DIGITS}}}(\.[^.]*)?$", re.IGNORECASE)
_BAD_EVERYWHERE = re.compile(r"[\x00-\x1f\x7f/]")
_BAD_ON_WINDOWS = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]')
_RESERVED_ON_WINDOWS = frozenset(
    [
        "con",
        "prn",
        "aux",
        "nul",
        "conin$",
        "conout$",
        *(f"{port}{n}" for port in ("com", "lpt") for n in "0123456789¹²³"),
    ]
)
_LONGEST_ENDING = 20


def safe_name(name: str, *, windows: bool = sys.platform == "win32", max_bytes: int = MAX_NAME_BYTES) -> str:
    """The name of one file or folder as a local disk can hold it: never empty, no separator, neither `.` nor `..`."""
    return name if _is_harmless(name, windows, max_bytes) else marked_name(name, name, windows, max_bytes)


def marked_name(name: str, exact: str, windows: bool = sys.platform == "win32", max_bytes: int = MAX_NAME_BYTES) -> str:
    """A harmless name made of `name` that carries the mark of `exact`; for names that are taken by another as well."""
    mark = "~" + hashlib.sha256(exact.encode("utf-8", "surrogatepass")).hexdigest()[:MARK_DIGITS]
    text = (_BAD_ON_WINDOWS if windows else _BAD_EVERYWHERE).sub("_", name)
    text = "".join(letter if _is_encodable(letter) else "_" for letter in text)
    if windows:
        text = text.rstrip(". ")
    if not text.strip("."):
        text = "_" * max(1, len(text))
    stem, dot, ending = text.rpartition(".")
    if not stem or len(ending) > _LONGEST_ENDING:
        stem, dot, ending = text, "", ""
    if windows and stem.split(".")[0].rstrip().casefold() in _RESERVED_ON_WINDOWS:
        stem = f"_{stem}"
    return shortened(stem, mark + dot + ending, windows=windows, max_bytes=max_bytes)


def shortened(
    stem: str, ending: str, *, windows: bool = sys.platform == "win32", max_bytes: int = MAX_NAME_BYTES
) -> str:
    """`stem` + `ending`, the stem cut where it must be, at a whole character."""
    while stem and name_length(stem + ending, windows=windows) > max_bytes:
        excess = name_length(stem + ending, windows=windows) - max_bytes
        stem = stem[: -max(1, excess // 4)]
    return stem + ending


def name_length(name: str, *, windows: bool = sys.platform == "win32") -> int:
    """Length as the disk counts it: UTF-16 units on Windows, else bytes."""
    if windows:
        return len(name.encode("utf-16-le", "surrogatepass")) // 2
    return len(name.encode("utf-8", "surrogatepass"))


def numbered_name(name: str, number: int, *, max_bytes: int | None = MAX_NAME_BYTES) -> str:
    """`photo.jpg` and 2 give `photo (2).jpg`."""
    stem, dot, ending = name.rpartition(".")
    if not stem:
        stem, dot, ending = name, "", ""
    tail = f" ({number}){dot}{ending}"
    return shortened(stem, tail, max_bytes=max_bytes) if max_bytes else stem + tail


class LocalNames:
    """Gives what lands in local folders its names, so that no two of one job get the same. One thread.

    What was given is remembered, `MAX_CLAIMS` names at most (some 40 MiB), the oldest are forgotten; beyond that the disk itself
    says that a name is taken.

    Args:
        ignores_case: whether the disk takes `A` and `a` for one, and so with accents that are composed differently.
    """

    def __init__(
        self,
        *,
        ignores_case: bool = sys.platform in ("win32", "darwin"),
        windows: bool = sys.platform == "win32",
        max_bytes: int = MAX_NAME_BYTES,
    ) -> None:
        self._ignores_case = ignores_case
        self._windows = windows
        self._max_bytes = max_bytes
        self._claims: OrderedDict[int, int] = OrderedDict()

    def name_for(self, folder: str, name: str, *, is_folder: bool) -> str:
        """The name in the local folder `folder` for something that its server calls `name`."""
        exact = name + ("/" if is_folder else "")
        plain = safe_name(name, windows=self._windows, max_bytes=self._max_bytes)
        if self._claim(folder, plain, exact):
            return plain
        other = self.other_name(name, is_folder=is_folder)
        self._claim(folder, other, exact)
        return other

    def other_name(self, name: str, *, is_folder: bool) -> str:
        """The name for something whose plain name is taken by something else."""
        exact = name + ("/" if is_folder else "")
        return marked_name(name, exact, self._windows, self._max_bytes)

    def is_claimed(self, folder: str, local_name: str) -> bool:
        """Whether this job has given this name."""
        return self._key(folder, local_name) in self._claims

    def claim_for(self, folder: str, local_name: str, remote_path: str) -> bool:
        """Note whose the name is; False if another remote file of the same name in another folder has it already."""
        self._claim(folder, local_name, local_name)
        return self._claim(folder, f"{local_name}/file", remote_path)

    def _claim(self, folder: str, local_name: str, exact: str) -> bool:
        key, owner = self._key(folder, local_name), hash(exact)
        if self._claims.setdefault(key, owner) != owner:
            return False
        self._claims.move_to_end(key)
        if len(self._claims) > MAX_CLAIMS:
            self._claims.popitem(last=False)
        return True

    def _key(self, folder: str, local_name: str) -> int:
        if self._ignores_case:
            local_name = unicodedata.normalize("NFC", unicodedata.normalize("NFC", local_name).casefold())
        return hash((folder, local_name))


def _is_harmless(name: str, windows: bool, max_bytes: int) -> bool:
    if not name or name in (".", "..") or _MARKED.search(name):
        return False
    if (_BAD_ON_WINDOWS if windows else _BAD_EVERYWHERE).search(name):
        return False
    if windows and (name[-1] in ". " or name.split(".")[0].rstrip().casefold() in _RESERVED_ON_WINDOWS):
        return False
    return _is_encodable(name) and name_length(name, windows=windows) <= max_bytes


def _is_encodable(text: str) -> bool:
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True
