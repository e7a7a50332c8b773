"""Where this user's files lie."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from kegbrowser.profiles.places import Places


def test_the_folders_of_the_xdg_specification_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONFIG", "DATA", "CACHE", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name))

    places = Places.of_user()

    assert places.connections_file == tmp_path / "CONFIG" / "kegbrowser" / "connections.json"
    assert places.settings_file.parent == places.known_hosts_file.parent == places.config
    assert places.playground == tmp_path / "DATA" / "kegbrowser" / "Playground"
    assert places.cache == tmp_path / "CACHE" / "kegbrowser"
    assert places.journal_file.parent == tmp_path / "STATE" / "kegbrowser"
    assert places.log_file.is_relative_to(places.state)


def test_the_folders_are_made_for_this_user_only(tmp_path: Path) -> None:
    places = Places.below(tmp_path / "keg")

    places.make()
    places.make()

    for folder in (places.config, places.data, places.cache, places.state, places.log):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_file_in_the_way_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("in the way")

    with pytest.raises(FileExistsError):
        Places.below(tmp_path).make()
