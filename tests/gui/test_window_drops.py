"""What is dropped on the contents, the tree and the path goes where it was dropped, or nowhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPoint, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDragLeaveEvent, QDragMoveEvent, QDropEvent
from PySide6.QtWidgets import QApplication, QWidget

from kegbrowser.backends.locations import RemotePath
from kegbrowser.transfer.jobs import ConflictPolicy
from kegbrowser.ui import drops
from kegbrowser.ui.path_bar import PathBar
from tests.gui.conftest import Program

BOTH = Qt.DropAction.CopyAction | Qt.DropAction.MoveAction
NONE, CTRL, SHIFT = (
    Qt.KeyboardModifier.NoModifier,
    Qt.KeyboardModifier.ControlModifier,
    Qt.KeyboardModifier.ShiftModifier,
)


@dataclass(frozen=True)
class Taken:
    """A call of the queue."""

    verb: str
    sources: tuple[object, ...]
    target: RemotePath
    move: bool = False


@pytest.fixture
def taken(program: Program, monkeypatch: pytest.MonkeyPatch) -> list[Taken]:
    """What the queue is asked for, in place of doing it."""
    calls: list[Taken] = []

    def upload(
        sources: tuple[str, ...],
        target: RemotePath,
        policy: ConflictPolicy = ConflictPolicy.ASK,
        *,
        rename_to: str = "",
    ) -> int:
        calls.append(Taken("upload", sources, target))
        return 1

    def copy(
        sources: tuple[RemotePath, ...],
        target: RemotePath,
        policy: ConflictPolicy = ConflictPolicy.ASK,
        *,
        move: bool = False,
        rename_to: str = "",
    ) -> tuple[int, ...]:
        calls.append(Taken("copy", sources, target, move))
        return (1,)

    monkeypatch.setattr(program.queue, "upload", upload)
    monkeypatch.setattr(program.queue, "copy", copy)
    return calls


def files(*paths: str) -> QMimeData:
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(path) if path.startswith("/") else QUrl(path) for path in paths])
    return mime


def items(*paths: RemotePath) -> QMimeData:
    return drops.mime_of(paths, ())


def drop(
    widget: QWidget, point: QPoint, mime: QMimeData, modifiers: Qt.KeyboardModifier = NONE
) -> Qt.DropAction | None:
    """Drag over a widget and let go; the action that was taken, None if it was refused."""
    button = Qt.MouseButton.LeftButton
    enter = QDragEnterEvent(point, BOTH, mime, button, modifiers)
    QApplication.sendEvent(widget, enter)
    move = QDragMoveEvent(point, BOTH, mime, button, modifiers)
    QApplication.sendEvent(widget, move)
    if not (enter.isAccepted() and move.isAccepted()):
        QApplication.sendEvent(widget, QDragLeaveEvent())
        return None
    event = QDropEvent(point.toPointF(), BOTH, mime, button, modifiers)
    QApplication.sendEvent(widget, event)
    return event.dropAction() if event.isAccepted() else None


def contents_point(program: Program, name: str = "") -> QPoint:
    """The middle of a row, or the empty space below all of them."""
    view = program.contents
    if not name:
        return QPoint(20, view.viewport().height() - 5)
    return view.visualRect(program.application.listing.index(program.names().index(name), 0)).center()


def onto_contents(
    program: Program, mime: QMimeData, name: str = "", modifiers: Qt.KeyboardModifier = NONE
) -> Qt.DropAction | None:
    return drop(program.contents.viewport(), contents_point(program, name), mime, modifiers)


def test_files_dropped_on_the_contents_go_where_they_were_dropped(program: Program, taken: list[Taken]) -> None:
    assert onto_contents(program, files("/x/a", "/x/b c")) == Qt.DropAction.CopyAction
    assert onto_contents(program, files("/x/a"), "folder") == Qt.DropAction.CopyAction
    assert onto_contents(program, files("/x/a"), "b.txt", SHIFT) == Qt.DropAction.CopyAction, (
        "never a move from outside"
    )

    assert taken == [
        Taken("upload", ("/x/a", "/x/b c"), program.folder()),
        Taken("upload", ("/x/a",), program.folder("folder/")),
        Taken("upload", ("/x/a",), program.folder()),
    ]


def test_items_are_moved_within_a_connection_and_the_modifiers_decide(program: Program, taken: list[Taken]) -> None:
    file = RemotePath.file(program.connection_id, "a.txt")
    target = program.folder("folder/")
    assert onto_contents(program, items(file), "folder") == Qt.DropAction.MoveAction
    assert onto_contents(program, items(file), "folder", CTRL) == Qt.DropAction.CopyAction
    other = RemotePath.file(program.other_id, "z")
    assert onto_contents(program, items(other), "folder") == Qt.DropAction.CopyAction
    assert onto_contents(program, items(other), "folder", SHIFT) == Qt.DropAction.MoveAction

    assert taken == [
        Taken("copy", (file,), target, move=True),
        Taken("copy", (file,), target, move=False),
        Taken("copy", (other,), target, move=False),
        Taken("copy", (other,), target, move=True),
    ]


@pytest.mark.parametrize("modifiers", [NONE, CTRL, SHIFT])
def test_a_folder_is_not_dropped_into_itself_nor_anything_where_it_is(
    program: Program, taken: list[Taken], modifiers: Qt.KeyboardModifier
) -> None:
    assert onto_contents(program, items(program.folder("folder/")), "folder", modifiers) is None
    assert onto_contents(program, items(program.folder("folder/")), "", modifiers) is None
    assert onto_contents(program, items(program.folder("")), "folder", modifiers) is None
    tree = program.application.browser.tree
    program.application.tree.ensure(program.folder("folder/deeper/"))
    deeper = program.application.tree.index_of(program.folder("folder/deeper/"))
    tree.expand(deeper.parent())
    point = tree.visualRect(deeper).center()
    assert drop(tree.viewport(), point, items(program.folder("folder/")), modifiers) is None

    assert taken == []


def test_addresses_of_the_web_are_not_taken_and_a_message_says_so(program: Program, taken: list[Taken]) -> None:
    onto_contents(program, files("https://example.org/file"))
    assert "Only files of this computer" in program.message
    assert taken == []
    program.application.browser.messages.hide()
    onto_contents(program, files("/x/a", "smb://server/share/file"))
    assert taken == [Taken("upload", ("/x/a",), program.folder())]
    assert "Only files of this computer" in program.message


def test_what_is_neither_a_file_nor_an_item_is_refused(program: Program, taken: list[Taken]) -> None:
    text, forged = QMimeData(), QMimeData()
    text.setText("hello")
    forged.setData(drops.ITEMS_TYPE, b'{"items": [1, 2], "cut": "x"}')
    for mime in (text, forged, QMimeData()):
        assert onto_contents(program, mime) is None

    assert taken == []


def test_files_dropped_on_the_tree_go_into_that_folder(program: Program, taken: list[Taken]) -> None:
    tree = program.application.browser.tree
    model = program.application.tree
    model.ensure(program.folder("folder/"))
    tree.expand(model.index_of(program.folder()))
    for target in (program.folder("folder/"), program.folder(), RemotePath.folder(program.other_id)):
        point = tree.visualRect(model.index_of(target)).center()
        assert drop(tree.viewport(), point, files("/x/a")) == Qt.DropAction.CopyAction
    below_everything = QPoint(5, tree.viewport().height() - 2)
    assert drop(tree.viewport(), below_everything, files("/x/a")) is None

    assert [one.target for one in taken] == [
        program.folder("folder/"),
        program.folder(),
        RemotePath.folder(program.other_id),
    ]


def test_things_dropped_on_the_path_go_into_that_folder(program: Program, taken: list[Taken]) -> None:
    program.go_to("folder/")
    crumb = program.window.findChild(PathBar, "path_bar")
    assert crumb is not None
    buttons = [button for button, _separator in crumb._crumbs._steps]
    middle = buttons[0].rect().center()
    inner = RemotePath.file(program.connection_id, "folder/inner.txt")
    assert drop(buttons[0], middle, files("/x/a")) == Qt.DropAction.CopyAction
    assert drop(buttons[0], middle, items(inner)) == Qt.DropAction.MoveAction
    drop(buttons[1], buttons[1].rect().center(), items(inner))

    assert taken == [
        Taken("upload", ("/x/a",), program.folder()),
        Taken("copy", (inner,), program.folder(), move=True),
    ]


def test_a_dropped_file_really_arrives(program: Program, tmp_path: Path) -> None:
    source = tmp_path / "dropped ü.txt"
    source.write_text("dropped")
    with program.qtbot.waitSignal(program.queue.transfer_ended, timeout=20_000):
        onto_contents(program, files(str(source)), "folder")

    assert (program.remote / "folder" / "dropped ü.txt").read_text() == "dropped"
    assert source.exists()
