"""The engine on real servers: what goes up and comes down is the same, whatever happens on the way."""

from __future__ import annotations

import os
import resource
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kegbrowser.backends.errors import Cancelled, InvalidName, PermissionDenied, QuotaExceeded, StorageError
from kegbrowser.backends.local import LocalStorage
from kegbrowser.transfer.events import PageListed
from kegbrowser.transfer.jobs import (
    ConflictPolicy,
    Copy,
    Delete,
    Download,
    ListFolder,
    Rename,
    Source,
    Upload,
)
from kegbrowser.transfer.questions import ConflictAnswer, ConflictChoice, DeleteAnswer
from kegbrowser.transfer.retry import RetryPolicy
from kegbrowser.transfer.tuning import MIB, Tuning
from tests.conformance.names import HOSTILE_NAMES
from tests.conformance.place import Place
from tests.doubles.engine import Engine, pattern
from tests.integration.engine_places import (
    FILES,
    becomes_true,
    files_in,
    fill,
    network_place,
    place,
    proxy,
)
from tests.servers.faulty_proxy import FaultyProxy

__all__ = ["network_place", "place", "proxy"]

QUICK = RetryPolicy(tries=5, first_wait_s=0.02, longest_wait_s=0.2)
TUNING = Tuning(retry=QUICK)
D = Source("d/", is_folder=True)
OLD, NEW = b"the old content", b"the new content, longer"


def test_200_nested_files_go_up_and_come_down_the_same(place: Place, tmp_path: Path) -> None:
    fill(tmp_path / "d", FILES)
    (tmp_path / "d" / "empty folder" / "inner").mkdir(parents=True)

    with Engine(tuning=TUNING) as engine:
        spec = engine.adopt(place.connect(), place.kind)
        up = engine.whole(Upload(spec, (str(tmp_path / "d"),), ""))
        on_server = place.raw_names()
        down = engine.whole(Download(spec, (D,), str(tmp_path / "back")))

    assert {name for name in on_server if not name.endswith("/")} == {f"d/{name}" for name in FILES}
    assert all(place.raw_bytes(f"d/{name}") == FILES[name] for name in list(FILES)[::7])
    assert files_in(tmp_path / "back" / "d") == FILES
    assert (tmp_path / "back" / "d" / "empty folder" / "inner").is_dir()
    assert up.files_done == down.files_done == len(FILES) == 200
    assert up.bytes_done == down.bytes_done == sum(map(len, FILES.values()))
    assert place.leftovers() == []
    assert not list((tmp_path / "back").rglob("*.kegpart"))


def test_64_mib_go_up_and_come_down_in_ranges_the_same(place: Place, tmp_path: Path) -> None:
    content = pattern(64 * MIB + 5)
    (tmp_path / "large").write_bytes(content)

    with Engine(tuning=TUNING) as engine:
        spec = engine.adopt(place.connect(), place.kind)
        engine.whole(Upload(spec, (str(tmp_path / "large"),), ""))
        engine.whole(Download(spec, (Source("large", is_folder=False),), str(tmp_path / "back")))

    assert (tmp_path / "back" / "large").read_bytes() == content
    assert place.leftovers() == []


