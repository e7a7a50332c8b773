"""From what was typed to a connection and a path in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from kegbrowser.backends.base import as_folder, split_path
from kegbrowser.backends.errors import HostKeyChanged, UnknownHostKey
from kegbrowser.backends.locations import SCHEMES, Location
from kegbrowser.backends.registry import BackendInfo, ConnectionSpec, backend, backends
from kegbrowser.commands.console import Console
from kegbrowser.commands.given import GivenOptions, OptionSource
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


class AddressBook:
    """Knows the saved connections and how to make one from an address. Main thread only."""

    def __init__(self, places: Places, given: GivenOptions, console: Console) -> None:
        self._places = places
        self._given = OptionSource(given, console)
        self._console = console
        self._store = ConnectionStore(places.connections_file)
        self._secrets = SecretStore()
        self._saved: tuple[Connection, ...] | None = None
        self._specs: dict[str, ConnectionSpec] = {}

    @property
    def saved(self) -> tuple[Connection, ...]:
        """All saved connections, read once."""
        if self._saved is None:
            self._saved = self._store.load()
            for notice in self._store.take_notices():
                self._console.say(notice)
        return self._saved

    def place_to_make(self, text: str) -> Place:
        """As `place`; an address of a bucket alone is a folder in the account then, as it need not be there yet."""
        place = self.place(text)
        scheme, separator, _rest = text.partition("://")
        if not place.is_root or not separator or scheme.lower() not in SCHEMES:
            return place
        location = Location.parse(text)
        info = backend(location.scheme)
        for key in info.from_location(location):
            options = {name: value for name, value in place.spec.options.items() if name != key}
            path = info.match(info.complete(options), location) if not _is_required(info, key) else None
            if path:
                return Place(
                    replace(place.spec, connection_id=f"{place.spec.connection_id}:account", options=options), path
                )
        return place

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

    def is_remote(self, text: str) -> bool:
        """Whether a word is an address or begins with the name of a saved connection; else it is a local path."""
        return "://" in text or self._named(text) is not None

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
        if not self._given.has_any:
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
        options = info.from_location(root) | self._given.plain(info)
        self._given.choose(info, options)
        for key, value in _AD_HOC_CHOICES.get(info.kind, {}).items():
            options.setdefault(key, value)
        self._given.add_secrets(info, options)
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
            options = dict(spec.options) | self._given.plain(info)
            self._given.add_secrets(info, options)
            self._add_host_keys(options, connection.host_keys)
            self._specs[connection.connection_id] = replace(spec, options=options)
        return self._specs[connection.connection_id]

    def _add_host_keys(self, options: dict[str, str], accepted: tuple[str, ...]) -> None:
        """Let the connection know the keys trusted on the command line as well."""
        try:
            trusted = self._places.known_hosts_file.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return
        options[HOST_KEYS] = "\n".join([*accepted, *trusted])


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


def _is_required(info: BackendInfo, key: str) -> bool:
    return any(one.required for one in info.fields if one.key == key)
