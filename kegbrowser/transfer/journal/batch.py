"""What was said of a job's items since the last write, and how it is written: one transaction, few large statements."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from kegbrowser.backends.proofs import Proof
from kegbrowser.backends.uploads import Part
from kegbrowser.transfer.journal.database import connect, transaction
from kegbrowser.transfer.journal.items import encode
from kegbrowser.transfer.journal.schema import STATE_CODES, first_id
from kegbrowser.transfer.journal.values import error_to_text
from kegbrowser.transfer.records import ItemEnd, ItemState, SourceMark

ROWS = (8, 64, 512)
"""Rows that a statement takes; the rest is filled with NULLs. Few sizes, so that each is prepared once."""

_PLANNED = STATE_CODES[ItemState.PLANNED]
_MOVING = STATE_CODES[ItemState.MOVING]


class _Note:
    """The newest of what was said of one item; None: nothing was said of it."""

    __slots__ = (
        "drops_parts",
        "error",
        "is_new",
        "mark",
        "overwrite",
        "parts",
        "place",
        "proof",
        "source",
        "state",
        "token",
    )

    def __init__(
        self,
        source: str | None = None,
        place: str | None = None,
        mark: SourceMark | None = None,
        overwrite: bool | None = None,
        state: int | None = None,
        is_new: bool = False,
    ) -> None:
        self.is_new = is_new
        self.source = source
        self.place = place
        self.mark = mark
        self.overwrite = overwrite
        self.state = state
        self.token: str | None = None
        self.proof: Proof | None = None
        self.error: str | None = None
        self.drops_parts = False
        self.parts: dict[int, Part] | None = None


class Batch:
    """Notes that are written together. Not for several threads at once.

    Attributes:
        notes: by item.
        calls: how often something was said.
        count: items and parts in it.
    """

    def __init__(self) -> None:
        self.notes: dict[int, _Note] = {}
        self.calls = 0
        self.count = 0
        self._sources: set[str] = set()

    def has_source(self, source: str) -> bool:
        """Whether a file was planned."""
        return source in self._sources

    def plan(self, item: int, source: str, place: str, mark: SourceMark, *, overwrite: bool, is_new: bool) -> None:
        """It is to be moved; its token and parts stay."""
        self._sources.add(source)
        if is_new:  # nothing was said of it before
            self.notes[item] = _Note(source, place, mark, overwrite, _PLANNED, is_new=True)
            self.calls += 1
            self.count += 1
            return
        note = self._of(item)
        note.source, note.place, note.mark, note.overwrite = source, place, mark, overwrite
        note.state, note.proof, note.error = _PLANNED, None, None

    def begin(self, item: int, token: str, place: str) -> None:
        """It is being moved, from its beginning."""
        note = self._of(item)
        note.token, note.place, note.state = token, place, _MOVING
        note.drops_parts, note.parts = True, None

    def add_part(self, item: int, part: Part) -> None:
        """A part of it was moved."""
        note = self._of(item)
        if note.parts is None:
            note.parts = {}
        note.parts[part.number] = part
        self.count += 1

    def end(self, item: int, end: ItemEnd) -> None:
        """It has ended."""
        note = self._of(item)
        note.state, note.token, note.proof, note.error = STATE_CODES[end.state], "", end.proof, error_to_text(end.error)
        if end.place:
            note.place = end.place
        note.drops_parts, note.parts = True, None

    def _of(self, item: int) -> _Note:
        self.calls += 1
        note = self.notes.get(item)
        if note is None:
            note = self.notes[item] = _Note()
            self.count += 1
        return note


class _Rows:
    """A batch as the values of rows, one after the other."""

    __slots__ = ("dropped", "known", "new", "parts")

    def __init__(self) -> None:
        self.new: list[object] = []
        self.known: list[object] = []
        self.dropped: list[object] = []
        self.parts: list[object] = []


class BatchWriter:
    """Writes batches of one job. One thread. It opens the file when it first writes."""

    def __init__(self, path: Path, job_id: int) -> None:
        self._path = path
        self._job_id = job_id
        self._connection: sqlite3.Connection | None = None
        self._proofs: dict[Proof, int] = {}

    def write(self, batch: Batch) -> None:
        """Write all of it, or nothing.

        Raises:
            sqlite3.Error: the disk refused, or somebody else writes for very long.
        """
        if self._connection is None:
            self._connection = connect(self._path)
        rows = self._rows(self._connection, batch)  # before the transaction: others may write meanwhile
        with transaction(self._connection) as connection:
            _run(connection, _INSERT, 12, rows.new)
            _run(connection, _UPDATE, 10, rows.known)
            _run(connection, _DROP_PARTS, 1, rows.dropped)
            _run(connection, _ADD_PARTS, 5, rows.parts)

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()

    def _rows(self, connection: sqlite3.Connection, batch: Batch) -> _Rows:
        first = first_id(self._job_id)
        rows = _Rows()
        for item, note in batch.notes.items():
            item_id = first + item
            mark = note.mark
            place = None if note.place is None else encode(note.place)
            token = None if note.token is None else encode(note.token)
            proof = None if note.proof is None else self._proof_id(connection, note.proof)
            if note.is_new and note.source is not None and mark is not None:
                row = (self._job_id, encode(note.source), place, mark.size, mark.modified_us, encode(mark.tag))
                rows.new += (item_id, *row, note.overwrite, note.state, token or b"", proof, note.error)
            elif note.state is not None:
                marked = (None, None, None) if mark is None else (mark.size, mark.modified_us, encode(mark.tag))
                rows.known += (item_id, place, *marked, note.overwrite, note.state, token, proof, note.error)
            if note.drops_parts and not note.is_new:
                rows.dropped.append(item_id)
            for part in (note.parts or {}).values():
                rows.parts += (item_id, part.number, part.size, part.crc32, encode(part.tag))
        return rows

    def _proof_id(self, connection: sqlite3.Connection, proof: Proof) -> int:
        known = self._proofs.get(proof)
        if known is None:
            given = (proof.certainty.value, proof.by, proof.reason)
            connection.execute(
                "INSERT INTO proofs (certainty, checked_by, reason) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", given
            )
            select = "SELECT proof_id FROM proofs WHERE certainty = ? AND checked_by = ? AND reason = ?"
            (known,) = connection.execute(select, given).fetchone()
            assert isinstance(known, int)
            self._proofs[proof] = known
        return known


_INSERT = (
    "INSERT INTO items (id, job_id, source, place, size, modified_us, tag, overwrite, state, token, proof, error) "
    "SELECT * FROM ({rows}) WHERE column1 IS NOT NULL"
)
_UPDATE = (
    "UPDATE items SET place = ifnull(given.column2, place), size = ifnull(given.column3, size), "
    "modified_us = ifnull(given.column4, modified_us), tag = ifnull(given.column5, tag), "
    "overwrite = ifnull(given.column6, overwrite), state = given.column7, token = ifnull(given.column8, token), "
    "proof = given.column9, error = given.column10 FROM ({rows}) AS given WHERE items.id = given.column1"
)
_DROP_PARTS = "DELETE FROM parts WHERE item_id IN ({rows})"
_ADD_PARTS = "INSERT OR REPLACE INTO parts SELECT * FROM ({rows}) WHERE column1 IS NOT NULL"


def _run(connection: sqlite3.Connection, statement: str, width: int, values: Sequence[object]) -> None:
    """Run a statement for all rows; `values` are those of one row after the other."""
    done = 0
    while done < len(values):
        left = (len(values) - done) // width
        rows = next((size for size in ROWS if size >= left), ROWS[-1])
        given = values[done : done + rows * width]
        row = "(" + ", ".join("?" * width) + ")"
        text = statement.format(rows="VALUES " + ", ".join([row] * rows))
        connection.execute(text, (*given, *(None,) * (rows * width - len(given))))
        done += rows * width
