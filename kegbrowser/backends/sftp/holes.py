"""Whether the parts of a temporary file were written, where the server computes no checksums."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

from kegbrowser.backends.sftp import wire
from kegbrowser.backends.sftp.client import Client
from kegbrowser.backends.sftp.translate import SftpStatus
from kegbrowser.backends.sftp.wire import Uint64
from kegbrowser.backends.uploads import Part

PROBE_BYTES = 4096
ZEROS = bytes(PROBE_BYTES)


def without_holes(client: Client, handle: bytes, parts: Mapping[int, Part], part_bytes: int) -> dict[int, Part]:
    """Those of the parts that seem to have been written: a crash of the server may have left zeros in their place.

    The last one is read back whole, as is each that has zeros where it is looked into.
    """
    places = [
        (number, number * part_bytes + where, min(PROBE_BYTES, part.size - where))
        for number, part in parts.items()
        for where in {0, part.size // 2, max(0, part.size - PROBE_BYTES)}
    ]
    requests = ((wire.READ, handle, Uint64(offset), length) for _number, offset, length in places)
    doubtful = {max(parts)} if parts else set()
    for (number, _offset, length), answer in zip(places, client.gather(requests), strict=True):
        probe = b"" if isinstance(answer, SftpStatus) else answer.rest()
        if len(probe) != length or probe == ZEROS[:length]:
            doubtful.add(number)
    wrong = {
        number
        for number in doubtful
        if _crc_at(client, handle, number * part_bytes, parts[number]) != parts[number].crc32
    }
    return {number: part for number, part in parts.items() if number not in wrong}


def _crc_at(client: Client, handle: bytes, offset: int, part: Part) -> int | None:
    """The checksum of what is there; None if it is not all there."""
    crc = 0
    step = client.max_read_bytes
    sizes = [min(step, part.size - start) for start in range(0, part.size, step)]
    requests = ((wire.READ, handle, Uint64(offset + place * step), length) for place, length in enumerate(sizes))
    is_whole = True
    for length, answer in zip(sizes, client.gather(requests), strict=True):
        content = b"" if isinstance(answer, SftpStatus) else answer.rest()
        is_whole = is_whole and len(content) == length
        crc = zlib.crc32(content, crc)
    return crc if is_whole else None
