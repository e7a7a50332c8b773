"""Icons: the program's own files, tinted for the theme in force, drawn once for each size and kept."""

from __future__ import annotations

from functools import lru_cache

from PySide6.QtCore import QByteArray, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QIcon, QIconEngine, QPainter, QPixmap
from PySide6.QtSvg import QSvgRenderer
from PySide6.QtWidgets import QApplication

from kegbrowser.backends.base import EntryKind
from kegbrowser.resources import resource_folder
from kegbrowser.ui.file_kinds import icon_name_of, kind_of

__all__ = ["app_icon", "file_icon", "forget_tints", "icon", "kind_of", "tree_icon"]

_FOLDER = ("#4a90e2", "#6aa9f4")
"""Folders' colour in the light and the dark theme; so are the groups below."""

_TINTS = {
    "folder": _FOLDER,
    "folder-open": _FOLDER,
    "bucket": ("#b3731c", "#e0a85a"),
    "file-image": ("#8f4bb3", "#c08ade"),
    "file-audio": ("#b0413e", "#e58884"),
    "file-video": ("#b0413e", "#e58884"),
    "file-archive": ("#8a6d1d", "#d2b45a"),
    "file-pdf": ("#c0392b", "#f08a7e"),
    "file-sheet": ("#1f7a4d", "#66c796"),
    "file-data": ("#1f7a4d", "#66c796"),
    "file-slides": ("#b3601c", "#e6a266"),
    "file-code": ("#25639e", "#77b2e8"),
    "file-web": ("#25639e", "#77b2e8"),
    "file-key": ("#8a6d1d", "#d2b45a"),
    "warning": ("#9a6700", "#e3b341"),
    "error": ("#b42318", "#f28b82"),
    "verified": ("#1a7f37", "#63c97f"),
}


@lru_cache(maxsize=512)
def icon(name: str) -> QIcon:
    """The icon of this name in the colours of the theme in force; drawn when it is first painted."""
    return QIcon(_Engine(name))


@lru_cache(maxsize=1)
def app_icon() -> QIcon:
    """The program's own icon, in full colour."""
    return QIcon(str(resource_folder() / "icons" / "kegbrowser.svg"))


def file_icon(name: str, is_folder: bool) -> QIcon:
    """The icon of a file or folder, by its name alone."""
    return icon("folder" if is_folder else icon_name_of(name))


def tree_icon(connection_kind: str, kind: EntryKind) -> QIcon:
    """The icon of a connection (by its backend's kind) or of a folder in it."""
    if connection_kind:
        return icon(connection_kind)
    return icon("bucket" if kind is EntryKind.CONTAINER else "folder")


def forget_tints() -> None:
    """Draw all anew: the theme has changed. Icons handed out before keep their old colours."""
    icon.cache_clear()


class _Engine(QIconEngine):
    """Draws one SVG in one colour at any size."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self._pixmaps: dict[tuple[int, int, str], QPixmap] = {}

    def pixmap(self, size: QSize, mode: QIcon.Mode, state: QIcon.State) -> QPixmap:
        return self.scaledPixmap(size, mode, state, 1.0)

    def scaledPixmap(self, size: QSize, mode: QIcon.Mode, state: QIcon.State, scale: float) -> QPixmap:
        color = self._color(mode)
        key = (size.width(), size.height(), color.name(QColor.NameFormat.HexArgb))
        known = self._pixmaps.get(key)
        if known is None:
            known = self._draw(size, color)
            self._pixmaps[key] = known
        return known

    def paint(self, painter: QPainter, rect: QRectF, mode: QIcon.Mode, state: QIcon.State) -> None:  # type: ignore[override]
        ratio = painter.device().devicePixelRatioF()
        size = QSize(round(rect.width() * ratio), round(rect.height() * ratio))
        pixmap = QPixmap(self.scaledPixmap(size, mode, state, ratio))
        pixmap.setDevicePixelRatio(ratio)
        painter.drawPixmap(rect.topLeft(), pixmap)

    def clone(self) -> QIconEngine:
        return _Engine(self._name)

    def _color(self, mode: QIcon.Mode) -> QColor:
        palette = QApplication.palette()
        is_dark = palette.window().color().lightness() < 128
        if mode == QIcon.Mode.Disabled:
            color = QColor(palette.text().color())
            color.setAlphaF(0.32)
            return color
        if mode == QIcon.Mode.Selected and QApplication.focusWindow() is not None:
            return palette.highlightedText().color()  # a window in the background selects in a pale colour
        tint = _TINTS.get(self._name)
        if tint is not None:
            return QColor(tint[1 if is_dark else 0])
        color = QColor(palette.text().color())
        color.setAlphaF(0.82)
        return color

    def _draw(self, size: QSize, color: QColor) -> QPixmap:
        pixmap = QPixmap(size)
        pixmap.fill(Qt.GlobalColor.transparent)
        painter = QPainter(pixmap)
        _renderer(self._name).render(painter, QRectF(0, 0, size.width(), size.height()))
        painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_SourceIn)
        painter.fillRect(pixmap.rect(), color)
        painter.end()
        return pixmap


@lru_cache(maxsize=512)
def _renderer(name: str) -> QSvgRenderer:
    content = (resource_folder() / "icons" / f"{name}.svg").read_bytes()
    # 2 px of 24 are heavy at 16 and 18 px; a folder is filled a little so that it stands out among files.
    content = content.replace(b'stroke-width="2"', b'stroke-width="1.75"')
    if name.startswith("folder") or name == "bucket":
        content = content.replace(b'fill="none"', b'fill="currentColor" fill-opacity="0.28"')
    return QSvgRenderer(QByteArray(content))
