"""What the conformance suite wants of each backend: an empty place on a real server, and a second way to look at it.

A new backend plugs in with one module `tests/conformance/fixtures/<kind>.py` which defines

    @contextmanager
    def open_place(request: pytest.FixtureRequest) -> Iterator[Place]: ...

It takes its server from a session fixture (`request.getfixturevalue("s3_server")`), makes an empty bucket, container or folder
that no other place shares, yields the `Place`, and removes all of it afterwards. A server that is missing or broken raises:
nothing here skips. The kind is then added to `KINDS` (and to `NETWORK_KINDS`) of `conftest.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import suppress

from kegbrowser.backends.base import StorageBackend
from kegbrowser.backends.errors import AlreadyExists


class Place(ABC):
    """An empty place for files, and what stands behind it.

    Attributes:
        kind: of the backend.
        storage: its root "" is the empty place (a bucket, a container or a folder): files can be written right there.
        part_bytes: how much a writer of unknown length sends in its first request or part; sizes around it are tried. Where
            nothing is cut into parts: any number.
        server_port: on loopback, for the faulty proxy; None where there is no server.
        forbidden_names: which keys of `names.HOSTILE_NAMES` the protocol or the server's disk itself cannot hold. Writing them
            must raise `InvalidName`.
        secrets: keys, passwords and the like of `storage`, which must be shown nowhere.
    """

    kind: str
    storage: StorageBackend
    part_bytes: int
    server_port: int | None = None
    forbidden_names: frozenset[str] = frozenset()
    secrets: tuple[str, ...] = ()

    @abstractmethod
    def connect(self, *, port: int | None = None, timeout_s: float | None = None) -> StorageBackend:
        """Another storage object on the same place; through a proxy if `port` is given. The place shuts it down at the end.

        `timeout_s`: how long a server may be silent; None leaves the backend's own.
        """

    @abstractmethod
    def denied(self) -> StorageBackend:
        """A storage object on the same place, of an identity that may list and read but not write or delete."""

    @abstractmethod
    def raw_names(self) -> set[str]:
        """All paths below the root, by the server's own means (its SDK, its disk), not by the code under test.

        Exact; a folder (a directory, or an empty key that ends in "/") ends in "/".
        """

    @abstractmethod
    def raw_bytes(self, path: str) -> bytes:
        """The content of a file, by the server's own means."""

    @abstractmethod
    def raw_put(self, path: str, content: bytes) -> None:
        """Make or replace a file by the server's own means; real folders above it are made."""

    def raw_fill(self, paths: Iterable[str]) -> None:
        """Make very many one-byte files (`x`); worth doing in parallel."""
        for path in paths:
            self.raw_put(path, b"x")

    @abstractmethod
    def leftovers(self) -> list[str]:
        """What an unfinished write may leave: multipart uploads, uncommitted blobs, temporary and part files."""


class AccountPlace(Place):
    """A place in a bucket or container of an account with others beside it.

    Attributes:
        container: its name.
    """

    container: str

    @abstractmethod
    def connect_account(self) -> StorageBackend:
        """A storage object whose root lists the buckets or containers. The place shuts it down at the end."""


def make_parents(storage: StorageBackend, path: str) -> None:
    """Make the folders above a path, where folders are real."""
    if not storage.capabilities.real_folders:
        return
    folders = path.split("/")[:-1]
    for depth in range(1, len(folders) + 1):
        with suppress(AlreadyExists):
            storage.make_folder("/".join(folders[:depth]) + "/")


def write(storage: StorageBackend, path: str, content: bytes = b"x") -> None:
    """Write one file, and the folders above it where they must exist."""
    make_parents(storage, path)
    with storage.open(path, "wb") as file:
        file.write(content)


def read(storage: StorageBackend, path: str) -> bytes:
    """Read one file."""
    with storage.open(path, "rb") as file:
        return b"".join(file.iter_chunks())


def walk(storage: StorageBackend, folder: str = "") -> set[str]:
    """All paths below a folder, found level by level."""
    found: set[str] = set()
    for entry in storage.list(folder):
        path = entry.path_in(folder)
        found.add(path)
        if entry.is_folder:
            found |= walk(storage, path)
    return found
