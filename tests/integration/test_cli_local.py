"""The command line on local folders: words in, files, lines and exit status out."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kegbrowser.profiles.connections import Connection, ConnectionStore
from tests.integration.command_line import CommandLine, interrupt


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    home = tmp_path / "home"
    home.mkdir()
    return CommandLine(home)


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    folder = tmp_path / "remote"
    (folder / "sub" / "deep").mkdir(parents=True)
    (folder / "a.txt").write_bytes(b"alpha")
    (folder / "sub" / "b c.txt").write_bytes(b"beta")
    (folder / "sub" / "deep" / "🦆.bin").write_bytes(bytes(100_000))
    return folder


def url(path: Path) -> str:
    return f"local://{path}"


def test_version_is_told_fast_and_imports_nothing_heavy(cli: CommandLine) -> None:
    program = (
        "import sys; sys.argv = ['kegbrowser', '--version']\n"
        "import kegbrowser.__main__ as m; m.main()\n"
        "heavy = {'boto3', 'paramiko', 'azure', 'PySide6', 'numpy', 'keyring'} & {n.split('.')[0] for n in sys.modules}\n"
        "print(len(heavy))\n"
        "print('kegbrowser.backends' in sys.modules)"
    )

    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert run.stdout.split() == ["kegbrowser", "0.1.0", "0", "False"]

    def fastest(*words: str) -> float:
        times = []
        for _ in range(5):
            began = time.perf_counter()
            subprocess.run([sys.executable, *words], capture_output=True, check=True)
            times.append(time.perf_counter() - began)
        return min(times)

    assert fastest("-m", "kegbrowser", "--version") - fastest("-c", "pass") < 0.06


def test_ls_names_what_is_there(cli: CommandLine, remote: Path) -> None:
    ended = cli.run("ls", url(remote))

    assert (ended.code, sorted(ended.out.splitlines()), ended.err) == (0, ["a.txt", "sub/"], "")


def test_ls_long_shows_bytes_and_time(cli: CommandLine, remote: Path) -> None:
    os.utime(remote / "a.txt", (0, 1_700_000_000))

    ended = cli.run("ls", "-l", url(remote / "a.txt"))

    assert ended.out.split() == [
        "5",
        *time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(1_700_000_000)).split(),
        "a.txt",
    ]


def test_ls_recursive_names_all_below(cli: CommandLine, remote: Path) -> None:
    (remote / "loop").symlink_to(remote, target_is_directory=True)

    ended = cli.run("ls", "-r", url(remote) + "/")

    assert ended.code == 0
    assert set(ended.out.splitlines()) == {
        "a.txt", "loop/", "sub/", "sub/b c.txt", "sub/deep/", "sub/deep/🦆.bin"
    }  # fmt: skip


def test_ls_json_gives_one_exact_object_a_line(cli: CommandLine, remote: Path) -> None:
    raw_name = b"bad\xff\x1b[31m\n.txt"
    (Path(os.fsdecode(os.fsencode(remote) + b"/" + raw_name))).write_bytes(b"xyz")

    rows = {row["name"]: row for row in cli.run("ls", "--json", url(remote)).rows}

    assert set(rows) == {"a.txt", "sub", os.fsdecode(raw_name)}
    assert rows["a.txt"]["kind"] == "file"
    assert rows["a.txt"]["size"] == 5
    assert rows["a.txt"]["modified"].endswith("Z")
    assert rows["sub"]["kind"] == "folder"
    assert rows["sub"]["size"] is None
    bad = rows[os.fsdecode(raw_name)]
    assert cli.run("stat", "--json", bad["url"]).row["size"] == 3


def test_names_that_are_not_utf8_come_out_as_they_are(cli: CommandLine, tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9")).write_bytes(b"")

    assert os.fsencode(cli.run("ls", url(folder)).out) == b"caf\xe9\n"


def test_stat_describes_a_file_and_a_folder(cli: CommandLine, remote: Path) -> None:
    file, folder = cli.run("stat", "--json", url(remote / "a.txt"), url(remote / "sub")).rows

    assert (file["name"], file["kind"], file["size"]) == ("a.txt", "file", 5)
    assert (folder["name"], folder["kind"]) == ("sub", "folder")
    assert folder["url"].endswith("/sub/")
    lines = cli.run("stat", url(remote / "a.txt")).out.splitlines()
    assert "5 bytes" in next(line for line in lines if line.startswith("Size:"))


def test_get_brings_a_file_under_its_own_or_another_name(cli: CommandLine, remote: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()

    assert cli.run("get", url(remote / "a.txt"), str(target)).code == 0
    assert cli.run("get", url(remote / "a.txt"), str(target / "other.txt")).code == 0
    assert cli.run("get", url(remote / "a.txt"), cwd=target / "..").code == 0

    assert (target / "a.txt").read_bytes() == (target / "other.txt").read_bytes() == b"alpha"
    assert (tmp_path / "a.txt").read_bytes() == b"alpha"


def test_a_successful_transfer_says_nothing_when_piped(cli: CommandLine, remote: Path, tmp_path: Path) -> None:
    ended = cli.run("get", "-r", url(remote), str(tmp_path / "copy"))

    assert (ended.code, ended.out, ended.err) == (0, "", "")


def test_get_and_put_folders_recursively(cli: CommandLine, remote: Path, tmp_path: Path) -> None:
    report = cli.run("get", "--json", "-r", url(remote), str(tmp_path / "down")).row
    assert cli.run("put", "-r", str(tmp_path / "down"), url(tmp_path / "up")).code == 0

    assert (report["files_total"], report["files_done"], report["files_failed"]) == (3, 3, 0)
    assert report["bytes_done"] == 100_009
    for folder in ("down", "up"):
        found = {str(path.relative_to(tmp_path / folder)) for path in (tmp_path / folder).rglob("*") if path.is_file()}
        assert found == {"a.txt", "sub/b c.txt", "sub/deep/🦆.bin"}


def test_put_into_an_existing_folder_keeps_the_name(cli: CommandLine, remote: Path, tmp_path: Path) -> None:
    local = tmp_path / "new.txt"
    local.write_bytes(b"new")

    assert cli.run("put", str(local), url(remote / "sub")).code == 0
    assert cli.run("put", str(local), url(remote / "sub" / "renamed.txt")).code == 0

    assert (remote / "sub" / "new.txt").read_bytes() == (remote / "sub" / "renamed.txt").read_bytes() == b"new"


def test_a_folder_needs_recursive(cli: CommandLine, remote: Path, tmp_path: Path) -> None:
    for words in (
        ("get", url(remote / "sub"), str(tmp_path)),
        ("rm", "-y", url(remote / "sub")),
        ("put", str(remote / "sub"), url(tmp_path)),
        ("cp", url(remote / "sub"), url(tmp_path)),
    ):
        ended = cli.run(*words)
        assert ended.code == 2, words
        assert "-r" in ended.sentence()

    assert (remote / "sub" / "b c.txt").exists()


def test_rm_deletes_only_with_yes_when_nobody_can_be_asked(cli: CommandLine, remote: Path) -> None:
    refused = cli.run("rm", url(remote / "a.txt"))
    assert refused.code == 2
    assert "--yes" in refused.sentence()
    assert (remote / "a.txt").exists()

    report = cli.run("rm", "--json", "-y", "-r", url(remote / "a.txt"), url(remote / "sub")).row

    assert report["files_done"] == 3
    assert list(remote.iterdir()) == []


def test_mkdir_makes_folders_and_parents(cli: CommandLine, remote: Path) -> None:
    assert cli.run("mkdir", url(remote / "new")).code == 0
    assert cli.run("mkdir", url(remote / "new")).code == 1
    assert cli.run("mkdir", "-p", url(remote / "x" / "y" / "z")).code == 0
    assert cli.run("mkdir", "-p", url(remote / "x" / "y" / "z")).code == 0

    assert (remote / "x" / "y" / "z").is_dir()


def test_cp_and_mv_between_folders(cli: CommandLine, remote: Path) -> None:
    assert cli.run("cp", url(remote / "a.txt"), url(remote / "sub") + "/").code == 0
    assert cli.run("mv", url(remote / "a.txt"), url(remote / "moved.txt")).code == 0
    assert cli.run("mv", "-r", url(remote / "sub"), url(remote / "sub2")).code == 0

    found = sorted(str(path.relative_to(remote)) for path in remote.rglob("*") if path.is_file())
    assert found == ["moved.txt", "sub2/a.txt", "sub2/b c.txt", "sub2/deep/🦆.bin"]


@pytest.mark.parametrize(
    ("policy", "code", "content", "names"),
    [
        ("overwrite", 0, b"alpha", {"a.txt"}),
        ("skip", 0, b"older", {"a.txt"}),
        ("rename", 0, b"older", {"a.txt", "a (2).txt"}),
        ("overwrite-if-newer", 0, b"older", {"a.txt"}),
        ("ask", 2, b"older", {"a.txt"}),
    ],
)
def test_a_clash_is_decided_by_the_policy(
    cli: CommandLine, remote: Path, tmp_path: Path, policy: str, code: int, content: bytes, names: set[str]
) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "a.txt").write_bytes(b"older")
    os.utime(remote / "a.txt", (0, 1_600_000_000))

    ended = cli.run("get", "--policy", policy, url(remote / "a.txt"), str(target))

    assert ended.code == code
    assert (target / "a.txt").read_bytes() == content
    assert {path.name for path in target.iterdir()} == names
    if code:
        assert "--policy" in ended.sentence()


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (("ls", "gopher://x/y"), 2, "s3://bucket/key"),
        (("ls", "s3:///x"), 2, "bucket"),
        (("ls", "sftp://mo:secret@h/x"), 2, "password"),
        (("ls", "sftp://h:99999/x"), 2, "port"),
        (("ls", "nothing:x"), 2, "connections"),
        (("ls", "local:///no/such/folder"), 3, "folder"),
        (("stat", "local:///no/such/file"), 3, "file"),
        (("get", "local:///no/such/file", "."), 3, "file"),
        (("put", "no-such-file", "local:///tmp/"), 3, "no-such-file"),
        (("ls", "--option", "nonsense", "local:///"), 2, "KEY=VALUE"),
        (("ls", "--option", "colour=red", "local:///"), 2, "colour"),
        (("ls", "--secret-stdin", "password", "local:///"), 2, "password"),
        (("rm", "-r", "-y", "local:///"), 2, "root"),
    ],
)
def test_a_mistake_is_one_sentence_and_its_exit_status(
    cli: CommandLine, words: tuple[str, ...], code: int, expected: str
) -> None:
    ended = cli.run(*words)

    assert ended.code == code
    assert expected in ended.sentence()
    assert "secret" not in ended.err.replace("--secret-stdin", "")
    as_json = cli.run(words[0], "--json", *words[1:])
    assert as_json.code == code
    assert as_json.row["exit_code"] == code
    assert as_json.row["error"] in ended.err


def test_no_verb_argument_is_a_usage_error(cli: CommandLine) -> None:
    for words in (("ls",), ("get",), ("put", "x"), ("ls", "--nonsense", "local:///")):
        assert cli.run(*words).code == 2


def test_help_documents_the_exit_status_and_the_addresses(cli: CommandLine) -> None:
    for words in (("--help",), ("get", "--help")):
        text = cli.run(*words).out
        for part in ("exit status", "130", "sftp://user@host:22/path", "--secret-stdin"):
            assert part in text, part


def test_a_saved_connection_is_used_by_name_and_by_address(cli: CommandLine, remote: Path) -> None:
    from kegbrowser.backends.locations import Location
    from kegbrowser.backends.registry import backend

    options = backend("local").from_location(Location("local", "", str(remote / "sub").removeprefix("/")))
    store = ConnectionStore(cli.home / ".config" / "kegbrowser" / "connections.json")
    store.add(Connection.new("local", "My place", options))

    assert sorted(cli.run("ls", "My place:").out.splitlines()) == ["b c.txt", "deep/"]
    assert cli.run("ls", "my place:deep").out == "🦆.bin\n"
    assert cli.run("ls", url(remote / "sub" / "deep")).out == "🦆.bin\n"
    row = cli.run("connections", "--json").row
    assert (row["name"], row["kind"]) == ("My place", "local")
    assert row["url"].startswith(url(remote / "sub"))
    assert "My place" in cli.run("connections").out


def test_two_connections_of_one_name_are_told_apart_by_nobody(cli: CommandLine) -> None:
    store = ConnectionStore(cli.home / ".config" / "kegbrowser" / "connections.json")
    for _ in range(2):
        store.add(Connection.new("sftp", "Twin", {"host": "h", "username": "u"}))

    ended = cli.run("ls", "Twin:x")

    assert ended.code == 2
    assert "Twin" in ended.sentence()


def test_a_reader_that_goes_away_ends_the_listing_quietly(cli: CommandLine, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(20_000):
        (folder / f"a rather long name of a file {number}").touch()
    running = cli.start("ls", url(folder))
    assert running.stdout is not None
    assert running.stderr is not None
    running.stdout.read(10)
    running.stdout.close()

    assert running.wait(20) == 141
    assert running.stderr.read() == b""
    running.stderr.close()


def test_ctrl_c_in_the_middle_leaves_no_part_file(cli: CommandLine, tmp_path: Path) -> None:
    big = tmp_path / "big.bin"
    with big.open("wb") as file:
        file.truncate(20 << 30)
    target = tmp_path / "target"
    target.mkdir()
    running = cli.start("get", url(big), str(target))
    _wait_for(lambda: any(target.iterdir()), running)
    began = time.monotonic()

    ended = interrupt(running)

    assert time.monotonic() - began < 2
    assert (ended.code, ended.err) == (130, "Cancelled.\n")
    assert list(target.iterdir()) == []


def test_a_full_disk_is_one_sentence_and_leaves_nothing(cli: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "big.bin").write_bytes(os.urandom(3 << 20))
    target = tmp_path / "target"
    target.mkdir()
    limited = (
        f"ulimit -f 2048; trap '' XFSZ; exec {sys.executable} -m kegbrowser get {url(tmp_path / 'big.bin')} {target}"
    )

    run = subprocess.run(
        ["sh", "-c", limited], capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False
    )

    assert run.returncode == 1
    assert len(run.stderr.splitlines()) == 1
    assert "big.bin" in run.stderr
    assert list(target.iterdir()) == []


def test_a_terminal_shows_progress_and_answers_questions(cli: CommandLine, remote: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "a.txt").write_bytes(b"older")

    screen, code = cli.at_terminal(
        ["get", "-r", url(remote / "a.txt"), str(target)], [("ename to", "x\n"), ("answer", "o\n")]
    )

    assert code == 0
    assert "exists already" in screen
    assert "1 of 1 files" in screen
    assert (target / "a.txt").read_bytes() == b"alpha"


def test_a_terminal_confirms_a_deletion(cli: CommandLine, remote: Path) -> None:
    screen, code = cli.at_terminal(["rm", "-r", url(remote / "sub")], [("Delete?", "\n")])
    assert code == 130
    assert "2 files" in screen
    assert (remote / "sub" / "b c.txt").exists()

    _screen, code = cli.at_terminal(["rm", "-r", url(remote / "sub")], [("Delete?", "yes\n")])

    assert code == 0
    assert not (remote / "sub").exists()


def test_a_name_from_a_server_cannot_drive_the_terminal(cli: CommandLine, remote: Path) -> None:
    (remote / "red \x1b[31m\u202etxt.exe").touch()

    screen, _code = cli.at_terminal(["ls", url(remote)], [])

    assert "\x1b[31m" not in screen
    assert "\u202e" not in screen
    assert "\\x1b[31m\\u202etxt.exe" in screen


def test_debug_shows_our_log_and_normal_use_shows_none(cli: CommandLine, remote: Path) -> None:
    assert " DEBUG kegbrowser." in cli.run("ls", "--debug", url(remote)).err
    assert cli.run("ls", url(remote)).err == ""


def _wait_for(condition: object, running: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    assert callable(condition)
    while not condition():
        assert running.poll() is None, "it ended too early"
        assert time.monotonic() < deadline
        select.select([], [], [], 0.01)
