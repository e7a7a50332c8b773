"""The thread on which large folders are sorted and filtered."""

from __future__ import annotations

import queue
import threading
from array import array
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from kegbrowser.backends.entries import Columns
from kegbrowser.models.arrangement import Arranged, Wanted
from kegbrowser.models.rows import numbers_moved

if TYPE_CHECKING:
    from kegbrowser.models.arranging import Arranger


@dataclass(frozen=True, slots=True)
class Order:
    """A folder to be arranged.

    Attributes:
        number: tells the answer to which order it is.
        listing: the same for the same listing, which only grows.
        old_pages: of the listing that this one takes the place of.
    """

    number: int
    listing: int
    pages: tuple[Columns, ...]
    wanted: Wanted
    old_pages: tuple[Columns, ...] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an order.

    Attributes:
        moved: for each row of the old listing its number in the new one, -1 if it is gone; None if there is no old one.
        is_same: the new listing tells what the old one told, row by row; then nothing was arranged.
    """

    order: Order
    arranged: Arranged | None
    moved: array[int] | None = None
    is_same: bool = False


class ArrangingThread(QObject):
    """Takes the latest order; one that was not begun when the next came is dropped."""

    answered = Signal(object)  # Answer

    def __init__(self, kind_of: Callable[[str, bool], str], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._kind_of = kind_of
        self._orders: queue.SimpleQueue[Order] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def submit(self, order: Order) -> None:
        self._orders.put(order)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="arranging", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        from kegbrowser.models.arranging import Arranger  # numpy comes with it

        arranger, listing = Arranger(self._kind_of), -1
        while True:
            order = self._orders.get()
            while not self._orders.empty():
                order = self._orders.get()
            if order.listing != listing:
                arranger, listing = Arranger(self._kind_of), order.listing
            with suppress(RuntimeError):  # the model is gone
                self.answered.emit(_answer(order, arranger))


def _answer(order: Order, arranger: Arranger) -> Answer:
    if order.old_pages is None:
        return Answer(order, arranger.arrange(order.pages, order.wanted))
    if Columns.joined(order.old_pages) == Columns.joined(order.pages):
        return Answer(order, None, is_same=True)
    return Answer(order, arranger.arrange(order.pages, order.wanted), numbers_moved(order.old_pages, order.pages))
