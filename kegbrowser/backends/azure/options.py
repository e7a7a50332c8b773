"""What an Azure connection can be told, as data, and its URLs."""

from __future__ import annotations

from collections.abc import Mapping

from kegbrowser.backends.base import StorageBackend
from kegbrowser.backends.errors import InvalidOptions
from kegbrowser.backends.locations import Location
from kegbrowser.backends.registry import BackendInfo, FieldKind, OptionField

_WITH_ACCOUNT = ("key", "sas", "anonymous")


def _open(options: Mapping[str, str], name: str) -> StorageBackend:
    from kegbrowser.backends.azure.storage import AzureStorage

    auth = options.get("auth") or "key"
    if auth == "connection_string":
        if not options.get("connection_string"):
            raise InvalidOptions("“Connection string” is missing.", hint="Fill in “Connection string”.")
        return AzureStorage(
            None, None, options.get("container") or None, name, connection_string=options["connection_string"]
        )
    return AzureStorage(
        options["account"],
        options.get("key") or None if auth == "key" else None,
        options.get("container") or None,
        name,
        endpoint=options.get("endpoint") or None,
        sas_token=options.get("sas_token") or None if auth == "sas" else None,
        verify_tls=options.get("verify_tls", "true") != "false",
    )


def _account(options: Mapping[str, str]) -> str:
    return options.get("account") or _from_connection_string(options.get("connection_string", "")) or "account"


def _from_connection_string(text: str) -> str:
    for part in text.split(";"):
        key, _equals, value = part.partition("=")
        if key.strip().lower() == "accountname":
            return value.strip()
    return ""


def _suggest_name(options: Mapping[str, str]) -> str:
    return options.get("container") or options.get("account") or "Azure Blob"


def _locate(options: Mapping[str, str], path: str) -> Location:
    container = options.get("container", "")
    return Location("azure", _account(options), f"{container}/{path}" if container else path)


def _match(options: Mapping[str, str], location: Location) -> str | None:
    if location.authority != _account(options):
        return None
    container = options.get("container", "")
    if not container:
        return location.path
    if location.path.rstrip("/") == container:
        return ""
    return location.path.removeprefix(f"{container}/") if location.path.startswith(f"{container}/") else None


def _from_location(location: Location) -> dict[str, str]:
    return {"account": location.authority, "container": location.path.partition("/")[0]}


BACKEND = BackendInfo(
    kind="azure",
    label="Azure Blob",
    description="Containers of an Azure storage account, or of an emulator.",
    icon="azure",
    fields=(
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
        OptionField("key", "Account key", FieldKind.SECRET, shown_if=("auth", ("key",))),
        OptionField(
            "connection_string", "Connection string", FieldKind.SECRET, shown_if=("auth", ("connection_string",))
        ),
        OptionField("sas_token", "SAS token", FieldKind.SECRET, placeholder="sv=…&sig=…", shown_if=("auth", ("sas",))),
        OptionField("container", "Container", placeholder="all containers", help="Empty: all containers are listed."),
        OptionField(
            "endpoint",
            "Endpoint",
            placeholder="https://mystorage.blob.core.windows.net",
            group="Advanced",
            help="Only for emulators, private endpoints and other clouds; ends in the account's name for an emulator.",
            shown_if=("auth", _WITH_ACCOUNT),
        ),
        OptionField("verify_tls", "Verify the server's certificate", FieldKind.BOOL, default="true", group="Advanced"),
    ),
    open=_open,
    suggest_name=_suggest_name,
    locate=_locate,
    match=_match,
    from_location=_from_location,
    sdk_modules=("kegbrowser.backends.azure.storage",),
)
