"""What is at the places that were typed: where a job starts from, and where it goes to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kegbrowser.backends.base import EntryKind, ListEntry, as_folder, split_path
from kegbrowser.backends.errors import FileNotFoundInStorageError, NotAFolder
from kegbrowser.backends.registry import ConnectionSpec
from kegbrowser.commands.addresses import Place
from kegbrowser.commands.command import Command
from kegbrowser.commands.outcome import UsageError
from kegbrowser.transfer.events import PageListed
from kegbrowser.transfer.jobs import Source


def look(command: Command, place: Place) -> tuple[Place, ListEntry]:
    """Describe what is at a place; the place comes back with its last "/" if that is a folder.

    A file goes before a folder of the same name, as object stores can have both; the last "/" asks for the folder.

    Raises:
        FileNotFoundInStorageError: neither is there.
    """
    if place.is_root:
        command.list(place.spec, "", _ignore)
        return place, ListEntry("", None, None, EntryKind.FOLDER)
    try:
        entry = command.stat(place.spec, place.path)
    except FileNotFoundInStorageError as missing:
        if place.says_folder:
            raise
        try:
            entry = command.stat(place.spec, as_folder(place.path))
        except (FileNotFoundInStorageError, NotAFolder):
            raise missing from None
    return (place.as_folder() if entry.is_folder else place), entry


@dataclass(frozen=True, slots=True)
class Sources:
    """What a job starts from.

    Attributes:
        found: each with its connection, in the order of the words.
        has_root: a connection's root was among the words; what is in it stands in its place, as a root has no name to
            be copied under.
    """

    found: tuple[tuple[ConnectionSpec, Source], ...]
    has_root: bool

    @property
    def count(self) -> int:
        return len(self.found)

    def by_connection(self) -> list[tuple[ConnectionSpec, tuple[Source, ...]]]:
        """The sources of each connection together, in order: one job takes one connection."""
        groups: dict[str, tuple[ConnectionSpec, tuple[Source, ...]]] = {}
        for spec, source in self.found:
            known_spec, chosen = groups.get(spec.connection_id, (spec, ()))
            groups[spec.connection_id] = (known_spec, (*chosen, source))
        return list(groups.values())


def sources_of(command: Command, places: Iterable[Place]) -> Sources:
    """Look at what was named.

    Raises:
        UsageError: a folder without `-r`.
        FileNotFoundInStorageError: one is not there; nothing has been done then.
    """
    sources: list[tuple[ConnectionSpec, Source]] = []
    has_root = False
    for place in places:
        found, entry = look(command, place)
        if entry.is_folder and not command.words.recursive:
            raise needs_recursive(found.name)
        if found.is_root:
            has_root = True
            inside: list[PageListed] = []
            command.list(found.spec, "", inside.append)
            entries = [one for page in inside for one in page.entries()]
            sources.extend((found.spec, Source(one.path_in(""), one.is_folder)) for one in entries)
        else:
            sources.append((found.spec, Source(found.path, entry.is_folder)))
    return Sources(tuple(sources), has_root)


def target_of(command: Command, place: Place, *, one_name: bool) -> tuple[str, str]:
    """Where sources go: the folder's path and, for one source under another name, that name.

    Without a last "/" one source goes into an existing folder where folders are real, as `cp` does it; on an object store,
    where a name can be a file and a folder at once, it gets exactly this name.

    Args:
        one_name: there is one source, which can get another name.
    """
    if place.says_folder or not one_name:
        return as_folder(place.path), ""
    if command.runner.context.open(place.spec).capabilities.real_folders:
        try:
            if command.stat(place.spec, place.path).is_folder:
                return as_folder(place.path), ""
        except FileNotFoundInStorageError:
            return split_path(place.path)
    return split_path(place.path)


def needs_recursive(name: str) -> UsageError:
    """The error of a folder where files are asked for."""
    return UsageError(f"“{name}” is a folder.", hint="Add -r to take it with all that is in it.")


def _ignore(page: PageListed) -> None:
    """A listing that only shows that the folder can be listed."""
