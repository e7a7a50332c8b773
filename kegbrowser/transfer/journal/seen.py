"""Remembers in fixed memory which texts were seen: never says no of one that was, rarely yes of one that was not."""

from __future__ import annotations

BITS = 2**25


class Seen:
    """A Bloom filter of 4 MiB with two hashes: wrong in one of 300 questions after a million texts. One thread at a time."""

    def __init__(self) -> None:
        self._bits = bytearray(0)

    def add(self, text: str) -> bool:
        """Remember a text; whether it may have been seen before."""
        if not self._bits:
            self._bits = bytearray(BITS // 8)
        bits, number = self._bits, hash(text)
        first, second = number % BITS, (number >> 25) % BITS
        one, other = bits[first >> 3], bits[second >> 3]
        if one >> (first & 7) & 1 and other >> (second & 7) & 1:
            return True
        bits[first >> 3] = one | 1 << (first & 7)
        bits[second >> 3] |= 1 << (second & 7)
        return False
