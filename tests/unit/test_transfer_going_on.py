"""What is at the target already is gone on with; links and permissions arrive."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kegbrowser.backends.base import RemoteFile
from kegbrowser.backends.local import LocalStorage
from kegbrowser.backends.memory import MemoryStorage
from kegbrowser.backends.proofs import Digests
from kegbrowser.transfer.jobs import ConflictPolicy, Copy, Download, LinkPolicy, Source, Upload
from kegbrowser.transfer.questions import ConflictAnswer, ConflictChoice, ConflictQuestion
from kegbrowser.transfer.umask import allowed
from tests.doubles.engine import Engine, files_of, pattern, put, tree_of

SIZE = 95_000
KEEP, REPLACE = ConflictAnswer(ConflictChoice.SKIP), ConflictAnswer(ConflictChoice.OVERWRITE)


class _Counting(MemoryStorage):
    """Counts the bytes that are read; tells checksums or does not."""

    def __init__(self, *, knows: bool) -> None:
        super().__init__()
        self.knows = knows
        self.lengths: list[int] = []

    def digests(self, path: str, *, etag: str = "") -> Digests:
        return super().digests(path, etag=etag) if self.knows else Digests()

    def open_reader(self, path: str, *, offset: int = 0, length: int | None = None, etag: str = "") -> RemoteFile:
        self.lengths.append(SIZE - offset if length is None else min(length, SIZE - offset))
        return super().open_reader(path, offset=offset, length=length, etag=etag)


def _resume(tmp_path: Path, there: bytes, answer: ConflictAnswer, *, knows: bool, size: int = SIZE) -> Engine:
    storage = _Counting(knows=knows)
    put(storage, "f", pattern(size))
    (tmp_path / "f").write_bytes(there)
    with Engine(answer) as engine:
        engine.lengths = storage.lengths  # type: ignore[attr-defined]  # for the test's own eyes
        engine.whole(Download(engine.adopt(storage), (Source("f", False),), str(tmp_path), ConflictPolicy.RESUME))
    return engine


@pytest.mark.parametrize("knows", [True, False])
@pytest.mark.parametrize("length", [1, 9_999, 10_000, 43_210, SIZE - 1, SIZE])
def test_beginning_is_gone_on_with(tmp_path: Path, length: int, knows: bool) -> None:
    engine = _resume(tmp_path, pattern(SIZE)[:length], KEEP, knows=knows)

    assert engine.questions == []
    assert tree_of(tmp_path) == {"f": pattern(SIZE)}


def test_only_what_is_missing_is_fetched_where_the_checksum_proves_the_rest(tmp_path: Path) -> None:
    engine = _resume(tmp_path, pattern(SIZE)[:73_000], KEEP, knows=True)

    fetched = sum(engine.lengths)  # type: ignore[attr-defined]
    assert SIZE - 73_000 <= fetched <= SIZE - 63_000
    assert engine.progress[-1].bytes_resumed == SIZE - fetched


@pytest.mark.parametrize("knows", [True, False])
@pytest.mark.parametrize("wrong_at", [0, 15_000, 42_000])
@pytest.mark.parametrize("answer", [KEEP, REPLACE])
def test_what_is_no_beginning_is_never_replaced_without_a_question(
    tmp_path: Path, wrong_at: int, answer: ConflictAnswer, knows: bool
) -> None:
    there = bytearray(pattern(SIZE)[:43_210])
    there[wrong_at] ^= 1

    engine = _resume(tmp_path, bytes(there), answer, knows=knows)

    (question,) = engine.questions
    assert isinstance(question, ConflictQuestion)
    assert not question.can_resume
    assert tree_of(tmp_path) == {"f": bytes(there) if answer is KEEP else pattern(SIZE)}


@pytest.mark.parametrize("there", [b"", b"x" * (SIZE + 1), b"x" * SIZE])
def test_what_cannot_be_a_beginning_is_asked_about(tmp_path: Path, there: bytes) -> None:
    engine = _resume(tmp_path, there, KEEP, knows=True)

    assert len(engine.questions) == 1
    assert tree_of(tmp_path) == {"f": there}


def test_small_file_is_gone_on_with_as_well(tmp_path: Path) -> None:
    engine = _resume(tmp_path, pattern(500)[:100], KEEP, knows=True, size=500)

    assert engine.questions == []
    assert tree_of(tmp_path) == {"f": pattern(500)}


def test_upload_asks_where_it_is_to_go_on_with_what_is_there(tmp_path: Path) -> None:
    storage = MemoryStorage()
    put(storage, "f", b"be")
    (tmp_path / "f").write_bytes(b"beginning")

    with Engine(KEEP) as engine:
        engine.whole(Upload(engine.adopt(storage), (str(tmp_path / "f"),), "", ConflictPolicy.RESUME))
        assert files_of(storage) == {"f": b"be"}
    assert len(engine.questions) == 1


# -- permissions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [10, SIZE])
@pytest.mark.parametrize(("keep", "expected"), [(True, 0o640), (False, 0o666 & 0o777)])
def test_permissions_of_the_source_are_kept(tmp_path: Path, size: int, keep: bool, expected: int) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "here").mkdir()
    (tmp_path / "there/f").write_bytes(pattern(size))
    (tmp_path / "there/f").chmod(0o640)

    with Engine() as engine:
        spec = engine.adopt(LocalStorage(str(tmp_path / "there")), "local")
        engine.whole(Download(spec, (Source("f", False),), str(tmp_path / "here"), keep_permissions=keep))

    wanted = allowed(expected)
    assert (tmp_path / "here/f").stat().st_mode & 0o777 == wanted


def test_umask_is_honoured_and_nobody_becomes_somebody_else() -> None:
    old = os.umask(0o022)
    os.umask(old)

    assert allowed(0o6777) == 0o777 & ~old
    assert allowed(None) is None


# -- links ---------------------------------------------------------------------------------------------------------------


def _linked(folder: Path) -> Path:
    (folder / "d/sub").mkdir(parents=True)
    (folder / "d/f").write_bytes(b"1")
    (folder / "d/to f").symlink_to("f")
    (folder / "d/sub/up").symlink_to("../f")
    (folder / "secret").write_bytes(b"2")
    (folder / "d/sub/out").symlink_to("../../secret")
    return folder


@pytest.mark.parametrize(
    ("links", "expected"),
    [
        (LinkPolicy.RECREATE, {"d/to f": "f", "d/sub/up": "../f"}),
        (LinkPolicy.SKIP, {}),
    ],
)
def test_links_arrive_but_none_that_leads_out(tmp_path: Path, links: LinkPolicy, expected: dict[str, str]) -> None:
    there = _linked(tmp_path / "there")

    with Engine() as engine:
        spec = engine.adopt(LocalStorage(str(there)), "local")
        report = engine.report(Download(spec, (Source("d/", True),), str(tmp_path / "here"), links=links))

    found = {
        path.relative_to(tmp_path / "here").as_posix(): str(path.readlink())
        for path in (tmp_path / "here").rglob("*")
        if path.is_symlink()
    }
    assert found == expected
    assert (tmp_path / "here/d/f").read_bytes() == b"1"
    assert report.files_total == report.files_done + report.files_skipped + report.files_failed == 4
    assert report.files_failed == (1 if links is LinkPolicy.RECREATE else 0)


def test_links_that_the_storage_cannot_hold_are_told(tmp_path: Path) -> None:
    storage = MemoryStorage()
    top = _linked(tmp_path) / "d"

    with Engine() as engine:
        report = engine.report(Upload(engine.adopt(storage), (str(top),), "", links=LinkPolicy.RECREATE))
        assert files_of(storage) == {"d/f": b"1"}

    assert (report.files_done, report.files_failed) == (1, 3)
    assert "holds no links" in report.failures[0].error.message


def test_moved_links_are_gone_from_their_old_place(tmp_path: Path) -> None:
    there = _linked(tmp_path / "there")
    (tmp_path / "to").mkdir()

    with Engine() as engine:
        source = engine.adopt(LocalStorage(str(there)), "local", root="/there")
        target = engine.adopt(LocalStorage(str(tmp_path / "to")), "local", root="/to")
        report = engine.report(Copy(source, (Source("d/", True),), target, "", move=True, links=LinkPolicy.RECREATE))

    made = {path.name for path in (tmp_path / "to").rglob("*") if path.is_symlink()}
    left = {path.name for path in there.rglob("*") if path.is_symlink()}
    assert made == ({"to f", "up"} if LocalStorage.capabilities.links else set())
    assert left == {"to f", "up", "out"} - made
    assert report.files_failed == len(left)
