"""Icons: the program's own files, in the colours of the theme in force, drawn once for each size and kept.

A file that says `currentColor` is a symbol: it is drawn in one colour, which follows from its name, the theme and the mode.
All others have colours of their own, made for a light ground; on a dark one `_ON_DARK` takes their place.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import lru_cache

from PySide6.QtCore import QByteArray, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QIcon, QIconEngine, QPainter, QPixmap
from PySide6.QtSvg import QSvgRenderer

from kegbrowser.backends.base import EntryKind
from kegbrowser.resources import resource_folder
from kegbrowser.ui.colors import LIGHT, Colors
from kegbrowser.ui.file_kinds import icon_name_of, kind_of

__all__ = ["app_icon", "file_icon", "icon", "kind_of", "tree_icon", "use_colors"]

log = logging.getLogger(__name__)

FALLBACK = "connection"
"""Drawn for a name that has no file, as a backend from elsewhere may bring along."""

_DISABLED_OPACITY = 0.4

_TONES = {
    "info": "info_symbol",
    "question": "info_symbol",
    "transfer-down": "info_symbol",
    "transfer-up": "info_symbol",
    "verified": "success_symbol",
    "warning": "warning_symbol",
    "error": "error_symbol",
}
"""Symbols that have a tone, as a message has: the field of Colors."""

_ON_DARK = {
    "#ffffff": "#343a44",  # paper
    "#8791a0": "#76818f",  # its edge
    "#dde2ea": "#4b5361",  # its folded corner
    "#7c8797": "#a3adbb",  # lines of text on it
    "#2f7de1": "#74acf9",
    "#8e4ec6": "#bf94ee",
    "#d64545": "#e05c5c",
    "#d9701a": "#f0a060",
    "#b98209": "#e6b54a",
    "#2a9155": "#67c891",
    "#0d8a86": "#52c3be",
    "#5d6b80": "#a5b4c8",
    "#c2417f": "#ec8ab9",
    "#bcdcfa": "#2f5275",  # sky
    "#4a5568": "#5b6678",
    "#566479": "#6b7a91",
    "#445064": "#556379",
    "#e6eaf0": "#aab4c2",
    "#c5cdd9": "#8b96a6",
}
"""What becomes of a coloured icon's colours on a dark ground; a colour that is not here stays."""


@dataclass(slots=True)
class _Theme:
    colors: Colors = LIGHT


_theme = _Theme()


@lru_cache(maxsize=512)
def icon(name: str) -> QIcon:
    """The icon of this name. It is drawn when it is painted, always in the theme that is in force then."""
    return QIcon(_Engine(name))


@lru_cache(maxsize=1)
def app_icon() -> QIcon:
    """The program's own icon, in full colour."""
    return icon("kegbrowser")


def file_icon(name: str, is_folder: bool) -> QIcon:
    """The icon of a file or folder, by its name alone."""
    return icon("folder" if is_folder else icon_name_of(name))


def tree_icon(connection_kind: str, kind: EntryKind) -> QIcon:
    """The icon of a connection (by its backend's kind) or of a folder in it."""
    if connection_kind:
        return icon(connection_kind)
    return icon("bucket" if kind is EntryKind.CONTAINER else "folder")


def use_colors(colors: Colors) -> None:
    """Paint all icons in these colours from now on, those handed out before as well."""
    _theme.colors = colors


class _Engine(QIconEngine):
    """Draws one SVG at any size. GUI thread only."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self._pixmaps: dict[tuple[int, int, float, str, float], QPixmap] = {}

    def paint(self, painter: QPainter, rect: QRect, mode: QIcon.Mode, state: QIcon.State) -> None:
        pixmap = self._pixmap(rect.size(), mode, state, painter.device().devicePixelRatioF())
        painter.drawPixmap(rect.topLeft(), pixmap)

    def pixmap(self, size: QSize, mode: QIcon.Mode, state: QIcon.State) -> QPixmap:
        return self._pixmap(size, mode, state, 1.0)

    def scaledPixmap(self, size: QSize, mode: QIcon.Mode, state: QIcon.State, scale: float) -> QPixmap:
        # `size` is without `scale` in Qt 6.11. Where it is with it (Qt 6.8), QIcon gets a pixmap that is larger than it
        # asked for, and says so in its ratio.
        return self._pixmap(size, mode, state, scale)

    def clone(self) -> QIconEngine:
        return _Engine(self._name)

    def _pixmap(self, size: QSize, mode: QIcon.Mode, state: QIcon.State, ratio: float) -> QPixmap:
        tint = _tint(self._name, mode, state)
        opacity = _DISABLED_OPACITY if mode == QIcon.Mode.Disabled and not tint else 1.0
        key = (size.width(), size.height(), ratio, tint or _theme.colors.scheme, opacity)
        known = self._pixmaps.get(key)
        if known is None:
            known = _draw(self._name, size * ratio, tint, opacity)
            known.setDevicePixelRatio(ratio)
            self._pixmaps[key] = known
        return known


def _tint(name: str, mode: QIcon.Mode, state: QIcon.State) -> str:
    """The colour of a symbol as #rrggbb; "" for an icon with colours of its own."""
    if not _is_symbol(name):
        return ""
    colors = _theme.colors
    if mode == QIcon.Mode.Disabled:
        return colors.faint
    if name in _TONES:
        return str(getattr(colors, _TONES[name]))
    if state == QIcon.State.On:
        return colors.link
    return colors.symbol if mode == QIcon.Mode.Normal else colors.symbol_strong


def _draw(name: str, size: QSize, tint: str, opacity: float) -> QPixmap:
    """`size` is in pixels of the screen."""
    pixmap = QPixmap(size)
    pixmap.fill(Qt.GlobalColor.transparent)
    if size.isEmpty():
        return pixmap
    side = min(size.width(), size.height())
    area = QRectF((size.width() - side) / 2, (size.height() - side) / 2, side, side)
    content = _content(name) if tint else _recolored(name, _theme.colors.scheme)
    painter = QPainter(pixmap)
    QSvgRenderer(QByteArray(content)).render(painter, area)
    if tint:
        painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_SourceIn)
        painter.fillRect(pixmap.rect(), QColor(tint))
    elif opacity < 1.0:
        painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_DestinationIn)
        painter.fillRect(pixmap.rect(), QColor.fromRgbF(0, 0, 0, opacity))
    painter.end()
    return pixmap


@lru_cache(maxsize=512)
def _content(name: str) -> bytes:
    folder = resource_folder() / "icons"
    try:
        return (folder / f"{name}.svg").read_bytes()
    except OSError:
        log.warning("There is no icon named %s", name)
        return (folder / f"{FALLBACK}.svg").read_bytes()


@lru_cache(maxsize=512)
def _is_symbol(name: str) -> bool:
    return b"currentColor" in _content(name)


@lru_cache(maxsize=512)
def _recolored(name: str, scheme: str) -> bytes:
    content = _content(name)
    if scheme == LIGHT.scheme or name == "kegbrowser":
        return content
    for light, dark in _ON_DARK.items():
        content = content.replace(light.encode(), dark.encode())
    return content
