"""What is compared after a transfer: whole sources where they say all, single files where they do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from kegbrowser.services.errands import MOST_SINGLE_PAIRS, pairs_of
from kegbrowser.services.recipes import Recipe
from kegbrowser.services.transfer import TransferKind
from kegbrowser.transfer.jobs import Pair, Source
from kegbrowser.transfer.records import ItemRecord, ItemState, SourceMark

DOWN = Recipe(TransferKind.DOWNLOAD, "c", (("a/d/", True), ("a/f", False)), "/here")
MARK = SourceMark(1, 0)
WHOLE = (Pair(Source("a/d/", True), "/here/d"), Pair(Source("a/f", False), "/here/f"))


def item(source: str, place: str, state: ItemState = ItemState.DONE) -> ItemRecord:
    return ItemRecord(0, source, place, MARK, state=state)


AS_USUAL = (item("a/d/x", "/here/d/x"), item("a/d/deep/y", "/here/d/deep/y"), item("a/f", "/here/f"))


def test_what_went_as_usual_is_compared_whole() -> None:
    assert pairs_of(DOWN, AS_USUAL) == WHOLE
    assert pairs_of(DOWN, ()) == WHOLE


def test_what_failed_is_compared_whole_so_that_it_is_told() -> None:
    assert pairs_of(DOWN, (*AS_USUAL, item("a/d/z", "/here/d/z", ItemState.FAILED))) == WHOLE


@pytest.mark.parametrize(
    "odd",
    [
        item("a/d/z", "/here/d/z", ItemState.SKIPPED),
        item("a/d/z", "/here/d/z (2)"),
        item("a/d/z", "/here/d (2)/z"),
        item("a/d/z", "/here/dz"),
    ],
)
def test_one_that_is_elsewhere_has_each_file_compared_by_itself(odd: ItemRecord) -> None:
    pairs = pairs_of(DOWN, (*AS_USUAL, odd))

    wanted = [one for one in (*AS_USUAL, odd) if one.state is ItemState.DONE]
    assert pairs == tuple(Pair(Source(one.source, False), one.place) for one in wanted)


def test_very_many_are_compared_whole() -> None:
    many = [item(f"a/d/{number}", f"/here/d/{number} (2)") for number in range(MOST_SINGLE_PAIRS + 1)]

    assert pairs_of(DOWN, many) == WHOLE
    assert len(pairs_of(DOWN, many[:-1])) == MOST_SINGLE_PAIRS


def test_a_new_name_is_the_one_that_was_asked_for() -> None:
    renamed = Recipe(TransferKind.DOWNLOAD, "c", (("a/d/", True),), "/here", rename_to="e")

    assert pairs_of(renamed, (item("a/d/x", "/here/e/x"),)) == (Pair(Source("a/d/", True), "/here/e"),)
    assert pairs_of(renamed, (item("a/d/x", "/here/e/x (2)"),)) == (Pair(Source("a/d/x", False), "/here/e/x (2)"),)


def test_names_that_a_disk_cannot_hold_are_as_usual() -> None:
    long = "x" * 300
    recipe = Recipe(TransferKind.DOWNLOAD, "c", ((long, False),), "/here")
    (pair,) = pairs_of(recipe, ())

    assert len(Path(pair.local).name.encode()) <= 255
    assert pairs_of(recipe, (item(long, pair.local),)) == (pair,)


def test_an_upload_is_looked_for_where_it_went(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "f").write_text("x")
    sources = ((str(tmp_path / "d"), False), (str(tmp_path / "f"), False))
    up = Recipe(TransferKind.UPLOAD, "c", sources, "b/")
    whole = (
        Pair(Source("b/d/", True), str(tmp_path / "d")),
        Pair(Source("b/f", False), str(tmp_path / "f")),
    )

    assert pairs_of(up, (item(f"{tmp_path}/d/x", "b/d/x"), item(f"{tmp_path}/f", "b/f"))) == whole
    assert pairs_of(up, (item(f"{tmp_path}/d/x", "b/d/x (2)"),)) == (
        Pair(Source("b/d/x (2)", False), f"{tmp_path}/d/x"),
    )
