"""What a storage in memory keeps: keys with their content, by name of the store, as long as the process lives."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Blob:
    """The content of one key and what is told of it. `etag` follows from the content alone."""

    content: bytes
    modified: datetime
    etag: str
    content_type: str = ""

    @classmethod
    def of(cls, content: bytes, *, modified: datetime | None = None, content_type: str = "") -> Blob:
        """`modified` None: now."""
        etag = hashlib.blake2b(content, digest_size=16).hexdigest()
        return cls(content, modified or datetime.now(UTC), etag, content_type)

    @property
    def is_empty(self) -> bool:
        return not self.content


@dataclass(slots=True)
class Pending:
    """An upload that is not complete: its parts by number."""

    path: str
    part_bytes: int
    parts: dict[int, bytes] = field(default_factory=dict)
    begun: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(slots=True)
class Store:
    """Hold `lock` while looking at or changing `blobs` and `uploads` (by token)."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    blobs: dict[str, Blob] = field(default_factory=dict)
    uploads: dict[str, Pending] = field(default_factory=dict)


_stores: dict[str, Store] = {}
_stores_lock = threading.Lock()


def store_named(name: str) -> Store:
    """The store that all of this process know by this name, made when first asked for; "" is a new one each time."""
    if not name:
        return Store()
    with _stores_lock:
        return _stores.setdefault(name, Store())


def drop_store(name: str) -> None:
    """Forget a store and its content; those who hold it keep it."""
    with _stores_lock:
        _stores.pop(name, None)
