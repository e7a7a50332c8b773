"""Connections and their folders as a tree: filled branch by branch, as the lister tells."""

from __future__ import annotations

import enum
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from typing import Any

from PySide6.QtCore import (
    QAbstractItemModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    Qt,
    Signal,
    Slot,
)

from kegbrowser.backends.base import EntryKind
from kegbrowser.backends.entries import KIND_CODES
from kegbrowser.backends.errors import StorageError
from kegbrowser.backends.locations import RemotePath
from kegbrowser.models.natural import natural_key
from kegbrowser.models.shown_names import as_plain, shown_name
from kegbrowser.profiles.connections import Connection
from kegbrowser.services.lister import DirectoryLister
from kegbrowser.transfer.events import PageListed

Index = QModelIndex | QPersistentModelIndex

MAX_FOLDERS = 2_000
"""Shown in one branch; QTreeView looks at each of them at every insert. The contents view shows all."""

PATH_ROLE = Qt.ItemDataRole.UserRole
STATE_ROLE = Qt.ItemDataRole.UserRole + 1


class BranchState(enum.Enum):
    """What is known of a folder's children."""

    UNLISTED = "unlisted"
    LISTING = "listing"
    LISTED = "listed"
    FAILED = "failed"


class _Node:
    """A connection or folder. `children` are in natural order; `seen` are the names of the listing that runs."""

    __slots__ = ("children", "error", "kind", "label", "parent", "path", "seen", "sort_key", "state", "surplus")

    def __init__(self, path: RemotePath, parent: _Node | None, label: str, kind: EntryKind) -> None:
        self.path = path
        self.parent = parent
        self.label = label
        self.kind = kind
        self.sort_key = (natural_key(path.name), path.name)
        self.children: list[_Node] = []
        self.state = BranchState.UNLISTED
        self.error: StorageError | None = None
        self.seen: set[str] | None = None
        self.surplus = 0

    def row(self) -> int:
        assert self.parent is not None
        return self.parent.children.index(self)

    def child(self, name: str) -> _Node | None:
        return next((child for child in self.children if child.path.name == name), None)


