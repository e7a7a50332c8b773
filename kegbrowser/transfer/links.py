"""Symbolic links: where they lead, and how they are made again at the target without ever leading out of it."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from kegbrowser.backends.base import StorageBackend
from kegbrowser.backends.errors import AlreadyExists, FileNotFoundInStorageError, NotSupported, StorageError
from kegbrowser.transfer.conflicts import Action, Clash, Conflicts, Existing
from kegbrowser.transfer.local_errors import local_errors
from kegbrowser.transfer.local_tree import LocalTree, existing_at
from kegbrowser.transfer.names import safe_name
from kegbrowser.transfer.part_file import PART_ENDING
from kegbrowser.transfer.plan import FoundLink
from kegbrowser.transfer.remote_tree import RemoteTree

SUFFIX = f".link{PART_ENDING}"


def leads_out(parts: tuple[str, ...], target: str, *, windows: bool = sys.platform == "win32") -> bool:
    """Whether a link at `parts` may lead out of the chosen folder, the first of the parts.

    Only text is looked at, so `..` is taken at the beginning alone: behind a name that may be a link itself, it leads anywhere.
    The folders that the link is in are real ones, as `LocalTree` makes them, so what passes leads to something in the folder.
    """
    if not target or target.startswith("/") or "\0" in target or (windows and ("\\" in target or ":" in target)):
        return True
    steps = [step for step in target.split("/") if step not in ("", ".")]
    ups = 0
    while ups < len(steps) and steps[ups] == "..":
        ups += 1
    names = steps[ups:]
    # A link in the chosen folder itself has two parts; it may go up not at all, and so on.
    return ups > max(0, len(parts) - 2) or any(safe_name(name, windows=windows) != name for name in names)


class LocalLinks:
    """Makes the links of a download; the thread that plans."""

    def __init__(self, tree: LocalTree, conflicts: Conflicts, *, more_to_come: bool) -> None:
        self._tree = tree
        self._conflicts = conflicts
        self._more_to_come = more_to_come

    def make(self, link: FoundLink) -> bool:
        """Make one; False if it is left out, as its user wants. One that is there already is fine.

        Raises:
            NotSupported: it leads out of the chosen folder, or this disk holds none.
        """
        if leads_out(link.parts, link.target):
            raise _not_made(link, "it leads out of the chosen folder")
        place = self._tree.place(link.parts)
        is_own = not self._tree.claim(place, link.path)
        while True:
            with suppress(OSError):
                if os.readlink(place) == link.target:
                    return True
            existing = existing_at(place)
            if existing is None and is_own:
                existing = Existing(None, None)
            if existing is None:
                try:
                    self._symlink(link, place)
                except AlreadyExists:
                    continue
                return True
            clash = _clash(link, place, existing, self._more_to_come, is_own=is_own)
            decision = self._conflicts.decide(clash(partial(self._free_name, place)))
            if decision.action is Action.SKIP:
                return False
            if decision.action is Action.OVERWRITE:
                self._replace(link, place)
                return True
            chosen = decision.new_name
            place = self._tree.named_place(place, chosen) if chosen else self._tree.free_place(place)
            is_own = not self._tree.claim(place, link.path)

    def _free_name(self, place: str) -> str:
        return os.path.basename(self._tree.free_place(place))

    def _replace(self, link: FoundLink, place: str) -> None:
        other = os.path.join(os.path.dirname(place), f".{secrets.token_hex(4)}{SUFFIX}")
        self._symlink(link, other)
        try:
            with local_errors("save", place):
                os.replace(other, place)
        except BaseException:
            with suppress(OSError):
                os.unlink(other)
            raise

    def _symlink(self, link: FoundLink, place: str) -> None:
        if not hasattr(os, "symlink"):
            raise _not_made(link, "this disk holds no links")
        with local_errors("make the link", place):
            os.symlink(link.target, place, target_is_directory=link.is_folder)


class RemoteLinks:
    """Makes the links of an upload or a copy; the thread that plans.

    Args:
        for_people: gives a path as it is shown.
        is_foreign: they come from another server, which is not trusted: none may lead out of the chosen folder.
    """

    def __init__(
        self,
        storage: StorageBackend,
        tree: RemoteTree,
        conflicts: Conflicts,
        for_people: Callable[[str], str],
        *,
        more_to_come: bool,
        is_foreign: bool,
    ) -> None:
        self._storage = storage
        self._tree = tree
        self._conflicts = conflicts
        self._for_people = for_people
        self._more_to_come = more_to_come
        self._is_foreign = is_foreign

    def make(self, link: FoundLink, parts: tuple[str, ...]) -> bool:
        """Make one at `parts` below the target; False if it is left out, as its user wants. One that is there already is fine.

        Raises:
            NotSupported: the storage holds none, or it leads out of the chosen folder.
        """
        if not self._storage.capabilities.links:
            raise _not_made(link, "the storage holds no links")
        if self._is_foreign and leads_out(link.parts, link.target, windows=False):
            raise _not_made(link, "it leads out of the chosen folder")
        is_own = not self._tree.claim(parts, link.path)
        while True:
            path = self._tree.path(parts)
            existing = self._tree.find(parts) or (Existing(None, None) if is_own else None)
            if existing is None:
                try:
                    self._storage.make_link(path, link.target)
                except AlreadyExists:
                    existing = self._tree.look(parts) or Existing(None, None)
                else:
                    return True
            if not is_own and self._is_there(path, link.target):
                return True
            shown = self._for_people(path)
            clash = _clash(link, shown, existing, self._more_to_come, is_own=is_own)
            decision = self._conflicts.decide(clash(partial(self._free_name, parts)))
            if decision.action is Action.SKIP:
                return False
            if decision.action is Action.OVERWRITE:
                with suppress(FileNotFoundInStorageError):
                    self._storage.delete(path)
                self._storage.make_link(path, link.target)
                return True
            chosen = decision.new_name.replace("/", "_")
            parts = (*parts[:-1], chosen) if chosen.strip(".") else self._tree.free(parts)
            is_own = not self._tree.claim(parts, link.path)

    def _is_there(self, path: str, target: str) -> bool:
        try:
            return self._storage.stat(path).link_target == target
        except StorageError:
            return False

    def _free_name(self, parts: tuple[str, ...]) -> str:
        return self._tree.free(parts)[-1]


def _clash(
    link: FoundLink, place: str, existing: Existing, more_to_come: bool, *, is_own: bool
) -> Callable[[Callable[[], str]], Clash]:
    def with_name(suggested: Callable[[], str]) -> Clash:
        name = link.parts[-1] if link.parts else link.path
        return Clash(name, lambda: place, None, None, existing, suggested, is_own=is_own, more_to_come=more_to_come)

    return with_name


def _not_made(link: FoundLink, reason: str) -> NotSupported:
    name = link.parts[-1] if link.parts else link.path
    return NotSupported(f"The link “{name}” was not made: {reason}.", path=link.path)
