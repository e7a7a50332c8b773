"""Unfinished transfers are found, and removed only where nobody needs them."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kegbrowser.backends.errors import Cancelled, NotAFolder, NotSupported, PermissionDenied
from kegbrowser.backends.memory import MemoryStorage
from kegbrowser.backends.uploads import IncompleteUpload, UploadSpec
from kegbrowser.transfer.events import Leftovers
from kegbrowser.transfer.jobs import CleanUp, FindIncomplete, FindLocalParts
from kegbrowser.transfer.part_file import PartFile
from kegbrowser.transfer.questions import DeleteAnswer, DeleteQuestion
from kegbrowser.transfer.whole_file import hidden_path
from tests.doubles.engine import Engine, files_of, put

YES, NO = DeleteAnswer(confirmed=True), DeleteAnswer(confirmed=False)
LONG_AGO = datetime.now(UTC) - timedelta(days=3)


def _begin(storage: MemoryStorage, *paths: str) -> list[IncompleteUpload]:
    for path in paths:
        storage.begin_upload(UploadSpec(path, 100)).leave()
    found = {one.path: one for one in storage.incomplete_uploads("")}
    return [found[path] for path in paths]


def _old(upload: IncompleteUpload) -> IncompleteUpload:
    return IncompleteUpload(upload.path, upload.token, LONG_AGO, upload.size_bytes)


def _part(target: Path, *, is_old: bool = True) -> str:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = PartFile(str(target))
    part.write_at(b"half of it", 0)
    part.leave()
    if is_old:
        os.utime(part.path, (LONG_AGO.timestamp(), LONG_AGO.timestamp()))
    return part.path


def test_incomplete_uploads_below_a_folder_are_found() -> None:
    storage = MemoryStorage()
    _begin(storage, "d/a", "d/sub/b", "other/c")
    put(storage, "d/whole")

    with Engine() as engine:
        found = engine.run(FindIncomplete(engine.adopt(storage), "d/"))

    assert isinstance(found, Leftovers)
    assert sorted(one.path for one in found.uploads) == ["d/a", "d/sub/b"]
    told = [event for event in engine.events if isinstance(event, Leftovers)]
    assert [one for event in told for one in event.uploads] == list(found.uploads)


def test_part_files_are_found_and_nothing_else(tmp_path: Path) -> None:
    parts = [_part(tmp_path / "a"), _part(tmp_path / "sub/deep/with\nline"), hidden_path(str(tmp_path / "small"))]
    Path(parts[2]).write_bytes(b"x")
    for name in ("file.kegpart", ".kegpart", ".xyz.kegpart", ".a.0123abcd.kegpart.txt", "sub/plain"):
        (tmp_path / name).write_bytes(b"mine")
    (tmp_path / ".a.89abcdef.kegpart").mkdir()
    (tmp_path / ".b.89abcdef.kegpart").symlink_to(tmp_path / "sub/plain")
    (tmp_path / "link").symlink_to(tmp_path / "sub")

    with Engine() as engine:
        found = engine.run(FindLocalParts(str(tmp_path)))

    assert isinstance(found, Leftovers)
    assert sorted(one.path for one in found.local_parts) == sorted(parts)


def test_folder_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"")

    with Engine() as engine, pytest.raises(NotAFolder):
        engine.run(FindLocalParts(str(tmp_path / "f")))


def test_clean_up_removes_what_is_old_and_asks_about_what_is_young(tmp_path: Path) -> None:
    storage = MemoryStorage()
    old, young = _begin(storage, "old", "young")
    old_part, young_part = _part(tmp_path / "a"), _part(tmp_path / "b", is_old=False)

    with Engine(NO) as engine:
        job = CleanUp(engine.adopt(storage), (_old(old), young), (old_part, young_part))
        report = engine.whole(job)
        (question,) = engine.questions
        left = [one.path for one in storage.incomplete_uploads("")]

    assert isinstance(question, DeleteQuestion)
    assert question.sources == 2
    assert set(question.names) == {"young", Path(young_part).name}
    assert left == ["young"]
    assert (Path(old_part).exists(), Path(young_part).exists()) == (False, True)
    assert (report.files_done, report.files_skipped) == (2, 2)


@pytest.mark.parametrize("confirmed", [True, False])
def test_young_ones_go_when_their_user_says_so(tmp_path: Path, confirmed: bool) -> None:
    storage = MemoryStorage()
    (young,) = _begin(storage, "young")
    part = _part(tmp_path / "b", is_old=False)

    with Engine(YES) as engine:
        engine.whole(CleanUp(engine.adopt(storage), (young,), (part,), confirmed=confirmed))
        left = list(storage.incomplete_uploads(""))

    assert left == []
    assert not Path(part).exists()
    assert len(engine.questions) == (0 if confirmed else 1)


def test_upload_of_unknown_age_is_asked_about() -> None:
    storage = MemoryStorage()
    (one,) = _begin(storage, "f")

    with Engine() as engine, pytest.raises(Cancelled):
        engine.run(CleanUp(engine.adopt(storage), (IncompleteUpload(one.path, one.token),)))

    assert len(list(storage.incomplete_uploads(""))) == 1


def test_what_a_job_will_go_on_with_is_never_touched(tmp_path: Path) -> None:
    storage = MemoryStorage()
    mine, gone = _begin(storage, "mine", "gone")
    kept_part, gone_part = _part(tmp_path / "a:b"), _part(tmp_path / "c")
    in_use = frozenset({mine.token, f"8388608:{kept_part}"})

    with Engine() as engine:
        job = CleanUp(engine.adopt(storage), (mine, gone), (kept_part, gone_part), in_use=in_use, confirmed=True)
        report = engine.whole(job)
        left = [one.path for one in storage.incomplete_uploads("")]

    assert left == ["mine"]
    assert Path(kept_part).exists()
    assert not Path(gone_part).exists()
    assert (report.files_done, report.files_skipped) == (2, 2)


def test_nothing_but_part_files_is_removed_from_the_disk(tmp_path: Path) -> None:
    precious = tmp_path / "precious.txt"
    precious.write_bytes(b"mine")
    disguised = tmp_path / ".a.01234567.kegpart"
    disguised.symlink_to(precious)

    with Engine() as engine:
        report = engine.report(CleanUp(None, (), (str(precious), str(disguised), str(tmp_path)), confirmed=True))

    assert [type(failure.error) for failure in report.failures] == [NotSupported] * 3
    assert precious.read_bytes() == b"mine"
    assert disguised.is_symlink()


def test_upload_that_cannot_be_removed_is_told_and_the_others_go() -> None:
    class Storage(MemoryStorage):
        def discard_upload(self, path: str, token: str) -> None:
            if path == "kept":
                raise PermissionDenied("You may not remove “kept”.", path=path)
            super().discard_upload(path, token)

    storage = Storage()
    uploads = _begin(storage, "kept", "gone", "gone too")

    with Engine() as engine:
        report = engine.report(CleanUp(engine.adopt(storage), tuple(uploads), confirmed=True))
        left = [one.path for one in storage.incomplete_uploads("")]

    assert left == ["kept"]
    assert [failure.path for failure in report.failures] == ["kept"]
    assert report.files_done == 2


def test_nothing_to_clean_up_is_fine() -> None:
    with Engine() as engine:
        assert engine.whole(CleanUp(None)).files_total == 0
        assert files_of(MemoryStorage()) == {}
