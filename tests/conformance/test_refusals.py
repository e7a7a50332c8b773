"""Denied, broken, capable: errors are the right ones, name the thing, cross a process border and keep secrets."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest

from kegbrowser.backends.base import StorageBackend
from kegbrowser.backends.errors import InvalidName, PermissionDenied, StorageError
from tests.conformance.content import content_of
from tests.conformance.place import Place, read, write

CHANGES: dict[str, Callable[[StorageBackend], None]] = {
    "write": lambda storage: write(storage, "photo.jpg"),
    "overwrite": lambda storage: write(storage, "kept.jpg"),
    "delete": lambda storage: storage.delete("kept.jpg"),
    "rename": lambda storage: storage.rename("kept.jpg", "photo.jpg"),
    "make a folder": lambda storage: storage.make_folder("photo.jpg"),
}


def test_who_may_not_write_can_still_list_and_read(place: Place) -> None:
    place.raw_put("kept.jpg", b"kept")

    storage = place.denied()

    assert [entry.name for entry in storage.list("")] == ["kept.jpg"]
    assert read(storage, "kept.jpg") == b"kept"


@pytest.mark.parametrize("change", CHANGES)
def test_who_may_not_write_is_told_so_by_the_name_of_the_file(place: Place, change: str) -> None:
    place.raw_put("kept.jpg", b"kept")
    storage = place.denied()

    with pytest.raises(PermissionDenied, match=r"(photo|kept)\.jpg") as refusal:
        CHANGES[change](storage)

    assert isinstance(refusal.value, PermissionError)
    assert refusal.value.path is not None
    assert refusal.value.hint
    assert not refusal.value.retryable
    assert place.raw_bytes("kept.jpg") == b"kept"
    assert place.raw_names() == {"kept.jpg"}
    assert place.leftovers() == []


def test_who_may_not_delete_is_told_so_for_each_file(place: Place) -> None:
    place.raw_put("one", b"1")
    place.raw_put("two", b"2")

    results = list(place.denied().delete_files(["one", "two"]))

    assert sorted(result.path for result in results) == ["one", "two"]
    assert {type(result.error) for result in results} == {PermissionDenied}
    assert place.raw_names() == {"one", "two"}


@pytest.mark.parametrize("parts", [0.01, 2.5], ids=["small", "in parts"])
def test_a_denied_upload_leaves_nothing(place: Place, parts: float) -> None:
    storage = place.denied()

    with pytest.raises(PermissionDenied, match=r"photo\.jpg"):
        with storage.open("photo.jpg", "wb") as file:
            file.write(content_of(int(parts * place.part_bytes)))

    assert place.raw_names() == set()
    assert place.leftovers() == []


def _errors(place: Place) -> list[StorageError]:
    place.raw_put("taken", b"x")
    tries: list[Callable[[], object]] = [
        lambda: place.storage.open("missing", "rb"),
        lambda: place.storage.list("missing/"),
        lambda: place.storage.stat("missing"),
        lambda: place.storage.delete("missing"),
        lambda: place.storage.rename("missing", "new"),
        lambda: place.storage.rename("taken", "taken"),
        lambda: place.storage.open_reader("taken", etag="another").read(1),
        lambda: place.storage.open("taken", "rwb"),
        lambda: place.storage.open("n" * 1025, "wb").close(),
        lambda: write(place.denied(), "photo.jpg"),
    ]
    errors = []
    for attempt in tries:
        try:
            attempt()
        except StorageError as error:
            errors.append(error)
    assert len(errors) >= 8
    return errors


def test_errors_cross_a_process_border(place: Place) -> None:
    for error in _errors(place):
        for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
            assert type(twin) is type(error)
            assert (str(twin), twin.path, twin.hint, twin.retryable, twin.retry_after_s) == (
                str(error),
                error.path,
                error.hint,
                error.retryable,
                error.retry_after_s,
            )


def test_errors_are_whole_sentences_without_the_sdks_words(place: Place) -> None:
    for error in _errors(place):
        sentence = str(error)
        assert sentence == error.message
        assert sentence.endswith("."), sentence
        assert sentence[0].isupper() or sentence[0] == "“", sentence
        for word in ("Traceback", "Error", "Exception", "errno", "Errno", "RequestId", "object at 0x", "\n", "None"):
            assert word not in sentence, sentence
        assert not error.hint or error.hint.endswith("."), error.hint


def test_secrets_are_in_no_error_and_no_repr(place: Place) -> None:
    shown = [repr(place.storage), str(place.storage), repr(place.storage.capabilities), place.storage.check()]
    for error in _errors(place):
        shown += [str(error), repr(error), error.hint]

    for secret in place.secrets:
        assert secret
        assert [text for text in shown if secret in text] == []


def test_too_long_a_path_is_refused_before_anything_is_sent(place: Place) -> None:
    limits = place.storage.capabilities
    if limits.max_name_bytes is not None:
        with pytest.raises(InvalidName):
            write(place.storage, "n" * (limits.max_name_bytes + 1))
        with pytest.raises(InvalidName):
            place.storage.make_folder("é" * (limits.max_name_bytes // 2 + 1))
    if limits.max_path_bytes is not None:
        with pytest.raises(InvalidName):
            write(place.storage, "n" * (limits.max_path_bytes + 1))

    assert place.raw_names() == set()
