"""What an earlier run of a job left behind, compared with the truth before it is believed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from zlib import crc32

from kegbrowser.backends.uploads import Part
from kegbrowser.transfer.plan import FoundFile
from kegbrowser.transfer.records import SourceMark

UNKNOWN_TIME = -(2**63)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def mark_of(file: FoundFile) -> SourceMark:
    """What will be the same as long as nobody changes the file."""
    modified = UNKNOWN_TIME if file.modified is None else (file.modified - _EPOCH) // _MICROSECOND
    return SourceMark(-1 if file.size is None else file.size, modified, file.etag)


def held_parts(
    parts: Mapping[int, Part], part_bytes: int, size: int, read: Callable[[int, int], bytes], check: Callable[[], None]
) -> dict[int, Part]:
    """Those of the remembered parts whose content, read again, is still what was moved.

    Args:
        part_bytes, size: how the file is cut.
        read: gives the bytes at an offset, of a length; fewer at the end.
        check: called before each part; raises to end it.
    """
    held: dict[int, Part] = {}
    for number, part in sorted(parts.items()):
        check()
        offset = number * part_bytes
        if part.size != min(part_bytes, size - offset) or part.size <= 0:
            continue
        content = read(offset, part.size)
        if len(content) == part.size and crc32(content) == part.crc32:
            held[number] = part
    return held
