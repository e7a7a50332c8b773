"""Reading: any size of bite, any range, and never a mix of two versions."""

from __future__ import annotations

import io

import pytest

from kegbrowser.backends.errors import (
    FileNotFoundInStorageError,
    IsAFolder,
    NotSupported,
    SourceChanged,
)
from tests.conformance.content import content_of, digest
from tests.conformance.place import Place

SMALL = content_of(10_000)


@pytest.fixture(scope="module")
def stored(lasting_place: Place) -> Place:
    """A place with `file`, for the tests that change nothing."""
    lasting_place.raw_put("file", SMALL)
    return lasting_place


def test_read_gives_up_to_the_size_and_nothing_at_the_end(place: Place) -> None:
    place.raw_put("file", SMALL)
    got = b""

    with place.storage.open("file", "rb") as file:
        assert file.read(0) == b""
        for size in (1, 2, 3000, 1, 4096):
            piece = file.read(size)
            assert 0 < len(piece) <= size
            got += piece
        while piece := file.read(1 << 20):
            got += piece

        assert file.read(1) == b""
        assert file.read(1 << 20) == b""
        assert file.read(-1) == b""
    assert got == SMALL


def test_read_with_a_negative_size_gives_the_rest(place: Place) -> None:
    place.raw_put("file", SMALL)

    with place.storage.open("file", "rb") as file:
        first = file.read(10)
        rest = file.read(-1)

    assert first + rest == SMALL


@pytest.mark.parametrize("chunk_size", [1, 999, 1000, 5000, 10_000, 10_001])
def test_chunks_are_full_but_for_the_last(stored: Place, chunk_size: int) -> None:
    expected = SMALL[-3000:] if chunk_size == 1 else SMALL

    with stored.storage.open_reader("file", offset=len(SMALL) - len(expected)) as file:
        chunks = list(file.iter_chunks(chunk_size))

    assert b"".join(chunks) == expected
    assert {len(chunk) for chunk in chunks[:-1]} <= {chunk_size}
    assert 0 < len(chunks[-1]) <= chunk_size


def test_a_file_is_iterated_to_its_end(place: Place) -> None:
    place.raw_put("file", SMALL)
    place.raw_put("empty", b"")

    with place.storage.open("file", "rb") as file:
        assert b"".join(file) == SMALL
    with place.storage.open("empty", "rb") as file:
        assert list(file) == []


def test_a_large_file_is_read_whole(place: Place) -> None:
    content = content_of(3 * place.part_bytes + 12_345)
    place.raw_put("large", content)

    with place.storage.open("large", "rb") as file:
        assert digest(b"".join(file.iter_chunks(1_000_003))) == digest(content)


@pytest.mark.parametrize(
    ("offset", "length"),
    [
        (0, None),
        (0, 0),
        (0, 1),
        (1, 1),
        (5000, None),
        (5000, 100),
        (9999, 1),
        (9999, 1000),
        (0, 10_000),
        (0, 10_001),
        (10_000, None),
        (10_000, 5),
        (10_001, None),
        (20_000, 7),
    ],
)
def test_a_range_is_cut_at_the_end_of_the_file(stored: Place, offset: int, length: int | None) -> None:
    expected = SMALL[offset:] if length is None else SMALL[offset : offset + length]

    with stored.storage.open_reader("file", offset=offset, length=length) as file:
        assert b"".join(file.iter_chunks(777)) == expected
        assert file.read(1) == b""


def test_an_empty_file_has_only_empty_ranges(place: Place) -> None:
    place.raw_put("empty", b"")

    for offset, length in ((0, None), (0, 5), (3, None), (3, 5)):
        with place.storage.open_reader("empty", offset=offset, length=length) as file:
            assert file.read(10) == b""


def test_ranges_read_side_by_side_make_up_the_file(place: Place) -> None:
    content = content_of(1_000_000)
    place.raw_put("file", content)
    etag = place.storage.stat("file").etag

    readers = [
        place.storage.open_reader("file", offset=offset, length=250_000, etag=etag)
        for offset in range(0, 1_000_000, 250_000)
    ]
    pieces = [b"".join(reader.iter_chunks(60_000)) for reader in reversed(readers)]
    for reader in readers:
        reader.close()

    assert digest(b"".join(reversed(pieces))) == digest(content)


def test_a_missing_file_is_known_when_it_is_opened(place: Place) -> None:
    for path in ("missing.txt", "missing folder/missing.txt"):
        with pytest.raises(FileNotFoundInStorageError, match=r"missing\.txt") as refusal:
            place.storage.open(path, "rb")

        assert refusal.value.path == path
        assert isinstance(refusal.value, FileNotFoundError)


def test_a_folder_cannot_be_read(place: Place) -> None:
    place.raw_put("folder/inside", b"x")

    with pytest.raises((IsAFolder, FileNotFoundInStorageError), match="folder"):
        place.storage.open("folder", "rb")


def test_a_file_is_never_read_and_written_at_once(place: Place) -> None:
    place.raw_put("file", b"x")

    with pytest.raises(NotSupported):
        place.storage.open("file", "rwb")
    with pytest.raises(ValueError):
        place.storage.open("file", "ab")


def test_a_closed_reader_refuses_to_read(place: Place) -> None:
    place.raw_put("file", b"x")
    file = place.storage.open("file", "rb")

    file.close()
    file.close()

    assert file.closed
    with pytest.raises(ValueError):
        file.read(1)


def test_a_reader_refuses_to_write(place: Place) -> None:
    place.raw_put("file", b"x")

    with place.storage.open("file", "rb") as file, pytest.raises(io.UnsupportedOperation):
        file.write(b"x")


def test_a_stale_mark_is_refused(place: Place) -> None:
    place.raw_put("file", b"old content")
    etag = place.storage.stat("file").etag
    with place.storage.open_reader("file", etag=etag) as file:
        assert file.read(-1) == b"old content"

    place.raw_put("file", b"new content!")

    with pytest.raises(SourceChanged, match="file") as refusal:
        with place.storage.open_reader("file", etag=etag) as file:
            file.read(1)
    assert refusal.value.retryable


def test_a_file_replaced_under_the_reader_is_never_mixed(place: Place) -> None:
    size = 3 * place.part_bytes + 1
    old, new = content_of(size, 1), content_of(size, 2)
    place.raw_put("file", old)

    with place.storage.open("file", "rb") as file:
        got = file.read(1000)
        with place.storage.open("file", "wb") as writer:
            writer.write(new)
        try:
            got += b"".join(file.iter_chunks(500_000))
        except SourceChanged:
            return

    assert digest(got) == digest(old)


def test_a_file_cut_short_under_the_reader_is_noticed(place: Place) -> None:
    old = content_of(3 * place.part_bytes + 1)
    place.raw_put("file", old)

    with place.storage.open("file", "rb") as file:
        got = file.read(1000)
        place.raw_put("file", old[: place.part_bytes])
        try:
            got += b"".join(file.iter_chunks(500_000))
        except SourceChanged:
            return

    assert digest(got) == digest(old)


def test_a_file_deleted_under_the_reader_is_whole_or_an_error(place: Place) -> None:
    old = content_of(3 * place.part_bytes + 1)
    place.raw_put("file", old)

    with place.storage.open("file", "rb") as file:
        got = file.read(1000)
        place.storage.delete("file")
        try:
            got += b"".join(file.iter_chunks(500_000))
        except (SourceChanged, FileNotFoundInStorageError):
            return

    assert digest(got) == digest(old)
