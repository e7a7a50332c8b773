"""Sizes, times and numbers as people read them, in their locale. With none set (`LANG=C`): dates that nobody can misread."""

from __future__ import annotations

from datetime import datetime

from PySide6.QtCore import QDateTime, QLocale


def size_text(size_bytes: int) -> str:
    """A size in binary units, as "1.5 MiB"."""
    return QLocale().formattedDataSize(size_bytes, 1, QLocale.DataSizeFormat.DataSizeIecFormat)


def number_text(number: int) -> str:
    """A count with separators, as "12,480"."""
    locale = QLocale()
    return f"{number:,}" if locale.language() == QLocale.Language.C else locale.toString(number)


def time_text(moment: datetime, *, long: bool = False) -> str:
    """A moment in local time."""
    locale = QLocale()
    local = QDateTime.fromSecsSinceEpoch(int(moment.timestamp()))
    if locale.language() == QLocale.Language.C:
        return local.toString("yyyy-MM-dd HH:mm:ss" if long else "yyyy-MM-dd HH:mm")
    return locale.toString(local, QLocale.FormatType.LongFormat if long else QLocale.FormatType.ShortFormat)