class FolderTreeModel(QAbstractItemModel):
    """GUI thread only. The top level are connections, in their order; below are folders, in natural order.

    Args:
        lister: where folders come from; whatever it lists for anybody is taken here as well.
        icon_of: gives the icon for (connection kind or "", entry kind).
    """

    branch_failed = Signal(object, object)  # RemotePath, StorageError

    def __init__(
        self,
        lister: DirectoryLister,
        icon_of: Callable[[str, EntryKind], object],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._lister = lister
        self._icon_of = icon_of
        self._connections: tuple[Connection, ...] = ()
        self._root = _Node(RemotePath.folder(""), None, "", EntryKind.FOLDER)
        # An index holds a bare pointer to its node: one that was removed must outlive the indexes of the event being handled.
        self._removed: deque[_Node] = deque(maxlen=10_000)
        lister.listing_started.connect(self._on_listing_started)
        lister.page_ready.connect(self._on_page_ready)
        lister.listing_finished.connect(self._on_listing_finished)
        lister.listing_failed.connect(self._on_listing_failed)
        lister.listing_cancelled.connect(self._on_listing_cancelled)

    @Slot(object)
    def set_connections(self, connections: tuple[Connection, ...]) -> None:
        """Show these connections; branches of those that stay are kept."""
        kept = {node.path.connection_id: node for node in self._root.children}
        wanted = {connection.connection_id for connection in connections}
        for node in list(self._root.children):
            if node.path.connection_id not in wanted:
                self._remove(node)
        self._connections = connections
        for row, connection in enumerate(connections):
            present = kept.get(connection.connection_id)
            if present is None:
                self._insert(self._root, row, RemotePath.folder(connection.connection_id), connection.name)
            else:
                self._move(present, row)
                present.label = connection.name
                self._tell_changed(present)

    def path_at(self, index: Index) -> RemotePath | None:
        """The folder of an index; None outside any."""
        return self._node(index).path if index.isValid() else None

    def index_of(self, path: RemotePath) -> QModelIndex:
        """Where a folder is shown; invalid if it is not in the tree (yet)."""
        node = self._find(path)
        return QModelIndex() if node is None else self._index(node)

    def ensure(self, path: RemotePath) -> QModelIndex:
        """Put a folder and all above it into the tree, though nothing of them has been listed; invalid if the connection is
        unknown. What a listing does not show later goes again."""
        node = self._find(RemotePath.folder(path.connection_id))
        if node is None:
            return QModelIndex()
        for step in (*path.ancestors()[1:], path) if not path.is_root else ():
            below = node.child(step.name)
            if below is None:
                below = self._insert_sorted(node, step, EntryKind.FOLDER)
            node = below
        return self._index(node)

    def list_again(self, index: Index) -> None:
        """List a folder anew, as after a failure."""
        if index.isValid():
            self._lister.list_folder(self._node(index).path, self, anew=True)

    def refresh(self, path: RemotePath) -> None:
        """List a folder anew if its branch has been listed; one that is still closed needs nothing."""
        node = self._find(path)
        if node is not None and node.state is not BranchState.UNLISTED and not self._lister.is_listing(path):
            self._lister.list_folder(path, self, anew=True)

    # -- Qt's side ---------------------------------------------------------------------------------------------------

    def index(self, row: int, column: int, parent: Index = QModelIndex()) -> QModelIndex:  # noqa: B008
        node = self._node(parent)
        if column != 0 or not 0 <= row < len(node.children):
            return QModelIndex()
        return self.createIndex(row, 0, node.children[row])

    def parent(self, index: Index = QModelIndex()) -> QModelIndex:  # type: ignore[override]  # noqa: B008
        if not index.isValid():
            return QModelIndex()
        above = self._node(index).parent
        return QModelIndex() if above is None else self._index(above)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return len(self._node(parent).children)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 1

    def hasChildren(self, parent: Index = QModelIndex()) -> bool:  # noqa: B008
        node = self._node(parent)
        return bool(node.children) or node.state in (BranchState.UNLISTED, BranchState.LISTING)

    def canFetchMore(self, parent: Index) -> bool:
        return parent.isValid() and self._node(parent).state is BranchState.UNLISTED

    def fetchMore(self, parent: Index) -> None:
        if not self.canFetchMore(parent):
            return
        node = self._node(parent)
        node.state = BranchState.LISTING
        for page in self._lister.list_folder(node.path, self):
            self._on_page_ready(node.path, page)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        node = self._node(index)
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return self._label(node)
        if role == Qt.ItemDataRole.EditRole:
            return node.label
        if role == Qt.ItemDataRole.DecorationRole:
            return self._icon_of(self._connection_kind(node), node.kind)
        if role == Qt.ItemDataRole.ToolTipRole:
            return as_plain(self._tool_tip(node))
        if role == PATH_ROLE:
            return node.path
        if role == STATE_ROLE:
            return node.state
        return None

    def flags(self, index: Index) -> Qt.ItemFlag:
        if not index.isValid():
            return Qt.ItemFlag.NoItemFlags
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemIsDropEnabled
        if not self._node(index).path.is_root:
            flags |= Qt.ItemFlag.ItemIsDragEnabled | Qt.ItemFlag.ItemIsEditable
        return flags

    # -- what the lister tells ---------------------------------------------------------------------------------------

    @Slot(object)
    def _on_listing_started(self, folder: RemotePath) -> None:
        node = self._find(folder)
        if node is not None:
            node.state, node.error, node.seen, node.surplus = BranchState.LISTING, None, set(), 0
            self._tell_changed(node)

    @Slot(object, object)
    def _on_page_ready(self, folder: RemotePath, page: PageListed) -> None:
        node = self._find(folder)
        if node is None or page.count == 0:
            return
        for name, code in zip(page.names.split("\0"), page.kinds, strict=True):
            kind = KIND_CODES[code]
            if kind not in (EntryKind.FOLDER, EntryKind.CONTAINER):
                continue
            if node.seen is not None:
                node.seen.add(name)
            if not self._take_folder(node, folder.join(name, is_folder=True), kind):
                node.surplus += 1

    @Slot(object)
    def _on_listing_finished(self, folder: RemotePath) -> None:
        node = self._find(folder)
        if node is None:
            return
        if node.seen is not None:
            for child in [child for child in node.children if child.path.name not in node.seen]:
                self._remove(child)
            node.seen = None
        node.state = BranchState.LISTED
        self._tell_changed(node)

    @Slot(object, object)
    def _on_listing_failed(self, folder: RemotePath, error: StorageError) -> None:
        node = self._find(folder)
        if node is not None:
            node.state, node.error, node.seen = BranchState.FAILED, error, None
            self._tell_changed(node)
            self.branch_failed.emit(folder, error)

    @Slot(object)
    def _on_listing_cancelled(self, folder: RemotePath) -> None:
        node = self._find(folder)
        if node is not None:
            node.state, node.seen = BranchState.UNLISTED, None
            self._tell_changed(node)

    # -- private -----------------------------------------------------------------------------------------------------

    def _node(self, index: Index) -> _Node:
        return index.internalPointer() if index.isValid() else self._root

    def _index(self, node: _Node) -> QModelIndex:
        return QModelIndex() if node.parent is None else self.createIndex(node.row(), 0, node)

    def _find(self, path: RemotePath) -> _Node | None:
        node = next((top for top in self._root.children if top.path.connection_id == path.connection_id), None)
        if path.is_root:
            return node
        for step in (*path.ancestors()[1:], path):
            if node is None:
                return None
            node = node.child(step.name)
        return node

    def _connection_kind(self, node: _Node) -> str:
        if not node.path.is_root:
            return ""
        wanted = node.path.connection_id
        return next((one.kind for one in self._connections if one.connection_id == wanted), "")

    def _label(self, node: _Node) -> str:
        if node.surplus:
            return self.tr("%s (%n more in the list)", "", node.surplus).replace("%s", node.label)
        return node.label

    def _tool_tip(self, node: _Node) -> str:
        if node.error is not None:
            return f"{node.error.message} {node.error.hint}".rstrip()
        return node.label

    def _tell_changed(self, node: _Node) -> None:
        index = self._index(node)
        self.dataChanged.emit(index, index)

    def _insert(
        self, parent: _Node, row: int, path: RemotePath, label: str, kind: EntryKind = EntryKind.FOLDER
    ) -> _Node:
        node = _Node(path, parent, label, kind)
        self.beginInsertRows(self._index(parent), row, row)
        parent.children.insert(row, node)
        self.endInsertRows()
        return node

    def _take_folder(self, parent: _Node, path: RemotePath, kind: EntryKind) -> bool:
        """Show a folder that was listed; False if there is no room for it."""
        if len(parent.children) < MAX_FOLDERS:
            self._insert_sorted(parent, path, kind)
            return True
        row = bisect_left(parent.children, (natural_key(path.name), path.name), key=lambda child: child.sort_key)
        return row < len(parent.children) and parent.children[row].path.name == path.name

    def _insert_sorted(self, parent: _Node, path: RemotePath, kind: EntryKind) -> _Node:
        fresh_key = (natural_key(path.name), path.name)
        row = bisect_left(parent.children, fresh_key, key=lambda child: child.sort_key)
        if row < len(parent.children) and parent.children[row].sort_key == fresh_key:
            known = parent.children[row]
            if (
                known.kind is not kind and kind is not EntryKind.FOLDER
            ):  # put in by its path, before anything was listed
                known.kind = kind
                self._tell_changed(known)
            return known
        return self._insert(parent, row, path, shown_name(path.name), kind)

    def _remove(self, node: _Node) -> None:
        assert node.parent is not None
        row = node.row()
        self.beginRemoveRows(self._index(node.parent), row, row)
        self._removed.append(node.parent.children.pop(row))
        self.endRemoveRows()

    def _move(self, node: _Node, row: int) -> None:
        assert node.parent is not None
        now = node.row()
        if now == row:
            return
        self.beginMoveRows(self._index(node.parent), now, now, self._index(node.parent), row if row < now else row + 1)
        node.parent.children.insert(row, node.parent.children.pop(now))
        self.endMoveRows()
