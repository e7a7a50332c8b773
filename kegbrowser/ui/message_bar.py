"""One line above the contents that says what happened: never modal, with at most one thing to do about it."""

from __future__ import annotations

import enum
from collections.abc import Callable

from PySide6.QtCore import QSize, Qt, QTimer, Slot
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QToolButton, QWidget

from kegbrowser.ui import icons

SHOWN_MS = 8000


class Tone(enum.Enum):
    """How a message looks, and how long it stays: only good news and information leave by themselves."""

    INFO = "info"
    SUCCESS = "success"
    WARNING = "warning"
    ERROR = "error"


_ICONS = {Tone.INFO: "info", Tone.SUCCESS: "verified", Tone.WARNING: "warning", Tone.ERROR: "error"}


class MessageBar(QFrame):
    """Hidden while there is nothing to say; a new message takes the place of the old one. GUI thread only."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("message_bar")
        self._icon = QLabel()
        self._text = QLabel()
        self._text.setWordWrap(True)
        self._text.setTextFormat(Qt.TextFormat.PlainText)  # names from a server are never markup
        self._text.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self._button = QPushButton()
        self._button.clicked.connect(self._on_button_clicked)
        self._close = QToolButton()
        self._close.setAutoRaise(True)
        self._close.setAccessibleName(self.tr("Close message"))
        self._close.setToolTip(self.tr("Close"))
        self._close.clicked.connect(self.hide)
        self._act: Callable[[], None] | None = None
        self._tone = Tone.INFO
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.hide)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(12, 6, 6, 6)
        layout.setSpacing(10)
        layout.addWidget(self._icon)
        layout.addWidget(self._text, 1)
        layout.addWidget(self._button)
        layout.addWidget(self._close)
        self.hide()

    @property
    def text(self) -> str:
        """What is shown now; "" if nothing is."""
        return "" if self.isHidden() else self._text.text()

    def tell(self, tone: Tone, text: str, *, action: str = "", act: Callable[[], None] | None = None) -> None:
        """Show a message, with a button `action` that hides it and calls `act`."""
        self._tone = tone
        self.setProperty("tone", tone.value)
        self.style().unpolish(self)
        self.style().polish(self)
        self.retint()
        self._text.setText(text)
        self._button.setText(action)
        self._button.setVisible(bool(action))
        self._act = act
        self.setAccessibleName(text)
        self.show()
        self._timer.stop()
        if tone in (Tone.INFO, Tone.SUCCESS):
            self._timer.start(SHOWN_MS)

    @Slot()
    def leave_folder(self) -> None:
        """Another folder is shown: what was said of the old one goes; warnings stay until they are closed."""
        if self._tone is not Tone.WARNING:
            self.hide()

    def retint(self) -> None:
        """Take the icons of the theme that is in force now."""
        self._icon.setPixmap(icons.icon(_ICONS[self._tone]).pixmap(QSize(18, 18), self.devicePixelRatioF()))
        self._close.setIcon(icons.icon("close"))

    @Slot()
    def _on_button_clicked(self) -> None:
        act, self._act = self._act, None
        self.hide()
        if act is not None:
            act()
