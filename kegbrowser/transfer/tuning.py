"""The numbers the engine works by, in one place; tests give smaller ones."""

from __future__ import annotations

from dataclasses import dataclass, field

from kegbrowser.transfer.retry import RetryPolicy

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Tuning:
    """How many, how large, how often.

    Attributes:
        small_threads: files of up to `small_file_bytes` moved at once.
        large_threads: larger files moved at once.
        range_threads: ranges of one large file fetched at once, where the storage says that this is useful.
        range_bytes: length of such a range.
        piece_bytes: what is read and written in one go.
        items_ahead: files that may be planned before they are moved.
        tries_of_changing: how often a file that changes while it is read, or does not arrive as it was sent, is started.
        clean_up_s: how long a cancelled job may take to remove what it left unfinished.
    """

    small_file_bytes: int = 8 * MIB
    small_threads: int = 6
    large_threads: int = 2
    range_threads: int = 4
    range_bytes: int = 16 * MIB
    piece_bytes: int = MIB
    items_ahead: int = 10_000
    tries_of_changing: int = 3
    clean_up_s: float = 5.0
    retry: RetryPolicy = field(default_factory=RetryPolicy)
