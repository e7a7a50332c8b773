"""Which row shows what, where transfers may be opened to show their files: a million of them cost nothing but a number."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass
from itertools import accumulate

from kegbrowser.services.transfer import Transfer
from kegbrowser.transfer.records import ItemRecord

PAGE_ITEMS = 128
MAX_PAGES = 64


@dataclass(slots=True)
class Block:
    """A transfer and, if it is open, how many rows of files follow it.

    Attributes:
        only_failed: only the files that failed are shown.
    """

    transfer: Transfer
    is_open: bool = False
    files: int = 0
    only_failed: bool = False


class Rows:
    """The rows of the table, in order. Not thread-safe."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self._starts: list[int] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def update(self) -> None:
        """Take note that blocks were added, removed or resized."""
        ends = list(accumulate(1 + (block.files if block.is_open else 0) for block in self.blocks))
        self._starts = [0, *ends[:-1]] if ends else []
        self._count = ends[-1] if ends else 0

    def at(self, row: int) -> tuple[Block, int]:
        """What a row shows: its block, and the number of the file in it, -1 for the transfer itself."""
        number = bisect_right(self._starts, row) - 1
        return self.blocks[number], row - self._starts[number] - 1

    def row_of(self, transfer_id: int) -> int | None:
        """The row of a transfer."""
        number = self.number_of(transfer_id)
        return None if number is None else self._starts[number]

    def number_of(self, transfer_id: int) -> int | None:
        """The place of a transfer among the blocks."""
        return next((i for i, block in enumerate(self.blocks) if block.transfer.transfer_id == transfer_id), None)


class Pages:
    """The files that were read lately, by page."""

    def __init__(self) -> None:
        self._pages: OrderedDict[tuple[int, bool, int], tuple[ItemRecord, ...]] = OrderedDict()

    def find(self, block: Block, number: int) -> ItemRecord | None:
        """A file of a transfer; None if it was not read."""
        page = self._pages.get((block.transfer.transfer_id, block.only_failed, number // PAGE_ITEMS))
        offset = number % PAGE_ITEMS
        return page[offset] if page is not None and offset < len(page) else None

    def put(self, transfer_id: int, first: int, items: tuple[ItemRecord, ...], *, only_failed: bool) -> None:
        """Keep a page."""
        key = (transfer_id, only_failed, first // PAGE_ITEMS)
        self._pages[key] = items
        self._pages.move_to_end(key)
        while len(self._pages) > MAX_PAGES:
            self._pages.popitem(last=False)

    def forget(self, transfer_id: int) -> None:
        """Drop all pages of a transfer."""
        for key in [key for key in self._pages if key[0] == transfer_id]:
            del self._pages[key]
