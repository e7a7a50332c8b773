"""Where to connect, and with what."""

from __future__ import annotations

import getpass
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect and how to get in; secrets do not show in its repr."""

    host: str
    port: int
    username: str
    key_filename: str | None
    known_hosts_files: tuple[str, ...]
    host_key_lines: tuple[str, ...] = field(default=(), repr=False)
    allow_agent: bool = False
    look_for_keys: bool = False
    password: str | None = field(default=None, repr=False)
    passphrase: str | None = field(default=None, repr=False)
    connect_timeout_s: float = 10.0
    timeout_s: float = 60.0
    uses_shell: bool = True

    @property
    def server(self) -> str:
        """For sentences."""
        return f"{self.host}:{self.port}"

    @property
    def user(self) -> str:
        return self.username or getpass.getuser()
