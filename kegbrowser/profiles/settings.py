"""What the user set, or the window remembers, as one typed value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from kegbrowser.profiles.documents import Content, JsonDocument
from kegbrowser.profiles.migrations import SETTINGS_STEPS, SETTINGS_VERSION

THEMES = ("system", "light", "dark")
POLICIES = ("ask", "overwrite", "overwrite-if-newer", "overwrite-if-different", "resume", "skip", "rename")
LINKS = ("follow-files", "follow", "skip", "recreate")
SORT_COLUMNS = ("name", "size", "kind", "modified")


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings. A value of the wrong type or out of range in the file counts as not set.

    Attributes:
        theme: one of THEMES.
        language: of the texts, as "de"; "" follows the system.
        window_geometry, window_splitter, transfers_splitter, header_state: Qt's state, Base64; "" for none.
        hidden_columns: of the contents, among SORT_COLUMNS.
        sort_column: one of SORT_COLUMNS.
        sort_descending: the order.
        show_hidden: whether names that begin with a dot are shown.
        last_connection: id of the connection that was open, "" for none.
        last_paths: (connection id, folder path) where each connection was left.
        download_folder: "" means the system's.
        conflict_policy: one of POLICIES, the value of a `ConflictPolicy`.
        confirm_delete: ask before files are deleted.
        confirm_quit: ask before a quit that stops transfers.
        parallel_transfers: jobs at once, 1 to 16.
        limit_up_bytes_per_s, limit_down_bytes_per_s: of all transfers together; 0 for none.
        links: what becomes of symbolic links, one of LINKS, the value of a `LinkPolicy`.
        keep_permissions: give new files the permissions of their source, where both sides have such.
        keep_modified: set the modification time of the source at the target.
        playground_made: whether the Playground was made once, so that it is never made again.
    """

    theme: str = "system"
    language: str = ""
    window_geometry: str = ""
    window_splitter: str = ""
    transfers_splitter: str = ""
    header_state: str = ""
    hidden_columns: tuple[str, ...] = ()
    sort_column: str = "name"
    sort_descending: bool = False
    show_hidden: bool = True
    last_connection: str = ""
    last_paths: tuple[tuple[str, str], ...] = ()
    download_folder: str = ""
    conflict_policy: str = "ask"
    confirm_delete: bool = True
    confirm_quit: bool = True
    parallel_transfers: int = 3
    limit_up_bytes_per_s: int = 0
    limit_down_bytes_per_s: int = 0
    links: str = "follow-files"
    keep_permissions: bool = True
    keep_modified: bool = True
    playground_made: bool = False

    def path_of(self, connection_id: str) -> str:
        """The folder where this connection was left; "" for its root or if that is not known."""
        return dict(self.last_paths).get(connection_id, "")


class SettingsStore:
    """The file of settings. Blocking; any thread, any number of processes."""

    def __init__(self, path: Path) -> None:
        self._document = JsonDocument(
            path,
            version=SETTINGS_VERSION,
            migrations=SETTINGS_STEPS,
            check=_from_content,
            what="The settings",
        )

    def load(self) -> Settings:
        """The settings; the defaults where nothing is set or the file had to be set aside (see `take_notices`).

        Raises:
            OSError: the file is there but cannot be read.
        """
        return _from_content(self._document.read())

    def change(self, **values: Any) -> Settings:
        """Set these fields of `Settings`, keep the others as they are in the file now, and give all.

        Raises:
            TypeError: no such field.
            ValueError: a value of the wrong type or out of range.
            OSError: the disk refused; nothing changed.
        """
        for name, value in values.items():
            if name not in _VALID:
                raise TypeError(f"There is no setting “{name}”.")
            if not _VALID[name](value):
                raise ValueError(f"“{name}” cannot be {value!r}.")

        def edit(content: Content) -> Content:
            changed = replace(_from_content(content), **values)
            return content | asdict(changed)  # what only another version knows is kept

        return _from_content(self._document.change(edit))

    def take_notices(self) -> tuple[str, ...]:
        """What the user should be told since the last call, whole sentences."""
        return self._document.take_notices()


def _from_content(content: Content) -> Settings:
    known: dict[str, Any] = {}
    for one in fields(Settings):
        value = _as_tuples(content.get(one.name))
        if value is not None and _VALID[one.name](value):
            known[one.name] = value
    return Settings(**known)


def _as_tuples(value: Any) -> Any:
    return tuple(_as_tuples(item) for item in value) if isinstance(value, (list, tuple)) else value


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _one_of(choices: tuple[str, ...]) -> Callable[[Any], bool]:
    return lambda value: value in choices


def _between(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and low <= value <= high


def _are_columns(value: Any) -> bool:
    return isinstance(value, tuple) and all(item in SORT_COLUMNS for item in value)


def _are_pairs(value: Any) -> bool:
    return isinstance(value, tuple) and all(
        isinstance(item, tuple) and len(item) == 2 and all(map(_is_text, item)) for item in value
    )


_VALID: dict[str, Callable[[Any], bool]] = {
    "theme": _one_of(THEMES),
    "language": _is_text,
    "window_geometry": _is_text,
    "window_splitter": _is_text,
    "transfers_splitter": _is_text,
    "header_state": _is_text,
    "hidden_columns": _are_columns,
    "sort_column": _one_of(SORT_COLUMNS),
    "sort_descending": _is_flag,
    "show_hidden": _is_flag,
    "last_connection": _is_text,
    "last_paths": _are_pairs,
    "download_folder": _is_text,
    "conflict_policy": _one_of(POLICIES),
    "confirm_delete": _is_flag,
    "confirm_quit": _is_flag,
    "parallel_transfers": _between(1, 16),
    "limit_up_bytes_per_s": _between(0, 2**63 - 1),
    "limit_down_bytes_per_s": _between(0, 2**63 - 1),
    "links": _one_of(LINKS),
    "keep_permissions": _is_flag,
    "keep_modified": _is_flag,
    "playground_made": _is_flag,
}