def test_time_of_a_file_survives_the_way_up_and_down(place: Place, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    os.utime(tmp_path / "f", (981173106, 981173106))

    with Engine(tuning=TUNING) as engine:
        storage = place.connect()
        spec = engine.adopt(storage, place.kind)
        engine.whole(Upload(spec, (str(tmp_path / "f"),), ""))
        engine.whole(Download(spec, (Source("f", is_folder=False),), str(tmp_path / "back")))

    stamp = (tmp_path / "back" / "f").stat().st_mtime
    assert stamp == 981173106 if storage.capabilities.set_modified else stamp > 981173106


def test_hostile_names_come_down_apart_and_stay_in_the_folder(place: Place, tmp_path: Path) -> None:
    names = [name for title, name in HOSTILE_NAMES.items() if title not in place.forbidden_names]
    for name in names:
        place.raw_put(name, name.encode("utf-8", "surrogatepass"))
    destination = tmp_path / "in" / "here"

    with Engine(tuning=TUNING) as engine:
        everything = Source("", is_folder=True)
        report = engine.whole(Download(engine.adopt(place.connect(), place.kind), (everything,), str(destination)))

    arrived = sorted(files_in(destination).values())
    assert arrived == sorted(name.encode("utf-8", "surrogatepass") for name in names)
    assert report.files_done == len(names) > 40
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["here"]


def test_name_that_is_no_text_goes_up_or_fails_by_name(place: Place, tmp_path: Path) -> None:
    fill(tmp_path / "d", {"good": b"x", "bad \udcff": b"y"})

    with Engine(tuning=TUNING) as engine:
        report = engine.report(Upload(engine.adopt(place.connect(), place.kind), (str(tmp_path / "d"),), ""))

    assert report.files_done + report.files_failed == report.files_total == 2
    assert all(isinstance(failure.error, InvalidName) for failure in report.failures)
    assert "d/good" in place.raw_names()


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (ConflictPolicy.ASK, {"f.txt": OLD, "chosen": NEW}),
        (ConflictPolicy.OVERWRITE, {"f.txt": NEW}),
        (ConflictPolicy.OVERWRITE_IF_NEWER, {"f.txt": OLD}),
        (ConflictPolicy.SKIP, {"f.txt": OLD}),
        (ConflictPolicy.RENAME, {"f.txt": OLD, "f (2).txt": NEW}),
    ],
)
def test_clashes_are_settled_by_policy_both_ways(
    place: Place, tmp_path: Path, policy: ConflictPolicy, expected: dict[str, bytes]
) -> None:
    fill(tmp_path, {"f.txt": NEW, "down/f.txt": OLD})
    os.utime(tmp_path / "f.txt", (1_000_000_000, 1_000_000_000))
    place.raw_put("t/f.txt", OLD)

    with Engine(ConflictAnswer(ConflictChoice.RENAME, new_name="chosen"), tuning=TUNING) as engine:
        spec = engine.adopt(place.connect(), place.kind)
        engine.whole(Upload(spec, (str(tmp_path / "f.txt"),), "t/", policy))
        up = {name: place.raw_bytes(name) for name in place.raw_names() if not name.endswith("/")}
        place.raw_put("u/f.txt", NEW)
        future = time.time() + 1_000_000
        os.utime(tmp_path / "down" / "f.txt", (future, future))
        engine.whole(Download(spec, (Source("u/f.txt", is_folder=False),), str(tmp_path / "down"), policy))

    assert up == {f"t/{name}": content for name, content in expected.items()}
    assert files_in(tmp_path / "down") == expected


def test_file_that_arrives_between_count_and_answer_is_not_deleted(place: Place) -> None:
    for n in range(30):
        place.raw_put(f"d/sub{n % 3}/f{n}", b"x")

    class Late(Engine):
        def _answer(self, question: object) -> DeleteAnswer:
            place.raw_put("d/sub1/new", b"new")
            return DeleteAnswer(confirmed=True)

    with Late(tuning=TUNING) as engine:
        report = engine.whole(Delete(engine.adopt(place.connect(), place.kind), (D,)))

    assert report.files_done == 30
    assert {name for name in place.raw_names() if not name.endswith("/")} == {"d/sub1/new"}


def test_folder_is_deleted_with_all_that_is_in_it(place: Place, tmp_path: Path) -> None:
    fill(tmp_path / "d", FILES)
    (tmp_path / "d" / "empty" / "inner").mkdir(parents=True)
    place.raw_put("dx", b"stays")

    with Engine(DeleteAnswer(confirmed=True), tuning=TUNING) as engine:
        spec = engine.adopt(place.connect(), place.kind)
        engine.whole(Upload(spec, (str(tmp_path / "d"),), ""))
        report = engine.whole(Delete(spec, (D,)))

    assert report.files_done == 200
    assert place.raw_names() == {"dx"}


