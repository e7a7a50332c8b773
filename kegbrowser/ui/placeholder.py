"""What an empty contents view says instead of rows: why it is empty, and what to do about it."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, QSize, Qt, QTimer, Signal, Slot
from PySide6.QtWidgets import QAbstractScrollArea, QLabel, QPushButton, QVBoxLayout, QWidget

from kegbrowser.models.listing import ListingModel, ListingState
from kegbrowser.ui import icons

LOADING_DELAY_MS = 300
"""A folder that answers within this time never flashes "Loading"."""


class Placeholder(QWidget):
    """Lies over the view; lets drops through, except on its button. GUI thread only."""

    acted = Signal()

    def __init__(self, view: QAbstractScrollArea) -> None:
        super().__init__(view.viewport())
        self._view = view
        self._icon_name = ""
        self._icon = QLabel(alignment=Qt.AlignmentFlag.AlignCenter)
        self._title = QLabel(alignment=Qt.AlignmentFlag.AlignCenter)
        self._title.setObjectName("placeholder_title")
        self._text = QLabel(alignment=Qt.AlignmentFlag.AlignCenter)
        self._text.setObjectName("hint")
        self._button = QPushButton()
        self._button.clicked.connect(self.acted)
        for label in (self._title, self._text):
            label.setWordWrap(True)
            label.setTextFormat(Qt.TextFormat.PlainText)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(40, 20, 40, 40)
        layout.setSpacing(8)
        layout.addStretch(2)
        layout.addWidget(self._icon)
        layout.addWidget(self._title)
        layout.addWidget(self._text)
        layout.addWidget(self._button, 0, Qt.AlignmentFlag.AlignHCenter)
        layout.addStretch(3)
        self._loading = QTimer(self)
        self._loading.setSingleShot(True)
        self._loading.setInterval(LOADING_DELAY_MS)
        self._loading.timeout.connect(self._show_loading)
        view.viewport().installEventFilter(self)
        self.hide()

    def show_state(self, listing: ListingModel, *, has_connections: bool) -> None:
        """Say what the listing's state calls for; hide if there are rows."""
        if listing.rowCount():
            self._loading.stop()
            self.hide()
            return
        state = listing.state
        if state is ListingState.LISTING:
            if not self._loading.isActive():
                self.hide()
                self._loading.start()
            return
        self._loading.stop()
        if state is ListingState.NOTHING:
            title = self.tr("Choose a connection") if has_connections else self.tr("No connections yet")
            self._say("home", title, self.tr("Connections are on the left. Ctrl+N adds one."))
        elif state is ListingState.FAILED and listing.error is not None:
            self._say("error", listing.error.message, listing.error.hint, self.tr("Try Again"))
        elif listing.total_rows:
            self._say(
                "filter", self.tr("Nothing matches the filter"), self.tr("Esc in the filter shows everything again.")
            )
        elif state is ListingState.STOPPED:
            self._say("stop", self.tr("Stopped"), self.tr("The folder was not listed."), self.tr("List It"))
        else:
            self._say("folder", self.tr("This folder is empty"), self.tr("Drop files here to upload them."))

    def retint(self) -> None:
        """Take the icon of the theme that is in force now."""
        if self._icon_name:
            pixmap = icons.icon(self._icon_name).pixmap(QSize(48, 48), self.devicePixelRatioF())
            self._icon.setPixmap(pixmap)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Resize:
            self.resize(self._view.viewport().size())
        return False

    @Slot()
    def _show_loading(self) -> None:
        self._say("clock", self.tr("Loading…"), "")

    def _say(self, icon_name: str, title: str, text: str, button: str = "") -> None:
        self._icon_name = icon_name
        self.retint()
        self._title.setText(title)
        self._text.setText(text)
        self._text.setVisible(bool(text))
        self._button.setText(button)
        self._button.setVisible(bool(button))
        # Drags go through to the view unless there is something to press.
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents, not button)
        self.resize(self._view.viewport().size())
        self.show()
