"""The small card under the pointer that says what is being dragged."""

from __future__ import annotations

from PySide6.QtCore import QPoint, QRect, QSize, Qt
from PySide6.QtGui import QPainter, QPen, QPixmap
from PySide6.QtWidgets import QWidget

MAX_TEXT_PX = 260


def drag_pixmap(widget: QWidget, label: str) -> QPixmap:
    """Draw the card in the colours, the font and the resolution of the widget the drag starts from."""
    metrics = widget.fontMetrics()
    text = metrics.elidedText(label, Qt.TextElideMode.ElideMiddle, MAX_TEXT_PX)
    ratio = widget.devicePixelRatioF()
    size = QSize(metrics.horizontalAdvance(text) + 24, metrics.height() + 12)
    pixmap = QPixmap(size * ratio)
    pixmap.setDevicePixelRatio(ratio)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(widget.palette().highlight().color(), 1))
    painter.setBrush(widget.palette().base())
    area = QRect(QPoint(0, 0), size)
    painter.drawRoundedRect(area.adjusted(1, 1, -1, -1), 6, 6)
    painter.setPen(widget.palette().text().color())
    painter.drawText(area, Qt.AlignmentFlag.AlignCenter, text)
    painter.end()
    return pixmap
