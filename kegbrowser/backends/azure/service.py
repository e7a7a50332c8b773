"""The SDK's client, on connections of our own: no retries of its own, names kept exactly, all sockets known."""

from __future__ import annotations

import binascii
import logging
from base64 import b64decode
from typing import Any

import requests
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.pipeline import PipelineRequest
from azure.core.pipeline.transport import RequestsTransport
from azure.storage.blob import BlobServiceClient
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from kegbrowser.backends._sockets import LiveSockets
from kegbrowser.backends.errors import InvalidOptions

POOL = 16
PUBLIC_CLOUD = "blob.core.windows.net"

# Its own logging writes each request's headers and URL.
logging.getLogger("azure").setLevel(logging.CRITICAL)


class _LiveAdapter(HTTPAdapter):
    """Opens its connections through `LiveSockets`, also those to a proxy."""

    def __init__(self, sockets: LiveSockets) -> None:
        self._sockets = sockets
        super().__init__(pool_connections=POOL, pool_maxsize=POOL, max_retries=Retry(0, read=False), pool_block=False)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self._sockets.install(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        known = proxy in self.proxy_manager
        manager = super().proxy_manager_for(proxy, **options)
        if not known:
            self._sockets.install(manager)
        return manager


def make_service(
    *,
    account: str | None,
    key: str | None,
    endpoint: str | None,
    connection_string: str | None,
    sas_token: str | None,
    verify_tls: bool,
    connect_timeout_s: float,
    timeout_s: float,
    sockets: LiveSockets,
) -> tuple[BlobServiceClient, requests.Session]:
    """Make the client; it does not connect.

    Raises:
        InvalidOptions: something is missing or malformed; never shows a secret.
    """
    session = requests.Session()
    adapter = _LiveAdapter(sockets)
    session.mount("https://", adapter)
    session.mount("http://", adapter)

    def check(_request: PipelineRequest[Any]) -> None:
        sockets.check()

    options: dict[str, Any] = {
        "transport": RequestsTransport(
            session=session,
            session_owner=False,
            connection_timeout=connect_timeout_s,
            read_timeout=timeout_s,
            connection_verify=verify_tls,
        ),
        "retry_total": 0,
        "retry_connect": 0,
        "retry_read": 0,
        "retry_status": 0,
        "raw_request_hook": check,
        "user_agent": "kegbrowser",
    }
    try:
        if connection_string:
            return BlobServiceClient.from_connection_string(connection_string, **options), session
        url = (endpoint or f"https://{account}.{PUBLIC_CLOUD}").rstrip("/")
        credential: Any = None
        if key:
            b64decode(key, validate=True)
            credential = AzureNamedKeyCredential(account or "", key)
        elif sas_token:
            credential = sas_token.strip().lstrip("?")
        return BlobServiceClient(url, credential=credential, **options), session
    except binascii.Error as exc:
        raise InvalidOptions(
            "The account key is not a key.", hint="Copy the whole key: it mostly ends in “==”."
        ) from exc
    except (ValueError, AttributeError, KeyError) as exc:
        what = "connection string" if connection_string else "account or endpoint"
        raise InvalidOptions(f"The {what} is malformed.", hint="Copy it again from the account's page.") from exc
