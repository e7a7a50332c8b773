"""Light and dark: own palettes and one style sheet, because a bare desktop gives neither."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from PySide6.QtCore import QObject, Qt, Signal, Slot
from PySide6.QtGui import QColor, QFont, QPalette
from PySide6.QtWidgets import QApplication

from kegbrowser.resources import resource_folder
from kegbrowser.ui import icons

FONT_PT = 10


@dataclass(frozen=True, slots=True)
class Colors:
    """The colours of one theme, as #rrggbb; by the role they play, not by their hue."""

    scheme: str
    window: str
    base: str
    side: str
    raised: str
    field: str
    button: str
    text: str
    quiet: str
    faint: str
    line: str
    edge: str
    hover: str
    pressed: str
    selected_inactive: str
    accent: str
    accent_hover: str
    on_accent: str
    link: str
    scroll: str
    scroll_hover: str
    error: str
    warning: str
    success: str
    info_back: str
    error_back: str
    warning_back: str
    success_back: str


LIGHT = Colors(
    scheme="light", window="#f6f7f9", base="#ffffff", side="#f0f2f5", raised="#ffffff", field="#ffffff",
    button="#ffffff", text="#1d2129", quiet="#596170", faint="#8d95a3", line="#e0e3e9", edge="#c9ced8", hover="#e8edf5",
    pressed="#d9e1ee", selected_inactive="#d8e3f5", accent="#2563c9", accent_hover="#1f56b0", on_accent="#ffffff",
    link="#1f56b0", scroll="#c3c8d1", scroll_hover="#a2a9b6", error="#b42318", warning="#855400", success="#16692e",
    info_back="#e7effc", error_back="#fdebe9", warning_back="#fdf3dc", success_back="#e4f5e8",
)  # fmt: skip

DARK = Colors(
    scheme="dark", window="#1e2126", base="#181b1f", side="#1b1e23", raised="#272b32", field="#23272d",
    button="#2c3138", text="#e6e9ee", quiet="#a3adba", faint="#727c8a", line="#30353d", edge="#434a55", hover="#2a3039",
    pressed="#353d49", selected_inactive="#2f3d55", accent="#3b74d6", accent_hover="#4a83e6", on_accent="#ffffff",
    link="#8ab4f8", scroll="#454c57", scroll_hover="#5c6573", error="#f28b82", warning="#e8b95b", success="#7fd394",
    info_back="#1f2c42", error_back="#3f2423", warning_back="#3b3120", success_back="#1f3527",
)  # fmt: skip


class Theme(QObject):
    """Applies a theme to the whole program and follows the system's. GUI thread only."""

    theme_changed = Signal()

    def __init__(self, app: QApplication) -> None:
        super().__init__(app)
        self._app = app
        self._wanted = "system"
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
        icons.forget_tints()
        self._app.setStyle("Fusion")
        font = QFont(self._app.font())
        font.setPointSize(FONT_PT)
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
        (role.PlaceholderText, colors.faint),
        (role.Mid, colors.line),
        (role.Midlight, colors.hover),
        (role.Dark, colors.edge),
        (role.Shadow, colors.edge),
        (role.Light, colors.raised),
        (role.Accent, colors.accent),
    ):
        palette.setColor(target, QColor(color))
    for target in (role.WindowText, role.Text, role.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, target, QColor(colors.faint))
    palette.setColor(QPalette.ColorGroup.Inactive, role.Highlight, QColor(colors.selected_inactive))
    palette.setColor(QPalette.ColorGroup.Inactive, role.HighlightedText, QColor(colors.text))
    return palette


def style_sheet_of(colors: Colors) -> str:
    """The style sheet with the theme's colours filled in."""
    folder = resource_folder()
    text = (folder / "style" / "kegbrowser.qss").read_text("utf-8")
    for name, color in asdict(colors).items():
        text = text.replace(f"{{{name}}}", color)
    return text.replace("{icons}", (folder / "icons").as_posix())
