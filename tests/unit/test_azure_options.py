"""The form of an Azure connection: what it asks for, what it opens, and which addresses lie in it."""

from __future__ import annotations

import pytest

from kegbrowser.backends.azure import BACKEND, AzureStorage
from kegbrowser.backends.errors import InvalidOptions
from kegbrowser.backends.locations import Location

KEY = "c2VjcmV0a2V5"
WITH_KEY = {"account": "mystorage", "key": KEY}


def _open(options: dict[str, str]) -> AzureStorage:
    storage = BACKEND.open(BACKEND.complete(options), "mine")
    assert isinstance(storage, AzureStorage)
    storage.shutdown()
    return storage


@pytest.mark.parametrize(
    ("options", "label"),
    [
        ({}, "Account"),
        ({"account": "a"}, "Account key"),
        ({"auth": "sas", "account": "a"}, "SAS token"),
        ({"auth": "sas", "sas_token": "sig=x"}, "Account"),
        ({"auth": "connection_string"}, "Connection string"),
        ({"auth": "anonymous"}, "Account"),
    ],
)
def test_what_is_missing_is_named(options: dict[str, str], label: str) -> None:
    with pytest.raises(InvalidOptions, match=f"“{label}” is missing"):
        BACKEND.complete(options)


@pytest.mark.parametrize(
    ("options", "url"),
    [
        (WITH_KEY, "https://mystorage.blob.core.windows.net/"),
        (WITH_KEY | {"endpoint": "http://127.0.0.1:10000/mystorage/"}, "http://127.0.0.1:10000/mystorage"),
        (WITH_KEY | {"endpoint": " blob.example.com "}, "https://blob.example.com/"),
        ({"auth": "anonymous", "account": "open"}, "https://open.blob.core.windows.net/"),
        (
            {"auth": "sas", "account": "mystorage", "sas_token": "?sv=1&sig=x%2B"},
            "https://mystorage.blob.core.windows.net/?sv=1&sig=x%2B",
        ),
        (
            {"auth": "connection_string", "connection_string": f"AccountName=theirs;AccountKey={KEY}"},
            "https://theirs.blob.core.windows.net/",
        ),
    ],
)
def test_each_way_to_sign_in_opens_the_right_server(options: dict[str, str], url: str) -> None:
    assert _open(options).service.url.rstrip("/") == url.rstrip("/")


def test_secrets_of_another_way_to_sign_in_are_not_used() -> None:
    everything = WITH_KEY | {"sas_token": "sig=x", "connection_string": f"AccountName=theirs;AccountKey={KEY}"}

    assert _open(everything | {"auth": "anonymous"}).service.credential is None
    assert "sig" not in _open(everything | {"auth": "key"}).service.url
    assert _open(everything | {"auth": "sas"}).service.url.endswith("?sig=x")


def test_all_secrets_go_to_the_keyring() -> None:
    assert BACKEND.secret_keys == ("key", "connection_string", "sas_token")


def test_a_container_is_the_root_or_one_of_many() -> None:
    assert not _open(WITH_KEY | {"container": "photos"}).capabilities.containers_at_root
    assert _open(WITH_KEY).capabilities.containers_at_root


@pytest.mark.parametrize("text", ["soon", "1e", "--"])
def test_a_timeout_is_a_number(text: str) -> None:
    with pytest.raises(InvalidOptions, match="timeout"):
        BACKEND.open(BACKEND.complete(WITH_KEY) | {"timeout_s": text}, "mine")


@pytest.mark.parametrize(
    ("options", "path", "url"),
    [
        (WITH_KEY, "photos/a b", "azure://mystorage/photos/a%20b"),
        (WITH_KEY, "", "azure://mystorage/"),
        (WITH_KEY | {"container": "photos"}, "a//b/", "azure://mystorage/photos/a//b/"),
        (WITH_KEY | {"container": "photos"}, "", "azure://mystorage/photos/"),
        (
            {
                "auth": "connection_string",
                "connection_string": f"DefaultEndpointsProtocol=https;AccountName=theirs;AccountKey={KEY}",
            },
            "x",
            "azure://theirs/x",
        ),
    ],
)
def test_an_address_names_the_account_and_the_container_and_leads_back(
    options: dict[str, str], path: str, url: str
) -> None:
    location = BACKEND.locate(options, path)

    assert location.url() == url
    assert BACKEND.match(options, Location.parse(url)) == path


@pytest.mark.parametrize(
    ("container", "url", "path"),
    [
        ("photos", "azure://mystorage/photos", ""),
        ("photos", "azure://mystorage/photos/", ""),
        ("photos", "azure://mystorage/photos//", "/"),
        ("photos", "azure://mystorage/photos/photos/x", "photos/x"),
        ("photos", "azure://mystorage/photos2/x", None),
        ("photos", "azure://mystorage/", None),
        ("photos", "azure://other/photos/x", None),
        ("", "azure://mystorage/any/x", "any/x"),
        ("", "azure://other/any/x", None),
        ("", "s3://mystorage/any/x", None),
    ],
)
def test_only_addresses_of_the_same_account_and_container_lie_in_a_connection(
    container: str, url: str, path: str | None
) -> None:
    assert BACKEND.match(WITH_KEY | {"container": container}, Location.parse(url)) == path


def test_an_address_implies_its_account_and_container() -> None:
    implied = BACKEND.from_location(Location.parse("azure://mystorage/photos/2024/x.jpg"))

    assert implied == {"account": "mystorage", "container": "photos"}
    assert BACKEND.match(implied, Location.parse("azure://mystorage/photos/2024/x.jpg")) == "2024/x.jpg"


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (WITH_KEY | {"container": "photos"}, "photos (Azure)"),
        (WITH_KEY, "mystorage (Azure)"),
        ({"auth": "connection_string", "connection_string": f"AccountName=theirs;AccountKey={KEY}"}, "theirs (Azure)"),
        ({}, "Azure Blob"),
    ],
)
def test_a_name_is_suggested_that_holds_no_secret(options: dict[str, str], name: str) -> None:
    assert BACKEND.suggest_name(options) == name
