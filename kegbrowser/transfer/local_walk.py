"""Walks local sources, lazily: what is found is yielded at once, and little is remembered."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from kegbrowser.backends.errors import NotSupported
from kegbrowser.transfer.jobs import LinkPolicy
from kegbrowser.transfer.local_errors import local_error
from kegbrowser.transfer.plan import (
    DEFAULT_RULES,
    Found,
    FoundFile,
    FoundFolder,
    FoundLink,
    NotFound,
    WalkRules,
    circle_error,
    link_error,
)

_Id = tuple[int, int]

MOST_OPEN_FOLDERS = 32
"""Folders that a walk reads bit by bit, each with a handle of the system; those further down are read whole."""


def walk_local(sources: tuple[str, ...], rename_to: str = "", rules: WalkRules = DEFAULT_RULES) -> Iterator[Found]:
    """All files and empty folders of local sources, depth first, in the order of the disk.

    A source that is a link itself is followed.
    """
    for source in sources:
        path = os.path.abspath(source)
        name = rename_to or os.path.basename(path)
        parts = (name,) if name else ()
        try:
            found = os.stat(path)
        except OSError as exc:
            yield NotFound(path, local_error(exc, "read", path))
            continue
        if stat.S_ISDIR(found.st_mode):
            yield from _LocalWalk(rules).walk(path, parts)
        else:
            yield _local_file(path, parts, found, rules)


@dataclass(slots=True)
class _Level:
    """A folder that is being read.

    Attributes:
        ids: behind a link: what the folders on the way to here are; None elsewhere, where there can be no circle.
    """

    path: str
    parts: tuple[str, ...]
    entries: Iterator[os.DirEntry[str]]
    ids: frozenset[_Id] | None
    close: Callable[[], None]
    is_empty: bool = True


class _LocalWalk:
    """The walk of one local folder. Memory: nothing but the folders on the way from the top, however many there are beside."""

    def __init__(self, rules: WalkRules) -> None:
        self._rules = rules
        self._levels: list[_Level] = []

    def walk(self, top: str, parts: tuple[str, ...]) -> Iterator[Found]:
        levels = self._levels
        try:
            refused = self._enter(top, parts, None)
            if refused is not None:
                yield refused
            while levels:
                level = levels[-1]
                try:
                    entry = next(level.entries, None)
                except OSError as exc:
                    level.is_empty = False
                    yield NotFound(level.path, local_error(exc, "read the folder", level.path))
                    entry = None
                if entry is not None:
                    level.is_empty = False
                    found = self._take(entry, (*level.parts, entry.name), level)
                    if found is not None:
                        yield found
                    continue
                levels.pop().close()
                if level.is_empty:
                    yield FoundFolder(level.path, level.parts)
        finally:
            for level in levels:
                level.close()

    def _take(self, entry: os.DirEntry[str], parts: tuple[str, ...], level: _Level) -> Found | None:
        """What an entry is to the walk; None: a folder that comes next."""
        if entry.is_symlink():
            return self._take_link(entry, parts)
        if entry.is_dir(follow_symlinks=False):
            return self._enter(entry.path, parts, level.ids)
        try:
            return _local_file(entry.path, parts, entry.stat(follow_symlinks=False), self._rules)
        except OSError as exc:
            return NotFound(entry.path, local_error(exc, "read", entry.path))

    def _take_link(self, entry: os.DirEntry[str], parts: tuple[str, ...]) -> Found | None:
        links = self._rules.links
        try:
            if links in (LinkPolicy.SKIP, LinkPolicy.RECREATE):
                is_wanted = links is LinkPolicy.RECREATE
                return FoundLink(entry.path, parts, os.readlink(entry.path), _is_folder(entry.path), is_wanted)
            found = os.stat(entry.path)
            if not stat.S_ISDIR(found.st_mode):
                return _local_file(entry.path, parts, found, self._rules)
            if links is not LinkPolicy.FOLLOW:
                return NotFound(entry.path, link_error(entry.name, entry.path))
            return self._enter(entry.path, parts, self._ids())
        except OSError as exc:
            return NotFound(entry.path, local_error(exc, "read", entry.path))

    def _ids(self) -> frozenset[_Id]:
        """What the folders on the way to here are, by their numbers on the disk."""
        known = self._levels[-1].ids
        return known if known is not None else frozenset(_id_of(os.stat(level.path)) for level in self._levels)

    def _enter(self, path: str, parts: tuple[str, ...], ids: frozenset[_Id] | None) -> NotFound | None:
        """Go into a folder; tells why not."""
        try:
            if ids is not None:
                own = _id_of(os.stat(path))
                if own in ids:
                    return NotFound(path, circle_error(parts[-1], path))
                ids |= {own}
            scan = os.scandir(path)
            if len(self._levels) < MOST_OPEN_FOLDERS:
                self._levels.append(_Level(path, parts, scan, ids, scan.close))
                return None
            with scan:
                entries = list(scan)
        except OSError as exc:
            return NotFound(path, local_error(exc, "read the folder", path))
        self._levels.append(_Level(path, parts, iter(entries), ids, _nothing))
        return None


def _local_file(path: str, parts: tuple[str, ...], found: os.stat_result, rules: WalkRules) -> FoundFile | NotFound:
    if not stat.S_ISREG(found.st_mode):
        message = f"“{parts[-1] if parts else path}” is no file but a pipe, a socket or a device."
        return NotFound(path, NotSupported(message, path=path))
    mode = found.st_mode & 0o777 if rules.keep_permissions and os.name == "posix" else None
    modified = datetime.fromtimestamp(found.st_mtime, UTC)
    return FoundFile(path, parts, found.st_size, modified, permissions=mode)


def _is_folder(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except OSError:
        return False


def _nothing() -> None:
    return None


def _id_of(found: os.stat_result) -> _Id:
    return found.st_dev, found.st_ino
