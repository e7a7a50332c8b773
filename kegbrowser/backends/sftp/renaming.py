"""Files and folders that are renamed, also where the answer to that is lost."""

from __future__ import annotations

from contextlib import suppress

from kegbrowser.backends.errors import NotAFolder, StorageError
from kegbrowser.backends.sftp import publishing, reasons, wire
from kegbrowser.backends.sftp.sessions import Sessions
from kegbrowser.backends.sftp.translate import SESSION_ERRORS, SftpStatus, shown
from kegbrowser.backends.sftp.wire import Attributes


def rename(sessions: Sessions, source: str, target: str, old: bytes, new: bytes, *, overwrite: bool) -> None:
    """Rename in one step. After a broken connection it is looked whether that was done.

    Args:
        source, target: as the user knows them.
        old, new: as the server does.
    """
    found: Attributes | None = None
    try:
        with sessions.client() as client:
            found = client.attributes(wire.LSTAT, old)
            if source.endswith("/") and not found.is_folder and not found.is_link:
                raise NotAFolder(f"“{shown(source)}” is not a folder.", path=source)
            if old == new:
                return
            try:
                if overwrite:
                    publishing.replace(client, old, new)
                else:
                    publishing.rename_new(client, old, new, is_file=not found.is_folder and not found.is_link)
            except SftpStatus as status:
                reason = reasons.not_renamed(client, status, old, new, source, target)
                raise (reason or status) from status
    except (SftpStatus, StorageError):
        raise
    except SESSION_ERRORS:
        if found is None or not _was_done(sessions, old, new, found):
            raise


def _was_done(sessions: Sessions, old: bytes, new: bytes, before: Attributes) -> bool:
    """Whether what had the old name has the new one now; False if that cannot be asked."""
    with suppress(SftpStatus, StorageError, *SESSION_ERRORS), sessions.client() as client:
        now = publishing.facts_of(client, new)
        if now is None or publishing.facts_of(client, old) is not None:
            return False
        return (now.mode, now.size, now.modified_s) == (before.mode, before.size, before.modified_s)
    return False
