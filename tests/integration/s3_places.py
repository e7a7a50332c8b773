"""Storages for the tests of S3, on the real server and on the exact one."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kegbrowser.backends.s3 import S3Storage
from tests.conformance.fixtures.s3 import plain_client
from tests.doubles.exact_s3 import ExactS3
from tests.servers.seaweed import Identity, S3Address

SECRET = "verysecretkey0123456789"


def storage_at(address: S3Address, bucket: str | None, who: Identity | None = None, **more: Any) -> S3Storage:
    """A storage on the real server."""
    identity = who or address.admin
    more.setdefault("endpoint_url", address.endpoint)
    return S3Storage(bucket, address.region, identity.access_key, identity.secret_key, **more)


@contextmanager
def new_bucket(address: S3Address, prefix: str = "keg") -> Iterator[str]:
    """A bucket of the real server, gone afterwards with all that is in it."""
    client = plain_client(address)
    bucket = f"{prefix}-{secrets.token_hex(6)}"
    client.create_bucket(Bucket=bucket)
    try:
        yield bucket
    finally:
        client.delete_bucket(Bucket=bucket)  # SeaweedFS deletes what is in it as well
        client.close()


@contextmanager
def exact_server(*buckets: str) -> Iterator[ExactS3]:
    """The exact server, with these buckets."""
    with ExactS3() as server:
        for bucket in buckets:
            server.buckets[bucket] = {}
        yield server


@contextmanager
def exact_storage(server: ExactS3, bucket: str | None = "box", **more: Any) -> Iterator[S3Storage]:
    """A storage on the exact server."""
    more.setdefault("endpoint_url", server.endpoint)
    storage = S3Storage(bucket, "us-east-1", "AKIDEXAMPLE", SECRET, **more)
    try:
        yield storage
    finally:
        storage.shutdown()


def put(storage: S3Storage, path: str, content: bytes = b"x", **more: Any) -> None:
    """Write one file."""
    with storage.open_writer(path, **more) as file:
        file.write(content)
