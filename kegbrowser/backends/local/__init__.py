"""A folder of this computer as a storage: for the Playground, for trying things out, and for tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kegbrowser.backends.base import StorageBackend
from kegbrowser.backends.local.storage import LocalStorage
from kegbrowser.backends.locations import Location
from kegbrowser.backends.registry import BackendInfo, FieldKind, OptionField

__all__ = ["BACKEND", "LocalStorage"]


def _open(options: Mapping[str, str], name: str) -> StorageBackend:
    return LocalStorage(options["root"], name)


def _suggest_name(options: Mapping[str, str]) -> str:
    return Path(options.get("root", "")).name or "Local folder"


def _locate(options: Mapping[str, str], path: str) -> Location:
    root = options["root"].replace("\\", "/").strip("/")
    return Location("local", "", f"{root}/{path}" if root else path)


def _match(options: Mapping[str, str], location: Location) -> str | None:
    root = options["root"].replace("\\", "/").strip("/")
    path = location.path
    if not root or path.rstrip("/") == root:
        return path if not root else ""
    return path.removeprefix(f"{root}/") if path.startswith(f"{root}/") else None


def _from_location(location: Location) -> dict[str, str]:
    return {"root": f"/{location.path}"}


BACKEND = BackendInfo(
    kind="local",
    label="Local folder",
    description="A folder of this computer.",
    icon="local",
    fields=(
        OptionField(
            "root",
            "Folder",
            FieldKind.FOLDER,
            required=True,
            help="Only what is in this folder can be seen and changed.",
        ),
    ),
    open=_open,
    suggest_name=_suggest_name,
    locate=_locate,
    match=_match,
    from_location=_from_location,
)
