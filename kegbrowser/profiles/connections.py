"""The saved connections: what they are called, their kind and their options, never their secrets."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kegbrowser.backends.errors import FileNotFoundInStorageError, InvalidOptions
from kegbrowser.backends.registry import find_backend
from kegbrowser.profiles.documents import Content, JsonDocument, UnreadableDocument
from kegbrowser.profiles.migrations import CONNECTIONS_STEPS, CONNECTIONS_VERSION

_SECRET_LIKE = (
    ("-----BEGIN [A-Z0-9 ]*PRIVATE KEY", "a private key"),
    (r"(?i)(account|sharedaccess)(key|signature)\s*=\s*[^\s;]", "a connection string"),
    (r"[?&](?i:sig|x-amz-signature|x-amz-security-token|signature)=", "a signed address"),
    (r"://[^/\s@:]*:[^/\s@]+@", "an address with a password"),
)


@dataclass(frozen=True, slots=True)
class Connection:
    """One saved connection.

    Attributes:
        connection_id: 32 hex digits, for ever; names its secrets in the keyring.
        kind: of the backend.
        name: as the user calls it; not empty, need not be unique.
        options: by `OptionField.key`, as given (defaults not filled in), without the secret ones.
        secret_keys: of the secret options that were saved into the keyring.
        host_keys: accepted by the user, one line of a known_hosts file each.
        created_utc: when it was made.
    """

    connection_id: str
    kind: str
    name: str
    options: Mapping[str, str] = field(hash=False)
    secret_keys: tuple[str, ...] = ()
    host_keys: tuple[str, ...] = ()
    created_utc: datetime = field(default_factory=lambda: datetime.now(UTC))

    @classmethod
    def new(cls, kind: str, name: str, options: Mapping[str, str]) -> Connection:
        """A connection with a fresh id; `options` may hold secrets, which are left out."""
        bare = without_secrets(kind, options)
        return cls(uuid.uuid4().hex, kind, name, bare)


class ConnectionStore:
    """The file of saved connections, in the user's order. Blocking; any thread, any number of processes.

    Every change reads the file again under a lock and gives all connections as they are then.
    """

    def __init__(self, path: Path) -> None:
        self._document = JsonDocument(
            path,
            version=CONNECTIONS_VERSION,
            migrations=CONNECTIONS_STEPS,
            check=_from_content,
            what="The saved connections",
        )
        self._notices: list[str] = []
        self._told: list[str] = []

    def load(self) -> tuple[Connection, ...]:
        """All connections; none if there is no file yet or it had to be set aside (see `take_notices`).

        Raises:
            OSError: the file is there but cannot be read.
        """
        connections = _from_content(self._document.read())
        return tuple(self._stripped(connection) for connection in connections)

    def get(self, connection_id: str) -> Connection | None:
        """The connection with this id, None if there is none."""
        return next((found for found in self.load() if found.connection_id == connection_id), None)

    def add(self, connection: Connection) -> tuple[Connection, ...]:
        """Append a connection.

        Raises:
            InvalidOptions: a secret among the options, no name, or the id is taken.
            OSError: the disk refused; nothing changed.
        """
        fresh = checked(connection)

        def append(saved: list[Connection]) -> list[Connection]:
            if any(other.connection_id == fresh.connection_id for other in saved):
                raise InvalidOptions(f"The connection “{fresh.name}” is saved already.")
            return [*saved, fresh]

        return self._change(append)

    def update(self, connection: Connection) -> tuple[Connection, ...]:
        """Replace the connection with the same id; its place stays.

        Raises:
            FileNotFoundInStorageError: it was removed meanwhile.
            InvalidOptions, OSError: as for `add`.
        """
        fresh = checked(connection)

        def put(saved: list[Connection]) -> list[Connection]:
            if all(other.connection_id != fresh.connection_id for other in saved):
                raise FileNotFoundInStorageError(
                    f"The connection “{fresh.name}” was removed meanwhile.", hint="Add it again."
                )
            return [fresh if other.connection_id == fresh.connection_id else other for other in saved]

        return self._change(put)

    def accept_host_key(self, connection_id: str, line: str) -> tuple[Connection, ...]:
        """Add one known_hosts line to a connection; a line for the same host and type is replaced."""

        def accept(saved: list[Connection]) -> list[Connection]:
            return [_with_host_key(one, line) if one.connection_id == connection_id else one for one in saved]

        return self._change(accept)

    def remove(self, connection_id: str) -> tuple[Connection, ...]:
        """Remove a connection, if it is there. Its secrets are removed by `specs.forget`."""
        return self._change(lambda saved: [one for one in saved if one.connection_id != connection_id])

    def reorder(self, connection_ids: Iterable[str]) -> tuple[Connection, ...]:
        """Put the connections in this order; those not named keep their order and come last, unknown ids are ignored."""
        place = {connection_id: index for index, connection_id in enumerate(connection_ids)}
        return self._change(lambda saved: sorted(saved, key=lambda one: place.get(one.connection_id, len(place))))

    def take_notices(self) -> tuple[str, ...]:
        """What the user should be told since the last call, whole sentences."""
        notices, self._notices = self._notices, []
        return (*self._document.take_notices(), *notices)

    def _change(self, edit: Callable[[list[Connection]], list[Connection]]) -> tuple[Connection, ...]:
        result: list[Connection] = []

        def edit_content(content: Content) -> Content:
            saved = [self._stripped(connection) for connection in _from_content(content)]
            result.extend(edit(saved))
            return {"connections": [_to_content(connection) for connection in result]}

        self._document.change(edit_content)
        return tuple(result)

    def _stripped(self, connection: Connection) -> Connection:
        """The connection without secrets that somebody wrote into the file by hand; the next change removes them from it."""
        try:
            _refuse_secrets(connection)
        except InvalidOptions as error:
            notice = f"{error.message} It is not used and will be removed from the file. {error.hint}"
            if notice not in self._told:
                self._told.append(notice)
                self._notices.append(notice)
            bare = {
                key: value
                for key, value in without_secrets(connection.kind, connection.options).items()
                if not secret_like(value)
            }
            return replace(connection, options=bare)
        return connection


def without_secrets(kind: str, options: Mapping[str, str]) -> dict[str, str]:
    """The options that may be written down: those of the form that are no secrets."""
    info = find_backend(kind)
    if info is None:  # its package is missing: what was written down once stays
        return dict(options)
    plain = {field.key for field in info.fields} - set(info.secret_keys)
    return {key: value for key, value in options.items() if key in plain}


def secret_like(value: str) -> str:
    """What secret a value looks like, as "a private key"; "" if it looks like none."""
    return next((what for pattern, what in _SECRET_LIKE if re.search(pattern, value)), "")


def checked(connection: Connection) -> Connection:
    """The connection as it may be written, without what is no option of the form.

    Raises:
        InvalidOptions: a secret among the options, no name, or no such kind.
    """
    if not connection.name.strip():
        raise InvalidOptions("The connection has no name.", hint="Fill in a name.")
    if find_backend(connection.kind) is None:
        raise InvalidOptions(
            f"There is no storage of the kind “{connection.kind}”.", hint="A backend package may be missing."
        )
    _refuse_secrets(connection)
    return replace(connection, options=without_secrets(connection.kind, connection.options))


def _refuse_secrets(connection: Connection) -> None:
    info = find_backend(connection.kind)
    labels = {field.key: field.label for field in info.fields} if info else {}
    for key, value in connection.options.items():
        label = labels.get(key, key)
        if info and key in info.secret_keys and value:
            raise InvalidOptions(
                f"“{label}” of “{connection.name}” is a secret and may not be written into the file of connections.",
                hint="Save it with the connection: it is kept in the keyring.",
            )
        if what := secret_like(value):
            raise InvalidOptions(
                f"“{label}” of “{connection.name}” holds {what}, which may not be written into the file of connections.",
                hint="Enter it in the field for it: it is kept in the keyring.",
            )


def _with_host_key(connection: Connection, line: str) -> Connection:
    identity = line.split()[:2]
    others = tuple(known for known in connection.host_keys if known.split()[:2] != identity)
    return replace(connection, host_keys=(*others, line))


def _to_content(connection: Connection) -> dict[str, Any]:
    return {
        "connection_id": connection.connection_id,
        "kind": connection.kind,
        "name": connection.name,
        "options": dict(connection.options),
        "secret_keys": list(connection.secret_keys),
        "host_keys": list(connection.host_keys),
        "created_utc": connection.created_utc.isoformat(),
    }


def _from_content(content: Content) -> list[Connection]:
    rows = content.get("connections", [])
    if not isinstance(rows, list):
        raise UnreadableDocument("connections is no list")
    connections = [_connection_of(row) for row in rows]
    if len({connection.connection_id for connection in connections}) != len(connections):
        raise UnreadableDocument("an id stands twice")
    return connections


def _connection_of(row: Mapping[str, Any]) -> Connection:
    created = datetime.fromisoformat(row["created_utc"])
    if created.tzinfo is None:
        raise UnreadableDocument("a time without a zone")
    return Connection(
        connection_id=_text(row["connection_id"]),
        kind=_text(row["kind"]),
        name=_text(row["name"]),
        options={_text(key): _text(value) for key, value in row["options"].items()},
        secret_keys=tuple(_text(key) for key in row.get("secret_keys", [])),
        host_keys=tuple(_text(line) for line in row.get("host_keys", [])),
        created_utc=created,
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise UnreadableDocument("not a text")
    return value
