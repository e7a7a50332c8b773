"""The services over real helper processes, for tests: connections are local folders, which may be held back or refused."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Self

from kegbrowser.backends.errors import StorageError
from kegbrowser.backends.locations import RemotePath
from kegbrowser.backends.registry import ConnectionSpec
from kegbrowser.services.helper_pool import HelperPool
from kegbrowser.services.jobs import JobRunner
from kegbrowser.services.lister import DirectoryLister
from kegbrowser.services.operations import FileOperations
from kegbrowser.services.queue_store import QueueStore
from kegbrowser.services.transfers import TransferQueue


class Services:
    """A context manager: leaving it shuts everything down. Connection ids are names of folders below `root`.

    Args:
        journal: where the queue is remembered; None: nowhere.

    Attributes:
        gate: while it is cleared, jobs wait for their connection's options, as for a locked keyring.
        refusal: raised instead of giving a connection's options.
        asked_on: the threads on which options were asked for.
    """

    def __init__(self, root: Path, journal: Path | None = None) -> None:
        self.root = root
        self.gate = threading.Event()
        self.gate.set()
        self.refusal: StorageError | None = None
        self.asked_on: list[int] = []
        self.pool = HelperPool()
        self.runner = JobRunner(self.pool)
        self.lister = DirectoryLister(self.runner, self.spec)
        self.store = None if journal is None else QueueStore(journal)
        self.queue = TransferQueue(self.runner, self.spec, store=self.store)
        self.operations = FileOperations(self.runner, self.spec)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.gate.set()
        self.queue.shut_down()

    def spec(self, connection_id: str) -> ConnectionSpec:
        self.asked_on.append(threading.get_ident())
        assert self.gate.wait(30)
        if self.refusal is not None:
            raise self.refusal
        return ConnectionSpec(connection_id, "local", connection_id, {"root": str(self.root / connection_id)})

    def folder(self, path: str = "", connection_id: str = "c") -> RemotePath:
        """A remote folder, which is made."""
        (self.root / connection_id / path).mkdir(parents=True, exist_ok=True)
        return RemotePath.folder(connection_id, path)

    def file(self, path: str, content: bytes = b"content", connection_id: str = "c") -> RemotePath:
        """A remote file, which is made with all folders above it."""
        target = self.root / connection_id / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        return RemotePath.file(connection_id, path)
