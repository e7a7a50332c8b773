"""Goes on with a local file that is the beginning of a remote one; it is compared, never believed by its size."""

from __future__ import annotations

import os
from collections.abc import Callable
from zlib import crc32

from kegbrowser.backends.uploads import Part
from kegbrowser.transfer.local_errors import local_errors
from kegbrowser.transfer.part_file import PartFile

PIECE_BYTES = 1024 * 1024


def take_over(part: PartFile, path: str, range_bytes: int, size: int, check: Callable[[], None]) -> dict[int, Part]:
    """Copy what is at `path` into a part file, as far as it fills whole ranges, and give those.

    Whether they are what the source has is not known yet: the checksum of the whole file will tell.

    Args:
        size: of the source.
        check: called between pieces; raises to end it.
    """
    held: dict[int, Part] = {}
    with local_errors("read", path), open(path, "rb", buffering=0) as there:
        for number in range(min(size, os.fstat(there.fileno()).st_size) // range_bytes):
            crc = done = 0
            while done < range_bytes:
                check()
                piece = there.read(min(PIECE_BYTES, range_bytes - done))
                if not piece:
                    return held
                part.write_at(piece, number * range_bytes + done)
                crc = crc32(piece, crc)
                done += len(piece)
            held[number] = Part(number, range_bytes, crc)
    return held


def is_beginning(path: str, part: PartFile, from_byte: int, check: Callable[[], None]) -> bool:
    """Whether a part file that is whole begins with what is at `path`; only looks from a byte on."""
    with local_errors("read", path), open(path, "rb", buffering=0) as there:
        there.seek(from_byte)
        while piece := there.read(PIECE_BYTES):
            check()
            if part.read_at(from_byte, len(piece)) != piece:
                return False
            from_byte += len(piece)
    return True
