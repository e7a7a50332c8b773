"""Passwords and keys in the system's keyring: the only module that knows `keyring`, and it imports it only when asked.

One secret is one item: service "kegbrowser", user "<connection id>/<option key>", so that it can be found and deleted by hand in
the keyring's own program. Where there is no keyring, or it stays locked, secrets live in this process's memory and are gone with
it; they are never written to a file by us, nor by a keyring that is one.
"""

from __future__ import annotations

import enum
import logging
import secrets as randomness
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from kegbrowser.backends.errors import StorageError

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

log = logging.getLogger(__name__)

SERVICE = "kegbrowser"
PROMPT_TIMEOUT_S = 30.0
WINDOWS_PART_CHARS = 1000
"""A Windows credential holds 2,560 bytes of UTF-16 ("CREDENTIALW structure", CRED_MAX_CREDENTIAL_BLOB_SIZE)."""

_SPLIT_MARK = "kegbrowser-split:"
_TRUSTED = {
    "keyring.backends.SecretService": "the Secret Service",
    "keyring.backends.libsecret": "the Secret Service",
    "keyring.backends.kwallet": "KWallet",
    "keyring.backends.macOS": "the macOS keychain",
    "keyring.backends.Windows": "the Windows credential store",
}
"""Keyrings that encrypt and belong to the system. Others (`keyrings.alt` among them, and `null`) are not used."""

_Value = TypeVar("_Value")


class KeyringState(enum.Enum):
    """Whether secrets can be kept over a restart."""

    AVAILABLE = "available"
    LOCKED = "locked"
    ABSENT = "absent"


class Kept(enum.Enum):
    """Where a secret went."""

    KEYRING = "keyring"
    SESSION = "session"


@dataclass(frozen=True, slots=True)
class KeyringStatus:
    """The keyring as it answers now.

    Attributes:
        state: whether it can be used.
        sentence: what that means, for the user.
        hint: what the user can do; "" if nothing needs doing.
    """

    state: KeyringState
    sentence: str
    hint: str = ""


class KeyringUnavailable(StorageError):
    """A secret is wanted that lies in a keyring which does not answer."""

    def __init__(self, status: KeyringStatus) -> None:
        super().__init__(status.sentence, hint=status.hint)
        self.status = status

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.status,)


