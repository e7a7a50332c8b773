"""What an answer of the service that is no success means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from kegbrowser.backends.azure.deeds import Deed
from kegbrowser.backends.errors import (
    AlreadyExists,
    AuthenticationFailed,
    CheckFailed,
    ClockSkewed,
    CredentialsExpired,
    FileNotFoundInStorageError,
    FolderNotEmpty,
    InvalidName,
    NotSupported,
    PermissionDenied,
    QuotaExceeded,
    ServerFault,
    SourceChanged,
    StorageError,
    Throttled,
)

CLOCK_LEEWAY = timedelta(minutes=15)
"""A signed request is good for that long ("Authorize with Shared Key")."""

_DENIED = "the account may not {right} it"
_NO_BLOB = "there is no such file"
_OTHER_UPLOAD = "something else was saved there meanwhile"

# "Common REST API error codes", "Blob service error codes".
_CODES: dict[str, tuple[type[StorageError], str]] = {
    "BlobNotFound": (FileNotFoundInStorageError, _NO_BLOB),
    "ResourceNotFound": (FileNotFoundInStorageError, "it is not there, or not for everybody"),
    "ContainerNotFound": (FileNotFoundInStorageError, "there is no container “{container}”"),
    "ContainerBeingDeleted": (FileNotFoundInStorageError, "the container “{container}” is being deleted"),
    "BlobAlreadyExists": (AlreadyExists, "it exists already"),
    "ContainerAlreadyExists": (AlreadyExists, "it exists already"),
    "ResourceAlreadyExists": (AlreadyExists, "it exists already"),
    "PathAlreadyExists": (AlreadyExists, "it exists already"),
    "UnauthorizedBlobOverwrite": (AlreadyExists, "it exists already, and the account may not replace it"),
    "AuthorizationFailure": (PermissionDenied, _DENIED),
    "AuthorizationPermissionMismatch": (PermissionDenied, _DENIED),
    "AuthorizationServiceMismatch": (PermissionDenied, "the signature is for another service"),
    "AuthorizationResourceTypeMismatch": (PermissionDenied, "the signature is for something else"),
    "AuthorizationProtocolMismatch": (PermissionDenied, "the signature is only for https"),
    "AuthorizationSourceIPMismatch": (PermissionDenied, "the signature is not for this machine's address"),
    "InsufficientAccountPermissions": (PermissionDenied, _DENIED),
    "PublicAccessNotPermitted": (PermissionDenied, "the account lets nobody in without signing in"),
    "NoAuthenticationInformation": (PermissionDenied, "one must sign in for it"),
    "ResourceTypeMismatch": (PermissionDenied, _DENIED),
    "AccountIsDisabled": (PermissionDenied, "the account is disabled"),
    "BlobImmutableDueToPolicy": (PermissionDenied, "a policy of the container protects it"),
    "LeaseIdMissing": (PermissionDenied, "somebody holds a lease on it"),
    "LeaseLost": (PermissionDenied, "somebody holds a lease on it"),
    "BlobArchived": (PermissionDenied, "it is in the archive and must be brought back first"),
    "BlobBeingRehydrated": (PermissionDenied, "it is still being brought back from the archive"),
    "DirectoryIsNotEmpty": (FolderNotEmpty, "it is not empty"),
    "InvalidBlobType": (NotSupported, "it is a blob of another type"),
    "InvalidResourceName": (InvalidName, "Azure cannot store this name"),
    "InvalidUri": (InvalidName, "Azure cannot store this name"),
    "OutOfRangeInput": (InvalidName, "Azure cannot store this name"),
    "ServerBusy": (Throttled, "the service is busy"),
    "OperationTimedOut": (Throttled, "the service took too long"),
    "TooManyRequests": (Throttled, "the service is busy"),
    "InternalError": (ServerFault, "the service failed"),
    "RequestBodyTooLarge": (QuotaExceeded, "it is too large"),
    "BlockCountExceedsLimit": (QuotaExceeded, "too many unfinished uploads of it are kept by the service for a week"),
    "AccountLimitExceeded": (QuotaExceeded, "the account is full"),
    "Md5Mismatch": (CheckFailed, "what arrived there is not what was sent"),
    "Crc64Mismatch": (CheckFailed, "what arrived there is not what was sent"),
}
_STATUS: dict[int, tuple[type[StorageError], str]] = {
    401: (PermissionDenied, "one must sign in for it"),
    403: (PermissionDenied, _DENIED),
    404: (FileNotFoundInStorageError, _NO_BLOB),
    414: (InvalidName, "Azure cannot store this name"),
    429: (Throttled, "the service is busy"),
    503: (Throttled, "the service is busy"),
    507: (QuotaExceeded, "there is no space left"),
}
_OF_SOURCE = ("BlobNotFound", "ResourceNotFound", "CannotVerifyCopySource", "SourceConditionNotMet", "BlobArchived", "")
_CONDITIONS = ("ConditionNotMet", "TargetConditionNotMet", "SourceConditionNotMet")
_EXPIRED = ("specified time frame", "sas is expired", "signature expired", "expiry time")
_SKEWED = ("date header too old", "request date header", "clock skew")


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of an answer; `text` is only searched, never shown: it may quote what was signed.

    Attributes:
        signed_by: "key", "sas", or "" for a request that nobody signed.
        date: the service's own clock, None if it does not say.
    """

    status: int
    code: str
    text: str = ""
    retry_after: str = ""
    signed_by: str = ""
    date: datetime | None = None

    @classmethod
    def of(cls, status: int, headers: Mapping[str, str], text: str, request: Any) -> Answer:
        """Args:
        request: of the SDK; tells how it was signed.
        """
        code = str(headers.get("x-ms-error-code") or "")
        if not code and "<Code>" in text:
            code = text.partition("<Code>")[2].partition("</Code>")[0].strip()
        signed_by = ""
        if request is not None and "Authorization" in request.headers:
            signed_by = "key"
        elif request is not None and "sig=" in str(request.url):
            signed_by = "sas"
        retry_after = str(headers.get("Retry-After") or "")
        return cls(status, code[:80], text[:8000].lower(), retry_after, signed_by, _date(headers.get("Date")))


