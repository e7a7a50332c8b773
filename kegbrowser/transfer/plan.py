"""Walks the sources of a transfer, lazily: what is found is yielded at once, and little is remembered.

Only folders in which nothing was found yet are kept in mind, for an empty one must be made at the target.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from kegbrowser.backends.base import EntryKind, ListEntry, StorageBackend, as_folder, split_path
from kegbrowser.backends.errors import (
    AuthenticationFailed,
    FileNotFoundInStorageError,
    NotSupported,
    StorageError,
    UnknownHostKey,
)
from kegbrowser.transfer.cancel import CancelToken
from kegbrowser.transfer.jobs import LinkPolicy, Source, TransferJob
from kegbrowser.transfer.records import JournalFailed
from kegbrowser.transfer.retry import Attempts, RetryPolicy, retrying

log = logging.getLogger(__name__)

STATS_BEFORE_LISTING = 16
MOST_LINKS_DEEP = 8
"""Links to folders that are followed one behind the other on a storage, where a circle is not always seen."""

ENTRIES_PER_STAT = 500
"""A request for one file takes about as long as one for a page of a listing."""

WHOLE_JOB_ERRORS = (AuthenticationFailed, UnknownHostKey, JournalFailed)
"""Errors that no other file of the job will escape."""


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file to move.

    Attributes:
        path: where it is, as its side takes it.
        parts: its names below the target, the chosen source's own first.
        size: None if it must be asked for.
        permissions: the lower nine mode bits, if they are to be kept and are known.
    """

    path: str
    parts: tuple[str, ...]
    size: int | None
    modified: datetime | None
    etag: str = ""
    permissions: int | None = None


@dataclass(frozen=True, slots=True)
class FoundFolder:
    """A folder with nothing in it."""

    path: str
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NotFound:
    """A file or folder that cannot be read, or is nothing that can be moved."""

    path: str
    error: StorageError


@dataclass(frozen=True, slots=True)
class FoundLink:
    """A symbolic link that is not followed.

    Attributes:
        target: where it leads, as it is written in it.
        is_folder: it leads to a folder.
        is_wanted: it is to be made again at the target; else it is to be left out, as its user wants.
    """

    path: str
    parts: tuple[str, ...]
    target: str
    is_folder: bool
    is_wanted: bool


Found = FoundFile | FoundFolder | FoundLink | NotFound


@dataclass(frozen=True, slots=True)
class WalkRules:
    """What a walk does with links, and whether it looks at permissions."""

    links: LinkPolicy = LinkPolicy.FOLLOW_FILES
    keep_permissions: bool = False

    @classmethod
    def of(cls, job: TransferJob) -> WalkRules:
        return cls(job.links, job.keep_permissions)


DEFAULT_RULES = WalkRules()


def walk_remote(
    storage: StorageBackend,
    sources: tuple[Source, ...],
    rename_to: str,
    policy: RetryPolicy,
    token: CancelToken,
    rules: WalkRules = DEFAULT_RULES,
) -> Iterator[Found]:
    """All files and empty folders of remote sources.

    Raises:
        AuthenticationFailed, UnknownHostKey: the connection as a whole is refused.
    """
    for path, entry in describe_files(storage, sources, policy, token):
        if isinstance(entry, StorageError):
            yield NotFound(path, entry)
        else:
            yield _found_file(entry, path, (rename_to or path.rpartition("/")[2],), rules)
    for source in sources:
        if source.is_folder:
            try:
                yield from _RemoteWalk(storage, policy, token, rules).walk(source.path, rename_to)
            except WHOLE_JOB_ERRORS:
                raise
            except StorageError as error:
                yield NotFound(source.path, error)


def describe_files(
    storage: StorageBackend, sources: tuple[Source, ...], policy: RetryPolicy, token: CancelToken
) -> Iterator[tuple[str, ListEntry | StorageError]]:
    """What the sources that are files are; many of one folder cost a listing of it, not a request each."""
    by_folder: dict[str, list[str]] = {}
    for source in sources:
        if not source.is_folder:
            by_folder.setdefault(source.path[: source.path.rfind("/") + 1], []).append(source.path)
    for folder, paths in by_folder.items():
        missing = dict.fromkeys(paths)
        if len(paths) > STATS_BEFORE_LISTING:
            for path, entry in _pick(storage, folder, missing, token):
                yield path, entry
        for path in missing:
            try:
                yield path, retrying(partial(storage.stat, path), policy, token)
            except WHOLE_JOB_ERRORS:
                raise
            except StorageError as error:
                yield path, error


def _pick(
    storage: StorageBackend, folder: str, wanted: dict[str, None], token: CancelToken
) -> Iterator[tuple[str, ListEntry]]:
    """Take the wanted files out of their folder's listing, as far as that is cheaper than to ask for each of them."""
    seen = 0
    try:
        for page in storage.list_pages(folder):
            token.check()
            for entry in page.entries:
                path = entry.path_in(folder)
                if not entry.is_folder and path in wanted:
                    del wanted[path]
                    yield path, entry
            seen += len(page.entries)
            if not wanted or seen > ENTRIES_PER_STAT * len(wanted):
                return
    except WHOLE_JOB_ERRORS:
        raise
    except StorageError as error:
        log.info("asking for %s files one by one, for their folder cannot be listed: %s", len(wanted), error)


