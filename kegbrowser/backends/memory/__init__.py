"""A storage that lives in this process's memory and behaves like an object store: for tests of everything above."""

from __future__ import annotations

from collections.abc import Mapping

from kegbrowser.backends.base import StorageBackend
from kegbrowser.backends.locations import Location
from kegbrowser.backends.memory.storage import MemoryStorage
from kegbrowser.backends.registry import BackendInfo, OptionField

__all__ = ["BACKEND", "MemoryStorage"]


def _open(options: Mapping[str, str], name: str) -> StorageBackend:
    return MemoryStorage(name, store=options.get("store", ""))


def _locate(options: Mapping[str, str], path: str) -> Location:
    return Location("memory", options.get("store", ""), path)


def _match(options: Mapping[str, str], location: Location) -> str | None:
    return location.path if location.authority == options.get("store", "") else None


BACKEND = BackendInfo(
    kind="memory",
    label="Memory",
    description="Kept until the program ends; for tests.",
    icon="memory",
    fields=(OptionField("store", "Store", default="default"),),
    open=_open,
    suggest_name=lambda options: options.get("store", "") or "Memory",
    locate=_locate,
    match=_match,
    from_location=lambda location: {"store": location.authority},
)
