"""What an SFTP connection can be told, as data, and its URLs."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from pathlib import Path

from kegbrowser.backends.base import StorageBackend
from kegbrowser.backends.errors import InvalidOptions
from kegbrowser.backends.locations import Location
from kegbrowser.backends.registry import BackendInfo, FieldKind, OptionField

DEFAULT_PORT = 22
USUAL_KNOWN_HOSTS = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2", "/etc/ssh/ssh_known_hosts")


def _open(options: Mapping[str, str], name: str) -> StorageBackend:
    from kegbrowser.backends.sftp.storage import SFTPStorage

    port = int(options.get("port") or DEFAULT_PORT)
    if not 0 < port < 65536:
        raise InvalidOptions(f"“{port}” is not a port.", hint="A port is a number from 1 to 65535.")
    auth = options.get("auth") or "password"
    key_file = options.get("key_filename", "")
    known_hosts = _known_hosts(options)
    return SFTPStorage(
        options["host"],
        options.get("username", ""),
        str(Path(key_file).expanduser()) if auth == "key" and key_file else None,
        known_hosts[0],
        allow_agent=auth == "agent",
        look_for_keys=auth == "agent" or (auth == "key" and not key_file),
        name=name,
        port=port,
        password=options.get("password") or None if auth == "password" else None,
        passphrase=options.get("passphrase") or None if auth == "key" else None,
        root="/",
        start_folder=options.get("start_folder", ""),
        checksums=options.get("checksums") != "false",
        host_keys=tuple(line for line in options.get("host_keys", "").split("\n") if line),
        known_hosts_files=known_hosts[1:],
    )


def _known_hosts(options: Mapping[str, str]) -> tuple[str, ...]:
    """The chosen file; else those that ssh itself looks into."""
    chosen = options.get("known_hosts") or USUAL_KNOWN_HOSTS[0]
    files = USUAL_KNOWN_HOSTS if chosen == USUAL_KNOWN_HOSTS[0] else (chosen,)
    return tuple(str(Path(file).expanduser()) for file in files)


def _suggest_name(options: Mapping[str, str]) -> str:
    host, user = options.get("host", ""), options.get("username", "")
    return f"{user}@{host}" if host and user else host or "SFTP"


def _locate(options: Mapping[str, str], path: str) -> Location:
    port = int(options.get("port") or DEFAULT_PORT)
    user = options.get("username", "")
    return Location("sftp", options["host"], path, user, None if port == DEFAULT_PORT else port)


def _match(options: Mapping[str, str], location: Location) -> str | None:
    same = (
        options.get("host", "").lower() == location.authority.lower()
        and int(options.get("port") or DEFAULT_PORT) == (location.port or DEFAULT_PORT)
        and (not location.username or location.username == (options.get("username") or getpass.getuser()))
    )
    return location.path if same else None


def _from_location(location: Location) -> dict[str, str]:
    options = {"host": location.authority, "username": location.username}
    if location.port is not None:
        options["port"] = str(location.port)
    return options


BACKEND = BackendInfo(
    kind="sftp",
    label="SFTP",
    description="Files on a server that speaks SSH.",
    icon="sftp",
    fields=(
        OptionField("host", "Server", required=True, placeholder="example.org"),
        OptionField("port", "Port", FieldKind.INTEGER, default=str(DEFAULT_PORT)),
        OptionField("username", "User name", help="Empty: the name you are logged in with on this computer."),
        OptionField(
            "auth",
            "Sign in with",
            FieldKind.CHOICE,
            default="password",
            choices=(("password", "Password"), ("key", "Key file"), ("agent", "SSH agent and default keys")),
        ),
        OptionField("password", "Password", FieldKind.SECRET, shown_if=("auth", ("password",))),
        OptionField(
            "key_filename", "Key file", FieldKind.FILE, placeholder="~/.ssh/id_ed25519", shown_if=("auth", ("key",))
        ),
        OptionField(
            "passphrase",
            "Passphrase",
            FieldKind.SECRET,
            help="Only if the key file is protected by one.",
            shown_if=("auth", ("key",)),
        ),
        OptionField("start_folder", "Start folder", placeholder="/home/me", help="Empty: the one the server chooses."),
        OptionField(
            "known_hosts",
            "Known hosts file",
            FieldKind.FILE,
            default=USUAL_KNOWN_HOSTS[0],
            group="Advanced",
            help="Host keys in it are trusted; it is never written.",
        ),
        OptionField(
            "checksums",
            "Compare checksums",
            FieldKind.BOOL,
            default="true",
            group="Advanced",
            help="The server computes them by a command of its shell, where it has one: each file is read once more there. "
            "Else files are compared by size.",
        ),
    ),
    open=_open,
    suggest_name=_suggest_name,
    locate=_locate,
    match=_match,
    from_location=_from_location,
    sdk_modules=("kegbrowser.backends.sftp.storage",),
)
