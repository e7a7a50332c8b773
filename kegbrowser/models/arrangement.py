"""Which rows of a folder are wanted, and what that comes to. No Qt, no numpy."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

from kegbrowser.models.rows import Totals


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a folder's view shows.

    Attributes:
        column: `name`, `size`, `kind` or `modified`.
        needle: casefolded text that names must contain; "" for all.
    """

    column: str = "name"
    is_descending: bool = False
    needle: str = ""
    show_hidden: bool = True


@dataclass(frozen=True, slots=True)
class Arranged:
    """Rows in order.

    Attributes:
        count: how many rows the listing had, shown or not.
        order: int32, numbers of the shown rows.
        places: int32, where each row is shown; -1 where it is not.
        totals: of the shown rows.
    """

    count: int
    order: array[int]
    places: array[int]
    totals: Totals
