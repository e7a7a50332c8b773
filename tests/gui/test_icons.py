"""Icons: each is drawn in both themes, at the sizes the window uses, from the program's own files."""

from __future__ import annotations

import ast
import timeit
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QSize
from PySide6.QtGui import QColor, QIcon, QImage, QPainter, QPixmap
from pytestqt.qtbot import QtBot

import kegbrowser
from kegbrowser.backends.base import EntryKind
from kegbrowser.backends.registry import backends
from kegbrowser.resources import resource_folder
from kegbrowser.services.transfer import Transfer, TransferKind, TransferState
from kegbrowser.ui import file_kinds, icons, message_bar, transfer_table
from kegbrowser.ui.actions import ACTIONS
from kegbrowser.ui.colors import DARK, LIGHT, Colors
from tests.gui.contrast import contrast, mixed

NAMES = sorted(path.stem for path in (resource_folder() / "icons").glob("*.svg"))
_TAKES_A_NAME = ("icon", "icons.icon", "self._say", "self._button")
BOTH = pytest.mark.parametrize("colors", [LIGHT, DARK], ids=["light", "dark"])


@pytest.fixture(autouse=True)
def _light_again(qtbot: QtBot) -> Iterator[None]:
    yield
    icons.use_colors(LIGHT)


@BOTH
@pytest.mark.parametrize("pixels", [16, 20, 32])
def test_every_icon_is_drawn(colors: Colors, pixels: int) -> None:
    icons.use_colors(colors)

    empty = [name for name in NAMES if _inked(_image(name, pixels)) < pixels]

    assert NAMES
    assert empty == []


@BOTH
def test_every_icon_stands_out_from_the_ground_it_is_drawn_on(colors: Colors) -> None:
    icons.use_colors(colors)

    faint = [name for name in NAMES if _strongest_contrast(_image(name, 20), QColor(colors.base)) < 3]

    assert faint == []


@pytest.mark.parametrize("name", NAMES)
def test_every_file_of_an_icon_is_square_and_has_a_size(name: str) -> None:
    content = (resource_folder() / "icons" / f"{name}.svg").read_text("utf-8")
    side = "64" if name == "kegbrowser" else "16" if "currentColor" in content else "20"

    assert f'width="{side}" height="{side}" viewBox="0 0 {side} {side}"' in content
    assert "<image" not in content
    assert "href" not in content


def test_every_icon_that_the_code_names_has_a_file() -> None:
    named = {spec.icon for spec in ACTIONS if spec.icon}
    named |= {info.icon for info in backends().values()}
    named |= {file_kinds.icon_name_of(f"x.{ending}") for ending in file_kinds.endings()}
    named |= set(message_bar._ICONS.values())
    named |= {
        transfer_table._state_icon(Transfer(1, kind, (), None, state=state))
        for kind in TransferKind
        for state in TransferState
    }
    named |= _names_in_code()

    assert named - set(NAMES) == set()


def test_a_symbol_has_the_colour_of_the_theme_and_of_its_mode(qtbot: QtBot) -> None:
    back = icons.icon("back")

    assert _ink(back, QIcon.Mode.Normal) == LIGHT.symbol
    assert _ink(back, QIcon.Mode.Active) == LIGHT.symbol_strong
    assert _ink(back, QIcon.Mode.Disabled) == LIGHT.faint


def test_an_icon_handed_out_before_follows_the_theme(qtbot: QtBot) -> None:
    back, folder = icons.icon("back"), icons.icon("folder")
    light_folder = folder.pixmap(32, 32).toImage()
    page_before = icons.icon("file-text").pixmap(32, 32).toImage()

    icons.use_colors(DARK)

    assert _ink(back, QIcon.Mode.Normal) == DARK.symbol
    assert folder.pixmap(32, 32).toImage() == light_folder, "a folder is blue on both grounds"
    assert icons.icon("file-text").pixmap(32, 32).toImage() != page_before


def test_a_disabled_icon_with_colours_is_paler(qtbot: QtBot) -> None:
    folder = icons.icon("folder")

    normal = folder.pixmap(QSize(20, 20), QIcon.Mode.Normal).toImage().pixelColor(10, 12)
    disabled = folder.pixmap(QSize(20, 20), QIcon.Mode.Disabled).toImage().pixelColor(10, 12)

    assert disabled.alpha() < normal.alpha() // 2


def test_an_icon_is_crisp_on_a_screen_with_twice_the_pixels(qtbot: QtBot) -> None:
    pixmap = icons.icon("folder").pixmap(QSize(20, 20), 2.0)

    assert pixmap.size() == QSize(40, 40)
    assert pixmap.devicePixelRatio() == 2.0
    assert pixmap.toImage().convertToFormat(QImage.Format.Format_ARGB32) == _image("folder", 40)


