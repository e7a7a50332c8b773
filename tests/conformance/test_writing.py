"""Writing: a file appears whole, in one step, at `close` and only then; else nothing is left behind."""

from __future__ import annotations

import gc
import io
import re
import threading
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kegbrowser.backends.base import RemoteFile
from kegbrowser.backends.errors import (
    AlreadyExists,
    FileNotFoundInStorageError,
    IsAFolder,
    SourceChanged,
    StorageError,
)
from tests.conformance.content import content_of, digest
from tests.conformance.place import Place, read

SIZES: dict[str, Callable[[int], int]] = {
    "nothing": lambda part: 0,
    "one byte": lambda part: 1,
    "a part less one": lambda part: part - 1,
    "a part": lambda part: part,
    "a part and one": lambda part: part + 1,
    "three parts and a bit": lambda part: 3 * part + 12_345,
}


class _Stop(Exception):
    """Something that goes wrong in the middle."""


def _write_in_pieces(file: RemoteFile, content: bytes, piece: int = 700_001) -> None:
    for start in range(0, len(content), piece):
        file.write(content[start : start + piece])


def _fail_in_the_middle(file: RemoteFile, content: bytes) -> None:
    with file:
        _write_in_pieces(file, content)
        raise _Stop


@pytest.mark.parametrize("is_size_known", [False, True], ids=["unknown size", "known size"])
@pytest.mark.parametrize("size", SIZES)
def test_files_of_every_size_arrive_whole(place: Place, size: str, is_size_known: bool) -> None:
    content = content_of(SIZES[size](place.part_bytes))

    with place.storage.open_writer("file", size_bytes=len(content) if is_size_known else None) as file:
        _write_in_pieces(file, content)

    assert digest(place.raw_bytes("file")) == digest(content)
    assert digest(read(place.storage, "file")) == digest(content)
    assert place.raw_names() == {"file"}
    assert place.leftovers() == []


def test_the_expected_size_may_be_wrong(place: Place) -> None:
    content = content_of(place.part_bytes + 5)

    for expected in (0, 1, len(content) - 1, len(content) + 1, 3 * len(content)):
        with place.storage.open_writer("file", size_bytes=expected) as file:
            _write_in_pieces(file, content)
        assert digest(place.raw_bytes("file")) == digest(content), expected


def test_pieces_of_every_size_are_joined_in_order(place: Place) -> None:
    content = content_of(50_000)

    with place.storage.open("file", "wb") as file:
        file.write(b"")
        for start in range(1000):
            file.write(content[start : start + 1])
        file.write(content[1000:])
        file.write(b"")

    assert digest(place.raw_bytes("file")) == digest(content)


def test_nothing_is_visible_before_close(place: Place) -> None:
    file = place.storage.open("file", "wb")

    file.write(content_of(2 * place.part_bytes))

    assert "file" not in {entry.name for entry in place.storage.list("")}
    with pytest.raises(FileNotFoundInStorageError):
        place.storage.stat("file")
    file.close()
    assert {entry.name for entry in place.storage.list("")} == {"file"}


def test_an_empty_file_is_made(place: Place) -> None:
    place.storage.open("empty", "wb").close()

    assert place.raw_bytes("empty") == b""
    assert place.storage.stat("empty").size == 0


def test_a_file_may_have_nothing_where_it_had_something(place: Place) -> None:
    place.raw_put("file", content_of(100_000))

    place.storage.open("file", "wb").close()

    assert place.raw_bytes("file") == b""


def test_the_old_content_stays_until_close(place: Place) -> None:
    place.raw_put("file", b"old")
    file = place.storage.open("file", "wb")

    file.write(content_of(2 * place.part_bytes))

    assert place.raw_bytes("file") == b"old"
    file.close()
    assert digest(place.raw_bytes("file")) == digest(content_of(2 * place.part_bytes))


