"""The connection's form, and what addresses mean. Imports no SDK."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from kegbrowser.backends.base import StorageBackend
from kegbrowser.backends.errors import InvalidOptions
from kegbrowser.backends.locations import Location
from kegbrowser.backends.registry import BackendInfo, FieldKind, OptionField

ADVANCED = "Advanced"
_WITH_KEYS = ("auth", ("keys",))

FIELDS = (
    OptionField(
        "endpoint",
        "Server address",
        placeholder="https://s3.example.com",
        help="Empty for Amazon; else the address of the S3 server.",
    ),
    OptionField("bucket", "Bucket", help="Empty shows all buckets of the account."),
    OptionField(
        "auth",
        "Sign in with",
        FieldKind.CHOICE,
        default="keys",
        choices=(("keys", "Access key"), ("profile", "AWS profile or environment"), ("anonymous", "Nothing (public)")),
    ),
    OptionField("access_key_id", "Access key ID", required=True, shown_if=_WITH_KEYS),
    OptionField("secret_access_key", "Secret access key", FieldKind.SECRET, required=True, shown_if=_WITH_KEYS),
    OptionField(
        "profile",
        "Profile",
        placeholder="default",
        help="A section of ~/.aws/config or ~/.aws/credentials; empty for the AWS_… variables or the default one.",
        shown_if=("auth", ("profile",)),
    ),
    OptionField(
        "region",
        "Region",
        placeholder="us-east-1",
        help="Empty for the profile's own, else us-east-1.",
    ),
    OptionField(
        "session_token",
        "Session token",
        FieldKind.SECRET,
        group=ADVANCED,
        help="Only with temporary credentials.",
        shown_if=_WITH_KEYS,
    ),
    OptionField(
        "addressing",
        "Bucket in the address",
        FieldKind.CHOICE,
        default="auto",
        choices=(
            ("auto", "Automatic"),
            ("path", "In the path (server/bucket)"),
            ("virtual", "In the host name (bucket.server)"),
        ),
        group=ADVANCED,
        help="Automatic: in the path where there is a server address, as Amazon does it else.",
    ),
    OptionField(
        "verify_tls",
        "Check the server's certificate",
        FieldKind.CHOICE,
        default="yes",
        choices=(("yes", "Yes"), ("no", "No (anybody may listen and pretend to be the server)")),
        group=ADVANCED,
    ),
    OptionField(
        "ca_bundle",
        "Certificate file",
        FieldKind.FILE,
        group=ADVANCED,
        help="PEM file of the authority to trust, for a server with a certificate of its own making.",
        shown_if=("verify_tls", ("yes",)),
    ),
)


def open_storage(options: Mapping[str, str], name: str) -> StorageBackend:
    """Make the storage of complete options.

    Raises:
        InvalidOptions: an option that makes no sense; the text names it.
    """
    from kegbrowser.backends.s3.storage import S3Storage  # imports the SDK

    auth = options.get("auth") or "keys"
    with_keys = auth == "keys"
    return S3Storage(
        options.get("bucket") or None,
        options.get("region", ""),
        options.get("access_key_id") if with_keys else None,
        options.get("secret_access_key") if with_keys else None,
        options.get("profile") if auth == "profile" else None,
        name,
        endpoint_url=complete_endpoint(options.get("endpoint", "")),
        path_style={"path": True, "virtual": False}.get(options.get("addressing", "auto")),
        aws_session_token=options.get("session_token") if with_keys else None,
        anonymous=auth == "anonymous",
        verify_tls=options.get("verify_tls", "yes") != "no",
        ca_bundle=options.get("ca_bundle") or None,
        timeout_s=_seconds(options.get("timeout_s", "")),
    )


def complete_endpoint(text: str) -> str:
    """The endpoint's URL of what was typed: a bare `host:port` means https."""
    text = text.strip()
    return (f"https://{text}" if text and "://" not in text else text).rstrip("/")


def suggest_name(options: Mapping[str, str]) -> str:
    """`holiday (S3)` or the host."""
    endpoint = complete_endpoint(options.get("endpoint", ""))
    try:
        host = urlsplit(endpoint).hostname or ""
    except ValueError:
        host = ""
    shown = options.get("bucket") or host or options.get("profile")
    return f"{shown} (S3)" if shown else "Amazon S3"


def locate(options: Mapping[str, str], path: str) -> Location:
    """The URL's parts for a path of this connection."""
    bucket = options.get("bucket", "")
    if bucket:
        return Location("s3", bucket, path)
    first, _slash, key = path.partition("/")
    return Location("s3", first, key)


def match(options: Mapping[str, str], location: Location) -> str | None:
    """The path in this connection that a URL means; None if it lies in another bucket."""
    if location.scheme != "s3":
        return None
    bucket = options.get("bucket", "")
    if bucket:
        return location.path if bucket == location.authority else None
    return f"{location.authority}/{location.path}"


def from_location(location: Location) -> dict[str, str]:
    """What `s3://bucket/...` alone implies: Amazon, with the credentials that the AWS tools use."""
    return {"bucket": location.authority, "auth": "profile"}


def _seconds(text: str) -> float:
    try:
        seconds = float(text or 60.0)
    except ValueError as exc:
        raise InvalidOptions("The timeout is not a number of seconds.", hint="Correct the timeout.") from exc
    return seconds if seconds > 0 else 60.0


BACKEND = BackendInfo(
    kind="s3",
    label="Amazon S3 and compatible",
    description="Buckets of Amazon S3, MinIO, Ceph, SeaweedFS, Cloudflare R2, Backblaze B2 and others.",
    icon="s3",
    fields=FIELDS,
    open=open_storage,
    suggest_name=suggest_name,
    locate=locate,
    match=match,
    from_location=from_location,
    sdk_modules=("kegbrowser.backends.s3.storage", "botocore.client", "botocore.httpsession"),
)
