"""Checksums: computed piece by piece, put together from those of neighbouring parts, and the best of several to compare by."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from functools import cache, lru_cache

from kegbrowser.backends.proofs import Digests

_POLYNOMIALS = {"crc32": (0xEDB88320, 32), "crc32c": (0x82F63B78, 32), "crc64nvme": (0x9A6C9329AC4BC9B5, 64)}
"""Reflected, and the width in bits."""

_PREFERRED = ("crc64nvme", "crc32c", "crc32", "sha256", "sha1", "md5")
_HASHES = ("sha256", "sha1", "md5")


class Hasher:
    """Computes one checksum of what it is given, in order. One thread.

    Args:
        algorithm: a key of `proofs.ALGORITHMS`.

    Raises:
        ValueError: not known here (`can_hash`).
    """

    def __init__(self, algorithm: str) -> None:
        self._hash = hashlib.new(algorithm, usedforsecurity=False) if algorithm in _HASHES else None
        self._digits = _POLYNOMIALS.get(algorithm, (0, 0))[1] // 4
        self._crc = 0
        self._function = _crc_function(algorithm) if self._hash is None else None
        if self._hash is None and self._function is None:
            raise ValueError(f"The checksum {algorithm} is not known here.")

    def update(self, content: bytes) -> None:
        """Take the next bytes."""
        if self._hash is not None:
            self._hash.update(content)
        elif self._function is not None:
            self._crc = self._function(content, self._crc)

    def hexdigest(self) -> str:
        """Of all so far, in lower-case hex digits."""
        return self._hash.hexdigest() if self._hash is not None else f"{self._crc:0{self._digits}x}"


def can_hash(algorithm: str) -> bool:
    """Whether `Hasher` knows it."""
    return algorithm in _HASHES or _crc_function(algorithm) is not None


def best_of(digests: Digests) -> str:
    """The algorithm to compare by: one that is quick, else one that is strong; "" if there is none."""
    return next((name for name in _PREFERRED if name in digests.values and can_hash(name)), "")


def combine(algorithm: str, first: int, second: int, second_bytes: int) -> int:
    """The CRC of two neighbouring parts together, from the CRC of each; `second_bytes` is the length of the second.

    The method is that of zlib's `crc32_combine`: the first is multiplied by x to the power of 8 times the length, modulo the
    polynomial.
    """
    polynomial, width = _POLYNOMIALS[algorithm]
    return _multiply(_shift(algorithm, second_bytes), first, polynomial, width) ^ second


@lru_cache(maxsize=64)
def _shift(algorithm: str, count_bytes: int) -> int:
    """x to the power of 8 * `count_bytes`, modulo the polynomial."""
    polynomial, width = _POLYNOMIALS[algorithm]
    power = 1 << (width - 1)
    square = 1 << (width - 2)
    bits = count_bytes * 8
    while bits:
        if bits & 1:
            power = _multiply(square, power, polynomial, width)
        square = _multiply(square, square, polynomial, width)
        bits >>= 1
    return power


def _multiply(a: int, b: int, polynomial: int, width: int) -> int:
    """The product of two reflected polynomials over GF(2), modulo a third."""
    product = 0
    bit = 1 << (width - 1)
    while bit:
        if a & bit:
            product ^= b
        b = (b >> 1) ^ polynomial if b & 1 else b >> 1
        bit >>= 1
    return product


@cache
def _crc_function(algorithm: str) -> Callable[[bytes, int], int] | None:
    if algorithm == "crc32":
        return zlib.crc32
    if algorithm not in _POLYNOMIALS:
        return None
    try:
        from awscrt import checksums
    except ImportError:
        return None
    function: Callable[[bytes, int], int] = getattr(checksums, algorithm)
    return function