def list_all(storage: StorageBackend, path: str, policy: RetryPolicy, token: CancelToken) -> Iterator[ListEntry]:
    """All below a folder, streamed. Where the listing breaks off it is begun again and what was seen is passed over.

    Raises:
        StorageError: it cannot be listed, or it broke off and is another one since.
    """
    attempts = Attempts(policy, token)
    seen, last_seen = 0, ""
    while True:
        index = 0
        try:
            for page in storage.list_pages(path, recursive=True):
                token.check()
                for entry in page.entries:
                    index += 1
                    if index < seen:
                        continue
                    if index == seen:
                        if entry.name != last_seen:
                            raise _listing_changed(path)
                        continue
                    seen, last_seen = index, entry.name
                    yield entry
                if index >= seen:
                    attempts.succeed()
        except StorageError as error:
            attempts.fail(error)
            continue
        if index < seen:
            raise _listing_changed(path)
        return


@dataclass(frozen=True, slots=True)
class _Linked:
    """A folder to be listed.

    Attributes:
        path: as the backend takes it, by way of the links that led there.
        real_path: without those, as far as they are known to lead within the storage.
        links: where those links are, without the links before each.
    """

    path: str
    real_path: str
    parts: tuple[str, ...]
    links: tuple[str, ...] = ()


class _RemoteWalk:
    """The walk of one folder of a storage."""

    def __init__(self, storage: StorageBackend, policy: RetryPolicy, token: CancelToken, rules: WalkRules) -> None:
        self._storage = storage
        self._policy = policy
        self._token = token
        self._rules = rules
        self._waiting: list[_Linked] = []

    def walk(self, path: str, rename_to: str) -> Iterator[Found]:
        name = rename_to or split_path(path)[1]
        yield from self._list(_Linked(path, path, (name,) if path else ()))
        while self._waiting:
            linked = self._waiting.pop()
            try:
                yield from self._list(linked)
            except WHOLE_JOB_ERRORS:
                raise
            except StorageError as error:
                yield NotFound(linked.path, error)

    def _list(self, folder: _Linked) -> Iterator[Found]:
        path, top = folder.path, folder.parts
        maybe_empty: dict[tuple[str, ...], str] = {top: path}
        for entry in list_all(self._storage, path, self._policy, self._token):
            parts = (*top, *entry.name.split("/"))
            for depth in range(len(top), len(parts)):
                maybe_empty.pop(parts[:depth], None)
            exact = entry.path_in(path)
            if entry.link_target:
                found = self._take_link(entry, exact, parts, folder)
                if found is not None:
                    yield found
            elif entry.is_folder:
                maybe_empty[parts] = exact
            else:
                yield _found_file(entry, exact, parts, self._rules)
        for parts, exact in maybe_empty.items():
            yield FoundFolder(exact, parts)

    def _take_link(self, entry: ListEntry, path: str, parts: tuple[str, ...], folder: _Linked) -> Found | None:
        """What a link is to the walk; None: a folder that is listed later."""
        links = self._rules.links
        if links in (LinkPolicy.SKIP, LinkPolicy.RECREATE):
            bare = path.removesuffix("/")
            return FoundLink(bare, parts, entry.link_target, entry.is_folder, links is LinkPolicy.RECREATE)
        if not entry.is_folder:
            return _found_file(entry, path, parts, self._rules)
        if links is not LinkPolicy.FOLLOW:
            return NotFound(path, link_error(parts[-1], path))
        place = as_folder(folder.real_path) + entry.name
        real_path = _resolved(split_path(place)[0], entry.link_target)
        on_the_way = (*folder.links, place)
        if len(on_the_way) > MOST_LINKS_DEEP or any(link.startswith(real_path) for link in on_the_way):
            return NotFound(path, circle_error(parts[-1], path))
        self._waiting.append(_Linked(path, real_path, parts, on_the_way))
        return None


def _resolved(folder: str, target: str) -> str:
    """Where a link in a folder leads, as a folder's path; by its text alone."""
    steps = [] if target.startswith("/") else folder.split("/")[:-1]
    for step in target.split("/"):
        if step == "..":
            steps = steps[:-1]
        elif step not in ("", "."):
            steps.append(step)
    return "".join(f"{step}/" for step in steps)


def _found_file(entry: ListEntry, path: str, parts: tuple[str, ...], rules: WalkRules) -> FoundFile:
    # What a listing says of a link is about the link, not about the file that will be read.
    if entry.kind is EntryKind.LINK:
        return FoundFile(path, parts, None, entry.last_modified)
    mode = entry.permissions & 0o777 if rules.keep_permissions and entry.permissions is not None else None
    return FoundFile(path, parts, entry.size, entry.last_modified, entry.etag if entry.size is not None else "", mode)


def link_error(name: str, path: str) -> StorageError:
    """Why a link to a folder was passed over."""
    message = f"“{name}” is a link to a folder; such links are not followed."
    return NotSupported(message, path=path, hint="Choose the folder that it leads to.")


def circle_error(name: str, path: str) -> StorageError:
    """Why a link was not followed."""
    message = f"“{name}” was not followed: it leads back to a folder that it is in."
    return NotSupported(message, path=path)


def _listing_changed(path: str) -> StorageError:
    name = split_path(path)[1] or path
    return FileNotFoundInStorageError(f"The folder “{name}” changed while it was listed.", path=path, retryable=False)
