"""The natural order of a million names, by numpy and with the interpreter's lock released nearly all the time.

Names come as UTF-8 bytes with a NUL behind each. Sorted is by 8 bytes at a time, taken as one big-endian number: first all
rows by the first 8 bytes, then those that are still equal by the next 8, and so on. No Qt; any thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kegbrowser.models.natural import natural_key

Rows = NDArray[np.int32]

_WORD_BYTES = 8
_ZERO, _NINE = 0x30, 0x39
_MOST_DIGITS = 34
"""The length of a longer number has no byte of its own."""

_NO = np.zeros(1, np.bool_)
_MOVED = np.arange(256, dtype=np.uint8)
_MOVED[0x3A:0x41] += 0x1A
"""What stands between digits and letters moves up, to where capital letters were: behind each byte that tells a length."""


@dataclass(frozen=True, slots=True)
class NameBytes:
    """Names one behind the other.

    Attributes:
        blob: uint8; a NUL behind each name.
        ends: int64, where those are.
    """

    blob: NDArray[np.uint8]
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, text: bytes) -> NameBytes:
        blob = np.frombuffer(text, np.uint8)
        return cls(blob, np.flatnonzero(blob == 0))

    @property
    def starts(self) -> NDArray[np.int64]:
        starts = np.empty_like(self.ends)
        if len(starts):
            starts[0] = 0
            np.add(self.ends[:-1], 1, out=starts[1:])
        return starts

    def text(self, row: int) -> str:
        start = int(self.ends[row - 1]) + 1 if row else 0
        return self.blob[start : self.ends[row]].tobytes().decode("utf-8", "surrogatepass")


def encoded(names: str) -> bytes:
    """Names joined by NUL as bytes with a NUL behind each; the order of bytes is that of code points."""
    return names.encode("utf-8", "surrogatepass") + b"\0"


def name_order(names: NameBytes, folded: NameBytes) -> Rows:
    """The numbers of the rows in natural order, those with the same name in the order of their numbers.

    Args:
        folded: the same names without regard to case.
    """
    order = np.arange(len(names.ends), dtype=np.int32)
    keys = _natural_keys(folded)
    positions, groups = _refine(keys, order, np.arange(len(order)), np.zeros(len(order), np.int32))
    if len(positions):
        positions, groups = _refine(names, order, positions, groups)
    if len(positions):
        order[positions] = order[positions][np.lexsort((order[positions], groups))]
    return order


def rows_containing(names: NameBytes, needle: bytes) -> NDArray[np.bool_]:
    """Which names contain some bytes (none of them NUL)."""
    blob, found = names.blob, np.zeros(len(names.ends), np.bool_)
    length = len(needle)
    if not length:
        found[:] = True
        return found
    if len(blob) < length:
        return found
    last = len(blob) - length + 1
    hits = blob[:last] == needle[0]
    for place in range(1, min(length, 3)):
        hits &= blob[place : last + place] == needle[place]
    places = np.flatnonzero(hits)
    for place in range(3, length):
        places = places[blob[places + place] == needle[place]]
    found[np.searchsorted(names.ends, places)] = True
    return found


# -- sorting -----------------------------------------------------------------------------------------------------------------


def _refine(
    names: NameBytes, order: Rows, positions: NDArray[Any], groups: NDArray[np.int32]
) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Put rows of `order` in the order of their bytes, in place.

    Args:
        positions: which places of `order` to look at; ascending.
        groups: one number for each of them; only those with the same one change places. Ascending.

    Returns:
        Positions and groups of what is equal to the last byte.
    """
    padded = np.concatenate((names.blob, np.zeros(_WORD_BYTES, np.uint8)))
    words = np.ndarray(len(padded) - _WORD_BYTES + 1, ">u8", padded, strides=(1,))
    starts, ends, depth = names.starts, names.ends, 0
    equal: list[tuple[NDArray[Any], NDArray[np.bool_]]] = []
    while len(positions):
        rows = order[positions]
        places = starts[rows] + depth
        left = ends[rows] - places
        values = _words_at(words, places, left)
        same_group = groups[1:] == groups[:-1]
        if np.any((values[1:] < values[:-1]) & same_group):
            by = np.argsort(values) if groups[0] == groups[-1] else np.lexsort((values, groups))
            values, left = values[by], left[by]
            order[positions] = rows[by]
        same = (values[1:] == values[:-1]) & same_group
        is_tied = np.zeros(len(positions), np.bool_)
        is_tied[1:] = same
        is_tied[:-1] |= same
        groups = np.cumsum(np.concatenate((_NO, ~same)), dtype=np.int32)[is_tied]
        positions, goes_on = positions[is_tied], left[is_tied] > _WORD_BYTES
        depth += _WORD_BYTES
        if not goes_on.all():
            # Who ended in a group that goes on comes first in it at the next step, by its zeros.
            going_groups = np.zeros(int(groups[-1]) + 1, np.bool_)
            going_groups[groups[goes_on]] = True
            goes_on = going_groups[groups]
            equal.append((positions[~goes_on], _first_of(groups[~goes_on])))
            positions, groups = positions[goes_on], groups[goes_on]
    return _joined(equal)


