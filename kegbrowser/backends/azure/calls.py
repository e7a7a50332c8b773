"""Requests of our own through the SDK's pipeline, which signs them: where its methods parse too slowly or too much."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from azure.core.rest import HttpRequest
from azure.storage.blob import BlobServiceClient

from kegbrowser.backends.azure.answers import Answer
from kegbrowser.backends.azure.deeds import Deed
from kegbrowser.backends.azure.names import in_url
from kegbrowser.backends.azure.translate import RefusedError

Guard = Callable[[Deed], AbstractContextManager[None]]

_BLOCK_NAME = re.compile(r"<Name>([^<]*)</Name>")
_BLOCK = re.compile(r"<Block>\s*<Name>([^<]*)</Name>\s*<Size>(\d+)</Size>\s*</Block>")
_COMMITTED = re.compile(r"<CommittedBlocks>(.*?)</CommittedBlocks>", re.DOTALL)
_UNCOMMITTED = re.compile(r"<UncommittedBlocks>(.*?)</UncommittedBlocks>", re.DOTALL)
_MOST_OF_AN_ERROR = 64 * 1024


@dataclass(frozen=True, slots=True)
class Body:
    """A successful answer whose body is still to be read.

    Attributes:
        raw: of urllib3; the body as it was sent.
    """

    status: int
    headers: Mapping[str, str]
    raw: Any


@dataclass(frozen=True, slots=True)
class HeldBlocks:
    """The blocks of a blob, as (id in Base64, length): what it consists of, in order, and what was sent but not committed."""

    committed: tuple[tuple[str, int], ...] = ()
    uncommitted: tuple[tuple[str, int], ...] = ()


def blob_url(service: BlobServiceClient, container: str, blob: str) -> str:
    """The URL of a blob, with the shared access signature if there is one."""
    base, mark, query = str(service.url).partition("?")
    return f"{base.rstrip('/')}/{quote(container, safe='$')}/{in_url(blob)}{mark}{query}"


def get_range(service: BlobServiceClient, url: str, first: int, last: int, etag: str) -> Body | None:
    """Ask for the bytes of a blob from `first` to `last`; None if it ends before.

    Args:
        etag: without quotes; the blob must still have it. "" for any.
    """
    headers = {"x-ms-range": f"bytes={first}-{last}"}
    if etag:
        headers["If-Match"] = f'"{etag}"'
    return _send(service, "GET", url, headers, allowed=(200, 206), none=416)


def put_blob(service: BlobServiceClient, url: str, data: bytes, headers: Mapping[str, str]) -> None:
    """Write a whole blob in one step; the service compares its MD5."""
    fixed = {
        "x-ms-blob-type": "BlockBlob",
        "Content-Type": "application/octet-stream",
        "Content-Length": str(len(data)),
        "Content-MD5": b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode(),
    }
    _read(_send(service, "PUT", url, fixed | dict(headers), allowed=(201,), content=data))


def put_block(
    service: BlobServiceClient, url: str, block_id: str, md5: bytes, size: int, data: Iterable[bytes]
) -> None:
    """Send a block; the service compares its MD5."""
    url += ("&" if "?" in url else "?") + urlencode({"comp": "block", "blockid": block_id})
    headers = {
        "Content-Type": "application/octet-stream",
        "Content-Length": str(size),
        "Content-MD5": b64encode(md5).decode(),
    }
    _read(_send(service, "PUT", url, headers, allowed=(201,), content=data))


def get_list(service: BlobServiceClient, container: str, query: Mapping[str, str]) -> bytes:
    """One page of a container's listing, as XML."""
    base, _mark, sas = str(service.url).partition("?")
    fixed = {"restype": "container", "comp": "list"}
    asked = urlencode(fixed | dict(query), quote_via=quote, safe="")
    url = f"{base.rstrip('/')}/{quote(container, safe='$')}?{asked}{'&' if sas else ''}{sas}"
    return _read(_send(service, "GET", url, {}, allowed=(200,)))


def uncommitted_blocks(service: BlobServiceClient, container: str, blob: str) -> list[str]:
    """The ids, in Base64, of the blocks that unfinished uploads of a blob have left."""
    url = blob_url(service, container, blob)
    url += ("&" if "?" in url else "?") + "comp=blocklist&blocklisttype=uncommitted"
    text = _read(_send(service, "GET", url, {}, allowed=(200,))).decode("utf-8", "replace")
    return _BLOCK_NAME.findall(text)


def held_blocks(service: BlobServiceClient, deed: Deed) -> HeldBlocks:
    """All blocks of a blob; none if there is nothing of it. Ids may be any bytes, which the SDK's own method cannot read."""
    url = blob_url(service, deed.container, deed.blob)
    url += ("&" if "?" in url else "?") + "comp=blocklist&blocklisttype=all"
    try:
        text = _read(_send(service, "GET", url, {}, allowed=(200,))).decode("utf-8", "replace")
    except RefusedError as exc:
        if exc.answer.status != 404 or exc.answer.code == "ContainerNotFound":
            raise
        return HeldBlocks()
    return HeldBlocks(_blocks_in(_COMMITTED, text), _blocks_in(_UNCOMMITTED, text))


def _blocks_in(part: re.Pattern[str], text: str) -> tuple[tuple[str, int], ...]:
    found = part.search(text)
    return tuple((name, int(size)) for name, size in _BLOCK.findall(found.group(1))) if found else ()


def _read(body: Body | None) -> bytes:
    if body is None:
        return b""
    content: bytes = body.raw.read()
    body.raw.release_conn()
    return content


def _send(
    service: BlobServiceClient,
    method: str,
    url: str,
    headers: Mapping[str, str],
    *,
    allowed: tuple[int, ...],
    none: int = 0,
    content: bytes | Iterable[bytes] | None = None,
) -> Body | None:
    """Send a request; None for the status `none`.

    Raises:
        RefusedError: another status than the allowed ones.
    """
    versioned = {**headers, "x-ms-version": str(service.api_version)}
    request = HttpRequest(method, url, headers=versioned, content=content)
    answer: Any = service._pipeline.run(request, stream=True).http_response
    raw = answer.internal_response.raw
    if answer.status_code in allowed:
        return Body(answer.status_code, answer.headers, raw)
    text = raw.read(_MOST_OF_AN_ERROR).decode("utf-8", "replace")
    answer.close()
    if answer.status_code == none:
        return None
    raise RefusedError(Answer.of(answer.status_code, answer.headers, text, answer.request))
