"""Which backends there are: found by entry point, described as data, opened from options.

A backend package exports `BACKEND: BackendInfo`. The form of the connection dialog, the checks of the command line and the
split between what is written down and what goes to the keyring all follow from its fields.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from kegbrowser.backends.base import StorageBackend
from kegbrowser.backends.errors import InvalidOptions
from kegbrowser.backends.locations import Location

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

log = logging.getLogger(__name__)

ENTRY_POINT_GROUP = "kegbrowser.backends"
_BUILT_IN = {name: f"kegbrowser.backends.{name}" for name in ("s3", "azure", "sftp", "local", "memory")}


class FieldKind(enum.Enum):
    """How an option is entered; its value is always text in `Mapping[str, str]` (a BOOL is "true" or "false")."""

    TEXT = "text"
    SECRET = "secret"
    INTEGER = "integer"
    BOOL = "bool"
    CHOICE = "choice"
    FILE = "file"
    FOLDER = "folder"


@dataclass(frozen=True, slots=True)
class OptionField:
    """One option of a connection, as the form shows it.

    Attributes:
        key: name in the options mapping.
        label: as shown, without a colon.
        kind: SECRET goes to the keyring, never to a file.
        required: the form cannot be finished without it.
        default: used where the option is missing or empty.
        placeholder: grey example text.
        help: one sentence, shown beside or as a tooltip.
        choices: (value, label) pairs of a CHOICE.
        group: "" for the main page, else the heading of a collapsed section ("Advanced").
        shown_if: (key, values): only shown while that CHOICE option has one of these values; None: always.
    """

    key: str
    label: str
    kind: FieldKind = FieldKind.TEXT
    required: bool = False
    default: str = ""
    placeholder: str = ""
    help: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    group: str = ""
    shown_if: tuple[str, tuple[str, ...]] | None = None


@dataclass(frozen=True, slots=True, repr=False)
class ConnectionSpec:
    """All that is needed to open a connection, secrets included: never written down, logged or shown.

    Attributes:
        connection_id: of the saved connection; any text for one that is only tried.
        kind: of the backend.
        name: as the user calls it.
        options: complete, by `OptionField.key`.
    """

    connection_id: str
    kind: str
    name: str
    options: Mapping[str, str]

    def open(self) -> StorageBackend:
        """Make the backend. Imports its SDK; does not connect. Worker process or thread only."""
        info = backend(self.kind)
        return info.open(info.complete(self.options) | self._beyond_the_form(info), self.name)

    def _beyond_the_form(self, info: BackendInfo) -> dict[str, str]:
        shown = {field.key for field in info.fields}
        return {key: value for key, value in self.options.items() if key not in shown}

    def __repr__(self) -> str:
        return f"ConnectionSpec({self.connection_id!r}, {self.kind!r}, {self.name!r})"


@dataclass(frozen=True, slots=True)
class BackendInfo:
    """A kind of storage.

    Attributes:
        kind: entry point name and URL scheme, as `s3`.
        label: as shown, as "Amazon S3 and compatible".
        description: one sentence for the connection dialog.
        icon: name of the icon.
        fields: the form, in order.
        open: makes the backend from complete options (defaults filled in). It imports the SDK but does not connect.
            Worker process or thread only.
        suggest_name: a name for a connection with these options, as "photos (S3)".
        locate: the URL of a path within a connection with these options.
        match: whether a URL's location lies in a connection with these options, and then the path in it, else None.
        from_location: options that a bare URL implies (for a first connection from an address).
        sdk_modules: what `open` will import, so that an idle helper can load it beforehand.
    """

    kind: str
    label: str
    description: str
    icon: str
    fields: tuple[OptionField, ...]
    open: Callable[[Mapping[str, str], str], StorageBackend]
    suggest_name: Callable[[Mapping[str, str]], str]
    locate: Callable[[Mapping[str, str], str], Location]
    match: Callable[[Mapping[str, str], Location], str | None]
    from_location: Callable[[Location], dict[str, str]]
    sdk_modules: tuple[str, ...] = ()

    @property
    def secret_keys(self) -> tuple[str, ...]:
        return tuple(field.key for field in self.fields if field.kind is FieldKind.SECRET)

    def with_defaults(self, options: Mapping[str, str]) -> dict[str, str]:
        """Fill in the defaults, check nothing: for addresses and names, which need no secrets."""
        return {field.key: options.get(field.key, "") or field.default for field in self.fields}

    def complete(self, options: Mapping[str, str]) -> dict[str, str]:
        """Fill in the defaults and check what can be checked without connecting.

        Raises:
            InvalidOptions: a required option is missing, or a value is none of its kind; names the field's label.
        """
        complete = self.with_defaults(options)
        for field in self.fields:
            value = complete[field.key]
            shown = field.shown_if is None or complete.get(field.shown_if[0], "") in field.shown_if[1]
            if field.required and shown and not value:
                raise InvalidOptions(f"“{field.label}” is missing.", hint=f"Fill in “{field.label}”.")
            if field.kind is FieldKind.INTEGER and value and not value.isdecimal():
                raise InvalidOptions(f"“{field.label}” must be a number.", hint=f"Correct “{field.label}”.")
            if field.kind is FieldKind.CHOICE and value and value not in {choice for choice, _ in field.choices}:
                raise InvalidOptions(f"“{field.label}” has no choice “{value}”.", hint=f"Correct “{field.label}”.")
        return complete


def entry_points(*, group: str) -> Iterable[EntryPoint]:
    """What is installed under a group. Looking costs 15 ms, which a start with nothing but our own kinds need not pay."""
    from importlib.metadata import entry_points as installed

    return installed(group=group)


@cache
def backends() -> dict[str, BackendInfo]:
    """All backends by kind: those shipped here, and those that other packages register as entry points.

    Importing a backend package imports no SDK. One of another package that cannot be loaded is left out.
    """
    found: dict[str, BackendInfo] = {}
    for kind in _BUILT_IN:
        found[kind] = _built_in(kind)
    for point in entry_points(group=ENTRY_POINT_GROUP):
        if point.name in found:
            continue
        try:
            info = point.load()
        except (ImportError, AttributeError, SyntaxError) as exc:
            log.warning("the storage “%s” of another package cannot be loaded: %s", point.name, exc)
            continue
        if isinstance(info, BackendInfo):
            found[point.name] = info
        else:
            log.warning("the storage “%s” of another package is none: %s", point.name, type(info).__name__)
    return found


def find_backend(kind: str) -> BackendInfo | None:
    """The backend of this kind, None if there is none. One that is shipped here is loaded alone."""
    return _built_in(kind) if kind in _BUILT_IN else backends().get(kind)


def backend(kind: str) -> BackendInfo:
    """The backend of this kind.

    Raises:
        InvalidOptions: there is none.
    """
    info = find_backend(kind)
    if info is None:
        raise InvalidOptions(f"There is no storage of the kind “{kind}”.", hint="A backend package may be missing.")
    return info


def warm_up(kind: str) -> None:
    """Import what connections of this kind need; nothing happens for an unknown kind."""
    info = find_backend(kind)
    for module in info.sdk_modules if info is not None else ():
        import_module(module)


@cache
def _built_in(kind: str) -> BackendInfo:
    info: BackendInfo = import_module(_BUILT_IN[kind]).BACKEND
    return info
