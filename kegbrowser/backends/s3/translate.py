"""The border: the only place that knows the exceptions of botocore and urllib3 (what answers mean: `answers.py`)."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from http.client import HTTPException
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    InvalidRegionError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProxyConnectionError,
    ReadTimeoutError,
    ResponseStreamingError,
    SSLError,
    SSOTokenLoadError,
    UnauthorizedSSOTokenError,
)
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError, LocationParseError, ProtocolError

from kegbrowser.backends.errors import (
    AuthenticationFailed,
    Cancelled,
    CheckFailed,
    ConnectionLost,
    CredentialsExpired,
    InvalidName,
    InvalidOptions,
    ServerFault,
    StorageError,
)
from kegbrowser.backends.s3.answers import translate_answer
from kegbrowser.backends.s3.deeds import Deed

SDK_ERRORS = (BotoCoreError, ClientError, ResponseParserError, HTTPError, HTTPException, OSError, ValueError)
"""What can come out of a call of the SDK (ValueError: an endpoint or host it cannot make a URL of)."""


def translate(exc: Exception, deed: Deed, host: str, *, is_interrupted: bool = False) -> StorageError | Cancelled:
    """The error of ours for one of the SDK's.

    Args:
        host: `name:port` of the server, for messages.
        is_interrupted: the sockets were shut down by us, so that any failure is the interrupt's.
    """
    if is_interrupted or isinstance(exc, Cancelled):
        return Cancelled()
    if isinstance(exc, StorageError):
        return exc
    if isinstance(exc, ClientError):
        return translate_answer(exc, deed, host)
    return _not_answered(exc, deed, host)


# -- no answer, or none that makes sense -----------------------------------------------------------------------------------


def _not_answered(exc: Exception, deed: Deed, host: str) -> StorageError:
    if (made := _before_sending(exc, deed, host)) is not None:
        return made
    if isinstance(exc, FlexibleChecksumError):
        return CheckFailed(
            deed.sentence("what arrived is not what the server holds"), path=deed.path, hint="Try again."
        )
    causes = tuple(_causes(exc))
    if any(isinstance(cause, ssl.SSLError) for cause in causes) or isinstance(exc, SSLError):
        return _tls(exc, causes, deed, host)
    if isinstance(exc, ResponseParserError):
        hint = "Check the address of the connection: this may not be an S3 server."
        return ServerFault(deed.sentence(f"{host} gave no answer of S3"), path=deed.path, hint=hint, retryable=False)
    return _lost(exc, causes, deed, host)


def _before_sending(exc: Exception, deed: Deed, host: str) -> StorageError | None:
    if isinstance(exc, NoCredentialsError):
        hint = "Enter an access key, name an AWS profile, or choose anonymous access."
        return AuthenticationFailed(deed.sentence("there are no credentials"), path=deed.path, hint=hint)
    if isinstance(exc, PartialCredentialsError):
        reason = "the access key ID or the secret access key is missing"
        return AuthenticationFailed(deed.sentence(reason), path=deed.path, hint="Complete the connection.")
    if isinstance(exc, (UnauthorizedSSOTokenError, SSOTokenLoadError)):
        hint = "Sign in again with “aws sso login”."
        return CredentialsExpired(deed.sentence("the single sign-on has expired"), path=deed.path, hint=hint)
    if isinstance(exc, CredentialRetrievalError):
        hint = "Check the AWS profile of the connection."
        return AuthenticationFailed(deed.sentence("the profile gave no credentials"), path=deed.path, hint=hint)
    if isinstance(exc, UnicodeError):
        return InvalidName(deed.sentence("the name is not valid Unicode"), path=deed.path)
    if isinstance(exc, ParamValidationError):
        kind = InvalidName if deed.bucket else InvalidOptions
        return kind(deed.sentence("this is not a name of a bucket or a file"), path=deed.path)
    if isinstance(exc, (InvalidRegionError, LocationParseError)) or (
        isinstance(exc, ValueError) and not isinstance(exc, OSError)
    ):
        hint = "Check the address and the region of the connection."
        return InvalidOptions(deed.sentence("the address or the region is malformed"), path=deed.path, hint=hint)
    return None


def _tls(exc: Exception, causes: tuple[BaseException, ...], deed: Deed, host: str) -> StorageError:
    unverified = next((cause for cause in causes if isinstance(cause, ssl.SSLCertVerificationError)), None)
    if unverified is not None:
        reason = f"the certificate of {host} cannot be trusted ({unverified.verify_message})"
        hint = "Name the file with the certificate of its authority in the connection, if you know whose it is."
        return ConnectionLost(deed.sentence(reason), path=deed.path, hint=hint, retryable=False)
    text = " ".join(str(cause) for cause in (exc, *causes))
    if "[X509" in text or "[PEM" in text:
        hint = "Choose a PEM file with the certificate of the server's authority."
        return InvalidOptions("The certificate file of the connection holds no certificate.", path=deed.path, hint=hint)
    if "WRONG_VERSION_NUMBER" in text or "RECORD_LAYER_FAILURE" in text or "HTTP_REQUEST" in text:
        hint = "Begin the address of the connection with http:// if the server has no TLS."
        return ConnectionLost(deed.sentence(f"{host} does not speak TLS"), path=deed.path, hint=hint, retryable=False)
    if "EOF" in text or "CLOSED" in text.upper():
        return ConnectionLost(deed.sentence(f"the connection to {host} was cut"), path=deed.path)
    return ConnectionLost(deed.sentence(f"no secure connection to {host} could be made"), path=deed.path)


def _lost(exc: Exception, causes: tuple[BaseException, ...], deed: Deed, host: str) -> StorageError:
    def lost(reason: str, hint: str | None = None, *, retryable: bool | None = None) -> StorageError:
        return ConnectionLost(deed.sentence(reason), path=deed.path, hint=hint, retryable=retryable)

    if isinstance(exc, ProxyConnectionError):
        return lost(f"the proxy before {host} cannot be reached", "Check the proxy settings of this machine.")
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return lost(f"the name of {host} is not known", "Check the network and the spelling of the address.")
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return lost(f"{host} refuses connections", "Check the address and the port, and that the server runs.")
    if isinstance(exc, ConnectTimeoutError):
        return lost(f"{host} cannot be reached")
    if isinstance(exc, (ReadTimeoutError, TimeoutError)) or any(isinstance(c, TimeoutError) for c in causes):
        return lost(f"{host} does not answer any more")
    if isinstance(exc, EndpointConnectionError):
        return lost(f"{host} cannot be reached")
    cuts = (
        ConnectionClosedError,
        IncompleteReadError,
        ResponseStreamingError,
        ProtocolError,
        HTTPException,
        HTTPClientError,
    )
    if isinstance(exc, cuts) or any(isinstance(cause, ConnectionError) for cause in causes):
        return lost(f"the connection to {host} was cut")
    if isinstance(exc, BotoCoreError):
        return ServerFault(deed.sentence(f"{type(exc).__name__} came up"), path=deed.path, retryable=False)
    return lost(f"the connection to {host} failed")


def _causes(exc: BaseException) -> Iterator[BaseException]:
    """The exception and all that led to it; botocore keeps some in its keyword arguments only."""
    waiting: list[Any] = [exc]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [
            one.__cause__,
            one.__context__,
            getattr(one, "kwargs", {}).get("error"),
            getattr(one, "reason", None),
        ]
        waiting += [argument for argument in one.args if isinstance(argument, BaseException)]
