"""Checksums, and those of neighbours put together."""

from __future__ import annotations

import hashlib
import zlib

from hypothesis import given
from hypothesis import strategies as st

from kegbrowser.backends.proofs import ALGORITHMS, Digests
from kegbrowser.transfer.digesting import Hasher, best_of, can_hash, combine

CHECK = b"123456789"
"""What the published check values of CRCs are of."""

PUBLISHED = {"crc32": "cbf43926", "crc32c": "e3069283", "crc64nvme": "ae8b14860a799888"}


def _hashed(algorithm: str, *pieces: bytes) -> str:
    hasher = Hasher(algorithm)
    for piece in pieces:
        hasher.update(piece)
    return hasher.hexdigest()


def test_crcs_have_their_published_check_values() -> None:
    for algorithm, value in PUBLISHED.items():
        assert can_hash(algorithm)
        assert _hashed(algorithm, CHECK[:4], CHECK[4:]) == value


def test_hashes_are_those_of_the_library() -> None:
    for algorithm in ("md5", "sha1", "sha256"):
        assert _hashed(algorithm, b"abc", b"", b"def") == hashlib.new(algorithm, b"abcdef").hexdigest()


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_crcs_of_neighbours_make_the_crc_of_both(first: bytes, second: bytes) -> None:
    for algorithm, digits in (("crc32", 8), ("crc32c", 8), ("crc64nvme", 16)):
        one, other = (int(_hashed(algorithm, part), 16) for part in (first, second))
        assert f"{combine(algorithm, one, other, len(second)):0{digits}x}" == _hashed(algorithm, first + second)


def test_crc_of_a_huge_second_part_is_put_together_at_once() -> None:
    zeros = bytes(1 << 20)
    whole = zlib.crc32(b"x")
    for _mebibyte in range(8):
        whole = zlib.crc32(zeros, whole)

    assert combine("crc32", zlib.crc32(b"x"), zlib.crc32(bytes(8 << 20)), 8 << 20) == whole
    assert combine("crc32", 1, 2, 1 << 50) >= 0


def test_best_is_one_that_can_be_computed() -> None:
    assert best_of(Digests()) == ""
    assert best_of(Digests({"md5": "0", "sha256": "0"})) == "sha256"
    assert best_of(Digests({"md5": "0", "crc32": "0"})) == "crc32"
    assert best_of(Digests({"blake9": "0"})) == ""
    assert all(can_hash(algorithm) for algorithm in ALGORITHMS)
