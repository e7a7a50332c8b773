"""The contents of a folder: what is shown while it fills, fails and changes, in every order. Qt's own tester watches along."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PySide6.QtCore import QModelIndex, QPersistentModelIndex, Qt
from PySide6.QtTest import QAbstractItemModelTester
from pytestqt.qtbot import QtBot

from kegbrowser.backends.base import ListEntry
from kegbrowser.backends.errors import ConnectionLost
from kegbrowser.backends.locations import RemotePath
from kegbrowser.models.listing import Column, ListingModel, ListingState
from kegbrowser.models.natural import natural_key
from kegbrowser.models.shown_names import shown_name
from kegbrowser.ui.contents_view import ContentsView
from tests.doubles.lister import ScriptedLister, file, folder

HERE = RemotePath.folder("c", "here/")
THERE = RemotePath.folder("c", "there/")
UP, DOWN = Qt.SortOrder.AscendingOrder, Qt.SortOrder.DescendingOrder
LOST = ConnectionLost("The connection was lost.")


def kind_of(name: str, is_folder: bool) -> str:
    return "Folder" if is_folder else name.rpartition(".")[2].upper()


def watched(model: ListingModel) -> ListingModel:
    """Have Qt check the model at each of its signals; what it finds is a warning, which fails the test."""
    QAbstractItemModelTester(model, QAbstractItemModelTester.FailureReportingMode.Warning, model)
    return model


@pytest.fixture
def lister(qapp: object) -> ScriptedLister:
    return ScriptedLister()


@pytest.fixture
def model(lister: ScriptedLister) -> Iterator[ListingModel]:
    made = watched(ListingModel(lister, kind_of, lambda _name, _is_folder: None))
    yield made
    made.show_folder(None)


def names(model: ListingModel) -> list[str]:
    return [str(model.index(row, Column.NAME).data(Qt.ItemDataRole.EditRole)) for row in range(model.rowCount())]


def shown(lister: ScriptedLister, model: ListingModel, *entries: ListEntry) -> None:
    model.show_folder(HERE)
    lister.finish(HERE, entries)


# -- states ----------------------------------------------------------------------------------------------------------------


def test_a_folder_is_listed_once_and_shown_in_natural_order_with_folders_first(
    lister: ScriptedLister, model: ListingModel
) -> None:
    shown(lister, model, file("file10"), folder("z"), file("File2"), file("file1"), folder("b"))

    assert lister.asked == [HERE]
    assert model.state is ListingState.LISTED
    assert names(model) == ["b", "z", "file1", "File2", "file10"]


def test_rows_come_while_the_listing_runs(lister: ScriptedLister, model: ListingModel, qtbot: QtBot) -> None:
    model.show_folder(HERE)
    assert model.state is ListingState.LISTING
    lister.page(HERE, [file("b"), file("a")])
    qtbot.waitUntil(lambda: model.rowCount() == 2)
    lister.page(HERE, [folder("c"), file("0")])
    qtbot.waitUntil(lambda: model.rowCount() == 4)
    qtbot.waitUntil(lambda: names(model) == ["c", "0", "a", "b"])
    lister.finish(HERE, [file("aa")])

    assert names(model) == ["c", "0", "a", "aa", "b"]


def test_a_failure_keeps_what_came_and_says_why(lister: ScriptedLister, model: ListingModel) -> None:
    model.show_folder(HERE)
    lister.page(HERE, [file("a")])
    lister.fail(HERE, LOST)

    assert (model.state, model.error) == (ListingState.FAILED, LOST)
    assert names(model) == ["a"]
    model.refresh()
    assert (model.state, model.error) == (ListingState.LISTING, None)
    lister.finish(HERE, [file("b")])
    assert names(model) == ["b"]


def test_stopping_keeps_what_came(lister: ScriptedLister, model: ListingModel) -> None:
    model.show_folder(HERE)
    lister.page(HERE, [file("a")])
    model.stop()

    assert model.state is ListingState.STOPPED
    assert names(model) == ["a"]


def test_another_folder_shows_nothing_of_the_one_before(lister: ScriptedLister, model: ListingModel) -> None:
    model.show_folder(HERE)
    lister.page(HERE, [file("late")])
    model.show_folder(THERE)

    assert lister.released == [HERE]
    assert model.rowCount() == 0
    lister.finish(THERE, [file("there")])
    assert names(model) == ["there"]
    assert model.path_at(0) == RemotePath.file("c", "there/there")


def test_no_folder_shows_nothing(lister: ScriptedLister, model: ListingModel) -> None:
    shown(lister, model, file("a"))
    model.show_folder(None)

    assert (model.state, model.rowCount(), model.folder) == (ListingState.NOTHING, 0, None)


def test_an_empty_folder_is_listed_with_no_rows(lister: ScriptedLister, model: ListingModel) -> None:
    shown(lister, model)

    assert (model.state, model.rowCount()) == (ListingState.LISTED, 0)


def test_what_joins_a_running_listing_shows_its_pages(
    lister: ScriptedLister, model: ListingModel, qtbot: QtBot
) -> None:
    lister.list_folder(HERE, "tree")
    lister.page(HERE, [file("a")])
    model.show_folder(HERE)
    qtbot.waitUntil(lambda: names(model) == ["a"])
    lister.finish(HERE, [file("b")])

    assert names(model) == ["a", "b"]
    assert lister.asked == [HERE]


# -- refreshing ------------------------------------------------------------------------------------------------------------


def test_a_refresh_shows_the_old_rows_until_the_new_ones_are_whole(
    lister: ScriptedLister, model: ListingModel, qtbot: QtBot
) -> None:
    shown(lister, model, file("a"), file("b"), file("c", size=1))
    model.refresh()
    lister.page(HERE, [file("c", size=2)])
    qtbot.waitUntil(lambda: not model._tick.isActive())
    assert names(model) == ["a", "b", "c"]
    lister.finish(HERE, [file("d"), file("a")])

    assert names(model) == ["a", "c", "d"]
    assert model.entry_at(1).size == 2


def test_a_refresh_that_fails_keeps_the_old_rows(lister: ScriptedLister, model: ListingModel) -> None:
    shown(lister, model, file("a"), file("b"))
    model.refresh()
    lister.page(HERE, [file("x")])
    lister.fail(HERE, LOST)

    assert names(model) == ["a", "b"]
    assert model.state is ListingState.FAILED


def test_a_refresh_may_empty_the_folder(lister: ScriptedLister, model: ListingModel) -> None:
    shown(lister, model, file("a"), folder("b"))
    model.refresh()
    lister.finish(HERE)

    assert (model.rowCount(), model.state) == (0, ListingState.LISTED)


def test_a_refresh_without_a_change_leaves_the_view_alone(lister: ScriptedLister, model: ListingModel) -> None:
    shown(lister, model, file("a"), folder("b"))
    resets: list[object] = []
    model.modelReset.connect(lambda: resets.append(1))
    model.refresh()
    lister.finish(HERE, [file("a"), folder("b")])

    assert resets == []
    model.refresh()
    lister.finish(HERE, [file("a", minute=1), folder("b")])
    assert resets == [1]


def test_the_selection_is_kept_by_name_over_a_refresh(
    lister: ScriptedLister, model: ListingModel, qtbot: QtBot
) -> None:
    view = ContentsView(model)
    qtbot.addWidget(view)
    shown(lister, model, *(file(name) for name in "abcdef"))
    view.selectRow(4)
    model.refresh()
    lister.finish(HERE, [folder("new"), file("0"), file("e", size=9), file("f")])

    assert [path.name for path in view.selected_paths()] == ["e"]
    assert model.path_at(view.currentIndex().row()).name == "e"
    model.refresh()
    lister.finish(HERE, [file("f")])
    assert view.selected_paths() == ()


# -- order -----------------------------------------------------------------------------------------------------------------

ROWS = (
    folder("folder 2"),
    folder("folder 10"),
    file("b.txt", size=10, minute=3),
    file("a.zip", size=None, minute=2),
    file("c.png", size=5 * 2**30, minute=None),
    file("a.txt", size=10, minute=1),
)


@pytest.mark.parametrize(
    ("column", "order", "files"),
    [
        (Column.NAME, UP, ["a.txt", "a.zip", "b.txt", "c.png"]),
        (Column.NAME, DOWN, ["c.png", "b.txt", "a.zip", "a.txt"]),
        (Column.SIZE, UP, ["a.zip", "a.txt", "b.txt", "c.png"]),
        (Column.SIZE, DOWN, ["c.png", "b.txt", "a.txt", "a.zip"]),
        (Column.KIND, UP, ["c.png", "a.txt", "b.txt", "a.zip"]),
        (Column.KIND, DOWN, ["a.zip", "b.txt", "a.txt", "c.png"]),
        (Column.MODIFIED, UP, ["c.png", "a.txt", "a.zip", "b.txt"]),
        (Column.MODIFIED, DOWN, ["b.txt", "a.zip", "a.txt", "c.png"]),
    ],
)
def test_each_column_sorts_both_ways_and_folders_stay_first(
    lister: ScriptedLister, model: ListingModel, column: Column, order: Qt.SortOrder, files: list[str]
) -> None:
    shown(lister, model, *ROWS)
    model.sort(column, order)

    by_name = ["folder 2", "folder 10"]
    folders = by_name if order == UP else by_name[::-1]
    assert names(model) == [*folders, *files]


def test_a_refresh_keeps_the_order_that_was_chosen(lister: ScriptedLister, model: ListingModel) -> None:
    shown(lister, model, file("a", size=1), file("b", size=2))
    model.sort(Column.SIZE, DOWN)
    model.refresh()
    lister.finish(HERE, [file("a", size=5), file("b", size=2), file("c", size=3)])

    assert names(model) == ["a", "c", "b"]


def test_sorting_takes_indexes_that_are_held_along(lister: ScriptedLister, model: ListingModel) -> None:
    shown(lister, model, *ROWS)
    held = {name: QPersistentModelIndex(model.index(row, column))
            for column in (Column.NAME, Column.SIZE) for row, name in enumerate(names(model))}  # fmt: skip
    for column, order in itertools.product(Column, (DOWN, UP)):
        model.sort(column, order)
        assert {names(model)[index.row()] for index in held.values()} == set(held)
        assert all(names(model)[index.row()] == name for name, index in held.items())


def test_natural_order_compares_numbers_by_value() -> None:
    wanted = ["a", "a1", "a02", "a2", "a10", "a10b2", "a10b10", f"a{'9' * 30}", f"a1{'0' * 30}", "b"]

    assert sorted(sorted(wanted, key=len), key=lambda name: (natural_key(name), name)) == wanted


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=6), unique=True, max_size=8))
def test_any_names_are_shown_each_once_and_in_an_order_of_their_own(qapp: object, given_names: list[str]) -> None:
    lister = ScriptedLister()
    model = watched(ListingModel(lister, kind_of, lambda _name, _is_folder: None))
    shown(lister, model, *(file(name) for name in given_names))
    once = names(model)
    model.refresh()
    lister.finish(HERE, [file(name) for name in reversed(given_names)])

    assert sorted(once) == sorted(given_names)
    assert names(model) == once
    unseen = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert not any(
        unicodedata.category(char) in unseen
        for name in given_names
        for char in shown_name(name)
        if char not in "\u200c\u200d"
    )


# -- filter ----------------------------------------------------------------------------------------------------------------


def test_a_filter_shows_what_contains_it_and_the_empty_one_everything(
    lister: ScriptedLister, model: ListingModel
) -> None:
    shown(lister, model, folder("Photos"), file("photo.jpg"), file("notes"))
    model.set_filter("PHOTO")
    assert (names(model), model.total_rows) == (["Photos", "photo.jpg"], 3)
    model.set_filter("nothing like it")
    assert names(model) == []
    model.set_filter("")
    assert names(model) == ["Photos", "notes", "photo.jpg"]


def test_a_filter_holds_for_pages_that_come_and_for_a_refresh(
    lister: ScriptedLister, model: ListingModel, qtbot: QtBot
) -> None:
    model.show_folder(HERE)
    model.set_filter("x")
    lister.page(HERE, [file("x1"), file("y")])
    qtbot.waitUntil(lambda: names(model) == ["x1"])
    lister.finish(HERE, [file("x0")])
    assert names(model) == ["x0", "x1"]
    model.refresh()
    lister.finish(HERE, [file("y"), file("x2")])
    assert names(model) == ["x2"]


def test_hidden_files_are_hidden_and_still_known(lister: ScriptedLister, model: ListingModel) -> None:
    model.set_show_hidden(False)
    shown(lister, model, file(".hidden"), file("seen"))

    assert names(model) == ["seen"]
    assert model.has_name(".hidden")
    assert not model.has_name("hidden")
    model.set_show_hidden(True)
    assert names(model) == [".hidden", "seen"]


# -- what cells say ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("", "⟨no name⟩"),
        ("a\nb", "a\\x0ab"),
        ("evil\u202egpj.exe", "evil\\u202egpj.exe"),
        ("bell\x07\x7f", "bell\\x07\\x7f"),
        ("raw\udcff", "raw\\udcff"),
        ("next\x85line\u2028", "next\\x85line\\u2028"),
        ("a\u200bb\u200f\U000e0041", "a\\u200bb\\u200f\\U000e0041"),
        ("👩\u200d🚀 at 9\u202fAM", "👩\u200d🚀 at 9\u202fAM"),
        ("naïve 日本 🦆", "naïve 日本 🦆"),
        ("<b>bold</b>&amp;", "<b>bold</b>&amp;"),
    ],
)
def test_a_hostile_name_is_shown_so_that_it_cannot_deceive_and_used_as_it_is(
    lister: ScriptedLister, model: ListingModel, name: str, text: str
) -> None:
    shown(lister, model, file(name))
    index = model.index(0, Column.NAME)

    assert index.data() == index.data(Qt.ItemDataRole.AccessibleTextRole) == text
    assert model.has_name(name)
    assert model.path_at(0).path == f"here/{name}"


def test_a_name_is_never_markup_in_a_tool_tip(lister: ScriptedLister, model: ListingModel) -> None:
    shown(lister, model, file("<img src='file:///x'>&"), file("plain & simple"))
    marked, plain = (str(model.index(row, 0).data(Qt.ItemDataRole.ToolTipRole)) for row in range(2))

    assert "<img" not in marked
    assert "&lt;img src=&#x27;file:///x&#x27;&gt;&amp;" in marked
    assert plain == "plain & simple"


def test_sizes_beyond_32_bits_are_whole_and_unknown_ones_empty(lister: ScriptedLister, model: ListingModel) -> None:
    shown(lister, model, file("big", size=5 * 2**40), file("unknown", size=None, minute=None), folder("x"))

    assert [model.index(row, Column.SIZE).data() for row in range(3)] == ["", "5.0 TiB", ""]
    assert model.index(2, Column.MODIFIED).data() == ""
    assert model.totals().bytes == 5 * 2**40


def test_rows_are_found_by_name_and_by_their_beginning(lister: ScriptedLister, model: ListingModel) -> None:
    shown(lister, model, folder("same"), file("same"), file("Alpha"), file("beta"))

    assert names(model) == ["same", "Alpha", "beta", "same"]
    assert (model.row_of("same"), model.row_of("same", is_folder=False), model.row_of("none")) == (0, 3, -1)
    assert model.row_starting_with("s", 0) == 3
    assert model.row_starting_with("s", 3) == 0
    assert model.row_starting_with("ALP", -1) == 1
    assert model.row_starting_with("zzz", 0) == -1


def test_an_index_that_is_none_has_no_data_and_takes_drops(lister: ScriptedLister, model: ListingModel) -> None:
    shown(lister, model, folder("f"), file("a"))

    assert model.data(QModelIndex()) is None
    assert model.flags(QModelIndex()) == Qt.ItemFlag.ItemIsDropEnabled
    assert model.flags(model.index(0, 0)) & Qt.ItemFlag.ItemIsDropEnabled
    assert not model.flags(model.index(1, 0)) & Qt.ItemFlag.ItemIsDropEnabled
