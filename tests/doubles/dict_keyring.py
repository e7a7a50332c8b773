"""A keyring in memory that fails on order."""

from __future__ import annotations

import threading

from keyring.backend import KeyringBackend
from keyring.errors import PasswordDeleteError, PasswordSetError


class DictKeyring(KeyringBackend):
    """A keyring in memory that can be told to fail or to wait for a prompt."""

    priority = 1.0

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # keyring has no annotation there
        self.items: dict[tuple[str, str], str] = {}
        self.failure: Exception | None = None
        self.prompt: threading.Event | None = None
        self.sets_until_failure = -1

    def get_password(self, service: str, username: str) -> str | None:
        self._answer()
        return self.items.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._answer()
        if self.sets_until_failure == 0:
            raise PasswordSetError("full")
        self.sets_until_failure -= 1
        self.items[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        self._answer()
        if (service, username) not in self.items:
            raise PasswordDeleteError("not there")
        del self.items[service, username]

    def _answer(self) -> None:
        if self.prompt is not None:
            self.prompt.wait(10)
        if self.failure is not None:
            raise self.failure
