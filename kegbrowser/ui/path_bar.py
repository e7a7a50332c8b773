"""The path above the contents: a button for each folder, which turn into a text field to type an address."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, Signal, Slot
from PySide6.QtGui import QDragEnterEvent, QDragMoveEvent, QDropEvent, QFocusEvent, QKeyEvent, QMouseEvent, QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QMenu, QSizePolicy, QStackedLayout, QToolButton, QWidget

from kegbrowser.backends.locations import RemotePath
from kegbrowser.models.shown_names import as_plain, shown_name
from kegbrowser.ui import icons

MAX_LABEL_PX = 220


class PathBar(QWidget):
    """GUI thread only."""

    folder_requested = Signal(object)  # RemotePath
    address_entered = Signal(str)
    dropped_on = Signal(object, object)  # RemotePath, QDropEvent

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("path_bar")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._folder: RemotePath | None = None
        self._connection_name = ""
        self._icon_name = ""
        self._address = ""
        self._crumbs = _Crumbs()
        self._crumbs.folder_requested.connect(self.folder_requested)
        self._crumbs.dropped_on.connect(self.dropped_on)
        self._crumbs.edit_requested.connect(self.edit)
        self._field = _AddressField()
        self._field.setObjectName("address_field")
        self._field.setAccessibleName(self.tr("Address"))
        self._field.setPlaceholderText(self.tr("s3://bucket/folder, azure://account/container, sftp://user@host/path"))
        self._field.returnPressed.connect(self._on_return_pressed)
        self._field.left.connect(self.show_crumbs)
        self._stack = QStackedLayout(self)
        self._stack.setContentsMargins(0, 0, 0, 0)
        self._stack.addWidget(self._crumbs)
        self._stack.addWidget(self._field)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFixedHeight(34)

    def show_folder(self, folder: RemotePath | None, connection_name: str, icon_name: str, address: str) -> None:
        """Show where the window is; `address` is what the text field offers to edit."""
        self._folder, self._connection_name, self._icon_name, self._address = (
            folder,
            connection_name,
            icon_name,
            address,
        )
        self._crumbs.show_folder(folder, connection_name, icon_name)
        self._field.setText(address)

    @Slot()
    def edit(self) -> None:
        """Turn into a text field with the address selected."""
        self._field.setText(self._address)
        self._stack.setCurrentWidget(self._field)
        self._field.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self._field.selectAll()

    @Slot()
    def show_crumbs(self) -> None:
        """Turn back into buttons."""
        self._stack.setCurrentWidget(self._crumbs)

    def retint(self) -> None:
        """Take the icons of the theme that is in force now."""
        self._crumbs.show_folder(self._folder, self._connection_name, self._icon_name)

    @Slot()
    def _on_return_pressed(self) -> None:
        text = self._field.text().strip()
        self.show_crumbs()
        if text and text != self._address:
            self.address_entered.emit(text)


class _AddressField(QLineEdit):
    left = Signal()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.left.emit()
            return
        super().keyPressEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        if event.reason() != Qt.FocusReason.PopupFocusReason:
            self.left.emit()


class _Crumbs(QWidget):
    """The buttons. What does not fit goes into a menu behind the first one, the nearest folders stay."""

    folder_requested = Signal(object)  # RemotePath
    edit_requested = Signal()
    dropped_on = Signal(object, object)  # RemotePath, QDropEvent

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName(self.tr("Path"))
        self._layout = QHBoxLayout(self)
        self._layout.setContentsMargins(2, 0, 2, 0)
        self._layout.setSpacing(0)
        self._steps: list[tuple[QToolButton, QLabel | None]] = []
        self._more = QToolButton(self)
        self._more.setText("…")
        self._more.setAutoRaise(True)
        self._more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self._more.setAccessibleName(self.tr("Folders above"))
        self._more.setMenu(QMenu(self._more))
        self._more.hide()

    def show_folder(self, folder: RemotePath | None, connection_name: str, icon_name: str) -> None:
        while (item := self._layout.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None and widget is not self._more:
                widget.hide()
                widget.deleteLater()
        self._steps.clear()
        if folder is None:
            return
        for path in (*folder.ancestors(), folder):
            separator = None
            if not path.is_root:
                separator = QLabel()
                separator.setPixmap(icons.icon("chevron-right").pixmap(QSize(12, 12), self.devicePixelRatioF()))
            label = connection_name if path.is_root else shown_name(path.name)
            button = _CrumbButton(path, label, is_last=path == folder)
            if path.is_root:
                button.setIcon(icons.icon(icon_name))
                button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
            button.chosen.connect(self.folder_requested)
            button.dropped_on.connect(self.dropped_on)
            if separator is not None:
                self._layout.addWidget(separator)
            self._layout.addWidget(button)
            self._steps.append((button, separator))
            if path.is_root:
                self._layout.addWidget(self._more)
        self._layout.addStretch(1)
        self._fit()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            self.edit_requested.emit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def minimumSizeHint(self) -> QSize:
        return QSize(120, 28)

    def _fit(self) -> None:
        room = self.width() - 60  # the field behind the last button stays wide enough to click into
        widths = [button.sizeHint().width() + (16 if separator else 0) for button, separator in self._steps]
        first_shown = 1
        while first_shown < len(widths) - 1 and widths[0] + sum(widths[first_shown:]) > room - 30:
            first_shown += 1
        hidden = self._steps[1:first_shown]
        menu = self._more.menu()
        menu.clear()
        for button, separator in self._steps[1:]:
            shown = (button, separator) not in hidden
            button.setVisible(shown)
            if separator is not None:
                separator.setVisible(shown)
        for button, _separator in hidden:
            if isinstance(button, _CrumbButton):
                menu.addAction(button.text(), button.choose)
        self._more.setVisible(bool(hidden))


class _CrumbButton(QToolButton):
    chosen = Signal(object)  # RemotePath
    dropped_on = Signal(object, object)  # RemotePath, QDropEvent

    def __init__(self, path: RemotePath, label: str, *, is_last: bool) -> None:
        super().__init__()
        self._path = path
        elided = self.fontMetrics().elidedText(label, Qt.TextElideMode.ElideMiddle, MAX_LABEL_PX)
        self.setText(elided.replace("&", "&&"))
        self.setToolTip(as_plain(label))
        self.setAccessibleName(label)
        self.setAutoRaise(True)
        self.setAcceptDrops(True)
        self.setProperty("current", is_last)
        self.clicked.connect(self.choose)

    @Slot()
    def choose(self) -> None:
        self.chosen.emit(self._path)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        event.acceptProposedAction()

    def dragMoveEvent(self, event: QDragMoveEvent) -> None:
        event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        self.dropped_on.emit(self._path, event)
