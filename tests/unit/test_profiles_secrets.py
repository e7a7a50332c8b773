"""The rules of the secret store, on a keyring in memory; the real Secret Service is in tests/integration."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends.chainer import ChainerBackend
from keyring.errors import InitError, KeyringLocked, NoKeyringError, PasswordSetError

from kegbrowser.profiles import secrets as module
from kegbrowser.profiles.secrets import SERVICE, Kept, KeyringState, KeyringUnavailable, SecretStore
from tests.doubles.dict_keyring import DictKeyring


@pytest.fixture
def ring() -> DictKeyring:
    return DictKeyring()


@pytest.fixture
def store(ring: DictKeyring) -> SecretStore:
    return SecretStore(find_keyring=lambda: ring, prompt_timeout_s=5)


def test_a_secret_is_one_item_that_a_person_can_find(store: SecretStore, ring: DictKeyring) -> None:
    assert store.set("c0ffee", "password", "pass wörd\n") is Kept.KEYRING

    assert ring.items == {(SERVICE, "c0ffee/password"): "pass wörd\n"}
    assert store.get("c0ffee", "password") == "pass wörd\n"
    assert store.get("c0ffee", "other") is None
    assert store.status().state is KeyringState.AVAILABLE


def test_deleting_a_connection_deletes_its_secrets_and_no_other(store: SecretStore, ring: DictKeyring) -> None:
    store.set("one", "password", "a")
    store.set("one", "token", "b")
    store.set("two", "password", "c")
    store.remember("one", "passphrase", "d")

    store.delete_all("one", ("password", "token", "never_set"))

    assert ring.items == {(SERVICE, "two/password"): "c"}
    assert store.get("one", "passphrase") is None


def test_an_empty_secret_is_deleted(store: SecretStore, ring: DictKeyring) -> None:
    store.set("one", "password", "a")

    store.set("one", "password", "")

    assert ring.items == {}


@pytest.mark.parametrize("value", ["x" * 10, "x" * 11, "ab" * 500, "kegbrowser-split:", "kegbrowser-split:00:2"])
def test_a_long_secret_is_split_and_comes_back_whole(ring: DictKeyring, value: str) -> None:
    store = SecretStore(find_keyring=lambda: ring, part_chars=10)

    store.set("one", "key", value)

    assert store.get("one", "key") == value
    assert all(len(part) <= 10 for (_service, user), part in ring.items.items() if "#" in user)
    store.delete("one", "key")
    assert ring.items == {}


def test_a_shorter_secret_leaves_no_parts_of_the_longer_one(ring: DictKeyring) -> None:
    store = SecretStore(find_keyring=lambda: ring, part_chars=10)
    store.set("one", "key", "x" * 95)
    store.set("one", "key", "y" * 35)
    assert len(ring.items) == 1 + 4

    store.set("one", "key", "short")

    assert ring.items == {(SERVICE, "one/key"): "short"}


def test_a_split_that_fails_in_the_middle_leaves_the_old_secret_whole(ring: DictKeyring) -> None:
    store = SecretStore(find_keyring=lambda: ring, part_chars=10)
    store.set("one", "key", "o" * 40)
    ring.sets_until_failure = 2

    assert store.set("one", "key", "n" * 60) is Kept.SESSION

    ring.sets_until_failure = -1
    fresh = SecretStore(find_keyring=lambda: ring, part_chars=10)
    assert fresh.get("one", "key") == "o" * 40


def test_a_secret_for_windows_is_split_by_itself() -> None:
    assert module.WINDOWS_PART_CHARS * 2 <= 2560
    windows = type("WinVaultKeyring", (DictKeyring,), {"__module__": "keyring.backends.Windows"})()
    store = SecretStore(find_keyring=lambda: windows)

    store.set("one", "private_key", "k" * 3000)

    assert store.get("one", "private_key") == "k" * 3000
    assert max(len(value) for value in windows.items.values()) == module.WINDOWS_PART_CHARS


@pytest.mark.parametrize(
    ("failure", "state"),
    [
        (NoKeyringError("none"), KeyringState.ABSENT),
        (ConnectionResetError("bus gone"), KeyringState.ABSENT),
        (KeyringLocked("locked"), KeyringState.LOCKED),
        (InitError("no collection"), KeyringState.LOCKED),
        (type("LockedException", (Exception,), {})("locked in between"), KeyringState.LOCKED),
        (PasswordSetError("refused"), KeyringState.LOCKED),
    ],
)
def test_without_a_usable_keyring_secrets_live_in_memory_only(
    store: SecretStore, ring: DictKeyring, failure: Exception, state: KeyringState
) -> None:
    ring.failure = failure

    assert store.set("one", "password", "a") is Kept.SESSION

    assert store.get("one", "password") == "a"
    assert store.status().state is state
    assert store.status().sentence.endswith(".")
    assert ring.items == {}
    assert SecretStore(find_keyring=lambda: ring).remembered("one") == {}


def test_a_locked_keyring_is_an_error_for_who_needs_a_secret(store: SecretStore, ring: DictKeyring) -> None:
    store.set("one", "password", "a")
    ring.failure = KeyringLocked("locked")

    with pytest.raises(KeyringUnavailable, match="locked") as caught:
        store.get("one", "password")
    with pytest.raises(KeyringUnavailable):
        store.delete("one", "password")

    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.message, copy.hint, copy.status) == (caught.value.message, caught.value.hint, caught.value.status)
    ring.failure = None
    assert store.get("one", "password") == "a"


def test_an_absent_keyring_holds_nothing_which_is_no_error(store: SecretStore, ring: DictKeyring) -> None:
    ring.failure = NoKeyringError("none")

    assert store.get("one", "password") is None
    store.delete("one", "password")


def test_the_system_s_message_is_never_shown(store: SecretStore, ring: DictKeyring) -> None:
    ring.failure = KeyringLocked("canary-7f3a")

    with pytest.raises(KeyringUnavailable) as caught:
        store.get("one", "password")

    assert "canary" not in str(caught.value) + caught.value.hint


def test_a_prompt_that_is_never_answered_counts_as_locked_after_the_time_limit(ring: DictKeyring) -> None:
    store = SecretStore(find_keyring=lambda: ring, prompt_timeout_s=0.2)
    ring.prompt = threading.Event()
    began = time.monotonic()

    assert store.status().state is KeyringState.LOCKED
    assert store.set("one", "password", "a") is Kept.SESSION

    assert time.monotonic() - began < 2
    assert store.get("one", "password") == "a"
    assert len([thread for thread in threading.enumerate() if thread.name == "keyring"]) == 1
    ring.prompt.set()  # answered at last
    _wait_for_no_thread()
    assert ring.items == {}  # the caller was told that it is not there


def test_threads_share_the_store(store: SecretStore, ring: DictKeyring) -> None:
    def use(number: int) -> None:
        for turn in range(20):
            store.set(f"id{number}", "password", f"{number}.{turn}")
            assert store.get(f"id{number}", "password") == f"{number}.{turn}"

    threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {ring.items[SERVICE, f"id{number}/password"] for number in range(8)} == {f"{n}.19" for n in range(8)}
    _wait_for_no_thread()


@pytest.mark.parametrize(
    "untrusted",
    ["keyrings.alt.file", "keyring.backends.null", "some.plugin"],
)
def test_a_keyring_that_does_not_protect_is_not_used(
    monkeypatch: pytest.MonkeyPatch, untrusted: str, keyring_reset: Callable[[KeyringBackend], None]
) -> None:
    plain = type("PlaintextKeyring", (DictKeyring,), {"__module__": untrusted})()
    keyring_reset(plain)
    store = SecretStore()

    assert store.set("one", "password", "canary") is Kept.SESSION

    assert plain.items == {}
    status = store.status()
    assert status.state is KeyringState.ABSENT
    assert untrusted in status.sentence


def test_of_several_keyrings_the_trusted_one_is_used(keyring_reset: Callable[[KeyringBackend], None]) -> None:
    plain = type("PlaintextKeyring", (DictKeyring,), {"__module__": "keyrings.alt.file"})()
    service = type("Keyring", (DictKeyring,), {"__module__": "keyring.backends.SecretService"})()
    keyring_reset(type("Chain", (ChainerBackend,), {"backends": (plain, service), "__module__": "chain"})())

    assert SecretStore().set("one", "password", "a") is Kept.KEYRING

    assert (plain.items, len(service.items)) == ({}, 1)


@pytest.fixture
def keyring_reset(monkeypatch: pytest.MonkeyPatch) -> Callable[[KeyringBackend], None]:
    """Set the keyring that `keyring` has chosen, for this test."""

    def choose(chosen: KeyringBackend) -> None:
        monkeypatch.setattr(keyring.core, "_keyring_backend", chosen)

    return choose


def test_keyring_is_not_imported_before_a_secret_is_asked_for() -> None:
    program = (
        "import sys, kegbrowser.profiles.specs, kegbrowser.profiles.secrets as secrets\n"
        "secrets.SecretStore().remember('a', 'b', 'c')\n"
        "print('keyring' in sys.modules, 'secretstorage' in sys.modules)"
    )

    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert run.stdout.split() == ["False", "False"]


def _wait_for_no_thread() -> None:
    for thread in threading.enumerate():
        if thread.name == "keyring":
            thread.join(5)
            assert not thread.is_alive()
