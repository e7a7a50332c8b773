"""The border to the Azure SDK: what its exceptions mean. The only module that knows them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import requests
import urllib3
from azure.core.exceptions import (
    AzureError,
    DecodeError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)

from kegbrowser.backends.errors import (
    AlreadyExists,
    AuthenticationFailed,
    Cancelled,
    ClockSkewed,
    ConnectionLost,
    CredentialsExpired,
    FileNotFoundInStorageError,
    InvalidName,
    PermissionDenied,
    QuotaExceeded,
    ServerFault,
    SourceChanged,
    StorageError,
    Throttled,
)

# "Common REST API error codes" and "Blob service error codes" of the service's documentation.
_CODES: dict[str, tuple[type[StorageError], str]] = {
    "BlobNotFound": (FileNotFoundInStorageError, "it does not exist"),
    "ResourceNotFound": (FileNotFoundInStorageError, "it does not exist"),
    "ContainerNotFound": (FileNotFoundInStorageError, "{container} does not exist"),
    "ContainerBeingDeleted": (FileNotFoundInStorageError, "{container} is being deleted"),
    "BlobAlreadyExists": (AlreadyExists, "it exists already"),
    "ContainerAlreadyExists": (AlreadyExists, "it exists already"),
    "UnauthorizedBlobOverwrite": (AlreadyExists, "it exists already, and the account may not overwrite"),
    "AuthorizationFailure": (PermissionDenied, "the account may not do this"),
    "AuthorizationPermissionMismatch": (PermissionDenied, "the credentials do not permit it"),
    "AuthorizationServiceMismatch": (PermissionDenied, "the credentials do not permit it"),
    "AuthorizationResourceTypeMismatch": (PermissionDenied, "the credentials do not permit it"),
    "AuthorizationProtocolMismatch": (PermissionDenied, "the credentials are only for https"),
    "AuthorizationSourceIPMismatch": (PermissionDenied, "the credentials are not for this address"),
    "InsufficientAccountPermissions": (PermissionDenied, "the account may not do this"),
    "PublicAccessNotPermitted": (PermissionDenied, "the account allows no access without signing in"),
    "NoAuthenticationInformation": (PermissionDenied, "one must sign in for it"),
    "ResourceTypeMismatch": (PermissionDenied, "the credentials do not permit it"),
    "AccountIsDisabled": (PermissionDenied, "the account is disabled"),
    "BlobImmutableDueToPolicy": (PermissionDenied, "a policy of the container protects it"),
    "LeaseIdMissing": (PermissionDenied, "somebody holds a lease on it"),
    "BlobArchived": (PermissionDenied, "it is in the archive tier and must be rehydrated first"),
    "InvalidResourceName": (InvalidName, "the service cannot store this name"),
    "OutOfRangeInput": (InvalidName, "the service cannot store this name"),
    "InvalidUri": (InvalidName, "the service cannot store this name"),
    "ServerBusy": (Throttled, "the service is busy"),
    "OperationTimedOut": (Throttled, "the service took too long"),
    "InternalError": (ServerFault, "the service failed"),
    "ConditionNotMet": (SourceChanged, "it has changed"),
    "RequestBodyTooLarge": (QuotaExceeded, "it is too large"),
    "AccountLimitExceeded": (QuotaExceeded, "the account is full"),
}
_STATUS: dict[int, tuple[type[StorageError], str]] = {
    404: (FileNotFoundInStorageError, "it does not exist"),
    403: (PermissionDenied, "the account may not do this"),
    401: (PermissionDenied, "one must sign in for it"),
    409: (AlreadyExists, "something else is there"),
    412: (SourceChanged, "it has changed"),
    429: (Throttled, "the service is busy"),
    503: (Throttled, "the service is busy"),
}
_EXPIRED = ("signature not valid in the specified time frame", "sas is expired", "signature expired", "expiry time")
_SKEWED = ("request date header", "clock skew", "x-ms-date")


@contextmanager
def translated(
    verb: str, path: str, server: str, is_interrupted: Callable[[], bool], container: str = ""
) -> Iterator[None]:
    """Translate what goes wrong inside.

    Args:
        verb: as in "open": Could not open “a.txt”: it does not exist.
        path: as the caller knows it.
        container: its name, for the sentence that it is missing.
    """
    try:
        yield
    except (StorageError, Cancelled):
        if is_interrupted():
            raise Cancelled from None
        raise
    except HttpResponseError as exc:
        if is_interrupted():
            raise Cancelled from exc
        if exc.response is None or isinstance(exc, DecodeError):
            raise ConnectionLost(f"The connection to {server} broke.", path=path) from exc
        raise _refusal(exc, verb, path, container) from exc
    except (AzureError, requests.RequestException, urllib3.exceptions.HTTPError, OSError) as exc:
        if is_interrupted():
            raise Cancelled from exc
        raise _connection_error(exc, server, path) from exc


def refusal_of(
    status: int, code: str, text: str, retry_after: str, verb: str, path: str, container: str = ""
) -> StorageError:
    """What an answer that is no success means."""
    lower = text.lower()
    unsigned = status == 403 and ("failed to authenticate" in lower or not code)
    if code in ("AuthenticationFailed", "InvalidAuthenticationInfo") or unsigned:
        if any(words in lower for words in _EXPIRED):
            return CredentialsExpired("The shared access signature has expired, or is not valid yet.", path=path)
        if any(words in lower for words in _SKEWED):
            return ClockSkewed("The service refused the request because of its time.", path=path)
        if code or "failed to authenticate" in lower:
            return AuthenticationFailed("The service refused the account's key or signature.", path=path)
    fallback = (
        (ServerFault, "the service failed") if status >= 500 else (ServerFault, f"the service refused it ({status})")
    )
    kind, reason = _CODES.get(code) or _STATUS.get(status) or fallback
    if "{container}" in reason:
        reason = reason.format(container=f"the container “{container}”" if container else "its container")
    error = kind(f"Could not {verb} “{shown(path)}”: {reason}.", path=path)
    if kind is ServerFault and status < 500:
        error.retryable = False
    if retry_after.isdecimal():
        error.retry_after_s = float(retry_after)
    return error


def server_of(url: str) -> str:
    """`host` or `host:port` of a URL, for sentences: never its query."""
    parts = urlsplit(url)
    return parts.netloc.rpartition("@")[2]


def shown(path: str) -> str:
    """The last name of a path, as it may stand in a sentence."""
    name = path.rstrip("/").rpartition("/")[2] or path or "the account"
    return name if name.isprintable() else name.encode("unicode_escape").decode()


def _refusal(exc: HttpResponseError, verb: str, path: str, container: str) -> StorageError:
    response = exc.response
    headers = getattr(response, "headers", None) or {}
    code = str(getattr(exc, "error_code", None) or headers.get("x-ms-error-code") or "")
    code = code.removeprefix("StorageErrorCode.")
    additional = getattr(exc, "additional_info", None) or {}
    text = " ".join(
        [str(exc.reason or ""), str(additional.get("AuthenticationErrorDetail", "")), str(exc.message or "")]
    )
    return refusal_of(int(exc.status_code or 0), code, text, str(headers.get("Retry-After", "")), verb, path, container)


def _connection_error(exc: BaseException, server: str, path: str) -> StorageError:
    text = f"{exc!s} {exc.__cause__!s}".lower()
    if "certificate" in text and ("verify failed" in text or "hostname" in text):
        return ConnectionLost(
            f"The certificate of {server} is not trusted.",
            hint="Check the endpoint; for a server with a certificate of its own, switch its verification off.",
            retryable=False,
        )
    if (
        "name or service not known" in text
        or "failed to resolve" in text
        or "getaddrinfo" in text
        or "no address" in text
    ):
        return ConnectionLost(f"The server {server} was not found.", hint="Check the account's name and the endpoint.")
    if "refused" in text:
        return ConnectionLost(f"{server} refused the connection.", hint="Check the endpoint and that the server runs.")
    if (isinstance(exc, (ServiceRequestError, ServiceResponseError)) and "timed out" in text) or "takes longer" in text:
        return ConnectionLost(f"{server} does not answer.", path=path)
    return ConnectionLost(f"The connection to {server} broke.", path=path)
