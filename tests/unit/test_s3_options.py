"""The form of an S3 connection, and what addresses mean for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kegbrowser.backends.errors import ConnectionLost, InvalidOptions
from kegbrowser.backends.locations import Location
from kegbrowser.backends.registry import FieldKind, backend
from kegbrowser.backends.s3 import BACKEND, S3Storage

KEYS = {"access_key_id": "AKIDEXAMPLE", "secret_access_key": "verysecretkey"}


def _open(**options: str) -> S3Storage:
    opened = BACKEND.open(BACKEND.complete(options), "mine")
    assert isinstance(opened, S3Storage)
    return opened


def test_the_package_is_imported_without_the_sdk() -> None:
    code = (
        "import sys, kegbrowser.backends.s3 as s3; assert s3.BACKEND.kind == 's3';"
        "assert not {'boto3', 'botocore', 'urllib3'} & set(sys.modules), 'imported'; s3.S3Storage; s3.S3Reader"
    )

    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_name_that_the_package_has_not_is_an_attribute_error() -> None:
    import kegbrowser.backends.s3 as package

    with pytest.raises(AttributeError, match="S3Nothing"):
        _ = package.S3Nothing


def test_secrets_are_marked_as_such() -> None:
    assert set(BACKEND.secret_keys) == {"secret_access_key", "session_token"}
    assert backend("s3") is BACKEND


def test_the_form_asks_for_keys_only_where_they_are_used() -> None:
    with pytest.raises(InvalidOptions, match="Access key ID"):
        BACKEND.complete({})
    BACKEND.complete(KEYS)
    BACKEND.complete({"auth": "profile"})
    BACKEND.complete({"auth": "anonymous"})


def test_each_choice_has_a_default_among_its_choices() -> None:
    for field in BACKEND.fields:
        if field.kind is FieldKind.CHOICE:
            assert field.default in dict(field.choices), field.key


def test_options_become_the_storage() -> None:
    storage = _open(bucket="holiday", endpoint="files.example.com:9000", region="eu-north-1", **KEYS)

    settings = storage._connection.settings
    assert (storage.name, storage.bucket) == ("mine", "holiday")
    assert settings.endpoint_url == "https://files.example.com:9000"
    assert (settings.region, settings.access_key_id, settings.path_style) == ("eu-north-1", "AKIDEXAMPLE", None)
    assert not storage.capabilities.containers_at_root
    assert "verysecretkey" not in repr(settings)
    storage.shutdown()


def test_keys_that_are_left_over_from_another_way_to_sign_in_are_not_used() -> None:
    anonymous = _open(auth="anonymous", **KEYS)._connection.settings
    by_profile = _open(auth="profile", **KEYS)._connection.settings

    assert (anonymous.anonymous, anonymous.access_key_id) == (True, "")
    assert (by_profile.anonymous, by_profile.access_key_id) == (False, "")


@pytest.mark.parametrize(
    "endpoint",
    [
        "ftp://host",
        "http://",
        "http://host:port",
        "http://user:pass@host",
        "http://host/?secret=1",
        "http://ho st",
        "http://[::1",
    ],
)
def test_a_malformed_address_is_refused_without_repeating_it(endpoint: str) -> None:
    with pytest.raises(InvalidOptions) as failed:
        _open(endpoint=endpoint, **KEYS)

    assert "pass" not in failed.value.message
    assert "https://" in failed.value.hint


def test_half_a_key_and_a_missing_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidOptions, match="secret access key"):
        S3Storage("box", "us-east-1", "AKID")
    with pytest.raises(InvalidOptions, match="access key ID"):
        S3Storage("box", "us-east-1", None, "secret")
    with pytest.raises(InvalidOptions, match=r"nope\.pem"):
        S3Storage("box", "us-east-1", "AKID", "secret", ca_bundle=str(tmp_path / "nope.pem"))


def test_a_region_of_nonsense_is_refused_by_the_first_call() -> None:
    storage = S3Storage("box", "not a region", "AKID", "secret")

    with pytest.raises(InvalidOptions, match="region"):
        storage.list("")
    storage.shutdown()


def test_addresses_lead_to_paths_and_back() -> None:
    one, all_buckets = {"bucket": "holiday"}, {"bucket": ""}
    location = Location.parse("s3://holiday/2026/a%20b.jpg")

    assert BACKEND.match(one, location) == "2026/a b.jpg"
    assert BACKEND.match(all_buckets, location) == "holiday/2026/a b.jpg"
    assert BACKEND.match({"bucket": "other"}, location) is None
    assert BACKEND.match(one, Location.parse("sftp://holiday/x")) is None
    assert BACKEND.locate(one, "2026/a b.jpg") == location
    assert BACKEND.locate(all_buckets, "holiday/2026/a b.jpg") == location
    assert BACKEND.locate(one, "//x/../y").url() == "s3://holiday///x/../y"
    assert BACKEND.match(one, Location.parse("s3://holiday///x/../y")) == "//x/../y"


def test_an_address_alone_uses_what_the_aws_tools_use() -> None:
    options = BACKEND.from_location(Location.parse("s3://holiday/x"))

    completed = BACKEND.complete(options)

    assert (completed["bucket"], completed["auth"]) == ("holiday", "profile")


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"bucket": "holiday"}, "holiday (S3)"),
        ({"endpoint": "https://files.example.com:9000"}, "files.example.com (S3)"),
        ({"profile": "work"}, "work (S3)"),
        ({"endpoint": "http://[bad"}, "Amazon S3"),
        ({}, "Amazon S3"),
    ],
)
def test_a_connection_is_named_after_what_it_reaches(options: dict[str, str], name: str) -> None:
    assert BACKEND.suggest_name(options) == name


def test_amazons_own_addresses_use_the_host_name_and_others_the_path() -> None:
    def url(**options: str) -> str:
        storage = _open(bucket="holiday", **KEYS, **options)
        asked: list[str] = []

        def stop(request: Any, **_more: object) -> None:
            asked.append(request.url)
            raise ConnectionRefusedError

        storage._connection.client.meta.events.register("before-send.s3", stop)
        with pytest.raises(ConnectionLost):
            storage.stat("x")
        storage.shutdown()
        return asked[0]

    assert url(region="eu-west-1") == "https://holiday.s3.eu-west-1.amazonaws.com/x"
    assert url(endpoint="https://files.example.com") == "https://files.example.com/holiday/x"
    assert url(endpoint="https://files.example.com", addressing="virtual") == "https://holiday.files.example.com/x"
    assert url(region="eu-west-1", addressing="path") == "https://s3.eu-west-1.amazonaws.com/holiday/x"
