"""How a job gets the secrets of its connection: on its own thread, at the last moment. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kegbrowser.backends.registry import ConnectionSpec
from kegbrowser.transfer.jobs import Job

SpecSource = Callable[[str], ConnectionSpec]
"""Gives a connection's options with its secrets. Blocks (keyring), so it is called on a job's thread; may raise StorageError."""


@dataclass(frozen=True, slots=True)
class JobMaker:
    """Makes a job of one connection; called on the job's thread, where reading the keyring may block."""

    spec_source: SpecSource
    connection_id: str
    build: Callable[[ConnectionSpec], Job]

    def __call__(self) -> Job:
        return self.build(self.spec_source(self.connection_id))
