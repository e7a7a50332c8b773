"""Uploads in parts: sent in any order, taken up again by anybody who has the token, whole or not there at all."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from kegbrowser.backends.errors import AlreadyExists, Cancelled, CheckFailed, FileNotFoundInStorageError
from kegbrowser.backends.proofs import Certainty
from kegbrowser.backends.uploads import Part, PartedUpload, UploadSpec
from tests.conformance.content import content_of, digest
from tests.conformance.names import HOSTILE_NAMES
from tests.conformance.place import Place
from tests.servers.faulty_proxy import FaultyProxy

MAX_SENT = 256 * 1024

SIZES: dict[str, Callable[[int], int]] = {
    "one byte": lambda part: 1,
    "a part less one": lambda part: part - 1,
    "a part": lambda part: part,
    "a part and one": lambda part: part + 1,
    "three parts and a bit": lambda part: 3 * part + 12_345,
}


def _ignore(_count: int) -> None:
    return None


def _cut(upload: PartedUpload, content: bytes) -> list[memoryview]:
    step = upload.part_bytes
    return [memoryview(content)[start : start + step] for start in range(0, max(1, len(content)), step)]


def _send(upload: PartedUpload, content: bytes, numbers: Any = None) -> dict[int, Part]:
    parts = _cut(upload, content)
    wanted = range(len(parts)) if numbers is None else numbers
    return {number: upload.send(number, parts[number], _ignore) for number in wanted}  # type: ignore[arg-type]


def _send_for_ever(upload: PartedUpload, content: bytes) -> None:
    while True:
        upload.send(0, content, _ignore)


def _put(place: Place, path: str, content: bytes, **options: Any) -> PartedUpload:
    upload = place.storage.begin_upload(UploadSpec(path, len(content), **options))
    _send(upload, content)
    upload.commit()
    return upload


@pytest.fixture
def part_bytes(parted_place: Place) -> int:
    """The length of the parts of a file of middling size."""
    assert parted_place.storage.capabilities.resumable
    upload = parted_place.storage.begin_upload(UploadSpec("probe", 20_000_000))
    upload.discard()
    return upload.part_bytes


@pytest.mark.parametrize("size", SIZES)
def test_files_of_every_size_arrive_whole(parted_place: Place, part_bytes: int, size: str) -> None:
    content = content_of(SIZES[size](part_bytes))

    upload = parted_place.storage.begin_upload(UploadSpec("file", len(content)))
    sent = _send(upload, content)
    proof = upload.commit()

    assert digest(parted_place.raw_bytes("file")) == digest(content)
    assert [part.size for part in sent.values()] == [len(part) for part in _cut(upload, content)]
    assert proof.certainty in (Certainty.VERIFIED, Certainty.SIZE_ONLY)
    assert bool(proof.by) == (proof.certainty is Certainty.VERIFIED)
    assert bool(proof.reason) == (proof.certainty is not Certainty.VERIFIED)


def test_parts_may_come_in_any_order_and_from_several_threads(parted_place: Place, part_bytes: int) -> None:
    content = content_of(4 * part_bytes + 3)
    upload = parted_place.storage.begin_upload(UploadSpec("file", len(content)))
    parts = _cut(upload, content)

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda number: upload.send(number, parts[number], _ignore), (4, 2, 0, 3, 1)))  # type: ignore[arg-type]
    upload.commit()

    assert digest(parted_place.raw_bytes("file")) == digest(content)


def test_part_that_is_sent_again_replaces_what_was_there(parted_place: Place, part_bytes: int) -> None:
    content, other = content_of(2 * part_bytes), content_of(2 * part_bytes + 1)[1:]
    upload = parted_place.storage.begin_upload(UploadSpec("file", len(content)))

    _send(upload, other)
    _send(upload, content)
    upload.commit()

    assert digest(parted_place.raw_bytes("file")) == digest(content)


def test_nothing_is_visible_before_the_commit(parted_place: Place, part_bytes: int) -> None:
    content = content_of(part_bytes + 7)
    parted_place.raw_put("taken", b"old")
    uploads = [parted_place.storage.begin_upload(UploadSpec(path, len(content))) for path in ("new", "taken")]

    for upload in uploads:
        _send(upload, content)
    hidden = ".kegpart"  # SFTP: what is not there yet is a hidden file beside
    seen = {entry.name for entry in parted_place.storage.list("") if not entry.name.endswith(hidden)}
    old = parted_place.raw_bytes("taken")
    for upload in uploads:
        upload.commit()
        upload.commit()  # the second does nothing

    assert (seen, old) == ({"taken"}, b"old")
    assert [digest(parted_place.raw_bytes(path)) for path in ("new", "taken")] == [digest(content)] * 2


def test_upload_is_taken_up_by_another_object_with_the_parts_it_has(parted_place: Place, part_bytes: int) -> None:
    content = content_of(3 * part_bytes + 100)
    spec = UploadSpec("file", len(content))
    first = parted_place.storage.begin_upload(spec)
    sent = _send(first, content, (0, 2))
    first.leave()

    second = parted_place.connect().resume_upload(spec, first.token, sent)
    assert dict(second.parts) == sent
    assert second.part_bytes == first.part_bytes
    _send(second, content, (1, 3))
    second.commit()

    assert digest(parted_place.raw_bytes("file")) == digest(content)
    assert second.token == first.token


def test_parts_that_the_storage_does_not_have_are_not_believed(parted_place: Place, part_bytes: int) -> None:
    content = content_of(3 * part_bytes)
    spec = UploadSpec("file", len(content))
    first = parted_place.storage.begin_upload(spec)
    sent = _send(first, content, (0,))
    first.leave()

    believed = sent | {1: Part(1, part_bytes, 12345, sent[0].tag), 0: replace(sent[0], size=part_bytes - 1)}
    second = parted_place.connect().resume_upload(spec, first.token, believed)

    assert (
        1 not in second.parts or parted_place.kind == "sftp"
    )  # the caller compares the content of what lies inside the file
    assert 0 not in second.parts
    _send(second, content)
    second.commit()
    assert digest(parted_place.raw_bytes("file")) == digest(content)


def test_upload_that_is_not_there_is_not_found(parted_place: Place, part_bytes: int) -> None:
    spec = UploadSpec("file", 3 * part_bytes)
    gone = parted_place.storage.begin_upload(spec)
    sent = _send(gone, content_of(3 * part_bytes), (0,))
    gone.leave()
    parted_place.storage.discard_upload("file", gone.token)
    parted_place.storage.discard_upload("file", gone.token)  # what is not there is fine

    try:
        resumed = parted_place.connect().resume_upload(spec, gone.token, sent)
    except FileNotFoundInStorageError:
        assert parted_place.kind != "azure"
    else:  # Azure knows no uploads, only blocks: there are none of it, or they wait to expire
        assert parted_place.kind == "azure"
        resumed.discard()


def test_missing_parts_are_noticed_at_the_commit(parted_place: Place, part_bytes: int) -> None:
    content = content_of(2 * part_bytes + 5)
    upload = parted_place.storage.begin_upload(UploadSpec("file", len(content)))
    _send(upload, content, (0, 2))

    with pytest.raises(CheckFailed):
        upload.commit()
    upload.discard()

    assert parted_place.raw_names() == set()


def test_taken_path_is_not_replaced_unless_it_may_be(parted_place: Place, part_bytes: int) -> None:
    content = content_of(part_bytes + 1)
    upload = parted_place.storage.begin_upload(UploadSpec("file", len(content), overwrite=False))
    _send(upload, content)
    parted_place.raw_put("file", b"somebody's")

    with pytest.raises(AlreadyExists):
        upload.commit()
    upload.discard()
    assert parted_place.raw_bytes("file") == b"somebody's"

    _put(parted_place, "file", content)
    assert digest(parted_place.raw_bytes("file")) == digest(content)


def test_discarded_upload_leaves_nothing(parted_place: Place, part_bytes: int) -> None:
    content = content_of(2 * part_bytes)
    upload = parted_place.storage.begin_upload(UploadSpec("folder file", len(content)))
    _send(upload, content, (0,))

    upload.discard()
    upload.discard()

    assert parted_place.raw_names() == set()
    if parted_place.kind != "azure":  # its uncommitted blocks expire by themselves, within a week
        assert "folder file" not in parted_place.leftovers()


def test_upload_that_was_left_is_found_and_can_be_discarded(parted_place: Place, part_bytes: int) -> None:
    content = content_of(2 * part_bytes)
    upload = parted_place.storage.begin_upload(UploadSpec("left", len(content)))
    _send(upload, content, (0,))
    upload.leave()

    found = {one.path: one for one in parted_place.connect().incomplete_uploads("") if one.path == "left"}
    if parted_place.kind != "azure":
        assert found["left"].token == upload.token
        begun = found["left"].begun_utc
        assert begun is None or abs((datetime.now(UTC) - begun).total_seconds()) < 3600
    parted_place.storage.discard_upload("left", upload.token)

    if parted_place.kind != "azure":
        assert [one.path for one in parted_place.storage.incomplete_uploads("") if one.path == "left"] == []
    assert parted_place.raw_names() == set()


def test_bytes_are_told_before_they_go_out_in_small_pieces(parted_place: Place, part_bytes: int) -> None:
    content = content_of(part_bytes + 1000)
    upload = parted_place.storage.begin_upload(UploadSpec("file", len(content)))
    told: list[int] = []

    for number, part in enumerate(_cut(upload, content)):
        upload.send(number, part, told.append)  # type: ignore[arg-type]
    upload.commit()

    assert sum(told) == len(content)
    assert max(told) <= MAX_SENT


def test_what_is_raised_between_pieces_comes_out_and_the_part_can_be_sent_again(
    parted_place: Place, part_bytes: int
) -> None:
    content = content_of(part_bytes + 1000)
    upload = parted_place.storage.begin_upload(UploadSpec("file", len(content)))
    told = 0

    def stop(count: int) -> None:
        nonlocal told
        told += count
        if told > part_bytes // 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        upload.send(0, _cut(upload, content)[0], stop)  # type: ignore[arg-type]
    _send(upload, content)
    upload.commit()

    assert digest(parted_place.raw_bytes("file")) == digest(content)


def test_time_is_kept_where_it_can_be(parted_place: Place, part_bytes: int) -> None:
    moment = datetime(2021, 3, 4, 5, 6, 8, tzinfo=UTC)

    _put(parted_place, "file", content_of(part_bytes + 1), modified=moment)

    if parted_place.storage.capabilities.set_modified:
        assert parted_place.storage.stat("file").last_modified == moment


def test_hostile_names_are_written_in_parts_as_they_are(parted_place: Place, part_bytes: int) -> None:
    content = content_of(100)
    chosen = [key for key in HOSTILE_NAMES if key not in parted_place.forbidden_names][::7]

    for key in chosen:
        name = HOSTILE_NAMES[key]
        if "/" in name and parted_place.storage.capabilities.real_folders:
            continue
        _put(parted_place, name, content)
        assert parted_place.raw_bytes(name) == content, key


def test_stalled_part_is_cancelled_within_a_second(network_place: Place, proxy: FaultyProxy) -> None:
    storage = network_place.connect(port=proxy.port)
    upload = storage.begin_upload(UploadSpec("file", 40_000_000))
    content = content_of(upload.part_bytes)
    proxy.faults.stall_up_after = 100_000
    timer = threading.Timer(0.3, storage.interrupt)
    timer.start()

    with pytest.raises(Cancelled):
        _send_for_ever(upload, content)
    timer.join()
    proxy.faults.stall_up_after = None
    upload.leave()
