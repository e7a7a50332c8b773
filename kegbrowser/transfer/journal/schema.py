"""The tables of the journal, and how a file of an older version becomes one of this version."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from kegbrowser.transfer.records import ItemState

BLOCK_ITEMS = 256
"""Items are counted by state in blocks of this many, so that any row of a filtered list is found without reading the others."""

ITEM_BITS = 32
LAST_ITEM = 2**32 - 1
"""`items.id` is the job's id in the upper bits and the item's number in the lower ones."""

STATE_CODES = {state: code for code, state in enumerate(ItemState)}
STATES = tuple(ItemState)

# Paths are bytes (UTF-8, lone surrogates passed): names that are no valid text must come back as they were.
_FIRST = (
    """
    CREATE TABLE jobs (
        job_id INTEGER PRIMARY KEY AUTOINCREMENT,
        position INTEGER NOT NULL,
        state TEXT NOT NULL,
        kind TEXT NOT NULL,
        recipe TEXT NOT NULL,
        progress TEXT,
        report TEXT,
        error TEXT,
        owner TEXT NOT NULL DEFAULT '',
        added_us INTEGER NOT NULL,
        started_us INTEGER,
        ended_us INTEGER,
        is_removed INTEGER NOT NULL DEFAULT 0
    )
    """,
    """
    CREATE TABLE proofs (
        proof_id INTEGER PRIMARY KEY,
        certainty TEXT NOT NULL,
        checked_by TEXT NOT NULL,
        reason TEXT NOT NULL,
        UNIQUE (certainty, checked_by, reason)
    )
    """,
    """
    CREATE TABLE items (
        id INTEGER PRIMARY KEY,
        job_id INTEGER NOT NULL REFERENCES jobs,
        source BLOB NOT NULL,
        place BLOB NOT NULL,
        size INTEGER NOT NULL,
        modified_us INTEGER NOT NULL,
        tag BLOB NOT NULL,
        overwrite INTEGER NOT NULL,
        state INTEGER NOT NULL,
        token BLOB NOT NULL,
        proof INTEGER REFERENCES proofs,
        error TEXT
    )
    """,
    "CREATE UNIQUE INDEX items_by_source ON items (job_id, source)",
    "CREATE INDEX items_unfinished ON items (id) WHERE token <> x''",
    """
    CREATE TABLE parts (
        item_id INTEGER NOT NULL REFERENCES items ON DELETE CASCADE,
        number INTEGER NOT NULL,
        size INTEGER NOT NULL,
        crc32 INTEGER NOT NULL,
        tag BLOB NOT NULL,
        PRIMARY KEY (item_id, number)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE blocks (
        job_id INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,
        block INTEGER NOT NULL,
        planned INTEGER NOT NULL,
        moving INTEGER NOT NULL,
        done INTEGER NOT NULL,
        skipped INTEGER NOT NULL,
        failed INTEGER NOT NULL,
        PRIMARY KEY (job_id, block)
    ) WITHOUT ROWID
    """,
    f"""
    CREATE TRIGGER count_new AFTER INSERT ON items BEGIN
        INSERT INTO blocks VALUES (
            new.job_id, (new.id & {LAST_ITEM}) / {BLOCK_ITEMS},
            new.state = 0, new.state = 1, new.state = 2, new.state = 3, new.state = 4
        ) ON CONFLICT DO UPDATE SET
            planned = planned + excluded.planned, moving = moving + excluded.moving, done = done + excluded.done,
            skipped = skipped + excluded.skipped, failed = failed + excluded.failed;
    END
    """,
    f"""
    CREATE TRIGGER count_changed AFTER UPDATE OF state ON items WHEN old.state <> new.state BEGIN
        UPDATE blocks SET
            planned = planned + (new.state = 0) - (old.state = 0), moving = moving + (new.state = 1) - (old.state = 1),
            done = done + (new.state = 2) - (old.state = 2), skipped = skipped + (new.state = 3) - (old.state = 3),
            failed = failed + (new.state = 4) - (old.state = 4)
        WHERE job_id = new.job_id AND block = (new.id & {LAST_ITEM}) / {BLOCK_ITEMS};
    END
    """,
)


def _create(connection: sqlite3.Connection) -> None:
    for statement in _FIRST:
        connection.execute(statement)


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (_create,)
"""Step n leads from version n to n + 1; a new file has version 0."""

VERSION = len(MIGRATIONS)


def first_id(job_id: int) -> int:
    """The id of a job's item 0; those of all its items are from here up to that of the next job."""
    return job_id << ITEM_BITS


def item_of(item_id: int) -> int:
    """An item's number in its job."""
    return item_id & LAST_ITEM