def test_those_who_read_while_it_is_replaced_see_the_old_or_the_new(place: Place) -> None:
    versions = [content_of(200_000 + seed, seed) for seed in range(8)]
    place.raw_put("file", versions[0])
    known = {digest(version) for version in versions}
    seen: list[str] = []
    failed: list[BaseException] = []
    reader_storage = place.connect()
    done = threading.Event()

    def read_on() -> None:
        try:
            while not done.is_set():
                try:
                    seen.append(digest(read(reader_storage, "file")))
                except SourceChanged:
                    continue
        except BaseException as exc:
            failed.append(exc)

    thread = threading.Thread(target=read_on)
    thread.start()
    try:
        for version in versions:
            with place.storage.open("file", "wb") as file:
                _write_in_pieces(file, version, 30_000)
    finally:
        done.set()
        thread.join(30)

    assert failed == []
    assert seen
    assert set(seen) <= known


@pytest.mark.parametrize("parts", [0, 0.01, 2.5], ids=["before the first byte", "small", "in parts"])
def test_an_exception_inside_with_leaves_nothing(place: Place, parts: float) -> None:
    file = place.storage.open("file", "wb")

    with pytest.raises(_Stop):
        _fail_in_the_middle(file, content_of(int(parts * place.part_bytes)))

    assert file.closed
    assert place.raw_names() == set()
    assert place.leftovers() == []


def test_an_exception_inside_with_keeps_the_old_content(place: Place) -> None:
    place.raw_put("file", b"old")

    with pytest.raises(_Stop):
        _fail_in_the_middle(place.storage.open("file", "wb"), content_of(2 * place.part_bytes))

    assert place.raw_bytes("file") == b"old"
    assert place.raw_names() == {"file"}
    assert place.leftovers() == []


@pytest.mark.parametrize("parts", [0, 0.01, 2.5], ids=["before the first byte", "small", "in parts"])
def test_abort_leaves_nothing(place: Place, parts: float) -> None:
    file = place.storage.open("file", "wb")
    _write_in_pieces(file, content_of(int(parts * place.part_bytes)))

    file.abort()
    file.abort()
    file.close()

    assert file.closed
    assert place.raw_names() == set()
    assert place.leftovers() == []
    with pytest.raises(ValueError):
        file.write(b"x")


@pytest.mark.parametrize("parts", [0.01, 2.5], ids=["small", "in parts"])
def test_a_dropped_writer_aborts_and_warns(place: Place, parts: float) -> None:
    kept = [place.storage.open("file", "wb")]
    _write_in_pieces(kept[0], content_of(int(parts * place.part_bytes)))

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        kept.clear()
        gc.collect()

    about_it = [warning.category for warning in told if re.search("[“']file[”']", str(warning.message))]
    assert about_it == [ResourceWarning]

    assert place.raw_names() == set()
    assert place.leftovers() == []


def test_a_closed_writer_refuses_to_write_and_closes_again(place: Place) -> None:
    file = place.storage.open("file", "wb")
    file.write(b"content")
    file.close()
    place.raw_put("file", b"by somebody else")

    file.close()
    file.abort()

    assert file.closed
    assert place.raw_bytes("file") == b"by somebody else"
    with pytest.raises(ValueError):
        file.write(b"more")
    assert place.raw_bytes("file") == b"by somebody else"


def test_a_writer_refuses_to_read(place: Place) -> None:
    with place.storage.open("file", "wb") as file, pytest.raises(io.UnsupportedOperation):
        file.read(1)


@pytest.mark.parametrize("parts", [0.01, 2.5], ids=["small", "in parts"])
def test_a_taken_name_is_not_overwritten_unless_wanted(place: Place, parts: float) -> None:
    place.raw_put("file", b"old")

    with pytest.raises(AlreadyExists, match="file") as refusal:
        with place.storage.open_writer("file", overwrite=False) as file:
            _write_in_pieces(file, content_of(int(parts * place.part_bytes)))

    assert isinstance(refusal.value, FileExistsError)
    assert place.raw_bytes("file") == b"old"
    assert place.raw_names() == {"file"}
    assert place.leftovers() == []


def test_a_name_taken_while_writing_is_not_overwritten_unless_wanted(place: Place) -> None:
    file = place.storage.open_writer("file", overwrite=False)
    file.write(b"mine")
    place.raw_put("file", b"theirs")

    with pytest.raises(AlreadyExists):
        file.close()

    assert file.closed
    assert place.raw_bytes("file") == b"theirs"
    assert place.leftovers() == []


