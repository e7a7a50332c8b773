"""What is dragged and dropped: local files come in, remote items move within the program. Works on values, shows nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass

from PySide6.QtCore import QMimeData, Qt, QUrl

from kegbrowser.backends.locations import RemotePath

ITEMS_TYPE = "application/x-kegbrowser-items"


@dataclass(frozen=True, slots=True)
class Dropped:
    """What a drag or the clipboard carries: remote items, or local paths; `is_cut` asks for a move.

    Attributes:
        items: of this program's own connections.
        local_paths: absolute.
        foreign: addresses that are neither, so that the user can be told.
        is_cut: the clipboard's items are to be moved.
    """

    items: tuple[RemotePath, ...] = ()
    local_paths: tuple[str, ...] = ()
    foreign: int = 0
    is_cut: bool = False

    def __bool__(self) -> bool:
        return bool(self.items or self.local_paths or self.foreign)


def mime_of(items: tuple[RemotePath, ...], addresses: tuple[str, ...], *, is_cut: bool = False) -> QMimeData:
    """What a drag or the clipboard offers for remote items; other programs get the addresses as text."""
    mime = QMimeData()
    content = {"cut": is_cut, "items": [(item.connection_id, item.path, item.is_folder) for item in items]}
    mime.setData(ITEMS_TYPE, json.dumps(content).encode("ascii"))
    mime.setText("\n".join(addresses))
    return mime


def read_mime(mime: QMimeData) -> Dropped:
    """What a drag or the clipboard carries for us; empty for anything else. Content of other programs is not trusted."""
    if mime.hasFormat(ITEMS_TYPE):
        return _read_items(bytes(mime.data(ITEMS_TYPE).data()))
    if not mime.hasUrls():
        return Dropped()
    local: list[str] = []
    foreign = 0
    for url in mime.urls():
        path = _local_path(url)
        if path:
            local.append(path)
        else:
            foreign += 1
    return Dropped(local_paths=tuple(dict.fromkeys(local)), foreign=foreign)


def can_drop(dropped: Dropped, target: RemotePath) -> bool:
    """Whether these things may go into a folder: not into themselves, and not where they are.

    Foreign addresses may be dropped as well, so that the user can be told what to do instead.
    """
    if dropped.local_paths or dropped.foreign:
        return True
    return any(item.parent != target for item in dropped.items) and not any(
        item.is_folder and target.is_within(item) for item in dropped.items
    )


def action_for(dropped: Dropped, target: RemotePath, modifiers: Qt.KeyboardModifier) -> Qt.DropAction:
    """Move within a connection, copy to another one and from outside; Ctrl copies, Shift moves own items.

    A drag from outside is always a copy: a file manager that proposed a move would delete the user's own file.
    """
    if not dropped.items or modifiers & Qt.KeyboardModifier.ControlModifier:
        return Qt.DropAction.CopyAction
    if modifiers & Qt.KeyboardModifier.ShiftModifier:
        return Qt.DropAction.MoveAction
    same = all(item.connection_id == target.connection_id for item in dropped.items)
    return Qt.DropAction.MoveAction if same else Qt.DropAction.CopyAction


def _local_path(url: QUrl) -> str:
    # PCManFM ends its addresses with a NUL byte.
    return url.toLocalFile().rstrip("\0") if url.isLocalFile() and url.host() in ("", "localhost") else ""


def _read_items(content: bytes) -> Dropped:
    try:
        known = json.loads(content)
        items = tuple(RemotePath(str(one), str(path), bool(is_folder)) for one, path, is_folder in known["items"])
        return Dropped(items, is_cut=bool(known["cut"]))
    except (ValueError, KeyError, TypeError):
        return Dropped()
