"""Names from a server, on their way to the local disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kegbrowser.transfer.local_tree import LocalTree
from kegbrowser.transfer.names import LocalNames, name_length, numbered_name, safe_name

HOSTILE = [
    "",
    ".",
    "..",
    "/",
    "a/b",
    "../x",
    "a\0b",
    "a\nb",
    "\x7f",
    "x" * 256,
    "é" * 128,
    "x" * 300 + ".jpeg",
    "\ud800",
    "photo~0123456789ab.jpg",
]
HOSTILE_ON_WINDOWS = [
    "con",
    "NUL.txt",
    "com1",
    "lpt9.tar.gz",
    "a:b",
    "a\\b",
    'q"',
    "end.",
    "end ",
    "a*",
    "<x>",
    "aux .c",
    "COM¹",
]

names = st.one_of(
    st.text(max_size=300),
    st.sampled_from(HOSTILE + HOSTILE_ON_WINDOWS),
    st.text(alphabet="./\\~:a\0 ", max_size=6),
)


@pytest.mark.parametrize(
    "name", ["photo.jpg", " two  spaces ", "a%41+b", "#?&<>\"'\\", "e\u0301", "😀", ".hidden", "x" * 255]
)
def test_harmless_name_stays_as_it_is(name: str) -> None:
    assert safe_name(name, windows=False) == name


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_name_becomes_one_that_a_folder_can_hold(name: str, tmp_path: Path) -> None:
    safe = safe_name(name, windows=False)

    (tmp_path / safe).write_bytes(b"x")

    assert [path.name for path in tmp_path.iterdir()] == [safe]
    assert safe != name


@pytest.mark.parametrize("name", HOSTILE_ON_WINDOWS)
def test_name_that_windows_refuses_is_mapped_there(name: str) -> None:
    safe = safe_name(name, windows=True)

    assert safe != name
    assert not set(safe) & set('\\/:*?"<>|')
    assert safe[-1] not in ". "
    assert safe.split(".")[0].casefold() not in ("con", "nul", "com1", "lpt9", "aux")


def test_mapped_name_keeps_its_ending() -> None:
    assert safe_name("a/b.tar.gz", windows=False).startswith("a_b.tar~")
    assert safe_name("a/b.tar.gz", windows=False).endswith(".gz")


@given(names, st.booleans(), st.sampled_from([64, 143, 255]))
def test_mapped_name_never_leads_anywhere(name: str, windows: bool, max_bytes: int) -> None:
    safe = safe_name(name, windows=windows, max_bytes=max_bytes)

    assert safe not in ("", ".", "..")
    assert "/" not in safe
    assert "\0" not in safe
    assert name_length(safe, windows=windows) <= max_bytes
    assert safe == safe_name(name, windows=windows, max_bytes=max_bytes)


@given(st.lists(names, min_size=2, max_size=30, unique=True), st.booleans())
def test_different_names_stay_different(originals: list[str], windows: bool) -> None:
    assert len({safe_name(name, windows=windows) for name in originals}) == len(originals)


@given(st.lists(st.text(alphabet="aAäÄeé\u0301.", max_size=3), min_size=2, max_size=20, unique=True))
def test_different_names_stay_different_where_case_does_not_count(originals: list[str]) -> None:
    mapper = LocalNames(ignores_case=True, windows=True)

    given_names = [mapper.name_for("/d", name, is_folder=False) for name in originals]

    assert len({name.casefold() for name in given_names}) == len(originals)


def test_file_and_folder_of_one_name_get_two_names() -> None:
    mapper = LocalNames(ignores_case=False)

    file, folder = mapper.name_for("/d", "x", is_folder=False), mapper.name_for("/d", "x", is_folder=True)

    assert file == "x"
    assert folder.startswith("x~")


@given(st.lists(st.lists(names, min_size=1, max_size=4).map(tuple), min_size=1, max_size=8, unique=True))
@settings(max_examples=60)
def test_nothing_is_ever_placed_outside_of_the_destination(
    tmp_path_factory: pytest.TempPathFactory, paths: list[tuple[str, ...]]
) -> None:
    top = tmp_path_factory.mktemp("tree")
    outside, destination = top / "outside", top / "destination"
    outside.mkdir()
    destination.mkdir()
    (destination / "a").symlink_to(outside)
    (destination / "...").symlink_to(outside)
    tree = LocalTree(str(destination))

    places = [tree.place(parts) for parts in paths]
    for place in places:
        if not os.path.lexists(place):
            Path(place).write_bytes(b"x")

    assert [path.name for path in outside.iterdir()] == []
    assert sorted(path.name for path in top.iterdir()) == ["destination", "outside"]
    assert len(set(places)) == len(places)
    for place in places:
        assert Path(place).parent.resolve().is_relative_to(destination)


def test_link_to_a_folder_in_the_destination_is_not_followed(tmp_path: Path) -> None:
    outside, destination = tmp_path / "outside", tmp_path / "destination"
    outside.mkdir()
    destination.mkdir()
    (destination / "photos").symlink_to(outside)
    tree = LocalTree(str(destination))

    place = Path(tree.place(("photos", "a.jpg")))
    place.write_bytes(b"x")

    assert [path.name for path in outside.iterdir()] == []
    assert place.parent.name.startswith("photos~")


def test_destination_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")

    place = Path(LocalTree(str(tmp_path / "link")).place(("a", "b")))
    place.write_bytes(b"x")

    assert (tmp_path / "real" / "a" / "b").read_bytes() == b"x"


@pytest.mark.parametrize(
    ("name", "numbered"),
    [("a.txt", "a (2).txt"), ("a", "a (2)"), (".bashrc", ".bashrc (2)"), ("a.tar.gz", "a.tar (2).gz")],
)
def test_free_name_is_numbered_before_its_ending(name: str, numbered: str) -> None:
    assert numbered_name(name, 2) == numbered


def test_numbered_name_fits_the_disk() -> None:
    numbered = numbered_name("é" * 127, 12)

    assert numbered.endswith(" (12)")
    assert len(numbered.encode()) <= 255