def _first_of(groups: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Where another group begins than the one before."""
    first = np.ones(len(groups), np.bool_)
    first[1:] = groups[1:] != groups[:-1]
    return first


def _joined(equal: list[tuple[NDArray[Any], NDArray[np.bool_]]]) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Groups that were found at several depths, numbered by their positions."""
    if not equal:
        return np.zeros(0, np.int64), np.zeros(0, np.int32)
    positions = np.concatenate([places for places, _first in equal])
    by = np.argsort(positions)
    return positions[by], np.cumsum(np.concatenate([first for _places, first in equal])[by], dtype=np.int32)


def _words_at(words: NDArray[Any], places: NDArray[np.int64], left: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Eight bytes at each place as a number; what is behind a name's end counts as zeros."""
    last = len(words) - 1
    values = words[np.minimum(places, last)].astype(np.uint64)
    short = np.flatnonzero(left < _WORD_BYTES)
    if len(short):
        kept = np.maximum(left[short], 0).astype(np.uint64)
        bits = (np.uint64(_WORD_BYTES) - kept) * np.uint64(8)
        cut = values[short] >> np.minimum(bits, np.uint64(63)) << np.minimum(bits, np.uint64(63))
        cut[kept == 0] = 0
        values[short] = cut
    return values


# -- keys --------------------------------------------------------------------------------------------------------------------


def _natural_keys(folded: NameBytes) -> NameBytes:
    """Names with a byte in front of each number that tells how many digits it has, zeros in front of them dropped."""
    blob = folded.blob
    is_digit = (blob - np.uint8(_ZERO)) <= np.uint8(_NINE - _ZERO)
    edges = np.flatnonzero(is_digit[1:] != is_digit[:-1]) + 1
    if len(blob) and is_digit[0]:
        edges = np.concatenate((np.zeros(1, edges.dtype), edges))
    starts, stops = edges[::2], edges[1::2]
    if not len(starts) or _all_same(stops - starts):
        return folded  # numbers of one width compare as they stand
    firsts = _significant(blob, starts, stops)
    lengths = stops - firsts
    if lengths.max() > _MOST_DIGITS:
        return _keys_one_by_one(folded)
    dropped = np.cumsum(firsts - starts)
    numbers = np.arange(len(starts))
    if dropped[-1]:
        kept = np.ones(len(blob), np.bool_)
        has_zeros = np.flatnonzero(firsts > starts)
        kept[_ranges(starts[has_zeros], firsts[has_zeros])] = False
        source = blob[kept]
    else:
        source = blob
    if np.any((source - np.uint8(0x3A)) < np.uint8(7)):
        source = _MOVED[source]
    marks = firsts - dropped + numbers
    keys = np.empty(len(source) + len(starts), np.uint8)
    is_mark = np.zeros(len(keys), np.bool_)
    is_mark[marks] = True
    keys[marks] = (lengths + _ZERO).astype(np.uint8)
    keys[~is_mark] = source
    before = np.searchsorted(starts, folded.ends)
    shift = before - np.concatenate((np.zeros(1, dropped.dtype), dropped))[before]
    return NameBytes(keys, folded.ends + shift)


def _all_same(values: NDArray[Any]) -> bool:
    return bool((values == values[0]).all())


def _significant(blob: NDArray[np.uint8], starts: NDArray[Any], stops: NDArray[Any]) -> NDArray[Any]:
    """Where each number begins without the zeros in front of it."""
    firsts = starts.copy()
    waiting = np.arange(len(starts))
    while len(waiting):
        waiting = waiting[(firsts[waiting] < stops[waiting])]
        waiting = waiting[blob[firsts[waiting]] == _ZERO]
        firsts[waiting] += 1
    return firsts


def _ranges(starts: NDArray[Any], stops: NDArray[Any]) -> NDArray[Any]:
    """All integers of some half-open ranges."""
    lengths = stops - starts
    steps = np.ones(int(lengths.sum()), starts.dtype)
    steps[0] = starts[0]
    steps[np.cumsum(lengths)[:-1]] = starts[1:] - stops[:-1] + 1
    return np.cumsum(steps)


def _keys_one_by_one(folded: NameBytes) -> NameBytes:
    names = folded.blob.tobytes()[:-1].decode("utf-8", "surrogatepass").split("\0")
    return NameBytes.of(encoded("\0".join([natural_key(name) for name in names])))