def test_folder_is_renamed(place: Place) -> None:
    for n in range(30):
        place.raw_put(f"d/sub{n % 3}/f{n}", str(n).encode())

    with Engine(tuning=TUNING) as engine:
        engine.whole(Rename(engine.adopt(place.connect(), place.kind), D, "new name/"))

    names = {name for name in place.raw_names() if not name.endswith("/")}
    assert names == {f"new name/sub{n % 3}/f{n}" for n in range(30)}
    assert all(place.raw_bytes(f"new name/sub{n % 3}/f{n}") == str(n).encode() for n in range(0, 30, 4))


@pytest.mark.parametrize("move", [False, True])
def test_folder_is_copied_and_moved_within_a_storage(place: Place, move: bool) -> None:
    content = {f"sub{n % 3}/f{n}": pattern(n * 1000, n) for n in range(12)}
    for name, data in content.items():
        place.raw_put(f"d/{name}", data)
    place.raw_put("to/other", b"x")

    with Engine(tuning=TUNING) as engine:
        spec = engine.adopt(place.connect(), place.kind)
        engine.whole(Copy(spec, (D,), spec, "to/", move=move))

    names = {name for name in place.raw_names() if not name.endswith("/")}
    copied = {f"to/d/{name}" for name in content}
    assert names == copied | {"to/other"} | (set() if move else {f"d/{name}" for name in content})
    assert all(place.raw_bytes(f"to/d/{name}") == data for name, data in content.items())
    assert place.leftovers() == []


def test_folder_moves_to_another_storage_and_back_with_no_file_on_disk(network_place: Place, tmp_path: Path) -> None:
    place = network_place
    fill(tmp_path / "d", FILES)

    with Engine(tuning=TUNING) as engine:
        here = engine.adopt(LocalStorage(str(tmp_path)), "local", root=str(tmp_path))
        there = engine.adopt(place.connect(), place.kind)
        engine.whole(Copy(here, (D,), there, "up/", move=True))
        assert files_in(tmp_path) == {}
        assert {name for name in place.raw_names() if not name.endswith("/")} == {f"up/d/{name}" for name in FILES}
        engine.whole(Copy(there, (Source("up/d/", is_folder=True),), here, "", move=True))

    assert files_in(tmp_path / "d") == FILES
    assert {name for name in place.raw_names() if not name.endswith("/")} == set()


def test_listing_streams_every_entry_once(place: Place) -> None:
    place.raw_fill(f"d/f{n:04d}" for n in range(1_200))

    with Engine(tuning=TUNING) as engine:
        engine.run(ListFolder(engine.adopt(place.connect(), place.kind), "d/"))

    pages = [event for event in engine.events if isinstance(event, PageListed)]
    assert sorted(entry.name for page in pages for entry in page.entries()) == [f"f{n:04d}" for n in range(1_200)]


def test_target_that_may_not_be_written_is_told_once_and_not_for_each_file(
    network_place: Place, tmp_path: Path
) -> None:
    fill(tmp_path / "d", {f"f{n}": b"x" for n in range(300)})
    errors: list[StorageError] = []

    with Engine(tuning=TUNING) as engine:
        spec = engine.adopt(network_place.denied(), network_place.kind)
        try:
            report = engine.report(Upload(spec, (str(tmp_path / "d"),), ""))
            errors += [failure.error for failure in report.failures]
            assert report.files_failed == 300
        except PermissionDenied as error:
            errors.append(error)

    assert len(errors) == 1
    assert isinstance(errors[0], PermissionDenied)
    assert network_place.raw_names() == set()


# -- faults ---------------------------------------------------------------------------------------------------------------


