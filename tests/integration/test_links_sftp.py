"""Links and permissions over a real SFTP server, there and back."""

from __future__ import annotations

from pathlib import Path

import pytest

from kegbrowser.transfer.jobs import ConflictPolicy, Copy, Download, LinkPolicy, Source, Upload
from kegbrowser.transfer.umask import allowed
from tests.conformance.place import Place
from tests.doubles.engine import Engine, pattern
from tests.integration.engine_places import place

__all__ = ["place"]

BIG = 2 * 1024 * 1024
pytestmark = pytest.mark.parametrize("place", ["sftp"], indirect=True)


def _linked(folder: Path) -> Path:
    (folder / "sub").mkdir(parents=True)
    for name, mode in (("small", 0o640), ("sub/big", 0o600), ("script", 0o755)):
        (folder / name).write_bytes(pattern(BIG if name == "sub/big" else 10))
        (folder / name).chmod(mode)
    (folder / "to big").symlink_to("sub/big")
    (folder / "sub/up").symlink_to("../small")
    (folder / "to sub").symlink_to("sub")
    (folder / "dangling").symlink_to("nowhere")
    return folder


def _links(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): str(path.readlink()) for path in folder.rglob("*") if path.is_symlink()
    }


def _modes(folder: Path) -> dict[str, int]:
    return {
        path.relative_to(folder).as_posix(): path.stat().st_mode & 0o777
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def test_links_and_permissions_go_there_and_back(place: Place, tmp_path: Path) -> None:
    top = _linked(tmp_path / "top")
    expected = _links(top)

    with Engine() as engine:
        spec = engine.adopt(place.connect())
        engine.whole(Upload(spec, (str(top),), "", links=LinkPolicy.RECREATE))
        engine.whole(Upload(spec, (str(top),), "", ConflictPolicy.OVERWRITE, links=LinkPolicy.RECREATE))
        modes = {
            entry.name: entry.permissions
            for entry in place.connect().list("top", recursive=True)
            if not entry.is_folder
        }
        engine.whole(Download(spec, (Source("top/", True),), str(tmp_path / "back"), links=LinkPolicy.RECREATE))
        engine.whole(Copy(spec, (Source("top/", True),), spec, "copy/", links=LinkPolicy.RECREATE))
        engine.whole(Download(spec, (Source("copy/top/", True),), str(tmp_path / "twice"), links=LinkPolicy.RECREATE))

    assert (modes["small"], modes["sub/big"], modes["script"]) == (0o640, 0o600, 0o755)
    assert _links(tmp_path / "back/top") == _links(tmp_path / "twice/top") == expected
    assert _modes(tmp_path / "back/top") == {name: allowed(mode) for name, mode in _modes(top).items()}


@pytest.mark.parametrize("size", [10_000, BIG])
def test_download_is_gone_on_with(place: Place, tmp_path: Path, size: int) -> None:
    content = pattern(size)
    (tmp_path / "f").write_bytes(content)

    with Engine() as engine:
        spec = engine.adopt(place.connect())
        engine.whole(Upload(spec, (str(tmp_path / "f"),), ""))
        for length in (1, size // 2, size - 1, size):
            (tmp_path / "f").write_bytes(content[:length])
            engine.whole(Download(spec, (Source("f", False),), str(tmp_path), ConflictPolicy.RESUME))
            assert (tmp_path / "f").read_bytes() == content

    assert engine.questions == []
