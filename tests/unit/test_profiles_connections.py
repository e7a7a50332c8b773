"""Saved connections survive a restart, and their file never holds a secret."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kegbrowser.backends.errors import FileNotFoundInStorageError, InvalidOptions
from kegbrowser.backends.registry import backends
from kegbrowser.profiles import specs
from kegbrowser.profiles.connections import Connection, ConnectionStore
from kegbrowser.profiles.secrets import Kept, SecretStore
from tests.doubles.dict_keyring import DictKeyring

CANARY = "canary-5e3c2b"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config" / "connections.json"


@pytest.fixture
def store(path: Path) -> ConnectionStore:
    return ConnectionStore(path)


def a_connection(name: str = "Home server") -> Connection:
    return Connection.new("sftp", name, {"host": "example.org", "username": "mo"})


def names(store: ConnectionStore) -> list[str]:
    return [connection.name for connection in store.load()]


def test_a_connection_is_the_same_after_a_restart(path: Path) -> None:
    connection = replace(
        a_connection("Grüße 🦆"),
        host_keys=("example.org ssh-ed25519 AAAA",),
        secret_keys=("password",),
        created_utc=datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC),
    )

    assert ConnectionStore(path).add(connection) == (connection,)

    assert ConnectionStore(path).load() == (connection,)
    assert ConnectionStore(path).get(connection.connection_id) == connection
    assert ConnectionStore(path).get("other") is None


def test_ids_are_fresh() -> None:
    ids = {a_connection().connection_id for _ in range(50)}

    assert len(ids) == 50
    assert all(len(one) == 32 and int(one, 16) >= 0 for one in ids)


def test_update_keeps_the_place_and_remove_leaves_the_others(store: ConnectionStore) -> None:
    first, second, third = (a_connection(name) for name in ("a", "b", "c"))
    for connection in (first, second, third):
        store.add(connection)

    store.update(replace(second, name="B"))
    assert names(store) == ["a", "B", "c"]
    store.remove(first.connection_id)
    store.remove(first.connection_id)

    assert names(store) == ["B", "c"]


def test_reorder_puts_the_unnamed_last(store: ConnectionStore) -> None:
    made = {name: a_connection(name) for name in "abcd"}
    for connection in made.values():
        store.add(connection)

    store.reorder([made["d"].connection_id, "gone", made["b"].connection_id])

    assert names(store) == ["d", "b", "a", "c"]


def test_adding_twice_or_updating_what_is_gone_is_an_error(store: ConnectionStore) -> None:
    connection = a_connection()
    store.add(connection)

    with pytest.raises(InvalidOptions, match="Home server"):
        store.add(connection)
    with pytest.raises(FileNotFoundInStorageError, match="Other"):
        store.update(a_connection("Other"))

    assert store.load() == (connection,)


def test_an_accepted_host_key_replaces_the_one_of_the_same_host_and_type(store: ConnectionStore) -> None:
    connection = a_connection()
    store.add(connection)

    for line in ("h ssh-ed25519 A", "h ssh-rsa B", "h ssh-ed25519 C"):
        store.accept_host_key(connection.connection_id, line)

    assert store.load()[0].host_keys == ("h ssh-rsa B", "h ssh-ed25519 C")


@pytest.mark.parametrize(
    ("kind", "key"), [(info.kind, key) for info in backends().values() for key in info.secret_keys]
)
def test_no_secret_option_of_any_backend_can_be_written(
    store: ConnectionStore, path: Path, kind: str, key: str
) -> None:
    made = Connection.new(kind, "x", {key: CANARY})
    assert key not in made.options

    with pytest.raises(InvalidOptions, match="secret") as caught:
        store.add(replace(made, options={key: CANARY}))

    assert CANARY not in str(caught.value) + caught.value.hint
    assert not path.exists() or CANARY not in path.read_text()


@pytest.mark.parametrize(
    "value",
    [
        f"DefaultEndpointsProtocol=https;AccountName=a;AccountKey={CANARY};EndpointSuffix=x",
        f"-----BEGIN OPENSSH PRIVATE KEY-----\n{CANARY}",
        f"-----BEGIN PRIVATE KEY-----\n{CANARY}",
        f"https://user:{CANARY}@example.org/",
        f"https://a.blob.core.windows.net/c?sv=2024&sig={CANARY}",
        f"BlobEndpoint=https://x/;SharedAccessSignature={CANARY}",
    ],
)
def test_what_looks_like_a_secret_cannot_be_written_into_any_option(
    store: ConnectionStore, path: Path, value: str
) -> None:
    connection = replace(a_connection(), options={"host": value})

    with pytest.raises(InvalidOptions, match="may not be written") as caught:
        store.add(connection)

    assert CANARY not in str(caught.value) + caught.value.hint
    assert not path.exists() or CANARY not in path.read_text()


@pytest.mark.parametrize(
    "value", ["http://127.0.0.1:9000", "https://[::1]:9000/base", "~/.ssh/id_ed25519", "a:b@c", "mo"]
)
def test_ordinary_options_are_no_secrets(store: ConnectionStore, value: str) -> None:
    store.add(replace(a_connection(), options={"host": value}))

    assert store.load()[0].options == {"host": value}


def test_an_option_that_is_not_of_the_form_is_left_out(store: ConnectionStore, path: Path) -> None:
    store.add(replace(a_connection(), options={"host": "h", "secret_thing": CANARY}))

    assert store.load()[0].options == {"host": "h"}
    assert CANARY not in path.read_text()


def test_a_secret_written_by_hand_is_not_used_and_removed_by_the_next_change(
    path: Path, store: ConnectionStore
) -> None:
    store.add(a_connection())
    content = json.loads(path.read_text())
    content["connections"][0]["options"]["password"] = CANARY
    path.write_text(json.dumps(content))
    fresh = ConnectionStore(path)

    assert "password" not in fresh.load()[0].options
    fresh.load()
    (notice,) = fresh.take_notices()
    assert "Home server" in notice
    assert CANARY not in notice
    fresh.add(a_connection("Other"))

    assert CANARY not in path.read_text()
    assert names(fresh) == ["Home server", "Other"]


def test_a_connection_of_a_missing_backend_stays(path: Path, store: ConnectionStore) -> None:
    store.add(a_connection())
    content = json.loads(path.read_text())
    content["connections"][0] |= {"kind": "gopher", "options": {"hole": "7"}}
    path.write_text(json.dumps(content))

    store.add(a_connection("Other"))

    assert next((one.kind, dict(one.options)) for one in store.load()) == ("gopher", {"hole": "7"})
    with pytest.raises(InvalidOptions, match="gopher"):
        store.add(replace(a_connection(), kind="gopher"))


@pytest.mark.parametrize(
    "spoil",
    [
        {"connections": {}},
        {"connections": [1]},
        {"connections": [{"name": "x"}]},
        {"connections": [{"connection_id": "a", "kind": "s3", "name": 5, "options": {}, "created_utc": "2026-01-01T00:00Z"}]},
        {"connections": [{"connection_id": "a", "kind": "s3", "name": "n", "options": {}, "created_utc": "2026-01-01T00:00"}]},
    ],
)  # fmt: skip
def test_a_malformed_file_is_set_aside_and_never_overwritten(path: Path, spoil: dict[str, object]) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"schema_version": 1, **spoil}))
    raw = path.read_bytes()
    store = ConnectionStore(path)

    assert store.load() == ()

    assert len(store.take_notices()) == 1
    store.add(a_connection())
    assert [kept.read_bytes() for kept in path.parent.glob("*.bad-*")] == [raw]


def test_a_nameless_connection_cannot_be_saved(store: ConnectionStore) -> None:
    with pytest.raises(InvalidOptions, match="name"):
        store.add(a_connection("  "))


def test_processes_that_add_at_the_same_time_lose_no_connection(path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from kegbrowser.profiles.connections import Connection, ConnectionStore
store = ConnectionStore(Path({str(path)!r}))
for number in range(8):
    store.add(Connection.new("sftp", f"{{sys.argv[1]}}.{{number}}", {{"host": "h", "username": "u"}}))
"""

    workers = [subprocess.Popen([sys.executable, "-c", program, str(number)]) for number in range(3)]

    assert [worker.wait(60) for worker in workers] == [0, 0, 0]
    assert sorted(names(ConnectionStore(path))) == sorted(f"{a}.{b}" for a in range(3) for b in range(8))