@pytest.mark.parametrize("parts", [0, 0.01, 2.5], ids=["empty", "small", "in parts"])
def test_a_free_name_is_written_without_overwriting(place: Place, parts: float) -> None:
    content = content_of(int(parts * place.part_bytes))

    with place.storage.open_writer("file", overwrite=False) as file:
        _write_in_pieces(file, content)

    assert digest(place.raw_bytes("file")) == digest(content)
    assert place.raw_names() == {"file"}
    assert place.leftovers() == []


@pytest.mark.parametrize("parts", [0.01, 2.5], ids=["small", "in parts"])
def test_the_time_is_kept_where_it_can_be(place: Place, parts: float) -> None:
    moment = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)

    with place.storage.open_writer("file", modified=moment) as file:
        _write_in_pieces(file, content_of(int(parts * place.part_bytes)))

    told = place.storage.stat("file").last_modified
    assert told is not None
    if place.storage.capabilities.set_modified:
        assert told == moment
        assert [entry.last_modified for entry in place.storage.list("")] == [moment]
    else:
        assert datetime.now(UTC) - told < timedelta(minutes=10)


def test_the_media_type_is_kept_where_there_is_one(place: Place) -> None:
    with place.storage.open_writer("file", content_type="application/x-keg") as file:
        file.write(b"x")

    assert place.storage.stat("file").content_type in ("application/x-keg", "")


def test_the_last_of_two_writers_wins_as_a_whole(place: Place) -> None:
    first, second = place.storage.open("file", "wb"), place.storage.open("file", "wb")
    one, two = content_of(2 * place.part_bytes + 1, 1), content_of(2 * place.part_bytes + 1, 2)
    half = place.part_bytes
    for file, content in ((first, one), (second, two)):
        file.write(content[:half])
    for file, content in ((first, one), (second, two)):
        file.write(content[half:])

    second.close()
    first.close()

    assert digest(place.raw_bytes("file")) == digest(one)
    assert place.raw_names() == {"file"}
    assert place.leftovers() == []


def test_a_real_folder_above_must_exist(place: Place) -> None:
    if not place.storage.capabilities.real_folders:
        with place.storage.open("missing/folder/file", "wb") as file:
            file.write(b"x")
        assert place.raw_bytes("missing/folder/file") == b"x"
        return

    with pytest.raises(FileNotFoundInStorageError, match="file"):
        with place.storage.open("missing/folder/file", "wb") as file:
            file.write(b"x")

    assert place.raw_names() == set()


def test_a_real_folder_is_not_overwritten(place: Place) -> None:
    place.raw_put("folder/inside", b"x")
    if not place.storage.capabilities.real_folders:
        assert place.storage.capabilities.path_or_prefix
        return

    with pytest.raises((IsAFolder, AlreadyExists), match="folder"):
        with place.storage.open("folder", "wb") as file:
            file.write(b"x")

    assert place.raw_bytes("folder/inside") == b"x"
    assert place.raw_names() == {"folder/", "folder/inside"}


def test_files_are_put_and_got(place: Place, tmp_path: Path) -> None:
    content = content_of(place.part_bytes + 77)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(content)
    target.write_bytes(b"old")

    place.storage.put(str(source), "remote")
    place.storage.get("remote", str(target))

    assert digest(place.raw_bytes("remote")) == digest(content)
    assert digest(target.read_bytes()) == digest(content)
    assert {path.name for path in tmp_path.iterdir()} == {"source", "target"}


def test_a_failed_get_leaves_the_old_download(place: Place, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"old")

    with pytest.raises(FileNotFoundInStorageError):
        place.storage.get("missing", str(target))

    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_a_failed_put_leaves_nothing(place: Place, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        place.storage.put(str(tmp_path / "missing"), "remote")

    assert place.raw_names() == set()
    assert place.leftovers() == []


def test_threads_write_at_once(place: Place) -> None:
    contents = {f"file-{number}": content_of(300_000 + number, number) for number in range(8)}
    failed: list[StorageError] = []

    def write(name: str) -> None:
        try:
            with place.storage.open(name, "wb") as file:
                _write_in_pieces(file, contents[name], 50_000)
        except StorageError as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(name,)) for name in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert failed == []
    assert {name: digest(place.raw_bytes(name)) for name in contents} == {
        name: digest(content) for name, content in contents.items()
    }
