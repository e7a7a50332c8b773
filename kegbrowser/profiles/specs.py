"""From a saved connection to one that can be opened, and the way there: the two stores together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from kegbrowser.backends.registry import ConnectionSpec, backend
from kegbrowser.profiles.connections import Connection, ConnectionStore, checked, without_secrets
from kegbrowser.profiles.secrets import Kept, SecretStore

HOST_KEYS = "host_keys"
"""Option beyond the form: accepted host keys, lines of a known_hosts file joined by newlines."""


def spec_of(connection: Connection, secrets: SecretStore) -> ConnectionSpec:
    """The connection with its secrets and host keys. Blocking: may ask the user to unlock the keyring.

    A secret that is not there any more is left out: opening then says which one is missing, if it is required.

    Raises:
        KeyringUnavailable: a secret lies in a keyring that is locked.
    """
    options = dict(connection.options) | secrets.remembered(connection.connection_id)
    for key in connection.secret_keys:
        value = secrets.get(connection.connection_id, key)
        if value:
            options[key] = value
    if connection.host_keys:
        options[HOST_KEYS] = "\n".join(connection.host_keys)
    return ConnectionSpec(connection.connection_id, connection.kind, connection.name, options)


def save(
    connection: Connection, options: Mapping[str, str], store: ConnectionStore, secrets: SecretStore
) -> tuple[Connection, Kept]:
    """Write a new or changed connection down, from the form's complete `options`: secrets to the keyring, the rest to the file.

    Secrets go first, so the file never names one that is not kept. An empty secret is deleted.

    Returns:
        The connection as saved, and SESSION if any secret could not be kept in the keyring.

    Raises:
        InvalidOptions: a secret in an option that is none, no name, or no such kind; nothing was kept.
        KeyringUnavailable: an old secret could not be deleted.
        OSError: the disk refused.
    """
    given = tuple(key for key in backend(connection.kind).secret_keys if options.get(key))
    saved = checked(replace(connection, options=without_secrets(connection.kind, options), secret_keys=given))
    kept = [secrets.set(saved.connection_id, key, options[key]) for key in given]
    for key in connection.secret_keys:
        if key not in given:
            secrets.delete(saved.connection_id, key)
    if store.get(saved.connection_id) is None:
        store.add(saved)
    else:
        store.update(saved)
    return saved, Kept.SESSION if Kept.SESSION in kept else Kept.KEYRING


def forget(connection: Connection, store: ConnectionStore, secrets: SecretStore) -> None:
    """Remove a connection and its secrets. The secrets go first: while the keyring is locked, both stay.

    Raises:
        KeyringUnavailable: the keyring is locked and holds secrets of it.
        OSError: the disk refused.
    """
    secrets.delete_all(connection.connection_id, connection.secret_keys)
    store.remove(connection.connection_id)
