"""The SDK's client, on connections of our own: no retries of its own, names kept exactly, all sockets known."""

from __future__ import annotations

import logging
import os
import re
import socket
import warnings
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import requests
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.pipeline import PipelineRequest
from azure.core.pipeline.transport import RequestsTransport
from azure.storage.blob import BlobServiceClient
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.exceptions import InsecureRequestWarning

from kegbrowser.backends._sockets import LiveSockets
from kegbrowser.backends.azure.deeds import Deed
from kegbrowser.backends.azure.names import exact_dots
from kegbrowser.backends.azure.translate import server_of, translated
from kegbrowser.backends.errors import (
    AuthenticationFailed,
    CredentialsExpired,
    InvalidOptions,
    PermissionDenied,
)

POOL = 32
PUBLIC_CLOUD = "blob.core.windows.net"
_ACCOUNT = re.compile(r"[a-z0-9]{3,24}(-secondary)?")
# A router forgets an idle connection without a word; without these probes the next request would wait for its timeout.
_KEEP_ALIVE = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)] + [
    (socket.IPPROTO_TCP, getattr(socket, name), seconds)
    for name, seconds in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
    if hasattr(socket, name)
]

# The SDK logs each request's URL and headers; urllib3 warns with the URL where it finds odd headers. A SAS is in the URL.
logging.getLogger("azure").setLevel(logging.CRITICAL)
logging.getLogger("urllib3.connection").setLevel(logging.ERROR)


@dataclass(frozen=True, slots=True, repr=False)
class AzureSettings:
    """All that a connection is made of; the secrets are only here and in the SDK's client.

    Attributes:
        account: name; "" with a connection string or an endpoint.
        key: Base64.
        endpoint: URL of the blob service; "" for the public cloud's.
        connection_string: instead of all of those.
        sas_token: instead of the key; with or without its "?".
        ca_bundle: PEM file to trust; "" for the system's.
        connect_timeout_s, timeout_s: until connected; of silence in the middle.
    """

    account: str = ""
    key: str = ""
    endpoint: str = ""
    connection_string: str = ""
    sas_token: str = ""
    verify_tls: bool = True
    ca_bundle: str = ""
    connect_timeout_s: float = 10.0
    timeout_s: float = 60.0


class AzureConnection:
    """The client of one account, its sockets, and the border around its calls. Any thread; connects when it is first used.

    Attributes:
        service: of the SDK.
        server: `host` or `host:port`, for messages.

    Raises:
        InvalidOptions: something is missing or malformed; never shows a secret.
    """

    def __init__(self, settings: AzureSettings) -> None:
        if not (settings.account or settings.connection_string or settings.endpoint):
            raise InvalidOptions("“Account” is missing.", hint="Fill in “Account”.")
        self.sockets = LiveSockets(stall_timeout_s=settings.timeout_s)
        self._session = _make_session(self.sockets)
        self.service = _make_service(settings, self._session, self._before_request)
        self.server = server_of(self.service.url)
        self._sas_end = _end_of_sas(self.service.url)

    @contextmanager
    def around(self, deed: Deed) -> Iterator[None]:
        """Translate what goes wrong inside; raises `Cancelled` after an interrupt."""
        self.sockets.check()
        try:
            with translated(deed, self.server, lambda: self.sockets.is_interrupted):
                yield
        except (AuthenticationFailed, PermissionDenied) as error:
            if self._sas_end is None or self._sas_end > datetime.now(UTC):
                raise
            # Servers refuse an expired signature in the same words as a wrong one.
            raise CredentialsExpired(
                f"The shared access signature expired at {self._sas_end:%Y-%m-%d %H:%M} UTC.", path=deed.path
            ) from error

    def interrupt(self) -> None:
        self.sockets.interrupt()

    def shutdown(self) -> None:
        self._session.close()
        self.sockets.close()

    def _before_request(self, request: PipelineRequest[Any]) -> None:
        # Before it is signed: what is signed must be what is sent.
        self.sockets.check()
        path, mark, query = str(request.http_request.url).partition("?")
        request.http_request.url = exact_dots(path) + mark + query


class _ExactSession(requests.Session):
    """Sends a URL as it is: requests itself would decode `%2E%2E` and then resolve it."""

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        prepared = super().prepare_request(request)
        if "%2E" in str(request.url):
            prepared.url = str(request.url)
        return prepared