class SecretStore:
    """The secrets of connections. Blocking, also for as long as a person takes to unlock the keyring; any thread but the GUI's.

    All calls to the keyring run one after the other on one daemon thread, so that a prompt that is never answered costs the
    caller `prompt_timeout_s` and not for ever.

    Args:
        prompt_timeout_s: how long a call may take before the keyring counts as locked.
        part_chars: longer secrets are split over several items; None: as the keyring needs it.
        find_keyring: gives the keyring, for tests; runs on the daemon thread.
    """

    def __init__(
        self,
        *,
        prompt_timeout_s: float = PROMPT_TIMEOUT_S,
        part_chars: int | None = None,
        find_keyring: Callable[[], KeyringBackend] | None = None,
    ) -> None:
        self._calls = _CallQueue(prompt_timeout_s)
        self._part_chars = part_chars
        self._find_keyring = find_keyring or _system_keyring
        self._memory: dict[tuple[str, str], str] = {}
        self._memory_lock = threading.Lock()

    def status(self) -> KeyringStatus:
        """Ask the keyring whether it can be used; a locked one asks the user for its password."""
        try:
            self._calls.run(lambda: self._keyring().get_password(SERVICE, "status"))
        except KeyringUnavailable as error:
            return error.status
        return KeyringStatus(KeyringState.AVAILABLE, "Passwords and keys are kept in the system's keyring.")

    def get(self, connection_id: str, key: str) -> str | None:
        """The secret; None if there is none.

        Raises:
            KeyringUnavailable: the keyring is locked or refuses. An absent keyring holds nothing, which is no error.
        """
        with self._memory_lock:
            remembered = self._memory.get((connection_id, key))
        if remembered is not None:
            return remembered
        try:
            return self._calls.run(lambda: self._read(_user(connection_id, key)))
        except KeyringUnavailable as error:
            if error.status.state is KeyringState.ABSENT:
                return None
            raise

    def set(self, connection_id: str, key: str, value: str) -> Kept:
        """Keep a secret: in the keyring, or where that cannot be, until this process ends. An empty one is deleted."""
        if not value:
            self.delete(connection_id, key)
            return Kept.KEYRING
        try:
            self._calls.run(lambda: self._write(_user(connection_id, key), value))
        except KeyringUnavailable as error:
            log.info("a secret is kept for this session only: the keyring is %s", error.status.state.value)
            self.remember(connection_id, key, value)
            return Kept.SESSION
        with self._memory_lock:
            self._memory.pop((connection_id, key), None)
        return Kept.KEYRING

    def remember(self, connection_id: str, key: str, value: str) -> None:
        """Keep a secret in memory only, as "do not save" asks for."""
        with self._memory_lock:
            self._memory[connection_id, key] = value

    def remembered(self, connection_id: str) -> dict[str, str]:
        """The secrets of a connection that are in memory only, by option key. Does not block."""
        with self._memory_lock:
            return {key: value for (owner, key), value in self._memory.items() if owner == connection_id}

    def delete(self, connection_id: str, key: str) -> None:
        """Delete a secret; one that is not there is no error, nor is an absent keyring.

        Raises:
            KeyringUnavailable: the keyring is locked or refuses, and may still hold it.
        """
        with self._memory_lock:
            self._memory.pop((connection_id, key), None)
        try:
            self._calls.run(lambda: self._remove(_user(connection_id, key)))
        except KeyringUnavailable as error:
            if error.status.state is not KeyringState.ABSENT:
                raise

    def delete_all(self, connection_id: str, keys: Iterable[str]) -> None:
        """Delete these secrets of a connection, and all of it that is in memory. Raises as `delete`."""
        with self._memory_lock:
            for known in [known for known in self._memory if known[0] == connection_id]:
                del self._memory[known]
        for key in keys:
            self.delete(connection_id, key)

    # -- on the daemon thread ----------------------------------------------------------------------------------------

    def _keyring(self) -> KeyringBackend:
        return self._find_keyring()

    def _read(self, user: str) -> str | None:
        keyring = self._keyring()
        value = keyring.get_password(SERVICE, user)
        if value is None or not value.startswith(_SPLIT_MARK):
            return value
        parts = [keyring.get_password(SERVICE, part) for part in _part_users(user, value)]
        return None if None in parts else "".join(part for part in parts if part is not None)

    def _write(self, user: str, value: str) -> None:
        keyring = self._keyring()
        limit = self._part_chars or (WINDOWS_PART_CHARS if _module_of(keyring).endswith(".Windows") else len(value))
        old = keyring.get_password(SERVICE, user) or ""
        if len(value) <= limit and not value.startswith(_SPLIT_MARK):
            keyring.set_password(SERVICE, user, value)
        else:
            pieces = [value[start : start + limit] for start in range(0, len(value), limit)]
            mark = f"{_SPLIT_MARK}{randomness.token_hex(4)}:{len(pieces)}"
            for part, piece in zip(_part_users(user, mark), pieces, strict=True):
                keyring.set_password(SERVICE, part, piece)
            keyring.set_password(SERVICE, user, mark)  # last, so that a crash leaves the old value whole
        self._remove_parts(keyring, user, old)

    def _remove(self, user: str) -> None:
        keyring = self._keyring()
        old = keyring.get_password(SERVICE, user)
        if old is not None:
            keyring.delete_password(SERVICE, user)
            self._remove_parts(keyring, user, old)

    def _remove_parts(self, keyring: KeyringBackend, user: str, value: str) -> None:
        if value.startswith(_SPLIT_MARK):
            for part in _part_users(user, value):
                if keyring.get_password(SERVICE, part) is not None:
                    keyring.delete_password(SERVICE, part)


class _Call(Generic[_Value]):
    """One call on its way to the daemon thread and back."""

    def __init__(self, work: Callable[[], _Value]) -> None:
        self.work = work
        self.done = threading.Event()
        self.is_abandoned = False
        self.value: _Value | None = None
        self.error: KeyringUnavailable | None = None


