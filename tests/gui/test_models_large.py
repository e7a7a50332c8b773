"""Large folders, which are arranged beside the window: they show what small ones show, a moment later."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PySide6.QtCore import QItemSelectionModel, Qt
from PySide6.QtGui import QIcon
from PySide6.QtTest import QAbstractItemModelTester
from pytestqt.qtbot import QtBot

from kegbrowser.backends.base import ListEntry
from kegbrowser.backends.locations import RemotePath
from kegbrowser.models import listing
from kegbrowser.models.listing import Column, Index, ListingModel, ListingState
from kegbrowser.models.natural import natural_key
from kegbrowser.models.rows import Rows
from kegbrowser.transfer.events import PageListed
from kegbrowser.ui.contents_view import ContentsView
from tests.doubles.lister import ScriptedLister, file, folder

HERE = RemotePath.folder("c", "here/")
Flag = QItemSelectionModel.SelectionFlag
UP, DOWN = Qt.SortOrder.AscendingOrder, Qt.SortOrder.DescendingOrder


def kind_of(name: str, is_folder: bool) -> str:
    return "Folder" if is_folder else name.rpartition(".")[2].upper()


@pytest.fixture
def lister(qapp: object) -> ScriptedLister:
    return ScriptedLister()


@pytest.fixture
def model(lister: ScriptedLister, monkeypatch: pytest.MonkeyPatch) -> Iterator[ListingModel]:
    monkeypatch.setattr(listing, "SMALL_ROWS", 3)
    monkeypatch.setattr(listing, "RESORT_MS", 1)
    made = ListingModel(lister, kind_of, lambda _name, _is_folder: QIcon())
    QAbstractItemModelTester(made, QAbstractItemModelTester.FailureReportingMode.Warning, made)
    yield made
    made.show_folder(None)


def names(model: ListingModel) -> list[str]:
    return [model.path_at(row).name for row in range(model.rowCount())]


def settled(qtbot: QtBot, model: ListingModel) -> None:
    qtbot.waitUntil(lambda: not model.is_arranging and not model._resort.isActive())


def entries(count: int, seed: int = 0) -> list[ListEntry]:
    chance = random.Random(seed)
    made = [folder(f"Dir {chance.randrange(100)}-{number}") for number in range(count // 5)]
    made += [
        file(
            f"{chance.choice(['IMG_', 'img ', 'Über', '.hid'])}{chance.randrange(300)}_{number}.{chance.choice('abc')}",
            chance.choice([None, 0, 5, 2**40]),
            chance.choice([None, 1, 2]),
        )
        for number in range(count)
    ]
    chance.shuffle(made)
    return made


def expected(found: list[ListEntry], column: Column, order: Qt.SortOrder) -> list[str]:
    facts: dict[Column, Callable[[ListEntry], Any]] = {
        Column.NAME: lambda one: 0,
        Column.SIZE: lambda one: -1 if one.size is None else one.size,
        Column.KIND: lambda one: kind_of(one.name, one.is_folder),
        Column.MODIFIED: lambda one: -1.0 if one.last_modified is None else one.last_modified.timestamp(),
    }
    fact = facts[column]
    ordered = sorted(found, key=lambda one: (fact(one), natural_key(one.name), one.name), reverse=order == DOWN)
    return [one.name for one in ordered if one.is_folder] + [one.name for one in ordered if not one.is_folder]


@pytest.mark.parametrize("order", [UP, DOWN])
@pytest.mark.parametrize("column", list(Column))
def test_the_order_is_that_of_a_small_folder(
    lister: ScriptedLister, model: ListingModel, qtbot: QtBot, column: Column, order: Qt.SortOrder
) -> None:
    found = entries(200)
    model.sort(column, order)
    model.show_folder(HERE)
    lister.page(HERE, found[:50])
    qtbot.waitUntil(lambda: model.rowCount() == 50)
    lister.page(HERE, found[50:90])
    lister.finish(HERE, found[90:])
    settled(qtbot, model)

    assert names(model) == expected(found, column, order)
    assert model.totals() == model.totals([(0, model.rowCount() - 1)]) == model._rows.totals
    assert all(model.row_of(name) == row for row, name in enumerate(names(model)))


def test_a_filter_takes_pages_that_come_while_it_is_worked_on(
    lister: ScriptedLister, model: ListingModel, qtbot: QtBot
) -> None:
    found = entries(300)
    model.show_folder(HERE)
    lister.page(HERE, found[:100])
    qtbot.waitUntil(lambda: model.rowCount() == 100)
    model.set_filter("IMG")
    lister.page(HERE, found[100:200])
    qtbot.waitUntil(lambda: model.total_rows == 200)
    model.set_show_hidden(False)
    lister.finish(HERE, found[200:])
    settled(qtbot, model)

    wanted = [one for one in found if "img" in one.name.casefold() and not one.name.startswith(".")]
    assert names(model) == expected(wanted, Column.NAME, UP)
    assert model.total_rows == len(found)
    assert model.totals().bytes == sum(one.size or 0 for one in wanted)
    model.set_filter("")
    model.set_show_hidden(True)
    settled(qtbot, model)
    assert names(model) == expected(found, Column.NAME, UP)


def test_the_selection_is_kept_by_name_over_sorting_filtering_and_a_refresh(
    lister: ScriptedLister, model: ListingModel, qtbot: QtBot
) -> None:
    view = ContentsView(model)
    qtbot.addWidget(view)
    found = entries(200)
    model.show_folder(HERE)
    lister.finish(HERE, found)
    settled(qtbot, model)
    chosen = {names(model)[row] for row in (0, 5, 6, 7, 90)}
    for name in chosen:
        view.selectionModel().select(model.index(model.row_of(name), 0), Flag.Select | Flag.Rows)
    view.selectionModel().setCurrentIndex(model.index(6, 0), Flag.NoUpdate)
    current = names(model)[6]

    model.sort(Column.SIZE, DOWN)
    settled(qtbot, model)
    assert {path.name for path in view.selected_paths()} == chosen
    assert model.path_at(view.currentIndex().row()).name == current
    gone = sorted(chosen)[0]
    model.refresh()
    lister.finish(HERE, [file("new"), *reversed([one for one in found if one.name != gone])])
    settled(qtbot, model)

    assert {path.name for path in view.selected_paths()} == chosen - {gone}
    assert model.rowCount() == len(found)


def test_a_refresh_without_a_change_leaves_the_view_alone(
    lister: ScriptedLister, model: ListingModel, qtbot: QtBot
) -> None:
    found = entries(50)
    model.show_folder(HERE)
    lister.finish(HERE, found)
    settled(qtbot, model)
    resets: list[object] = []
    model.modelReset.connect(lambda: resets.append(1))
    model.refresh()
    lister.page(HERE, found[:7])
    lister.finish(HERE, found[7:])
    settled(qtbot, model)
    assert resets == []

    model.refresh()
    lister.finish(HERE, found[1:])
    model.sort(Column.SIZE, UP)  # while the new listing is worked on
    settled(qtbot, model)
    assert names(model) == expected(found[1:], Column.SIZE, UP)


def test_another_folder_gets_no_rows_of_one_that_was_worked_on(
    lister: ScriptedLister, model: ListingModel, qtbot: QtBot
) -> None:
    model.show_folder(HERE)
    lister.finish(HERE, entries(100))
    there = RemotePath.folder("c", "there/")
    model.show_folder(there)
    lister.finish(there, [file("b"), file("a")])
    qtbot.wait(50)

    assert (names(model), model.state) == (["a", "b"], ListingState.LISTED)


def test_everything_is_one_stretch_when_all_is_selected(
    lister: ScriptedLister, model: ListingModel, qtbot: QtBot
) -> None:
    view = ContentsView(model)
    qtbot.addWidget(view)
    model.show_folder(HERE)
    lister.finish(HERE, entries(500))
    settled(qtbot, model)
    view.selectAll()

    assert view.selected_ranges() == [(0, model.rowCount() - 1)]
    assert view.selected_count() == model.rowCount() == 600
    model.sort(Column.KIND, DOWN)
    settled(qtbot, model)
    assert view.selected_ranges() == [(0, 599)]


def test_what_is_selected_costs_nothing_when_it_is_painted(
    lister: ScriptedLister, model: ListingModel, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = ContentsView(model)
    qtbot.addWidget(view)
    view.show()
    model.show_folder(HERE)
    lister.finish(HERE, entries(2_000))
    settled(qtbot, model)
    view.selectAll()
    asked = 0

    def flags(index: Index) -> Qt.ItemFlag:
        nonlocal asked
        asked += 1
        return ListingModel.flags(model, index)

    monkeypatch.setattr(model, "flags", flags)
    view.grab()

    assert asked < 1_000


def test_rows_are_found_in_any_page() -> None:
    rows = Rows()
    for first in range(0, 3000, 7):
        rows.append(PageListed.from_entries([file(f"n{number}") for number in range(first, first + 7)]))

    assert rows.numbers_named("n2999") == [2999]
    assert rows.numbers_named("n") == []
    assert rows.numbers_starting_with("N299") == {299, *range(2990, 3000)}
    assert [rows.name(number) for number in (0, 6, 7, 2050)] == ["n0", "n6", "n7", "n2050"]
