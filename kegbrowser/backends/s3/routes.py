"""Where the requests about a bucket go: the SDK decides it once, and our own requests then follow."""

from __future__ import annotations

import logging
import re
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from botocore.exceptions import (
    BotoCoreError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    ProxyConnectionError,
    SSLError,
)
from urllib3.exceptions import ConnectTimeoutError as NoConnectionInTime
from urllib3.exceptions import HTTPError, NewConnectionError

from kegbrowser.backends.s3.dating import Dating
from kegbrowser.backends.s3.signing import DEFAULT_PORTS, Clock, Keys, Signer, host_of
from kegbrowser.backends.s3.wire import Wire

if TYPE_CHECKING:
    from kegbrowser.backends.s3.client import S3Connection

log = logging.getLogger(__name__)

PROBE_KEY = "probe"
MOST_IDLE = 256
IDLE_S = 50.0
"""Amazon closes a connection that was idle for a minute or so."""
MOST_MISSES = 2
"""After so many answers that could not be understood, a bucket's requests are left to the SDK."""

_SCOPE = re.compile(r"AWS4-HMAC-SHA256 Credential=[^/]+/\d{8}/([^/]+)/([^/]+)/aws4_request,")
_KNOWN_HEADERS = frozenset(("x-amz-date", "x-amz-content-sha256", "x-amz-security-token"))


@dataclass(frozen=True, slots=True, repr=False)
class Route:
    """How requests to one bucket are sent; may hold the password of a proxy.

    Attributes:
        url: of the server, without a path.
        host: as the Host header says it.
        prefix: encoded path before a key, with its last "/".
        signer: for its region.
        absolute: what comes before the path in a request to a proxy that forwards; "" else.
        proxy_headers: for such a proxy.
        is_secure: TLS covers the body.
    """

    url: str
    host: str
    prefix: str
    signer: Signer
    absolute: str
    proxy_headers: dict[str, str]
    is_secure: bool


class Captured(Exception):
    """Carries the request that the SDK would have sent."""

    def __init__(self, request: Any) -> None:
        super().__init__("captured")
        self.request = request


