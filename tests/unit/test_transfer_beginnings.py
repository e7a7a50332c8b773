"""A part file begins with what is there already, and it is compared byte for byte."""

from __future__ import annotations

import os
from pathlib import Path
from zlib import crc32

import pytest

from kegbrowser.backends.uploads import Part
from kegbrowser.transfer.beginnings import is_beginning, take_over
from kegbrowser.transfer.part_file import PartFile
from kegbrowser.transfer.umask import allowed
from tests.doubles.engine import pattern

SIZE, RANGE = 95_000, 10_000


def _never() -> None:
    return None


@pytest.mark.parametrize(
    ("length", "ranges"), [(0, 0), (9_999, 0), (10_000, 1), (43_210, 4), (SIZE, 9), (SIZE + 20_000, 9)]
)
def test_whole_ranges_are_taken_over(tmp_path: Path, length: int, ranges: int) -> None:
    content = pattern(SIZE + 20_000)[:length]
    (tmp_path / "f").write_bytes(content)
    part = PartFile(str(tmp_path / "f"))

    held = take_over(part, str(tmp_path / "f"), RANGE, SIZE, _never)

    parts = [content[number * RANGE : (number + 1) * RANGE] for number in range(ranges)]
    assert held == {number: Part(number, RANGE, crc32(piece)) for number, piece in enumerate(parts)}
    assert part.read_at(0, SIZE) == content[: ranges * RANGE]
    part.discard()


@pytest.mark.parametrize(
    ("wrong_at", "from_byte", "expected"), [(None, 0, True), (7, 0, False), (7, 8, True), (29_999, 0, False)]
)
def test_beginning_is_compared_to_its_last_byte(
    tmp_path: Path, wrong_at: int | None, from_byte: int, expected: bool
) -> None:
    there = bytearray(pattern(30_000))
    part = PartFile(str(tmp_path / "f"))
    part.write_at(bytes(there) + b"and more", 0)
    if wrong_at is not None:
        there[wrong_at] ^= 1
    (tmp_path / "f").write_bytes(there)

    assert is_beginning(str(tmp_path / "f"), part, from_byte, _never) is expected
    part.discard()


def test_longer_file_is_no_beginning(tmp_path: Path) -> None:
    part = PartFile(str(tmp_path / "f"))
    part.write_at(b"short", 0)
    (tmp_path / "f").write_bytes(b"shorter")

    assert not is_beginning(str(tmp_path / "f"), part, 0, _never)
    part.discard()


def test_umask_is_honoured_and_no_file_runs_as_its_owner() -> None:
    old = os.umask(0o022)
    os.umask(old)

    assert allowed(0o6777) == 0o777 & ~old
    assert allowed(None) is None
