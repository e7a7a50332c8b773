"""Whatever fails on the way: what is at the end is the old file or the whole new one, and the report says which."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kegbrowser.backends.errors import Cancelled, StorageError
from kegbrowser.backends.memory import MemoryStorage
from kegbrowser.transfer.events import JobReport
from kegbrowser.transfer.jobs import ConflictPolicy, Copy, Delete, Download, Job, Rename, Source, Upload
from tests.doubles.engine import Engine, files_of, pattern, put
from tests.doubles.flaky import Fault, FlakyBackend

NAMES = ("a", "b.txt", "sub/c", "sub/deep/d", "sub2/e", "large")
D = Source("d/", is_folder=True)

faults = st.lists(
    st.sampled_from([Fault.NONE, Fault.NONE, Fault.LOST, Fault.ANSWER_LOST, Fault.THROTTLED, Fault.BROKEN]), max_size=80
)
contents = st.dictionaries(
    st.sampled_from(NAMES), st.sampled_from([0, 1, 999, 1_000, 2_500, 9_999, 34_567]).map(pattern), min_size=1
)
olds = st.dictionaries(st.sampled_from(NAMES), st.just(b"old"), max_size=3)
policies = st.sampled_from([ConflictPolicy.OVERWRITE, ConflictPolicy.SKIP, ConflictPolicy.RENAME])
thorough = settings(max_examples=120, deadline=None)


def _run(engine: Engine, job: Job) -> JobReport | None:
    """The report; None if the job as a whole failed."""
    try:
        report = engine.report(job)
    except StorageError:
        return None
    assert report.files_done + report.files_skipped + report.files_failed == report.files_total
    assert (report.files_failed > 0) == bool(report.failures)
    return report


def _expected(new: dict[str, bytes], old: dict[str, bytes], policy: ConflictPolicy) -> dict[str, bytes]:
    if policy is ConflictPolicy.SKIP:
        return new | old
    if policy is ConflictPolicy.OVERWRITE:
        return old | new
    return {**new, **old} | {_second(name): content for name, content in new.items() if name in old}


def _second(name: str) -> str:
    stem, dot, ending = name.rpartition(".")
    return f"{stem} (2){dot}{ending}" if dot else f"{name} (2)"


def _check(
    arrived: dict[str, bytes],
    new: dict[str, bytes],
    old: dict[str, bytes],
    policy: ConflictPolicy,
    report: JobReport | None,
) -> None:
    for name, content in arrived.items():
        original = name.replace(" (2)", "")
        assert content in (new.get(original), old.get(name)), name
    for name, content in old.items():
        assert arrived[name] in (content, new.get(name))
        assert policy is ConflictPolicy.OVERWRITE or arrived[name] == content
    if report is not None and not report.files_failed:
        assert arrived == _expected(new, old, policy)


@thorough
@given(contents, olds, policies, faults)
def test_download(
    tmp_path_factory: pytest.TempPathFactory,
    new: dict[str, bytes],
    old: dict[str, bytes],
    policy: ConflictPolicy,
    script: list[Fault],
) -> None:
    folder = tmp_path_factory.mktemp("down")
    storage = MemoryStorage()
    for name, content in new.items():
        put(storage, f"d/{name}", content)
    for name, content in old.items():
        path = folder / "d" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    with Engine() as engine:
        spec = engine.adopt(FlakyBackend(storage, script))
        report = _run(engine, Download(spec, (D,), str(folder), policy))

    arrived = {
        path.relative_to(folder / "d").as_posix(): path.read_bytes()
        for path in (folder / "d").rglob("*")
        if path.is_file()
    }
    _check(arrived, new, old, policy, report)


@thorough
@given(contents, olds, policies, faults)
def test_upload(
    tmp_path_factory: pytest.TempPathFactory,
    new: dict[str, bytes],
    old: dict[str, bytes],
    policy: ConflictPolicy,
    script: list[Fault],
) -> None:
    folder = tmp_path_factory.mktemp("up")
    for name, content in new.items():
        path = folder / "d" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    storage = MemoryStorage()
    for name, content in old.items():
        put(storage, f"d/{name}", content)
    flaky = FlakyBackend(storage, script)

    with Engine() as engine:
        report = _run(engine, Upload(engine.adopt(flaky), (str(folder / "d"),), "", policy))
        arrived = {name.removeprefix("d/"): content for name, content in files_of(storage).items()}

    assert flaky.unfinished == 0
    if policy is ConflictPolicy.OVERWRITE:
        _check(arrived, new, old, policy, report)
    else:
        _check_unsure(arrived, new, old, report)


def _check_unsure(
    arrived: dict[str, bytes], new: dict[str, bytes], old: dict[str, bytes], report: JobReport | None
) -> None:
    """As `_check`, where an old file was perhaps not seen: a listing may be refused, but nothing is ever replaced."""
    for name, content in arrived.items():
        assert content in (new.get(name.replace(" (2)", "")), old.get(name)), name
    for name, content in old.items():
        assert arrived[name] == content
    if report is not None and not report.files_failed:
        for name, content in new.items():
            assert name in old or arrived[name] == content


@thorough
@given(contents, st.booleans(), faults, faults)
def test_move_between_two_storages(
    new: dict[str, bytes], is_same: bool, script: list[Fault], other_script: list[Fault]
) -> None:
    source = MemoryStorage()
    target = source if is_same else MemoryStorage()
    for name, content in new.items():
        put(source, f"d/{name}", content)

    with Engine() as engine:
        spec = engine.adopt(FlakyBackend(source, script))
        target_spec = spec if is_same else engine.adopt(FlakyBackend(target, other_script))
        report = _run(engine, Copy(spec, (D,), target_spec, "to/", move=True, policy=ConflictPolicy.RENAME))
        left, arrived = files_of(source), files_of(target)

    for name, content in new.items():
        places = left.get(f"d/{name}"), arrived.get(f"to/d/{name}"), arrived.get(f"to/d/{_second(name)}")
        assert content in places
        assert all(place in (content, None) for place in places)
    if report is not None and not report.files_failed:
        assert not [name for name in left if name.startswith("d/")]
        assert {f"to/d/{name}" for name in new} <= arrived.keys()


@thorough
@given(contents, faults)
def test_rename_of_a_folder(new: dict[str, bytes], script: list[Fault]) -> None:
    storage = MemoryStorage()
    for name, content in new.items():
        put(storage, f"d/{name}", content)

    with Engine() as engine:
        report = _run(engine, Rename(engine.adopt(FlakyBackend(storage, script)), D, "e/"))
        found = {name: content for name, content in files_of(storage).items() if not name.endswith("/")}

    for name, content in new.items():
        places = [found.pop(f"{folder}/{name}", None) for folder in "de"]
        assert content in places
        assert all(place in (content, None) for place in places)
        if report is not None and not report.files_failed:
            assert places == [None, content]
    assert found == {}


@thorough
@given(contents, faults)
def test_deletion(new: dict[str, bytes], script: list[Fault]) -> None:
    storage = MemoryStorage()
    for name, content in new.items():
        put(storage, f"d/{name}", content)
    put(storage, "other", b"stays")

    with Engine() as engine:
        report = _run(engine, Delete(engine.adopt(FlakyBackend(storage, script)), (D,), confirmed=True))
        left = files_of(storage)

    assert left.pop("other") == b"stays"
    assert all(new[name.removeprefix("d/")] == content for name, content in left.items())
    if report is not None:
        assert len(left) <= report.files_failed
        assert {failure.path for failure in report.failures} >= left.keys()


@thorough
@given(contents, olds, st.integers(1, 60), st.booleans())
def test_cancel_at_any_moment(
    tmp_path_factory: pytest.TempPathFactory, new: dict[str, bytes], old: dict[str, bytes], calls: int, is_upload: bool
) -> None:
    folder: Path = tmp_path_factory.mktemp("cancel")
    storage = MemoryStorage()
    engine = Engine()

    class Stopping(FlakyBackend):
        left = calls

        def before(self) -> Fault:
            with self._lock:
                self.left -= 1
                is_time = self.left == 0
            if is_time:
                engine.token.cancel()
            return super().before()

    for name, content in new.items():
        put(storage, f"d/{name}", content)
        path = folder / "d" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if is_upload else old.get(name, b"older"))
    flaky = Stopping(storage, [])

    with engine:
        spec = engine.adopt(flaky)
        policy = ConflictPolicy.OVERWRITE
        job = (
            Upload(spec, (str(folder / "d"),), "up/", policy)
            if is_upload
            else Download(spec, (D,), str(folder), policy)
        )
        with suppress(Cancelled):
            engine.run(job)

    assert flaky.unfinished == 0
    for path in folder.rglob("*"):
        if path.is_file():
            name = path.relative_to(folder / "d").as_posix()
            assert path.read_bytes() in (new[name], old.get(name, b"older"))
    uploaded = {
        key.removeprefix("up/d/"): blob.content for key, blob in storage._store.blobs.items() if key.startswith("up/")
    }
    assert all(new[name] == content for name, content in uploaded.items())
