"""The border: the only place that knows the exceptions of the SDK and of what it sends with (what answers mean: `answers.py`)."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from azure.core.exceptions import AzureError, ClientAuthenticationError, DecodeError, HttpResponseError
from urllib3.exceptions import (
    ConnectTimeoutError,
    LocationParseError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
)

from kegbrowser.backends.azure.answers import Answer, error_of
from kegbrowser.backends.azure.deeds import Deed
from kegbrowser.backends.errors import (
    AuthenticationFailed,
    Cancelled,
    ConnectionLost,
    InvalidOptions,
    ServerFault,
    StorageError,
)

SDK_ERRORS = (AzureError, requests.RequestException, urllib3.exceptions.HTTPError, OSError)

_NO_ADDRESS = (
    requests.exceptions.InvalidURL,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidSchema,
    LocationParseError,
)
_QUERY = re.compile(r"\?[^\s'\"<>)]*")
_LONG_SECRET = re.compile(r"[A-Za-z0-9+/%_-]{40,}={0,2}")


class RefusedError(Exception):
    """An answer that is no success, to a request that was not made by the SDK's own methods."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"{answer.status} {answer.code}")
        self.answer = answer


class CauseError(Exception):
    """What the SDK or the network said, without URLs' queries and signatures: the cause that our errors keep."""


@contextmanager
def translated(deed: Deed, server: str, is_interrupted: Callable[[], bool]) -> Iterator[None]:
    """Turn what is raised inside into errors of ours.

    Args:
        server: `host` or `host:port`, for messages.
        is_interrupted: the sockets were shut down by us, so that any failure is the interrupt's.
    """
    try:
        yield
    except StorageError:
        if is_interrupted():
            raise Cancelled from None
        raise
    except RefusedError as exc:
        if is_interrupted():
            raise Cancelled from None
        raise error_of(exc.answer, deed, server) from CauseError(str(exc))
    except (TypeError, AttributeError, UnicodeDecodeError) as slip:
        # azure-storage-blob 12.31 slips on refusals without a message, azure-core 1.41 on bodies that are no text.
        refusals = [cause for cause in _causes(slip) if isinstance(cause, HttpResponseError)]
        if not refusals and not isinstance(slip, UnicodeDecodeError):
            raise
        if is_interrupted():
            raise Cancelled from None
        if not refusals:
            raise ServerFault(deed.sentence("the server's answer makes no sense"), path=deed.path) from None
        raise translate(refusals[0], deed, server) from CauseError(type(slip).__name__)
    except SDK_ERRORS as exc:
        if is_interrupted():
            raise Cancelled from None
        # The SDK's own text may hold the URL, whose query is the signature.
        raise translate(exc, deed, server) from CauseError(f"{type(exc).__name__}: {without_secrets(str(exc))}")


def translate(exc: Exception, deed: Deed, server: str) -> StorageError:
    """The error of ours for one of the SDK's or the network's."""
    if isinstance(exc, ClientAuthenticationError) and exc.response is None:  # nothing was sent: it could not be signed
        return AuthenticationFailed("The account key is not a key.", path=deed.path)
    if isinstance(exc, HttpResponseError) and exc.response is not None and not isinstance(exc, DecodeError):
        return error_of(answer_of(exc), deed, server)
    return _connection_error(exc, deed, server)


def answer_of(exc: HttpResponseError) -> Answer:
    """What the SDK knows of an answer that it took for an error."""
    response = exc.response
    details = getattr(exc, "additional_info", None) or {}
    text = f"{exc.message or ''} {details.get('AuthenticationErrorDetail', '')} {_body_of(response)}"
    status = int(exc.status_code or getattr(response, "status_code", 0) or 0)
    return Answer.of(status, getattr(response, "headers", None) or {}, text, getattr(response, "request", None))


def _body_of(response: Any) -> str:
    # Two generations of the SDK's answers are in use, by these names.
    read = getattr(response, "body", None) or getattr(response, "read", None)
    body = read() if callable(read) else b""
    return body.decode("utf-8", "replace") if isinstance(body, bytes) else ""


def code_of(exc: Exception) -> str:
    """The service's own word for what went wrong; "" if it gave none."""
    return answer_of(exc).code if isinstance(exc, HttpResponseError) and exc.response is not None else ""


def server_of(url: str) -> str:
    """`host` or `host:port` of a URL, for sentences: never its query."""
    return urlsplit(url).netloc.rpartition("@")[2]


def without_secrets(text: str) -> str:
    """A text without queries of URLs and without what looks like a key or signature."""
    return _LONG_SECRET.sub("…", _QUERY.sub("?…", text))[:500]


def _connection_error(exc: Exception, deed: Deed, server: str) -> StorageError:
    causes = tuple(_causes(exc))

    def caused_by(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    if caused_by(*_NO_ADDRESS):
        return InvalidOptions("The endpoint is not an address.", hint="Correct the account's name or the endpoint.")
    if caused_by(ssl.SSLCertVerificationError):
        return ConnectionLost(
            f"The certificate of {server} is not trusted.",
            path=deed.path,
            hint="Name its certificate file in the connection, or check the endpoint.",
            retryable=False,
        )
    if caused_by(ssl.SSLError):
        hint = "Check whether the endpoint should begin with http:// or https://."
        return ConnectionLost(f"No secure connection to {server} could be made.", path=deed.path, hint=hint)
    if caused_by(ProxyError, requests.exceptions.ProxyError):
        return ConnectionLost(f"The proxy before {server} could not be reached.", path=deed.path)
    if caused_by(NameResolutionError):
        hint = "Check the account's name, the endpoint and the network."
        return ConnectionLost(f"The server {server} was not found.", path=deed.path, hint=hint)
    if caused_by(ConnectionRefusedError):
        hint = "Check the endpoint and that the server runs."
        return ConnectionLost(f"{server} refused the connection.", path=deed.path, hint=hint)
    if caused_by(ConnectTimeoutError, ReadTimeoutError, TimeoutError):
        return ConnectionLost(f"{server} does not answer.", path=deed.path)
    if caused_by(NewConnectionError):
        return ConnectionLost(f"{server} could not be reached.", path=deed.path)
    return ConnectionLost(f"The connection to {server} broke.", path=deed.path)


def _causes(exc: BaseException) -> Iterator[BaseException]:
    """The exception and all that it came from, in whichever way the layers below tell it."""
    left: list[object] = [exc]
    seen: set[int] = set()
    while left:
        one = left.pop()
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        left += [one.__cause__, one.__context__, getattr(one, "reason", None), getattr(one, "inner_exception", None)]
        left += one.args
