"""Addresses: what is typed is taken apart exactly and put together again; a password is never repeated."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kegbrowser.backends.base import EntryKind, ListEntry
from kegbrowser.backends.errors import InvalidOptions
from kegbrowser.backends.locations import SCHEMES, Location, RemotePath

# As names come from a server: bytes, which need not be UTF-8 (PEP 383).
NAMES = st.binary(max_size=60).map(lambda raw: raw.decode("utf-8", "surrogateescape")) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=60
)
SOME_NAMES = NAMES.filter(bool)


def _parsed(url: str) -> tuple[Location | None, InvalidOptions | None]:
    try:
        return Location.parse(url), None
    except InvalidOptions as refusal:
        return None, refusal


@given(bucket=SOME_NAMES, key=NAMES)
@pytest.mark.parametrize("scheme", ["s3", "azure"])
def test_the_url_of_any_key_leads_back_to_it(scheme: str, bucket: str, key: str) -> None:
    location = Location(scheme, bucket, key)

    assert Location.parse(location.url()) == location


@given(path=NAMES)
@pytest.mark.parametrize("scheme", ["local", "memory"])
def test_the_url_of_any_local_path_leads_back_to_it(scheme: str, path: str) -> None:
    location = Location(scheme, "", path)

    assert Location.parse(location.url()) == location


@given(host=SOME_NAMES, user=NAMES, path=NAMES, port=st.none() | st.integers(1, 65535))
def test_the_url_of_any_sftp_path_leads_back_to_it(host: str, user: str, path: str, port: int | None) -> None:
    location = Location("sftp", host, path, user, port)

    assert Location.parse(location.url()) == location


@given(location=st.builds(Location, st.sampled_from(SCHEMES), SOME_NAMES, NAMES))
def test_a_url_is_plain_ascii_in_one_line(location: Location) -> None:
    url = location.url()

    assert url.isascii()
    assert url.isprintable()
    assert " " not in url


@given(text=st.text(max_size=80))
def test_parsing_anything_fails_only_as_an_invalid_option(text: str) -> None:
    for url in (text, *(f"{scheme}://{text}" for scheme in SCHEMES)):
        location, refusal = _parsed(url)

        assert location is None or Location.parse(location.url()) == location
        assert refusal is None or (refusal.message.endswith(".") and refusal.hint)


@given(
    scheme=st.sampled_from(SCHEMES),
    secret=st.from_regex(r"Canary[A-Za-z0-9/:@#?%&=+ ]{0,20}", fullmatch=True),
    template=st.sampled_from(["user:{}@host/path", "user:{}@host:99999/", "{}@host/x", "host:{}/x", ":{}@", "{}:{}@h"]),
)
def test_what_may_be_a_password_is_in_no_message(scheme: str, secret: str, template: str) -> None:
    _location, refusal = _parsed(f"{scheme}://{template.format(secret, secret)}")

    assert refusal is None or "Canary" not in f"{refusal} {refusal.hint} {refusal!r} {refusal.path}"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("s3://bucket", Location("s3", "bucket")),
        ("s3://bucket/", Location("s3", "bucket")),
        ("S3://bucket/key", Location("s3", "bucket", "key")),
        ("  s3://bucket/key\n", Location("s3", "bucket", "key")),
        ("s3://bucket//a//b/", Location("s3", "bucket", "/a//b/")),
        ("s3://bucket/../x", Location("s3", "bucket", "../x")),
        ("s3://bucket/a%2Fb%20c+d", Location("s3", "bucket", "a/b c+d")),
        ("s3://bucket/100%", Location("s3", "bucket", "100%")),
        ("s3://bucket/what?#x", Location("s3", "bucket", "what?#x")),
        ("azure://account/container/blob", Location("azure", "account", "container/blob")),
        ("sftp://host", Location("sftp", "host")),
        ("sftp://user@host:2222/home/user", Location("sftp", "host", "home/user", "user", 2222)),
        ("sftp://me%40work@host/", Location("sftp", "host", "", "me@work")),
        ("sftp://a@b@host/", Location("sftp", "host", "", "a@b")),
        ("sftp://[::1]:2222/x", Location("sftp", "::1", "x", "", 2222)),
        ("sftp://[fe80::1%25eth0]/x", Location("sftp", "fe80::1%eth0", "x")),
        ("local:///home/user", Location("local", "", "home/user")),
        ("memory://store/key", Location("memory", "store", "key")),
        ("local:///not-utf-8-\udcff", Location("local", "", "not-utf-8-\udcff")),
    ],
)
def test_addresses_are_taken_apart(url: str, expected: Location) -> None:
    assert Location.parse(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/home/user",
        "s3:bucket",
        "https://bucket.s3.amazonaws.com/key?X-Amz-Signature=Canary",
        "ftp://host/",
        "s3://",
        "s3:///key",
        "azure:///container",
        "sftp:///path",
        "sftp://user@/path",
        "sftp://host:0/",
        "sftp://host:65536/",
        "sftp://host:-1/",
        "sftp://host:٢٢/",
        "sftp://host:22x/",
        "sftp://host:" + "9" * 5000,
        "sftp://user:password@host/",
        "s3://user@bucket/",
        "s3://key:secret@bucket/",
        "s3://bucket/\ud800",
    ],
)
def test_addresses_that_say_nothing_are_refused(url: str) -> None:
    with pytest.raises(InvalidOptions) as refusal:
        Location.parse(url)

    assert "Canary" not in str(refusal.value)
    assert refusal.value.hint


def test_a_url_never_holds_half_a_letter() -> None:
    with pytest.raises(InvalidOptions):
        Location("s3", "bucket", "\ud800").url()


@pytest.mark.parametrize(
    ("path", "name", "parent"),
    [
        ("x", "x", ""),
        ("a/b", "b", "a/"),
        ("a//b", "b", "a//"),
        ("/x", "x", "/"),
        ("a/", "", "a/"),
        ("a//", "", "a//"),
        ("", "", ""),
    ],
)
def test_a_file_has_a_name_and_a_folder(path: str, name: str, parent: str) -> None:
    file = RemotePath.file("c", path)

    assert file.name == name
    assert file.parent == RemotePath.folder("c", parent)


@pytest.mark.parametrize(
    ("path", "name", "parent"),
    [("a/", "a", ""), ("a/b/", "b", "a/"), ("a//", "", "a/"), ("/", "", ""), ("a", "a", ""), ("a//b/", "b", "a//")],
)
def test_a_folder_has_a_name_and_a_folder(path: str, name: str, parent: str) -> None:
    folder = RemotePath.folder("c", path)

    assert folder.name == name
    assert folder.parent == RemotePath.folder("c", parent)


def test_the_root_is_in_nothing() -> None:
    root = RemotePath.folder("c")

    assert root.is_root
    assert root.parent is None
    assert root.ancestors() == ()
    assert root.name == ""


@given(parts=st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/"), max_size=5)))
def test_the_folders_above_lead_down_to_the_parent(parts: list[str]) -> None:
    folder = RemotePath.folder("c", "".join(f"{part}/" for part in parts))
    file = folder.join("file", is_folder=False)

    above = file.ancestors()

    assert above[0] == RemotePath.folder("c")
    assert above[-1] == file.parent == folder
    assert len(above) == len(parts) + 1
    assert all(one.parent == before for before, one in pairwise(above))
    assert all(file.is_within(one) for one in above)


@given(folder=NAMES, name=NAMES, kind=st.sampled_from(EntryKind))
def test_what_is_listed_in_a_folder_is_its_child(folder: str, name: str, kind: EntryKind) -> None:
    parent = RemotePath.folder("c", folder)

    child = parent.child(ListEntry(name, None, 0, kind))

    assert child.is_folder == (kind in (EntryKind.FOLDER, EntryKind.CONTAINER))
    assert child.path.startswith(parent.path)
    assert child.is_within(parent)
    if "/" not in name:
        assert child.name == name
        assert child.parent == parent or (name == "" and not child.is_folder)


def test_a_path_is_within_no_other_connection_and_no_neighbour() -> None:
    folder = RemotePath.folder("c", "a/")

    assert RemotePath.file("c", "a/b").is_within(folder)
    assert folder.is_within(folder)
    assert not RemotePath.file("other", "a/b").is_within(folder)
    assert not RemotePath.file("c", "ab").is_within(folder)
    assert not RemotePath.file("c", "a").is_within(folder)
