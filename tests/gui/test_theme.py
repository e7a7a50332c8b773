"""The look: what is drawn can be read in both themes, and the whole window follows a change."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QColor, QFontInfo, QIcon, QPalette
from PySide6.QtWidgets import (
    QApplication,
    QCheckBox,
    QComboBox,
    QLineEdit,
    QPushButton,
    QTableWidget,
    QToolButton,
    QWidget,
)
from pytestqt.qtbot import QtBot

from kegbrowser.resources import resource_folder
from kegbrowser.ui import icons
from kegbrowser.ui.colors import DARK, LIGHT, Colors
from kegbrowser.ui.theme import Theme, palette_of, style_sheet_of
from tests.gui.contrast import contrast

BOTH = pytest.mark.parametrize("colors", [LIGHT, DARK], ids=["light", "dark"])

_GROUNDS = ("window", "side", "base", "raised", "field", "button", "hover", "pressed", "selected", "selected_inactive")
_TONES = ("info", "success", "warning", "error")


@pytest.fixture
def theme(qtbot: QtBot, qapp: QApplication) -> Iterator[Theme]:
    palette, font, style = qapp.palette(), qapp.font(), qapp.style().name()
    made = Theme(qapp)
    yield made
    made.deleteLater()
    qapp.setStyleSheet("")
    qapp.setStyle(style)
    qapp.setPalette(palette)
    qapp.setFont(font)
    icons.use_colors(LIGHT)


@BOTH
@pytest.mark.parametrize("ground", _GROUNDS)
def test_text_can_be_read_on_every_ground(colors: Colors, ground: str) -> None:
    assert _ratio(colors, "text", ground) >= 7


@BOTH
@pytest.mark.parametrize("ground", ["window", "side", "base", "raised", "field", "button", "hover", "selected",
                                    "selected_inactive"])  # fmt: skip
def test_quiet_text_and_links_can_be_read(colors: Colors, ground: str) -> None:
    assert _ratio(colors, "quiet", ground) >= 4.5
    assert _ratio(colors, "link", ground) >= 4.5


@BOTH
@pytest.mark.parametrize("ground", ["window", "base", "raised", "field", "button"])
def test_what_is_disabled_can_still_be_made_out(colors: Colors, ground: str) -> None:
    assert _ratio(colors, "faint", ground) >= 3


@BOTH
@pytest.mark.parametrize("ground", ["accent", "accent_hover", "accent_pressed"])
def test_text_on_the_accent_colour_can_be_read(colors: Colors, ground: str) -> None:
    assert _ratio(colors, "on_accent", ground) >= 4.5


@BOTH
@pytest.mark.parametrize("tone", _TONES)
def test_messages_can_be_read_and_their_symbols_seen(colors: Colors, tone: str) -> None:
    for ground in (f"{tone}_back", "window", "base"):
        assert _ratio(colors, tone, ground) >= 4.5, ground
        assert _ratio(colors, f"{tone}_symbol", ground) >= 3, ground
    assert _ratio(colors, "text", f"{tone}_back") >= 7


@BOTH
@pytest.mark.parametrize("ground", ["window", "base", "side", "field"])
def test_the_ring_of_the_keyboard_and_the_edges_of_fields_are_seen(colors: Colors, ground: str) -> None:
    assert _ratio(colors, "focus", ground) >= 3
    assert _ratio(colors, "edge_strong", ground) >= 3


@BOTH
@pytest.mark.parametrize("ground", ["window", "side", "base", "hover", "pressed", "selected"])
def test_symbols_are_seen(colors: Colors, ground: str) -> None:
    assert _ratio(colors, "symbol", ground) >= 3
    assert _ratio(colors, "symbol_strong", ground) >= 4.5


@BOTH
def test_what_is_selected_differs_from_what_is_not(colors: Colors) -> None:
    for selected, ground in (("selected", "base"), ("selected_inactive", "base"), ("pressed", "side")):
        assert _ratio(colors, selected, ground) >= 1.15, selected
    assert colors.selected != colors.selected_inactive


@BOTH
@pytest.mark.parametrize("group", [QPalette.ColorGroup.Active, QPalette.ColorGroup.Inactive])
def test_what_paints_by_palette_can_be_read(colors: Colors, group: QPalette.ColorGroup) -> None:
    palette = palette_of(colors)
    role = QPalette.ColorRole

    for text, ground in ((role.WindowText, role.Window), (role.Text, role.Base), (role.ButtonText, role.Button),
                         (role.HighlightedText, role.Highlight), (role.ToolTipText, role.ToolTipBase),
                         (role.PlaceholderText, role.Base), (role.Link, role.Base)):  # fmt: skip
        assert contrast(palette.color(group, text), palette.color(group, ground)) >= 4.5, (text, ground)


@BOTH
def test_the_style_sheet_has_every_colour_and_image_it_names(colors: Colors) -> None:
    sheet = style_sheet_of(colors)

    assert re.findall(r"\{\w+\}", sheet) == []
    images = re.findall(r"url\(([^)]+)\)", sheet)
    assert images
    for image in images:
        assert (resource_folder() / image).is_file(), image
        assert f"/style/{colors.scheme}/" in image


def test_every_image_of_the_style_sheet_is_in_both_themes() -> None:
    light, dark = (
        {path.name for path in (resource_folder() / "style" / scheme).iterdir()} for scheme in ("light", "dark")
    )

    assert light == dark


@BOTH
def test_a_theme_reaches_palette_widgets_and_icons(theme: Theme, qtbot: QtBot, colors: Colors) -> None:
    window = QWidget()
    button = QToolButton(window)
    qtbot.addWidget(window)
    button.setIcon(icons.icon("back"))
    window.show()

    with qtbot.waitSignal(theme.theme_changed):
        theme.apply(colors.scheme)

    assert theme.colors is colors
    assert window.palette().color(QPalette.ColorRole.Window).name() == colors.window
    image = button.icon().pixmap(QSize(32, 32)).toImage()
    inked = [image.pixelColor(x, y) for x in range(32) for y in range(32)]
    assert max(inked, key=QColor.alpha).name() == colors.symbol


def test_without_a_word_from_the_system_it_is_light(theme: Theme, qapp: QApplication) -> None:
    assert qapp.styleHints().colorScheme() != Qt.ColorScheme.Dark

    theme.apply("system")

    assert theme.colors is LIGHT


def test_it_follows_the_system_only_when_it_is_asked_to(theme: Theme, qtbot: QtBot, qapp: QApplication) -> None:
    theme.apply("dark")

    with qtbot.assertNotEmitted(theme.theme_changed, wait=20):
        qapp.styleHints().colorSchemeChanged.emit(Qt.ColorScheme.Light)
    assert theme.colors is DARK

    theme.apply("system")
    with qtbot.waitSignal(theme.theme_changed):
        qapp.styleHints().colorSchemeChanged.emit(Qt.ColorScheme.Light)
    assert theme.colors is LIGHT


def test_text_is_at_least_ten_points_and_does_not_grow_with_each_change(theme: Theme, qapp: QApplication) -> None:
    theme.apply("light")
    first = qapp.font()
    theme.apply("dark")

    assert QFontInfo(first).pointSizeF() >= 9.5  # a screen's whole pixels may be a little below 10
    assert first.pointSizeF() >= 10
    assert qapp.font() == first


@BOTH
@pytest.mark.parametrize("kind", [QPushButton, QToolButton, QLineEdit, QCheckBox, QComboBox])
def test_what_has_the_keyboard_looks_different_and_stays_in_place(
    theme: Theme, qtbot: QtBot, colors: Colors, kind: type[QWidget]
) -> None:
    theme.apply(colors.scheme)
    window = QWidget()
    qtbot.addWidget(window)
    other, widget = QCheckBox("other", window), kind(window)
    for label in ("setText", "setPlaceholderText"):
        if hasattr(widget, label):
            getattr(widget, label)("text")
    if isinstance(widget, QPushButton):
        widget.setAutoDefault(False)
    if isinstance(widget, QComboBox):
        widget.addItem("text")
    if isinstance(widget, QToolButton):
        widget.setIcon(QIcon(icons.icon("back")))
    widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    window.resize(300, 120)
    widget.setGeometry(20, 60, 200, 32)
    with qtbot.waitExposed(window):
        window.show()
    window.activateWindow()
    other.setFocus()
    before, size = widget.grab().toImage(), widget.sizeHint()

    widget.setFocus(Qt.FocusReason.TabFocusReason)
    qtbot.waitUntil(widget.hasFocus)

    after = widget.grab().toImage()
    ring = QColor(colors.focus)
    assert after != before
    assert widget.sizeHint() == size
    assert sum(after.pixelColor(x, y) == ring for x in range(after.width()) for y in range(after.height())) > 20


@BOTH
def test_the_current_row_is_ringed_and_a_selected_one_is_tinted(theme: Theme, qtbot: QtBot, colors: Colors) -> None:
    theme.apply(colors.scheme)
    table = QTableWidget(3, 1)
    qtbot.addWidget(table)
    table.setSelectionMode(QTableWidget.SelectionMode.ExtendedSelection)
    with qtbot.waitExposed(table):
        table.show()
    table.activateWindow()
    table.setFocus()
    qtbot.waitUntil(table.hasFocus)
    table.selectRow(0)
    table.selectionModel().setCurrentIndex(table.model().index(2, 0), table.selectionModel().SelectionFlag.NoUpdate)

    image = table.viewport().grab().toImage()

    rows = [table.visualRect(table.model().index(row, 0)) for row in range(3)]
    tinted, plain, ringed = (image.pixelColor(row.center()) for row in rows)
    assert tinted.name() == colors.selected
    assert plain.name() == ringed.name() == colors.base
    assert image.pixelColor(rows[2].center().x(), rows[2].top()).name() == colors.focus


def _ratio(colors: Colors, one: str, other: str) -> float:
    return contrast(QColor(getattr(colors, one)), QColor(getattr(colors, other)))