def test_download_survives_cut_connections(network_place: Place, proxy: FaultyProxy, tmp_path: Path) -> None:
    content = pattern(40 * MIB)
    network_place.raw_put("large", content)
    proxy.faults.cut_down_after = 3 * MIB
    proxy.faults.cuts_left = 6

    with Engine(tuning=TUNING) as engine:
        spec = engine.adopt(network_place.connect(port=proxy.port), network_place.kind)
        report = engine.whole(Download(spec, (Source("large", is_folder=False),), str(tmp_path)))

    assert proxy.faults.cuts_left == 0
    assert (tmp_path / "large").read_bytes() == content
    assert report.bytes_done == len(content)
    assert engine.progress[-1].bytes_moved <= len(content) + 6 * MIB
    assert [path.name for path in tmp_path.iterdir()] == ["large"]


def test_upload_survives_cut_connections(network_place: Place, proxy: FaultyProxy, tmp_path: Path) -> None:
    content = pattern(24 * MIB)
    (tmp_path / "large").write_bytes(content)
    proxy.faults.cut_up_after = 2 * MIB
    proxy.faults.cuts_left = 3

    with Engine(tuning=TUNING) as engine:
        spec = engine.adopt(network_place.connect(port=proxy.port), network_place.kind)
        engine.whole(Upload(spec, (str(tmp_path / "large"),), ""))

    assert proxy.faults.cuts_left == 0
    assert network_place.raw_bytes("large") == content
    assert becomes_true(lambda: network_place.leftovers() == [])


def test_many_files_survive_cut_connections(network_place: Place, proxy: FaultyProxy, tmp_path: Path) -> None:
    fill(tmp_path / "d", FILES)
    proxy.faults.cut_up_after = proxy.faults.cut_down_after = 300_000
    proxy.faults.cuts_left = QUICK.tries - 1  # all of them may hit one file, whose upload starts anew each time

    with Engine(tuning=TUNING) as engine:
        spec = engine.adopt(network_place.connect(port=proxy.port), network_place.kind)
        engine.whole(Upload(spec, (str(tmp_path / "d"),), ""))
        proxy.faults.cuts_left = 8
        engine.whole(Download(spec, (D,), str(tmp_path / "back")))

    assert files_in(tmp_path / "back" / "d") == FILES
    assert becomes_true(lambda: network_place.leftovers() == [])


