"""From what was typed to a connection and a path in it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from kegbrowser.backends.base import as_folder, split_path
from kegbrowser.backends.errors import HostKeyChanged, UnknownHostKey
from kegbrowser.backends.locations import SCHEMES, Location
from kegbrowser.backends.registry import BackendInfo, ConnectionSpec, FieldKind, OptionField, backend, backends
from kegbrowser.commands.console import Console
from kegbrowser.commands.outcome import UsageError, sentence_of
from kegbrowser.profiles.connections import Connection, ConnectionStore
from kegbrowser.profiles.documents import append_private_line
from kegbrowser.profiles.places import Places
from kegbrowser.profiles.secrets import SecretStore
from kegbrowser.profiles.specs import HOST_KEYS, spec_of

AD_HOC = "command-line"
"""Connection id of an address that no saved connection matches."""

_AD_HOC_CHOICES = {"sftp": {"auth": "agent"}}
"""How to sign in where nothing is said: as the service's own tools do."""


@dataclass(frozen=True, slots=True)
class Place:
    """A file or folder of a connection, as it was typed.

    Attributes:
        spec: how to open the connection.
        path: within it, exact; "" for its root. Whether it is a folder is only known if it is "" or ends in "/".
    """

    spec: ConnectionSpec
    path: str

    @property
    def is_root(self) -> bool:
        return not self.path

    @property
    def says_folder(self) -> bool:
        return not self.path or self.path.endswith("/")

    @property
    def name(self) -> str:
        """The last part, for messages; the connection's name for its root."""
        return split_path(self.path)[1] or self.path or self.spec.name

    def as_folder(self) -> Place:
        return replace(self, path=as_folder(self.path))

    def url(self, path: str | None = None) -> str:
        """The address of this place, or of another path in its connection, that `AddressBook.place` understands."""
        return backend(self.spec.kind).locate(self.spec.options, self.path if path is None else path).url()


@dataclass(frozen=True, slots=True, repr=False)
class GivenOptions:
    """What the command line said about how to connect.

    Attributes:
        options: `--option`; no secrets.
        asked: keys of secrets to ask for on the terminal.
        piped: secrets read from standard input, by key.
        for_several: the words name places of several kinds, so an option need not fit all of them.
    """

    options: Mapping[str, str]
    asked: tuple[str, ...] = ()
    piped: Mapping[str, str] = field(default_factory=dict)
    for_several: bool = False

    @property
    def any(self) -> bool:
        return bool(self.options or self.asked or self.piped)


