"""Our signatures are those of the SDK, whatever the key, the credentials and the headers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from unittest import mock

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from kegbrowser.backends.s3 import S3Storage
from kegbrowser.backends.s3.lean import headers_of, query_of, target_of
from kegbrowser.backends.s3.routes import Captured, Route
from kegbrowser.backends.s3.signing import EMPTY_SHA256, UNSIGNED, Clock, Signer
from tests.conformance.names import HOSTILE_NAMES

NOW = 1_800_000_000.0
STAMP = "20270115T080000Z"
TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=40)


def signer_of(keys: Credentials | None, region: str = "eu-central-1") -> Signer:
    return Signer(keys.get_frozen_credentials if keys else None, region, "s3", Clock(lambda: NOW))


def lines_of(head: bytes) -> tuple[str, dict[str, str]]:
    first, *rest = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    return first, dict(line.split(": ", 1) for line in rest)


@contextmanager
def frozen_sdk_clock() -> Iterator[None]:
    moment = botocore.auth.get_current_datetime().replace(
        year=2027, month=1, day=15, hour=8, minute=0, second=0, microsecond=0
    )
    with mock.patch("botocore.auth.get_current_datetime", return_value=moment):
        yield


@given(
    method=st.sampled_from(["GET", "PUT", "HEAD"]),
    path=TEXT,
    secret=st.text(min_size=1, max_size=60),
    token=st.one_of(st.none(), TEXT.map(str.strip).filter(bool)),
    values=st.dictionaries(
        st.sampled_from(["x-amz-checksum-crc32", "content-type", "if-none-match", "range", "x-amz-meta-a"]), TEXT
    ),
    upload=st.one_of(st.none(), TEXT),
    payload=st.sampled_from([EMPTY_SHA256, UNSIGNED, "0" * 64]),
)
def test_a_signature_is_that_of_the_sdk(
    method: str,
    path: str,
    secret: str,
    token: str | None,
    values: dict[str, str],
    upload: str | None,
    payload: str,
) -> None:
    keys = Credentials("AKIDEXAMPLE", secret, token)
    options: dict[str, Any] = {"PartNumber": 7, "UploadId": upload} if upload else {}
    query = query_of(options)
    route = Route("http://host:8333", "host:8333", "/box/", signer_of(keys), "", {}, is_secure=False)
    target = target_of(route, path)
    headers = {"host": route.host, **values}

    _first, ours = lines_of(route.signer.head(method, target, query, headers, payload))

    request = AWSRequest(method=method, url=f"http://host:8333{target}{'?' if query else ''}{query}", headers=values)
    request.context["payload_signing_enabled"] = True
    with (
        frozen_sdk_clock(),
        mock.patch.object(botocore.auth.S3SigV4Auth, "payload", return_value=payload),
    ):
        botocore.auth.S3SigV4Auth(keys, "s3", "eu-central-1").add_auth(request)
    assert ours["x-amz-date"] == STAMP
    assert ours["authorization"] == request.headers["Authorization"]


@pytest.mark.parametrize("path_style", [True, False])
@pytest.mark.parametrize("name", list(HOSTILE_NAMES.values()), ids=list(HOSTILE_NAMES))
def test_a_request_for_a_name_is_that_of_the_sdk(name: str, path_style: bool) -> None:
    storage = S3Storage(
        "box", "eu-central-1", "AKIDEXAMPLE", "secret", path_style=path_style, aws_session_token="token"
    )
    connection = storage._connection
    routes = connection.routes
    options = {"Bucket": "box", "Key": name, "IfMatch": '"0123"', "Range": "bytes=0-5", "ChecksumMode": "ENABLED"}
    connection.client.meta.events.register("before-send.s3.GetObject", _stop)
    try:
        with pytest.raises(Captured) as captured:
            connection.client.get_object(**options)
        route = routes.of("box")
    finally:
        storage.shutdown()
    assert route is not None
    theirs = captured.value.request
    said = {header.lower(): _text(value) for header, value in theirs.headers.items()}
    signed_at = datetime.strptime(said["x-amz-date"], "%Y%m%dT%H%M%S%z").timestamp()
    routes.clock.offset_s = signed_at + 0.5 - time.time()

    everything = {"host": route.host, **headers_of(options)}
    target = target_of(route, name)
    _first, ours = lines_of(route.signer.head("GET", target, "", everything, said["x-amz-content-sha256"]))

    assert f"{route.url.removesuffix(':443')}{target}" == theirs.url
    assert {name: ours[name] for name in said if name in ours} == {name: said[name] for name in said if name in ours}
    assert "authorization" in ours


def test_an_anonymous_request_is_not_signed() -> None:
    first, headers = lines_of(signer_of(None).head("GET", "/box/x", "", {"host": "h"}, EMPTY_SHA256))

    assert first == "GET /box/x HTTP/1.1"
    assert headers == {"host": "h"}


@pytest.mark.parametrize("value", ["a\r\nx: y", "a\nb", "a\rb"])
def test_a_value_cannot_bring_a_header_of_its_own(value: str) -> None:
    with pytest.raises(ValueError, match="more than one line"):
        signer_of(None).head("PUT", "/box/x", "", {"host": "h", "content-type": value}, EMPTY_SHA256)


def test_new_keys_and_a_new_day_sign_anew() -> None:
    keys = [Credentials("A", "one").get_frozen_credentials()]
    now = [NOW]
    signer = Signer(lambda: keys[0], "r", "s3", Clock(lambda: now[0]))

    def signature() -> str:
        return lines_of(signer.head("GET", "/", "", {"host": "h"}, EMPTY_SHA256))[1]["authorization"]

    first = signature()
    keys[0] = Credentials("A", "two").get_frozen_credentials()
    second = signature()
    now[0] += 86_400
    third = signature()
    keys[0] = Credentials("A", "one").get_frozen_credentials()
    now[0] -= 86_400

    assert len({first, second, third}) == 3
    assert signature() == first


def _stop(request: Any, **_rest: Any) -> None:
    raise Captured(request)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