# -- the two stores together -----------------------------------------------------------------------------------------


@pytest.fixture
def secrets() -> SecretStore:
    ring = DictKeyring()
    return SecretStore(find_keyring=lambda: ring)


def test_saving_puts_secrets_into_the_keyring_and_the_rest_into_the_file(
    store: ConnectionStore, secrets: SecretStore, path: Path
) -> None:
    options = {"host": "h", "username": "u", "password": CANARY}
    connection = Connection.new("sftp", "Server", options)

    saved, kept = specs.save(connection, options, store, secrets)

    assert kept is Kept.KEYRING
    assert store.load() == (saved,)
    assert saved.secret_keys == ("password",)
    assert CANARY not in path.read_text()
    spec = specs.spec_of(replace(saved, host_keys=("a", "b")), secrets)
    assert spec.options == options | {"host_keys": "a\nb"}
    assert CANARY not in repr(spec) + repr(saved)


def test_saving_again_without_a_secret_deletes_it(store: ConnectionStore, secrets: SecretStore) -> None:
    options = {"host": "h", "username": "u", "password": CANARY}
    saved, _kept = specs.save(Connection.new("sftp", "Server", options), options, store, secrets)

    again, _kept = specs.save(saved, options | {"password": "", "host": "h2"}, store, secrets)

    assert again.secret_keys == ()
    assert secrets.get(saved.connection_id, "password") is None
    assert store.load() == (again,)
    assert specs.spec_of(again, secrets).options == {"host": "h2", "username": "u"}


def test_a_connection_that_cannot_be_saved_leaves_no_secret(store: ConnectionStore, secrets: SecretStore) -> None:
    options = {"host": f"https://u:{CANARY}@h", "username": "u", "password": CANARY}
    connection = Connection.new("sftp", "Server", options)

    with pytest.raises(InvalidOptions):
        specs.save(connection, options, store, secrets)

    assert secrets.get(connection.connection_id, "password") is None


def test_a_secret_for_this_session_is_in_the_spec(store: ConnectionStore, secrets: SecretStore) -> None:
    connection = a_connection()
    secrets.remember(connection.connection_id, "password", CANARY)

    assert specs.spec_of(connection, secrets).options["password"] == CANARY
    assert "password" not in specs.spec_of(connection, SecretStore()).options


def test_forgetting_a_connection_deletes_its_secrets(store: ConnectionStore, secrets: SecretStore) -> None:
    options = {"host": "h", "username": "u", "password": CANARY}
    saved, _kept = specs.save(Connection.new("sftp", "Server", options), options, store, secrets)

    specs.forget(saved, store, secrets)

    assert store.load() == ()
    assert secrets.get(saved.connection_id, "password") is None
