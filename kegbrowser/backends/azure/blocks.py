"""How a blob is cut into blocks, and what they are called.

Limits ("Scalability and performance targets for Blob storage"): 50,000 blocks of up to 4,000 MiB, together 190.7 TiB.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

MIB = 1024 * 1024
MAX_BLOCKS = 50_000
MAX_BLOCK_BYTES = 4000 * MIB
MAX_BLOB_BYTES = MAX_BLOCKS * MAX_BLOCK_BYTES
IN_FLIGHT = 3
IN_FLIGHT_BYTES = 64 * MIB

_COUNTER_LETTERS = 4  # 0000 to c34f
ID_LETTERS = 20


@dataclass(frozen=True, slots=True)
class BlockPlan:
    """How large each block is. They grow where a file of unknown length turns out to be very long.

    Attributes:
        first_bytes: of the first block.
        steady: how many blocks have that size.
        doubled_every: after those, the size doubles each so many blocks.
    """

    first_bytes: int
    steady: int = 5_000
    doubled_every: int = 4_500

    @classmethod
    def for_size(cls, size_bytes: int, least_bytes: int) -> BlockPlan:
        """For a known length: one size fits all of it, and the last tenth of the blocks is left for what it may grow by."""
        steady = MAX_BLOCKS * 9 // 10
        wanted = max(least_bytes, -(-size_bytes // steady))
        return cls(min(-(-wanted // MIB) * MIB, MAX_BLOCK_BYTES), steady, 500)

    def size_of(self, number: int) -> int:
        """Bytes of the block with this number, from 0."""
        if number < self.steady:
            return self.first_bytes
        doublings = (number - self.steady) // self.doubled_every + 1
        return min(self.first_bytes << doublings, MAX_BLOCK_BYTES)


def in_flight(block_bytes: int) -> int:
    """How many blocks of this size may be on their way at once."""
    return max(1, min(IN_FLIGHT, IN_FLIGHT_BYTES // block_bytes))


class BlockIds:
    """The ids of one writer's blocks: a part that no other writer has, then the number.

    All ids of one blob must be equally long ("Put Block"), those of unfinished uploads of other programs included.

    Raises:
        ValueError: `letters` leaves no room for telling writers apart.
    """

    def __init__(self, letters: int = ID_LETTERS, taken: Iterable[bytes] = ()) -> None:
        room = letters - _COUNTER_LETTERS
        if room < 1:
            raise ValueError("too short")
        starts = {name[:room] for name in taken}
        alphabet = "abcdefghijklmnopqrstuvwxyz0123456789"
        for _try in range(1000):
            self._start = "".join(secrets.choice(alphabet) for _letter in range(room))
            if self._start.encode() not in starts:
                return
        raise ValueError("no free id")

    @classmethod
    def with_start(cls, start: str) -> BlockIds:
        """The ids of an upload that was begun before."""
        ids = cls()
        ids._start = start
        return ids

    @property
    def start(self) -> str:
        """What all of them begin with."""
        return self._start

    def id_of(self, number: int) -> str:
        """The id of a block, before its Base64."""
        return f"{self._start}{number:0{_COUNTER_LETTERS}x}"

    @classmethod
    def fitting(cls, taken: Iterable[str]) -> BlockIds:
        """Ids as long as those that are there.

        Args:
            taken: as the service lists them, in Base64.

        Raises:
            ValueError: they are so short that none is left.
        """
        try:
            names = [base64.b64decode(name) for name in taken]
        except binascii.Error as exc:
            raise ValueError("not Base64") from exc
        return cls(len(names[0]) if names else ID_LETTERS, names)
