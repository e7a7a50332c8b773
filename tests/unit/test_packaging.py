"""The lock files cover the project and name no host, and all descriptions of the program agree."""

from __future__ import annotations

import configparser
import json
import os
import re
import subprocess
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import pytest

from kegbrowser import __version__

ROOT = Path(__file__).parents[2]
PACKAGING = ROOT / "packaging"
LOCKS = sorted(PACKAGING.glob("*.lock"))
SCRIPTS = ("run", "test", "bench", "build", "lock")
APP_ID = "org.kegbrowser.Kegbrowser"


def named(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=!~ ;\[]", line)[0].lower().replace("_", "-") for line in requirements}


def locked(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9][a-z0-9.-]*)==(\S+)", lock.read_text(), re.MULTILINE))


@pytest.mark.parametrize(
    ("lock", "groups"),
    [("requirements.lock", []), ("requirements-dev.lock", ["dev"]), ("requirements-build.lock", ["build"])],
)
def test_a_lock_has_everything_that_the_project_asks_for(lock: str, groups: list[str]) -> None:
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = named(document["project"]["dependencies"])
    for group in groups:
        wanted |= named(document["dependency-groups"][group])

    assert wanted <= set(locked(PACKAGING / lock))


def test_what_users_run_is_what_the_tests_ran() -> None:
    tested = locked(PACKAGING / "requirements-dev.lock")

    for lock in ("requirements.lock", "requirements-build.lock"):
        assert {name: version for name, version in locked(PACKAGING / lock).items() if name in tested}.items() <= (
            tested.items()
        )


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_a_lock_has_a_hash_for_everything_and_names_no_host(lock: Path) -> None:
    text = lock.read_text()

    assert locked(lock)
    assert not re.search(r"https?://|^-", text, re.MULTILINE)
    for entry in re.findall(r"^[a-z].*(?:\n .*)*", text, re.MULTILINE):
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry.splitlines()[0]


def test_the_node_lock_has_a_hash_for_everything_and_names_no_host() -> None:
    packages = json.loads((PACKAGING / "node" / "package-lock.json").read_text())["packages"]

    for name, package in packages.items():
        assert "resolved" not in package, name
        assert not name or package.get("link") or package["integrity"].startswith("sha512-"), name


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_can_be_run_and_parsed(script: str) -> None:
    path = PACKAGING / script

    assert os.access(path, os.X_OK)
    subprocess.run(["bash", "-n", str(path)], check=True)


def test_run_says_in_one_sentence_that_there_is_no_display() -> None:
    without = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")}
    without.pop("QT_QPA_PLATFORM", None)

    done = subprocess.run([str(PACKAGING / "run")], env=without, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr.startswith("kegbrowser: there is no display")
    assert len(done.stderr.splitlines()) == 1


def test_the_desktop_entry_and_the_metainfo_tell_of_this_version() -> None:
    entry = configparser.ConfigParser(interpolation=None)
    entry.read(PACKAGING / f"{APP_ID}.desktop")
    metainfo = ElementTree.parse(PACKAGING / f"{APP_ID}.metainfo.xml").getroot()

    releases = metainfo.findall("releases/release")

    assert entry["Desktop Entry"]["Icon"] == APP_ID == metainfo.findtext("id")
    assert metainfo.findtext("launchable") == f"{APP_ID}.desktop"
    assert releases[0].get("version") == __version__
