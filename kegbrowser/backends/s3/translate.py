"""The border: the only place that knows the exceptions of botocore and urllib3.

Error codes: Amazon S3 API reference, "Error responses"; and what SeaweedFS, MinIO, Ceph, R2 and B2 say instead.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
    AlreadyExists,
    AuthenticationFailed,
    Cancelled,
    CheckFailed,
    ClockSkewed,
    ConnectionLost,
    CredentialsExpired,
    FileNotFoundInStorageError,
    FolderNotEmpty,
    InvalidName,
    InvalidOptions,
    NotSupported,
    PermissionDenied,
    QuotaExceeded,
    ServerFault,
    SourceChanged,
    StorageError,
    Throttled,
)

SDK_ERRORS = (BotoCoreError, ClientError, ResponseParserError, HTTPError, HTTPException, OSError, ValueError)
"""What can come out of a call of the SDK (ValueError: an endpoint or host it cannot make a URL of)."""

LONGEST_NAME = 120


@dataclass(frozen=True, slots=True)
class Deed:
    """What is being done, in the words of a message.

    Attributes:
        verb: as in “Could not *open* …”.
        right: what the account may not do if it is denied, as in “the account may not *read* it”.
        bucket, key: what it is done to; no bucket: the list of buckets.
        path: as the backend's caller knows it.
        if_condition_fails: the error for a failed If-Match or If-None-Match.
    """

    verb: str
    right: str
    bucket: str = ""
    key: str = ""
    path: str | None = None
    if_condition_fails: type[StorageError] = SourceChanged

    def sentence(self, reason: str) -> str:
        return f"Could not {self.verb} {self._thing()}: {reason}."

    def _thing(self) -> str:
        if not self.bucket:
            return "the buckets"
        if not self.key:
            return f"the bucket “{readable(self.bucket)}”"
        is_folder = self.key.endswith("/")
        name = self.key.rstrip("/").rpartition("/")[2] or self.key
        return f"{'the folder ' if is_folder else ''}“{readable(name)}” in the bucket “{readable(self.bucket)}”"


def readable(name: str) -> str:
    """A name for a sentence: one line, not too long."""
    shown = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name)
    return shown if len(shown) <= LONGEST_NAME else f"{shown[: LONGEST_NAME - 1]}…"


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
        return _answered(exc, deed, host)
    return _not_answered(exc, deed, host)


def error_code(exc: ClientError) -> str:
    """The service's code, as `NoSuchKey`; for an answer without a body the HTTP status as text."""
    return str(exc.response.get("Error", {}).get("Code", ""))


