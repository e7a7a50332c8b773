"""The taxonomy: sentences, kinds that Python knows, and the way through a pipe."""

from __future__ import annotations

import copy
import pickle

import pytest

from kegbrowser.backends import errors
from kegbrowser.backends.errors import (
    AuthenticationFailed,
    Cancelled,
    ConnectionLost,
    FileNotFoundInStorageError,
    HostKeyChanged,
    PermissionDenied,
    StorageError,
    Throttled,
    UnknownHostKey,
)

PLAIN = sorted(
    (
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, StorageError) and not issubclass(kind, UnknownHostKey)
    ),
    key=lambda kind: kind.__name__,
)
RETRYABLE = {"CheckFailed", "ConnectionLost", "ServerFault", "SourceChanged", "Throttled"}


def _fields(error: StorageError) -> tuple[object, ...]:
    return (type(error), str(error), error.message, error.path, error.hint, error.retryable, error.retry_after_s)


@pytest.mark.parametrize("kind", PLAIN)
def test_an_error_is_its_sentence(kind: type[StorageError]) -> None:
    error = kind("Could not open “photo.jpg”.", path="a/photo.jpg")

    assert str(error) == error.message == "Could not open “photo.jpg”."
    assert error.path == "a/photo.jpg"
    assert error.retry_after_s is None
    assert not error.hint or error.hint.endswith(".")


@pytest.mark.parametrize("kind", PLAIN)
def test_what_may_succeed_later_is_retryable(kind: type[StorageError]) -> None:
    assert kind("A sentence.").retryable == (kind.__name__ in RETRYABLE)
    assert kind("A sentence.", retryable=True).retryable
    assert not kind("A sentence.", retryable=False).retryable


@pytest.mark.parametrize("kind", PLAIN)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_survives_the_pipe(kind: type[StorageError], protocol: int) -> None:
    error = kind("A sentence.", path="a/\udcff", hint="Do this.", retryable=True, retry_after_s=1.5)

    for twin in (pickle.loads(pickle.dumps(error, protocol)), copy.copy(error), copy.deepcopy(error)):
        assert _fields(twin) == _fields(error)


@pytest.mark.parametrize("kind", PLAIN)
def test_an_empty_hint_is_not_the_default_one(kind: type[StorageError]) -> None:
    error = kind("A sentence.", hint="")

    assert error.hint == ""
    assert pickle.loads(pickle.dumps(error)).hint == ""
    assert kind("A sentence.").hint == kind.default_hint


@pytest.mark.parametrize("kind", [UnknownHostKey, HostKeyChanged])
def test_a_host_key_survives_the_pipe(kind: type[UnknownHostKey]) -> None:
    error = kind(
        "The key of [host]:2222 is not known.",
        host="[host]:2222",
        key_type="ssh-ed25519",
        key_base64="AAAA",
        fingerprint="SHA256:x",
        path="p",
    )

    twin = pickle.loads(pickle.dumps(error))

    assert _fields(twin) == _fields(error)
    assert (twin.host, twin.key_type, twin.key_base64, twin.fingerprint) == (
        "[host]:2222",
        "ssh-ed25519",
        "AAAA",
        "SHA256:x",
    )
    assert not twin.retryable


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (FileNotFoundInStorageError, FileNotFoundError),
        (errors.AlreadyExists, FileExistsError),
        (errors.NotAFolder, NotADirectoryError),
        (errors.IsAFolder, IsADirectoryError),
        (PermissionDenied, PermissionError),
        (ConnectionLost, ConnectionError),
        (errors.InvalidName, ValueError),
        (errors.InvalidOptions, ValueError),
    ],
)
def test_pythons_own_errors_catch_ours(kind: type[StorageError], builtin: type[Exception]) -> None:
    with pytest.raises(builtin, match="A sentence"):
        raise kind("A sentence.", path="p")


def test_expired_and_skewed_are_failed_authentications_and_throttled_is_a_lost_connection() -> None:
    assert issubclass(errors.CredentialsExpired, AuthenticationFailed)
    assert issubclass(errors.ClockSkewed, AuthenticationFailed)
    assert issubclass(Throttled, ConnectionLost)
    assert issubclass(HostKeyChanged, UnknownHostKey)


def test_a_cancel_is_no_failure() -> None:
    assert not issubclass(Cancelled, StorageError)
    assert not issubclass(Cancelled, OSError)


def test_the_cause_is_kept() -> None:
    cause = OSError("from below")

    with pytest.raises(StorageError) as refusal:
        raise StorageError("A sentence.") from cause

    assert refusal.value.__cause__ is cause
