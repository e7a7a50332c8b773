"""How fast everything goes up and down together: a minute of it, drawn small."""

from __future__ import annotations

from collections import deque

from PySide6.QtCore import QPointF, QSize, Qt
from PySide6.QtGui import QPainter, QPainterPath, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from kegbrowser.models.formats import size_text

SAMPLES = 120


class ThroughputGraph(QWidget):
    """GUI thread only. One sample for each call of `add`; nothing is painted while all is still."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._down: deque[float] = deque([0.0] * SAMPLES, SAMPLES)
        self._up: deque[float] = deque([0.0] * SAMPLES, SAMPLES)
        self.setAccessibleName(self.tr("Throughput of the last minute"))

    def sizeHint(self) -> QSize:
        return QSize(150, 22)

    def add(self, down_bytes_per_s: float, up_bytes_per_s: float) -> None:
        """Take the speeds of now."""
        was_still = not any(self._down) and not any(self._up)
        self._down.append(down_bytes_per_s)
        self._up.append(up_bytes_per_s)
        if was_still and not down_bytes_per_s and not up_bytes_per_s:
            return
        highest = max((*self._down, *self._up))
        self.setToolTip(self.tr("Highest in the last minute: %s/s") % size_text(int(highest)))
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        highest = max((*self._down, *self._up))
        if not highest:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._draw(painter, self._down, highest, is_filled=True)
        self._draw(painter, self._up, highest, is_filled=False)

    def _draw(self, painter: QPainter, samples: deque[float], highest: float, *, is_filled: bool) -> None:
        if not any(samples):
            return
        width, height = self.width() - 1, self.height() - 3
        path = QPainterPath()
        for number, value in enumerate(samples):
            point = QPointF(number * width / (SAMPLES - 1), 1 + height * (1 - value / highest))
            if number:
                path.lineTo(point)
            else:
                path.moveTo(point)
        color = self.palette().accent().color()
        if is_filled:
            area = QPainterPath(path)
            area.lineTo(width, height + 1)
            area.lineTo(0, height + 1)
            soft = self.palette().accent().color()
            soft.setAlpha(60)
            painter.fillPath(area, soft)
        pen = QPen(color, 1.5)
        if not is_filled:
            pen.setStyle(Qt.PenStyle.DotLine)
        painter.setPen(pen)
        painter.drawPath(path)
