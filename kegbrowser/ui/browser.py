"""The two views and the path: shows the folder that navigation names, tells what is selected."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Qt, QTimer, Signal, Slot
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QSplitter, QToolButton, QVBoxLayout, QWidget

from kegbrowser.backends.locations import RemotePath
from kegbrowser.backends.registry import backend
from kegbrowser.models.folder_tree import FolderTreeModel
from kegbrowser.models.formats import number_text, size_text
from kegbrowser.models.listing import ListingModel, ListingState
from kegbrowser.models.shown_names import shown_name
from kegbrowser.services.connections import Connections
from kegbrowser.ui import icons
from kegbrowser.ui.actions import Actions, Needs
from kegbrowser.ui.contents_view import ContentsView
from kegbrowser.ui.message_bar import MessageBar
from kegbrowser.ui.navigation import Navigation
from kegbrowser.ui.path_bar import PathBar
from kegbrowser.ui.placeholder import Placeholder
from kegbrowser.ui.tree_view import TreeView

FILTER_DELAY_MS = 120


class Browser(QWidget):
    """GUI thread only. Layout: tree | (path row, message bar, contents)."""

    state_changed = Signal()  # what actions are possible may have changed
    address_entered = Signal(str)

    def __init__(
        self,
        connections: Connections,
        tree_model: FolderTreeModel,
        listing: ListingModel,
        navigation: Navigation,
        actions: Actions,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._connections = connections
        self._listing = listing
        self._navigation = navigation
        self._actions = actions
        self.tree = TreeView(tree_model)
        self.contents = ContentsView(listing)
        self.path_bar = PathBar()
        self.messages = MessageBar()
        self.placeholder = Placeholder(self.contents)
        self.filter_field = self._make_filter_field()
        self._summary = QLabel()
        self._summary.setObjectName("summary")
        self._filter_delay = QTimer(self)
        self._filter_delay.setSingleShot(True)
        self._filter_delay.setInterval(FILTER_DELAY_MS)
        self._filter_delay.timeout.connect(self._on_filter_settled)
        self._tool_buttons: list[QToolButton] = []
        self.splitter = QSplitter(Qt.Orientation.Horizontal)
        self._lay_out()
        self.tree.folder_chosen.connect(navigation.go_to)
        self.path_bar.folder_requested.connect(navigation.go_to)
        self.path_bar.address_entered.connect(self.address_entered)
        self.contents.opened.connect(self._on_opened)
        self.contents.selection_changed.connect(self._on_selection_changed)
        navigation.folder_changed.connect(self._on_folder_changed)
        listing.state_changed.connect(self._on_listing_changed)
        listing.counts_changed.connect(self._on_listing_changed)
        connections.connections_changed.connect(tree_model.set_connections)
        connections.connections_changed.connect(self._on_connections_changed)
        self.placeholder.acted.connect(listing.refresh)

    # -- what commands need to know ----------------------------------------------------------------------------------

    @property
    def folder(self) -> RemotePath | None:
        return self._navigation.current

    def selected(self) -> tuple[RemotePath, ...]:
        """What actions are about: the selection of the contents, or the tree's folder while the tree has the focus."""
        if self.tree.hasFocus():
            path = self.tree.current_path()
            return (path,) if path is not None and not path.is_root else ()
        return self.contents.selected_paths()

    def _selected_count(self) -> int:
        return len(self.selected()) if self.tree.hasFocus() else self.contents.selected_count()

    def met_needs(self) -> Needs:
        """What is true now, for enabling actions."""
        met = Needs.NOTHING
        folder = self.folder
        chosen_count = self._selected_count()
        if folder is not None:
            met |= Needs.FOLDER | Needs.CONNECTION
            can = self._connections.capabilities(folder.connection_id)
            at_container_root = can is not None and can.containers_at_root and folder.is_root
            if can is None or not at_container_root or can.create_containers:
                met |= Needs.WRITABLE
        if chosen_count:
            met |= Needs.SELECTION
        if chosen_count == 1:
            met |= Needs.SINGLE
        for flag, holds in (
            (Needs.PARENT, self._navigation.can_go_up),
            (Needs.BACK, self._navigation.can_go_back),
            (Needs.FORWARD, self._navigation.can_go_forward),
            (Needs.LISTING, self._listing.state is ListingState.LISTING),
        ):
            if holds:
                met |= flag
        return met

    def address_of(self, path: RemotePath) -> str:
        """The URL of a file or folder; "" if its connection is gone."""
        connection = self._connections.get(path.connection_id)
        if connection is None:
            return ""
        info = backend(connection.kind)
        return info.locate(info.with_defaults(connection.options), path.path).url()

    def title(self) -> str:
        """Where the window is, for its title: the folder and the connection. The system adds the program's name."""
        folder = self.folder
        connection = self._connections.get(folder.connection_id) if folder is not None else None
        if folder is None or connection is None:
            return ""
        return connection.name if folder.is_root else f"{shown_name(folder.name)} — {connection.name}"

    def retint(self) -> None:
        """Take the icons of the theme that is in force now."""
        self.path_bar.retint()
        self.messages.retint()
        self.placeholder.retint()
        self.contents.viewport().update()
        self.tree.viewport().update()

    @Slot()
    def focus_filter(self) -> None:
        self.filter_field.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.filter_field.selectAll()

    # -- building ----------------------------------------------------------------------------------------------------

    def _make_filter_field(self) -> QLineEdit:
        field = QLineEdit()
        field.setObjectName("filter_field")
        field.setPlaceholderText(self.tr("Filter"))
        field.setAccessibleName(self.tr("Filter by name"))
        field.setClearButtonEnabled(True)
        field.setFixedWidth(190)
        field.addAction(icons.icon("filter"), QLineEdit.ActionPosition.LeadingPosition)
        field.textChanged.connect(self._on_filter_changed)
        field.installEventFilter(self)
        return field

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        row.setContentsMargins(8, 8, 8, 8)
        row.setSpacing(4)
        for key in ("back", "forward", "up", "refresh"):
            row.addWidget(self._tool_button(self._actions[key]))
        row.addWidget(self.path_bar, 1)
        row.addWidget(self.filter_field)
        right = QWidget()
        column = QVBoxLayout(right)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(row)
        column.addWidget(self.messages)
        column.addWidget(self.contents, 1)
        column.addWidget(self._summary)
        self.splitter.setChildrenCollapsible(False)
        self.splitter.setHandleWidth(1)
        self.splitter.addWidget(self.tree)
        self.splitter.addWidget(right)
        self.splitter.setStretchFactor(1, 1)
        self.splitter.setSizes([240, 800])
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.splitter)

    def _tool_button(self, action: QAction) -> QToolButton:
        button = QToolButton()
        button.setDefaultAction(action)
        button.setAutoRaise(True)
        button.setAccessibleName(action.text())
        self._tool_buttons.append(button)
        return button

    # -- slots -------------------------------------------------------------------------------------------------------

    @Slot(object)
    def _on_folder_changed(self, folder: RemotePath | None) -> None:
        self.filter_field.clear()
        self._listing.set_filter("")
        self._listing.show_folder(folder)
        self.tree.show_folder(folder)
        self._show_path(folder)
        self.messages.leave_folder()
        self.state_changed.emit()

    @Slot(object)
    def _on_connections_changed(self, _connections: object) -> None:
        self._show_path(self.folder)
        folder = self.folder
        if folder is not None and self._connections.get(folder.connection_id) is None:
            self._navigation.forget(folder.connection_id)
        self._on_listing_changed()
        self.state_changed.emit()

    @Slot(int)
    def _on_opened(self, row: int) -> None:
        path = self._listing.path_at(row)
        if path.is_folder:
            self._navigation.go_to(path)
        else:
            self._actions["properties"].trigger()

    @Slot()
    def _on_selection_changed(self) -> None:
        self._show_summary()
        self.state_changed.emit()

    @Slot()
    def _on_listing_changed(self) -> None:
        self.placeholder.show_state(self._listing, has_connections=bool(self._connections.all()))
        self._show_summary()
        self.state_changed.emit()

    @Slot(str)
    def _on_filter_changed(self, _text: str) -> None:
        self._filter_delay.start()

    @Slot()
    def _on_filter_settled(self) -> None:
        self._listing.set_filter(self.filter_field.text())
        self._on_listing_changed()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self.filter_field and event.type() == QEvent.Type.KeyPress:
            key = event.key()  # type: ignore[attr-defined]  # a KeyPress is a QKeyEvent
            if key == Qt.Key.Key_Escape:
                self.filter_field.clear()
                self.contents.setFocus()
                return True
            if key in (Qt.Key.Key_Down, Qt.Key.Key_Return, Qt.Key.Key_Enter):
                self.contents.setFocus()
                if self._listing.rowCount():
                    self.contents.selectRow(0)
                return True
        return super().eventFilter(watched, event)

    def _show_path(self, folder: RemotePath | None) -> None:
        connection = self._connections.get(folder.connection_id) if folder is not None else None
        if folder is None or connection is None:
            self.path_bar.show_folder(None, "", "", "")
            return
        self.path_bar.show_folder(folder, connection.name, backend(connection.kind).icon, self.address_of(folder))

    def _show_summary(self) -> None:
        self._summary.setText(summary_of(self, self._listing, self.contents.selected_ranges()))


def summary_of(widget: QWidget, listing: ListingModel, chosen: list[tuple[int, int]]) -> str:
    """What the line below the contents says: the selection's sum, else the folder's."""
    if listing.folder is None:
        return ""
    totals = listing.totals(chosen or None)
    count = totals.files + totals.folders
    parts = [number_text(count), widget.tr("item") if count == 1 else widget.tr("items")]
    if chosen:
        parts.append(widget.tr("selected"))
    text = " ".join(parts)
    if totals.files:
        text += f" · {size_text(totals.bytes)}"
    hidden = listing.total_rows - listing.rowCount()
    if hidden and not chosen:
        text += f" · {widget.tr('%s hidden by the filter').replace('%s', number_text(hidden))}"
    if listing.state is ListingState.LISTING:
        text += f" · {widget.tr('still listing…')}"
    elif listing.state is ListingState.STOPPED:
        text += f" · {widget.tr('stopped: not all is shown')}"
    return text
