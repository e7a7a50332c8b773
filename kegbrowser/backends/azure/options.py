"""The connection's form, and what addresses mean. Imports no SDK."""

from __future__ import annotations

from collections.abc import Mapping

from kegbrowser.backends.base import StorageBackend
from kegbrowser.backends.errors import InvalidOptions
from kegbrowser.backends.locations import Location
from kegbrowser.backends.registry import BackendInfo, FieldKind, OptionField

ADVANCED = "Advanced"
_WITH_ACCOUNT = ("key", "sas", "anonymous")

FIELDS = (
    OptionField(
        "auth",
        "Sign in with",
        FieldKind.CHOICE,
        default="key",
        choices=(
            ("key", "Account key"),
            ("connection_string", "Connection string"),
            ("sas", "Shared access signature (SAS)"),
            ("anonymous", "Nothing (public container)"),
        ),
    ),
    OptionField("account", "Account", required=True, placeholder="mystorage", shown_if=("auth", _WITH_ACCOUNT)),
    OptionField("key", "Account key", FieldKind.SECRET, required=True, shown_if=("auth", ("key",))),
    OptionField(
        "connection_string",
        "Connection string",
        FieldKind.SECRET,
        required=True,
        help="From the account's page, “Access keys”.",
        shown_if=("auth", ("connection_string",)),
    ),
    OptionField(
        "sas_token",
        "SAS token",
        FieldKind.SECRET,
        required=True,
        placeholder="sv=…&sig=…",
        help="What follows the question mark of a shared address.",
        shown_if=("auth", ("sas",)),
    ),
    OptionField(
        "container", "Container", placeholder="all containers", help="Empty shows all containers of the account."
    ),
    OptionField(
        "endpoint",
        "Endpoint",
        placeholder="https://mystorage.blob.core.windows.net",
        group=ADVANCED,
        help="Only for emulators, private endpoints and other clouds; an emulator's ends in the account's name.",
        shown_if=("auth", _WITH_ACCOUNT),
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
        InvalidOptions: an option that makes no sense; never shows a secret.
    """
    from kegbrowser.backends.azure.storage import AzureStorage  # imports the SDK

    auth = options.get("auth") or "key"
    with_account = auth in _WITH_ACCOUNT
    return AzureStorage(
        options.get("account") if with_account else None,
        options.get("key") if auth == "key" else None,
        options.get("container") or None,
        name,
        endpoint=options.get("endpoint") if with_account else None,
        connection_string=options.get("connection_string") if auth == "connection_string" else None,
        sas_token=options.get("sas_token") if auth == "sas" else None,
        verify_tls=options.get("verify_tls", "yes") != "no",
        ca_bundle=options.get("ca_bundle") or None,
        timeout_s=_seconds(options.get("timeout_s", "")),
    )


def suggest_name(options: Mapping[str, str]) -> str:
    """`holiday (Azure)`."""
    shown = options.get("container") or _account(options)
    return f"{shown} (Azure)" if shown else "Azure Blob"


def locate(options: Mapping[str, str], path: str) -> Location:
    """The URL's parts for a path of this connection."""
    container = options.get("container", "")
    return Location("azure", _account(options) or "account", f"{container}/{path}" if container else path)


def match(options: Mapping[str, str], location: Location) -> str | None:
    """The path in this connection that a URL means; None if it lies in another account or container."""
    if location.scheme != "azure" or location.authority != (_account(options) or "account"):
        return None
    container = options.get("container", "")
    if not container:
        return location.path
    found, _slash, blob = location.path.partition("/")
    return blob if found == container else None


def from_location(location: Location) -> dict[str, str]:
    """What `azure://account/container/...` alone implies: that container, with the account's key still to be given."""
    return {"account": location.authority, "container": location.path.partition("/")[0]}


def _account(options: Mapping[str, str]) -> str:
    """The account's name, which is no secret, also out of a connection string, which is one."""
    if (options.get("auth") or "key") != "connection_string":
        return options.get("account", "")
    for part in options.get("connection_string", "").split(";"):
        key, _equals, value = part.partition("=")
        if key.strip().lower() == "accountname":
            return value.strip()
    return ""


def _seconds(text: str) -> float:
    try:
        seconds = float(text or 60.0)
    except ValueError as exc:
        raise InvalidOptions("The timeout is not a number of seconds.", hint="Correct the timeout.") from exc
    return seconds if seconds > 0 else 60.0


BACKEND = BackendInfo(
    kind="azure",
    label="Azure Blob",
    description="Containers of an Azure storage account, or of an emulator.",
    icon="azure",
    fields=FIELDS,
    open=open_storage,
    suggest_name=suggest_name,
    locate=locate,
    match=match,
    from_location=from_location,
    sdk_modules=("kegbrowser.backends.azure.storage",),
)
