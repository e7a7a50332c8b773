"""The numbers the engine works by, in one place; tests give smaller ones."""

from __future__ import annotations

from dataclasses import dataclass, field

from kegbrowser.transfer.retry import RetryPolicy

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Tuning:
    """How many, how large, how often.

    Attributes:
        small_file_bytes: files of up to this length go together, many at once over few threads.
        small_in_flight, small_most: small files on their way at the beginning, and at most.
        small_memory_bytes: content of small files in memory.
        small_threads: small files moved at once where they go one by one: copies, and what needs a second look.
        large_threads: larger files moved at once.
        parts, most_parts: parts of larger files on their way at once, at the beginning and at most, all files together.
        range_bytes: length of a part of a download.
        most_ranges: a file is not cut into more; its parts are longer instead.
        part_memory_bytes: parts of uploads in memory, all files together.
        piece_bytes: what is read and written in one go.
        items_ahead: files that may be planned before they are moved.
        tries_of_changing: how often a file that changes while it is read, or does not arrive as it was sent, is started.
        clean_up_s: how long a cancelled job may take to remove what it left unfinished.
    """

    small_file_bytes: int = MIB
    small_in_flight: int = 64
    small_most: int = 256
    small_memory_bytes: int = 24 * MIB
    small_threads: int = 6
    large_threads: int = 4
    parts: int = 4
    most_parts: int = 16
    range_bytes: int = 16 * MIB
    most_ranges: int = 4_096
    part_memory_bytes: int = 96 * MIB
    piece_bytes: int = MIB
    items_ahead: int = 10_000
    tries_of_changing: int = 3
    clean_up_s: float = 5.0
    retry: RetryPolicy = field(default_factory=RetryPolicy)
