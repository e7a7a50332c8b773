"""Verify again, manifests and the sweeping of leftovers, on every backend."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kegbrowser.backends.errors import CheckFailed, FileNotFoundInStorageError
from kegbrowser.backends.registry import ConnectionSpec
from kegbrowser.backends.uploads import IncompleteUpload, UploadSpec
from kegbrowser.transfer.events import Leftovers
from kegbrowser.transfer.jobs import (
    CheckManifest,
    CleanUp,
    Download,
    FindIncomplete,
    MakeManifest,
    ManifestFormat,
    Pair,
    Source,
    Upload,
    VerifyAgain,
)
from kegbrowser.transfer.questions import DeleteAnswer, DeleteQuestion
from tests.conformance.place import Place
from tests.doubles.engine import Engine, pattern
from tests.integration.engine_places import FILES, fill, place

__all__ = ["place"]

SOME = {name: FILES[name] for name in sorted(FILES)[::8]} | {"large": pattern(3 * 1024 * 1024 + 5)}
TOP = Source("tree/", is_folder=True)


@pytest.fixture
def engine(place: Place) -> Engine:
    return Engine()


def _sent(engine: Engine, place: Place, tmp_path: Path) -> tuple[ConnectionSpec, Path]:
    """The same files on both sides."""
    spec = engine.adopt(place.connect())
    folder = fill(tmp_path / "tree", SOME)
    engine.whole(Upload(spec, (str(folder),), ""))
    return spec, folder


def test_what_was_sent_is_verified_again_and_each_difference_is_found(
    engine: Engine, place: Place, tmp_path: Path
) -> None:
    with engine:
        spec, folder = _sent(engine, place, tmp_path)
        pairs = (Pair(TOP, str(folder)),)
        same = engine.whole(VerifyAgain(spec, pairs, read_whole=True))
        by_size = engine.whole(VerifyAgain(spec, pairs))
        name = sorted(SOME)[5]
        (folder / name).write_bytes(b"?" + SOME[name][1:])
        (folder / "large").unlink()
        (folder / "extra").write_bytes(b"")
        changed = engine.report(VerifyAgain(spec, pairs, read_whole=True))

    assert same.checked.verified == same.files_total == len(SOME)
    assert by_size.checked.verified + by_size.checked.size_only == len(SOME)
    kinds = {failure.path.rpartition("/")[2]: type(failure.error) for failure in changed.failures}
    assert kinds == {
        name.rpartition("/")[2]: CheckFailed,
        "large": FileNotFoundInStorageError,
        "extra": FileNotFoundInStorageError,
    }


@pytest.mark.parametrize("layout", list(ManifestFormat))
def test_manifest_of_either_side_proves_the_other(
    engine: Engine, place: Place, tmp_path: Path, layout: ManifestFormat
) -> None:
    manifests = [str(tmp_path / "remote list"), str(tmp_path / "local list")]
    with engine:
        spec, folder = _sent(engine, place, tmp_path)
        engine.whole(MakeManifest(spec, "tree/", manifests[0], layout))
        engine.whole(MakeManifest(None, str(folder), manifests[1], layout))
        reports = [
            engine.whole(CheckManifest(side, path, manifest))
            for side, path in ((spec, "tree/"), (None, str(folder)))
            for manifest in manifests
        ]
        shutil.rmtree(folder)
        engine.whole(Download(spec, (TOP,), str(tmp_path)))
        reports.append(engine.whole(CheckManifest(None, str(folder), manifests[1])))

    assert [report.checked.verified for report in reports] == [len(SOME)] * 5


def test_leftovers_are_found_and_swept_but_never_those_in_use(place: Place) -> None:
    storage = place.connect()
    answers = [DeleteAnswer(confirmed=False), DeleteAnswer(confirmed=True)]
    with Engine(*answers) as engine:
        spec = engine.adopt(storage)
        # Azure lists no uncommitted blocks; it drops them by itself, within a week
        can_sweep = storage.capabilities.resumable and place.kind != "azure"
        paths = ["left/old", "left/young", "left/used"] if can_sweep else []
        for folder in ("left/",) if storage.capabilities.real_folders else ():
            storage.make_folder(folder)
        for path in paths:
            upload = storage.begin_upload(UploadSpec(path, 6 * 1024 * 1024))
            upload.send(0, bytes(min(upload.part_bytes, 6 * 1024 * 1024)), lambda count: None)
            upload.leave()
        found = engine.run(FindIncomplete(spec, ""))
        assert isinstance(found, Leftovers)
        ours = {one.path: one for one in found.uploads if one.path in paths}
        assert sorted(ours) == sorted(paths)
        if not paths:
            return
        long_ago = datetime.now(UTC) - timedelta(days=2)
        old = IncompleteUpload("left/old", ours["left/old"].token, long_ago)
        in_use = frozenset({ours["left/used"].token})
        job = CleanUp(spec, (old, ours["left/young"], ours["left/used"]), in_use=in_use)
        first = engine.whole(job)
        left_first = {one.path for one in storage.incomplete_uploads("") if one.path in paths}
        second = engine.whole(job)
        left_second = {one.path for one in storage.incomplete_uploads("") if one.path in paths}
        storage.discard_upload("left/used", ours["left/used"].token)

    (question, _again) = engine.questions
    assert isinstance(question, DeleteQuestion)
    assert question.names == ("young",)
    assert (first.files_done, first.files_skipped) == (1, 2)
    assert left_first == {"left/young", "left/used"}
    assert (second.files_done, second.files_skipped) == (2, 1)
    assert left_second == {"left/used"}
