"""What the server's error codes mean: Amazon S3 API reference, “Error responses”; and what SeaweedFS, MinIO, Ceph, R2 and B2
say instead.
"""

from __future__ import annotations

from collections.abc import Callable

from botocore.exceptions import ClientError

from kegbrowser.backends.errors import (
    AlreadyExists,
    AuthenticationFailed,
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
from kegbrowser.backends.s3.deeds import Deed, readable


def error_code(exc: ClientError) -> str:
    """The service's code, as `NoSuchKey`; for an answer without a body the HTTP status as text."""
    return str(exc.response.get("Error", {}).get("Code", ""))


def http_status(exc: ClientError) -> int:
    return int(exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def translate_answer(exc: ClientError, deed: Deed, host: str) -> StorageError:
    """The error of ours for an answer that is an error."""
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
_LOST_PART = _says(CheckFailed, "{host} has not all of its parts", "Try again.")
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
    **dict.fromkeys(("InvalidPart", "InvalidPartOrder"), _LOST_PART),
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
