"""The command line's proofs and sweeping: check, manifest, cleanup, --verify, policies and limits."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from pathlib import Path

import pytest

from kegbrowser.transfer.part_file import PartFile
from tests.integration.command_line import CommandLine


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    home = tmp_path / "home"
    home.mkdir()
    return CommandLine(home)


@pytest.fixture
def there(tmp_path: Path) -> Path:
    folder = tmp_path / "there"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_bytes(b"alpha")
    (folder / "sub/b\nc.txt").write_bytes(os.urandom(70_000))
    return folder


def url(path: Path) -> str:
    return f"local://{path}"


def test_check_tells_the_same_from_what_differs(cli: CommandLine, there: Path, tmp_path: Path) -> None:
    here = tmp_path / "copy"
    here.mkdir()
    assert cli.run("get", "-r", url(there), str(here)).code == 0

    same = cli.run("check", "--json", url(there), str(here / "there"))
    (here / "there/a.txt").write_bytes(b"ALPHA")
    (here / "there/extra").write_bytes(b"")
    changed = cli.run("check", "--read", str(here / "there"), url(there))
    ignored = cli.run("check", "--json", "--read", "--ignore-extra", url(there), str(here / "there"))

    assert (same.code, same.row["files_done"], same.row["failures"]) == (0, 2, [])
    assert changed.code == 1
    assert sorted(line.split("“")[1].split("”")[0] for line in changed.err.splitlines()) == ["a.txt", "extra"]
    assert (ignored.code, len(ignored.row["failures"])) == (1, 1)


def test_check_takes_one_remote_and_one_local_place(cli: CommandLine, there: Path) -> None:
    assert cli.run("check", str(there), str(there)).code == 2
    assert cli.run("check", url(there), url(there)).code == 2
    assert cli.run("check", url(there), str(there / "nowhere")).code == 3


@pytest.mark.parametrize("side", ["local", "remote"])
def test_manifest_is_that_of_sha256sum_and_proves_the_folder(
    cli: CommandLine, there: Path, tmp_path: Path, side: str
) -> None:
    place = str(there) if side == "local" else url(there)
    shown = cli.run("manifest", place)
    written = cli.run("manifest", place, "-o", str(tmp_path / "sums"))
    theirs = subprocess.run(["sha256sum", "--check", tmp_path / "sums"], cwd=there, capture_output=True, check=False)
    table = cli.run("manifest", "--format", "csv", place)
    same = cli.run("check", "--manifest", str(tmp_path / "sums"), place)
    (there / "a.txt").write_bytes(b"ALPHA")
    changed = cli.run("check", "--manifest", str(tmp_path / "sums"), place)

    assert (shown.code, written.code, table.code) == (0, 0, 0)
    assert sorted(shown.out.splitlines()) == sorted((tmp_path / "sums").read_text().splitlines())
    assert theirs.returncode == 0
    assert table.out.startswith("path,size,modified,sha256,check,state")
    assert hashlib.sha256(b"alpha").hexdigest() in table.out
    assert same.code == 0
    assert changed.code == 1
    assert "a.txt" in changed.sentence()


def test_cleanup_removes_part_files_and_nothing_else(cli: CommandLine, there: Path) -> None:
    part = PartFile(str(there / "sub/big"))
    part.write_at(b"half", 0)
    part.leave()

    shown = cli.run("cleanup", "--dry-run", "--json", str(there))
    refused = cli.run("cleanup", str(there))
    os.utime(part.path, (time.time() - 7200, time.time() - 7200))
    done = cli.run("cleanup", "--json", str(there))

    assert shown.row["path"] == part.path
    assert refused.code == 2
    assert "--yes" in refused.sentence()
    assert (done.code, done.rows[-1]["files_done"]) == (0, 1)
    assert sorted(path.name for path in there.rglob("*")) == ["a.txt", "b\nc.txt", "sub"]


def test_verified_transfers_say_so(cli: CommandLine, there: Path, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()

    got = cli.run("get", "--json", "-r", "--verify", url(there), str(tmp_path / "here"))
    put = cli.run("put", "--json", "-r", "--verify", str(there), url(tmp_path / "here") + "/up/")
    one = cli.run("put", "--json", "--verify", str(there / "a.txt"), url(tmp_path / "here/renamed.txt"))

    for ended, files in ((got, 2), (put, 2), (one, 1)):
        transfer, check = ended.rows
        assert (ended.code, transfer["files_done"]) == (0, files)
        assert check["checked"] == {"verified": files, "size_only": 0, "unverifiable": 0}


def test_what_was_skipped_and_differs_is_no_success_of_a_verified_transfer(
    cli: CommandLine, there: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_bytes(b"other")

    assert cli.run("get", "--on-clash", "skip", "--verify", url(there / "a.txt"), str(tmp_path)).code == 1
    assert (tmp_path / "a.txt").read_bytes() == b"other"


@pytest.mark.parametrize(("modified", "expected"), [(1_700_000_000, b"OTHER"), (1_700_000_100, b"alpha")])
def test_only_what_differs_is_replaced(
    cli: CommandLine, there: Path, tmp_path: Path, modified: int, expected: bytes
) -> None:
    (tmp_path / "a.txt").write_bytes(b"OTHER")
    os.utime(tmp_path / "a.txt", (modified, modified))
    os.utime(there / "a.txt", (1_700_000_000, 1_700_000_000))

    ended = cli.run("get", "--on-clash", "overwrite-if-different", url(there / "a.txt"), str(tmp_path))

    assert (ended.code, (tmp_path / "a.txt").read_bytes()) == (0, expected)


def test_speed_is_limited(cli: CommandLine, there: Path, tmp_path: Path) -> None:
    (there / "big").write_bytes(bytes(3_000_000))
    began = time.monotonic()

    assert cli.run("get", "--limit-down", "2M", url(there / "big"), str(tmp_path)).code == 0

    assert time.monotonic() - began > 1.2
    assert cli.run("get", "--limit-down", "fast", url(there / "big"), str(tmp_path / "x")).code == 2


def test_question_offers_policies_for_all(cli: CommandLine, there: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"older")
    os.utime(tmp_path / "a.txt", (1, 1))
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/b\nc.txt").write_bytes(b"newer")
    os.utime(tmp_path / "sub/b\nc.txt", (4_000_000_000, 4_000_000_000))

    words = ("get", "-r", url(there / "a.txt"), url(there / "sub"), str(tmp_path))
    _screen, code = cli.at_terminal(words, [("[N]ewer", "N\n")])

    assert code == 0
    assert (tmp_path / "a.txt").read_bytes() == b"alpha"
    assert (tmp_path / "sub/b\nc.txt").read_bytes() == b"newer"
