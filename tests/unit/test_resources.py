"""The program's plain files are found however it was installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kegbrowser import resources


@pytest.fixture(autouse=True)
def _fresh_answer() -> Iterator[None]:
    resources.resource_folder.cache_clear()
    yield
    resources.resource_folder.cache_clear()


def test_in_a_checkout_they_are_beside_the_package() -> None:
    folder = resources.resource_folder()

    assert (folder / "icons" / "folder.svg").is_file()
    assert (folder / "style" / "kegbrowser.qss").is_file()


def test_in_an_installed_package_they_are_inside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = tmp_path / "kegbrowser" / "_resources"
    inside.mkdir(parents=True)
    (tmp_path / "resources").mkdir()  # another package's
    monkeypatch.setattr(resources, "__file__", str(tmp_path / "kegbrowser" / "resources.py"))

    assert resources.resource_folder() == inside


@pytest.mark.parametrize("place", ["resources", "kegbrowser/_resources"])
def test_in_a_frozen_program_they_are_where_it_was_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    (tmp_path / place).mkdir(parents=True)
    monkeypatch.setattr(sys, "_MEIPASS", str(tmp_path), raising=False)
    monkeypatch.setattr(resources, "__file__", str(tmp_path / "kegbrowser" / "resources.pyc"))

    assert resources.resource_folder() == tmp_path / place
