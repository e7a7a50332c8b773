"""Light and dark: own palettes and one style sheet, because a bare desktop gives neither."""

from __future__ import annotations

import re
from dataclasses import asdict

from PySide6.QtCore import QObject, Qt, Signal, Slot
from PySide6.QtGui import QColor, QFont, QPalette
from PySide6.QtWidgets import QApplication

from kegbrowser.resources import resource_folder
from kegbrowser.ui import icons
from kegbrowser.ui.colors import DARK, LIGHT, Colors

FONT_PT = 10
"""At least: a desktop whose font is larger keeps it."""


class Theme(QObject):
    """Applies a theme to the whole program and follows the system's. GUI thread only."""

    theme_changed = Signal()

    def __init__(self, app: QApplication) -> None:
        super().__init__(app)
        self._app = app
        self._wanted = "system"
        self._has_style = False
        self.colors = LIGHT
        app.styleHints().colorSchemeChanged.connect(self._on_system_changed)

    @Slot(str)
    def apply(self, wanted: str) -> None:
        """Use `light`, `dark`, or what the `system` says (light where it says nothing)."""
        self._wanted = wanted
        is_dark = wanted == "dark" or (
            wanted == "system" and self._app.styleHints().colorScheme() == Qt.ColorScheme.Dark
        )
        self.colors = DARK if is_dark else LIGHT
        icons.use_colors(self.colors)
        if not self._has_style:
            self._has_style = True
            self._app.setStyle("Fusion")
            font = QFont(self._app.font())
            font.setPointSizeF(max(FONT_PT, font.pointSizeF()))
            self._app.setFont(font)
        self._app.setPalette(palette_of(self.colors))
        self._app.setStyleSheet(style_sheet_of(self.colors))
        self.theme_changed.emit()

    @Slot()
    def _on_system_changed(self) -> None:
        if self._wanted == "system":
            self.apply("system")


def palette_of(colors: Colors) -> QPalette:
    """The palette for Fusion and for whatever paints by palette."""
    palette = QPalette()
    role = QPalette.ColorRole
    for target, color in (
        (role.Window, colors.window),
        (role.WindowText, colors.text),
        (role.Base, colors.base),
        (role.AlternateBase, colors.side),
        (role.ToolTipBase, colors.raised),
        (role.ToolTipText, colors.text),
        (role.Text, colors.text),
        (role.Button, colors.button),
        (role.ButtonText, colors.text),
        (role.BrightText, colors.error),
        (role.Highlight, colors.accent),
        (role.HighlightedText, colors.on_accent),
        (role.Link, colors.link),
        (role.LinkVisited, colors.link),
        (role.PlaceholderText, colors.quiet),
        (role.Mid, colors.pressed),
        (role.Midlight, colors.hover),
        (role.Dark, colors.edge),
        (role.Shadow, colors.edge),
        (role.Light, colors.raised),
        (role.Accent, colors.focus),
    ):
        palette.setColor(target, QColor(color))
    for target in (role.WindowText, role.Text, role.ButtonText, role.PlaceholderText):
        palette.setColor(QPalette.ColorGroup.Disabled, target, QColor(colors.faint))
    return palette


def style_sheet_of(colors: Colors) -> str:
    """The style sheet with the theme's colours filled in."""
    folder = resource_folder() / "style"
    values = asdict(colors) | {"images": (folder / colors.scheme).as_posix()}
    return re.sub(r"\{(\w+)\}", lambda name: values[name[1]], (folder / "kegbrowser.qss").read_text("utf-8"))
