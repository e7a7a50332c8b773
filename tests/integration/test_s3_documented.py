"""The classes as the Keg-Storage documentation gives them, used with a plain client of boto3 on the real server."""

from __future__ import annotations

import gc
import inspect
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kegbrowser.backends.base import FileMode, RemoteFile, StorageBackend
from kegbrowser.backends.errors import FileNotFoundInStorageError, NotSupported
from kegbrowser.backends.s3 import S3FileBase, S3Reader, S3Storage, S3Writer
from tests.conformance.fixtures.s3 import plain_client
from tests.integration.s3_places import new_bucket
from tests.servers.seaweed import S3Address

CHUNK = 10485760


@pytest.fixture
def bucket(s3_server: S3Address) -> Iterator[str]:
    with new_bucket(s3_server) as name:
        yield name


@pytest.fixture
def client(s3_server: S3Address) -> Iterator[Any]:
    made = plain_client(s3_server)
    yield made
    made.close()


def _parameters(cls: type) -> list[tuple[str, Any]]:
    """Those that can be given by position, with their defaults."""
    found = inspect.signature(cls).parameters.values()
    return [
        (parameter.name, parameter.default)
        for parameter in found
        if parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    ]


def test_constructors_take_the_documented_parameters() -> None:
    nothing = inspect.Parameter.empty

    assert _parameters(S3Storage) == [
        ("bucket", nothing),
        ("aws_region", nothing),
        ("aws_access_key_id", None),
        ("aws_secret_access_key", None),
        ("aws_profile", None),
        ("name", "s3"),
    ]
    assert _parameters(S3FileBase) == [
        ("mode", nothing),
        ("bucket", nothing),
        ("filename", nothing),
        ("client", nothing),
    ]
    assert _parameters(S3Reader) == [("bucket", nothing), ("filename", nothing), ("client", nothing)]
    assert _parameters(S3Writer) == [
        ("bucket", nothing),
        ("filename", nothing),
        ("client", nothing),
        ("chunk_size", CHUNK),
    ]


def test_the_classes_are_what_their_bases_promise() -> None:
    assert issubclass(S3Storage, StorageBackend)
    assert issubclass(S3Reader, S3FileBase)
    assert issubclass(S3Writer, S3FileBase)
    assert issubclass(S3FileBase, RemoteFile)


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5])
def test_a_bare_client_writes_and_reads_any_size(bucket: str, client: Any, size: int) -> None:
    content = (b"0123456789abcdef" * (size // 16 + 1))[:size]

    with S3Writer(bucket, "file.bin", client) as writer:
        for start in range(0, size, 1_000_003):
            writer.write(content[start : start + 1_000_003])
    with S3Reader(bucket, "file.bin", client) as reader:
        got = b"".join(reader)

    assert got == content
    assert client.head_object(Bucket=bucket, Key="file.bin")["ContentLength"] == size


def test_small_files_are_one_request_and_large_ones_come_in_parts(bucket: str, client: Any) -> None:
    calls: list[str] = []
    client.meta.events.register("before-call.s3", lambda model, **_more: calls.append(model.name))

    with S3Writer(bucket, "small", client) as writer:
        writer.write(b"x" * CHUNK)
    small, calls[:] = list(calls), []
    with S3Writer(bucket, "large", client) as writer:
        assert calls == []
        writer.write(b"x" * (2 * CHUNK + 1))

    assert small == ["PutObject"]
    assert calls[0] == "CreateMultipartUpload"
    assert calls.count("UploadPart") == 3
    assert calls[-1] == "CompleteMultipartUpload"


def test_reading_gives_up_to_the_size_and_nothing_at_the_end(bucket: str, client: Any) -> None:
    client.put_object(Bucket=bucket, Key="x", Body=b"0123456789")
    reader = S3Reader(bucket, "x", client)

    pieces = [reader.read(4), reader.read(4), reader.read(4), reader.read(4)]
    rest = S3Reader(bucket, "x", client).read(-1)

    assert pieces == [b"0123", b"4567", b"89", b""]
    assert rest == b"0123456789"
    reader.close()
    reader.close()
    with pytest.raises(ValueError, match="closed"):
        reader.read(1)


def test_reading_and_writing_at_once_is_refused(bucket: str, client: Any, s3_server: S3Address) -> None:
    with pytest.raises(NotSupported):
        S3FileBase(FileMode.read | FileMode.write, bucket, "x", client)
    storage = S3Storage(
        bucket, "us-east-1", s3_server.admin.access_key, s3_server.admin.secret_key, endpoint_url=s3_server.endpoint
    )
    with pytest.raises(NotSupported):
        storage.open("x", "rwb")
    storage.shutdown()


def test_a_missing_file_is_known_when_it_is_opened(bucket: str, client: Any) -> None:
    with pytest.raises(FileNotFoundError) as failed:
        S3Reader(bucket, "nope", client)

    assert isinstance(failed.value, FileNotFoundInStorageError)


def test_abort_leaves_neither_file_nor_upload(bucket: str, client: Any) -> None:
    writer = S3Writer(bucket, "x", client, chunk_size=5 * 1024 * 1024)
    writer.write(b"x" * 12 * 1024 * 1024)
    assert client.list_multipart_uploads(Bucket=bucket)["Uploads"]

    writer.abort()
    writer.close()

    assert not client.list_multipart_uploads(Bucket=bucket).get("Uploads")
    assert client.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    with pytest.raises(ValueError, match="closed"):
        writer.write(b"x")


def test_a_dropped_writer_publishes_nothing_and_warns(bucket: str, client: Any) -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        writer = S3Writer(bucket, "x", client)
        writer.write(b"half a fi")
        del writer
        gc.collect()

    assert [warning.category for warning in seen] == [ResourceWarning]
    assert client.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_get_and_put_move_whole_files(bucket: str, s3_server: S3Address, tmp_path: Path) -> None:
    storage = S3Storage(
        bucket, "us-east-1", s3_server.admin.access_key, s3_server.admin.secret_key, endpoint_url=s3_server.endpoint
    )
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"some content" * 100_000)

    storage.put(str(source), "folder/remote")
    storage.get("folder/remote", str(target))

    assert target.read_bytes() == source.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "target"]
    storage.shutdown()


def test_writing_to_a_reader_is_refused(bucket: str, client: Any) -> None:
    client.put_object(Bucket=bucket, Key="x", Body=b"0123456789")

    with S3Reader(bucket, "x", client) as reader, pytest.raises((io.UnsupportedOperation, NotSupported)):
        reader.write(b"x")
