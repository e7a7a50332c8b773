"""Signature version 4 for S3, lean: the day's key is kept, and a request is signed in some microseconds.

Amazon S3 API reference, "Signature Calculations for the Authorization Header: Transferring Payload in a Single Chunk".
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Protocol
from urllib.parse import SplitResult

UNSIGNED = "UNSIGNED-PAYLOAD"
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()

DEFAULT_PORTS = {"http": 80, "https": 443}

# What proxies on the way may change, and what is for them.
_NOT_SIGNED = frozenset(("user-agent", "accept-encoding", "proxy-authorization"))


class Keys(Protocol):
    """What signs: botocore's frozen credentials. Attributes may be longer than a mere string's promise: never log them."""

    access_key: str
    secret_key: str
    token: str | None


class Clock:
    """This machine's time as the server sees it. Any thread.

    Attributes:
        offset_s: added to this machine's time.
        now: this machine's time, in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self.offset_s = 0.0
        self.now = now
        self._stamped: tuple[int, str] = (-1, "")

    def stamp(self) -> str:
        """The time as a signature wants it, as 20260102T030405Z."""
        second = int(self.now() + self.offset_s)
        kept, stamp = self._stamped
        if second != kept:
            stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
            self._stamped = (second, stamp)
        return stamp


def host_of(url: SplitResult) -> str:
    """The Host header for a URL: without the port that is the scheme's own."""
    name = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname or ""
    return name if url.port in (None, DEFAULT_PORTS.get(url.scheme)) else f"{name}:{url.port}"


class Signer:
    """Signs the requests to one region of one service. Any thread.

    Args:
        keys: asked at each request, for keys that are renewed; None signs nothing.
        service: as it stands in the signature's scope; "s3" nearly always.
    """

    def __init__(self, keys: Callable[[], Keys] | None, region: str, service: str, clock: Clock) -> None:
        self._keys = keys
        self._scope = f"{region}/{service}/aws4_request"
        self._region = region
        self._service = service
        self._clock = clock
        self._day_key: tuple[str, str, bytes] = ("", "", b"")

    @property
    def signs(self) -> bool:
        return self._keys is not None

    def head(
        self, method: str, target: str, query: str, headers: dict[str, str], payload: str, absolute: str = ""
    ) -> bytes:
        """The head of a request, signed.

        Args:
            target: encoded path, as it goes over the wire.
            query: encoded, its parameters sorted by name; "" for none.
            headers: names in lower case, with "host"; values without line ends (ValueError).
            payload: SHA-256 of the body, or `UNSIGNED`.
            absolute: what comes before the path for a proxy.
        """
        if self._keys is not None:
            headers = self.sign(method, target, query, headers, payload)
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        if lines.count("\n") != len(headers) or lines.count("\r") != len(headers):
            raise ValueError("A header has more than one line.")
        return f"{method} {absolute}{target}{'?' if query else ''}{query} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")

    def sign(self, method: str, target: str, query: str, headers: dict[str, str], payload: str) -> dict[str, str]:
        """The headers, with those that make the signature; as `head`."""
        assert self._keys is not None
        keys = self._keys()
        stamp = self._clock.stamp()
        headers = {**headers, "x-amz-content-sha256": payload, "x-amz-date": stamp}
        if keys.token:
            headers["x-amz-security-token"] = keys.token
        signed = sorted([name for name in headers if name not in _NOT_SIGNED])
        canonical = "".join([f"{name}:{' '.join(headers[name].split())}\n" for name in signed])
        names = ";".join(signed)
        request = f"{method}\n{target}\n{query}\n{canonical}\n{names}\n{payload}"
        scope = f"{stamp[:8]}/{self._scope}"
        digest = hashlib.sha256(request.encode("utf-8")).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"
        signature = hmac.digest(self._key(keys.secret_key, stamp[:8]), text.encode("ascii"), "sha256").hex()
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={keys.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
        )
        return headers

    def _key(self, secret: str, day: str) -> bytes:
        """The key for a day; kept until the day or the secret is another."""
        kept_secret, kept_day, key = self._day_key
        if kept_secret == secret and kept_day == day:
            return key
        key = f"AWS4{secret}".encode()
        for part in (day, self._region, self._service, "aws4_request"):
            key = hmac.digest(key, part.encode("utf-8"), "sha256")
        self._day_key = (secret, day, key)
        return key
