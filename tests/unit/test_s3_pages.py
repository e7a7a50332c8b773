"""Our reading of a listing is the SDK's, whatever the names."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote_plus

import botocore.parsers
import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kegbrowser.backends.s3.pages import page_query, parse_page
from kegbrowser.backends.s3.sdk import parse_time
from kegbrowser.backends.s3.wire import Unclear

KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
SPACE = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


def theirs(body: bytes) -> dict[str, Any]:
    """As the SDK understands an answer; it decodes keys later."""
    model = botocore.session.get_session().get_service_model("s3").operation_model("ListObjectsV2")
    parser = botocore.parsers.RestXMLParser(parse_time)
    parsed: dict[str, Any] = parser.parse({"status_code": 200, "headers": {}, "body": body}, model.output_shape)
    return parsed


@given(
    keys=st.lists(KEYS, max_size=5),
    folders=st.lists(KEYS, max_size=3),
    space=st.sampled_from(["", SPACE]),
    token=st.sampled_from(["", "a+b/c==&amp;&lt;"]),
    owner=st.booleans(),
)
def test_a_page_is_read_as_the_sdk_reads_it(
    keys: list[str], folders: list[str], space: str, token: str, owner: bool
) -> None:
    whose = "<Owner><ID>1</ID><DisplayName>somebody</DisplayName></Owner>" if owner else ""
    found = "".join(
        f"<Contents><Key>{quote_plus(key, safe='/')}</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified>"
        f"<ETag>&quot;0123&quot;</ETag><ChecksumAlgorithm>CRC32</ChecksumAlgorithm><Size>{number}</Size>{whose}"
        "<StorageClass>STANDARD</StorageClass></Contents>"
        for number, key in enumerate(keys)
    )
    below = "".join(f"<CommonPrefixes><Prefix>{quote_plus(key, safe='/')}</Prefix></CommonPrefixes>" for key in folders)
    more = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult{space}><Name>box</Name><Prefix/><MaxKeys>1000</MaxKeys>'
        f"<EncodingType>url</EncodingType><IsTruncated>{str(bool(token)).lower()}</IsTruncated>{more}{found}{below}"
        "</ListBucketResult>"
    ).encode()

    ours = parse_page(body)

    expected = theirs(body)
    assert ours["IsTruncated"] == expected["IsTruncated"]
    assert ours.get("NextContinuationToken") == expected.get("NextContinuationToken")
    assert [one["Key"] for one in ours["Contents"]] == keys
    assert [one["Prefix"] for one in ours["CommonPrefixes"]] == folders
    for mine, other in zip(ours["Contents"], expected.get("Contents", []), strict=True):
        assert (mine["LastModified"], mine["ETag"], int(mine["Size"])) == (
            other["LastModified"],
            other["ETag"],
            other["Size"],
        )
        assert (mine["StorageClass"], mine.get("Owner")) == (other["StorageClass"], other.get("Owner"))


def test_names_that_are_not_encoded_are_left_alone() -> None:
    body = (
        b"<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a+b%20c</Key></Contents></ListBucketResult>"
    )

    assert [one["Key"] for one in parse_page(body)["Contents"]] == ["a+b%20c"]


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