class _CallQueue:
    """Runs calls one after the other on a daemon thread, which ends when there is nothing to do."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._waiting: list[_Call[Any]] = []
        self._is_running = False

    def run(self, work: Callable[[], _Value]) -> _Value:
        """Give what `work` gives, or raise `KeyringUnavailable`."""
        call = _Call(work)
        with self._lock:
            self._waiting.append(call)
            if not self._is_running:
                self._is_running = True
                threading.Thread(target=self._serve, name="keyring", daemon=True).start()
        if not call.done.wait(self._timeout_s):
            call.is_abandoned = True
            raise KeyringUnavailable(_LOCKED)
        if call.error is not None:
            raise call.error
        return call.value  # type: ignore[return-value]  # None only where _Value has it

    def _serve(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._is_running = False
                    return
                call = self._waiting.pop(0)
            if not call.is_abandoned:
                _carry_out(call)


def _carry_out(call: _Call[Any]) -> None:
    try:
        call.value = call.work()
    except KeyringUnavailable as error:
        call.error = error
    except Exception as error:  # the outermost frame of the thread; keyrings raise what their systems raise
        call.error = KeyringUnavailable(_status_of(error))
        call.error.__cause__ = error
    call.done.set()


_LOCKED_ERRORS = ("LockedException", "PromptDismissedException")
"""Of `secretstorage`, which `keyring` lets through when the collection is locked between two of its calls."""

_LOCKED = KeyringStatus(
    KeyringState.LOCKED,
    "The system's keyring is locked.",
    "Unlock it with its password, then try again; until then secrets are kept for this session only.",
)
_ABSENT = KeyringStatus(
    KeyringState.ABSENT,
    "This system has no keyring, so passwords and keys are kept for this session only.",
    "Start a keyring, as GNOME Keyring, KWallet or KeePassXC.",
)


def _status_of(error: Exception) -> KeyringStatus:
    """What an exception of the keyring means. Its text is not shown: a system's message may hold anything."""
    from keyring.errors import InitError, KeyringError, KeyringLocked, NoKeyringError

    log.debug("the keyring answered with %s", type(error).__name__)
    if isinstance(error, (KeyringLocked, InitError)) or type(error).__name__ in _LOCKED_ERRORS:
        return _LOCKED
    if isinstance(error, NoKeyringError) or not isinstance(error, KeyringError):
        return _ABSENT
    return KeyringStatus(
        KeyringState.LOCKED, "The system's keyring refused.", "Look into the keyring's own program, then try again."
    )


def _system_keyring() -> KeyringBackend:
    """The keyring that `keyring` chooses, if it is one of the system's.

    Raises:
        KeyringUnavailable: there is none, or one that would write secrets unprotected.
    """
    import keyring  # local: costs 60 ms and the D-Bus connection; never at start

    chosen = keyring.get_keyring()
    candidate: KeyringBackend
    for candidate in (chosen, *getattr(chosen, "backends", ())):  # a chainer holds several, the best one first
        if _module_of(candidate) in _TRUSTED:
            return candidate
    module = _module_of(chosen)
    if module == "keyring.backends.fail":
        keyring.core.init_backend()  # a service that was started meanwhile is found the next time
        raise KeyringUnavailable(_ABSENT)
    raise KeyringUnavailable(
        KeyringStatus(
            KeyringState.ABSENT,
            f"The keyring that Python is told to use ({module}) does not protect what it keeps, "
            "so passwords and keys are kept for this session only.",
            "Remove the setting PYTHON_KEYRING_BACKEND or keyringrc.cfg to use the system's keyring.",
        )
    )


def _module_of(keyring: KeyringBackend) -> str:
    return type(keyring).__module__


def _user(connection_id: str, key: str) -> str:
    return f"{connection_id}/{key}"


def _part_users(user: str, mark: str) -> list[str]:
    tag, _colon, count = mark.removeprefix(_SPLIT_MARK).partition(":")
    return [f"{user}#{tag}.{number}" for number in range(1, int(count) + 1)]
