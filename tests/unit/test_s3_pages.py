"""Our reading of a listing is the SDK's, whatever the names."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import quote_plus, unquote_plus
from xml.sax.saxutils import escape

import botocore.parsers
import botocore.session
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kegbrowser.backends.entries import Columns
from kegbrowser.backends.s3.pages import ObjectPage, page_query, parse_page
from kegbrowser.backends.s3.sdk import parse_time
from kegbrowser.backends.s3.wire import Unclear

KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
SPACE = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


@cache
def output_shape() -> Any:
    return botocore.session.get_session().get_service_model("s3").operation_model("ListObjectsV2").output_shape


def theirs(body: bytes) -> dict[str, Any]:
    """As the SDK understands an answer; it decodes keys later."""
    parser = botocore.parsers.RestXMLParser(parse_time)
    parsed: dict[str, Any] = parser.parse({"status_code": 200, "headers": {}, "body": body}, output_shape())
    return parsed


def page_of(answer: dict[str, Any]) -> ObjectPage:
    """An answer of the SDK with its keys decoded, as it hands it out."""
    decode = unquote_plus if answer.get("EncodingType") == "url" else str
    for one in answer.get("Contents", []):
        one["Key"] = decode(one.get("Key", ""))
    for one in answer.get("CommonPrefixes", []):
        one["Prefix"] = decode(one["Prefix"])
    return ObjectPage.from_answer(answer)


def escaped(text: str, style: str) -> str:
    if style == "url":
        return quote_plus(text, safe="/")
    if style == "all":
        return "".join(f"&#{ord(char)};" for char in text)
    return escape(text)


MOMENTS = st.one_of(
    st.datetimes(min_value=datetime(1971, 1, 1)).map(lambda moment: f"{moment.isoformat(timespec='milliseconds')}Z"),
    st.sampled_from(["2026-01-02T03:04:05Z", "2026-01-02T03:04:05+02:00", "2026-01-02T03:04:05.123456Z"]),
)
FIELDS = {
    "ETag": ["&quot;0123&quot;", '"ab-3"', "", "&#34;x&#34;", "a&amp;quot;b"],
    "ChecksumAlgorithm": ["CRC32"],
    "ChecksumType": ["FULL_OBJECT"],
    "Size": ["0", "7", "3298534883328"],
    "StorageClass": ["STANDARD", "GLACIER", "&lt;odd&gt;"],
    "Owner": ["<ID>1</ID><DisplayName>some&amp;body</DisplayName>", "", "<DisplayName>x</DisplayName>"],
    "RestoreStatus": ["<IsRestoreInProgress>false</IsRestoreInProgress>"],
}
ODD = [
    "<!-- <Contents> -->",
    "<Contents/>",
    "<Contents a='1'><Key>k</Key><Size>1</Size></Contents>",
    "<Delimiter>/</Delimiter>",
    "<Contents><Key>k<!-- --></Key><Size>1</Size></Contents>",
    "text",
]
SPACES = st.sampled_from(["", "\n", "  \n\t"])


@st.composite
def records(draw: st.DrawFn) -> str:
    fields = draw(st.permutations(["Key", "LastModified", "Size", *draw(st.sets(st.sampled_from(sorted(FIELDS))))]))
    space, written = draw(SPACES), ""
    for name in dict.fromkeys(fields):
        if name == "Key":
            text = escaped(draw(KEYS), draw(st.sampled_from(["url", "url", "some"])))
        else:
            text = draw(MOMENTS) if name == "LastModified" else draw(st.sampled_from(FIELDS[name]))
        written += f"{space}<{name}>{text}</{name}>"
    return f"<Contents>{written}{space}</Contents>"


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    prefixes = st.builds(lambda key: f"<CommonPrefixes><Prefix>{quote_plus(key)}</Prefix></CommonPrefixes>", KEYS)
    odd = st.sampled_from(
        [
            "<!-- <Contents> -->",
            "<Contents/>",
            "<Contents a='1'><Key>k</Key><Size>1</Size></Contents>",
            "<Delimiter>/</Delimiter>",
        ]
    )
    frame = [
        "<Name>box</Name><Prefix/><MaxKeys>1000</MaxKeys>",
        draw(st.sampled_from(["", "<EncodingType>url</EncodingType>"])),
        f"<IsTruncated>{draw(st.sampled_from(['true', 'false']))}</IsTruncated>",
        draw(st.sampled_from(["", "<NextContinuationToken>a+b/c==&amp;&lt;</NextContinuationToken>"])),
    ]
    found = draw(st.lists(records(), max_size=5)) + draw(st.lists(prefixes, max_size=3))
    if draw(st.booleans()):
        found = draw(st.permutations([*found, *draw(st.lists(odd, max_size=2))]))
    space = draw(SPACES)
    inner = space.join([*frame, *found] if draw(st.booleans()) else [*found, *frame])
    first = draw(st.sampled_from(["", '<?xml version="1.0" encoding="UTF-8"?>\n']))
    whose = draw(st.sampled_from(["", ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"']))
    return f"{first}<ListBucketResult{whose}>{inner}</ListBucketResult>\n".encode()


@settings(max_examples=400)
@given(bodies())
def test_a_page_is_read_as_the_sdk_reads_it(body: bytes) -> None:
    try:
        answer = theirs(body)
    except botocore.parsers.ResponseParserError:
        with pytest.raises(Unclear):
            parse_page(body)
        return

    assert parse_page(body) == page_of(answer)


@given(bodies(), st.data())
def test_a_page_that_was_cut_or_bent_is_never_half_read(body: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(body) - 1))
    cut = body[:place]

    with pytest.raises(Unclear):
        parse_page(cut)


def test_names_that_are_not_encoded_are_left_alone() -> None:
    body = (
        b"<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a+b%20c</Key></Contents></ListBucketResult>"
    )

    assert parse_page(body).keys == ["a+b%20c"]


@given(st.lists(st.tuples(KEYS, st.sampled_from([0, 5])), max_size=6), st.booleans())
def test_columns_and_entries_of_a_page_tell_the_same(rows: list[tuple[str, int]], recursive: bool) -> None:
    contents = [
        {"Key": f"in/{key}", "Size": size, "LastModified": datetime(2026, 1, 2, tzinfo=UTC), "ETag": '"e"'}
        for key, size in rows
    ]
    found = ObjectPage.from_answer(
        {"Contents": contents, "CommonPrefixes": [{"Prefix": "in/a/"}], "IsTruncated": False}
    )

    page = found.below("in/", recursive=recursive)

    assert page.columns == Columns.from_entries(page.entries)
    assert len(page) == len(page.entries)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html><body>log in</body></html>", b"<Error><Code>SlowDown</Code></Error>", b"<ListBucketResult>", b"{}"],
)
def test_what_is_no_page_is_left_to_the_sdk(body: bytes) -> None:
    with pytest.raises(Unclear):
        parse_page(body)


def test_the_query_is_encoded_and_sorted() -> None:
    options = {"Bucket": "box", "Prefix": "a b/ü+", "Delimiter": "/", "ContinuationToken": "x=/+", "MaxKeys": 2}

    assert page_query(options) == (
        "continuation-token=x%3D%2F%2B&delimiter=%2F&encoding-type=url&list-type=2&max-keys=2&prefix=a%20b%2F%C3%BC%2B"
    )