def error_of(answer: Answer, deed: Deed, server: str) -> StorageError:
    """The error that an answer is."""
    if deed.source is not None and (
        answer.code in _OF_SOURCE or (answer.code == "ConditionNotMet" and deed.if_condition_fails is SourceChanged)
    ):
        deed = deed.source
    if (refused := _not_let_in(answer, deed, server)) is not None:
        return refused
    if answer.code in _CONDITIONS or (answer.status == 412 and answer.code not in _CODES):
        if issubclass(deed.if_condition_fails, AlreadyExists):
            return AlreadyExists(deed.sentence("it exists already"), path=deed.path)
        return deed.if_condition_fails(deed.sentence("it has changed meanwhile"), path=deed.path)
    if answer.code == "InvalidBlockList":
        # Who commits first drops the blocks of the others ("Put Block List").
        return ServerFault(deed.sentence(_OTHER_UPLOAD), path=deed.path, hint="Save it again to replace that.")
    if answer.code == "InvalidBlobOrBlock":
        reason = "an unfinished upload of another program is in the way, which the service drops within a week"
        return NotSupported(deed.sentence(reason), path=deed.path, hint="Use another name.")
    kind, reason = _CODES.get(answer.code) or _STATUS.get(answer.status) or _unknown(answer)
    error = kind(deed.sentence(reason.format(right=deed.right, container=deed.container)), path=deed.path)
    if kind is PermissionDenied and not deed.container:
        error.hint = "Name a container in the connection, or ask the account's owner for the right to list them."
    if kind is ServerFault and answer.status < 500:
        error.retryable = False
    if answer.retry_after.isdecimal():
        error.retry_after_s = float(answer.retry_after)
    return error


def _not_let_in(answer: Answer, deed: Deed, server: str) -> StorageError | None:
    """The error of credentials that were refused, whatever they may do."""
    is_unknown = "failed to authenticate" in answer.text or not answer.code
    if not (
        answer.code in ("AuthenticationFailed", "InvalidAuthenticationInfo")
        or (answer.status == 403 and is_unknown and answer.signed_by)
        or (answer.code == "AuthorizationFailure" and "failed to authenticate" in answer.text)
    ):
        return None
    if not answer.signed_by:
        return PermissionDenied(deed.sentence("one must sign in for it"), path=deed.path)
    if answer.signed_by == "sas":
        if any(words in answer.text for words in _EXPIRED):
            return CredentialsExpired("The shared access signature has expired, or is not valid yet.", path=deed.path)
        return AuthenticationFailed(f"{server} refused the shared access signature.", path=deed.path)
    is_off = answer.date is not None and abs(answer.date - datetime.now(UTC)) > CLOCK_LEEWAY
    if is_off or any(words in answer.text for words in _SKEWED):
        return ClockSkewed(f"{server} refused the request: its clock and this machine's differ.", path=deed.path)
    return AuthenticationFailed(f"{server} refused the account's key.", path=deed.path)


def _unknown(answer: Answer) -> tuple[type[StorageError], str]:
    what = f"{answer.status} {answer.code}".strip().replace("{", "").replace("}", "")
    return ServerFault, "the service failed" if answer.status >= 500 else f"the service refused it ({what})"


def _date(text: str | None) -> datetime | None:
    try:
        found = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