def test_painting_an_icon_reads_no_file_after_the_first_time(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> None:
    target = QPixmap(40, 40)
    target.fill(QColor("white"))
    painter = QPainter(target)
    icons.icon("file-pdf").paint(painter, 0, 0, 20, 20)
    monkeypatch.setattr(Path, "read_bytes", _refuse)
    monkeypatch.setattr(Path, "open", _refuse)

    icons.icon("file-pdf").paint(painter, 0, 20, 20, 20)
    icons.file_icon("other.PDF", False).paint(painter, 20, 0, 20, 20)
    painter.end()

    image = target.toImage()
    assert image.copy(0, 0, 20, 20) == image.copy(20, 0, 20, 20) == image.copy(0, 20, 20, 20)


def test_an_icon_without_a_file_is_drawn_as_a_connection(qtbot: QtBot, caplog: pytest.LogCaptureFixture) -> None:
    image = icons.icon("from-another-package").pixmap(16, 16).toImage()

    assert image == icons.icon(icons.FALLBACK).pixmap(16, 16).toImage()
    assert "from-another-package" in caplog.text


def test_nothing_is_taken_from_the_desktops_theme() -> None:
    sources = [path.read_text("utf-8") for path in Path(kegbrowser.__file__).parent.rglob("*.py")]

    assert sources
    assert not any(word in source for source in sources for word in ("fromTheme", "standardIcon", "QFileIconProvider"))


def test_the_tree_shows_connections_containers_and_folders_apart(qtbot: QtBot) -> None:
    shown = [icons.tree_icon("sftp", EntryKind.FOLDER), icons.tree_icon("", EntryKind.CONTAINER),
             icons.tree_icon("", EntryKind.FOLDER)]  # fmt: skip

    first, second, third = (icon.pixmap(16, 16).toImage() for icon in shown)
    assert first != second != third != first


@pytest.mark.parametrize(
    ("name", "icon_name", "kind"),
    [
        ("IMG_2031.JPG", "file-image", "JPEG image"),
        ("table.csv", "file-sheet", "CSV table"),
        ("backup.tar.gz", "file-archive", "Tar archive"),
        ("notes.gz", "file-archive", "Gzip archive"),
        ("Makefile", "file-code", "Build file"),
        ("README", "file-text", "Text"),
        (".gitignore", "file-text", "Settings"),
        (".hidden.txt", "file-text", "Text"),
        ("data.xyz", "file", "XYZ file"),
        ("data.2024", "file", "File"),
        ("dot.", "file", "File"),
        ("", "file", "File"),
        ("c", "file", "File"),
        ("odd.\u202egpj", "file", "File"),
        ("long." + "x" * 300, "file", "File"),
    ],
)
def test_a_name_says_what_kind_of_file_it_is(name: str, icon_name: str, kind: str) -> None:
    assert file_kinds.icon_name_of(name) == icon_name
    assert icons.kind_of(name, False) == kind


def test_a_folder_is_a_folder_whatever_it_is_called(qtbot: QtBot) -> None:
    assert icons.kind_of("photos.zip", True) == "Folder"
    assert icons.file_icon("photos.zip", True).pixmap(16).toImage() == icons.icon("folder").pixmap(16).toImage()


def test_every_ending_has_one_kind_and_an_icon_of_its_group() -> None:
    counted = [ending for texts in file_kinds._KINDS.values() for group in texts.values() for ending in group.split()]

    assert len(counted) == len(set(counted)), "an ending stands twice in the table"
    assert all(ending == ending.lower() for ending in counted)
    assert all(icons.kind_of(f"name.{ending.upper()}", False) != "File" for ending in counted)


def test_the_kind_of_a_file_is_told_within_two_microseconds() -> None:
    names = [f"file{number}.{ending}" for number, ending in enumerate(sorted(file_kinds.endings()))]
    seconds = min(timeit.repeat(lambda: [icons.kind_of(name, False) for name in names], number=1, repeat=50))

    assert seconds / len(names) < 2e-6


# -- what the tests above share -----------------------------------------------------------------------------------------


def _image(name: str, pixels: int) -> QImage:
    image = icons.icon(name).pixmap(QSize(pixels, pixels), 1.0).toImage()
    assert image.size() == QSize(pixels, pixels), name
    return image.convertToFormat(QImage.Format.Format_ARGB32)


def _inked(image: QImage) -> int:
    """Pixels of the image that are not nearly transparent."""
    return sum(
        image.pixelColor(x, y).alpha() > 60 for x in range(image.width()) for y in range(image.height())
    )  # fmt: skip


def _strongest_contrast(image: QImage, ground: QColor) -> float:
    """The highest contrast to the ground that at least ten pixels have."""
    pixels = [image.pixelColor(x, y) for x in range(image.width()) for y in range(image.height())]
    return sorted(contrast(mixed(pixel, ground), ground) for pixel in pixels)[-10]


def _ink(icon: QIcon, mode: QIcon.Mode) -> str:
    """The colour of the most opaque pixel."""
    image = icon.pixmap(QSize(32, 32), mode).toImage()
    colors = [image.pixelColor(x, y) for x in range(32) for y in range(32)]
    return max(colors, key=QColor.alpha).name()


def _names_in_code() -> set[str]:
    """The names written in calls of `icon("...")` and of what hands its first argument on to it."""
    found: set[str] = set()
    for path in Path(kegbrowser.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and node.args and ast.unparse(node.func) in _TAKES_A_NAME:
                first = node.args[0]
                choices = [first.body, first.orelse] if isinstance(first, ast.IfExp) else [first]
                found |= {one.value for one in choices if isinstance(one, ast.Constant) and isinstance(one.value, str)}
    return found - {""}


def _refuse(*_arguments: object, **_options: object) -> bytes:
    raise AssertionError("a file was read while painting")
