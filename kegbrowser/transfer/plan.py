"""Walks the sources of a transfer, lazily: what is found is yielded at once, and little is remembered.

Only folders in which nothing was found yet are kept in mind, for an empty one must be made at the target.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from kegbrowser.backends.base import EntryKind, ListEntry, StorageBackend, split_path
from kegbrowser.backends.errors import (
    AuthenticationFailed,
    FileNotFoundInStorageError,
    NotSupported,
    StorageError,
    UnknownHostKey,
)
from kegbrowser.transfer.cancel import CancelToken
from kegbrowser.transfer.jobs import Source
from kegbrowser.transfer.local_errors import local_error
from kegbrowser.transfer.records import JournalFailed
from kegbrowser.transfer.retry import Attempts, RetryPolicy, retrying

log = logging.getLogger(__name__)

STATS_BEFORE_LISTING = 16
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
    """

    path: str
    parts: tuple[str, ...]
    size: int | None
    modified: datetime | None
    etag: str = ""


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


Found = FoundFile | FoundFolder | NotFound


# -- the local disk -------------------------------------------------------------------------------------------------------


def walk_local(sources: tuple[str, ...], rename_to: str = "") -> Iterator[Found]:
    """All files and empty folders of local sources.

    A symbolic link to a file counts as that file; one to a folder is told as `NotFound`, unless it is a source itself.
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
            yield from _walk_folder(path, parts)
        else:
            yield _local_file(path, parts, found)


def _walk_folder(top: str, top_parts: tuple[str, ...]) -> Iterator[Found]:
    waiting = [(top, top_parts)]
    while waiting:
        path, parts = waiting.pop()
        is_empty = True
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    is_empty = False
                    child = (*parts, entry.name)
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append((entry.path, child))
                    else:
                        yield _local_entry(entry, child)
        except OSError as exc:
            yield NotFound(path, local_error(exc, "read the folder", path))
            continue
        if is_empty:
            yield FoundFolder(path, parts)


def _local_entry(entry: os.DirEntry[str], parts: tuple[str, ...]) -> Found:
    try:
        found = entry.stat()
    except OSError as exc:
        return NotFound(entry.path, local_error(exc, "read", entry.path))
    if stat.S_ISDIR(found.st_mode):
        return NotFound(entry.path, _link_error(entry.name, entry.path))
    return _local_file(entry.path, parts, found)


def _local_file(path: str, parts: tuple[str, ...], found: os.stat_result) -> Found:
    if not stat.S_ISREG(found.st_mode):
        message = f"“{parts[-1] if parts else path}” is no file but a pipe, a socket or a device."
        return NotFound(path, NotSupported(message, path=path))
    return FoundFile(path, parts, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))


# -- a storage ------------------------------------------------------------------------------------------------------------


def walk_remote(
    storage: StorageBackend, sources: tuple[Source, ...], rename_to: str, policy: RetryPolicy, token: CancelToken
) -> Iterator[Found]:
    """All files and empty folders of remote sources.

    Raises:
        AuthenticationFailed, UnknownHostKey: the connection as a whole is refused.
    """
    for path, entry in describe_files(storage, sources, policy, token):
        if isinstance(entry, StorageError):
            yield NotFound(path, entry)
        else:
            yield _found_file(entry, path, (rename_to or path.rpartition("/")[2],))
    for source in sources:
        if source.is_folder:
            try:
                yield from _walk_remote_folder(storage, source.path, rename_to, policy, token)
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


def _walk_remote_folder(
    storage: StorageBackend, path: str, rename_to: str, policy: RetryPolicy, token: CancelToken
) -> Iterator[Found]:
    name = rename_to or split_path(path)[1]
    top = (name,) if path else ()
    maybe_empty: dict[tuple[str, ...], str] = {top: path}
    for entry in list_all(storage, path, policy, token):
        parts = (*top, *entry.name.split("/"))
        for depth in range(len(parts)):
            maybe_empty.pop(parts[:depth], None)
        exact = entry.path_in(path)
        if entry.is_folder and entry.link_target:
            yield NotFound(exact, _link_error(parts[-1], exact))
        elif entry.is_folder:
            maybe_empty[parts] = exact
        else:
            yield _found_file(entry, exact, parts)
    for parts, exact in maybe_empty.items():
        yield FoundFolder(exact, parts)


def _found_file(entry: ListEntry, path: str, parts: tuple[str, ...]) -> FoundFile:
    # What a listing says of a link is about the link, not about the file that will be read.
    size = None if entry.kind is EntryKind.LINK else entry.size
    return FoundFile(path, parts, size, entry.last_modified, entry.etag if size is not None else "")


def _link_error(name: str, path: str) -> StorageError:
    message = f"“{name}” is a link to a folder; such links are not followed."
    return NotSupported(message, path=path, hint="Choose the folder that it leads to.")


def _listing_changed(path: str) -> StorageError:
    name = split_path(path)[1] or path
    return FileNotFoundInStorageError(f"The folder “{name}” changed while it was listed.", path=path, retryable=False)
