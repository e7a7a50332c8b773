"""A machine whose clock is wrong can still use S3: its requests are dated by the server's time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import botocore.auth
import pytest

from kegbrowser.backends.batches import ReadRequest, WriteRequest
from kegbrowser.backends.errors import ClockSkewed
from kegbrowser.backends.s3 import S3Storage
from kegbrowser.backends.uploads import UploadSpec
from tests.integration.s3_places import exact_server, exact_storage, new_bucket, put, storage_at
from tests.servers.seaweed import S3Address

SKEW_S = 20 * 60


@pytest.fixture(scope="module")
def bucket(s3_server: S3Address) -> Iterator[str]:
    with new_bucket(s3_server) as name:
        yield name


@pytest.fixture(params=[-SKEW_S, SKEW_S], ids=["behind", "ahead"])
def wrong_clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> float:
    """The SDK's clock differs from the server's, and so does ours: see `storage`."""
    skew_s: float = request.param
    right: Callable[..., datetime] = botocore.auth.get_current_datetime

    def wrong(**options: Any) -> datetime:
        return right(**options) + timedelta(seconds=skew_s)

    monkeypatch.setattr("botocore.auth.get_current_datetime", wrong)
    monkeypatch.setattr("botocore.crt.auth.get_current_datetime", wrong)
    return skew_s


@pytest.fixture
def storage(s3_server: S3Address, bucket: str, wrong_clock: float) -> Iterator[S3Storage]:
    opened = storage_at(s3_server, bucket)
    opened._connection.routes.clock.now = lambda: time.time() + wrong_clock
    yield opened
    opened.shutdown()


def test_files_come_and_go_though_the_clock_is_wrong(storage: S3Storage) -> None:
    with storage.open_writer("first") as file:
        file.write(b"content")
    with storage.open_reader("first", offset=1, length=3) as reader:
        assert reader.read(10) == b"ont"

    assert "first" in [entry.name for entry in storage.list("")]


def test_our_own_requests_learn_the_time_as_well(storage: S3Storage) -> None:
    put(storage, "x", b"content")
    storage._connection.routes.clock.offset_s = 0.0

    results = list(storage.read_files(iter([ReadRequest(number, "x", 7) for number in range(20)]), lambda: 8))

    assert [result.content for result in results] == [b"content"] * 20


def test_small_and_large_uploads_learn_the_time(storage: S3Storage) -> None:
    written = list(storage.write_files(iter([WriteRequest(n, f"small {n}", b"x") for n in range(20)]), lambda: 8))
    storage._connection.routes.clock.offset_s = 0.0
    upload = storage.begin_upload(UploadSpec("large", 5))
    storage._connection.routes.clock.offset_s = 0.0
    upload.send(0, b"large", lambda _count: None)
    upload.commit()

    assert [result.error for result in written] == [None] * 20
    assert storage.stat("large").size == 5


def test_a_server_whose_date_says_nothing_new_is_believed() -> None:
    with exact_server("box") as server:
        server.fail("GET", 403, "RequestTimeTooSkewed", times=5)
        with exact_storage(server) as storage, pytest.raises(ClockSkewed):
            storage.open_reader("x")

        assert len(server.requests) == 1
