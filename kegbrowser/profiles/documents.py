"""A small JSON file that several processes may change and no crash may spoil."""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kegbrowser.profiles.places import make_private_folder, open_private

log = logging.getLogger(__name__)

Content = dict[str, Any]
Migration = Callable[[Content], Content]
VERSION_KEY = "schema_version"

_MALFORMED = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What reading arbitrary bytes as our JSON can raise; deep nesting ends json's recursion."""


class UnreadableDocument(ValueError):
    """The file holds something else than this program writes."""


class JsonDocument:
    """One JSON object in one file, with an integer schema version. Any thread.

    Readers always see a whole file: a change is written to a temporary file, synced and renamed. Writers of all processes take
    turns by a lock file beside it, and read again under the lock, so no change is lost. A file that cannot be understood is
    renamed to `<name>.bad-<time>`, never overwritten, and the notice about it waits in `take_notices`.

    Args:
        path: of the file; its folder is made for this user only.
        version: of the schema as this program writes it.
        migrations: `migrations[n]` turns version n into n + 1.
        check: raises `UnreadableDocument`, or any ValueError, KeyError or TypeError, at malformed content.
        what: how the content is called in a notice, as "The saved connections".
    """

    def __init__(
        self,
        path: Path,
        *,
        version: int,
        migrations: dict[int, Migration],
        check: Callable[[Content], object],
        what: str,
    ) -> None:
        self.path = path
        self._version = version
        self._migrations = migrations
        self._check = check
        self._what = what
        self._notices: list[str] = []
        self._thread_lock = threading.Lock()

    def read(self) -> Content:
        """The content without its version; empty if there is no file, or none that can be understood.

        Raises:
            OSError: the file is there but cannot be read.
        """
        try:
            return self._parse(self.path.read_bytes())
        except FileNotFoundError:
            return {}
        except _MALFORMED as error:
            log.warning("%s cannot be understood: %s", self.path.name, type(error).__name__)
        with self._locked():
            return self._read_or_set_aside()

    def change(self, edit: Callable[[Content], Content]) -> Content:
        """Replace the content by `edit(content)`, atomically and alone. What `edit` raises leaves the file as it was.

        Raises:
            OSError: the disk refused; the file is as it was.
        """
        make_private_folder(self.path.parent)
        with self._locked():
            content = edit(self._read_or_set_aside())
            self._check(content)
            self._write({VERSION_KEY: self._version} | content)
        return content

    def take_notices(self) -> tuple[str, ...]:
        """What the user should be told since the last call, whole sentences."""
        with self._thread_lock:
            notices, self._notices = tuple(self._notices), []
        return notices

    def _parse(self, raw: bytes) -> Content:
        content: Content = json.loads(raw)
        if not isinstance(content, dict):
            raise UnreadableDocument("not an object")
        version = content.pop(VERSION_KEY, None)
        if type(version) is not int or not 1 <= version <= self._version:
            raise UnreadableDocument(f"schema version {version!r}")
        for step in range(version, self._version):
            content = self._migrations[step](content)
        self._check(content)
        return content

    def _read_or_set_aside(self) -> Content:
        try:
            return self._parse(self.path.read_bytes())
        except FileNotFoundError:
            return {}
        except _MALFORMED:
            self._set_aside()
            return {}

    def _set_aside(self) -> None:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        bad = self.path.with_name(f"{self.path.name}.bad-{stamp}")
        self.path.rename(bad)
        log.warning("set aside %s", bad)
        with self._thread_lock:
            self._notices.append(
                f"{self._what} could not be read: the file is damaged or was written by a newer version. "
                f"It was kept as “{bad}”."
            )

    def _write(self, content: Content) -> None:
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        target = self.path.resolve()  # people keep such files in a repository and link to them
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)  # mode 0600 by itself
        temporary = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8", errors="surrogatepass") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(target.parent)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock_path = self.path.with_name(f".{self.path.name}.lock")
        with open(lock_path, "a+b", opener=open_private) as file:
            _lock(file.fileno())
            try:
                yield
            finally:
                _unlock(file.fileno())


def append_private_line(path: Path, line: str) -> None:
    """Append one line to a text file that only this user may read, making it if it is missing.

    Raises:
        OSError: the disk refused.
    """
    make_private_folder(path.parent)
    with open(path, "a", encoding="utf-8", opener=open_private) as file:
        file.write(f"{line}\n")
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    if sys.platform == "win32":
        return  # a folder cannot be opened there, and NTFS journals the rename itself
    with suppress(OSError):  # some network file systems refuse to sync a folder; the file itself is safe
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> None:
        os.lseek(handle, 0, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_LOCK, 1)

    def _unlock(handle: int) -> None:
        os.lseek(handle, 0, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX)

    def _unlock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_UN)
