"""Opens the journal's file, sets a damaged one aside, and turns SQLite's errors into ours."""

from __future__ import annotations

import logging
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from kegbrowser.backends.errors import StorageError
from kegbrowser.transfer.cancel import CancelToken
from kegbrowser.transfer.journal.locks import PRIVATE_FILE, FileLock
from kegbrowser.transfer.journal.schema import MIGRATIONS, VERSION
from kegbrowser.transfer.local_errors import local_error
from kegbrowser.transfer.records import JournalFailed

log = logging.getLogger(__name__)

BUSY_MS = 10_000
OPEN_WAIT_S = 20.0
PRIVATE_FOLDER = 0o700

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_REFUSED = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH}


def prepare(path: Path, locks: Path) -> str:
    """Have a good file of this version at `path`, and the folder for locks; gives a notice for the user if one was damaged.

    Raises:
        JournalFailed: a newer version wrote it, or the disk refused.
    """
    try:
        for folder in (path.parent, locks):
            folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        opening = FileLock.wait_for_lock(locks / "opening.lock", OPEN_WAIT_S, CancelToken())
    except OSError as exc:
        raise _refused(exc, path) from exc
    if opening is None:
        raise JournalFailed(
            "The list of transfers is being opened by another program.", hint="Try again.", retryable=True
        )
    try:
        return _prepare(path)
    except OSError as exc:
        raise _refused(exc, path) from exc
    finally:
        opening.release()


def connect(path: Path) -> sqlite3.Connection:
    """A connection for one thread at a time; its transactions are begun and ended by hand.

    Every commit is forced to disk (FULL), so what was promised survives a power cut. It costs 0.28 ms beside 0.17 ms (NORMAL) for
    a `begin` and 7 % of a million notes on an SSD: the journal commits in groups, at most twenty times a second but for `begin`.
    """
    connection = sqlite3.connect(path, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA cache_size = -16384")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        if sys.platform == "darwin":
            connection.execute("PRAGMA fullfsync = ON")  # fsync alone leaves it in the drive's cache there
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """All or nothing; no other process writes meanwhile."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        raise


@contextmanager
def journal_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's and the system's errors of the block into JournalFailed."""
    try:
        yield
    except sqlite3.Error as exc:
        raise journal_error(exc, path) from exc
    except OSError as exc:
        if isinstance(exc, StorageError):
            raise
        raise _refused(exc, path) from exc


def journal_error(exc: sqlite3.Error, path: Path) -> JournalFailed:
    """What a refusal of SQLite means."""
    where, code = os.fspath(path), getattr(exc, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return JournalFailed(
            "The list of transfers could not be written: the disk is full.",
            path=where,
            hint="Free some space, then retry.",
        )
    if code in _REFUSED:
        return JournalFailed(
            "The list of transfers could not be written: its folder or file may not be changed.",
            path=where,
            hint=f"Make “{path.parent}” writable, then retry.",
        )
    if code == sqlite3.SQLITE_BUSY:
        return JournalFailed(
            "The list of transfers is held by another program.", path=where, hint="Try again.", retryable=True
        )
    if code in _DAMAGED:
        with suppress(OSError):
            _mark_damaged(path)
        return JournalFailed(
            "The list of transfers is damaged.",
            path=where,
            hint="Restart the program: it keeps the file and begins anew.",
        )
    return JournalFailed(f"The list of transfers could not be written: {exc}.", path=where, hint="Check the disk.")


def _refused(exc: OSError, path: Path) -> JournalFailed:
    error = local_error(exc, "write", os.fspath(path))
    return JournalFailed(error.message, path=error.path, hint=error.hint)


def _prepare(path: Path) -> str:
    notice = ""
    if _damage_mark(path).exists():
        notice = _set_aside(path)
        _damage_mark(path).unlink()
    try:
        _migrate(path)
    except sqlite3.DatabaseError as exc:
        if getattr(exc, "sqlite_errorcode", 0) & 0xFF not in _DAMAGED:
            raise journal_error(exc, path) from exc
        notice = _set_aside(path)
        with journal_errors(path):
            _migrate(path)
    return notice


def _migrate(path: Path) -> None:
    is_new = not path.exists()
    if is_new:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE_FILE))
    with closing(sqlite3.connect(path, timeout=BUSY_MS / 1000, isolation_level=None)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise JournalFailed(
                f"The list of transfers “{path}” was written by a newer version of the program.",
                path=os.fspath(path),
                hint="Use the newer version.",
            )
        connection.execute("PRAGMA journal_mode = WAL")
        while version < VERSION:
            with transaction(connection):
                MIGRATIONS[version](connection)
                version += 1
                connection.execute(f"PRAGMA user_version = {version}")
        for table in ("jobs", "items", "parts", "blocks", "proofs"):
            connection.execute(f"SELECT * FROM {table} LIMIT 1").fetchall()  # all of it would take too long
    if is_new and hasattr(os, "O_DIRECTORY"):
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)  # else a power cut may take the name of the new file
        finally:
            os.close(folder)


def _set_aside(path: Path) -> str:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    kept = path.with_name(f"{path.name}.bad-{stamp}")
    for ending in ("-wal", "-shm", ""):
        with suppress(FileNotFoundError):
            path.with_name(path.name + ending).rename(kept.with_name(kept.name + ending))
    log.warning("Set the damaged journal aside as %s", kept)
    return f"The list of transfers could not be read: the file is damaged. It was kept as “{kept}”."


def _damage_mark(path: Path) -> Path:
    return path.with_name(f"{path.name}.damaged")


def _mark_damaged(path: Path) -> None:
    """Have the next start set the file aside: what is damaged deep inside is not seen by merely opening it."""
    _damage_mark(path).touch(PRIVATE_FILE)
