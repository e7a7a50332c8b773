"""Remembers in fixed memory which texts were seen: never says no of one that was, rarely yes of one that was not."""

from __future__ import annotations

BITS = 2**25


class Seen:
    """A Bloom filter of 4 MiB with two hashes: wrong in one of 300 questions after a million texts. One thread at a time."""

    def __init__(self) -> None:
        self._bits = bytearray(0)

    def __contains__(self, text: str) -> bool:
        if not self._bits:
            return False
        first, second = _places(text)
        return bool(self._bits[first >> 3] & 1 << (first & 7) and self._bits[second >> 3] & 1 << (second & 7))

    def add(self, text: str) -> None:
        """Remember a text."""
        if not self._bits:
            self._bits = bytearray(BITS // 8)
        first, second = _places(text)
        self._bits[first >> 3] |= 1 << (first & 7)
        self._bits[second >> 3] |= 1 << (second & 7)


def _places(text: str) -> tuple[int, int]:
    number = hash(text)
    return number % BITS, (number >> 25) % BITS