class _LiveAdapter(HTTPAdapter):
    """Opens its connections through `LiveSockets`, also those to a proxy."""

    def __init__(self, sockets: LiveSockets) -> None:
        self._sockets = sockets
        super().__init__(pool_connections=POOL, pool_maxsize=POOL, max_retries=0, pool_block=False)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        options["socket_options"] = [*HTTPConnection.default_socket_options, *_KEEP_ALIVE]
        super().init_poolmanager(*arguments, **options)
        self._sockets.install(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        known = proxy in self.proxy_manager
        manager = super().proxy_manager_for(proxy, **options)
        if not known:
            self._sockets.install(manager)
        return manager


def _make_session(sockets: LiveSockets) -> requests.Session:
    session = _ExactSession()
    adapter = _LiveAdapter(sockets)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    # Bodies are stored bytes: nobody on the way may compress them.
    session.headers["Accept-Encoding"] = "identity"
    # What the environment says of proxies and certificates is looked up once, and not for each request.
    # What ~/.netrc holds for the host is not looked up at all: requests would put it in the place of the signature.
    session.trust_env = False
    return session


def _make_service(settings: AzureSettings, session: requests.Session, before_request: Any) -> BlobServiceClient:
    if not settings.verify_tls:
        warnings.simplefilter("ignore", InsecureRequestWarning)  # it was asked for, and would be told at each request
    options: dict[str, Any] = {
        "transport": RequestsTransport(
            session=session,
            session_owner=False,
            connection_timeout=settings.connect_timeout_s,
            read_timeout=settings.timeout_s,
            connection_verify=_trusted(settings),
        ),
        "retry_total": 0,
        "retry_connect": 0,
        "retry_read": 0,
        "retry_status": 0,
        "raw_request_hook": before_request,
        "user_agent": "kegbrowser",
    }
    what = "connection string" if settings.connection_string else "account or endpoint"
    try:
        if settings.connection_string:
            service = BlobServiceClient.from_connection_string(settings.connection_string.strip(), **options)
        else:
            service = BlobServiceClient(_endpoint(settings), credential=_credential(settings), **options)
        _check_key(getattr(service.credential, "account_key", None))
        session.proxies.update(requests.utils.get_environ_proxies(str(service.url)))
    except InvalidOptions:
        raise
    except (ValueError, AttributeError, KeyError, TypeError):
        # Not chained: the SDK's own error may quote what it could not read.
        raise InvalidOptions(f"The {what} is malformed.", hint="Copy it again from the account's page.") from None
    return service


def _trusted(settings: AzureSettings) -> bool | str:
    if not settings.verify_tls:
        return False
    return settings.ca_bundle or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True


def _endpoint(settings: AzureSettings) -> str:
    endpoint, account = settings.endpoint.strip(), settings.account.strip()
    if "sig=" in endpoint:
        raise InvalidOptions(
            "The endpoint holds a shared access signature.",
            hint="Put what follows the question mark into “SAS token”: it is a secret, and an endpoint is none.",
        )
    if not endpoint and not _ACCOUNT.fullmatch(account):
        raise InvalidOptions(
            "The account's name is none: it has 3 to 24 small letters and digits.",
            hint="Correct “Account”; a whole address belongs into “Endpoint”.",
        )
    return (endpoint or f"https://{account}.{PUBLIC_CLOUD}").rstrip("/")


def _credential(settings: AzureSettings) -> Any:
    if settings.key:
        key = "".join(settings.key.split())
        _check_key(key)
        return AzureNamedKeyCredential(settings.account.strip() or "account", key)
    # Of a whole shared address only what follows the question mark is the token.
    return "".join(settings.sas_token.split()).rpartition("?")[2] or None


def _check_key(key: str | None) -> None:
    try:
        b64decode(key or "", validate=True)
    except ValueError:  # not Base64, or not even ASCII
        raise InvalidOptions(
            "The account key is not a key.", hint="Copy the whole key: it mostly ends in “==”."
        ) from None


def _end_of_sas(url: str) -> datetime | None:
    """When the shared access signature in a URL ends; None if there is none, or if it does not say so itself."""
    end = parse_qs(str(url).partition("?")[2]).get("se", [""])[0]
    try:
        moment = datetime.fromisoformat(end)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