class Routes:
    """The routes of one connection, and its kept wires. Any thread.

    Args:
        keys: what signs; None for anonymous access.

    Attributes:
        clock: what requests are dated by.
        dating: corrects it.
        known: the routes by bucket, as far as they were asked for.
    """

    def __init__(self, connection: S3Connection, keys: Callable[[], Keys] | None) -> None:
        self.clock = Clock()
        self.dating = Dating(self.clock, self._signer)
        self._connection = connection
        self._keys = keys
        self._lock = threading.Lock()
        self.known: dict[str, Route | None] = {}
        self._misses: dict[str, int] = {}
        self._idle: dict[str, deque[Wire]] = {}
        self._signers: dict[tuple[str, str], Signer] = {}
        self._probing = threading.local()
        self._trusting: set[int] = set()
        self._is_closed = False

    def install(self, client: Any) -> None:
        """Let this client tell where it would send a request."""
        client.meta.events.register_first("before-send.s3.GetObject", self._capture)
        self.dating.install(client)

    def of(self, bucket: str) -> Route | None:
        """The bucket's route; None: only the SDK knows how to reach it. Call it inside `around`."""
        try:
            return self.known[bucket]
        except KeyError:
            route = self._ask(bucket)
            with self._lock:
                if self._misses.get(bucket, 0) >= MOST_MISSES:
                    route = None
                self.known[bucket] = route
            return route

    def miss(self, bucket: str, route: Route, why: str) -> None:
        """An answer was not understood: the route is asked for again, or given up."""
        with self._lock:
            if self.known.get(bucket) is not route:
                return
            self._misses[bucket] = self._misses.get(bucket, 0) + 1
            del self.known[bucket]
        log.info("the bucket %s: %s; the request goes by way of the SDK", bucket, why)

    # -- wires -----------------------------------------------------------------------------------------------------------

    def take(self, route: Route) -> Wire | None:
        """A kept wire that still stands, if there is one."""
        while True:
            with self._lock:
                kept = self._idle.get(route.url)
                if not kept:
                    return None
                wire = kept.pop()
            if self._connection.now() - wire.idle_since < IDLE_S and wire.is_fresh():
                return wire
            wire.close()

    def give_back(self, route: Route, wire: Wire) -> None:
        """Keep a wire for later; nothing of an answer may be left on it."""
        wire.idle_since = self._connection.now()
        left = [wire]
        with self._lock:
            kept = self._idle.setdefault(route.url, deque())
            if not self._is_closed and not wire.rest and len(kept) < MOST_IDLE:
                kept.append(left.pop())
            # The one that waits longest is the first.
            while kept and wire.idle_since - kept[0].idle_since > IDLE_S:
                left.append(kept.popleft())
        for one in left:
            one.close()

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, {}
        for wires in idle.values():
            for wire in wires:
                wire.close()

    def connect(self, route: Route) -> Wire:
        """Open a wire, with the SDK's own trust, proxies and time limits.

        Raises:
            BotoCoreError, Cancelled.
        """
        http = self._connection.client._endpoint.http_session
        proxy = http._proxy_config.proxy_url_for(route.url)
        pool = http._get_connection_manager(route.url, proxy).connection_from_url(route.url)
        http._setup_ssl_cert(pool, route.url, http._verify)
        fresh = pool._new_conn()
        context = getattr(fresh, "ssl_context", None)
        if context is not None and id(context) in self._trusting:
            fresh.ca_certs = None  # reading all certificates again takes longer than the handshake
        try:
            if pool.proxy is not None and route.is_secure:
                pool._prepare_proxy(fresh)
            else:
                fresh.connect()
        except (HTTPError, OSError) as exc:
            through_proxy = pool.proxy is not None and not fresh.has_connected_to_proxy
            fresh.close()
            if through_proxy:
                raise ProxyConnectionError(proxy_url="of this machine", error=exc) from exc
            raise _not_connected(exc, route.url) from exc
        except BaseException:
            fresh.close()
            raise
        if context is not None:
            self._trusting.add(id(context))
        return Wire(fresh, fresh.sock, route.url, self._connection.settings.timeout_s)

    # -- asking the SDK --------------------------------------------------------------------------------------------------

    def _capture(self, request: Any, **_rest: Any) -> None:
        if getattr(self._probing, "is_on", False):
            raise Captured(request)

    def _ask(self, bucket: str) -> Route | None:
        client = self._connection.client
        self._probing.is_on = True
        try:
            client.get_object(Bucket=bucket, Key=PROBE_KEY)
        except Captured as captured:
            return self._route(captured.request)
        finally:
            self._probing.is_on = False
        return None

    def _route(self, request: Any) -> Route | None:
        parts = urlsplit(request.url)
        headers = {str(name).lower(): _text(value) for name, value in request.headers.items()}
        is_known = all(name in _KNOWN_HEADERS for name in headers if name.startswith("x-amz-"))
        if not parts.path.endswith(f"/{PROBE_KEY}") or parts.query or not parts.hostname or not is_known:
            return None
        signer = self._signer(headers.get("authorization", ""))
        if signer is None:
            return None
        host = host_of(parts)
        bare = host.removesuffix(f":{parts.port}") if parts.port else host
        url = f"{parts.scheme}://{bare}:{parts.port or DEFAULT_PORTS[parts.scheme]}"
        absolute, proxy_headers = self._forwarding(url, parts.scheme, host)
        prefix = parts.path[: -len(PROBE_KEY)]
        return Route(url, host, prefix, signer, absolute, proxy_headers, parts.scheme == "https")

    def _signer(self, authorization: str) -> Signer | None:
        """The signer for the scope of a signature; None if it is of a kind that is not known here."""
        if not authorization:
            return Signer(None, "", "", self.clock) if self._keys is None else None
        scope = _SCOPE.match(authorization)
        if scope is None or self._keys is None:
            return None
        region, service = scope.groups()
        with self._lock:
            known = self._signers.get((region, service))
            if known is None:
                known = self._signers[region, service] = Signer(self._keys, region, service, self.clock)
        return known

    def _forwarding(self, url: str, scheme: str, host: str) -> tuple[str, dict[str, str]]:
        proxies = self._connection.client._endpoint.http_session._proxy_config
        proxy = proxies.proxy_url_for(url)
        if not proxy or scheme == "https":
            return "", {}
        headers = {name.lower(): value for name, value in proxies.proxy_headers_for(proxy).items()}
        return f"{scheme}://{host}", headers


def _not_connected(exc: Exception, url: str) -> BotoCoreError:
    """As the SDK says it."""
    made: BotoCoreError
    if isinstance(exc, ssl.SSLError) or isinstance(exc.__cause__, ssl.SSLError):
        made = SSLError(endpoint_url=url, error=exc)
    elif isinstance(exc, NoConnectionInTime):
        made = ConnectTimeoutError(endpoint_url=url, error=exc)
    elif isinstance(exc, (NewConnectionError, socket.gaierror)):
        made = EndpointConnectionError(endpoint_url=url, error=exc)
    else:
        made = HTTPClientError(error=exc)
    return made


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
