"""Where this user's files of the program lie."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

APP_NAME = "kegbrowser"
PRIVATE_FOLDER = 0o700
PRIVATE_FILE = 0o600


@dataclass(frozen=True, slots=True)
class Places:
    """The folders of one user; on Linux those of the XDG base directory specification.

    Attributes:
        config: connections, settings, known hosts.
        data: the Playground.
        cache: may be deleted at any time.
        state: the journal of transfers.
        log: log files.
    """

    config: Path
    data: Path
    cache: Path
    state: Path
    log: Path

    @classmethod
    def of_user(cls) -> Self:
        from platformdirs import PlatformDirs  # local: `--version` needs no folders

        dirs = PlatformDirs(APP_NAME, appauthor=False, roaming=False)
        return cls(
            dirs.user_config_path, dirs.user_data_path, dirs.user_cache_path, dirs.user_state_path, dirs.user_log_path
        )

    @classmethod
    def below(cls, folder: Path) -> Self:
        """All places in one folder, for a portable installation or a test."""
        return cls(folder / "config", folder / "data", folder / "cache", folder / "state", folder / "log")

    @property
    def connections_file(self) -> Path:
        return self.config / "connections.json"

    @property
    def settings_file(self) -> Path:
        return self.config / "settings.json"

    @property
    def known_hosts_file(self) -> Path:
        """Host keys accepted outside any saved connection, in OpenSSH's format."""
        return self.config / "known_hosts"

    @property
    def journal_file(self) -> Path:
        return self.state / "journal.sqlite"

    @property
    def log_file(self) -> Path:
        return self.log / "kegbrowser.log"

    @property
    def playground(self) -> Path:
        return self.data / "Playground"

    def make(self) -> None:
        """Make the missing folders, for this user only.

        Raises:
            OSError: the disk refused.
        """
        for folder in (self.config, self.data, self.cache, self.state, self.log):
            make_private_folder(folder)


def make_private_folder(folder: Path) -> None:
    """Make a folder that only this user may enter; its missing parents get the usual rights. An existing one stays."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=PRIVATE_FOLDER)
    except FileExistsError:
        if not folder.is_dir():
            raise


def open_private(path: str, flags: int) -> int:
    """An opener for `open()`: a file it makes is for this user only."""
    return os.open(path, flags, PRIVATE_FILE)