def http_status(exc: ClientError) -> int:
    return int(exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


# -- the server answered -------------------------------------------------------------------------------------------------


def _answered(exc: ClientError, deed: Deed, host: str) -> StorageError:
    code, status = error_code(exc), http_status(exc)
    make = _BY_CODE.get(code) or _BY_STATUS.get(status)
    if make is not None:
        return make(exc, deed, host)
    if status == 400 and {".", ".."} & set(deed.key.split("/")):
        return _BAD_NAME(exc, deed, host)  # servers on a file system refuse these with an unspecific code
    if status >= 500:
        return _fault(exc, deed, host)
    said = readable(str(exc.response.get("Error", {}).get("Message", "")) or f"error {status}")
    hint = "Look into the connection's address and the server's log."
    return StorageError(deed.sentence(f"{host} refused with “{code or status}” ({said})"), path=deed.path, hint=hint)


def _denied(exc: ClientError, deed: Deed, host: str) -> StorageError:
    what = "it" if deed.bucket else "them"
    hint = None if deed.bucket else "Name the bucket in the connection."
    return PermissionDenied(deed.sentence(f"the account may not {deed.right} {what}"), path=deed.path, hint=hint)


def _no_bucket(exc: ClientError, deed: Deed, host: str) -> StorageError:
    hint = "Check the bucket's name, and the region and address of the connection."
    name = readable(deed.bucket)
    message = f"There is no bucket “{name}” at {host}." if name else deed.sentence("the server has no such bucket")
    return FileNotFoundInStorageError(message, path=deed.path, hint=hint)


def _not_found(exc: ClientError, deed: Deed, host: str) -> StorageError:
    if not deed.key:
        return _no_bucket(exc, deed, host)
    return FileNotFoundInStorageError(deed.sentence("there is no such file"), path=deed.path)


def _condition_failed(exc: ClientError, deed: Deed, host: str) -> StorageError:
    reason = "it was changed meanwhile" if deed.if_condition_fails is SourceChanged else "the name is taken"
    return deed.if_condition_fails(deed.sentence(reason), path=deed.path)


def _wrong_region(exc: ClientError, deed: Deed, host: str) -> StorageError:
    headers = exc.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    error = exc.response.get("Error", {})
    region = headers.get("x-amz-bucket-region") or error.get("Region") or ""
    if region:
        hint = f"Set the region of the connection to “{readable(str(region))}”."
        return InvalidOptions(
            deed.sentence(f"it is in the region “{readable(str(region))}”"), path=deed.path, hint=hint
        )
    hint = "Check the region and the address of the connection."
    return InvalidOptions(deed.sentence("the region of the connection is wrong"), path=deed.path, hint=hint)


def _slow_down(exc: ClientError, deed: Deed, host: str) -> StorageError:
    return Throttled(deed.sentence(f"{host} is too busy"), path=deed.path, retry_after_s=_retry_after_s(exc))


def _fault(exc: ClientError, deed: Deed, host: str) -> StorageError:
    reason = f"{host} failed ({readable(error_code(exc) or str(http_status(exc)))})"
    return ServerFault(deed.sentence(reason), path=deed.path, retry_after_s=_retry_after_s(exc))


def _too_large(exc: ClientError, deed: Deed, host: str) -> StorageError:
    hint = "Raise the server's limit, or upload it in pieces."
    return NotSupported(deed.sentence(f"{host} takes no file as large as this"), path=deed.path, hint=hint)


def _retry_after_s(exc: ClientError) -> float | None:
    text = exc.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("retry-after", "")
    return float(text) if text.isdecimal() else None


_Make = Callable[[ClientError, Deed, str], StorageError]


def _says(kind: type[StorageError], reason: str, hint: str | None = None, *, retryable: bool | None = None) -> _Make:
    def make(exc: ClientError, deed: Deed, host: str) -> StorageError:
        sentence = deed.sentence(reason.format(host=host))
        return kind(sentence, path=deed.path, hint=hint, retryable=retryable)

    return make


_WRONG_SECRET = _says(
    AuthenticationFailed,
    "{host} refused the secret access key",
    "Check the secret access key of the connection; the access key ID is known.",
)
_UNKNOWN_KEY = _says(
    AuthenticationFailed, "{host} does not know the access key ID", "Check the access key ID of the connection."
)
_EXPIRED = _says(CredentialsExpired, "the credentials have expired")
_BAD_TOKEN = _says(AuthenticationFailed, "{host} refused the session token", "Paste the session token anew, whole.")
_SKEWED = _says(ClockSkewed, "this machine's clock differs too much from the server's")
_TAKEN = _says(AlreadyExists, "the name is taken", "Choose another name: those of buckets are shared by all users.")
_FILE_AND_FOLDER = _says(AlreadyExists, "{host} cannot hold a file and a folder of one name", "Choose another name.")
_FULL = _says(QuotaExceeded, "there is no space or quota left")
_BAD_NAME = _says(InvalidName, "the server cannot hold this name")
_CORRUPT = _says(CheckFailed, "what arrived at {host} is not what was sent", "Try again.")
_BUSY_KEY = _says(ServerFault, "somebody else is changing it at this moment", "Try again.")
_NOT_IMPLEMENTED = _says(NotSupported, "{host} does not support this")
_FORGOTTEN = _says(ServerFault, "{host} has dropped the unfinished upload", "Upload it again.")
_ARCHIVED = _says(
    PermissionDenied, "it lies in an archive", "Restore it in the service's console first; that may take hours."
)

_BY_CODE: dict[str, _Make] = {
    **dict.fromkeys(
        ("AccessDenied", "AllAccessDisabled", "AccountProblem", "UnauthorizedAccess", "Forbidden"), _denied
    ),
    **dict.fromkeys(("NoSuchBucket", "NotSuchBucket"), _no_bucket),
    **dict.fromkeys(("NoSuchKey", "NoSuchVersion", "NotFound"), _not_found),
    "NoSuchUpload": _FORGOTTEN,
    **dict.fromkeys(("SignatureDoesNotMatch", "InvalidSecurity"), _WRONG_SECRET),
    **dict.fromkeys(("InvalidAccessKeyId", "NotSignedUp"), _UNKNOWN_KEY),
    **dict.fromkeys(("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"), _EXPIRED),
    "InvalidToken": _BAD_TOKEN,
    "RequestTimeTooSkewed": _SKEWED,
    **dict.fromkeys(
        ("AuthorizationHeaderMalformed", "PermanentRedirect", "TemporaryRedirect", "IncorrectEndpoint"), _wrong_region
    ),
    **dict.fromkeys(("IllegalLocationConstraintException", "InvalidLocationConstraint"), _wrong_region),
    **dict.fromkeys(("PreconditionFailed", "412"), _condition_failed),
    **dict.fromkeys(("ConditionalRequestConflict", "OperationAborted"), _BUSY_KEY),
    **dict.fromkeys(("BucketAlreadyExists", "BucketAlreadyOwnedByYou"), _TAKEN),
    **dict.fromkeys(("ExistingObjectIsFile", "ExistingObjectIsDirectory"), _FILE_AND_FOLDER),
    "BucketNotEmpty": _says(FolderNotEmpty, "it is not empty", "Delete what is in it first."),
    **dict.fromkeys(("SlowDown", "SlowDownRead", "SlowDownWrite", "ServiceUnavailable", "Busy"), _slow_down),
    **dict.fromkeys(("TooManyRequests", "RequestLimitExceeded", "Throttling", "ThrottlingException"), _slow_down),
    **dict.fromkeys(("QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "QuotaLimitExceeded"), _FULL),
    "XMinioAdminBucketQuotaExceeded": _FULL,
    **dict.fromkeys(("KeyTooLongError", "KeyTooLong", "InvalidObjectName", "XMinioInvalidObjectName"), _BAD_NAME),
    **dict.fromkeys(("InvalidBucketName", "InvalidURI", "InvalidKey"), _BAD_NAME),
    **dict.fromkeys(("EntityTooLarge", "MaxMessageLengthExceeded"), _too_large),
    **dict.fromkeys(("BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "IncompleteBody"), _CORRUPT),
    **dict.fromkeys(("XAmzContentChecksumMismatch", "BadChecksum"), _CORRUPT),
    **dict.fromkeys(("NotImplemented", "MethodNotAllowed"), _NOT_IMPLEMENTED),
    "InvalidObjectState": _ARCHIVED,
    "RequestTimeout": _says(ConnectionLost, "{host} waited too long for the data"),
}

_BY_STATUS: dict[int, _Make] = {
    301: _wrong_region,
    307: _wrong_region,
    401: _says(AuthenticationFailed, "{host} refused the credentials"),
    403: _denied,
    404: _not_found,
    405: _NOT_IMPLEMENTED,
    412: _condition_failed,
    413: _too_large,
    429: _slow_down,
    501: _NOT_IMPLEMENTED,
    503: _slow_down,
    507: _FULL,
}


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
