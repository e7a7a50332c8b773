"""Many small files at once, from and to S3."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Iterable, Iterator

import pytest

from kegbrowser.backends.batches import FileResult, ReadRequest, WriteRequest
from kegbrowser.backends.errors import (
    AlreadyExists,
    Cancelled,
    CheckFailed,
    ConnectionLost,
    FileNotFoundInStorageError,
    InvalidName,
    PermissionDenied,
    ServerFault,
    SourceChanged,
    Throttled,
)
from kegbrowser.backends.proofs import Certainty, Proof
from kegbrowser.backends.s3 import S3Storage
from tests.conformance.names import HOSTILE_NAMES
from tests.doubles.exact_s3 import ExactS3, Stored
from tests.integration.s3_places import exact_server, exact_storage, new_bucket, storage_at
from tests.servers.faulty_proxy import FaultyProxy
from tests.servers.seaweed import S3Address

COUNT = 200


@pytest.fixture
def server() -> Iterator[ExactS3]:
    with exact_server("box") as running:
        yield running


@pytest.fixture
def storage(server: ExactS3) -> Iterator[S3Storage]:
    with exact_storage(server) as opened:
        yield opened


@pytest.fixture(scope="module")
def bucket(s3_server: S3Address) -> Iterator[str]:
    with new_bucket(s3_server) as name:
        yield name


@pytest.fixture
def real(s3_server: S3Address, bucket: str) -> Iterator[S3Storage]:
    opened = storage_at(s3_server, bucket)
    yield opened
    opened.shutdown()


def content_of(number: int) -> bytes:
    return random.Random(number).randbytes(number * 97 % 40_000)


def write(storage: S3Storage, requests: Iterable[WriteRequest], at_once: int = 16) -> dict[int, FileResult]:
    results = list(storage.write_files(iter(requests), lambda: at_once))
    assert len({result.key for result in results}) == len(results)
    return {result.key: result for result in results}


def read(storage: S3Storage, requests: Iterable[ReadRequest], at_once: int = 16) -> dict[int, FileResult]:
    results = list(storage.read_files(iter(requests), lambda: at_once))
    assert len({result.key for result in results}) == len(results)
    return {result.key: result for result in results}


def error_of(results: dict[int, FileResult], key: int = 0) -> object:
    return results[key].error


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_real_server_takes_and_gives_many_files_and_each_is_verified(real: S3Storage, overwrite: bool) -> None:
    names = [f"many-{overwrite}/{number % 7}/file {number} ä+%.bin" for number in range(COUNT)]
    requests = [WriteRequest(number, name, content_of(number), overwrite) for number, name in enumerate(names)]

    written = write(real, requests)
    got = read(real, [ReadRequest(number, name, 0) for number, name in enumerate(names)])

    assert [written[number].error for number in range(COUNT)] == [None] * COUNT
    assert {result.proof for result in written.values()} == {Proof.verified("CRC-32")}
    assert [got[number].content for number in range(COUNT)] == [content_of(number) for number in range(COUNT)]
    assert {result.proof for result in got.values()} == {Proof.verified("CRC-32")}
    entry = got[3].entry
    told = real.stat(names[3])
    assert entry is not None
    assert (entry.name, entry.size, entry.etag) == (told.name, told.size, told.etag)
    assert entry.last_modified == told.last_modified


def test_a_real_server_keeps_taken_names(real: S3Storage) -> None:
    names = [f"taken/{number}" for number in range(COUNT)]
    write(real, [WriteRequest(number, name, b"old") for number, name in enumerate(names) if number % 2])

    results = write(real, [WriteRequest(number, name, b"new!", False) for number, name in enumerate(names)])
    got = read(real, [ReadRequest(number, name, 4) for number, name in enumerate(names)])

    assert all(isinstance(results[number].error, AlreadyExists) == bool(number % 2) for number in range(COUNT))
    assert [got[number].content for number in range(COUNT)] == [b"new!", b"old"] * (COUNT // 2)


def test_what_a_real_server_would_fold_is_refused_and_harms_no_other(real: S3Storage) -> None:
    results = write(real, [WriteRequest(0, "folded/a", b"a"), WriteRequest(1, "folded//a", b"b")], at_once=1)

    assert results[0].error is None
    assert isinstance(results[1].error, InvalidName)


def test_each_name_arrives_exactly(server: ExactS3, storage: S3Storage) -> None:
    names = list(HOSTILE_NAMES.values())

    written = write(storage, [WriteRequest(number, name, name.encode()) for number, name in enumerate(names)])
    got = read(storage, [ReadRequest(number, name, 100) for number, name in enumerate(names)])

    assert [written[number].error for number in range(len(names))] == [None] * len(names)
    assert {name: stored.content for name, stored in server.buckets["box"].items()} == {
        name: name.encode() for name in names
    }
    assert [got[number].content for number in range(len(names))] == [name.encode() for name in names]


def test_one_missing_file_is_its_own_failure(server: ExactS3, storage: S3Storage) -> None:
    server.buckets["box"]["there"] = Stored(b"content")

    results = read(storage, [ReadRequest(0, "there", 7), ReadRequest(1, "gone", 7), ReadRequest(2, "there", 7)])

    assert isinstance(results[1].error, FileNotFoundInStorageError)
    assert results[1].error.path == "gone"
    assert results[0].content == results[2].content == b"content"


def test_a_missing_bucket_fails_each_file_and_makes_none(server: ExactS3) -> None:
    with exact_storage(server, "nowhere") as storage:
        written = write(storage, [WriteRequest(number, "x", b"x") for number in range(3)])
        got = read(storage, [ReadRequest(number, "x", 1) for number in range(3)])

    assert all(isinstance(result.error, FileNotFoundInStorageError) for result in [*written.values(), *got.values()])
    assert "nowhere" not in server.buckets


def test_files_of_several_buckets_go_together(server: ExactS3) -> None:
    server.buckets["other"] = {}
    with exact_storage(server, None) as storage:
        write(storage, [WriteRequest(0, "box/a", b"1"), WriteRequest(1, "other/b/c", b"2")])

    assert server.buckets["box"]["a"].content == b"1"
    assert server.buckets["other"]["b/c"].content == b"2"


def test_a_file_that_is_another_by_now_is_told(server: ExactS3, storage: S3Storage) -> None:
    server.buckets["box"]["x"] = Stored(b"new")

    results = read(storage, [ReadRequest(0, "x", 3, "0123"), ReadRequest(1, "x", 3, Stored(b"new").etag)])

    assert isinstance(results[0].error, SourceChanged)
    assert results[1].content == b"new"


def test_a_file_that_grew_by_far_is_not_fetched(server: ExactS3, storage: S3Storage) -> None:
    server.buckets["box"]["x"] = Stored(bytes(9 * 1024 * 1024))

    assert isinstance(error_of(read(storage, [ReadRequest(0, "x", 10)])), SourceChanged)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (503, "SlowDown", Throttled),
        (429, "TooManyRequests", Throttled),
        (500, "InternalError", ServerFault),
        (403, "AccessDenied", PermissionDenied),
    ],
)
def test_an_answer_that_is_an_error_is_that_of_the_one_file(
    server: ExactS3, storage: S3Storage, status: int, code: str, kind: type[Exception]
) -> None:
    server.buckets["box"] |= {"a": Stored(b"a"), "b": Stored(b"b")}
    for method in ("GET", "PUT"):
        server.fail(method, status, code, path="/a", retry_after="7")

    got = read(storage, [ReadRequest(0, "a", 1), ReadRequest(1, "b", 1)])
    written = write(storage, [WriteRequest(0, "a", b"x"), WriteRequest(1, "b", b"y")])

    for results in (got, written):
        error = results[0].error
        assert type(error) is kind
        assert results[1].error is None
        if isinstance(error, Throttled):
            assert error.retry_after_s == 7
    assert server.buckets["box"]["a"].content == b"a"


def test_a_wrong_checksum_of_a_download_is_caught(server: ExactS3, storage: S3Storage) -> None:
    server.buckets["box"]["x"] = Stored(b"content")
    server.quirks.wrong_crc = True

    assert isinstance(error_of(read(storage, [ReadRequest(0, "x", 7)])), CheckFailed)


def test_a_server_without_checksums_is_compared_by_its_md5(server: ExactS3, storage: S3Storage) -> None:
    server.quirks.refuses_checksums = True
    names = [f"x{number}" for number in range(20)]

    written = write(storage, [WriteRequest(number, name, b"content") for number, name in enumerate(names)])
    server.quirks.tells_no_checksums = True
    got = read(storage, [ReadRequest(number, name, 7) for number, name in enumerate(names)])

    assert {result.proof for result in (*written.values(), *got.values())} == {Proof.verified("MD5")}


def test_a_mark_that_only_looks_like_an_md5_costs_no_file(server: ExactS3, storage: S3Storage) -> None:
    server.quirks.tells_no_checksums = True
    for number in range(5):
        server.buckets["box"][f"x{number}"] = Stored(b"content", mark="0123456789abcdef0123456789abcdef")

    results = read(storage, [ReadRequest(number, f"x{number}", 7) for number in range(5)])

    assert all(result.content == b"content" for result in results.values())
    assert {result.proof.certainty for result in results.values() if result.proof} == {Certainty.SIZE_ONLY}


@pytest.mark.parametrize("quirk", ["refuses_conditions", "ignores_conditions"])
def test_a_taken_name_is_kept_by_servers_that_know_no_conditions(
    server: ExactS3, storage: S3Storage, quirk: str
) -> None:
    setattr(server.quirks, quirk, True)
    server.buckets["box"] |= {f"x{number}": Stored(b"old") for number in range(0, 20, 2)}

    results = write(storage, [WriteRequest(number, f"x{number}", b"new", False) for number in range(20)])

    assert [isinstance(results[number].error, AlreadyExists) for number in range(20)] == [True, False] * 10
    assert [server.buckets["box"][f"x{number}"].content for number in range(20)] == [b"old", b"new"] * 10


def test_a_server_that_keeps_conditions_is_found_out_by_a_write_that_cannot_succeed(
    server: ExactS3, storage: S3Storage
) -> None:
    write(storage, [WriteRequest(number, f"x{number}", b"new", False) for number in range(20)], at_once=1)

    assert [method for method, _target in server.requests].count("HEAD") <= 2  # the bucket, and the first name
    assert {stored.content for stored in server.buckets["box"].values()} == {b"new"}


def test_a_kept_connection_that_the_server_closed_costs_no_file(server: ExactS3, storage: S3Storage) -> None:
    server.buckets["box"]["x"] = Stored(b"content")
    server.quirks.closes_silently_after = 3

    results = read(storage, [ReadRequest(number, "x", 7) for number in range(30)], at_once=4)

    assert [result.error for result in results.values()] == [None] * 30


def test_an_answer_that_is_cut_fails_its_file_only(server: ExactS3, storage: S3Storage) -> None:
    server.buckets["box"] |= {"long": Stored(bytes(5000)), "short": Stored(bytes(10))}
    server.quirks.cuts_bodies_at = 100

    results = read(storage, [ReadRequest(0, "short", 10), ReadRequest(1, "long", 5000), ReadRequest(2, "short", 10)])

    assert isinstance(results[1].error, ConnectionLost)
    assert results[0].content == results[2].content == bytes(10)


def test_a_redirect_is_followed_by_way_of_the_sdk(server: ExactS3, storage: S3Storage) -> None:
    server.buckets["box"]["x"] = Stored(b"content")
    server.fail("GET", 307, "TemporaryRedirect", path="/x")

    assert read(storage, [ReadRequest(0, "x", 7)])[0].content == b"content"


def test_a_server_that_cannot_be_reached_answers_for_each_file() -> None:
    storage = S3Storage("box", "us-east-1", "AKID", "secret", endpoint_url="http://127.0.0.1:9")

    results = read(storage, [ReadRequest(number, "x", 7) for number in range(5)])
    storage.shutdown()

    assert all(isinstance(result.error, ConnectionLost) for result in results.values())


def test_requests_are_drawn_no_faster_than_they_may_be_under_way(server: ExactS3, storage: S3Storage) -> None:
    server.buckets["box"]["x"] = Stored(b"content")
    drawn = itertools.count()
    highest = done = 0

    def requests() -> Iterator[ReadRequest]:
        nonlocal highest
        for number in range(40):
            highest = max(highest, next(drawn) + 1 - done)
            yield ReadRequest(number, "x", 7)

    for _result in storage.read_files(requests(), lambda: 4):
        done += 1

    assert done == 40
    assert highest <= 8  # those under way, and the results that were not taken yet


def test_a_pause_between_requests_holds_nothing_up(server: ExactS3, storage: S3Storage) -> None:
    server.buckets["box"]["x"] = Stored(b"content")
    seen: list[int] = []

    def requests() -> Iterator[ReadRequest | None]:
        yield ReadRequest(0, "x", 7)
        while 0 not in seen:
            yield None
        yield ReadRequest(1, "x", 7)
        while 1 not in seen:
            yield None

    for result in storage.read_files(requests(), lambda: 8):
        seen.append(result.key)

    assert seen == [0, 1]


def test_an_interrupt_ends_all_within_a_second(server: ExactS3) -> None:
    server.buckets["box"]["x"] = Stored(b"content" * 1000)
    with FaultyProxy(server.port) as proxy:
        with exact_storage(server, endpoint_url=f"http://127.0.0.1:{proxy.port}") as storage:
            results = storage.read_files((ReadRequest(number, "x", 7000) for number in itertools.count()), lambda: 8)
            for _ in range(50):  # all connections are made
                next(results)
            proxy.faults.stalled = True
            timer = threading.Timer(0.2, storage.interrupt)
            timer.start()
            began = time.monotonic()
            with pytest.raises(Cancelled):
                for _result in results:
                    pass
            took = time.monotonic() - began
            timer.join()

    assert took < 1.2


def test_letting_go_in_the_middle_leaves_nothing_behind(server: ExactS3, storage: S3Storage) -> None:
    server.buckets["box"]["x"] = Stored(b"content")
    results = storage.read_files((ReadRequest(number, "x", 7) for number in itertools.count()), lambda: 8)

    next(results)
    results.close()  # type: ignore[attr-defined]

    assert read(storage, [ReadRequest(0, "x", 7)])[0].content == b"content"


def test_connections_are_kept_from_one_call_to_the_next(server: ExactS3) -> None:
    server.buckets["box"]["x"] = Stored(b"content")
    with FaultyProxy(server.port) as proxy:
        with exact_storage(server, endpoint_url=f"http://127.0.0.1:{proxy.port}") as storage:
            for _ in range(5):
                read(storage, [ReadRequest(number, "x", 7) for number in range(20)], at_once=1)
                with storage.open_reader("x") as file:
                    file.read(-1)
        connections = proxy.connections

    assert connections == 1


def test_a_conditional_write_whose_answer_is_lost_is_not_sent_again(server: ExactS3, storage: S3Storage) -> None:
    storage._connection.conditional_writes = True
    write(storage, [WriteRequest(0, "first", b"x")], at_once=1)
    server.lose_answers("PUT", "/second")

    results = write(storage, [WriteRequest(0, "second", b"x", False)], at_once=1)

    assert isinstance(results[0].error, ConnectionLost)
    assert results[0].error.retryable
    assert server.requests.count(("PUT", "/box/second")) == 1


def test_a_write_over_what_is_there_is_sent_again_when_a_kept_connection_loses_it(
    server: ExactS3, storage: S3Storage
) -> None:
    write(storage, [WriteRequest(0, "first", b"x")], at_once=1)
    server.lose_answers("PUT", "/second")

    results = write(storage, [WriteRequest(0, "second", b"x")], at_once=1)

    assert results[0].error is None
    assert server.requests.count(("PUT", "/box/second")) == 2


def test_a_silent_server_fails_its_files_after_the_time_limit(server: ExactS3) -> None:
    server.buckets["box"]["x"] = Stored(b"content")
    with FaultyProxy(server.port) as proxy:
        with exact_storage(server, endpoint_url=f"http://127.0.0.1:{proxy.port}", timeout_s=0.5) as storage:
            read(storage, [ReadRequest(0, "x", 7)])
            proxy.faults.stalled = True
            results = read(storage, [ReadRequest(number, "x", 7) for number in range(3)])

    assert all(isinstance(result.error, ConnectionLost) for result in results.values())
    assert "does not answer" in str(results[0].error)
