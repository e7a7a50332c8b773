"""Settings survive a restart, and a bad value costs only itself."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest

from kegbrowser.profiles.settings import Settings, SettingsStore
from kegbrowser.transfer.jobs import ConflictPolicy, LinkPolicy


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "settings.json"


def test_without_a_file_all_is_as_by_default(path: Path) -> None:
    assert SettingsStore(path).load() == Settings()
    assert not path.exists()


def test_what_is_changed_is_there_after_a_restart(path: Path) -> None:
    SettingsStore(path).change(theme="dark", hidden_columns=("kind",), parallel_transfers=7)
    SettingsStore(path).change(last_paths=(("id", "a/b/"),), window_geometry="AdnQywAD")

    settings = SettingsStore(path).load()

    assert settings == Settings(
        theme="dark",
        hidden_columns=("kind",),
        parallel_transfers=7,
        last_paths=(("id", "a/b/"),),
        window_geometry="AdnQywAD",
    )
    assert settings.path_of("id") == "a/b/"
    assert settings.path_of("other") == ""


@pytest.mark.parametrize(
    ("name", "bad"),
    [("theme", "pink"), ("theme", 1), ("parallel_transfers", 0), ("parallel_transfers", 99), ("parallel_transfers", True),
     ("parallel_transfers", 2.5), ("confirm_delete", "no"), ("confirm_delete", 0), ("hidden_columns", "name"),
     ("hidden_columns", ["nothing"]), ("last_paths", [["only one"]]), ("last_paths", {"a": "b"}), ("sort_column", None),
     ("window_geometry", 5), ("conflict_policy", "guess"), ("links", "tear"),
     ("limit_up_bytes_per_s", -1), ("limit_down_bytes_per_s", 1.5), ("keep_permissions", 1)],
)  # fmt: skip
def test_a_bad_value_in_the_file_counts_as_not_set(path: Path, name: str, bad: object) -> None:
    path.write_text(json.dumps({"schema_version": 1, "language": "de", name: bad}))
    store = SettingsStore(path)

    assert store.load() == Settings(language="de")
    assert store.take_notices() == ()


def test_a_bad_value_or_name_cannot_be_set(path: Path) -> None:
    store = SettingsStore(path)

    with pytest.raises(ValueError, match="theme"):
        store.change(theme="pink")
    with pytest.raises(TypeError, match="thme"):
        store.change(thme="dark")

    assert not path.exists()


def test_what_only_another_version_knows_is_kept(path: Path) -> None:
    path.write_text('{"schema_version": 1, "from_the_future": [1, 2], "theme": "light"}')

    SettingsStore(path).change(theme="dark")

    content = json.loads(path.read_text())
    assert content["from_the_future"] == [1, 2]
    assert content["theme"] == "dark"


def test_a_damaged_file_gives_the_defaults_and_a_notice(path: Path) -> None:
    path.write_text("{theme:")
    store = SettingsStore(path)

    assert store.load() == Settings()
    assert len(store.take_notices()) == 1


def test_every_default_may_be_set(path: Path) -> None:
    defaults = {one.name: getattr(Settings(), one.name) for one in fields(Settings)}

    assert SettingsStore(path).change(**defaults) == Settings()


@pytest.mark.parametrize("policy", list(ConflictPolicy))
def test_every_conflict_policy_of_the_engine_can_be_kept(path: Path, policy: ConflictPolicy) -> None:
    assert SettingsStore(path).change(conflict_policy=policy.value).conflict_policy == policy.value


@pytest.mark.parametrize("links", list(LinkPolicy))
def test_every_way_with_links_of_the_engine_can_be_kept(path: Path, links: LinkPolicy) -> None:
    assert SettingsStore(path).change(links=links.value).links == links.value