class AddressBook:
    """Knows the saved connections and how to make one from an address. Main thread only."""

    def __init__(self, places: Places, given: GivenOptions, console: Console) -> None:
        self._places = places
        self._given = given
        self._console = console
        self._store = ConnectionStore(places.connections_file)
        self._secrets = SecretStore()
        self._saved: tuple[Connection, ...] | None = None
        self._specs: dict[str, ConnectionSpec] = {}
        self._answers: dict[tuple[str, str], str] = {}

    @property
    def saved(self) -> tuple[Connection, ...]:
        """All saved connections, read once."""
        if self._saved is None:
            self._saved = self._store.load()
            for notice in self._store.take_notices():
                self._console.say(notice)
        return self._saved

    def place(self, text: str) -> Place:
        """Understand `scheme://...` or `connection-name:path`.

        Raises:
            UsageError, InvalidOptions: it cannot be understood, or options are missing or make no sense.
            KeyringUnavailable: the connection's secrets are in a locked keyring.
        """
        scheme, separator, _rest = text.partition("://")
        if separator and (scheme.lower() in SCHEMES or not self._named(text)):
            return self._place_of_url(Location.parse(text))
        connection = self._named(text)
        if connection is None:
            raise UsageError(
                f"“{text}” is neither an address nor a saved connection.",
                hint="Write s3://bucket/key, azure://account/container/blob, sftp://user@host/path, local:///path or "
                "NAME:path; “kegbrowser connections” lists the names.",
            )
        path = text[len(connection.name) + 1 :]
        return Place(self._spec_of(connection), path)

    def trust(self, error: UnknownHostKey) -> None:
        """Write a host key into the program's own known hosts; connections opened from now on know it."""
        line = f"{error.host} {error.key_type} {error.key_base64}"
        append_private_line(self._places.known_hosts_file, line)
        self._specs.clear()

    def _named(self, text: str) -> Connection | None:
        """The saved connection whose name and ":" begin the text; the longest such name."""
        for fold in (str, str.casefold):
            found = [one for one in self.saved if fold(text).startswith(f"{fold(one.name)}:")]
            longest = [one for one in found if len(one.name) == max(len(other.name) for other in found)]
            if len(longest) > 1:
                raise UsageError(
                    f"Several saved connections are called “{longest[0].name}”.",
                    hint="Rename one, or write the address with its scheme.",
                )
            if longest:
                return longest[0]
        return None

    def _place_of_url(self, location: Location) -> Place:
        if not self._given.any:
            best: tuple[Connection, str] | None = None
            for connection in self.saved:
                if connection.kind != location.scheme:
                    continue
                path = backend(connection.kind).match(connection.options, location)
                if path is not None and (best is None or len(path) < len(best[1])):
                    best = connection, path  # the narrowest one; of several equal ones the first
            if best is not None:
                return Place(self._spec_of(best[0]), best[1])
        return self._ad_hoc(location)

    def _ad_hoc(self, location: Location) -> Place:
        info = backend(location.scheme)
        root = replace(location, path="")
        options = info.from_location(root) | self._checked_options(info)
        _choose_by_what_is_given(info, options, {*self._given.options, *self._given.asked, *self._given.piped})
        for key, value in _AD_HOC_CHOICES.get(info.kind, {}).items():
            options.setdefault(key, value)
        self._add_secrets(info, options)
        info.complete(options)
        path = info.match(options, location)
        if path is None:
            raise UsageError(f"The options do not fit the address “{location.url()}”.", hint="Leave them out.")
        self._add_host_keys(options, ())
        return Place(ConnectionSpec(f"{AD_HOC}:{root.url()}", info.kind, info.suggest_name(options), options), path)

    def _spec_of(self, connection: Connection) -> ConnectionSpec:
        if connection.connection_id not in self._specs:
            spec = spec_of(connection, self._secrets)
            info = backend(connection.kind)
            options = dict(spec.options) | self._checked_options(info)
            self._add_secrets(info, options)
            self._add_host_keys(options, connection.host_keys)
            self._specs[connection.connection_id] = replace(spec, options=options)
        return self._specs[connection.connection_id]

    def _checked_options(self, info: BackendInfo) -> dict[str, str]:
        plain = [one.key for one in info.fields if one.kind is not FieldKind.SECRET]
        for key in self._given.options:
            if any(key in other.secret_keys for other in self._kinds(info)):
                raise UsageError(
                    f"“{key}” is a secret, which everybody on this machine could read on the command line.",
                    hint=f"Use --ask {key} or --secret-stdin {key}.",
                )
            if not any(key == one.key for other in self._kinds(info) for one in other.fields):
                raise UsageError(f"{info.label} has no option “{key}”.", hint=f"There are: {', '.join(plain)}.")
        return {key: value for key, value in self._given.options.items() if key in plain}

    def _add_secrets(self, info: BackendInfo, options: dict[str, str]) -> None:
        for key in (*self._given.piped, *self._given.asked):
            if not any(key in other.secret_keys for other in self._kinds(info)):
                known = ", ".join(info.secret_keys) or "none"
                raise UsageError(f"{info.label} has no secret “{key}”.", hint=f"There are: {known}.")
        for one in info.fields:
            if one.kind is not FieldKind.SECRET:
                continue
            if one.key in self._given.piped:
                options[one.key] = self._given.piped[one.key]
            elif one.key in self._given.asked or (
                one.required and _is_shown(one, info, options) and not options.get(one.key) and self._console.can_ask
            ):
                options[one.key] = self._ask_once(info, one)

    def _ask_once(self, info: BackendInfo, one: OptionField) -> str:
        identity = info.kind, one.key
        if identity not in self._answers:
            self._answers[identity] = self._console.ask_secret(one.label)
        return self._answers[identity]

    def _kinds(self, info: BackendInfo) -> Iterable[BackendInfo]:
        return backends().values() if self._given.for_several else (info,)

    def _add_host_keys(self, options: dict[str, str], accepted: tuple[str, ...]) -> None:
        """Let the connection know the keys trusted on the command line as well."""
        try:
            trusted = self._places.known_hosts_file.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return
        options[HOST_KEYS] = "\n".join([*accepted, *trusted])


def read_piped_secrets(keys: tuple[str, ...]) -> dict[str, str]:
    """Take one line of standard input for each key, in this order.

    Raises:
        UsageError: there are fewer lines.
    """
    piped: dict[str, str] = {}
    for key in keys:
        line = sys.stdin.readline()
        if not line.rstrip("\r\n"):
            raise UsageError(
                f"Standard input holds no line for “{key}”.", hint="Pipe one line for each --secret-stdin."
            )
        piped[key] = line.rstrip("\r\n")
    return piped


def connection_rows(book: AddressBook) -> list[dict[str, object]]:
    """The saved connections for `kegbrowser connections`: no secret is read."""
    rows: list[dict[str, object]] = []
    for one in book.saved:
        info = backends().get(one.kind)
        url = info.locate(one.options, "").url() if info is not None else ""
        rows.append({"name": one.name, "kind": one.kind, "url": url, "connection_id": one.connection_id})
    return rows


def asking_to_trust(console: Console, book: AddressBook, run: Callable[[], int]) -> int:
    """Run a command; where it meets an unknown host key, ask the person and run it once more for each key that is trusted.

    Raises:
        UnknownHostKey: not trusted, nobody to ask, or the key differs from a known one.
    """
    trusted: set[str] = set()
    while True:
        try:
            return run()
        except UnknownHostKey as error:
            if isinstance(error, HostKeyChanged) or error.fingerprint in trusted or not console.can_ask:
                raise
            console.say(sentence_of(error))
            if console.ask("Trust this key from now on? [no/yes]", ("no", "yes")) == "no":
                raise
            book.trust(error)
            trusted.add(error.fingerprint)


def _choose_by_what_is_given(info: BackendInfo, options: dict[str, str], given: set[str]) -> None:
    """Let a given key file or password choose that way to sign in, as the form would have to show it."""
    for one in info.fields:
        if one.key in given and one.shown_if is not None:
            options.setdefault(one.shown_if[0], one.shown_if[1][0])


def _is_shown(field: OptionField, info: BackendInfo, options: Mapping[str, str]) -> bool:
    """Whether the form would show this field, given the options; defaults count."""
    if field.shown_if is None:
        return True
    key, values = field.shown_if
    default = next((one.default for one in info.fields if one.key == key), "")
    return (options.get(key, "") or default) in values
