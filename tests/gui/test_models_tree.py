"""The tree of connections and folders: filled, failed, refreshed, capped. Qt's own tester watches along."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from PySide6.QtCore import QModelIndex, Qt
from PySide6.QtTest import QAbstractItemModelTester

from kegbrowser.backends.errors import ConnectionLost
from kegbrowser.backends.locations import RemotePath
from kegbrowser.models.folder_tree import MAX_FOLDERS, STATE_ROLE, BranchState, FolderTreeModel
from kegbrowser.profiles.connections import Connection
from tests.doubles.lister import ScriptedLister, file, folder

ROOT = RemotePath.folder("a")
LOST = ConnectionLost("The connection was lost.", hint="Check the network.")


def connection(connection_id: str, name: str = "") -> Connection:
    return Connection(connection_id, "local", name or connection_id.upper(), {}, created_utc=datetime.now(UTC))


@pytest.fixture
def lister(qapp: object) -> ScriptedLister:
    return ScriptedLister()


@pytest.fixture
def tree(lister: ScriptedLister) -> FolderTreeModel:
    """Two connections; Qt checks the model at each of its signals, and what it finds is a warning, which fails the test."""
    model = FolderTreeModel(lister, lambda _kind, _entry_kind: None)
    tester = QAbstractItemModelTester(model, QAbstractItemModelTester.FailureReportingMode.Warning, model)
    tester.setUseFetchMore(False)  # what is fetched here is for the test to say
    model.set_connections((connection("a"), connection("b")))
    return model


def labels(tree: FolderTreeModel, path: RemotePath | None = None) -> list[str]:
    """What is shown below a folder; the connections by default."""
    above = QModelIndex() if path is None else tree.index_of(path)
    return [str(tree.index(row, 0, above).data()) for row in range(tree.rowCount(above))]


def state(tree: FolderTreeModel, path: RemotePath) -> object:
    return tree.index_of(path).data(STATE_ROLE)


def opened(tree: FolderTreeModel, lister: ScriptedLister, path: RemotePath, *names: str) -> None:
    """Open a branch as the view does, and have it filled with these folders."""
    tree.fetchMore(tree.index_of(path))
    lister.finish(path, [folder(name) for name in names])


def below(*names: str) -> RemotePath:
    return RemotePath.folder("a", "/".join(names))


def test_a_branch_is_listed_once_when_it_is_opened(tree: FolderTreeModel, lister: ScriptedLister) -> None:
    index = tree.index_of(ROOT)
    assert tree.hasChildren(index)
    assert tree.canFetchMore(index)
    tree.fetchMore(index)
    assert state(tree, ROOT) is BranchState.LISTING
    assert not tree.canFetchMore(index)
    tree.fetchMore(index)
    lister.finish(ROOT, [folder("f10"), file("file"), folder("F2"), folder("f1")])

    assert lister.asked == [ROOT]
    assert labels(tree, ROOT) == ["f1", "F2", "f10"]
    assert state(tree, ROOT) is BranchState.LISTED
    assert not tree.canFetchMore(index)


def test_the_invisible_root_is_never_listed(tree: FolderTreeModel, lister: ScriptedLister) -> None:
    tree.fetchMore(QModelIndex())

    assert lister.asked == []


def test_a_folder_without_folders_cannot_be_opened(tree: FolderTreeModel, lister: ScriptedLister) -> None:
    opened(tree, lister, ROOT)

    assert not tree.hasChildren(tree.index_of(ROOT))


def test_whatever_is_listed_for_others_is_taken_as_well(tree: FolderTreeModel, lister: ScriptedLister) -> None:
    lister.list_folder(ROOT, "contents")
    lister.page(ROOT, [folder("early")])
    tree.fetchMore(tree.index_of(ROOT))
    lister.finish(ROOT, [folder("late")])

    assert labels(tree, ROOT) == ["early", "late"]
    assert lister.asked == [ROOT]


def test_a_folder_nobody_listed_can_be_shown_and_stays_if_it_is_there(
    tree: FolderTreeModel, lister: ScriptedLister
) -> None:
    index = tree.ensure(below("x", "y", "z"))
    assert tree.path_at(index) == below("x", "y", "z")
    assert tree.index_of(below("x", "y")) == index.parent()
    assert tree.ensure(below("x", "y", "z")) == index
    assert lister.asked == []
    opened(tree, lister, ROOT, "w", "x")

    assert labels(tree, ROOT) == ["w", "x"]
    assert tree.index_of(below("x", "y", "z")).isValid()
    assert tree.canFetchMore(tree.index_of(below("x")))


def test_a_folder_that_was_only_guessed_goes_when_the_listing_lacks_it(
    tree: FolderTreeModel, lister: ScriptedLister
) -> None:
    tree.ensure(below("x", "y"))
    opened(tree, lister, ROOT, "other")

    assert labels(tree, ROOT) == ["other"]
    assert not tree.index_of(below("x", "y")).isValid()


def test_the_folder_of_an_unknown_connection_is_nowhere(tree: FolderTreeModel) -> None:
    assert not tree.ensure(RemotePath.folder("unknown", "x")).isValid()
    assert not tree.index_of(RemotePath.folder("unknown")).isValid()
    assert tree.ensure(ROOT) == tree.index_of(ROOT)


def test_a_refresh_removes_what_vanished_adds_what_came_and_keeps_the_rest_open(
    tree: FolderTreeModel, lister: ScriptedLister
) -> None:
    opened(tree, lister, ROOT, "a", "b", "c")
    opened(tree, lister, below("b"), "within")
    tree.refresh(ROOT)
    assert labels(tree, ROOT) == ["a", "b", "c"], "the old ones stay until all is known"
    lister.page(ROOT, [folder("bb")])
    lister.finish(ROOT, [folder("b")])

    assert labels(tree, ROOT) == ["b", "bb"]
    assert labels(tree, below("b")) == ["within"]


def test_refreshing_a_closed_branch_or_a_running_one_asks_for_nothing(
    tree: FolderTreeModel, lister: ScriptedLister
) -> None:
    tree.refresh(ROOT)
    tree.refresh(below("nowhere"))
    assert lister.asked == []
    tree.fetchMore(tree.index_of(ROOT))
    tree.refresh(ROOT)
    assert lister.asked == [ROOT]


def test_a_branch_that_fails_says_why_keeps_its_folders_and_can_be_tried_again(
    tree: FolderTreeModel, lister: ScriptedLister
) -> None:
    failed: list[object] = []
    tree.branch_failed.connect(lambda path, error: failed.append((path, error)))
    tree.fetchMore(tree.index_of(ROOT))
    lister.page(ROOT, [folder("x")])
    lister.fail(ROOT, LOST)
    index = tree.index_of(ROOT)

    assert failed == [(ROOT, LOST)]
    assert state(tree, ROOT) is BranchState.FAILED
    assert index.data(Qt.ItemDataRole.ToolTipRole) == "The connection was lost. Check the network."
    assert labels(tree, ROOT) == ["x"]
    assert not tree.canFetchMore(index), "a failure is not repeated by itself"
    tree.list_again(index)
    assert lister.asked == [ROOT, ROOT]
    lister.finish(ROOT, [folder("y")])
    assert (state(tree, ROOT), labels(tree, ROOT)) == (BranchState.LISTED, ["y"])
    assert index.data(Qt.ItemDataRole.ToolTipRole) == "A"


def test_a_branch_whose_listing_was_stopped_can_be_listed_again(tree: FolderTreeModel, lister: ScriptedLister) -> None:
    tree.fetchMore(tree.index_of(ROOT))
    lister.cancel(ROOT)

    assert tree.canFetchMore(tree.index_of(ROOT))


def test_a_branch_shows_so_many_folders_and_says_how_many_more_there_are(lister: ScriptedLister) -> None:
    tree = FolderTreeModel(lister, lambda _kind, _entry_kind: None)  # Qt's tester would take minutes
    tree.set_connections((connection("a"),))
    names = [f"f{number:05}" for number in range(MAX_FOLDERS + 7)]
    opened(tree, lister, ROOT, *names)
    index = tree.index_of(ROOT)
    assert tree.rowCount(index) == MAX_FOLDERS
    assert index.data() == "A (7 more in the list)"
    tree.refresh(ROOT)
    lister.finish(ROOT, [folder(name) for name in names])
    assert tree.rowCount(index) == MAX_FOLDERS
    assert index.data() == "A (7 more in the list)"
    tree.refresh(ROOT)
    lister.finish(ROOT, [folder(name) for name in names[:3]])

    assert (tree.rowCount(index), index.data()) == (3, "A")


def test_connections_are_added_removed_renamed_and_put_in_another_order(
    tree: FolderTreeModel, lister: ScriptedLister
) -> None:
    opened(tree, lister, ROOT, "kept")
    for wanted in ("abc", "cba", "bac", "ac", "", "da", "adbc"):
        tree.set_connections(tuple(connection(one) for one in wanted))
        assert labels(tree) == [one.upper() for one in wanted]
        if wanted == "ac":
            assert labels(tree, ROOT) == ["kept"]
    tree.set_connections((connection("b", "Renamed"), connection("a")))

    assert labels(tree) == ["Renamed", "A"]
    assert tree.path_at(tree.index(0, 0)) == RemotePath.folder("b")


def test_a_connection_that_goes_while_it_is_listed_takes_its_pages_along(
    tree: FolderTreeModel, lister: ScriptedLister
) -> None:
    tree.fetchMore(tree.index_of(ROOT))
    tree.set_connections((connection("b"),))
    lister.finish(ROOT, [folder("x")])

    assert labels(tree) == ["B"]


def test_a_folder_that_goes_while_it_is_listed_takes_its_pages_along(
    tree: FolderTreeModel, lister: ScriptedLister
) -> None:
    opened(tree, lister, ROOT, "x")
    held = tree.index_of(below("x"))
    tree.fetchMore(held)
    tree.refresh(ROOT)
    lister.finish(ROOT)
    lister.finish(below("x"), [folder("y")])

    assert labels(tree, ROOT) == []
    assert held.data() == "x", "an index of an event that is being handled still has its folder"


@pytest.mark.parametrize(
    ("name", "text"), [("a\nb", "a\\x0ab"), ("\u202egpj", "\\u202egpj"), ("..", ".."), ("", "⟨no name⟩")]
)
def test_a_hostile_name_is_shown_so_that_it_cannot_deceive_and_used_as_it_is(
    tree: FolderTreeModel, lister: ScriptedLister, name: str, text: str
) -> None:
    opened(tree, lister, ROOT, name)

    assert labels(tree, ROOT) == [text]
    path = tree.path_at(tree.index(0, 0, tree.index_of(ROOT)))
    assert path == RemotePath("a", f"{name}/", is_folder=True)


def test_connections_take_drops_but_are_not_dragged(tree: FolderTreeModel, lister: ScriptedLister) -> None:
    opened(tree, lister, ROOT, "x")
    top, inner = tree.flags(tree.index_of(ROOT)), tree.flags(tree.index_of(below("x")))

    assert top & inner & Qt.ItemFlag.ItemIsDropEnabled
    assert inner & Qt.ItemFlag.ItemIsDragEnabled
    assert not top & Qt.ItemFlag.ItemIsDragEnabled
