"""Our reading of a listing is the SDK's, whatever the names."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape

import pytest
import requests
from azure.core.pipeline.transport import RequestsTransport
from azure.storage.blob import BlobPrefix, ContainerClient
from hypothesis import given, settings
from hypothesis import strategies as st
from requests.adapters import BaseAdapter

from kegbrowser.backends.azure.deeds import Deed
from kegbrowser.backends.azure.listing import Level
from kegbrowser.backends.azure.pages import FoundPage, parse_page
from kegbrowser.backends.entries import UNKNOWN, Columns
from kegbrowser.backends.errors import ServerFault

DEED = Deed("list", "list", "box")
LEGAL = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")
NAMES = st.text(st.one_of(LEGAL, st.sampled_from("/&<> a%")), min_size=1, max_size=20)
FIELDS = {
    "Creation-Time": ["Wed, 01 Jan 2025 00:00:00 GMT"],
    "Last-Modified": ["Wed, 01 Jan 2025 03:04:05 GMT", "Thu, 29 Feb 2024 23:59:59 GMT"],
    "Etag": ["0x8D", "&quot;0x8D&quot;"],
    "Content-Length": ["0", "7", "3298534883328"],
    "Content-Type": ["image/jpeg", "a&amp;b", ""],
    "Content-MD5": ["1B2M2Y8AsgTpgAmY7PhCfg=="],
    "BlobType": ["BlockBlob"],
    "AccessTier": ["Hot"],
}
METADATA = [
    "",
    "<Metadata />",
    "<Metadata><hdi_isfolder>true</hdi_isfolder></Metadata>",
    "<Metadata><AccessTier>x</AccessTier></Metadata>",
]


class Canned(BaseAdapter):
    """Answers every request with the same body."""

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self._body = body

    def send(self, request: Any, *_: Any, **__: Any) -> requests.Response:
        answer = requests.Response()
        answer.status_code, answer.request, answer.url = 200, request, request.url
        answer.headers["Content-Type"] = "application/xml"
        answer.raw = io.BytesIO(self._body)
        return answer

    def close(self) -> None:
        return None


def theirs(body: bytes) -> list[Any]:
    session = requests.Session()
    session.mount("http://", Canned(body))
    transport = RequestsTransport(session=session, session_owner=False)
    container = ContainerClient("http://127.0.0.1:9/account", "box", transport=transport)
    return list(next(container.walk_blobs(include=["metadata"]).by_page()))


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    items = ""
    space = draw(st.sampled_from(["", "\n  "]))
    for _number in range(draw(st.integers(0, 5))):
        name = draw(NAMES)
        is_encoded = draw(st.booleans())
        tag = f'<Name Encoded="true">{quote(name)}</Name>' if is_encoded else f"<Name>{escape(name)}</Name>"
        if draw(st.integers(0, 3)) == 0:
            items += f"{space}<BlobPrefix>{tag}</BlobPrefix>"
            continue
        names = draw(st.permutations(sorted(FIELDS))) if draw(st.booleans()) else sorted(FIELDS)
        fields = [f"<{one}>{draw(st.sampled_from(FIELDS[one]))}</{one}>" for one in names]
        before = draw(st.sampled_from(["", "<Deleted>false</Deleted>", "<VersionId>x</VersionId>"]))
        properties = space.join(["", *fields, "<Cache-Control />"])
        items += (
            f"{space}<Blob>{tag}{before}<Properties>{properties}</Properties>{draw(st.sampled_from(METADATA))}</Blob>"
        )
    following = draw(st.sampled_from(["<NextMarker />", "<NextMarker>a&amp;b</NextMarker>"]))
    inner = f"<Blobs>{items}</Blobs>{following}"
    return f'<?xml version="1.0" encoding="utf-8"?><EnumerationResults>{inner}</EnumerationResults>'.encode()


@settings(max_examples=200, deadline=None)
@given(bodies())
def test_a_page_is_read_as_the_sdk_reads_it(body: bytes) -> None:
    page, expected = parse_page(body, DEED), theirs(body)

    blobs = [one for one in expected if not isinstance(one, BlobPrefix)]
    assert page.prefixes == [one.name for one in expected if isinstance(one, BlobPrefix)]
    for mine, other in zip(page.blobs, blobs, strict=True):
        assert (mine.name, mine.size, mine.modified) == (other.name, other.size, other.last_modified)
        assert (mine.etag, mine.tier) == ((other.etag or "").strip('"'), other.blob_tier or "")
        assert mine.content_type == (other.content_settings.content_type or "")
        assert mine.is_folder_mark == (other.size == 0 and "hdi_isfolder" in (other.metadata or {}))


@given(bodies(), st.data())
def test_a_page_that_was_cut_is_an_error(body: bytes, data: st.DataObject) -> None:
    with pytest.raises(ServerFault):
        parse_page(body[: data.draw(st.integers(0, len(body) - 1))], DEED)


@given(st.lists(bodies(), max_size=3))
def test_columns_and_entries_tell_the_same(pages: list[bytes]) -> None:
    level, again = Level(""), Level("")
    for body in pages:
        page, other = level.page(parse_page(body, DEED)), again.page(parse_page(body, DEED))
        assert page.columns == Columns.from_entries(other.entries)


def test_what_the_service_does_not_tell_is_unknown() -> None:
    page = parse_page(b"<EnumerationResults><Blobs><Blob><Name>a</Name></Blob></Blobs></EnumerationResults>", DEED)

    assert (page.names, page.sizes.tolist(), page.modified_us.tolist()) == (["a"], [UNKNOWN], [UNKNOWN])
    assert page.blobs[0].modified is None


def test_a_time_in_another_form_is_read_too() -> None:
    item = (
        "<Blob><Name>a</Name><Properties><Last-Modified>1 Jan 2025 01:00:00 +0100</Last-Modified></Properties></Blob>"
    )
    page: FoundPage = parse_page(f"<EnumerationResults>{item}</EnumerationResults>".encode(), DEED)

    assert page.blobs[0].modified == datetime(2025, 1, 1, tzinfo=UTC)
