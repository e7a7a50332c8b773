"""A job that is stopped in the middle goes on where it was, and believes nothing that is not so any more."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from kegbrowser.backends.base import RemoteFile
from kegbrowser.backends.errors import Cancelled, ConnectionLost
from kegbrowser.backends.memory import MemoryStorage
from kegbrowser.backends.memory import uploads as memory_uploads
from kegbrowser.backends.uploads import Part, PartedUpload
from kegbrowser.transfer.events import JobReport
from kegbrowser.transfer.jobs import ConflictPolicy, Copy, Download, Source, TransferJob, Upload
from kegbrowser.transfer.questions import ConflictAnswer, ConflictChoice
from kegbrowser.transfer.records import ItemState
from tests.doubles.engine import SMALL_PARTS, Engine, files_of, pattern, put, tree_of
from tests.doubles.memory_journal import MemoryJournal
from tests.doubles.passing import PassingBackend, PassingFile, PassingUpload

SIZE = 95_000
PART = 10_000
IN_TURN = replace(SMALL_PARTS, parts=1, most_parts=1, large_threads=1)
"""One part after the other, so that a test knows what was moved."""


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_uploads, "PART_BYTES", PART)


class _Counting(PassingBackend):
    """Counts the bytes that pass, and calls `on_bytes` with the sum before each piece."""

    def __init__(self, inner: MemoryStorage, on_bytes: Callable[[int], None] = lambda _sum: None) -> None:
        super().__init__(inner)
        self.moved = 0
        self.on_bytes = on_bytes

    def wrap(self, file: RemoteFile) -> RemoteFile:
        return _CountingFile(self, file)

    def begin_upload(self, spec: object) -> PartedUpload:
        return _CountingUpload(self, self.inner.begin_upload(spec))  # type: ignore[arg-type]

    def resume_upload(self, spec: object, token: str, parts: object) -> PartedUpload:
        return _CountingUpload(self, self.inner.resume_upload(spec, token, parts))  # type: ignore[arg-type]

    def interrupt(self) -> None:
        """The next run uses the same storage."""

    def count(self, size: int) -> None:
        self.on_bytes(self.moved)
        self.moved += size


class _CountingFile(PassingFile):
    storage: _Counting

    def read(self, size: int) -> bytes:
        data = super().read(size)
        self.storage.count(len(data))
        return data


class _CountingUpload(PassingUpload):
    storage: _Counting

    def send(self, number: int, content: bytes, on_sent: Callable[[int], None]) -> Part:
        self.storage.count(len(content))
        return super().send(number, content, on_sent)


def _stopped(engine: Engine, job: TransferJob) -> None:
    with pytest.raises(Cancelled):
        engine.run(job)


def _suspend_at(engine: Engine, size: int, *, keep: bool = True) -> Callable[[int], None]:
    def look(moved: int) -> None:
        if moved >= size:
            engine.token.cancel(keep=keep)

    return look


def _local(folder: Path, name: str = "f", content: bytes = pattern(SIZE)) -> str:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return str(folder / name)


def _download(engine: Engine, storage: PassingBackend | MemoryStorage, to: Path, path: str = "f") -> TransferJob:
    return Download(engine.adopt(storage), (Source(path, is_folder=path.endswith("/")),), str(to))


# -- downloads ------------------------------------------------------------------------------------------------------------


def _half_a_download(storage: MemoryStorage, to: Path, journal: MemoryJournal) -> None:
    with Engine(tuning=IN_TURN, journal=journal) as engine:
        counting = _Counting(storage, _suspend_at(engine, 45_000))
        _stopped(engine, _download(engine, counting, to))


def test_suspended_download_goes_on_from_its_finished_parts(tmp_path: Path) -> None:
    storage, journal = MemoryStorage(), MemoryJournal()
    put(storage, "f", pattern(SIZE))
    _half_a_download(storage, tmp_path, journal)
    assert journal.of("f").state is ItemState.MOVING
    assert [name.endswith(".kegpart") for name in tree_of(tmp_path)] == [True]

    with Engine(journal=journal.reopen()) as engine:
        counting = _Counting(storage)
        report = engine.whole(_download(engine, counting, tmp_path))

    assert tree_of(tmp_path) == {"f": pattern(SIZE)}
    assert counting.moved == SIZE - 45_000
    assert (report.bytes_resumed, report.checked.verified) == (45_000, 1)
    assert journal.of("f").state is ItemState.DONE


def test_part_file_that_was_damaged_meanwhile_is_fetched_anew_where_it_is(tmp_path: Path) -> None:
    storage, journal = MemoryStorage(), MemoryJournal()
    put(storage, "f", pattern(SIZE))
    _half_a_download(storage, tmp_path, journal)
    (part,) = tmp_path.iterdir()
    with part.open("r+b") as file:
        file.seek(15_000)
        file.write(b"damaged")

    with Engine(journal=journal.reopen()) as engine:
        counting = _Counting(storage)
        engine.whole(_download(engine, counting, tmp_path))

    assert tree_of(tmp_path) == {"f": pattern(SIZE)}
    assert counting.moved == SIZE - 43_750


def test_source_that_changed_meanwhile_starts_anew(tmp_path: Path) -> None:
    storage, journal = MemoryStorage(), MemoryJournal()
    put(storage, "f", pattern(SIZE))
    _half_a_download(storage, tmp_path, journal)
    put(storage, "f", pattern(SIZE, seed=1))

    with Engine(journal=journal.reopen()) as engine:
        report = engine.whole(_download(engine, storage, tmp_path))

    assert tree_of(tmp_path) == {"f": pattern(SIZE, seed=1)}
    assert report.bytes_resumed == 0


def test_part_file_that_is_gone_starts_anew(tmp_path: Path) -> None:
    storage, journal = MemoryStorage(), MemoryJournal()
    put(storage, "f", pattern(SIZE))
    _half_a_download(storage, tmp_path, journal)
    for part in tmp_path.iterdir():
        part.unlink()

    with Engine(journal=journal.reopen()) as engine:
        engine.whole(_download(engine, storage, tmp_path))

    assert tree_of(tmp_path) == {"f": pattern(SIZE)}


def test_file_that_arrived_but_was_not_noted_is_compared_not_fetched(tmp_path: Path) -> None:
    storage, journal = MemoryStorage(), MemoryJournal()
    put(storage, "f", pattern(SIZE))
    with Engine(journal=journal) as engine:
        engine.whole(_download(engine, storage, tmp_path))
    record = journal.of("f")
    journal.items[record.item] = replace(record, state=ItemState.MOVING, token=f"{PART}:{tmp_path}/.f.gone.kegpart")

    with Engine(journal=journal.reopen()) as engine:
        counting = _Counting(storage)
        report = engine.whole(_download(engine, counting, tmp_path))

    assert (counting.moved, engine.questions, report.checked.verified) == (0, [], 1)


def test_done_files_are_passed_over_and_missing_ones_fetched_again(tmp_path: Path) -> None:
    storage, journal = MemoryStorage(), MemoryJournal()
    files = {f"d/f{number}": pattern(1_000 + number) for number in range(20)}
    for name, content in files.items():
        put(storage, name, content)
    with Engine(journal=journal) as engine:
        engine.whole(_download(engine, storage, tmp_path, "d/"))
    (tmp_path / "d" / "f3").unlink()
    put(storage, "d/f5", pattern(2_000, seed=9))

    with Engine(journal=journal.reopen()) as engine:
        counting = _Counting(storage)
        report = engine.whole(_download(engine, counting, tmp_path, "d/"))

    assert tree_of(tmp_path) == {"d/": None} | files | {"d/f5": pattern(2_000, seed=9)}
    assert counting.moved == len(files["d/f3"]) + 2_000
    assert (report.files_done, engine.questions) == (20, [])


def test_cancelled_download_leaves_nothing(tmp_path: Path) -> None:
    storage, journal = MemoryStorage(), MemoryJournal()
    put(storage, "f", pattern(SIZE))

    with Engine(tuning=IN_TURN, journal=journal) as engine:
        counting = _Counting(storage, _suspend_at(engine, 45_000, keep=False))
        _stopped(engine, _download(engine, counting, tmp_path))

    assert tree_of(tmp_path) == {}
    assert (journal.of("f").state, journal.of("f").token) == (ItemState.PLANNED, "")


def test_network_that_is_away_stops_the_job_and_keeps_what_was_moved(tmp_path: Path) -> None:
    storage, journal = MemoryStorage(), MemoryJournal()
    put(storage, "f", pattern(SIZE))

    def lose(moved: int) -> None:
        if moved >= 45_000:
            raise ConnectionLost("no route")

    with Engine(tuning=IN_TURN, journal=journal) as engine, pytest.raises(ConnectionLost):
        engine.run(_download(engine, _Counting(storage, lose), tmp_path))
    with Engine(journal=journal.reopen()) as engine:
        counting = _Counting(storage)
        engine.whole(_download(engine, counting, tmp_path))

    assert tree_of(tmp_path) == {"f": pattern(SIZE)}
    assert counting.moved == SIZE - 45_000


# -- uploads --------------------------------------------------------------------------------------------------------------


def _half_an_upload(storage: MemoryStorage, path: str, journal: MemoryJournal) -> None:
    with Engine(tuning=IN_TURN, journal=journal) as engine:
        counting = _Counting(storage, _suspend_at(engine, 45_000))
        _stopped(engine, Upload(engine.adopt(counting), (path,), ""))


def _upload_again(storage: PassingBackend | MemoryStorage, path: str, journal: MemoryJournal) -> JobReport:
    with Engine(journal=journal.reopen()) as engine:
        report = engine.whole(Upload(engine.adopt(storage), (path,), ""))
        assert engine.questions == []
    return report


def test_suspended_upload_goes_on_from_its_finished_parts(tmp_path: Path) -> None:
    storage, journal, path = MemoryStorage(), MemoryJournal(), _local(tmp_path)
    _half_an_upload(storage, path, journal)
    assert files_of(storage) == {}
    assert len(list(storage.incomplete_uploads(""))) == 1

    counting = _Counting(storage)
    report = _upload_again(counting, path, journal)

    assert files_of(storage) == {"f": pattern(SIZE)}
    assert list(storage.incomplete_uploads("")) == []
    assert counting.moved == SIZE - report.bytes_resumed
    assert report.bytes_resumed >= 40_000
    assert report.checked.verified == 1


def test_upload_whose_source_changed_starts_anew_and_leaves_nothing(tmp_path: Path) -> None:
    storage, journal, path = MemoryStorage(), MemoryJournal(), _local(tmp_path)
    _half_an_upload(storage, path, journal)
    Path(path).write_bytes(pattern(SIZE + 5, seed=1))

    report = _upload_again(storage, path, journal)

    assert files_of(storage) == {"f": pattern(SIZE + 5, seed=1)}
    assert list(storage.incomplete_uploads("")) == []
    assert report.bytes_resumed == 0


def test_upload_whose_source_changed_behind_its_time_is_not_believed(tmp_path: Path) -> None:
    storage, journal, path = MemoryStorage(), MemoryJournal(), _local(tmp_path)
    _half_an_upload(storage, path, journal)
    record, content = journal.of(path), pattern(SIZE, seed=1)
    Path(path).write_bytes(content)
    seconds = record.mark.modified_us / 1e6
    os.utime(path, (seconds, seconds))

    _upload_again(storage, path, journal)

    assert files_of(storage) == {"f": content}


def test_upload_that_the_storage_forgot_starts_anew(tmp_path: Path) -> None:
    storage, journal, path = MemoryStorage(), MemoryJournal(), _local(tmp_path)
    _half_an_upload(storage, path, journal)
    for found in list(storage.incomplete_uploads("")):
        storage.discard_upload(found.path, found.token)

    _upload_again(storage, path, journal)

    assert files_of(storage) == {"f": pattern(SIZE)}


def test_upload_that_was_completed_but_not_noted_is_compared_not_sent(tmp_path: Path) -> None:
    storage, journal, path = MemoryStorage(), MemoryJournal(), _local(tmp_path)
    with Engine(journal=journal) as engine:
        engine.whole(Upload(engine.adopt(storage), (path,), ""))
    record = journal.of(path)
    journal.items[record.item] = replace(record, state=ItemState.MOVING, token="gone")  # no secret

    counting = _Counting(storage)
    _upload_again(counting, path, journal)

    assert counting.moved == 0


def test_cancelled_upload_leaves_nothing(tmp_path: Path) -> None:
    storage, journal, path = MemoryStorage(), MemoryJournal(), _local(tmp_path)

    with Engine(tuning=IN_TURN, journal=journal) as engine:
        counting = _Counting(storage, _suspend_at(engine, 45_000, keep=False))
        _stopped(engine, Upload(engine.adopt(counting), (path,), ""))

    assert files_of(storage) == {}


def test_answer_is_not_asked_for_again(tmp_path: Path) -> None:
    storage, journal, path = MemoryStorage(), MemoryJournal(), _local(tmp_path)
    put(storage, "f", b"old")
    with Engine(ConflictAnswer(ConflictChoice.OVERWRITE), tuning=IN_TURN, journal=journal) as engine:
        counting = _Counting(storage, _suspend_at(engine, 45_000))
        _stopped(engine, Upload(engine.adopt(counting), (path,), ""))
        assert len(engine.questions) == 1

    _upload_again(storage, path, journal)

    assert files_of(storage) == {"f": pattern(SIZE)}


# -- copies ---------------------------------------------------------------------------------------------------------------


def test_suspended_copy_between_storages_goes_on_from_its_finished_parts() -> None:
    source, target, journal = _Counting(MemoryStorage()), MemoryStorage(), MemoryJournal()
    put(source.inner, "f", pattern(SIZE))

    def copy(engine: Engine, to: PassingBackend) -> TransferJob:
        return Copy(
            engine.adopt(source), (Source("f", is_folder=False),), engine.adopt(to), "", policy=ConflictPolicy.ASK
        )

    with Engine(tuning=IN_TURN, journal=journal) as engine:
        _stopped(engine, copy(engine, _Counting(target, _suspend_at(engine, 45_000))))
    with Engine(journal=journal.reopen()) as engine:
        counting = _Counting(target)
        report = engine.whole(copy(engine, counting))

    assert files_of(target) == {"f": pattern(SIZE)}
    assert counting.moved == SIZE - report.bytes_resumed
    assert report.bytes_resumed >= 40_000