@pytest.mark.parametrize("size", [3 * MIB, 40 * MIB])
def test_cancelled_download_ends_in_time_and_leaves_nothing(
    network_place: Place, proxy: FaultyProxy, tmp_path: Path, size: int
) -> None:
    network_place.raw_put("f", pattern(size))
    proxy.faults.stall_down_after = MIB

    with Engine(tuning=TUNING) as engine:
        spec = engine.adopt(network_place.connect(port=proxy.port), network_place.kind)
        cancelled_at = _cancel_when(engine, lambda: proxy.bytes_down > MIB // 2)
        with pytest.raises(Cancelled):
            engine.run(Download(spec, (Source("f", is_folder=False),), str(tmp_path)))
        assert time.monotonic() - cancelled_at[0] < 1.0

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [3 * MIB, 40 * MIB])
def test_cancelled_upload_ends_in_time_and_leaves_nothing(
    network_place: Place, proxy: FaultyProxy, tmp_path: Path, size: int
) -> None:
    (tmp_path / "f").write_bytes(pattern(size))
    proxy.faults.stall_up_after = MIB

    with Engine(tuning=TUNING) as engine:
        spec = engine.adopt(network_place.connect(port=proxy.port), network_place.kind)
        cancelled_at = _cancel_when(engine, lambda: proxy.bytes_up > MIB // 2)
        with pytest.raises(Cancelled):
            engine.run(Upload(spec, (str(tmp_path / "f"),), ""))
        assert time.monotonic() - cancelled_at[0] < 1.5
        proxy.faults.stall_up_after = None
        assert becomes_true(lambda: network_place.leftovers() == [])

    assert network_place.raw_names() == set()


def test_source_that_changes_on_the_server_is_fetched_anew(
    network_place: Place, proxy: FaultyProxy, tmp_path: Path
) -> None:
    before, after = pattern(24 * MIB, 1), pattern(20 * MIB, 2)
    network_place.raw_put("f", before)
    proxy.faults.bytes_per_s = 20 * MIB  # so that it is surely not all on its way when it changes
    engine = Engine(tuning=replace(TUNING, piece_bytes=64 * 1024, range_bytes=2 * MIB, parts=2, most_parts=2))
    changed = threading.Event()

    def change(_event: object) -> None:
        if engine.progress and engine.progress[-1].bytes_moved and not changed.is_set():
            network_place.raw_put("f", after)
            proxy.faults.bytes_per_s = 0
            changed.set()

    engine.on_event = change
    with engine:
        spec = engine.adopt(network_place.connect(port=proxy.port), network_place.kind)
        report = engine.whole(Download(spec, (Source("f", is_folder=False),), str(tmp_path)))

    assert changed.is_set()
    assert files_in(tmp_path) == {"f": after}
    assert report.bytes_done == report.bytes_total == len(after)


def test_source_that_changes_on_disk_is_sent_anew(network_place: Place, proxy: FaultyProxy, tmp_path: Path) -> None:
    before, after = pattern(96 * MIB, 1), pattern(20 * MIB, 2)
    (tmp_path / "f").write_bytes(before)
    proxy.faults.bytes_per_s = 4 * MIB  # so that it is surely not all read when it changes, whatever a writer holds
    engine = Engine(tuning=TUNING)
    changed = threading.Event()

    def change(_event: object) -> None:
        if engine.progress and engine.progress[-1].bytes_moved and not changed.is_set():
            (tmp_path / "new").write_bytes(after)
            (tmp_path / "new").replace(tmp_path / "f")
            proxy.faults.bytes_per_s = 0
            changed.set()

    engine.on_event = change
    with engine:
        spec = engine.adopt(network_place.connect(port=proxy.port), network_place.kind)
        report = engine.whole(Upload(spec, (str(tmp_path / "f"),), ""))

    assert changed.is_set()
    assert network_place.raw_bytes("f") == after
    assert report.bytes_done == report.bytes_total == len(after)
    assert becomes_true(lambda: network_place.leftovers() == [])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder that takes at most 4 MiB: a disk of its own for root, else by the limit of this process."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], check=False, capture_output=True
    )
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    if mounted.returncode != 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4 * MIB, limits[1]))
    yield folder
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    if mounted.returncode == 0:
        subprocess.run(["umount", str(folder)], check=True)


def test_disk_that_is_full_keeps_what_fits_and_names_what_does_not(place: Place, small_disk: Path) -> None:
    place.raw_put("d/fits", pattern(MIB))
    place.raw_put("d/too large", pattern(6 * MIB))

    with Engine(tuning=TUNING) as engine:
        spec = engine.adopt(place.connect(), place.kind)
        report = engine.report(Download(spec, (D,), str(small_disk)))

    (failure,) = report.failures
    assert isinstance(failure.error, QuotaExceeded)
    assert "too large" in failure.error.message
    assert files_in(small_disk) == {"d/fits": pattern(MIB)}


def _cancel_when(engine: Engine, is_time: object) -> list[float]:
    """Cancel from another thread as soon as a claim is true; the list then holds the moment."""
    moment = [float("inf")]
    assert callable(is_time)

    def wait_and_cancel() -> None:
        becomes_true(is_time, within_s=20)
        threading.Event().wait(0.3)  # until everything that may still move has moved
        moment[0] = time.monotonic()
        engine.token.cancel()

    threading.Thread(target=wait_and_cancel, daemon=True).start()
    return moment
