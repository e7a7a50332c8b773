"""A JSON file that no crash and no second process may spoil."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from kegbrowser.profiles.documents import Content, JsonDocument, UnreadableDocument


def document(path: Path, *, version: int = 1) -> JsonDocument:
    def check(content: Content) -> None:
        if not isinstance(content.get("count", 0), int):
            raise UnreadableDocument("count is no number")

    def add_unit(content: Content) -> Content:
        return {**content, "unit": "litre"}

    return JsonDocument(path, version=version, migrations={1: add_unit}, check=check, what="The counter")


def test_a_missing_file_reads_as_empty_without_a_notice(tmp_path: Path) -> None:
    counter = document(tmp_path / "counter.json")

    assert counter.read() == {}
    assert counter.take_notices() == ()


def test_a_change_is_there_for_the_next_reader(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "counter.json"

    document(path).change(lambda content: {"count": content.get("count", 0) + 1})

    assert document(path).read() == {"count": 1}
    assert json.loads(path.read_text()) == {"schema_version": 1, "count": 1}


def test_file_and_folder_are_for_this_user_only(tmp_path: Path) -> None:
    path = tmp_path / "config" / "counter.json"

    document(path).change(lambda _content: {"count": 1})

    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}


def test_text_of_any_script_and_broken_surrogates_survive(tmp_path: Path) -> None:
    text = "Köln 日本 🦆 \udcff \x01"

    document(tmp_path / "counter.json").change(lambda _content: {"text": text})

    assert document(tmp_path / "counter.json").read() == {"text": text}


@pytest.mark.parametrize(
    "damaged",
    [b"", b"{", b"[]", b'"x"', b"{}", b'{"schema_version": "1"}', b'{"schema_version": true}', b'{"schema_version": 0}',
     b'{"schema_version": 9, "count": 1}', b'{"schema_version": 1, "count": "many"}', b"\xff\xfe\x00", b"[" * 100_000],
)  # fmt: skip
def test_a_damaged_or_newer_file_is_set_aside_with_a_notice(tmp_path: Path, damaged: bytes) -> None:
    path = tmp_path / "counter.json"
    path.write_bytes(damaged)
    counter = document(path)

    assert counter.read() == {}

    (kept,) = tmp_path.glob("counter.json.bad-*")
    assert kept.read_bytes() == damaged
    (notice,) = counter.take_notices()
    assert str(kept) in notice
    assert counter.take_notices() == ()
    counter.change(lambda content: {"count": 5})
    assert kept.read_bytes() == damaged
    assert counter.read() == {"count": 5}


def test_a_change_over_a_damaged_file_sets_it_aside_first(tmp_path: Path) -> None:
    path = tmp_path / "counter.json"
    path.write_bytes(b"not json")
    counter = document(path)

    counter.change(lambda content: {"count": len(content)})

    assert [kept.read_bytes() for kept in tmp_path.glob("*.bad-*")] == [b"not json"]
    assert counter.read() == {"count": 0}
    assert len(counter.take_notices()) == 1


def test_an_older_file_is_migrated_step_by_step(tmp_path: Path) -> None:
    path = tmp_path / "counter.json"
    path.write_text('{"schema_version": 1, "count": 3}')

    content = document(path, version=2).read()

    assert content == {"count": 3, "unit": "litre"}
    assert json.loads(path.read_text())["schema_version"] == 1  # reading changes nothing
    document(path, version=2).change(lambda old: old)
    assert json.loads(path.read_text()) == {"schema_version": 2, "count": 3, "unit": "litre"}


def test_an_edit_that_raises_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "counter.json"
    counter = document(path)
    counter.change(lambda _content: {"count": 1})
    before = path.read_bytes()

    with pytest.raises(ZeroDivisionError):
        counter.change(lambda _content: {"count": 1 // 0})
    with pytest.raises(UnreadableDocument):
        counter.change(lambda _content: {"count": "many"})

    assert path.read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == [".counter.json.lock", "counter.json"]


def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "counter.json"
    document(path).change(lambda _content: {"count": 1})
    before = path.read_bytes()
    program = f"""
import resource, signal
from pathlib import Path
from kegbrowser.profiles.documents import JsonDocument
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
document = JsonDocument(Path({str(path)!r}), version=1, migrations={{}}, check=lambda content: None, what="x")
try:
    document.change(lambda content: {{"text": "x" * 100_000}})
except OSError as error:
    print("refused", error.errno)
"""

    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert run.stdout.startswith("refused")
    assert path.read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == [".counter.json.lock", "counter.json"]


def test_processes_that_change_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "counter.json"
    program = f"""
from pathlib import Path
from kegbrowser.profiles.documents import JsonDocument
document = JsonDocument(Path({str(path)!r}), version=1, migrations={{}}, check=lambda content: None, what="x")
for _ in range(25):
    document.change(lambda content: {{"count": content.get("count", 0) + 1}})
"""

    workers = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(4)]

    assert [worker.wait(60) for worker in workers] == [0, 0, 0, 0]
    assert document(path).read() == {"count": 100}


def test_a_link_to_a_file_elsewhere_stays_a_link(tmp_path: Path) -> None:
    real = tmp_path / "repository" / "counter.json"
    real.parent.mkdir()
    real.write_text('{"schema_version": 1, "count": 1}')
    link = tmp_path / "counter.json"
    link.symlink_to(real)

    document(link).change(lambda content: {"count": content["count"] + 1})

    assert link.is_symlink()
    assert json.loads(real.read_text())["count"] == 2
