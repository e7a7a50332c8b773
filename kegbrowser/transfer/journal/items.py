"""Reads and resets the items of a job in the journal: by position, by state, those unfinished."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping

from kegbrowser.backends.proofs import Certainty, Proof
from kegbrowser.backends.uploads import Part
from kegbrowser.transfer.journal.database import transaction
from kegbrowser.transfer.journal.schema import BLOCK_ITEMS, STATE_CODES, STATES, first_id, item_of
from kegbrowser.transfer.journal.values import error_from_text
from kegbrowser.transfer.records import ItemRecord, ItemState, SourceMark

COLUMNS = "id, source, place, size, modified_us, tag, overwrite, state, token, proof, error"
PAGE_ITEMS = 1000
_COUNTERS = "planned, moving, done, skipped, failed"

Row = tuple[int, bytes, bytes, int, int, bytes, int, int, bytes, int | None, str | None]


def encode(text: str) -> bytes:
    """A path as the journal keeps it, also one that is no valid text."""
    return text.encode() if text.isascii() else text.encode("utf-8", "surrogatepass")


def decode(content: bytes) -> str:
    """The path that `encode` was given."""
    return content.decode("utf-8", "surrogatepass")


class ItemReader:
    """Reads items through one connection; one thread at a time."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._proofs: dict[int, Proof] = {}

    def find(self, job_id: int, source: str) -> ItemRecord | None:
        """The item of a source."""
        select = f"SELECT {COLUMNS} FROM items WHERE job_id = ? AND source = ?"
        row = self._connection.execute(select, (job_id, encode(source))).fetchone()
        return None if row is None else self._record(row)

    def count(self, job_id: int) -> int:
        """How many numbers are given away: the next item's number."""
        select = "SELECT max(id) FROM items WHERE id BETWEEN ? AND ?"
        (newest,) = self._connection.execute(select, id_range(job_id)).fetchone()
        return 0 if newest is None else item_of(newest) + 1

    def parts(self, job_id: int, item: int) -> Mapping[int, Part]:
        """The parts noted of an item."""
        select = "SELECT number, size, crc32, tag FROM parts WHERE item_id = ?"
        rows = self._connection.execute(select, (first_id(job_id) + item,))
        return {number: Part(number, size, crc32, decode(tag)) for number, size, crc32, tag in rows}

    def counts(self, job_id: int) -> dict[ItemState, int]:
        """How many items are in each state."""
        sums = ", ".join(f"ifnull(sum({name}), 0)" for name in _COUNTERS.split(", "))
        row = self._connection.execute(f"SELECT {sums} FROM blocks WHERE job_id = ?", (job_id,)).fetchone()
        return dict(zip(STATES, row, strict=True))

    def items(self, job_id: int, first: int, count: int, states: Collection[ItemState] | None) -> list[ItemRecord]:
        """`count` of those items that are in one of `states`, without the `first` ones, by number."""
        if count <= 0:
            return []
        if states is None or len(set(states)) == len(STATES):
            select = f"SELECT {COLUMNS} FROM items WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?"
            low, high = id_range(job_id)
            return self._records(select, (low + first, high, count))
        return self._filtered(job_id, first, count, states)

    def after(self, job_id: int, item: int, count: int, states: Collection[ItemState]) -> list[ItemRecord]:
        """The next `count` items in one of `states` whose number is above `item`."""
        least = first_id(job_id) + item
        found: list[ItemRecord] = []
        for block, _held in self._blocks(job_id, states, from_block=(item + 1) // BLOCK_ITEMS):
            found += self._in_block(job_id, block, states, above=least, most=count - len(found))
            if len(found) >= count:
                break
        return found

    def unfinished(self, job_id: int, *, above: int, count: int) -> list[ItemRecord]:
        """The next `count` items with a token whose number is above `above`."""
        low, high = id_range(job_id)
        select = f"SELECT {COLUMNS} FROM items WHERE token <> x'' AND id > ? AND id <= ? ORDER BY id LIMIT ?"
        return self._records(select, (low + above, high, count))

    def _filtered(self, job_id: int, first: int, count: int, states: Collection[ItemState]) -> list[ItemRecord]:
        found: list[ItemRecord] = []
        to_skip = first
        for block, held in self._blocks(job_id, states, from_block=0):
            if to_skip >= held:
                to_skip -= held
                continue
            most = count - len(found)
            found += self._in_block(job_id, block, states, most=to_skip + most)[to_skip:]
            to_skip = 0
            if len(found) >= count:
                break
        return found

    def _blocks(self, job_id: int, states: Collection[ItemState], *, from_block: int) -> list[tuple[int, int]]:
        """The blocks that hold items in one of `states`, and how many."""
        names = [name for name, state in zip(_COUNTERS.split(", "), STATES, strict=True) if state in states]
        if not names:
            return []
        total = " + ".join(names)
        select = f"SELECT block, {total} FROM blocks WHERE job_id = ? AND block >= ? AND {total} > 0 ORDER BY block"
        return self._connection.execute(select, (job_id, from_block)).fetchall()

    def _in_block(
        self, job_id: int, block: int, states: Collection[ItemState], *, most: int, above: int = -1
    ) -> list[ItemRecord]:
        low = first_id(job_id) + block * BLOCK_ITEMS
        codes = ", ".join(str(STATE_CODES[state]) for state in states)
        select = f"SELECT {COLUMNS} FROM items WHERE id BETWEEN ? AND ? AND +state IN ({codes}) ORDER BY id LIMIT ?"
        return self._records(select, (max(low, above + 1), low + BLOCK_ITEMS - 1, most))

    def _records(self, select: str, given: tuple[int, ...]) -> list[ItemRecord]:
        return [self._record(row) for row in self._connection.execute(select, given).fetchall()]

    def _record(self, row: Row) -> ItemRecord:
        item_id, source, place, size, modified_us, tag, overwrite, state, token, proof, error = row
        return ItemRecord(
            item_of(item_id),
            decode(source),
            decode(place),
            SourceMark(size, modified_us, decode(tag)),
            bool(overwrite),
            STATES[state],
            decode(token),
            None if proof is None else self._proof(proof),
            error_from_text(error),
        )

    def _proof(self, proof_id: int) -> Proof:
        proof = self._proofs.get(proof_id)
        if proof is None:
            select = "SELECT certainty, checked_by, reason FROM proofs WHERE proof_id = ?"
            certainty, checked_by, reason = self._connection.execute(select, (proof_id,)).fetchone()
            proof = self._proofs[proof_id] = Proof(Certainty(certainty), checked_by, reason)
        return proof


def reset_failed(connection: sqlite3.Connection, job_id: int) -> int:
    """Have all FAILED items be PLANNED again; gives how many."""
    changed = 0
    planned, failed = STATE_CODES[ItemState.PLANNED], STATE_CODES[ItemState.FAILED]
    update = "UPDATE items SET state = ?, error = NULL WHERE id BETWEEN ? AND ? AND state = ?"
    with transaction(connection):
        select = "SELECT block FROM blocks WHERE job_id = ? AND failed > 0"
        for (block,) in connection.execute(select, (job_id,)).fetchall():
            low = first_id(job_id) + block * BLOCK_ITEMS
            changed += connection.execute(update, (planned, low, low + BLOCK_ITEMS - 1, failed)).rowcount
    return changed


def id_range(job_id: int) -> tuple[int, int]:
    """The lowest and the highest id that a job's items can have."""
    return first_id(job_id), first_id(job_id + 1) - 1
