"""The real program on its Playground, by mouse and by keys alone: no account, no server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end2end.desktop import Desktop
from tests.servers.xvfb import Xvfb

pytestmark = [pytest.mark.end2end, pytest.mark.timeout(180)]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def playground(home: Path) -> Path:
    return home / ".local" / "share" / "kegbrowser" / "Playground"


@pytest.fixture
def desktop(screen: Xvfb, home: Path) -> Iterator[Desktop]:
    with Desktop(screen, home, {}) as running:
        running.until(lambda state: state["listing"] == "listed" and "Notes.txt" in state["names"], "the Playground")
        yield running
    assert "Traceback" not in running.log, running.log


def test_dragging_within_a_connection_moves_and_with_control_copies(desktop: Desktop, playground: Path) -> None:
    content = (playground / "Notes.txt").read_bytes()

    desktop.drag(desktop.place("row", name="Notes.txt"), desktop.place("row", name="Documents"))
    desktop.until(lambda state: "Notes.txt" not in state["names"], "the move")
    assert (playground / "Documents" / "Notes.txt").read_bytes() == content

    desktop.drag(desktop.place("row", name="Read me.md"), desktop.place("row", name="Documents"), modifier="ctrl")
    desktop.until(lambda state: [one["state"] for one in state["transfers"]] == ["done", "done"], "the copy")
    assert (playground / "Documents" / "Read me.md").is_file()
    assert (playground / "Read me.md").is_file()


def test_everything_can_be_done_by_the_keyboard(desktop: Desktop, playground: Path) -> None:
    desktop.click("row", name="Notes.txt")
    desktop.key("F2")
    desktop.key("ctrl+a")
    desktop.type("Renamed.txt")
    desktop.key("Return")
    desktop.until(lambda state: "Renamed.txt" in state["names"], "the new name")
    assert not (playground / "Notes.txt").exists()

    desktop.key("ctrl+shift+n")
    desktop.until(lambda state: state["modal"] == "new_folder_dialog", "the question for a name")
    desktop.key("ctrl+a")
    desktop.type("Fresh folder")
    desktop.key("Return")
    desktop.until(lambda state: "Fresh folder" in state["names"], "the new folder")
    assert (playground / "Fresh folder").is_dir()

    desktop.key("Return")
    desktop.until(
        lambda state: state["folder"] == "Fresh folder/" and state["listing"] == "listed", "its empty content"
    )
    desktop.key("BackSpace")
    desktop.until(lambda state: state["folder"] == "" and state["listing"] == "listed", "the way up")
    desktop.key("alt+Left")
    desktop.until(lambda state: state["folder"] == "Fresh folder/", "the way back")
    desktop.key("alt+Left")
    desktop.until(lambda state: state["folder"] == "" and state["listing"] == "listed", "the way back")

    desktop.key("ctrl+f")
    desktop.type("renam")
    desktop.until(lambda state: state["names"] == ["Renamed.txt"], "the filtered name")
    desktop.key("Return")
    desktop.key("Delete")
    desktop.until(lambda state: state["modal"] == "delete_dialog", "the question before the deletion")
    desktop.key("Escape")
    desktop.until(lambda state: state["modal"] == "", "the way out")
    assert (playground / "Renamed.txt").exists()

    desktop.key("Delete")
    desktop.until(lambda state: state["modal"] == "delete_dialog", "the question before the deletion")
    desktop.key("alt+d")
    desktop.until(lambda state: state["names"] == [], "the deletion")
    assert not (playground / "Renamed.txt").exists()


def test_an_address_leads_to_its_folder_and_a_wrong_one_is_explained(desktop: Desktop) -> None:
    desktop.key("ctrl+l")
    desktop.type("Deep")
    desktop.key("Return")
    desktop.until(lambda state: state["folder"] == "Deep/" and state["listing"] == "listed", "the folder")

    desktop.key("ctrl+l")
    desktop.type("ftp://example.org/")
    desktop.key("Return")
    state = desktop.until(lambda state: state["message"], "the message")
    assert "not an address" in state["message"]

    desktop.key("ctrl+l")
    desktop.type("No such folder")
    desktop.key("Return")
    state = desktop.until(lambda state: state["error"], "the error")
    assert "No such folder" in state["error"]


def test_a_damaged_settings_file_is_kept_aside_and_said_so(screen: Xvfb, home: Path) -> None:
    config = home / ".config" / "kegbrowser"
    config.mkdir(parents=True)
    (config / "connections.json").write_text("{ this is no JSON")

    with Desktop(screen, home, {}) as desktop:
        state = desktop.until(lambda state: state["message"], "the notice")

    assert "connections" in state["message"]
    assert [path.read_text() for path in config.glob("connections.json.bad-*")] == ["{ this is no JSON"]
